package replay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// gap is a row of lost events with what is known behind it.
type gap struct {
	after, before mark   // the events around it; after.seq is 0 where none is before
	from, to      Point  // the same once times are known
	file          string // that holds the event behind it
	cause         error
	damage        error                      // where nothing behind it can be read
	settled       map[netip.Addr]journal.Seq // by which event behind the gap it is known again what an address is
	resolved      mark                       // from this event on all is known; its seq is 0 if it isn't
	known         Point
	pruned        *journal.Pruning // the events were pruned; nil if they are lost
	times         []stretch        // then what is known of their times
	tree          *stretchTree     // of times
	told          string           // what is lost, and when that was
	parts         []prunedPart     // then what each prune removed
}

// loses takes in that events are lost.
func (r *reading) loses(l *journal.Loss) {
	if l.Last < l.First && !l.Open {
		r.h.notes = append(r.h.notes, fmt.Sprintf("%d bytes of %s at byte %d can't be read: no event is missing there", l.Bytes, l.File, l.Offset))
		return
	}
	cause := fmt.Errorf("%s: %w", l.File, l.Cause)
	if l.Offset >= 0 {
		cause = fmt.Errorf("%s, byte %d: %w", l.File, l.Offset, l.Cause)
	}
	if l.File == "" {
		cause = l.Cause
	}
	if r.h.pending != nil {
		r.h.pending.cause = fmt.Errorf("%w; %w", r.h.pending.cause, cause)
		return
	}
	r.h.pending = &gap{after: r.last, cause: cause, damage: l.Error(""), settled: make(map[netip.Addr]journal.Seq), pruned: l.Pruned()}
}

// goesOn begins behind a gap with the first record that can be read: no address is known there.
func (r *reading) goesOn(m mark, rec *journal.Record) error {
	g := r.h.pending
	r.h.pending = nil
	if g.pruned != nil {
		return r.goesOnPruned(g, m, rec)
	}
	g.before, g.file = m, rec.File
	r.h.gaps = append(r.h.gaps, g)
	r.gap, r.st, r.head = g, nil, journal.Hash{}
	r.h.Clocks.Lost()
	r.h.ranges.lost(m)
	r.lostBehind(g)
	if err := r.within(g); err != nil {
		return err
	}
	return r.settleWith(func(s *Snapshot) bool { return s.Seq() == m.seq-1 && s.Head() == rec.Event.Prev })
}

// lostBehind notes that nothing shows any more that what is open still is.
func (r *reading) lostBehind(g *gap) {
	for _, d := range r.open {
		if !d.unsettled {
			d.unsettled, d.own().seen = true, g.after
		}
	}
}

// within takes over what the newest snapshot tells that was taken within the gap: which leases had ended by then, and
// which others were held.
func (r *reading) within(g *gap) error {
	var newest *Snapshot
	for i := range r.Snapshots {
		s := &r.Snapshots[i]
		if g.after.seq > s.Seq() || s.Seq() >= g.before.seq-1 || newest != nil && s.Seq() < newest.Seq() {
			continue
		}
		whole, err := r.intact(s)
		if err != nil {
			return err
		}
		if whole {
			newest = s
		}
	}
	if newest == nil {
		return nil
	}
	st := state.Over(newest.Snapshot)
	shown := mark{newest.Seq(), st.LastClock()}
	for l, err := range st.Leases() {
		if err != nil {
			return err
		}
		d := r.open[l.IP]
		switch {
		case !r.keeps(&l):
		case d != nil && d.lease.Start == l.Start:
			d.own().seen, d.own().sure = shown, shown
		default:
			if d != nil {
				r.loseEnd(d)
			}
			d = newDraft(&l, newest.File)
			d.unsettled, d.own().seen, d.own().sure = true, shown, shown
			r.open[l.IP] = d
		}
	}
	for _, d := range r.open {
		if d.seen != shown {
			r.loseEnd(d)
		}
	}
	return nil
}

// settleBySnapshot looks whether a snapshot tells what is held after the event that was just taken in.
func (r *reading) settleBySnapshot() error {
	if r.gap == nil {
		return nil
	}
	return r.settleWith(func(s *Snapshot) bool {
		return s.Seq() == r.last.seq && (r.head == (journal.Hash{}) || r.head == s.Head())
	})
}

// settleWith takes over what a snapshot tells that is the one wanted and is whole, if there is any.
func (r *reading) settleWith(wanted func(*Snapshot) bool) error {
	for i := range r.Snapshots {
		s := &r.Snapshots[i]
		if !wanted(s) {
			continue
		}
		whole, err := r.intact(s)
		if err != nil {
			return err
		}
		if whole {
			return r.settleAt(*s)
		}
	}
	return nil
}

// intact reports whether all of a snapshot can be read. One that is damaged is told, and passed over: events tell the rest. Who asks about some
// addresses alone reads what it needs, and where that is damaged the whole journal is read.
func (r *reading) intact(s *Snapshot) (bool, error) {
	if r.sparse {
		return true, nil
	}
	err := s.Verify()
	if _, damaged := errors.AsType[*journal.CorruptionError](err); !damaged {
		return err == nil, err
	}
	if note := fmt.Sprintf("a snapshot is of no use: %v", err); !slices.Contains(r.h.notes, note) {
		r.h.notes = append(r.h.notes, note)
	}
	return false, nil
}

// settleAt takes over what a snapshot tells: with it, all is known from the first event behind the gap on.
func (r *reading) settleAt(s Snapshot) error {
	st := state.Over(s.Snapshot)
	for l, err := range r.leasesOf(st) {
		if err != nil {
			return err
		}
		r.shown(&l, s, st.LastClock())
	}
	for _, d := range r.open {
		if d.unsettled {
			r.loseEnd(d)
		}
	}
	r.gap.resolve(r.gap.before)
	r.gap = nil
	if !r.sparse {
		r.st, r.head = st, s.Head()
	}
	return nil
}

// shown takes over a lease of a snapshot.
func (r *reading) shown(l *state.Lease, s Snapshot, at journal.Clock) {
	if !r.keeps(l) {
		return
	}
	for i, g := range r.h.gaps {
		if l.Start <= g.before.seq {
			g.settle(l.IP, l.Start)
		}
		if l.Start == g.after.seq+1 && i > 0 && r.h.gaps[i-1].resolved.seq == 0 { // nothing is lost between the gap before and the event that gave it
			r.h.gaps[i-1].settle(l.IP, l.Start)
		}
	}
	d := r.open[l.IP]
	switch {
	case d != nil && d.lease.Start == l.Start:
		d.unsettled, d.own().sure = false, mark{s.Seq(), at}
		return
	case d != nil && d.fromGap && l.Start < d.lease.Start: // the same lease, whose beginning was lost until now
	case d != nil && l.Start > d.lease.Start:
		r.givenAgain(d, l.Start)
	case d != nil && d.unsettled:
		r.loseEnd(d)
	case d != nil:
		return // a later event gave it: the snapshot can't know another
	}
	fresh := newDraft(l, s.File)
	fresh.own().sure = mark{s.Seq(), at}
	r.began(fresh, s.File)
	r.open[l.IP] = fresh
}

// givenAgain ends an interval whose address a lost event gave again, if to the same owner: it may have been taken to go on through
// the gap.
func (r *reading) givenAgain(d *draft, start journal.Seq) {
	for _, g := range r.h.gaps {
		if g.after.seq >= start || start >= g.before.seq || d.unsettled && d.seen.seq < start {
			continue
		}
		last := g.after
		if d.sure.seq > last.seq {
			last = d.sure
		}
		d.unsettled, d.own().seen = true, last
		d.own().notes = slices.DeleteFunc(d.notes, func(note string) bool { return note == g.through() })
	}
	r.loseEnd(d)
}

// settle notes that an event tells what an address is behind the gap.
func (g *gap) settle(ip netip.Addr, seq journal.Seq) {
	if g == nil {
		return
	}
	if _, ok := g.settled[ip]; !ok {
		g.settled[ip] = seq
	}
}

// resolve notes from which event on all is known.
func (g *gap) resolve(m mark) {
	if g != nil {
		g.resolved = m
	}
}

// unsettledAt reports whether no event behind the gap has told yet what an address is.
func (g *gap) unsettledAt(ip netip.Addr) bool {
	if g == nil {
		return false
	}
	_, ok := g.settled[ip]
	return !ok
}

func (g *gap) points(c *Clocks) {
	if g.after.seq != 0 {
		g.from = c.point(g.after)
	}
	g.to = c.point(g.before)
	if g.resolved.seq != 0 {
		g.known = c.point(g.resolved)
	}
	if g.pruned != nil {
		g.prunedTimes(c)
	}
	g.told = fmt.Sprintf("%s, %s", g.lostEvents(), g.bounds())
	if g.pruned != nil && g.after.seq != 0 {
		g.prunedParts()
	}
}

// lostEvents names the events that are lost.
func (g *gap) lostEvents() string {
	if g.pruned != nil {
		return fmt.Sprintf("events %d to %d were %v", g.after.seq+1, g.before.seq-1, g.pruned)
	}
	if first, last := g.after.seq+1, g.before.seq-1; first < last {
		return fmt.Sprintf("events %d to %d are lost (%v)", first, last, g.cause)
	}
	return fmt.Sprintf("event %d is lost (%v)", g.after.seq+1, g.cause)
}

// bounds says when the gap was.
func (g *gap) bounds() string {
	if g.after.seq == 0 {
		return "before " + g.to.Effective.Format(timeLayout)
	}
	return fmt.Sprintf("between %s and %s", g.from.Effective.Format(timeLayout), g.to.Effective.Format(timeLayout))
}

// through is said of a lease that events on both sides of the gap speak of.
func (g *gap) through() string {
	return fmt.Sprintf("%s within it: it may have been given up and given again meanwhile", g.lostEvents())
}

// begins is said of a lease whose beginning is lost.
func (g *gap) begins() string {
	return fmt.Sprintf("it began before event %d: %s", g.before.seq, g.lostEvents())
}

// unsettled returns the row of positions behind the gap at which nothing tells what an address is, and false if there
// are none. Of the zero address it returns those at which not everything is known.
func (h *History) unsettled(i int, ip netip.Addr) (from Point, to *Point, ok bool) {
	g := h.gaps[i]
	if _, settled := g.settled[ip]; settled || g.resolved.seq == g.before.seq {
		return Point{}, nil, false
	}
	return g.to, h.settledAt(i), true
}

// settledAt returns from where on all is known behind the gap, or where the next gap begins; nil if it is never known.
func (h *History) settledAt(i int) *Point {
	g := h.gaps[i]
	switch {
	case g.resolved.seq != 0:
		return &g.known
	case i+1 < len(h.gaps):
		return &Point{Seq: h.gaps[i+1].after.seq + 1}
	}
	return nil
}

// meets reports whether the span has a time within the gap by some clock.
func (g *gap) meets(s *span) bool {
	if s.now {
		return false
	}
	return slices.ContainsFunc(clocks[:], func(clock clockOf) bool { return g.meetsBy(s, clock) })
}

func (g *gap) meetsBy(s *span, clock clockOf) bool {
	if g.pruned != nil {
		return g.meetsPruned(s, clock)
	}
	return g.after.seq != 0 && s.inside(clock(&g.from), clock(&g.to))
}

// sureIn returns the positions in the gap at which a snapshot shows that the lease was held: up to the event behind the gap,
// or up to the snapshot if that was taken within it.
func (iv *Interval) sureIn(g *gap) []portion {
	p := portion{from: &g.from, to: &g.to, own: true}
	if iv.Start.Seq > g.after.seq {
		p.from, p.own = &iv.Start, iv.Start.Seq+1 != g.before.seq
	}
	switch {
	case p.from.Seq == 0 || iv.sure.Seq < p.from.Seq || iv.Start.Seq >= g.before.seq:
		return nil
	case iv.sure.Seq+1 >= g.before.seq:
		return []portion{p}
	case iv.sure.Seq == p.from.Seq:
		return []portion{{from: &iv.sure}}
	}
	p.to = &iv.sure
	return []portion{p, {from: &iv.sure, own: true}}
}

// between reports whether the span has a time between two events by some clock. The first one may be none.
func (s *span) between(a, b *Point) bool {
	return a.Seq != 0 && slices.ContainsFunc(clocks[:], func(clock clockOf) bool { return s.inside(clock(a), clock(b)) })
}

// inside reports whether the span has a time between two others, which are not meant.
func (s *span) inside(begin, end int64) bool { return begin < end && s.to > begin && s.from < end }
