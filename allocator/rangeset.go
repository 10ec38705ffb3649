package allocator

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// RangeSet is the pool for one address of an attachment: ranges of one family in
// the order in which they are used. See [Range] for what must go through
// [Canonical] first.
type RangeSet []Range

// Canonical checks the range sets of a configuration and fills in what it left to
// the defaults. A range's Subnet is as parsed, with its host bits, and zero if it
// is absent; an IPv4-mapped subnet is passed as it is, to be refused. Zero Start,
// End and Gateway mean the default: the subnet's first address but one for Start
// and Gateway, its last that is no IPv4 broadcast address for End.
//
// The sets that come back are new; the given ones are left alone. Errors have
// host-local's text. Whether sets overlap one another is left to [CheckOverlap],
// because callers have a check of their own to make in between; that there is a set
// at all is theirs to check, too.
func Canonical(sets []RangeSet) ([]RangeSet, error) {
	out := make([]RangeSet, len(sets))
	for i, set := range sets {
		s, err := set.canonical()
		if err != nil {
			return nil, fmt.Errorf("invalid range set %d: %w", i, err)
		}
		out[i] = s
	}
	return out, nil
}

// CheckOverlap returns an error with host-local's text about the first two of the
// canonical sets that have an address in common.
func CheckOverlap(sets []RangeSet) error {
	for i, a := range sets {
		for j, b := range sets[i+1:] {
			if a.overlaps(b) {
				return fmt.Errorf("range set %d overlaps with %d", i, i+1+j)
			}
		}
	}
	return nil
}

func (s RangeSet) canonical() (RangeSet, error) {
	if len(s) == 0 {
		return nil, errors.New("empty range set")
	}
	out := make(RangeSet, len(s))
	for i, r := range s {
		c, err := r.canonical()
		if err != nil {
			return nil, err
		}
		out[i] = c
		if out[0].Start.Is4() != c.Start.Is4() {
			return nil, errors.New("mixed address families")
		}
	}
	for i, a := range out {
		for _, b := range out[i+1:] {
			if a.overlaps(b) {
				return nil, fmt.Errorf("subnets %s and %s overlap", a, b)
			}
		}
	}
	return out, nil
}

func (s RangeSet) overlaps(o RangeSet) bool {
	for _, a := range s {
		for _, b := range o {
			if a.overlaps(b) {
				return true
			}
		}
	}
	return false
}

// Contains reports whether ip lies in one of the ranges, gateways included. An
// IPv4-mapped address counts as the IPv4 address it stands for.
func (s RangeSet) Contains(ip netip.Addr) bool { return s.find(ip.Unmap()) >= 0 }

// find returns the index of the range that ip lies in, or -1.
func (s RangeSet) find(ip netip.Addr) int {
	for i, r := range s {
		if r.contains(ip) {
			return i
		}
	}
	return -1
}

// Is4 reports whether the set gives IPv4 addresses. An empty set gives none.
func (s RangeSet) Is4() bool { return len(s) > 0 && s[0].Start.Is4() }

// String returns the set as "start-end[,start-end...]".
func (s RangeSet) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}
