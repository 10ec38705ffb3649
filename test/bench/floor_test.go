package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be the process whose memory is measured.
func TestMain(m *testing.M) {
	if os.Getenv(hungry) != "" {
		eat()
		return
	}
	os.Exit(m.Run())
}

// floorWorld builds the floor for a world without stores.
func floorWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{scene: leasesScene(0, false), netns: "/no/such/netns", rng: rand.New(rand.NewPCG(1, 2)), floorDir: dir}
	w.tools.floor = filepath.Join(t.TempDir(), "floor")
	if err := build(context.Background(), "../..", w.tools.floor, "./test/bench/floor"); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestFloor has each variant do what the tables say of it: its answer, what it leaves, and its system calls.
func TestFloor(t *testing.T) {
	w := floorWorld(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Log("strace is not here: only effects are looked at")
	}
	for _, test := range []struct {
		subject subject
		verb    string
		syncs   int
		prints  bool
		stdin   bool
	}{
		{floor, "ADD", 1, true, true},
		{floor, "DEL", 1, false, true},
		{floor, "CHECK", 0, true, true},
		{floor, "STATUS", 0, true, true},
		{silent, "CHECK", 0, false, true},
		{silent, "STATUS", 0, false, true},
		{bare, "ADD", 1, true, false},
	} {
		t.Run(string(test.subject)+" "+test.verb, func(t *testing.T) {
			w.floorDir = t.TempDir()
			a := attachment{id: w.newID()}
			for i := 1; i <= 2; i++ {
				answered, err := w.call(test.subject, test.verb, a).run()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.check(test.subject, test.verb, answered); err != nil {
					t.Error(err)
				}
				if (len(answered.stdout) > 0) != test.prints {
					t.Errorf("it prints %q", answered.stdout)
				}
				wantFiles(t, w.floorDir, i*test.syncs*200)
			}
			if strace == "" {
				return
			}
			text := straced(t, strace, w.call(test.subject, test.verb, a))
			if got := readTrace(text, w.floorDir); got.syncs != test.syncs || got.bytes != test.syncs*200 {
				t.Errorf("%d syncs, %d bytes, want %d and %d", got.syncs, got.bytes, test.syncs, test.syncs*200)
			}
			if n := strings.Count(text, "flock("); n != 1 {
				t.Errorf("%d locks, want 1", n)
			}
			if got := strings.Contains(text, "read(0"); got != test.stdin {
				t.Errorf("reads the configuration: %v, want %v", got, test.stdin)
			}
		})
	}
}

// wantFiles wants a lock and, if something was appended, so many bytes.
func wantFiles(t *testing.T, dir string, appended int) {
	t.Helper()
	if info, err := os.Stat(filepath.Join(dir, "lock")); err != nil || info.Size() != 0 {
		t.Errorf("the lock: %v, %v", info, err)
	}
	info, err := os.Stat(filepath.Join(dir, "log"))
	switch {
	case appended == 0:
		if err == nil {
			t.Error("there is a log")
		}
	case err != nil || info.Size() != int64(appended):
		t.Errorf("the log: %v, %v, want %d bytes", info, err, appended)
	}
}

// straced runs c under strace and returns what that saw.
func straced(t *testing.T, strace string, c *command) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "strace")
	c.path, c.args = strace, []string{"-f", "-y", "-s", "0", "-qq", "-e", "signal=none", "-o", out, c.path}
	answered, err := c.run()
	if err != nil || answered.exit != 0 {
		t.Fatalf("%v: exit %d: %s", err, answered.exit, answered.stderr)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFloorIsThePlugin wants all that the plugin links in the floor, and with an argument the plugin itself.
func TestFloorIsThePlugin(t *testing.T) {
	deps := func(what string) []string {
		t.Helper()
		cmd := exec.Command("go", "list", "-deps", what)
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list %s: %v", what, err)
		}
		return strings.Fields(string(out))
	}
	linked := deps("./test/bench/floor")
	ofPlugin := deps(".")
	for _, p := range ofPlugin {
		if p != "github.com/leaselog/leaselog" && !slices.Contains(linked, p) {
			t.Errorf("the plugin links %s, the floor does not", p)
		}
	}
	for _, p := range linked {
		if p != "github.com/leaselog/leaselog/test/bench/floor" && !slices.Contains(ofPlugin, p) {
			t.Errorf("the floor links %s, the plugin does not: that would be an easy floor", p)
		}
	}

	w := floorWorld(t)
	plugin := filepath.Join(t.TempDir(), "leaselog")
	if err := build(context.Background(), "../..", plugin, "."); err != nil {
		t.Fatal(err)
	}
	if err := sameBuild(plugin, w.tools.floor); err != nil {
		t.Error(err)
	}
	var sizes [2]int64
	for i, path := range []string{plugin, w.tools.floor} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes[i] = info.Size()
	}
	if sizes[1] < sizes[0]*99/100 {
		t.Errorf("the floor has %d bytes, the plugin %d: the linker dropped something", sizes[1], sizes[0])
	}
	c := &command{path: w.tools.floor, args: []string{"plugin"}, env: []string{"CNI_COMMAND=VERSION"}, input: []byte(`{"cniVersion":"1.1.0"}`)}
	if answered, err := c.run(); err != nil || answered.exit != 0 || !bytes.Contains(answered.stdout, []byte("supportedVersions")) {
		t.Errorf("with an argument: %v, %+v", err, answered)
	}
}

func TestSameBuild(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, debug := range []string{"", "//go:debug panicnil=1\n"} {
		src := filepath.Join(dir, fmt.Sprint(i)+".go")
		if err := os.WriteFile(src, []byte(debug+"package main\n\nfunc main() {}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprint("bin", i))
		if err := build(context.Background(), dir, path, src); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if err := sameBuild(paths[0], paths[0]); err != nil {
		t.Error(err)
	}
	if sameBuild(paths[0], paths[1]) == nil {
		t.Error("a go:debug line in one of them passes")
	}
}
