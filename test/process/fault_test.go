package process_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/trace"
)

// errnos are the errors that are injected, with the text that the caller gets to see.
var errnos = map[string]string{"EIO": "input/output error", "ENOSPC": "no space left on device", "EDQUOT": "disk quota exceeded"}

// takesSpace are the system calls that may fail for want of space, on some file system: on those that
// copy on write, freeing takes space too.
var takesSpace = map[string]bool{"write": true, "pwrite64": true, "fsync": true, "ftruncate": true, "fallocate": true, "renameat": true,
	"renameat2": true, "linkat": true, "unlinkat": true, "mkdirat": true, "fchmod": true, "fchmodat": true, "close": true}

// mayFail reports whether an error is one that the system call can have.
func mayFail(c trace.Call, errno string) bool {
	return errno == "EIO" || takesSpace[c.Name] || c.Name == "openat" && strings.Contains(c.Flags, "O_CREAT")
}

// changesDisk are the system calls whose failing once more concerns what undoes them. Answers are written
// as well, so that write is not among them.
var changesDisk = map[string]bool{"pwrite64": true, "fsync": true, "ftruncate": true, "fallocate": true, "renameat": true,
	"renameat2": true, "linkat": true, "unlinkat": true, "mkdirat": true, "openat": true, "flock": true}

// full has everything tried that is left out for the time it takes, and every fault once more together with those that follow of its system call.
var full = flag.Bool("full", false, "try all faults, and more combinations of them")

// stage is a scene that was made and run once without faults.
type stage struct {
	scene
	n      network
	call   call
	image  image
	clean  answer    // of the call
	sites  []located // of the call
	answer int       // index in sites of what comes after the answer
	before map[string][]netip.Addr
	after  map[string][]netip.Addr
	events []journal.Event // that stand, whatever happens
}

// set makes the scene, runs its call once, checks what it does and brings the store back.
func (sc scene) set(t *testing.T) *stage {
	t.Helper()
	s := &stage{scene: sc, n: newNetwork(t)}
	s.call = sc.prepare(t, &s.n)
	root := filepath.Dir(s.n.dataDir)
	s.image = save(t, root)
	h, before := leasesOf(t, s.n)
	s.before, s.events = before, h.events
	l := newLedger(t, root)
	s.owing(l)
	var calls []trace.Call
	s.clean, calls = watched(t, s.call)
	if owed := l.process(calls); len(owed) > 0 {
		t.Errorf("answered without the disk having %q", owed)
	}
	if !s.clean.ok() && s.clean.code != codeDuplicate {
		t.Fatalf("%v: want success", s.clean)
	}
	s.sites = slices.DeleteFunc(sites(calls, root), func(l located) bool {
		return l.Thread != calls[0].Thread // Go's collector closes files there, if it runs at all
	})
	s.answer = len(sites(calls[:answered(calls)], root))
	h, s.after = leasesOf(t, s.n)
	if sc.shows != nil {
		sc.shows(t, s.n, h)
	}
	s.image.restore(t)
	s.complete(t, root)
	if len(s.sites) < 20 {
		t.Fatalf("%d places where a system call can fail: this test shows less than it means to", len(s.sites))
	}
	return s
}

// complete fails the test if the call makes system calls on files of the store that fileCalls lacks.
func (s *stage) complete(t *testing.T, root string) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	c := s.call
	c.under, c.pin = under(trace, true), true
	do(t, c)
	s.image.restore(t)
	for _, c := range readTrace(t, trace) {
		known := harmless[c.Name] || slices.ContainsFunc(fileCalls, func(name string) bool { return strings.TrimPrefix(name, "?") == c.Name })
		if !known && strings.Contains(c.Flags, root) {
			t.Errorf("%s(%s): a system call on the store's files that no fault is tried at", c.Name, c.Flags)
		}
	}
}

// goal is a fault still to be tried.
type goal struct {
	site  site
	errno string
	again bool // all that follow of this system call fail, too, those that undo included
}

func (g goal) String() string {
	if g.again {
		return g.errno + " from " + g.site.String() + " on"
	}
	return g.errno + " at " + g.site.String()
}

// maxTries is how often a place is aimed at: strace counts by thread, and Go may have moved the call.
const maxTries = 20

// maxFailed is after how many bad ends in a row a sweep gives up.
const maxFailed = 30

// TestFaults has each system call of each verb fail in turn, once, and then together with those of its
// name that follow; goals has what is left out by default.
func TestFaults(t *testing.T) {
	trace.Need(t)
	random(t) // tells the seed if it fails
	if testing.Short() {
		t.Skip("some thousand processes under strace")
	}
	var places, faults atomic.Int64
	t.Cleanup(func() { t.Logf("%d places, %d faults", places.Load(), faults.Load()) })
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			s := sc.set(t)
			goals := s.goals()
			s.sweep(t, goals, func(l located, g goal) fault {
				f := fault{name: l.Name, when: fmt.Sprint(l.Ordinal), does: "error=" + g.errno}
				if g.again {
					f.when += "+"
				}
				return f
			}, s.failed)
			t.Logf("%d places, %d faults", len(s.sites), len(goals))
			places.Add(int64(len(s.sites)))
			faults.Add(int64(len(goals)))
		})
	}
}

// leftOut reports whether the place of that number is not tried if its call changes nothing: by default only one in four of them is, another
// one with each seed.
func leftOut(place int) bool { return !*full && uint64(place)%4 != *seed%4 }

// goals lists the faults that are tried at a scene: by default one or two of the three at each place that changes the disk. Left out is the
// closing of locks: an error of close is injected in its place, so that the lock would stay, which no real error does.
func (s *stage) goals() []goal {
	var goals []goal
	for i, l := range s.sites {
		base := filepath.Base(l.Path)
		if l.Name == "close" && (base == "lock" || base == ".lock" || base == "snap.lock") || s.triedElsewhere(l) {
			continue
		}
		if changes := changesDisk[l.Name] && l.Name != "openat" && l.Name != "flock" || l.Name == "write"; !changes && leftOut(i) {
			continue
		}
		turn := *full || (uint64(i)+*seed)%2 == 0 // where there are several faults to try, the others come with another seed
		if turn || !mayFail(l.Call, "ENOSPC") {
			goals = append(goals, goal{site: l.site, errno: "EIO"})
		}
		if (*full || !turn) && mayFail(l.Call, "ENOSPC") {
			goals = append(goals, goal{site: l.site, errno: "ENOSPC"})
		}
		if turn && changesDisk[l.Name] || *full && l.Name != "write" && l.Name != "close" {
			goals = append(goals, goal{site: l.site, errno: "EIO", again: true})
		}
	}
	return goals
}

// triedElsewhere reports whether a place is one that each call passes alike, before it does what is its own: the notes of a
// store, and whether host-local has been called. They are tried with an ADD and a DEL.
func (s *stage) triedElsewhere(l located) bool {
	switch filepath.Base(l.Path) {
	case "boot", "view":
	case "lock":
		if filepath.Base(filepath.Dir(l.Path)) != filepath.Base(s.n.storeDir()) || strings.Contains(l.Path, "/.leaselog/") {
			return false
		}
	default:
		return false
	}
	return !s.everywhere()
}

// everywhere reports whether the scene is one in which all places are tried. In the others a kill before a call that
// changes nothing leaves what a kill before the next one leaves, and the places that all calls pass alike are left out.
func (s *stage) everywhere() bool {
	return *full || s.name == "ADD" || s.name == "DEL" || s.name == "ADD that makes the network"
}

// faulted is a call that met a fault.
type faulted struct {
	goal   goal // what was hit, which need not be what was aimed at
	hit    located
	answer answer
	ledger *ledger
	owed   []string // when it answered
}

// sweep aims at each goal until it was hit. What was hit by mistake is a fault as well, and judged.
func (s *stage) sweep(t *testing.T, goals []goal, aim func(located, goal) fault, judge func(*testing.T, faulted)) {
	t.Helper()
	index := map[site]located{}
	for _, l := range s.sites {
		index[l.site] = l
	}
	hit := map[goal]bool{}
	failed := 0 // in a row
	for _, g := range goals {
		for try := 0; !hit[g]; try++ {
			if try == maxTries {
				t.Fatalf("%s: not reached in %d tries", g, maxTries)
			}
			f, ok := s.strike(t, g, aim(index[g.site], g))
			if !ok {
				continue
			}
			hit[f.goal] = true
			if t.Run(f.goal.String(), func(t *testing.T) { judge(t, f) }) {
				failed = 0
			} else if failed++; failed == maxFailed {
				t.Fatalf("%d faults in a row end wrong", failed)
			}
		}
	}
}

// strike makes the call on the scene as it was saved, and reports whether it met the fault in a place
// of the store.
func (s *stage) strike(t *testing.T, g goal, aimed fault) (faulted, bool) {
	t.Helper()
	s.image.restore(t)
	root := filepath.Dir(s.n.dataDir)
	f := faulted{goal: g, ledger: newLedger(t, root)}
	s.owing(f.ledger)
	var calls []trace.Call
	f.answer, calls = watched(t, s.call, aimed)
	f.owed = f.ledger.process(calls)
	f.hit, f.goal.site = struckAt(calls, root, g.again)
	return f, f.hit.Name != ""
}

// owing tells the ledger what the scene's own killed writer left.
func (s *stage) owing(l *ledger) {
	if !s.killed {
		return
	}
	for path, content := range s.image.files {
		if filepath.Base(filepath.Dir(path)) == "journal" {
			l.unsynced(path, int64(len(content))-1)
		}
	}
}

// struckAt returns the first call that met the fault; one without a name if that was none of the store's,
// or if others met it too that were not to.
func struckAt(calls []trace.Call, root string, again bool) (located, site) {
	struck := 0
	for _, c := range calls {
		if c.Injected {
			struck++
		}
	}
	for _, l := range sites(calls, root) {
		if (l.Injected || !l.Ended) && (struck <= 1 || again) {
			return l, l.site
		}
	}
	return located{}, site{}
}

// failed judges a call that met an error, and the calls after it.
func (s *stage) failed(t *testing.T, f faulted) {
	t.Helper()
	s.answered(t, f)
	h, between := leasesOf(t, s.n)
	s.wholeOrNot(t, f, between)
	if len(h.events) == 0 && !f.answer.ok() {
		s.leftNothing(t, f)
	}
	s.aftermath(t, f.answer, f.ledger, h, between)
}

// place returns where among the call's places the fault was.
func (s *stage) place(f faulted) int {
	return slices.IndexFunc(s.sites, func(l located) bool { return l.site == f.goal.site })
}

// answered judges the answer of a call that met an error.
func (s *stage) answered(t *testing.T, f faulted) {
	t.Helper()
	a := f.answer
	place := s.place(f)
	asClean := a.exit == s.clean.exit && a.code == s.clean.code && slices.Equal(a.ips, s.clean.ips)
	if asClean {
		if len(f.owed) > 0 {
			t.Errorf("%v: acknowledged without the disk having %q", a, f.owed)
		}
		if s.changes && place < s.answer && !s.tolerated(f) {
			t.Errorf("%v: want an error: nothing says that this fault does not matter", a)
		}
		return
	}
	code := codeStorage
	if s.call.verb == "STATUS" {
		code = codeUnavailable
	}
	if a.code != code || place >= s.answer {
		t.Errorf("want code %d, or %d and exit %d as without the fault; the answer is given before call %d of %d, this is %d",
			code, s.clean.code, s.clean.exit, s.answer, len(s.sites), place)
	}
	if !strings.Contains(a.msg, errnos[f.goal.errno]) || !strings.Contains(a.msg, filepath.Dir(s.n.dataDir)) {
		t.Errorf("got %q, want it to name the file and the cause, %s", a.msg, errnos[f.goal.errno])
	}
}

// leftNothing fails the test if a call that failed to make a network left parts of it. The folder above
// it and the lock in there may stay: others may be waiting for that.
func (s *stage) leftNothing(t *testing.T, f faulted) {
	t.Helper()
	if f.hit.Name == "unlinkat" || f.goal.again {
		return // that is how parts go, or are found
	}
	history := filepath.Dir(s.n.storeDir())
	var got []string
	err := filepath.WalkDir(s.image.root, func(path string, _ fs.DirEntry, err error) error {
		if !within(history, path) && path != filepath.Join(history, ".lock") {
			got = append(got, strings.TrimPrefix(path, s.image.root))
		}
		return err
	})
	if err != nil || len(got) > 0 {
		t.Errorf("left behind: %q, %v", got, err)
	}
}

// tolerable are faults before the answer with which a call that writes may succeed, and why. The ledger
// and the leases are held against its success all the same.
var tolerable = []struct {
	fault *regexp.Regexp // scene|error|system call
	why   string
}{
	{regexp.MustCompile(`\|close /`), "the descriptor is free all the same, and what matters was synced before"},
	{regexp.MustCompile(`\|(openat|read) /networks/\.leaselog/pods/view$`), "that host-local has not been called shows in the data folder, too"},
	{regexp.MustCompile(`\|(openat|read|write|fchmod) /networks/\.leaselog/pods/boot$`), "whoever does not find it looks at all leases once more"},
	{regexp.MustCompile(`\|newfstatat \*$`), "a note that can't be looked at is none; the marker fences too"},
	{regexp.MustCompile(`\|newfstatat /networks/\.leaselog/pods/journal$`), "tidwall/wal asks whether to make the folder"},
	{regexp.MustCompile(`\|fstat /networks/\.leaselog/pods/journal/\d+$`), "tidwall/wal reads by a size that is a hint"},
	{regexp.MustCompile(`\|newfstatat /networks/(\.leaselog/pods/journal/\d+|pods/leaselog)$`), "rename asks whether its target is a folder"},
	{regexp.MustCompile(`^ADD (that makes|after a wipe).*\|(newfstatat (/networks(/pods|/\.leaselog)?)?|(fstat|newfstatat) \S+/\.lock)$`), "asked for the case that what is made must go again"},
	{regexp.MustCompile(`\|newfstatat /networks/\.leaselog/pods$`), "the rename that follows says what is in its way"},
	{regexp.MustCompile(`^ADD that makes.*\|(openat|getdents64) /networks/\.leaselog$`), "the next creation removes what is stale"},
	{regexp.MustCompile(`\|newfstatat /networks/\.leaselog/pods/reserve$`), "the reserve is a help and no promise"},
	{regexp.MustCompile(`\|unlinkat \S+/(next|leaselog.tmp)$`), "there was nothing to remove"},
	{regexp.MustCompile(`starts a segment\|.*\|ftruncate \S+/journal/\d+$|^GC.*EIO\|ftruncate \S+/journal/\d+$`), "what the old segment had reserved goes back later or never"},
	{regexp.MustCompile(`torn tail\|.*\|fallocate \S+/journal/\d+$`), "what is cut gives up its reservation, and ENOSPC shows up at the append"},
	{regexp.MustCompile(`^(DEL|GC).*\|ENOSPC\|\S+ \S+/(journal/\d+|lock)$`), "releases get the space of the reserve"},
	{regexp.MustCompile(`(torn tail|a wipe|snapshot aside)\|ENOSPC\|\S+ \S+/(journal/\d+|lock)$`), "repairs and resets get it too"},
	{regexp.MustCompile(`^(DEL|GC).*\|ENOSPC\|\S+ \S+/next( |$)`), "releases go into what the old segment has reserved"},
	{regexp.MustCompile(`torn tail\|ENOSPC\|\S+ \S+/quarantine(/|$)`), "a short tail goes into the repair event"},
}

func (s *stage) tolerated(f faulted) bool {
	what := fmt.Sprintf("%s|%s|%s", s.name, f.goal.errno, f.goal.site.call)
	for _, tol := range tolerable {
		if tol.fault.MatchString(what) {
			return true
		}
	}
	return false
}

// wholeOrNot fails the test unless a call has had all of its effect or none: all if it succeeded, and
// none on the victim if it failed.
func (s *stage) wholeOrNot(t *testing.T, f faulted, got map[string][]netip.Addr) {
	t.Helper()
	a := f.answer
	if a.ok() && s.clean.ok() {
		if !maps.EqualFunc(got, s.after, slices.Equal) {
			t.Errorf("got leases %v, want %v", got, s.after)
		}
		return
	}
	for id := range union(got, s.before, s.after) {
		if !slices.Equal(got[id], s.before[id]) && !slices.Equal(got[id], s.after[id]) {
			t.Errorf("%s: got %v, want %v or %v", id, got[id], s.before[id], s.after[id])
		}
	}
	// By then the event is durable, and the question is only whether the folder was wiped meanwhile.
	stands := a.killed() || f.goal.site.call == "newfstatat /networks/pods/leaselog"
	if !slices.Equal(got["victim"], s.before["victim"]) && !stands {
		t.Errorf("failed, but victim holds %v", got["victim"])
	}
}

func union(maps ...map[string][]netip.Addr) map[string]bool {
	all := map[string]bool{}
	for _, m := range maps {
		for id := range m {
			all[id] = true
		}
	}
	return all
}

// aftermath is what follows a call that failed or was killed: the runtime deletes the container, and
// other pods come.
func (s *stage) aftermath(t *testing.T, a answer, l *ledger, h history, between map[string][]netip.Addr) {
	t.Helper()
	if len(h.events) < len(s.events) {
		t.Fatalf("%d events became %d", len(s.events), len(h.events))
	}
	for _, c := range []call{s.n.del("victim"), s.n.add("after")} {
		next, calls := watched(t, c)
		owed := l.process(calls)
		if _, err := os.Stat(s.n.storeDir()); errors.Is(err, fs.ErrNotExist) {
			owed = nil // a DEL without a store rests on nothing
		}
		if !next.ok() || len(owed) > 0 {
			t.Errorf("want success, and nothing that the disk lacks: %q: %v", owed, next)
		}
		if c.verb == "ADD" {
			between["after"] = next.ips
		}
	}
	want := maps.Clone(between)
	delete(want, "victim")
	after := readHistory(t, s.n)
	for id := range union(after.leases, want, s.after) {
		settled := (s.settles || a.killed()) && id != "victim" && slices.Equal(after.leases[id], s.after[id])
		if !slices.Equal(after.leases[id], want[id]) && !settled {
			t.Errorf("%s: got %v, want %v; afterwards all leases are %v", id, after.leases[id], want[id], after.leases)
		}
	}
	if len(s.events) > 0 {
		sameBeginning(t, history{id: after.id, events: s.events}, after)
	}
	must(t, s.n.check("after"))
	must(t, s.n.status())
	trueSnapshots(t, s.n, after)
	atRest(t, s.n, after.id)
}

// atRest fails the test if a store is fenced, or its marker says that an append is under way.
func atRest(t *testing.T, n network, id journal.ID) {
	t.Helper()
	if err := os.Remove(noteOf(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note that fences the store: %v, want none", err)
	}
	if got := markerState(t, n); got != markerIdle {
		t.Errorf("marker in state %d, want %d", got, markerIdle)
	}
}

// noteOf is where a fenced journal is noted.
func noteOf(id journal.ID) string { return filepath.Join("/run/leaselog", id.String()) }

// States of the marker, the third byte of the lock file.
const (
	markerIdle    = 1
	markerWriting = 2
	markerFailed  = 3
)

func markerState(t *testing.T, n network) byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.storeDir(), "lock"))
	if err != nil || len(b) < 3 {
		t.Fatalf("marker of %d bytes, %v", len(b), err)
	}
	return b[2]
}
