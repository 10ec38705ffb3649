package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tidwall/wal"
	"golang.org/x/sys/unix"
)

// Append writes the events as one batch and returns nil once they are durable: only
// then may anything be acknowledged. It fills in Seq, Synced, Prev and Clock of
// each, and drops optional fields where a record would be too long (Event.Dropped).
//
// It returns ErrNoRoom, having written nothing, for an ADD that would need the
// space kept back for releases; ErrTooLarge for an event or batch over its limit;
// ErrReplaced if the store was deleted meanwhile. After any other error the append
// was undone, on the disk too, or the store is fenced (ErrFenced). Every error but
// ErrNoRoom and ErrTooLarge ends the handle: only Close may follow.
//
// System calls of an append without rotation, in order: pwrite(lock, "writing"),
// write(segment), fsync(segment), fstat(segment), stat(lock), pwrite(lock, "idle").
func (j *Journal) Append(events ...*Event) error {
	switch {
	case j.closed:
		return ErrClosed
	case !j.loaded:
		return fmt.Errorf("append to %s: %w", j.dir, errors.New("the journal was not loaded"))
	case len(events) == 0:
		return nil
	}
	b, err := j.encode(events)
	if err != nil {
		return err
	}
	release := releases(events)
	if err := j.makeRoom(b, release); err != nil {
		j.closed = !errors.Is(err, ErrNoRoom)
		return err
	}
	err = j.write(b)
	if noSpace(err) && release && !errors.Is(err, ErrFenced) {
		if giveErr := j.giveUpReserve(); giveErr == nil {
			err = j.write(b)
		}
	}
	if err != nil {
		j.closed = true
		return fmt.Errorf("append event %d: %w", events[0].Seq, err)
	}
	j.last, j.head = events[len(events)-1].Seq, b.head
	j.size += b.bytes
	return nil
}

// batch is a batch of encoded records.
type batch struct {
	wal   wal.Batch
	first Seq
	last  Seq
	head  Hash  // of the last record
	bytes int64 // in the segment
}

func (j *Journal) encode(events []*Event) (*batch, error) {
	clock := ReadClock()
	b := &batch{first: j.last + 1, head: j.head}
	var record []byte
	for i, ev := range events {
		ev.Seq, ev.Synced, ev.Prev, ev.Clock = j.last+Seq(i)+1, j.last, b.head, clock
		var err error
		if record, err = appendFitting(record[:0], j.meta.ID, ev); err != nil {
			return nil, fmt.Errorf("append event %d: %w", ev.Seq, err)
		}
		b.wal.Write(uint64(ev.Seq), record)
		b.head, b.last = RecordHash(record), ev.Seq
		b.bytes += int64(entryBytes(len(record)))
	}
	if b.bytes > MaxBatch {
		return nil, fmt.Errorf("append event %d: %w: batch of %d bytes, at most %d", b.first, ErrTooLarge, b.bytes, MaxBatch)
	}
	return b, nil
}

// entryBytes is what a record of n bytes takes in a segment.
func entryBytes(n int) int {
	switch {
	case n < 1<<7:
		return n + 1
	case n < 1<<14:
		return n + 2
	default:
		return n + 3
	}
}

// releases reports whether the events may use the space kept back: all but those
// that take addresses or grow the journal on behalf of an ADD.
func releases(events []*Event) bool {
	for _, ev := range events {
		switch ev.Kind {
		case KindAdd, KindRefuse, KindConfig, KindImport:
			return false
		}
	}
	return true
}

// makeRoom starts a new segment if the newest would grow beyond its target. On a full
// disk a release goes into the old one's reserved rest instead.
func (j *Journal) makeRoom(b *batch, release bool) error {
	if j.size == 0 || j.size+b.bytes <= segmentBytes {
		return nil
	}
	err := j.rotate()
	if !noSpace(err) {
		return err
	}
	if release {
		return nil
	}
	return fmt.Errorf("start segment %s: %w: %v", segmentName(j.last+1), ErrNoRoom, err)
}

// rotate starts a new segment. The old one is durable already. The new one gets its name only with
// its space reserved, and keeps it whatever comes: a crash after any step leaves it absent or
// empty, both of which are valid, and no name that is gone can come back.
//
// System calls: open(O_CREAT|O_EXCL), fallocate, fsync(segment), rename, fsync(folder), ftruncate(old).
func (j *Journal) rotate() error {
	if err := requireAt(j.active, j.active.Name(), j.dir); err != nil {
		return err // the path may be another store's by now
	}
	next := j.last + 1
	tmp := filepath.Join(j.dir, nextName)
	path := filepath.Join(j.dir, journalName, segmentName(next))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := createFile(tmp)
	if err != nil {
		return err
	}
	if err = preallocate(f, preallocBytes); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(tmp))
	}
	// From here on the new segment is there, and nothing may go into the old one any more: a full
	// disk is no longer a cause that the caller could go by.
	if err := errors.Join(SyncDir(filepath.Dir(path)), f.Close()); err != nil {
		return fmt.Errorf("start segment %s: %v", segmentName(next), err)
	}
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil { // under the name that it has now
		return fmt.Errorf("start segment %s: %v", segmentName(next), err)
	}
	// The rest that was reserved for the old segment goes back to the file system. That is
	// no promise to anybody, so an error is none either.
	_ = j.active.Truncate(j.size)
	_ = j.active.Close()
	j.active, j.segment, j.size, j.log = f, next, 0, nil
	j.restoreReserve()
	return nil
}

// openLog opens tidwall/wal on segments that were found valid. It is used as the
// entry codec and appender alone: no sync, rotation or truncation of its own.
//
// wal.Open goes by path, and makes a folder and a first segment where there are none: a
// store that is being deleted would come back as a ruin, and one made anew would get our
// records. So what is at the path is held against our own file before and after.
func (j *Journal) openLog() error {
	if err := requireAt(j.active, j.active.Name(), j.dir); err != nil {
		return err
	}
	log, err := wal.Open(filepath.Join(j.dir, journalName), &wal.Options{
		NoSync: true, AllowEmpty: true, SegmentSize: int(^uint(0) >> 1), DirPerms: dirMode, FilePerms: fileMode})
	if changed := requireAt(j.active, j.active.Name(), j.dir); changed != nil {
		if errors.Is(changed, ErrReplaced) {
			j.removeRuin()
		}
		return changed
	}
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err == nil && Seq(last) != j.last {
		err = fmt.Errorf("%s: the appender ends at event %d, the scan at %d", j.dir, last, j.last)
	}
	if err == nil {
		j.log = log
	}
	return err
}

// removeRuin takes back what wal.Open made of a store that was being deleted: an empty first segment
// and folders. A store's own first segment is never empty, and Remove leaves folders that aren't.
func (j *Journal) removeRuin() {
	path := filepath.Join(j.dir, journalName, segmentName(1))
	if st, err := os.Lstat(path); err == nil && st.Size() == 0 {
		_ = os.Remove(path)
	}
	_ = os.Remove(filepath.Join(j.dir, journalName))
	_ = os.Remove(j.dir)
}

// write appends a batch and syncs it. On any error it undoes what it did.
func (j *Journal) write(b *batch) error {
	if j.log == nil {
		if err := j.openLog(); err != nil {
			return err
		}
	}
	j.marker.segment, j.marker.size, j.marker.seq = j.segment, j.size, b.first
	if err := j.setMarker(stateWriting); err != nil {
		return err // nothing was appended
	}
	records := b.wal // WriteBatch empties what it is given, a retry needs it again
	if err := j.log.WriteBatch(&records); err != nil {
		return j.undo(err)
	}
	if err := j.log.Sync(); err != nil {
		return j.undo(err)
	}
	if err := j.stillThere(); err != nil {
		return err
	}
	j.marker.durable, j.marker.hash = b.last, b.head
	if err := j.setMarker(stateIdle); err != nil {
		j.marker.durable, j.marker.hash = j.last, j.head
		j.marker.segment, j.marker.size, j.marker.seq = j.segment, j.size, b.first
		return j.undo(err)
	}
	return nil
}

// stillThere returns ErrReplaced if the store was deleted or moved under us.
func (j *Journal) stillThere() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(j.active.Fd()), &st); err != nil {
		return j.undo(&fs.PathError{Op: "fstat", Path: j.active.Name(), Err: err})
	}
	same, err := stillAt(j.lock, j.lockPath)
	if err != nil {
		return j.undo(err)
	}
	if st.Nlink == 0 || !same {
		return fmt.Errorf("%s: %w", j.dir, ErrReplaced)
	}
	return nil
}

// undo takes an append back that was not acknowledged and returns its error. After a
// failed sync the page cache may hold what the disk refused, and the next sync would
// say nothing of it; cutting the file and syncing that makes both agree again. Where the
// disk refuses this too, the store is fenced.
func (j *Journal) undo(cause error) error {
	j.log = nil
	if err := cutBack(j.active, j.size); err != nil {
		fence := j.setMarker(stateFailed)
		if note := raiseFence(j.meta.ID, j.marker); note == nil {
			fence = nil
		}
		if fence != nil {
			return fmt.Errorf("%w: %w; taking it back: %v; noting that: %v", ErrFenced, cause, err, fence)
		}
		return fmt.Errorf("%w: %w; taking it back: %v", ErrFenced, cause, err)
	}
	// If the marker stays at "writing", the next call syncs once more and finds nothing. With a repair that is not
	// recorded it has to: only then does the next call look for it. Written it must be either way, since clearing it may
	// be what failed, half done.
	state := stateIdle
	if len(j.pending) > 0 {
		state = stateWriting
	}
	_ = j.setMarker(state)
	return cause
}

// giveUpReserve frees the space of the reserve file.
func (j *Journal) giveUpReserve() error {
	if err := os.Remove(filepath.Join(j.dir, reserveName)); err != nil {
		return err
	}
	return SyncDir(j.dir) // frees the blocks where the file system does so at its commit
}

// restoreReserve makes the reserve file again after it was given up. It is a help and no
// promise: where there is no room for it the call goes on.
func (j *Journal) restoreReserve() {
	path := filepath.Join(j.dir, reserveName)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = writeNew(path, make([]byte, reserveBytes))
}
