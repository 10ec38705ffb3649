package replay_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// TestCountsAreOfIntervals holds counts against the intervals of the same random events, each looked up by itself.
func TestCountsAreOfIntervals(t *testing.T) {
	for seed := range uint64(100) {
		m := newMaker(seed)
		for range 80 {
			m.step()
		}
		var got replay.Counts
		for rec := range chained(t, m.events, 0) {
			if err := got.Take(&rec); err != nil {
				t.Fatalf("seed %d: event %d: %v", seed, rec.Event.Seq, err)
			}
		}
		want := replay.Counts{Seq: got.Seq, Head: got.Head}
		for _, ev := range m.events {
			switch {
			case ev.Kind == journal.KindAdd:
				want.Adds, want.LastAdd = want.Adds+1, ev.Seq
			case ev.Kind == journal.KindDel && ev.Reason == journal.ReasonDel:
				want.Dels++
			case ev.Kind == journal.KindRefuse:
				if want.Refused == nil {
					want.Refused = make(map[int]uint64)
				}
				want.Refused[ev.Code]++
			}
		}
		h, err := replay.Read(records(m.events, nil), replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, iv := range h.Intervals {
			if iv.Lease.Import {
				want.Imports++
			}
			if iv.End == nil {
				want.Held++
				continue
			}
			if want.Released == nil {
				want.Released = make(map[journal.Reason]uint64)
			}
			want.Released[iv.End.Reason]++
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
		}
	}
}

// TestCountsRefuse is about events that don't follow what was counted.
func TestCountsRefuse(t *testing.T) {
	m := newMaker(1)
	for len(m.events) < 10 {
		m.step()
	}
	var recs []journal.Record
	for rec := range chained(t, m.events, 0) {
		recs = append(recs, rec)
	}
	tests := []struct {
		name string
		rec  func() journal.Record
	}{
		{"one is missing", func() journal.Record { return recs[6] }},
		{"another course", func() journal.Record {
			rec := recs[5]
			rec.Event.Prev[0] ^= 1
			return rec
		}},
		{"more leases than there are", func() journal.Record {
			rec := recs[5]
			rec.Event.Kind, rec.Event.Addresses = journal.KindRelease, make([]journal.Address, 100)
			return rec
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c replay.Counts
			for i := range recs[:5] {
				if err := c.Take(&recs[i]); err != nil {
					t.Fatal(err)
				}
			}
			before, rec := c, test.rec()
			err := c.Take(&rec)
			var damage *journal.CorruptionError
			if !errors.As(err, &damage) {
				t.Fatalf("got %v, want damage", err)
			}
			if !reflect.DeepEqual(c, before) {
				t.Errorf("the event was counted all the same: %+v, want %+v", c, before)
			}
		})
	}
}

func count(t *testing.T, dir string, before replay.Counts) replay.Counts {
	t.Helper()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := replay.Count(r, before)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCountGoesOn: counts are the same whether they go on from earlier ones or not, and go on only from those of
// the very events before. Whether they do is told by a count that no counting leads to.
func TestCountGoesOn(t *testing.T) {
	root := inMemory(t)
	dir, s := filepath.Join(root, ".leaselog", "net"), storeAt(root)
	const forged = 1 << 40
	ends := func(c replay.Counts) replay.Counts {
		c.Adds += forged
		return c
	}
	var kept []replay.Counts
	for n := range 20 {
		cycle(t, s, n)
		c := count(t, dir, replay.Counts{})
		for _, before := range kept {
			if got := count(t, dir, before); !reflect.DeepEqual(got, c) {
				t.Fatalf("from event %d: got %+v, want %+v", before.Seq, got, c)
			}
			if got := count(t, dir, ends(before)); got.Adds != c.Adds+forged {
				t.Fatalf("from event %d: counted anew", before.Seq)
			}
		}
		kept = append(kept, c)
	}

	// A wipe is an event like others.
	last := kept[len(kept)-1]
	if err := os.RemoveAll(filepath.Join(root, "net")); err != nil {
		t.Fatal(err)
	}
	cycle(t, s, 100)
	c := count(t, dir, ends(last))
	if got, want := c.Released[journal.ReasonWiped], last.Held; got != want || c.Adds != last.Adds+1+forged {
		t.Errorf("after a wipe: %d ended, want %d; %d adds, want %d", got, want, c.Adds, last.Adds+1+forged)
	}

	// A backup put back that goes on in another way, and another journal.
	backup := filepath.Join(root, "backup")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	old := count(t, dir, replay.Counts{})
	cycle(t, s, 200)
	gone := count(t, dir, replay.Counts{})
	anew := func(name string, before replay.Counts) {
		t.Helper()
		want := count(t, dir, replay.Counts{})
		if got := count(t, dir, ends(before)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
	anew("a backup that ends before", gone)
	cycle(t, s, 300)
	anew("a backup that goes on in another way", gone)
	if got := count(t, dir, ends(old)); got.Adds <= forged {
		t.Error("the backup itself was not gone on from")
	}
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(filepath.Join(root, "net"))); err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		cycle(t, s, n)
	}
	anew("another journal", old)

	wrong := old
	wrong.Head[3] ^= 1
	anew("another hash", wrong)
}

// TestCountOfDamage: what can't be read is not counted around.
func TestCountOfDamage(t *testing.T) {
	dir, _ := busyStore(t)
	all := count(t, dir, replay.Counts{})
	archived := names(t, dir, "archive")
	if len(archived) == 0 {
		t.Fatal("nothing is archived")
	}
	edit(t, archived[0], func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var damage *journal.CorruptionError
	if c, err := replay.Count(r, replay.Counts{}); !errors.As(err, &damage) || !reflect.DeepEqual(c, replay.Counts{}) {
		t.Errorf("got %+v, %v, want damage and no counts", c, err)
	}
	cycle(t, storeAt(filepath.Dir(filepath.Dir(dir))), 500)
	if got := count(t, dir, all); got.Seq <= all.Seq || got.Adds != all.Adds+1 {
		t.Errorf("from counts that end after the damage: got %+v after %+v", got, all)
	}
}
