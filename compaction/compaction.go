package compaction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// Names of what compaction makes beside the packed files.
const (
	archiveName   = "archive"       // the folder
	tmpPrefix     = "tmp."          // of whatever is not finished
	keyframesName = "tmp.keyframes" // folder of the keyframes that are about to be packed
)

// Job says which store is compacted, and how.
type Job struct {
	Store allocator.Options // DataDir may be "" if it is not known, as of a copy; LockTimeout bounds each wait for the plugin

	// Keyframes returns how many events come between two keyframes where there are so many leases; nil is the
	// default, DefaultKeyframes.
	Keyframes func(leases int) journal.Seq
	// Retain says what of the history may go once all is packed; nil keeps everything.
	Retain *Retain
	// Progress is told how far a step is, in events; total is 0 if that is not known. It may be nil.
	Progress func(step string, done, total uint64)

	Limits Limits
}

// Limits bound packed files. The zero value is the default; tests have less, so that a short history makes several files.
type Limits struct {
	MaxEvents  journal.Seq // in a packed file
	MergeBelow journal.Seq // the newest packed file is packed anew with the next events while it has fewer
}

// DefaultKeyframes is how many events come between two keyframes. A keyframe takes about 50 bytes a lease, so this bounds
// what they add to an event to a quarter of that, and what a question replays to four times what it reads of the keyframe.
func DefaultKeyframes(leases int) journal.Seq { return max(1<<16, 4*journal.Seq(leases)) }

// NoKeyframes is for histories that need none.
func NoKeyframes(int) journal.Seq { return math.MaxInt64 }

// Report says what a run did, or what it would do.
type Report struct {
	Network  string
	Dir      string // of the store
	Journal  journal.ID
	Settled  allocator.Settled
	Leftover []string // what runs that died had left, below the store's folder
	Packed   []File   // files that were made
	Merged   []string // packed files whose events are in Packed now, below the store's folder
	Removed  int      // segments that were removed from archive/
	Loose    []Loose  // segments that stay in archive/, and why
	Pruned   *Pruned  // what was pruned; nil if it is not asked for, and there was nothing to finish
	Before   Size     // of the store
	After    Size     // of the store; of a plan as far as it can be told, so without keyframes
}

// File is a packed file that was made.
type File struct {
	Name        string // below the store's folder
	First, Last journal.Seq
	Source      int64         // bytes of what it was made of; of packed files these
	Bytes       int64         // in a plan an estimate, without keyframes
	Keyframes   []journal.Seq // by their events; of a plan none
}

// Loose are segments that stay in archive/.
type Loose struct {
	First journal.Seq
	Count int
	Why   string
}

// Size is what a store takes of the disk, in bytes of files.
type Size struct {
	Journal, Archive, Snapshots int64
}

// Total is all of it.
func (s Size) Total() int64 { return s.Journal + s.Archive + s.Snapshots }

// Nothing reports whether there was nothing to do.
func (r *Report) Nothing() bool {
	return r.Settled.Archived == 0 && len(r.Settled.Snapshots) == 0 && len(r.Leftover) == 0 && len(r.Packed) == 0 && len(r.Merged) == 0 && r.Removed == 0 && r.Pruned.Nothing()
}

// Run compacts a store. The report that comes with an error says what had been done by then: all of it is good, and the next
// run goes on from there.
//
// It returns journal.ErrLocked if another run is under way, or the plugin's lock could not be had in time;
// journal.ErrNoStore, ErrNewer or ErrFenced for a store that must not be changed; a *journal.CorruptionError for damage
// in the way; and ErrNoSpace where the disk would not hold what is about to be written.
func Run(ctx context.Context, job Job) (*Report, error) {
	w, err := begin(job)
	if err != nil {
		return w.report, err
	}
	if err = w.finishPrune(ctx); err == nil {
		err = w.settle()
	}
	if err == nil {
		err = w.compact(ctx)
	}
	if err == nil {
		err = w.prune(ctx)
	}
	return w.report, errors.Join(err, w.end())
}

// Pack is Run for the archive alone: what is in journal/ stays there, and no snapshot is taken.
func Pack(ctx context.Context, job Job) (*Report, error) {
	w, err := begin(job)
	if err != nil {
		return w.report, err
	}
	if err = w.finishPrune(ctx); err == nil { // it needs the file that would be taken for a leftover
		err = w.compact(ctx)
	}
	return w.report, errors.Join(err, w.end())
}

// work is one run, with compact.lock held.
type work struct {
	job    Job
	dir    string
	store  *allocator.Store
	meta   journal.Meta
	lock   *os.File
	report *Report
}

// begin takes the lock and clears away what dead runs left. The work that comes with an error has a report alone.
func begin(job Job) (*work, error) {
	w, err := look(job)
	if err != nil {
		return w, err
	}
	path := filepath.Join(w.dir, journal.CompactLock)
	w.job.Progress("taking the lock", 0, 0)
	lock, ok, err := journal.TryLock(path)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s is held by %s: a compaction is under way", journal.ErrLocked, path, journal.Holder(path))
	}
	if err != nil {
		return w, err
	}
	w.lock = lock
	if err := errors.Join(w.stillOurs(), w.identify()); err != nil { // a repair or a wipe may have come in between
		return w, errors.Join(err, lock.Close())
	}
	if w.report.Before, err = sizeOf(w.dir); err == nil {
		err = w.clear()
	}
	if err != nil {
		return w, errors.Join(err, lock.Close())
	}
	return w, nil
}

// look finds out which store it is, and whether it may be changed.
func look(job Job) (*work, error) {
	w := &work{job: job, store: allocator.NewStore(job.Store), report: &Report{}}
	if w.job.Keyframes == nil {
		w.job.Keyframes = DefaultKeyframes
	}
	if w.job.Progress == nil {
		w.job.Progress = func(string, uint64, uint64) {}
	}
	if w.job.Limits == (Limits{}) {
		w.job.Limits = Limits{maxEvents, mergeBelow}
	}
	w.dir = w.store.Dir()
	w.report.Dir, w.report.Network = w.dir, job.Store.Network
	return w, w.identify()
}

// identify reads whose journal it is, and whether this version may change it.
func (w *work) identify() (err error) {
	if w.meta, err = journal.ReadMeta(w.dir); err != nil {
		return err
	}
	w.report.Network, w.report.Journal = w.meta.Network, w.meta.ID
	if err := journal.CanWrite(w.meta); err != nil {
		return fmt.Errorf("%s: %w", w.dir, err)
	}
	return nil
}

// end gives up the lock.
func (w *work) end() error {
	var err error
	w.report.After, err = sizeOf(w.dir)
	return errors.Join(err, w.lock.Close())
}

func (w *work) archive() string { return filepath.Join(w.dir, archiveName) }

// stillOurs returns journal.ErrReplaced if the store was deleted or another one has its place: then names in its folder are not
// those that were looked at. A repair, which puts one in a store's place, waits for compact.lock.
func (w *work) stillOurs() error {
	held, err := w.lock.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(w.lock.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(held, named) {
		return fmt.Errorf("%s: %w", w.dir, journal.ErrReplaced)
	}
	return err
}

// clear removes what runs that died had not finished. Everything of that kind is nobody's: who writes it holds compact.lock.
func (w *work) clear() error {
	names, err := unfinished(w.dir)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
			return err
		}
		w.report.Leftover = append(w.report.Leftover, name)
	}
	return journal.SyncDir(w.archive())
}

// unfinished lists it, below the store's folder.
func unfinished(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, archiveName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			names = append(names, filepath.Join(archiveName, e.Name()))
		}
	}
	return names, err
}

// settle moves sealed segments to the archive.
func (w *work) settle() error {
	w.job.Progress("taking snapshots", 0, 0)
	var err error
	w.report.Settled, err = w.store.Settle()
	return err
}

// sizeOf weighs a store. What goes meanwhile is not counted.
func sizeOf(dir string) (Size, error) {
	var s Size
	for folder, n := range map[string]*int64{"journal": &s.Journal, archiveName: &s.Archive, "snap": &s.Snapshots} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		for _, e := range entries {
			st, err := e.Info()
			if err == nil && st.Mode().IsRegular() {
				*n += st.Size()
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s, err
			}
		}
	}
	return s, nil
}
