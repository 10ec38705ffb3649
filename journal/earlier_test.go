package journal

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"testing"
)

// TestEarlier has events come back as they were, in whatever order they were added.
func TestEarlier(t *testing.T) {
	clock := Clock{Wall: 7, BootTime: 5, Boot: BootID{3}, Synchronised: true, MaxError: 4}
	doubt := func(text, parent string) (all []Attribute) {
		if text != "-" {
			all = append(all, Attribute{AttributeDoubt, text})
		}
		if parent != "" {
			all = append(all, Attribute{AttributeParentSeq, parent})
		}
		return all
	}
	want := []Event{
		{Seq: 1, Clock: clock, Kind: KindGenesis, Origin: Origin{Node: "node"}},
		{Seq: 2, Clock: clock, Kind: KindRefuse},
		{Seq: 3, Kind: KindImport, Attributes: doubt("lost", "17")},
		{Seq: 4, Clock: clock, Kind: KindImport, Attributes: doubt("lost", "")},
		{Seq: 5, Clock: clock, Kind: KindImport, Attributes: doubt("-", "18446744073709551615")},
		{Seq: 6, Clock: clock, Kind: KindImport, Attributes: doubt("", "")},
		{Seq: 7, Clock: clock, Kind: KindImport, Attributes: doubt("other", "017")},
		{Seq: 8, Clock: clock, Kind: KindImport, Attributes: doubt("other", "0")},
		{Seq: 9, Clock: clock, Kind: KindImport, Attributes: []Attribute{{"by", "me"}}},
		{Seq: 10, Clock: clock, Kind: KindImport, Claimed: 3},
		{Seq: 11, Clock: clock, Kind: KindRefuse, Text: "full"},
		{Seq: 12, Clock: clock, Kind: KindHold, Text: "case 1"},
		{Seq: 13, Clock: clock, Kind: KindImport, moreN: 1},
		{Seq: 20, Clock: clock, Kind: KindImport},
	}
	for range 50 {
		e := &Earlier{}
		for _, i := range rand.Perm(len(want)) {
			if rand.N(2) == 0 {
				e.Add(&Event{Seq: want[i].Seq, Kind: KindRefuse})
			}
			e.Add(&want[i])
			if want[i].Kind != KindRefuse {
				e.Add(&Event{Seq: want[i].Seq, Kind: KindRefuse})
			}
		}
		var got []Event
		for ev := range e.All() {
			if ev.Kind == KindRefuse {
				ev.Clock, ev.Text = clock, want[len(got)].Text // of two the one that came first
			}
			got = append(got, *ev)
		}
		if !reflect.DeepEqual(got, want) || e.Len() != len(want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		if found := e.Find(12); !reflect.DeepEqual(found, want[11]) {
			t.Errorf("event 12: %+v", found)
		}
		if found := e.Find(15); found.Seq != 0 {
			t.Errorf("event 15: %+v", found)
		}
	}
	var none *Earlier
	if none.Len() != 0 || none.Find(1).Seq != 0 {
		t.Error("nil has events")
	}
	for range none.All() {
		t.Error("nil has events")
	}
}

// TestEarlierMemory: what is told of each lease after a repair takes no Event each, of which 250,000 would be 180 MB and more.
func TestEarlierMemory(t *testing.T) {
	const n = 50_000
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, e := used(), &Earlier{}
	for i := range Seq(n) {
		e.Add(&Event{Seq: i + 2, Kind: KindImport, Attributes: []Attribute{
			{AttributeDoubt, fmt.Sprintf("%s of %d kinds", "one", i%7)}, {AttributeParentSeq, strconv.Itoa(int(i) + 70)}}})
	}
	if each := (used() - before) / n; each > 128 {
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(e)
}
