package journal_test

import (
	"net/netip"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestEncodeAllocatesNothing encodes an ordinary ADD into a buffer that is there.
func TestEncodeAllocatesNothing(t *testing.T) {
	ev := &journal.Event{Seq: 7, Synced: 6, Kind: journal.KindAdd, ContainerID: "3f4e1c6a9b", IfName: "eth0", NetNS: "/run/netns/x",
		Pod:       journal.Pod{Namespace: "default", Name: "web-0", UID: "7b5a"},
		Addresses: []journal.Address{{IP: netip.MustParseAddr("10.0.0.2"), Bits: 12, Gateway: netip.MustParseAddr("10.0.0.1")}},
		Cursors:   []journal.Cursor{{IP: netip.MustParseAddr("10.0.0.2")}}}
	room := make([]byte, 0, journal.MaxRecord)
	var err error
	if n := testing.AllocsPerRun(100, func() { _, err = journal.AppendRecord(room, journal.ID{1}, ev) }); n != 0 || err != nil {
		t.Errorf("AppendRecord: %v allocations, %v; want none", n, err)
	}
}
