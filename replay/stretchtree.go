package replay

import "math"

// stretchTree finds the stretches that a span may mean without looking at all of them: a node has the bounds of the stretches below it.
// The root is node 1, the nodes below node p are 2p and 2p+1, and the stretches are the leaves.
type stretchTree struct {
	leaves int
	lo, hi []int64
}

// newStretchTree returns nil of so few stretches that looking for those that are meant doesn't pay.
func newStretchTree(stretches []stretch) *stretchTree {
	const few = 8
	n := len(stretches)
	if n <= few {
		return nil
	}
	t := &stretchTree{leaves: 1}
	for t.leaves < n {
		t.leaves *= 2
	}
	t.lo, t.hi = make([]int64, 2*t.leaves), make([]int64, 2*t.leaves)
	for i := range t.leaves {
		t.lo[t.leaves+i], t.hi[t.leaves+i] = math.MaxInt64, math.MinInt64
	}
	for i := range stretches {
		lo, hi := boundsOf(stretches, i)
		if i == n-1 { // the last one lasts as long as the journal is known to tell all
			hi = math.MaxInt64
		}
		t.lo[t.leaves+i], t.hi[t.leaves+i] = lo, hi
	}
	for p := t.leaves - 1; p > 0; p-- {
		t.lo[p], t.hi[p] = min(t.lo[2*p], t.lo[2*p+1]), max(t.hi[2*p], t.hi[2*p+1])
	}
	return t
}

// boundsOf returns the first and the last instant that may mean a stretch or the time from its last event to the next stretch, by either
// clock and within their error.
func boundsOf(stretches []stretch, i int) (lo, hi int64) {
	first, last := momentIn(i, &stretches[i].first), momentIn(i, &stretches[i].last)
	lo, hi = first.lo, last.hi
	if i+1 < len(stretches) {
		next := momentIn(i+1, &stretches[i+1].first)
		lo, hi = min(lo, next.lo), max(hi, next.hi)
	}
	return lo, hi
}

// next returns the first stretch from i on that the span may mean, or a number that no stretch has. Without a tree that
// may be any.
func (t *stretchTree) next(i int, s *span) int {
	if t == nil || i >= t.leaves {
		return i
	}
	for p := i + t.leaves; ; p++ {
		for t.lo[p] <= s.to && s.from <= t.hi[p] {
			if p >= t.leaves {
				return p - t.leaves
			}
			p *= 2
		}
		for p&1 == 1 { // with its right half the whole is done
			p /= 2
		}
		if p == 0 {
			return t.leaves
		}
	}
}
