package state

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// maxConfigs is how many configurations are remembered. It is part of the format:
// which ones a snapshot holds must not depend on who wrote it.
const maxConfigs = 64

// State is what all events up to Seq amount to: who holds which address, the cursors
// and the last configurations. It is an overlay of events on a snapshot, or on
// nothing. The zero State is the one before the first event. It is not safe for
// concurrent use, not even its lookups: they share the snapshot's cache.
type State struct {
	base *Snapshot // nil if there is none or a reset ended its leases
	over overlay

	seq     journal.Seq
	head    journal.Hash
	clock   journal.Clock // as snapshots hold it, see cutClock
	tail    int           // events since base or New
	held    int           // leases, those of base that count included
	resetAt journal.Seq   // the newest reset of the overlay, 0 if none

	cursors    []journal.Cursor // ascending by set
	ownCursors bool             // false: they are the snapshot's and must not be changed
	configs    []config         // ascending by seq, at most maxConfigs; replaced, never changed, as they may be the snapshot's

	trusting bool // events are believed in what they say of the base, see OverTrusting
	beliefs  beliefs

	refusals refusals
	scratch  []byte // an attachment's bytes, to look it up; good until the next lookup
}

// config is a configuration that was recorded.
type config struct {
	digest journal.Hash
	seq    journal.Seq
}

// New returns the state before the first event.
func New() *State { return &State{} }

// Over returns the state that the snapshot holds. It reads the snapshot's blocks only
// as lookups ask for them, so the snapshot must stay open as long as the state is used.
func Over(s *Snapshot) *State {
	return &State{
		base:    s,
		seq:     s.head.seq,
		head:    s.head.hash,
		clock:   s.head.clock,
		held:    int(s.head.leases),
		cursors: s.head.cursors,
		configs: s.head.configs,
	}
}

// Seq returns the number of the last event applied, 0 before the first.
func (st *State) Seq() journal.Seq { return st.seq }

// Head returns the hash of the last event's record, as told by SetHead or the snapshot.
func (st *State) Head() journal.Hash { return st.head }

// SetHead tells the hash of the last event's record, which Apply doesn't see.
func (st *State) SetHead(h journal.Hash) { st.head = h }

// Tail returns how many events were applied since the snapshot, or since New.
func (st *State) Tail() int { return st.tail }

// LastClock returns what the clocks showed at the last event.
func (st *State) LastClock() journal.Clock { return st.clock }

// Len returns the number of leases held, blocked addresses included.
func (st *State) Len() int { return st.held }

// Cursor returns where the next allocation from a range set goes on, false if it
// begins at the beginning.
func (st *State) Cursor(set int) (netip.Addr, bool) {
	i, ok := slices.BinarySearchFunc(st.cursors, set, bySet)
	if !ok {
		return netip.Addr{}, false
	}
	return st.cursors[i].IP, true
}

// Cursors returns all cursors, ascending by range set.
func (st *State) Cursors() []journal.Cursor { return slices.Clone(st.cursors) }

// bySet is for binary search in cursors.
func bySet(c journal.Cursor, set int) int { return cmp.Compare(c.Set, set) }

// Config returns the config event with this digest, if it is among the last 64.
func (st *State) Config(digest journal.Hash) (journal.Seq, bool) {
	for i := range st.configs {
		if st.configs[i].digest == digest {
			return st.configs[i].seq, true
		}
	}
	return 0, false
}

// LastAbout returns the kind of the newest event since the snapshot that was about the
// attachment, false if there was none. A reset is about every attachment. One that
// holds no lease is forgotten some time after another 4,096 events.
func (st *State) LastAbout(a Attachment) (journal.Kind, bool) {
	st.scratch = appendOwner(st.scratch[:0], a)
	if i := st.over.owner(st.scratch); i != none && st.over.owners[i].seq > st.resetAt {
		return st.over.owners[i].last, true
	}
	if st.resetAt > 0 {
		return journal.KindReset, true
	}
	return 0, false
}

// Lease returns the lease of an address, false if the address is free. An error is
// damage or unreadable bytes in the snapshot, here and in all other lookups.
func (st *State) Lease(ip netip.Addr) (Lease, bool, error) {
	if !representable(ip) {
		return Lease{}, false, nil
	}
	k := keyOf(ip)
	if i, ok := st.over.lease(k); ok {
		l, err := decodeLease(st.over.record(i))
		return l, err == nil, err
	}
	if st.hidden(k) {
		return Lease{}, false, st.confirm(k)
	}
	r, ok, err := st.base.lease(k)
	if !ok || err != nil {
		return Lease{}, false, err
	}
	return r.lease(), true, nil
}

// Held returns the leases of an attachment in order of range set, then address. The
// zero Attachment has none.
func (st *State) Held(a Attachment) ([]Lease, error) {
	if a.ContainerID == "" {
		return nil, nil
	}
	var held []Lease
	st.scratch = appendOwner(st.scratch[:0], a)
	if w := st.over.owner(st.scratch); w != none {
		for i := st.over.owners[w].first; i != none; i = st.over.entries[i].next {
			l, err := decodeLease(st.over.record(i))
			if err != nil {
				return nil, err
			}
			held = insertLease(held, l)
		}
	}
	if st.base != nil {
		var wrong error
		err := st.base.held(st.scratch, fingerprint(a), func(r *record) {
			if !st.shadowed(r.key) {
				held = insertLease(held, r.lease())
			} else if wrong == nil && st.mistaken(r) {
				wrong = st.contradicted(r.key)
			}
		})
		if err = cmp.Or(err, wrong); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// insertLease puts l where it belongs by range set and address. There are as many as range sets, or few more.
func insertLease(held []Lease, l Lease) []Lease {
	at, _ := slices.BinarySearchFunc(held, l, func(a, b Lease) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), a.IP.Compare(b.IP))
	})
	return slices.Insert(held, at, l)
}

// NextFree returns the lowest address from from to to, both included, that nobody
// holds. It reads O(log) blocks of the snapshot and never counts through a range.
func (st *State) NextFree(from, to netip.Addr) (netip.Addr, bool, error) {
	if !representable(from) || !representable(to) || from.BitLen() != to.BitLen() {
		return netip.Addr{}, false, nil
	}
	end := keyOf(to)
	for k, more := keyOf(from), true; more && k.compare(end) <= 0; {
		if k.mapped() {
			k = afterMapped
			continue
		}
		if p := st.over.page(k); p != nil {
			if err := st.fill(p); err != nil {
				return netip.Addr{}, false, err
			}
			if free, ok := p.free(k); ok {
				if free.compare(end) > 0 {
					return netip.Addr{}, false, nil
				}
				if err := st.confirm(free); err != nil {
					return netip.Addr{}, false, err
				}
				return free.addr(), true, nil
			}
			k, more = k.pageEnd().next()
			continue
		}
		last, held, err := st.base.runFrom(k)
		if err != nil {
			return netip.Addr{}, false, err
		}
		if !held {
			return k.addr(), true, nil
		}
		if next, ok := st.over.nextPage(k, last); ok {
			k = next
		} else {
			k, more = last.next()
		}
	}
	return netip.Addr{}, false, nil
}

// Leases yields all leases, ascending by address in the order of netip.Addr.Compare.
// After an error it ends. The state must not change meanwhile.
func (st *State) Leases() iter.Seq2[Lease, error] {
	return func(yield func(Lease, error) bool) {
		err := st.records(readWhole, func(r *record) error {
			if !yield(r.lease(), nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Lease{}, err)
		}
	}
}

// errStopped ends a walk over records that nobody wants to go on with.
var errStopped = errors.New("stopped")

// records calls fn with every lease, ascending by address: the snapshot's, read by parse, merged with
// the overlay's, which win. It checks that there are as many as there should be.
func (st *State) records(parse parseFunc, fn func(*record) error) error {
	sorted, n := st.over.sorted(), 0 // what the overlay still has to say; records so far
	emit := func(r *record) error {
		n++
		return fn(r)
	}
	// own gives the overlay's records before an address, or all that are left.
	own := func(before *key) error {
		for len(sorted) > 0 && (before == nil || st.over.entries[sorted[0]].key.compare(*before) < 0) {
			r, err := parseRecord(st.over.record(sorted[0]))
			if err != nil {
				return fmt.Errorf("lease of the overlay: %w", err)
			}
			sorted = sorted[1:]
			if err := emit(&r); err != nil {
				return err
			}
		}
		return nil
	}
	if st.base != nil {
		doubts, err := st.doubts()
		if err != nil {
			return err
		}
		err = st.base.records(parse, func(r *record) error {
			if err := own(&r.key); err != nil {
				return err
			}
			if err := doubts.settle(r); err != nil {
				return err
			}
			if st.shadowed(r.key) {
				return nil
			}
			return emit(r)
		})
		if err == nil {
			err = doubts.left()
		}
		if err != nil {
			return err
		}
	}
	if err := own(nil); err != nil {
		return err
	}
	if n != st.held {
		return st.disagree(fmt.Errorf("%d leases where %d are counted", n, st.held))
	}
	return nil
}

// disagree is damage that no single block shows: parts of the snapshot contradict each other.
func (st *State) disagree(cause error) error {
	if st.base == nil {
		panic("state: " + cause.Error())
	}
	return st.base.damaged(-1, cause)
}

// shadowed reports whether a lease that the base has is no longer the one that counts.
func (st *State) shadowed(k key) bool {
	p := st.over.page(k)
	if p == nil || !p.knows(k) {
		return false
	}
	if !p.held.has(k) {
		return true
	}
	_, ok := st.over.lease(k)
	return ok
}

// hidden reports whether the base has nothing to say about an address that the
// overlay has no lease of.
func (st *State) hidden(k key) bool {
	if st.base == nil {
		return true
	}
	p := st.over.page(k)
	return p != nil && p.knows(k) && !p.held.has(k)
}

// representable reports whether an address can be held: not zero, not IPv4 in IPv6
// clothes, and without a zone.
func representable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.Is4In6() && ip.Zone() == ""
}
