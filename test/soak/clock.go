package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// clockVariable names the clock file to builds with the overlay.
const clockVariable = "LEASELOG_SOAK_CLOCK"

// fakeClock is what the clocks show. It moves between steps only, never during one.
type fakeClock struct {
	path string
	now  journal.Clock
}

// The years that the wall clock stays between.
var (
	earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// set makes it show now, to this process and to those that it starts.
func (c *fakeClock) set(now journal.Clock) error {
	now.Wall = min(max(now.Wall, earliest), latest)
	c.now = now
	return os.WriteFile(c.path, fmt.Appendf(nil, "%d %d %s %t %d\n", now.Wall, now.BootTime,
		hex.EncodeToString(now.Boot[:]), now.Synchronised, now.MaxError.Microseconds()), 0o644)
}

// pass lets some time go by: mostly little, now and then minutes, and sometimes none.
func (c *fakeClock) pass(r *rand.Rand) error {
	d := time.Duration(r.Int64N(int64(3 * time.Second)))
	switch r.IntN(20) {
	case 0:
		d = 0
	case 1:
		d *= 100
	}
	now := c.now
	now.Wall += int64(d)
	now.BootTime += int64(d)
	return c.set(now)
}

// step sets the wall clock forward or back by anything from a second to years.
func (c *fakeClock) step(r *rand.Rand) (time.Duration, error) {
	d := time.Second
	for range r.IntN(9) {
		d *= 8
	}
	d += time.Duration(r.Int64N(int64(d)))
	if r.IntN(2) == 0 {
		d = -d
	}
	now := c.now
	now.Wall += int64(d)
	now.Synchronised = r.IntN(2) == 0
	now.MaxError = time.Duration(r.IntN(1_000_000)) * time.Microsecond
	return d, c.set(now)
}

// reboot begins another boot: boot time starts anew, the wall clock goes on or is lost.
func (c *fakeClock) reboot(r *rand.Rand) error {
	now := journal.Clock{Wall: c.now.Wall + r.Int64N(int64(time.Minute)), BootTime: r.Int64N(int64(20 * time.Second))}
	if r.IntN(4) == 0 {
		now.Wall = earliest
	}
	for i := range now.Boot {
		now.Boot[i] = byte(r.Uint32())
	}
	return c.set(now)
}
