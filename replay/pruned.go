package replay

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// ClocksOf reads what the clocks of all events of a journal showed. Of those that were pruned it takes what is still known. It returns
// journal.ErrNewer where reading ends.
func ClocksOf(past *archive.Reader) (*Clocks, error) {
	c := &Clocks{}
	for p, err := range past.Sparse(nil, 0) {
		switch {
		case err != nil:
			return nil, err
		case p.Loss != nil:
			c.Pruned(p.Loss.Pruned().Earlier)
		case !p.Event.Understood():
			return nil, fmt.Errorf("%s: event %d: %w", p.File, p.Event.Seq, journal.ErrNewer)
		default:
			c.Add(&p.Event)
		}
	}
	return c, nil
}

// Pruned takes in that events were pruned before the next one, and what is known of their clocks.
func (c *Clocks) Pruned(earlier *journal.Earlier) {
	rows, last := c.rows, journal.Seq(0)
	c.rows = nil
	if n := len(rows); n > 0 { // genesis: time passed from it to the first one that was pruned
		last = rows[n-1].last.seq
		c.rows = []row{{first: rows[n-1].last, last: rows[n-1].last}}
	}
	for ev := range earlier.All() {
		if ev.Seq > last {
			c.Add(ev)
		}
	}
	c.pruned, c.rows = c.rows, append(rows, row{gap: true, pruned: true})
}

// goesOnPruned begins with the first event that is left after a prune.
func (r *reading) goesOnPruned(g *gap, m mark, rec *journal.Record) error {
	g.before, g.file = m, rec.File
	r.h.gaps = append(r.h.gaps, g)
	r.gap, r.st, r.head = g, nil, journal.Hash{}
	r.h.Clocks.Pruned(g.pruned.Earlier)
	if g.pruned.Earlier.Len() == 0 {
		r.h.ranges.lost(m)
	}
	if err := r.earlier(g.pruned.Earlier); err != nil {
		return err
	}
	return r.settleWith(func(s *Snapshot) bool {
		return s.Seq() == g.pruned.Pruned.Last && s.Seq() == m.seq-1 && s.Head() == g.pruned.Pruned.Head
	})
}

// earlier takes in what is known of pruned events, beside their clocks: what was so around the leases that were held after them.
func (r *reading) earlier(events *journal.Earlier) error {
	for ev := range events.All() {
		if ev.Seq <= r.last.seq {
			continue // genesis, which is there
		}
		if !ev.Understood() {
			return fmt.Errorf("event %d, of which a packed file tells: %w", ev.Seq, journal.ErrNewer)
		}
		m := mark{ev.Seq, ev.Clock}
		switch ev.Kind {
		case journal.KindConfig:
			r.h.ranges.config(ev)
		case journal.KindAdd:
			r.h.ranges.add(ev, m)
		case journal.KindDel:
			if ev.Reason == journal.ReasonGC {
				r.gc.release(m)
			}
		}
		r.settle(ev, m)
	}
	return nil
}

// began notes on a lease that a snapshot shows what is known of the event that gave it.
func (r *reading) began(d *draft, file string) {
	if r.gap == nil || r.gap.pruned == nil || d.lease.Start > r.gap.pruned.Pruned.Last {
		d.note(fmt.Sprintf("its beginning is known from %s: the event that gave it is lost", file))
		return
	}
	if d.began(file); !d.lease.Import {
		return
	}
	if ev := r.gap.pruned.Earlier.Find(d.lease.Start); ev.Kind == journal.KindImport {
		d.own().doubt, d.own().parentSeq = attribute(&ev, journal.AttributeDoubt), attribute(&ev, journal.AttributeParentSeq)
	} else if r.gap.pruned.Earlier.Len() == 0 {
		d.own().doubt = fmt.Sprintf("imported by event %d, which was pruned: it may have called the lease uncertain", d.lease.Start)
	}
}

// began notes that the event that gave a lease was pruned, and which file knows of it.
func (d *draft) began(file string) {
	d.note(fmt.Sprintf("its beginning is known from %s: the event that gave it was pruned", file))
	d.pruned = true
}

// leasesOf yields the leases of a snapshot that are kept.
func (r *reading) leasesOf(st *state.State) func(func(state.Lease, error) bool) {
	if r.addrs == nil {
		return st.Leases()
	}
	return func(yield func(state.Lease, error) bool) {
		for _, ip := range r.addrs {
			l, ok, err := st.Lease(ip)
			if err != nil {
				yield(l, err)
				return
			}
			if ok && !yield(l, nil) {
				return
			}
		}
	}
}

// prunedTimes returns the times at which pruned events stood, or the time passed from one of them to the next.
func (g *gap) prunedTimes(c *Clocks) {
	g.times = make([]stretch, 0, len(c.pruned))
	for _, r := range c.pruned {
		g.times = append(g.times, stretch{first: c.point(r.first), last: c.point(r.last)})
	}
	g.tree = newStretchTree(g.times)
}

// meetsPruned reports whether the span has a time, by a clock, at which pruned events stood.
func (g *gap) meetsPruned(s *span, clock clockOf) bool {
	for i := g.tree.next(0, s); i < len(g.times); i = g.tree.next(i+1, s) {
		t, to := &g.times[i], &g.to
		if i+1 < len(g.times) {
			to = &g.times[i+1].first
		}
		begin, end := clock(&t.first), clock(&t.last)
		if next := clock(to); next >= end { // the last of them was so until then
			end = next - 1
		}
		if s.to >= begin && s.from <= end {
			return true
		}
	}
	return g.after.seq != 0 && s.inside(clock(&g.from), clock(&g.to))
}

// near reports whether the span may mean a time at which events stood that are not there, within the error of the clocks.
func (g *gap) near(s *span) bool {
	switch {
	case s.now:
		return false
	case g.pruned == nil: // before the first event that is there, nothing is covered
		return s.nearly(&g.from, &g.to) && (g.after.seq != 0 || s.from >= effective(&g.to))
	}
	for i := g.tree.next(0, s); i < len(g.times); i = g.tree.next(i+1, s) {
		t, to := &g.times[i], &g.to
		if i+1 < len(g.times) {
			to = &g.times[i+1].first
		}
		begin := effective(&t.first) - int64(t.first.MaxError)
		end := max(effective(&t.last)+int64(t.last.MaxError), effective(to)+int64(to.MaxError))
		if s.to >= begin && s.from < end {
			return true
		}
	}
	return s.from < effective(&g.to)+int64(g.to.MaxError) && s.to >= effective(&g.to)
}

// beside reports whether only the error of the clocks lets the span mean such a time.
func (g *gap) beside(s *span) bool { return g.near(s) && !g.meets(s) }

// prunedPart is what one prune removed, in words and by the times of the events around.
type prunedPart struct {
	from, to int64 // both included
	text     string
}

func (g *gap) prunedParts() {
	parts := g.pruned.Parts()
	for i := range parts {
		p := &parts[i]
		from, to := g.from.Effective, g.to.Effective
		if i > 0 {
			from = time.Unix(0, parts[i-1].LastWall).UTC()
		}
		if i+1 < len(parts) {
			to = time.Unix(0, parts[i+1].FirstWall).UTC()
		}
		text := fmt.Sprintf("events %d to %d were %s, between %s and %s", p.First, p.Last, p.Error(), from.Format(timeLayout), to.Format(timeLayout))
		g.parts = append(g.parts, prunedPart{from.UnixNano(), to.UnixNano(), text})
	}
}

// toldOf says what is lost that a span meets, and when that was: of what was pruned, by the prunes that removed it.
func (g *gap) toldOf(s *span) string {
	var texts []string
	for i := range g.parts {
		if p := &g.parts[i]; s.from <= p.to && s.to >= p.from {
			texts = append(texts, p.text)
		}
	}
	if len(texts) == 0 || len(texts) == len(g.parts) || len(texts) > 2 {
		return g.told
	}
	return strings.Join(texts, "; ")
}

// nearLost returns what is to be said of a span so near to what was pruned or lost, "" if it is not. The phases are of the address
// that is asked about: snapshots may show that it was held where events are lost. They are nil if all addresses are meant.
func (h *History) nearLost(s *span, phases []phase) string {
	for _, g := range h.gaps {
		near := g.beside(s)
		if g.pruned == nil && phases != nil && (g.after.seq != 0 || s.from >= effective(&g.to)) {
			near = h.besideLost(g, s, phases)
		}
		switch {
		case near && g.pruned != nil:
			return "a moment before, within the error of the clocks, it is unknown: " + g.toldOf(s)
		case near:
			return momentOff + g.toldOf(s)
		}
	}
	return ""
}

// besideLost reports whether only the error of the clocks lets the span lie where nothing tells what the address was.
func (h *History) besideLost(g *gap, s *span, phases []phase) bool {
	return !s.now && h.lostTo(phases, g, s.nearly) && !h.lostTo(phases, g, s.between)
}

// Pruned says in words what was pruned of the history, "" if nothing was.
func (h *History) Pruned() string {
	for _, g := range h.gaps {
		if g.pruned != nil {
			return g.lostEvents() + ", " + g.bounds()
		}
	}
	return ""
}

// MeansPruned reports whether a question about a time, or what came after it, may be about events that were pruned. The zero
// time is the journal's beginning.
func (h *History) MeansPruned(from time.Time) bool {
	s := h.span(Asked{From: from})
	return slices.ContainsFunc(h.gaps, func(g *gap) bool { return g.pruned != nil && (g.meets(&s) || g.near(&s)) })
}

// meetsPruned reports whether a question may be about a time at which events stood that were pruned.
func (c *Clocks) meetsPruned(q Asked, gone *journal.Loss) bool {
	t := c.timeline()
	if q.Now || len(t.stretches) < 2 || len(c.pruned) == 0 {
		return !q.Now
	}
	g := gap{pruned: gone.Pruned(), from: t.stretches[0].last, to: t.stretches[1].first, after: c.rows[0].last}
	g.prunedTimes(c)
	s := t.span(q)
	return g.meets(&s) || g.near(&s)
}

// readPruned is readPart for an instant at which all that may be meant was pruned: the keyframe behind that tells who held something
// then and on, and nothing tells of the others. It returns nil for other instants, and where that is not enough.
func readPruned(past *archive.Reader, o Options, on journal.Seq) (*History, error) {
	gone, err := past.Pruned()
	if err != nil || gone == nil || !o.partly() || !o.Clocks.meetsPruned(o.Asked[0], gone) {
		return nil, err
	}
	if first, _, err := o.Clocks.bounds(o.Asked[0], past.Clock); err != nil || first != 0 {
		return nil, err
	}
	k, err := past.Boundary()
	if err != nil || k.Snapshot == nil {
		return nil, err
	}
	defer k.Close()
	o.sparse, o.Snapshots = true, []Snapshot{{k.Snapshot, k.File}}
	p := &part{past: past, alone: make(map[netip.Addr]bool), first: 1, last: gone.Last, on: on, gone: gone.Last}
	r := &reading{Options: o, h: &History{part: true}, open: make(map[netip.Addr]*draft), part: p}
	if err := r.tellers(); err != nil {
		return nil, err
	}
	if ok, err := r.behind(gone.Last); err != nil || !ok {
		return nil, err
	}
	r.finish()
	return r.whole()
}

// behind folds the first event that is left, those of its boot if they are few, and the ends of what is open there. It returns
// false if it came upon something for which all must be read.
func (r *reading) behind(gone journal.Seq) (bool, error) {
	if err := r.base(); err != nil {
		return false, err
	}
	bound := gone + 1
	for p, err := range r.part.past.Left(0) {
		if err != nil {
			return false, err
		}
		if p.Loss == nil && p.Event.Seq == bound {
			if end := r.Clocks.lastOf(p.Event.Boot).seq; end > bound && end-bound <= r.part.on {
				bound = end
			}
		}
		if err := r.piece(&p); err != nil {
			return false, err
		}
		if r.last.seq >= bound {
			break
		}
	}
	if r.last.seq < bound || r.gap != nil || len(r.h.odds) > 0 {
		return false, nil
	}
	for _, d := range r.done {
		r.lookAlone(d)
	}
	for _, d := range r.open {
		r.lookAlone(d)
	}
	r.annotations(gone)
	if err := r.ends(r.part.past.Ends(r.last.seq), r.Clocks.lastOf(r.last.clock.Boot).seq); err != nil {
		return false, err
	}
	r.last = r.Clocks.rows[len(r.Clocks.rows)-1].last
	return len(r.part.alone) <= aloneAtMost, nil
}

// lookAlone has a lease's events looked for if that is an import: what is said against one may stand anywhere.
func (r *reading) lookAlone(d *draft) {
	if d.lease.Import {
		r.part.alone[d.lease.IP] = true
	}
}

// ReadLeft is ReadPieces of the events that are left after a prune, or of all, up to damage.
func ReadLeft(past *archive.Reader, pieces iter.Seq2[journal.Piece, error], o Options) (*History, error) {
	k, err := past.Boundary()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	if k.Snapshot != nil {
		o.Snapshots = append(slices.Clone(o.Snapshots), Snapshot{k.Snapshot, k.File})
	}
	return ReadPieces(pieces, o)
}

// CountsLeft are the Counts that counting begins with where events were pruned: of them only how many leases were held is known.
// They are zero where none were.
func CountsLeft(past *archive.Reader) (Counts, error) {
	gone, err := past.Pruned()
	if gone == nil || err != nil {
		return Counts{}, err
	}
	k, err := past.Boundary()
	if err != nil {
		return Counts{}, err
	}
	defer k.Close()
	if k.Snapshot == nil {
		return Counts{}, gone.Error("")
	}
	c := Counts{Seq: gone.Last, Head: k.Snapshot.Head(), Held: uint64(k.Snapshot.Len())}
	for ev := range gone.Pruned().Earlier.All() {
		if ev.Kind == journal.KindAdd {
			c.LastAdd = ev.Seq
		}
	}
	return c, nil
}

// ReadAbout reads what the journal tells of some addresses, and what every answer needs.
func ReadAbout(past *archive.Reader, addrs []netip.Addr, o Options) (*History, error) {
	wanted := make(map[netip.Addr]bool, len(addrs))
	for _, ip := range addrs {
		wanted[ip] = true
	}
	o.sparse, o.addrs, o.Keep = true, addrs, func(l *state.Lease) bool { return wanted[l.IP] }
	return ReadLeft(past, past.Sparse(addrs, 0), o)
}
