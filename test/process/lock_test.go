package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold takes the flock of a file until the returned function is called.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

// impatient returns the network with calls that wait 200 ms for the lock.
func impatient(n network) network {
	n.ipam = map[string]any{"lockTimeout": "200ms"}
	return n
}

// lockedOut fails the test unless the call waits for the lock, gives up and says for whom.
func lockedOut(t *testing.T, c call) {
	t.Helper()
	a := refused(t, c, codeTryAgain)
	if holder := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(a.msg, holder) {
		t.Errorf("got %q, want it to name %s", a.msg, holder)
	}
	if took := a.returned - a.called; took < 200*time.Millisecond || took > 20*time.Second { // it would be 30 without being told
		t.Errorf("%s gave up after %s, want 200 ms", c.verb, took)
	}
}

func TestLocked(t *testing.T) {
	n := newNetwork(t)
	hasty := impatient(n)
	must(t, n.add("c1"))
	release := hold(t, filepath.Join(n.storeDir(), "lock"))
	before := tree(t, n.dataDir)
	lockedOut(t, hasty.add("c2"))
	lockedOut(t, hasty.del("c1"))
	lockedOut(t, hasty.gc())
	for _, c := range []call{n.check("c1"), n.status()} {
		if a := must(t, c); a.returned-a.called > 20*time.Second {
			t.Errorf("%s took %s beside a held lock", c.verb, a.returned-a.called)
		}
	}
	refused(t, n.check("c2"), codeNoLease)
	untouched(t, n.dataDir, before)
	release()
	must(t, n.add("c2"))
	must(t, n.del("c1"))
}

// TestLockedWhileMaking is about the lock under which networks are made.
func TestLockedWhileMaking(t *testing.T) {
	n := newNetwork(t)
	history := filepath.Dir(n.storeDir())
	if err := os.MkdirAll(history, 0o700); err != nil {
		t.Fatal(err)
	}
	release := hold(t, filepath.Join(history, ".lock"))
	before := tree(t, n.dataDir)
	lockedOut(t, impatient(n).add("c1"))
	must(t, n.status())
	must(t, n.del("c1"))
	untouched(t, n.dataDir, before)
	release()
	must(t, n.add("c1"))
	oneStore(t, n, 1)
}

// TestWaits has a call get the lock that is given up in time.
func TestWaits(t *testing.T) {
	n := newNetwork(t)
	must(t, n.add("c1"))
	release := hold(t, filepath.Join(n.storeDir(), "lock"))
	p := start(t, n.add("c2"))
	if p == nil {
		return
	}
	p.release()
	const wait = 300 * time.Millisecond
	time.Sleep(wait)
	release()
	if a := p.wait(); !a.ok() || a.returned-a.called < wait {
		t.Errorf("%v after %s: want success after more than %s", a, a.returned-a.called, wait)
	}
}
