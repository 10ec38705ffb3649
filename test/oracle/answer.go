package oracle

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Question asks about an instant, with a skew about the span around it.
type Question struct {
	At, Skew int64 // nanoseconds
	Now      bool  // without --at; At is the store's now then
}

// span returns the first and the last instant that the question is about.
func (q Question) span() (lo, hi int64) {
	if q.Now {
		return q.At, q.At
	}
	return q.At - q.Skew, q.At + q.Skew
}

// Holder is a lease that is part of an answer.
type Holder struct {
	*Interval
	Certain bool  // it is held at a candidate, and its use is certain at all of them
	Always  bool  // held at all candidates and possible positions
	Overlap int64 // how long it was held within the span, by effective time
}

// Answer is who held an address.
type Answer struct {
	State     State
	Holders   []Holder
	Several   bool        // more than one holder
	Uncertain bool        // the answer may be another one
	Named     []*Interval // that by some clock ended before they began, or in no time, and are no holders
}

// Exit is the exit code that the answer has.
func (a *Answer) Exit() int {
	switch {
	case a.State == Unknown:
		return 3
	case a.Several || a.Uncertain:
		return 2
	case a.State == Held:
		return 0
	}
	return 1
}

// Past answers about one store.
type Past struct {
	Store   *Store
	events  []journal.Event
	stamps  []stamp // of the events
	covered int64
	ranges  []ranges // in force at each event
	columns map[netip.Addr]*column
}

// column is what is known of one address.
type column struct {
	leases []*Interval
	row    []place
}

// NewPast makes ready to answer. The store has at least one event, and must not change any more.
func NewPast(s *Store) *Past {
	p := &Past{Store: s, events: s.Events, stamps: stamps(s.Events), columns: map[netip.Addr]*column{}}
	p.covered = p.stamps[len(p.stamps)-1].effective
	if s.Live {
		p.covered = s.Now
	}
	for i := range s.Events {
		p.ranges = append(p.ranges, inForce(s.Events, i))
	}
	return p
}

func (p *Past) column(ip netip.Addr) *column {
	c := p.columns[ip]
	if c == nil {
		c = &column{}
		c.row, c.leases = leases(p.Store, ip)
		open(p.Store, c.row, p.covered)
		p.columns[ip] = c
	}
	return c
}

// Intervals returns the history of an address, oldest first.
func (p *Past) Intervals(ip netip.Addr) []*Interval { return p.column(ip).leases }

// Times returns the instants at which answers may change: those of each event by both clocks and with the errors of
// their clocks, and the end of what is covered.
func (p *Past) Times() []int64 {
	out := []int64{p.covered}
	add := func(t stamp) {
		out = append(out, t.effective, t.recorded, t.effective-t.bound, t.effective+t.bound)
	}
	for _, t := range p.stamps {
		add(t)
	}
	for _, snap := range p.Store.Snapshots {
		for _, known := range snap.Leases {
			add(stampOf(p.events, known.Clock))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Effective returns the effective time of an event; false if it is lost.
func (p *Past) Effective(seq journal.Seq) (t int64, read bool) {
	for i := range p.events {
		if p.events[i].Seq == seq {
			return p.stamps[i].effective, true
		}
	}
	return 0, false
}

// Lease returns the lease that held the address at the position of an event; nil if none did, or none is known.
func (p *Past) Lease(ip netip.Addr, event int) (l *Interval, known bool) {
	for _, at := range p.column(ip).row {
		if at.event == event {
			return at.held, at.known
		}
	}
	return nil, false
}

// Covers reports whether the store tells all about an address in the span: it neither reaches beyond the first event or
// the end of what is covered, nor into a gap.
func (p *Past) Covers(ip netip.Addr, q Question) bool {
	if q.Now {
		return true
	}
	lo, hi := q.span()
	return !p.outside(lo) && !p.outside(hi) && !p.gap(ip, lo, hi)
}

// outside reports whether the store does not tell of an instant because it begins later or ends before.
func (p *Past) outside(t int64) bool { return t < p.stamps[0].effective || t > p.covered }

// gap reports whether a span meets what lies between the events on both sides of lost ones, by either clock.
func (p *Past) gap(ip netip.Addr, lo, hi int64) bool {
	row := p.column(ip).row
	for i := 1; i < len(row); i++ {
		a, b := row[i-1].stamp, row[i].stamp
		if !row[i-1].whole && (touches(a.effective, b.effective, lo, hi) || touches(a.recorded, b.recorded, lo, hi)) {
			return true
		}
	}
	return false
}

// beside reports whether only the error of the clocks lets a span meet lost events.
func (p *Past) beside(ip netip.Addr, q Question) bool {
	lo, hi := q.span()
	return !q.Now && p.besideSpan(ip, lo, hi)
}

func (p *Past) besideSpan(ip netip.Addr, lo, hi int64) bool {
	if p.gap(ip, lo, hi) {
		return false
	}
	row := p.column(ip).row
	if p.events[0].Seq != 1 && lo < row[0].stamp.effective+row[0].stamp.bound {
		return true
	}
	for i := 1; i < len(row); i++ {
		a, b := row[i-1].stamp, row[i].stamp
		if !row[i-1].whole && touches(a.effective-a.bound, b.effective+b.bound, lo, hi) {
			return true
		}
	}
	return false
}

// touches reports whether a span meets what lies between two instants.
func touches(from, to, lo, hi int64) bool { return from < to && lo < to && hi > from }

// choice is a position that a question may be about.
type choice struct {
	at                  int
	effective, recorded bool // it is a candidate by this clock; merely possible if by none
}

func (c choice) candidate() bool { return c.effective || c.recorded }

// choices returns the candidates and the possible positions.
func (p *Past) choices(col *column, q Question) []choice {
	if q.Now {
		return []choice{{len(col.row) - 1, true, true}}
	}
	lo, hi := q.span()
	return col.window(lo, hi)
}

// window returns the candidates and the possible positions of a span.
func (col *column) window(lo, hi int64) []choice {
	var out []choice
	for i := range col.row {
		at := &col.row[i]
		c := choice{i, at.effective.meets(lo, hi), at.recorded.meets(lo, hi)}
		if c.candidate() || at.possible.meets(lo, hi) {
			out = append(out, c)
		}
	}
	return out
}

// uncertain reports whether the lease's use is uncertain at a candidate: time may have passed since the last event
// that shows it in use.
func (p *Past) uncertain(col *column, l *Interval, c choice, hi int64) bool {
	if l.Doubt || !l.Doubtful {
		return l.Doubt
	}
	if col.row[c.at].seq < l.Window {
		return false
	}
	effective := func(s stamp) int64 { return s.effective }
	recorded := func(s stamp) int64 { return s.recorded }
	return c.effective && !p.noTime(col, l.Window, c.at, hi, effective) || c.recorded && !p.noTime(col, l.Window, c.at, hi, recorded)
}

// noTime reports whether by a clock no time passed from event w to the span's end, at a position.
func (p *Past) noTime(col *column, w journal.Seq, at int, hi int64, clock func(stamp) int64) bool {
	for i := at; ; i-- {
		here := &col.row[i]
		switch {
		case clock(here.stamp) != hi:
			return false
		case here.seq == w:
			return true
		case i == 0 || col.row[i-1].seq+1 != here.seq || here.event < 0 || col.row[i-1].event < 0 ||
			p.events[here.event].Boot != p.events[col.row[i-1].event].Boot:
			return false
		}
	}
}

// vacant is the state of an address that is not held at a position.
func (p *Past) vacant(col *column, ip netip.Addr, at int, q Question) State {
	here := &col.row[at]
	if q.Now && p.Store.Wiped {
		return p.ranges[here.event].state(ip)
	}
	if !here.known {
		return Unknown
	}
	_, hi := q.span()
	for _, l := range col.leases {
		if l.First <= here.seq {
			continue
		}
		if l.Import && !l.Carried && l.Claimed <= hi {
			return Unknown
		}
		break
	}
	return p.ranges[here.event].state(ip)
}

// Who answers who held the address.
func (p *Past) Who(ip netip.Addr, q Question) Answer {
	col := p.column(ip)
	lo, hi := q.span()
	a := Answer{Holders: p.holders(ip, q), State: NotOurs}
	for _, l := range p.named(col, lo, hi) {
		if !slices.ContainsFunc(a.Holders, func(h Holder) bool { return h.Interval == l }) {
			a.Named = append(a.Named, l)
		}
	}
	var known []choice // at which nobody held it, and what it was is known
	states := map[State]bool{}
	lost, blurred := false, p.beside(ip, q) // it is unknown at a candidate, at a merely possible position
	for _, c := range p.choices(col, q) {
		if p.holder(col, c, q) != nil {
			continue
		}
		switch state := p.vacant(col, ip, c.at, q); {
		case state != Unknown:
			known = append(known, c)
			states[state] = true
		case c.candidate():
			lost = true
		default:
			blurred = true
		}
	}
	switch {
	case !p.Covers(ip, q) || lost || len(a.Holders)+len(known) == 0:
		a.State = Unknown
		return a
	case len(a.Holders) == 0:
		a.State, a.Uncertain = p.vacant(col, ip, first(known).at, q), blurred || len(states) > 1 || p.unsettledParent(lo, q.Now)
		return a
	}
	a.State, a.Several = Held, len(a.Holders) > 1
	a.Uncertain = blurred || (q.Skew == 0 || q.Now) && (a.Several || len(states) > 0)
	for _, h := range a.Holders {
		a.Uncertain = a.Uncertain || !h.Certain
	}
	return a
}

// unsettledParent reports whether an address may be in use at the span's beginning though nobody holds it: events are
// lost of the journal that this one has succeeded, and neither a reset nor a new boot has ended what they gave.
func (p *Past) unsettledParent(lo int64, now bool) bool {
	genesis := &p.events[0]
	lost, _ := attribute(genesis, journal.AttributeLost)
	if genesis.Kind != journal.KindGenesis || lost == "" || lost == "0" {
		return false
	}
	for i := range p.events {
		if ev := &p.events[i]; ev.Kind == journal.KindReset || ev.Boot != genesis.Boot {
			return !now && lo < p.stamps[i].effective
		}
	}
	return true
}

// first returns the first candidate; the first of what is merely possible if there is none.
func first(choices []choice) choice {
	for _, c := range choices {
		if c.candidate() {
			return c
		}
	}
	return choices[0]
}

// holder returns the lease of a position. Where the network's folder is gone, nothing is held now.
func (p *Past) holder(col *column, c choice, q Question) *Interval {
	if q.Now && p.Store.Wiped {
		return nil
	}
	return col.row[c.at].held
}

// holders returns who held the address at some candidate or possible position: with skew by how long, longest first.
func (p *Past) holders(ip netip.Addr, q Question) []Holder {
	col := p.column(ip)
	lo, hi := q.span()
	choices := p.choices(col, q)
	var out []Holder
	for _, l := range col.leases {
		h := Holder{Interval: l, Certain: true, Always: !p.beside(ip, q)}
		seen, candidate := false, false
		for _, c := range choices {
			if p.holder(col, c, q) != l {
				h.Always = false
				continue
			}
			seen, candidate = true, candidate || c.candidate()
			if c.candidate() && p.uncertain(col, l, c, hi) {
				h.Certain = false
			}
		}
		for i := range col.row {
			if col.row[i].held == l {
				h.Overlap += col.row[i].effective.overlap(lo, hi)
			}
		}
		h.Certain = h.Certain && candidate
		if seen {
			out = append(out, h)
		}
	}
	if lo < hi {
		slices.SortStableFunc(out, func(a, b Holder) int { return cmp.Compare(b.Overlap, a.Overlap) })
	}
	return out
}

// named returns the leases that by some clock did not end after they began, while the span meets what lies between.
func (p *Past) named(col *column, lo, hi int64) []*Interval {
	var out []*Interval
	for _, l := range col.leases {
		first, last := col.index(l.First), col.index(l.End)
		if first < 0 || last < 0 {
			continue
		}
		a, b := col.row[first].stamp, col.row[last].stamp
		if backward(a.effective, b.effective, lo, hi) || backward(a.recorded, b.recorded, lo, hi) {
			out = append(out, l)
		}
	}
	return out
}

// index returns the place of an event, -1 if there is none.
func (col *column) index(seq journal.Seq) int {
	return slices.IndexFunc(col.row, func(at place) bool { return at.seq == seq })
}

// backward reports whether an end is not behind its start, and a span meets the closed one between them.
func backward(start, end, lo, hi int64) bool { return end <= start && lo <= start && hi >= end }

// Meant returns the events at whose positions a span may be: those that are candidates by some clock, and those that are
// merely possible within the clocks' errors, or that some clock showed then, though it was set back before time passed.
func (p *Past) Meant(lo, hi int64) (candidates, possible []journal.Seq) {
	col := p.column(nobodys())
	choices := col.window(lo, hi)
	for i := range col.row {
		at := &col.row[i]
		shown := lo <= at.stamp.effective && at.stamp.effective <= hi || lo <= at.stamp.recorded && at.stamp.recorded <= hi
		c := slices.IndexFunc(choices, func(c choice) bool { return c.at == i })
		switch {
		case c >= 0 && choices[c].candidate():
			candidates = append(candidates, at.seq)
		case c >= 0 || shown:
			possible = append(possible, at.seq)
		}
	}
	return candidates, possible
}
