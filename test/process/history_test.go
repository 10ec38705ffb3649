package process_test

import (
	"net/netip"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// history is a network's journal from the first event on, and what it amounts to.
type history struct {
	id     journal.ID
	events []journal.Event
	leases map[string][]netip.Addr // by container ID
}

// readHistory reads the journal as an outsider, and fails the test if it is not whole: an event
// missing, the chain broken, an address given twice.
func readHistory(t *testing.T, n network) history {
	t.Helper()
	r, err := archive.Open(n.storeDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := history{id: r.Meta().ID, leases: map[string][]netip.Addr{}}
	st := state.New()
	var prev journal.Hash
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if got, want := rec.Event.Seq, journal.Seq(len(h.events)+1); got != want {
			t.Fatalf("events are not in sequence: got %d, want %d", got, want)
		}
		if rec.Event.Prev != prev {
			t.Fatalf("event %d does not continue the one before it", rec.Event.Seq)
		}
		prev = journal.RecordHash(rec.Raw)
		if err := st.Apply(&rec.Event); err != nil {
			t.Fatal(err)
		}
		h.events = append(h.events, rec.Event)
	}
	holder := map[netip.Addr]string{}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		if other, held := holder[l.IP]; held {
			t.Errorf("%s: held by %s and by %s", l.IP, other, l.ContainerID)
		}
		holder[l.IP] = l.ContainerID
		h.leases[l.ContainerID] = append(h.leases[l.ContainerID], l.IP)
	}
	return h
}

// count returns how many events of a kind there are.
func (h history) count(kind journal.Kind) int {
	n := 0
	for i := range h.events {
		if h.events[i].Kind == kind {
			n++
		}
	}
	return n
}

// distinct fails the test if two of the answers gave the same address.
func distinct(t *testing.T, answers []answer) {
	t.Helper()
	holder := map[netip.Addr]string{}
	for _, a := range answers {
		for _, ip := range a.ips {
			if other, held := holder[ip]; held {
				t.Errorf("%s: given to %s and to %s", ip, other, a.call.id)
			}
			holder[ip] = a.call.id
		}
	}
}
