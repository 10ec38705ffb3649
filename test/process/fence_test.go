package process_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// broken are faults of a disk on which neither an append nor its undoing succeeds.
var broken = []struct {
	name   string
	faults []fault
}{
	{"cut refused", []fault{{"fsync", "1", "error=EIO"}, {"ftruncate", "1+", "error=EIO"}}},
	{"sync refused", []fault{{"fsync", "1+", "error=EIO"}}},
}

// fences are what a call that can't undo its append leaves for others to see: the marker says "failed",
// and a note stands in /run. Each alone has to do.
var fences = []struct {
	name  string
	more  []fault // beside those of the disk
	lift  func(n network, id string) error
	state byte
}{
	{"marker and note", nil, nil, markerFailed},
	{"marker alone", nil, func(_ network, id string) error { return os.Remove(filepath.Join("/run/leaselog", id)) }, markerFailed},
	{"note alone", []fault{{"pwrite64", "2+", "error=EIO"}}, nil, markerWriting},
}

// TestFence has an append fail, and its undoing too. Nothing may be built on such a store, and what
// was acknowledged before can still be asked for; when the disk works again, the next call mends it.
func TestFence(t *testing.T) {
	trace.Need(t)
	for _, b := range broken {
		for _, fence := range fences {
			t.Run(b.name+", "+fence.name, func(t *testing.T) {
				t.Parallel()
				n := newNetwork(t)
				first := must(t, n.add("witness"))
				id := readHistory(t, n).id
				l := newLedger(t, filepath.Dir(n.dataDir))
				t.Cleanup(func() { _ = os.Remove(noteOf(id)) }) // if it fails
				a, calls := watched(t, n.add("victim"), slices.Concat(b.faults, fence.more)...)
				l.process(calls)
				if a.code != codeStorage || !strings.Contains(a.msg, "fenced") || !strings.Contains(a.msg, "input/output error") {
					t.Errorf("%v: want code %d, the fence and the cause", a, codeStorage)
				}
				if got := markerState(t, n); got != fence.state {
					t.Errorf("marker in state %d, want %d", got, fence.state)
				}
				if fence.lift != nil {
					if err := fence.lift(n, id.String()); err != nil {
						t.Fatal(err)
					}
				}
				closed(t, n, l, b.faults[len(b.faults)-1])
				healed(t, n, l, first)
				atRest(t, n, id)
			})
		}
	}
}

// closed fails the test unless a fenced store is one while its disk still refuses.
func closed(t *testing.T, n network, l *ledger, refusal fault) {
	t.Helper()
	refusal.when = "1+"
	for _, c := range []call{n.add("other"), n.del("witness")} {
		a, calls := watched(t, c, refusal)
		l.process(calls)
		if a.code != codeStorage || !strings.Contains(a.msg, "fenced") {
			t.Errorf("%v: want code %d and the fence", a, codeStorage)
		}
	}
	if a := refused(t, n.status(), codeUnavailable); !strings.Contains(a.msg, "fenced") {
		t.Errorf("%v: want the fence", a)
	}
	must(t, n.check("witness"))
	refused(t, n.check("victim"), codeNoLease)
}

// healed fails the test unless the store works again, and holds what was acknowledged.
func healed(t *testing.T, n network, l *ledger, first answer) {
	t.Helper()
	for _, c := range []call{n.del("victim"), n.add("after")} {
		a, calls := watched(t, c)
		if owed := l.process(calls); !a.ok() || len(owed) > 0 {
			t.Errorf("want success, and nothing that the disk lacks: %q: %v", owed, a)
		}
	}
	must(t, n.status())
	h := readHistory(t, n)
	if len(h.leases) != 2 || !slices.Equal(h.leases["witness"], first.ips) {
		t.Errorf("got leases %v, want those of witness, %v, and after", h.leases, first.ips)
	}
}

// TestUndo has a sync fail: the append is cut off and that is synced, before the answer is given. The
// sync that failed is not tried again, since it would succeed without the disk having anything.
func TestUndo(t *testing.T) {
	trace.Need(t)
	for _, does := range []string{"error=EIO", "error=ENOSPC"} {
		t.Run(does, func(t *testing.T) {
			n := newNetwork(t)
			must(t, n.add("witness"))
			segment := files(t, n, "journal/*")[0]
			before := tree(t, filepath.Dir(segment))
			a, calls := watched(t, n.add("victim"), fault{"fsync", "1", does})
			if a.code != codeStorage {
				t.Errorf("%v: want code %d", a, codeStorage)
			}
			calls = calls[:answered(calls)]
			var after []string // the failed sync
			for _, c := range calls {
				if c.Path == segment && (c.Injected || len(after) > 0) && !slices.Contains([]string{"fstat", "close"}, c.Name) {
					after = append(after, c.Name)
				}
			}
			if want := []string{"fsync", "ftruncate", "fallocate", "fsync"}; !slices.Equal(after, want) {
				t.Errorf("after the append: got %q, want %q", after, want)
			}
			untouched(t, filepath.Dir(segment), before)
			atRest(t, n, readHistory(t, n).id)
		})
	}
}

// TestDiedBeforeUndo has a sync fail and its process die before it cut the append off. The bytes are in
// the page cache and look whole; the next sync would say nothing of them.
func TestDiedBeforeUndo(t *testing.T) {
	trace.Need(t)
	die := []fault{{"fsync", "1", "error=EIO"}, {"ftruncate", "1", kill}}
	for _, test := range []struct {
		name   string
		faults []fault // of the next call
		held   bool    // the dead process's lease stands afterwards
	}{
		{"then written once more", nil, true},
		{"then refused once more", []fault{{"fsync", "1", "error=EIO"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			first := must(t, n.add("witness"))
			l := newLedger(t, filepath.Dir(n.dataDir))
			a, calls := watched(t, n.add("victim"), die...)
			l.process(calls)
			if !a.killed() || len(l.owed()) == 0 {
				t.Fatalf("%v: want it killed, and its bytes lost to the disk", a)
			}
			refused(t, n.check("victim"), codeNoLease)
			next, calls := watched(t, n.add("next"), test.faults...)
			if owed := l.process(calls); len(owed) > 0 || next.ok() != test.held {
				t.Errorf("want success %t, and nothing that the disk lacks: %q: %v", test.held, owed, next)
			}
			if held := len(readHistory(t, n).leases["victim"]) > 0; held != test.held {
				t.Errorf("victim holds an address: %t, want %t", held, test.held)
			}
			must(t, n.del("next"))
			healed(t, n, l, first)
		})
	}
}
