package e2e_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/test/lab"
)

var families = []struct {
	name    string
	subnets []string
}{
	{"IPv4", []string{"10.77.0.0/24"}},
	{"IPv6", []string{"fd77::/64"}},
	{"dual stack", []string{"10.77.0.0/24", "fd77::/64"}},
}

// sets makes one range set of each subnet.
func sets(subnets ...string) [][]map[string]string {
	var s [][]map[string]string
	for _, subnet := range subnets {
		s = append(s, []map[string]string{{"subnet": subnet}})
	}
	return s
}

// TestMatrix takes two pods through their lives, for every cniVersion, address
// family and interface plugin.
func TestMatrix(t *testing.T) {
	for _, plugin := range []string{"bridge", "ptp"} {
		for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
			for _, family := range families {
				t.Run(fmt.Sprintf("%s %s %s", plugin, version, family.name), func(t *testing.T) {
					t.Parallel()
					needFamily(t, family.subnets)
					testLife(t, lab.Options{Plugin: plugin, Version: version, Ranges: sets(family.subnets...)}, family.subnets)
				})
			}
		}
	}
}

func needFamily(t *testing.T, subnets []string) {
	t.Helper()
	for _, subnet := range subnets {
		if netip.MustParsePrefix(subnet).Addr().Is4() {
			continue
		}
		if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
			t.Skip("needs IPv6 in the kernel")
		}
	}
}

func testLife(t *testing.T, o lab.Options, subnets []string) {
	l := newHost(t, o)
	first, second := l.NewPod(t), l.NewPod(t)
	want := [2][]netip.Prefix{}
	var gateways []netip.Addr
	for _, subnet := range subnets {
		prefix := netip.MustParsePrefix(subnet)
		gateway := prefix.Addr().Next()
		gateways = append(gateways, gateway)
		want[0] = append(want[0], netip.PrefixFrom(gateway.Next(), prefix.Bits()))
		want[1] = append(want[1], netip.PrefixFrom(gateway.Next().Next(), prefix.Bits()))
	}
	for i, p := range []*lab.Pod{first, second} {
		if got := p.Add(t); !slices.Equal(got, want[i]) {
			t.Fatalf("addresses of pod %d: got %v, want %v", i, got, want[i])
		}
		if got := p.OnInterface(t); !slices.Equal(sorted(got), sorted(want[i])) {
			t.Errorf("addresses on the interface of pod %d: got %v, want %v", i, got, want[i])
		}
	}
	for i := range subnets {
		first.Ping(t, want[1][i].Addr())
		second.Ping(t, want[0][i].Addr())
		first.Ping(t, gateways[i])
	}
	check(t, first)
	check(t, second)
	status(t, first)

	var ips []string
	for _, prefix := range want[0] {
		ips = append(ips, prefix.String())
	}
	third := l.NewPod(t)
	third.Refused(t, "add", "requested IP address "+want[0][0].Addr().String()+" is not available", ips...)
	third.Succeed(t, "del") // as runtimes do after an ADD that failed: bridge leaves its link behind
	first.Succeed(t, "del")
	first.Succeed(t, "del") // runtimes repeat themselves
	if got := third.Add(t, ips...); !slices.Equal(got, want[0]) {
		t.Errorf("addresses asked for after the DEL: got %v, want %v", got, want[0])
	}
	third.Ping(t, want[1][0].Addr())
	check(t, third)
	third.Succeed(t, "del")
	second.Succeed(t, "del")
}

// check calls CHECK, which cnitool refuses for versions that don't have it.
func check(t *testing.T, p *lab.Pod) {
	t.Helper()
	if p.Conf["cniVersion"] == "0.3.1" {
		p.Refused(t, "check", "does not support the CHECK command")
		return
	}
	p.Succeed(t, "check")
}

// status calls STATUS where the version has it.
func status(t *testing.T, p *lab.Pod) {
	t.Helper()
	if p.Conf["cniVersion"] == "1.1.0" {
		p.Succeed(t, "status")
	}
}

func sorted(prefixes []netip.Prefix) []netip.Prefix {
	return slices.SortedFunc(slices.Values(prefixes), netip.Prefix.Compare)
}
