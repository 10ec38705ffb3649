package replay

import (
	"math"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Window is a row of instants at which a lease is in the lease table. Where the journal doesn't cover them, which the clocks may mean
// nevertheless, the lease is unsure.
type Window struct {
	From, To int64 // nanoseconds since 1970; To is not included; math.MinInt64 and math.MaxInt64 have no end
	Unsure   bool
	Partly   bool // as in Holder, but for other leases of the address
	Use      bool // the doubt about its use is said, see History.Then
}

// Windows returns at which instants History.Intervals[i] is in the lease table, in order, none of them empty. Plain reports
// whether they are those of PlainWindows. They may be in room, which is written over.
func (c *Course) Windows(room []Window, i int) (w []Window, plain bool) {
	iv := &c.h.Intervals[i]
	usual := c.PlainWindows(room, iv)
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
// the event that gave it to the event that ended it, unsure and partly where either is within the error of its clock, or
// between the times that its two clocks show, and unsure where the use of the lease is uncertain. They are in room if there is enough, which is written over.
func (c *Course) PlainWindows(room []Window, iv *Interval) []Window {
	start := momentIn(0, &iv.Start)
	sureTo, to := min(c.Covered+1, c.OpenTo), c.OpenTo
	ends, doubted := int64(math.MaxInt64), int64(math.MaxInt64)
	if iv.End != nil {
		end := momentIn(0, &iv.End.Point)
		sureTo, ends, to = end.lo, end.lo, end.hi
	}
	if d := iv.Doubtful; d != nil {
		sureTo = min(sureTo, effective(d)+1, recorded(d)+1)
		doubted = momentIn(0, d).lo
	}
	if iv.Throughout() {
		sureTo, doubted = start.lo, math.MaxInt64
	}
	w := slices.Grow(room[:0], 5)
	for from := start.lo; from < to; {
		next := Window{From: from, To: to, Unsure: from < start.hi || from >= sureTo, Partly: from < start.hi || from >= ends, Use: from >= doubted}
		for _, cut := range [...]int64{start.hi, sureTo, ends, doubted} {
			if cut > from {
				next.To = min(next.To, cut)
			}
		}
		w, from = appendWindow(w, next), next.To
	}
	return w
}

// appendWindow adds a window, or makes the last one longer that it goes on with. Empty ones are left out.
func appendWindow(w []Window, next Window) []Window {
	switch n := len(w); {
	case next.From >= next.To:
	case n > 0 && w[n-1].goesOn(&next):
		w[n-1].To = next.To
	default:
		w = append(w, next)
	}
	return w
}

// goesOn reports whether another window begins where this one ends, and is like it.
func (w *Window) goesOn(next *Window) bool {
	return w.To == next.From && w.Unsure == next.Unsure && w.Partly == next.Partly && w.Use == next.Use
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
	return joins(&iv.Start, &iv.End.Point) && (iv.Doubtful == nil || joins(iv.Doubtful, &iv.End.Point))
}

// joins reports whether there is no hole in what either clock says, and the error of one, of the time between two events.
func joins(from, to *Point) bool {
	return recorded(from) <= effective(to)+int64(to.MaxError) && effective(from)-int64(from.MaxError) <= recorded(to)
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
	if !found || start.hi > c.single[i].to || start.lo < effective(&c.h.First) ||
		recorded(&c.h.Last) < effective(&iv.Start)-int64(iv.Start.MaxError) { // what the two clocks say may not join
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
	w := appendWindow(make([]Window, 0, len(rest)+2), Window{From: start.lo, To: start.hi, Unsure: true, Partly: true})
	w = appendWindow(w, Window{From: start.hi, To: next})
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
	first, last := c.within(iv, iv.behind())
	begin, _ := slices.BinarySearch(c.edges, first)
	end, _ := slices.BinarySearch(c.edges, last)
	edges := slices.Clone(c.edges[begin:min(end+1, len(c.edges))])
	edges.lease(iv)
	edges = edges.sorted()
	s := c.h.span(c.asked)
	var w []Window
	for i := -1; i < len(edges); i++ {
		from, until := int64(math.MinInt64), int64(math.MaxInt64)
		s.from = edges.earlier()
		if i >= 0 {
			from, s.from = edges[i], edges[i]
		}
		if i+1 < len(edges) {
			until = edges[i+1]
		}
		s.to = s.from
		possible, partly, unsure := c.h.inTable(iv, &s)
		if !possible {
			continue
		}
		unsure = unsure || s.from < effective(&c.h.First) || s.from > s.covered
		use := iv.Doubtful != nil && !iv.Throughout() && c.h.useDoubted(iv, &s)
		w = appendWindow(w, Window{from, until, unsure, partly, use})
	}
	return w
}
