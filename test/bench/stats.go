package main

import (
	"math"
	"slices"
)

// summary is what is reported of samples.
type summary struct {
	n              int
	q1, median, q3 float64
	mean           float64
	lowest         float64
	highest        float64
}

// summarize returns the summary of values; all NaN but n if there are none.
func summarize(values []float64) summary {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	s := summary{n: len(sorted), q1: quantile(sorted, 0.25), median: quantile(sorted, 0.5), q3: quantile(sorted, 0.75), mean: math.NaN(),
		lowest: quantile(sorted, 0), highest: quantile(sorted, 1)}
	if s.n > 0 {
		sum := 0.0
		for _, v := range sorted {
			sum += v
		}
		s.mean = sum / float64(s.n)
	}
	return s
}

// quantile returns the value below which the share q of sorted lies, interpolated between neighbours as
// most programs do (R's type 7). NaN if there is none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// paired returns a/b for each round that both have a value of, in the order of rounds: what changes the
// machine's pace for a while changes both.
func paired(a, b map[int]float64) []float64 {
	var rounds []int
	for r := range a {
		if v, ok := b[r]; ok && v > 0 {
			rounds = append(rounds, r)
		}
	}
	slices.Sort(rounds)
	ratios := make([]float64, 0, len(rounds))
	for _, r := range rounds {
		ratios = append(ratios, a[r]/b[r])
	}
	return ratios
}
