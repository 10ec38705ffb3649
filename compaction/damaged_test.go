package compaction_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
