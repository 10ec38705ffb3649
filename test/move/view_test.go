package move_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// TestViewFromTheStart is about who keeps host-local's files where host-local has never been.
func TestViewFromTheStart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		plugin string
		key    any // hostLocalView; nil for none
		view   bool
	}{
		{"leaselog", leaselog, nil, false},
		{"leaselog, view on", leaselog, true, true},
		{"host-local", standIn, nil, true},
		{"host-local, view off", standIn, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, "10.74.0.0/24", "fd74::/64")
			if test.key != nil {
				n = with(n, "hostLocalView", test.key)
			}
			must(t, test.plugin, add(n, "first"))
			must(t, test.plugin, add(n, "second"))
			if !test.view {
				if left := files(t, n); len(left) > 0 {
					t.Errorf("files of host-local: %v, want none", left)
				}
				return
			}
			agree(t, n)
			must(t, hostLocal, check(n, "first"))
			if got := must(t, hostLocal, add(n, "theirs")).IPs; got[0] != ip("10.74.0.4") || got[1] != ip("fd74::4") {
				t.Errorf("host-local gives %v, want the addresses after ours", got)
			}
			must(t, test.plugin, check(n, "theirs")) // by its files: nobody has noted it yet
			must(t, hostLocal, del(n, "first"))
			refused(t, test.plugin, codeNoLease, check(n, "first"))
			must(t, test.plugin, del(n, "second"))
			must(t, test.plugin, del(n, "theirs"))
			same(t, "leases after the last DEL", held(t, n), nil)
			same(t, "files after the last DEL", files(t, n), nil)
		})
	}
}

// TestTurns has the two plugins serve the same containers by turns, each of which must see what the other did.
func TestTurns(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "10.74.2.0/29")
	must(t, hostLocal, add(n, "pod-0"))
	owner := map[string]netip.Addr{"pod-0": ip("10.74.2.2")}
	r := random(t)
	for i := 1; i < 60; i++ {
		plugin := []string{hostLocal, leaselog, standIn}[r.IntN(3)]
		id := fmt.Sprintf("pod-%d", r.IntN(7))
		_, holds := owner[id]
		if verb := r.IntN(3); verb == 0 {
			must(t, plugin, del(n, id))
			delete(owner, id)
		} else if a := do(t, plugin, add(n, id)); a.OK() == (holds || len(owner) == 5) {
			t.Fatalf("step %d: %s ADD %s: %v, with %v", i, plugin, id, a, owner)
		} else if a.OK() {
			for other, given := range owner {
				if given == a.IPs[0] {
					t.Fatalf("step %d: %s gives %s to %s, which %s has", i, plugin, given, id, other)
				}
			}
			owner[id] = a.IPs[0]
		}
	}
	must(t, leaselog, del(n, "nobody"))
	want := map[netip.Addr]string{}
	for id, a := range owner {
		want[a] = id + "\r\neth0"
	}
	same(t, "files", files(t, n), want)
	same(t, "leases", held(t, n), want)
}

// hold takes host-local's lock on the network's folder, as a call of it does.
func hold(t *testing.T, n caller.Network) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(n.Folder(), "lock"), os.O_CREATE|os.O_RDONLY, 0o750)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// waiting waits until somebody waits for the lock.
func waiting(t *testing.T, lock *os.File) {
	t.Helper()
	st, err := lock.Stat()
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", st.Sys().(*syscall.Stat_t).Ino)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "->") && strings.Contains(line, inode) {
				return
			}
		}
	}
	t.Fatal("nobody waits for the lock")
}

// TestImportWaits: host-local writes a lease in two steps, under its lock. Who reads in between finds an address without owner.
func TestImportWaits(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "10.74.1.0/24")
	must(t, hostLocal, add(n, "first"))
	lock := hold(t, n)
	put(t, n, "10.74.1.3", "")
	answers := make(chan caller.Answer)
	go func() { answers <- do(t, leaselog, add(n, "ours")) }()
	waiting(t, lock)
	put(t, n, "10.74.1.3", "second\r\neth0")
	put(t, n, "last_reserved_ip.0", "10.74.1.3")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; !a.OK() || a.IPs[0] != ip("10.74.1.4") {
		t.Errorf("ADD: %v, want 10.74.1.4", a)
	}
	same(t, "leases", held(t, n), map[netip.Addr]string{
		ip("10.74.1.2"): "first\r\neth0", ip("10.74.1.3"): "second\r\neth0", ip("10.74.1.4"): "ours\r\neth0"})
	agree(t, n)
}
