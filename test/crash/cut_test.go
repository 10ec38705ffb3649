package crash

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// changing are the system calls at which TestCut cuts the power.
var changing = []string{"openat", "write", "pwrite64", "fsync", "ftruncate", "fallocate", "renameat", "linkat", "unlinkat", "mkdirat", "fchmod"}

// TestCut kills the plugin at each of its system calls on a real ext4 file system and takes at once what the kernel has
// written to the disk below, with nothing of what is still in its caches. That disk is mounted, so that ext4
// recovers it by its own journal, and the store on it has to keep the promise.
func TestCut(t *testing.T) {
	if !*onDisk {
		t.Skip("only with -real")
	}
	trace.Need(t)
	if os.Getenv(baseVariable) == "" {
		inNamespace(t, "TestCut", t.TempDir(), `exec "$@"`)
		return
	}
	c := newCutter(t)
	tests := []struct {
		name  string
		verb  string
		id    string
		empty bool
	}{
		{"ADD", "ADD", "long-3", false},
		{"DEL", "DEL", "c1", false},
		{"ADD that makes the store", "ADD", "c1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.empty = tt.empty
			cuts := 0
			for _, name := range changing {
				for n := 1; c.cut(t, tt.verb, tt.id, name, n); n++ {
					cuts++
				}
			}
			t.Logf("cut at %d system calls", cuts)
			if cuts < 10 {
				t.Errorf("cut at %d system calls only", cuts)
			}
		})
	}
}

// cutter has disks to cut the power of.
type cutter struct {
	net    caller.Network
	mount  string
	full   string // an image with a store in which c1 and c2 hold addresses
	blank  string // one without
	used   string // the image that is mounted while the plugin runs
	left   string // and what was on it when the power went
	before []journal.Hash
	held   map[string]netip.Addr
	empty  bool // begin without a store
}

func newCutter(t *testing.T) *cutter {
	t.Helper()
	at := func(name string) string { return filepath.Join(base, name) }
	c := &cutter{mount: at("mount"), full: at("full"), blank: at("blank"), used: at("used"), left: at("left"), held: map[string]netip.Addr{}}
	c.net = caller.Network{Name: "pods", DataDir: filepath.Join(c.mount, "data"), Ranges: [][]caller.Range{{{Subnet: "10.1.0.0/24"}}}}
	if err := os.Mkdir(c.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	sh(t, `truncate -s 32M "$1" && mkfs.ext4 -q -F "$1" && cp "$1" "$2"`, c.blank, c.full)
	c.mounted(t, c.full, func() {
		for _, id := range []string{"c1", "c2"} {
			a, err := c.call("ADD", id).Run(plugin)
			if err != nil || !a.OK() {
				t.Fatal(a, err)
			}
			c.held[id] = a.IPs[0]
		}
		hashes, _ := c.history(t)
		c.before = hashes
	})
	return c
}

func (c *cutter) call(verb, id string) caller.Call {
	return caller.Call{Network: c.net, Verb: verb, ID: id, NetNS: netNS(id)}
}

// sh runs a script with arguments.
func sh(t *testing.T, script string, args ...string) {
	t.Helper()
	if out, err := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// mounted runs f with an image mounted. The file system's own commits wait for a sync, so that a copy of the image
// is not taken in the middle of one.
func (c *cutter) mounted(t *testing.T, image string, f func()) {
	t.Helper()
	sh(t, `mount -o loop,commit=600 "$1" "$2"`, image, c.mount)
	defer sh(t, `umount "$1"`, c.mount)
	f()
}

// cut makes a call that is killed at its nth system call of a name, and looks at what is left. It returns false if the call
// ended before.
func (c *cutter) cut(t *testing.T, verb, id, name string, n int) (killed bool) {
	t.Helper()
	from := c.full
	if c.empty {
		from = c.blank
	}
	sh(t, `cp --sparse=always "$1" "$2"`, from, c.used)
	c.mounted(t, c.used, func() {
		a, err := c.call(verb, id).Run(plugin, "strace", "-f", "-qq", "-o", os.DevNull,
			"-e", "trace="+name, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", name, n))
		if err != nil {
			t.Fatal(err)
		}
		killed = a.Killed()
		sh(t, `cp --sparse=always "$1" "$2"`, c.used, c.left)
	})
	c.mounted(t, c.left, func() {
		if killed {
			c.recovered(t, verb, id, fmt.Sprintf("%s %d", name, n))
		} else {
			c.acknowledged(t, verb, id)
		}
	})
	return killed && !t.Failed()
}

// acknowledged looks for a call that was answered just before the power went.
func (c *cutter) acknowledged(t *testing.T, verb, id string) {
	t.Helper()
	if err := c.otherBoot(); err != nil {
		t.Error(err)
	}
	const noLease = 103
	want := 0
	if verb == "DEL" {
		want = noLease
	}
	if a, err := c.call("CHECK", id).Run(plugin); err != nil || a.Code != want {
		t.Errorf("%s %s was answered, then CHECK: %v %v, want code %d", verb, id, a, err, want)
	}
}

// recovered makes the calls after the power is back.
func (c *cutter) recovered(t *testing.T, verb, id, place string) {
	t.Helper()
	wrong := func(format string, args ...any) {
		t.Errorf("%s %s, power cut at %s: %s", verb, id, place, fmt.Sprintf(format, args...))
	}
	if err := c.otherBoot(); err != nil {
		wrong("%v", err)
		return
	}
	for _, call := range []caller.Call{c.call("ADD", newcomer), c.call("DEL", id), c.call("CHECK", "c2")} {
		if c.empty && call.Verb == "CHECK" {
			call = c.call("CHECK", newcomer)
		}
		if a, err := call.Run(plugin); err != nil || !a.OK() || a.Stderr != "" {
			wrong("%s %s afterwards: %v %v", call.Verb, call.ID, a, err)
		}
	}
	hashes, h := c.history(t)
	if !c.empty && (len(hashes) < len(c.before) || !slices.Equal(hashes[:len(c.before)], c.before)) {
		wrong("acknowledged events are not there")
	}
	for owner, ips := range h {
		if ip, ok := c.held[owner.ContainerID]; !c.empty && ok && owner.ContainerID != id && !slices.Equal(ips, []netip.Addr{ip}) {
			wrong("%s holds %v, want %v", owner.ContainerID, ips, ip)
		}
	}
	if len(h[ownerOf(newcomer)]) != 1 || len(h[ownerOf(id)]) != 0 {
		wrong("in the end %v", h)
	}
}

// otherBoot makes the marker another boot's.
func (c *cutter) otherBoot() error {
	f, err := os.OpenFile(filepath.Join(c.net.StoreDir(), "lock"), os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	was, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	now, err := markerHere(was, f)
	if err == nil && !bytes.Equal(was, now) {
		_, err = f.WriteAt(now, 0)
	}
	return err
}

// history reads all events and folds them.
func (c *cutter) history(t *testing.T) ([]journal.Hash, held) {
	t.Helper()
	reader, err := journal.OpenReader(c.net.StoreDir())
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer reader.Close()
	var hashes []journal.Hash
	h, owners := held{}, map[netip.Addr]state.Attachment{}
	for rec, err := range reader.Records(0) {
		if err == nil && rec.Event.Seq > 1 && rec.Event.Prev != hashes[len(hashes)-1] {
			err = fmt.Errorf("event %d does not continue the one before", rec.Event.Seq)
		}
		if err == nil {
			err = h.fold(&rec.Event, owners)
		}
		if err != nil {
			t.Error(err)
			return hashes, h
		}
		hashes = append(hashes, journal.RecordHash(rec.Raw))
	}
	return hashes, h
}
