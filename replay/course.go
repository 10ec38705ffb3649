package replay

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Course is a history cut into rows of instants at which nothing changes, for whoever draws it or moves through it. At every
// instant it says what History.At says of leases and History.Who of addresses that nobody holds. It is not safe for concurrent use.
type Course struct {
	Changes []InForce            // of the ranges that addresses are given from, in order of events
	Rows    []Row                // of all addresses that have none of their own; they begin at math.MinInt64
	Own     map[netip.Addr][]Row // of those that loss and imports make different from others
	Covered int64                // the last instant at which a lease without an end is in a table for certain
	OpenTo  int64                // from this instant on no lease without an end is in a table; math.MaxInt64 if there is no such instant

	h      *History
	asked  Asked
	single []segment // see segmentsOf
	edges  []int64   // instants at which what is meant may change, ascending
	behind map[held][]Window
}

// InForce are the ranges that addresses are given from, from some ADD on.
type InForce struct {
	Known   bool // the ADD recorded them
	Partial bool // there may be others
	Ranges  []journal.Range
}

// State says what an address is that nobody holds.
func (f *InForce) State(ip netip.Addr) State { return stateIn(f.Known, f.Partial, f.Ranges, ip) }

// Row is what addresses that nobody holds are from an instant on, until the next row begins.
type Row struct {
	From       int64    // nanoseconds since 1970, included
	General    bool     // in Course.Own: from here on Course.Rows has it, and the rest is not set
	Unknown    []string // why it is not known what they are; nil if it is
	Candidates []int    // of Course.Changes, those that are in force; -1 is before the first of them, when nothing is known
	Possible   []int    // likewise, others that are in force if a clock is off by its error
	Maybe      []string // why it may not be as the others say

	Certainty Certainty // of the lease table as a whole, as are the others; leases in it may make it worse
	Doubts    []string
	Open      bool
}

// Window is a row of instants at which a lease is in the lease table. Where the journal doesn't cover them, which the clocks may mean
// nevertheless, the lease is unsure.
type Window struct {
	From, To int64 // nanoseconds since 1970; To is not included; math.MinInt64 and math.MaxInt64 have no end
	Unsure   bool
}

// Course cuts the history. Covered is the time up to which the journal is known to tell all, as in Asked. The history must have
// kept all leases.
func (h *History) Course(covered time.Time) *Course {
	c := &Course{h: h, asked: Asked{Covered: covered}, Own: make(map[netip.Addr][]Row)}
	s := h.span(c.asked)
	c.Covered, c.OpenTo = s.covered, math.MaxInt64
	c.single = segmentsOf(&h.time, s.covered, s.live).all
	c.single = slices.DeleteFunc(c.single, func(seg segment) bool { return !seg.single })
	for i := range h.ranges.changes {
		f := &h.ranges.changes[i]
		c.Changes = append(c.Changes, InForce{Known: f.known, Partial: f.part || f.lost, Ranges: f.list()})
	}
	c.cut(&s)
	c.Rows = c.rows(netip.Addr{}, nil)
	for ip, ivs := range c.special() {
		c.Own[ip] = c.rows(ip, ivs)
	}
	for ip, ivs := range c.imported() {
		if _, ok := c.Own[ip]; !ok {
			c.Own[ip] = c.rowsBefore(ip, ivs)
		}
	}
	c.open(&s)
	return c
}

// cut collects the instants at which what is meant may change, but for those that leases bring.
func (c *Course) cut(s *span) {
	h := c.h
	for i := range h.time.stretches {
		c.edge(&h.time.stretches[i].first)
		c.edge(&h.time.stretches[i].last)
	}
	for i := range h.ranges.changes {
		c.edge(&h.ranges.changes[i].point)
	}
	for i, g := range h.gaps {
		c.edge(&g.from)
		c.edge(&g.to)
		if to := h.settledAt(i); to != nil {
			c.edge(to)
		}
		for j := range g.times {
			c.edge(&g.times[j].first)
			c.edge(&g.times[j].last)
		}
		if g.pruned != nil {
			parts := g.pruned.Parts()
			for j := range parts {
				c.instant(parts[j].FirstWall)
				c.instant(parts[j].LastWall)
			}
		}
	}
	c.edge(&h.settled)
	c.instant(s.covered)
	slices.Sort(c.edges)
	c.edges = slices.Compact(c.edges)
}

// edge adds the instants at which it changes whether an event is in the past.
func (c *Course) edge(p *Point) { c.edges = appendEdges(c.edges, p) }

func (c *Course) instant(at int64) { c.edges = append(c.edges, at, at+1) }

func appendEdges(edges []int64, p *Point) []int64 {
	if p.Time.IsZero() {
		return edges
	}
	for _, at := range [...]int64{effective(p), recorded(p), effective(p) - int64(p.MaxError), effective(p) + int64(p.MaxError)} {
		edges = append(edges, at, at+1)
	}
	return edges
}

// special returns the addresses of which not the same is known as of all others, with their leases: behind a gap not all are settled
// by the same event.
func (c *Course) special() map[netip.Addr][]Interval {
	special := make(map[netip.Addr][]Interval)
	for _, o := range c.h.odds {
		special[o.ip] = nil
	}
	for i, g := range c.h.gaps {
		if _, _, ok := c.h.unsettled(i, netip.Addr{}); !ok {
			continue
		}
		for ip := range g.settled {
			special[ip] = nil
		}
	}
	for i := range c.h.Intervals {
		if iv := &c.h.Intervals[i]; c.lost(iv) || iv.sure.Seq != 0 || iv.tellsBefore() && len(c.h.gaps) > 0 {
			special[iv.Lease.IP] = nil
		}
	}
	delete(special, netip.Addr{})
	return c.leasesOf(special)
}

// lost reports whether the interval's end is lost. One that is not known only because reading stopped goes on to the last position, as one
// that is held does.
func (c *Course) lost(iv *Interval) bool {
	stretches := c.h.time.stretches
	return iv.lost && (len(c.h.gaps) > 0 || iv.lostTo.Seq != 0 || iv.LastSeq < stretches[len(stretches)-1].last.Seq)
}

// imported returns the addresses of leases whose import tells of the time before it.
func (c *Course) imported() map[netip.Addr][]Interval {
	imported := make(map[netip.Addr][]Interval)
	for i := range c.h.Intervals {
		if iv := &c.h.Intervals[i]; iv.tellsBefore() {
			imported[iv.Lease.IP] = nil
		}
	}
	return c.leasesOf(imported)
}

// tellsBefore reports whether the interval says something of the time before it.
func (iv *Interval) tellsBefore() bool { return iv.Lease.Import && iv.parentSeq == "" }

// leasesOf fills in the leases of addresses.
func (c *Course) leasesOf(addrs map[netip.Addr][]Interval) map[netip.Addr][]Interval {
	if len(addrs) == 0 {
		return nil
	}
	for i := range c.h.Intervals {
		ip := c.h.Intervals[i].Lease.IP
		if ivs, ok := addrs[ip]; ok {
			addrs[ip] = append(ivs, c.h.Intervals[i])
		}
	}
	return addrs
}

// rows returns the rows of an address with these leases, or with the zero address those of one that no event speaks of.
func (c *Course) rows(ip netip.Addr, leases []Interval) []Row {
	return c.rowsAt(ip, leases, edgesWith(c.edges, leases))
}

// rowsBefore returns the rows of an address up to where no import tells of the time before it.
func (c *Course) rowsBefore(ip netip.Addr, leases []Interval) []Row {
	behind := int64(math.MinInt64)
	for i := range leases {
		if iv := &leases[i]; iv.tellsBefore() {
			behind = max(behind, c.pastFrom(&iv.Start))
		}
	}
	end, _ := slices.BinarySearch(c.edges, behind)
	edges := edgesWith(c.edges[:end], leases)
	end, _ = slices.BinarySearch(edges, behind)
	edges = edges[:end]
	return append(c.rowsAt(ip, leases, edges), Row{From: behind, General: true})
}

// pastFrom returns an instant from which on no clock means a position before an event.
func (c *Course) pastFrom(p *Point) int64 {
	m := momentIn(0, p)
	at := m.hi
	for i := range c.h.time.stretches {
		st := &c.h.time.stretches[i]
		if st.first.Seq > p.Seq {
			break
		}
		if m = momentIn(i, &st.first); i > 0 {
			at = max(at, m.hi)
		}
		if st.last.Seq < p.Seq {
			m = momentIn(i, &st.last)
			at = max(at, m.hi)
		}
	}
	return at + 1
}

// edgesWith returns the instants at which what is meant may change, those that leases bring included.
func edgesWith(edges []int64, leases []Interval) []int64 {
	if len(leases) == 0 {
		return edges
	}
	edges = slices.Clone(edges)
	for i := range leases {
		iv := &leases[i]
		edges = appendEdges(edges, &iv.Start)
		if to := iv.behind(); to != nil {
			edges = appendEdges(edges, to)
		}
		edges = append(edges, iv.Lease.Claimed, iv.Lease.Claimed+1)
	}
	slices.Sort(edges)
	return slices.Compact(edges)
}

func (c *Course) rowsAt(ip netip.Addr, leases []Interval, edges []int64) []Row {
	one := *c.h
	one.Intervals = leases
	var rows []Row
	for i := -1; i < len(edges); i++ {
		at := int64(math.MinInt64)
		if i >= 0 {
			at = edges[i]
		}
		r := c.row(&one, ip, at)
		if n := len(rows); n == 0 || !rows[n-1].same(&r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// row returns what an address is at an instant if nobody holds it.
func (c *Course) row(one *History, ip netip.Addr, at int64) Row {
	r := Row{From: at}
	q := c.asked
	q.From = timeOf(max(at, c.before()))
	q.To = q.From
	if !ip.IsValid() {
		t := one.At(q)
		r.Certainty, r.Doubts, r.Open = t.Certainty, t.Doubts, t.Open
	}
	s := one.span(q)
	phases := one.phases(ip, &s)
	var a Holding
	if a.Certainty, r.Maybe = one.outside(&s, true, true, ip); a.Certainty == Unknown {
		a.Doubts, r.Maybe = r.Maybe, nil
		a.around(phases, &s)
	} else if a.Certainty == Certain { // notes, which are no doubt
		r.Maybe = nil
	}
	one.inGaps(&a, &s, phases)
	if a.Certainty == Unknown {
		r.Unknown = a.Doubts
	}
	if near := one.nearPruned(&s); near != "" {
		r.Maybe = append(r.Maybe, near)
	}
	meant := false
	for i := range phases {
		if p := &phases[i]; p.possible {
			meant = true
			r.take(c.h, p)
		}
	}
	if text := one.unsettledAt(&s); text != "" {
		r.Maybe = append(r.Maybe, text)
	}
	if !meant && len(r.Unknown) == 0 {
		r.Unknown = []string{never}
	}
	if len(r.Unknown) > 0 {
		r.Candidates, r.Possible, r.Maybe = nil, nil, nil
	}
	return r
}

// before is an instant that every event is later than.
func (c *Course) before() int64 {
	if len(c.edges) == 0 {
		return 0
	}
	return c.edges[0] - 1
}

// take takes in that nobody holds the address at some of the positions that are meant, or that this is unknown.
func (r *Row) take(h *History, p *phase) {
	if p.lease != nil {
		return // then it is in the table
	}
	i := h.ranges.at(p.from.Seq)
	switch unknown := p.state == StateUnknown && (p.why != noRanges && p.why != notRecorded); {
	case unknown && p.candidate:
		r.Unknown = append(r.Unknown, p.why)
	case unknown:
		r.Maybe = append(r.Maybe, momentOff+p.why)
	case p.candidate && !slices.Contains(r.Candidates, i):
		r.Candidates = append(r.Candidates, i)
	case !p.candidate && !slices.Contains(r.Possible, i):
		r.Possible = append(r.Possible, i)
	}
}

func (r *Row) same(x *Row) bool {
	return r.General == x.General && slices.Equal(r.Unknown, x.Unknown) && slices.Equal(r.Candidates, x.Candidates) && slices.Equal(r.Possible, x.Possible) &&
		slices.Equal(r.Maybe, x.Maybe) && r.Certainty == x.Certainty && slices.Equal(r.Doubts, x.Doubts) && r.Open == x.Open
}

// open finds out up to when leases are in the table that nothing ends.
func (c *Course) open(s *span) {
	n := len(c.h.time.stretches)
	if n == 0 {
		return
	}
	last := &c.h.time.stretches[n-1].last
	c.OpenTo = max(recorded(last)+1, effective(last)+int64(last.MaxError), s.covered+1)
}

// Windows returns at which instants History.Intervals[i] is in the lease table, in order, none of them empty. Plain reports
// whether they are those of PlainWindows.
func (c *Course) Windows(i int) (w []Window, plain bool) {
	iv := &c.h.Intervals[i]
	usual := c.PlainWindows(iv)
	if c.ordinary(iv) {
		return usual, true
	}
	w, ok := c.goesOn(iv)
	if !ok {
		w = c.windows(iv)
	}
	return w, slices.Equal(w, usual)
}

// PlainWindows returns at which instants an interval is in the lease table if nothing is lost and no clock was set around it: from
// the event that gave it to the event that ended it, unsure where either is within the error of its clock, or between the times
// that its two clocks show, and where the use of the lease is uncertain.
func (c *Course) PlainWindows(iv *Interval) []Window {
	start := momentIn(0, &iv.Start)
	sureTo, to := min(c.Covered+1, c.OpenTo), c.OpenTo
	if iv.End != nil {
		end := momentIn(0, &iv.End.Point)
		sureTo, to = end.lo, end.hi
	}
	if d := iv.Doubtful; d != nil {
		sureTo = min(sureTo, effective(d)+1, recorded(d)+1)
	}
	if iv.Throughout() {
		sureTo = start.lo
	}
	w := make([]Window, 0, 3)
	w = appendWindow(w, Window{start.lo, min(start.hi, to), true})
	w = appendWindow(w, Window{start.hi, min(sureTo, to), false})
	return appendWindow(w, Window{max(start.hi, sureTo), to, true})
}

// appendWindow adds a window, or makes the last one longer that it goes on with. Empty ones are left out.
func appendWindow(w []Window, next Window) []Window {
	switch n := len(w); {
	case next.From >= next.To:
	case n > 0 && w[n-1].Unsure == next.Unsure && w[n-1].To == next.From:
		w[n-1].To = next.To
	default:
		w = append(w, next)
	}
	return w
}

// Never reports whether between the events of History.Intervals[i] a clock stood still or was set back, so that it may be in the
// lease table at no instant, though both are between two instants in nanoseconds since 1970: whoever lists what was held then names it.
func (c *Course) Never(i int, from, to int64) bool {
	s := span{from: from, to: to}
	return s.backwards(&c.h.Intervals[i])
}

// Throughout reports whether the interval is unsure from its beginning on.
func (iv *Interval) Throughout() bool {
	return iv.Doubtful != nil && (iv.doubt != "" || iv.Lease.Blocked)
}

// ordinary reports whether the interval lies between two events of one stretch at times that mean no other, so that its windows
// need not be searched for.
func (c *Course) ordinary(iv *Interval) bool {
	if len(c.h.gaps) > 0 || iv.End == nil || iv.lost || c.h.wiped {
		return false
	}
	start, end := momentIn(0, &iv.Start), momentIn(0, &iv.End.Point)
	if start.lo < effective(&c.h.First) || end.hi > c.Covered+1 {
		return false
	}
	i, found := c.singleAt(start.lo)
	if !found || c.single[i].to < end.hi || effective(&iv.Start) >= effective(&iv.End.Point) {
		return false
	}
	// What either clock says, and the error of one, joins without a hole.
	return recorded(&iv.Start) <= effective(&iv.End.Point)+int64(iv.End.MaxError) &&
		effective(&iv.Start)-int64(iv.Start.MaxError) <= recorded(&iv.End.Point)
}

// singleAt returns which of the segments that mean no other stretch an instant is in.
func (c *Course) singleAt(at int64) (int, bool) {
	return slices.BinarySearchFunc(c.single, at, func(seg segment, at int64) int {
		switch {
		case seg.to < at:
			return -1
		case seg.from > at:
			return 1
		}
		return 0
	})
}

// held are leases without an end that were given within one segment, and whose use is uncertain behind the same event, if any.
type held struct {
	segment  int
	doubtful journal.Seq
}

// goesOn returns the windows of an interval that nothing ends, and false if they must be searched for. Behind the segment in which they began,
// such leases are all the same, and there may be as many as addresses.
func (c *Course) goesOn(iv *Interval) ([]Window, bool) {
	if len(c.h.gaps) > 0 || iv.End != nil || c.lost(iv) || c.h.wiped || iv.Throughout() {
		return nil, false
	}
	start := momentIn(0, &iv.Start)
	i, found := c.singleAt(start.lo)
	if !found || start.hi > c.single[i].to || start.lo < effective(&c.h.First) {
		return nil, false
	}
	of, next := held{segment: i}, c.single[i].to+1
	if d := iv.Doubtful; d != nil {
		if of.doubtful = d.Seq; momentIn(0, d).lo < next {
			return nil, false
		}
	}
	rest, known := c.behind[of]
	if !known {
		rest = restOf(c.windows(iv), start.lo, next)
		if c.behind == nil {
			c.behind = make(map[held][]Window)
		}
		c.behind[of] = rest
	}
	if rest == nil {
		return nil, false
	}
	w := appendWindow(make([]Window, 0, len(rest)+2), Window{start.lo, start.hi, true})
	w = appendWindow(w, Window{start.hi, next, false})
	for _, x := range rest {
		w = appendWindow(w, x)
	}
	return w, true
}

// restOf returns windows from an instant on; nil if they do not begin where they should: then a clock was set back behind the event
// that gave the lease.
func restOf(windows []Window, begin, next int64) []Window {
	if len(windows) == 0 || windows[0].From != begin {
		return nil
	}
	var rest []Window
	for _, w := range windows {
		w.From = max(w.From, next)
		rest = appendWindow(rest, w)
	}
	return rest
}

// within returns instants between which all windows of an interval lie, and no edge before the first one is of any interest.
func (c *Course) within(iv *Interval, to *Point) (first, last int64) {
	if len(c.h.gaps) > 0 {
		return math.MinInt64, math.MaxInt64
	}
	first, last = math.MaxInt64, math.MinInt64
	c.h.time.portions(&iv.Start, to, func(p portion) {
		m := momentIn(0, p.from)
		first, last = min(first, m.lo), max(last, m.hi)
		if p.to != nil {
			m = momentIn(0, p.to)
			last = max(last, m.hi)
		} else {
			last = math.MaxInt64
		}
	})
	return first, last
}

// windows searches for the windows of an interval.
func (c *Course) windows(iv *Interval) []Window {
	edges := appendEdges(nil, &iv.Start)
	to := iv.behind()
	if to != nil {
		edges = appendEdges(edges, to)
	}
	if iv.Doubtful != nil {
		edges = appendEdges(edges, iv.Doubtful)
	}
	edges = appendEdges(edges, &iv.sure)
	first, last := c.within(iv, to)
	begin, _ := slices.BinarySearch(c.edges, first)
	end, _ := slices.BinarySearch(c.edges, last)
	edges = append(edges, c.edges[begin:min(end+1, len(c.edges))]...)
	slices.Sort(edges)
	edges = slices.Compact(edges)
	s := c.h.span(c.asked)
	var w []Window
	for i := -1; i < len(edges); i++ {
		from, until := int64(math.MinInt64), int64(math.MaxInt64)
		if i >= 0 {
			from = edges[i]
		}
		if i+1 < len(edges) {
			until = edges[i+1]
		}
		s.from = max(from, c.before())
		s.to = s.from
		possible, _, unsure := c.h.inTable(iv, &s)
		unsure = unsure || s.from < effective(&c.h.First) || s.from > s.covered
		switch n := len(w); {
		case !possible:
		case n > 0 && w[n-1].To == from && w[n-1].Unsure == unsure:
			w[n-1].To = until
		default:
			w = append(w, Window{from, until, unsure})
		}
	}
	return w
}
