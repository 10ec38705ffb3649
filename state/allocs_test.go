package state_test

import (
	"fmt"
	"testing"

	"github.com/leaselog/leaselog/state"
)

// TestLookupsAllocateNothing asks a state over a snapshot whose blocks have been read: what an ADD asks that finds
// no lease of its own makes no garbage.
func TestLookupsAllocateNothing(t *testing.T) {
	all := state.New()
	for i := range 2000 {
		ev := add(fmt.Sprintf("c%d", i), "eth0", addr(0, fmt.Sprintf("10.0.%d.%d/8", i/200, i%200+1)))
		ev.Seq = all.Seq() + 1
		mustApply(t, all, ev)
	}
	st := state.OverTrusting(openSnapshot(t, writeSnapshot(t, t.TempDir(), all)))
	from, to, unknown := ip("10.0.3.1"), ip("10.0.9.255"), state.Attachment{ContainerID: "nobody", IfName: "eth0"}
	for name, ask := range map[string]func() error{
		"NextFree": func() error { _, _, err := st.NextFree(from, to); return err },
		"Lease":    func() error { _, _, err := st.Lease(to); return err },
		"Held":     func() error { _, err := st.Held(unknown); return err },
	} {
		var err error
		if n := testing.AllocsPerRun(100, func() { err = ask() }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v; want none", name, n, err)
		}
	}
}
