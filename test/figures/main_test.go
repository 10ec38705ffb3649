package figures_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

var update = flag.Bool("update", false, "write the figures in testdata anew")

// version is what the plugin is told that it is. It stands in events.
const version = "v0.0.0-figures"

var (
	leaselog string // the plugin, built as make build does
	counted  string // the plugin that tells its allocations
	leasegen string

	noMake error // why it is not built by make
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leaselog-figures-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		return 1
	}
	return m.Run()
}

// build makes the binaries, all at once: a link leaves most of a machine idle.
func build(dir string) error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	var errs [3]error
	group.Go(func() { leaselog, errs[0] = buildRelease(root, dir) })
	group.Go(func() { counted, errs[1] = caller.BuildPackage(root, dir, "./test/figures/counted") })
	group.Go(func() { leasegen, errs[2] = caller.BuildTool(root, dir, "leasegen") })
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// buildRelease runs make build, but for the tools. Its go command is one that passes them over.
func buildRelease(root, dir string) (string, error) {
	bin := filepath.Join(dir, "release")
	goCommand := filepath.Join(dir, "go-but-tools")
	script := "#!/bin/sh\ncase \"$*\" in build*./tools/*) exit 0 ;; esac\nexec go \"$@\"\n"
	if err := os.WriteFile(goCommand, []byte(script), 0o700); err != nil {
		return "", err
	}
	if _, err := exec.LookPath("make"); err != nil {
		noMake = err
		return caller.Build(root, dir, "-ldflags", "-s -w -X github.com/leaselog/leaselog/plugin.version="+version)
	}
	cmd := exec.Command("make", "-C", root, "build", "GO="+goCommand, "BIN="+bin, "VERSION="+version)
	for _, word := range os.Environ() {
		if key, _, _ := strings.Cut(word, "="); key != "MAKEFLAGS" && key != "MAKELEVEL" && key != "MFLAGS" {
			cmd.Env = append(cmd.Env, word) // of the make that runs this test
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return filepath.Join(bin, "leaselog"), nil
}

// needAMD64 skips the test where the golden figures are not those of this architecture.
func needAMD64(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skipf("the figures are of amd64, this is %s", runtime.GOARCH)
	}
}
