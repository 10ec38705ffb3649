package replay

import "slices"

// edges are instants at which an answer may be another than a nanosecond before: what answers compare the time with, and the nanosecond
// behind.
type edges []int64

// edges returns those that the journal brings, whatever its leases. They are not sorted.
func (h *History) edges(s *span) edges {
	var e edges
	for i := range h.time.stretches {
		e.point(&h.time.stretches[i].first)
		e.point(&h.time.stretches[i].last)
	}
	for i := range h.ranges.changes {
		e.point(&h.ranges.changes[i].point)
	}
	for i, g := range h.gaps {
		e.point(&g.from)
		e.point(&g.to)
		e.point(h.settledAt(i))
		for j := range g.times {
			e.point(&g.times[j].first)
			e.point(&g.times[j].last)
		}
		if g.pruned != nil {
			parts := g.pruned.Parts()
			for j := range parts {
				e.instant(parts[j].FirstWall)
				e.instant(parts[j].LastWall)
			}
		}
	}
	e.point(&h.settled)
	e.instant(s.covered)
	return e
}

// lease adds those that a lease brings.
func (e *edges) lease(iv *Interval) {
	e.point(&iv.Start)
	e.point(iv.behind())
	e.point(iv.Doubtful)
	e.point(&iv.sure)
	if iv.Lease.Import {
		e.instant(iv.Lease.Claimed)
	}
}

// point adds those at which it changes whether an event is in the past, if its time is known.
func (e *edges) point(p *Point) {
	if p == nil || p.Time.IsZero() {
		return
	}
	err := int64(p.MaxError)
	e.instant(recorded(p))
	e.instant(effective(p))
	e.instant(effective(p) - err)
	e.instant(effective(p) + err)
}

func (e *edges) instant(at int64) { *e = append(*e, at, at+1) }

// with returns sorted edges and those of leases.
func (e edges) with(leases []Interval) edges {
	if len(leases) == 0 {
		return e
	}
	e = slices.Clone(e)
	for i := range leases {
		e.lease(&leases[i])
	}
	return e.sorted()
}

// earlier is an instant before all sorted edges.
func (e edges) earlier() int64 {
	if len(e) == 0 {
		return 0
	}
	return e[0] - 1
}

// before returns those of sorted edges that are before an instant.
func (e edges) before(at int64) edges {
	end, _ := slices.BinarySearch(e, at)
	return e[:end]
}

func (e edges) sorted() edges {
	slices.Sort(e)
	return slices.Compact(e)
}
