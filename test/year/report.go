package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report writes what was measured.
func (y *year) report() error {
	var b strings.Builder
	last := y.sizes[y.options.days]
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("# A year, compacted daily\n")
	add("Written by `make year`; repeat it with that. A store of %d leases is given a day's events, %d of a year's %s, and `leasectl compact` is run,\n%d times. [How](../../test/year/doc.go).\n",
		y.leases, y.events/y.options.days, number(int64(y.events)), y.options.days)
	add("| | |\n| --- | --- |")
	add("| date | %s |", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	add("| archive, index and keyframes included | %s, %.1f bytes an event |", mib(last.archive), float64(last.archive)/float64(y.events))
	add("| files in the archive | %d |", last.files)
	add("| journal/ and snap/ after the last run | %s |", mib(last.journal+last.snap))
	a, low, high := median(y.times)
	l, lastLow, lastHigh := median(y.last)
	ratios := make([]int64, len(y.times))
	for i := range ratios {
		ratios[i] = int64(y.last[i]) * 1000 / int64(y.times[i])
	}
	r, _, _ := median(ratios)
	add("| ADD on the first day | %s (%s–%s) ms n %d |", ms(a), ms(low), ms(high), len(y.times))
	add("| ADD after the year | %s (%s–%s) ms n %d |", ms(l), ms(lastLow), ms(lastHigh), len(y.last))
	add("| ADD after the year / on the first day | %.2f; call by call %.2f |\n", float64(l)/float64(a), float64(r)/1000)
	add("What `leasectl compact` takes of a day, whole process, median and quartiles in brackets:\n")
	add("| days | wall ms | CPU ms | peak MiB, highest |\n| --- | --- | --- | --- |")
	n := min(30, len(y.days)/2)
	if n > 0 {
		y.row(&b, fmt.Sprintf("1 to %d", n), y.days[:n])
		y.row(&b, fmt.Sprintf("%d to %d", len(y.days)-n+1, len(y.days)), y.days[len(y.days)-n:])
	}
	y.row(&b, "all", y.days)
	add("\nWhat the store takes after some of the days:\n")
	add("| day | archive | files in it | journal/ and snap/ |\n| --- | --- | --- | --- |")
	for _, d := range slices.Sorted(maps.Keys(y.sizes)) {
		s := y.sizes[d]
		add("| %d | %s | %d | %s |", d, mib(s.archive), s.files, mib(s.journal+s.snap))
	}
	add("\nThe newest packed file is made anew with the day's events while it has fewer than 131,072 of them, so the days are not alike.")
	if err := os.MkdirAll(filepath.Dir(y.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(y.out, []byte(b.String()), 0o644)
}

// row is about some of the days.
func (y *year) row(b *strings.Builder, what string, days []day) {
	wall, cpu := make([]time.Duration, len(days)), make([]time.Duration, len(days))
	peak := int64(0)
	for i, d := range days {
		wall[i], cpu[i], peak = d.wall, d.cpu, max(peak, d.peak)
	}
	w, wl, wh := median(wall)
	c, cl, ch := median(cpu)
	fmt.Fprintf(b, "| %s | %s (%s–%s) | %s (%s–%s) | %.1f |\n", what, ms(w), ms(wl), ms(wh), ms(c), ms(cl), ms(ch), float64(peak)/(1<<20))
}

func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.2f", d.Seconds()*1e3)
	}
	return number(d.Milliseconds())
}

func mib(n int64) string { return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20)) }

// number is n with commas.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
