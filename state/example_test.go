package state_test

import (
	"fmt"
	"log"
	"net/netip"
	"os"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Events are folded, written down as a snapshot, and carried on from there.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	web := state.Attachment{ContainerID: "c7", IfName: "eth0"}
	first := journal.Address{IP: netip.MustParseAddr("10.1.0.2"), Bits: 24}
	st := state.New()
	for _, ev := range []journal.Event{
		{Seq: 1, Kind: journal.KindGenesis},
		{Seq: 2, Kind: journal.KindAdd, ContainerID: web.ContainerID, IfName: web.IfName, Addresses: []journal.Address{first}},
	} {
		if err := st.Apply(&ev); err != nil {
			log.Fatal(err)
		}
	}
	id := journal.ID{1}
	path, err := state.WriteSnapshot(dir, id, "podnet", st)
	if err != nil {
		log.Fatal(err)
	}

	snap, err := state.OpenSnapshot(path, id)
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	st = state.Over(snap)
	held, err := st.Held(web)
	if err != nil {
		log.Fatal(err)
	}
	free, _, err := st.NextFree(first.IP, netip.MustParseAddr("10.1.0.254"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(held[0].IP, "held since event", held[0].Start)
	fmt.Println(free, "is next")
	fmt.Println(st.Apply(&journal.Event{Seq: 3, Kind: journal.KindAdd, ContainerID: "c8", IfName: "eth0", Addresses: []journal.Address{first}}))
	// Output:
	// 10.1.0.2 held since event 2
	// 10.1.0.3 is next
	// damage, event 3: apply add: range set 0: 10.1.0.2: held by c7/eth0
}
