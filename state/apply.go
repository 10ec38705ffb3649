package state

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Apply makes the next event part of the state. An event that can't have happened, such
// as an add of an address that is held, is a *journal.CorruptionError and changes
// nothing; a kind that changes leases and that this version doesn't know wraps
// journal.ErrNewer too. Other errors come from reading the snapshot. A state made by OverTrusting finds impossible
// what the tail itself contradicts, and the rest later. Nothing of the event is kept alive.
func (st *State) Apply(ev *journal.Event) error {
	if ev.Seq != st.seq+1 {
		return impossible(ev, "follows event %d", st.seq)
	}
	if err := st.fold(ev); err != nil {
		return err
	}
	st.seq = ev.Seq
	st.clock = cutClock(ev.Clock)
	st.tail++
	if st.over.bloated() {
		st.over.compact(st.seq, st.base != nil)
	}
	return nil
}

// fold does what depends on the kind. Where it returns an error it has changed nothing
// that a lookup could see.
func (st *State) fold(ev *journal.Event) error {
	st.scratch = appendOwner(st.scratch[:0], attachmentOf(ev))
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		return st.take(ev)
	case journal.KindDel, journal.KindRelease:
		return st.give(ev)
	case journal.KindAnnotate:
		return st.annotate(ev)
	case journal.KindRefuse:
		st.refusals.add(ev)
		st.note(ev)
	case journal.KindConfig:
		st.configure(ev)
	case journal.KindGenesis:
		if ev.Seq != 1 {
			return impossible(ev, "genesis after the first event")
		}
	case journal.KindReset:
		// Configurations stay: they say what ranges looked like, not who holds what.
		st.base, st.over, st.held = nil, overlay{}, 0
		st.trusting, st.beliefs = false, beliefs{}
		st.cursors, st.ownCursors = nil, true
		st.resetAt = ev.Seq
	case journal.KindRepair: // what was lost is gone; what follows refers to what is left
	default:
		if ev.Kind.MustUnderstand() {
			return impossible(ev, "%w", journal.ErrNewer)
		}
	}
	return nil
}

// impossible names an event that no correct writer can have recorded here.
func impossible(ev *journal.Event, format string, args ...any) error {
	cause := fmt.Errorf("apply %s: "+format, append([]any{ev.Kind}, args...)...)
	return &journal.CorruptionError{Seq: ev.Seq, Offset: -1, Cause: cause}
}

// attachmentOf returns whom the event is about; it is zero for events about nobody.
func attachmentOf(ev *journal.Event) Attachment {
	return Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
}

// note remembers the event as the newest one about its attachment, whose bytes are in scratch, and
// returns the attachment's place among the owners, or none if the event is about nobody.
func (st *State) note(ev *journal.Event) int32 {
	if ev.ContainerID == "" {
		return none
	}
	o := &st.over
	o.init()
	i := o.addOwner(st.scratch)
	o.owners[i].last, o.owners[i].seq = ev.Kind, ev.Seq
	return i
}

// take applies an add or import: first everything that can be wrong with it, at the
// end of the overlay where it can be taken back, then what can't fail.
func (st *State) take(ev *journal.Event) error {
	o := &st.over
	o.init()
	arena, entries := len(o.arena), len(o.entries)
	if err := st.prepare(ev); err != nil {
		o.arena, o.entries = o.arena[:arena], o.entries[:entries]
		return err
	}
	if len(ev.Cursors) > 0 {
		st.setCursors(ev.Cursors)
	}
	w := st.note(ev)
	for i := entries; i < len(o.entries); i++ {
		o.entries[i].owner = w
		o.link(int32(i))
		o.page(o.entries[i].key).give(o.entries[i].key)
	}
	st.held += len(o.entries) - entries
	return nil
}

// prepare checks an add or import and appends its leases to the overlay, not linked yet.
func (st *State) prepare(ev *journal.Event) error {
	owned := ev.ContainerID != ""
	if ev.Blocked && (owned || ev.IfName != "" || ev.Kind != journal.KindImport) {
		return impossible(ev, "blocked address with an owner")
	}
	if !ev.Blocked && !owned && len(ev.Addresses) > 0 {
		return impossible(ev, "names no container")
	}
	for _, c := range ev.Cursors {
		if c.Set < 0 || !representable(c.IP) {
			return impossible(ev, "cursor of range set %d at %s", c.Set, c.IP)
		}
	}
	for i, a := range ev.Addresses {
		if err := st.prepareLease(ev, a); err != nil {
			return err
		}
		if listedBefore(ev.Addresses, i) {
			return impossible(ev, "%s: listed twice", a.IP)
		}
	}
	return nil
}

// prepareLease does so for one address.
func (st *State) prepareLease(ev *journal.Event, a journal.Address) error {
	if !representable(a.IP) || a.Set < 0 || a.Bits < 0 || a.Bits > a.IP.BitLen() ||
		a.Gateway.IsValid() && !representable(a.Gateway) {
		return impossible(ev, "range set %d: %s/%d, gateway %s: not an address of a lease", a.Set, a.IP, a.Bits, a.Gateway)
	}
	k := keyOf(a.IP)
	p, err := st.changing(k)
	if err != nil {
		return err
	}
	if p.held.has(k) {
		held, _, err := st.Lease(a.IP)
		if err != nil {
			return err
		}
		return impossible(ev, "range set %d: %s: held by %s/%s", a.Set, a.IP, held.ContainerID, held.IfName)
	}
	l := Lease{
		Address:    a,
		Attachment: attachmentOf(ev),
		NetNS:      ev.NetNS,
		NetNSID:    ev.NetNSID,
		Pod:        ev.Pod,
		Start:      ev.Seq,
		Clock:      ev.Clock,
		Import:     ev.Kind == journal.KindImport,
		Blocked:    ev.Blocked,
	}
	if l.Import {
		l.Claimed = ev.Claimed
	}
	return st.prepareRecord(ev, &l, st.scratch)
}

// prepareRecord appends a lease to the overlay, not linked yet. owner is what appendOwner makes of its attachment. That
// the lease fits a block follows from the limit on journal records where one event tells all of it, but not where annotations
// add to what another event told; a snapshot could not be written otherwise.
func (st *State) prepareRecord(ev *journal.Event, l *Lease, owner []byte) error {
	o := &st.over
	off := len(o.arena)
	o.arena = appendRecord(roomy(o.arena, maxRecord), l, owner)
	n := len(o.arena) - off
	if n > maxRecord {
		return impossible(ev, "%s: lease of %d bytes, at most %d", l.IP, n, maxRecord)
	}
	o.entries = append(roomy(o.entries, 1), entry{key: keyOf(l.IP), off: off, n: int32(n), owner: none, next: none})
	return nil
}

// listedBefore reports whether address i stands earlier in the list too. Lists are
// short: a record holds at most a few hundred addresses, an ADD one per range set.
func listedBefore(list []journal.Address, i int) bool {
	return slices.ContainsFunc(list[:i], func(a journal.Address) bool { return a.IP == list[i].IP })
}

// give applies a del or release: every address listed must be the attachment's. None
// listed is a DEL of something unknown.
func (st *State) give(ev *journal.Event) error {
	known := none
	for i, a := range ev.Addresses {
		if !representable(a.IP) {
			return impossible(ev, "%s is not an address of a lease", a.IP)
		}
		// Before anything is given back, so that an impossible event changes nothing.
		if _, err := st.changing(keyOf(a.IP)); err != nil {
			return err
		}
		ok, owner, err := st.holds(ev, keyOf(a.IP))
		if err != nil {
			return err
		}
		known = owner
		if !ok || listedBefore(ev.Addresses, i) {
			return impossible(ev, "range set %d: %s: not held by %s/%s", a.Set, a.IP, ev.ContainerID, ev.IfName)
		}
	}
	for _, a := range ev.Addresses {
		st.end(ev, keyOf(a.IP))
	}
	st.held -= len(ev.Addresses)
	if known == none {
		st.note(ev)
		return nil
	}
	w := &st.over.owners[known]
	w.last, w.seq = ev.Kind, ev.Seq
	return nil
}

// end frees an address that holds has found.
func (st *State) end(ev *journal.Event, k key) {
	p := st.over.page(k)
	if i, ok := st.over.lease(k); ok {
		st.over.unlink(i)
	} else if st.trusting {
		st.believe(ev.Seq, k)
	}
	p.takeBack(k)
}

// holds reports whether the event's attachment, whose bytes are in scratch, holds the address, whose page is
// there. A lease taken over without an interface name answers to every one; a blocked address
// answers to the zero Attachment. known is the attachment's place among the owners, if that has come to light.
func (st *State) holds(ev *journal.Event, k key) (ok bool, known int32, err error) {
	p := st.over.page(k)
	if p.knows(k) && !p.held.has(k) {
		return false, none, nil
	}
	if i, ok := st.over.lease(k); ok {
		if st.over.ownedBy(i, st.scratch) {
			return true, st.over.entries[i].owner, nil // as nearly always
		}
		r, err := parseRecord(st.over.record(i))
		return err == nil && r.answers(st.scratch), none, err
	}
	if st.trusting {
		return true, none, nil
	}
	ok, err = st.baseHolds(attachmentOf(ev), k)
	return ok, none, err
}

// baseHolds reports whether the attachment, whose bytes are in scratch, holds an address that is in a held run of the base.
func (st *State) baseHolds(a Attachment, k key) (bool, error) {
	if a.ContainerID != "" {
		// By owner takes two reads where by address takes a search.
		found := false
		err := st.base.held(st.scratch, fingerprint(a), func(r *record) { found = found || r.key == k })
		if found || err != nil {
			return found, err
		}
	}
	r, ok, err := st.base.lease(k)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, st.disagree(fmt.Errorf("%s is in a held run and has no lease", k.addr()))
	}
	return r.answers(st.scratch), nil
}

// answers reports whether the record is a lease of the attachment with these bytes. Only the interface
// name may be missing in it, which is a single byte at the end.
func (r *record) answers(packed []byte) bool {
	return bytes.Equal(r.owner, packed) || r.legacy() && bytes.HasPrefix(packed, r.owner[:len(r.owner)-1])
}

// changing returns the overlay's page of an address that is about to change, made if need be:
// filled from the base, or left to speak of what events were about where they are trusted.
func (st *State) changing(k key) (*page, error) {
	o := &st.over
	o.init()
	if p := o.page(k); p != nil {
		return p, nil
	}
	p := page{first: k.page()}
	if !st.trusting {
		if err := st.base.fill(&p); err != nil {
			return nil, err
		}
		p.filled = true
	}
	o.byPage[p.first] = int32(len(o.pages))
	o.pages = append(roomy(o.pages, 1), p)
	return &o.pages[len(o.pages)-1], nil
}

// setCursors moves cursors. Those of a snapshot are copied before the first change, as
// other states may be over the same one.
func (st *State) setCursors(moved []journal.Cursor) {
	if !st.ownCursors {
		st.cursors, st.ownCursors = slices.Clone(st.cursors), true
	}
	for _, c := range moved {
		i, ok := slices.BinarySearchFunc(st.cursors, c.Set, bySet)
		if ok {
			st.cursors[i] = c
		} else {
			st.cursors = slices.Insert(st.cursors, i, c)
		}
	}
}

// configure remembers a configuration, forgets its earlier record if there is one, and
// otherwise the oldest where there are too many.
func (st *State) configure(ev *journal.Event) {
	i := slices.IndexFunc(st.configs, func(c config) bool { return c.digest == ev.Digest })
	if i < 0 && len(st.configs) == maxConfigs {
		i = 0
	}
	kept := make([]config, 0, maxConfigs) // a new one: the old may be the snapshot's
	for j, c := range st.configs {
		if j != i {
			kept = append(kept, c)
		}
	}
	st.configs = append(kept, config{digest: ev.Digest, seq: ev.Seq})
}
