package replay

import (
	"math"
	"slices"
	"sort"
)

// moment is the time of an event as instants are compared with it: the stretch that it stands in, and the times between which
// it depends on the clock, or on its error, which comes first.
type moment struct {
	stretch int
	lo, hi  int64
}

// order says whether an event is before an instant that means positions of one stretch alone.
type order uint8

const (
	no order = iota
	unclear
	yes
)

// passed reports whether the event is before the instant.
func (m *moment) passed(stretch int, at int64) order {
	switch {
	case m.stretch < stretch, m.stretch == stretch && at >= m.hi:
		return yes
	case m.stretch > stretch, at < m.lo:
		return no
	}
	return unclear
}

// moment returns the moment of an event.
func (s *survey) moment(p *Point) moment {
	stretches := s.h.time.stretches
	i := sort.Search(len(stretches), func(i int) bool { return stretches[i].first.Seq > p.Seq }) - 1
	return momentIn(i, p)
}

func momentIn(stretch int, p *Point) moment {
	e, r := effective(p), recorded(p)
	return moment{stretch, min(r, e-int64(p.MaxError)), max(r, e+int64(p.MaxError))}
}

// latest returns the last of the moments that is before the instant, -1 if none is, and whether that is clear.
func latest(all []moment, stretch int, at int64) (i int, clear bool) {
	i = sort.Search(len(all), func(i int) bool { return all[i].passed(stretch, at) == no }) - 1
	return i, i < 0 || all[i].passed(stretch, at) == yes
}

// segment is a row of instants that mean positions of the same stretches.
type segment struct {
	from, to int64 // both included
	stretch  int
	single   bool  // of this one alone, whatever the clock
	core     int64 // from when on the stretch's first event is in the past for certain
}

// segments are all instants up to where a journal tells, in order.
type segments struct {
	all     []segment
	recent  int
	covered int64
	last    int64 // behind this no position is meant
}

// find returns the segment of an instant; one that is not single if there is none.
func (s *segments) find(at int64) segment {
	if len(s.all) == 0 {
		return segment{}
	}
	if seg := &s.all[s.recent]; seg.from <= at && at <= seg.to {
		return *seg
	}
	i := sort.Search(len(s.all), func(i int) bool { return s.all[i].to >= at })
	if i == len(s.all) || s.all[i].from > at {
		return segment{}
	}
	s.recent = i
	return s.all[i]
}

// segmentsOf cuts time at all instants where the stretches change that are meant.
func segmentsOf(t *timeline, covered int64, live bool) segments {
	type edge struct {
		at      int64
		stretch int
		enters  int // 1 or -1, from this instant on
	}
	s := segments{covered: covered, last: covered}
	var edges []edge
	cores := make([][2]int64, len(t.stretches))
	for i := range t.stretches {
		st := &t.stretches[i]
		first, last := momentIn(i, &st.first), momentIn(i, &st.last)
		lo, hi := first.lo, last.hi
		core := [2]int64{first.hi, last.lo - 1}
		if i+1 < len(t.stretches) {
			next := momentIn(i+1, &t.stretches[i+1].first)
			lo, hi = min(lo, next.lo), max(hi, next.hi)
		} else {
			hi = max(hi, covered)
			if core[1] = covered; !live {
				core[1] = min(covered, effective(&st.last))
			}
		}
		cores[i] = core
		s.last = max(s.last, hi)
		edges = append(edges, edge{lo, i, 1})
		if hi < math.MaxInt64 {
			edges = append(edges, edge{hi + 1, i, -1})
		}
		edges = append(edges, edge{core[0], i, 0}, edge{core[1] + 1, i, 0})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	count, sum := 0, 0
	for k := 0; k < len(edges); {
		at := edges[k].at
		for ; k < len(edges) && edges[k].at == at; k++ {
			count += edges[k].enters
			sum += edges[k].enters * edges[k].stretch
		}
		to := int64(math.MaxInt64)
		if k < len(edges) {
			to = edges[k].at - 1
		}
		seg := segment{from: at, to: to}
		if count == 1 && cores[sum][0] <= at && to <= cores[sum][1] {
			seg.single, seg.stretch, seg.core = true, sum, cores[sum][0]
		}
		s.all = append(s.all, seg)
	}
	return s
}
