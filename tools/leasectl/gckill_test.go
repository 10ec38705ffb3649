package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// TestGCKilled kills a run between two batches: what it released stays released, and the next run does the rest.
func TestGCKilled(t *testing.T) {
	const leases, tries = 3000, 5
	for range tries {
		dataDir, dir := fill(t, leases)
		cmd, _ := start(t, "gc", "--data-dir", dataDir, "--netns", "--now")
		waitForRelease(t, dir, leases)
		// Who holds the lock has the process stand between two batches, unless it is done.
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		lock.Close()
		first := len(releases(t, dir))
		if first == leases {
			continue // it was faster
		}
		if first == 0 {
			t.Fatal("nothing was released before the kill")
		}
		var out, words bytes.Buffer
		for _, args := range [][]string{{"verify"}, {"gc", "--netns", "--now"}, {"verify"}} {
			if code := run(append(args, "--data-dir", dataDir), &out, &words, time.Now); code != exitFound {
				t.Fatalf("%s after the kill: exit code %d\n%s", args[0], code, words.String())
			}
		}
		if want := fmt.Sprintf("%d leases of %d released", leases-first, leases-first); !bytes.Contains(words.Bytes(), []byte(want)) {
			t.Errorf("no %q in %s", want, words.String())
		}
		byID := releases(t, dir)
		for n := range leases {
			if got := byID[fmt.Sprintf("c%d", n)]; got != 1 {
				t.Errorf("c%d was released %d times, want once", n, got)
			}
		}
		return
	}
	t.Fatalf("of %d runs none was caught between two batches", tries)
}

// fill makes a network whose containers' namespaces are all gone.
func fill(t *testing.T, leases int) (dataDir, dir string) {
	t.Helper()
	dataDir, err := os.MkdirTemp("/dev/shm", "leaselog")
	if err != nil {
		dataDir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dataDir) })
	gone := filepath.Join(t.TempDir(), "gone") // what is below /dev proves nothing
	var events []journal.Event
	ip := netip.MustParseAddr("10.1.0.2")
	for n := range leases {
		events = append(events, journal.Event{Kind: journal.KindAdd, ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0",
			NetNS: gone, Addresses: []journal.Address{{IP: ip, Bits: 16}}})
		ip = ip.Next()
	}
	if err := liveStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
	return dataDir, filepath.Join(dataDir, historyName, "net")
}

// waitForRelease waits until a store that was filled holds a release.
func waitForRelease(t *testing.T, dir string, leases int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		r, err := journal.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		if int(r.Coverage().Durable) > 1+leases { // genesis and adds
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is released")
		}
	}
}

// releases counts the releases of each container.
func releases(t *testing.T, dir string) map[string]int {
	t.Helper()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]int{}
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Kind == journal.KindRelease {
			byID[rec.Event.ContainerID]++
		}
	}
	return byID
}
