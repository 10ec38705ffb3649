package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// world is a dataDir with one network, and who lives on it.
type world struct {
	t       *testing.T
	dataDir string
	ns      string // the folder of network namespaces, with none in it
	live    string // a list of the living
	store   *allocator.Store
	sets    []allocator.RangeSet
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dataDir: filepath.Join(dir, "networks"), ns: filepath.Join(dir, "ns"), live: filepath.Join(dir, "live")}
	if err := os.Mkdir(w.ns, 0o755); err != nil {
		t.Fatal(err)
	}
	w.store = allocator.NewStore(allocator.Options{Network: "net", DataDir: w.dataDir, Version: "test", AllowNetworkFS: true})
	var err error
	w.sets, err = allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix("10.0.0.0/16")}}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// add adds an attachment whose network namespace is already gone.
func (w *world) add(id string, ips ...string) {
	w.t.Helper()
	w.addAt(id, filepath.Join(w.ns, id), ips...)
}

func (w *world) addAt(id, netns string, ips ...string) {
	w.t.Helper()
	r := allocator.AddRequest{Request: allocator.Request{Owner: state.Attachment{ContainerID: id, IfName: "eth0"}, Sets: w.sets},
		NetNS: netns}
	for _, ip := range ips {
		r.IPs = append(r.IPs, netip.MustParseAddr(ip))
	}
	if _, err := w.store.Add(r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) del(id string) {
	w.t.Helper()
	if err := w.store.Del(allocator.DelRequest{Owner: state.Attachment{ContainerID: id, IfName: "eth0"}}); err != nil {
		w.t.Fatal(err)
	}
}

// list writes the list of the living. The kernel's time of a file may be some milliseconds old.
func (w *world) list(text string) {
	w.t.Helper()
	err := os.WriteFile(w.live, []byte(text), 0o600)
	if err == nil {
		err = os.Chtimes(w.live, time.Time{}, time.Now())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// held names who holds addresses, ordered by address.
func (w *world) held() string {
	w.t.Helper()
	var out, words bytes.Buffer
	if code := run([]string{"leases", "--data-dir", w.dataDir, "-o", "csv"}, &out, &words, time.Now); code != exitFound {
		w.t.Fatalf("leases: exit code %d: %s", code, words.String())
	}
	var ids []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		ids = append(ids, strings.Split(line, ",")[5])
	}
	return strings.Join(ids, " ")
}

// gc runs the command with something that happens between its two looks.
func (w *world) gc(g *gc, between func() error) (out, words string, err error) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, now: time.Now().UTC(), dataDirs: []string{w.dataDir}, output: "table"}
	g.begun, g.lockTimeout, g.explain = journal.ReadClock(), 10*time.Second, true
	g.pause = func(*app, int) error { return between() }
	err = a.gc(g)
	if err == nil && a.failed {
		err = errors.New(strings.Join(a.faults, "\n"))
	}
	return stdout.String(), stderr.String(), err
}

// TestGCBetweenLooks: only what was dead at the first look and still is goes.
func TestGCBetweenLooks(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"dead", "back", "twice", "more", "left"} {
		w.add(id)
	}
	out, words, err := w.gc(&gc{evidence: []evidence{newNetNSEvidence()}}, func() error {
		if err := os.WriteFile(filepath.Join(w.ns, "back"), nil, 0o600); err != nil { // is being mounted
			return err
		}
		w.del("twice")
		w.add("twice")
		w.add("more", "10.0.0.77")
		w.del("left")
		w.add("new")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.held(), "back more twice more new"; got != want {
		t.Errorf("held by %q, want %q\n%s", got, want, out)
	}
	for _, want := range []string{
		" dead       eth0    -    ", " released  netns: dead: ",
		"/back: not a namespace",
		"/twice is not there any more; began after the first look",
		"10.0.0.5/16   more       eth0    -    ", "; 10.0.0.77 of the same attachment is kept",
		"/new is not there any more; began after the first look",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if want := "1 lease of 6 released"; !strings.Contains(words, want) {
		t.Errorf("no %q in %q", want, words)
	}
}

// TestGCOfManyLeases: what an attachment got by several ADDs goes at once, whatever the order of its addresses.
func TestGCOfManyLeases(t *testing.T) {
	w := newWorld(t)
	for _, ip := range []string{"10.0.0.50", "10.0.0.40"} {
		w.add("falling", ip)
	}
	for _, ip := range []string{"10.0.0.60", "10.0.0.61"} {
		w.add("rising", ip)
	}
	out, words, err := w.gc(&gc{now: true, evidence: []evidence{newNetNSEvidence()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.held(); got != "" || !strings.Contains(words, "4 leases of 4 released") {
		t.Errorf("held by %q, want nobody; said %s\n%s", got, words, out)
	}
}

// TestReleaseChanged: what changes hands after it was looked up is not what was meant.
func TestReleaseChanged(t *testing.T) {
	w := newWorld(t)
	w.add("web-1")
	var out, words bytes.Buffer
	a := &app{stdout: &out, stderr: &words, now: time.Now(), dataDirs: []string{w.dataDir}}
	stores, err := a.stores()
	if err != nil || len(stores) != 1 {
		t.Fatalf("%d stores, %v", len(stores), err)
	}
	all, err := stores[0].toJudge(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &order{ip: all[0].lease.IP, lockTimeout: 10 * time.Second}
	meant, err := o.among(all)
	if err != nil {
		t.Fatal(err)
	}
	w.del("web-1")
	w.add("web-2", o.ip.String())
	a.carryOut(o, meant)
	if want := `network "net": 1 lease changed hands meanwhile and was left alone`; !a.failed || !strings.Contains(words.String(), want) {
		t.Errorf("failed %v, said %q, want %q", a.failed, words.String(), want)
	}
	if got := w.held(); got != "web-2" {
		t.Errorf("held by %q, want web-2", got)
	}
}

// TestWords: what is recorded of a lease's end is bounded, and text.
func TestWords(t *testing.T) {
	j := &judged{grounds: []groundItem{{"netns", "dead", "a\xffb"}, {"live", "dead", "not listed"}}}
	if got, want := j.words(), "netns: a�b; live: not listed"; got != want {
		t.Errorf("words are %q, want %q", got, want)
	}
	j.grounds[0].Why = strings.Repeat("é", 400)
	got := j.words()
	if len(got) > maxReason || len(got) < maxReason-1 || !strings.HasPrefix("netns: "+j.grounds[0].Why, got) {
		t.Errorf("of long ones %d bytes are left: %q", len(got), got)
	}
}

// TestChangingNeedsDataDir: without it the network's folder would be looked for where leasectl was started.
func TestChangingNeedsDataDir(t *testing.T) {
	s := &store{dir: "/history/net"}
	if o, err := s.changing(); err == nil || !strings.Contains(err.Error(), "give --data-dir that folder") {
		t.Errorf("%+v, %v, want an error", o, err)
	}
}

// meddler is evidence that changes the store while it is looked at.
type meddler struct{ meddle func() error }

func (meddler) name() string                                 { return "meddler" }
func (m meddler) observe(*observation) error                 { return m.meddle() }
func (meddler) judge(string, *state.Lease) (finding, string) { return dead, "as I say" }

// TestGCChangedLast: under the lock, at the latest, it shows that an address has changed hands.
func TestGCChangedLast(t *testing.T) {
	w := newWorld(t)
	w.add("dead")
	w.add("again")
	out, words, err := w.gc(&gc{now: true, evidence: []evidence{meddler{func() error {
		w.del("again")
		w.add("again")
		return nil
	}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.held(); got != "again" || !strings.Contains(out, " changed   meddler: dead: as I say") || !strings.Contains(words, "1 lease of 2 released") {
		t.Errorf("held by %q, want again; said %s\n%s", got, words, out)
	}
}

// TestGCDeadOnce: who is dead only at the second look was perhaps just not there yet.
func TestGCDeadOnce(t *testing.T) {
	w := newWorld(t)
	w.add("dead")
	w.add("late")
	w.list("late\n")
	g := &gc{live: w.live}
	g.listed = &liveEvidence{open: func() (*liveList, error) { return readLiveList(w.live, nil) }}
	g.evidence = []evidence{g.listed}
	out, _, err := w.gc(g, func() error {
		w.list("other\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.held(); got != "late" || !strings.Contains(out, "live: dead: not listed; not dead at the first look") {
		t.Errorf("held by %q, want late\n%s", got, out)
	}
}

// TestGCEvidenceLost: what can't be read for the second look leaves everything as it is.
func TestGCEvidenceLost(t *testing.T) {
	w := newWorld(t)
	w.add("dead")
	results := filepath.Join(w.ns, "results")
	tests := []struct {
		name string
		lose func() error
		want string
	}{
		{"list is broken", func() error { return os.WriteFile(w.live, []byte("[1"), 0o600) }, "1 is no container ID"},
		{"list is empty", func() error { return os.Truncate(w.live, 0) }, "is empty"},
		{"list is gone", func() error { return os.Remove(w.live) }, "no such file"},
		{"cache is gone", func() error { return os.RemoveAll(results) }, "no such file"},
		{"cache is empty", func() error { return os.Remove(filepath.Join(results, "x")) }, "is empty"},
		{"damage", func() error {
			return os.Truncate(filepath.Join(w.dataDir, historyName, "net", "META"), 10)
		}, "damage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.list("other\n")
			if err := os.MkdirAll(results, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(results, "x"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before := len(segmentOf(t, w))
			g := &gc{live: w.live}
			g.listed = &liveEvidence{open: func() (*liveList, error) { return readLiveList(w.live, nil) }}
			g.evidence = []evidence{g.listed, &cacheEvidence{dir: w.ns}, newNetNSEvidence()}
			if _, _, err := w.gc(g, tt.lose); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want ...%s...", err, tt.want)
			}
			if after := len(segmentOf(t, w)); after != before {
				t.Errorf("the journal has %d bytes, had %d", after, before)
			}
		})
	}
}

func segmentOf(t *testing.T, w *world) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dataDir, historyName, "net", firstSegment))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGCLocked: calls of the plugin that don't end are waited for only so long.
func TestGCLocked(t *testing.T) {
	w := newWorld(t)
	w.add("dead")
	path := filepath.Join(w.dataDir, historyName, "net", "lock")
	lock, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"gc", "--netns", "--now"}, {"release", "dead"}} {
		var out, words bytes.Buffer
		args = append(args, "--data-dir", w.dataDir, "--lock-timeout", "20ms")
		asked := time.Now()
		if code := run(args, &out, &words, time.Now); code != exitError {
			t.Errorf("%s: exit code %d, want %d", args[0], code, exitError)
		}
		if took := time.Since(asked); took > 20*time.Second { // it would be 30 without being told
			t.Errorf("%s: waited %v", args[0], took)
		}
		for _, want := range []string{path, journal.ErrLocked.Error()} {
			if !strings.Contains(words.String(), want) {
				t.Errorf("%s: no %q in %q", args[0], want, words.String())
			}
		}
		if !strings.Contains(out.String(), " failed ") {
			t.Errorf("%s: no verdict failed in\n%s", args[0], out.String())
		}
	}
	if got := w.held(); got != "dead" {
		t.Errorf("held by %q, want dead", got)
	}
}

// command returns leasectl as a process of its own, this test binary under its name.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "leasectl")
	if err := os.Symlink(exe, path); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGQUIT} { // who runs tests in the background of a script has them ignored, here and in what is started
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	cmd, stderr = exec.Command(path, args...), new(bytes.Buffer)
	cmd.Stderr = stderr
	cmd.Env = append(os.Environ(), "GORACE="+quickExit)
	return cmd, stderr
}

// start starts it, to be killed at the end of the test.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stderr io.Reader) {
	t.Helper()
	cmd, _ = command(t, args...)
	cmd.Stderr = nil
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, stderr
}

func TestGCInterrupted(t *testing.T) {
	w := newWorld(t)
	w.add("dead")
	before := segmentOf(t, w)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, stderr := start(t, "gc", "--data-dir", w.dataDir, "--netns", "--grace", "10m")
		lines := bufio.NewReader(stderr)
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "1 lease of dead owners; looking again in 10m0s") {
			t.Fatalf("said %q, %v", line, err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitError {
			t.Errorf("after %v: %v, want exit code %d", signal, err, exitError)
		}
		if want := "leasectl: interrupted before the second look: nothing was released\n"; string(rest) != want {
			t.Errorf("after %v said %q, want %q", signal, rest, want)
		}
	}
	if !bytes.Equal(segmentOf(t, w), before) {
		t.Error("the journal has changed")
	}
}
