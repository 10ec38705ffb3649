package main

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// full has every kill tried, not some of them.
var full = flag.Bool("full", false, "kill at every system call, not at some")

// killed are the system calls before which a process is killed: all that change files or make them.
var killed = []string{"openat", "unlinkat", "write", "pwrite64", "ftruncate", "utimensat", "fchmodat", "fsync", "syncfs", "renameat"}

// killPoint is the n-th call of a name.
type killPoint struct {
	name string
	n    int
	line string // of the log, without a kill
}

// killPoints reads what strace wrote of a run.
func killPoints(t *testing.T, log string, names []string) []killPoint {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	var points []killPoint
	for line := range strings.Lines(string(b)) {
		_, call, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(strings.TrimSpace(call), "(")
		if !slices.Contains(names, name) {
			continue // a call that goes on, or a signal
		}
		seen[name]++
		if name != "openat" || strings.Contains(line, "O_CREAT") {
			points = append(points, killPoint{name, seen[name], line})
		}
	}
	return points
}

// TestHandOverKilled: whenever it is killed, the folder is still claimed, every lease is held and a second run
// finishes; or it is complete.
func TestHandOverKilled(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace, to kill at a system call")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(t.TempDir(), "leasectl") // the test binary is leasectl when it is called so, see TestMain
	if err := os.Symlink(self, command); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	handOver := func(n *node, flags ...string) string {
		args := append([]string{"-f", "-qq", "-o", log, "-e", "trace=" + strings.Join(killed, ",")}, flags...)
		out, _ := exec.Command("strace", append(args, command, "export", "host-local", n.folder("pods"), "--data-dir", n.dataDir)...).CombinedOutput()
		return string(out)
	}
	r := rand.New(rand.NewPCG(seeded(t), 3))
	for _, view := range []allocator.ViewMode{allocator.ViewOff, allocator.ViewOn} {
		n, want := beforeHandOver(t, view)
		out := handOver(n)
		afterKill(t, n, want, false, "not killed: "+out)
		points, hits := killPoints(t, log, killed), 0
		syncedFirst(t, points)
		for _, p := range points {
			// A file that is gone from a view is a lease that others have ended, unless the view is forgotten first.
			always := *full || view == allocator.ViewOn && strings.Contains(p.line, "O_EXCL") && strings.Contains(p.line, "/10.1.0.")
			if !always && r.IntN(len(points)) >= 5 {
				continue
			}
			n, want := beforeHandOver(t, view)
			out := handOver(n, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.name, p.n))
			afterKill(t, n, want, r.IntN(2) == 0, fmt.Sprintf("view %d, killed at %s %d: %s", view, p.name, p.n, out))
			if b, err := os.ReadFile(log); err == nil && strings.Contains(string(b), "killed by SIGKILL") {
				hits++
			}
		}
		if len(points) < 12 || *full && hits < len(points)-2 {
			t.Errorf("view %d: %d calls and %d kills, so this test shows less than it means to", view, len(points), hits)
		}
		t.Logf("view %d: %d of %d kills", view, hits, len(points))
	}
}

// syncedFirst wants all files synced before the claim goes, and that synced too: a kill shows nothing of it, power loss would.
func syncedFirst(t *testing.T, points []killPoint) {
	t.Helper()
	claim := slices.IndexFunc(points, func(p killPoint) bool {
		return p.name == "unlinkat" && strings.Contains(p.line, "/pods/"+journal.ClaimName+`"`)
	})
	if claim < 0 || claim+1 == len(points) || points[claim+1].name != "fsync" {
		t.Fatalf("the claim is not removed and synced: %v", points)
	}
	var before []string
	for _, p := range slices.Backward(points[:claim]) {
		if before = append(before, p.name); p.name == "syncfs" {
			break
		}
	}
	if want := []string{"fsync", "syncfs"}; !slices.Equal(before, want) {
		t.Errorf("before the claim is removed, backwards: %v, want %v", before, want)
	}
}

// beforeHandOver makes a network whose files have to be mended: one has another time, and without a view some are missing and some are
// of leases that were released. It returns who holds what.
func beforeHandOver(t *testing.T, view allocator.ViewMode) (n *node, want map[string]string) {
	t.Helper()
	n = newNode(t, "pods", "10.1.0.0/24")
	n.must(os.Mkdir(n.folder("pods"), 0o755))
	for i := range 3 {
		n.must(hostlocal.Put(n.folder("pods"), hostlocal.Lease{IP: n.sets[0][0].Start.Next().Next(), ContainerID: "old", IfName: "eth0"}))
		n.must(os.Rename(filepath.Join(n.folder("pods"), "10.1.0.3"), filepath.Join(n.folder("pods"), fmt.Sprintf("10.1.0.%d", 50+i))))
	}
	n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, View: view, LockTimeout: 10 * time.Second})
	n.give("a")
	n.give("b")
	n.del("old")
	at := time.Unix(1, 0)
	for _, name := range []string{"10.1.0.2", "10.1.0.3"} {
		if err := os.Chtimes(filepath.Join(n.folder("pods"), name), at, at); err != nil && view == allocator.ViewOn {
			t.Fatal(err)
		}
	}
	return n, map[string]string{"10.1.0.2": "a", "10.1.0.3": "b"}
}

// afterKill fails the test unless the folder is as it may be; with call, a call of leaselog comes before the second run.
func afterKill(t *testing.T, n *node, want map[string]string, call bool, where string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(n.folder("pods"), journal.ClaimName)); err == nil {
		if call {
			n.give("c")
			want["10.1.0.4"] = "c"
		}
		for ip, id := range want {
			held, err := n.store.Check(owner(id))
			if err != nil || !slices.ContainsFunc(held, func(l state.Lease) bool { return l.IP.String() == ip }) {
				t.Errorf("%s: still claimed, but %s does not hold %s: %v, %v", where, id, ip, held, err)
			}
		}
		if _, err := n.store.HandOver(); err != nil {
			t.Errorf("%s: once more: %v", where, err)
			return
		}
	}
	content, err := hostlocal.Read(n.folder("pods"))
	n.must(err)
	got := map[string]string{}
	for _, l := range content.Leases {
		got[l.IP.String()] = l.ContainerID
		if at := l.Time.Unix(); at == 1 {
			t.Errorf("%s: %s has another time than its lease", where, l.IP)
		}
	}
	if !maps.Equal(got, want) || len(content.Cursors) != 1 || len(content.Warnings) > 0 {
		t.Errorf("%s: got %v, cursors %v, warnings %q, want %v", where, got, content.Cursors, content.Warnings, want)
	}
}
