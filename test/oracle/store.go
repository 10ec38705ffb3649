package oracle

import (
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Store is what can be read of one store.
type Store struct {
	Name      string
	Events    []journal.Event // by ascending Seq; the numbers that are missing are lost
	Snapshots []Snapshot      // that stand behind lost events, by ascending Seq
	Live      bool            // on its own node and of the running boot
	Now       int64           // when a live store is asked, UTC nanoseconds
	Wiped     bool            // the network's folder is gone and no event tells it yet; live stores alone
}

// Snapshot is all that was held after event Seq, which may be lost itself.
type Snapshot struct {
	Seq    journal.Seq
	Leases []Known
}

// Known is a lease as a snapshot tells it.
type Known struct {
	Address journal.Address
	Owner   Owner
	Start   journal.Seq
	Clock   journal.Clock // of event Start
	Import  bool
	Blocked bool
	Claimed int64
}

// Owner is who holds a lease. The zero Owner is that of a blocked address.
type Owner struct{ ContainerID, IfName string }

// concerns reports whether the event says something about the address.
func concerns(ev *journal.Event, ip netip.Addr) bool {
	switch ev.Kind {
	case journal.KindReset:
		return true
	case journal.KindAdd, journal.KindDel, journal.KindImport, journal.KindRelease, journal.KindAnnotate:
		return slices.ContainsFunc(ev.Addresses, func(a journal.Address) bool { return a.IP == ip })
	}
	return false
}

func begins(ev *journal.Event) bool {
	return ev.Kind == journal.KindAdd || ev.Kind == journal.KindImport
}

func ends(ev *journal.Event) bool {
	return ev.Kind == journal.KindDel || ev.Kind == journal.KindRelease || ev.Kind == journal.KindReset
}

// attribute returns the value of an event's attribute.
func attribute(ev *journal.Event, key string) (string, bool) {
	for _, a := range ev.Attributes {
		if a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// Addresses returns all addresses that the store's events and snapshots name as leases, ascending.
func (s *Store) Addresses() []netip.Addr {
	var all []netip.Addr
	for i := range s.Events {
		for _, a := range s.Events[i].Addresses {
			all = append(all, a.IP)
		}
	}
	for _, snap := range s.Snapshots {
		for _, l := range snap.Leases {
			all = append(all, l.Address.IP)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
