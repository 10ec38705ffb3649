package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report writes BENCHMARKS.md and the plots.
func (b *bench) report(ctx context.Context) error {
	m, err := inspect(b.tools.leaselog, b.dir)
	if err != nil {
		return err
	}
	plots, err := b.plot(ctx)
	if err != nil {
		return err
	}
	var w strings.Builder
	b.heading(&w, m)
	w.WriteString("## The bars\n\nRatios are of medians in one run; times are of the file system that the machine has on its disk, where nothing else is said.\n\n")
	b.barTable(ctx, &w)
	for _, c := range plots {
		fmt.Fprintf(&w, "\n![%s](bench/%s.svg)\n", c.Title, c.Name)
	}
	method(&w)
	b.timeTables(&w, m)
	b.callerTable(&w)
	b.cycleTable(&w)
	b.costTables(&w)
	if len(b.notes) > 0 {
		w.WriteString("\n## Left out\n\n")
		for _, n := range b.notes {
			fmt.Fprintf(&w, "- %s\n", strings.TrimSpace(strings.ReplaceAll(n, "\n", " ")))
		}
	}
	path := filepath.Join(b.options.out, "BENCHMARKS.md")
	if err := os.WriteFile(path, []byte(w.String()), 0o644); err != nil {
		return err
	}
	b.say("wrote %s", path)
	return nil
}

func (b *bench) heading(w *strings.Builder, m machine) {
	o := b.options
	fmt.Fprintf(w, `# Benchmarks

Written by %s; repeat it with that. It needs Go and strace, and root for the file systems in images; two idle
cores, half an hour and 12 GB of disk. %s takes some minutes and writes to %s.
What is measured and how: [the program's comment](../test/bench/doc.go) and below. Every sample is in %s afterwards.
A year of a busy node, compacted daily: [bench/year.md](bench/year.md), by %s.

| | |
| --- | --- |
`, "`make bench`", "`make bench BENCH=-quick`", "`bin/bench`", "`bin/bench/samples.csv`", "`make year`")
	size := "unknown"
	if info, err := os.Stat(b.tools.leaselog); err == nil {
		size = grouped(int(info.Size())) + " bytes"
	}
	for _, line := range [][2]string{
		{"date", b.started.UTC().Format("2006-01-02 15:04 MST") + fmt.Sprintf(", took %.0f minutes", time.Since(b.started).Minutes())},
		{"leaselog", m.revision + ", " + size},
		{"host-local", "v1.9.1, built from its module by `make refs`"},
		{"processor", fmt.Sprintf("%s, %d cores", m.cpu, m.cores)},
		{"memory", m.memory},
		{"kernel", m.kernel},
		{"Go", m.golang},
		{"disk", m.disk},
		{"rounds", fmt.Sprintf("%d; of %d ADDs at once %d; of snapshot cycles %d; seed %d", o.rounds, callersCalls, o.batches, o.cycles, o.seed)},
	} {
		fmt.Fprintf(w, "| %s | %s |\n", line[0], line[1])
	}
	w.WriteString("\n")
}

func method(w *strings.Builder) {
	w.WriteString(`
## How to read the tables

A time is that of a whole process, from before its fork until it was reaped, as a runtime sees it: in milliseconds the median, and in brackets the
quartiles, of n calls. The programs take turns within a round, in an order that moves on; the first rounds are thrown away. "/ floor" and
"/ host-local" are ratios of medians; behind them the median and quartiles of the ratios round by round, which don't see
what slowed down a whole round. Where host-local has a smaller n, its calls take too long for more; where it has none, for any.

- **leaselog** is durable when it answers. **host-local** syncs nothing: what it answers may be gone after a crash.
- **floor** links and starts up all packages that leaselog does, reads environment and configuration by the CNI library, takes a lock, appends 200
  bytes, syncs once, and prints a result by the library. For CHECK and STATUS it neither appends nor syncs. **silent**: nor does it print a result, as these verbs don't.
- **bare** is the floor without any CNI: it reads nothing and prints bytes made before.
- Leases come from leasegen, and host-local has the same ones in its files. "Short tail": at most some 40 events since the newest snapshot. CHECK asks for
  an attachment from the middle of the leases. Each ADD is taken back by a DEL.
- Before each call the file system was made to write all that was pending: on ext4 a sync would otherwise write what host-local left, too.
- File systems but the disk's own are in images on it (loop devices), or in memory.
`)
}

// scenes returns the scenes that a verb was timed in on a file system, in the order they were measured in.
func (b *bench) scenes(fs, verb string, s subject) []scene {
	var found []scene
	for _, sample := range b.samples {
		if sample.fs == fs && sample.what == verb && sample.subject == s && !slices.Contains(found, sample.scene) {
			found = append(found, sample.scene)
		}
	}
	return found
}

// timeTables writes a table for each file system and verb.
func (b *bench) timeTables(w *strings.Builder, m machine) {
	for _, fs := range b.options.places {
		if len(b.scenes(fs, "ADD", leaselog)) == 0 {
			continue
		}
		name := fs
		if fs == "disk" {
			name = "disk, " + m.disk
		}
		fmt.Fprintf(w, "\n## Times: %s\n", name)
		for _, verb := range verbs {
			fmt.Fprintf(w, "\n### %s: %s\n\n", name, verb)
			b.timeTable(w, fs, verb)
		}
	}
}

// timeTable writes the rows of one verb.
func (b *bench) timeTable(w *strings.Builder, fs, verb string) {
	last := map[string]subject{"ADD": bare, "CHECK": silent, "STATUS": silent}[verb]
	head := []string{"leases", "stack", "leaselog", "host-local", "floor"}
	if last != "" {
		_, word, _ := strings.Cut(string(last), ", ")
		head = append(head, word)
	}
	head = append(head, "/ floor", "/ host-local")
	if last != "" {
		head = append(head, "/ "+head[5])
	}
	writeRow(w, head)
	writeRow(w, slices.Repeat([]string{"---"}, len(head)))
	for _, s := range b.scenes(fs, verb, leaselog) {
		at := func(who subject) row { return row{fs, s, verb, who} }
		if len(b.samples.of(at(floor))) == 0 {
			continue // measured for a bar alone
		}
		label := grouped(s.leases)
		if s.name != "leases" {
			label += ", " + s.name
		}
		cells := []string{label, s.stack()}
		subjects := []subject{leaselog, hostLocal, floor}
		if last != "" {
			subjects = append(subjects, last)
		}
		for _, who := range subjects {
			cells = append(cells, spread(summarize(b.samples.of(at(who)))))
		}
		for _, who := range append([]subject{floor, hostLocal}, subjects[3:]...) {
			cells = append(cells, b.compare(at(leaselog), at(who)).String())
		}
		writeRow(w, cells)
	}
}

// spread writes a median with quartiles and n.
func spread(s summary) string {
	if s.n == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s) n %d", figure(s.median), figure(s.q1), figure(s.q3), s.n)
}

func (c comparison) String() string {
	if c.paired.n == 0 {
		return "–"
	}
	return fmt.Sprintf("%s; %s (%s–%s)", share(c.medians), share(c.paired.median), share(c.paired.q1), share(c.paired.q3))
}

func writeRow(w *strings.Builder, cells []string) {
	w.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func (b *bench) callerTable(w *strings.Builder) {
	s := leasesScene(250, false)
	var rows [][]string
	for _, fs := range b.options.places {
		for _, n := range callerCounts {
			at := func(who subject) row { return row{fs, s, callersWhat(n), who} }
			if len(b.samples.of(at(leaselog))) == 0 {
				continue
			}
			cells := []string{fs, grouped(n)}
			for _, who := range []subject{leaselog, hostLocal, floor} {
				cells = append(cells, spread(summarize(b.samples.of(at(who)))))
			}
			for _, who := range []subject{floor, hostLocal} {
				cells = append(cells, b.compare(at(leaselog), at(who)).String())
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## Several callers at once\n\n%d ADDs at 250 leases, single stack: from the first fork until the last answer, in ms.\n\n", callersCalls)
	writeRow(w, []string{"file system", "callers", "leaselog", "host-local", "floor", "/ floor", "/ host-local"})
	writeRow(w, slices.Repeat([]string{"---"}, 7))
	for _, cells := range rows {
		writeRow(w, cells)
	}
}

func (b *bench) cycleTable(w *strings.Builder) {
	var rows [][]string
	for _, n := range flatSizes {
		s := leasesScene(n, false)
		s.name = "cycle"
		at := func(what string) []float64 { return b.samples.of(row{"disk", s, what, leaselog}) }
		if len(at(cycleWhat)) == 0 {
			continue
		}
		rows = append(rows, []string{grouped(n), figure(summarize(at(cycleLength)).median), spread(summarize(at(cycleWhat))),
			spread(summarize(at(cyclePoint))), spread(summarize(at(cycleLast)))})
	}
	if len(rows) == 0 {
		return
	}
	w.WriteString("\n## A whole snapshot cycle\n\nADDs from a fresh snapshot until one has taken the next, nobody running compact, the two sizes call by call in turns; ms.\n\n")
	writeRow(w, []string{"leases at its beginning", "calls in a cycle", "mean of a cycle", "each ADD", "the ADD that takes the snapshot"})
	writeRow(w, slices.Repeat([]string{"---"}, 5))
	for _, cells := range rows {
		writeRow(w, cells)
	}
}

// costTables writes what does not depend on the machine's speed.
func (b *bench) costTables(w *strings.Builder) {
	head := []string{"file system", "leases", "stack", "program", "peak memory, KiB", "to the device per ADD, bytes"}
	for _, verb := range verbs {
		head = append(head, verb+": calls, syncs, bytes")
	}
	var rows [][]string
	for _, fs := range b.options.places {
		for _, s := range b.scenes(fs, memoryWhat, leaselog) {
			for _, who := range []subject{leaselog, hostLocal, floor} {
				at := func(what string) summary { return summarize(b.samples.of(row{fs, s, what, who})) }
				if at(memoryWhat).n == 0 {
					continue
				}
				label := grouped(s.leases)
				if s.name != "leases" {
					label += ", " + s.name
				}
				cells := []string{fs, label, s.stack(), string(who), figure(at(memoryWhat).median), figure(at(deviceWhat).median)}
				for _, verb := range verbs {
					cells = append(cells, fmt.Sprintf("%s, %s, %s", count(at(callsWhat+" of "+verb)), count(at(syncsWhat+" of "+verb)), count(at(bytesWhat+" of "+verb))))
				}
				rows = append(rows, cells)
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	w.WriteString("\n## Memory, system calls, bytes\n\nPeak memory is the process's resident set with the pages of its binary. System calls are all that strace sees, of which " +
		"Go's runtime makes some 200 before main; bytes are those of writes to files. What reaches the device is measured where nobody else writes to it, and has " +
		"what the file system adds.\n\n")
	writeRow(w, head)
	writeRow(w, slices.Repeat([]string{"---"}, len(head)))
	for _, cells := range rows {
		writeRow(w, cells)
	}
}

// count writes a whole number.
func count(s summary) string {
	if s.n == 0 {
		return "–"
	}
	return grouped(int(s.median))
}

// plot has the charts drawn by a program of its own module: the drawing library is none of this module's dependencies.
func (b *bench) plot(ctx context.Context) ([]chart, error) {
	charts := b.charts()
	input, err := json.Marshal(charts)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(b.options.out, "bench"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(b.options.root, "test", "bench", "plot"), ".", dir)
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("draw: %w: %s", err, out)
	}
	return charts, nil
}
