package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
)

// row names what samples are of.
type row struct {
	fs      string
	scene   scene
	what    string // a verb, or what else was measured
	subject subject
}

// sample is one measured value of a row.
type sample struct {
	row
	round int
	value float64 // milliseconds for times; otherwise the unit that what says
}

// samples are all that a run has measured.
type samples []sample

// byRound returns a row's values by round. Rounds that have several count with their mean.
func (all samples) byRound(r row) map[int]float64 {
	sum, n := map[int]float64{}, map[int]int{}
	for _, s := range all {
		if s.row == r {
			sum[s.round] += s.value
			n[s.round]++
		}
	}
	for round := range sum {
		sum[round] /= float64(n[round])
	}
	return sum
}

// of returns a row's values in the order they were measured in.
func (all samples) of(r row) []float64 {
	var values []float64
	for _, s := range all {
		if s.row == r {
			values = append(values, s.value)
		}
	}
	return values
}

// write writes all samples as CSV, for whoever wants to look further.
func (all samples) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	_ = w.Write([]string{"fs", "scene", "stack", "leases", "what", "program", "round", "value"}) // Flush tells
	for _, s := range all {
		_ = w.Write([]string{s.fs, s.scene.name, s.scene.stack(), strconv.Itoa(s.scene.leases), s.what, string(s.subject),
			strconv.Itoa(s.round), strconv.FormatFloat(s.value, 'g', 6, 64)})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return f.Close()
}
