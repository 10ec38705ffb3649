package figures_test

import (
	"reflect"
	"strings"
	"testing"
)

// sample has limits that may be passed by a tenth.
var sample = golden{file: "sample.txt", columns: []string{"calls", "bytes"}, atMost: []string{"bytes"}, slack: 0.1}

// TestCompare holds the comparison itself to what it promises: what is exact may not change either
// way, what is a limit may not be passed.
func TestCompare(t *testing.T) {
	want := table{"ADD": {"calls": 10, "bytes": 100, "openat": 3}}
	for _, tt := range []struct {
		name string
		got  table
		want []change
	}{
		{"the same", table{"ADD": {"calls": 10, "bytes": 100, "openat": 3}}, nil},
		{"more", table{"ADD": {"calls": 11, "bytes": 100, "openat": 3}}, []change{{"ADD", "calls", 10, 11, ""}}},
		{"less", table{"ADD": {"calls": 9, "bytes": 100, "openat": 3}}, []change{{"ADD", "calls", 10, 9, ""}}},
		{"one by name", table{"ADD": {"calls": 10, "bytes": 100, "openat": 2, "read": 1}},
			[]change{{"ADD", "openat", 3, 2, ""}, {"ADD", "read", 0, 1, ""}}},
		{"less than a limit", table{"ADD": {"calls": 10, "bytes": 1, "openat": 3}}, nil},
		{"a limit with its slack", table{"ADD": {"calls": 10, "bytes": 110, "openat": 3}}, nil},
		{"more than a limit", table{"ADD": {"calls": 10, "bytes": 111, "openat": 3}}, []change{{"ADD", "bytes", 100, 111, ""}}},
		{"another situation", table{"DEL": {"calls": 10}}, []change{{situation: "ADD", why: "is gone"}, {situation: "DEL", why: "is new"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := sample.compare(want, tt.got)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("compare = %v, want %v", got, tt.want)
			}
			if words := report(got); len(got) > 0 && (!strings.Contains(words, got[0].situation) || !strings.Contains(words, got[0].figure)) {
				t.Errorf("report = %q, want the situation and the figure", words)
			}
		})
	}
}

// TestExtra allows what does not depend on the figure.
func TestExtra(t *testing.T) {
	g := sample
	g.extra = 5
	for is, want := range map[int]bool{115: true, 116: false} {
		if got := g.holds("bytes", 100, is); got != want {
			t.Errorf("holds(100, %d) = %t, want %t", is, got, want)
		}
	}
	if g.holds("calls", 100, 101) {
		t.Error("a figure that is exact may change")
	}
}

// TestFormat reads what was written, which has a line for each situation.
func TestFormat(t *testing.T) {
	want := table{"ADD": {"calls": 10, "bytes": 100, "openat": 3, "read": 12}, "STATUS/single": {"calls": 7, "bytes": 12345}}
	text := sample.format(want)
	if got := strings.Count(text, "\n"); got != 3 {
		t.Errorf("%d lines, want 3:\n%s", got, text)
	}
	if got, err := sample.parse(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parse = %v, %v, want %v", got, err, want)
	}
	for _, broken := range []string{text + "ADD  1  2\n", text + "X  1\n", text + "X  1  y\n"} {
		if got, err := sample.parse(broken); err == nil {
			t.Errorf("parse of %q = %v, want an error", broken, got)
		}
	}
}

// TestSettled writes limits anew only when they were passed or have become too wide.
func TestSettled(t *testing.T) {
	rounded := sample
	rounded.slack, rounded.round = 0, 50
	for _, tt := range []struct {
		name      string
		g         golden
		was, is   int
		wantLimit int
	}{
		{"within", sample, 100, 105, 100},
		{"a little less", sample, 100, 97, 100},
		{"passed", sample, 100, 111, 111},
		{"much less", sample, 100, 90, 90},
		{"first", sample, 0, 90, 90},
		{"rounded and within", rounded, 1000, 998, 1000},
		{"rounded and passed", rounded, 1000, 1001, 1050},
		{"rounded and much less", rounded, 1000, 899, 900},
	} {
		got := tt.g.settled(table{"ADD": {"bytes": tt.was, "calls": 1}}, table{"ADD": {"bytes": tt.is, "calls": 2}})
		if want := (table{"ADD": {"bytes": tt.wantLimit, "calls": 2}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: settled = %v, want %v", tt.name, got, want)
		}
	}
}
