package report

import (
	"slices"

	"github.com/leaselog/leaselog/replay"
)

// judge says how certain is what the page shows: as an answer about all leases that were held in its time.
func (e *encoding) judge() {
	e.worst, e.header.Doubts = e.view.Certainty, []string{}
	say := func(text string) {
		if text = valid(text); !slices.Contains(e.header.Doubts, text) {
			e.header.Doubts = append(e.header.Doubts, text)
		}
	}
	for _, text := range e.view.Doubts {
		say(text)
	}
	for _, p := range e.parts {
		if p.History == nil {
			e.worst = replay.Unknown
			continue
		}
		if p.Between == nil {
			continue
		}
		found := e.unclear(p).Between(p.Between.Since, p.Between.Until, p.Covered)
		e.worst = max(e.worst, found.Certainty)
		for _, text := range found.Doubts {
			say(e.view.Title + ": " + text)
		}
	}
	e.Certainty = e.worst.String()
}

// unclear is the part's history with those leases alone that may make an answer about the page's time less than certain: not those
// that were held at some instant of it for certain, and that nothing speaks against.
func (e *encoding) unclear(p *partOf) *replay.History {
	some := *p.History
	some.Intervals = nil
	room := make([]replay.Window, 0, 5)
	for i := range e.leases {
		l := &e.leases[i]
		if l.part != p {
			continue
		}
		if l.Certainty != replay.Certain || l.explicit || !e.surelyIn(room, l) {
			some.Intervals = append(some.Intervals, *l.Interval)
		}
		if l.End == nil && !l.Lost() {
			if p.Torn {
				e.worst = max(e.worst, replay.Uncertain)
			}
			e.worst = max(e.worst, p.HeldCertainty)
		}
	}
	for _, step := range p.History.Clocks.Steps() { // one lease that a step meets is enough to have it named
		for i := range e.leases {
			if l := &e.leases[i]; l.part == p && l.Start.Seq <= step.Seq && step.Seq <= l.LastSeq {
				some.Intervals = append(some.Intervals, *l.Interval)
				break
			}
		}
	}
	return &some
}

// surelyIn reports whether a lease was held for certain at some instant of the page's time.
func (e *encoding) surelyIn(room []replay.Window, l *leaseRef) bool {
	return slices.ContainsFunc(l.part.course.PlainWindows(room, l.Interval), func(w replay.Window) bool {
		return !w.Unsure && w.From <= e.to && w.To > e.from
	})
}
