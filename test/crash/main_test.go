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
	full = flag.Bool("full", false, "try twenty times as many disk states at each crash point")
	keep = flag.String("keep", "", "folder for the images that break the promise")

	plugin string // the built plugin
	tool   string // leasectl; "" until a test needs it
	pinned string // the plugin, all of whose calls are made by one thread; "" until a test needs it
	base   string // where recordings and images are
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// leasectl builds the tool whose calls strace can count, once.
func leasectl(t *testing.T) string {
	t.Helper()
	if tool == "" {
		var err error
		if tool, err = caller.BuildPinnedTool(filepath.Join("..", ".."), filepath.Join(base, "tool"), "leasectl"); err != nil {
			t.Fatal(err)
		}
	}
	return tool
}

// onOneThread builds the plugin whose calls strace can count, once.
func onOneThread(t *testing.T) string {
	t.Helper()
	if pinned == "" {
		var err error
		if pinned, err = caller.BuildPinned(filepath.Join("..", ".."), filepath.Join(base, "pinned")); err != nil {
			t.Fatal(err)
		}
	}
	return pinned
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
