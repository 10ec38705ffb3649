package state_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// borders are where runs of held addresses begin in random maps: anywhere in a network, at both ends of each
// family, and on both sides of the mapped addresses, which are never held.
var borders = []string{"10.0.0.0", "10.1.2.3", "172.16.255.250", "0.0.0.0", "255.255.254.0", "fd00::", "fd00:0:0:1::fff0", "::", "::fffe:ffff:ff80",
	"::1:0:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fe00"}

// take makes the event that gives an address at random: to somebody new or known, by an ADD or taken over, with or without
// an interface name, or blocked. It may give an address of the other family as well.
func (m *randomMap) take(ip netip.Addr) {
	ev := journal.Event{Kind: journal.KindAdd}
	m.stamp(&ev)
	a := state.Attachment{ContainerID: m.hex(64), IfName: "eth0"}
	switch m.r.IntN(20) {
	case 0:
		a = m.owner()
	case 1:
		a.ContainerID = m.id()
	case 2, 3, 4:
		a = m.hog
	}
	ev.ContainerID, ev.IfName = a.ContainerID, a.IfName
	switch m.r.IntN(12) {
	case 0:
		ev.Kind, ev.Claimed = journal.KindImport, 1e9
	case 1:
		ev.Kind, ev.IfName = journal.KindImport, ""
	case 2:
		ev.Kind, ev.ContainerID, ev.IfName, ev.Blocked = journal.KindImport, "", "", true
	}
	ev.NetNS = []string{"", "/var/run/netns/cni-" + m.uuid(), "/proc/42/ns/net"}[m.r.IntN(3)]
	ev.Pod = []journal.Pod{{}, {Namespace: "default", Name: "web-0", UID: m.uuid()}}[m.r.IntN(2)]
	ips := []netip.Addr{ip}
	if ip.Is4() && m.r.IntN(8) == 0 {
		ips = append(ips, m.addr())
	}
	for i, ip := range ips {
		if _, held := m.leases[ip]; held || i > 0 && ip == ips[0] {
			continue
		}
		set := m.r.IntN(3) + 3*i
		ev.Addresses = append(ev.Addresses, journal.Address{Set: set, IP: ip, Bits: ip.BitLen() - m.r.IntN(9)})
		if ev.Kind == journal.KindAdd {
			ev.Cursors = append(ev.Cursors, journal.Cursor{Set: set, IP: ip})
		}
	}
	if len(ev.Addresses) > 0 {
		m.do(ev)
	}
}

// randomMap is a state with leases at random, and the oracle's view of it.
type randomMap struct {
	*history
	hog state.Attachment // holds so many leases that its entries in the owner index fill more than a block
	st  *state.State
	t   *testing.T
}

func (m *randomMap) do(ev journal.Event) {
	m.t.Helper()
	m.apply(ev)
	mustApply(m.t, m.st, ev)
}

// newMap makes a map of at least this many leases, in runs with gaps: sparse has mostly runs of one address, so that
// there are as many runs as leases.
func newMap(t *testing.T, seed uint64, leases int, sparse bool) *randomMap {
	t.Helper()
	m := &randomMap{history: newHistory(seed), st: state.New(), t: t}
	m.hog = state.Attachment{ContainerID: m.hex(64), IfName: "eth0"}
	genesis := journal.Event{Kind: journal.KindGenesis}
	m.stamp(&genesis)
	m.do(genesis)
	for range m.r.IntN(80) {
		ev := journal.Event{Kind: journal.KindConfig, Digest: journal.Hash{byte(m.r.IntN(100))}}
		m.stamp(&ev)
		m.do(ev)
	}
	for len(m.leases) < leases {
		ip := netip.MustParseAddr(borders[m.r.IntN(len(borders))])
		for range m.r.IntN(2) * m.r.IntN(4000) {
			ip = ip.Next()
		}
		length := 1 + m.r.IntN(400)
		for range min(length, leases-len(m.leases)) {
			for range m.gap(sparse) {
				ip = ip.Next()
			}
			if !ip.IsValid() || ip.Is4In6() {
				break
			}
			if _, held := m.leases[ip]; !held {
				m.take(ip)
			}
			ip = ip.Next()
		}
	}
	return m
}

// gap is how many addresses stay free before the next one of a run.
func (m *randomMap) gap(sparse bool) int {
	if sparse || m.r.IntN(50) == 0 {
		return 1 + m.r.IntN(3)
	}
	return 0
}

// TestRandomMaps asks a snapshot of random leases everything that it can be asked, block by block, and holds each answer
// against the map that it was made of and against a decode of the whole file.
func TestRandomMaps(t *testing.T) {
	var most [4]uint32 // blocks of each section in any of the maps
	for seed, leases := range []int{0, 1, 2, 17, 39, 40, 41, 150, 340, 341, 342, 700, 1900} {
		for _, sparse := range []bool{false, true} {
			if testing.Short() && leases > 700 {
				continue
			}
			t.Run(fmt.Sprintf("leases=%d,sparse=%t", leases, sparse), func(t *testing.T) {
				m := newMap(t, uint64(seed), leases, sparse)
				s := openSnapshot(t, writeSnapshot(t, t.TempDir(), m.st))
				m.compareAll(t, s)
				for i, sec := range s.SectionBlocks() {
					most[i] = max(most[i], sec.Blocks)
				}
			})
		}
	}
	for i, want := range [4]uint32{50, 4, 2, 4} {
		if most[i] < want && !testing.Short() {
			t.Errorf("no map has %d blocks in section %d, at most %d: this test shows less than it means to", want, i+1, most[i])
		}
	}
}

// compareAll looks up everything in the snapshot, every block of it read anew for each question.
func (m *randomMap) compareAll(t *testing.T, s *state.Snapshot) {
	t.Helper()
	if err := s.Verify(); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	st := state.Over(s)
	decoded, err := decode(st)
	if want := m.sorted(); err != nil || !reflect.DeepEqual(decoded, want) {
		t.Fatalf("the whole file decodes to\n%v, %v, want\n%v", decoded, err, want)
	}
	byOwner := map[state.Attachment][]state.Lease{}
	for _, l := range decoded {
		if !l.Blocked {
			byOwner[l.Attachment] = append(byOwner[l.Attachment], l)
		}
	}
	for a, want := range byOwner {
		slices.SortFunc(want, func(a, b state.Lease) int { return cmpSetThenIP(a, b) })
		m.compareHeld(t, s, a, want)
		// One that differs by a little and holds nothing, unless it is another of them.
		for _, other := range []state.Attachment{{ContainerID: a.ContainerID, IfName: "eth1"}, {ContainerID: a.ContainerID[1:], IfName: a.IfName}, {ContainerID: a.ContainerID + a.IfName}} {
			if other.ContainerID != "" {
				m.compareHeld(t, s, other, byOwner[other])
			}
		}
	}
	m.compareHeld(t, s, state.Attachment{}, nil)
	m.compareIPs(t, s, decoded)
	for set := range 8 {
		ip, ok := st.Cursor(set)
		if want, wantOK := m.cursors[set]; ip != want || ok != wantOK {
			t.Errorf("Cursor(%d) = %s, %t, want %s, %t", set, ip, ok, want, wantOK)
		}
		if ok {
			first, last := ends(ip)
			m.compareFree(t, s, decoded, ip.Next(), last)
			m.compareFree(t, s, decoded, first, ip)
		}
	}
	for i := range 100 {
		digest := journal.Hash{byte(i)}
		seq, ok := st.Config(digest)
		if want, wantOK := m.configs[digest]; seq != want || ok != wantOK {
			t.Errorf("Config(%d) = %d, %t, want %d, %t", i, seq, ok, want, wantOK)
		}
	}
}

func cmpSetThenIP(a, b state.Lease) int {
	if a.Set != b.Set {
		return a.Set - b.Set
	}
	return a.IP.Compare(b.IP)
}

// ends are the first and the last address of the family.
func ends(ip netip.Addr) (first, last netip.Addr) {
	if ip.Is4() {
		return netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	}
	return netip.IPv6Unspecified(), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
}

func (m *randomMap) compareHeld(t *testing.T, s *state.Snapshot, a state.Attachment, want []state.Lease) {
	t.Helper()
	s.ForgetBlocks()
	got, err := state.Over(s).Held(a)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Held(%.80v) =\n%v, %v, want\n%v", a, got, err, want)
	}
}

// compareIPs asks for each held address, for those beside it, and for the next free one from there on.
func (m *randomMap) compareIPs(t *testing.T, s *state.Snapshot, decoded []state.Lease) {
	t.Helper()
	asked := map[netip.Addr]bool{}
	ask := func(ip netip.Addr) {
		if !ip.IsValid() || ip.Is4In6() || asked[ip] {
			return
		}
		asked[ip] = true
		s.ForgetBlocks()
		l, ok, err := state.Over(s).Lease(ip)
		if want, wantOK := m.leases[ip]; err != nil || l != want || ok != wantOK {
			t.Fatalf("Lease(%s) = %v, %t, %v, want %v, %t", ip, l, ok, err, want, wantOK)
		}
		_, last := ends(ip)
		for i, to := range []netip.Addr{last, ip, ip.Next()} {
			if i > 0 && len(asked)%7 > 0 {
				continue
			}
			if to.BitLen() == ip.BitLen() && !to.Is4In6() {
				m.compareFree(t, s, decoded, ip, to)
			}
		}
	}
	for _, l := range decoded {
		ask(l.IP)
		ask(l.IP.Prev())
		ask(l.IP.Next())
	}
	for _, text := range borders {
		first, last := ends(netip.MustParseAddr(text))
		for _, ip := range []netip.Addr{first, netip.MustParseAddr(text), last} {
			ask(ip)
		}
	}
	ask(netip.MustParseAddr("::fffe:ffff:ffff"))
}

// compareFree asks for the next free address. The oracle goes along the decoded leases: the first that is not
// the one expected leaves a gap.
func (m *randomMap) compareFree(t *testing.T, s *state.Snapshot, decoded []state.Lease, from, to netip.Addr) {
	t.Helper()
	if !from.IsValid() || from.BitLen() != to.BitLen() {
		return
	}
	want := from
	i, _ := slices.BinarySearchFunc(decoded, from, func(l state.Lease, ip netip.Addr) int { return l.IP.Compare(ip) })
	for ; i < len(decoded) && decoded[i].IP == want; i++ {
		want = want.Next()
		if want.Is4In6() {
			want = netip.MustParseAddr("::1:0:0:0")
		}
	}
	wantOK := want.IsValid() && want.BitLen() == to.BitLen() && want.Compare(to) <= 0
	s.ForgetBlocks()
	got, ok, err := state.Over(s).NextFree(from, to)
	if err != nil || ok != wantOK || ok && got != want {
		t.Fatalf("NextFree(%s, %s) = %s, %t, %v, want %s, %t", from, to, got, ok, err, want, wantOK)
	}
}
