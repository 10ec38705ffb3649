package compaction

import (
	"math"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// unsyncedError is the assumed error of a clock that nothing disciplines, as package replay has it.
const unsyncedError = int64(time.Second)

// clocks is what events say about the clocks of their boots.
type clocks struct {
	boots map[journal.BootID]*bootTimes
	order []*bootTimes // the same, oldest first
	walls int64        // the latest wall clock
	wall  int64        // of the newest event
	loose int64        // the latest that was synchronised in a boot that is not known; 0 if none was
}

// bootTimes is about one boot. Offsets are wall clock minus boot-time clock.
type bootTimes struct {
	boot         journal.BootID
	synced       bool
	offset, last int64 // of the last synchronised event; boot-time clock of the last event
	maxError     int64
	first        int64 // boot-time clock of the first event
	least        int64 // offset
}

func (c *clocks) add(k journal.Clock) {
	c.walls, c.wall = max(c.walls, k.Wall), k.Wall
	if k.Boot == (journal.BootID{}) { // nobody knows which of these share a boot
		if k.Synchronised {
			c.loose = max(c.loose, k.Wall)
		}
		return
	}
	b, offset := c.boots[k.Boot], k.Wall-k.BootTime
	if b == nil {
		b = &bootTimes{boot: k.Boot, first: k.BootTime, least: offset}
		c.boots[k.Boot] = b
		c.order = append(c.order, b)
	}
	b.least, b.last = min(b.least, offset), max(b.last, k.BootTime)
	if k.Synchronised {
		b.synced, b.offset, b.maxError = true, offset, int64(k.MaxError)
	}
}

// effective returns the time of an event, corrected by the last synchronised event of its boot; synced is false where there
// is none.
func (c *clocks) effective(k journal.Clock) (wall int64, synced bool) {
	b := c.boots[k.Boot]
	if b == nil || !b.synced {
		return k.Wall, false
	}
	return k.BootTime + b.offset, true
}

// latest returns the latest time at which an event can have been, as recorded or as corrected.
func (c *clocks) latest(k journal.Clock) int64 {
	if wall, synced := c.effective(k); synced {
		return max(k.Wall, wall) + c.boots[k.Boot].maxError
	}
	return k.Wall + unsyncedError
}

// newest returns the latest time of any event.
func (c *clocks) newest() int64 {
	newest := c.walls + unsyncedError
	for _, b := range c.boots {
		if b.synced {
			newest = max(newest, b.last+b.offset+b.maxError)
		}
	}
	return newest
}

// follow takes in the clocks of the journal that came next.
func (c *clocks) follow(next *clocks) {
	for _, o := range next.order {
		b := c.boots[o.boot]
		if b == nil {
			own := *o
			c.boots[o.boot] = &own
			c.order = append(c.order, &own)
			continue
		}
		b.least, b.last = min(b.least, o.least), max(b.last, o.last)
		if o.synced {
			b.synced, b.offset, b.maxError = true, o.offset, o.maxError
		}
	}
	c.walls, c.loose = max(c.walls, next.walls), max(c.loose, next.loose)
	if next.walls != 0 {
		c.wall = next.wall
	}
}

// now returns the earliest time that it can be, and why it is not what the clock shows, "" if it is. A clock that
// is not synchronised may be ahead by years, and all of the history would be old by it.
func (c *clocks) now(k journal.Clock) (wall int64, doubt string) {
	if k.Synchronised {
		return k.Wall - int64(k.MaxError), ""
	}
	wall = k.Wall
	b := c.boots[k.Boot]
	if k.Boot == (journal.BootID{}) {
		b = nil
	}
	if b != nil {
		wall = min(wall, k.BootTime+b.least)
	}
	if b != nil && b.synced {
		wall = min(wall, k.BootTime+b.offset)
	} else if newest := c.newestSynced(); newest != 0 {
		wall = min(wall, newest)
	} else {
		wall = min(wall, c.passed(k))
	}
	if ahead := time.Duration(k.Wall - wall); ahead > time.Second {
		return wall, "the clock is not synchronised and shows " + stamp(k.Wall) + ": ages are counted from " + stamp(wall) + ", which events tell"
	}
	return wall, ""
}

// passed returns the time that it is at least where no clock was ever synchronised: of each boot the time that it showed and
// what has passed since by boot-time clocks, and the earliest of these, since any of the boots may have been ahead. A boot that showed
// less than one before it tells nothing.
func (c *clocks) passed(k journal.Clock) int64 {
	if len(c.order) == 0 {
		return c.wall
	}
	since := make([]int64, len(c.order)) // from the last event of a boot until now
	after := k.BootTime
	for i := len(c.order) - 1; i >= 0; i-- {
		b := c.order[i]
		if b.boot == k.Boot {
			since[i] = k.BootTime - b.last
			continue
		}
		since[i] = after
		after += b.last
	}
	wall, highest := int64(math.MaxInt64), int64(math.MinInt64)
	for i, b := range c.order {
		if end := b.last + b.least; end >= highest {
			wall, highest = min(wall, end+since[i]), end
		}
	}
	return wall
}

// newestSynced returns the time of the newest event of a boot whose clock was synchronised, 0 if there was none.
func (c *clocks) newestSynced() (newest int64) {
	newest = c.loose
	for _, b := range c.boots {
		if b.synced {
			newest = max(newest, b.last+b.offset)
		}
	}
	return newest
}

// firstSynced returns the time at which the first boot began to record whose clock was synchronised, 0 if there was none.
func (c *clocks) firstSynced() int64 {
	for _, b := range c.order {
		if b.synced {
			return b.first + b.offset + b.maxError
		}
	}
	return 0
}

func stamp(wall int64) string { return time.Unix(0, wall).UTC().Format(time.RFC3339) }
