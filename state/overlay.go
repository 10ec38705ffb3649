package state

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// overlay holds what changed since the base, or everything if there is none. Its
// records and owners are bytes in two arenas: nothing of an event is kept alive, the
// garbage collector has nothing to follow, and a snapshot copies them as they are. Those of
// owners lie close together, because whether a lease is somebody's is asked far more often than what is in it.
//
// Which addresses are held is in pages of bits. A page is filled from the base when
// one of its addresses changes for the first time, or where events are trusted when
// it is asked for a free one. A bit that is clear where the base has a lease means that the lease ended.
type overlay struct {
	arena   []byte  // records
	names   []byte  // owners, as appendOwner writes them
	dead    int     // bytes of both that are ended leases or owners without leases
	limit   int     // size of both below which compact isn't worth its cost
	entries []entry // ascending by off
	owners  []owner // likewise
	index   []uint64
	seed    maphash.Seed // orders nothing that anybody sees
	pages   []page
	byPage  map[key]int32
	recent  int32   // the page that was asked for last: an event asks for one several times
	slots   []int32 // which entry holds an address, plus one; 0 = none does. See page
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
	hash  uint32
	last  journal.Kind
	seq   journal.Seq // of its newest event
}

// none ends the chains of entries, and is what is looked up in vain.
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

	// slots says where in the overlay's slots those of each slotAddrs addresses begin, plus one; 0 = there are none.
	slots [pageAddrs / slotAddrs]int32
}

// slotAddrs is how many addresses get slots at once: all of a page's would be a lot where addresses lie far apart.
const slotAddrs = 64

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
	if o.byPage != nil {
		return
	}
	o.make(0)
}

// make makes the maps with room for what n events may change.
func (o *overlay) make(n int) {
	o.index = make([]uint64, indexSize(n))
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
	p := o.page(k)
	if p == nil {
		return none, false
	}
	first := p.slots[k.lo%pageAddrs/slotAddrs]
	if first == 0 {
		return none, false
	}
	i := o.slots[first-1+int32(k.lo%slotAddrs)]
	return i - 1, i != 0
}

// hold makes an entry the one that holds its address, whose page is there; none if nothing does.
func (o *overlay) hold(k key, i int32) {
	first := &o.page(k).slots[k.lo%pageAddrs/slotAddrs]
	if *first == 0 {
		*first = int32(len(o.slots)) + 1
		o.slots = append(roomy(o.slots, slotAddrs), make([]int32, slotAddrs)...)
	}
	o.slots[*first-1+int32(k.lo%slotAddrs)] = i + 1
}

// page returns the page of k if something in it has changed.
func (o *overlay) page(k key) *page {
	k = k.page()
	if int(o.recent) < len(o.pages) && o.pages[o.recent].first == k {
		return &o.pages[o.recent]
	}
	if i, ok := o.byPage[k]; ok {
		o.recent = i
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
	i, _ := o.findOwner(packed, o.hash(packed))
	return i
}

// The index is a hash table of owners: each element has an owner's hash in the upper half and its number plus one in the
// lower, or is 0. An owner stands in the first free element from the one on that its hash says. At most half of them
// are used, and none is ever freed, so that the next owner costs one place in memory and no garbage.

func (o *overlay) hash(packed []byte) uint32 { return uint32(maphash.Bytes(o.seed, packed)) }

// indexSize is the size, a power of two, of an index of n owners with some room.
func indexSize(n int) int { return 2 << bits.Len(uint(max(n, 15))) }

// findOwner returns the owner, or none, and where in the index it is or would be.
func (o *overlay) findOwner(packed []byte, hash uint32) (found, at int32) {
	last := uint32(len(o.index) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		e := o.index[i]
		if e == 0 {
			return none, int32(i)
		}
		if w := int32(uint32(e)) - 1; uint32(e>>32) == hash && bytes.Equal(o.ownerBytes(w), packed) {
			return w, int32(i)
		}
	}
}

// reindex makes the index anew, for the owners that there are and n more.
func (o *overlay) reindex(n int) {
	size := indexSize(len(o.owners) + n)
	if size == len(o.index) {
		clear(o.index)
	} else {
		o.index = make([]uint64, size)
	}
	for i := range o.owners {
		at := o.owners[i].hash & uint32(size-1)
		for o.index[at] != 0 {
			at = (at + 1) & uint32(size-1)
		}
		o.index[at] = uint64(o.owners[i].hash)<<32 | uint64(i+1)
	}
}

// ownerBytes returns what appendOwner wrote for an owner. They move with the next append.
func (o *overlay) ownerBytes(i int32) []byte {
	w := &o.owners[i]
	return o.names[w.off : w.off+int(w.n)]
}

// ownedBy reports whether an entry is a lease of the owner with these bytes.
func (o *overlay) ownedBy(i int32, packed []byte) bool {
	w := o.entries[i].owner
	return w != none && bytes.Equal(o.ownerBytes(w), packed)
}

// addOwner returns the index of the owner with these bytes, and makes it if need be.
func (o *overlay) addOwner(packed []byte) int32 {
	hash := o.hash(packed)
	i, at := o.findOwner(packed, hash)
	if i != none {
		return i
	}
	i = int32(len(o.owners))
	o.owners = append(roomy(o.owners, 1), owner{off: len(o.names), n: int32(len(packed)), first: none, hash: hash})
	o.names = append(roomy(o.names, len(packed)), packed...)
	o.index[at] = uint64(hash)<<32 | uint64(i+1)
	o.dead += len(packed)
	if 2*len(o.owners) > len(o.index) {
		o.reindex(len(o.owners))
	}
	return i
}

// mostRoom is how much is doubled: where the old and the new copy count for as much as all the rest, growing slowly is cheaper.
const mostRoom = 8 << 20

// roomy returns s with room for n more. It doubles what append would let grow by a
// quarter: a tail is folded once, and copying it over and over would cost more than the folding.
func roomy[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return slices.Grow(s, max(n, min(len(s), mostRoom), 64))
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
	o.hold(e.key, i)
}

// unlink ends the entry's lease.
func (o *overlay) unlink(i int32) {
	e := &o.entries[i]
	o.hold(e.key, none)
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
	var live []int32
	for i := range o.entries {
		if o.entries[i].n > 0 {
			live = append(roomy(live, 1), int32(i))
		}
	}
	slices.SortFunc(live, func(a, b int32) int { return o.entries[a].key.compare(o.entries[b].key) })
	return live
}

// bloated reports whether compact would give back more than a third of a large arena.
func (o *overlay) bloated() bool { return o.bytes() > o.limit && o.dead > o.bytes()/3 }

// bytes returns how long both arenas are.
func (o *overlay) bytes() int { return len(o.arena) + len(o.names) }

// compact frees the overlay of ended leases, and of owners that have
// neither leases nor an event in the last events before now. Without it the
// replay of a long history would grow with the history instead of with the leases.
// Pages without a held address go too, unless they hide leases of a base.
//
// What stays slides down to where it has room, in the order in which it lies there already: a second
// arena would be the larger part of what a long replay takes.
func (o *overlay) compact(now journal.Seq, based bool) {
	moved := make([]int32, len(o.owners)) // where owners that stay are now
	end, stay := 0, int32(0)
	o.dead = 0
	for i, w := range o.owners {
		if w.first == none && w.seq+remembered < now {
			continue
		}
		end += copy(o.names[end:], o.ownerBytes(int32(i)))
		w.off, w.first = end-int(w.n), none
		o.owners[stay] = w
		moved[i] = stay
		stay++
		o.dead += int(w.n) // until it is linked
	}
	o.names, o.owners = o.names[:end], o.owners[:stay]
	end, stay = 0, 0
	for i, e := range o.entries {
		if e.n == 0 {
			continue
		}
		end += copy(o.arena[end:], o.record(int32(i)))
		e.off = end - int(e.n)
		if e.owner != none {
			e.owner = moved[e.owner]
		}
		o.entries[stay] = e
		stay++
	}
	o.arena, o.entries = o.arena[:end], o.entries[:stay]
	o.limit = o.bytes()*3/2 + arenaSlack
	o.reindex(len(o.owners))
	if !based {
		o.pages = slices.DeleteFunc(o.pages, func(p page) bool { return p.held == addrs{} })
		clear(o.byPage)
		for i := range o.pages {
			o.byPage[o.pages[i].first] = int32(i)
		}
	}
	o.slots = o.slots[:0]
	for i := range o.pages {
		o.pages[i].slots = [pageAddrs / slotAddrs]int32{}
	}
	for i := range o.entries {
		o.link(int32(i))
	}
}
