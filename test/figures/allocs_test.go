package figures_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
)

// addAllocs is how many allocations the store makes of an ADD and its DEL at most: what the runtime and the CNI library
// make is not ours. When there are far fewer, this has to follow.
const addAllocs = 330

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates for itself")
	}
	sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix("10.0.0.0/12")}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "networks")
	n := 0
	call := func() {
		n++
		owner := state.Attachment{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"}
		s := allocator.NewStore(allocator.Options{Network: "pods", DataDir: dir, Version: "test"})
		if _, err := s.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner, Sets: sets}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Del(allocator.DelRequest{Owner: owner}); err != nil {
			t.Fatal(err)
		}
	}
	call() // makes the store
	if got := testing.AllocsPerRun(20, call); got > addAllocs || got < addAllocs*8/10 {
		t.Errorf("%v allocations of an ADD and its DEL, want at most %d and not far fewer", got, addAllocs)
	}
}
