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
	r := rand.New(rand.NewPCG(seeded(t), 3))
	for _, view := range []allocator.ViewMode{allocator.ViewOff, allocator.ViewOn} {
		hits := 0
		for _, name := range killed {
			for i := 1; i < 200; i++ {
				// A file that is gone from a view is a lease that others have ended, unless the view is forgotten first.
				always := *full || i == 1 || name == "openat" && view == allocator.ViewOn
				if !always && r.IntN(5) > 0 {
					continue
				}
				n, want := beforeHandOver(t, view)
				log := filepath.Join(t.TempDir(), "log")
				args := []string{"-f", "-qq", "-o", log, "-e", "trace=" + name, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, i)}
				if name == "openat" { // of files that are exported, not of all that a process opens
					for ip := range want {
						args = append(args, "-P", filepath.Join(n.folder("pods"), ip))
					}
				}
				args = append(args, command, "export", "host-local", n.folder("pods"), "--data-dir", n.dataDir)
				out, _ := exec.Command("strace", args...).CombinedOutput()
				b, err := os.ReadFile(log)
				n.must(err)
				where := fmt.Sprintf("view %d, killed at %s %d: %s", view, name, i, out)
				afterKill(t, n, want, view, r.IntN(2) == 0, where)
				if !strings.Contains(string(b), "killed by SIGKILL") {
					break
				}
				hits++
			}
		}
		if hits < 6 {
			t.Errorf("view %d: %d kills, so this test shows less than it means to", view, hits)
		}
		t.Logf("view %d: %d kills", view, hits)
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
func afterKill(t *testing.T, n *node, want map[string]string, view allocator.ViewMode, call bool, where string) {
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
