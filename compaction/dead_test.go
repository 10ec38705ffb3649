package compaction_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// victimAt and victimStore tell the process that TestMain makes a victim of where to die, and in which store.
const (
	victimAt    = "COMPACTION_VICTIM_AT"
	victimStore = "COMPACTION_VICTIM_STORE"
	victimKeeps = "COMPACTION_VICTIM_KEEPS" // how many events, if it prunes
)

func TestMain(m *testing.M) {
	if at := os.Getenv(victimAt); at != "" {
		victim(os.Getenv(victimStore), at)
	}
	os.Exit(m.Run())
}

// victim compacts a store and is killed when a step begins.
func victim(history, at string) {
	job := compaction.Job{Limits: compaction.Limits{MaxEvents: 1000, MergeBelow: 400}, Keyframes: func(int) journal.Seq { return 700 },
		Store: allocator.Options{Network: "net", DataDir: filepath.Join(filepath.Dir(history), "data"), HistoryDir: history}}
	if n, err := strconv.ParseUint(os.Getenv(victimKeeps), 10, 64); err == nil {
		job.Retain = &compaction.Retain{Limits: []journal.Retention{{Events: n}}}
	}
	job.Progress = func(step string, _, _ uint64) {
		if strings.HasPrefix(step, at) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err := compaction.Run(context.Background(), job)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killed has a run on the store killed when a step begins.
func (s *store) killed(at string, env ...string) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), victimAt+"="+at, victimStore+"="+filepath.Dir(s.dir)), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		s.t.Fatalf("it was not killed: %v: %s", err, out)
	}
}

// TestKilled kills a run with SIGKILL at each step. All events are there, the plugin works, and the next run ends what was begun.
func TestKilled(t *testing.T) {
	for _, at := range []string{"taking snapshots", "following", "packing events 1001 ", "reading back events 1001 ",
		"packing events 2001", "reading back events 2001", "removing archive/00000000000000001001-", "removing segments"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, 3300, 1290)
			s.job.Keyframes = func(int) journal.Seq { return 700 }
			if _, err := compaction.Pack(context.Background(), s.job); err != nil { // so that the next one has a small file to merge
				t.Fatal(err)
			}
			s.killed(at)
			s.whole()
			s.call(2)
			s.run()
			s.whole()
			if got := s.segments("archive"); !slices.Equal(got, []string{"1"}) {
				t.Errorf("loose: got %v, want the first alone", got)
			}
			for _, name := range s.names("archive") {
				if strings.HasPrefix(name, "tmp.") {
					t.Errorf("%s is left for ever", name)
				}
			}
			chained(t, s)
			if rep := s.run(); !rep.Nothing() {
				t.Errorf("a third run finds work: %+v", rep)
			}
		})
	}
}

// TestDoubles shows that what a dead run had packed and not removed goes, once it is compared again; and that what differs stays,
// and is told.
func TestDoubles(t *testing.T) {
	s := newStore(t, 2200, 1800)
	segments := map[string][]byte{}
	s.run()
	for _, name := range []string{"00000000000000000001", "00000000000000002100"} {
		delete(segments, name)
	}
	whole := newStore(t, 2200, 1800) // the same events
	for _, name := range whole.names("archive") {
		b, err := os.ReadFile(filepath.Join(whole.dir, "archive", name))
		if err != nil {
			t.Fatal(err)
		}
		segments[name] = b
	}
	put := func() {
		for name, b := range segments {
			if err := os.WriteFile(filepath.Join(s.dir, "archive", name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := s.tree()
	put()
	if rep := s.run(); rep.Removed != len(segments) || len(rep.Packed) != 0 {
		t.Errorf("%+v, want %d segments removed", rep, len(segments))
	}
	s.same("once more", s.tree(), before)
	s.whole()

	put()
	name := whole.names("archive")[3]
	b := slices.Clone(segments[name])
	b[len(b)/2] ^= 1
	if err := os.WriteFile(filepath.Join(s.dir, "archive", name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	before = s.tree()
	damage := new(journal.CorruptionError)
	if _, err := compaction.Run(context.Background(), s.job); !errors.As(err, &damage) || filepath.Base(damage.File) != name {
		t.Errorf("got %v, want damage in %s", err, name)
	}
	s.same("damaged", s.tree(), before)
}

// TestDoublesDiffer shows that a whole segment with other events than those that are packed under their numbers stays, and is told.
func TestDoublesDiffer(t *testing.T) {
	s := newStore(t, 1200, 900)
	s.run()
	other := newStore(t, 1200, 900, "another course")
	name := other.names("archive")[1]
	b, err := os.ReadFile(filepath.Join(other.dir, "archive", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "archive", name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.tree()
	damage := new(journal.CorruptionError)
	if _, err := compaction.Run(context.Background(), s.job); !errors.As(err, &damage) || damage.File != path {
		t.Errorf("got %v, want damage in %s", err, path)
	}
	s.same("after", s.tree(), before)
}

// TestDamage shows that damage in the way ends a run with a finding, that nothing is removed, and that what the plugin works on
// is as it was.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name string
		file func(s *store) string
	}{
		{"segment in the archive", func(s *store) string { return "archive/" + s.names("archive")[1] }},
		{"sealed segment", func(s *store) string { return "journal/" + s.names("journal")[1] }},
		{"snapshot", func(s *store) string { return "snap/" + s.names("snap")[1] }},
		{"packed file to be merged", func(s *store) string { return "archive/" + last(s.names("archive")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 2500, 1300)
			if strings.Contains(c.name, "merged") {
				if _, err := compaction.Pack(context.Background(), s.job); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(s.dir, c.file(s))
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := 3000
			if strings.Contains(c.name, "merged") {
				at = s.place(path) // what is wrong with an index goes when the file is packed anew
			}
			b[at] ^= 0x40
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			before := s.tree()
			_, err = compaction.Run(context.Background(), s.job)
			if damage := new(journal.CorruptionError); !errors.As(err, &damage) || damage.File != path {
				t.Fatalf("got %v, want damage in %s", err, path)
			}
			after := s.tree()
			for name := range before {
				moved := strings.Replace(name, "/journal/", "/archive/", 1)
				if strings.HasPrefix(name, "/snap/") && c.name != "snapshot" {
					continue // newer ones may have replaced it
				}
				if after[name] != before[name] && after[moved] != before[name] {
					t.Errorf("%s is gone, or changed", name)
				}
			}
		})
	}
}

// place returns a byte of a packed file that its events are made of.
func (s *store) place(path string) int {
	s.t.Helper()
	meta, err := journal.ReadMeta(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := archive.OpenFile(path, meta.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Raw(r.Heads()[0].First - 1) {
		if err != nil {
			s.t.Fatal(err)
		}
		return int(rec.Offset) + 100
	}
	s.t.Fatalf("%s holds no event", path)
	return 0
}

func last(names []string) string { return names[len(names)-1] }
