package state_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

var testID = journal.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// oracle is the state as somebody would write it who has all day: plain maps and walks.
type oracle struct {
	seq     journal.Seq
	leases  map[netip.Addr]state.Lease
	cursors map[int]netip.Addr
	configs map[journal.Hash]journal.Seq
	events  []journal.Event
}

func newOracle() *oracle {
	return &oracle{
		leases:  map[netip.Addr]state.Lease{},
		cursors: map[int]netip.Addr{},
		configs: map[journal.Hash]journal.Seq{},
	}
}

// apply folds an event that is known to be possible.
func (o *oracle) apply(ev journal.Event) {
	o.seq = ev.Seq
	o.events = append(o.events, ev)
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		for _, a := range ev.Addresses {
			imported := ev.Kind == journal.KindImport
			l := state.Lease{
				Address:    a,
				Attachment: state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName},
				NetNS:      ev.NetNS, NetNSID: ev.NetNSID, Pod: ev.Pod, Start: ev.Seq, Clock: ev.Clock,
				Import: imported, Blocked: ev.Blocked,
			}
			if imported {
				l.Claimed = ev.Claimed
			}
			o.leases[a.IP] = l
		}
		for _, c := range ev.Cursors {
			o.cursors[c.Set] = c.IP
		}
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			delete(o.leases, a.IP)
		}
	case journal.KindAnnotate:
		for _, a := range ev.Addresses {
			l := o.leases[a.IP]
			if ev.NetNS != "" {
				l.NetNS, l.NetNSID = ev.NetNS, ev.NetNSID
			}
			if ev.Pod != (journal.Pod{}) {
				l.Pod = ev.Pod
			}
			o.leases[a.IP] = l
		}
	case journal.KindReset:
		clear(o.leases)
		clear(o.cursors)
	case journal.KindConfig:
		o.configs[ev.Digest] = ev.Seq
		for len(o.configs) > 64 {
			oldest := ev.Digest
			for d, seq := range o.configs {
				if seq < o.configs[oldest] {
					oldest = d
				}
			}
			delete(o.configs, oldest)
		}
	}
}

func (o *oracle) sorted() []state.Lease {
	all := []state.Lease{}
	for _, l := range o.leases {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b state.Lease) int { return a.IP.Compare(b.IP) })
	return all
}

func (o *oracle) held(a state.Attachment) []state.Lease {
	var held []state.Lease
	for _, l := range o.leases {
		if l.Attachment == a && a != (state.Attachment{}) {
			held = append(held, l)
		}
	}
	slices.SortFunc(held, func(a, b state.Lease) int { return cmp.Or(cmp.Compare(a.Set, b.Set), a.IP.Compare(b.IP)) })
	return held
}

func (o *oracle) nextFree(from, to netip.Addr) (netip.Addr, bool) {
	for ip := from; ip.IsValid() && ip.Compare(to) <= 0; ip = ip.Next() {
		if _, ok := o.leases[ip]; !ok {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

func (o *oracle) lastAbout(a state.Attachment, base journal.Seq) (journal.Kind, bool) {
	for _, ev := range slices.Backward(o.events) {
		switch {
		case ev.Seq <= base:
			return 0, false
		case ev.Kind == journal.KindReset:
			return ev.Kind, true
		case ev.Kind.MustUnderstand() && (state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}) == a && a.ContainerID != "":
			return ev.Kind, true
		}
	}
	return 0, false
}

// history makes random events that can have happened. Its networks are small, so that
// addresses come back, runs meet and split, and ranges fill up.
type history struct {
	*oracle
	r     *rand.Rand
	nets  []netip.Prefix
	ids   []string
	clock journal.Clock
	dense bool
}

func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 1))
	h := &history{oracle: newOracle(), r: r, dense: r.IntN(2) == 0}
	for _, s := range []string{"10.0.0.0/24", "10.0.0.128/25", "255.255.255.0/24", "fd00::/120", "fd00:0:0:1::/64", "::/120", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120"} {
		if r.IntN(2) == 0 || s == "10.0.0.0/24" {
			h.nets = append(h.nets, netip.MustParsePrefix(s))
		}
	}
	for range 20 + r.IntN(200) {
		h.ids = append(h.ids, h.id())
	}
	h.clock = journal.Clock{Wall: 1_700_000_000_000_000_000, BootTime: 1, Boot: journal.BootID{1}}
	return h
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

func (h *history) id() string {
	switch h.r.IntN(6) {
	case 0:
		return "c" + h.hex(h.r.IntN(8))
	case 1:
		return h.uuid()
	case 2:
		return h.hex(300) + h.uuid()
	case 3:
		return h.hex(1 + h.r.IntN(3000))
	default:
		return h.hex(64)
	}
}

func (h *history) addr() netip.Addr {
	p := h.nets[h.r.IntN(len(h.nets))]
	b := p.Addr().AsSlice()
	b[len(b)-1] |= byte(h.r.IntN(1 << min(8, len(b)*8-p.Bits())))
	if p.Bits() == 64 && !h.dense {
		binary.BigEndian.PutUint64(b[8:], h.r.Uint64())
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

func (h *history) owner() state.Attachment {
	return state.Attachment{ContainerID: h.ids[h.r.IntN(len(h.ids))], IfName: []string{"eth0", "net1"}[h.r.IntN(2)]}
}

func (h *history) stamp(ev *journal.Event) {
	ev.Seq = h.seq + 1
	h.clock.Wall += h.r.Int64N(1e10)
	h.clock.BootTime += h.r.Int64N(1e10)
	h.clock.MaxError = time.Duration(h.r.IntN(1000)) * time.Microsecond
	h.clock.Synchronised = h.r.IntN(2) == 0
	if h.r.IntN(200) == 0 {
		h.clock.Boot, h.clock.BootTime = journal.BootID{byte(h.r.IntN(3))}, 1
	}
	ev.Clock = h.clock
}

// event makes the next event and applies it to the oracle.
func (h *history) event() journal.Event {
	ev := journal.Event{}
	h.stamp(&ev)
	switch n := h.r.IntN(1000); {
	case ev.Seq == 1:
		ev.Kind, ev.Origin = journal.KindGenesis, journal.Origin{Network: "net"}
	case n < 400:
		h.take(&ev, journal.KindAdd)
	case n < 480:
		h.take(&ev, journal.KindImport)
		ev.Claimed = h.r.Int64N(3) * 1e9
		switch {
		case h.r.IntN(4) == 0:
			ev.ContainerID, ev.IfName, ev.Blocked = "", "", true
		case h.r.IntN(3) == 0:
			ev.IfName = ""
		}
	case n < 820:
		h.give(&ev)
	case n < 850:
		h.annotate(&ev)
	case n < 890:
		a := h.owner()
		ev.Kind, ev.ContainerID, ev.IfName, ev.Code = journal.KindRefuse, a.ContainerID, a.IfName, 100+h.r.IntN(3)
	case n < 980:
		ev.Kind, ev.Digest = journal.KindConfig, journal.Hash{byte(h.r.IntN(100))}
	case n < 990:
		ev.Kind = journal.KindRepair
	case n < 995:
		ev.Kind = journal.Kind(64 + h.r.IntN(64))
	case n < 997:
		ev.Kind, ev.Reason = journal.KindReset, journal.ReasonWiped
	default:
		ev.Kind, ev.ContainerID = journal.KindDel, "unheard-of"
	}
	h.apply(ev)
	return ev
}

func (h *history) take(ev *journal.Event, kind journal.Kind) {
	a := h.owner()
	ev.Kind, ev.ContainerID, ev.IfName = kind, a.ContainerID, a.IfName
	h.describe(ev)
	for set := range h.r.IntN(4) {
		ip := h.addr()
		if _, ok := h.leases[ip]; ok {
			continue
		}
		if slices.ContainsFunc(ev.Addresses, func(a journal.Address) bool { return a.IP == ip }) {
			continue
		}
		addr := journal.Address{Set: set * 100, IP: ip, Bits: ip.BitLen() - h.r.IntN(9)}
		if h.r.IntN(2) == 0 {
			addr.Gateway = h.addr()
		}
		ev.Addresses = append(ev.Addresses, addr)
		ev.Cursors = append(ev.Cursors, journal.Cursor{Set: set * 100, IP: ip})
	}
}

// describe says where the container is and whose it is.
func (h *history) describe(ev *journal.Event) {
	ev.NetNS = []string{"", "/var/run/netns/cni-" + h.uuid(), "/proc/42/ns/net", h.hex(64)}[h.r.IntN(4)]
	ev.NetNSID = []journal.NetNSID{{}, {Inode: 4026532000 + h.r.Uint64N(100), Made: h.clock.Wall}, {Inode: h.r.Uint64()}}[h.r.IntN(3)]
	ev.Pod = []journal.Pod{{}, {Namespace: "default", Name: "web-0", UID: h.uuid()}, {UID: h.hex(32)}}[h.r.IntN(3)]
}

// annotate describes some of the leases of an attachment that holds any, if there is one.
func (h *history) annotate(ev *journal.Event) {
	all := slices.DeleteFunc(h.sorted(), func(l state.Lease) bool { return l.Blocked })
	if len(all) == 0 {
		ev.Kind = journal.KindRepair
		return
	}
	a := all[h.r.IntN(len(all))].Attachment
	held := h.held(a)
	ev.Kind, ev.ContainerID, ev.IfName = journal.KindAnnotate, a.ContainerID, a.IfName
	if a.IfName == "" && onlyImports(held) && h.r.IntN(2) == 0 {
		ev.IfName = "eth7"
	}
	h.describe(ev)
	for _, l := range held[h.r.IntN(len(held)):] {
		ev.Addresses = append(ev.Addresses, l.Address)
	}
}

func (h *history) give(ev *journal.Event) {
	ev.Kind, ev.Reason = journal.KindDel, journal.ReasonDel
	if h.r.IntN(5) == 0 {
		ev.Kind, ev.Reason = journal.KindRelease, journal.ReasonForce
	}
	for _, l := range h.sorted() {
		if h.r.IntN(len(h.leases)) > 0 {
			continue
		}
		ev.ContainerID, ev.IfName = l.ContainerID, l.IfName
		if l.Blocked {
			ev.Kind = journal.KindRelease
			ev.Addresses = []journal.Address{l.Address}
			return
		}
		for _, l := range h.held(l.Attachment) {
			ev.Addresses = append(ev.Addresses, l.Address)
		}
		if l.Import && ev.IfName == "" && onlyImports(h.held(l.Attachment)) {
			ev.IfName = "eth7"
		}
		return
	}
	a := h.owner()
	ev.ContainerID, ev.IfName = a.ContainerID, a.IfName
	for _, l := range h.held(a) {
		ev.Addresses = append(ev.Addresses, l.Address)
	}
}

func onlyImports(held []state.Lease) bool {
	return !slices.ContainsFunc(held, func(l state.Lease) bool { return !l.Import })
}

// compare checks every lookup of st against the oracle. base is the last event that
// st got from a snapshot.
func compare(t *testing.T, h *history, st *state.State, base journal.Seq) {
	t.Helper()
	if got, want := st.Seq(), h.seq; got != want {
		t.Fatalf("Seq() = %d, want %d", got, want)
	}
	if got, want := st.Len(), len(h.leases); got != want {
		t.Fatalf("after event %d: Len() = %d, want %d", h.seq, got, want)
	}
	if got, want := st.Tail(), int(h.seq-base); got != want {
		t.Fatalf("Tail() = %d, want %d", got, want)
	}
	if got, want := st.LastClock(), h.clock; h.seq > 0 && got != want {
		t.Fatalf("LastClock() = %v, want %v", got, want)
	}
	got := []state.Lease{}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatalf("Leases(): %v", err)
		}
		got = append(got, l)
	}
	if want := h.sorted(); !reflect.DeepEqual(got, want) {
		t.Fatalf("after event %d: Leases() =\n%v, want\n%v", h.seq, got, want)
	}
	compareOwners(t, h, st, base)
	compareAddresses(t, h, st)
	for set := range 400 {
		ip, ok := st.Cursor(set)
		if want, wantOK := h.cursors[set]; ip != want || ok != wantOK {
			t.Fatalf("Cursor(%d) = %s, %t, want %s, %t", set, ip, ok, want, wantOK)
		}
	}
	for i := range 100 {
		digest := journal.Hash{byte(i)}
		seq, ok := st.Config(digest)
		if want, wantOK := h.configs[digest]; seq != want || ok != wantOK {
			t.Fatalf("after event %d: Config(%d) = %d, %t, want %d, %t", h.seq, i, seq, ok, want, wantOK)
		}
	}
}

func compareOwners(t *testing.T, h *history, st *state.State, base journal.Seq) {
	t.Helper()
	for _, id := range append(h.ids, "unheard-of", "") {
		for _, ifname := range []string{"eth0", "net1", "", "eth7"} {
			a := state.Attachment{ContainerID: id, IfName: ifname}
			got, err := st.Held(a)
			if want := h.held(a); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("after event %d: Held(%v) =\n%v, %v, want\n%v", h.seq, a, got, err, want)
			}
			kind, ok := st.LastAbout(a)
			if want, wantOK := h.lastAbout(a, base); kind != want || ok != wantOK {
				t.Fatalf("after event %d: LastAbout(%v) = %v, %t, want %v, %t", h.seq, a, kind, ok, want, wantOK)
			}
		}
	}
}

func compareAddresses(t *testing.T, h *history, st *state.State) {
	t.Helper()
	for range 100 {
		ip, to := h.addr(), h.addr()
		l, ok, err := st.Lease(ip)
		if want, wantOK := h.leases[ip]; err != nil || ok != wantOK || l != want {
			t.Fatalf("after event %d: Lease(%s) = %v, %t, %v, want %v, %t", h.seq, ip, l, ok, err, want, wantOK)
		}
		if to.BitLen() != ip.BitLen() {
			continue
		}
		got, ok, err := st.NextFree(ip, to)
		if want, wantOK := h.nextFree(ip, to); err != nil || got != want && ok || ok != wantOK {
			t.Fatalf("after event %d: NextFree(%s, %s) = %s, %t, %v, want %s, %t", h.seq, ip, to, got, ok, err, want, wantOK)
		}
	}
}

func hashOf(seq journal.Seq) journal.Hash {
	return journal.Hash(fmt.Appendf(nil, "%032d", seq))
}

func mustApply(t testing.TB, st *state.State, events ...journal.Event) {
	t.Helper()
	for i := range events {
		if err := st.Apply(&events[i]); err != nil {
			t.Fatalf("Apply(event %d, %s): %v", events[i].Seq, events[i].Kind, err)
		}
	}
	st.SetHead(hashOf(st.Seq()))
}
