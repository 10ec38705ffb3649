package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tidwall/wal"
)

// Journal is a store's journal, locked for writing by this process. Its methods are
// not safe for concurrent use.
type Journal struct {
	dir      string
	meta     Meta
	lock     *os.File // holds the flock until Close
	lockPath string
	marker   marker // as read by Open, then as last written
	stale    bool   // the marker in the file is another boot's, another file's or unfinished
	adopt    bool   // what is readable may not be durable: sync it before anything is built on it

	loaded  bool
	closed  bool
	last    Seq
	head    Hash     // of the record of last
	segment Seq      // first event of the newest segment
	active  *os.File // the newest segment, open for reading, cutting and fstat; tidwall/wal appends by its own
	size    int64    // its good length
	log     *wal.Log // appends to the newest segment; nil until the first append and after an error
	pending []*Event // repairs that no batch has recorded yet
	cuts    []Cut    // torn tails that Load has recorded
}

// Open takes the lock of the store in dir and reads its marker. It waits for the
// lock until deadline and then returns ErrLocked. It returns ErrNoStore if there is no
// store, ErrFenced if the disk refused an earlier write and still does, ErrNewer if a
// later version wrote it and a *CorruptionError if what says so is damaged.
// Load has to follow before Append.
func Open(dir string, deadline time.Time) (*Journal, error) {
	lockPath := filepath.Join(dir, lockName)
	lock, err := lockFile(lockPath, deadline)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := ReadMeta(dir); err != nil {
			return nil, err
		}
		lock, err = lockFile(lockPath, deadline) // the store may have been made since
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptionError{File: lockPath, Offset: -1, Cause: errors.New("missing")}
	}
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, lock: lock, lockPath: lockPath}
	if err := j.open(); err != nil {
		err = j.Explain(err)
		j.Close()
		return nil, err
	}
	return j, nil
}

// Explain returns ErrReplaced instead of an error that was met while the store was deleted or
// moved away: what is missing then is no damage.
func (j *Journal) Explain(err error) error {
	if same, statErr := stillAt(j.lock, j.lockPath); err != nil && statErr == nil && !same {
		return fmt.Errorf("%s: %w: %v", j.dir, ErrReplaced, err)
	}
	return err
}

func (j *Journal) open() (err error) {
	if j.meta, err = ReadMeta(j.dir); err != nil {
		return err
	}
	if err := CanWrite(j.meta); err != nil {
		return fmt.Errorf("%s: %w", j.dir, err)
	}
	dev, inode, err := identity(j.lock)
	if err != nil {
		return err
	}
	boot := CurrentBoot()
	m, err := readMarker(j.lock)
	j.stale = true
	switch {
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("%s: %w", j.lockPath, err)
	case err != nil && !errors.Is(err, errMarker):
		return err // it may be one that fences
	case err != nil || m.id != j.meta.ID:
		m, j.adopt = marker{}, true
	case m.dev != dev || m.inode != inode:
		j.adopt = true // a copy: nobody synced it
		m.state = stateIdle
	case m.boot != boot:
		m.state = stateIdle // the disk has spoken since
	case m.state == stateWriting:
		j.adopt = true
	default:
		j.stale = false
	}
	j.marker = m
	j.marker.id, j.marker.dev, j.marker.inode, j.marker.boot, j.marker.pid = j.meta.ID, dev, inode, boot, uint32(os.Getpid())
	if m.state == stateFailed || fenced(j.meta.ID) {
		return j.unfence()
	}
	return nil
}

// unfence tries once more what failed when the store was fenced: to cut the segment
// back to its good length and have the disk confirm it.
func (j *Journal) unfence() error {
	if j.marker.state != stateFailed {
		note, err := os.ReadFile(fencePath(j.meta.ID))
		if err != nil {
			return fmt.Errorf("%w: %v", ErrFenced, err)
		}
		m, err := decodeMarker(note)
		if err != nil {
			return fmt.Errorf("%w: %s: %v", ErrFenced, fencePath(j.meta.ID), err)
		}
		ours := m.id == j.meta.ID && m.dev == j.marker.dev && m.inode == j.marker.inode && m.boot == j.marker.boot
		if !ours || m.seq <= j.marker.durable {
			// The note is a copy's or another boot's, or a caller with another /run has undone the append
			// and gone on: what it would cut has been acknowledged since.
			return os.Remove(fencePath(j.meta.ID))
		}
		j.marker.segment, j.marker.size, j.marker.seq = m.segment, m.size, m.seq
		j.marker.state = stateFailed
	}
	err := j.cutFenced()
	if err == nil {
		err = j.setMarker(stateIdle)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrFenced, err)
	}
	if err := os.Remove(fencePath(j.meta.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v", ErrFenced, err)
	}
	return nil
}

// cutFenced cuts what the fenced append left. Where even less is there, nothing of it is left, and Load
// names what is missing.
func (j *Journal) cutFenced() error {
	f, err := os.OpenFile(filepath.Join(j.dir, journalName, segmentName(j.marker.segment)), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return cutBack(f, min(st.Size(), j.marker.size))
}

// cutBack makes a segment end at size, in the page cache and on the disk.
func cutBack(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	_ = preallocate(f, preallocBytes) // truncating gave it back; on a full disk that cannot be helped
	return f.Sync()
}

// setMarker writes the marker in place. It is not synced, see marker.
func (j *Journal) setMarker(state markerState) error {
	j.marker.state = state
	if state == stateIdle {
		j.marker.segment, j.marker.size, j.marker.seq = 0, 0, 0
	}
	_, err := j.lock.WriteAt(j.marker.encode(), 0)
	if err == nil && j.stale {
		err = j.lock.Truncate(markerBytes) // what was there may have been longer, and unreadable for that
	}
	return err
}

// Meta says what store this is.
func (j *Journal) Meta() Meta { return j.meta }

// Acknowledged returns the newest event that the marker witnesses, 0 if it names none. It is known before Load.
func (j *Journal) Acknowledged() Seq { return j.marker.durable }

// Last returns the newest event; all up to it are durable. Load has to have succeeded.
func (j *Journal) Last() Seq { return j.last }

// Head returns the hash of the newest event's record.
func (j *Journal) Head() Hash { return j.head }

// Cuts returns the torn tails that this handle has cut and recorded.
func (j *Journal) Cuts() []Cut { return j.cuts }

// Close gives up the lock. It doesn't sync: what Append returned nil for is durable already.
func (j *Journal) Close() error {
	j.closed = true
	var err error
	if j.active != nil {
		err = j.active.Close()
		j.active = nil
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
		j.lock = nil
	}
	return err
}
