package replay_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// packedHistory packs events in files that end anywhere, with keyframes anywhere.
func packedHistory(t *testing.T, rnd *rand.Rand, events []journal.Event) *archive.Reader {
	t.Helper()
	id, folder, snaps := journal.ID{1}, t.TempDir(), t.TempDir()
	st := state.New()
	var all []journal.Record
	var prev journal.Hash
	keyframes := make(map[int]string)
	for i := range events {
		ev := events[i]
		ev.Prev, ev.Synced = prev, ev.Seq-1
		raw, err := journal.AppendRecord(nil, id, &ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Apply(&ev); err != nil {
			t.Fatal(err)
		}
		prev = journal.RecordHash(raw)
		all = append(all, journal.Record{Event: ev, Raw: raw})
		if rnd.IntN(60) != 0 {
			continue
		}
		st.SetHead(prev)
		if keyframes[i+1], err = state.WriteSnapshot(snaps, id, "net0", st); err != nil {
			t.Fatal(err)
		}
	}
	source := func(after journal.Seq) iter.Seq2[journal.Record, error] {
		return func(yield func(journal.Record, error) bool) {
			for _, rec := range all[after:] {
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
	for first := 1; first <= len(events); {
		last := min(len(events), first+rnd.IntN(len(events)))
		var o archive.Options
		for i := first; i <= last; i++ {
			if path, ok := keyframes[i]; ok {
				o.Keyframes = append(o.Keyframes, path)
			}
		}
		if _, err := archive.Pack(folder, journal.Meta{ID: id, Network: "net0"}, journal.Seq(first), journal.Seq(last), source, o); err != nil {
			t.Fatal(err)
		}
		first = last + 1
	}
	r, err := archive.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// TestReadPart compares tables from parts of histories with those from all of them, at the time of each event, just before and
// just after it, before the first and after the last.
func TestReadPart(t *testing.T) {
	parts, questions, doubts := 0, 0, 0
	for seed := range uint64(max(12/everyNth, 4)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := newMaker(900 + seed)
			m.calm, m.never = int(seed%3)*10, seed%2 != 0
			if seed%4 < 2 {
				m.events[0].Origin.Parent = journal.ID{2}
				m.events[0].Attributes = []journal.Attribute{{Key: journal.AttributeLost, Value: []string{"0", "3"}[seed%2]}}
			}
			for range 300 {
				m.step()
			}
			for i := range m.events {
				if ev := &m.events[i]; ev.Kind == journal.KindImport && i%2 == 0 {
					ev.Attributes = []journal.Attribute{{Key: journal.AttributeDoubt, Value: "the parent has lost events"}}
				} else if ev.Kind == journal.KindImport && i%3 == 0 {
					ev.Attributes = []journal.Attribute{{Key: journal.AttributeParentSeq, Value: "7"}}
				}
			}
			past := packedHistory(t, m.rnd, m.events)
			whole, err := replay.ReadPieces(past.Pieces(0), replay.Options{})
			if err != nil || whole.Stopped != nil {
				t.Fatal(err, whole.Stopped)
			}
			for i := range m.events {
				at := m.events[i].Time().Add(time.Duration(m.rnd.IntN(3)-1) * []time.Duration{1, time.Second}[m.rnd.IntN(2)])
				to := at
				switch m.rnd.IntN(20) {
				case 0:
					at = at.Add([]time.Duration{-10 * time.Hour, 1000 * time.Hour}[m.rnd.IntN(2)])
					to = at
				case 1, 2, 3, 4, 5:
					to = at.Add(time.Duration(m.rnd.IntN(60)) * time.Second)
				}
				q := replay.Asked{From: at, To: to}
				part := tableOfPart(t, past, q, journal.Seq(m.rnd.IntN(2)*20))
				if questions++; part == nil {
					continue
				}
				want := whole.At(q)
				parts++
				for _, held := range want.Leases {
					if held.Doubtful != nil {
						doubts++
					}
				}
				if !reflect.DeepEqual(*part, want) {
					t.Fatalf("at %s:\n got %+v\nwant %+v", at, *part, want)
				}
			}
		})
	}
	if parts < questions || doubts == 0 {
		t.Errorf("%d of %d tables were read in part, with %d doubts", parts, questions, doubts)
	}
}

// tableOfPart returns the table that a part of the history tells, nil if that is not enough.
func tableOfPart(t *testing.T, past *archive.Reader, q replay.Asked, on journal.Seq) *replay.Table {
	t.Helper()
	c := &replay.Clocks{}
	if err := past.Clocks(func(ev *journal.Event) error { c.Add(ev); return nil }); err != nil {
		t.Fatal(err)
	}
	h, err := replay.ReadPartOn(past, replay.Options{Clocks: c, Asked: []replay.Asked{q}}, on)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		return nil
	}
	table := h.At(q)
	return &table
}
