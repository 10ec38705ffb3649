package process_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// The calls of TestConcurrent.
const concurrentCalls = 200

// mixedCalls returns ADDs, DELs and ADDs that request an address, of so many containers, several of
// the same one at the same time.
func mixedCalls(n network, r *rand.Rand, pods int) []call {
	var calls []call
	for i := range concurrentCalls {
		c := n.add(fmt.Sprintf("pod%d", r.IntN(pods)))
		switch p := r.IntN(100); {
		case p < 30:
			c.verb = "DEL"
		case p < 45:
			c.ip = fmt.Sprintf("10.1.2.%d", 1+r.IntN(30)) // the gateway included
		}
		c.netns = fmt.Sprintf("/netns/%d", i)
		calls = append(calls, c)
	}
	return calls
}

// filling returns an ADD for each of as many containers.
func filling(n network) []call {
	var calls []call
	for i := range concurrentCalls {
		c := n.add(fmt.Sprintf("pod%d", i))
		c.netns = fmt.Sprintf("/netns/%d", i)
		calls = append(calls, c)
	}
	return calls
}

func TestConcurrent(t *testing.T) {
	small := bounds{start: 1, end: 30, gateway: 1}
	wide := bounds{start: 1, end: 254, gateway: 1}
	for _, test := range []struct {
		name   string
		subnet string
		bounds bounds
		pods   int // 0: each call is of its own
		run    func(t *testing.T, calls []call) []answer
		codes  []int // refusals that have to occur
	}{
		{"mixed, 8 at a time", "10.1.2.0/27", small, 60, workers(8), []int{codeExhausted, codeDuplicate, codeNotAvailable}},
		{"mixed, 32 at a time", "10.1.2.0/27", small, 60, workers(32), []int{codeExhausted, codeDuplicate, codeNotAvailable}},
		{"mixed, room for all", "10.1.2.0/27", small, 12, workers(8), []int{codeDuplicate, codeNotAvailable}},
		{"ADDs, all at once", "10.1.2.0/24", wide, 0, atOnce, nil},
		{"ADDs beyond the range, all at once", "10.1.2.0/27", small, 0, atOnce, []int{codeExhausted}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			n.subnet = test.subnet
			calls := filling(n)
			if test.pods > 0 {
				calls = mixedCalls(n, random(t), test.pods)
			}
			answers := test.run(t, calls)
			h := readHistory(t, n)
			tr := newTrial(test.bounds, answers)
			tr.allowed(t, test.codes)
			tr.witnessed(t, h)
			tr.linearizable(t, h)
			noLitter(t, n)
		})
	}
}

// TestConcurrentTurnover has 100 pods go and 100 others come in the same moment.
func TestConcurrentTurnover(t *testing.T) {
	n := newNetwork(t)
	n.subnet = "10.1.2.0/24"
	calls := filling(n)
	half := len(calls) / 2
	first := inParallel(t, 16, calls[:half])
	second := calls[half:]
	for i := range half {
		c := n.del(first[i].call.id)
		c.netns = fmt.Sprintf("/netns/del-%d", i)
		second = append(second, c)
	}
	r := random(t)
	r.Shuffle(len(second), func(i, j int) { second[i], second[j] = second[j], second[i] })
	answers := append(first, atOnce(t, second)...)
	for _, a := range answers {
		if !a.ok() {
			t.Errorf("%v: want success", a)
		}
	}
	h := readHistory(t, n)
	tr := newTrial(bounds{start: 1, end: 254, gateway: 1}, answers)
	tr.witnessed(t, h)
	tr.linearizable(t, h)
	if got := len(h.leases); got != half {
		t.Errorf("got %d leases, want %d", got, half)
	}
}

// workers returns a way to make calls by so many processes at a time.
func workers(count int) func(*testing.T, []call) []answer {
	return func(t *testing.T, calls []call) []answer {
		t.Helper()
		return inParallel(t, count, calls)
	}
}

// allowed fails the test for answers that have no place here.
func (tr *trial) allowed(t *testing.T, codes []int) {
	t.Helper()
	seen := map[int]int{}
	for _, a := range tr.answers {
		seen[a.code]++
		switch {
		case a.code == 0 && a.ok():
		case a.call.verb == "ADD" && (a.code == codeExhausted || a.code == codeDuplicate || a.code == codeNotAvailable):
		default:
			t.Errorf("%v: not among the answers that are allowed here", a)
		}
	}
	for _, code := range codes {
		if seen[code] == 0 {
			t.Errorf("answers by code: %v: no %d, so this test shows less than it means to", seen, code)
		}
	}
}

// noLitter fails the test if calls that all ended left temporary files behind.
func noLitter(t *testing.T, n network) {
	t.Helper()
	for _, pattern := range []string{".leaselog/.new-*", n.name + "/leaselog.*", ".leaselog/*/snap/tmp.*"} {
		found, err := filepath.Glob(filepath.Join(n.dataDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("left behind: %q", found)
		}
	}
}

// TestCreateRace has several processes make the same network.
func TestCreateRace(t *testing.T) {
	for _, test := range []struct {
		name               string
		processes, repeats int
	}{
		{"2 processes", 2, 40},
		{"16 processes", 16, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range test.repeats {
				n := newNetwork(t)
				var calls []call
				for i := range test.processes {
					calls = append(calls, n.add(fmt.Sprintf("pod%d", i)))
				}
				answers := atOnce(t, calls)
				for _, a := range answers {
					if !a.ok() {
						t.Errorf("%v: want success", a)
					}
				}
				distinct(t, answers)
				oneStore(t, n, test.processes)
			}
		})
	}
}

// oneStore fails the test unless there is one store with one genesis, and so many leases.
func oneStore(t *testing.T, n network, leases int) {
	t.Helper()
	h := readHistory(t, n)
	if got := h.count(journal.KindGenesis); got != 1 {
		t.Errorf("got %d genesis events, want 1", got)
	}
	if len(h.leases) != leases || h.count(journal.KindReset) != 0 {
		t.Errorf("got %d leases and %d resets, want %d and none", len(h.leases), h.count(journal.KindReset), leases)
	}
	id, dir, err := journal.ReadClaim(n.folder())
	if err != nil || id != h.id || dir != n.storeDir() {
		t.Errorf("data folder is tied to %s in %s, %v, want %s in %s", id, dir, err, h.id, n.storeDir())
	}
	entries, err := os.ReadDir(filepath.Dir(n.storeDir()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != n.name && name != ".lock" {
			t.Errorf("history folder holds %s", name)
		}
	}
	noLitter(t, n)
}
