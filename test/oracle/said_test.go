package oracle_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/oracle"
)

// said is an answer in a form that is the same for both answerers.
type said struct {
	state   string
	exit    int
	several bool
	leases  []leased
	either  bool // uncertain or not
}

// leased is a lease in an answer.
type leased struct {
	ip                netip.Addr
	container, ifname string
	first, end        journal.Seq
	reason            journal.Reason
	window            journal.Seq // 0 if its use is not in doubt before its end, or always
	lost              bool        // its end is
	began             int64       // effective time of its first event, 0 if that is lost
	overlap           int64
	unsure, partly    bool
	list              string // of changes: in which list, and on which side
}

func (a *said) equal(b *said) bool {
	return a.state == b.state && (a.exit == b.exit || a.either && b.exit == 0) && a.several == b.several && slices.Equal(a.leases, b.leases)
}

// headline is what an answer says without its leases.
func (a *said) headline() string {
	s := fmt.Sprintf("%s, exit %d", a.state, a.exit)
	if a.several {
		s += ", several"
	}
	return s
}

// String prints the answer for people.
func (a *said) String() string {
	var b strings.Builder
	b.WriteString(a.headline())
	for _, l := range a.leases {
		fmt.Fprintf(&b, "\n  %s %s %s/%s from %d", l.list, l.ip, l.container, l.ifname, l.first)
		if l.began != 0 {
			fmt.Fprintf(&b, " at %d", l.began)
		}
		if l.end != 0 {
			fmt.Fprintf(&b, " to %d (%s)", l.end, l.reason)
		}
		if l.window != 0 {
			fmt.Fprintf(&b, ", last in use at %d", l.window)
		}
		fmt.Fprintf(&b, " for %v", time.Duration(l.overlap))
		for word, is := range map[string]bool{", end lost": l.lost, ", unsure": l.unsure, ", partly": l.partly} {
			if is {
				b.WriteString(word)
			}
		}
	}
	return b.String()
}

// byOracle is a lease as the oracle knows it.
func (w *world) byOracle(l *oracle.Interval) leased {
	out := leased{ip: l.IP, container: l.Owner.ContainerID, ifname: l.Owner.IfName, first: l.First, end: l.End, reason: l.Reason, lost: l.Lost}
	if l.Doubtful && !l.Doubt && l.Window != l.End && l.Window != l.First {
		out.window = l.Window
	}
	out.began, _ = w.past.Effective(l.First)
	return out
}

// byReplay is a lease as package replay knows it.
func byReplay(w *world, l *replay.Interval) leased {
	out := leased{ip: l.Lease.IP, container: l.Lease.ContainerID, ifname: l.Lease.IfName, first: l.Start.Seq}
	switch {
	case l.End != nil:
		out.end, out.reason = l.End.Seq, l.End.Reason
	case l.Certainty == replay.Unknown:
		out.lost = true
	}
	if l.Doubtful != nil && l.Lease.ContainerID != "" && l.Doubtful.Seq != l.Start.Seq {
		out.window = l.Doubtful.Seq
	}
	if _, read := w.past.Effective(l.Start.Seq); read {
		out.began = l.Start.Effective.UnixNano()
	}
	return out
}

// then is a lease as it was known at the time of a table, which tells nothing that came later.
func (l leased) then() leased {
	l.end, l.reason, l.lost, l.window = 0, 0, false, 0
	return l
}

func exit(certainty replay.Certainty, several, found bool) int {
	switch {
	case certainty == replay.Unknown:
		return 3
	case certainty == replay.Uncertain || several:
		return 2
	case found:
		return 0
	}
	return 1
}

func (w *world) whoByOracle(ip netip.Addr, q oracle.Question) *said {
	a := w.past.Who(ip, q)
	unknown := a.State == oracle.Unknown
	s := &said{state: a.State.String(), exit: a.Exit(), several: a.Several && q.Skew > 0 && !q.Now && !unknown}
	for _, h := range a.Holders {
		l := w.byOracle(h.Interval)
		l.overlap, l.unsure, l.partly = h.Overlap, (!h.Certain || q.Skew == 0 && !h.Always) && !unknown, !h.Always && !unknown
		s.leases = append(s.leases, l)
	}
	return s
}

func (w *world) whoByReplay(read *replay.History, ip netip.Addr, q oracle.Question) *said {
	a := read.Who(ip, w.asked(q))
	unknown := a.State == replay.StateUnknown
	s := &said{state: a.State.String(), exit: exit(a.Certainty, a.Several, a.State == replay.StateHeld), several: a.Several && !unknown}
	for i := range a.Holders {
		h := &a.Holders[i]
		l := byReplay(w, h.Interval)
		l.overlap, l.unsure, l.partly = int64(h.Overlap), h.Unsure && !unknown, h.Partly && !unknown
		s.leases = append(s.leases, l)
	}
	return s
}

func (w *world) atByOracle(q oracle.Question) *said {
	table := w.past.At(q)
	s := &said{state: "table", exit: exit(worse(table.Uncertain, table.Unknown), false, len(table.Rows) > 0)}
	for _, r := range table.Rows {
		l := w.byOracle(r.Interval).then()
		l.unsure = !r.Certain && !table.Unknown
		s.leases = append(s.leases, l)
	}
	return s
}

func (w *world) atByReplay(read *replay.History, q oracle.Question) *said {
	table := read.At(w.asked(q))
	s := &said{state: "table", exit: exit(table.Certainty, false, len(table.Leases) > 0)}
	for i := range table.Leases {
		h := &table.Leases[i]
		l := byReplay(w, h.Interval).then()
		l.unsure = (h.Unsure || h.Partly) && table.Certainty != replay.Unknown
		s.leases = append(s.leases, l)
	}
	return s
}

func (w *world) diffByOracle(a, b oracle.Question) *said {
	s := &said{state: "difference"}
	side := func(list string, leases []*oracle.Interval) {
		for _, l := range leases {
			one := w.byOracle(l).then()
			one.list = list
			s.leases = append(s.leases, one)
		}
	}
	changes := w.past.Diff(a, b)
	for _, list := range []oracle.List{oracle.Added, oracle.Removed, oracle.Moved, oracle.Reused} {
		for _, c := range changes {
			if c.List == list {
				side(list.String()+" before", c.Before)
				side(list.String()+" after", c.After)
			}
		}
	}
	return s
}

func (w *world) diffByReplay(read *replay.History, a, b oracle.Question) *said {
	return w.diffOf(read, read, a, b)
}

// diffOf compares two tables that were read each by itself.
func (w *world) diffOf(first, second *replay.History, a, b oracle.Question) *said {
	s := &said{state: "difference"}
	before, after := first.At(w.asked(a)), second.At(w.asked(b))
	d := replay.Diff(&before, &after)
	side := func(list string, holders []replay.Holder) {
		for i := range holders {
			one := byReplay(w, holders[i].Interval).then()
			one.list = list
			s.leases = append(s.leases, one)
		}
	}
	for _, of := range []struct {
		list    oracle.List
		changes []replay.Change
	}{{oracle.Added, d.Added}, {oracle.Removed, d.Removed}, {oracle.Moved, d.Moved}, {oracle.Reused, d.Reused}} {
		for _, c := range of.changes {
			side(of.list.String()+" before", c.Before)
			side(of.list.String()+" after", c.After)
		}
	}
	return s
}

func (w *world) historyByOracle(ip netip.Addr, since, until int64) *said {
	h := w.past.History(ip, since, until)
	s := &said{state: "history", exit: exit(worse(h.Uncertain, h.Unknown), false, len(h.Stretches) > 0)}
	s.either = h.Either
	for _, st := range h.Stretches {
		if s.exit != 3 {
			s.leases = append(s.leases, w.byOracle(st.Interval))
		}
	}
	return s
}

func (w *world) historyByReplay(read *replay.History, since, until int64) *said {
	a := read.Between(instant(since), instant(until), w.covered())
	s := &said{state: "history", exit: exit(a.Certainty, false, len(a.Intervals) > 0)}
	for i := range a.Intervals {
		if s.exit != 3 {
			s.leases = append(s.leases, byReplay(w, &a.Intervals[i]))
		}
	}
	return s
}

func worse(uncertain, unknown bool) replay.Certainty {
	switch {
	case unknown:
		return replay.Unknown
	case uncertain:
		return replay.Uncertain
	}
	return replay.Certain
}
