package state

import (
	"fmt"

	"github.com/leaselog/leaselog/journal"
)

// annotate applies an annotation: leases of the attachment get the network namespace and the pod that the event names,
// and keep everything else. As in take, what can be wrong comes first.
//
// Where the tail is believed, the base's leases are read all the same: an annotated lease is a record of the
// overlay from then on, and has the rest of what is in it from there.
func (st *State) annotate(ev *journal.Event) error {
	o := &st.over
	o.init()
	arena, entries := len(o.arena), len(o.entries)
	if err := st.prepareAnnotated(ev); err != nil {
		o.arena, o.entries = o.arena[:arena], o.entries[:entries]
		return err
	}
	st.note(ev)
	for i := int32(entries); int(i) < len(o.entries); i++ {
		k := o.entries[i].key
		if before, ok := o.lease(k); ok {
			o.unlink(before)
		}
		// The lease stays its owner's, which is not the event's attachment where it was taken over without
		// an interface name.
		var r record
		r.parseHead(o.record(i))
		o.entries[i].owner = o.addOwner(r.owner)
		o.link(i)
		o.page(k).keep(k)
	}
	return nil
}

// prepareAnnotated checks the event and appends the leases as they will be to the overlay, not linked yet.
func (st *State) prepareAnnotated(ev *journal.Event) error {
	if ev.ContainerID == "" {
		return impossible(ev, "names no container")
	}
	if len(ev.Addresses) == 0 {
		return impossible(ev, "lists no address")
	}
	for i, a := range ev.Addresses {
		if !representable(a.IP) {
			return impossible(ev, "%s is not an address of a lease", a.IP)
		}
		k := keyOf(a.IP)
		p, err := st.changing(k)
		if err != nil {
			return err
		}
		r, ok, err := st.lookUp(p, k)
		if err != nil {
			return err
		}
		if !ok || !r.answers(st.scratch) || listedBefore(ev.Addresses, i) {
			return impossible(ev, "range set %d: %s: not held by %s/%s", a.Set, a.IP, ev.ContainerID, ev.IfName)
		}
		l := r.lease()
		if ev.NetNS != "" {
			l.NetNS, l.NetNSID = ev.NetNS, ev.NetNSID
		}
		if ev.Pod != (journal.Pod{}) {
			l.Pod = ev.Pod
		}
		if err := st.prepareRecord(ev, &l, r.owner); err != nil {
			return err
		}
	}
	return nil
}

// lookUp returns the record of an address, whose page is given, from the overlay or the base, false if nobody
// holds it. It is good until the next lookup.
func (st *State) lookUp(p *page, k key) (record, bool, error) {
	if p.knows(k) && !p.held.has(k) {
		return record{}, false, nil
	}
	if i, ok := st.over.lease(k); ok {
		r, err := parseRecord(st.over.record(i))
		return r, err == nil, err
	}
	r, ok, err := st.base.lease(k)
	if err == nil && !ok && p.filled {
		err = st.disagree(fmt.Errorf("%s is in a held run and has no lease", k.addr()))
	}
	return r, ok, err
}
