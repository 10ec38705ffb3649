package jobs_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

const workers = 32

// TestBesideCalls compacts, prunes and backs up a network in a loop while 32 processes of the plugin work on it.
func TestBesideCalls(t *testing.T) {
	w := newWorld(t)
	w.fill(pods)
	each := 12
	if *full {
		each = 200
	}
	var group sync.WaitGroup
	var left atomic.Int64
	var enough atomic.Bool // was done by the jobs
	left.Store(workers)
	defer group.Wait()
	defer enough.Store(true)                        // also if a job fails
	given := make([]map[string]netip.Addr, workers) // acknowledged, and not deleted
	errs := make([]error, workers)
	for i := range workers {
		given[i] = map[string]netip.Addr{}
		group.Go(func() {
			defer left.Add(-1)
			for n := 0; (n < each || !enough.Load()) && errs[i] == nil; n++ {
				id := fmt.Sprintf("busy-%d-%d", i, n)
				var a caller.Answer
				if a, errs[i] = w.call("ADD", id); errs[i] == nil && !a.OK() {
					errs[i] = fmt.Errorf("ADD %s: %v", id, a)
				}
				if errs[i] != nil {
					return
				}
				given[i][id] = a.IPs[0]
				if n%4 == 0 {
					continue
				}
				if a, errs[i] = w.call("DEL", id); errs[i] == nil && !a.OK() {
					errs[i] = fmt.Errorf("DEL %s: %v", id, a)
				}
				delete(given[i], id)
			}
		})
	}
	done := 0
	for n := 0; left.Load() > 0; n++ {
		for _, args := range [][]string{{"compact"}, {"prune", "--keep-events", "300"}, {"backup", "-o", w.elsewhere(fmt.Sprint("backup-", n))}, {"verify"}} {
			out := w.must(args...)
			if strings.Contains(out, "done") {
				done++
			}
		}
		enough.Store(done >= 3 || n >= 30)
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	h := w.read() // which fails if an address was given twice
	store := allocator.NewStore(allocator.Options{Network: network, DataDir: w.net.DataDir})
	for _, m := range given {
		for id, ip := range m {
			leases, err := store.Check(state.Attachment{ContainerID: id, IfName: "eth0"})
			if err != nil || len(leases) != 1 || leases[0].IP != ip {
				t.Errorf("%s was given to %s, which holds %v, %v", ip, id, leases, err)
			}
		}
	}
	if err := w.sound(); err != nil {
		t.Error(err)
	}
	if done < 3 || h.pruned == 0 {
		t.Errorf("%d jobs did something, pruned up to event %d: this test shows less than it means to", done, h.pruned)
	}
	t.Logf("%d jobs did something beside %d events; pruned up to event %d", done, h.last, h.pruned)
}

// TestTwoAtOnce: of two compactions the second says who is at work, and leaves; the plugin goes on.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fill(pods)
	before := w.read()
	lock, err := os.OpenFile(filepath.Join(w.net.StoreDir(), journal.CompactLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"compact"}, {"prune", "--keep-events", "10"}} {
		out, exit := w.tool(args...)
		if who := fmt.Sprint(os.Getpid()); exit != 4 || !strings.Contains(out, who) {
			t.Errorf("%s beside another one: exit %d, want 4 and the process %s: %s", args[0], exit, who, out)
		}
	}
	if err := w.unchanged(before); err != nil {
		t.Error(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if out, exit := w.tool("compact"); exit != 0 && (exit != 4 || !strings.Contains(out, "under way")) {
				t.Errorf("exit %d: %s", exit, out)
			}
		})
	}
	group.Wait()
	if err := compacted(w, before); err != nil {
		t.Error(err)
	}
}
