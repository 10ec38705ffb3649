package crash

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// baseVariable names another folder than the usual one for recordings and images.
const baseVariable = "LEASELOG_TEST_CRASH_BASE"

var (
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random choices")
	keep = flag.String("keep", "", "folder for the images that break the promise")

	plugin string // the built plugin
	base   string // where recordings and images are
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Images come and go by the thousand: in memory if possible.
	parent := os.Getenv(baseVariable)
	if _, err := os.Stat("/dev/shm"); parent == "" && err == nil {
		parent = "/dev/shm"
	}
	var err error
	if base, err = os.MkdirTemp(parent, "leaselog-crash-"); err == nil {
		defer os.RemoveAll(base)
		plugin, err = caller.Build(filepath.Join("..", ".."), base)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	debug.SetGCPercent(400) // images are garbage by the gigabyte, and none lives long
	return m.Run()
}
