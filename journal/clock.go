package journal

import (
	"encoding/hex"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootIDFile names this boot of the kernel.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// maxClockError is the largest error that a record can say; more says no more.
const maxClockError = time.Duration(1<<40) * time.Microsecond

// ReadClock reads both clocks and what the kernel says of them. Where the kernel
// says nothing, the clock counts as not synchronised and the boot ID is zero.
func ReadClock() Clock {
	var boot unix.Timespec
	wall := time.Now()
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		boot = unix.Timespec{}
	}
	c := Clock{Wall: wall.UnixNano(), BootTime: boot.Nano(), Boot: CurrentBoot()}
	var tx unix.Timex
	if status, err := unix.Adjtimex(&tx); err == nil {
		c.Synchronised = status != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0
		c.MaxError = min(time.Duration(max(tx.Maxerror, 0)), maxClockError/time.Microsecond) * time.Microsecond
	}
	return c
}

// CurrentBoot returns the ID of the running boot, zero where the kernel has none. The file is read once.
func CurrentBoot() BootID { return currentBoot() }

var currentBoot = sync.OnceValue(readBoot)

func readBoot() BootID {
	var b BootID
	var room [64]byte
	fd, err := syscall.Open(bootIDFile, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return b
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, room[:])
	if err != nil {
		return b
	}
	text := strings.ReplaceAll(strings.TrimSpace(string(room[:n])), "-", "")
	if len(text) != hex.EncodedLen(len(b)) {
		return b
	}
	if _, err := hex.Decode(b[:], []byte(text)); err != nil {
		return BootID{}
	}
	return b
}
