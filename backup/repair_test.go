package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// TestRepairPacked: where events are packed, a repair loses nothing that is in packed files.
func TestRepairPacked(t *testing.T) {
	flipAll := func(pattern string, at int) func(dir string) error {
		return func(dir string) error {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if len(paths) == 0 {
				err = errors.Join(err, os.ErrNotExist)
			}
			for _, path := range paths {
				b, readErr := os.ReadFile(path)
				err = errors.Join(err, readErr)
				if readErr == nil {
					b[at] ^= 1
					err = errors.Join(err, os.WriteFile(path, b, 0o600))
				}
			}
			return err
		}
	}
	remove := func(pattern string) func(dir string) error {
		return func(dir string) error {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			for _, path := range paths {
				err = errors.Join(err, os.RemoveAll(path))
			}
			return err
		}
	}
	both := func(a, b func(string) error) func(string) error {
		return func(dir string) error { return errors.Join(a(dir), b(dir)) }
	}
	cases := []struct {
		name     string
		harm     func(dir string) error
		step     string // of the repair
		succeeds bool
	}{
		{"snapshots damaged", flipAll("snap/*", 100), "make a snapshot of event ", false},
		{"snapshots gone", remove("snap/*"), "make a snapshot of event ", false},
		{"no folder of snapshots", remove("snap"), "make a snapshot of event ", false},
		{"META lost", remove("META"), "make META anew", false},
		{"META and snapshots lost", both(remove("META"), remove("snap/*")), "make a snapshot of event ", false},
		{"lock and snapshots lost", both(remove("lock"), remove("snap/*")), "make a snapshot of event ", false},
		{"a frame before the keyframe, and snapshots", both(flipAll("archive/*.llz", 100), remove("snap/*")), "make a snapshot of event ", false},
		{"packed files gone, and snapshots", both(remove("archive/*.llz"), remove("snap/*")), "begin a new journal", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dataDir := t.TempDir()
			s := made(t, dataDir, "net", 900)
			packed(t, s.Dir())
			want, _ := heldIn(t, s.Dir())
			if err := c.harm(s.Dir()); err != nil {
				t.Fatal(err)
			}
			o := allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test", AllowNetworkFS: true,
				Packed: backup.Packed()}
			damage := new(journal.CorruptionError)
			if err := s.Del(allocator.DelRequest{Owner: owner(5000)}); !errors.As(err, &damage) {
				t.Fatalf("a call: %v, want damage", err)
			}
			before := tree(t, dataDir)
			dry, err := allocator.NewStore(o).Repair(false, true)
			if err != nil || tree(t, dataDir) != before {
				t.Fatalf("dry run: %v, or something has changed", err)
			}
			m, err := allocator.NewStore(o).Repair(true, true)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(m.Steps, func(s string) bool { return strings.HasPrefix(s, c.step) }) || len(m.Steps) != len(dry.Steps) ||
				m.Succeeds() != c.succeeds || dry.Succeeds() != c.succeeds {
				t.Errorf("steps %q, would be %q; want one %q", m.Steps, dry.Steps, c.step)
			}
			call(t, s, 6000)
			if c.succeeds {
				return
			}
			if again, err := allocator.NewStore(o).Repair(false, true); err != nil || again.Needed() {
				t.Errorf("after it: %v, %v", again.Steps, err)
			}
			held := leasesOf(t, s.Dir())
			if want = append(want, held[len(held)-1]); !slices.Equal(held, want) {
				t.Errorf("%d leases, want %d", len(held), len(want))
			}
		})
	}
}

// leasesOf returns what a store holds by the word of its newest snapshot and the events after it, as calls go by it.
func leasesOf(t testing.TB, dir string) (held []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "snap", "*.snap"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d snapshots, %v", len(paths), err)
	}
	snap, err := state.OpenSnapshot(paths[len(paths)-1], journal.ID{})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	st := state.Over(snap)
	for rec, err := range r.Records(snap.Seq()) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l.IP.String()+" "+l.ContainerID)
	}
	return held
}
