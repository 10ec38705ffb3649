package oracle_test

import (
	"flag"
	"net/netip"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/oracle"
)

// The default is the same each time: what other seeds find is for whoever looks for it, and not for who changes something else.
var seed = flag.Uint64("seed", 1, "seed of the random histories")

// TestRandomLegal holds random histories against the lease map: each event can have happened, each snapshot is what the
// events lead to, and what the oracle knows of a position behind lost events is what was held there.
func TestRandomLegal(t *testing.T) {
	for n := range uint64(3000) {
		c := oracle.Random(*seed + n)
		s, whole := c.Store(), c.Whole
		st := state.New()
		truth := map[journal.Seq]map[netip.Addr]oracle.Owner{}
		starts := map[journal.Seq]map[netip.Addr]journal.Seq{}
		for i := range whole {
			if err := st.Apply(&whole[i]); err != nil {
				t.Fatalf("-seed %d: %v\n%s", *seed+n, err, s)
			}
			held, start := map[netip.Addr]oracle.Owner{}, map[netip.Addr]journal.Seq{}
			for l, err := range st.Leases() {
				if err != nil {
					t.Fatal(err)
				}
				held[l.IP] = oracle.Owner{ContainerID: l.ContainerID, IfName: l.IfName}
				start[l.IP] = l.Start
			}
			truth[whole[i].Seq], starts[whole[i].Seq] = held, start
		}
		for _, snap := range s.Snapshots {
			if len(snap.Leases) != len(truth[snap.Seq]) {
				t.Fatalf("-seed %d: snapshot of %d: %d leases, want %d\n%s", *seed+n, snap.Seq, len(snap.Leases), len(truth[snap.Seq]), s)
			}
			for _, l := range snap.Leases {
				if truth[snap.Seq][l.Address.IP] != l.Owner || starts[snap.Seq][l.Address.IP] != l.Start {
					t.Fatalf("-seed %d: snapshot of %d: %+v\n%s", *seed+n, snap.Seq, l, s)
				}
			}
		}
		p := oracle.NewPast(s)
		for _, ip := range s.Addresses() {
			for i := range s.Events {
				seq := s.Events[i].Seq
				owner, held := truth[seq][ip]
				switch got, known := p.Lease(ip, i); {
				case !known && got != nil, known && held != (got != nil):
					t.Fatalf("-seed %d: %s at %d: %v, held %t\n%s", *seed+n, ip, seq, got, held, s)
				case got != nil && got.Owner != owner && got.Owner.ContainerID != owner.ContainerID,
					got != nil && got.Start > starts[seq][ip],
					got != nil && got.Start != 0 && got.Start < starts[seq][ip] && !lost(s, got.Start, starts[seq][ip]):
					t.Fatalf("-seed %d: %s at %d: %v, want %v since %d\n%s", *seed+n, ip, seq, got, owner, starts[seq][ip], s)
				}
			}
			for _, l := range p.Intervals(ip) {
				if l.Start != 0 && l.Start != starts[max(l.Start, 1)][ip] {
					t.Fatalf("-seed %d: %v begins at no event that gives the address\n%s", *seed+n, l, s)
				}
			}
		}
	}
}

// lost reports whether the event is lost that gave an address again to the one who had it before: then its lease is
// taken for one through the gap.
func lost(s *oracle.Store, first, again journal.Seq) bool {
	for i := range s.Events {
		if s.Events[i].Seq == again {
			return false
		}
	}
	return first < again
}

// TestRandomHasAll looks that nothing that makes answers hard is missing from the random histories.
func TestRandomHasAll(t *testing.T) {
	seen := map[string]int{}
	for k := journal.KindAdd; k.Known(); k++ {
		seen[k.String()] = 0
	}
	for r := journal.ReasonDel; r <= journal.ReasonWiped; r++ {
		seen["reason "+r.String()] = 0
	}
	for n := range uint64(2000) {
		c := oracle.Random(*seed + n)
		s, whole := c.Store(), c.Whole
		count := func(what string, has bool) {
			seen[what] += map[bool]int{true: 1}[has]
		}
		p := oracle.NewPast(s)
		count("live", s.Live)
		count("wiped", s.Wiped)
		count("pruned", s.Events[0].Seq > 1)
		count("damaged", len(s.Events) < len(whole) && s.Events[0].Seq == 1)
		count("snapshot", len(s.Snapshots) > 0)
		count("now before the last event", s.Live && s.Now < s.Events[len(s.Events)-1].Wall)
		for i := range s.Events {
			ev := &s.Events[i]
			count(ev.Kind.String(), true)
			if ev.Reason != 0 {
				count("reason "+ev.Reason.String(), true)
			}
			count("no boot ID", ev.Boot == journal.BootID{})
			count("blocked", ev.Blocked)
			count("dropped", len(ev.Dropped) > 0)
			count("ranges of the call", ev.Kind == journal.KindAdd && len(ev.Ranges) > 0)
			count("carried over", ev.Kind == journal.KindImport && len(ev.Attributes) > 0 && len(ev.Addresses) > 0)
			if i > 0 {
				before := &s.Events[i-1]
				count("set back", ev.Wall < before.Wall)
				count("equal times", ev.Wall == before.Wall)
				count("set forward", ev.Boot == before.Boot && ev.Wall-before.Wall > ev.BootTime-before.BootTime)
				count("synchronised late", ev.Boot == before.Boot && ev.Synchronised && !before.Synchronised)
			}
		}
		for _, ip := range s.Addresses() {
			_, known := p.Lease(ip, len(s.Events)-1)
			count("unsettled", !known)
			for _, l := range p.Intervals(ip) {
				count("start lost", l.Start == 0)
				count("end lost", l.Lost)
				count("spared by a GC", l.Doubtful && l.Window > l.Start && l.Reason == journal.ReasonGC)
			}
		}
	}
	for what, n := range seen {
		if n < 20 {
			t.Errorf("-seed %d: %d times: %s", *seed, n, what)
		}
	}
}
