package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/leaselog/leaselog/journal"
)

var testID = journal.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// sampleEvents holds one event of each kind that the first golden store has, with every field of then in some of
// them. What came later is in laterEvents.
func sampleEvents() []journal.Event {
	clock := journal.Clock{Wall: 1_790_000_000_123_456_789, BootTime: 86_400_000_000_001, Boot: journal.BootID{0xab, 15: 0xcd},
		Synchronised: true, MaxError: 1500 * time.Microsecond}
	addresses := []journal.Address{
		{Set: 0, IP: netip.MustParseAddr("10.1.2.3"), Bits: 24, Gateway: netip.MustParseAddr("10.1.2.1")},
		{Set: 1, IP: netip.MustParseAddr("2001:db8::3"), Bits: 64},
	}
	ranges := [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.1.2.0/24"), Start: netip.MustParseAddr("10.1.2.1"),
		End: netip.MustParseAddr("10.1.2.254"), Gateway: netip.MustParseAddr("10.1.2.1")}}, {}}
	events := []journal.Event{
		{Kind: journal.KindGenesis, Version: "v1", Origin: journal.Origin{Network: "net", Node: "node", Journal: testID,
			Parent: journal.ID{9}, ParentSeq: 1 << 40, ParentHash: journal.Hash{7}}},
		{Kind: journal.KindConfig, Digest: journal.Hash{1}, Ranges: ranges},
		{Kind: journal.KindAdd, ContainerID: strings.Repeat("c0ffee", 11), IfName: "eth0", NetNS: "/var/run/netns/x",
			Pod: journal.Pod{Namespace: "ns", Name: "pod", UID: "u-1"}, TraceParent: "00-aa-bb-01", Addresses: addresses,
			Cursors: []journal.Cursor{{Set: 0, IP: addresses[0].IP}, {Set: 300, IP: addresses[1].IP}}, Version: "v1", Config: 2,
			Attributes: []journal.Attribute{{Key: "a", Value: ""}, {Key: "b", Value: "x"}}, Ranges: ranges},
		{Kind: journal.KindDel, ContainerID: "c", IfName: "eth0", Reason: journal.ReasonGC, Addresses: addresses},
		{Kind: journal.KindRefuse, ContainerID: "c", IfName: "eth0", Code: 100, Text: "no IP addresses available",
			Requested: []netip.Addr{addresses[0].IP, addresses[1].IP}, Dropped: []string{"netns"}},
		{Kind: journal.KindImport, Addresses: addresses[:1], Blocked: true, Claimed: -5},
		{Kind: journal.KindRepair, Text: "torn tail", Cut: journal.Cut{File: "00000000000000000001", Offset: 70000, Bytes: 12,
			Quarantine: "q", Data: []byte{0, 0, 0xff}}},
		{Kind: journal.KindRelease, ContainerID: "c", IfName: "eth0", Reason: journal.ReasonForce},
		{Kind: journal.KindReset, Reason: journal.ReasonWiped},
		{Kind: 99},
	}
	for i := range events {
		events[i].Clock = clock
		events[i].Seq, events[i].Synced = journal.Seq(i+1), journal.Seq(i)
		events[i].Prev = journal.Hash{byte(i)}
	}
	return events
}

// laterEvents holds what came after sampleEvents: the identity of a network namespace, and annotations.
func laterEvents() []journal.Event {
	samples := sampleEvents()
	add, imported := samples[2], samples[5]
	add.NetNSID = journal.NetNSID{Inode: 4026532281, Made: 1_790_000_000_023_456_789}
	imported.Blocked, imported.ContainerID, imported.NetNS = false, "legacy", "/proc/42/ns/net"
	imported.NetNSID = journal.NetNSID{Inode: 1<<64 - 1}
	events := []journal.Event{
		samples[0], add, imported,
		{Kind: journal.KindAnnotate, ContainerID: "legacy", Addresses: imported.Addresses, NetNS: "/var/run/netns/y",
			NetNSID: journal.NetNSID{Inode: 1, Made: -1 << 63}, Pod: journal.Pod{Namespace: "ns", Name: "pod", UID: "u-2"}, Version: "v2",
			Attributes: []journal.Attribute{{Key: "source", Value: "cni-cache"}}},
		{Kind: journal.KindAnnotate, ContainerID: add.ContainerID, IfName: "eth0", Addresses: add.Addresses[1:], NetNSID: journal.NetNSID{Made: 5}},
	}
	for i := range events {
		events[i].Clock = samples[0].Clock
		events[i].Seq, events[i].Synced = journal.Seq(i+1), journal.Seq(i)
		events[i].Prev = journal.Hash{byte(i)}
	}
	return events
}

// retentionEvents holds what came with retention: prunes and holds.
func retentionEvents() []journal.Event {
	samples := sampleEvents()
	by := []journal.Attribute{{Key: journal.AttributeBy, Value: "root (0) on node"}, {Key: journal.AttributePolicy, Value: "180d"}}
	events := []journal.Event{
		samples[0],
		{Kind: journal.KindPrune, Text: "storage is limited", Version: "v3", Attributes: by},
		{Kind: journal.KindPrune},
		{Kind: journal.KindHold, Text: "case 17", Version: "v3", Attributes: by[:1]},
		{Kind: journal.KindUnhold, Text: "closed", Attributes: by[:1]},
		{Kind: journal.KindUnhold},
	}
	events[1].SetPruned(&pruned)
	events[2].SetPruned(&journal.Pruned{First: 1, Last: 1 << 40, Journal: journal.ID{9}})
	events[3].SetHold(hold)
	events[4].SetHold(journal.Hold{Of: 4})
	events[5].SetHold(journal.Hold{Of: 1 << 33, Journal: journal.ID{15: 1}})
	for i := range events {
		events[i].Clock = samples[0].Clock
		events[i].Seq, events[i].Synced = journal.Seq(i+1), journal.Seq(i)
		events[i].Prev = journal.Hash{byte(i)}
	}
	return events
}

var (
	pruned = journal.Pruned{First: 2, Last: 70000, FirstWall: -1, LastWall: 1_790_000_000_123_456_789, Digest: journal.Hash{1}, Head: journal.Hash{31: 2},
		Kinds: []journal.KindCount{{Kind: journal.KindAdd, Events: 40000}, {Kind: journal.KindDel, Events: 29998}, {Kind: journal.KindPrune, Events: 1}}}
	hold = journal.Hold{Since: -5, Until: 1_790_000_000_000_000_000}
)

func allEvents() []journal.Event {
	return slices.Concat(sampleEvents(), laterEvents(), retentionEvents())
}

// TestManyFields has a body of more fields than the short form of a map's head can count.
func TestManyFields(t *testing.T) {
	want := sampleEvents()[2]
	want.Reason, want.Code, want.Text, want.Requested = journal.ReasonGC, 100, "text", []netip.Addr{want.Addresses[0].IP}
	want.Digest, want.Claimed, want.Dropped = journal.Hash{1}, -5, []string{"netns"}
	record, err := journal.AppendRecord([]byte("before"), testID, &want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.DecodeRecord(testID, want.Seq, record[len("before"):])
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range allEvents() {
		t.Run(fmt.Sprint(want.Kind, want.Seq), func(t *testing.T) {
			record, err := journal.AppendRecord(nil, testID, &want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := journal.DecodeRecord(testID, want.Seq, record)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded\n%+v, want\n%+v", got, want)
			}
			again, err := journal.AppendRecord(nil, testID, &got)
			if err != nil || !bytes.Equal(again, record) {
				t.Errorf("encoded again: %x, %v; want %x", again, err, record)
			}
			if _, err := journal.DecodeRecord(testID, want.Seq+1, record); err == nil {
				t.Error("accepted at another place")
			}
			if _, err := journal.DecodeRecord(journal.ID{}, want.Seq, record); err == nil {
				t.Error("accepted in another journal")
			}
		})
	}
}

// TestRecordIsMsgpack reads records with the msgpack library: any tool can.
func TestRecordIsMsgpack(t *testing.T) {
	for _, ev := range allEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		dec := msgpack.NewDecoder(bytes.NewReader(record))
		dec.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
		got, err := dec.DecodeInterface()
		if err != nil {
			t.Fatalf("%s: %v", ev.Kind, err)
		}
		outer, ok := got.([]any)
		if !ok || len(outer) != 3 || fmt.Sprint(outer[2]) != "90" {
			t.Fatalf("%s: %v is not [event, checksum, 90]", ev.Kind, got)
		}
		inner := outer[0].([]any)
		if fmt.Sprint(inner[1]) != fmt.Sprint(uint64(ev.Seq)) || fmt.Sprint(inner[4]) != fmt.Sprint(ev.Wall) {
			t.Errorf("%s: library reads seq %v and time %v, want %d and %d", ev.Kind, inner[1], inner[4], ev.Seq, ev.Wall)
		}
		if dec.Buffered().(interface{ Len() int }).Len() != 0 {
			t.Errorf("%s: bytes after the record", ev.Kind)
		}
	}
}

func TestRecordRefusesFlips(t *testing.T) {
	for _, ev := range allEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(record) * 8 {
			record[bit/8] ^= 1 << (bit % 8)
			if _, err := journal.DecodeRecord(testID, ev.Seq, record); err == nil {
				t.Fatalf("%s: accepted with bit %d flipped", ev.Kind, bit)
			}
			record[bit/8] ^= 1 << (bit % 8)
		}
		for n := range record {
			if _, err := journal.DecodeRecord(testID, ev.Seq, record[:n]); err == nil {
				t.Fatalf("%s: accepted when cut to %d bytes", ev.Kind, n)
			}
		}
	}
}

func TestRecordLengthIsNeverMultipleOf128(t *testing.T) {
	padded := 0
	for n := range 600 {
		ev := journal.Event{Seq: 7, Kind: journal.KindDel, NetNS: strings.Repeat("n", n)}
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		if len(record)%128 == 0 {
			t.Fatalf("netns of %d bytes: record of %d bytes", n, len(record))
		}
		if len(record)%128 == 1 {
			padded++
		}
		if _, err := journal.DecodeRecord(testID, 7, record); err != nil {
			t.Fatalf("netns of %d bytes: %v", n, err)
		}
	}
	if padded == 0 {
		t.Error("no record needed padding: the test reaches nothing")
	}
}

func TestRecordLimits(t *testing.T) {
	ev := journal.Event{Seq: 1, Kind: journal.KindDel, ContainerID: strings.Repeat("c", journal.MaxRecord)}
	if _, err := journal.AppendRecord(nil, testID, &ev); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if err := journal.Fits(ev); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("Fits: got %v, want ErrTooLarge", err)
	}
	ev = journal.Event{Seq: 1, Kind: journal.KindDel, ContainerID: "c", NetNS: strings.Repeat("n", journal.MaxRecord)}
	if err := journal.Fits(ev); err != nil {
		t.Errorf("Fits with a long optional field: %v", err)
	}
	if ev.NetNS == "" {
		t.Error("Fits changed the caller's event")
	}
}

// TestDecodeSizesAreChecked feeds lengths that promise more than there is.
func TestDecodeSizesAreChecked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ev := range allEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			broken := bytes.Clone(record)
			for range 1 + r.IntN(4) {
				broken[r.IntN(len(broken))] = byte(r.Uint32())
			}
			journal.Reseal(testID, ev.Seq, broken)
			got, err := journal.DecodeRecord(testID, ev.Seq, broken)
			if err != nil {
				continue
			}
			again, err := journal.AppendRecord(nil, testID, &got)
			if err != nil || !bytes.Equal(again, broken) {
				t.Fatalf("%x decodes but encodes to %x, %v", broken, again, err)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, ev := range allEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record, uint64(ev.Seq))
	}
	f.Fuzz(func(t *testing.T, record []byte, seq uint64) {
		journal.Reseal(testID, journal.Seq(seq), record)
		ev, err := journal.DecodeRecord(testID, journal.Seq(seq), record)
		if err != nil {
			return
		}
		again, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil || !bytes.Equal(again, record) {
			t.Errorf("%x decodes but encodes to %x, %v", record, again, err)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	ev := sampleEvents()[2]
	record, err := journal.AppendRecord(nil, testID, &ev)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(record)))
		var room []byte
		for b.Loop() {
			room, _ = journal.AppendRecord(room[:0], testID, &ev)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(record)))
		for b.Loop() {
			if _, err := journal.DecodeRecord(testID, ev.Seq, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}
