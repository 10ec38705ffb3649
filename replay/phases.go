package replay

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// phases returns what an address was from the first event on, in order of events, and how the span meets it.
func (h *History) phases(ip netip.Addr, s *span) []phase {
	b := phasing{h: h, ip: ip, s: s, at: h.First}
	if h.wiped && s.now { // the folder is gone, and all leases with it
		p := phase{from: h.Last}
		p.state, p.why = b.rangesAt(h.Last.Seq)
		b.add(p)
		return b.phases
	}
	b.changes = h.meant(s)
	for i := range h.Intervals {
		if iv := &h.Intervals[i]; iv.Lease.IP == ip {
			if !b.held(iv) {
				return b.phases
			}
		}
	}
	b.notHeld(nil, nil)
	return b.phases
}

// phasing makes phases.
type phasing struct {
	h      *History
	ip     netip.Addr
	s      *span
	at     Point // up to which there are phases
	phases []phase

	changes []inForce // of ranges, those that may matter to the span
}

func (b *phasing) add(p phase) {
	p.met = b.h.meetOf(p.lease, b.s, &p.from, p.to)
	b.phases = append(b.phases, p)
}

// held adds an interval and what is between the one before and it, and reports whether there is anything behind it.
func (b *phasing) held(iv *Interval) bool {
	h := b.h
	if iv.Start.Seq > b.at.Seq {
		b.notHeld(&iv.Start, iv)
	}
	switch {
	case iv.End != nil:
		b.shown(iv)
		b.at = iv.End.Point
	case iv.lost:
		b.shown(iv)
		b.at = *iv.behind()
		for _, g := range h.gaps {
			if g.after.seq == iv.LastSeq {
				b.at = g.to
			}
		}
		return iv.LastSeq < h.Last.Seq
	default:
		b.shown(iv)
		return false
	}
	return true
}

// shown adds an interval, but for where only events on both sides of it tell of the lease.
func (b *phasing) shown(iv *Interval) {
	to := iv.behind()
	cuts := slices.DeleteFunc(b.unsettled(), func(p Point) bool { return p.Seq <= iv.sure.Seq })
	for _, p := range rows(iv.Start, to, cuts) {
		if p.state, p.why = StateHeld, ""; p.from.Seq > iv.sure.Seq {
			p.why = b.unknownAt(p.from.Seq)
		}
		if p.why != "" {
			p.state = StateUnknown
		} else {
			p.lease = iv
		}
		b.add(p)
	}
}

// notHeld adds the positions up to an event, at which nobody is known to hold the address. next is the interval that
// begins there.
func (b *phasing) notHeld(to *Point, next *Interval) {
	cuts := b.unsettled()
	for i := range b.changes {
		cuts = append(cuts, b.changes[i].point)
	}
	for _, p := range rows(b.at, to, cuts) {
		if p.met = b.h.meetOf(nil, b.s, &p.from, p.to); !p.possible {
			b.phases = append(b.phases, p) // nobody asks what it was
			continue
		}
		p.state, p.why = b.stateAt(p.from.Seq)
		if next != nil && next.Lease.Import && next.parentSeq == "" && !next.fromGap && next.Lease.Claimed <= b.s.to {
			p.state, p.why = StateUnknown, claimText(next)
		}
		b.phases = append(b.phases, p)
	}
}

// unsettled returns the events at which it begins and ends that nothing tells what the address is.
func (b *phasing) unsettled() []Point {
	var cuts []Point
	for i := range b.h.gaps {
		if from, to, ok := b.h.unsettled(i, b.ip); ok {
			if cuts = append(cuts, from); to != nil {
				cuts = append(cuts, *to)
			}
		}
	}
	return cuts
}

// rows cuts the positions from one event up to another where other events are.
func rows(from Point, to *Point, cuts []Point) []phase {
	cuts = slices.DeleteFunc(cuts, func(p Point) bool { return p.Seq <= from.Seq || to != nil && p.Seq >= to.Seq })
	slices.SortFunc(cuts, func(x, y Point) int { return cmp.Compare(x.Seq, y.Seq) })
	cuts = slices.CompactFunc(cuts, func(x, y Point) bool { return x.Seq == y.Seq })
	all := []phase{{from: from, to: to}}
	for i := range cuts {
		all[len(all)-1].to = &cuts[i]
		all = append(all, phase{from: cuts[i], to: to})
	}
	return all
}

// unknownAt returns why it is not known what the address is at a position, "" if it is known.
func (b *phasing) unknownAt(seq journal.Seq) string {
	for i, g := range b.h.gaps {
		if from, to, ok := b.h.unsettled(i, b.ip); ok && from.Seq <= seq && (to == nil || seq < to.Seq) {
			return "whether anybody held it is not known: " + g.lostEvents() + ", " + g.bounds() + ", and no event behind tells"
		}
	}
	return ""
}

// stateAt returns what the address is at a position at which nobody is known to hold it.
func (b *phasing) stateAt(seq journal.Seq) (s State, why string) {
	if why = b.unknownAt(seq); why != "" {
		return StateUnknown, why
	}
	return b.rangesAt(seq)
}

// Why it is not known by the ranges in force what an address is that nobody holds.
const (
	noRanges    = "which addresses the network gives out is not recorded: no ADD before has recorded its ranges"
	notRecorded = "which addresses the network gave out is not recorded"
)

// rangesAt returns what the address is by the ranges in force, if nobody holds it.
func (b *phasing) rangesAt(seq journal.Seq) (s State, why string) {
	i := b.h.ranges.at(seq)
	if i < 0 {
		return StateUnknown, noRanges
	}
	if s = b.h.ranges.changes[i].state(b.ip); s == StateUnknown {
		why = notRecorded
	}
	return s, why
}
