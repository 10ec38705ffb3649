package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
)

// model is the allocator as host-local does it: one address after the other, over
// a plain map. It serves set by set and forgets everything if one of them refuses.
type model struct {
	sets    []allocator.RangeSet
	owners  map[netip.Addr]state.Attachment
	cursors map[int]netip.Addr
}

// add returns what was given, as text, or the text of the refusal.
func (m *model) add(owner state.Attachment, ips []netip.Addr) string {
	owners, cursors := map[netip.Addr]state.Attachment{}, map[int]netip.Addr{}
	for ip, a := range m.owners {
		owners[ip] = a
	}
	for set, ip := range m.cursors {
		cursors[set] = ip
	}
	var open []netip.Addr
	for _, ip := range ips {
		if !slices.Contains(open, ip) {
			open = append(open, ip)
		}
	}
	out := ""
	for n, set := range m.sets {
		ip, r, refusal := m.serve(n, set, owner, &open)
		if refusal != "" {
			m.owners, m.cursors = owners, cursors
			return fmt.Sprintf("failed to allocate for range %d: %s", n, refusal)
		}
		m.owners[ip], m.cursors[n] = owner, ip
		out += fmt.Sprintf("%d: %s/%d via %s; ", n, ip, r.Subnet.Bits(), r.Gateway)
	}
	if len(open) > 0 {
		m.owners, m.cursors = owners, cursors
		out = "failed to allocate all requested IPs:"
		for _, ip := range open {
			out += " " + ip.String()
		}
	}
	return out
}

func (m *model) serve(n int, set allocator.RangeSet, owner state.Attachment, open *[]netip.Addr) (netip.Addr, allocator.Range, string) {
	for i, ip := range *open {
		if _, r, ok := within(set, ip); ok {
			*open = slices.Delete(slices.Clone(*open), i, i+1)
			if ip == r.Gateway {
				return ip, r, fmt.Sprintf("requested ip %s is subnet's gateway", ip)
			}
			if _, taken := m.owners[ip]; taken {
				return ip, r, fmt.Sprintf("requested IP address %s is not available in range set %s", ip, set)
			}
			return ip, r, ""
		}
	}
	var mine []string
	for ip, a := range m.owners {
		if _, _, ok := within(set, ip); ok && a.ContainerID == owner.ContainerID && (a.IfName == owner.IfName || a.IfName == "") {
			mine = append(mine, ip.String())
		}
	}
	if len(mine) > 0 {
		return netip.Addr{}, set[0], fmt.Sprintf("%s has been allocated to %s, duplicate allocation is not allowed",
			slices.Min(mine), owner.ContainerID)
	}
	ip, r, ok := m.walk(n, set)
	if !ok {
		return ip, r, "no IP addresses available in range set: " + set.String()
	}
	return ip, r, ""
}

// walk tries every address of the set in turn, beginning behind the cursor.
func (m *model) walk(n int, set allocator.RangeSet) (netip.Addr, allocator.Range, bool) {
	at, ip := 0, set[0].Start
	step := func() {
		if ip == set[at].End {
			at = (at + 1) % len(set)
			ip = set[at].Start
		} else {
			ip = ip.Next()
		}
	}
	if i, _, ok := within(set, m.cursors[n]); ok {
		at, ip = i, m.cursors[n]
		step()
	}
	for first := ip; ; {
		if _, taken := m.owners[ip]; !taken && ip != set[at].Gateway {
			return ip, set[at], true
		}
		if step(); ip == first {
			return netip.Addr{}, set[0], false
		}
	}
}

// within returns the range of the set that holds ip, looking at it from outside:
// by its subnet and the distance to both ends.
func within(set allocator.RangeSet, ip netip.Addr) (int, allocator.Range, bool) {
	for i, r := range set {
		if ip.IsValid() && r.Subnet.Contains(ip) && ip.Compare(r.Start) >= 0 && ip.Compare(r.End) <= 0 {
			return i, r, true
		}
	}
	return 0, allocator.Range{}, false
}

// TestChooseModel lets the model and Choose serve the same random calls.
func TestChooseModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	scenes := 2000
	if testing.Short() {
		scenes = 400
	}
	outcomes := map[string]int{}
	for range scenes {
		playScene(t, rnd, outcomes)
		if t.Failed() {
			return
		}
	}
	t.Logf("outcomes: %v", outcomes)
	for _, want := range []string{"given", "exhausted", "duplicate", "gateway", "not available", "left over"} {
		if outcomes[want] < scenes/50 {
			t.Errorf("only %d calls of %d scenes ended %q", outcomes[want], scenes, want)
		}
	}
}

// playScene makes up range sets and leases, and a short history on top of them.
func playScene(t *testing.T, rnd *rand.Rand, outcomes map[string]int) {
	t.Helper()
	sets := randomSets(rnd)
	pool := randomPool(rnd, sets)
	m := &model{sets: sets, owners: map[netip.Addr]state.Attachment{}, cursors: map[int]netip.Addr{}}
	h := newHeldMap()
	owners := []state.Attachment{
		{ContainerID: "c1", IfName: "eth0"}, {ContainerID: "c1", IfName: "eth1"}, {ContainerID: "c1"},
		{ContainerID: "c2", IfName: "eth0"}, {ContainerID: "c3", IfName: "eth0"}, {ContainerID: "c4", IfName: "eth0"},
	}
	density := []float64{0, 0.3, 0.8, 1}[rnd.IntN(4)]
	for _, ip := range pool {
		if rnd.Float64() < density {
			owner := state.Attachment{ContainerID: fmt.Sprintf("x%s", ip), IfName: "eth0"}
			if rnd.IntN(25) == 0 {
				owner = owners[rnd.IntN(len(owners))]
			}
			m.owners[ip], h.owners[ip] = owner, owner
		}
	}
	for n := range sets {
		if rnd.IntN(3) > 0 {
			m.cursors[n] = pool[rnd.IntN(len(pool))]
			h.cursors[n] = m.cursors[n]
		}
	}
	for range 12 {
		if ip := pool[rnd.IntN(len(pool))]; rnd.IntN(2) == 0 { // released
			delete(m.owners, ip)
			delete(h.owners, ip)
		}
		owner := owners[rnd.IntN(len(owners))]
		if rnd.IntN(2) == 0 {
			owner.ContainerID = fmt.Sprintf("n%d", rnd.Uint32())
		}
		var ips []netip.Addr
		for rnd.IntN(3) == 0 {
			ips = append(ips, pool[rnd.IntN(len(pool))])
		}
		got, err := allocator.Choose(h, allocator.Request{Owner: owner, Sets: sets, IPs: ips})
		gotText := ""
		for _, a := range got.Addresses {
			gotText += fmt.Sprintf("%d: %s/%d via %s; ", a.Set, a.IP, a.Bits, a.Gateway)
		}
		if err != nil {
			gotText += err.Error()
		}
		before := fmt.Sprintf("sets %v\nheld %v\ncursors %v\n%v asks for %v", sets, m.owners, m.cursors, owner, ips)
		if want := m.add(owner, ips); gotText != want {
			t.Errorf("%s\ngot  %s\nwant %s", before, gotText, want)
			return
		}
		h.take(owner, got)
		if fmt.Sprint(h.cursors) != fmt.Sprint(m.cursors) {
			t.Errorf("%s\ncursors %v, want %v", before, h.cursors, m.cursors)
			return
		}
		outcomes[outcome(gotText)]++
	}
}

func outcome(text string) string {
	for part, name := range map[string]string{
		"no IP addresses": "exhausted", "duplicate": "duplicate", "gateway": "gateway",
		"not available": "not available", "all requested": "left over",
	} {
		if strings.Contains(text, part) {
			return name
		}
	}
	return "given"
}

// randomSets returns one to three canonical sets of one to three ranges: /8 to /30
// and /64 to /126, most of them narrowed to a few addresses, some at the very ends
// of their family. Sets may overlap one another; Choose has to stand that.
func randomSets(rnd *rand.Rand) []allocator.RangeSet {
	for {
		in := make([]allocator.RangeSet, 1+rnd.IntN(3))
		for i := range in {
			v6 := rnd.IntN(2) == 0
			for range 1 + rnd.IntN(3) {
				in[i] = append(in[i], randomRange(rnd, v6))
			}
		}
		if out, err := allocator.Canonical(in); err == nil {
			return out
		}
	}
}

func randomRange(rnd *rand.Rand, v6 bool) allocator.Range {
	bases, bits := []string{"10.0.0.0", "10.0.0.64", "255.255.255.192", "0.0.0.0", "172.16.0.0"}, 8+rnd.IntN(23)
	if v6 {
		bases, bits = []string{"fd00::", "fd00::40", "fd00::1:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffc0", "2001:db8::"}, 64+rnd.IntN(63)
	}
	base := netip.MustParseAddr(bases[rnd.IntN(len(bases))])
	r := allocator.Range{Subnet: netip.PrefixFrom(base, bits).Masked()}
	pick := func() netip.Addr {
		if rnd.IntN(4) == 0 {
			return stepped(r.Subnet.Addr(), rnd.IntN(20))
		}
		return stepped(base, rnd.IntN(64))
	}
	if rnd.IntN(6) > 0 {
		r.Start = pick()
		r.End = stepped(r.Start, rnd.IntN(8))
	}
	switch rnd.IntN(4) {
	case 0:
		r.Gateway = pick()
	case 1:
		if r.Start.IsValid() {
			r.Gateway = stepped(r.Start, rnd.IntN(4))
		}
	}
	return r
}

// stepped returns the nth address behind ip, or the family's last.
func stepped(ip netip.Addr, n int) netip.Addr {
	for ; n > 0 && ip.Next().IsValid(); n-- {
		ip = ip.Next()
	}
	return ip
}

// randomPool returns addresses worth trying: the first and last few of every range,
// its gateway, and neighbours.
func randomPool(rnd *rand.Rand, sets []allocator.RangeSet) []netip.Addr {
	seen := map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): true, netip.MustParseAddr("2001:db8:9::1"): true}
	for _, set := range sets {
		for _, r := range set {
			for n := range 10 {
				seen[stepped(r.Start, n)] = true
			}
			for ip, n := r.End, 0; n < 3 && ip.IsValid(); ip, n = ip.Prev(), n+1 {
				seen[ip] = true
			}
			seen[r.Gateway] = true
		}
	}
	pool := make([]netip.Addr, 0, len(seen))
	for ip := range seen {
		pool = append(pool, ip)
	}
	// A map's order is not the seed's.
	slices.SortFunc(pool, netip.Addr.Compare)
	rnd.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	return pool
}
