package state

import (
	"fmt"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// OverTrusting is Over for events whose writers checked them: Apply believes what an event says of
// the snapshot's leases, that an address it gives is free there and that one it takes back is
// held there by its owner. So a tail of events is applied without reading the snapshot.
//
// What was believed is checked where the snapshot is read anyway: of a page of addresses when NextFree
// comes by, of everything by Leases and WriteSnapshot. What contradicts the snapshot is a *journal.CorruptionError
// there that names the event, or the page's addresses.
func OverTrusting(s *Snapshot) *State {
	st := Over(s)
	st.trusting = true
	return st
}

// Expect makes room for what n events may change, so that it is made once.
func (st *State) Expect(n int) {
	if n > 0 && st.over.byAddr == nil {
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
			return st.contradicted(st.seq, fmt.Sprintf("some of the addresses from %s to %s", p.first.addr(), p.first.pageEnd().addr()))
		}
		whole[i] |= base.held[i] &^ p.about[i]
	}
	p.held, p.filled = whole, true
	return nil
}

// contradicted is an event, or one up to it, that can't have happened after the snapshot. Which of
// them is damaged is not known here, so no file is named.
func (st *State) contradicted(seq journal.Seq, what string) error {
	return &journal.CorruptionError{Seq: seq, Offset: -1,
		Cause: fmt.Errorf("contradicts the snapshot of event %d: %s", st.base.Seq(), what)}
}

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
		if b.key != r.key || !r.answers(d.st.beliefs.owners[b.off:][:b.n]) {
			return d.st.contradicted(b.seq, fmt.Sprintf("%s: not held by that attachment", b.key.addr()))
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
	b := &d.st.beliefs.list[d.order[0]]
	return d.st.contradicted(b.seq, fmt.Sprintf("%s: not held by that attachment", b.key.addr()))
}
