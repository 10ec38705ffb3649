package process_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

// TestVerifyBesideCalls has leasectl verify look at a store again and again while 32 plugin processes at
// a time work on it, over segments that begin and over a snapshot: it must not find anything.
func TestVerifyBesideCalls(t *testing.T) {
	leasectl, err := caller.BuildTool(filepath.Join("..", ".."), t.TempDir(), "leasectl")
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t)
	must(t, n.add("first"))
	age(t, n, snapshotEvents-200) // so that the snapshot and an archived segment come while verify looks
	const workers, rounds = 32, 10
	var running atomic.Int32
	running.Store(workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			defer running.Add(-1)
			for i := range rounds {
				id := fmt.Sprintf("pod-%d-%d", w, i)
				if a := do(t, n.add(id)); !a.ok() {
					t.Errorf("%v: want success", a)
				}
				if a := do(t, n.del(id)); !a.ok() {
					t.Errorf("%v: want success", a)
				}
			}
		})
	}
	looks := 0
	for running.Load() > 0 {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(leasectl, "verify", "--data-dir", n.dataDir)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || !strings.HasPrefix(stdout.String(), "clean: 1 network, ") {
			t.Errorf("verify: %v: %s%s", err, stdout.String(), stderr.String())
		}
		looks++
	}
	group.Wait()
	h := readHistory(t, n)
	snapshots, err := filepath.Glob(filepath.Join(n.storeDir(), "snap", "*.snap"))
	if err != nil || len(snapshots) == 0 || looks < 3 {
		t.Errorf("%d looks over %d events and %d snapshots, so this test shows less than it means to", looks, len(h.events), len(snapshots))
	}
}
