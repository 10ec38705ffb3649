package archive_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// newStore makes a store of random events, most of whose segments are archived, and returns it with its history.
func newStore(t *testing.T, seed uint64, n int) (dir string, h *history) {
	t.Helper()
	return newSuccessor(t, seed, n, journal.ID{})
}

// newSuccessor is newStore for a journal that has succeeded another.
func newSuccessor(t *testing.T, seed uint64, n int, parent journal.ID) (dir string, h *history) {
	t.Helper()
	h = newHistory(seed, false)
	root := t.TempDir()
	h.tick()
	genesis := &journal.Event{Clock: h.clock, Origin: journal.Origin{Journal: h.id, Node: "here", Parent: parent}}
	h.number = 1
	b, err := journal.NewBuilder(root, journal.NewStore{Network: "n", DataDir: root, Version: "test",
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }}, genesis, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for range n - 1 {
		h.tick()
		ev := h.event()
		ev.Clock = h.clock
		if err := b.Append(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(journal.Seq(n * 3 / 4)); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "n")
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		h.records = append(h.records, rec.Raw)
	}
	return dir, h
}

// loose returns the first events of the segments in archive/, and the first event that isn't there.
func loose(t *testing.T, dir string) (firsts []int, end int) {
	t.Helper()
	names := func(folder string) (found []int) {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil {
				found = append(found, n)
			}
		}
		return found
	}
	return names("archive"), names("journal")[0]
}

func removeLoose(t *testing.T, dir string, first int) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "archive", fmt.Sprintf("%020d", first))); err != nil {
		t.Fatal(err)
	}
}

// TestMixture packs some of a store's archived segments and removes some of those: nothing changes for who reads. Then it
// takes away a file.
func TestMixture(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			n := 2500
			dir, h := newStore(t, 200+seed, n)
			firsts, end := loose(t, dir)
			events := h.decoded(t)
			var packed []archive.Packed
			for i := 0; i < len(firsts); {
				k := min(len(firsts), i+1+h.r.IntN(4))
				last := end - 1
				if k < len(firsts) {
					last = firsts[k] - 1
				}
				if h.r.IntN(3) > 0 {
					packed = append(packed, h.pack(t, filepath.Join(dir, "archive"), firsts[i], last))
					for _, first := range firsts[i:k] {
						if h.r.IntN(4) > 0 {
							removeLoose(t, dir, first)
						}
					}
				}
				i = k
			}
			r := openArchive(t, dir)
			for _, after := range []int{0, h.r.IntN(n), h.r.IntN(n), n - 1, n} {
				checkRecords(t, h, r, after)
				if lost := checkPieces(t, h, r, after, max(n, after), "whole"); lost > 0 {
					t.Errorf("after %d: %d events are lost, none should be", after, lost)
				}
				checkAbout(t, r, h, events, []netip.Addr{h.addr(), h.addr()}, journal.Seq(after))
			}
			checkKinds(t, r, h, journal.KindImport, journal.KindAnnotate)
			checkKinds(t, r, h, journal.KindGenesis)
			checkKinds(t, r, h, journal.KindPrune) // there is none
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			if len(packed) > 0 {
				checkMissing(t, dir, h, packed[h.r.IntN(len(packed))])
			}
		})
	}
}

func checkRecords(t *testing.T, h *history, r *archive.Reader, after int) {
	t.Helper()
	next := after
	for rec, err := range r.Records(journal.Seq(after)) {
		if err != nil {
			t.Fatal(err)
		}
		if int(rec.Event.Seq) != next+1 || !bytes.Equal(rec.Raw, h.records[next]) {
			t.Fatalf("after %d: got event %d, want %d", after, rec.Event.Seq, next+1)
		}
		next++
	}
	if next != len(h.records) {
		t.Fatalf("after %d: ends with event %d, want %d", after, next, len(h.records))
	}
}

// checkKinds compares the events of some kinds with those of all that are of these.
func checkKinds(t *testing.T, r *archive.Reader, h *history, kinds ...journal.Kind) {
	t.Helper()
	var want, got []journal.Seq
	for i, ev := range h.decoded(t) {
		if slices.Contains(kinds, ev.Kind) {
			want = append(want, journal.Seq(i+1))
		}
	}
	for rec, err := range r.OfKinds(kinds...) {
		if err != nil {
			t.Fatal(err)
		}
		if ev := &rec.Event; !bytes.Equal(rec.Raw, h.records[ev.Seq-1]) || !slices.Contains(kinds, ev.Kind) || rec.Light || rec.File == "" {
			t.Fatalf("of kinds %v: event %d is another, or not whole: %+v", kinds, ev.Seq, rec)
		}
		got = append(got, rec.Event.Seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("of kinds %v: got %d, want %d", kinds, got, want)
	}
}

// checkMissing takes away a packed file with the segments that it was made of.
func checkMissing(t *testing.T, dir string, h *history, p archive.Packed) {
	t.Helper()
	if err := os.Remove(p.Path); err != nil {
		t.Fatal(err)
	}
	firsts, _ := loose(t, dir)
	for _, first := range firsts {
		if journal.Seq(first) >= p.First && journal.Seq(first) <= p.Last {
			removeLoose(t, dir, first)
		}
	}
	r := openArchive(t, dir)
	if lost := checkPieces(t, h, r, 0, len(h.records), "missing"); lost != int(p.Last-p.First)+1 {
		t.Errorf("missing %d to %d: %d events are lost", p.First, p.Last, lost)
	}
	next := journal.Seq(1)
	var damage *journal.CorruptionError
	for rec, err := range r.Records(0) {
		if err != nil {
			if !errors.As(err, &damage) || damage.Seq != p.First {
				t.Errorf("missing %d to %d: got %v", p.First, p.Last, err)
			}
			break
		}
		next = rec.Event.Seq + 1
	}
	if next != p.First || damage == nil {
		t.Errorf("missing %d to %d: records end before event %d with %v", p.First, p.Last, next, damage)
	}
}

// TestPackedMeanwhile reads a store whose segments are packed and removed while that is under way.
func TestPackedMeanwhile(t *testing.T) {
	dir, h := newStore(t, 300, 2500)
	firsts, end := loose(t, dir)
	r := openArchive(t, dir)
	next := 0
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rec.Raw, h.records[next]) {
			t.Fatalf("event %d is another", next+1)
		}
		if next++; next == 10 {
			h.pack(t, filepath.Join(dir, "archive"), 1, end-1)
			for _, first := range firsts {
				removeLoose(t, dir, first)
			}
		}
	}
	if next != len(h.records) {
		t.Errorf("got %d events, want %d", next, len(h.records))
	}
}

// keep makes the record the history's next one.
func (h *history) keep(raw []byte) {
	h.records, h.prev = append(h.records, raw), journal.RecordHash(raw)
}

// TestKeyframe keeps snapshots in a packed file.
func TestKeyframe(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	id := journal.ID{1, 2, 3}
	st := state.New()
	h := &history{id: id}
	var paths []string
	for i := range 300 {
		ev := &journal.Event{Seq: journal.Seq(i + 1), Prev: h.prev, Synced: journal.Seq(i)}
		switch {
		case i == 0:
			ev.Kind, ev.Origin = journal.KindGenesis, journal.Origin{Journal: id}
		default:
			ev.Kind, ev.IfName = journal.KindAdd, "eth0"
			ev.ContainerID = fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
			ev.Addresses = []journal.Address{{IP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Bits: 16}}
		}
		raw, err := journal.AppendRecord(nil, id, ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Apply(ev); err != nil {
			t.Fatal(err)
		}
		h.keep(raw)
		if i%100 != 99 {
			continue
		}
		st.SetHead(h.prev)
		path, err := state.WriteSnapshot(dir, id, "n", st)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if _, err := archive.Pack(folder, journal.Meta{ID: id}, 1, 300, h.source, archive.Options{Keyframes: paths}); err != nil {
		t.Fatal(err)
	}
	r := openArchive(t, folder)
	for _, tt := range []struct{ before, want journal.Seq }{{99, 0}, {100, 100}, {199, 100}, {200, 200}, {1000, 300}} {
		k, err := r.Keyframe(tt.before)
		if err != nil || len(k.Skipped) > 0 {
			t.Fatal(err, k.Skipped)
		}
		if tt.want == 0 {
			if k.Snapshot != nil {
				t.Errorf("before %d: got one of event %d", tt.before, k.Snapshot.Seq())
			}
			continue
		}
		if k.Snapshot == nil || k.Snapshot.Seq() != tt.want {
			t.Fatalf("before %d: got %+v, want %d", tt.before, k, tt.want)
		}
		if err := k.Snapshot.Verify(); err != nil {
			t.Error(err)
		}
		if n := k.Snapshot.Len(); n != int(tt.want)-1 {
			t.Errorf("before %d: %d leases, want %d", tt.before, n, tt.want-1)
		}
	}
	if _, err := archive.Pack(folder, journal.Meta{ID: id}, 1, 150, h.source, archive.Options{Keyframes: paths}); err == nil {
		t.Error("a snapshot of a later event was taken as a keyframe")
	}
}
