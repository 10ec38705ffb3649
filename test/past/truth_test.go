package past_test

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// networks returns a small network of one family and a smaller one of two, without stores.
func networks(t *testing.T) []caller.Network {
	t.Helper()
	dataDir := filepath.Join(t.TempDir(), "networks")
	return []caller.Network{
		{Name: "small", DataDir: dataDir, Ranges: [][]caller.Range{{{Subnet: "10.66.0.0/27"}}}},
		{Name: "dual", DataDir: dataDir, Ranges: [][]caller.Range{{{Subnet: "10.66.1.0/28"}}, {{Subnet: "fd66::/124"}}}},
	}
}

// addresses lists what a network has to give, by range set.
func addresses(t *testing.T, n caller.Network) [][]netip.Addr {
	t.Helper()
	sets := make([][]netip.Addr, len(n.Ranges))
	for i, set := range n.Ranges {
		for _, r := range set {
			subnet := netip.MustParsePrefix(r.Subnet)
			first := subnet.Addr().Next().Next() // behind the gateway
			for ip := first; subnet.Contains(ip); ip = ip.Next() {
				if ip.Is6() || subnet.Contains(ip.Next()) { // IPv4 has a broadcast address
					sets[i] = append(sets[i], ip)
				}
			}
		}
	}
	return sets
}

// The boots of a turmoil; the last one is that of the machine.
func boots() []journal.BootID {
	return []journal.BootID{{1, 2, 3}, {4, 5, 6}, journal.CurrentBoot()}
}

func TestTruth(t *testing.T) {
	r := random(t)
	tm := newTurmoil(t, networks(t)...)
	for i, boot := range boots() {
		tm.boot = boot
		tm.phase(r, string(rune('a'+i)), 35)
		if i > 0 {
			tm.rebooted(t, boot)
		}
	}
	tm.sane(t)
	t.Log(tm.counts)
}
