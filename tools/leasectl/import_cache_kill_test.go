package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/trace"
)

// TestImportCacheKilled: whenever it is killed, a second run finishes, and no lease is annotated twice.
func TestImportCacheKilled(t *testing.T) {
	trace.Need(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(t.TempDir(), "leasectl") // the test binary is leasectl when it is called so, see TestMain
	if err := os.Symlink(self, command); err != nil {
		t.Fatal(err)
	}
	const leases = 20 // of two batches
	cache := filepath.Join(t.TempDir(), "results")
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range leases {
		text := fmt.Sprintf(`{"kind":"cniCacheV1","containerId":"c%d","ifName":"eth0","networkName":"net","netns":"/nowhere/%d","cniArgs":[["K8S_POD_UID","%02400d"]]}`, i, i, i)
		if err := os.WriteFile(filepath.Join(cache, fmt.Sprintf("net-c%d-eth0", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hits := 0
	for _, kill := range []struct{ name, file string }{{"write", firstSegment}, {"fsync", firstSegment}, {"pwrite64", "lock"}} {
		for i := 1; i < 20; i++ {
			dataDir := storeToAnnotate(t, leases)
			log := filepath.Join(t.TempDir(), "log")
			out, _ := exec.Command("strace", "-f", "-qq", "-o", log, "-P", filepath.Join(dataDir, historyName, "net", kill.file),
				"-e", "trace="+kill.name, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", kill.name, i),
				command, "import", "cni-cache", cache, "--data-dir", dataDir).CombinedOutput()
			b, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			afterCacheKill(t, dataDir, cache, leases, fmt.Sprintf("killed at %s %d: %s", kill.name, i, out))
			if !strings.Contains(string(b), "killed by SIGKILL") {
				break // strace counts by thread: there need not be as many as there are batches
			}
			hits++
		}
	}
	if t.Logf("%d kills", hits); hits < 3 {
		t.Errorf("%d kills, so this test shows less than it means to", hits)
	}
}

// storeToAnnotate makes a network of leases of which nothing is known but the container, and returns its dataDir.
func storeToAnnotate(t *testing.T, leases int) (dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	dir, err := makeStore(dataDir, "net")
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var events []*journal.Event
	ip := netip.MustParseAddr("10.1.0.2")
	for i := range leases {
		events = append(events, &journal.Event{Kind: journal.KindImport, ContainerID: fmt.Sprintf("c%d", i), IfName: "eth0",
			Addresses: []journal.Address{{IP: ip, Bits: 16}}})
		ip = ip.Next()
	}
	if err := j.Append(events...); err != nil {
		t.Fatal(err)
	}
	return dataDir
}

// afterCacheKill runs the command once more and fails the test unless each lease is annotated then, by one event.
func afterCacheKill(t *testing.T, dataDir, cache string, leases int, where string) {
	t.Helper()
	before := annotations(t, dataDir)
	var stdout, stderr bytes.Buffer
	if code := run([]string{"import", "cni-cache", cache, "--data-dir", dataDir, "-o", "jsonl"}, &stdout, &stderr, time.Now); code != exitFound {
		t.Errorf("%s: once more: exit code %d: %s", where, code, &stderr)
	}
	if n := strings.Count(stdout.String(), "\n"); n > leases-before { // what was written and not synced may be there, too
		t.Errorf("%s: once more: %d leases were annotated, want at most the %d that were left", where, n, leases-before)
	}
	if n := annotations(t, dataDir); n != leases {
		t.Errorf("%s: %d annotations of %d leases", where, n, leases)
	}
	v, err := replay.Verify(filepath.Join(dataDir, historyName, "net"), filepath.Join(dataDir, "net"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Findings {
		if f.Severity != replay.SeverityNote {
			t.Errorf("%s: %+v", where, f)
		}
	}
}

// annotations counts the annotations in a network's journal.
func annotations(t *testing.T, dataDir string) (n int) {
	t.Helper()
	r, err := journal.OpenReader(filepath.Join(dataDir, historyName, "net"))
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Kind == journal.KindAnnotate {
			n++
		}
	}
	return n
}
