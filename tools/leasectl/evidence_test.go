package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/skipping"
)

// check asks evidence about a lease of network net.
func check(t *testing.T, e evidence, l state.Lease, want finding, words string) {
	t.Helper()
	got, why := e.judge("net", &l)
	if got != want || !strings.Contains(why, words) {
		t.Errorf("%v, %q; want %v, ...%s...", got, why, want, words)
	}
}

func TestBootEvidence(t *testing.T) {
	now := journal.Clock{Wall: epoch.UnixNano(), BootTime: int64(time.Hour), Boot: journal.BootID{2}}
	began := epoch.Add(-time.Hour).UnixNano()
	this, other, none := journal.Clock{Boot: journal.BootID{2}}, journal.Clock{Boot: journal.BootID{1}}, journal.Clock{}
	tests := []struct {
		name  string
		lease state.Lease
		want  finding
		words string
	}{
		{"of this boot", state.Lease{Clock: this}, living, "given in this boot"},
		{"of another", state.Lease{Clock: other}, dead, "recorded in boot 01000000-"},
		{"of an unknown one", state.Lease{Clock: none}, unjudged, "no boot ID was recorded"},
		{"claimed before", state.Lease{Clock: this, Import: true, Claimed: began - 1}, dead, "began at 2025-12-31T22:59:59.999999999Z by the word of its source, before this boot"},
		{"claimed as it began", state.Lease{Clock: this, Import: true, Claimed: began}, living, "in this boot"},
		{"claimed since", state.Lease{Clock: this, Import: true, Claimed: began + 1}, living, "in this boot"},
		{"claimed by a clock that was not set", state.Lease{Clock: this, Import: true, Claimed: 20e9}, unjudged, "began at 1970-01-01T00:00:20.000000000Z by the word of its source, whose clock was not set then"},
		{"nothing claimed", state.Lease{Clock: this, Import: true}, unjudged, "does not tell when it began"},
		{"imported in another", state.Lease{Clock: other, Import: true, Claimed: began + 1}, dead, "recorded in boot 01000000-"},
		{"blocked, of another", state.Lease{Clock: other, Import: true, Blocked: true}, dead, "recorded in boot 01000000-"},
		{"claim does not count", state.Lease{Clock: this, Claimed: began - 1}, living, "given in this boot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &bootEvidence{}
			if err := e.observe(&observation{clock: now}); err != nil {
				t.Fatal(err)
			}
			check(t, e, tt.lease, tt.want, tt.words)
		})
	}
	if err := new(bootEvidence).observe(&observation{}); err == nil {
		t.Error("a kernel without a boot ID can be asked")
	}
}

func TestLiveEvidence(t *testing.T) {
	boot := journal.BootID{2}
	at := func(sec int64) journal.Clock {
		return journal.Clock{Boot: boot, BootTime: sec * 1e9, Wall: epoch.Unix()*1e9 + sec*1e9}
	}
	ofOther := at(5000)
	ofOther.Boot = journal.BootID{1}
	blocked := state.Lease{Clock: at(1), Blocked: true}
	tests := []struct {
		name    string
		once    bool
		written int64 // 0 is no file
		clock   journal.Clock
		id      string
		want    finding
		words   string
	}{
		{"listed", false, 0, at(1), "alive", living, "listed"},
		{"not listed", false, 0, at(1), "c", dead, "not listed"},
		{"just before the run", false, 0, at(999), "c", dead, "not listed"},
		{"with the run", false, 0, at(1000), "c", unjudged, "began after leasectl did"},
		{"since", false, 0, at(2000), "c", unjudged, "began after leasectl did"},
		{"of another boot", true, 0, ofOther, "c", dead, "not listed"},
		{"read once, old", true, 0, at(940), "c", dead, "not listed"},
		{"read once, young", true, 0, at(941), "c", unjudged, "began only 59s before the list was read"},
		{"before it was written", false, 500, at(439), "c", dead, "not listed"},
		{"just before it was written", false, 500, at(441), "c", unjudged, "began only 59s before the list was written at 2026-01-01T00:08:20"},
		{"taken over just before it was written", false, 500, at(499), "c", dead, "not listed"},
		{"taken over after it was written", false, 500, at(501), "c", unjudged, "began after the list was written"},
		{"as it was written", false, 500, at(500), "c", unjudged, "began after the list was written at 2026-01-01T00:08:20"},
		{"listed, and since", true, 500, at(2000), "alive", living, "listed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := parseLive("alive")
			if err != nil {
				t.Fatal(err)
			}
			if tt.written != 0 {
				list.written = epoch.Add(time.Duration(tt.written) * time.Second)
			}
			e := &liveEvidence{once: tt.once, grace: time.Minute, open: func() (*liveList, error) { return list, nil }}
			if err := e.observe(&observation{begun: at(1000), clock: at(1001)}); err != nil {
				t.Fatal(err)
			}
			check(t, e, state.Lease{Clock: tt.clock, Import: strings.HasPrefix(tt.name, "taken over"), Attachment: state.Attachment{ContainerID: tt.id}}, tt.want, tt.words)
			check(t, e, blocked, unjudged, "no owner")
		})
	}
}

// TestLiveEvidenceOnce: standard input has nothing to say the second time.
func TestLiveEvidenceOnce(t *testing.T) {
	for _, once := range []bool{false, true} {
		reads := 0
		e := &liveEvidence{once: once, allowEmpty: true, open: func() (*liveList, error) {
			reads++
			return parseLive("")
		}}
		for range 2 {
			if err := e.observe(&observation{}); err != nil {
				t.Fatal(err)
			}
		}
		if want := map[bool]int{false: 2, true: 1}[once]; reads != want {
			t.Errorf("once %v: read %d times, want %d", once, reads, want)
		}
	}
}

func TestCacheEvidence(t *testing.T) {
	dir := t.TempDir()
	results := filepath.Join(dir, resultsName)
	long := strings.Repeat("x", 255)
	if err := os.Mkdir(results, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net-there-eth0", "net-there2-net1", "net-old-a", "net-old2-eth0", "ne-other-eth0"} {
		if err := os.WriteFile(filepath.Join(results, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun := journal.Clock{Boot: journal.BootID{1}, BootTime: 1000}
	lease := func(id, ifName string) state.Lease {
		return state.Lease{Attachment: state.Attachment{ContainerID: id, IfName: ifName}, Clock: journal.Clock{Boot: begun.Boot, BootTime: 999}}
	}
	late := lease("gone", "eth0")
	late.Clock.BootTime = 1000
	tests := []struct {
		name  string
		lease state.Lease
		want  finding
		words string
	}{
		{"there", lease("there", "eth0"), living, "has a result"},
		{"another interface", lease("there", "net1"), dead, "no result"},
		{"part of a name", lease("there", "eth"), dead, "no result"},
		{"gone", lease("gone", "eth0"), dead, "no result"},
		{"another network's", lease("other", "eth0"), dead, "no result"},
		{"of no interface", lease("old", ""), living, "has a result"},
		{"of no interface, gone", lease("ol", ""), dead, "no result"},
		{"of no interface, last", lease("zzz", ""), dead, "no result"},
		{"name too long", lease(long, "eth0"), unjudged, "too long for a file"},
		{"no file name", lease("a/b", "eth0"), unjudged, "too long for a file"},
		{"began since", late, unjudged, "began after leasectl did"},
		{"blocked", state.Lease{Blocked: true}, unjudged, "no owner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, place := range []string{dir, results, results + "/"} {
				e := &cacheEvidence{dir: place}
				if err := e.observe(&observation{begun: begun}); err != nil {
					t.Fatal(err)
				}
				check(t, e, tt.lease, tt.want, tt.words)
			}
		})
	}
}

func TestNetNSEvidence(t *testing.T) {
	dir := t.TempDir()
	of := func(path string) state.Lease { return state.Lease{NetNS: path} }
	// A process that has ended and was waited for; its number is not given again soon.
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	proc := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
	for _, apart := range []bool{false, true} {
		e := &netnsEvidence{apart: apart}
		check(t, e, of(filepath.Join(dir, "x")), dead, "not there any more")
		check(t, e, of(filepath.Join(dir, "none", "x")), unjudged, "perhaps")
		check(t, e, of(""), unjudged, "no network namespace was recorded")
		check(t, e, state.Lease{Blocked: true, NetNS: filepath.Join(dir, "x")}, unjudged, "no owner")
		if apart {
			check(t, e, of(proc), unjudged, "has ended, or is not seen from the PID namespace of leasectl")
		} else {
			check(t, e, of(proc), dead, "has ended")
		}
	}
	path := fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	id := netns.Identify(path)
	if id.Inode == 0 {
		t.Fatal("the namespace of this process can't be seen")
	}
	check(t, &netnsEvidence{}, state.Lease{NetNS: path, NetNSID: id}, living, "as recorded")
	id.Inode++
	check(t, &netnsEvidence{}, state.Lease{NetNS: path, NetNSID: id}, dead, "leads to namespace")
}

// TestApart: in a PID namespace of its own, leasectl does not take processes that it can't see for ended.
func TestApart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a PID namespace is made")
	}
	w := newWorld(t)
	w.addAt("dead", "/proc/99999999/ns/net")
	gc := []string{"gc", "--data-dir", w.dataDir, "--netns", "--now", "--explain"}
	cmd, stderr := command(t, gc...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) {
		skipping.For(t, "needs the right to make PID namespaces")
	}
	if err != nil || !strings.Contains(string(out), "is not seen from the PID namespace of leasectl") {
		t.Errorf("apart: %v: %s\n%s", err, out, stderr)
	}
	// Only in the kernel's first PID namespace are its own threads seen.
	if comm, err := os.ReadFile("/proc/2/comm"); err != nil || string(comm) != "kthreadd\n" {
		t.Skip("this test runs in a PID namespace of its own")
	}
	cmd, stderr = command(t, gc...)
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "released") {
		t.Errorf("on the node: %v: %s\n%s", err, out, stderr)
	}
}

// TestElsewhere: in a /run of its own leasectl sees no namespace at all, and does not take those of the node for gone.
func TestElsewhere(t *testing.T) {
	run, err := os.MkdirTemp("/run", "leasectl-test-")
	if err != nil {
		t.Skipf("needs to write to /run: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(run); err != nil {
			t.Error(err)
		}
	})
	gone := state.Lease{NetNS: filepath.Join(run, "gone")}
	check(t, &netnsEvidence{}, gone, dead, "not there any more")
	inside := filepath.Join(t.TempDir(), "gone") // in both
	for _, e := range []*netnsEvidence{{elsewhere: true}, {apart: true}} {
		alive := filepath.Join(run, "alive")
		check(t, e, gone, unjudged, "but no namespace at all is seen there")
		check(t, e, state.Lease{NetNS: "/var" + gone.NetNS}, unjudged, "")
		check(t, e, state.Lease{NetNS: inside}, dead, "not there any more")
		if err := errors.Join(e.observe(nil), os.Symlink(fmt.Sprintf("/proc/%d/ns/net", os.Getpid()), alive)); err != nil {
			t.Fatal(err)
		}
		check(t, e, gone, dead, "not there any more")
		if err := errors.Join(e.observe(nil), os.Remove(alive)); err != nil {
			t.Fatal(err)
		}
		check(t, e, gone, unjudged, "no namespace at all")
	}
	w := newWorld(t)
	w.addAt("dead", gone.NetNS)
	cmd, stderr := command(t, "gc", "--data-dir", w.dataDir, "--netns", "--now", "--explain")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) {
		skipping.For(t, "needs the right to make mount namespaces")
	}
	if err != nil || !strings.Contains(string(out), "no namespace at all is seen there") {
		t.Errorf("elsewhere: %v: %s\n%s", err, out, stderr)
	}
}
