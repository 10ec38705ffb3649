package backup_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/compaction"
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
