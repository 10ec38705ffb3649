package replay

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestStretchTree: the tree finds the stretches that a look at all of them finds.
func TestStretchTree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	point := func(at int64) Point {
		return Point{Time: time.Unix(0, at+rnd.Int64N(9)), Effective: time.Unix(0, at), MaxError: time.Duration(rnd.IntN(9))}
	}
	for n := range 100 {
		var stretches []stretch
		at := int64(0)
		for range n {
			if at += rnd.Int64N(50); rnd.IntN(10) == 0 {
				at -= 200
			}
			stretches = append(stretches, stretch{first: point(at), last: point(at + 10)})
		}
		tree := newStretchTree(stretches)
		if tree == nil {
			continue
		}
		for range 100 {
			s := span{from: rnd.Int64N(max(at, 0)+400) - 200}
			s.to = s.from + rnd.Int64N(2)*rnd.Int64N(100)
			for i, next := 0, 0; i < n; i++ {
				lo, hi := boundsOf(stretches, i)
				if i < n-1 && (s.to < lo || s.from > hi) || i == n-1 && s.to < lo {
					continue
				}
				if next = tree.next(next, &s); next != i {
					t.Fatalf("%d stretches, from %d to %d: got %d, want %d", n, s.from, s.to, next, i)
				}
				next++
			}
		}
	}
}
