package state

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// overlay holds what changed since the base, or everything if there is none. Its
// records and owners are bytes in one arena: nothing of an event is kept alive, the
// garbage collector has nothing to follow, and a snapshot copies them as they are.
//
// Which addresses are held is in pages of bits. A page is filled from the base when
// one of its addresses changes for the first time, or where events are trusted when
// it is asked for a free one. A bit that is clear where the base has a lease means that the lease ended.
type overlay struct {
	arena   []byte
	dead    int // bytes of the arena that are ended leases or owners without leases
	limit   int // size of arena below which compact isn't worth its cost
	entries []entry
	byAddr  map[key]int32
	owners  []owner
	byOwner map[uint64]int32 // by hash of the owner's bytes; the first of a chain
	seed    maphash.Seed     // orders nothing that anybody sees
	pages   []page
	byPage  map[key]int32
}

// entry is a lease given, or annotated, by an event of the overlay.
type entry struct {
	key   key
	off   int
	n     int32 // length of the record; 0 = the lease ended
	owner int32 // index in owners, none if blocked
	next  int32 // the owner's next entry
}

// owner is an attachment that an event of the overlay was about.
type owner struct {
	off   int
	n     int32
	first int32 // first of the owner's entries
	chain int32 // next owner with the same hash
	last  journal.Kind
	seq   journal.Seq // of its newest event
}

// none ends the chains of entries and owners.
const none int32 = -1

// page says which of pageAddrs neighbouring addresses are held. A map of single
// addresses would do for the question whether one is; finding the next free one
// in a full range takes 256 at a step.
//
// A page that is not filled speaks only of the addresses that events were about.
type page struct {
	first  key
	held   addrs
	filled bool  // what the base holds is in held; what follows is no longer looked at
	about  addrs // addresses that events were about
	given  addrs // those of them that were given first, so that the base can't hold them
}

// addrs is a set of the addresses of one page.
type addrs [pageAddrs / 64]uint64

func (s *addrs) has(k key) bool { return s[k.lo%pageAddrs/64]>>(k.lo%64)&1 != 0 }
func (s *addrs) add(k key)      { s[k.lo%pageAddrs/64] |= 1 << (k.lo % 64) }
func (s *addrs) remove(k key)   { s[k.lo%pageAddrs/64] &^= 1 << (k.lo % 64) }

// knows reports whether the page can say if an address is held.
func (p *page) knows(k key) bool { return p.filled || p.about.has(k) }

// give and take back an address.
func (p *page) give(k key) {
	if !p.knows(k) {
		p.about.add(k)
		p.given.add(k)
	}
	p.held.add(k)
}

// keep notes a held address that stays held and of which the overlay has the lease from now on.
func (p *page) keep(k key) {
	p.about.add(k)
	p.held.add(k)
}

func (p *page) takeBack(k key) {
	p.about.add(k)
	p.held.remove(k)
}

// free returns the first free address of the page, which is filled, from k on.
func (p *page) free(k key) (key, bool) {
	i := k.lo % pageAddrs
	word := ^p.held[i/64] >> (i % 64) << (i % 64)
	for w := i / 64; ; {
		if word != 0 {
			k.lo = p.first.lo + w*64 + uint64(bits.TrailingZeros64(word))
			return k, true
		}
		if w++; w == uint64(len(p.held)) {
			return key{}, false
		}
		word = ^p.held[w]
	}
}

// arenaSlack keeps small overlays, those of the plugin, from ever being compacted.
const arenaSlack = 4 << 20

// remembered is how many events an attachment without leases is remembered for.
const remembered = 4096

// init makes the maps, which a state without changes does without.
func (o *overlay) init() {
	if o.byAddr != nil {
		return
	}
	o.make(0)
}

// make makes the maps with room for what n events may change.
func (o *overlay) make(n int) {
	o.byAddr = make(map[key]int32, n)
	o.byOwner = make(map[uint64]int32, n)
	o.byPage = make(map[key]int32, n/4)
	o.seed = maphash.MakeSeed()
	o.limit = arenaSlack
}

// record returns the bytes of an entry that holds its address. They move with the next append.
func (o *overlay) record(i int32) []byte {
	e := &o.entries[i]
	return o.arena[e.off : e.off+int(e.n)]
}

// lease returns the index of the entry that holds k.
func (o *overlay) lease(k key) (int32, bool) {
	i, ok := o.byAddr[k]
	return i, ok
}

// page returns the page of k if something in it has changed.
func (o *overlay) page(k key) *page {
	if i, ok := o.byPage[k.page()]; ok {
		return &o.pages[i]
	}
	return nil
}

// nextPage returns the first address in (k, end] that is the start of a page with changes.
func (o *overlay) nextPage(k, end key) (key, bool) {
	from, found, best := k.page(), false, key{}
	// Either way of looking may be the long one: a run can span more pages than have
	// changed, and more pages can have changed than a run spans.
	if end.fam == from.fam && end.hi == from.hi && (end.lo-from.lo)/pageAddrs < uint64(len(o.pages)) {
		for from.lo += pageAddrs; from.lo != 0 && from.lo <= end.lo; from.lo += pageAddrs {
			if _, ok := o.byPage[from]; ok {
				return from, true
			}
		}
		return key{}, false
	}
	for i := range o.pages {
		p := o.pages[i].first
		if p.compare(k) > 0 && p.compare(end) <= 0 && (!found || p.compare(best) < 0) {
			best, found = p, true
		}
	}
	return best, found
}

// owner returns the index of the owner with these bytes, or none.
func (o *overlay) owner(packed []byte) int32 {
	if len(o.owners) == 0 {
		return none
	}
	i, _ := o.findOwner(packed, maphash.Bytes(o.seed, packed))
	return i
}

// findOwner returns the owner, or none, and the first one of those with its hash.
func (o *overlay) findOwner(packed []byte, hash uint64) (found, first int32) {
	first, ok := o.byOwner[hash]
	if !ok {
		return none, none
	}
	for found = first; found != none && !bytes.Equal(o.ownerBytes(found), packed); {
		found = o.owners[found].chain
	}
	return found, first
}

// ownerBytes returns what appendOwner wrote for an owner. They move with the next append.
func (o *overlay) ownerBytes(i int32) []byte {
	w := &o.owners[i]
	return o.arena[w.off : w.off+int(w.n)]
}

// addOwner returns the index of the owner with these bytes, and makes it if need be.
func (o *overlay) addOwner(packed []byte) int32 {
	hash := maphash.Bytes(o.seed, packed)
	i, first := o.findOwner(packed, hash)
	if i != none {
		return i
	}
	i = int32(len(o.owners))
	o.owners = append(roomy(o.owners, 1), owner{off: len(o.arena), n: int32(len(packed)), first: none, chain: first})
	o.arena = append(roomy(o.arena, len(packed)), packed...)
	o.byOwner[hash] = i
	o.dead += len(packed)
	return i
}

// roomy returns s with room for n more. It doubles what append would let grow by a
// quarter: a tail is folded once, and copying it over and over would cost more than the folding.
func roomy[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return slices.Grow(s, max(n, len(s), 64))
}

// link makes the entry its owner's and the holder of its address.
func (o *overlay) link(i int32) {
	e := &o.entries[i]
	e.next = none
	if e.owner != none {
		w := &o.owners[e.owner]
		if w.first == none {
			o.dead -= int(w.n)
		}
		e.next, w.first = w.first, i
	}
	o.byAddr[e.key] = i
}

// unlink ends the entry's lease.
func (o *overlay) unlink(i int32) {
	e := &o.entries[i]
	delete(o.byAddr, e.key)
	o.dead += int(e.n)
	e.n = 0
	if e.owner == none {
		return
	}
	w := &o.owners[e.owner]
	at := &w.first
	for *at != i {
		at = &o.entries[*at].next
	}
	*at = e.next
	if w.first == none {
		o.dead += int(w.n)
	}
}

// sorted returns the entries that hold an address, in order of address.
func (o *overlay) sorted() []int32 {
	live := make([]int32, 0, len(o.byAddr))
	for i := range o.entries {
		if o.entries[i].n > 0 {
			live = append(live, int32(i))
		}
	}
	slices.SortFunc(live, func(a, b int32) int { return o.entries[a].key.compare(o.entries[b].key) })
	return live
}

// bloated reports whether compact would give back more than half of a large arena.
func (o *overlay) bloated() bool { return len(o.arena) > o.limit && o.dead > len(o.arena)/2 }

// compact rebuilds the overlay without ended leases, and without owners that have
// neither leases nor an event in the last events before now. Without it the
// replay of a long history would grow with the history instead of with the leases.
// Pages without a held address go too, unless they hide leases of a base.
func (o *overlay) compact(now journal.Seq, based bool) {
	old := *o
	o.arena, o.dead, o.entries, o.owners = nil, 0, nil, nil
	o.byAddr = make(map[key]int32, len(old.byAddr))
	o.byOwner = make(map[uint64]int32)
	moved := make([]int32, len(old.owners)) // where owners that stay are now
	for i := range old.owners {
		w := &old.owners[i]
		if w.first == none && w.seq+remembered < now {
			continue
		}
		moved[i] = o.addOwner(old.ownerBytes(int32(i)))
		o.owners[moved[i]].last, o.owners[moved[i]].seq = w.last, w.seq
	}
	for i := range old.entries {
		e := old.entries[i]
		if e.n == 0 {
			continue
		}
		e.off = len(o.arena)
		o.arena = append(roomy(o.arena, int(e.n)), old.record(int32(i))...)
		if e.owner != none {
			e.owner = moved[e.owner]
		}
		o.entries = append(roomy(o.entries, 1), e)
		o.link(int32(len(o.entries) - 1))
	}
	o.limit = 2*len(o.arena) + arenaSlack
	if !based {
		o.pages = slices.DeleteFunc(o.pages, func(p page) bool { return p.held == addrs{} })
		o.byPage = make(map[key]int32, len(o.pages))
		for i := range o.pages {
			o.byPage[o.pages[i].first] = int32(i)
		}
	}
}
