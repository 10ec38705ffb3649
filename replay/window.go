package replay

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Answer is what a history says about a window of time.
type Answer struct {
	Intervals []Interval // that were open at some time in the window, oldest first
	Certainty Certainty
	Doubts    []string // about the answer as a whole; those of intervals stand there
}

// Select returns the history of those leases alone that of reports true for: of all if it is nil.
func (h *History) Select(of func(*state.Lease) bool) *History {
	if of == nil {
		return h
	}
	some := *h
	some.Intervals = nil
	for i := range h.Intervals {
		if of(h.Intervals[i].Lease) {
			some.Intervals = append(some.Intervals, h.Intervals[i])
		}
	}
	return &some
}

// Of returns the history of one address.
func (h *History) Of(ip netip.Addr) *History {
	one := h.Select(func(l *state.Lease) bool { return l.IP == ip })
	one.only = ip
	return one
}

// Between answers which leases there were from since to until, both included. A zero
// since is the journal's first event, a zero until all that is covered. Covered is
// the time up to which the journal is known to tell all: now on its own node, zero for
// the time of its last event.
//
// An interval that is inside of the window only if a clock's error is as large as it may be is included, and
// the answer is Uncertain. So is one between whose ends no time passed. A window that the journal doesn't cover, or in which events
// are lost, makes it Unknown.
func (h *History) Between(since, until, covered time.Time) Answer {
	var a Answer
	s := h.span(Asked{From: since, To: until, Covered: covered})
	a.Certainty, a.Doubts = h.outside(&s, !since.IsZero(), !until.IsZero(), h.only)
	for i := range h.Intervals {
		iv := h.Intervals[i] // a copy: doubts are added
		to := iv.behind()
		m := h.meetOf(&iv, &s, &iv.Start, to)
		surely := m.by == [2]bool{true, true} && h.surely(&iv, &s, to)
		switch {
		case surely:
		case m.possible:
			iv.Certainty = max(iv.Certainty, Uncertain)
			iv.doubtful("whether it was held in the time asked about depends on the error of a clock")
		case s.backwards(&iv) && iv.Start.Seq == iv.End.Seq: // its beginning is lost, which is said
		case s.backwards(&iv):
			iv.doubtful("between its beginning and its end a clock stood still or was set back")
		case to == nil && s.from > s.covered && !h.wiped: // the answer is unknown, and this is what was known last
		default:
			continue
		}
		if m.possible && (!surely || h.unsure(&iv, to, &s)) {
			a.worse(Uncertain)
		}
		a.Intervals = append(a.Intervals, iv)
	}
	for i, g := range h.gaps {
		if g.meets(&s) {
			a.doubt(Unknown, "%s", g.toldOf(&s))
		}
		if from, to, ok := h.unsettled(i, h.only); ok && h.time.meet(&s, &from, to).candidate {
			a.doubt(Unknown, "leases that no event behind a gap tells of are not known: %s", g.lostEvents())
		}
	}
	if near := h.nearLost(&s, nil); near != "" {
		a.doubt(Uncertain, "%s", near)
	}
	if h.First.Seq == 0 {
		return a
	}
	if doubt := h.Unsettled(since); doubt != "" {
		a.doubt(Uncertain, "%s", doubt)
	}
	if h.Origin.Parent != (journal.ID{}) {
		a.doubt(Certain, "the journal continues journal %s after its event %d: what was before is told there",
			h.Origin.Parent, h.Origin.ParentSeq)
	}
	h.steps(&a.Doubts, each(a.Intervals))
	return a
}

// doubtful adds a doubt to those that other copies of the interval have.
func (iv *Interval) doubtful(text string) { iv.Doubts = append(slices.Clip(iv.Doubts), text) }

// behind returns the event at which nothing shows the interval any more, nil if it goes on.
func (iv *Interval) behind() *Point {
	switch {
	case iv.End != nil:
		return &iv.End.Point
	case iv.lostTo.Seq != 0:
		return &iv.lostTo
	case iv.lost:
		return &Point{Seq: iv.LastSeq + 1}
	}
	return nil
}

func (a *Answer) worse(c Certainty) { a.Certainty = max(a.Certainty, c) }

func (a *Answer) doubt(c Certainty, format string, args ...any) {
	a.worse(c)
	a.Doubts = append(a.Doubts, fmt.Sprintf(format, args...))
}

// each yields the elements of a list in place.
func each[T any](list []T) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	}
}

// Unsettled says in words why addresses may have been in use at some time after since without being known as held:
// events of the journal that this one has succeeded are lost. It is empty if there is no such reason, or no longer.
func (h *History) Unsettled(since time.Time) string {
	if h.lost == "" || h.lost == "0" || h.settled.Seq != 0 && !since.Before(h.settled.Effective) {
		return ""
	}
	bound := "at most " + h.lost
	if h.lost == journal.LostUnknown {
		bound = "nobody knows how many"
	}
	return fmt.Sprintf("events of journal %s are lost, %s: an address given in them may be in use here and not be known as held",
		h.Origin.Parent, bound)
}

// Outside says in words which parts of a window are not told about by a journal with
// these first and last events; it is empty if all of it is covered. The times are those
// of History.Between.
func Outside(first, last Point, since, until, covered time.Time) []string {
	if covered.IsZero() {
		covered = last.Effective
	}
	var parts []string
	if begin := first.Effective; !since.IsZero() && since.Before(begin) || !until.IsZero() && until.Before(begin) {
		parts = append(parts, fmt.Sprintf("the journal begins at %s: what was before is unknown", begin.Format(timeLayout)))
	}
	if since.After(covered) || until.After(covered) {
		parts = append(parts, fmt.Sprintf("the journal tells nothing after %s", covered.Format(timeLayout)))
	}
	return parts
}

// steps names the clock steps within the intervals of an answer.
func (h *History) steps(doubts *[]string, intervals iter.Seq[*Interval]) {
	for _, s := range h.Clocks.Steps() {
		for iv := range intervals {
			if iv.Start.Seq <= s.Seq && s.Seq <= iv.LastSeq {
				*doubts = append(*doubts, s.Doubt())
				break
			}
		}
	}
}
