package crash

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

var onDisk = flag.Bool("real", false, "have the built plugin recover images on a real ext4 file system; needs root")

// TestReal records on ext4, writes images there and has the built plugin recover them, a process for each call.
func TestReal(t *testing.T) {
	if !*onDisk {
		t.Skip("only with -real")
	}
	trace.Need(t)
	if os.Getenv(baseVariable) == "" {
		onExt4(t)
		return
	}
	total, tried := 0, 0
	for i, s := range slices.Concat(scenarios, moves) {
		if s.name == "random" {
			continue // it has too many crash points for processes
		}
		t.Run(s.name, func(t *testing.T) {
			s.limits = limits{exhaustive: 12, single: 2, random: 8}
			if i >= len(scenarios) { // with many times the files
				s.limits = limits{exhaustive: 3, single: 1, random: 1}
			}
			images, trials := s.explore(t, func(rec *recording, root string) calls { return newByPlugin(rec, plugin, root) })
			total += images
			tried += trials
		})
	}
	t.Logf("%d distinct images, %d trials, seed %d", total, tried, *seed)
	if total < wantedReal {
		t.Errorf("%d distinct images, want %d", total, wantedReal)
	}
}

// wantedReal is how many images the built plugin has to recover at least.
const wantedReal = 2500

// onExt4 runs TestReal once more, with its images on a new file system.
func onExt4(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	mount := filepath.Join(dir, "mount")
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, "TestReal", mount, `truncate -s 256M "$0" && mkfs.ext4 -q -F "$0" && mount -o loop "$0" "`+mount+`" && exec "$@"`)
}

// inNamespace runs a test once more in a mount namespace of its own, by a script that has a place for an image as $0 and
// the test as the rest. Mounts are gone with the last process in there, however that ends, and
// loop devices with them.
func inNamespace(t *testing.T, test, folder, script string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a file system is mounted: needs root")
	}
	for _, tool := range []string{"unshare", "mkfs.ext4", "mount", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a file system is mounted: %v", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, filepath.Join(t.TempDir(), "disk"),
		self, "-test.run", "^"+test+"$", "-test.v", "-real", "-seed", strconv.FormatUint(*seed, 10))
	cmd.Env = append(os.Environ(), baseVariable+"="+folder)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
		return
	}
	t.Logf("%s", out)
}
