package replay

import (
	"fmt"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Answer is what a history says about a window of time.
type Answer struct {
	Intervals []Interval // that were open at some time in the window, oldest first
	Certainty Certainty
	Doubts    []string // about the answer as a whole; those of intervals stand there
}

// Between answers which leases there were from since to until, both included. A zero
// since is the journal's first event, a zero until all that is covered. Covered is
// the time up to which the journal is known to tell all: now on its own node, zero for
// the time of its last event.
//
// An interval that is inside or outside of the window depending on a clock's error, or
// on whether effective or recorded times are compared, is included and the answer is
// Uncertain. A window that the journal doesn't cover makes it Unknown.
func (h *History) Between(since, until, covered time.Time) Answer {
	var a Answer
	w := span{since, until}
	for _, iv := range h.Intervals {
		surely, possibly := iv.touches(w, iv.Start)
		if !possibly {
			continue
		}
		if !surely {
			iv.Certainty = max(iv.Certainty, Uncertain)
			iv.Doubts = append(iv.Doubts[:len(iv.Doubts):len(iv.Doubts)], "whether it was held in the time asked about depends on the error of a clock")
			a.worse(Uncertain)
		}
		if iv.Doubtful != nil {
			if _, possibly := iv.touches(w, *iv.Doubtful); possibly {
				a.worse(Uncertain)
			}
		}
		a.Intervals = append(a.Intervals, iv)
	}
	h.cover(&a, w, covered)
	h.steps(&a)
	return a
}

func (a *Answer) worse(c Certainty) { a.Certainty = max(a.Certainty, c) }

func (a *Answer) doubt(c Certainty, format string, args ...any) {
	a.worse(c)
	a.Doubts = append(a.Doubts, fmt.Sprintf(format, args...))
}

// cover compares the window with what the journal tells about.
func (h *History) cover(a *Answer, w span, covered time.Time) {
	if h.Stopped != nil {
		a.doubt(Unknown, "reading stopped after event %d: %v", h.Last.Seq, h.Stopped)
	}
	if h.First.Seq == 0 {
		a.doubt(Unknown, "the journal holds no event")
		return
	}
	if h.Stopped != nil {
		covered = time.Time{}
	}
	for _, d := range Outside(h.First, h.Last, w.since, w.until, covered) {
		a.doubt(Unknown, "%s", d)
	}
	if doubt := h.Unsettled(w.since); doubt != "" {
		a.doubt(Uncertain, "%s", doubt)
	}
	if h.Origin.Parent != (journal.ID{}) {
		a.doubt(Certain, "the journal continues journal %s after its event %d: what was before is told there",
			h.Origin.Parent, h.Origin.ParentSeq)
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

// steps names the clock steps within the intervals of the answer.
func (h *History) steps(a *Answer) {
	for _, s := range h.Clocks.Steps() {
		for _, iv := range a.Intervals {
			if iv.Start.Seq <= s.Seq && s.Seq <= iv.LastSeq {
				a.doubt(Certain, "the clock was set by %s before event %d", s.By, s.Seq)
				break
			}
		}
	}
}

// span is a window of time; zero ends are open.
type span struct{ since, until time.Time }

// touches reports whether the part of the interval from a point on lies in the window
// at some time: surely if all clocks agree about it, possibly if one of them says so.
func (iv *Interval) touches(w span, from Point) (surely, possibly bool) {
	end := Point{Effective: farFuture, Time: farFuture}
	if iv.End != nil {
		end = iv.End.Point
	}
	slack := max(from.MaxError, end.MaxError)
	raw := w.meets(from.Time, end.Time, 0)
	surely = raw && w.meets(from.Effective, end.Effective, -slack)
	possibly = raw || w.meets(from.Effective, end.Effective, slack)
	return surely, possibly
}

// farFuture stands for the end of what has none.
var farFuture = time.Unix(1<<40, 0)

// meets reports whether [start, end) and the window share an instant, when each bound
// of the window is moved outwards by slack.
func (w span) meets(start, end time.Time, slack time.Duration) bool {
	if end.Before(start) {
		start, end = end, start // a clock was set back in between
	}
	if !w.until.IsZero() && start.After(w.until.Add(slack)) {
		return false
	}
	if w.since.IsZero() {
		return true
	}
	since := w.since.Add(-slack)
	return end.After(since) || slack >= 0 && end.Equal(since) && start.Equal(since)
}
