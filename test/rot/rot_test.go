package rot_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// full has every case run.
var full = flag.Bool("full", false, "run every case, not one of some")

// nth is every how manieth case is run, but for rare ones: a prime, so that all modes and bits get their turn.
func nth() int {
	switch {
	case raceEnabled || testing.Short():
		return 61
	case *full:
		return 1
	}
	return 7
}

// kindOf groups files for the counts.
func kindOf(file string) string {
	dir := filepath.Base(filepath.Dir(file))
	switch {
	case file == newestSegment():
		return "newest segment"
	case dir == "journal" || dir == "archive" || dir == "quarantine":
		return dir + "/"
	case file == snapshotFile(newerSnapshot):
		return "newer snapshot"
	case file == snapshotFile(olderSnapshot):
		return "older snapshot"
	case file == claimFile:
		return "claim"
	}
	return filepath.Base(file)
}

// counts are cases by file and outcome.
type counts struct {
	mu sync.Mutex
	n  map[string]*[outcomes]int
}

func (c *counts) add(file string, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n[kindOf(file)] == nil {
		c.n[kindOf(file)] = new([outcomes]int)
	}
	c.n[kindOf(file)][o]++
}

func (c *counts) log(t *testing.T) {
	total := 0
	var lines []string
	for kind, n := range c.n {
		var parts []string
		for o, k := range n {
			if total += k; k > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", k, outcomeNames[o]))
			}
		}
		lines = append(lines, fmt.Sprintf("  %-15s %s", kind, strings.Join(parts, ", ")))
	}
	slices.Sort(lines)
	t.Logf("%d cases\n%s", total, strings.Join(lines, "\n"))
}

// pool runs jobs on stores of their own.
type pool struct {
	t      *testing.T
	f      *fixture
	m      *model
	root   string
	counts counts
	seen   func(job, outcome) // called for each case; nil for nobody
	do     func(*worker, testing.TB, job) (outcome, error)
}

func newPool(t *testing.T) *pool {
	t.Helper()
	f := newFixture(t)
	return &pool{t: t, f: f, m: newModel(t, f), root: tempRoot(t), counts: counts{n: map[string]*[outcomes]int{}}, do: (*worker).run}
}

// workerRoot is where a worker's copy is. All have names of one length, so their claims have one too.
func (p *pool) workerRoot(i int) string { return filepath.Join(p.root, fmt.Sprintf("w%03d", i)) }

// content is a file's content in the copies, as far as its length goes.
func (p *pool) content(file string) []byte {
	if file == claimFile {
		return claimOf(p.f.id, p.workerRoot(0))
	}
	return p.f.files[file]
}

// rare reports whether a case is one of a few of its kind, that no sample may leave out.
func (f *fixture) rare(j job) bool {
	switch j.damage.kind {
	case flip, extendZeros, extendJunk:
		return false
	case cut:
		return slices.ContainsFunc(f.entries, func(e entry) bool { return e.file == j.file && e.from == int(j.damage.n) })
	}
	return true
}

// maxFailures is how many failures are told before the rest is left.
const maxFailures = 20

// run runs all jobs with so many workers and tells each that fails.
func (p *pool) run(jobs []job, workers int) {
	p.t.Helper()
	if all, nth := len(jobs), nth(); all > 61 && nth > 1 {
		i := 0
		jobs = slices.DeleteFunc(jobs, func(j job) bool { i++; return i%nth != 0 && !p.f.rare(j) })
		p.t.Logf("a sample: %d of %d cases", len(jobs), all)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var next, failures atomic.Int64
	var wg sync.WaitGroup
	all := make([]*worker, workers)
	for i := range all {
		all[i] = newWorker(p.t, p.f, p.m, p.workerRoot(i))
	}
	stop := p.watch(all)
	for _, w := range all {
		wg.Go(func() {
			for failures.Load() < maxFailures {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				o, err := p.do(w, p.t, jobs[i])
				if err != nil {
					failures.Add(1)
					p.t.Errorf("%s: %v", jobs[i], err)
					continue
				}
				p.counts.add(jobs[i].file, o)
				if p.seen != nil {
					p.seen(jobs[i], o)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	if failures.Load() >= maxFailures {
		p.t.Errorf("stopped after %d failures", maxFailures)
	}
}

// watch ends the test where a case hangs, and says which.
func (p *pool) watch(workers []*worker) chan struct{} {
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, w := range workers {
				if r := w.busy.Load(); r != nil && time.Since(r.since) > hangs {
					debug.SetTraceback("all")
					panic("case hangs: " + r.what)
				}
			}
		}
	}()
	return stop
}

// jobs lists every damage of a file in every mode. The script alternates from case to case.
func (p *pool) jobs(file string, in []mode, all []damage) []job {
	var jobs []job
	for i, d := range all {
		for k, m := range in {
			jobs = append(jobs, job{file, m, d, (i + k) % len(scripts)})
		}
	}
	return jobs
}

var allModes = []mode{modeLive, modeWriting, modeRebooted, modeStale, modeCopy}

// TestUndamaged: the store that the builder made is accepted clean in each mode, by each script, and
// holds what was given out.
func TestUndamaged(t *testing.T) {
	p := newPool(t)
	var got []string
	for _, l := range leases(t, p.f.fold(t, lastEvent)) {
		got = append(got, fmt.Sprintf("%s %.6s/%s", l.IP, l.ContainerID, l.IfName))
	}
	want := "10.9.0.3 c0ffee/eth0, 10.9.0.5 b4/net1, 10.9.0.77 /, 10.9.0.78 old/, 10.9.0.99 b5/eth0, " +
		"2001:db8:9::2 c0ffee/eth0, 2001:db8:9::4 b4/net1"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("leases\n%s, want\n%s", s, want)
	}
	var jobs []job
	for _, m := range allModes {
		for s := range scripts {
			jobs = append(jobs, job{createLock, m, damage{cut, 0}, s})
		}
	}
	p.run(jobs, 1)
	p.counts.log(t)
	bytes := 0
	for _, name := range p.f.names {
		bytes += len(p.f.files[name])
		t.Logf("%6d bytes %s", len(p.f.files[name]), name)
	}
	t.Logf("%6d bytes in all", bytes)
}

// TestSegments damages every bit and byte of journal/ and archive/. The newest segment is damaged in each mode; the
// others as the store is live and in one of the other modes in turn.
func TestSegments(t *testing.T) {
	p := newPool(t)
	var mu sync.Mutex
	lost := map[outcome][]string{}
	p.seen = func(j job, o outcome) {
		if o == unwitnessed || o == unacknowledged {
			mu.Lock()
			defer mu.Unlock()
			lost[o] = append(lost[o], j.String())
		}
	}
	var jobs []job
	for _, file := range p.f.names {
		if !strings.HasPrefix(file, journalDir) && !strings.HasPrefix(file, archiveDir) {
			continue
		}
		in := p.f.in(file)
		last := repeat(in[len(in)-1])
		if file == newestSegment() {
			jobs = append(jobs, p.jobs(file, allModes, append(damages(p.f.files[file], 1, 1, sector+8), last))...)
			continue
		}
		for i, d := range append(damages(p.f.files[file], 1, 1, 24), last) {
			if d.kind != flip || i/8%2 == 0 { // of flipped bits, those of each other byte in a store in use, of the rest in another mode
				jobs = append(jobs, job{file, modeLive, d, i % len(scripts)})
				if d.kind == flip {
					continue
				}
			}
			other := job{file, allModes[1+i%(len(allModes)-1)], d, i / 2 % len(scripts)}
			if d.kind == flip && !neededByCalls(file) { // see TestNeverOpened
				other.script = noCalls
			}
			jobs = append(jobs, other)
		}
	}
	p.run(jobs, runtime.GOMAXPROCS(0))
	p.counts.log(t)
	if raceEnabled || testing.Short() {
		return
	}
	// The exceptions that the promise names, and no more: the newest segment ends between two records, or is gone,
	// and there is no marker of what is missing, or only one that says that nobody acknowledged it.
	n := len(p.f.in(newestSegment()))
	if got := lost[unwitnessed]; len(got) != n+1 {
		t.Errorf("%d cuts between records that nobody witnessed, want %d:\n%s", len(got), n+1, strings.Join(got, "\n"))
	}
	if got := lost[unacknowledged]; len(got) != 1 {
		t.Errorf("%d times the unacknowledged event is gone, want 1:\n%s", len(got), strings.Join(got, "\n"))
	}
}

// repeat appends an entry once more.
func repeat(e entry) damage { return damage{again, int32(e.to - e.from)} }

// TestSmallFiles damages META, the claim and what nothing depends on.
func TestSmallFiles(t *testing.T) {
	p := newPool(t)
	var jobs []job
	for _, file := range p.f.names {
		switch kindOf(file) {
		case "META", "claim", "quarantine/", "next", "snap.lock", ".lock":
			jobs = append(jobs, p.jobs(file, allModes, damages(p.content(file), 1, 1, 12))...)
		case "reserve": // nobody opens it, see TestNeverOpened: a sample shows it once more
			jobs = append(jobs, p.jobs(file, allModes[:3], damages(p.content(file), 1021, 509, 3))...)
		}
	}
	p.run(jobs, runtime.GOMAXPROCS(0))
	p.counts.log(t)
}

// TestMarker damages the lock file. Nothing is lost with the marker: the next call goes by what is in the
// segments and writes it anew.
func TestMarker(t *testing.T) {
	p := newPool(t)
	all := damages(p.f.files[lockFile], 1, 1, 12)
	// A reader looks at an unreadable marker again for some milliseconds, because a writer may be at it.
	p.run(p.jobs(lockFile, allModes, all), 64)
	p.counts.log(t)
}
