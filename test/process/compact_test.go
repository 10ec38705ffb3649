package process_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

// TestCompactBeside compacts a store, two runs at a time and again and again, while 32 processes ADD and DEL on it. No call fails, each is
// in the history, and that is whole.
func TestCompactBeside(t *testing.T) {
	leasectl, err := caller.BuildTool(filepath.Join("..", ".."), t.TempDir(), "leasectl")
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t)
	must(t, n.add("first"))
	age(t, n, 2000)
	calls := filling(n)
	half := len(calls) / 2
	var compactions sync.WaitGroup
	done := make(chan struct{})
	runs := [2]int{}
	for i := range runs {
		compactions.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				out, err := exec.Command(leasectl, "compact", "--data-dir", n.dataDir).CombinedOutput()
				if err == nil {
					runs[i]++
				} else if !strings.Contains(string(out), "a compaction is under way") {
					t.Errorf("compact: %v: %s", err, out)
				}
			}
		})
	}
	answers := inParallel(t, 32, calls)
	var dels []call
	for i := range half {
		c := n.del(answers[i].call.id)
		c.netns = "/netns/del-" + c.id
		dels = append(dels, c)
	}
	answers = append(answers, inParallel(t, 32, dels)...)
	close(done)
	compactions.Wait()
	for _, a := range answers {
		if !a.ok() {
			t.Errorf("%v: want success", a)
		}
	}
	if runs[0]+runs[1] < 3 {
		t.Errorf("%v compactions came to their end, so this test shows less than it means to", runs)
	}
	out, err := exec.Command(leasectl, "compact", "--data-dir", n.dataDir).CombinedOutput()
	if err != nil {
		t.Fatalf("compact: %v: %s", err, out)
	}
	h := readHistory(t, n)
	distinct(t, answers)
	recorded(t, h, answers)
	if got, want := len(h.leases), len(calls)-half+1; got != want {
		t.Errorf("got %d leases, want %d", got, want)
	}
	if packed, _ := filepath.Glob(filepath.Join(n.storeDir(), "archive", "*.llz")); len(packed) != 1 {
		t.Errorf("packed: %v, want one file", packed)
	}
	noLitter(t, n)
	if out, err := exec.Command(leasectl, "verify", "--data-dir", n.dataDir).CombinedOutput(); err != nil {
		t.Errorf("verify: %v: %s", err, out)
	}
}

// recorded fails the test unless each answer has one event of its own, which says what the caller was told.
func recorded(t *testing.T, h history, answers []answer) {
	t.Helper()
	events := map[string][]int{}
	for i := range h.events {
		events[h.events[i].NetNS] = append(events[h.events[i].NetNS], i)
	}
	for _, a := range answers {
		found := events[a.call.netns]
		if len(found) != 1 {
			t.Errorf("%v: %d events, want one", a, len(found))
			continue
		}
		if err := sameAs(&h.events[found[0]], a); err != nil {
			t.Errorf("event %d: %v", found[0]+1, err)
		}
	}
}
