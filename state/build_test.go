package state_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/state"
)

func TestSortOwners(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	tests := []struct {
		name  string
		print func() uint64
	}{
		{"even", rnd.Uint64},
		{"equal", func() uint64 { return 7 }},
		{"few", func() uint64 { return rnd.Uint64N(3) << 62 }},
		{"ends", func() uint64 { return []uint64{0, math.MaxUint64}[rnd.IntN(2)] }},
		{"low bits", func() uint64 { return rnd.Uint64N(100) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 7, 8, 9, 1000, 20_000} {
				got := make([][2]uint64, n)
				for i := range got {
					got[i] = [2]uint64{test.print(), rnd.Uint64N(50)}
				}
				want := slices.Clone(got)
				slices.SortFunc(want, func(x, y [2]uint64) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
				if state.SortOwners(got); !slices.Equal(got, want) {
					t.Errorf("%d entries: not in order", n)
				}
			}
		})
	}
}
