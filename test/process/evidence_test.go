package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/skipping"
)

// The pods of TestGCByNamespace.
const (
	evidenceWorkers = 32
	evidencePods    = 6 // of each worker, one after the other
)

// cluster is a node's runtime: it knows which of its pods are alive.
type cluster struct {
	t   *testing.T
	n   network
	dir string // of the namespaces' files

	mutex sync.Mutex
	live  map[netip.Addr]string // pods by address
	lives map[string][]life     // of each container ID

	listing sync.Mutex
	list    string          // the file with the IDs of pods, from before their ADD until they are ended
	listed  map[string]bool // what it says
}

// life is from when a runtime knew that the pod had its address until it began to end it, on the boot's clock.
type life struct{ begun, ended int64 }

const alive = 1<<63 - 1

func bootTime() int64 { return journal.ReadClock().BootTime }

// TestGCByNamespace lets leasectl gc look for gone namespaces over and over, and by turns at the runtime's list, while
// pods come and go by 32 processes at a time, many without a DEL. What it frees must be dead, and in the end all that is.
func TestGCByNamespace(t *testing.T) {
	c := newCluster(t)
	leasectl, err := caller.BuildTool(filepath.Join("..", ".."), t.TempDir(), "leasectl")
	if err != nil {
		t.Fatal(err)
	}
	must(t, c.n.add("first")) // while a store is made, its claim leads nowhere
	must(t, c.n.del("first"))
	seeds := random(t)
	var workers sync.WaitGroup
	for w := range evidenceWorkers {
		r := rand.New(rand.NewPCG(seeds.Uint64(), 0))
		workers.Go(func() { c.work(fmt.Sprintf("pod%d", w), r) })
	}
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	runs := 0
	for over := false; !over; runs++ {
		select {
		case <-done:
			over = true // what is left is for the last run
		default:
		}
		args := []string{"gc", "--data-dir", c.n.dataDir, "--now"}
		if runs%2 == 0 || over {
			args = append(args, "--netns")
		} else {
			args = append(args, "--live", c.list, "--allow-empty")
		}
		if out, err := exec.Command(leasectl, args...).CombinedOutput(); err != nil {
			t.Errorf("run %d: %v: %s", runs, err, out)
		}
	}
	released := c.judge()
	t.Logf("%d releases by %d runs", released, runs)
	if runs < 3 || released < evidenceWorkers/2 {
		t.Error("this shows less than it means to")
	}
	noLitter(t, c.n)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, n: newNetwork(t), dir: t.TempDir(), live: map[netip.Addr]string{}, lives: map[string][]life{},
		list: filepath.Join(t.TempDir(), "list"), listed: map[string]bool{}}
	c.relist("", false)
	probe := filepath.Join(c.dir, "probe")
	err := makeNamespace(probe)
	if err == nil {
		err = removeNamespace(probe)
	}
	if err != nil {
		skipping.For(t, fmt.Sprintf("needs the right to make and mount network namespaces: %v", err))
	}
	t.Cleanup(func() {
		left, _ := os.ReadDir(c.dir)
		for _, e := range left {
			if err := removeNamespace(filepath.Join(c.dir, e.Name())); err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// makeNamespace mounts a new network namespace at path.
func makeNamespace(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		return fmt.Errorf("network namespace at %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

func removeNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}

// work has pods come and go. Some have the ID, and the namespace's path, of one that was there before.
func (c *cluster) work(name string, r *rand.Rand) {
	id := ""
	for i := range evidencePods {
		if id == "" || r.IntN(3) > 0 {
			id = fmt.Sprintf("%s-%d", name, i)
		}
		path := filepath.Join(c.dir, id)
		if err := makeNamespace(path); err != nil {
			c.t.Error(err)
			return
		}
		c.relist(id, true)
		ip, ok := c.add(id, path)
		if ok && i == evidencePods-1 && r.IntN(2) > 0 {
			return // stays
		}
		if ok {
			c.end(id, ip)
		}
		c.relist(id, false)
		if r.IntN(2) > 0 {
			if a := do(c.t, c.call("DEL", id, path)); !a.ok() {
				c.t.Errorf("%v: want success", a)
			}
		}
		if err := removeNamespace(path); err != nil {
			c.t.Error(err)
			return
		}
	}
}

// relist puts a pod on the runtime's list or takes it off, for readers at once.
func (c *cluster) relist(id string, on bool) {
	c.listing.Lock()
	defer c.listing.Unlock()
	if delete(c.listed, id); on {
		c.listed[id] = true
	}
	text := strings.Join(slices.Collect(maps.Keys(c.listed)), "\n")
	if err := errors.Join(os.WriteFile(c.list+".new", []byte(text), 0o600), os.Rename(c.list+".new", c.list)); err != nil {
		c.t.Error(err)
	}
}

func (c *cluster) call(verb, id, path string) call {
	return call{verb: verb, id: id, netns: path, conf: c.n.conf()}
}

// add has the pod get an address, which nobody may have who is alive.
func (c *cluster) add(id, path string) (netip.Addr, bool) {
	a := do(c.t, c.call("ADD", id, path))
	if !a.ok() {
		if a.code != codeDuplicate {
			c.t.Errorf("%v: want success, or that its lease of before is there", a)
		}
		return netip.Addr{}, false
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if other, taken := c.live[a.ips[0]]; taken {
		c.t.Errorf("%s was given to %s while %s has it", a.ips[0], id, other)
	}
	c.live[a.ips[0]] = id
	c.lives[id] = append(c.lives[id], life{bootTime(), alive})
	return a.ips[0], true
}

// end begins to end a pod: from here on it may be released.
func (c *cluster) end(id string, ip netip.Addr) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.lives[id][len(c.lives[id])-1].ended = bootTime()
	delete(c.live, ip)
}

// judge looks at each release in the journal, and at what is held in the end. It returns how many releases gc made.
func (c *cluster) judge() int {
	c.t.Helper()
	r, err := journal.OpenReader(c.n.storeDir())
	if err != nil {
		c.t.Fatal(err)
	}
	released := 0
	held := map[netip.Addr]string{}
	for rec, err := range r.Records(0) {
		if err != nil {
			c.t.Fatal(err)
		}
		ev := &rec.Event
		for _, a := range ev.Addresses {
			if held[a.IP] = ev.ContainerID; ev.Kind != journal.KindAdd {
				delete(held, a.IP)
			}
		}
		if ev.Kind != journal.KindRelease || ev.Reason != journal.ReasonGC {
			continue
		}
		released++
		for _, l := range c.lives[ev.ContainerID] {
			if l.begun <= ev.BootTime && ev.BootTime < l.ended {
				c.t.Errorf("event %d released %s in the middle of its life: %s", ev.Seq, ev.ContainerID, ev.Text)
			}
		}
	}
	got, want := bytes.Buffer{}, bytes.Buffer{}
	fmt.Fprint(&got, held)
	fmt.Fprint(&want, c.live)
	if got.String() != want.String() {
		c.t.Errorf("held in the end: %s, want what is alive: %s", got.String(), want.String())
	}
	return released
}
