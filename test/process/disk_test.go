package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/trace"
)

// ownMounts gives the test a mount namespace of its own, and all processes that it starts from its
// goroutine. The goroutine's thread is never used for anything else and ends with it,
// and with the thread end the mounts. Other goroutines don't see them.
func ownMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("mounts are made, which needs root: unshare: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("mounts are made: make / private: %v", err)
	}
}

// onTmpfs returns a network whose dataDir is a tmpfs of this size.
func onTmpfs(t *testing.T, bytes int64) network {
	t.Helper()
	ownMounts(t)
	n := newNetwork(t)
	if err := os.Mkdir(n.dataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", n.dataDir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", bytes)); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(t, n.dataDir) })
	return n
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// onImage returns a way to make a network whose dataDir is a file system in an image, made by this
// command.
func onImage(mkfs ...string) func(t *testing.T, bytes int64) network {
	return func(t *testing.T, bytes int64) network {
		t.Helper()
		if _, err := exec.LookPath(mkfs[0]); err != nil {
			t.Skipf("a file system is made in an image: %v", err)
		}
		ownMounts(t)
		n := newNetwork(t)
		image := filepath.Join(filepath.Dir(n.dataDir), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, bytes); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", mkfs[0], err, out)
		}
		if err := os.Mkdir(n.dataDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mount", "-o", "loop", image, n.dataDir).CombinedOutput(); err != nil {
			t.Skipf("mount a loop device: %v: %s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", n.dataDir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
		return n
	}
}

// fill writes ballast until not even a byte more fits, and returns its path.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var reserved int64
	for size := int64(64 << 20); size >= 1<<20; size /= 2 {
		for unix.Fallocate(int(f.Fd()), 0, reserved, size) == nil { // quicker, where there is much
			reserved += size
		}
	}
	if _, err := f.Seek(reserved, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		block := bytes.Repeat([]byte{1}, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

// empty gives the space of the ballast back. XFS frees what was unlinked only later.
func empty(t *testing.T, ballast string) {
	t.Helper()
	err := os.Truncate(ballast, 0)
	if err == nil {
		err = os.Remove(ballast)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// podOf returns the calls' environment and container ID as Kubernetes has them, so that
// records are as long as they get in practice.
func podOf(n network, verb string, i int) call {
	c := call{verb: verb, id: fmt.Sprintf("%064x", i), conf: n.conf(), netns: fmt.Sprintf("/var/run/netns/cni-%036x", i)}
	c.env = []string{
		fmt.Sprintf("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=production-payments;K8S_POD_NAME=checkout-backend-%016x;K8S_POD_UID=%036x", i, i),
		fmt.Sprintf("TRACEPARENT=00-%032x-%016x-01", i, i)}
	return c
}

// promisedDELs is how many DELs work on a full disk, whatever else doesn't.
const promisedDELs = 250

func TestFullDisk(t *testing.T) {
	for _, test := range []struct {
		name     string
		make     func(t *testing.T, bytes int64) network
		size     int64
		promised bool // space that is reserved for a file can be written to, whatever else is full
	}{
		{"tmpfs", onTmpfs, 2 << 20, true},
		{"ext4", onImage("mkfs.ext4", "-q", "-F", "-m", "0"), 8 << 20, true},
		{"XFS", onImage("mkfs.xfs", "-q", "-f"), 320 << 20, true},
		// It copies on write, and says that there is room where there is none.
		{"btrfs", onImage("mkfs.btrfs", "-q", "-f"), 128 << 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := test.make(t, test.size)
			leases := 0
			for ; leases < promisedDELs+10; leases++ {
				must(t, podOf(n, "ADD", leases))
			}
			ballast := fill(t, n.dataDir)
			leases = addUntilFull(t, n, leases)
			before := readHistory(t, n)
			for range 3 {
				refused(t, podOf(n, "ADD", 10_000), codeStorage)
			}
			if after := readHistory(t, n); len(after.events) != len(before.events) {
				t.Errorf("refused ADDs left events: got %d, want %d", len(after.events), len(before.events))
			}
			must(t, podOf(n, "CHECK", 0))
			gone := delUntilFull(t, n)
			t.Logf("%d DELs on a full disk", gone)
			if test.promised {
				refused(t, n.status(), codeUnavailable)
				if gone < promisedDELs {
					t.Fatalf("%d DELs on a full disk, want %d", gone, promisedDELs)
				}
				must(t, n.gcBut(t, containersOf(gone+1, leases))) // of one more
				gone++
			}
			h := readHistory(t, n)
			if got, want := len(h.leases), leases-gone; got != want {
				t.Errorf("got %d leases, want %d", got, want)
			}
			empty(t, ballast)
			must(t, n.status())
			must(t, podOf(n, "ADD", 10_000))
			for i := gone; i < leases; i++ {
				must(t, podOf(n, "DEL", i))
			}
			if h := readHistory(t, n); len(h.leases) != 1 || h.id != before.id {
				t.Errorf("got leases %v in journal %s, want one in %s", h.leases, h.id, before.id)
			}
			atRest(t, n, h.id)
		})
	}
}

// delUntilFull makes as many DELs as are promised, or until one finds no room even in what is kept back,
// and says so. It returns how many succeeded.
func delUntilFull(t *testing.T, n network) int {
	t.Helper()
	for i := range promisedDELs {
		a := do(t, podOf(n, "DEL", i))
		if a.ok() {
			continue
		}
		if a.code != codeStorage || !strings.Contains(a.msg, "no space left on device") {
			t.Errorf("%v: want code %d and the cause", a, codeStorage)
		}
		return i
	}
	return promisedDELs
}

// containersOf returns the container IDs of podOf's calls from first to before end.
func containersOf(first, end int) []string {
	var ids []string
	for i := first; i < end; i++ {
		ids = append(ids, fmt.Sprintf("%064x", i))
	}
	return ids
}

// addUntilFull makes ADDs until one says that the disk is full. It returns the number of leases.
func addUntilFull(t *testing.T, n network, leases int) int {
	t.Helper()
	for range 500 {
		a := do(t, podOf(n, "ADD", leases))
		if a.ok() {
			leases++
			continue
		}
		if a.code != codeStorage || !strings.Contains(a.msg, "room") && !strings.Contains(a.msg, "space") {
			t.Errorf("%v: want code %d and that there is no room", a, codeStorage)
		}
		return leases
	}
	t.Fatalf("%d leases on a full disk, and ADD goes on", leases)
	return leases
}

// TestLittleRoom has a new network meet a disk with anything from no space to enough.
func TestLittleRoom(t *testing.T) {
	const size = 1 << 20
	n := onTmpfs(t, size)
	made := 0
	for free := int64(0); free <= 512<<10; free += 16 << 10 {
		ballast := fill(t, n.dataDir)
		if err := os.Truncate(ballast, size-int64(os.Getpagesize())-free); err != nil {
			t.Fatal(err)
		}
		before := tree(t, n.dataDir)
		a := do(t, n.add("c1"))
		switch {
		case a.ok():
			made++
			must(t, n.check("c1"))
			must(t, n.del("c1"))
			if _, err := removeMatches(filepath.Join(n.dataDir, "*")); err != nil {
				t.Fatal(err)
			}
			if _, err := removeTree(filepath.Join(n.dataDir, ".leaselog")); err != nil {
				t.Fatal(err)
			}
			continue
		case a.code != codeStorage || !strings.Contains(a.msg, "no space left"):
			t.Errorf("%d bytes free: %v: want code %d and the reason", free, a, codeStorage)
		}
		untouched(t, n.dataDir, before)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	if made == 0 {
		t.Error("no ADD found enough room, so this test shows less than it means to")
	}
}

func TestReadOnlyDisk(t *testing.T) {
	for _, test := range []struct {
		name  string
		made  bool // there is a store
		del   int  // codes, 0 is success
		check int
	}{
		{"without a store", false, 0, codeNoLease},
		{"with a store", true, codeStorage, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := onTmpfs(t, 2<<20)
			if test.made {
				must(t, n.add("c1"))
			}
			if err := unix.Mount("", n.dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			before := tree(t, n.dataDir)
			if a := refused(t, n.add("c2"), codeStorage); !strings.Contains(a.msg, "read-only") {
				t.Errorf("got %q, want the reason", a.msg)
			}
			refused(t, n.status(), codeUnavailable)
			if a := do(t, n.check("c1")); a.code != test.check {
				t.Errorf("%v: want code %d", a, test.check)
			}
			if a := do(t, n.del("c1")); a.code != test.del {
				t.Errorf("%v: want code %d", a, test.del)
			}
			untouched(t, n.dataDir, before)
			if err := unix.Mount("", n.dataDir, "", unix.MS_REMOUNT, ""); err != nil {
				t.Fatal(err)
			}
			must(t, n.add("c2"))
			if h := readHistory(t, n); h.count(journal.KindRepair) != 0 {
				t.Error("something had to be repaired after a read-only disk")
			}
		})
	}
}

// TestFullDiskInUpkeep has the disk be full when a snapshot is due, and segments are to be archived: calls
// are answered as ever, and when there is room the next one does it.
func TestFullDiskInUpkeep(t *testing.T) {
	for _, number := range []int{1, 3} {
		t.Run(fmt.Sprintf("snapshot %d", number), func(t *testing.T) {
			n := onTmpfs(t, 4<<20)
			c := prepareSnapshot(number)(t, &n)
			snaps := len(files(t, n, "snap/*.snap"))
			segments := len(files(t, n, "journal/*"))
			ballast := fill(t, n.dataDir)
			if a := must(t, c); !strings.Contains(a.stderr, "no space left on device") {
				t.Errorf("%v: want a word on the snapshot", a)
			}
			must(t, n.del("victim"))
			must(t, n.check("witness"))
			wantLen(t, "snapshots on a full disk", len(files(t, n, "snap/*")), snaps)
			wantLen(t, "segments beside them", len(files(t, n, "journal/*")), segments)
			empty(t, ballast)
			must(t, n.add("after"))
			wantLen(t, "snapshots", len(files(t, n, "snap/*.snap")), min(number, 2))
			if got := len(files(t, n, "journal/*")); number > 1 && got >= segments {
				t.Errorf("%d segments, want fewer than %d", got, segments)
			}
			h := readHistory(t, n)
			trueSnapshots(t, n, h)
			must(t, n.status())
		})
	}
}

// TestQuota has a quota be met, which is told by an error of its own.
func TestQuota(t *testing.T) {
	trace.Need(t)
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, n *network) call
		verb    string
		fault   fault
		code    int
		reserve bool // is still there
	}{
		{"ADD, no room for a segment", prepareRotation, "ADD", fault{"fallocate", "1", "error=EDQUOT"}, codeStorage, true},
		{"DEL, no room for a segment", prepareRotation, "DEL", fault{"fallocate", "1", "error=EDQUOT"}, 0, true},
		{"ADD, no room in the segment", prepareAdd, "ADD", fault{"fsync", "1", "error=EDQUOT"}, codeStorage, true},
		{"DEL, no room in the segment", prepareAdd, "DEL", fault{"fsync", "1", "error=EDQUOT"}, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			c := test.prepare(t, &n)
			c.verb = test.verb
			a, _ := watched(t, c, test.fault)
			if a.code != test.code || a.code != 0 && !strings.Contains(a.msg, "disk quota exceeded") {
				t.Errorf("%v: want code %d, and the cause", a, test.code)
			}
			wantLen(t, "reserves", len(files(t, n, "reserve")), map[bool]int{true: 1}[test.reserve])
			must(t, n.del("victim"))
			must(t, n.add("after"))
			must(t, n.status())
			stuffed := n.add("rotates")
			stuffed.netns = stuffSegment(t, n)
			must(t, stuffed)
			wantLen(t, "reserves after a rotation", len(files(t, n, "reserve")), 1)
			atRest(t, n, readHistory(t, n).id)
		})
	}
}

// prepareAdd leaves a store that nothing is due in.
func prepareAdd(t *testing.T, n *network) call {
	t.Helper()
	must(t, n.add("witness"))
	return n.add("victim")
}
