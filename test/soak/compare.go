package main

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// equal says how the model differs from another one.
func (m *model) equal(o *model) error {
	for ip := range m.leases {
		if o.leases[ip] != m.leases[ip] {
			return fmt.Errorf("%s: got %+v, want %+v", ip, o.leases[ip], m.leases[ip])
		}
	}
	if len(o.leases) != len(m.leases) {
		return fmt.Errorf("got %d leases, want %d", len(o.leases), len(m.leases))
	}
	if !maps.Equal(o.cursors, m.cursors) {
		return fmt.Errorf("got cursors %v, want %v", o.cursors, m.cursors)
	}
	return nil
}

// sameState says how package state's fold differs from the model.
func (m *model) sameState(st *state.State) error {
	n := 0
	for l, err := range st.Leases() {
		if err != nil {
			return err
		}
		n++
		if err := m.sameLease(l); err != nil {
			return err
		}
	}
	if n != len(m.leases) || st.Len() != n {
		return fmt.Errorf("got %d leases, %d by count, want %d", n, st.Len(), len(m.leases))
	}
	cursors := map[int]netip.Addr{}
	for _, c := range st.Cursors() {
		cursors[c.Set] = c.IP
	}
	if !maps.Equal(cursors, m.cursors) {
		return fmt.Errorf("got cursors %v, want %v", cursors, m.cursors)
	}
	for _, c := range m.configs {
		if seq, ok := st.Config(c.digest); !ok || seq != c.seq {
			return fmt.Errorf("got configuration of event %d as that of event %d", c.seq, seq)
		}
	}
	return nil
}

func (m *model) sameLease(l state.Lease) error {
	want, ok := m.leases[l.IP]
	got := lease{owner: owner{l.ContainerID, l.IfName}, address: l.Address, netns: l.NetNS, pod: l.Pod, start: l.Start, clock: l.Clock}
	if !ok || got != want || l.Import || l.Blocked {
		return fmt.Errorf("%s: got %+v, want %+v", l.IP, got, want)
	}
	return nil
}

// fact is what is remembered of an event to tell which ones need not be recorded.
type fact struct {
	kind  journal.Kind
	who   owner
	pod   string
	code  int
	clock journal.Clock
}

func factOf(ev *journal.Event) fact {
	who := owner{ev.ContainerID, ev.IfName}
	return fact{ev.Kind, who, podKey(ev.Pod, who), ev.Code, ev.Clock}
}

// podKey stands for whom a refusal is about.
func podKey(pod journal.Pod, who owner) string {
	switch {
	case pod.UID != "":
		return "uid " + pod.UID
	case pod.Name != "":
		return "name " + pod.Namespace + "/" + pod.Name
	default:
		return "attachment " + who.String()
	}
}

// delRepeated reports whether the newest event since base that is about the owner is a del.
func delRepeated(facts []fact, base journal.Seq, who owner) bool {
	for i := len(facts); i > int(base); i-- {
		switch f := facts[i-1]; {
		case f.kind == journal.KindReset:
			return false
		case f.who == who:
			return f.kind == journal.KindDel
		}
	}
	return false
}

// The refusals that keep another one from being recorded.
const (
	refusalSpan  = int64(60e9) // of boot time
	refusalLimit = 60
)

// refusedLately reports whether a refusal like f need not be recorded after the facts since base.
func refusedLately(facts []fact, base journal.Seq, f fact) bool {
	seen, recent := 0, 0
	for i := len(facts); i > int(base) && seen < refusalLimit; i-- {
		g := facts[i-1]
		if g.kind != journal.KindRefuse {
			continue
		}
		seen++
		if age := f.clock.BootTime - g.clock.BootTime; g.clock.Boot != f.clock.Boot || age < 0 || age > refusalSpan {
			continue
		}
		recent++
		if g.code == f.code && g.pod == f.pod {
			return true
		}
	}
	return recent == refusalLimit
}
