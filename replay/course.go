package replay

import (
	"math"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Course is a history cut into rows of instants at which nothing changes, for whoever draws it or moves through it. At every
// instant it says what History.At says of leases and History.Who of addresses that nobody holds. It is not safe for concurrent use.
type Course struct {
	Changes []InForce            // of the ranges that addresses are given from, in order of events
	Rows    []Row                // of all addresses that have none of their own; they begin at math.MinInt64
	Own     map[netip.Addr][]Row // of those that loss and imports make different from others
	Covered int64                // the last instant at which a lease without an end is in a table for certain
	OpenTo  int64                // from this instant on no lease without an end is in a table; math.MaxInt64 if there is no such instant

	h      *History
	asked  Asked
	single []segment // see segmentsOf
	edges  edges     // instants at which what is meant may change, ascending
	behind map[held][]Window
}

// InForce are the ranges that addresses are given from, from some ADD on.
type InForce struct {
	Known   bool // the ADD recorded them
	Partial bool // there may be others
	Ranges  []journal.Range
}

// Row is what addresses that nobody holds are from an instant on, until the next row begins.
type Row struct {
	From       int64    // nanoseconds since 1970, included
	General    bool     // in Course.Own: from here on Course.Rows has it, and the rest is not set
	Unknown    []string // why it is not known what they are; nil if it is
	Candidates []int    // of Course.Changes, those that are in force; -1 is before the first of them, when nothing is known
	Possible   []int    // likewise, others that are in force if a clock is off by its error
	Maybe      []string // why it may not be as the others say

	Certainty Certainty // of the lease table as a whole, as are the others; leases in it may make it worse
	Doubts    []string
	Steps     int // so many of the clock's steps, the first ones, may have been by then: At names those since the beginning of any lease of the table
	Open      bool
}

// Course cuts the history. Covered is the time up to which the journal is known to tell all, as in Asked. The history must have
// kept all leases.
func (h *History) Course(covered time.Time) *Course {
	c := &Course{h: h, asked: Asked{Covered: covered}, Own: make(map[netip.Addr][]Row)}
	s := h.span(c.asked)
	c.Covered, c.OpenTo = s.covered, math.MaxInt64
	c.single = segmentsOf(&h.time, s.covered, s.live).all
	c.single = slices.DeleteFunc(c.single, func(seg segment) bool { return !seg.single })
	for i := range h.ranges.changes {
		f := &h.ranges.changes[i]
		c.Changes = append(c.Changes, InForce{Known: f.known, Partial: f.part || f.lost, Ranges: f.list()})
	}
	e := h.edges(&s)
	for _, m := range h.Clocks.set {
		p := h.Clocks.point(m)
		e.point(&p)
	}
	c.edges = e.sorted()
	c.Rows = c.rows(netip.Addr{}, nil)
	for ip, ivs := range c.special() {
		c.Own[ip] = c.rows(ip, ivs)
	}
	for ip, ivs := range c.imported() {
		if _, ok := c.Own[ip]; !ok {
			c.Own[ip] = c.rowsBefore(ip, ivs)
		}
	}
	c.open(&s)
	return c
}

// special returns the addresses of which not the same is known as of all others, with their leases: behind a gap not all are settled
// by the same event.
func (c *Course) special() map[netip.Addr][]Interval {
	special := make(map[netip.Addr][]Interval)
	for _, o := range c.h.odds {
		special[o.ip] = nil
	}
	for i, g := range c.h.gaps {
		if _, _, ok := c.h.unsettled(i, netip.Addr{}); !ok {
			continue
		}
		for ip := range g.settled {
			special[ip] = nil
		}
	}
	for i := range c.h.Intervals {
		if iv := &c.h.Intervals[i]; c.lost(iv) || iv.sure.Seq != 0 || iv.tellsBefore() && len(c.h.gaps) > 0 {
			special[iv.Lease.IP] = nil
		}
	}
	delete(special, netip.Addr{})
	return c.leasesOf(special)
}

// lost reports whether the interval's end is lost. One that is not known only because reading stopped goes on to the last position, as one
// that is held does.
func (c *Course) lost(iv *Interval) bool {
	stretches := c.h.time.stretches
	return iv.lost && (len(c.h.gaps) > 0 || iv.lostTo.Seq != 0 || iv.LastSeq < stretches[len(stretches)-1].last.Seq)
}

// imported returns the addresses of leases whose import tells of the time before it.
func (c *Course) imported() map[netip.Addr][]Interval {
	imported := make(map[netip.Addr][]Interval)
	for i := range c.h.Intervals {
		if iv := &c.h.Intervals[i]; iv.tellsBefore() {
			imported[iv.Lease.IP] = nil
		}
	}
	return c.leasesOf(imported)
}

// tellsBefore reports whether the interval says something of the time before it.
func (iv *Interval) tellsBefore() bool { return iv.Lease.Import && iv.parentSeq == "" }

// leasesOf fills in the leases of addresses.
func (c *Course) leasesOf(addrs map[netip.Addr][]Interval) map[netip.Addr][]Interval {
	if len(addrs) == 0 {
		return nil
	}
	for i := range c.h.Intervals {
		ip := c.h.Intervals[i].Lease.IP
		if ivs, ok := addrs[ip]; ok {
			addrs[ip] = append(ivs, c.h.Intervals[i])
		}
	}
	return addrs
}

// rows returns the rows of an address with these leases, or with the zero address those of one that no event speaks of.
func (c *Course) rows(ip netip.Addr, leases []Interval) []Row {
	return c.rowsAt(ip, leases, c.edges.with(leases))
}

// rowsBefore returns the rows of an address up to where no import tells of the time before it.
func (c *Course) rowsBefore(ip netip.Addr, leases []Interval) []Row {
	behind := int64(math.MinInt64)
	for i := range leases {
		if iv := &leases[i]; iv.tellsBefore() {
			behind = max(behind, c.pastFrom(&iv.Start))
		}
	}
	edges := c.edges.before(behind).with(leases).before(behind)
	return append(c.rowsAt(ip, leases, edges), Row{From: behind, General: true})
}

// pastFrom returns an instant from which on no clock means a position before an event.
func (c *Course) pastFrom(p *Point) int64 {
	m := momentIn(0, p)
	at := m.hi
	for i := range c.h.time.stretches {
		st := &c.h.time.stretches[i]
		if st.first.Seq > p.Seq {
			break
		}
		if m = momentIn(i, &st.first); i > 0 {
			at = max(at, m.hi)
		}
		if st.last.Seq < p.Seq {
			m = momentIn(i, &st.last)
			at = max(at, m.hi)
		}
	}
	return at + 1
}

func (c *Course) rowsAt(ip netip.Addr, leases []Interval, edges edges) []Row {
	one := *c.h
	one.Intervals = leases
	var rows []Row
	for i := -1; i < len(edges); i++ {
		at, asked := int64(math.MinInt64), edges.earlier()
		if i >= 0 {
			at, asked = edges[i], edges[i]
		}
		r := c.row(&one, ip, asked)
		r.From = at
		if n := len(rows); n == 0 || !rows[n-1].same(&r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// row returns what an address is at an instant if nobody holds it.
func (c *Course) row(one *History, ip netip.Addr, at int64) Row {
	var r Row
	q := c.asked
	q.From = timeOf(at)
	q.To = q.From
	if !ip.IsValid() {
		t := one.At(q)
		r.Certainty, r.Doubts, r.Open = t.Certainty, t.Doubts, t.Open
	}
	s := one.span(q)
	if !ip.IsValid() {
		r.Steps = c.h.stepsBy(&s)
	}
	phases := one.phases(ip, &s)
	var a Holding
	one.besides(&a, ip, &s, phases, true, true)
	told := false
	for i := range phases {
		switch p := &phases[i]; {
		case !p.possible:
		case p.lease != nil: // then it is in the table
			told = true
		case p.state == StateUnknown && p.why != noRanges && p.why != notRecorded:
			a.notHeld(p)
		default:
			told = true
			r.take(c.h.ranges.at(p.from.Seq), p.candidate)
		}
	}
	if a.Certainty != Unknown {
		one.vacant(&a, &s, told)
	}
	switch a.Certainty {
	case Unknown:
		r.Unknown, r.Candidates, r.Possible = a.Doubts, nil, nil
	case Uncertain: // else they are notes, which are no doubt
		r.Maybe = a.Doubts
	}
	return r
}

// stepsBy returns how many clock steps may have been when the span was. What is behind one is behind those before it, too.
func (h *History) stepsBy(s *span) int {
	return sort.Search(len(h.Clocks.set), func(i int) bool {
		p := h.Clocks.point(h.Clocks.set[i])
		return !h.time.meet(s, &p, nil).possible
	})
}

// take takes in by which change of ranges it is told what the address is at some of the positions that are meant.
func (r *Row) take(change int, candidate bool) {
	list := &r.Possible
	if candidate {
		list = &r.Candidates
	}
	if !slices.Contains(*list, change) {
		*list = append(*list, change)
	}
}

func (r *Row) same(x *Row) bool {
	return r.General == x.General && slices.Equal(r.Unknown, x.Unknown) && slices.Equal(r.Candidates, x.Candidates) && slices.Equal(r.Possible, x.Possible) &&
		slices.Equal(r.Maybe, x.Maybe) && r.Certainty == x.Certainty && slices.Equal(r.Doubts, x.Doubts) && r.Steps == x.Steps && r.Open == x.Open
}

// open finds out up to when leases are in the table that nothing ends.
func (c *Course) open(s *span) {
	n := len(c.h.time.stretches)
	if n == 0 {
		return
	}
	last := &c.h.time.stretches[n-1].last
	c.OpenTo = max(recorded(last)+1, effective(last)+int64(last.MaxError), s.covered+1)
}
