// This file stands in for journal/clock.go in builds with -overlay: the clock is what a file says,
// which the environment names. It must export what that file exports.
package journal

import (
	"encoding/hex"
	"fmt"
	"os"
	"time"
)

// maxClockError is the largest error that a record can say; more says no more.
const maxClockError = time.Duration(1<<40) * time.Microsecond

// ReadClock reads the clock file: wall clock, boot time, boot ID, whether the clock is
// synchronised, its error in microseconds. There is no other clock to fall back to.
func ReadClock() Clock {
	path := os.Getenv("LEASELOG_SOAK_CLOCK")
	text, err := os.ReadFile(path)
	if err != nil {
		panic("journal: this build has a clock for tests alone: " + err.Error())
	}
	var c Clock
	var boot []byte
	var micros int64
	if _, err := fmt.Sscanf(string(text), "%d %d %x %t %d", &c.Wall, &c.BootTime, &boot, &c.Synchronised, &micros); err != nil {
		panic(fmt.Sprintf("journal: %s: %q: %v", path, text, err))
	}
	if copy(c.Boot[:], boot) != len(c.Boot) {
		panic("journal: " + path + ": boot ID " + hex.EncodeToString(boot))
	}
	c.MaxError = time.Duration(micros) * time.Microsecond
	return c
}

// CurrentBoot returns the boot ID of the clock file.
func CurrentBoot() BootID { return ReadClock().Boot }
