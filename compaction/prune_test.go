package compaction_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// began is when stores of these tests begin, and step how far an event is from the one before.
const (
	began = int64(1_700_000_000_000_000_000)
	step  = int64(3_000_000_123)
)

// timeOf returns the time of an event.
func timeOf(seq int) int64 { return began + int64(seq-1)*step }

// at is a synchronised clock of a later boot.
func at(wall int64) journal.Clock {
	return journal.Clock{Wall: wall, BootTime: 1, Boot: journal.BootID{9}, Synchronised: true}
}

// prune has the store pruned at a time, after a plan that must say the same and change nothing.
func (s *store) prune(now int64, limits ...journal.Retention) *compaction.Pruned {
	s.t.Helper()
	s.job.Retain = &compaction.Retain{Limits: limits, Why: "rule 7", By: "root (0) on node", Clock: at(now), DespiteLost: s.despite}
	before := s.tree()
	plan, err := compaction.Plan(s.job)
	if err != nil {
		s.t.Fatal(err)
	}
	s.same("plan", s.tree(), before)
	rep := s.run()
	p, q := rep.Pruned, plan.Pruned
	if p.Gone.First != q.Gone.First || p.Gone.Last != q.Gone.Last || p.Gone.FirstWall != q.Gone.FirstWall || p.Gone.LastWall != q.Gone.LastWall || len(p.Held) != len(q.Held) {
		s.t.Errorf("pruned %+v, by the plan %+v", p, q)
	}
	return p
}

// left fails the test unless genesis and the events from one on are there as they were, the leases before that
// one are in a keyframe, and verify finds no damage.
func (s *store) left(stays journal.Seq) {
	s.t.Helper()
	r, err := archive.Open(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	n := stays - 1
	for rec, err := range r.Records(stays - 1) {
		if err != nil {
			s.t.Fatal(err)
		}
		if n++; rec.Event.Seq != n || int(n) <= len(s.raw) && !bytes.Equal(rec.Raw, s.raw[n-1]) {
			s.t.Fatalf("event %d: got % x, want % x", n, rec.Raw, s.raw[n-1])
		}
	}
	if int(n) < len(s.raw) {
		s.t.Errorf("%d events are left of %d", n, len(s.raw))
	}
	for p, err := range r.Left(0) {
		if err != nil || p.Loss == nil && p.Event.Seq != 1 && p.Event.Seq < stays {
			s.t.Fatalf("event %d is there, %v", p.Event.Seq, err)
		}
		if p.Loss == nil {
			continue
		}
		if p.Loss.First != 2 || p.Loss.Last != stays-1 || p.Loss.Pruned() == nil {
			s.t.Errorf("lost: %+v", p.Loss)
		}
	}
	key, err := r.Boundary()
	if err != nil || key.Snapshot == nil {
		s.t.Fatalf("state before event %d: %+v, %v", stays, key, err)
	}
	want := state.New()
	for i, raw := range s.raw[:stays-1] {
		ev, err := journal.DecodeRecord(r.Meta().ID, journal.Seq(i+1), raw)
		if err == nil {
			err = want.Apply(&ev)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	want.SetHead(journal.RecordHash(s.raw[stays-2]))
	if err := key.Snapshot.Matches(want); err != nil {
		s.t.Errorf("state before event %d: %v", stays, err)
	}
	if err := r.Check(); err != nil {
		s.t.Error(err)
	}
	if genesis, err := journal.ReadGenesis(s.dir); err != nil || genesis.Origin.Node != "node" {
		s.t.Errorf("genesis: %+v, %v", genesis, err)
	}
	s.sound()
}

// sound fails the test if verify finds damage.
func (s *store) sound() {
	s.t.Helper()
	v, err := replay.Verify(s.dir, "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range v.Findings {
		if f.Severity != replay.SeverityNote {
			s.t.Errorf("verify: %+v", f)
		}
	}
}

// tombstones returns the prune events, and what they say.
func (s *store) tombstones() (events []journal.Event, said []journal.Pruned) {
	s.t.Helper()
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	whole, err := archive.Over(s.dir, r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer whole.Close()
	for p, err := range whole.Left(0) {
		if err != nil {
			s.t.Fatal(err)
		}
		if p.Loss == nil && p.Event.Kind == journal.KindPrune {
			pruned, ok := p.Event.Pruned()
			if !ok {
				s.t.Errorf("event %d says nothing", p.Event.Seq)
			}
			events, said = append(events, p.Event), append(said, pruned)
		}
	}
	return events, said
}

// TestPrune prunes by each bound, and again later, when the tombstone itself goes.
func TestPrune(t *testing.T) {
	s := newStore(t, 1600, 800)
	s.run()
	const now = 1200
	p := s.prune(timeOf(now)+int64(time.Hour), journal.Retention{Keep: time.Hour})
	if p.Gone.First != 2 || p.Gone.Last != now-2 || p.Nothing() { // event 1200 is exactly so old, and not older; the one before tells what was so then
		t.Fatalf("pruned %+v", p)
	}
	stays := p.Gone.Last + 1
	s.left(stays)
	if want := fmt.Sprintf("%d-", stays); !strings.HasPrefix(s.packed()[0], want) {
		t.Errorf("packed: got %v, want %s first", s.packed(), want)
	}
	digest, kinds := sha256.New(), map[journal.Kind]uint64{}
	for i, raw := range s.raw[1 : stays-1] {
		digest.Write(raw)
		kinds[event(i).Kind]++
	}
	events, said := s.tombstones()
	if len(said) != 1 {
		t.Fatalf("%d tombstones", len(said))
	}
	g := said[0]
	if g.First != 2 || g.Last != stays-1 || g.FirstWall != timeOf(2) || g.LastWall != timeOf(int(stays-1)) || g.Digest != journal.Hash(digest.Sum(nil)) ||
		g.Head != journal.RecordHash(s.raw[stays-2]) || len(g.Kinds) != 2 || g.Kinds[0].Events != kinds[journal.KindAdd] || g.Kinds[1].Events != kinds[journal.KindDel] {
		t.Errorf("the tombstone says %+v", g)
	}
	want := []journal.Attribute{{Key: "by", Value: "root (0) on node"}, {Key: "policy", Value: "1h0m0s"}}
	if ev := &events[0]; ev.Text != "rule 7" || !slices.Equal(ev.Attributes, want) || ev.Version != "test" || ev.Seq != p.Tombstone {
		t.Errorf("the tombstone is %+v", ev)
	}
	before := s.tree()
	if again := s.prune(timeOf(now)+int64(time.Hour), journal.Retention{Keep: time.Hour}); !again.Nothing() {
		t.Errorf("again: %+v", again)
	}
	s.same("a second prune", s.tree(), before)

	s.call(250)
	s.run()
	s.raw = append(s.raw[:stays-1:stays-1], s.after(stays-1)...)
	p = s.prune(timeOf(9999), journal.Retention{Events: 60})
	if p.Gone.First != stays || p.Gone.Last < events[0].Seq {
		t.Fatalf("pruned %+v", p)
	}
	s.left(p.Gone.Last + 1)
	if _, said := s.tombstones(); len(said) != 1 || said[0].Last != p.Gone.Last || !slices.ContainsFunc(said[0].Kinds, func(k journal.KindCount) bool { return k.Kind == journal.KindPrune }) {
		t.Errorf("the tombstones say %+v", said)
	}
	s.call(4)
	s.run()
	s.sound()
}

// after returns the raw records after an event.
func (s *store) after(seq journal.Seq) (raw [][]byte) {
	s.t.Helper()
	r, err := archive.Open(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Records(seq) {
		if err != nil {
			s.t.Fatal(err)
		}
		raw = append(raw, slices.Clone(rec.Raw))
	}
	return raw
}

// TestPruneKilled kills a prune with SIGKILL at each step. Until its tombstone is there nothing is gone; from then on the next run,
// whatever it is for, ends what was begun.
func TestPruneKilled(t *testing.T) {
	const keeps, stays = 1500, 3300 - 1500 + 1
	for _, tt := range []struct {
		at         string
		tombstones int
	}{
		{"following the leases", 0}, {"packing events 1801", 0}, {"reading back events 1801", 0}, {"recording what goes", 0},
		{"removing archive/00000000000000000001-", 1}, {"removing archive/00000000000000001001-", 1},
	} {
		t.Run(tt.at, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, 3300, 1290)
			s.run()
			s.killed(tt.at, victimKeeps+"="+strconv.Itoa(keeps))
			if _, said := s.tombstones(); len(said) != tt.tombstones {
				t.Fatalf("%d tombstones", len(said))
			}
			s.call(2)
			plan, err := compaction.Plan(s.job)
			if err != nil {
				t.Fatal(err)
			}
			rep := s.run()
			if tt.tombstones == 0 {
				s.whole()
				if rep.Pruned != nil || plan.Pruned != nil {
					t.Errorf("finished: %+v, by the plan %+v", rep.Pruned, plan.Pruned)
				}
			} else {
				s.left(stays)
				if !slices.Equal(rep.Pruned.Finished, plan.Pruned.Finished) || len(rep.Pruned.Finished) == 0 {
					t.Errorf("finished: %q, by the plan %q", rep.Pruned.Finished, plan.Pruned.Finished)
				}
			}
			n := uint64(len(s.after(stays - 1)))
			if p := s.prune(timeOf(9999), journal.Retention{Events: n}); p.Nothing() != (tt.tombstones > 0) {
				t.Errorf("then pruned %+v", p)
			}
			s.left(stays)
			if got, want := s.packed(), []string{"1801-2000", "2001-3000"}; !slices.Equal(got[:2], want) {
				t.Errorf("packed: %v, want %v first", got, want)
			}
			for _, name := range s.names("archive") {
				if strings.HasPrefix(name, "tmp.") {
					t.Errorf("%s is left for ever", name)
				}
			}
		})
	}
}

// TestPruneScattered: where power failed, any of the files that a prune was removing may be there again, whatever became of the others.
// To every reader what they hold is pruned all the same, and the next run removes them.
func TestPruneScattered(t *testing.T) {
	t.Parallel()
	const stays = 5200 - 1500 + 1
	s := newStore(t, 5200, 5050)
	s.run()
	s.killed("removing archive/00000000000000000001-", victimKeeps+"=1500")
	old := make(map[string][]byte)
	for _, name := range s.names("archive")[1:5] { // behind the segment of genesis
		b, err := os.ReadFile(filepath.Join(s.dir, "archive", name))
		if err != nil {
			t.Fatal(err)
		}
		old[name] = b
	}
	names := slices.Sorted(maps.Keys(old))
	if got, want := s.packed()[3:5], []string{"3001-4000", "3701-4000"}; !slices.Equal(got, want) {
		t.Fatalf("%v are there, want %v", got, want)
	}
	s.sound()
	for _, there := range []int{0b0001, 0b0111, 0b0101, 0b1010, 0b1001, 0b0110} { // by the bits, of the first from the right
		var left []string
		for i, name := range names {
			path := filepath.Join(s.dir, "archive", name)
			err := os.Remove(path)
			if errors.Is(err, os.ErrNotExist) {
				err = nil
			}
			if there&(1<<i) != 0 {
				left, err = append(left, "archive/"+name), os.WriteFile(path, old[name], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s.left(stays)
		if _, err := backup.Copy(s.dir, filepath.Join(t.TempDir(), "copy"), backup.CopyOptions{}); err != nil {
			t.Errorf("with %q: backup: %v", left, err)
		}
		plan, err := compaction.Plan(s.job)
		if err != nil {
			t.Fatalf("with %q: %v", left, err)
		}
		rep := s.run()
		if len(left) > 0 && (!slices.Equal(rep.Pruned.Finished, left) || !slices.Equal(plan.Pruned.Finished, left)) {
			t.Errorf("with %q: finished %+v, by the plan %+v", left, rep.Pruned, plan.Pruned)
		}
		s.left(stays)
		if t.Failed() {
			t.Fatalf("with %q", left)
		}
	}
}

// TestPruneForged: a prune event that is not about the events that are there removes none of them, and one that tells of itself or later
// events tells nothing.
func TestPruneForged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		last    journal.Seq
		refused bool
	}{{"another course", 1000, true}, {"itself", 3002, false}, {"beyond", math.MaxUint64, false}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t, 3000, 2500)
			s.run()
			ev := &journal.Event{Kind: journal.KindPrune}
			ev.SetPruned(&journal.Pruned{First: 2, Last: tt.last, FirstWall: 5, LastWall: 6})
			if err := allocator.NewStore(s.job.Store).Note(ev); err != nil {
				t.Fatal(err)
			}
			before := s.tree()
			_, err := compaction.Run(context.Background(), s.job)
			if damage := new(journal.CorruptionError); errors.As(err, &damage) != tt.refused || err != nil && !tt.refused {
				t.Errorf("got %v, refused: %v", err, tt.refused)
			}
			s.same("after", s.tree(), before)
		})
	}
}

// TestPruneHeld: what a hold covers stays, also if it is recorded while the prune is under way.
func TestPruneHeld(t *testing.T) {
	s := newStore(t, 1600, 800)
	s.run()
	note := func(ev *journal.Event, h journal.Hold) journal.Seq {
		t.Helper()
		ev.SetHold(h)
		if err := allocator.NewStore(s.job.Store).Note(ev); err != nil {
			t.Fatal(err)
		}
		return ev.Seq
	}
	first := note(&journal.Event{Kind: journal.KindHold, Text: "case 17", Attributes: []journal.Attribute{{Key: "by", Value: "me"}}},
		journal.Hold{Since: timeOf(500), Until: timeOf(600)})
	if p := s.prune(timeOf(9999), journal.Retention{Events: 200}); p.Gone.Last != 498 || len(p.Held) != 1 || p.Held[0].Seq != first || p.Held[0].Note != "case 17" || p.Held[0].By != "me" {
		t.Fatalf("pruned %+v", p)
	}
	s.left(499)
	end := note(&journal.Event{Kind: journal.KindUnhold, Text: "closed"}, journal.Hold{Of: first})
	holds, _, err := compaction.Holds(s.dir)
	if err != nil || len(holds) != 1 || holds[0].Released != end || holds[0].ReleaseNote != "closed" || holds[0].Active() {
		t.Errorf("holds %+v, %v", holds, err)
	}

	before := s.tree()
	s.job.Retain = &compaction.Retain{Limits: []journal.Retention{{Events: 200}}, Clock: at(timeOf(9999))}
	var meanwhile journal.Seq
	s.job.Progress = func(step string, _, _ uint64) {
		if strings.HasPrefix(step, "recording") {
			meanwhile = note(&journal.Event{Kind: journal.KindHold, Text: "case 18"}, journal.Hold{})
		}
	}
	_, err = compaction.Run(context.Background(), s.job)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("a hold was added meanwhile: event %d", meanwhile)) {
		t.Errorf("got %v", err)
	}
	s.job.Progress = nil
	s.left(499)
	for name, content := range s.tree() {
		if strings.HasPrefix(name, "/archive/") && before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	if p := s.prune(timeOf(9999), journal.Retention{Events: 200}); !p.Nothing() || len(p.Held) != 1 || p.Held[0].Seq != meanwhile {
		t.Errorf("pruned %+v", p)
	}
}

// TestPruneCopy: a copy stays as it is, since nothing can be recorded in it.
func TestPruneCopy(t *testing.T) {
	s := newStore(t, 900, 500)
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "history", "net"), os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	job := s.job
	job.Store.DataDir, job.Store.HistoryDir = filepath.Join(root, "data"), filepath.Join(root, "history")
	job.Retain = &compaction.Retain{Limits: []journal.Retention{{Events: 10}}}
	rep, err := compaction.Run(context.Background(), job)
	if !errors.Is(err, allocator.ErrCopy) || len(rep.Packed) == 0 || rep.Pruned != nil {
		t.Errorf("got %v after %+v", err, rep)
	}
	s.dir = filepath.Join(root, "history", "net")
	s.whole()
}

// TestPruneParent prunes a journal that a repair has succeeded: as a whole, and not while a hold of its own is active.
func TestPruneParent(t *testing.T) {
	s := newStore(t, 1600, 800)
	st := allocator.NewStore(s.job.Store)
	held := &journal.Event{Kind: journal.KindHold, Text: "case 17"}
	held.SetHold(journal.Hold{Since: timeOf(1500)})
	if err := st.Note(held); err != nil {
		t.Fatal(err)
	}
	s.run()
	parent, err := journal.ReadMeta(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.damageNewest()
	if m, err := st.Repair(true, true); err != nil || !m.Succeeds() {
		t.Fatalf("%+v, %v", m, err)
	}
	folder := filepath.Join(s.dir, "archive", parent.ID.String())
	holds, _, err := compaction.Holds(s.dir)
	if err != nil || len(holds) != 1 || holds[0].Seq != held.Seq || !holds[0].Succeeded || holds[0].Journal != parent.ID || !holds[0].Active() {
		t.Fatalf("holds %+v, %v", holds, err)
	}
	for _, tt := range []struct {
		policy journal.Retention
		why    string
	}{{journal.Retention{Events: 3}, "hold of event "}, {journal.Retention{Events: 5000}, "hold of event "}} {
		if p := s.prune(timeOf(9999), tt.policy); !p.Nothing() || len(p.Parents) != 1 || !strings.Contains(p.Parents[0].Why, tt.why) || p.Parents[0].Events < 1600 {
			t.Fatalf("pruned %+v", p)
		}
	}
	end := &journal.Event{Kind: journal.KindUnhold}
	end.SetHold(journal.Hold{Of: held.Seq, Journal: parent.ID})
	if err := st.Note(end); err != nil {
		t.Fatal(err)
	}
	for _, policy := range []journal.Retention{{Events: 5000}, {Keep: 100 * 365 * 24 * time.Hour}, {Bytes: 1 << 40}, {}} {
		if p := s.prune(timeOf(9999), policy); !p.Nothing() || !strings.HasPrefix(p.Parents[0].Why, "the retention is "+policy.String()) {
			t.Errorf("%s: pruned %+v", policy, p)
		}
	}
	s.despite = true // damageNewest has cost an event
	p := s.prune(timeOf(9999), journal.Retention{Events: 3})
	s.despite = false
	if p.Nothing() || !p.Parents[0].Gone || p.Parents[0].Tombstone == 0 {
		t.Fatalf("pruned %+v", p)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", folder, err)
	}
	events, said := s.tombstones()
	if len(said) != 1 || said[0].Journal != parent.ID || said[0].First != 1 || said[0].Last < 1600 || said[0].Digest != (journal.Hash{}) || events[0].Seq != p.Parents[0].Tombstone {
		t.Errorf("tombstones %+v", said)
	}
	if holds, _, err := compaction.Holds(s.dir); err != nil || len(holds) != 0 {
		t.Errorf("holds %+v, %v", holds, err)
	}
	s.sound()

	// What a prune left that died after its tombstone goes with the next run.
	if err := os.MkdirAll(filepath.Join(folder, "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.job.Retain = nil
	if rep := s.run(); rep.Pruned == nil || len(rep.Pruned.Finished) != 1 {
		t.Errorf("finished %+v", rep.Pruned)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there again: %v", folder, err)
	}
}

// TestPruneLost: where a hold may be lost nothing goes, unless somebody knows better.
func TestPruneLost(t *testing.T) {
	succeeded := func(s *store) string {
		s.t.Helper()
		t := s.t
		meta, err := journal.ReadMeta(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := allocator.NewStore(s.job.Store).Repair(true, true); err != nil || !m.Succeeds() {
			t.Fatalf("%+v, %v", m, err)
		}
		s.call(60)
		s.run()
		return filepath.Join(s.dir, "archive", meta.ID.String())
	}

	for _, tt := range []struct {
		name  string
		held  bool // the hold is still to be read in the end
		goes  bool // a prune in spite of it takes the parent
		lose  func(s *store) error
		doubt string
	}{
		{name: "the hold's record", goes: true, doubt: "in succeeded journal 07010000000000000000000000000000 event 1602 is lost: a hold may have been among them", lose: func(s *store) error {
			s.damageAt("case 17")
			succeeded(s)
			return nil
		}},
		{name: "another record", held: true, doubt: "is lost: a hold may have been among them", lose: func(s *store) error {
			s.damageNewest()
			succeeded(s)
			return nil
		}},
		{name: "META damaged", doubt: "succeeded journal 07010000000000000000000000000000 can't be read (", lose: func(s *store) error {
			s.damageNewest()
			return os.WriteFile(filepath.Join(succeeded(s), "META"), []byte("?"), 0o600)
		}},
		{name: "META gone", doubt: "META: damage: missing", lose: func(s *store) error {
			s.damageNewest()
			return os.Remove(filepath.Join(succeeded(s), "META"))
		}},
		{name: "journal/ empty", goes: true, doubt: " succeeded journal 07010000000000000000000000000000", lose: func(s *store) error {
			s.damageNewest()
			dir := filepath.Join(succeeded(s), "journal")
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		}},
		{name: "the folder", doubt: "succeeded journal 07010000000000000000000000000000 is not there, and no prune event tells of it", lose: func(s *store) error {
			s.damageNewest()
			return os.RemoveAll(succeeded(s))
		}},
		{name: "all that is in the folder", doubt: "can't be read (no store", lose: func(s *store) error {
			s.damageNewest()
			dir := succeeded(s)
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		}},
		{name: "what came after a backup", held: true, doubt: "the store was restored from a backup of 2023-11-", lose: func(s *store) error {
			root := s.t.TempDir()
			if err := os.CopyFS(filepath.Join(root, "copy"), os.DirFS(s.dir)); err != nil {
				return err
			}
			s.job.Store.DataDir, s.job.Store.HistoryDir = filepath.Join(root, "data"), filepath.Join(root, "history")
			s.dir = filepath.Join(root, "history", "net")
			_, err := allocator.NewStore(s.job.Store).Restore(allocator.Copied{Dir: filepath.Join(root, "copy"), Taken: time.Unix(0, timeOf(2000)), Covered: time.Unix(0, timeOf(2000))})
			s.call(60)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, 1600, 800)
			ev := &journal.Event{Kind: journal.KindHold, Text: "case 17"}
			ev.SetHold(journal.Hold{Since: timeOf(1500)})
			if err := allocator.NewStore(s.job.Store).Note(ev); err != nil {
				t.Fatal(err)
			}
			hold := ev.Seq
			s.call(60)
			if err := tt.lose(s); err != nil {
				t.Fatal(err)
			}
			holds, doubts, err := compaction.Holds(s.dir)
			if err != nil || len(doubts) != 1 || !strings.Contains(doubts[0], tt.doubt) {
				t.Errorf("doubts %q, %v, want %q", doubts, err, tt.doubt)
			}
			if held := slices.ContainsFunc(holds, func(h compaction.Hold) bool { return h.Seq == hold && h.Active() }); held != tt.held {
				t.Errorf("holds %+v", holds)
			}
			p := s.prune(timeOf(9999), journal.Retention{Events: 3})
			if !p.Nothing() || !slices.ContainsFunc(p.Doubts, func(d string) bool {
				return strings.Contains(d, tt.doubt) && strings.HasPrefix(d, "nothing is pruned: ")
			}) {
				t.Errorf("pruned %+v", p)
			}
			s.despite = true
			p = s.prune(timeOf(9999), journal.Retention{Events: 3})
			s.despite = false
			gone := slices.ContainsFunc(p.Parents, func(p compaction.Parent) bool { return p.Gone })
			if gone != tt.goes {
				t.Errorf("in spite of it pruned %+v", p)
			}
			if !gone {
				return
			}
			events, _ := s.tombstones()
			if want := (journal.Attribute{Key: "policy", Value: "3 events, though a hold may be lost"}); !slices.Contains(events[0].Attributes, want) {
				t.Errorf("the tombstone is %+v", events[0])
			}
			if _, doubts, err := compaction.Holds(s.dir); err != nil || len(doubts) != 0 {
				t.Errorf("doubts %q, %v after that", doubts, err)
			}
		})
	}
}

// TestHoldsDamaged: holds of a store that is damaged are told, and that there may be others.
func TestHoldsDamaged(t *testing.T) {
	s := newStore(t, 300, 100)
	ev := &journal.Event{Kind: journal.KindHold, Text: "case 17"}
	ev.SetHold(journal.Hold{Since: timeOf(200)})
	if err := allocator.NewStore(s.job.Store).Note(ev); err != nil {
		t.Fatal(err)
	}
	s.damageNewest()
	holds, doubts, err := compaction.Holds(s.dir)
	if damage := new(journal.CorruptionError); !errors.As(err, &damage) || len(holds) != 1 || len(doubts) != 1 || !strings.Contains(doubts[0], "is lost: a hold may have been among them") {
		t.Errorf("holds %+v, doubts %q, %v", holds, doubts, err)
	}
}

// damageAt spoils the record in journal/ that has a text, and goes on behind it.
func (s *store) damageAt(text string) {
	s.t.Helper()
	for _, name := range s.names("journal") {
		path := filepath.Join(s.dir, "journal", name)
		b, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
	s.t.Fatalf("%q is nowhere", text)
}

// damageNewest spoils an event that no snapshot covers, so that a repair has to begin a new journal.
func (s *store) damageNewest() {
	s.t.Helper()
	for _, name := range s.names("snap") {
		if err := os.Remove(filepath.Join(s.dir, "snap", name)); err != nil {
			s.t.Fatal(err)
		}
	}
	names := s.names("journal")
	path := filepath.Join(s.dir, "journal", names[len(names)-1])
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
