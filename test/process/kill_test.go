package process_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/trace"
)

// The storms of TestKill.
const (
	storms         = 12
	stormProcesses = 30
)

// storm starts the calls, lets them go at once, and kills a third of them somewhere on their way: at a time drawn
// from those that the calls of the storm before took.
func storm(t *testing.T, r *rand.Rand, calls []call, within time.Duration) []answer {
	t.Helper()
	processes, after := make([]*process, len(calls)), make([]time.Duration, len(calls))
	for i, c := range calls {
		if processes[i] = start(t, c); processes[i] == nil {
			t.FailNow()
		}
		after[i] = time.Duration(r.Int64N(int64(within)))
	}
	answers := make([]answer, len(calls))
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() {
			if i%3 == 0 {
				time.AfterFunc(after[i], func() { _ = p.cmd.Process.Kill() })
			}
			p.release()
			answers[i] = p.wait()
		})
	}
	group.Wait()
	return answers
}

// callTime is how long the calls of a storm took that ended by themselves, the median: a call takes a millisecond on
// one machine and forty on another. Where few were killed in time, kills come later here than they are meant to, and
// the next storm's are drawn from a shorter time than the last one's.
func callTime(answers []answer, within time.Duration) time.Duration {
	var took []time.Duration
	for _, a := range answers {
		if !a.killed() {
			took = append(took, a.returned-a.called)
		}
	}
	slices.Sort(took)
	next := took[len(took)/2]
	if killed := len(answers) - len(took); killed < len(answers)/9 {
		next = min(next, within/2)
	}
	return max(next, time.Millisecond/10)
}

// moreStorms reports whether there is to be another storm: until there were this many, and at least as many
// processes were killed in time. How many are is chance, so there may be four times as many storms.
func moreStorms(round, storms, killed int) bool {
	return round < storms || killed < storms && round < 4*storms
}

func TestKill(t *testing.T) {
	n := newNetwork(t)
	r := random(t)
	given := map[string]answer{} // acknowledged, and no DEL made since
	var all []string
	killed := 0
	within := time.Millisecond
	for round := 0; moreStorms(round, storms, killed); round++ {
		answers := storm(t, r, stormCalls(n, r, round, given), within)
		within = callTime(answers, within)
		for _, a := range answers {
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
	t.Logf("%d killed", killed)
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

// TestKillAtEachCall kills each call that changes something at each of its system calls on the store's
// files, and looks at what the next calls make of it. strace kills at the door, before the call has
// been made; that a process dies after one and before the next is the same to the disk as dying at
// the door of the next, and so is covered with it. For the same reason one in four of the calls that change nothing
// has to do, and of most scenes none.
func TestKillAtEachCall(t *testing.T) {
	trace.Need(t)
	random(t) // tells the seed if it fails
	if testing.Short() {
		t.Skip("a thousand processes under strace")
	}
	for _, sc := range scenes {
		if !sc.changes {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			s := sc.set(t)
			var goals []goal
			for i, l := range s.sites {
				if changesDisk[l.Name] || l.Name == "write" || s.everywhere() && !leftOut(i) {
					goals = append(goals, goal{site: l.site, errno: "KILL"})
				}
			}
			s.sweep(t, goals, func(l located, _ goal) fault {
				return fault{name: l.Name, when: fmt.Sprint(l.Ordinal), does: kill}
			}, s.died)
			t.Logf("%d places, %d kills", len(s.sites), len(goals))
		})
	}
}

// died judges what a killed call left.
func (s *stage) died(t *testing.T, f faulted) {
	t.Helper()
	if !f.answer.killed() {
		t.Errorf("%v: want it killed", f.answer)
	}
	h, between := leasesOf(t, s.n)
	s.wholeOrNot(t, f, between)
	if s.place(f) >= s.answer && !slices.Equal(between["victim"], s.after["victim"]) {
		t.Errorf("killed after its answer: victim holds %v, want %v", between["victim"], s.after["victim"])
	}
	s.aftermath(t, f.answer, f.ledger, h, between)
	if len(files(t, s.n, "snap/tmp.*")) == 0 { // the next snapshot's business
		noLitter(t, s.n)
	}
}
