package process_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// The storms of TestKill.
const (
	storms         = 12
	stormProcesses = 30
)

// storm starts the calls at once and kills a third of them somewhere on their way.
func storm(t *testing.T, r *rand.Rand, calls []call) []answer {
	t.Helper()
	answers := make([]answer, len(calls))
	var group sync.WaitGroup
	for i, c := range calls {
		p := start(t, c)
		if p == nil {
			t.FailNow()
		}
		doomed, after := i%3 == 0, time.Duration(r.IntN(60_000))*time.Microsecond
		group.Go(func() {
			p.release()
			if doomed {
				time.AfterFunc(after, func() { _ = p.cmd.Process.Kill() })
			}
			answers[i] = p.wait()
		})
	}
	group.Wait()
	return answers
}

func TestKill(t *testing.T) {
	n := newNetwork(t)
	r := random(t)
	given := map[string]answer{} // acknowledged, and no DEL made since
	var all []string
	killed := 0
	for round := range storms {
		calls := stormCalls(n, r, round, given)
		for _, a := range storm(t, r, calls) {
			all = append(all, a.call.id)
			switch {
			case a.killed():
				killed++
			case !a.ok():
				t.Errorf("%v: want success", a)
			}
			if a.call.verb == "DEL" {
				delete(given, a.call.id)
			} else if a.ok() {
				given[a.call.id] = a
			}
		}
		stillGiven(t, n, given)
	}
	if killed < storms {
		t.Errorf("only %d processes were killed in time, so this test shows less than it means to", killed)
	}
	slices.Sort(all)
	for _, a := range inParallel(t, 8, dels(n, slices.Compact(all))) {
		if !a.ok() {
			t.Errorf("%v: want success", a)
		}
	}
	if h := readHistory(t, n); len(h.leases) != 0 {
		t.Errorf("got leases %v after a DEL of everything, want none", h.leases)
	}
}

// stormCalls returns ADDs of new containers and DELs of some that were given an address.
func stormCalls(n network, r *rand.Rand, round int, given map[string]answer) []call {
	var calls []call
	for id := range given {
		if len(calls) < stormProcesses/3 {
			calls = append(calls, n.del(id))
		}
	}
	for i := 0; len(calls) < stormProcesses; i++ {
		calls = append(calls, n.add(fmt.Sprintf("pod-%d-%d", round, i)))
	}
	r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	return calls
}

func dels(n network, ids []string) []call {
	calls := make([]call, len(ids))
	for i, id := range ids {
		calls[i] = n.del(id)
	}
	return calls
}

// stillGiven fails the test unless the journal is whole and holds what was acknowledged.
func stillGiven(t *testing.T, n network, given map[string]answer) {
	t.Helper()
	h := readHistory(t, n)
	for id, a := range given {
		if !slices.Equal(h.leases[id], a.ips) {
			t.Errorf("%s: was given %v, holds %v", id, a.ips, h.leases[id])
		}
	}
}

// changing are the system calls that TestKillAtEachCall kills a process at the door of: all that
// change a file or a name, and the locks, opens and syncs between them.
var changing = []string{"openat", "mkdirat", "write", "pwrite64", "fsync", "flock", "fallocate", "ftruncate",
	"fchmod", "fchmodat", "renameat", "renameat2", "unlinkat", "linkat", "close"}

// doom is a kind of call that is killed on its way, and what has to be there before.
type doom struct {
	name    string
	wipes   bool // each time the data folder is wiped once
	prepare func(t *testing.T, n *network, i int) call
}

var dooms = []doom{
	{"ADD that makes the network", false, func(t *testing.T, n *network, i int) call {
		n.name = fmt.Sprintf("pods%d", i)
		return n.add("doomed")
	}},
	{"ADD", false, func(t *testing.T, n *network, _ int) call { return n.add("doomed") }},
	{"DEL", false, func(t *testing.T, n *network, _ int) call {
		must(t, n.add("doomed"))
		return n.del("doomed")
	}},
	{"ADD after a wipe", true, func(t *testing.T, n *network, _ int) call {
		must(t, n.add("witness"))
		if _, err := removeTree(n.folder()); err != nil {
			t.Fatal(err)
		}
		return n.add("doomed")
	}},
	{"ADD that starts a segment", false, func(t *testing.T, n *network, _ int) call {
		c := n.add("doomed")
		c.netns = stuffSegment(t, *n)
		return c
	}},
}

// TestKillAtEachCall kills a call at its first, second, ... system call of each kind until it gets
// through, and each time looks at what the next calls make of it.
func TestKillAtEachCall(t *testing.T) {
	needStrace(t)
	if testing.Short() {
		t.Skip("some hundred processes under strace")
	}
	for _, test := range dooms {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			kills, calls := 0, 0
			for _, name := range changing {
				for i := 1; test.kill(t, &n, name, i, calls); i++ {
					kills++
					calls++
				}
				calls++
			}
			if kills < 10 {
				t.Errorf("killed %d times, so this test shows less than it means to", kills)
			}
			noLitter(t, n)
		})
	}
}

// kill makes the doomed call and has the i-th system call of this name kill it. It returns false
// if the call got through.
func (d doom) kill(t *testing.T, n *network, name string, i, number int) bool {
	t.Helper()
	c := d.prepare(t, n, number)
	c.under = []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + name,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, i)}
	victim := do(t, c)
	if !victim.ok() && !victim.killed() || i > 200 {
		t.Fatalf("killed at %s %d: %v", name, i, victim)
	}
	after := must(t, n.add("after"))
	h := readHistory(t, *n)
	if !slices.Equal(h.leases["after"], after.ips) || len(h.leases["witness"]) > 0 {
		t.Fatalf("killed at %s %d: got leases %v, want that of after, %v", name, i, h.leases, after.ips)
	}
	wipes := 0
	if d.wipes {
		wipes = number + 1
	}
	if got := h.count(journal.KindReset); got != wipes {
		t.Fatalf("killed at %s %d: got %d resets, want %d", name, i, got, wipes)
	}
	must(t, n.del("doomed"))
	must(t, n.del("after"))
	if h := readHistory(t, *n); len(h.leases) != 0 {
		t.Fatalf("killed at %s %d: got leases %v, want none", name, i, h.leases)
	}
	return victim.killed()
}
