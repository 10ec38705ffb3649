package state

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// OverTrusting is Over for events whose writers checked them: Apply believes what an event says of
// the snapshot's leases, that an address it gives is free there and that one it takes back is
// held there by its owner. So a tail of events is applied without reading the snapshot.
//
// That an address is free, and that an attachment holds nothing there, is checked before it is said: Lease, Held and
// NextFree look up what events said of the leases that they are asked about, Leases and WriteSnapshot everything. A lease that an
// event gave is reported as it stands. What contradicts the snapshot is a *journal.CorruptionError that names the
// address, and the event if it is known, but no file.
func OverTrusting(s *Snapshot) *State {
	st := Over(s)
	st.trusting = true
	return st
}

// Expect makes room for what n events may change, so that it is made once.
func (st *State) Expect(n int) {
	if n > 0 && st.over.byPage == nil {
		st.over.make(n)
	}
}

// beliefs are the leases of the snapshot that events ended.
type beliefs struct {
	list   []belief
	owners []byte // as appendOwner writes them
}

type belief struct {
	key key
	off int
	n   int32
	seq journal.Seq

	confirmed bool
}

// believe notes that an event has ended a lease of the base that nobody looked up. The owner's bytes
// are in scratch.
func (st *State) believe(seq journal.Seq, k key) {
	b := &st.beliefs
	b.list = append(roomy(b.list, 1), belief{key: k, off: len(b.owners), n: int32(len(st.scratch)), seq: seq})
	b.owners = append(roomy(b.owners, len(st.scratch)), st.scratch...)
}

// fill makes a page whole: it adds what the base holds, and finds out whether it can be true what
// events said of that.
func (st *State) fill(p *page) error {
	if p.filled {
		return nil
	}
	base := page{first: p.first}
	if err := st.base.fill(&base); err != nil {
		return err
	}
	whole := p.held
	for i := range whole {
		if wrong := (base.held[i] ^ ^p.given[i]) & p.about[i]; wrong != 0 {
			k := p.first
			k.lo += uint64(i*64 + bits.TrailingZeros64(wrong))
			return st.contradicted(k)
		}
		whole[i] |= base.held[i] &^ p.about[i]
	}
	p.held, p.filled = whole, true
	return nil
}

// contradicted says that what events said of the base's lease of an address can't be true. It names the event
// that ended it, or the one that gave the address if it is still held.
func (st *State) contradicted(k key) error {
	var seq journal.Seq
	if i, ok := st.over.lease(k); ok {
		if r, err := parseRecord(st.over.record(i)); err == nil {
			seq = r.start
		}
	}
	if b := st.belief(k); b != nil {
		seq = b.seq
	}
	return &journal.CorruptionError{Seq: seq, Offset: -1,
		Cause: fmt.Errorf("%s: contradicts the snapshot of event %d", k.addr(), st.base.Seq())}
}

// belief returns what was believed of the base's lease of an address, nil if nothing was. There are as many
// as the tail ended of the base's leases.
func (st *State) belief(k key) *belief {
	i := slices.IndexFunc(st.beliefs.list, func(b belief) bool { return b.key == k })
	if i < 0 {
		return nil
	}
	return &st.beliefs.list[i]
}

// confirm checks what was believed of the base's lease of an address, or of its having none.
func (st *State) confirm(k key) error {
	if !st.trusting {
		return nil
	}
	b := st.belief(k)
	if b == nil {
		if p := st.over.page(k); p != nil && !p.filled && p.given.has(k) {
			return st.fill(p)
		}
		return nil
	}
	if b.confirmed {
		return nil
	}
	r, ok, err := st.base.lease(k)
	if err != nil {
		return err
	}
	if !ok || !r.answers(st.beliefs.of(b)) {
		return st.contradicted(k)
	}
	b.confirmed = true
	return nil
}

// mistaken reports whether what was believed can't be true, since the base has this lease.
func (st *State) mistaken(r *record) bool {
	if !st.trusting {
		return false
	}
	if b := st.belief(r.key); b != nil {
		return !r.answers(st.beliefs.of(b))
	}
	return st.over.page(r.key).given.has(r.key)
}

// of returns the bytes of the owner that the lease was taken back from.
func (b *beliefs) of(one *belief) []byte { return b.owners[one.off:][:one.n] }

// doubts are the beliefs in order of address, to be held against the base's records as they come by.
type doubts struct {
	st    *State
	order []int32 // of st.beliefs.list
}

// doubts fills all pages and returns what else is to be found out. Without trust it is nothing.
func (st *State) doubts() (doubts, error) {
	for i := range st.over.pages {
		if err := st.fill(&st.over.pages[i]); err != nil {
			return doubts{}, err
		}
	}
	list := st.beliefs.list
	order := make([]int32, len(list))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return list[a].key.compare(list[b].key) })
	return doubts{st, order}, nil
}

// settle holds the next record of the base against the beliefs.
func (d *doubts) settle(r *record) error {
	for len(d.order) > 0 {
		b := &d.st.beliefs.list[d.order[0]]
		if b.key.compare(r.key) > 0 {
			return nil
		}
		if b.key != r.key {
			return d.st.contradicted(b.key)
		}
		whole, err := parseRecord(r.raw) // whether it names an interface is at its end
		if err != nil {
			return err
		}
		if !whole.answers(d.st.beliefs.of(b)) {
			return d.st.contradicted(b.key)
		}
		d.order = d.order[1:]
	}
	return nil
}

// left finds what no record came by for.
func (d *doubts) left() error {
	if len(d.order) == 0 {
		return nil
	}
	return d.st.contradicted(d.st.beliefs.list[d.order[0]].key)
}
