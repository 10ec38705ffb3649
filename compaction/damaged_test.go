package compaction_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
)

// TestLostFile shows that a packed file that is gone for good is in the way of a prune alone: what has come since is moved and packed.
func TestLostFile(t *testing.T) {
	for _, c := range []struct {
		name  string
		file  int // in the order of their names, behind the first segment
		lost  journal.Seq
		every journal.Seq // events from keyframe to keyframe
	}{{"oldest", 0, 2, 1 << 16}, {"middle", 1, 1001, 700}, {"middle, no keyframe since", 1, 1001, 2900}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, 3300, 3150)
			s.job.Keyframes = func(int) journal.Seq { return c.every }
			if _, err := compaction.Pack(context.Background(), s.job); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(s.dir, "archive", s.names("archive")[1+c.file])); err != nil {
				t.Fatal(err)
			}
			s.call(400)
			before := s.packed()
			plan, err := compaction.Plan(s.job)
			if err != nil {
				t.Fatal(err)
			}
			rep := s.run()
			if len(rep.Packed) == 0 || rep.Settled.Archived == 0 || len(plan.Packed) != len(rep.Packed) {
				t.Errorf("planned %+v, done %+v: want new events packed", plan, rep)
			}
			if rep := s.run(); !rep.Nothing() {
				t.Errorf("a second run finds work: %+v", rep)
			}
			if got := s.packed(); !slices.Contains(got, before[0]) {
				t.Errorf("%s is gone: %s", before[0], got)
			}

			tree := s.tree()
			s.job.Retain = &compaction.Retain{Limits: []journal.Retention{{Events: 1500}}, Clock: at(timeOf(4000))}
			damage := new(journal.CorruptionError)
			if _, err := compaction.Run(context.Background(), s.job); !errors.As(err, &damage) || damage.Seq != c.lost {
				t.Errorf("prune: got %v, want damage of event %d", err, c.lost)
			}
			s.same("prune", s.tree(), tree)
		})
	}
}

// TestReplacedBefore has a repair begin another journal between a run's first look and its lock: the run works on what is there then.
func TestReplacedBefore(t *testing.T) {
	s := newStore(t, 1600, 800)
	s.damageNewest()
	var now journal.ID
	s.job.Progress = func(step string, _, _ uint64) {
		if step != "taking the lock" {
			return
		}
		m, err := allocator.NewStore(s.job.Store).Repair(true, true)
		if err != nil || !m.Succeeds() {
			t.Fatalf("%+v, %v", m, err)
		}
		meta, err := journal.ReadMeta(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		now = meta.ID
	}
	rep, err := compaction.Run(context.Background(), s.job)
	if err != nil || rep.Journal != now {
		t.Errorf("compacted %s, %v; want journal %s", rep.Journal, err, now)
	}
}

// TestRemovedTold: the report that comes with an error names the files that went before it.
func TestRemovedTold(t *testing.T) {
	s := newStore(t, 3300, 3150)
	s.run()
	names := s.names("archive")
	stuck := filepath.Join(s.dir, "archive", names[2])
	s.job.Retain = &compaction.Retain{Limits: []journal.Retention{{Events: 800}}, Clock: at(timeOf(4000))}
	s.job.Progress = func(step string, _, _ uint64) {
		if step == "removing archive/"+names[2] {
			if err := errors.Join(os.Remove(stuck), os.MkdirAll(filepath.Join(stuck, "in the way"), 0o700)); err != nil {
				t.Fatal(err)
			}
		}
	}
	rep, err := compaction.Run(context.Background(), s.job)
	if err == nil || rep.Pruned == nil || rep.Pruned.Tombstone == 0 || !slices.Equal(rep.Pruned.Files, []string{"archive/" + names[1]}) || rep.Pruned.Bytes == 0 {
		t.Errorf("got %+v, %v; want %s removed and an error", rep.Pruned, err, names[1])
	}
}

// TestPackFinishes shows that Pack leaves a dead prune the file that its events go on in.
func TestPackFinishes(t *testing.T) {
	s := newStore(t, 3300, 3150)
	s.killed("removing archive/00000000000000000001-", victimKeeps+"=1800")
	rep, err := compaction.Pack(context.Background(), s.job)
	if err != nil || rep.Pruned == nil || len(rep.Pruned.Finished) == 0 {
		t.Fatalf("%+v, %v", rep.Pruned, err)
	}
	_, said := s.tombstones()
	s.left(said[0].Last + 1)
}
