package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

var until = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// made makes a store by the command line and returns its folder and its dataDir.
func made(t *testing.T, args ...string) (dir, dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	var stdout, stderr bytes.Buffer
	args = append([]string{"--out", dataDir, "--network", "pods"}, args...)
	if code := run(args, &stdout, &stderr, func() time.Time { return until }); code != 0 || stderr.Len() > 0 {
		t.Fatalf("leasegen %q: exit %d: %s", args, code, stderr.String())
	}
	return filepath.Join(dataDir, ".leaselog", "pods"), dataDir
}

// eventsOf reads all events of a store.
func eventsOf(t *testing.T, dir string) []journal.Event {
	t.Helper()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var events []journal.Event
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, rec.Event)
	}
	return events
}

// TestExact makes stores of all shapes and has verify read them; what a fold of all events leads to is what was asked for.
func TestExact(t *testing.T) {
	cases := []struct {
		name             string
		leases, events   int
		args             string
		snapshots, boots int
	}{
		{"genesis alone", 0, 1, "", 0, 1},
		{"no lease", 0, 2, "", 0, 1},
		{"none held", 0, 1500, "", 1, 2},
		{"one", 1, 3, "", 0, 1},
		{"one and a stray", 1, 4, "", 0, 1},
		{"as few events as can be", 500, 502, "", 0, 1},
		{"one more than that", 500, 503, "", 0, 1},
		{"two more", 500, 504, "", 0, 1},
		{"some more", 500, 640, "--seed 3", 0, 1},
		{"several boots", 100, 8000, "--seed 4", 2, 3},
		{"full", 253, 6000, "--subnet 10.9.0.0/24", 2, 2},
		{"tiny", 1, 5000, "--subnet 10.9.0.0/30", 2, 2},
		{"dual", 300, 5000, "--dual --days 90", 2, 3},
		{"dual and full", 26, 3000, "--dual --subnet 10.9.0.0/28 --subnet6 fd00::/124", 2, 2},
		{"IPv6 alone", 64, 3000, "--subnet fd00::/64", 2, 2},
		{"large map", 5000, 13500, "--days 1", 2, 1},
		{"short tail", 40, 3000, "--tail 7", 2, 1},
		{"no tail", 40, 3000, "--tail 0", 2, 1},
		{"a snapshot within a batch", 1, 3, "--tail 1", 1, 1},
		{"one snapshot", 40, 3000, "--snapshots 1", 1, 1},
		{"no snapshots", 40, 6000, "--snapshots 0", 0, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--leases", fmt.Sprint(c.leases), "--events", fmt.Sprint(c.events)}, strings.Fields(c.args)...)
			dir, dataDir := made(t, args...)
			v, err := replay.Verify(dir, filepath.Join(dataDir, "pods"))
			if err != nil {
				t.Fatal(err)
			}
			if !v.Clean() || v.Events != c.events || v.Snapshots != c.snapshots {
				t.Errorf("%d events, %d snapshots; want %d, %d; findings %+v", v.Events, v.Snapshots, c.events, c.snapshots, v.Findings)
			}
			events := eventsOf(t, dir)
			st := state.New()
			boots := map[journal.BootID]bool{}
			for i := range events {
				if err := st.Apply(&events[i]); err != nil {
					t.Fatal(err)
				}
				boots[events[i].Boot] = true
			}
			if st.Len() != c.leases || len(boots) < c.boots {
				t.Errorf("%d leases, %d boots; want %d, at least %d", st.Len(), len(boots), c.leases, c.boots)
			}
			checkClocks(t, events)
			checkLayout(t, dir)
			if id, where, err := journal.ReadClaim(filepath.Join(dataDir, "pods")); err != nil || id != v.Journal || where != dir {
				t.Errorf("claimed by journal %s in %s, %v; want %s in %s", id, where, err, v.Journal, dir)
			}
			if slices.Contains(args, "--dual") {
				checkDual(t, st)
			}
		})
	}
}

// TestExactAtTheEdge makes many stores with hardly more events than it takes.
func TestExactAtTheEdge(t *testing.T) {
	for n := range 100 {
		f := flags{out: t.TempDir(), network: "pods", subnet: "10.0.0.0/27", subnet6: "fd00::/64", dual: n%3 == 0,
			leases: int64(2 * (n % 15)), seed: uint64(n), tail: -1, days: 3, snapshots: 2}
		f.events = f.leases + 2 + int64(n%23)
		p, err := f.plan(until)
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := generate(context.Background(), p); err != nil || sum.leases != int(f.leases) || sum.events != int(f.events) {
			t.Fatalf("seed %d: %v, %v; want %d leases, %d events", n, sum, err, f.leases, f.events)
		}
	}
}

// checkClocks wants boot time never to fall within a boot, and no event after the end.
func checkClocks(t *testing.T, events []journal.Event) {
	t.Helper()
	for i, ev := range events {
		if ev.Synchronised && ev.Time().After(until) {
			t.Fatalf("event %d is of %s", ev.Seq, ev.Time())
		}
		if i > 0 && ev.Boot == events[i-1].Boot && ev.BootTime < events[i-1].BootTime {
			t.Fatalf("event %d: boot time falls", ev.Seq)
		}
		if ev.BootTime < 0 || ev.Boot == (journal.BootID{}) {
			t.Fatalf("event %d: boot time %d of boot %s", ev.Seq, ev.BootTime, ev.Boot)
		}
	}
}

func checkDual(t *testing.T, st *state.State) {
	t.Helper()
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		held, err := st.Held(l.Attachment)
		if err != nil || len(held) != 2 || !held[0].IP.Is4() || !held[1].IP.Is6() {
			t.Fatalf("%s holds %v, %v", l.ContainerID, held, err)
		}
	}
}

// numbersIn returns the numbers that the files of a folder begin with, ascending.
func numbersIn(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%020d", &n); err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// checkLayout wants exactly those segments archived that the older of two snapshots covers, segments of the
// usual size, and snapshots as far apart as the plugin takes them.
func checkLayout(t *testing.T, dir string) {
	t.Helper()
	snaps := numbersIn(t, filepath.Join(dir, "snap"))
	archived, loose := numbersIn(t, filepath.Join(dir, "archive")), numbersIn(t, filepath.Join(dir, "journal"))
	covered := 0
	if len(snaps) == 2 {
		covered = snaps[0]
		if d := snapshotEvents; snaps[1]-snaps[0] < d || snaps[1]-snaps[0] > d+200 {
			t.Errorf("snapshots cover events %v", snaps)
		}
	}
	all := slices.Concat(archived, loose)
	if !slices.IsSorted(all) || all[0] != 1 {
		t.Fatalf("segments %v in archive, %v in journal", archived, loose)
	}
	for i, first := range all[:len(all)-1] {
		if want := all[i+1] <= covered+1; want != (i < len(archived)) {
			t.Errorf("segment %d, next %d, covered up to %d: archived is %v", first, all[i+1], covered, !want)
		}
	}
	for i, first := range all[:len(all)-1] {
		folder := "journal"
		if i < len(archived) {
			folder = "archive"
		}
		st, err := os.Stat(filepath.Join(dir, folder, fmt.Sprintf("%020d", first)))
		if err != nil || st.Size() > 64<<10 || st.Size() < 32<<10 {
			t.Errorf("segment %d: %v, %v", first, st, err)
		}
	}
}

// files reads all regular files below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSameBytes makes one store twice, and others by other flags.
func TestSameBytes(t *testing.T) {
	args := []string{"--leases", "60", "--events", "4000", "--until", "2026-01-31T00:00:00Z", "--dual"}
	dir1, data1 := made(t, args...)
	dir2, data2 := made(t, args...)
	one, two := files(t, data1), files(t, data2)
	for name, content := range one {
		other, ok := two[name]
		switch delete(two, name); {
		case !ok:
			t.Errorf("%s is in one alone", name)
		case name == "pods/leaselog":
			if strings.ReplaceAll(content, data1, data2) != other {
				t.Errorf("%s: %q and %q", name, content, other)
			}
		case filepath.Base(name) == "lock" && strings.HasSuffix(filepath.Dir(name), "pods"):
			// docs/FORMAT.md: device and inode at 64 to 81, checksum from 132 on.
			if content[:64]+content[82:132] != other[:64]+other[82:132] {
				t.Errorf("%s differs beyond device, inode and checksum", name)
			}
		case filepath.Base(name) == "META":
			m1, err1 := journal.ReadMeta(dir1)
			m2, err2 := journal.ReadMeta(dir2)
			m1.DataDir, m2.DataDir = "", ""
			if err1 != nil || err2 != nil || m1 != m2 {
				t.Errorf("%s: %+v, %v and %+v, %v", name, m1, err1, m2, err2)
			}
		case content != other:
			t.Errorf("%s differs", name)
		}
	}
	for name := range two {
		t.Errorf("%s is in the other alone", name)
	}
	ids := map[journal.ID]string{}
	for _, change := range []string{"--seed 2", "--leases 62", "--events 4001", "--until 2026-01-30T00:00:00Z", "--days 31",
		"--subnet 10.1.0.0/16", "--subnet6 fd01::/64", "--tail 3", "--snapshots 1", "--seed 1"} {
		dir, _ := made(t, append(slices.Clone(args), strings.Fields(change)...)...)
		meta, err := journal.ReadMeta(dir)
		if err != nil {
			t.Fatal(err)
		}
		if same := ids[meta.ID]; same != "" {
			t.Errorf("%s and %s make journals with one ID", same, change)
		}
		ids[meta.ID] = change
	}
	if meta, _ := journal.ReadMeta(dir1); ids[meta.ID] != "--seed 1" {
		t.Errorf("the store made a third time is none of %v", ids)
	}
}

// TestLooksReal holds identifiers against the form that runtimes give them, and wants each kind of event.
func TestLooksReal(t *testing.T) {
	dir, _ := made(t, "--leases", "120", "--events", "20000")
	const hex = `[0-9a-f]`
	id := regexp.MustCompile(`^` + hex + `{64}$`)
	uid := regexp.MustCompile(`^` + hex + `{8}-` + hex + `{4}-4` + hex + `{3}-[89ab]` + hex + `{3}-` + hex + `{12}$`)
	netns := regexp.MustCompile(`^/var/run/netns/cni-` + hex + `{8}(-` + hex + `{4}){3}-` + hex + `{12}$`)
	trace := regexp.MustCompile(`^00-` + hex + `{32}-` + hex + `{16}-01$`)
	pod := regexp.MustCompile(`^[a-z][a-z0-9-]*-([a-z0-9]{5}|[0-9]+)$`)
	found := map[string]int{}
	var stale netip.Addr        // that a GC has ended, if that was the last event
	seen := map[string]string{} // a container's pod
	for _, ev := range eventsOf(t, dir)[1:] {
		if ev.Kind == journal.KindConfig {
			continue
		}
		if !id.MatchString(ev.ContainerID) || !uid.MatchString(ev.Pod.UID) || !netns.MatchString(ev.NetNS) || !pod.MatchString(ev.Pod.Name) ||
			ev.Pod.Namespace == "" || ev.IfName != "eth0" || ev.TraceParent != "" && !trace.MatchString(ev.TraceParent) || ev.Version != program {
			t.Fatalf("%+v", ev)
		}
		if before, ok := seen[ev.ContainerID]; ok && before != ev.Pod.UID {
			t.Fatalf("container %s is of pod %s and %s", ev.ContainerID, before, ev.Pod.UID)
		}
		seen[ev.ContainerID] = ev.Pod.UID
		if ev.Reason == journal.ReasonGC {
			if !stale.IsValid() {
				found["collection"]++
			} else if !stale.Less(ev.Addresses[0].IP) {
				t.Errorf("event %d: a GC ends the lease on %s after %s", ev.Seq, ev.Addresses[0].IP, stale)
			}
			stale = ev.Addresses[0].IP
		} else {
			stale = netip.Addr{}
		}
		what := ev.Kind.String()
		switch {
		case ev.Kind == journal.KindRefuse:
			what += fmt.Sprint(ev.Code)
		case ev.Kind == journal.KindDel && len(ev.Addresses) == 0:
			what = "empty " + what
		case ev.Kind == journal.KindDel:
			what += " " + ev.Reason.String()
		}
		found[what]++
		if ev.TraceParent != "" {
			found["trace"]++
		}
		if !ev.Synchronised {
			found["not synchronised"]++
		}
	}
	if found["collection"] < 6 || found["collection"] > found["del gc"]/2 {
		t.Errorf("%v: want more GCs than reboots, and some that end several leases", found)
	}
	for _, what := range []string{"add", "del del", "del gc", "empty del", "refuse101", "refuse102", "trace", "not synchronised"} {
		if found[what] == 0 {
			t.Errorf("no %s in %v", what, found)
		}
	}
}

// TestDecisionsAreThePlugins makes the calls that a generated store tells of, on a store of their own through the
// plugin's transaction, and wants the same answers and events.
func TestDecisionsAreThePlugins(t *testing.T) {
	for _, args := range []string{"--leases 60 --events 1400 --subnet 10.9.0.0/26", "--leases 40 --events 1200 --dual --seed 3"} {
		t.Run(args, func(t *testing.T) {
			dir, _ := made(t, strings.Fields(args)...)
			events := eventsOf(t, dir)
			dataDir := t.TempDir()
			again := repetition{store: allocator.NewStore(allocator.Options{Network: "pods", DataDir: dataDir, Version: program}),
				st: state.New(), held: map[state.Attachment]bool{}}
			for i := range events {
				if err := again.call(events[i:]); err != nil {
					t.Fatalf("event %d: %v", events[i].Seq, err)
				}
			}
			if again.outOfTurn > len(events)/100 {
				t.Errorf("%d addresses were given out of turn", again.outOfTurn)
			}
			sameCourse(t, eventsOf(t, filepath.Join(dataDir, ".leaselog", "pods")), events)
		})
	}
}

// repetition makes the calls once more that events tell of.
type repetition struct {
	store     *allocator.Store
	sets      []allocator.RangeSet
	st        *state.State // of the events
	held      map[state.Attachment]bool
	outOfTurn int
}

// call makes the call that the first of the events tells of, unless the next one tells of the same.
func (r *repetition) call(events []journal.Event) error {
	ev := &events[0]
	owner := state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
	var err error
	switch ev.Kind {
	case journal.KindConfig:
		for _, set := range ev.Ranges {
			var s allocator.RangeSet
			for _, g := range set {
				s = append(s, allocator.Range(g))
			}
			r.sets = append(r.sets, s)
		}
	case journal.KindAdd, journal.KindRefuse:
		err = r.add(ev, owner)
		r.held[owner] = r.held[owner] || ev.Kind == journal.KindAdd
	case journal.KindDel:
		delete(r.held, owner)
		gc := ev.Reason == journal.ReasonGC
		switch {
		case !gc:
			err = r.store.Del(allocator.DelRequest{Owner: owner, NetNS: ev.NetNS, Pod: ev.Pod, TraceParent: ev.TraceParent})
		case len(events) == 1 || events[1].Reason != journal.ReasonGC:
			err = r.store.GC(r.valid())
		}
	}
	r.store.Maintain()
	return errors.Join(err, r.st.Apply(ev))
}

// valid lists what a GC is told to keep.
func (r *repetition) valid() []state.Attachment {
	var valid []state.Attachment
	for a := range r.held {
		valid = append(valid, a)
	}
	return valid
}

// add makes an ADD and returns what is different about the answer. Whether an ADD asked for the address that it got is not
// in its event, but one given out of turn tells of it.
func (r *repetition) add(ev *journal.Event, owner state.Attachment) error {
	request := allocator.AddRequest{NetNS: ev.NetNS, Pod: ev.Pod, TraceParent: ev.TraceParent}
	request.Owner, request.Sets, request.IPs = owner, r.sets, ev.Requested
	if ev.Kind == journal.KindAdd {
		choice, err := allocator.Choose(r.st, request.Request)
		if err == nil && choice.Addresses[0] != ev.Addresses[0] {
			request.IPs = []netip.Addr{ev.Addresses[0].IP}
			r.outOfTurn++
		}
	}
	choice, err := r.store.Add(request)
	var refusal *allocator.Refusal
	switch {
	case ev.Kind == journal.KindRefuse && errors.As(err, &refusal):
		if refusal.Code() != ev.Code || refusal.Error() != ev.Text {
			return fmt.Errorf("refused with %d %s, not with %d %s", refusal.Code(), refusal, ev.Code, ev.Text)
		}
		return nil
	case err != nil:
		return err
	case !reflect.DeepEqual(choice.Addresses, ev.Addresses) || !reflect.DeepEqual(choice.Cursors, ev.Cursors):
		return fmt.Errorf("gives %v, not %v", choice, ev.Addresses)
	}
	return nil
}

// sameCourse compares events but for places and clocks. Whether a refusal or a second DEL is recorded depends on how
// much time and which snapshots lie between, so these are left out.
func sameCourse(t *testing.T, got, want []journal.Event) {
	t.Helper()
	strip := func(events []journal.Event) []journal.Event {
		var out []journal.Event
		ended := map[string]bool{}
		for _, ev := range events[1:] {
			repeated := ev.Kind == journal.KindDel && ended[ev.ContainerID]
			if ev.Kind == journal.KindDel {
				ended[ev.ContainerID] = true
			}
			if ev.Kind == journal.KindRefuse || repeated {
				continue
			}
			ev.Seq, ev.Synced, ev.Prev, ev.Clock, ev.Config = 0, 0, journal.Hash{}, journal.Clock{}, min(ev.Config, 1)
			out = append(out, ev)
		}
		return out
	}
	got, want = strip(got), strip(want)
	if len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("event %d of those compared: got\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

// TestFullRefuses wants a full network to refuse for that reason.
func TestFullRefuses(t *testing.T) {
	dir, _ := made(t, "--leases", "253", "--events", "4000", "--subnet", "10.9.0.0/24")
	for _, ev := range eventsOf(t, dir) {
		if ev.Code == allocator.CodeExhausted {
			return
		}
	}
	t.Errorf("no refusal with code %d", allocator.CodeExhausted)
}

// TestInterrupted ends a run early, in the middle and not at all: of the first two nothing is left.
func TestInterrupted(t *testing.T) {
	p, err := (&flags{out: t.TempDir(), network: "pods", subnet: "10.0.0.0/12", leases: 100, events: 40000, tail: -1, days: 3, snapshots: 2}).plan(until)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.dataDir); err != nil { // it is made, too
		t.Fatal(err)
	}
	for _, after := range []int{0, 10} {
		ctx := &countedContext{Context: context.Background(), left: after}
		if _, err := generate(ctx, p); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d: %v", after, err)
		}
		if left, err := os.ReadDir(filepath.Dir(p.dataDir)); err != nil || len(left) > 0 {
			t.Errorf("after %d: left %v, %v", after, left, err)
		}
	}
	if _, err := generate(context.Background(), p); err != nil {
		t.Error(err)
	}
}

// countedContext ends after it has been asked a number of times.
type countedContext struct {
	context.Context
	left int
}

func (c *countedContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
