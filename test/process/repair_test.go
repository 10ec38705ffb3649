package process_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// repairFaults are what happens to a repair at each of its system calls.
var repairFaults = []struct {
	name   string
	inject string
}{
	{"killed", kill},
	{"EIO", "error=EIO"},
	{"ENOSPC", "error=ENOSPC"},
}

// repairCalls are the system calls of a repair that change a file or a name, and those around them.
var repairCalls = []string{"openat", "mkdirat", "write", "pwrite64", "fsync", "flock", "fallocate", "ftruncate",
	"fchmod", "fchmodat", "renameat", "renameat2", "unlinkat", "linkat"}

// TestRepairInterrupted has leasectl repair meet its end, or an error of the disk, at each system call that
// changes something. Whatever it left, the same leases are there once the repair is made again, and
// nothing of the old store is lost. By default every other one is tried.
func TestRepairInterrupted(t *testing.T) {
	trace.Need(t)
	random(t) // tells the seed if it fails
	if testing.Short() {
		t.Skip("some hundred processes under strace")
	}
	leasectl, err := caller.BuildTool(filepath.Join("..", ".."), t.TempDir(), "leasectl")
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t)
	for i := range 5 {
		must(t, n.add(fmt.Sprintf("c%d", i)))
	}
	lost := damageEvent(t, n, 5) // that gave c2 its address
	want := map[string]bool{"c0": true, "c1": true, "c3": false, "c4": false}
	for _, fault := range repairFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			hits := 0
			for _, name := range repairCalls {
				for i := 1; i <= 200; i++ {
					if !*full && (uint64(i)+*seed)%2 == 0 { // the others come with another seed
						continue
					}
					c := copyOf(t, n)
					log := filepath.Join(t.TempDir(), "log")
					argv := []string{"strace", "-f", "-qq", "-o", log, "-e", "trace=" + name, "-e", fmt.Sprintf("inject=%s:%s:when=%d", name, fault.inject, i)}
					if fault.inject != kill { // see under
						argv = append(argv, "--seccomp-bpf")
					}
					argv = append(argv, leasectl, "repair", "--apply", "--data-dir", c.dataDir)
					out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
					text, readErr := os.ReadFile(log)
					if readErr != nil {
						t.Fatal(readErr)
					}
					hit := strings.Contains(string(text), "(INJECTED)") || strings.Contains(string(text), "killed by SIGKILL")
					where := fmt.Sprintf("%s at %s %d: %v %s", fault.name, name, i, err, out)
					afterRepair(t, c, lost, want, err == nil, where)
					if t.Failed() || !hit {
						break
					}
					hits++
				}
			}
			if hits < 20 {
				t.Errorf("%d faults, so this test shows less than it means to", hits)
			}
			t.Logf("%d faults", hits)
		})
	}
}

// afterRepair fails the test unless the store is repaired, or can be, with these leases; the value tells
// whether a lease is uncertain.
func afterRepair(t *testing.T, n network, lost []byte, want map[string]bool, succeeded bool, where string) {
	t.Helper()
	s := allocator.NewStore(allocator.Options{Network: n.name, DataDir: n.dataDir, LockTimeout: 10 * time.Second, Version: "test"})
	if succeeded {
		if v, err := replay.Verify(n.storeDir(), n.folder()); err != nil || !v.Clean() {
			t.Errorf("%s: it says that it succeeded, but: %+v, %v", where, v, err)
		}
	}
	if _, err := s.Repair(true, true); err != nil {
		t.Errorf("%s: repair again: %v", where, err)
		return
	}
	v, err := replay.Verify(n.storeDir(), n.folder())
	if err != nil || !v.Clean() {
		t.Errorf("%s: verify: %+v, %v", where, v, err)
		return
	}
	r, err := journal.OpenReader(n.storeDir())
	if err != nil {
		t.Fatal(where, err)
	}
	h, err := replay.Read(r.Records(0), replay.Options{HeldOnly: true})
	if err != nil || h.Stopped != nil {
		t.Fatal(where, err, h.Stopped)
	}
	got := map[string]bool{}
	for _, iv := range h.Intervals {
		got[iv.Lease.ContainerID] = iv.Certainty != replay.Certain
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: leases, uncertain or not: got %v, want %v", where, got, want)
	}
	kept, err := os.ReadFile(filepath.Join(n.storeDir(), "archive", h.Origin.Parent.String(), "journal", "00000000000000000001"))
	if err != nil || string(kept) != string(lost) {
		t.Errorf("%s: the damaged segment was not kept: %v", where, err)
	}
	must(t, n.add("next"))
	must(t, n.del("c3"))
}

// damageEvent flips a bit in an event's record and returns the segment as it is then.
func damageEvent(t *testing.T, n network, seq journal.Seq) []byte {
	t.Helper()
	r, err := journal.OpenReader(n.storeDir())
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(seq - 1) {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(n.storeDir(), rec.File)
		b, err := os.ReadFile(path)
		if err == nil {
			b[rec.Offset+70] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatal(errors.New("no such event"))
	return nil
}

// copyOf returns the network with a copy of its data folder.
func copyOf(t *testing.T, n network) network {
	t.Helper()
	dataDir := filepath.Join(t.TempDir(), "networks")
	if err := os.CopyFS(dataDir, os.DirFS(n.dataDir)); err != nil {
		t.Fatal(err)
	}
	// The claim says where the store is.
	claim := filepath.Join(dataDir, n.name, journal.ClaimName)
	b, err := os.ReadFile(claim)
	if err == nil {
		err = os.WriteFile(claim, []byte(strings.ReplaceAll(string(b), n.dataDir, dataDir)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.dataDir = dataDir
	return n
}
