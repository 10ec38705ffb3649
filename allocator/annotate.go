package allocator

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Annotation is what a source outside of the journal knows of an attachment.
type Annotation struct {
	Owner     state.Attachment
	Addresses []netip.Addr // that the source says it has: leases of others are not meant; none if it doesn't say
	NetNS     string
	NetNSID   journal.NetNSID // of NetNS, zero if it can't be seen
	Pod       journal.Pod
}

// Annotations are what a source knows.
type Annotations struct {
	Source string      // its name, recorded
	AsOf   journal.Seq // leases given by later events are left alone: what is known was known before
	Known  []Annotation
}

// Annotated is a lease of whose owner the source knows more than the journal.
type Annotated struct {
	Lease   state.Lease // with what was added
	NetNS   bool        // the namespace was added, or would be
	Pod     bool        // the pod was added, or would be
	Known   int         // index of the annotation
	TooLong bool        // nothing was added: there is no room for it beside the container's ID

	before state.Lease
}

// Annotate fills in what the journal does not know of the owners of leases: their network namespace and pod. What it
// knows is left as it is. It works as GC does, with an event for each attachment, or more where not the same is known of
// all its leases, and returns the leases with what was added to them; a lease that changed meanwhile is left alone. With
// an error, some of the batch that it was met in may be annotated and is not among that.
//
// A dry run takes no lock, changes nothing and returns what would be added. A network without a store is
// journal.ErrNoStore.
func (s *Store) Annotate(a Annotations, dry bool) (done []Annotated, err error) {
	var found []Annotated
	if dry {
		err := s.look(func(v *view) (err error) {
			found, err = s.find(&a, v.state)
			return err
		})
		return found, err
	}
	for first := true; first || len(found) > 0; first = false {
		var added []Annotated
		if found, added, err = s.annotateBatch(&a, found, first); err != nil {
			return done, err
		}
		done = append(done, added...)
	}
	return done, nil
}

// find returns the leases to annotate, those of one event side by side.
func (s *Store) find(a *Annotations, st *state.State) ([]Annotated, error) {
	known := make(map[string][]int, len(a.Known)) // by container ID
	for i := range a.Known {
		id := a.Known[i].Owner.ContainerID
		known[id] = append(known[id], i)
	}
	var found []Annotated
	for l, err := range st.Leases() {
		if err != nil {
			return nil, err
		}
		if l.Blocked || l.Start > a.AsOf {
			continue
		}
		i, ok := a.about(&l, known[l.ContainerID])
		if !ok {
			continue
		}
		if one := a.Known[i].fill(l); one.NetNS || one.Pod {
			one.Known, one.TooLong = i, a.tooLong(s.o.Version, one)
			found = append(found, one)
		}
	}
	slices.SortStableFunc(found, func(x, y Annotated) int {
		return cmp.Or(cmp.Compare(x.Lease.ContainerID, y.Lease.ContainerID), cmp.Compare(x.Lease.IfName, y.Lease.IfName),
			cmp.Compare(x.Known, y.Known))
	})
	return found, nil
}

// about returns the one annotation that is about the lease, of those about its container. A lease that was taken over
// without an interface name may be any interface's.
func (a *Annotations) about(l *state.Lease, candidates []int) (at int, ok bool) {
	for _, i := range candidates {
		k := &a.Known[i]
		legacy := l.Import && l.IfName == ""
		if k.Owner.IfName != l.IfName && !legacy || len(k.Addresses) > 0 && !slices.Contains(k.Addresses, l.IP) {
			continue
		}
		if ok {
			return 0, false // nobody knows which
		}
		at, ok = i, true
	}
	return at, ok
}

// fill returns the lease with what is missing in it.
func (k *Annotation) fill(l state.Lease) Annotated {
	one := Annotated{Lease: l, before: l}
	if l.NetNS == "" && k.NetNS != "" {
		one.NetNS, one.Lease.NetNS, one.Lease.NetNSID = true, k.NetNS, k.NetNSID
	}
	if l.Pod == (journal.Pod{}) && k.Pod != (journal.Pod{}) {
		one.Pod, one.Lease.Pod = true, k.Pod
	}
	return one
}

// annotateBatch is one transaction of Annotate, of as much as one batch takes. It returns what is left.
func (s *Store) annotateBatch(a *Annotations, found []Annotated, first bool) (rest, added []Annotated, err error) {
	t, err := s.begin()
	if err != nil {
		return nil, nil, err
	}
	defer t.end()
	if first {
		err := t.decide(func() (err error) {
			found, err = s.find(a, t.state)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	var events []*journal.Event
	bytes := 0
	for len(found) > 0 {
		n := together(found)
		part, err := t.still(found[:n])
		if err != nil {
			return nil, nil, err
		}
		var more []*journal.Event
		if !found[0].TooLong {
			more = a.annotateEvents(s.o.Version, part)
		}
		size, err := batchBytes(more)
		if err != nil {
			return nil, nil, err
		}
		if bytes += size; bytes > journal.MaxBatch && len(events) > 0 {
			break
		}
		events, added, found = append(events, more...), append(added, part...), found[n:]
	}
	if err := t.append(events...); err != nil {
		return nil, nil, err
	}
	return found, added, nil
}

// together returns how many from the first on are of one attachment and get the same.
func together(found []Annotated) int {
	like := &found[0]
	n := slices.IndexFunc(found, func(one Annotated) bool {
		return one.Lease.Attachment != like.Lease.Attachment || one.Known != like.Known || one.NetNS != like.NetNS ||
			one.Pod != like.Pod || one.TooLong != like.TooLong
	})
	if n < 0 {
		return len(found)
	}
	return n
}

// still returns those that are as they were when they were found.
func (t *transaction) still(found []Annotated) (same []Annotated, err error) {
	for _, one := range found {
		var l state.Lease
		err := t.decide(func() (err error) {
			l, _, err = t.state.Lease(one.before.IP)
			return err
		})
		if err != nil {
			return nil, err
		}
		if l == one.before {
			same = append(same, one)
		}
	}
	return same, nil
}

// annotateEvents returns the events that annotate leases of one attachment alike. None of them drops a field: what it
// leaves out would look added.
func (a *Annotations) annotateEvents(version string, leases []Annotated) (events []*journal.Event) {
	for len(leases) > 0 {
		n := len(leases)
		ev := a.event(version, leases)
		for !whole(ev) && n > 1 {
			n = (n + 1) / 2
			ev.Addresses = ev.Addresses[:n]
		}
		events, leases = append(events, ev), leases[n:]
	}
	return events
}

// event returns the annotate of leases that are alike.
func (a *Annotations) event(version string, leases []Annotated) *journal.Event {
	like := &leases[0]
	ev := &journal.Event{Kind: journal.KindAnnotate, ContainerID: like.Lease.ContainerID, IfName: like.Lease.IfName, Version: version,
		Attributes: []journal.Attribute{{Key: journal.AttributeSource, Value: a.Source}}}
	if like.NetNS {
		ev.NetNS, ev.NetNSID = like.Lease.NetNS, like.Lease.NetNSID
	}
	if like.Pod {
		ev.Pod = like.Lease.Pod
	}
	for _, one := range leases {
		ev.Addresses = append(ev.Addresses, one.Lease.Address)
	}
	return ev
}

// tooLong reports whether a lease with all that is known of it would not fit an event, and so perhaps no snapshot.
func (a *Annotations) tooLong(version string, one Annotated) bool {
	ev := a.event(version, []Annotated{one})
	ev.NetNS, ev.NetNSID, ev.Pod = one.Lease.NetNS, one.Lease.NetNSID, one.Lease.Pod
	return !whole(ev)
}

// whole reports whether the event fits a record with all its fields, whenever it is recorded.
func whole(ev *journal.Event) bool {
	fit := *ev
	fit.MaxError = math.MaxInt64 // its number has no fixed width
	_, err := journal.AppendRecord(nil, journal.ID{}, &fit)
	return err == nil
}
