package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"

	"github.com/leaselog/leaselog/journal"
)

// rangesOf collects the ranges that the events of a journal record. The zero value is ready to use.
type rangesOf struct {
	all     map[journal.Range]struct{}        // that addresses were given from at any time
	hidden  bool                              // some ADD's ranges were not recorded
	configs map[journal.Seq][][]journal.Range // that could be read
	own     []journal.Range                   // that came with calls so far
	dropped bool                              // those of some call were not recorded
	changes []inForce
}

// inForce are the ranges that addresses were given from, from an add on.
type inForce struct {
	from   mark
	point  Point
	known  bool        // the add recorded them
	config journal.Seq // the last that an add named
	static [][]journal.Range
	lost   bool            // the config event could not be read, or had to leave its ranges out
	own    []journal.Range // of this and earlier calls
	part   bool            // ranges of this or an earlier call were not recorded
}

func (r *rangesOf) config(ev *journal.Event) {
	if slices.Contains(ev.Dropped, "ranges") {
		return
	}
	if r.configs == nil {
		r.configs = make(map[journal.Seq][][]journal.Range)
	}
	sets := make([][]journal.Range, len(ev.Ranges)) // the event may be read over
	for i, set := range ev.Ranges {
		sets[i] = slices.Clone(set)
	}
	r.configs[ev.Seq] = sets
	r.note(ev.Ranges)
}

func (r *rangesOf) note(sets [][]journal.Range) {
	if r.all == nil {
		r.all = make(map[journal.Range]struct{})
	}
	for _, set := range sets {
		for _, g := range set {
			r.all[g] = struct{}{}
		}
	}
}

// add takes in what an ADD says of the ranges in force.
func (r *rangesOf) add(ev *journal.Event, m mark) {
	now := inForce{from: m}
	if n := len(r.changes); n > 0 {
		was := &r.changes[n-1]
		now.config, now.static, now.lost = was.config, was.static, was.lost
	}
	static, read := r.configs[ev.Config]
	if ev.Config != 0 {
		now.config, now.static, now.lost = ev.Config, static, !read
	}
	dropped := slices.Contains(ev.Dropped, "ranges")
	r.dropped = r.dropped || dropped
	now.part = r.dropped
	now.known = !dropped && (read || ev.Config == 0 && len(ev.Ranges) > 0)
	r.hidden = r.hidden || !now.known
	if len(ev.Ranges) > 0 {
		r.note(ev.Ranges)
		for _, set := range ev.Ranges {
			for _, g := range set {
				if !slices.Contains(r.own, g) {
					r.own = append(r.own, g)
				}
			}
		}
	}
	now.own = r.own[:len(r.own):len(r.own)]
	if n := len(r.changes); n > 0 {
		if was := &r.changes[n-1]; was.from.seq == m.seq {
			r.changes = r.changes[:n-1] // the gap before it
		} else if was.known == now.known && was.config == now.config && len(was.own) == len(now.own) && was.part == now.part {
			return
		}
	}
	r.changes = append(r.changes, now)
}

// lost takes in that events before m are lost: the next add says what is in force.
func (r *rangesOf) lost(m mark) {
	r.hidden = true
	if n := len(r.changes); n > 0 {
		now := r.changes[n-1]
		now.from, now.known = m, false
		r.changes = append(r.changes, now)
	}
}

func (r *rangesOf) points(c *Clocks) {
	for i := range r.changes {
		r.changes[i].point = c.point(r.changes[i].from)
	}
}

// newest returns the events that the ranges in force rest on, 0 where there is none.
func (r *rangesOf) newest() (config, add journal.Seq) {
	n := len(r.changes)
	if n == 0 {
		return 0, 0
	}
	return r.changes[n-1].config, r.changes[n-1].from.seq
}

// state says what an address is that nobody holds.
func (f *inForce) state(ip netip.Addr) State { return f.stateIn(f.list(), ip) }

// list returns all ranges in force.
func (f *inForce) list() []journal.Range {
	return slices.Concat(append(slices.Clip(f.static), f.own)...)
}

// stateIn is state with the ranges in a list.
func (f *inForce) stateIn(ranges []journal.Range, ip netip.Addr) State {
	return stateIn(f.known, f.part || f.lost, ranges, ip)
}

// stateIn says what an address is that nobody holds by ranges that are known, or by a part of them.
func stateIn(known, partial bool, ranges []journal.Range, ip netip.Addr) State {
	if !known {
		return StateUnknown
	}
	inside := false
	for i := range ranges {
		g := &ranges[i]
		if g.Gateway == ip {
			return StateGateway
		}
		inside = inside || g.Start.Compare(ip) <= 0 && ip.Compare(g.End) <= 0
	}
	switch {
	case inside:
		return StateFree
	case partial:
		return StateUnknown
	}
	return StateNotOurs
}

// at returns the change that is in force at a position, -1 if none is yet.
func (r *rangesOf) at(seq journal.Seq) int {
	i, found := slices.BinarySearchFunc(r.changes, seq, func(f inForce, seq journal.Seq) int { return cmp.Compare(f.point.Seq, seq) })
	if !found {
		i--
	}
	return i
}

// meant returns of the changes of ranges those that a span may mean, and more before and behind them. The clocks go forward from one to
// the next in a stretch: those in between are found without looking at all.
func (h *History) meant(s *span) []inForce {
	const few = 4
	changes := h.ranges.changes
	if len(changes) <= few || s.now {
		return changes
	}
	var meant []inForce
	next := 0 // of changes, the first one that was not looked at
	for k := h.time.next(0, s); k < len(h.time.stretches); k = h.time.next(k+1, s) {
		st := &h.time.stretches[k]
		first := sort.Search(len(changes), func(i int) bool { return changes[i].point.Seq >= st.first.Seq })
		end := sort.Search(len(changes), func(i int) bool { return changes[i].point.Seq > st.last.Seq })
		of := changes[first:end]
		passed := sort.Search(len(of), func(i int) bool { m := momentIn(k, &of[i].point); return s.from <= m.hi })
		begun := sort.Search(len(of), func(i int) bool { m := momentIn(k, &of[i].point); return s.to < m.lo })
		from, to := max(next, first+passed-2), min(len(changes), first+begun+2)
		if from < to {
			meant = append(meant, changes[from:to]...)
			next = to
		}
	}
	return meant
}

// MayHold reports whether the address is, or may be, one that the network gives out:
// it is in a range that some event recorded, or not all ranges are recorded.
func (h *History) MayHold(ip netip.Addr) bool {
	if h.ranges.hidden || len(h.ranges.all) == 0 {
		return true
	}
	for g := range h.ranges.all {
		if g.Start.Compare(ip) <= 0 && ip.Compare(g.End) <= 0 {
			return true
		}
	}
	return false
}
