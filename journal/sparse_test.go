package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// addOf returns an add of an address, under a configuration.
func addOf(ip string, config journal.Seq) *journal.Event {
	return &journal.Event{Kind: journal.KindAdd, ContainerID: "c" + ip, IfName: "eth0", Config: config,
		Addresses: []journal.Address{{IP: netip.MustParseAddr(ip), Bits: 24}}}
}

// sparseStore makes a store with what a sparse read must tell apart, and returns which events are needed whole for
// 10.0.0.7 and fd00::7.
func sparseStore(t *testing.T) (dir string, whole []journal.Seq) {
	t.Helper()
	dir = newStore(t)
	j, events := open(t, dir)
	defer j.Close()
	whole = []journal.Seq{1} // the first event
	n := journal.Seq(len(events))
	for _, tt := range []struct {
		ev    *journal.Event
		whole bool
	}{
		{addOf("10.0.0.1", 2), true}, // the first add
		{addOf("10.0.0.2", 2), false},
		{addOf("10.0.0.7", 2), true},
		{addOf("10.0.0.70", 2), false},
		{addOf("10.0.0.3", 5), true}, // another configuration
		{addOf("10.0.0.4", 5), false},
		{&journal.Event{Kind: journal.KindAdd, ContainerID: "r", Config: 5, Ranges: [][]journal.Range{{{
			Subnet: netip.MustParsePrefix("10.1.0.0/24"), Start: netip.MustParseAddr("10.1.0.1"), End: netip.MustParseAddr("10.1.0.9")}}}}, true},
		{&journal.Event{Kind: journal.KindAdd, ContainerID: "d", Config: 5, Dropped: []string{"ranges"}}, true},
		{&journal.Event{Kind: journal.KindDel, ContainerID: "c", Reason: journal.ReasonDel}, false},
		{&journal.Event{Kind: journal.KindDel, ContainerID: "c", Reason: journal.ReasonGC}, true},
		{&journal.Event{Kind: journal.KindRelease, ContainerID: "c", Reason: journal.ReasonForce}, false},
		{&journal.Event{Kind: journal.KindRefuse, ContainerID: "c", Code: 102, Requested: []netip.Addr{netip.MustParseAddr("fd00::7")}}, true},
		{&journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped}, true},
		{&journal.Event{Kind: journal.KindConfig, Digest: journal.Hash{1}}, true},
		{&journal.Event{Kind: journal.KindRepair, Text: "torn"}, true},
		{&journal.Event{Kind: 40, Text: "unknown"}, true},
		{&journal.Event{Kind: 90, Text: "unknown"}, false},
	} {
		if err := j.Append(tt.ev); err != nil {
			t.Fatal(err)
		}
		if n++; tt.whole {
			whole = append(whole, n)
		}
	}
	return dir, whole
}

func TestSparse(t *testing.T) {
	dir, whole := sparseStore(t)
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []journal.Record
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, rec)
	}
	addrs := []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.7"), netip.MustParseAddr("fd00::7"), {}}
	var got []journal.Seq
	n := 0
	for rec, err := range r.Sparse(journal.NewNeedles(addrs), 0) {
		if err != nil {
			t.Fatal(err)
		}
		w := want[n]
		if rec.Light {
			w.Event, w.Raw, w.Light = journal.Event{Seq: w.Event.Seq, Clock: w.Event.Clock, Kind: w.Event.Kind}, nil, true
		} else {
			got = append(got, rec.Event.Seq)
		}
		if !reflect.DeepEqual(rec, w) {
			t.Errorf("event %d: got %+v, want %+v", n+1, rec, w)
		}
		n++
	}
	if n != len(want) || !slices.Equal(got, whole) {
		t.Errorf("got %d events, whole %v; want %d, whole %v", n, got, len(want), whole)
	}
	n = 0
	for rec, err := range r.Raw(2) {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rec.Raw, want[n+2].Raw) || rec.Event.Seq != want[n+2].Event.Seq {
			t.Errorf("raw event %d is another", n+3)
		}
		n++
	}
	if n != len(want)-2 {
		t.Errorf("got %d raw events, want %d", n, len(want)-2)
	}
}

// TestSparseDamage damages each byte of a segment: the sparse read ends where Records does.
func TestSparseDamage(t *testing.T) {
	dir, _ := sparseStore(t)
	path := segmentPath(dir, 1)
	content := read(t, path)
	ends := func(walk func(*journal.Reader) error) (string, journal.Seq) {
		r, err := journal.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		var damage *journal.CorruptionError
		if err = walk(r); errors.As(err, &damage) {
			return damage.File, damage.Seq
		}
		t.Fatalf("got %v, want damage", err)
		return "", 0
	}
	for i := range content {
		changed := slices.Clone(content)
		changed[i] ^= 0x10
		write(t, path, changed)
		wantFile, wantSeq := ends(func(r *journal.Reader) (last error) {
			for _, err := range r.Records(0) {
				last = err
			}
			return last
		})
		for name, walk := range map[string]func(*journal.Reader) error{
			"sparse": func(r *journal.Reader) (last error) {
				for _, err := range r.Sparse(journal.NewNeedles(nil), 0) {
					last = err
				}
				return last
			},
			"raw": func(r *journal.Reader) (last error) {
				for _, err := range r.Raw(0) {
					last = err
				}
				return last
			},
		} {
			if file, seq := ends(walk); file != wantFile || seq != wantSeq {
				t.Errorf("byte %d: %s ends at %s event %d, records at %s event %d", i, name, file, seq, wantFile, wantSeq)
			}
		}
	}
}

// TestOutline compares outlines with what is decoded, and makes the records again from their parts.
func TestOutline(t *testing.T) {
	for i, ev := range append(sampleEvents(), laterEvents()...) {
		ev.Seq, ev.Synced, ev.Prev = journal.Seq(i+1), journal.Seq(i), journal.Hash{byte(i)}
		raw, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		var o journal.Outline
		if !o.Read(raw) {
			t.Fatalf("event %d: no outline", i+1)
		}
		if o.Seq != ev.Seq || o.Synced != ev.Synced || o.Clock != ev.Clock || o.Kind != ev.Kind {
			t.Errorf("event %d: got %+v, want %+v", i+1, o, ev)
		}
		if got := journal.Seq(o.Number(raw, journal.OutlineConfig)); got != ev.Config {
			t.Errorf("event %d: config %d, want %d", i+1, got, ev.Config)
		}
		for field, there := range map[int]bool{journal.OutlineAddresses: len(ev.Addresses) > 0, journal.OutlineRanges: len(ev.Ranges) > 0,
			journal.OutlineDropped: len(ev.Dropped) > 0, journal.OutlinePod: ev.Pod != journal.Pod{}, journal.OutlineContainerID: ev.ContainerID != ""} {
			if (o.Fields[field] != journal.Span{}) != there {
				t.Errorf("event %d: field %d: %+v", i+1, field, o.Fields[field])
			}
		}
		again := append(o.AppendHead([]byte("x"), &ev.Prev), raw[o.Body:o.Tail]...)
		if again = journal.CompleteRecord(again, 1, testID, ev.Seq); !bytes.Equal(again[1:], raw) {
			t.Errorf("event %d: made again\n% x, want\n% x", i+1, again[1:], raw)
		}
		for n := range raw { // cut short it must not end in a panic
			o.Read(raw[:n])
		}
		var own journal.Event
		if err := journal.DecodeOwned(&own, testID, ev.Seq, raw); err != nil || !reflect.DeepEqual(own.Clock, ev.Clock) {
			t.Errorf("event %d: decoded %+v, %v", i+1, own, err)
		}
	}
}

// TestSparseOtherCourse puts a segment of another course of the same journal in the place of one: each of its records is whole.
func TestSparseOtherCourse(t *testing.T) {
	dir := newStore(t)
	other := filepath.Join(t.TempDir(), filepath.Base(dir))
	fill := func(dir string, from, to int, text string) {
		t.Helper()
		j, _ := open(t, dir)
		defer j.Close()
		for i := from; i < to; i++ {
			ev := addOf(fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200), 0)
			ev.ContainerID += text
			if err := j.Append(ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(dir, 0, 10, "")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	fill(dir, 10, 800, "a")
	fill(other, 10, 800, "b")
	first := "journal/00000000000000000001"
	b, err := os.ReadFile(filepath.Join(other, first))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, first), b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, err := range r.Sparse(journal.NewNeedles(nil), 0) {
		if err != nil {
			if _, damage := errors.AsType[*journal.CorruptionError](err); !damage || !strings.Contains(err.Error(), "another hash") {
				t.Errorf("got %v, want damage: another hash", err)
			}
			return
		}
	}
	t.Error("the other course's segment was read as this one's")
}
