package allocator_test

import (
	"testing"

	"github.com/leaselog/leaselog/allocator"
)

func TestCheckOverlap(t *testing.T) {
	a := allocator.RangeSet{rng("10.1.0.0/24", "", "", "")}
	b := allocator.RangeSet{rng("10.2.0.0/24", "", "", ""), rng("10.3.0.0/24", "", "", "")}
	v6 := allocator.RangeSet{rng("fd00::/64", "", "", "")}
	tests := []struct {
		name string
		sets []allocator.RangeSet
		want string
	}{
		{"none", nil, ""},
		{"disjoint", []allocator.RangeSet{a, b, v6}, ""},
		{"the same twice", []allocator.RangeSet{a, a}, "range set 0 overlaps with 1"},
		{"second and fourth", []allocator.RangeSet{a, b, v6, {rng("10.3.0.0/16", "", "", "")}}, "range set 1 overlaps with 3"},
		{"first pair wins", []allocator.RangeSet{v6, a, b, b, a}, "range set 1 overlaps with 4"},
		{"one subnet, two parts", []allocator.RangeSet{
			{rng("10.1.0.0/24", "10.1.0.2", "10.1.0.9", "")}, {rng("10.1.0.0/24", "10.1.0.10", "", "")}}, ""},
		{"inside", []allocator.RangeSet{
			{rng("10.1.0.0/24", "10.1.0.20", "10.1.0.29", "")}, {rng("10.1.0.0/24", "", "", "")}}, "range set 0 overlaps with 1"},
		{"IPv6 last address", []allocator.RangeSet{
			v6, {rng("fd00::/64", "fd00::ffff:ffff:ffff:ffff", "", "")}}, "range set 0 overlaps with 1"},
		{"both families whole", []allocator.RangeSet{{rng("0.0.0.0/0", "", "", "")}, {rng("::/0", "", "", "")}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := allocator.CheckOverlap(canon(t, tt.sets...)); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRangeSet(t *testing.T) {
	v4 := canon(t, allocator.RangeSet{rng("10.1.0.0/24", "10.1.0.5", "10.1.0.9", ""), rng("10.2.0.0/30", "", "", "")})[0]
	v6 := canon(t, allocator.RangeSet{rng("::/64", "", "", "")})[0]
	if got, want := v4.String(), "10.1.0.5-10.1.0.9,10.2.0.1-10.2.0.2"; got != want {
		t.Errorf("String: got %s, want %s", got, want)
	}
	if !v4.Is4() || v6.Is4() || (allocator.RangeSet{}).Is4() {
		t.Error("Is4 is wrong about a family")
	}
	tests := []struct {
		name string
		set  allocator.RangeSet
		ip   string
		want bool
	}{
		{"before", v4, "10.1.0.4", false},
		{"start", v4, "10.1.0.5", true},
		{"end", v4, "10.1.0.9", true},
		{"behind", v4, "10.1.0.10", false},
		{"second range's gateway", v4, "10.2.0.1", true},
		{"mapped is IPv4", v4, "::ffff:10.1.0.7", true},
		{"IPv6 in IPv4", v4, "::10.1.0.7", false},
		{"IPv4 in IPv6", v6, "10.1.0.7", false},
		{"mapped in IPv6", v6, "::ffff:10.1.0.7", false},
		{"IPv6", v6, "::7", true},
		{"no address", v4, "", false},
		{"no ranges", nil, "10.1.0.7", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.set.Contains(addr(tt.ip)); got != tt.want {
				t.Errorf("%s contains %s: got %t, want %t", tt.set, tt.ip, got, tt.want)
			}
		})
	}
}
