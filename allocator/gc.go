package allocator

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Condemned is what is to be released, as it was when that was decided: all that an attachment holds, or
// one address.
type Condemned struct {
	Owner state.Attachment // zero for an address that is blocked, which IP has to name
	IP    netip.Addr       // of the one lease; zero means all leases of the owner
	Start journal.Seq      // the event that gave the lease, or the newest of them
	Text  string           // why, in words; recorded
}

// Why is what the events of a release have in common.
type Why struct {
	Reason     journal.Reason
	Attributes []journal.Attribute // sorted by key

	spared func(*state.Lease) bool // of the runtime's GC, which shows those that it spares to be alive; nil otherwise
}

// GC releases every attachment that valid does not list, each by an event of its own. The lock is
// given up between batches, so that others get through; an attachment that changed
// meanwhile is left alone. A network without a store is no error.
func (s *Store) GC(valid []state.Attachment) error {
	keep := make(map[state.Attachment]bool, 2*len(valid))
	for _, a := range valid {
		keep[a] = true
		keep[state.Attachment{ContainerID: a.ContainerID}] = true // old leases without an interface name
	}
	_, err := s.releaseFound(func(st *state.State) ([]Condemned, error) { return findStale(st, keep) },
		Why{Reason: journal.ReasonGC, spared: func(l *state.Lease) bool { return keep[l.Attachment] }})
	if errors.Is(err, journal.ErrNoStore) {
		return s.noneElsewhere()
	}
	return err
}

// Release gives back what is listed and still is as it was condemned: held by the same owner since the same
// event. It works as GC does, and returns what it has released, in the order of the list. With an error, the
// batch that it was met in may be released in part and is not among that. A network without a store is
// journal.ErrNoStore.
func (s *Store) Release(list []Condemned, why Why) (released []Condemned, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	return s.releaseFound(func(*state.State) ([]Condemned, error) { return list, nil }, why)
}

func findStale(st *state.State, keep map[state.Attachment]bool) ([]Condemned, error) {
	var stale []Condemned
	place := map[state.Attachment]int{}
	for l, err := range st.Leases() {
		if err != nil {
			return nil, err
		}
		if l.Blocked || keep[l.Attachment] {
			continue
		}
		i, seen := place[l.Attachment]
		if !seen {
			i = len(stale)
			place[l.Attachment] = i
			stale = append(stale, Condemned{Owner: l.Attachment})
		}
		stale[i].Start = max(stale[i].Start, l.Start)
	}
	return stale, nil
}

// releaseFound releases what find condemns, in as many transactions as there are batches.
func (s *Store) releaseFound(find func(*state.State) ([]Condemned, error), why Why) (released []Condemned, err error) {
	var list []Condemned
	for find != nil || len(list) > 0 {
		var done []Condemned
		list, done, err = s.releaseBatch(find, list, why)
		if err != nil {
			return released, err
		}
		released, find = append(released, done...), nil
	}
	return released, nil
}

// releaseBatch is one transaction of releaseFound. It returns what is left of the list.
func (s *Store) releaseBatch(find func(*state.State) ([]Condemned, error), list []Condemned, why Why) (rest, released []Condemned, err error) {
	t, err := s.beginOver(func() (bool, error) { return why.spared != nil && s.unclaimed(), nil })
	if err != nil {
		return nil, nil, err
	}
	defer t.end()
	if find != nil {
		err := t.decide(func() (err error) {
			list, err = find(t.state)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	rest, released, err = t.release(list, why)
	if err == nil && len(rest) == 0 && why.spared != nil {
		t.reclaimAfter(why.spared)
	}
	return rest, released, err
}

// release gives back as much of the list as one batch takes, at least one of it. It returns what is left, and
// what of the rest was still as it was condemned.
func (t *transaction) release(list []Condemned, why Why) (rest, released []Condemned, err error) {
	var events []*journal.Event
	given := map[netip.Addr]bool{} // by the batch: the leases don't know of it yet
	bytes := 0
	for len(list) > 0 {
		c := list[0]
		held, err := t.heldStill(c)
		if err != nil {
			return nil, nil, err
		}
		held = slices.DeleteFunc(held, func(l state.Lease) bool { return given[l.IP] })
		if len(held) > 0 {
			release, err := releaseEvents(t.releaseEvent(c, why, held), held)
			if err != nil {
				return nil, nil, err
			}
			n, err := batchBytes(release)
			if err != nil {
				return nil, nil, err
			}
			if bytes += n; bytes > journal.MaxBatch && len(events) > 0 {
				break
			}
			for _, l := range held {
				given[l.IP] = true
			}
			events = append(events, release...)
			released = append(released, c)
		}
		list = list[1:]
	}
	return list, released, t.append(events...)
}

// heldStill returns the leases that are condemned if they still are the ones that were meant.
func (t *transaction) heldStill(c Condemned) (held []state.Lease, err error) {
	err = t.decide(func() (err error) {
		if !c.IP.IsValid() {
			held, err = t.state.Held(c.Owner)
			return err
		}
		held = nil
		l, ok, err := t.state.Lease(c.IP)
		if ok && l.Attachment == c.Owner {
			held = []state.Lease{l}
		}
		return err
	})
	if err != nil || newestOf(held).Start != c.Start {
		return nil, err
	}
	return held, nil
}

// newestOf returns the lease that was given last, the zero Lease if there is none.
func newestOf(held []state.Lease) (newest state.Lease) {
	for _, l := range held {
		if l.Start > newest.Start {
			newest = l
		}
	}
	return newest
}

// releaseEvent returns the event of a release without its addresses.
func (t *transaction) releaseEvent(c Condemned, why Why, held []state.Lease) journal.Event {
	kind := journal.KindRelease
	if why.spared != nil {
		kind = journal.KindDel
	}
	l := newestOf(held)
	return journal.Event{Kind: kind, Reason: why.Reason, ContainerID: c.Owner.ContainerID, IfName: c.Owner.IfName,
		NetNS: l.NetNS, NetNSID: l.NetNSID, Pod: l.Pod, Version: t.store.o.Version, Attributes: why.Attributes, Text: c.Text}
}

// batchBytes returns at most how many bytes of a batch the events take.
func batchBytes(events []*journal.Event) (bytes int, err error) {
	for _, ev := range events {
		n, err := journal.EventBytes(ev)
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}
