package main

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// clock is the node's time: what is so, and what its clocks show.
type clock struct {
	r        *rand.Rand
	now, end int64 // true time, UTC nanoseconds

	boot     journal.BootID
	bootedAt int64
	syncedAt int64         // from here on the wall clock is right
	skew     time.Duration // of the wall clock until then
	boots    int
}

// unsyncedError is what Linux says of a clock that nothing disciplines.
const unsyncedError = 16 * time.Second

// newClock shows a node that has been up for a while.
func newClock(r *rand.Rand, start, end time.Time) *clock {
	c := &clock{r: r, now: start.UnixNano(), end: end.UnixNano()}
	c.reboot(0)
	c.bootedAt -= int64(time.Minute) + r.Int64N(int64(72*time.Hour))
	c.syncedAt = c.bootedAt
	return c
}

// reboot begins another boot after the node was down for a while. One boot in five finds its time server late.
func (c *clock) reboot(down time.Duration) {
	c.now = min(c.now+int64(down), c.end)
	c.boot = journal.BootID(uuidBytes(c.r))
	c.bootedAt = c.now - int64(5*time.Second) - c.r.Int64N(int64(20*time.Second))
	wait := 10 * time.Second
	if c.r.IntN(5) == 0 {
		wait = time.Hour
	}
	c.syncedAt = c.now + c.r.Int64N(int64(wait))
	c.skew = time.Duration(c.r.Int64N(int64(4*time.Second))) - 2*time.Second
	c.boots++
}

// pass lets time go by before the next call when so many events are to come until the end. The mean of
// pace should be about 1: what one call takes too much, the others have less of.
func (c *clock) pass(left int, pace float64) {
	gap := c.r.ExpFloat64() * pace * c.daytime() * float64(c.end-c.now) / float64(left+1)
	c.now += int64(min(gap, float64(c.end-c.now)))
}

// daytime stretches the gaps at night.
func (c *clock) daytime() float64 {
	return 1 - 0.6*math.Sin(2*math.Pi*float64(c.now%int64(24*time.Hour))/float64(24*time.Hour))
}

// read shows the clocks. The kernel's bound grows by 500 ppm from one poll of the time server to the next.
func (c *clock) read() journal.Clock {
	v := journal.Clock{Wall: c.now, BootTime: c.now - c.bootedAt, Boot: c.boot}
	if c.now < c.syncedAt {
		v.Wall += int64(c.skew)
		v.MaxError = unsyncedError
		return v
	}
	const poll = 1024 * time.Second
	since := time.Duration(c.now-c.syncedAt) % poll
	v.Synchronised, v.MaxError = true, (1500*time.Microsecond + since/2000).Truncate(time.Microsecond)
	return v
}
