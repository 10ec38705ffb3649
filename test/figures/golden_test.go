package figures_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row has the figures of one situation by name. One that is 0 need not be there.
type row map[string]int

// table is the figures of all situations.
type table map[string]row

// golden is a file of figures in testdata.
type golden struct {
	file    string
	columns []string // which figures, in the order of the file; others follow by name
	atMost  []string // those that may be less, and a share of slack more
	slack   float64
	extra   int // and this much more
	round   int // those are rounded up to a multiple of this when they are written, if it isn't 0
}

// change is a figure that is not what the file says.
type change struct {
	situation, figure string
	was, is           int
	why               string // of a whole row
}

// check compares the figures with the file, or writes it.
func (g golden) check(t *testing.T, got table) {
	t.Helper()
	path := filepath.Join("testdata", g.file)
	text, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want, err := g.parse(string(text))
	if err != nil && !*update {
		t.Fatalf("%s: %v", path, err)
	}
	changes := g.compare(want, got)
	if *update {
		if err := os.WriteFile(path, []byte(g.format(g.settled(want, got))), 0o644); err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			t.Logf("%s is written anew:\n%s", path, report(changes))
		}
		return
	}
	if len(changes) > 0 {
		t.Errorf("figures are not those in %s; if that is meant, go test ./test/figures -update\n%s", path, report(changes))
	}
}

// compare lists what differs, in the order of situations and figures.
func (g golden) compare(want, got table) []change {
	var changes []change
	for _, situation := range keys(want, got) {
		was, is := want[situation], got[situation]
		switch {
		case was == nil:
			changes = append(changes, change{situation: situation, why: "is new"})
		case is == nil:
			changes = append(changes, change{situation: situation, why: "is gone"})
		default:
			for _, figure := range g.figures(was, is) {
				if !g.holds(figure, was[figure], is[figure]) {
					changes = append(changes, change{situation: situation, figure: figure, was: was[figure], is: is[figure]})
				}
			}
		}
	}
	return changes
}

// holds reports whether a figure is as it was, or no more than it may be.
func (g golden) holds(figure string, was, is int) bool {
	if slices.Contains(g.atMost, figure) {
		return float64(is-g.extra) <= float64(was)*(1+g.slack)
	}
	return is == was
}

// settled is what to write: the new figures, but a limit that still holds and isn't far off stays
// as it is, so that a diff shows what changed and not how the wind blew.
func (g golden) settled(want, got table) table {
	const near = 0.05
	out := table{}
	for situation, r := range got {
		out[situation] = row{}
		for figure, is := range r {
			was, limit := want[situation][figure], slices.Contains(g.atMost, figure)
			if limit && g.round > 0 {
				is = (is + g.round - 1) / g.round * g.round
			}
			if limit && g.holds(figure, was, is) && float64(is) > float64(was)*(1-near) {
				is = was
			}
			out[situation][figure] = is
		}
	}
	return out
}

// keys returns the keys of both maps, sorted.
func keys[V any](a, b map[string]V) []string {
	var all []string
	for _, m := range []map[string]V{a, b} {
		for key := range m {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// figures returns the names of both rows' figures: columns first.
func (g golden) figures(a, b row) []string {
	return slices.Concat(g.columns, slices.DeleteFunc(keys(a, b), func(f string) bool { return slices.Contains(g.columns, f) }))
}

// format writes a line for each situation: columns, and after a bar the other figures by name.
func (g golden) format(figures table) string {
	const situation = "situation"
	width := len(situation)
	for name := range figures {
		width = max(width, len(name))
	}
	widths := make([]int, len(g.columns))
	for i, column := range g.columns {
		widths[i] = len(column)
		for _, r := range figures {
			widths[i] = max(widths[i], len(strconv.Itoa(r[column])))
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%-*s", width, situation)
	for i, column := range g.columns {
		fmt.Fprintf(&out, "  %*s", widths[i], column)
	}
	for _, name := range keys(figures, nil) {
		fmt.Fprintf(&out, "\n%-*s", width, name)
		for i, column := range g.columns {
			fmt.Fprintf(&out, "  %*d", widths[i], figures[name][column])
		}
		sep := "  |"
		for _, figure := range g.figures(figures[name], nil)[len(g.columns):] {
			fmt.Fprintf(&out, "%s %s=%d", sep, figure, figures[name][figure])
			sep = ""
		}
	}
	return out.String() + "\n"
}

// parse reads what format wrote.
func (g golden) parse(text string) (table, error) {
	figures := table{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines[1:] {
		numbers, named, _ := strings.Cut(line, "|")
		words := strings.Fields(numbers)
		if len(words) != 1+len(g.columns) {
			return nil, fmt.Errorf("line %d: %d columns, want %d", i+2, len(words), 1+len(g.columns))
		}
		r := row{}
		for i, column := range g.columns {
			named += " " + column + "=" + words[1+i]
		}
		for _, pair := range strings.Fields(named) {
			figure, number, _ := strings.Cut(pair, "=")
			n, err := strconv.Atoi(number)
			if err != nil {
				return nil, fmt.Errorf("line %d: %s: %w", i+2, figure, err)
			}
			r[figure] = n
		}
		if figures[words[0]] != nil {
			return nil, fmt.Errorf("line %d: %s twice", i+2, words[0])
		}
		figures[words[0]] = r
	}
	return figures, nil
}

// report is a table of changes.
func report(changes []change) string {
	width := 0
	for _, c := range changes {
		width = max(width, len(c.situation))
	}
	var out strings.Builder
	for _, c := range changes {
		if c.why != "" {
			fmt.Fprintf(&out, "%-*s  %s\n", width, c.situation, c.why)
			continue
		}
		fmt.Fprintf(&out, "%-*s  %-16s %8d -> %8d\n", width, c.situation, c.figure, c.was, c.is)
	}
	return out.String()
}
