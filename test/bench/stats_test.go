package main

import (
	"math"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, test := range []struct {
		name                   string
		values                 []float64
		lowest, q1, median, q3 float64
		highest, mean          float64
	}{
		{"one", []float64{7}, 7, 7, 7, 7, 7, 7},
		{"two", []float64{3, 1}, 1, 1.5, 2, 2.5, 3, 2},
		{"odd, out of order", []float64{50, 10, 40, 20, 30}, 10, 20, 30, 40, 50, 30},
		{"even", []float64{4, 1, 3, 2}, 1, 1.75, 2.5, 3.25, 4, 2.5},
		{"an outlier", []float64{1, 1, 1, 1, 96}, 1, 1, 1, 1, 96, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.values)
			got := summarize(test.values)
			want := summary{n: len(test.values), q1: test.q1, median: test.median, q3: test.q3, mean: test.mean, lowest: test.lowest, highest: test.highest}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !slices.Equal(test.values, before) {
				t.Errorf("the values are %v now, were %v", test.values, before)
			}
		})
	}
	if got := summarize(nil); got.n != 0 || !math.IsNaN(got.median) || !math.IsNaN(got.mean) {
		t.Errorf("nothing: got %+v, want NaN", got)
	}
}

func TestPaired(t *testing.T) {
	a := map[int]float64{0: 2, 1: 9, 2: 20, 4: 5}
	b := map[int]float64{0: 1, 1: 3, 3: 7, 4: 0, 2: 10}
	if got, want := paired(a, b), []float64{2, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: rounds that both have, in their order, none by zero", got, want)
	}
	var want []float64
	for round := range 50 {
		a[round], b[round] = float64(round), 1
		want = append(want, float64(round))
	}
	if got := paired(a, b); !slices.Equal(got, want) {
		t.Errorf("got %v, want the rounds in their order", got)
	}
	// What slows down whole rounds, both sides alike, is in the ratio of medians and not in the paired one.
	slow := map[int]float64{0: 3, 1: 30, 2: 300}
	base := map[int]float64{0: 2, 1: 20, 2: 200}
	if got := summarize(paired(slow, base)); got.q1 != 1.5 || got.q3 != 1.5 {
		t.Errorf("got %+v, want 1.5 throughout", got)
	}
}

func TestCompare(t *testing.T) {
	s := leasesScene(0, false)
	x, y := row{"disk", s, "ADD", leaselog}, row{"disk", s, "ADD", floor}
	b := &bench{}
	for round, v := range []float64{10, 30, 20} {
		b.add(sample{x, round, v})
		b.add(sample{y, round, 5})
		b.add(sample{row{"tmpfs", s, "ADD", floor}, round, 1}) // another row
	}
	if got := b.compare(x, y); got.medians != 4 || got.paired.median != 4 || got.paired.n != 3 || got.paired.q1 != 3 {
		t.Errorf("got %+v", got)
	}
	if value, words, ok := b.ratio(x, y)(); value != 4 || words != "4.00: 20.0 ms / 5.00 ms; round by round 4.00" || !ok {
		t.Errorf("got %v, %q, %v", value, words, ok)
	}
	if _, _, ok := b.ratio(x, row{"disk", s, "DEL", floor})(); ok {
		t.Error("a ratio to a row without samples")
	}
}

func TestByRound(t *testing.T) {
	r := row{"disk", leasesScene(0, false), "ADD", leaselog}
	all := samples{{r, 0, 1}, {r, 0, 3}, {r, 2, 8}}
	if got := all.byRound(r); len(got) != 2 || got[0] != 2 || got[2] != 8 {
		t.Errorf("got %v, want 2 and 8", got)
	}
}

func TestTakesPart(t *testing.T) {
	for _, test := range []struct{ k, n int }{{0, 40}, {1, 40}, {5, 40}, {12, 60}, {40, 40}, {5, 7}} {
		taken, last, gap := 0, -1, 0
		for r := range test.n {
			if takesPart(r, test.k, test.n) {
				taken++
				gap = max(gap, r-last)
				last = r
			}
		}
		gap = max(gap, test.n-last)
		if taken != test.k || test.k > 0 && gap > (test.n+test.k-1)/test.k {
			t.Errorf("%d of %d: got %d, %d rounds apart", test.k, test.n, taken, gap)
		}
	}
}

func TestFigure(t *testing.T) {
	for _, test := range []struct {
		value float64
		want  string
	}{{0.0051, "0.01"}, {2.346, "2.35"}, {9.996, "10.0"}, {45.67, "45.7"}, {99.96, "100"}, {1234567, "1,234,567"}, {math.NaN(), "–"}} {
		if got := figure(test.value); got != test.want {
			t.Errorf("%v: got %s, want %s", test.value, got, test.want)
		}
	}
}

func TestBenchmarkFigures(t *testing.T) {
	const text = `goos: linux
BenchmarkFold-2   	       3	 512345678 ns/op	       512.3 ns/event	      16 B/op
BenchmarkFold     	       3	 498000000 ns/op	       498 ns/event
BenchmarkFolder-2 	       3	 1 ns/op	       1 ns/event
PASS`
	if got, want := benchmarkFigures(text, "BenchmarkFold", "ns/event"), []float64{512.3, 498}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := benchmarkFigures(text, "BenchmarkFold", "MB/s"); len(got) > 0 {
		t.Errorf("got %v of a unit that isn't there", got)
	}
}
