package replay

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sort"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

const (
	// aloneAtMost is of how many leases the events are looked for one by one.
	aloneAtMost = 64
	// readOn is how many events are read rather than only looked through for ends.
	readOn = 10_000
)

// part is how a part of a journal is read.
type part struct {
	past  *archive.Reader
	file  func(journal.Seq) string
	alone map[netip.Addr]bool // whose events have to be looked for

	first, last journal.Seq // bounds of what is asked about
	on          journal.Seq // see readOn
	gone        journal.Seq // up to this event all but genesis were pruned

	tell []journal.Event // imports and annotations, of all that is there
}

// ReadPart is ReadPieces for the table of one instant, At, which Asked and Clocks must give: of the events it reads those
// between the newest snapshot before, or genesis, and the last one that may be meant, imports and annotations, and what tells how leases
// ended. It returns nil where an answer needs more than that: then all is to be read. Only At and Claimed are right for what it returns, the
// latter for imports that may tell of the instant.
func ReadPart(past *archive.Reader, o Options) (*History, error) { return readPart(past, o, readOn) }

func readPart(past *archive.Reader, o Options, on journal.Seq) (*History, error) {
	if h, err := readPruned(past, o, on); h != nil || err != nil {
		return h, partial(err)
	}
	if !o.partly() {
		return nil, nil
	}
	first, last, err := o.Clocks.bounds(o.Asked[0], past.Clock)
	if err != nil {
		return nil, partial(err)
	}
	gone, err := past.Pruned()
	if err != nil || gone != nil && o.Clocks.meetsPruned(o.Asked[0], gone) {
		return nil, partial(err)
	}
	p := &part{past: past, alone: make(map[netip.Addr]bool), first: first, last: last, on: on}
	r := &reading{Options: o, h: &History{part: true}, open: make(map[netip.Addr]*draft), part: p}
	if err := r.tellers(); err != nil {
		return nil, partial(err)
	}
	k, err := past.Keyframe(first)
	if err != nil {
		return nil, partial(err)
	}
	defer k.Close()
	if len(k.Skipped) > 0 || k.Snapshot == nil && gone != nil && first > 0 {
		return nil, nil
	}
	if gone != nil {
		p.gone = gone.Last
	}
	if p.file, err = past.Files(); err != nil {
		return nil, err
	}
	r.Base = k.Snapshot // without one, all is read from genesis on; nothing if no clock showed the time
	ok, err := r.between(last)
	if err != nil || !ok {
		return nil, partial(err)
	}
	r.finish()
	return r.whole()
}

// partly reports whether a part of the journal may be enough for an answer.
func (o *Options) partly() bool {
	return o.Clocks != nil && len(o.Asked) == 1 && !o.Wiped && o.Clocks.plain()
}

// tellers reads what tells of leases wherever they were: genesis, imports and annotations.
func (r *reading) tellers() error {
	for rec, err := range r.part.past.Records(0) {
		if err != nil {
			return err
		}
		r.genesis = mark{rec.Event.Seq, rec.Event.Clock}
		r.h.Origin, r.lost = rec.Event.Origin, attribute(&rec.Event, journal.AttributeLost)
		break
	}
	if r.lost != "" && r.lost != "0" {
		r.settled = r.Clocks.settled
	}
	kinds := []journal.Kind{journal.KindImport, journal.KindAnnotate}
	if !slices.ContainsFunc(kinds, func(k journal.Kind) bool { return r.Clocks.kinds[k] || r.part.past.HasKind(k) }) {
		return nil
	}
	for rec, err := range r.part.past.OfKinds(kinds...) {
		if err != nil {
			return err
		}
		if !rec.Event.Understood() {
			return fmt.Errorf("%s: event %d: %w", rec.File, rec.Event.Seq, journal.ErrNewer)
		}
		r.part.tell = append(r.part.tell, rec.Event)
	}
	return nil
}

// partial lets damage be met by the reading of all.
func partial(err error) error {
	if stops(err) {
		return nil
	}
	return err
}

// plain reports whether the events of each boot stand together, and none are lost: then what is known of a boot that is over
// doesn't depend on when it is asked.
func (c *Clocks) plain() bool {
	seen := make(map[journal.BootID]bool)
	rows := c.rows
	if len(c.pruned) > 0 {
		rows = slices.Concat(c.pruned, c.rows[1:]) // both begin with genesis
	}
	for i := range rows {
		boot := rows[i].first.clock.Boot
		if rows[i].gap && !rows[i].pruned || seen[boot] && rows[i-1].first.clock.Boot != boot {
			return false
		}
		seen[boot] = true
	}
	return len(rows) > 0 && rows[0].first.seq == 1
}

// bounds returns events between which all positions lie that q may mean: at the first of them or behind it, and before the
// last, unless that is the journal's. They are 0 if there are none.
func (c *Clocks) bounds(q Asked, clock func(journal.Seq) (journal.Clock, error)) (first, last journal.Seq, err error) {
	t := c.timeline()
	s := t.span(q)
	if len(t.stretches) == 0 {
		return 0, 0, nil
	}
	at := func(seq journal.Seq) Point {
		known, e := clock(seq)
		if e != nil {
			err = e
		}
		return c.Point(seq, known)
	}
	t.portions(&t.stretches[0].first, nil, func(p portion) {
		var m met
		if m.add(&s, &p, [2]bool{}); !m.candidate && !m.possible {
			return
		}
		from, to := p.from.Seq, p.from.Seq
		if p.to != nil {
			to = p.to.Seq
		}
		if n := int(to - from); n > 1 { // both clocks go forward from event to event
			begin := sort.Search(n, func(i int) bool { e := at(from + journal.Seq(i) + 1); return !before(&e, s.from) })
			end := sort.Search(n, func(i int) bool { e := at(from + journal.Seq(i)); return after(&e, s.to) })
			from, to = from+journal.Seq(min(begin, n-1)), from+journal.Seq(end)
			to = max(to, from+1)
		}
		if first == 0 || from < first {
			first = from
		}
		last = max(last, to)
	})
	return first, last, err
}

// before and after report whether an event is before or after an instant for certain.
func before(p *Point, at int64) bool {
	return at != math.MinInt64 && effective(p)+int64(p.MaxError) < at && recorded(p) < at
}

func after(p *Point, at int64) bool {
	return at != math.MaxInt64 && effective(p)-int64(p.MaxError) > at && recorded(p) > at
}

// between folds the events from the snapshot, or genesis, up to event last, and the ends of what is open there. It returns false if it
// came upon something for which all must be read.
func (r *reading) between(last journal.Seq) (bool, error) {
	if err := r.base(); err != nil {
		return false, err
	}
	k := r.last
	r.st, r.head = nil, journal.Hash{} // looking an address up in a keyframe takes long: what can't be is odd, see below
	r.h.base, r.first, r.boot = 0, r.Clocks.rows[0].first, k.clock.Boot
	if k.seq > 0 {
		r.h.Clocks.Add(&journal.Event{Seq: k.seq, Clock: k.clock})
	}
	r.gc = r.Clocks.gcBefore(k.seq)
	for _, d := range r.open {
		r.imported(d)
	}
	if len(r.part.alone) > aloneAtMost {
		return false, nil
	}
	bound := last
	if k.seq < last {
		m, err := r.part.past.Clock(last)
		if err != nil {
			return false, err
		}
		if end := r.Clocks.lastOf(m.Boot).seq; end-last <= r.part.on {
			bound = end
		}
		for rec, err := range r.part.past.Records(k.seq) {
			if err != nil {
				return false, err
			}
			if err := r.event(&rec); err != nil {
				return false, err
			}
			if rec.Event.Seq >= bound {
				break
			}
		}
	}
	if r.last.seq < last || len(r.h.odds) > 0 {
		return false, nil
	}
	r.annotations(k.seq)
	if err := r.ends(r.part.past.Ends(r.last.seq), r.Clocks.lastOf(r.last.clock.Boot).seq); err != nil {
		return false, err
	}
	r.last = r.Clocks.rows[len(r.Clocks.rows)-1].last
	return len(r.part.alone) <= aloneAtMost, nil
}

// imported takes over what the event says against a lease that a snapshot shows. Where that was pruned, the address is looked for.
func (r *reading) imported(d *draft) {
	if !d.lease.Import {
		return
	}
	i, ok := slices.BinarySearchFunc(r.part.tell, d.lease.Start, func(ev journal.Event, seq journal.Seq) int { return cmp.Compare(ev.Seq, seq) })
	if !ok {
		r.part.alone[d.lease.IP] = true
		return
	}
	d.imported(&r.part.tell[i])
}

// annotations has the addresses looked for of which leases may have been annotated by events up to after, which the snapshot covers,
// or by such as were not read.
func (r *reading) annotations(after journal.Seq) {
	type lease struct {
		ip    netip.Addr
		owner string
	}
	begun := make(map[lease]journal.Seq) // the first one of them
	note := func(d *draft) {
		l := lease{d.lease.IP, d.lease.ContainerID}
		if seq, ok := begun[l]; !ok || d.lease.Start < seq {
			begun[l] = d.lease.Start
		}
	}
	for _, d := range r.done {
		note(d)
	}
	for _, d := range r.open {
		note(d)
	}
	for i := range r.part.tell {
		ev := &r.part.tell[i]
		if ev.Kind != journal.KindAnnotate || ev.Seq > after && ev.Seq <= r.last.seq {
			continue
		}
		for _, a := range ev.Addresses {
			if seq, ok := begun[lease{a.IP, ev.ContainerID}]; ok && seq < ev.Seq {
				r.part.alone[a.IP] = true
			}
		}
	}
}

// claims has the history name the addresses of imports behind the first position that may be meant, or that the journal doesn't reach back to:
// others tell nothing of it.
func (r *reading) claims() *History {
	r.h.claimed = nil
	for i := range r.part.tell {
		ev := &r.part.tell[i]
		if ev.Kind != journal.KindImport || ev.Seq <= r.part.first || attribute(ev, journal.AttributeParentSeq) != "" {
			continue
		}
		for _, a := range ev.Addresses {
			r.h.claimed = append(r.h.claimed, a.IP)
		}
	}
	return r.h
}

// ends ends leases that are open as later events of the same boot did, if that says something of their use before. That of a
// lease which the runtime released, or that was held until its boot was over, is not in doubt before the boot's last event.
func (r *reading) ends(all iter.Seq2[archive.End, error], last journal.Seq) error {
	if r.last.seq >= last {
		return nil
	}
	var gc mark // to be taken in
	for e, err := range all {
		if err != nil {
			return err
		}
		if e.Seq > last {
			return nil
		}
		m := mark{e.Seq, e.Clock}
		if gc.seq != 0 && gc.seq != m.seq {
			r.gc.release(gc)
			gc = mark{}
		}
		if e.Kind == journal.KindDel && e.Reason == journal.ReasonGC {
			gc = m
		}
		d := r.open[e.IP]
		switch {
		case d == nil:
		case e.Start == d.lease.Start:
			delete(r.open, e.IP)
			ev := journal.Event{Seq: e.Seq, Clock: e.Clock, Kind: e.Kind, Reason: e.Reason}
			r.end(d, m, &ev)
			d.released = e.Kind == journal.KindRelease
			r.finished(d)
		case e.Start == 0 && d.lease.Start < e.Since && e.Owner == archive.OwnerHash(d.lease.ContainerID):
			r.part.alone[e.IP] = true
		}
	}
	return nil
}

// whole replaces what is known of some addresses by what all their events tell.
func (r *reading) whole() (*History, error) {
	h, alone := r.claims(), r.part.alone
	if len(alone) == 0 {
		return h, nil
	}
	addrs := slices.SortedFunc(maps.Keys(alone), netip.Addr.Compare)
	full, err := ReadAbout(r.part.past, addrs, Options{})
	if err != nil || full.Stopped != nil {
		return nil, partial(err)
	}
	h.Intervals = slices.DeleteFunc(h.Intervals, func(iv Interval) bool { return alone[iv.Lease.IP] })
	h.Intervals = append(h.Intervals, full.Intervals...)
	h.sort()
	return h, nil
}
