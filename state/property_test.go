package state_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

func writeSnapshot(t testing.TB, dir string, st *state.State) string {
	t.Helper()
	path, err := state.WriteSnapshot(dir, testID, "net", st)
	if err != nil {
		t.Fatalf("WriteSnapshot: %v", err)
	}
	return path
}

func openSnapshot(t testing.TB, path string) *state.Snapshot {
	t.Helper()
	s, err := state.OpenSnapshot(path, testID)
	if err != nil {
		t.Fatalf("OpenSnapshot: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRandomHistories folds random histories in several ways and compares each with the
// oracle: all events on nothing, events on one snapshot taken on the way, events on
// a chain of snapshots each made from the one before, both believed and not. All must write the same bytes.
func TestRandomHistories(t *testing.T) {
	histories := uint64(60)
	if testing.Short() {
		histories = 10
	}
	for seed := range histories {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			randomHistory(t, seed)
		})
	}
}

func randomHistory(t *testing.T, seed uint64) {
	h := newHistory(seed)
	all, once, chain, trusting, trustingChain := state.New(), state.New(), state.New(), state.New(), state.New()
	var onceBase, chainBase journal.Seq
	events := 100 + h.r.IntN(700)
	at := h.r.IntN(events)
	for i := range events {
		ev := h.event()
		mustApply(t, all, ev)
		mustApply(t, once, ev)
		mustApply(t, chain, ev)
		mustApply(t, trusting, ev)
		mustApply(t, trustingChain, ev)
		if i == at {
			path := writeSnapshot(t, t.TempDir(), once)
			once, trusting = state.Over(openSnapshot(t, path)), state.OverTrusting(openSnapshot(t, path))
			onceBase = once.Seq()
		}
		if h.r.IntN(60) == 0 {
			chain = state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), chain)))
			trustingChain = state.OverTrusting(openSnapshot(t, writeSnapshot(t, t.TempDir(), trustingChain)))
			chainBase = chain.Seq()
		}
		if h.r.IntN(60) == 0 || i == events-1 {
			compare(t, h, all, 0)
			compare(t, h, once, onceBase)
			compare(t, h, chain, chainBase)
			compare(t, h, trusting, onceBase)
			compare(t, h, trustingChain, chainBase)
		}
	}
	want := readFile(t, writeSnapshot(t, t.TempDir(), all))
	for name, st := range map[string]*state.State{"one snapshot and tail": once, "chain of snapshots": chain,
		"one snapshot and a tail that is believed": trusting, "chain of snapshots and believed tails": trustingChain} {
		path := writeSnapshot(t, t.TempDir(), st)
		if got := readFile(t, path); !bytes.Equal(got, want) {
			t.Errorf("%s: snapshot of %d bytes differs from that of all events, %d bytes", name, len(got), len(want))
		}
		s := openSnapshot(t, path)
		if err := s.Verify(); err != nil {
			t.Errorf("%s: Verify: %v", name, err)
		}
		if got, want := s.Head(), hashOf(h.seq); got != want {
			t.Errorf("%s: Head() = %s, want %s", name, got, want)
		}
	}
}

// TestImpossibleAlike checks that an impossible event is refused alike, with and
// without a snapshot, and changes nothing.
func TestImpossibleAlike(t *testing.T) {
	for seed := range uint64(20) {
		h := newHistory(1000 + seed)
		all := state.New()
		for range 150 {
			mustApply(t, all, h.event())
		}
		over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), all)))
		for i, l := range h.sorted() {
			stranger := state.Attachment{ContainerID: l.ContainerID + "x", IfName: l.IfName}
			free := l.Address
			if next, ok := h.nextFree(l.IP, netipLast(l.IP)); ok {
				free.IP = next
			}
			for name, ev := range map[string]journal.Event{
				"add of a held address":      {Kind: journal.KindAdd, ContainerID: "new", IfName: "eth0", Addresses: []journal.Address{free, l.Address}},
				"import of a held address":   {Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{l.Address}},
				"add listed twice":           {Kind: journal.KindAdd, ContainerID: "new", IfName: "eth0", Addresses: []journal.Address{free, free}},
				"del by a stranger":          {Kind: journal.KindDel, ContainerID: stranger.ContainerID, IfName: stranger.IfName, Addresses: []journal.Address{l.Address}},
				"del of a free address too":  {Kind: journal.KindDel, ContainerID: l.ContainerID, IfName: l.IfName, Addresses: []journal.Address{l.Address, free}},
				"del of one that is twice":   {Kind: journal.KindDel, ContainerID: l.ContainerID, IfName: l.IfName, Addresses: []journal.Address{l.Address, l.Address}},
				"release by another ifname":  {Kind: journal.KindRelease, ContainerID: l.ContainerID, IfName: l.IfName + "x", Addresses: []journal.Address{l.Address}},
				"annotate of a stranger's":   {Kind: journal.KindAnnotate, ContainerID: stranger.ContainerID, IfName: stranger.IfName, NetNS: "n", Addresses: []journal.Address{l.Address}},
				"annotate of one not held":   {Kind: journal.KindAnnotate, ContainerID: l.ContainerID, IfName: l.IfName, NetNS: "n", Addresses: []journal.Address{l.Address, free}},
				"annotate of one twice":      {Kind: journal.KindAnnotate, ContainerID: l.ContainerID, IfName: l.IfName, NetNS: "n", Addresses: []journal.Address{l.Address, l.Address}},
				"annotate without owner":     {Kind: journal.KindAnnotate, NetNS: "n", Addresses: []journal.Address{l.Address}},
				"release by a zero stranger": {Kind: journal.KindRelease, Addresses: []journal.Address{l.Address}},
			} {
				legal := name == "release by another ifname" && l.Import && l.IfName == "" && !l.Blocked ||
					name == "release by a zero stranger" && l.Blocked
				if legal || free.IP == l.IP && name == "add listed twice" {
					continue
				}
				ev.Seq = h.seq + 1
				checkRefused(t, all, fmt.Sprintf("seed %d, lease %d, %s, all events", seed, i, name), ev)
				checkRefused(t, over, fmt.Sprintf("seed %d, lease %d, %s, snapshot", seed, i, name), ev)
			}
		}
		h.ids = h.ids[:min(len(h.ids), 20)]
		compare(t, h, all, 0)
		compare(t, h, over, h.seq)
	}
}
