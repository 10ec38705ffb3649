package replay

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Stretch is a time through which the same is to be said of an address.
type Stretch struct {
	From, To time.Time // To is not included
	Holding
	// Exact is the answer if clocks were exact. Within their error around an event, what was so before it and what is so behind it are
	// both possible: that makes the answer uncertain for a moment, which a picture of hours does not show.
	Exact struct {
		State     State
		Certainty Certainty
	}
}

// Stretches returns what an address was from one time to another, both included, as Who says at each instant: one stretch follows the
// other. The history must have kept all leases of the address. Covered is as in Asked.
func (h *History) Stretches(ip netip.Addr, from, to, covered time.Time) []Stretch {
	begin, end := from.UnixNano(), to.UnixNano()
	one := h.Of(ip)
	own := newNear(one)
	var all []Stretch
	instants := one.instants(begin, end, covered)
	for i, at := range instants {
		next := end + 1
		if i+1 < len(instants) {
			next = instants[i+1]
		}
		t := timeOf(at)
		q := Asked{From: t, To: t, Covered: covered}
		h := own.at(at)
		s := Stretch{From: t, To: timeOf(next), Holding: h.Who(ip, q)}
		s.others = nil
		if s.Exact.State, s.Exact.Certainty = s.State, s.Certainty; s.Certainty == Uncertain {
			sharp := h.span(q)
			sharp.sharp = true
			if exact := h.who(ip, q, sharp); exact.Certainty != Unknown { // at an instant that no clock showed, the error of one may tell
				s.Exact.State, s.Exact.Certainty = exact.State, exact.Certainty
			}
		}
		if n := len(all); n > 0 && all[n-1].same(&s) {
			all[n-1].To = s.To
			continue
		}
		all = append(all, s)
	}
	return all
}

func (s *Stretch) same(t *Stretch) bool {
	return s.State == t.State && s.Certainty == t.Certainty && s.Exact == t.Exact && slices.Equal(s.Doubts, t.Doubts) &&
		slices.EqualFunc(s.Holders, t.Holders, func(x, y Holder) bool {
			return x.Start.Seq == y.Start.Seq && x.Unsure == y.Unsure && x.Partly == y.Partly
		})
}

// instants returns the first instant and all others, ascending, up to the last, at which an answer about the only address of the history
// may be another than a nanosecond before.
func (h *History) instants(first, last int64, covered time.Time) []int64 {
	s := h.span(Asked{Covered: covered})
	e := h.edges(&s)
	for iv := range each(h.Intervals) {
		e.lease(iv)
	}
	e = slices.DeleteFunc(e, func(at int64) bool { return at < first || at > last })
	return append(e, first).sorted()
}

// near leaves out of a history what can't be of an instant: an address may have had very many leases.
type near struct {
	h    History
	all  []bounded // by beginning
	next int
	open []bounded
}

// bounded is an interval with the first and the last instant by any clock at which it may count.
type bounded struct {
	*Interval
	from, to int64
}

func newNear(h *History) *near {
	n := &near{h: *h}
	plain := h.time.forward() && len(h.Claimed()) == 0 // an import claims the time behind the lease before it
	for iv := range each(h.Intervals) {
		b := bounded{iv, math.MinInt64, math.MaxInt64}
		if plain && iv.sure.Seq == 0 && !iv.lost {
			b.from = min(effective(&iv.Start)-int64(iv.Start.MaxError), recorded(&iv.Start))
			if iv.End != nil {
				b.to = max(effective(&iv.End.Point)+int64(iv.End.MaxError), recorded(&iv.End.Point))
			}
		}
		n.all = append(n.all, b)
	}
	slices.SortStableFunc(n.all, func(x, y bounded) int { return cmp.Compare(x.from, y.from) })
	return n
}

// forward reports whether both clocks go forward from the first event to the last.
func (c *timeline) forward() bool {
	for i := range max(len(c.stretches)-1, 0) {
		x, y := &c.stretches[i].last, &c.stretches[i+1].first
		if recorded(x) > recorded(y) || effective(x) > effective(y) {
			return false
		}
	}
	return true
}

// at returns the history as an instant needs it. Instants are asked in order.
func (n *near) at(at int64) *History {
	for ; n.next < len(n.all) && n.all[n.next].from <= at; n.next++ {
		n.open = append(n.open, n.all[n.next])
	}
	n.open = slices.DeleteFunc(n.open, func(b bounded) bool { return b.to < at })
	slices.SortStableFunc(n.open, func(x, y bounded) int { return cmp.Compare(x.Start.Seq, y.Start.Seq) })
	n.h.Intervals = n.h.Intervals[:0:0]
	for _, b := range n.open {
		n.h.Intervals = append(n.h.Intervals, *b.Interval)
	}
	return &n.h
}
