package oracle

import (
	"time"

	"github.com/leaselog/leaselog/journal"
)

// unsyncedError is the bound on the error of a clock that no kernel vouches for.
const unsyncedError = int64(time.Second)

// stamp is when an event was, by either clock.
type stamp struct {
	effective, recorded int64
	bound               int64 // on the error of effective
}

// stampOf returns when a clock was read, as the events of its boot correct it.
func stampOf(events []journal.Event, c journal.Clock) stamp {
	if c.Boot != (journal.BootID{}) {
		for i := len(events) - 1; i >= 0; i-- {
			if last := &events[i]; last.Boot == c.Boot && last.Synchronised {
				return stamp{effective: c.BootTime + last.Wall - last.BootTime, recorded: c.Wall, bound: int64(last.MaxError)}
			}
		}
	}
	return stamp{effective: c.Wall, recorded: c.Wall, bound: unsyncedError}
}

// stamps returns the times of all events.
func stamps(events []journal.Event) []stamp {
	out := make([]stamp, len(events))
	for i := range events {
		out[i] = stampOf(events, events[i].Clock)
	}
	return out
}

// window is a stretch of time that belongs to a position.
type window struct {
	from, to int64
	closed   bool // to belongs to it
}

func (w window) empty() bool { return w.to < w.from || w.to == w.from && !w.closed }

// backward reports whether the clock was set back meanwhile.
func (w window) backward() bool { return w.to < w.from }

// atLeast returns the window, or its first instant if it is empty.
func (w window) atLeast() window {
	if w.empty() {
		return window{w.from, w.from, true}
	}
	return w
}

// meets reports whether an instant from lo to hi, both included, is in the window.
func (w window) meets(lo, hi int64) bool {
	if w.empty() || hi < w.from {
		return false
	}
	return lo < w.to || w.closed && lo == w.to
}

// overlap returns how much of the window lies from lo to hi.
func (w window) overlap(lo, hi int64) int64 {
	return max(0, min(hi, w.to)-max(lo, w.from))
}

// place is a position of the store as an address sees it: the state after an event.
type place struct {
	seq   journal.Seq
	event int // -1 if it is lost, and known by a snapshot to have given the address
	stamp stamp
	known bool      // whether somebody held the address
	held  *Interval // who did
	whole bool      // nothing that may be about the address is lost before the next place

	effective, recorded window
	possible            window // widened by the clocks' errors
}

// open sets the windows of places in a row. Covered is where the store's coverage ends.
func open(s *Store, row []place, covered int64) {
	for i := range row {
		p := &row[i]
		t := p.stamp
		switch {
		case i == len(row)-1 && s.Live:
			// Its own time is covered, whatever the clock shows now.
			p.effective = window{t.effective, max(covered, t.effective), true}
			p.recorded = window{t.recorded, max(covered, t.recorded), true}
		case i == len(row)-1 || !p.whole:
			p.effective = window{t.effective, t.effective, true}
			p.recorded = window{t.recorded, t.recorded, true}
		default:
			next := row[i+1].stamp
			p.effective = window{t.effective, next.effective, false}
			p.recorded = window{t.recorded, next.recorded, false}
			if row[i+1].seq != p.seq+1 {
				// The event itself was, whatever the clock behind the gap shows.
				p.effective, p.recorded = p.effective.atLeast(), p.recorded.atLeast()
			}
			p.possible = window{t.effective - t.bound, next.effective + next.bound, false}
			if !p.effective.closed || p.possible.to > p.effective.to {
				continue
			}
		}
		p.possible = window{t.effective - t.bound, p.effective.to, true} // nothing is there to widen the end by
	}
}
