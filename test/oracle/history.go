package oracle

import (
	"math"
	"net/netip"
	"slices"
)

// Far stands for no bound of a question.
const Far = math.MaxInt64 / 4

// Stretch is a lease that is part of a history.
type Stretch struct {
	*Interval
	Certain bool
}

// History is what happened to an address in a window of time.
type History struct {
	Stretches []Stretch // oldest first
	Uncertain bool
	Unknown   bool
	// Either is set where it is uncertain only because no single position is in the window for sure, while a row of
	// positions of one lease is: then certain is as right.
	Either bool
}

// History returns the leases of an address from since to until, both included; -Far and Far are no bounds. Those
// between whose ends no time passed are listed and make nothing uncertain.
func (p *Past) History(ip netip.Addr, since, until int64) History {
	var h History
	col := p.column(ip)
	choices := col.window(since, until)
	named := p.named(col, since, until)
	sharp := false // uncertain whichever way it is looked at
	for _, l := range col.leases {
		s := Stretch{Interval: l, Certain: !l.Doubt}
		seen, recorded, position, row := false, false, false, false
		for _, c := range choices {
			if col.row[c.at].held != l {
				continue
			}
			seen = true
			recorded = recorded || c.recorded
			position = position || col.surely(c.at, c.at, since, until)
			row = row || col.surelyInRow(l, c.at, since, until)
			if c.candidate() && p.uncertain(col, l, c, until) {
				s.Certain = false
			}
		}
		sharp = sharp || seen && (!s.Certain || !(recorded && row))
		if seen && !(recorded && position) {
			s.Certain = false
		}
		if seen || slices.Contains(named, l) {
			h.Stretches = append(h.Stretches, s)
			h.Uncertain = h.Uncertain || !s.Certain
		}
	}
	for _, c := range choices {
		h.Unknown = h.Unknown || c.candidate() && !col.row[c.at].known
	}
	lost := p.unsettledParent(since, false)
	h.Uncertain = h.Uncertain || p.besideSpan(nobodys(), since, until)
	h.Unknown = h.Unknown || p.gap(nobodys(), since, until) || !p.bounded(since, until)
	h.Either = h.Uncertain && !sharp && !lost && !h.Unknown
	h.Uncertain = h.Uncertain || lost
	return h
}

// bounded reports whether the store tells of a window's ends. Without a first one it is the store's beginning, before which
// nothing may be lost.
func (p *Past) bounded(since, until int64) bool {
	if since == -Far && p.events[0].Seq != 1 {
		return false
	}
	return (since == -Far || !p.outside(since)) && (until == Far || !p.outside(until))
}

// surely reports whether the span meets the window from one place to another by the effective clock, however wrong that
// may be. Where no bound is given, there is none to be on the wrong side of, and where no event is behind, no end that may
// be wrong.
func (col *column) surely(first, last int, since, until int64) bool {
	begin, w := col.row[first].stamp, col.row[last].effective
	if w.backward() || (window{begin.effective, w.to, w.closed}).empty() {
		return false
	}
	if until != Far {
		until -= begin.bound
	}
	if since != -Far && !w.closed {
		since += col.row[last+1].stamp.bound
	}
	return until >= begin.effective && (since < w.to || w.closed && since == w.to)
}

// surelyInRow is surely for some row of places of a lease around one, in which the effective clock was not set back.
func (col *column) surelyInRow(l *Interval, at int, since, until int64) bool {
	for first := at; ; first-- {
		for last := at; ; last++ {
			if col.surely(first, last, since, until) {
				return true
			}
			if !col.on(last) || col.row[last+1].held != l {
				break
			}
		}
		if first == 0 || col.row[first-1].held != l || !col.on(first-1) {
			return false
		}
	}
}

// on reports whether the effective clock goes on from a place to the next one, and nothing is lost between them.
func (col *column) on(at int) bool {
	p := &col.row[at]
	return at+1 < len(col.row) && p.whole && !p.effective.backward()
}
