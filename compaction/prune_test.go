package compaction_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	s.job.Retain = &compaction.Retain{Limits: limits, Why: "rule 7", By: "root (0) on node", Clock: at(now)}
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
		if f.Severity != replay.SeverityNote && !strings.Contains(f.What, "were pruned at") {
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
	if p.Gone.First != 2 || p.Gone.Last != now-1 || p.Nothing() { // event 1200 is exactly so old, and not older
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
