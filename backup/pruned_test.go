package backup_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// pruned compacts a store and lets go all but its newest events.
func pruned(t *testing.T, s *allocator.Store, dataDir string, keep uint64) {
	t.Helper()
	keepEvents(t, dataDir, keep)
	if gone := whatWasPruned(t, s.Dir()); gone == nil || gone.Pruned.Last < 300 {
		t.Fatalf("pruned: %+v", gone)
	}
}

// keepEvents compacts the store of the network and lets go all but so many of its events.
func keepEvents(t *testing.T, dataDir string, keep uint64) {
	t.Helper()
	job := compaction.Job{Store: allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test"},
		Retain: &compaction.Retain{Limits: []journal.Retention{{Events: keep}}, Why: "test", By: "test",
			DespiteLost: true}} // of a restored store nothing goes otherwise
	if _, err := compaction.Run(context.Background(), job); err != nil {
		t.Fatal(err)
	}
}

func whatWasPruned(t *testing.T, dir string) *journal.Pruning {
	t.Helper()
	r, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := r.Pruned()
	if err != nil || l == nil {
		t.Fatalf("pruned: %v, %v", l, err)
	}
	return l.Pruned()
}

// TestPruned: what was pruned is no damage to a backup, and stays told in it; leases from before are held after a restore and a repair.
func TestPruned(t *testing.T) {
	dataDir := t.TempDir()
	s := made(t, dataDir, "net", 900)
	held, _ := heldIn(t, s.Dir())
	pruned(t, s, dataDir, 200)
	want := whatWasPruned(t, s.Dir()).Pruned
	file, target := filepath.Join(t.TempDir(), "b"), t.TempDir()
	m, err := backup.Write(file, []string{s.Dir()}, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	restored, err := backup.Restore(file, backup.RestoreOptions{DataDir: target, Version: "test", AllowNetworkFS: true})
	if err != nil {
		t.Fatal(err)
	}
	got := whatWasPruned(t, filepath.Join(restored[0].Store, "archive", m.Stores[0].Journal)).Pruned
	if got.Last != want.Last || got.Head != want.Head {
		t.Errorf("the parent tells of events up to %d as pruned, want %d", got.Last, want.Last)
	}
	if again, _ := heldIn(t, restored[0].Store); !slices.Equal(again, held) {
		t.Errorf("%d leases are held after the restore, want %d", len(again), len(held))
	}

	if err := os.RemoveAll(filepath.Join(s.Dir(), "snap")); err != nil {
		t.Fatal(err)
	}
	o := allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test", Packed: backup.Packed()}
	repaired, err := allocator.NewStore(o).Repair(true, true)
	if err != nil || repaired.Succeeds() || len(repaired.Losses) > 0 {
		t.Fatalf("repair: %+v, %v", repaired, err)
	}
	if again := leasesOf(t, s.Dir()); !slices.Equal(again, held) {
		t.Errorf("%d leases are held after the repair, want %d", len(again), len(held))
	}
	// A backup of a store whose snapshots are all lost can be restored, too.
	if err := os.RemoveAll(filepath.Join(s.Dir(), "snap")); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Write(file+"2", []string{s.Dir()}, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	bare, err := backup.Restore(file+"2", backup.RestoreOptions{DataDir: t.TempDir(), Version: "test", AllowNetworkFS: true})
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := heldIn(t, bare[0].Store); !slices.Equal(again, held) {
		t.Errorf("%d leases are held after a restore without snapshots, want %d", len(again), len(held))
	}
}
