package archive_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// history makes records as the plugin writes them, and others that a later version or a damaged disk might have left.
type history struct {
	r       *rand.Rand
	id      journal.ID
	records [][]byte
	prev    journal.Hash
	clock   journal.Clock
	held    []*journal.Event
	number  int
	odd     bool // also what this version doesn't write
}

func newHistory(seed uint64, odd bool) *history {
	h := &history{r: rand.New(rand.NewPCG(seed, 1)), odd: odd}
	for i := range h.id {
		h.id[i] = byte(h.r.Uint32())
	}
	h.clock = journal.Clock{Wall: 1_700_000_000_000_000_000, BootTime: 5_000_000_000, Synchronised: true, MaxError: 1500 * time.Microsecond}
	h.boot()
	return h
}

func (h *history) boot() {
	for i := range h.clock.Boot {
		h.clock.Boot[i] = byte(h.r.Uint32())
	}
	if h.r.IntN(8) == 0 {
		h.clock.Boot = journal.BootID{}
	}
	h.clock.BootTime = h.r.Int64N(1e10)
	h.clock.Synchronised = h.r.IntN(2) == 0
}

func (h *history) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[h.r.IntN(16)]
	}
	return string(b)
}

func (h *history) uuid() string {
	return h.hex(8) + "-" + h.hex(4) + "-" + h.hex(4) + "-" + h.hex(4) + "-" + h.hex(12)
}

// tick lets time pass, now and then in an odd way.
func (h *history) tick() {
	d := h.r.Int64N(3e9)
	h.clock.Wall += d
	h.clock.BootTime += d
	h.clock.MaxError = time.Duration(h.r.IntN(600)) * time.Millisecond
	switch h.r.IntN(60) {
	case 0:
		h.clock.Wall -= h.r.Int64N(20e9)
	case 1:
		h.clock.Wall += h.r.Int64N(4e7)
	case 2:
		h.boot()
	case 3:
		h.clock.Synchronised = !h.clock.Synchronised
	case 5: // by less than counts as a step
		h.clock.Wall -= d + h.r.Int64N(9e6)
		h.clock.BootTime -= d
	case 4:
		h.clock.BootTime += int64(2 * time.Minute)
		h.clock.Wall += int64(2 * time.Minute)
	}
}

// name makes a container ID: mostly what runtimes make.
func (h *history) name() string {
	switch h.r.IntN(10) {
	case 0:
		return "pod-" + h.hex(5)
	case 1:
		return h.hex(31)
	case 2:
		return "x"
	case 3:
		return fmt.Sprintf("%0*d", 5+h.r.IntN(20), h.r.IntN(100000))
	}
	return h.hex(64)
}

func (h *history) addr() netip.Addr {
	if h.r.IntN(4) == 0 {
		return netip.MustParseAddr(fmt.Sprintf("fd00::%x", 2+h.r.IntN(60)))
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + h.r.IntN(60))})
}

func (h *history) pod() journal.Pod {
	names := []string{"web-7d9f8b6c5d-abcde", "web-7d9f8b6c5d-" + h.suffix(), "db-0", "cron-29862595-" + h.suffix(), "a", "", "-", "0012345-x", "café-1"}
	return journal.Pod{Namespace: []string{"default", "", "kube-system"}[h.r.IntN(3)], Name: names[h.r.IntN(len(names))],
		UID: []string{h.uuid(), h.hex(32), "", "uid"}[h.r.IntN(4)]}
}

func (h *history) suffix() string {
	b := make([]byte, 5)
	for i := range b {
		b[i] = "bcdfghjklmnpqrstvwxz2456789"[h.r.IntN(27)]
	}
	return string(b)
}

// event makes the next event: it ends an old lease as often as it begins one.
func (h *history) event() *journal.Event {
	h.number++
	ev := &journal.Event{Version: "test", Config: journal.Seq(2 + h.number/300), IfName: "eth0"}
	if h.number == 1 {
		return &journal.Event{Kind: journal.KindGenesis, Origin: journal.Origin{Network: "n", Journal: h.id}}
	}
	switch k := h.r.IntN(24); {
	case k < 9 || len(h.held) == 0:
		ev.Kind, ev.ContainerID, ev.Pod = journal.KindAdd, h.name(), h.pod()
		ev.NetNS = []string{"/var/run/netns/cni-" + h.uuid(), "/proc/" + fmt.Sprint(h.r.IntN(99999)) + "/ns/net", ""}[h.r.IntN(3)]
		for set := range 1 + h.r.IntN(2) {
			a := journal.Address{Set: set, IP: h.addr(), Bits: 24, Gateway: netip.MustParseAddr("10.0.0.1")}
			ev.Addresses = append(ev.Addresses, a)
			ev.Cursors = append(ev.Cursors, journal.Cursor{Set: set, IP: a.IP})
		}
		if h.r.IntN(4) == 0 {
			ev.TraceParent = "00-" + h.hex(32) + "-" + h.hex(16) + "-01"
		}
		if h.r.IntN(20) == 0 {
			ev.Ranges = [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Start: h.addr(), End: h.addr()}}}
		}
		if h.r.IntN(20) == 0 {
			ev.Dropped = []string{"ranges"}
		}
		if h.r.IntN(5) == 0 {
			ev.NetNSID = journal.NetNSID{Inode: uint64(h.r.Uint32()), Made: h.clock.Wall}
		}
		h.held = append(h.held, ev)
	case k < 18:
		i := h.r.IntN(len(h.held))
		old := h.held[i]
		h.held = slices.Delete(h.held, i, i+1)
		ev = &journal.Event{Kind: journal.KindDel, Reason: journal.Reason(1 + h.r.IntN(2)), ContainerID: old.ContainerID, IfName: old.IfName,
			NetNS: old.NetNS, Pod: old.Pod, Addresses: old.Addresses, Version: "test"}
		if k == 17 {
			ev.Kind, ev.Reason, ev.Text = journal.KindRelease, []journal.Reason{journal.ReasonForce, 0}[h.number%2], "by hand, because of "+h.hex(20)
		}
	case k == 18:
		ev = &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: h.name(), IfName: "eth0"}
	case k == 19:
		ev.Kind, ev.Code, ev.Text, ev.ContainerID, ev.Requested = journal.KindRefuse, 101, "held by somebody", h.name(), []netip.Addr{h.addr(), h.addr()}
	case k == 20:
		old := h.held[h.r.IntN(len(h.held))]
		ev = &journal.Event{Kind: journal.KindAnnotate, ContainerID: old.ContainerID, IfName: old.IfName, Pod: h.pod(), Addresses: old.Addresses,
			Attributes: []journal.Attribute{{Key: "source", Value: "cni-cache"}}}
	case k == 21:
		ev = &journal.Event{Kind: journal.KindImport, ContainerID: h.name(), Addresses: []journal.Address{{IP: h.addr(), Bits: 24}}, Claimed: h.clock.Wall - 5}
	case k == 22 && h.r.IntN(6) == 0:
		ev = &journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped}
	default:
		ev = &journal.Event{Kind: journal.Kind(70 + h.r.IntN(3)), Text: "later"}
	}
	return ev
}

// append makes so many records.
func (h *history) append(t testing.TB, n int) {
	t.Helper()
	for range n {
		h.tick()
		ev := h.event()
		ev.Clock, ev.Prev = h.clock, h.prev
		ev.Seq = journal.Seq(len(h.records) + 1)
		ev.Synced = ev.Seq - 1
		if h.r.IntN(9) == 0 && ev.Seq > 3 {
			ev.Synced -= 2
		}
		raw, err := journal.AppendRecord(nil, h.id, ev)
		if err != nil {
			t.Fatal(err)
		}
		if h.odd && ev.Seq > 1 && h.r.IntN(12) == 0 {
			raw = h.strange(raw, ev)
		}
		h.records = append(h.records, raw)
		h.prev = journal.RecordHash(raw)
	}
}

// strange makes a record of a later version: with another field, another kind, or more elements; or one of another
// course of the journal.
func (h *history) strange(raw []byte, ev *journal.Event) []byte {
	var o journal.Outline
	if !o.Read(raw) {
		panic("not a record")
	}
	body, more := slices.Clone(raw[o.Body:o.Tail]), 0
	var tail []byte
	switch h.r.IntN(4) {
	case 0:
		if body[0] == 0x8f {
			return raw
		}
		body[0]++
		body = append(body, byte([]int{50, 100}[h.r.IntN(2)]), 0xa3, 'a', 'b', byte(h.r.Uint32()&0x7f))
	case 1:
		o.Kind = journal.Kind(40 + h.r.IntN(2)*50)
	case 2:
		tail, more = []byte{0x2a, 0xa2, 'h', 'i'}, 2
	case 3:
		ev.Prev[3] ^= 1
	}
	out := append(o.AppendHead(nil, &ev.Prev), body...)
	out = append(out, tail...)
	out[1] += byte(more)
	return journal.CompleteRecord(out, 0, h.id, ev.Seq)
}

// source is the records as Pack takes them.
func (h *history) source(after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for i := int(after); i < len(h.records); i++ {
			if !yield(journal.Record{Event: journal.Event{Seq: journal.Seq(i + 1)}, Raw: h.records[i]}, nil) {
				return
			}
		}
	}
}

// pack packs the records from first to last into a folder.
func (h *history) pack(t testing.TB, folder string, first, last int) archive.Packed {
	t.Helper()
	p, err := archive.Pack(folder, journal.Meta{ID: h.id, Network: "n", Node: "here"}, journal.Seq(first), journal.Seq(last), h.source, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// decoded returns all events, as far as they can be decoded.
func (h *history) decoded(t testing.TB) []journal.Event {
	t.Helper()
	events := make([]journal.Event, len(h.records))
	for i, raw := range h.records {
		ev, err := journal.DecodeRecord(h.id, journal.Seq(i+1), raw)
		if err != nil {
			t.Fatalf("event %d: %v", i+1, err)
		}
		events[i] = ev
	}
	return events
}
