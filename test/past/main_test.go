package past_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// The plugin's error codes that tests expect.
const (
	codeExhausted    = 100
	codeDuplicate    = 101
	codeNotAvailable = 102
)

// workers is how many processes call at a time.
const workers = 32

var (
	released string // the plugin as it is released
	leaselog string // the plugin with the clock for tests
	age      string // the command of that name here, with the same clock
	leasectl string
	// seed feeds every random choice; it is printed when a test fails.
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random choices")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leaselog-past-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "past:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "past:", err)
		return 1
	}
	return m.Run()
}

// build makes every binary from source. Another user must be able to run leasectl, too.
func build(dir string) (err error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root := filepath.Join("..", "..")
	if released, err = caller.Build(root, dir); err != nil {
		return err
	}
	if leasectl, err = caller.BuildTool(root, dir, "leasectl"); err != nil {
		return err
	}
	clocked := filepath.Join(dir, "clocked")
	if err := os.Mkdir(clocked, 0o755); err != nil {
		return err
	}
	overlay, err := caller.Overlay(root, clocked, map[string]string{"journal/clock.go": filepath.Join("testdata", "clock.go")})
	if err != nil {
		return err
	}
	if leaselog, err = caller.Build(root, clocked, "-overlay", overlay); err != nil {
		return err
	}
	age, err = caller.BuildPackage(root, clocked, "./test/past/age", "-overlay", overlay)
	return err
}

// random returns a source of choices whose seed is told if the test fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat the choices: -seed %d", *seed)
		}
	})
	return rand.New(rand.NewPCG(*seed, 0))
}

// clock is the one that the plugin and the tests go by.
type clock struct{ offset int64 }

// clockError is what the plugin's clock claims as its error.
const clockError = 100 * time.Microsecond

// newClock returns one that is at no time ahead of the machine's, which leasectl goes by: between the two readings, others may run.
func newClock(t *testing.T) clock {
	t.Helper()
	now := time.Now().UnixNano()
	return clock{now - bootTime()}
}

func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("past: " + err.Error()) // Linux has had it since 2.6.39
	}
	return ts.Nano()
}

// now is nanoseconds since 1970.
func (c clock) now() int64 { return bootTime() + c.offset }

// env makes a plugin with the clock for tests go by the clock, in a boot.
func (c clock) env(boot journal.BootID) []string {
	return []string{fmt.Sprintf("LEASELOG_PAST_CLOCK=%d %s", c.offset, hex.EncodeToString(boot[:]))}
}

func instant(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func stamp(ns int64) string { return instant(ns).Format(time.RFC3339Nano) }

func stampSeq(seq journal.Seq) string { return strconv.FormatUint(uint64(seq), 10) }
