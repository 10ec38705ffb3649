package replay

import (
	"math"
	"slices"
	"sort"
	"time"
)

// Asked is the time that a question is about.
type Asked struct {
	From, To time.Time // both included; a zero one is open
	Now      bool      // the state after the last event, whatever the clocks say; From and To say when that is
	Covered  time.Time // up to which the journal is known to tell all; zero is its last event
}

// span is Asked in nanoseconds since 1970.
type span struct {
	from, to int64 // both included
	now      bool
	covered  int64 // effective
	live     bool  // covered is a time of this node's clock, and not an event's
	sharp    bool  // clocks are taken to be exact
}

// span returns what is asked in nanoseconds.
func (c *timeline) span(q Asked) span {
	s := span{from: math.MinInt64, to: math.MaxInt64, now: q.Now}
	if !q.From.IsZero() {
		s.from = q.From.UnixNano()
	}
	if !q.To.IsZero() {
		s.to = q.To.UnixNano()
	}
	if n := len(c.stretches); n > 0 {
		s.covered = effective(&c.stretches[n-1].last)
	}
	if !q.Covered.IsZero() {
		s.covered, s.live = q.Covered.UnixNano(), true
	}
	return s
}

// span returns what is asked of the history in nanoseconds.
func (h *History) span(q Asked) span {
	if h.Stopped != nil {
		q.Covered = time.Time{}
	}
	return h.time.span(q)
}

// clockOf selects one of the two clocks by which events are dated.
type clockOf func(*Point) int64

// clocks are the two, the effective one first.
var clocks = [2]clockOf{effective, recorded}

func effective(p *Point) int64 { return p.Effective.UnixNano() }
func recorded(p *Point) int64  { return p.Time.UnixNano() }

// stretch is a row of events between which both clocks go forward, all of one boot: between two of its events, a time
// is passed exactly once. Its points are final once all events are known.
type stretch struct {
	first, last Point
	gap         bool // events before it are lost
}

// portion is a row of positions whose windows join without a gap: from the event at its beginning up to the one at its
// end, which is not included. Without an end, nothing is known behind its beginning.
type portion struct {
	from *Point
	to   *Point
	last bool // the last position of the journal: it lasts as long as the journal is known to tell all
	gap  bool // events are lost before it
	own  bool // it has at least the time of its own event, also where the clock was set back until the next
}

// portions yields the positions from event `from` on and before event `to` (0: up to the last one) in order of events.
// from and to may be events that stretches don't know: then they have their points. It is asked of each of many leases, and so
// allocates nothing.
func (c *timeline) portions(from *Point, to *Point, yield func(portion)) {
	for i := c.stretchOf(from); i < len(c.stretches) && c.portionsIn(i, from, to, yield); i++ {
	}
}

// stretchOf returns the stretch that an event is in, or the one before it if it is in none.
func (c *timeline) stretchOf(p *Point) int {
	return max(0, sort.Search(len(c.stretches), func(i int) bool { return c.stretches[i].first.Seq > p.Seq })-1)
}

// portionsIn is portions of a stretch and of the time up to the next one. It reports whether there may be any behind.
func (c *timeline) portionsIn(i int, from *Point, to *Point, yield func(portion)) bool {
	s := &c.stretches[i]
	if to != nil && to.Seq <= s.first.Seq {
		return false
	}
	a, b, gap := &s.first, &s.last, s.gap && from.Seq < s.first.Seq
	if from.Seq > s.last.Seq {
		return true // within a gap, or beyond the end
	}
	if from.Seq > a.Seq {
		a = from
	}
	beyond := to == nil || to.Seq > b.Seq
	if !beyond {
		b = to
	}
	if a.Seq < b.Seq {
		yield(portion{from: a, to: b, gap: gap})
	}
	if !beyond {
		return false
	}
	p := portion{from: &s.last, gap: gap}
	switch {
	case i+1 == len(c.stretches):
		p.last = true
	case !c.stretches[i+1].gap:
		p.to = &c.stretches[i+1].first
	}
	yield(p)
	return true
}

// timeline is the order of a journal's events in time.
type timeline struct {
	stretches []stretch
	tree      *stretchTree // of them; nil if they are few
}

// next returns the first stretch from i on that the span may mean.
func (c *timeline) next(i int, s *span) int {
	if s.now {
		return i
	}
	return c.tree.next(i, s)
}

// met is how a row of positions meets a span.
type met struct {
	candidate bool    // by some clock
	possible  bool    // within the error of the clocks, or a candidate
	beyond    bool    // as a candidate, when time has passed since the event at the row's beginning
	by        [2]bool // a candidate by each clock
	overlap   int64
}

// meet returns how the positions from event `from` on and before event `to` meet the span.
func (c *timeline) meet(s *span, from, to *Point) met {
	var m met
	moved := [2]bool{} // time has passed since from, by each clock
	for i := c.stretchOf(from); i < len(c.stretches); i++ {
		if moved[0] && moved[1] { // then what is not met matters to nothing behind it
			if i = c.next(i, s); i >= len(c.stretches) {
				break
			}
		}
		if !c.portionsIn(i, from, to, func(p portion) {
			for i, clock := range clocks {
				moved[i] = moved[i] || p.gap || clock(p.from) != clock(from) || p.from.boot != from.boot
			}
			m.add(s, &p, moved)
		}) {
			break
		}
	}
	m.possible = m.possible || m.candidate
	return m
}

// meetOf returns how positions of an interval meet the span. Where a snapshot shows that it was held in a gap, so does the
// gap.
func (h *History) meetOf(iv *Interval, s *span, from, to *Point) met {
	m := h.time.meet(s, from, to)
	if iv == nil || iv.sure.Seq == 0 || s.now {
		return m
	}
	for _, g := range h.gaps {
		if from.Seq >= g.before.seq || to != nil && to.Seq <= g.after.seq {
			continue
		}
		for _, p := range iv.sureIn(g) {
			if from.Seq > p.from.Seq && !from.Time.IsZero() {
				p.from = from
			}
			var moved [2]bool
			for i, clock := range clocks {
				moved[i] = clock(p.from) != clock(from) || p.from.boot != from.boot
			}
			m.add(s, &p, moved)
		}
		m.possible = m.possible || m.candidate
	}
	return m
}

func (m *met) add(s *span, p *portion, moved [2]bool) {
	if s.now {
		m.candidate = m.candidate || p.last
		m.beyond = m.beyond || p.last
		return
	}
	for i, clock := range clocks {
		begin, end, closed := s.window(p, clock)
		if begin > end || begin == end && !closed || s.to < begin || s.from > end || s.from == end && !closed {
			continue
		}
		m.candidate = true
		m.by[i] = true
		m.beyond = m.beyond || moved[i] || s.to > begin
		if i == 0 {
			m.overlap += min(s.to, end) - max(s.from, begin)
		}
	}
	if s.sharp {
		return
	}
	begin, end, closed := s.window(p, effective)
	begin -= int64(p.from.MaxError)
	if p.to != nil {
		if late := effective(p.to) + int64(p.to.MaxError); !closed || late > end {
			end, closed = late, false
		}
	}
	m.possible = m.possible || s.to >= begin && (s.from < end || closed && s.from == end) && (begin < end || closed && begin == end)
}

// surely reports whether positions that are candidates by the effective clock are some also if times are off by as much as
// they may be: between two of their events without a clock set back in between, nor a gap of which nothing is known, the first is
// surely not after the span, and the last not before it. An end that was not given, or that no event makes, can't be off.
func (h *History) surely(iv *Interval, s *span, to *Point) bool {
	var row []portion
	gaps := h.gaps
	h.time.portions(&iv.Start, to, func(p portion) {
		p.gap = false
		for ; len(gaps) > 0 && gaps[0].before.seq <= p.from.Seq; gaps = gaps[1:] {
			row = append(row, iv.sureIn(gaps[0])...)
			p.gap = p.gap || iv.sure.Seq+1 < gaps[0].before.seq
		}
		row = append(row, p)
	})
	for _, g := range gaps {
		row = append(row, iv.sureIn(g)...)
	}
	return s.surelyIn(row)
}

func (s *span) surelyIn(row []portion) bool {
	begun, first := false, int64(0)
	for i := range row {
		p := &row[i]
		begin, end, closed := s.window(p, effective)
		begun = begun && !p.gap
		if begin > end {
			begun = false
			continue
		}
		if !begun && (s.to == math.MaxInt64 || s.to >= begin+int64(p.from.MaxError)) {
			begun, first = true, begin
		}
		empty := !closed && first >= end
		if !closed && s.from != math.MinInt64 {
			end -= int64(p.to.MaxError) + 1
		}
		if begun && !empty && s.from <= end {
			return true
		}
	}
	return false
}

// window returns when the portion was the state of things by a clock.
func (s *span) window(p *portion, clock clockOf) (begin, end int64, closed bool) {
	begin = clock(p.from)
	switch {
	case p.to != nil && p.own && clock(p.to) <= begin:
		return begin, begin, true
	case p.to != nil:
		return begin, clock(p.to), false
	case p.last && s.live: // its own time is covered, whatever this node's clock shows now
		return begin, max(begin, s.covered), true
	}
	return begin, begin, true
}

// backwards reports whether the span meets the time between the ends of an interval by a clock by which it doesn't end
// after it begins.
func (s *span) backwards(iv *Interval) bool {
	if iv.End == nil || s.now {
		return false
	}
	return slices.ContainsFunc(clocks[:], func(clock clockOf) bool {
		begin, end := clock(&iv.Start), clock(&iv.End.Point)
		return end <= begin && s.from <= begin && s.to >= end
	})
}

// nearly is between within the error of the clocks. Without a first event, it reaches back for ever.
func (s *span) nearly(a, b *Point) bool {
	begin, end := int64(math.MinInt64), effective(b)+int64(b.MaxError)
	if a.Seq != 0 {
		begin = effective(a) - int64(a.MaxError)
	}
	return s.between(a, b) || s.inside(begin, end)
}
