package oracle_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/oracle"
)

var (
	stores = flag.Int("stores", 25, "how many stores TestCompacted compacts and prunes, again and again")
	full   = flag.Bool("full", false, "TestCompacted tries fifty times as many stores")
)

const (
	rounds   = 4  // of each store
	perRound = 60 // questions, each asked in every way
)

// compacted is a store of a random history that is compacted, and pruned, bit by bit.
type compacted struct {
	*testing.T
	rnd  *rand.Rand
	dir  string
	job  compaction.Job
	c    *oracle.Case
	w    *world
	all  []journal.Record // of c.Whole
	gone journal.Seq      // up to this event all but genesis were pruned
	seen map[string]int

	past  *archive.Reader
	whole *replay.History                // read from all that is there
	about map[netip.Addr]*replay.History // read sparsely
}

// TestCompacted compacts stores of random histories in many small steps, prunes them by random retentions, and asks in
// between: every question about a kept instant has the oracle's answer, which knows all events; every question about a
// pruned one is unknown. Asked are those who read sparsely, in parts, and all.
func TestCompacted(t *testing.T) {
	n := *stores
	if *full {
		n *= 50
	}
	if raceDetector || testing.Short() {
		n /= 8
	}
	seen := map[string]int{}
	for s := *seed; n > 0; s++ {
		c := oracle.Random(s)
		c.Lost, c.Snapshots, c.Wiped = make([]bool, len(c.Whole)), nil, false
		if !possible(c.Whole) {
			continue
		}
		if n%4 == 0 && !gcSpares(c) {
			continue // of these there are few
		}
		n--
		t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
			s := newCompacted(t, c, rand.New(rand.NewPCG(s, 4)), seen)
			s.ask("before")
			for round := range rounds {
				s.round(round)
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("from -seed %d on: %v", *seed, seen)
	for _, what := range []string{"kept", "pruned", "near", "parts", "pruned, by the boundary alone", "prunes", "merges", "keyframes", "files", "a prune after a prune",
		"a boundary file packed anew", "a lease that a pruned GC spared", "by number", "by age", "by size"} {
		if seen[what] == 0 {
			t.Errorf("-seed %d: not once: %s", *seed, what)
		}
	}
}

// gcSpares reports whether a GC spares a lease that ends later.
func gcSpares(c *oracle.Case) bool {
	s := &compacted{c: c, w: &world{s: c.Store()}, rnd: rand.New(rand.NewPCG(1, 1))}
	s.w.past = oracle.NewPast(s.w.s)
	return s.spared() != 0
}

// possible reports whether the events can have happened.
func possible(events []journal.Event) bool {
	st := state.New()
	for i := range events {
		if st.Apply(&events[i]) != nil {
			return false
		}
	}
	return true
}

// newCompacted makes the store. Its history ends yesterday: what a prune records is of now.
func newCompacted(t *testing.T, c *oracle.Case, rnd *rand.Rand, seen map[string]int) *compacted {
	t.Helper()
	root := memory(t)
	every := journal.Seq(2 + rnd.IntN(8))
	limits := compaction.Limits{MaxEvents: journal.Seq(3 + rnd.IntN(20)), MergeBelow: journal.Seq(1 + rnd.IntN(12))}
	s := &compacted{T: t, rnd: rnd, dir: filepath.Join(root, "history", "net0"), c: c, seen: seen, job: compaction.Job{Limits: limits,
		Keyframes: func(int) journal.Seq { return every },
		Store: allocator.Options{Network: "net0", DataDir: filepath.Join(root, "data"), HistoryDir: filepath.Join(root, "history"),
			Version: "test", AllowNetworkFS: true, LockTimeout: time.Minute}}}
	shift := time.Now().Add(-24*time.Hour).UnixNano() - c.Whole[0].Wall
	c.Now += shift
	for i := range c.Whole {
		ev := &c.Whole[i]
		ev.Wall += shift
		if ev.Claimed != 0 {
			ev.Claimed += shift
		}
	}
	genesis := &c.Whole[0]
	genesis.Origin.Journal, genesis.Origin.Node = journal.ID{7}, "node"
	b, err := journal.NewBuilder(filepath.Join(root, "history"), journal.NewStore{Network: "net0", DataDir: s.job.Store.DataDir, Version: "test",
		AllowNetworkFS: true, Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(root, "data", "net0"), id, s.dir)
		}}, genesis, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Whole[1:] {
		if err := b.Append(&c.Whole[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(0); err != nil {
		t.Fatal(err)
	}
	c.Whole = nil
	s.take()
	return s
}

// take takes in what was recorded since.
func (s *compacted) take() {
	s.Helper()
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	for rec, err := range r.Records(journal.Seq(len(s.all))) {
		if err != nil {
			s.Fatal(err)
		}
		rec.Raw = slices.Clone(rec.Raw)
		s.all, s.c.Whole = append(s.all, rec), append(s.c.Whole, rec.Event)
		s.c.Now = max(s.c.Now, rec.Event.Wall+int64(time.Second))
	}
	s.c.Lost = make([]bool, len(s.all))
}

// round seals some more events, compacts and asks, and mostly prunes and asks again.
func (s *compacted) round(n int) {
	s.Helper()
	last := s.c.Whole[len(s.c.Whole)-1].Seq
	aim := s.spared()
	if aim != 0 {
		s.cut(aim + 1)
	}
	for range 1 + s.rnd.IntN(3) {
		s.cut(1 + journal.Seq(s.rnd.Uint64N(uint64(last))))
	}
	s.job.Retain = nil
	if s.rnd.IntN(4) > 0 {
		s.run()
		s.ask(fmt.Sprintf("round %d, compacted", n))
	}
	if aim != 0 || s.rnd.IntN(4) > 0 {
		limit := s.retention()
		if aim != 0 {
			s.seen["a lease that a pruned GC spared"]++
			limit = journal.Retention{Events: uint64(len(s.all)) - uint64(aim)}
		}
		s.job.Retain = &compaction.Retain{Limits: []journal.Retention{limit}, Why: "too old", By: "somebody"}
		s.run()
		s.ask(fmt.Sprintf("round %d, pruned up to event %d by %s", n, s.gone, s.job.Retain.Limits[0]))
	}
}

// spared returns an event to prune up to: a GC before it has spared a lease that ends after it, and that is what shows how long that
// was in use. It is 0 if there is none.
func (s *compacted) spared() journal.Seq {
	for _, ip := range s.w.s.Addresses() {
		for _, l := range s.w.past.Intervals(ip) {
			if l.Doubtful && !l.Doubt && l.Window > max(l.Start, s.gone) && l.Window+1 < l.End && s.c.Whole[l.Window-1].Reason == journal.ReasonGC {
				return l.Window + journal.Seq(s.rnd.Uint64N(uint64(l.End-l.Window-1)))
			}
		}
	}
	return 0
}

// cut begins a new segment behind an event of the newest one, as if it had been full.
func (s *compacted) cut(after journal.Seq) {
	s.Helper()
	segments, err := journal.Segments(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	newest := segments[len(segments)-1]
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	var head, rest []byte
	for rec, err := range r.Records(newest - 1) {
		if err != nil {
			s.Fatal(err)
		}
		to := &head
		if rec.Event.Seq > after {
			to = &rest
		}
		*to = append(binary.AppendUvarint(*to, uint64(len(rec.Raw))), rec.Raw...)
	}
	if len(head) == 0 || len(rest) == 0 {
		return
	}
	folder := filepath.Join(s.dir, "journal")
	for first, content := range map[journal.Seq][]byte{newest: head, after + 1: rest} {
		if err := os.WriteFile(filepath.Join(folder, journal.SegmentName(first)), content, 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// retention is a random one that lets something go, or nothing.
func (s *compacted) retention() journal.Retention {
	s.Helper()
	left := len(s.c.Whole) - int(s.gone)
	switch s.rnd.IntN(3) {
	case 0:
		s.seen["by number"]++
		return journal.Retention{Events: uint64(1 + s.rnd.IntN(left))}
	case 1:
		s.seen["by age"]++
		ev := &s.c.Whole[int(s.gone)+s.rnd.IntN(left)]
		return journal.Retention{Keep: time.Duration(max(1, time.Now().UnixNano()-ev.Wall))}
	}
	s.seen["by size"]++
	var live, packed int64
	for folder, n := range map[string]*int64{"journal": &live, "archive": &packed} {
		for _, e := range s.list(folder) {
			st, err := e.Info()
			if err != nil {
				s.Fatal(err)
			}
			*n += st.Size()
		}
	}
	return journal.Retention{Bytes: live + s.rnd.Int64N(packed+2)}
}

func (s *compacted) list(folder string) []os.DirEntry {
	s.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err != nil {
		s.Fatal(err)
	}
	return entries
}

// run compacts, and takes in what was recorded meanwhile.
func (s *compacted) run() {
	s.Helper()
	rep, err := compaction.Run(context.Background(), s.job)
	if err != nil {
		s.Fatal(err)
	}
	s.count("merges", len(rep.Merged))
	s.count("files", max(0, len(rep.Packed)-1))
	for _, f := range rep.Packed {
		s.count("keyframes", len(f.Keyframes))
		if f.First > 1 && f.First == s.gone+1 {
			s.seen["a boundary file packed anew"]++
		}
	}
	if p := rep.Pruned; p != nil && p.Gone.First != 0 {
		s.seen["prunes"]++
		if s.gone > 0 {
			s.seen["a prune after a prune"]++
		}
		s.gone = p.Gone.Last
	}
	s.take()
}

func (s *compacted) count(what string, n int) { s.seen[what] += n }

// open reads the store in the ways that it is read.
func (s *compacted) open() (done func()) {
	s.Helper()
	var err error
	if s.past, err = archive.Open(s.dir); err != nil {
		s.Fatal(err)
	}
	o := replay.Options{}
	for _, e := range s.list("snap") {
		snap, err := state.OpenSnapshot(filepath.Join(s.dir, "snap", e.Name()), journal.ID{7})
		if err != nil {
			s.Fatal(err)
		}
		o.Snapshots = append(o.Snapshots, replay.Snapshot{Snapshot: snap, File: "snap/" + e.Name()})
	}
	s.whole, err = replay.ReadLeft(s.past, s.past.Pieces(0), o)
	s.good("read", s.whole, err)
	s.about = map[netip.Addr]*replay.History{}
	return func() {
		for _, snap := range o.Snapshots {
			err = errors.Join(err, snap.Close())
		}
		if err = errors.Join(err, s.past.Close()); err != nil {
			s.Error(err)
		}
	}
}

// good fails the test if a reading came to no good end.
func (s *compacted) good(what string, h *replay.History, err error) {
	s.Helper()
	if err == nil && h != nil {
		err = h.Stopped
	}
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// sparse is what is read about an address alone.
func (s *compacted) sparse(ip netip.Addr) *replay.History {
	s.Helper()
	h := s.about[ip]
	if h == nil {
		var err error
		h, err = replay.ReadAbout(s.past, []netip.Addr{ip}, replay.Options{})
		s.good("read about "+ip.String(), h, err)
		s.about[ip] = h
	}
	return h
}

// part is what is read for the table of one instant; nil if that must be all.
func (s *compacted) part(q oracle.Question) *replay.History {
	s.Helper()
	clocks, err := replay.ClocksOf(s.past)
	if err != nil {
		s.Fatal(err)
	}
	h, err := replay.ReadPart(s.past, replay.Options{Clocks: clocks, Asked: []replay.Asked{s.w.asked(q)}})
	s.good("read a part", h, err)
	return h
}

// ask asks questions of the store as it is now, and looks that all else is sound.
func (s *compacted) ask(when string) {
	s.Helper()
	store := s.c.Store()
	s.w = &world{c: s.c, s: store, past: oracle.NewPast(store)}
	s.w.times = s.w.past.Times()
	defer s.open()()
	if gone, err := s.past.Pruned(); err != nil || (gone != nil) != (s.gone > 0) || gone != nil && gone.Last != s.gone {
		s.Fatalf("%s: pruned: %v, %v; want up to event %d", when, gone, err, s.gone)
	}
	think := &asker{s.rnd, s.w, s.w.addresses()}
	var all []*query
	for _, ip := range think.ips { // what is left of each
		all = append(all, &query{verb: "history", ip: ip, from: s.left(), to: oracle.Far})
	}
	for range perRound {
		all = append(all, think.next())
	}
	for _, q := range all {
		s.question(when, q)
		if s.Failed() {
			return
		}
	}
	s.sound(when)
}

// left is the first instant from which on nothing was pruned; -Far if there is none such.
func (s *compacted) left() int64 {
	for _, t := range s.w.times {
		if s.meets(t, oracle.Far) == kept {
			return t
		}
	}
	return -oracle.Far
}

// question asks one, in every way.
func (s *compacted) question(when string, q *query) {
	s.Helper()
	for how, read := range map[string]func(oracle.Question) *replay.History{
		"whole":  func(oracle.Question) *replay.History { return s.whole },
		"sparse": func(oracle.Question) *replay.History { return s.sparse(q.ip) },
		"parts":  s.part,
	} {
		if how == "sparse" && q.verb != "who" && q.verb != "history" || how == "parts" && (q.verb == "who" || q.verb == "history") {
			continue
		}
		h := read(q.a)
		if h == nil {
			continue // leasectl reads all then
		}
		s.count(how, 1)
		if q.verb == "at" && how == "parts" && s.prunedBy(q.a) == pruned {
			s.count("pruned, by the boundary alone", 1)
		}
		var want, got *said
		switch q.verb {
		case "who":
			want, got = s.w.whoByOracle(q.ip, q.a), s.w.whoByReplay(h, q.ip, q.a)
		case "at":
			want, got = s.w.atByOracle(q.a), s.w.atByReplay(h, q.a)
		case "history":
			want, got = s.w.historyByOracle(q.ip, q.from, q.to), s.w.historyByReplay(h.Of(q.ip), q.from, q.to)
		case "diff":
			other := read(q.b)
			if other == nil || s.prunedBy(q.a) > near || s.prunedBy(q.b) > near {
				continue // an unknown table is at's to try
			}
			want, got = s.w.diffByOracle(q.a, q.b), s.w.diffOf(h, other, q.a, q.b)
		}
		s.judge(when+", "+how, q, want, got)
	}
}

// How a question meets what was pruned.
const (
	kept   = iota
	near   // within the clocks' errors
	pruned // it is unknown
)

// prunedBy says how a question about an instant, or a span, meets what was pruned.
func (s *compacted) prunedBy(q oracle.Question) int {
	if q.Now {
		return kept
	}
	return s.meets(q.At-q.Skew, q.At+q.Skew)
}

func (s *compacted) meets(lo, hi int64) int {
	candidates, possible := s.w.past.Meant(lo, hi)
	gone := func(seq journal.Seq) bool { return seq > 1 && seq <= s.gone }
	first := func(seq journal.Seq) bool { return s.gone > 0 && seq == 1 } // genesis is left, but not when the next event was
	switch {
	case slices.ContainsFunc(candidates, gone):
		return pruned
	case slices.ContainsFunc(possible, gone), slices.ContainsFunc(slices.Concat(candidates, possible), first):
		return near
	}
	return kept
}

// judge holds an answer against the oracle's, who knows what was pruned.
func (s *compacted) judge(when string, q *query, want, got *said) {
	s.Helper()
	how := s.prunedBy(q.a)
	switch q.verb {
	case "history":
		how = s.meets(q.from, q.to)
	case "diff":
		how = max(how, s.prunedBy(q.b))
	}
	ok := true
	switch how {
	case kept:
		s.count("kept", 1)
		ok = want.equal(got)
	case near:
		s.count("near", 1)
		ok = q.verb == "diff" || got.exit == 2 || got.exit == 3 || got.exit == want.exit
	case pruned:
		s.count("pruned", 1)
		ok = got.exit == 3
	}
	if !ok {
		s.Errorf("%s: %s (%s):\noracle: %s\nreplay: %s\nup to event %d all were pruned of\n%s", when, s.w.print(q),
			[]string{"kept", "near what was pruned", "pruned"}[how], want, got, s.gone, s.w.s)
	}
}

// sound looks at what is no question about an instant: the counts, and what verify finds.
func (s *compacted) sound(when string) {
	s.Helper()
	st := state.New()
	for i := range s.c.Whole {
		if err := st.Apply(&s.c.Whole[i]); err != nil {
			s.Fatal(err)
		}
	}
	var want replay.Counts
	for i := range s.all {
		if err := want.Take(&s.all[i]); err != nil {
			s.Fatal(err)
		}
	}
	got, err := replay.Count(counted{s.past}, replay.Counts{})
	if err != nil || got.Seq != want.Seq || got.Head != want.Head || got.Held != want.Held || got.Held != uint64(st.Len()) ||
		s.gone == 0 && (got.LastAdd != want.LastAdd || got.Adds != want.Adds || got.Dels != want.Dels || got.Imports != want.Imports) {
		s.Errorf("%s: counts %+v, %v; want %+v", when, got, err, want)
	}
	v, err := replay.Verify(s.dir, "")
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range v.Findings {
		if f.Severity != replay.SeverityNote {
			s.Errorf("%s: verify: %+v", when, f)
		}
	}
}

// counted is a store whose events are counted.
type counted struct{ *archive.Reader }

// Left is what the counts of a pruned store begin with.
func (c counted) Left() (replay.Counts, error) { return replay.CountsLeft(c.Reader) }
