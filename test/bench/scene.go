package main

import (
	"fmt"
	"net/netip"
	"strconv"
)

const (
	network = "pods"
	subnet6 = "fd00:10::/64"
)

// scene is what a network looks like when calls are made on it.
type scene struct {
	name   string // of the table: "leases", "full", "history"
	leases int    // addresses held
	events int    // that led there
	dual   bool
	small  bool // a /16 instead of a /12
}

// stack is how rows name the address families.
func (s scene) stack() string {
	if s.dual {
		return "dual"
	}
	return "single"
}

func (s scene) subnet() string {
	if s.small {
		return "10.0.0.0/16"
	}
	return "10.0.0.0/12"
}

// bits is the prefix length of a result's address.
func (s scene) bits(ip netip.Addr) int {
	if ip.Is6() {
		return netip.MustParsePrefix(subnet6).Bits()
	}
	return netip.MustParsePrefix(s.subnet()).Bits()
}

func (s scene) String() string {
	return fmt.Sprintf("%s, %s stack, %s leases", s.name, s.stack(), grouped(s.leases))
}

// grouped writes n with commas between thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// leasesScene is a network with so many leases after no more than a little churn: what the calls cost does not
// depend on what was archived, which the history scene shows.
func leasesScene(leases int, dual bool) scene {
	return scene{name: "leases", leases: leases, events: leases + leases/8 + 1000, dual: dual}
}

// fullScene is a /16 of which few addresses are free.
func fullScene() scene {
	const free = 16
	leases := 1<<16 - 3 - free // all but the network, its gateway and broadcast
	return scene{name: "nearly full /16", leases: leases, events: leases + leases/8 + 1000, small: true}
}

// rounds is how many of n rounds host-local takes part in. It reads every lease file on each call, which nobody wants to
// wait for 40 times at 65,000 leases: a second a call there. 0 if it can't be waited for at all.
func (s scene) hostLocalRounds(n int) int {
	switch {
	case s.leases <= 1_000:
		return n
	case s.leases <= 10_000:
		return min(n, 12)
	case s.leases <= 70_000:
		return min(n, 5)
	default:
		return 0
	}
}

// takesPart spreads k rounds evenly over n: it reports whether round r, from 0 on, is one of them.
func takesPart(r, k, n int) bool { return (r+1)*k/n != r*k/n }
