package e2e_test

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/lab"
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
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.1.0", Ranges: sets("10.77.1.0/24")})
		p := l.NewPod(t)
		p.Add(t)
		p.Succeed(t, "check")
		lab.Must(t, "ip", "-n", p.NetNS, "addr", "del", "10.77.1.2/24", "dev", "eth0")
		lab.Must(t, "ip", "-n", p.NetNS, "addr", "add", "10.77.1.99/24", "dev", "eth0")
		p.Refused(t, "check", "10.77.1.2")
		p.Succeed(t, "del")
	})
}

// TestCheckAfterLeaseLost is about a lease released behind the runtime's back.
func TestCheckAfterLeaseLost(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.0.0", Ranges: sets("10.77.1.0/24")})
		p := l.NewPod(t)
		p.Add(t)
		if _, err := l.IPAM(t, "DEL", nil, p.Env(p.ContainerID(t))...); err != nil {
			t.Fatalf("DEL: %v", err)
		}
		p.Refused(t, "check", "Failed to find address added by container")
		p.Succeed(t, "del")
	})
}

// TestCheckOfAnotherAddress is about a previous result that is not what was leased.
func TestCheckOfAnotherAddress(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.1.0", Ranges: sets("10.77.1.0/24")})
		p := l.NewPod(t)
		p.Add(t)
		env := p.Env(p.ContainerID(t))
		prev := p.Cached(t)["result"]
		if _, err := l.IPAM(t, "CHECK", map[string]any{"prevResult": prev}, env...); err != nil {
			t.Errorf("CHECK: %v", err)
		}
		b, err := json.Marshal(prev)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "10.77.1.2/", "10.77.1.7/")
		if _, err := l.IPAM(t, "CHECK", map[string]any{"prevResult": json.RawMessage(text)}, env...); err == nil {
			t.Errorf("CHECK: succeeded with 10.77.1.7 in prevResult, but 10.77.1.2 is leased")
		}
		p.Succeed(t, "del")
	})
}

func TestDelAfterNamespaceGone(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.0.0", Ranges: sets("10.77.2.0/24")})
		gone, other := l.NewPod(t), l.NewPod(t)
		addresses := gone.Add(t)
		lab.Must(t, "ip", "netns", "del", gone.NetNS)
		gone.Succeed(t, "del")
		gone.Succeed(t, "del")
		if got := other.Add(t, addresses[0].String()); !slices.Equal(got, addresses) {
			t.Errorf("addresses asked for after the DEL: got %v, want %v", got, addresses)
		}
		other.Succeed(t, "del")
	})
}

// TestDelWithoutRanges is about a configuration that was broken while the pod ran.
func TestDelWithoutRanges(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		o := lab.Options{Plugin: plugin, IPAM: ipamType, Version: "1.0.0", Ranges: sets("10.77.2.0/24")}
		l := newHost(t, o)
		p, other := l.NewPod(t), l.NewPod(t)
		addresses := p.Add(t)
		broken := o
		broken.Ranges = sets("10.77.2.0/33")
		l.Configure(t, broken)
		p.Succeed(t, "del")
		l.Configure(t, o)
		if got := other.Add(t, addresses[0].String()); !slices.Equal(got, addresses) {
			t.Errorf("addresses asked for after the DEL: got %v, want %v", got, addresses)
		}
		other.Succeed(t, "del")
	})
}

func TestExhaustedAndFreed(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.1.0", Ranges: [][]map[string]string{{
			{"subnet": "10.77.3.0/29", "rangeStart": "10.77.3.2", "rangeEnd": "10.77.3.3"},
		}}})
		first, second, third := l.NewPod(t), l.NewPod(t), l.NewPod(t)
		addresses := first.Add(t)
		second.Add(t)
		third.Refused(t, "add", "no IP addresses available in range set: 10.77.3.2-10.77.3.3")
		third.Succeed(t, "status") // running pods are well, and exhaustion wasn't asked for
		third.Succeed(t, "del")    // runtimes clean up after an ADD that was refused
		second.Succeed(t, "check")
		first.Succeed(t, "del")
		if got := third.Add(t); !slices.Equal(got, addresses) {
			t.Errorf("addresses after one was freed: got %v, want %v", got, addresses)
		}
		third.Ping(t, netip.MustParseAddr("10.77.3.3"))
		third.Succeed(t, "del")
		second.Succeed(t, "del")
	})
}

func TestStatusOnExhaustion(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newHost(t, lab.Options{
			Plugin: plugin, Version: "1.1.0", Keys: map[string]any{"statusOnExhaustion": true},
			Ranges: [][]map[string]string{{
				{"subnet": "10.77.3.0/29", "rangeStart": "10.77.3.2", "rangeEnd": "10.77.3.2"},
			}},
		})
		p := l.NewPod(t)
		p.Succeed(t, "status")
		p.Add(t)
		p.Refused(t, "status", "no IP addresses available in range set")
		p.Succeed(t, "del")
		p.Succeed(t, "status")
	})
}

func TestGC(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		ofLeaselog(t)
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.1.0", Ranges: sets("10.77.4.0/24", "fd77:4::/64")})
		needFamily(t, []string{"fd77:4::/64"})
		kept, lost, asking := l.NewPod(t), l.NewPod(t), l.NewPod(t)
		keptIPs, lostIPs := kept.Add(t), lost.Add(t)
		valid := []map[string]string{{"containerID": kept.ContainerID(t), "ifname": "eth0"}}

		gc(t, l, nil) // not told what is valid: nothing happens
		asking.Refused(t, "add", "is not available in range set", lostIPs[0].String())
		asking.Succeed(t, "del")

		gc(t, l, map[string]any{"cni.dev/valid-attachments": valid})
		kept.Succeed(t, "check")
		lost.Refused(t, "check", "Failed to find address added by container")
		asking.Refused(t, "add", "is not available in range set", keptIPs[0].String())
		asking.Succeed(t, "del")
		if got := asking.Add(t, lostIPs[0].String(), lostIPs[1].String()); !slices.Equal(got, lostIPs) {
			t.Errorf("addresses asked for after the GC: got %v, want %v", got, lostIPs)
		}

		gc(t, l, map[string]any{"cni.dev/attachments": []any{}}) // nobody is valid
		for _, p := range []*lab.Pod{kept, asking} {
			p.Refused(t, "check", "Failed to find address added by container")
		}
		for _, p := range []*lab.Pod{kept, lost, asking} {
			p.Succeed(t, "del")
		}
	})
}

// gc calls GC of the IPAM Plugin: the reference interface plugins don't pass it on.
func gc(t *testing.T, l *lab.Host, keys map[string]any) {
	t.Helper()
	out, err := l.IPAM(t, "GC", keys)
	if err != nil {
		t.Fatalf("GC: %v", err)
	}
	if out != "" {
		t.Errorf("GC: got output %q, want none", out)
	}
}

// TestRuntimeGC is GC as cnitool does it: DEL for every attachment it has cached.
func TestRuntimeGC(t *testing.T) {
	l := newHost(t, lab.Options{Plugin: "bridge", Version: "1.1.0", Ranges: sets("10.77.4.0/24")})
	first, second := l.NewPod(t), l.NewPod(t)
	addresses := first.Add(t)
	second.Add(t)
	lab.Must(t, "ip", "netns", "del", second.NetNS)
	first.Succeed(t, "gc")
	if got := first.Add(t, addresses[0].String()); !slices.Equal(got, addresses) {
		t.Errorf("addresses asked for after the GC: got %v, want %v", got, addresses)
	}
	first.Succeed(t, "del")
	notes, err := filepath.Glob(filepath.Join(l.VarLib, "cni/results/*"))
	if err != nil || len(notes) > 0 {
		t.Errorf("cached attachments: got %q, %v, want none", notes, err)
	}
}

// TestDuplicateAdd is the rule that callers rely on: one attachment, one ADD.
func TestDuplicateAdd(t *testing.T) {
	bothPlugins(t, func(t *testing.T, plugin string) {
		l := newHost(t, lab.Options{Plugin: plugin, Version: "1.0.0", Ranges: sets("10.77.5.0/24")})
		p := l.NewPod(t)
		p.Add(t)
		env := p.Env(p.ContainerID(t))
		_, err := l.IPAM(t, "ADD", nil, env...)
		if err == nil || !strings.Contains(err.Error(), "duplicate allocation is not allowed") {
			t.Errorf("second ADD: got %v, want a duplicate allocation named", err)
		}
		p.Succeed(t, "check") // the first one is untouched
		p.Ping(t, netip.MustParseAddr("10.77.5.1"))
		p.Succeed(t, "del")
	})
}
