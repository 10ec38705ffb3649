package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// order follows what one process does to the disk and says where a crash at that moment could leave
// less than was promised. It knows rules, not the product: nothing is renamed, unlinked
// or answered on top of what is not synced. Cutting a file counts for nothing: what is cut
// was never acknowledged.
type order struct {
	dataDir string
	dirty   map[string]bool // files written to since their last sync
	names   map[string]bool // paths that were made since their folder's last sync
	seen    map[string]bool // what happened at all
	wrong   []string
}

// exempt are files that promise nothing: the marker, which is never synced by design, and what is
// made anew where it is missing.
var exempt = []string{"lock", "snap.lock", ".lock", "reserve", "boot"}

func (o *order) exempts(path string) bool {
	return slices.Contains(exempt, filepath.Base(path)) && !strings.Contains(path, "/.new-")
}

func (o *order) wrongf(format string, args ...any) {
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// below returns the paths of a set that are at or below a path, or all of them for "".
func below(set map[string]bool, path string) []string {
	var found []string
	for p := range maps.Keys(set) {
		if path == "" || p == path || strings.HasPrefix(p, path+"/") {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// Shapes of strace's lines.
var (
	whole      = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)`)
	unfinished = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	descriptor = regexp.MustCompile(`^(\d+)<([^>]*)>`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
)

// follow reads a trace of strace -f -y.
func (o *order) follow(trace string) {
	begun := map[string]string{}
	for line := range strings.Lines(trace) {
		line = strings.TrimSpace(line)
		if m := unfinished.FindStringSubmatch(line); m != nil {
			begun[m[1]] = fmt.Sprintf("%s %s(%s", m[1], m[2], m[3])
			continue
		}
		if m := resumed.FindStringSubmatch(line); m != nil {
			line = begun[m[1]] + m[3]
		}
		m := whole.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[4], "-") {
			continue
		}
		o.call(m[2], m[3])
	}
	o.answered("the end")
}

func (o *order) call(name, args string) {
	var fd, path string
	if m := descriptor.FindStringSubmatch(args); m != nil {
		fd, path = m[1], m[2]
	}
	var paths []string
	for _, m := range quoted.FindAllStringSubmatch(args, -1) {
		if strings.HasPrefix(m[1], o.dataDir) {
			paths = append(paths, m[1])
		}
	}
	switch {
	case name == "write" && fd == "1":
		o.answered("the answer")
	case name == "fsync" || name == "fdatasync":
		delete(o.dirty, path)
		maps.DeleteFunc(o.names, func(p string, _ bool) bool { return filepath.Dir(p) == path })
	case strings.HasPrefix(path, o.dataDir) && (strings.Contains(name, "write") || name == "fallocate"):
		o.write(path)
	case len(paths) == 0:
	case name == "openat" && strings.Contains(args, "O_CREAT"), strings.HasPrefix(name, "mkdir"):
		o.named(paths[0])
	case strings.HasPrefix(name, "rename") && len(paths) == 2:
		o.rename(paths[0], paths[1])
	case strings.HasPrefix(name, "link") && len(paths) == 2:
		o.named(paths[1])
	case strings.HasPrefix(name, "unlink"):
		o.unlink(paths[0])
	}
}

// named notes that a path has been made.
func (o *order) named(path string) {
	if !o.exempts(path) {
		o.names[path] = true
	}
}

func (o *order) write(path string) {
	if o.exempts(path) {
		return
	}
	if kindOf(path) == "segment" && o.names[path] && !strings.Contains(path, "/.new-") {
		o.wrongf("%s is written to before its name is synced", path)
	}
	o.dirty[path] = true
}

func (o *order) rename(from, to string) {
	o.seen["rename "+kindOf(to)] = true
	delete(o.names, from) // the new name is what has to be synced
	for _, p := range append(below(o.dirty, from), below(o.names, from)...) {
		o.wrongf("%s is renamed to %s before %s is synced", from, to, p)
	}
	if strings.HasSuffix(to, ".snap") {
		for _, p := range below(o.dirty, filepath.Join(filepath.Dir(filepath.Dir(to)), "journal")) {
			o.wrongf("%s has its name before %s is synced, which it covers", to, p)
		}
	}
	for _, set := range []map[string]bool{o.dirty, o.names} {
		for _, p := range below(set, from) {
			delete(set, p)
			set[to+strings.TrimPrefix(p, from)] = true
		}
	}
	o.named(to)
}

// unlink wants what replaces a segment or a snapshot to be durable.
func (o *order) unlink(path string) {
	o.seen["unlink "+kindOf(path)] = true
	delete(o.dirty, path)
	delete(o.names, path)
	if kind := kindOf(path); kind != "segment" && kind != "snapshot" {
		return
	}
	store := filepath.Dir(filepath.Dir(path))
	for _, p := range append(below(o.names, filepath.Join(store, "archive")), below(o.names, filepath.Join(store, "snap"))...) {
		o.wrongf("%s is unlinked before the name of %s is synced", path, p)
	}
}

// kindOf names what a path is: a segment, a snapshot, a store, a claim.
func kindOf(path string) string {
	switch folder := filepath.Base(filepath.Dir(path)); {
	case folder == "journal":
		return "segment"
	case strings.HasSuffix(path, ".snap"):
		return "snapshot"
	case folder == ".leaselog":
		return "store"
	}
	return filepath.Base(path)
}

// answered wants all that a call did to be on the disk.
func (o *order) answered(when string) {
	for _, p := range append(below(o.dirty, ""), below(o.names, "")...) {
		o.wrongf("%s comes before %s is synced", when, p)
	}
}

// TestOrder watches calls that make a store, start a segment, take a snapshot, archive and honour a wipe, and
// holds the order of their system calls against the rules of order. The crash tests try what
// follows from a wrong one; this names the call.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := newSequence(t)
	s.traced(t, "ADD", "rename store", "rename leaselog")
	s.traced(t, "ADD")
	s.traced(t, "DEL")
	s.fill(t, func(journal.Seq) int { return s.roomInSegment(t) })
	s.traced(t, "ADD", "rename segment")
	if err := os.RemoveAll(s.n.Folder()); err != nil {
		t.Fatal(err)
	}
	s.traced(t, "ADD", "rename leaselog")
	// Snapshots are due at 1,024 events after the one before.
	s.fill(t, upTo(1023))
	s.traced(t, "DEL", "rename snapshot")
	s.fill(t, upTo(2047))
	s.traced(t, "DEL", "rename snapshot", "unlink segment")
	s.fill(t, upTo(3071))
	s.traced(t, "DEL", "rename snapshot", "unlink segment", "unlink snapshot")
}

// upTo says how many events are missing until there are n.
func upTo(n journal.Seq) func(last journal.Seq) int {
	return func(last journal.Seq) int { return int(n - last) }
}

// sequence is a network with calls made on it one after the other.
type sequence struct {
	n      caller.Network
	plugin string
	made   int
}

// newSequence returns a new network, or skips the test where system calls can't be watched.
func newSequence(t *testing.T) *sequence {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(path, "-f", "-qq", "-o", os.DevNull, "true").Run()
	}
	if err != nil {
		t.Skipf("system calls are watched: strace: %v", err)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := caller.Build(abs, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := caller.Network{Name: "pods", DataDir: filepath.Join(t.TempDir(), "networks"), Ranges: plans[1].config()}
	return &sequence{n: n, plugin: plugin}
}

// TestFailedSync: an ADD whose sync fails once leaves nothing of what it wrote, not even in the page
// cache, and the next one gets its address.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	s := newSequence(t)
	s.traced(t, "ADD")
	segment := filepath.Join(s.n.StoreDir(), "journal", "00000000000000000001")
	before, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	failed, err := caller.Call{Network: s.n, Verb: "ADD", ID: "failed"}.Run(s.plugin,
		"strace", "-f", "-qq", "-o", os.DevNull, "-e", "inject=fsync:error=EIO:when=1")
	if err != nil || failed.Code != 5 {
		t.Fatalf("got %v, %v, want code 5", failed, err)
	}
	after, err := os.ReadFile(segment)
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("%d bytes in the segment, %v, want the %d of before", len(after), err, len(before))
	}
	next, err := caller.Call{Network: s.n, Verb: "ADD", ID: "next"}.Run(s.plugin)
	if want := "[10.1.0.3 fd00::11]"; err != nil || fmt.Sprint(next.IPs) != want {
		t.Errorf("got %v, %v, want %s", next, err, want)
	}
}

// traced makes a call that must succeed under strace, and holds it against the rules. Each of happens
// must have come up.
func (s *sequence) traced(t *testing.T, verb string, happens ...string) {
	t.Helper()
	s.made++
	path := filepath.Join(t.TempDir(), "trace")
	c := caller.Call{Network: s.n, Verb: verb, ID: fmt.Sprintf("traced%d", s.made)}
	a, err := c.Run(s.plugin, "strace", "-f", "-qq", "-y", "-s", "0", "-o", path)
	if err != nil || !a.OK() || a.Stderr != "" {
		t.Fatalf("%s: %v, %v", verb, a, err)
	}
	trace, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := &order{dataDir: s.n.DataDir, dirty: map[string]bool{}, names: map[string]bool{}, seen: map[string]bool{}}
	o.follow(string(trace))
	for _, wrong := range o.wrong {
		t.Errorf("call %d, %s: %s", s.made, verb, wrong)
	}
	for _, what := range happens {
		if !o.seen[what] {
			t.Errorf("call %d, %s: no %s, so this shows less than it means to; it did %v", s.made, verb, what, o.seen)
		}
	}
}

// fill appends releases of strangers as long as missing says that some are, in batches and without
// upkeep.
func (s *sequence) fill(t *testing.T, missing func(last journal.Seq) int) {
	t.Helper()
	j, err := journal.Open(s.n.StoreDir(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for n := missing(j.Last()); n > 0; n = missing(j.Last()) {
		var events []*journal.Event
		for range min(n, 50) {
			s.made++
			events = append(events, &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel,
				ContainerID: fmt.Sprintf("stranger%d", s.made), IfName: "eth0"})
		}
		if err := j.Append(events...); err != nil {
			t.Fatal(err)
		}
	}
}

// roomInSegment returns how many short events the newest segment takes before the next ADD
// must start another one.
func (s *sequence) roomInSegment(t *testing.T) int {
	t.Helper()
	const short, long = 200, 300 // bytes, at least and at most
	paths, err := filepath.Glob(filepath.Join(s.n.StoreDir(), "journal", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	st, err := os.Stat(paths[len(paths)-1])
	if err != nil {
		t.Fatal(err)
	}
	if room := segmentTarget - int(st.Size()); room > short {
		return max(room/long, 1)
	}
	return 0
}
