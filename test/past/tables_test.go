package past_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// histories holds the history of every address against all tenures of it.
func (tm *turmoil) histories() {
	tm.t.Helper()
	for _, n := range tm.networks {
		for _, set := range addresses(tm.t, n) {
			for _, ip := range set {
				s := ask(tm.t, nil, "history", "--ip", ip.String(), "--data-dir", n.DataDir, "--network", n.Name, "-o", "json")
				tm.historyOf(n.Name, ip, s)
			}
		}
	}
}

func (tm *turmoil) historyOf(network string, ip netip.Addr, s said) {
	tm.t.Helper()
	var want []*tenure
	for _, tn := range tm.tenures {
		if tn.network == network && slices.Contains(tn.ips, ip) {
			want = append(want, tn)
		}
	}
	slices.SortFunc(want, func(x, y *tenure) int { return int(x.begin.returned - y.begin.returned) })
	got := s.read(tm.t).Intervals
	if len(got) != len(want) {
		tm.t.Errorf("%s: %d intervals, want %d: %v", ip, len(got), len(want), s)
		return
	}
	exit := 0
	for i, tn := range want {
		if why := tn.differs(got[i]); why != "" {
			tm.t.Errorf("%s: interval %d: %+v: %s; want %v", ip, i, got[i], why, tn)
		}
	}
	switch {
	case len(want) == 0:
		exit = 1
	case slices.ContainsFunc(want, func(tn *tenure) bool { return tn.how == byGC || tn.how == byReboot }):
		exit = 2 // use of these was uncertain towards the end
	}
	if exit != s.exit {
		tm.t.Errorf("%s: want exit %d: %v", ip, exit, s)
	}
}

// differs says in what an interval is not the tenure; "" if it is.
func (tn *tenure) differs(l lease) string {
	inside := func(p point, s span) bool {
		ns := p.Effective.UnixNano()
		return s.called <= ns && ns <= s.returned
	}
	reason := ""
	if l.End != nil {
		reason = l.End.Reason
	}
	switch {
	case l.ContainerID != tn.id:
		return "another container"
	case !inside(l.Start, tn.begin):
		return "it began outside of the call"
	case reason != tn.how && !(tn.how == byReboot && (reason == "replaced" || reason == byGC)): // an ADD may want the very address, or a GC come first
		return "another end"
	case l.End != nil && !inside(l.End.point, tn.end):
		return "it ended outside of the call"
	}
	return ""
}

// tables holds the lease tables of random times against what was seen from outside and against each other, and that of
// now against the plugin's own lease map.
func (tm *turmoil) tables(r *rand.Rand) {
	tm.t.Helper()
	first := max(tm.first["small"].returned, tm.first["dual"].returned)
	for range 25 {
		now := tm.clock.now()
		a, b := first+r.Int64N(now-first), first+r.Int64N(now-first)
		a, b = min(a, b), max(a, b)
		before, after := tm.tableAt(a), tm.tableAt(b)
		s := ask(tm.t, nil, "diff", stamp(a), stamp(b), "--data-dir", tm.networks[0].DataDir, "-o", "json")
		if got := applied(tm.t, before, s); !maps.Equal(got, after) {
			tm.t.Errorf("at %s with what diff says is %v, but at %s is %v: %v", stamp(a), got, stamp(b), after, s)
		}
	}
	want := map[string]string{}
	for _, n := range tm.networks {
		maps.Copy(want, leaseMap(tm.t, n))
	}
	for _, args := range [][]string{{"at", "now"}, {"leases"}} {
		s := ask(tm.t, nil, append(args, "--data-dir", tm.networks[0].DataDir, "-o", "json")...)
		if got := table(s.read(tm.t).Leases); !maps.Equal(got, want) {
			tm.t.Errorf("the lease map is %v: %v", want, s)
		}
	}
}

// table is who holds what by network and address: the lease by its container and its first event.
func table(leases []lease) map[string]string {
	held := map[string]string{}
	for _, l := range leases {
		key := l.Network + " " + l.IP.String()
		held[key] = sum(held[key], l)
	}
	return held
}

// sum names a lease; where the clocks leave two open, both.
func sum(was string, l lease) string {
	return was + fmt.Sprintf("%s since event %d;", l.ContainerID, l.Start.Seq)
}

// tableAt asks for the lease table of a time and holds it against what was seen from outside.
func (tm *turmoil) tableAt(at int64) map[string]string {
	tm.t.Helper()
	s := ask(tm.t, nil, "at", stamp(at), "--data-dir", tm.networks[0].DataDir, "-o", "json")
	leases := s.read(tm.t).Leases
	holders := map[string][]string{}
	for _, l := range leases {
		key := l.Network + " " + l.IP.String()
		holders[key] = append(holders[key], l.ContainerID)
	}
	for _, n := range tm.networks {
		for _, ip := range slices.Concat(addresses(tm.t, n)...) {
			v, got := tm.judge(n.Name, ip, at, false), holders[n.Name+" "+ip.String()]
			delete(holders, n.Name+" "+ip.String())
			switch {
			case v.holder != nil && !slices.Equal(got, []string{v.holder.id}), v.free && len(got) > 0:
				tm.t.Errorf("%s: held by %v, want %+v: %v", ip, got, v, s)
			case v.holder == nil && !v.free && slices.ContainsFunc(got, func(id string) bool {
				return !slices.ContainsFunc(v.maybe, func(tn *tenure) bool { return tn.id == id })
			}):
				tm.t.Errorf("%s: held by %v, want one of %v: %v", ip, got, v.maybe, s)
			}
		}
	}
	if len(holders) > 0 {
		tm.t.Errorf("held, though nobody gives them: %v: %v", holders, s)
	}
	return table(leases)
}

// applied returns a table with what diff says of it.
func applied(t *testing.T, before map[string]string, s said) map[string]string {
	t.Helper()
	r := s.read(t)
	after := maps.Clone(before)
	for _, c := range slices.Concat(r.Added, r.Removed, r.Moved, r.Reused) {
		key, was, is := c.Network+" "+c.IP.String(), "", ""
		for _, l := range c.Before {
			was = sum(was, l)
		}
		for _, l := range c.After {
			is = sum(is, l)
		}
		if after[key] != was {
			t.Errorf("%s %s: held by %q before, and by %q as diff says: %v", c.Change, key, after[key], was, s)
		}
		if after[key] = is; is == "" {
			delete(after, key)
		}
	}
	return after
}

// leaseMap is what the plugin itself goes by: its newest snapshot with the events since.
func leaseMap(t *testing.T, n caller.Network) map[string]string {
	t.Helper()
	j, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	st := state.New()
	if snaps := snapshots(t, n); len(snaps) > 0 {
		snap, err := state.OpenSnapshot(snaps[len(snaps)-1], j.Meta().ID)
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		st = state.Over(snap)
	}
	for rec, err := range j.Records(st.Seq()) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return heldIn(t, n.Name, st)
}

// heldIn is the table of a state.
func heldIn(t *testing.T, network string, st *state.State) map[string]string {
	t.Helper()
	held := map[string]string{}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		held[network+" "+l.IP.String()] = sum("", lease{ContainerID: l.ContainerID, Start: point{Seq: l.Start}})
	}
	return held
}
