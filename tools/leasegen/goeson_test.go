package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/caller"
)

// TestOthersGoOn has the plugin and leasectl, as they are released, use generated stores.
func TestOthersGoOn(t *testing.T) {
	bin := t.TempDir()
	plugin, err := caller.Build("../..", bin)
	if err != nil {
		t.Fatal(err)
	}
	leasectl, err := caller.BuildTool("../..", bin, "leasectl")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"--leases 0 --events 1", "--leases 5 --events 7", "--leases 300 --events 5000", "--leases 300 --events 5000 --dual --tail 0",
		"--leases 100 --events 3000 --snapshots 0", "--leases 6000 --events 12500"} {
		t.Run(args, func(t *testing.T) {
			dir, dataDir := made(t, strings.Fields(args)...)
			n := caller.Network{Name: "pods", DataDir: dataDir, Ranges: [][]caller.Range{{{Subnet: "10.0.0.0/12"}}},
				Keys: map[string]any{"reclaimOnBoot": "off"}} // its leases are of boots long ago
			if strings.Contains(args, "--dual") {
				n.Ranges = append(n.Ranges, []caller.Range{{Subnet: "fd00:10::/64"}})
			}
			before := eventsOf(t, dir)
			useByPlugin(t, plugin, n, before)
			after := eventsOf(t, dir)
			// ADD, two DELs, and a refused ADD, or the first ADD's configuration where nothing was held.
			if got, want := len(after)-len(before), 4; got != want {
				t.Errorf("%d events by these calls, want %d", got, want)
			}
			for _, words := range []string{"verify", "leases", "events", "networks", "history --ip 10.0.0.2"} {
				cmd := exec.Command(leasectl, append(strings.Fields(words), "--data-dir", dataDir)...)
				out, err := cmd.CombinedOutput()
				code := cmd.ProcessState.ExitCode()
				// Its leases are of another boot than the plugin's calls, so their use is uncertain: 2.
				uncertain := words == "leases" || strings.HasPrefix(words, "history")
				if code != 0 && (code != 2 || !uncertain) {
					t.Errorf("leasectl %s: %v: %.500s", words, err, out)
				}
				if words == "verify" && !strings.Contains(string(out), "clean: ") {
					t.Errorf("verify says %s", out)
				}
			}
			if v, err := replay.Verify(dir, filepath.Join(dataDir, "pods")); err != nil || !v.Clean() || !v.Live {
				t.Errorf("verify: %+v, %v", v, err)
			}
		})
	}
}

// useByPlugin makes calls for a new container and for one that holds an address.
func useByPlugin(t *testing.T, plugin string, n caller.Network, events []journal.Event) {
	t.Helper()
	ask := func(verb, id string) caller.Answer {
		t.Helper()
		a, err := caller.Call{Network: n, Verb: verb, ID: id}.Run(plugin)
		if err != nil || !a.OK() || a.Stderr != "" {
			t.Fatalf("%s %s: %v, %v", verb, id, a, err)
		}
		return a
	}
	ask("STATUS", "")
	const id = "c0ffee"
	if a := ask("ADD", id); len(a.IPs) != len(n.Ranges) {
		t.Errorf("ADD gives %v", a.IPs)
	}
	ask("CHECK", id)
	held := map[string]bool{}
	for _, ev := range events {
		switch {
		case len(ev.Addresses) == 0:
		case ev.Kind == journal.KindAdd:
			held[ev.ContainerID] = true
		default:
			delete(held, ev.ContainerID)
		}
	}
	old := "none"
	for id := range held {
		old = id
		ask("CHECK", id)
		if a, err := (caller.Call{Network: n, Verb: "ADD", ID: id}).Run(plugin); err != nil || a.Code != 101 {
			t.Errorf("a second ADD of %s: %v, %v", id, a, err)
		}
		break
	}
	ask("DEL", old)
	if a, err := (caller.Call{Network: n, Verb: "CHECK", ID: old}).Run(plugin); err != nil || a.Code != 103 {
		t.Errorf("CHECK after DEL: %v, %v", a, err)
	}
	ask("DEL", id)
}
