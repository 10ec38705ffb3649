package allocator_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// heldMap is a lease map that can be read at a glance: slow, for few leases.
type heldMap struct {
	owners  map[netip.Addr]state.Attachment
	cursors map[int]netip.Addr
	failing string // the question that ends with errDamaged, if any
}

var errDamaged = errors.New("block 7 is damaged")

func (m *heldMap) answer(question string) error {
	if question == m.failing {
		return errDamaged
	}
	return nil
}

func newHeldMap() *heldMap {
	return &heldMap{owners: map[netip.Addr]state.Attachment{}, cursors: map[int]netip.Addr{}}
}

func (m *heldMap) Lease(ip netip.Addr) (state.Lease, bool, error) {
	a, ok := m.owners[ip]
	return state.Lease{Address: journal.Address{IP: ip}, Attachment: a}, ok, m.answer("Lease")
}

func (m *heldMap) Held(a state.Attachment) ([]state.Lease, error) {
	var out []state.Lease
	for ip, owner := range m.owners {
		if owner == a {
			out = append(out, state.Lease{Address: journal.Address{IP: ip}, Attachment: a})
		}
	}
	return out, m.answer("Held by " + a.IfName)
}

func (m *heldMap) NextFree(from, to netip.Addr) (netip.Addr, bool, error) {
	if err := errors.Join(m.answer("NextFree"), checkSpan(from, to)); err != nil {
		return netip.Addr{}, false, err
	}
	for ip := from; ip.IsValid() && !to.Less(ip); ip = ip.Next() { // Next of a family's last address is none
		if _, taken := m.owners[ip]; !taken {
			return ip, true, nil
		}
	}
	return netip.Addr{}, false, nil
}

func (m *heldMap) Cursor(set int) (netip.Addr, bool) {
	ip, ok := m.cursors[set]
	return ip, ok
}

// checkSpan holds Choose to what it may ask.
func checkSpan(from, to netip.Addr) error {
	if from.BitLen() != to.BitLen() || to.Less(from) || from.Is4In6() || to.Is4In6() {
		return fmt.Errorf("NextFree from %s to %s", from, to)
	}
	return nil
}

// take gives the addresses of a choice to their owner.
func (m *heldMap) take(owner state.Attachment, c allocator.Choice) {
	for _, a := range c.Addresses {
		m.owners[a.IP] = owner
	}
	for _, c := range c.Cursors {
		m.cursors[c.Set] = c.IP
	}
}

// runLeases holds whole stretches of addresses and counts the questions.
type runLeases struct {
	runs   [][2]netip.Addr // ascending
	cursor netip.Addr
	calls  int
}

func (l *runLeases) Lease(ip netip.Addr) (state.Lease, bool, error) {
	for _, r := range l.runs {
		if !ip.Less(r[0]) && !r[1].Less(ip) {
			return state.Lease{}, true, nil
		}
	}
	return state.Lease{}, false, nil
}

func (l *runLeases) Held(state.Attachment) ([]state.Lease, error) { return nil, nil }

func (l *runLeases) NextFree(from, to netip.Addr) (netip.Addr, bool, error) {
	l.calls++
	if err := checkSpan(from, to); err != nil {
		return netip.Addr{}, false, err
	}
	for _, r := range l.runs {
		if !from.Less(r[0]) && !r[1].Less(from) {
			from = r[1].Next()
		}
	}
	return from, from.IsValid() && !to.Less(from), nil
}

func (l *runLeases) Cursor(int) (netip.Addr, bool) { return l.cursor, l.cursor.IsValid() }

func addrs(list string) []netip.Addr {
	var out []netip.Addr
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var (
	me    = state.Attachment{ContainerID: "c1", IfName: "eth0"}
	other = state.Attachment{ContainerID: "c2", IfName: "eth0"}
)

func TestChooseOrder(t *testing.T) {
	one := allocator.RangeSet{rng("10.1.2.0/29", "", "", "")} // .1 (gateway) to .6
	two := allocator.RangeSet{rng("10.1.2.0/24", "10.1.2.8", "10.1.2.9", "10.1.2.8"), rng("10.1.2.0/24", "10.1.2.4", "10.1.2.5", "10.1.2.9")}
	tests := []struct {
		name   string
		set    allocator.RangeSet
		cursor string
		held   string
		want   string // "" is exhausted
	}{
		{"fresh", one, "", "", "10.1.2.2"},
		{"behind the cursor", one, "10.1.2.3", "", "10.1.2.4"},
		{"behind the cursor, skipping", one, "10.1.2.3", "10.1.2.4 10.1.2.5", "10.1.2.6"},
		{"round, skipping the gateway", one, "10.1.2.6", "", "10.1.2.2"},
		{"cursor last", one, "10.1.2.4", "10.1.2.2 10.1.2.3 10.1.2.5 10.1.2.6", "10.1.2.4"},
		{"before the cursor", one, "10.1.2.4", "10.1.2.2 10.1.2.4 10.1.2.5 10.1.2.6", "10.1.2.3"},
		{"cursor on the gateway", one, "10.1.2.1", "", "10.1.2.2"},
		{"exhausted", one, "10.1.2.4", "10.1.2.2 10.1.2.3 10.1.2.4 10.1.2.5 10.1.2.6", ""},
		{"exhausted, cursor on the gateway", one, "10.1.2.1", "10.1.2.2 10.1.2.3 10.1.2.4 10.1.2.5 10.1.2.6", ""},
		{"cursor outside", one, "10.1.2.7", "", "10.1.2.2"},
		{"cursor of the other family", one, "fd00::3", "", "10.1.2.2"},
		{"cursor mapped", one, "::ffff:10.1.2.3", "", "10.1.2.4"},
		{"gateway skipped in its own range", two, "", "", "10.1.2.9"},
		{"into the next range", two, "10.1.2.9", "", "10.1.2.4"},
		{"first range again", two, "10.1.2.5", "", "10.1.2.9"},
		{"another range's gateway is an address", two, "10.1.2.5", "10.1.2.4 10.1.2.5", "10.1.2.9"},
		{"rest of the cursor's range last", two, "10.1.2.5", "10.1.2.9", "10.1.2.4"},
		{"gateway alone", allocator.RangeSet{rng("10.1.2.0/24", "10.1.2.1", "10.1.2.1", "")}, "", "", ""},
		{"gateway alone, cursor on it", allocator.RangeSet{rng("10.1.2.0/24", "10.1.2.1", "10.1.2.1", "")}, "10.1.2.1", "", ""},
		{"IPv4's last address", allocator.RangeSet{rng("0.0.0.0/0", "255.255.255.254", "255.255.255.255", "")}, "255.255.255.254", "", "255.255.255.255"},
		{"behind IPv4's last address", allocator.RangeSet{rng("0.0.0.0/0", "255.255.255.254", "255.255.255.255", "")},
			"255.255.255.255", "255.255.255.254", "255.255.255.255"},
		{"gateway on IPv6's last address", allocator.RangeSet{rng("ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
			"", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", ""},
		{"IPv6", allocator.RangeSet{rng("fd00::/64", "", "", "")}, "fd00::ffff:ffff:ffff:ffff", "", "fd00::2"},
		{"over the mapped block", allocator.RangeSet{rng("::/64", "", "", "")}, "::fffe:ffff:ffff", "", "::1:0:0:0"},
		{"round before the mapped block", allocator.RangeSet{rng("::/80", "", "", "")}, "::fffe:ffff:ffff", "", "::2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newHeldMap()
			for _, ip := range addrs(tt.held) {
				m.owners[ip] = other
			}
			if tt.cursor != "" {
				m.cursors[0] = addr(tt.cursor)
			}
			got, err := allocator.Choose(m, allocator.Request{Owner: me, Sets: canon(t, tt.set)})
			if tt.want == "" {
				if !errors.Is(err, allocator.ErrExhausted) || !reflect.DeepEqual(got, allocator.Choice{}) {
					t.Fatalf("got %v, %v, want ErrExhausted alone", got, err)
				}
				return
			}
			if err != nil || len(got.Addresses) != 1 || got.Addresses[0].IP != addr(tt.want) {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// refusalTest is a call that is refused, and with what.
type refusalTest struct {
	name  string
	sets  []allocator.RangeSet
	mine  string
	old   string // held by the container, no interface name
	taken string
	ips   string
	want  string
	cause error
	set   int
	about string
}

func (tt refusalTest) run(t *testing.T) {
	m := newHeldMap()
	for list, owner := range map[*string]state.Attachment{&tt.mine: me, &tt.old: {ContainerID: me.ContainerID}, &tt.taken: other} {
		for _, ip := range addrs(*list) {
			m.owners[ip] = owner
		}
	}
	got, err := allocator.Choose(m, allocator.Request{Owner: me, Sets: canon(t, tt.sets...), IPs: addrs(tt.ips)})
	var refusal *allocator.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, %v, want a refusal", got, err)
	}
	if err.Error() != tt.want || !errors.Is(err, tt.cause) || refusal.Set != tt.set {
		t.Errorf("got %q (set %d, %v), want %q (set %d, %v)", err, refusal.Set, refusal.Cause, tt.want, tt.set, tt.cause)
	}
	if want := addrs(tt.about); !reflect.DeepEqual(refusal.IPs, want) {
		t.Errorf("refusal about %v, want %v", refusal.IPs, want)
	}
	if !reflect.DeepEqual(got, allocator.Choice{}) {
		t.Errorf("refused with choice %v", got)
	}
}

func TestChooseRefusals(t *testing.T) {
	v4 := allocator.RangeSet{rng("10.1.2.0/29", "", "", "")}
	v6 := allocator.RangeSet{rng("fd00::/126", "", "", "")}
	split := allocator.RangeSet{rng("10.1.3.0/30", "", "", ""), rng("10.1.4.0/30", "", "", "10.1.3.2")}
	tests := []refusalTest{
		{"exhausted", []allocator.RangeSet{v4, split}, "", "", "10.1.3.2 10.1.4.1 10.1.4.2", "",
			"failed to allocate for range 1: no IP addresses available in range set: 10.1.3.1-10.1.3.2,10.1.4.1-10.1.4.2",
			allocator.ErrExhausted, 1, ""},
		{"duplicate", []allocator.RangeSet{v4}, "10.1.2.4", "", "", "",
			"failed to allocate for range 0: 10.1.2.4 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 0, "10.1.2.4"},
		{"duplicate in the second set", []allocator.RangeSet{v4, v6}, "fd00::2", "", "", "",
			"failed to allocate for range 1: fd00::2 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 1, "fd00::2"},
		{"duplicate before exhausted", []allocator.RangeSet{v6}, "fd00::2", "", "fd00::3", "",
			"failed to allocate for range 0: fd00::2 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 0, "fd00::2"},
		{"duplicate named in the order of file names",
			[]allocator.RangeSet{{rng("10.1.2.0/24", "", "", "")}}, "10.1.2.3 10.1.2.20", "10.1.2.9", "", "",
			"failed to allocate for range 0: 10.1.2.20 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 0, "10.1.2.20"},
		{"duplicate by a legacy lease", []allocator.RangeSet{v4}, "", "10.1.2.5", "", "",
			"failed to allocate for range 0: 10.1.2.5 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 0, "10.1.2.5"},
		{"duplicate in the set without a request", []allocator.RangeSet{v4, v6}, "10.1.2.2 fd00::2", "", "", "10.1.2.3",
			"failed to allocate for range 1: fd00::2 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 1, "fd00::2"},
		{"duplicate within the call", []allocator.RangeSet{v4, v4}, "", "", "", "",
			"failed to allocate for range 1: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed",
			allocator.ErrDuplicate, 1, "10.1.2.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestChooseRefusesRequests(t *testing.T) {
	v4 := allocator.RangeSet{rng("10.1.2.0/29", "", "", "")}
	v6 := allocator.RangeSet{rng("fd00::/126", "", "", "")}
	split := allocator.RangeSet{rng("10.1.3.0/30", "", "", ""), rng("10.1.4.0/30", "", "", "10.1.3.2")}
	tests := []refusalTest{
		{"gateway", []allocator.RangeSet{v4}, "", "", "", "10.1.2.1",
			"failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway", allocator.ErrNotAvailable, 0, "10.1.2.1"},
		{"held by another", []allocator.RangeSet{v6, split}, "", "", "10.1.3.2", "10.1.3.2",
			"failed to allocate for range 1: requested IP address 10.1.3.2 is not available in range set 10.1.3.1-10.1.3.2,10.1.4.1-10.1.4.2",
			allocator.ErrNotAvailable, 1, "10.1.3.2"},
		{"held by itself", []allocator.RangeSet{v4}, "10.1.2.4", "", "", "10.1.2.4",
			"failed to allocate for range 0: requested IP address 10.1.2.4 is not available in range set 10.1.2.1-10.1.2.6",
			allocator.ErrNotAvailable, 0, "10.1.2.4"},
		{"given by the set before", []allocator.RangeSet{v4, v4}, "", "", "", "::ffff:10.1.2.6 10.1.2.6 10.1.2.1",
			"failed to allocate for range 1: requested ip 10.1.2.1 is subnet's gateway", allocator.ErrNotAvailable, 1, "10.1.2.1"},
		{"taken in one set, asked for in a wider one", []allocator.RangeSet{v4, {rng("10.1.2.0/24", "", "", "")}}, "", "", "", "10.1.2.77 10.1.2.3 10.1.2.5 10.1.2.6",
			"failed to allocate all requested IPs: 10.1.2.5 10.1.2.6", allocator.ErrNotAvailable, -1, "10.1.2.5 10.1.2.6"},
		{"outside", []allocator.RangeSet{v4, v6}, "", "", "", "10.9.9.9",
			"failed to allocate all requested IPs: 10.9.9.9", allocator.ErrNotAvailable, -1, "10.9.9.9"},
		{"left over in request order", []allocator.RangeSet{v4, v6}, "", "", "", "fd00::9 10.1.2.7 10.1.2.5 fd00::9 10.1.2.4 ::ffff:1.2.3.4",
			"failed to allocate all requested IPs: fd00::9 10.1.2.7 10.1.2.4 1.2.3.4", allocator.ErrNotAvailable, -1,
			"fd00::9 10.1.2.7 10.1.2.4 1.2.3.4"},
		{"a set's refusal before what is left over", []allocator.RangeSet{v4}, "", "", "10.1.2.4", "10.9.9.9 10.1.2.4",
			"failed to allocate for range 0: requested IP address 10.1.2.4 is not available in range set 10.1.2.1-10.1.2.6",
			allocator.ErrNotAvailable, 0, "10.1.2.4"},
		{"no sets", nil, "", "", "", "10.9.9.9", "failed to allocate all requested IPs: 10.9.9.9", allocator.ErrNotAvailable, -1, "10.9.9.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestRefusalWithoutText(t *testing.T) {
	r := &allocator.Refusal{Cause: allocator.ErrExhausted}
	if got, want := r.Error(), allocator.ErrExhausted.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestChooseResult(t *testing.T) {
	sets := canon(t,
		allocator.RangeSet{rng("10.1.2.0/24", "", "", ""), rng("10.1.3.0/25", "", "", "192.0.2.1")},
		allocator.RangeSet{rng("fd00::/64", "", "", "")},
		allocator.RangeSet{rng("10.9.0.0/16", "", "", "")})
	m := newHeldMap()
	m.cursors[1] = addr("fd00::41")
	m.owners[addr("172.16.0.1")] = me // of ranges that are no longer configured
	got, err := allocator.Choose(m, allocator.Request{Owner: me, Sets: sets, IPs: addrs("::ffff:10.9.9.9 10.1.3.1")})
	if err != nil {
		t.Fatal(err)
	}
	want := allocator.Choice{
		Addresses: []journal.Address{
			{Set: 0, IP: addr("10.1.3.1"), Bits: 25, Gateway: addr("192.0.2.1")},
			{Set: 1, IP: addr("fd00::42"), Bits: 64, Gateway: addr("fd00::1")},
			{Set: 2, IP: addr("10.9.9.9"), Bits: 16, Gateway: addr("10.9.0.1")},
		},
		Cursors: []journal.Cursor{{Set: 0, IP: addr("10.1.3.1")}, {Set: 1, IP: addr("fd00::42")}, {Set: 2, IP: addr("10.9.9.9")}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// The same container's other interface is another attachment, and a further
	// request is no duplicate.
	m.take(me, got)
	if _, err := allocator.Choose(m, allocator.Request{Owner: state.Attachment{ContainerID: "c1", IfName: "eth1"}, Sets: sets}); err != nil {
		t.Errorf("other interface: %v", err)
	}
	if _, err := allocator.Choose(m, allocator.Request{Owner: me, Sets: sets[:1], IPs: addrs("10.1.2.50")}); err != nil {
		t.Errorf("further request: %v", err)
	}
}

func TestChooseLeaseErrors(t *testing.T) {
	sets := canon(t, allocator.RangeSet{rng("10.1.2.0/24", "", "", "")})
	tests := []struct{ name, failing, ips string }{
		{"lease", "Lease", "10.1.2.9"},
		{"held by the attachment", "Held by eth0", ""},
		{"held by the container", "Held by ", ""},
		{"next free", "NextFree", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newHeldMap()
			m.failing = tt.failing
			got, err := allocator.Choose(m, allocator.Request{Owner: me, Sets: sets, IPs: addrs(tt.ips)})
			var refusal *allocator.Refusal
			if !errors.Is(err, errDamaged) || errors.As(err, &refusal) || !reflect.DeepEqual(got, allocator.Choice{}) {
				t.Errorf("got %v, %v, want the damage", got, err)
			}
		})
	}
}

// TestChooseCost fills big ranges but for one address: wherever that is, two
// questions a range and one per gateway in the way find it.
func TestChooseCost(t *testing.T) {
	run := func(from, to string) [2]netip.Addr { return [2]netip.Addr{addr(from), addr(to)} }
	tests := []struct {
		name   string
		set    allocator.RangeSet
		held   [][2]netip.Addr
		cursor string
		want   string
		calls  int
	}{
		{"full /14", allocator.RangeSet{rng("10.0.0.0/14", "", "", "")}, [][2]netip.Addr{run("10.0.0.2", "10.3.255.254")}, "10.2.0.0", "", 2},
		{"full /14, gateway inside", allocator.RangeSet{rng("10.0.0.0/14", "", "", "10.1.0.0")},
			[][2]netip.Addr{run("10.0.0.0", "10.0.255.255"), run("10.1.0.1", "10.3.255.254")}, "10.2.0.0", "", 3},
		{"one left in a /14", allocator.RangeSet{rng("10.0.0.0/14", "", "", "")},
			[][2]netip.Addr{run("10.0.0.2", "10.1.0.0"), run("10.1.0.2", "10.3.255.254")}, "10.2.0.0", "10.1.0.1", 2},
		{"full /64", allocator.RangeSet{rng("fd00::/64", "", "", "")},
			[][2]netip.Addr{run("fd00::", "fd00::ffff:ffff:ffff:ffff")}, "fd00::7", "", 2},
		{"one left in a /64", allocator.RangeSet{rng("fd00::/64", "", "", "")},
			[][2]netip.Addr{run("fd00::", "fd00::ffff:ffff:ffff:fffe")}, "fd00::7", "fd00::ffff:ffff:ffff:ffff", 1},
		{"full /0", allocator.RangeSet{rng("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "10.0.0.1")},
			[][2]netip.Addr{run("0.0.0.0", "255.255.255.255")}, "255.255.255.255", "", 1},
		{"full ::/0", allocator.RangeSet{rng("::/0", "::", "", "fd00::1")},
			[][2]netip.Addr{run("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}, "", "", 2},
		{"three ranges", allocator.RangeSet{rng("10.0.0.0/14", "", "", ""), rng("10.4.0.0/14", "", "", ""), rng("10.8.0.0/14", "", "", "")},
			[][2]netip.Addr{run("10.0.0.0", "10.11.255.255")}, "10.5.0.0", "", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &runLeases{runs: tt.held, cursor: addr(tt.cursor)}
			got, err := allocator.Choose(l, allocator.Request{Owner: me, Sets: canon(t, tt.set)})
			if tt.want == "" && !errors.Is(err, allocator.ErrExhausted) {
				t.Errorf("got %v, %v, want ErrExhausted", got, err)
			}
			if tt.want != "" && (err != nil || got.Addresses[0].IP != addr(tt.want)) {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
			if l.calls != tt.calls {
				t.Errorf("%d calls of NextFree, want %d", l.calls, tt.calls)
			}
		})
	}
}

func ExampleChoose() {
	sets, err := allocator.Canonical([]allocator.RangeSet{
		{{Subnet: netip.MustParsePrefix("10.1.2.0/29")}},
		{{Subnet: netip.MustParsePrefix("fd00::/64"), Start: netip.MustParseAddr("fd00::100")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	leases := newHeldMap()
	for _, id := range []string{"c1", "c2", "c1"} {
		owner := state.Attachment{ContainerID: id, IfName: "eth0"}
		choice, err := allocator.Choose(leases, allocator.Request{Owner: owner, Sets: sets})
		if err != nil {
			fmt.Println(err)
			continue
		}
		leases.take(owner, choice)
		for _, a := range choice.Addresses {
			fmt.Printf("%s: %s/%d via %s\n", id, a.IP, a.Bits, a.Gateway)
		}
	}
	// Output:
	// c1: 10.1.2.2/29 via 10.1.2.1
	// c1: fd00::100/64 via fd00::1
	// c2: 10.1.2.3/29 via 10.1.2.1
	// c2: fd00::101/64 via fd00::1
	// failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed
}

func BenchmarkChoose(b *testing.B) {
	run := func(from, to string) [2]netip.Addr { return [2]netip.Addr{addr(from), addr(to)} }
	benchmarks := []struct {
		name string
		set  allocator.RangeSet
		held [][2]netip.Addr
	}{
		{"empty24", allocator.RangeSet{rng("10.0.0.0/24", "", "", "")}, nil},
		{"full14", allocator.RangeSet{rng("10.0.0.0/14", "", "", "")}, [][2]netip.Addr{run("10.0.0.0", "10.3.255.255")}},
		{"lastOf64", allocator.RangeSet{rng("fd00::/64", "", "", "")}, [][2]netip.Addr{run("fd00::", "fd00::ffff:ffff:ffff:fffe")}},
	}
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			req := allocator.Request{Owner: me, Sets: canon(b, bm.set)}
			l := &runLeases{runs: bm.held, cursor: bm.set[0].Subnet.Addr().Next()}
			b.ReportAllocs()
			for b.Loop() {
				_, err := allocator.Choose(l, req)
				if err != nil && !errors.Is(err, allocator.ErrExhausted) {
					b.Fatal(err)
				}
			}
		})
	}
}
