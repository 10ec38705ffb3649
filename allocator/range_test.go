package allocator_test

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/allocator"
)

// rng returns a range as a configuration has it; "" is an absent value.
func rng(subnet, start, end, gateway string) allocator.Range {
	var r allocator.Range
	if subnet != "" {
		r.Subnet = netip.MustParsePrefix(subnet)
	}
	r.Start, r.End, r.Gateway = addr(start), addr(end), addr(gateway)
	return r
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

// canon returns the sets in canonical form.
func canon(t testing.TB, sets ...allocator.RangeSet) []allocator.RangeSet {
	t.Helper()
	out, err := allocator.Canonical(sets)
	if err != nil {
		t.Fatalf("Canonical(%v): %v", sets, err)
	}
	return out
}

func TestCanonicalDefaults(t *testing.T) {
	tests := []struct {
		name string
		in   allocator.Range
		want allocator.Range
	}{
		{"IPv4 subnet alone", rng("10.1.2.0/24", "", "", ""), rng("10.1.2.0/24", "10.1.2.1", "10.1.2.254", "10.1.2.1")},
		{"IPv6 subnet alone", rng("fd00:1::/64", "", "", ""),
			rng("fd00:1::/64", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff", "fd00:1::1")},
		{"smallest IPv4", rng("10.1.2.4/30", "", "", ""), rng("10.1.2.4/30", "10.1.2.5", "10.1.2.6", "10.1.2.5")},
		{"smallest IPv6", rng("fd00::4/126", "", "", ""), rng("fd00::4/126", "fd00::5", "fd00::7", "fd00::5")},
		{"network and broadcast on request", rng("10.1.2.0/24", "10.1.2.0", "10.1.2.255", ""),
			rng("10.1.2.0/24", "10.1.2.0", "10.1.2.255", "10.1.2.1")},
		{"one address", rng("10.1.2.0/24", "10.1.2.9", "10.1.2.9", ""), rng("10.1.2.0/24", "10.1.2.9", "10.1.2.9", "10.1.2.1")},
		{"gateway outside", rng("10.1.2.0/24", "", "", "192.0.2.1"), rng("10.1.2.0/24", "10.1.2.1", "10.1.2.254", "192.0.2.1")},
		{"gateway of the other family", rng("10.1.2.0/24", "", "", "fe80::1"), rng("10.1.2.0/24", "10.1.2.1", "10.1.2.254", "fe80::1")},
		{"gateway 0.0.0.0", rng("10.1.2.0/24", "", "", "0.0.0.0"), rng("10.1.2.0/24", "10.1.2.1", "10.1.2.254", "0.0.0.0")},
		{"mapped addresses", rng("10.1.2.0/24", "::ffff:10.1.2.7", "::ffff:10.1.2.9", "::ffff:10.1.2.3"),
			rng("10.1.2.0/24", "10.1.2.7", "10.1.2.9", "10.1.2.3")},
		{"all of IPv4", rng("0.0.0.0/0", "", "", ""), rng("0.0.0.0/0", "0.0.0.1", "255.255.255.254", "0.0.0.1")},
		{"all of IPv6", rng("::/0", "", "", ""), rng("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1")},
		{"odd prefix length", rng("10.64.0.0/11", "", "", ""), rng("10.64.0.0/11", "10.64.0.1", "10.95.255.254", "10.64.0.1")},
		{"end would be mapped", rng("::/80", "", "", ""), rng("::/80", "::1", "::fffe:ffff:ffff", "::1")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := []allocator.RangeSet{{tt.in}}
			got := canon(t, in...)
			if want := []allocator.RangeSet{{tt.want}}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if in[0][0] != tt.in {
				t.Errorf("input became %+v", in[0][0])
			}
			if again := canon(t, got...); !reflect.DeepEqual(again, got) {
				t.Errorf("a second time: %+v", again)
			}
		})
	}
}

func TestCanonicalErrors(t *testing.T) {
	ok := allocator.RangeSet{rng("192.0.2.0/24", "", "", "")}
	tests := []struct {
		name string
		sets []allocator.RangeSet
		want string
	}{
		{"empty set", []allocator.RangeSet{ok, {}}, "invalid range set 1: empty range set"},
		{"nil set", []allocator.RangeSet{nil}, "invalid range set 0: empty range set"},
		{"no subnet", []allocator.RangeSet{{rng("", "10.0.0.1", "", "")}}, "invalid range set 0: IP <nil> not v4 nor v6"},
		{"/31", []allocator.RangeSet{{rng("10.1.2.0/31", "", "", "")}},
			"invalid range set 0: Network 10.1.2.0/31 too small to allocate from"},
		{"/32 with its host bits", []allocator.RangeSet{{rng("10.1.2.7/32", "", "", "")}},
			"invalid range set 0: Network 10.1.2.7/32 too small to allocate from"},
		{"too small before host bits", []allocator.RangeSet{{rng("10.1.2.1/31", "", "", "")}},
			"invalid range set 0: Network 10.1.2.1/31 too small to allocate from"},
		{"/127", []allocator.RangeSet{{rng("fd00::/127", "", "", "")}},
			"invalid range set 0: Network fd00::/127 too small to allocate from"},
		{"mapped", []allocator.RangeSet{{rng("::ffff:10.1.2.0/120", "", "", "")}},
			"invalid range set 0: IPNet IP and Mask version mismatch"},
		{"mapped with host bits", []allocator.RangeSet{{rng("::ffff:10.1.2.7/24", "", "", "")}},
			"invalid range set 0: IPNet IP and Mask version mismatch"},
		{"mapped and too small", []allocator.RangeSet{{rng("::ffff:10.1.2.0/127", "", "", "")}},
			"invalid range set 0: Network 10.1.2.0/31 too small to allocate from"},
		{"host bits IPv4", []allocator.RangeSet{{rng("10.1.2.3/24", "", "", "")}},
			"invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"},
		{"host bits IPv6", []allocator.RangeSet{{rng("fd00:1::5/64", "", "", "")}},
			"invalid range set 0: Network has host bits set. For a subnet mask of length 64 the network address is fd00:1::"},
		{"start outside", []allocator.RangeSet{{rng("10.1.2.0/24", "10.1.3.1", "", "")}},
			"invalid range set 0: RangeStart 10.1.3.1 not in network 10.1.2.0/24"},
		{"start of the other family", []allocator.RangeSet{{rng("10.1.2.0/24", "fd00::1", "", "")}},
			"invalid range set 0: RangeStart fd00::1 not in network 10.1.2.0/24"},
		{"IPv4 start in ::/64", []allocator.RangeSet{{rng("::/64", "::ffff:1.2.3.4", "", "")}},
			"invalid range set 0: RangeStart 1.2.3.4 not in network ::/64"},
		{"end outside", []allocator.RangeSet{{rng("10.1.2.0/24", "", "10.1.3.1", "")}},
			"invalid range set 0: RangeEnd 10.1.3.1 not in network 10.1.2.0/24"},
		{"end of the other family", []allocator.RangeSet{{rng("fd00::/64", "fd00::5", "10.1.3.1", "")}},
			"invalid range set 0: RangeEnd 10.1.3.1 not in network fd00::/64"},
		{"end before start", []allocator.RangeSet{{rng("10.1.2.0/24", "10.1.2.50", "10.1.2.40", "")}},
			"invalid range set 0: RangeStart 10.1.2.50 not in network 10.1.2.0/24"},
		{"end before default start", []allocator.RangeSet{{rng("10.1.2.0/24", "", "10.1.2.0", "")}},
			"invalid range set 0: RangeEnd 10.1.2.0 not in network 10.1.2.0/24"},
		{"start behind default end", []allocator.RangeSet{{rng("10.1.2.0/24", "10.1.2.255", "", "")}},
			"invalid range set 0: RangeStart 10.1.2.255 not in network 10.1.2.0/24"},
		{"mixed families", []allocator.RangeSet{ok, {rng("10.1.2.0/24", "", "", ""), rng("fd00::/64", "", "", "")}},
			"invalid range set 1: mixed address families"},
		{"mixed families before a later range's error",
			[]allocator.RangeSet{{rng("10.1.2.0/24", "", "", ""), rng("fd00::/64", "", "", ""), rng("", "", "", "")}},
			"invalid range set 0: mixed address families"},
		{"an earlier range's error before mixed families",
			[]allocator.RangeSet{{rng("10.1.2.0/24", "", "", ""), rng("fd00::/127", "", "", "")}},
			"invalid range set 0: Network fd00::/127 too small to allocate from"},
		{"overlap", []allocator.RangeSet{{rng("10.1.0.0/22", "", "", ""), rng("10.9.0.0/24", "", "", ""), rng("10.1.2.0/24", "", "", "")}},
			"invalid range set 0: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"},
		{"overlap in one address",
			[]allocator.RangeSet{{rng("10.1.0.0/24", "10.1.0.9", "", ""), rng("10.1.0.0/24", "10.1.0.2", "10.1.0.9", "")}},
			"invalid range set 0: subnets 10.1.0.9-10.1.0.254 and 10.1.0.2-10.1.0.9 overlap"},
		{"first of two bad sets", []allocator.RangeSet{ok, {rng("10.1.2.0/31", "", "", "")}, {}},
			"invalid range set 1: Network 10.1.2.0/31 too small to allocate from"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := allocator.Canonical(tt.sets)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, %v, want error %s", got, err, tt.want)
			}
		})
	}
}

// FuzzCanonical builds range sets out of the fuzzer's bytes: whatever they say, the
// sets are refused or come back sound, and Choose can use them.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte{0x01, 10, 1, 2, 0, 24}, uint8(1))
	f.Add([]byte{0x07, 10, 1, 2, 0, 24, 10, 1, 2, 9, 10, 1, 2, 40, 0x01, 10, 1, 3, 0, 25}, uint8(2))
	f.Add(slices.Concat([]byte{0x81}, netip.MustParseAddr("fd00::").AsSlice(), []byte{64}), uint8(1))
	f.Add(slices.Concat([]byte{0x81}, netip.MustParseAddr("::ffff:10.0.0.0").AsSlice(), []byte{120}), uint8(1))
	f.Add(slices.Concat([]byte{0x81}, make([]byte, 16), []byte{80}), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, perSet uint8) {
		in := fuzzSets(data, int(perSet%4)+1)
		out, err := allocator.Canonical(in)
		if err != nil {
			return
		}
		for i, set := range out {
			checkCanonical(t, in[i], set)
		}
		if again, err := allocator.Canonical(out); err != nil || !reflect.DeepEqual(again, out) {
			t.Errorf("%v a second time: %v, %v", out, again, err)
		}
		if allocator.CheckOverlap(out) != nil {
			return
		}
		choice, err := allocator.Choose(newHeldMap(), allocator.Request{Sets: out})
		if err != nil {
			return // exhausted: one address, and that the gateway
		}
		for i, a := range choice.Addresses {
			if !out[i].Contains(a.IP) || a.IP.Is4In6() {
				t.Errorf("set %s gave %s", out[i], a.IP)
			}
		}
	})
}

func checkCanonical(t *testing.T, in, set allocator.RangeSet) {
	t.Helper()
	if len(set) != len(in) {
		t.Fatalf("%v became %v", in, set)
	}
	for _, r := range set {
		if !r.Subnet.Contains(r.Start) || !r.Subnet.Contains(r.End) || r.End.Less(r.Start) || !r.Gateway.IsValid() ||
			r.Start.Is4In6() || r.End.Is4In6() || r.Subnet.Masked() != r.Subnet {
			t.Errorf("unsound range %+v", r)
		}
		if !set.Contains(r.Start) || !set.Contains(r.End) || set.Is4() != r.Start.Is4() {
			t.Errorf("set %s does not hold %+v", set, r)
		}
	}
}

// fuzzSets reads ranges from data: a byte of flags (bit 7 IPv6, 6 bad prefix
// length, 0 subnet, 1 start, 2 end, 3 gateway given), then what they announce.
func fuzzSets(data []byte, perSet int) []allocator.RangeSet {
	var sets []allocator.RangeSet
	take := func(n int) []byte {
		b := make([]byte, n)
		data = data[copy(b, data):]
		return b
	}
	for n := 0; len(data) > 0 && n < 64; n++ {
		flags, size := take(1)[0], 4
		if flags&0x80 != 0 {
			size = 16
		}
		next := func() netip.Addr {
			a, _ := netip.AddrFromSlice(take(size))
			return a
		}
		var r allocator.Range
		if flags&1 != 0 {
			base, bits := next(), int(take(1)[0])
			if flags&0x40 == 0 {
				bits %= size*8 + 1
				if r.Subnet = netip.PrefixFrom(base, bits); bits%2 == 0 {
					r.Subnet = r.Subnet.Masked()
				}
			} else {
				r.Subnet = netip.PrefixFrom(base, bits-128)
			}
		}
		for i, p := range []*netip.Addr{&r.Start, &r.End, &r.Gateway} {
			if flags&(2<<i) != 0 {
				*p = near(r.Subnet, next())
			}
		}
		if n%perSet == 0 {
			sets = append(sets, nil)
		}
		sets[len(sets)-1] = append(sets[len(sets)-1], r)
	}
	return sets
}

// near moves every other address into the subnet, or random ones would never be.
func near(p netip.Prefix, a netip.Addr) netip.Addr {
	b := a.AsSlice()
	if !p.IsValid() || len(b) != p.Addr().BitLen()/8 || b[0]%2 == 0 {
		return a
	}
	host := binary.BigEndian.Uint16(b[len(b)-2:])
	copy(b, p.Masked().Addr().AsSlice())
	binary.BigEndian.PutUint16(b[len(b)-2:], binary.BigEndian.Uint16(b[len(b)-2:])|host)
	moved, _ := netip.AddrFromSlice(b)
	return moved
}
