package replay

import (
	"fmt"
	"sort"
	"time"

	"github.com/leaselog/leaselog/journal"
)

const (
	// stepAtLeast is the smallest change of a boot's offset that counts as a clock step.
	// Slewing changes both clocks alike, so what is left is steps and rounding.
	stepAtLeast = 10 * time.Millisecond
	// unsyncedError is the assumed error of a clock that nothing disciplines.
	unsyncedError = time.Second
)

// Point is an event's place in order and in time.
type Point struct {
	Seq       journal.Seq
	Time      time.Time     // wall clock as recorded, UTC
	Effective time.Time     // corrected, UTC
	MaxError  time.Duration // bound on the error of Effective; one second where no clock was synchronised
	Synced    bool          // some clock of the event's boot was synchronised, so MaxError is the kernel's

	boot journal.BootID
}

// Boot returns the boot that the event belongs to; zero if it recorded none.
func (p *Point) Boot() journal.BootID { return p.boot }

// Step is a change of the wall clock against the boot-time clock within one boot.
type Step struct {
	Seq journal.Seq // the first event after it
	By  time.Duration
}

// Doubt names the step.
func (s Step) Doubt() string {
	return fmt.Sprintf("the clock was set by %s before event %d", s.By, s.Seq)
}

// bootClock is what the events of one boot say about its clocks.
type bootClock struct {
	reference int64 // wall minus boottime that the next step is measured against
	synced    bool
	offset    int64         // wall minus boottime of the last synchronised event
	maxError  time.Duration // of that event
	last      mark
}

// mark is an event's place before effective times are known.
type mark struct {
	seq   journal.Seq
	clock journal.Clock
}

// Clocks collects what events say about the clocks of their boots. The zero value
// is ready to use. It is not safe for concurrent use.
type Clocks struct {
	boots  map[journal.BootID]*bootClock
	recent *bootClock // of the event before
	steps  []Step
	set    []mark // the events of steps
	rows   []row
	gc     []gcRuns // the runtime's GCs: first and last event of each
	kinds  [256]bool
	pruned []row // of events that were pruned, as far as they are known

	begun   journal.BootID // boot of the first event
	settled mark           // see reading.settle
}

// row is a stretch while effective times are not known yet.
type row struct {
	first, last mark
	gap         bool
	pruned      bool // the gap is one that was meant
}

// Lost takes in that events are lost before the next one.
func (c *Clocks) Lost() {
	if n := len(c.rows); n == 0 || c.rows[n-1].first.seq != 0 {
		c.rows = append(c.rows, row{gap: true})
	}
}

// extend takes the next event into the row of those between which both clocks go forward.
func (c *Clocks) extend(m mark) {
	n := len(c.rows)
	if n == 0 {
		c.rows = append(c.rows, row{first: m, last: m})
		return
	}
	r := &c.rows[n-1]
	switch last := &r.last.clock; {
	case r.first.seq == 0:
		r.first, r.last = m, m
	case last.Boot != m.clock.Boot, m.clock.Wall < last.Wall, m.clock.BootTime < last.BootTime && last.Boot != journal.BootID{}:
		c.rows = append(c.rows, row{first: m, last: m})
	default:
		r.last = m
	}
}

// timeline returns the order of events in time. It is final only when all events have been added.
func (c *Clocks) timeline() timeline {
	t := timeline{stretches: make([]stretch, 0, len(c.rows))}
	for _, r := range c.rows {
		if r.first.seq != 0 {
			t.stretches = append(t.stretches, stretch{c.point(r.first), c.point(r.last), r.gap})
		}
	}
	t.tree = newStretchTree(t.stretches)
	return t
}

// Add takes in the next event.
func (c *Clocks) Add(ev *journal.Event) {
	if c.boots == nil {
		c.boots = make(map[journal.BootID]*bootClock)
	}
	offset := ev.Wall - ev.BootTime
	b := c.recent
	if b == nil || b.last.clock.Boot != ev.Boot {
		if b = c.boots[ev.Boot]; b == nil {
			b = &bootClock{reference: offset}
			c.boots[ev.Boot] = b
		}
		c.recent = b
	}
	b.last = mark{ev.Seq, ev.Clock}
	if len(c.rows) == 0 && len(c.pruned) == 0 {
		c.begun = ev.Boot
	} else if c.settled.seq == 0 && (ev.Kind == journal.KindReset || ev.Boot != c.begun) {
		c.settled = b.last
	}
	c.extend(b.last)
	c.kinds[ev.Kind] = true
	if ev.Kind == journal.KindDel && ev.Reason == journal.ReasonGC {
		c.collected(b.last)
	}
	if ev.Boot == (journal.BootID{}) {
		return // nobody knows which of these events share a boot
	}
	if by := time.Duration(offset - b.reference); by > stepAtLeast || by < -stepAtLeast {
		c.steps, c.set = append(c.steps, Step{ev.Seq, by}), append(c.set, b.last)
		b.reference = offset
	}
	if ev.Synchronised {
		b.synced, b.offset, b.maxError = true, offset, ev.MaxError
	}
}

// collected takes in a release by the runtime's GC.
func (c *Clocks) collected(m mark) {
	if n := len(c.gc); n > 0 && c.gc[n-1].goesOn(m) {
		c.gc[n-1].last = m
		return
	}
	g := gcRuns{first: m, last: m}
	if n := len(c.gc); n > 0 {
		g.previous = c.gc[n-1].first
	}
	c.gc = append(c.gc, g)
}

// gcBefore returns the GC runs as they were known at an event. Within a run it has the last event of it: all up to that one go
// on with the run.
func (c *Clocks) gcBefore(seq journal.Seq) gcRuns {
	i := sort.Search(len(c.gc), func(i int) bool { return c.gc[i].first.seq > seq })
	if i == 0 {
		return gcRuns{}
	}
	return c.gc[i-1]
}

// Steps returns the clock steps within boots, in order of events.
func (c *Clocks) Steps() []Step { return c.steps }

// Point returns the place of event seq, whose clock was clock. It is final only when
// all events of the journal have been added.
func (c *Clocks) Point(seq journal.Seq, clock journal.Clock) Point {
	p := Point{Seq: seq, Time: clock.Time(), Effective: clock.Time(), MaxError: unsyncedError, boot: clock.Boot}
	if b := c.boots[clock.Boot]; b != nil && b.synced {
		p.Effective = time.Unix(0, clock.BootTime+b.offset).UTC()
		p.MaxError, p.Synced = b.maxError, true
	}
	return p
}

func (c *Clocks) point(m mark) Point { return c.Point(m.seq, m.clock) }

// lastOf returns the newest event of a boot so far.
func (c *Clocks) lastOf(boot journal.BootID) mark {
	if b := c.boots[boot]; b != nil {
		return b.last
	}
	return mark{}
}
