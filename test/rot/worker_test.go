package rot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// job is one case: a store in a mode, one damage, and what is called then.
type job struct {
	file   string
	mode   mode
	damage damage
	script int // noCalls: only readers are asked
}

// noCalls is for damage to files that calls don't open.
const noCalls = -1

func (j job) String() string {
	if j.script == noCalls {
		return fmt.Sprintf("%s, marker %s: %s", j.file, j.mode, j.damage)
	}
	return fmt.Sprintf("%s, marker %s: %s; then %s", j.file, j.mode, j.damage, scripts[j.script].name)
}

// worker has a copy of the store of its own.
type worker struct {
	f     *fixture
	m     *model
	root  string
	store *allocator.Store
	lock  [modes][]byte // the marker in each mode, for this copy's lock file
	claim []byte
	cases int
	quiet bool // nothing was written since the damage, so that there is only that to heal

	busy atomic.Pointer[running]
}

// running is what the watchdog looks at.
type running struct {
	what  string
	since time.Time
}

// hangs is how long a case may take. An undamaged one takes less than a millisecond.
const hangs = time.Minute

func newWorker(t testing.TB, f *fixture, m *model, root string) *worker {
	t.Helper()
	w := &worker{f: f, m: m, root: root}
	w.store = storeAt(root, func(string) {})
	w.claim = claimOf(f.id, root)
	for _, dir := range f.dirs {
		if err := os.MkdirAll(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range f.names {
		if err := os.WriteFile(w.path(name), w.content(name, modeLive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.learnLock(t)
	return w
}

// claimOf is the claim of a store below root.
func claimOf(id journal.ID, root string) []byte {
	return []byte(id.String() + "\n" + filepath.Join(root, storeDir) + "\n")
}

func (w *worker) path(name string) string { return filepath.Join(w.root, name) }

// learnLock makes the markers for the lock file that is there now.
func (w *worker) learnLock(t testing.TB) {
	t.Helper()
	dev, inode := identity(t, w.path(lockFile))
	for m := range modes {
		w.lock[m] = w.f.marker(m, dev, inode)
	}
}

// content is a file's undamaged content in this copy.
func (w *worker) content(name string, m mode) []byte {
	switch name {
	case claimFile:
		return w.claim
	case lockFile:
		return w.lock[m]
	}
	return w.f.files[name]
}

// put gives a file this content in place, so that the lock file stays the one that its marker names.
func (w *worker) put(name string, content []byte) error {
	f, err := os.OpenFile(w.path(name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	return errors.Join(err, f.Truncate(int64(len(content))), f.Close())
}

// hurt damages the store.
func (w *worker) hurt(j job) error {
	if err := w.put(lockFile, w.lock[j.mode]); err != nil {
		return err
	}
	if now := j.damage.apply(w.content(j.file, j.mode)); now != nil {
		return w.put(j.file, now)
	}
	return os.Remove(w.path(j.file))
}

// heal makes the store whole again: the damaged file, what calls write to, and what they move.
func (w *worker) heal(t testing.TB, j job) error {
	hurt := []string{j.file, newestSegment(), claimFile}
	folders := []string{quarDir, snapDir, journalDir}
	if j.file == newestSegment() && j.damage.kind == remove {
		hurt = append(hurt, segmentFile(live[1])) // calls may have taken it for the newest
	}
	if w.quiet {
		hurt, folders = hurt[:1], nil
	}
	for _, name := range hurt {
		if err := w.put(name, w.content(name, j.mode)); err != nil {
			return err
		}
	}
	if j.file == lockFile && j.damage.kind == remove {
		w.learnLock(t)
	}
	for _, dir := range folders {
		if err := w.tidy(dir); err != nil {
			return err
		}
	}
	w.quiet = false
	if w.cases++; w.cases%1000 != 0 {
		return nil
	}
	if err := w.put(lockFile, w.lock[modeLive]); err != nil {
		return err
	}
	return w.untouched(job{file: claimFile, damage: damage{extendJunk, 0}})
}

// tidy removes what is not the fixture's from a folder and brings back what is gone.
func (w *worker) tidy(dir string) error {
	entries, err := os.ReadDir(w.path(dir))
	if err != nil {
		return err
	}
	var there []string
	for _, e := range entries {
		name := dir + "/" + e.Name()
		if _, ours := w.f.files[name]; ours {
			there = append(there, name)
		} else if err := os.Remove(w.path(name)); err != nil {
			return err
		}
	}
	for _, name := range w.f.names {
		if strings.HasPrefix(name, dir+"/") && !slices.Contains(there, name) {
			if err := w.put(name, w.f.files[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// untouched checks that the store is as the damage left it, but for the marker of a lock file that
// was not damaged.
func (w *worker) untouched(j job) error {
	seen := 0
	err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(w.root, path)
		if err != nil {
			return err
		}
		if _, ours := w.f.files[name]; !ours {
			return fmt.Errorf("there is a new file %s", name)
		}
		seen++
		want := w.content(name, j.mode)
		if name == j.file {
			want = j.damage.apply(want)
		} else if name == lockFile {
			return nil // a call that found the journal whole may say so
		}
		got, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%s was changed", name)
		}
		return err
	})
	want := len(w.f.names)
	if j.damage.kind == remove {
		want--
	}
	if err == nil && seen != want {
		err = fmt.Errorf("%d files are left of %d", seen, want)
	}
	return err
}

// unchanged is untouched for what calls may change: the newest segment, and names in its folder, in snap/ and in
// quarantine/. All is looked at once in a while.
func (w *worker) unchanged(j job) (err error) {
	defer func() { w.quiet = err == nil }()
	if w.cases%100 == 0 {
		return w.untouched(j)
	}
	if j.file != newestSegment() || j.damage.kind != remove {
		want := w.content(newestSegment(), j.mode)
		if j.file == newestSegment() {
			want = j.damage.apply(want)
		}
		if got, err := os.ReadFile(w.path(newestSegment())); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s was changed: %v", newestSegment(), err)
		}
	}
	for _, dir := range []string{journalDir, snapDir, quarDir} {
		entries, err := os.ReadDir(w.path(dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, ours := w.f.files[dir+"/"+e.Name()]; !ours {
				return fmt.Errorf("there is a new file %s in %s", e.Name(), dir)
			}
		}
	}
	return nil
}

// run damages the store, asks, calls, judges and heals it.
func (w *worker) run(t testing.TB, j job) (o outcome, err error) {
	err = w.with(t, j, func() error {
		before := w.look(j)
		if j.script == noCalls {
			o, w.quiet = namedToHistory, true
			return w.judgeLooks(w.f.predict(j, w.content(j.file, j.mode)), before)
		}
		var err error
		o, err = w.judge(j, before, w.call(scripts[j.script]))
		return err
	})
	return o, err
}

// with does something with the damaged store, under the eyes of the watchdog, and heals it. A panic is an error.
func (w *worker) with(t testing.TB, j job, do func() error) (err error) {
	w.busy.Store(&running{j.String(), time.Now()})
	defer w.busy.Store(nil)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if healErr := w.heal(t, j); healErr != nil {
			err = errors.Join(err, fmt.Errorf("heal: %w", healErr))
		}
	}()
	if err := w.hurt(j); err != nil {
		return err
	}
	return do()
}

// newEvents reads what the calls recorded, after the events up to old.
func (w *worker) newEvents(old journal.Seq) (looked, error) {
	var l looked
	w.readHistory(&l, old)
	switch {
	case l.stray != "":
		return l, errors.New("afterwards " + l.stray)
	case l.history != old:
		return l, fmt.Errorf("afterwards %d old events are left, want %d: %v", l.history, old, l.end)
	}
	return l, l.end
}
