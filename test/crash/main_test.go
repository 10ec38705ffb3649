package crash

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

var (
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random choices")
	keep = flag.String("keep", "", "folder for the images that break the promise")

	plugin string // the built plugin
	shm    string // where recordings and images are
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Images come and go by the thousand: in memory if possible.
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	var err error
	if shm, err = os.MkdirTemp(base, "leaselog-crash-"); err == nil {
		defer os.RemoveAll(shm)
		plugin, err = caller.Build(filepath.Join("..", ".."), shm)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	return m.Run()
}
