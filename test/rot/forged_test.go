package rot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// What follows is whole by its checksum and yet wrong: not what one flipped bit makes, but what stands behind the
// checksum when more than that went wrong.

// sealRecord gives a record the checksum of its place.
func sealRecord(id journal.ID, seq journal.Seq, record []byte) []byte {
	at := len(record) - 5 // ce crc32c 5a
	seed := binary.BigEndian.AppendUint64(id[:], uint64(seq))
	sum := crc32.Update(crc32.Checksum(seed, castagnoli), castagnoli, record[:at-1])
	binary.BigEndian.PutUint32(record[at:], sum)
	return record
}

// sealBlock gives a snapshot's block the checksum of its place.
func sealBlock(id journal.ID, seq journal.Seq, number uint32, block []byte) {
	seed := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(id[:], uint64(seq)), number)
	sum := crc32.Update(crc32.Checksum(seed, castagnoli), castagnoli, block[3:4091])
	binary.BigEndian.PutUint32(block[4092:], sum)
}

// withRecord is an event's segment with another record in its place.
func (f *fixture) withRecord(seq journal.Seq, record []byte) []byte {
	e := f.entry(seq)
	was := f.files[e.file]
	now := binary.AppendUvarint(bytes.Clone(was[:e.from]), uint64(len(record)))
	return append(append(now, record...), was[e.to:]...)
}

// encode is a record of the event.
func (f *fixture) encode(t *testing.T, ev journal.Event) []byte {
	t.Helper()
	record, err := journal.AppendRecord(nil, f.id, &ev)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// unpadded is a record of an event whose length is a multiple of 128, with a checksum that fits.
func (f *fixture) unpadded(t *testing.T, ev journal.Event) []byte {
	t.Helper()
	for ev.NetNS = "n"; ; ev.NetNS += "n" {
		record := f.encode(t, ev)
		if record[1] != 0x9c {
			continue
		}
		record[1] = 0x9b
		record = slices.Delete(record, len(record)-7, len(record)-6) // the nil before the checksum
		return sealRecord(f.id, ev.Seq, record)
	}
}

func TestForgedRecords(t *testing.T) {
	f := newFixture(t)
	w := newWorker(t, f, newModel(t, f), filepath.Join(tempRoot(t), "w"))
	fork := f.entry(newerSnapshot + 1).ev
	fork.Prev[0] ^= 1
	elsewhere := bytes.Clone(f.entry(20).raw)
	binary.BigEndian.PutUint64(elsewhere[4:], 21)
	other := f.entry(lastEvent).ev
	other.NetNS = "/another"
	tests := []struct {
		name   string
		seq    journal.Seq
		record []byte
	}{
		{"does not continue what the snapshot covers", newerSnapshot + 1, f.encode(t, fork)},
		{"says another number than its place", 20, sealRecord(f.id, 20, elsewhere)},
		{"sealed for another place", 20, sealRecord(f.id, 21, bytes.Clone(f.entry(20).raw))},
		{"a multiple of 128 bytes", 20, f.unpadded(t, f.entry(20).ev)},
		{"not the event that was acknowledged", lastEvent, f.encode(t, other)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := f.entry(tt.seq)
			j := job{file: e.file, mode: modeRebooted}
			if err := errors.Join(w.put(lockFile, w.lock[j.mode]), w.put(e.file, f.withRecord(tt.seq, tt.record))); err != nil {
				t.Fatal(err)
			}
			c := w.call(scripts[0])
			at := &place{files: []string{e.file}, seq: tt.seq, off: int64(e.from)}
			if err := errors.Join(at.check(w.root, c.addErr), at.check(w.root, c.delErr)); err != nil {
				t.Error(err)
			}
			if err := w.heal(t, j); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestForgedImpossible has an event that gives an address which a snapshot's lease holds. Calls believe events until they
// are asked about their addresses: the ADD looks for a free one there, the DEL is of the address's holder, and both name the event.
func TestForgedImpossible(t *testing.T) {
	f := newFixture(t)
	w := newWorker(t, f, newModel(t, f), filepath.Join(tempRoot(t), "w"))
	impossible := f.entry(20).ev
	impossible.Addresses = slices.Clone(f.entry(14).ev.Addresses) // held
	e := f.entry(20)
	if err := errors.Join(w.put(lockFile, w.lock[modeRebooted]), w.put(e.file, f.withRecord(20, f.encode(t, impossible)))); err != nil {
		t.Fatal(err)
	}
	c := w.call(scripts[0])
	for verb, err := range map[string]error{"ADD": c.addErr, "DEL": c.delErr} {
		var damage *journal.CorruptionError
		if !errors.As(err, &damage) || damage.Seq != 20 {
			t.Errorf("%s: %v, want damage at event 20", verb, err)
		}
	}
}

func TestForgedSnapshots(t *testing.T) {
	f := newFixture(t)
	w := newWorker(t, f, newModel(t, f), filepath.Join(tempRoot(t), "w"))
	newer, older := f.files[snapshotFile(newerSnapshot)], f.files[snapshotFile(olderSnapshot)]
	otherID := f.id
	otherID[0] ^= 1
	foreign := bytes.Clone(newer)
	copy(foreign[3+57:], otherID[:])
	for i := range len(foreign) / snapshotBlock {
		sealBlock(otherID, newerSnapshot, uint32(i), foreign[i*snapshotBlock:][:snapshotBlock])
	}
	moved := bytes.Clone(newer)
	copy(moved[2*snapshotBlock:][:snapshotBlock], newer[snapshotBlock:])
	borrowed := bytes.Clone(newer)
	copy(borrowed[snapshotBlock:][:snapshotBlock], older[snapshotBlock:])
	tests := []struct {
		name string
		file string
		now  []byte
		gc   bool // noticed by who reads all leases
	}{
		{"under another's name", snapshotFile(newerSnapshot + 1), newer, false},
		{"older one under a newer name", snapshotFile(newerSnapshot), older, false},
		{"of another journal", snapshotFile(newerSnapshot), foreign, false},
		{"a block in another's place", snapshotFile(newerSnapshot), moved, false},
		{"a block of the older one", snapshotFile(newerSnapshot), borrowed, false},
		{"one lease more than there are", snapshotFile(newerSnapshot), f.miscounted(t, newer), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := errors.Join(w.put(lockFile, w.lock[modeLive]), w.put(tt.file, tt.now)); err != nil {
				t.Fatal(err)
			}
			var err error
			if tt.gc {
				err = w.store.GC([]state.Attachment{based, recent, newest, legacy})
			}
			c := w.call(scripts[0])
			if err := errors.Join(err, c.addErr, c.delErr, w.toldOf(tt.file)); err != nil {
				t.Error(err)
			}
			for _, got := range w.check(job{file: metaFile, damage: damage{kind: cut}}) {
				want := w.m.after[lastEvent][0].held[got.who]
				if held := timeless(got.held); got.err != nil || !slices.Equal(held, want) {
					t.Errorf("afterwards %s holds %v (%v), want %v", asked[got.who].ContainerID, held, got.err, want)
				}
			}
			if err := w.heal(t, job{file: snapshotFile(newerSnapshot)}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// miscounted is a snapshot whose header says one lease too many, consistently and with a checksum that fits.
func (f *fixture) miscounted(t *testing.T, was []byte) []byte {
	t.Helper()
	now := bytes.Clone(was)
	key := append([]byte{0xa6}, "leases"...)
	at := bytes.Index(now, key)
	list := append([]byte{0xa8}, "sections"...)
	section := bytes.Index(now, list)
	if at < 0 || section < 0 {
		t.Fatal("the header has no count of leases")
	}
	for _, i := range []int{at + len(key), section + len(list) + 1 + 2 + 5 + 5} { // [4] [4] 1, first, blocks, entries
		if now[i] != 0xcf {
			t.Fatalf("no count at byte %d of the header", i)
		}
		binary.BigEndian.PutUint64(now[i+1:], binary.BigEndian.Uint64(now[i+1:])+1)
	}
	sealBlock(f.id, newerSnapshot, 0, now[:snapshotBlock])
	return now
}

// toldOf wants exactly one repair event beyond the fixture's, about this snapshot.
func (w *worker) toldOf(file string) error {
	l, err := w.newEvents(lastEvent)
	if err != nil {
		return err
	}
	var told []string
	for _, rec := range l.added {
		if rec.Event.Kind == journal.KindRepair {
			told = append(told, rec.Event.Cut.File)
		}
	}
	if got, want := strings.Join(told, " "), filepath.Base(file); got != want {
		return fmt.Errorf("repairs told of %q, want %q", got, want)
	}
	return nil
}
