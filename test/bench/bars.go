package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// bar is a figure that has a limit.
type bar struct {
	figure  string
	limit   string // as it is written
	most    float64
	measure func() (value float64, words string, ok bool)
}

// bars lists them all. They count on the disk that the run worked on, where it is measured at all.
func (b *bench) bars(ctx context.Context) []bar {
	at := func(leases int, verb string, s subject) row { return row{"disk", leasesScene(leases, false), verb, s} }
	flat := func(name string, leases int, what string) row {
		s := leasesScene(leases, false)
		s.name = name
		return row{"disk", s, what, leaselog}
	}
	small, large := flatSizes[0], flatSizes[1]
	list := []bar{
		{"ADD at 250 leases / floor", "≤ 1.25", 1.25, b.ratio(at(250, "ADD", leaselog), at(250, "ADD", floor))},
		{"ADD at 250,000 leases / ADD at 0, short tail", "≤ 1.2", 1.2, b.ratio(flat("flat", large, "ADD"), flat("flat", small, "ADD"))},
		{"the same, mean over a whole snapshot cycle", "≤ 1.5", 1.5, b.ratio(flat("cycle", large, cycleWhat), flat("cycle", small, cycleWhat))},
		{"ADD at 250 / host-local at 250", "≤ 0.6", 0.6, b.ratio(at(250, "ADD", leaselog), at(250, "ADD", hostLocal))},
		{"ADD at 65,000 / host-local at 65,000", "≤ 1/200", 1.0 / 200, b.ratio(at(65_000, "ADD", leaselog), at(65_000, "ADD", hostLocal))},
		{"200 ADDs, 32 at a time, at 250 leases: wall time / host-local", "≤ 0.7", 0.7, b.ratio(at(250, callersWhat(32), leaselog), at(250, callersWhat(32), hostLocal))},
	}
	for _, verb := range []string{"STATUS", "CHECK"} {
		for _, n := range []int{250, large} {
			list = append(list, bar{fmt.Sprintf("%s at %s leases / floor without append and sync", verb, grouped(n)), "≤ 1.15", 1.15,
				b.ratio(at(n, verb, leaselog), at(n, verb, floor))})
		}
	}
	return append(list,
		bar{"peak memory of an ADD at 250,000 leases", "≤ 8 MiB", 8, func() (float64, string, bool) {
			s := summarize(b.samples.of(at(large, memoryWhat, leaselog)))
			return s.highest / 1024, fmt.Sprintf("%.1f MiB, the highest of %d", s.highest/1024, s.n), s.n > 0
		}},
		bar{"stripped plugin binary", "≤ 3.5 MB", 3.5, func() (float64, string, bool) {
			info, err := os.Stat(b.tools.leaselog)
			if err != nil {
				return 0, "", false
			}
			return float64(info.Size()) / 1e6, fmt.Sprintf("%.2f MB", float64(info.Size())/1e6), true
		}},
		bar{"cold fold of 1 million events (file to lease map, checksums verified) on one core", "≥ 1.5 million events/s", 1e9 / 1.5e6, func() (float64, string, bool) {
			s := summarize(b.microbenchmark(ctx, coldFold))
			return 1e9 / s.median, fmt.Sprintf("%.2f million events/s", s.median/1e6), s.n > 0
		}},
		bar{"snapshot of 250,000 leases built from the previous one", "≤ 150 ms", 150, func() (float64, string, bool) {
			s := summarize(b.microbenchmark(ctx, nextSnapshot))
			return s.median / 1e6, fmt.Sprintf("%.0f ms", s.median/1e6), s.n > 0
		}})
}

// ratio returns how to measure the ratio of two rows' medians.
func (b *bench) ratio(x, y row) func() (float64, string, bool) {
	return func() (float64, string, bool) {
		r := b.compare(x, y)
		if r.x.n == 0 || r.y.n == 0 {
			return 0, "", false
		}
		return r.medians, fmt.Sprintf("%s: %s ms / %s ms; round by round %s", share(r.medians), figure(r.x.median), figure(r.y.median), share(r.paired.median)), true
	}
}

// comparison is of two rows that were measured side by side.
type comparison struct {
	x, y    summary
	medians float64 // ratio of the medians
	paired  summary // ratios round by round
}

func (b *bench) compare(x, y row) comparison {
	c := comparison{x: summarize(b.samples.of(x)), y: summarize(b.samples.of(y))}
	c.medians = c.x.median / c.y.median
	c.paired = summarize(paired(b.samples.byRound(x), b.samples.byRound(y)))
	return c
}

// barTable writes the bars, each with what was measured.
func (b *bench) barTable(ctx context.Context, w *strings.Builder) {
	w.WriteString("| figure | bar | measured | |\n| --- | --- | --- | --- |\n")
	for _, bar := range b.bars(ctx) {
		value, words, ok := bar.measure()
		verdict := "met"
		switch {
		case !ok:
			words, verdict = "not measured in this run", ""
		case value > bar.most || math.IsNaN(value):
			verdict = "**not met**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", bar.figure, bar.limit, words, verdict)
	}
}

// microbenchmark is one of the benchmarks beside the packages.
type microbenchmark struct{ folder, name, unit string }

// The two bars that are of parts of the program.
var (
	coldFold     = microbenchmark{"./replay", "BenchmarkColdFold/read=map", "events/s"}
	nextSnapshot = microbenchmark{"./state", "BenchmarkWriteSnapshot", "ns/op"}
)

const microRuns = 5

// microbenchmark runs a benchmark on one core and returns its figures; none if it fails, which is noted.
func (b *bench) microbenchmark(ctx context.Context, m microbenchmark) []float64 {
	if b.options.partial {
		return nil
	}
	b.say("%s", m.name)
	pattern := "^" + strings.ReplaceAll(m.name, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-cpu", "1", "-count", strconv.Itoa(microRuns), m.folder)
	cmd.Dir = b.options.root
	out, err := cmd.CombinedOutput()
	values := benchmarkFigures(string(out), m.name, m.unit)
	if err != nil || len(values) == 0 {
		b.note("%s: %v: %s", m.name, err, strings.TrimSpace(string(out)))
		return nil
	}
	return values
}

// benchmarkFigures reads the figures in a unit from what go test -bench prints.
func benchmarkFigures(text, name, unit string) []float64 {
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(?:-\d+)?\s+\d+\s(.*)$`)
	var values []float64
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		fields := strings.Fields(m[1])
		for i := 0; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil && fields[i+1] == unit {
				values = append(values, v)
			}
		}
	}
	return values
}

// share writes a ratio, a small one as a fraction.
func share(v float64) string {
	if v < 0.02 {
		return fmt.Sprintf("1/%.0f", 1/v)
	}
	return figure(v)
}

// figure writes a value with three digits that count.
func figure(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v >= 99.95:
		return grouped(int(math.Round(v)))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}
