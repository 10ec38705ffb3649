package oracle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// String prints the store for people, an event a line, with the time of each after the first event in nanoseconds by
// both clocks.
func (s *Store) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", s.Name)
	if len(s.Events) == 0 {
		return b.String() + ": no events\n"
	}
	zero := s.Events[0].Wall
	if s.Live {
		fmt.Fprintf(&b, ", live, now %s", after(s.Now, zero))
	}
	if s.Wiped {
		b.WriteString(", wiped")
	}
	fmt.Fprintf(&b, "; times after %d\n", zero)
	snaps := s.Snapshots
	at := stamps(s.Events)
	for i := range s.Events {
		ev := &s.Events[i]
		for len(snaps) > 0 && snaps[0].Seq < ev.Seq {
			fmt.Fprintf(&b, "%s", &snaps[0])
			snaps = snaps[1:]
		}
		fmt.Fprintf(&b, "%4d %s recorded %s effective %s\n", ev.Seq, event(ev), after(ev.Wall, zero), after(at[i].effective, zero))
	}
	for i := range snaps {
		fmt.Fprintf(&b, "%s", &snaps[i])
	}
	return b.String()
}

func after(t, zero int64) string { return fmt.Sprintf("%+d (%v)", t-zero, time.Duration(t-zero)) }

// String prints the snapshot for people.
func (snap *Snapshot) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "     snapshot of %d:", snap.Seq)
	for _, l := range snap.Leases {
		fmt.Fprintf(&b, " %s=%s/%s since %d", l.Address.IP, l.Owner.ContainerID, l.Owner.IfName, l.Start)
	}
	return b.String() + "\n"
}

// event prints what the event says, but for its times.
func event(ev *journal.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", ev.Kind)
	if ev.Reason != 0 {
		fmt.Fprintf(&b, " (%s)", ev.Reason)
	}
	if ev.ContainerID != "" {
		fmt.Fprintf(&b, " %s/%s", ev.ContainerID, ev.IfName)
	}
	for _, a := range ev.Addresses {
		fmt.Fprintf(&b, " %s", a.IP)
	}
	if ev.Kind == journal.KindAdd {
		fmt.Fprintf(&b, " config %d", ev.Config)
	}
	for _, r := range slices.Concat(ev.Ranges...) {
		fmt.Fprintf(&b, " [%s-%s gateway %s]", r.Start, r.End, r.Gateway)
	}
	if len(ev.Dropped) > 0 {
		fmt.Fprintf(&b, " dropped %v", ev.Dropped)
	}
	if ev.Kind == journal.KindImport {
		fmt.Fprintf(&b, " claimed %d blocked %t", ev.Claimed, ev.Blocked)
	}
	for _, a := range ev.Attributes {
		fmt.Fprintf(&b, " %s=%q", a.Key, a.Value)
	}
	fmt.Fprintf(&b, ", boot %x at %d", ev.Boot[:8], ev.BootTime)
	if ev.Synchronised {
		fmt.Fprintf(&b, " synchronised within %v", ev.MaxError)
	}
	return b.String()
}

// String prints the interval for people.
func (l *Interval) String() string {
	s := fmt.Sprintf("%s %s/%s [%d,%d)", l.IP, l.Owner.ContainerID, l.Owner.IfName, l.Start, l.End)
	if l.Lost {
		s += " end lost"
	}
	if l.Doubtful {
		s += fmt.Sprintf(" window %d", l.Window)
	}
	return s
}
