package journal_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestHeaderAtOnce holds the two ways to read a record's fixed part against each other, with every byte of it
// changed in turn: either is possible exactly where the other is.
func TestHeaderAtOnce(t *testing.T) {
	const fixed = 91
	r := rand.New(rand.NewPCG(3, 4))
	for _, ev := range allEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		for at := range fixed {
			for _, c := range []byte{record[at], record[at] ^ 1, record[at] ^ 0x80, 0, 0xff, 0x9f, byte(r.Uint32())} {
				broken := bytes.Clone(record)
				broken[at] = c
				plain, n, err := journal.DecodeHeaderPlainly(broken)
				quick, m, ok := journal.DecodeHeader(broken)
				if ok != (err == nil) || ok && (n != m || !reflect.DeepEqual(plain, quick)) {
					t.Fatalf("%s with byte %d = %02x: at once %v %v %d, value by value %v %d, %v", ev.Kind, at, c, ok, quick, m, plain, n, err)
				}
			}
		}
		for n := range fixed {
			if _, _, ok := journal.DecodeHeader(record[:n]); ok {
				t.Fatalf("%s: a header in %d bytes", ev.Kind, n)
			}
		}
	}
}

// TestListsAreTheEventsOwn reads a store whose events have one address, several and none, and appends to what it got: no event
// changes by what is done with another.
func TestListsAreTheEventsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), journal.SegmentName(1))
	var want []journal.Event
	var segment []byte
	for i := range 200 {
		ev := sampleEvents()[2]
		ev.Seq, ev.Synced = journal.Seq(i+1), journal.Seq(i)
		ev.Addresses, ev.Cursors = ev.Addresses[:i%3], ev.Cursors[:i%2]
		if i == 100 {
			for range 5 {
				ev.Addresses = append(ev.Addresses, sampleEvents()[2].Addresses...)
			}
		}
		if len(ev.Addresses) == 0 {
			ev.Addresses = nil
		}
		if len(ev.Cursors) == 0 {
			ev.Cursors = nil
		}
		want = append(want, ev)
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		segment = append(binary.AppendUvarint(segment, uint64(len(record))), record...)
	}
	write(t, path, segment)
	var got []journal.Event
	for rec, err := range journal.ScanFile(path, testID) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.Event)
	}
	for i := range got {
		_ = append(got[i].Addresses, journal.Address{Set: 7})
		_ = append(got[i].Cursors, journal.Cursor{Set: 7})
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("events differ from what was written")
	}
}
