package replay_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
	slow "github.com/leaselog/leaselog/test/oracle"
)

var prunedTries = flag.Int("prunedtries", 40, "how many histories TestPruned prunes")

// pruning is a history, whole and with its beginning pruned.
type pruning struct {
	events        []journal.Event // whole
	raws          [][]byte
	first         journal.Seq // that is left, but for genesis
	whole, pruned *archive.Reader
	clocks        *replay.Clocks // of all events
}

var prunedID = journal.ID{1}

// source returns records as a reader would.
func (p *pruning) source(after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for i := int(after); i < len(p.events); i++ {
			if !yield(journal.Record{Event: p.events[i], Raw: p.raws[i]}, nil) {
				return
			}
		}
	}
}

// prune packs a history twice: all of it, and, with a tombstone, what is left after a prune, or two.
func prune(t *testing.T, rnd *rand.Rand, events []journal.Event) *pruning {
	t.Helper()
	p := &pruning{events: slices.Clone(events)}
	n := len(events)
	p.first = journal.Seq(3 + rnd.IntN(n-2))
	early := journal.Seq(0) // the first event that a prune before left
	if p.first > 6 && rnd.IntN(3) == 0 {
		early = 3 + journal.Seq(rnd.IntN(int(p.first)-3))
	}
	snaps, st := t.TempDir(), state.New()
	snapshots := make(map[journal.Seq]string)
	var prev journal.Hash
	add := func(ev *journal.Event) {
		ev.Prev, ev.Synced = prev, ev.Seq-1
		raw, err := journal.AppendRecord(nil, prunedID, ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Apply(ev); err != nil {
			t.Fatal(err)
		}
		prev = journal.RecordHash(raw)
		p.raws = append(p.raws, raw)
		if ev.Seq+1 == p.first || ev.Seq+1 == early {
			st.SetHead(prev)
			if snapshots[ev.Seq], err = state.WriteSnapshot(snaps, prunedID, "net0", st); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range p.events {
		add(&p.events[i])
	}
	tombstone := journal.Event{Seq: journal.Seq(n + 1), Clock: p.events[n-1].Clock, Kind: journal.KindPrune, Text: "too old",
		Attributes: []journal.Attribute{{Key: journal.AttributeBy, Value: "somebody"}}}
	tombstone.SetPruned(&journal.Pruned{First: 2, Last: p.first - 1, Head: journal.RecordHash(p.raws[p.first-2])})
	p.events = append(p.events, tombstone)
	add(&p.events[n])
	p.whole = p.pack(t, t.TempDir(), rnd, 1, archive.Options{})
	before := p.whole
	if early != 0 {
		// What the first prune kept is all that the second one sees.
		said := p.events[n]
		said.SetPruned(&journal.Pruned{First: 2, Last: early - 1, Head: journal.RecordHash(p.raws[early-2])})
		once := *p
		once.events, once.raws = slices.Clone(p.events), slices.Clone(p.raws)
		once.events[n] = said
		once.raws[n], _ = journal.AppendRecord(nil, prunedID, &said)
		before = once.pack(t, stub(t, p.raws[0]), rnd, early, archive.Options{Keyframes: []string{snapshots[early-1]}, Before: p.whole})
	}
	p.pruned = p.pack(t, stub(t, p.raws[0]), rnd, p.first, archive.Options{Keyframes: []string{snapshots[p.first-1]}, Before: before})
	p.clocks = &replay.Clocks{}
	for i := range p.events {
		p.clocks.Add(&p.events[i])
	}
	return p
}

// stub makes an archive with a segment of genesis alone.
func stub(t *testing.T, genesis []byte) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%020d", 1)), append(binary.AppendUvarint(nil, uint64(len(genesis))), genesis...), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// pack packs the events from one on, to one file or two, and opens the folder.
func (p *pruning) pack(t *testing.T, folder string, rnd *rand.Rand, first journal.Seq, o archive.Options) *archive.Reader {
	t.Helper()
	last := journal.Seq(len(p.events))
	middle := first + journal.Seq(rnd.IntN(int(last-first)+1))
	for _, part := range [][2]journal.Seq{{first, middle}, {middle + 1, last}} {
		if part[0] > part[1] {
			continue
		}
		if _, err := archive.Pack(folder, journal.Meta{ID: prunedID, Network: "net0"}, part[0], part[1], p.source, o); err != nil {
			t.Fatal(err)
		}
		o = archive.Options{}
	}
	r, err := archive.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// boundary returns the keyframe before the first event that is left.
func boundary(t *testing.T, past *archive.Reader) []replay.Snapshot {
	t.Helper()
	k, err := past.Boundary()
	if err != nil || len(k.Skipped) > 0 {
		t.Fatal(err, k.Skipped)
	}
	if k.Snapshot == nil {
		return nil
	}
	return []replay.Snapshot{{Snapshot: k.Snapshot, File: k.File}}
}

// readPast reads all, or, sparsely, what is about some addresses.
func readPast(t *testing.T, past *archive.Reader, addrs []netip.Addr) *replay.History {
	t.Helper()
	var h *replay.History
	var err error
	if addrs != nil {
		h, err = replay.ReadAbout(past, addrs, replay.Options{})
	} else {
		h, err = replay.ReadPieces(past.Pieces(0), replay.Options{Snapshots: boundary(t, past)})
	}
	if err == nil {
		err = h.Stopped
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// span is when it was so after an event, by a clock.
func (p *pruning) span(i int, clock func(replay.Point) time.Time) (from, to time.Time) {
	at := clock(p.clocks.Point(p.events[i].Seq, p.events[i].Clock))
	next := clock(p.clocks.Point(p.events[i+1].Seq, p.events[i+1].Clock))
	return at, next
}

// instant says what an instant means: only what is left, what was pruned, or neither for certain.
func (p *pruning) instant(at time.Time) (kept, gone bool) {
	kept = true
	recorded := func(p replay.Point) time.Time { return p.Time }
	effective := func(p replay.Point) time.Time { return p.Effective }
	for i := 0; i < int(p.first)-1; i++ {
		for _, clock := range []func(replay.Point) time.Time{effective, recorded} {
			from, to := p.span(i, clock)
			if at.Equal(from) && to.Before(from) || !at.Before(from) && at.Before(to) {
				if i > 0 {
					return false, true
				}
				kept = false // genesis is left, but not when the next event was
			}
		}
		if i == 0 { // nor whether it was the next one at the same instant, or the clock was set back
			first := p.clocks.Point(p.events[0].Seq, p.events[0].Clock)
			kept = kept && !at.Equal(first.Time) && first.Effective.Sub(at).Abs() > first.MaxError
		}
		from, to := p.span(i, effective)
		a, b := p.clocks.Point(p.events[i].Seq, p.events[i].Clock), p.clocks.Point(p.events[i+1].Seq, p.events[i+1].Clock)
		if !at.Before(from.Add(-a.MaxError)) && at.Before(to.Add(b.MaxError)) {
			kept = false
		}
	}
	return kept, false
}

// told is an interval as an answer has it, without where it is known from.
type told struct {
	lease       state.Lease
	start       replay.Point
	end         *replay.End
	doubtful    *replay.Point
	certainty   replay.Certainty
	doubts      string
	overlap     time.Duration
	unsure, any bool
}

func tell(h *replay.Holder) told {
	doubts := slices.DeleteFunc(slices.Clone(h.Doubts), func(d string) bool {
		return strings.HasPrefix(d, "its beginning is known from") || strings.Contains(d, "added by event")
	})
	return told{*h.Lease, h.Start, h.End, h.Doubtful, h.Certainty, strings.Join(doubts, "; "), h.Overlap, h.Unsure, h.Partly}
}

func tellAll(all []replay.Holder) []told {
	list := []told{}
	for i := range all {
		list = append(list, tell(&all[i]))
	}
	return list
}

func intervals(all []replay.Interval) []told {
	list := []told{}
	for i := range all {
		list = append(list, tell(&replay.Holder{Interval: &all[i]}))
	}
	return list
}

// asker asks the same of both.
type prunedAsker struct {
	*testing.T
	p             *pruning
	whole, pruned *replay.History
	kept, gone    int
}

func (a *prunedAsker) same(what string, at time.Time, got, want any, gotCertainty, wantCertainty replay.Certainty) {
	a.Helper()
	kept, gone := a.p.instant(at)
	switch {
	case gone:
		if a.gone++; gotCertainty != replay.Unknown {
			a.Fatalf("%s at %s, which was pruned: %s, %+v; boundary %d", what, at, gotCertainty, got, a.p.first)
		}
	case kept:
		if a.kept++; gotCertainty != wantCertainty || !reflect.DeepEqual(got, want) {
			a.Fatalf("%s at %s, boundary %d:\n got %s %+v\nwant %s %+v", what, at, a.p.first, gotCertainty, got, wantCertainty, want)
		}
	case gotCertainty < wantCertainty && gotCertainty != replay.Uncertain:
		a.Fatalf("%s at %s, near boundary %d: %s, but with all events %s", what, at, a.p.first, gotCertainty, wantCertainty)
	}
}

func (a *prunedAsker) who(h *replay.History, ip netip.Addr, at time.Time) {
	a.Helper()
	q := replay.Asked{From: at, To: at}
	x, y := h.Who(ip, q), a.whole.Who(ip, q)
	type answer struct {
		state   replay.State
		holders []told
		several bool
	}
	a.same(fmt.Sprintf("who %s (%q)", ip, x.Doubts), at, answer{x.State, tellAll(x.Holders), x.Several}, answer{y.State, tellAll(y.Holders), y.Several},
		x.Certainty, y.Certainty)
}

func (a *prunedAsker) table(x, y replay.Table, at time.Time) {
	a.Helper()
	type answer struct {
		leases []told
		open   bool
	}
	a.same("table", at, answer{tellAll(x.Leases), x.Open}, answer{tellAll(y.Leases), y.Open}, x.Certainty, y.Certainty)
}

// rows fails the test where a lease in a table is surer than what is said of its address.
func (a *prunedAsker) rows(table replay.Table, at time.Time) {
	a.Helper()
	for held := range slices.Values(table.Leases) {
		if who := a.pruned.Who(held.Lease.IP, replay.Asked{From: at, To: at}); who.Certainty == replay.Uncertain && !held.Unsure {
			a.Fatalf("table at %s, near boundary %d: %s held %s for certain; who is uncertain (%q)", at, a.p.first, held.Lease.ContainerID,
				held.Lease.IP, who.Doubts)
		}
	}
}

// TestPruned: every question about an instant that is left has the same answer as with all events, and what was pruned is
// unknown.
func TestPruned(t *testing.T) {
	kept, gone, parts, behind := 0, 0, 0, 0
	for seed := range uint64(max(*prunedTries/everyNth, 8)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			events := slow.Random(seed).Whole
			if seed%8 == 0 {
				m := newMaker(seed)
				m.calm = int(seed % 3 * 10)
				for range 250 {
					m.step()
				}
				events = m.events
			}
			st := state.New()
			for i := range events {
				if st.Apply(&events[i]) != nil {
					t.Fatalf("event %d can't have happened", events[i].Seq)
				}
			}
			a := prunedAsker{T: t, p: prune(t, rnd, events)}
			a.whole, a.pruned = readPast(t, a.p.whole, nil), readPast(t, a.p.pruned, nil)
			if !strings.Contains(a.pruned.Pruned(), "pruned at ") || !strings.Contains(a.pruned.Pruned(), "by somebody (event ") {
				t.Fatalf("pruned: %q", a.pruned.Pruned())
			}
			a.askAll(rnd, &parts, &behind)
			kept, gone = kept+a.kept, gone+a.gone
		})
	}
	if kept < 20**prunedTries/everyNth || gone < 20**prunedTries/everyNth || parts < *prunedTries/everyNth || behind < *prunedTries/everyNth {
		t.Errorf("%d answers about what is left, %d about what was pruned, %d tables in parts, %d of them about what was pruned", kept, gone, parts, behind)
	}
}

// sameTable fails the test unless a table that was read in parts is that of all that is left.
func (a *prunedAsker) sameTable(got, want replay.Table, at time.Time) {
	a.Helper()
	if x, y := tellAll(got.Leases), tellAll(want.Leases); got.Certainty != want.Certainty || got.Open != want.Open || !reflect.DeepEqual(x, y) ||
		!slices.Equal(got.Doubts, want.Doubts) {
		a.Fatalf("table at %s, which was pruned, boundary %d:\n got %s %q %+v\nwant %s %q %+v", at, a.p.first, got.Certainty, got.Doubts, x,
			want.Certainty, want.Doubts, y)
	}
}

// find looks for the addresses of those who held some at the end of what was pruned.
func (a *prunedAsker) find() {
	for i := range a.whole.Intervals {
		iv := &a.whole.Intervals[i]
		if iv.Start.Seq >= a.p.first || iv.End != nil && iv.End.Seq < a.p.first || iv.Lease.ContainerID == "" {
			continue
		}
		found, err := a.p.pruned.Find(archive.Query{Container: iv.Lease.ContainerID})
		if err != nil || !slices.Contains(found.Addresses, iv.Lease.IP) || found.First > iv.Start.Seq {
			a.Fatalf("Find(%s) = %+v, %v; want %s of event %d", iv.Lease.ContainerID, found, err, iv.Lease.IP, iv.Start.Seq)
		}
	}
}

// askAll asks about times around events.
func (a *prunedAsker) askAll(rnd *rand.Rand, parts, behind *int) {
	a.find()
	addrs := []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	for i := range a.p.events {
		for _, g := range a.p.events[i].Addresses {
			addrs = append(addrs, g.IP)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	sparse := readPast(a.T, a.p.pruned, addrs)
	for range 60 {
		ev := &a.p.events[rnd.IntN(len(a.p.events))]
		point := a.p.clocks.Point(ev.Seq, ev.Clock)
		at := []time.Time{point.Effective, point.Time, point.Effective.Add(time.Duration(rnd.Int64N(2e9)) - time.Second)}[rnd.IntN(3)].
			Add(time.Duration(rnd.IntN(3) - 1))
		a.who(a.pruned, addrs[rnd.IntN(len(addrs))], at)
		a.who(sparse, addrs[rnd.IntN(len(addrs))], at)
		q := replay.Asked{From: at, To: at}
		want := a.whole.At(q)
		left := a.pruned.At(q)
		a.table(left, want, at)
		a.rows(left, at)
		if part := tableOfPruned(a.T, a.p.pruned, q); part != nil {
			*parts++
			a.table(*part, want, at)
			a.rows(*part, at)
			if _, gone := a.p.instant(at); gone { // the boundary tells as much of it as all that is left
				*behind++
				a.sameTable(*part, left, at)
			}
		}
		a.window(at)
	}
}

// window asks for all leases of the time from an instant on.
func (a *prunedAsker) window(at time.Time) {
	x, y := a.pruned.Between(at, time.Time{}, time.Time{}), a.whole.Between(at, time.Time{}, time.Time{})
	later := false // clocks that were set back may bring pruned events behind it, or genesis, whose own instant is not kept then
	for i := range int(a.p.first) - 1 {
		point := a.p.clocks.Point(a.p.events[i].Seq, a.p.events[i].Clock)
		later = later || !point.Effective.Add(point.MaxError).Before(at) || !point.Time.Before(at)
	}
	if kept, _ := a.p.instant(at); kept && later {
		return
	}
	a.same("window", at, intervals(x.Intervals), intervals(y.Intervals), x.Certainty, y.Certainty)
}

// tableOfPruned returns the table that a part of the history tells, nil if that is not enough.
func tableOfPruned(t *testing.T, past *archive.Reader, q replay.Asked) *replay.Table {
	t.Helper()
	c, err := replay.ClocksOf(past)
	if err != nil {
		t.Fatal(err)
	}
	h, err := replay.ReadPartOn(past, replay.Options{Clocks: c, Asked: []replay.Asked{q}}, 20)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		return nil
	}
	table := h.At(q)
	return &table
}

// again packs the events that are left anew, with what the prune event says changed, beside genesis or beside all.
func (p *pruning) again(t *testing.T, rnd *rand.Rand, folder string, first journal.Seq, o archive.Options, change func(*journal.Pruned)) *archive.Reader {
	t.Helper()
	q := *p
	q.events, q.raws = slices.Clone(p.events), slices.Clone(p.raws)
	n := len(q.events) - 1
	said, _ := q.events[n].Pruned()
	change(&said)
	q.events[n].SetPruned(&said)
	var err error
	if q.raws[n], err = journal.AppendRecord(nil, prunedID, &q.events[n]); err != nil {
		t.Fatal(err)
	}
	return q.pack(t, folder, rnd, first, o)
}

// TestPrunedOrLost: a beginning that is missing is damage unless the newest prune event is about it.
func TestPrunedOrLost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	p := prune(t, rnd, slow.Random(8).Whole)
	kept := archive.Options{Before: p.whole}
	for _, test := range []struct {
		name   string
		first  journal.Seq
		o      archive.Options
		change func(*journal.Pruned)
		gone   bool
		want   []string // of each finding
	}{
		{"pruned", p.first, kept, func(*journal.Pruned) {}, true, []string{"note: events 2 to ", "history: no keyframe tells what was held after event "}},
		{"by a writer that keeps nothing", p.first, archive.Options{}, func(*journal.Pruned) {}, true,
			[]string{"note: events 2 to ", "history: the packed file that begins with event ", "history: no keyframe tells what was held after event "}},
		{"another last event", p.first, kept, func(said *journal.Pruned) { said.Head[0] ^= 1 }, false,
			[]string{"history: missing: event ", "of another event "}},
		{"fewer events", p.first, kept, func(said *journal.Pruned) { said.Last-- }, false,
			[]string{"history: missing: event ", "alone as pruned"}},
		{"of a journal before", p.first, kept, func(said *journal.Pruned) { said.Journal = journal.ID{2} }, false, []string{"history: missing"}},
		{"not finished", 1, archive.Options{}, func(*journal.Pruned) {}, false, []string{"did not come to its end"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			if test.first != 1 {
				folder = stub(t, p.raws[0])
			}
			past := p.again(t, rnd, folder, test.first, test.o, test.change)
			gone, err := past.Pruned()
			if err != nil || (gone != nil) != test.gone {
				t.Fatalf("pruned: %v, %v; want %t", gone, err, test.gone)
			}
			v, err := replay.VerifyArchive(past, folder)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, f := range v.Findings {
				found = append(found, fmt.Sprintf("%s: %s", f.Severity, f.What))
			}
			for _, want := range test.want {
				if !slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, want) }) {
					t.Errorf("verify found %q, not %q", found, want)
				}
			}
			if test.first == 1 {
				return
			}
			at := p.clocks.Point(p.events[1].Seq, p.events[1].Clock).Effective
			h, err := replay.ReadPieces(past.Pieces(0), replay.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if a := h.Who(netip.MustParseAddr("10.0.0.2"), replay.Asked{From: at, To: at}); a.Certainty != replay.Unknown || (h.Pruned() != "") != test.gone {
				t.Errorf("who: %s %q, pruned: %q", a.Certainty, a.Doubts, h.Pruned())
			}
		})
	}
	if v, err := replay.VerifyArchive(p.pruned, t.TempDir()); err != nil || !v.Clean() {
		t.Errorf("verify of what was pruned in order: %v, %+v", err, v.Findings)
	}
}
