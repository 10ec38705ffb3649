package e2e_test

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bothPlugins runs a test below every interface plugin.
func bothPlugins(t *testing.T, test func(t *testing.T, plugin string)) {
	t.Helper()
	for _, plugin := range []string{"bridge", "ptp"} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			test(t, plugin)
		})
	}
}

// ofLeaselog skips what the reference IPAM plugin doesn't do.
func ofLeaselog(t *testing.T) {
	t.Helper()
	if ipamType != leaselog {
		t.Skipf("%s does not do this", ipamType)
	}
}

func TestCheckAfterAddressChanged(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newLab(t, options{plugin: plugin, version: "1.1.0", ranges: sets("10.77.1.0/24")})
		p := l.newPod(t)
		p.add(t)
		p.succeed(t, "check")
		must(t, "ip", "-n", p.netns, "addr", "del", "10.77.1.2/24", "dev", "eth0")
		must(t, "ip", "-n", p.netns, "addr", "add", "10.77.1.99/24", "dev", "eth0")
		p.refused(t, "check", "10.77.1.2")
		p.succeed(t, "del")
	})
}

// TestCheckAfterLeaseLost is about a lease released behind the runtime's back.
func TestCheckAfterLeaseLost(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newLab(t, options{plugin: plugin, version: "1.0.0", ranges: sets("10.77.1.0/24")})
		p := l.newPod(t)
		p.add(t)
		if _, err := l.ipam(t, "DEL", nil, p.env(p.containerID(t))...); err != nil {
			t.Fatalf("DEL: %v", err)
		}
		p.refused(t, "check", "Failed to find address added by container")
		p.succeed(t, "del")
	})
}

// TestCheckOfAnotherAddress is about a previous result that is not what was leased.
func TestCheckOfAnotherAddress(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newLab(t, options{plugin: plugin, version: "1.1.0", ranges: sets("10.77.1.0/24")})
		p := l.newPod(t)
		p.add(t)
		env := p.env(p.containerID(t))
		prev := p.cached(t)["result"]
		if _, err := l.ipam(t, "CHECK", map[string]any{"prevResult": prev}, env...); err != nil {
			t.Errorf("CHECK: %v", err)
		}
		text := strings.ReplaceAll(string(marshal(t, prev)), "10.77.1.2/", "10.77.1.7/")
		if _, err := l.ipam(t, "CHECK", map[string]any{"prevResult": json.RawMessage(text)}, env...); err == nil {
			t.Errorf("CHECK: succeeded with 10.77.1.7 in prevResult, but 10.77.1.2 is leased")
		}
		p.succeed(t, "del")
	})
}

func TestDelAfterNamespaceGone(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newLab(t, options{plugin: plugin, version: "1.0.0", ranges: sets("10.77.2.0/24")})
		gone, other := l.newPod(t), l.newPod(t)
		addresses := gone.add(t)
		must(t, "ip", "netns", "del", gone.netns)
		gone.succeed(t, "del")
		gone.succeed(t, "del")
		if got := other.add(t, addresses[0].String()); !slices.Equal(got, addresses) {
			t.Errorf("addresses asked for after the DEL: got %v, want %v", got, addresses)
		}
		other.succeed(t, "del")
	})
}

// TestDelWithoutRanges is about a configuration that was broken while the pod ran.
func TestDelWithoutRanges(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		o := options{plugin: plugin, version: "1.0.0", ranges: sets("10.77.2.0/24")}
		l := newLab(t, o)
		p, other := l.newPod(t), l.newPod(t)
		addresses := p.add(t)
		broken := o
		broken.ranges = sets("10.77.2.0/33")
		l.configure(t, broken)
		p.succeed(t, "del")
		l.configure(t, o)
		if got := other.add(t, addresses[0].String()); !slices.Equal(got, addresses) {
			t.Errorf("addresses asked for after the DEL: got %v, want %v", got, addresses)
		}
		other.succeed(t, "del")
	})
}

func TestExhaustedAndFreed(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newLab(t, options{plugin: plugin, version: "1.1.0", ranges: [][]map[string]string{{
			{"subnet": "10.77.3.0/29", "rangeStart": "10.77.3.2", "rangeEnd": "10.77.3.3"},
		}}})
		first, second, third := l.newPod(t), l.newPod(t), l.newPod(t)
		addresses := first.add(t)
		second.add(t)
		third.refused(t, "add", "no IP addresses available in range set: 10.77.3.2-10.77.3.3")
		third.succeed(t, "status") // running pods are well, and exhaustion wasn't asked for
		third.succeed(t, "del")    // runtimes clean up after an ADD that was refused
		second.succeed(t, "check")
		first.succeed(t, "del")
		if got := third.add(t); !slices.Equal(got, addresses) {
			t.Errorf("addresses after one was freed: got %v, want %v", got, addresses)
		}
		third.ping(t, netip.MustParseAddr("10.77.3.3"))
		third.succeed(t, "del")
		second.succeed(t, "del")
	})
}

func TestStatusOnExhaustion(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newLab(t, options{
			plugin: plugin, version: "1.1.0", ipam: map[string]any{"statusOnExhaustion": true},
			ranges: [][]map[string]string{{
				{"subnet": "10.77.3.0/29", "rangeStart": "10.77.3.2", "rangeEnd": "10.77.3.2"},
			}},
		})
		p := l.newPod(t)
		p.succeed(t, "status")
		p.add(t)
		p.refused(t, "status", "no IP addresses available in range set")
		p.succeed(t, "del")
		p.succeed(t, "status")
	})
}

func TestGC(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newLab(t, options{plugin: plugin, version: "1.1.0", ranges: sets("10.77.4.0/24", "fd77:4::/64")})
		needFamily(t, []string{"fd77:4::/64"})
		kept, lost, asking := l.newPod(t), l.newPod(t), l.newPod(t)
		keptIPs, lostIPs := kept.add(t), lost.add(t)
		valid := []map[string]string{{"containerID": kept.containerID(t), "ifname": "eth0"}}

		gc(t, l, nil) // not told what is valid: nothing happens
		asking.refused(t, "add", "is not available in range set", lostIPs[0].String())
		asking.succeed(t, "del")

		gc(t, l, map[string]any{"cni.dev/valid-attachments": valid})
		kept.succeed(t, "check")
		lost.refused(t, "check", "Failed to find address added by container")
		asking.refused(t, "add", "is not available in range set", keptIPs[0].String())
		asking.succeed(t, "del")
		if got := asking.add(t, lostIPs[0].String(), lostIPs[1].String()); !slices.Equal(got, lostIPs) {
			t.Errorf("addresses asked for after the GC: got %v, want %v", got, lostIPs)
		}

		gc(t, l, map[string]any{"cni.dev/attachments": []any{}}) // nobody is valid
		for _, p := range []*pod{kept, asking} {
			p.refused(t, "check", "Failed to find address added by container")
		}
		for _, p := range []*pod{kept, lost, asking} {
			p.succeed(t, "del")
		}
	})
}

// gc calls GC of the IPAM plugin: the reference interface plugins don't pass it on.
func gc(t *testing.T, l *lab, keys map[string]any) {
	t.Helper()
	out, err := l.ipam(t, "GC", keys)
	if err != nil {
		t.Fatalf("GC: %v", err)
	}
	if out != "" {
		t.Errorf("GC: got output %q, want none", out)
	}
}

// TestRuntimeGC is GC as cnitool does it: DEL for every attachment it has cached.
func TestRuntimeGC(t *testing.T) {
	l := newLab(t, options{plugin: "bridge", version: "1.1.0", ranges: sets("10.77.4.0/24")})
	first, second := l.newPod(t), l.newPod(t)
	addresses := first.add(t)
	second.add(t)
	must(t, "ip", "netns", "del", second.netns)
	first.succeed(t, "gc")
	if got := first.add(t, addresses[0].String()); !slices.Equal(got, addresses) {
		t.Errorf("addresses asked for after the GC: got %v, want %v", got, addresses)
	}
	first.succeed(t, "del")
	notes, err := filepath.Glob(filepath.Join(l.varLib, "cni/results/*"))
	if err != nil || len(notes) > 0 {
		t.Errorf("cached attachments: got %q, %v, want none", notes, err)
	}
}

// TestDuplicateAdd is the rule that callers rely on: one attachment, one ADD.
func TestDuplicateAdd(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newLab(t, options{plugin: plugin, version: "1.0.0", ranges: sets("10.77.5.0/24")})
		p := l.newPod(t)
		p.add(t)
		env := p.env(p.containerID(t))
		_, err := l.ipam(t, "ADD", nil, env...)
		if err == nil || !strings.Contains(err.Error(), "duplicate allocation is not allowed") {
			t.Errorf("second ADD: got %v, want a duplicate allocation named", err)
		}
		p.succeed(t, "check") // the first one is untouched
		p.ping(t, netip.MustParseAddr("10.77.5.1"))
		p.succeed(t, "del")
	})
}
