package jobs_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

var (
	full = flag.Bool("full", false, "try every system call of every job")
	only = flag.String("fault", "", "try this fault alone: killed, EIO or ENOSPC")
	seed = flag.Uint64("seed", 1, "seed of the choice of places; with others, others are tried, and with -full all")

	leaselog string // the plugin
	leasectl string
	pinned   string // leasectl whose main goroutine stays on one thread, by which strace counts
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leaselog-jobs-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "jobs:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	root := filepath.Join("..", "..")
	var errs [3]error
	leaselog, errs[0] = caller.Build(root, dir)
	leasectl, errs[1] = caller.BuildTool(root, dir, "leasectl")
	pinned, errs[2] = caller.BuildPinnedTool(root, filepath.Join(dir, "pinned"), "leasectl")
	return errors.Join(errs[:]...)
}
