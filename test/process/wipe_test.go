package process_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// wipes are the ways in which people say "no leases": each returns how often it deleted the
// file that ties the folder to its journal.
var wipes = []struct {
	name string
	run  func(n network) (int, error)
}{
	{"the network's folder", func(n network) (int, error) { return removeTree(n.folder()) }},
	{"its contents", func(n network) (int, error) { return removeMatches(filepath.Join(n.folder(), "*")) }},
	{"all in dataDir but dotfiles", func(n network) (int, error) { return removeMatches(filepath.Join(n.dataDir, "[^.]*")) }},
	{"the claim alone", func(n network) (int, error) { return removeTree(filepath.Join(n.folder(), journal.ClaimName)) }},
}

// removeTree deletes like rm -rf, and once more if something came in between. It counts deleted
// claims, because calls may tie the folder to its journal again at any moment.
func removeTree(path string) (claims int, err error) {
	for range 1000 {
		n, err := removeOnce(path)
		claims += n
		if !errors.Is(err, fs.ErrExist) { // ENOTEMPTY
			return claims, err
		}
	}
	return claims, fmt.Errorf("%s fills up again and again", path)
}

func removeOnce(path string) (claims int, err error) {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		entries = nil // not a folder
	}
	for _, e := range entries {
		n, err := removeOnce(filepath.Join(path, e.Name()))
		claims += n
		if err != nil {
			return claims, err
		}
	}
	err = os.Remove(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return claims, nil
	case err == nil && filepath.Base(path) == journal.ClaimName:
		claims++
	}
	return claims, err
}

func removeMatches(pattern string) (claims int, err error) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return 0, err
	}
	for _, path := range matches {
		n, err := removeTree(path)
		claims += n
		if err != nil {
			return claims, err
		}
	}
	return claims, nil
}

func TestWipe(t *testing.T) {
	for _, wipe := range wipes {
		t.Run(wipe.name, func(t *testing.T) {
			n := newNetwork(t)
			old := must(t, n.add("old"))
			must(t, n.add("other"))
			before := readHistory(t, n)
			for round := 1; round <= 2; round++ {
				if claims, err := wipe.run(n); err != nil || claims != 1 {
					t.Fatalf("wipe: %d claims, %v", claims, err)
				}
				refused(t, n.check("old"), codeNoLease)
				must(t, n.status())
				if round == 1 {
					must(t, n.add("new"))
				} else {
					must(t, n.del("unknown")) // a DEL notices too
				}
				refused(t, n.check("old"), codeNoLease)
				after := readHistory(t, n)
				sameBeginning(t, before, after)
				if got := resets(t, after); got != round {
					t.Errorf("wipe %d: got %d resets", round, got)
				}
				before = after
			}
			again := must(t, n.add("old"))
			if !slices.Equal(again.ips, old.ips) {
				t.Errorf("first ADD after a wipe: got %v, want %v: cursors begin anew", again.ips, old.ips)
			}
			if h := readHistory(t, n); len(h.leases) != 1 || resets(t, h) != 2 {
				t.Errorf("got leases %v and %d resets, want that of old alone and 2", h.leases, resets(t, h))
			}
		})
	}
}

// resets counts resets and fails the test for one that is not a wipe's.
func resets(t *testing.T, h history) int {
	t.Helper()
	for i := range h.events {
		if ev := &h.events[i]; ev.Kind == journal.KindReset && ev.Reason != journal.ReasonWiped {
			t.Errorf("event %d: reset with reason %s, want %s", ev.Seq, ev.Reason, journal.ReasonWiped)
		}
	}
	return h.count(journal.KindReset)
}

// sameBeginning fails the test unless after continues before.
func sameBeginning(t *testing.T, before, after history) {
	t.Helper()
	if before.id != after.id || len(after.events) < len(before.events) {
		t.Fatalf("journal %s with %d events became %s with %d", before.id, len(before.events), after.id, len(after.events))
	}
	for i := range before.events {
		if b, a := &before.events[i], &after.events[i]; a.Kind != b.Kind || a.ContainerID != b.ContainerID || a.Prev != b.Prev {
			t.Errorf("event %d changed: %s %s became %s %s", b.Seq, b.Kind, b.ContainerID, a.Kind, a.ContainerID)
		}
	}
}

// interval is when something was done, both ends since epoch.
type interval struct{ begin, end time.Duration }

// before, after and during say when a call was made.
func (a answer) before(i interval) bool { return a.returned < i.begin }
func (a answer) after(i interval) bool  { return a.called > i.end }
func (a answer) during(i interval) bool { return !a.before(i) && !a.after(i) }

// disasterCount is how often a disaster happens to the same traffic.
const disasterCount = 8

// traffic is what workers did to a network while something else was done to it.
type traffic struct {
	answers   []answer
	disasters []interval
	deleted   map[string]bool // containers for which a DEL was made
}

// last returns when the last disaster happened: what it left is what counts.
func (tr traffic) last() interval { return tr.disasters[len(tr.disasters)-1] }

// wakes returns the disasters, each until the last call has ended that was under way during it: what
// such a call still does, others may meet.
func (tr traffic) wakes() []interval {
	wakes := slices.Clone(tr.disasters)
	for i, d := range tr.disasters {
		for _, a := range tr.answers {
			if a.during(d) {
				wakes[i].end = max(wakes[i].end, a.returned)
			}
		}
	}
	return wakes
}

// withTraffic has eight workers ADD and DEL, and does the disaster several times in the middle of
// it. Every container ID is used once.
func withTraffic(t *testing.T, n network, disaster func() error) traffic {
	t.Helper()
	tr := traffic{deleted: map[string]bool{}}
	var mu sync.Mutex
	stop := make(chan struct{})
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("pod-%d-%d", w, i)
				answers := []answer{do(t, n.add(id))}
				drop := i%3 > 0
				if drop {
					answers = append(answers, do(t, n.del(id)))
				}
				mu.Lock()
				tr.answers = append(tr.answers, answers...)
				tr.deleted[id] = drop
				mu.Unlock()
			}
		})
	}
	added := func(since time.Duration) {
		t.Helper()
		for limit := time.Now().Add(callLimit); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			n := 0
			for _, a := range tr.answers {
				if a.call.verb == "ADD" && a.ok() && a.called > since {
					n++
				}
			}
			mu.Unlock()
			if n >= 16 {
				return
			}
		}
	}
	added(0)
	var err error
	for i := 0; i < disasterCount && err == nil; i++ {
		time.Sleep(50 * time.Millisecond)
		begin := time.Since(epoch)
		err = disaster()
		tr.disasters = append(tr.disasters, interval{begin, time.Since(epoch)})
	}
	added(time.Since(epoch))
	close(stop)
	group.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// check fails the test unless all that was acknowledged after the disaster is held, and nothing from
// before it. Calls that met the disaster may fail with the codes in allowed.
func (tr traffic) check(t *testing.T, n network, h history, allowed ...int) {
	t.Helper()
	var before, after, wrong int
	wakes := tr.wakes()
	for _, a := range tr.answers {
		if !a.ok() && !(slices.ContainsFunc(wakes, a.during) && slices.Contains(allowed, a.code)) {
			if wrong++; wrong <= 5 {
				t.Errorf("%v: from %v to %v, deleted at %v", a, a.called, a.returned, tr.disasters)
			}
		}
		if a.call.verb != "ADD" || !a.ok() {
			continue
		}
		held := slices.Equal(h.leases[a.call.id], a.ips)
		switch {
		case a.before(tr.last()):
			before++
			if len(h.leases[a.call.id]) > 0 {
				t.Errorf("%s: holds %v since before the wipe", a.call.id, h.leases[a.call.id])
			}
		case a.after(tr.last()):
			after++
			if !tr.deleted[a.call.id] && !held {
				t.Errorf("%s: got %v after the wipe, now holds %v", a.call.id, a.ips, h.leases[a.call.id])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d answers are wrong", wrong, len(tr.answers))
	}
	if before == 0 || after == 0 {
		t.Errorf("%d ADDs before and %d after the wipe: this test shows less than it means to", before, after)
	}
	tr.checkVerb(t, n)
	noLitter(t, n)
}

// checkVerb asks the plugin itself about a few containers of either time.
func (tr traffic) checkVerb(t *testing.T, n network) {
	t.Helper()
	var before, after int
	for _, a := range tr.answers {
		if a.call.verb != "ADD" || !a.ok() || tr.deleted[a.call.id] {
			continue
		}
		if a.before(tr.last()) && before < 5 {
			before++
			refused(t, n.check(a.call.id), codeNoLease)
		}
		if a.after(tr.last()) && after < 5 {
			after++
			must(t, n.check(a.call.id))
		}
	}
}

func TestWipeUnderLoad(t *testing.T) {
	for _, wipe := range wipes {
		t.Run(wipe.name, func(t *testing.T) {
			n := newNetwork(t)
			must(t, n.add("first"))
			first := readHistory(t, n)
			claims := 0
			tr := withTraffic(t, n, func() error {
				n, err := wipe.run(n)
				claims += n
				return err
			})
			must(t, n.add("last"))
			h := readHistory(t, n)
			sameBeginning(t, first, h)
			tr.check(t, n, h, codeTryAgain)
			// Deleted again before any call noticed, it is one wipe.
			if got := resets(t, h); got < 1 || got > claims {
				t.Errorf("got %d resets, want 1 to %d", got, claims)
			}
			tr.recorded(t, h)
		})
	}
}

// recorded fails the test if an acknowledged ADD is not in the journal: history outlives a wipe.
func (tr traffic) recorded(t *testing.T, h history) {
	t.Helper()
	added := map[string]bool{}
	for i := range h.events {
		if h.events[i].Kind == journal.KindAdd {
			added[h.events[i].ContainerID] = true
		}
	}
	for _, a := range tr.answers {
		if a.call.verb == "ADD" && a.ok() && !added[a.call.id] {
			t.Errorf("%v: acknowledged, but not in the journal", a)
		}
	}
}

// losses are ways to lose a whole store, history and all.
var losses = []struct {
	name string
	run  func(n network) error
}{
	{"all in dataDir", func(n network) error {
		entries, err := os.ReadDir(n.dataDir)
		for _, e := range entries {
			if err == nil {
				_, err = removeTree(filepath.Join(n.dataDir, e.Name()))
			}
		}
		return err
	}},
	{"the store alone", func(n network) error {
		_, err := removeTree(n.storeDir())
		return err
	}},
}

func TestLostStore(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			n := newNetwork(t)
			must(t, n.add("old"))
			before := readHistory(t, n)
			if err := loss.run(n); err != nil {
				t.Fatal(err)
			}
			refused(t, n.check("old"), codeNoLease)
			must(t, n.status())
			must(t, n.del("old"))
			if _, err := os.Stat(n.storeDir()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after CHECK, STATUS and DEL: %v, want no store", err)
			}
			must(t, n.add("new"))
			after := readHistory(t, n)
			if before.id == after.id {
				t.Errorf("the new journal has the lost one's ID, %s", after.id)
			}
			oneStore(t, n, 1)
		})
	}
}

func TestLostStoreUnderLoad(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			n := newNetwork(t)
			must(t, n.add("first"))
			first := readHistory(t, n)
			tr := withTraffic(t, n, func() error { return loss.run(n) })
			must(t, n.add("last"))
			h := readHistory(t, n)
			if h.id == first.id {
				t.Errorf("the new journal has the lost one's ID, %s", h.id)
			}
			tr.check(t, n, h, codeTryAgain, codeStorage)
			if got := h.count(journal.KindGenesis); got != 1 {
				t.Errorf("got %d genesis events, want 1", got)
			}
		})
	}
}

// TestNoStore has the verbs that must not make a network meet one that was never made.
func TestNoStore(t *testing.T) {
	for _, test := range []struct {
		name string
		made bool // dataDir is there already
	}{{"no dataDir", false}, {"empty dataDir", true}} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			if test.made {
				if err := os.Mkdir(n.dataDir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, filepath.Dir(n.dataDir))
			must(t, n.del("c1"))
			must(t, n.status())
			must(t, n.gc())
			refused(t, n.check("c1"), codeNoLease)
			untouched(t, filepath.Dir(n.dataDir), before)
		})
	}
}

// tree lists all below a folder, with modes, and the sizes and bytes of files.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s", st.Mode(), strings.TrimPrefix(path, dir))
		if st.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", st.Size(), journal.RecordHash(content))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// untouched fails the test if a folder is not what it was.
func untouched(t *testing.T, dir string, before []string) {
	t.Helper()
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("got\n%s\nwant it as it was:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}
