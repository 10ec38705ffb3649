package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// askJSON runs a command and decodes its answer; an answer of what can't be read is one, too.
func askJSON(t *testing.T, answer any, args ...string) {
	t.Helper()
	out, words, code := leasectl(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		t.Fatalf("%q: exit code %d, %v: %s", args, code, err, words)
	}
}

// TestMapAgainstWho: the map has as held what at has, as certain as that, and says of all other addresses what who says.
func TestMapAgainstWho(t *testing.T) {
	const events = "2 config subnet=10.0.0.0/29\n10 add id=c1 ip=10.0.0.2/29 config=2\n20 del id=c1 ip=10.0.0.2/29 reason=del\n" +
		"30 add id=c2 ip=10.0.0.2/29 config=2\n32 config set=10.0.0.0/29,10.0.0.2,10.0.0.4,10.0.0.1\n35 add id=c3 ip=10.0.0.3/29 config=6\n" +
		"40 del id=c2 ip=10.0.0.2/29 reason=gc\n50 import id=c4 ip=10.0.0.4/29 claimed=then source=/x\n70 refuse boot=2 id=c9 code=100\n"
	stores := []struct {
		name string
		make func(dir string) error
	}{
		{"ordinary", func(dir string) error { return madeOf(oldStore, dir, events) }},
		{"no import", func(dir string) error {
			return madeOf(oldStore, dir, strings.Replace(events, "50 import id=c4 ip=10.0.0.4/29 claimed=then source=/x\n", "", 1))
		}},
		{"damaged", func(dir string) error {
			return errors.Join(madeOf(oldStore, dir, events), flipBit(filepath.Join(dir, historyName, "cbr0", firstSegment), "c2"))
		}},
		{"damaged behind a snapshot", func(dir string) error {
			store := filepath.Join(dir, historyName, "cbr0")
			return errors.Join(madeOf(oldStore, dir, events), snapshotStore(store, 7), flipBit(filepath.Join(store, firstSegment), "c2"))
		}},
		{"in use", func(dir string) error {
			return madeOf(liveStore, dir, "0 config subnet=10.0.0.0/29\n0 add id=c1 ip=10.0.0.2/29 config=2\n")
		}},
		{"wiped", func(dir string) error {
			return errors.Join(madeOf(liveStore, dir, "0 config subnet=10.0.0.0/29\n0 add id=c1 ip=10.0.0.2/29 config=2\n"), os.RemoveAll(filepath.Join(dir, "cbr0")))
		}},
		{"nothing but META", func(dir string) error {
			return errors.Join(madeOf(oldStore, dir, events), os.RemoveAll(filepath.Join(dir, historyName, "cbr0", "journal")))
		}},
	}
	states := map[string]int{}
	for _, tt := range stores {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			instants := []string{"now"}
			for _, ms := range []int{-1000, 5000, 15000, 20000, 25000, 34000, 37000, 45000, 60000, 70001} {
				instants = append(instants, epoch.Add(time.Duration(ms)*time.Millisecond).Format(time.RFC3339Nano))
			}
			for _, at := range instants {
				compareMap(t, states, dir, at)
			}
		})
	}
	for _, want := range []string{"held certain", "held uncertain", "free certain", "gateway certain", "not ours certain", "unknown unknown"} {
		if states[want] == 0 {
			t.Errorf("nothing was %s: %v", want, states)
		}
	}
}

func compareMap(t *testing.T, states map[string]int, dir, at string) {
	t.Helper()
	var picture struct {
		Rows []struct{ First, Last, State, Certainty string }
	}
	var table struct {
		Leases []struct{ IP, Certainty string }
	}
	askJSON(t, &picture, "map", "--data-dir", dir, "--at", at, "--cidr", "10.0.0.0/28")
	askJSON(t, &table, "at", at, "--data-dir", dir)
	held := map[string]string{}
	for _, l := range table.Leases {
		if held[l.IP] == "" || l.Certainty != "certain" {
			held[l.IP] = l.Certainty
		}
	}
	next := netip.MustParseAddr("10.0.0.0")
	for _, r := range picture.Rows {
		first, last := netip.MustParseAddr(r.First), netip.MustParseAddr(r.Last)
		if first != next {
			t.Errorf("at %s: a row begins at %s, want %s", at, first, next)
		}
		for ip := first; ip.Compare(last) <= 0; ip = ip.Next() {
			want := held[ip.String()]
			if want != "" {
				want = "held " + want
			} else if ip.Less(netip.MustParseAddr("10.0.0.9")) || ip == last {
				var who struct{ State, Certainty string }
				askJSON(t, &who, "who", ip.String(), "--data-dir", dir, "--at", at)
				want = who.State + " " + who.Certainty
			} else {
				continue
			}
			got := fmt.Sprint(r.State, " ", r.Certainty)
			if states[got]++; got != want {
				t.Errorf("%s at %s: %s, want %s", ip, at, got, want)
			}
		}
		next = last.Next()
	}
	if next != netip.MustParseAddr("10.0.0.16") {
		t.Errorf("at %s: rows end before %s", at, next)
	}
}

// TestPictureFits: no line is longer than the terminal is wide, at the narrowest either, and with --ascii there is nothing but ASCII,
// whatever names are.
func TestPictureFits(t *testing.T) {
	dir := t.TempDir()
	id := strings.Repeat("c0ffee15", 8)
	events := "2 config subnet=10.0.0.0/22\n10 add id=" + id + " ip=10.0.0.2/22 config=2 pod=büro/日本/u1\n20 del id=" + id + " ip=10.0.0.2/22 reason=gc\n"
	if err := madeOf(oldStore, dir, events); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"map"}, {"timeline", "10.0.0.2"}} {
		for width := narrowest; width <= 40; width++ {
			t.Setenv("COLUMNS", strconv.Itoa(width))
			out, _, _ := leasectl(append(args, "--ascii", "--data-dir", dir)...)
			for line := range strings.Lines(out) {
				if line = strings.TrimSuffix(line, "\n"); len(line) > width || strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
					t.Fatalf("%q, %d wide: %q is not ASCII or has %d signs", args, width, line, utf8.RuneCountInString(line))
				}
			}
			if strings.Count(out, "\n") < 5 {
				t.Fatalf("%q, %d wide: there is no picture: %s", args, width, out)
			}
		}
	}
}
