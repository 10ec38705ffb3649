package backup_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// TestCopyMoves: whatever is moved, packed and removed behind a listing, a copy has all events and a snapshot.
func TestCopyMoves(t *testing.T) {
	for _, folder := range []string{"journal", "archive", "snap", "."} {
		for name, change := range map[string]func(s *allocator.Store, o allocator.Options) error{
			"settled": func(s *allocator.Store, _ allocator.Options) error { _, err := s.Settle(); return err },
			"compacted": func(_ *allocator.Store, o allocator.Options) error {
				_, err := compaction.Run(context.Background(), compaction.Job{Store: o})
				return err
			},
		} {
			dataDir := t.TempDir()
			s := made(t, dataDir, "net", 900)
			o := allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test"}
			want, changed := records(t, s.Dir()), false
			to := filepath.Join(t.TempDir(), "copy")
			c, err := backup.CopyListed(s.Dir(), to, func(listed string) {
				if listed != folder || changed {
					return
				}
				changed = true
				for n := range 3 {
					call(t, s, 5000+n)
				}
				if err := change(s, o); err != nil {
					t.Fatal(err)
				}
			})
			if err != nil || !changed {
				t.Fatalf("%s after %s was listed: %v", name, folder, err)
			}
			got := records(t, to)
			if len(got) != int(c.Last) || len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("%s after %s was listed: %d records, to event %d; want %d or more", name, folder, len(got), c.Last, len(want))
			}
			if snaps, _ := filepath.Glob(filepath.Join(to, "snap", "*.snap")); len(snaps) == 0 {
				t.Errorf("%s after %s was listed: no snapshot", name, folder)
			}
		}
	}
}

// TestCopyPrunes: what a prune removes between two files of a copy is no damage in it, and not there by halves.
func TestCopyPrunes(t *testing.T) {
	for _, link := range []bool{false, true} {
		dataDir := t.TempDir()
		s := made(t, dataDir, "net", 900)
		compactedInto(t, s.Dir(), dataDir, 3)
		to, done := filepath.Join(t.TempDir(), "copy"), false
		c, err := backup.CopyFiles(s.Dir(), to, backup.CopyOptions{Link: link}, func(name string) {
			if !done && strings.HasSuffix(name, ".llz") {
				done = true
				pruned(t, s, dataDir, 100)
			}
		})
		if err != nil || !done {
			t.Fatalf("copied beside a prune: %v", err)
		}
		want, got := whatWasPruned(t, s.Dir()), whatWasPruned(t, to)
		if got.Pruned.Last != want.Pruned.Last || c.Last < want.Tombstone.Seq {
			t.Errorf("the copy, to event %d, says that events up to %d were pruned; want %d", c.Last, got.Pruned.Last, want.Pruned.Last)
		}
		if left, _ := filepath.Glob(filepath.Join(to, "archive", "*.llz")); len(left) != 1 {
			t.Errorf("the copy has %v", left)
		}
	}
}

// TestCopyPrunesParent: a succeeded journal that is pruned while it is copied is not there, and the copy says so.
func TestCopyPrunesParent(t *testing.T) {
	file, target := filepath.Join(t.TempDir(), "b"), t.TempDir()
	m, err := backup.Write(file, []string{made(t, t.TempDir(), "net", 900).Dir()}, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(file, backup.RestoreOptions{DataDir: target, Version: "test", AllowNetworkFS: true}); err != nil {
		t.Fatal(err)
	}
	s, parent := storeOf(target, "net"), filepath.Join("archive", m.Stores[0].Journal)
	call(t, s, 5000)
	to, done := filepath.Join(t.TempDir(), "copy"), false
	c, err := backup.CopyFiles(s.Dir(), to, backup.CopyOptions{}, func(name string) {
		if !done && strings.HasPrefix(name, parent) {
			done = true
			keepEvents(t, target, 1)
		}
	})
	if err != nil || !done {
		t.Fatalf("copied beside a prune: %v", err)
	}
	for _, dir := range []string{s.Dir(), to} {
		if _, err := os.Stat(filepath.Join(dir, parent)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has the pruned journal: %v", dir, err)
		}
	}
	if gone := whatWasPruned(t, to); c.Last < gone.Tombstone.Seq { // the parent's is the one before
		t.Errorf("the copy ends with event %d, before the prune events", c.Last)
	}
}

// compactedInto compacts a store and has all that is packed in so many files.
func compactedInto(t *testing.T, dir, dataDir string, files journal.Seq) {
	t.Helper()
	if _, err := compaction.Run(context.Background(), compaction.Job{Store: allocator.Options{Network: "net", DataDir: dataDir,
		LockTimeout: 10 * time.Second, Version: "test"}}); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	whole := r.Heads()[0]
	for n := range files {
		if _, err := archive.Pack(filepath.Join(dir, "archive"), r.Meta(), n*whole.Last/files+1, (n+1)*whole.Last/files, r.Raw, archive.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, whole.File)); err != nil {
		t.Fatal(err)
	}
}
