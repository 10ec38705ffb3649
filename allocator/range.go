package allocator

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/leaselog/leaselog/journal"
)

// Range is a part of one subnet that addresses are given from: Start to End, both
// included. As it stands in a configuration its Start, End and Gateway may be zero
// and its Subnet unchecked; only ranges that [Canonical] returned may be used for
// anything else.
type Range journal.Range

// String returns the range as "start-end".
func (r Range) String() string { return r.Start.String() + "-" + r.End.String() }

// contains reports whether ip, which must not be IPv4-mapped, lies within Start
// and End. Addr.Compare puts all of IPv4 before all of IPv6, so families don't mix.
func (r Range) contains(ip netip.Addr) bool {
	return r.Start.Compare(ip) <= 0 && ip.Compare(r.End) <= 0
}

func (r Range) overlaps(o Range) bool {
	return r.Start.Compare(o.End) <= 0 && o.Start.Compare(r.End) <= 0
}

// canonical returns the range with its defaults filled in, or host-local's words
// for what is wrong with it. The order of the checks is part of the contract.
func (r Range) canonical() (Range, error) {
	if err := checkSubnet(r.Subnet); err != nil {
		return Range{}, err
	}
	r.Start, r.End, r.Gateway = r.Start.Unmap(), r.End.Unmap(), r.Gateway.Unmap()

	// The gateway is not checked: one outside the subnet is legal, for on-link routes.
	first := r.Subnet.Addr().Next()
	if !r.Gateway.IsValid() {
		r.Gateway = first
	}

	// A start behind the end is blamed on the start, a default start on the end.
	backwards := r.End.BitLen() == r.Start.BitLen() && r.End.Less(r.Start)
	if !r.Start.IsValid() {
		r.Start = first
	} else if !r.Subnet.Contains(r.Start) || backwards {
		return Range{}, fmt.Errorf("RangeStart %s not in network %s", r.Start, r.Subnet)
	}

	if r.End.IsValid() {
		if !r.Subnet.Contains(r.End) || r.End.Less(r.Start) {
			return Range{}, fmt.Errorf("RangeEnd %s not in network %s", r.End, r.Subnet)
		}
		return r, nil
	}
	r.End = defaultEnd(r.Subnet)
	if r.End.Less(r.Start) {
		// The start is the IPv4 broadcast address. host-local takes this for a range
		// without an end and gives addresses of the subnets that follow.
		return Range{}, fmt.Errorf("RangeStart %s not in network %s", r.Start, r.Subnet)
	}
	return r, nil
}

// checkSubnet wants the network address itself and room for two hosts.
func checkSubnet(p netip.Prefix) error {
	addr := p.Addr().Unmap()
	switch {
	case !p.IsValid():
		return errors.New("IP <nil> not v4 nor v6")
	case p.Bits() > p.Addr().BitLen()-2:
		// An IPv4-mapped prefix is too long before it is of the wrong form, and is
		// then shown as the IPv4 prefix it stands for.
		shown := netip.PrefixFrom(addr, p.Bits()-p.Addr().BitLen()+addr.BitLen())
		//lint:ignore ST1005 host-local's text
		return fmt.Errorf("Network %s too small to allocate from", shown)
	case p.Addr().Is4In6():
		return errors.New("IPNet IP and Mask version mismatch")
	case p.Masked().Addr() != addr:
		//lint:ignore ST1005 host-local's text
		return fmt.Errorf("Network has host bits set. For a subnet mask of length %d the network address is %s",
			p.Bits(), p.Masked().Addr())
	}
	return nil
}

// defaultEnd returns the last address that a range over all of p may give: the one
// before the broadcast address in IPv4, the very last in IPv6.
func defaultEnd(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(b)
	if end.Is4() {
		return end.Prev()
	}
	if end.Is4In6() {
		// An IPv4-mapped end can't be recorded, and nothing up there is given out.
		first, _ := mapped()
		return first.Prev()
	}
	return end
}

// mapped returns the first and the last of the IPv4-mapped IPv6 addresses.
func mapped() (first, last netip.Addr) {
	b := [16]byte{10: 0xff, 11: 0xff}
	first = netip.AddrFrom16(b)
	b[12], b[13], b[14], b[15] = 0xff, 0xff, 0xff, 0xff
	return first, netip.AddrFrom16(b)
}
