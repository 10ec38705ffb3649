package replay

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Table is the lease table as of a time.
type Table struct {
	Leases    []Holder // by address, then beginning
	Certainty Certainty
	Open      bool // leases may be missing, or be there that were not held
	Doubts    []string
}

// At answers what was held at a time. The history must have kept all leases that Asked is about. One that ReadPart has read tells one
// table: that takes its Intervals over.
func (h *History) At(q Asked) Table {
	var t Table
	s := h.span(q)
	t.Certainty, t.Doubts = h.outside(&s, !q.From.IsZero(), !q.To.IsZero(), netip.Addr{})
	if h.part {
		t.Leases = make([]Holder, 0, len(h.Intervals))
	}
	for i := range h.Intervals {
		if held, ok := h.heldAt(&h.Intervals[i], &s); ok {
			if held.Unsure {
				t.Certainty = max(t.Certainty, Uncertain)
			}
			t.Leases = append(t.Leases, held)
		}
	}
	if h.part {
		h.Intervals = nil
	}
	if len(t.Leases) == 0 {
		t.Leases = nil
	}
	slices.SortStableFunc(t.Leases, func(x, y Holder) int {
		return cmp.Or(x.Lease.IP.Compare(y.Lease.IP), cmp.Compare(x.Start.Seq, y.Start.Seq))
	})
	for i := range max(len(t.Leases)-1, 0) {
		if x, y := &t.Leases[i], &t.Leases[i+1]; x.Lease.IP == y.Lease.IP { // one of them at most held it
			x.Partly, x.Unsure, y.Partly, y.Unsure = true, true, true, true
			t.Certainty = max(t.Certainty, Uncertain)
		}
	}
	if h.wiped && s.now {
		t.Doubts = append(t.Doubts, "the network's data folder was deleted: no lease is held, though no event says so yet")
	}
	h.tableDoubts(&t, &s)
	for i := range t.Leases {
		t.Open = t.Open || t.Leases[i].Partly
	}
	h.stepsBefore(&t, &s)
	return t
}

// asOf leaves out of an interval what came later than the positions that the span means, but for a doubt that reaches back to
// them: a table is what was so at a time, and tells the same however much of the journal was read.
func (h *History) asOf(iv *Interval, s *span) {
	if iv.Doubtful != nil && !iv.Throughout() && !h.useDoubted(iv, s) {
		if iv.use > 0 {
			iv.Doubts = slices.Delete(slices.Clone(iv.Doubts), int(iv.use)-1, int(iv.use))
			iv.ends = max(0, iv.ends-1)
		}
		if iv.Doubtful, iv.use = nil, 0; iv.Certainty == Uncertain {
			iv.Certainty = Certain
		}
	}
	iv.Doubts, _ = h.Then(iv)
	iv.End, iv.LastSeq, iv.use, iv.ends = nil, iv.Start.Seq, 0, 0
}

// useDoubted reports whether the doubt about the interval's use, which has one that is not of all its time, reaches back to the span.
func (h *History) useDoubted(iv *Interval, s *span) bool {
	return h.meetOf(iv, s, iv.Doubtful, iv.behind()).possible
}

// Then returns what is said of one of the history's intervals where it is in a table: not what came later. The doubt at index use is
// said only in windows with Window.Use; there is none if use is negative.
func (h *History) Then(iv *Interval) (doubts []string, use int) {
	doubts, use = iv.Doubts, int(iv.use)-1
	if iv.ends > 0 {
		doubts = doubts[: iv.ends-1 : iv.ends-1]
	}
	d, end := iv.Doubtful, iv.End
	if d == nil || use < 0 || iv.Throughout() {
		return doubts, -1
	}
	if end != nil && end.boot != iv.Start.boot || end == nil && !h.wiped {
		doubts = slices.Clone(doubts)
		doubts[use] = useDoubt(d, "the node has booted since")
	}
	return doubts, use
}

// stepsBefore names the clock steps since the beginning of a lease of the table, up to the positions that the span means.
func (h *History) stepsBefore(t *Table, s *span) {
	oldest := journal.Seq(math.MaxUint64)
	for i := range t.Leases {
		oldest = min(oldest, t.Leases[i].Start.Seq)
	}
	for i, step := range h.Clocks.Steps() {
		if step.Seq < oldest {
			continue
		}
		if at := h.Clocks.point(h.Clocks.set[i]); h.time.meet(s, &at, nil).possible {
			t.Doubts = append(t.Doubts, step.Doubt())
		}
	}
}

// heldAt returns the interval as one of a table, and false if it is none of it.
func (h *History) heldAt(iv *Interval, s *span) (Holder, bool) {
	possible, partly, unsure := h.inTable(iv, s)
	if !possible {
		return Holder{}, false
	}
	if !h.part {
		own := *iv
		iv = &own
	}
	held := Holder{Interval: iv, Partly: partly, Unsure: unsure}
	h.asOf(iv, s)
	return held, true
}

// inTable reports whether the interval is one of a table, whether it is so at a part only of what the span may mean, and whether
// it is unsure, for that or because its use is.
func (h *History) inTable(iv *Interval, s *span) (possible, partly, unsure bool) {
	to := iv.behind()
	if h.wiped && s.now && to == nil {
		return false, false, false
	}
	m := h.meetOf(iv, s, &iv.Start, to)
	if len(h.gaps) > 0 { // it may not be known in all of its positions
		m = met{}
		b := phasing{h: h, ip: iv.Lease.IP, s: s}
		b.shown(iv)
		for _, g := range h.gaps {
			partly = partly || g.pruned != nil && g.beside(s) || g.pruned == nil && h.besideLost(g, s, b.phases)
		}
		for i := range b.phases {
			p := &b.phases[i]
			if p.lease == nil {
				partly = partly || p.possible
				continue
			}
			m.candidate, m.possible = m.candidate || p.candidate, m.possible || p.possible
			unsure = unsure || p.candidate && h.unsure(iv, p.to, s)
		}
	} else if m.candidate {
		unsure = h.unsure(iv, to, s)
	}
	if !m.possible {
		return false, false, false
	}
	partly = partly || h.time.meet(s, &h.First, &iv.Start).possible || to != nil && h.time.meet(s, to, nil).possible
	return true, partly, partly || !m.candidate || unsure
}

// tableDoubts says why the table may not be the whole truth.
func (h *History) tableDoubts(t *Table, s *span) {
	doubt := func(c Certainty, format string, args ...any) {
		t.Certainty, t.Open = max(t.Certainty, c), true
		t.Doubts = append(t.Doubts, fmt.Sprintf(format, args...))
	}
	for i, g := range h.gaps {
		if g.meets(s) {
			doubt(Unknown, "%s", g.toldOf(s))
		}
		to := h.settledAt(i)
		if m := h.time.meet(s, &g.to, to); g.resolved.seq != g.before.seq && m.possible && !(h.wiped && s.now) {
			c := Uncertain
			if m.candidate {
				c = Unknown
			}
			doubt(c, "leases that no event behind a gap has told of are not known: %s", g.lostEvents())
		}
	}
	if near := h.nearLost(s, nil); near != "" {
		doubt(Uncertain, "%s", near)
	}
	if h.First.Seq == 0 {
		return
	}
	if t.Certainty != Unknown && len(t.Leases) == 0 && !s.now && !h.time.meet(s, &h.First, nil).possible {
		doubt(Unknown, "%s", never)
	}
	if text := h.unsettledAt(s); text != "" {
		doubt(Uncertain, "%s", text)
	}
}

// Change is what became of an address between two tables.
type Change struct {
	IP     netip.Addr
	Before []Holder // in the first table
	After  []Holder // in the second one
}

// Difference is what changes one table into another. Each list is by address.
type Difference struct {
	Added   []Change // nobody held it before
	Removed []Change // nobody holds it after
	Moved   []Change // another attachment holds it
	Reused  []Change // the same attachment holds it, and had given it back in between
}

// Diff compares two tables of one store.
func Diff(a, b *Table) Difference {
	var d Difference
	before, after := a.Leases, b.Leases
	for len(before) > 0 || len(after) > 0 {
		ip := firstOf(before, after)
		c := Change{IP: ip}
		c.Before, before = leading(before, ip)
		c.After, after = leading(after, ip)
		switch {
		case len(c.Before) == 0:
			d.Added = append(d.Added, c)
		case len(c.After) == 0:
			d.Removed = append(d.Removed, c)
		case same(c.Before, c.After, func(x, y *Holder) bool { return x.Start.Seq == y.Start.Seq }):
		case same(c.Before, c.After, func(x, y *Holder) bool { return x.Lease.Attachment == y.Lease.Attachment }):
			d.Reused = append(d.Reused, c)
		default:
			d.Moved = append(d.Moved, c)
		}
	}
	return d
}

// firstOf returns the lower one of the addresses at the beginning of two lists.
func firstOf(a, b []Holder) netip.Addr {
	switch {
	case len(a) == 0:
		return b[0].Lease.IP
	case len(b) == 0 || a[0].Lease.IP.Less(b[0].Lease.IP):
		return a[0].Lease.IP
	}
	return b[0].Lease.IP
}

// leading splits off the leases of an address.
func leading(all []Holder, ip netip.Addr) (of, rest []Holder) {
	n := 0
	for n < len(all) && all[n].Lease.IP == ip {
		n++
	}
	return all[:n], all[n:]
}

func same(a, b []Holder, equal func(x, y *Holder) bool) bool {
	return slices.EqualFunc(a, b, func(x, y Holder) bool { return equal(&x, &y) })
}
