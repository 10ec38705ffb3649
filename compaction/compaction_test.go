package compaction_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// TestRun compacts a store that nobody has used: what is packed is there as before, what the plugin reads is small, and a second
// run changes nothing.
func TestRun(t *testing.T) {
	s := newStore(t, 3300, 1500)
	live := s.segments("journal")
	plan, err := compaction.Plan(s.job)
	if err != nil {
		t.Fatal(err)
	}
	rep := s.run()
	s.whole()
	newest := live[len(live)-1]
	if got := s.segments("journal"); !slices.Equal(got, []string{newest}) {
		t.Errorf("journal: got %v, want %v", got, newest)
	}
	last := rep.Settled.First - 1
	if want := []string{"1-1000", "1001-2000", "2001-3000", fmt.Sprintf("3001-%d", last)}; !slices.Equal(s.packed(), want) {
		t.Errorf("packed: got %v, want %v", s.packed(), want)
	}
	if got := s.segments("archive"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("loose: got %v, want the first alone", got)
	}
	if got, want := s.names("snap"), 2; len(got) != want {
		t.Errorf("snapshots: got %v, want %d", got, want)
	}
	if genesis, err := journal.ReadGenesis(s.dir); err != nil || genesis.Origin.Node != "node" {
		t.Errorf("genesis: %+v, %v", genesis, err)
	}
	if len(plan.Packed) != len(rep.Packed) || plan.Settled.Archived != rep.Settled.Archived || plan.Removed != rep.Removed || plan.Nothing() {
		t.Errorf("plan %+v, done %+v", plan, rep)
	}
	if rep.After.Journal >= rep.Before.Journal/3 || rep.After.Total() >= rep.Before.Total()/2 {
		t.Errorf("before %+v, after %+v", rep.Before, rep.After)
	}
	before := s.tree()
	if rep := s.run(); !rep.Nothing() {
		t.Errorf("second run: %+v", rep)
	}
	s.same("second run", s.tree(), before)
	s.call(4)
	s.whole()
}

// TestPlanBeside: what a plan was going to move is moved by somebody else before the plan is made.
func TestPlanBeside(t *testing.T) {
	s := newStore(t, 3300, 1500)
	settled, err := allocator.NewStore(s.job.Store).SettlePlan()
	if err != nil || settled.Archived < 2 {
		t.Fatalf("%+v, %v", settled, err)
	}
	s.run()
	rep, err := compaction.PlanWith(s.job, settled)
	if err != nil || len(rep.Packed) != 0 || rep.After.Journal != rep.Before.Journal {
		t.Errorf("got %+v, %v", rep, err)
	}
}

// TestPlan shows that a plan leaves no trace.
func TestPlan(t *testing.T) {
	s := newStore(t, 1500, 700)
	before := s.tree()
	plan, err := compaction.Plan(s.job)
	if err != nil || plan.Nothing() {
		t.Fatalf("%+v, %v", plan, err)
	}
	s.same("plan", s.tree(), before)
	if _, err := os.Stat(filepath.Join(s.dir, journal.CompactLock)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the plan has made a lock: %v", err)
	}
	if rep := s.run(); plan.After.Journal != rep.After.Journal || plan.After.Snapshots != rep.After.Snapshots {
		t.Errorf("the plan has %+v afterwards, the run %+v", plan.After, rep.After)
	}
}

// TestDaily compacts a store in use again and again: small files grow, large ones stay as they are.
func TestDaily(t *testing.T) {
	s := newStore(t, 300, 190)
	large := map[string]string{}
	for day := range 6 {
		s.call(200)
		s.raw = s.read()
		rep := s.run()
		s.whole()
		for name, content := range large {
			if b, err := os.ReadFile(filepath.Join(s.dir, "archive", name)); err != nil || string(b) != content {
				t.Errorf("day %d: %s was changed: %v", day, name, err)
			}
		}
		if n := len(rep.Packed); n > 1 {
			t.Errorf("day %d: %d files were packed", day, n)
		}
		if got := s.segments("journal"); len(got) > 2 {
			t.Errorf("day %d: journal: %v", day, got)
		}
		for _, name := range s.names("archive") {
			if first, last, ok := parse(name); ok && last-first+1 >= 400 {
				b, err := os.ReadFile(filepath.Join(s.dir, "archive", name))
				if err != nil {
					t.Fatal(err)
				}
				large[name] = string(b)
			}
		}
	}
	if n := len(s.packed()); n < 2 || n > 4 || len(large) == 0 {
		t.Errorf("packed: %v", s.packed())
	}
	chained(t, s)
}

// parse reads the name of a packed file.
func parse(name string) (first, last int, ok bool) {
	_, err := fmt.Sscanf(name, "%d-%d.llz", &first, &last)
	return first, last, err == nil
}

// chained fails the test unless the files follow one another, each with the digest of the one before.
func chained(t *testing.T, s *store) {
	t.Helper()
	r, err := archive.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	heads := r.Heads()
	for i := 1; i < len(heads); i++ {
		if heads[i].First != heads[i-1].Last+1 || heads[i].Previous != heads[i-1].Content {
			t.Errorf("%s does not follow %s", heads[i].File, heads[i-1].File)
		}
	}
}

// TestKeyframes shows that keyframes come where they are due, also where a file is packed anew. Verify holds each against the events.
func TestKeyframes(t *testing.T) {
	s := newStore(t, 2600, 900)
	s.job.Keyframes = func(n int) journal.Seq {
		if n > leases {
			t.Errorf("%d leases, want at most %d", n, leases)
		}
		return 350
	}
	if _, err := compaction.Pack(context.Background(), s.job); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.whole()
	r, err := archive.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []journal.Seq
	for _, h := range r.Heads() {
		got = append(got, h.Keyframes...)
	}
	if want := []journal.Seq{350, 700, 1050, 1400, 1750, 2100, 2450}; !slices.Equal(got, want) {
		t.Errorf("keyframes: got %v, want %v", got, want)
	}
}

// TestNoKeyframes is for who wants none.
func TestNoKeyframes(t *testing.T) {
	s := newStore(t, 1200, 900)
	s.job.Keyframes = compaction.NoKeyframes
	for _, f := range s.run().Packed {
		if len(f.Keyframes) > 0 {
			t.Errorf("%+v", f)
		}
	}
	s.whole()
}

// TestSecondLeaves shows that of two runs the second says who is at work, and has changed nothing.
func TestSecondLeaves(t *testing.T) {
	s := newStore(t, 900, 500)
	before := s.tree()
	lock, ok, err := journal.TryLock(filepath.Join(s.dir, journal.CompactLock))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	_, err = compaction.Run(context.Background(), s.job)
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v, want one that names process %d", err, os.Getpid())
	}
	s.same("second run", s.tree(), before)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.whole()
}

// TestCancel ends a run in the middle, and the next one goes on.
func TestCancel(t *testing.T) {
	for _, at := range []string{"taking snapshots", "packing events 1 ", "reading back events 1001"} {
		t.Run(at, func(t *testing.T) {
			s := newStore(t, 2500, 1800)
			ctx, cancel := context.WithCancel(context.Background())
			s.job.Progress = func(step string, _, _ uint64) {
				if strings.HasPrefix(step, at) {
					cancel()
				}
			}
			if _, err := compaction.Run(ctx, s.job); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			for _, name := range s.names("archive") {
				if strings.HasPrefix(name, "tmp.") {
					t.Errorf("%s is left", name)
				}
			}
			s.whole()
			s.job.Progress = nil
			s.run()
			s.whole()
		})
	}
}
