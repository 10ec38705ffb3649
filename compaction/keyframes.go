package compaction

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// keyframes writes the snapshots that packed files keep. It follows the events only where one is due.
type keyframes struct {
	w      *work
	r      *archive.Reader
	folder string
	last   journal.Seq // event of the newest one in a file that stays, or of those that were written
	every  journal.Seq // events up to the next
	f      *state.Follower

	written []journal.Seq // since somebody has taken note of them
}

// newKeyframes goes on behind the newest keyframe of those files of the archive that stay.
func (w *work) newKeyframes(r *archive.Reader, stay []archive.Head) (*keyframes, error) {
	k := &keyframes{w: w, r: r, folder: filepath.Join(w.archive(), keyframesName)}
	for _, h := range stay {
		if n := len(h.Keyframes); n > 0 {
			k.last = max(k.last, h.Keyframes[n-1])
		}
	}
	leases := 0
	if k.last > 0 {
		key, err := r.Keyframe(k.last)
		if err != nil {
			return nil, err
		}
		if key.Snapshot != nil {
			leases = key.Snapshot.Len()
		}
		if err := errors.Join(append(key.Skipped, key.Close())...); err != nil {
			return nil, err
		}
	}
	k.every = w.job.Keyframes(leases)
	return k, nil
}

// upTo writes the keyframes of a file that is to hold the events from first to last, and returns their paths. One of
// the event before the first is among them if the file needs it: because no events are kept before it.
func (k *keyframes) upTo(first, last journal.Seq, needed bool) (paths []string, err error) {
	due := max(k.last+k.every, first-1)
	if needed {
		due = first - 1
	}
	for due <= last {
		err := k.follow(due)
		if lost := new(journal.CorruptionError); errors.As(err, &lost) && lost.Seq < first && !needed {
			if due, err = k.behind(due); err == nil { // nothing of this file is written yet: its events are not reached
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		path, err := k.f.Take()
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
		k.written = append(k.written, due)
		k.last, k.every = due, k.w.job.Keyframes(k.f.State().Len())
		due = k.last + k.every
	}
	return paths, nil
}

// behind gives up the state that can't be followed, because events are lost, and returns the next event whose state is kept:
// that is good though nothing leads to it. Where there is none, files do without.
func (k *keyframes) behind(due journal.Seq) (journal.Seq, error) {
	next := journal.Seq(math.MaxUint64)
	for _, h := range k.r.Heads() {
		for _, seq := range h.Keyframes {
			if seq > due {
				next = min(next, seq)
			}
		}
	}
	err := k.close()
	k.f = nil
	return next, err
}

// follow brings the state up to an event.
func (k *keyframes) follow(seq journal.Seq) error {
	if k.f == nil {
		if err := k.begin(seq); err != nil {
			return err
		}
	}
	if k.f.State().Seq() == seq {
		return nil
	}
	from := k.f.State().Seq()
	k.w.job.Progress("following the leases", 0, uint64(seq-from))
	for rec, err := range k.r.Records(from) {
		if err == nil {
			err = k.f.Apply(k.w.dir, &rec)
		}
		if err != nil {
			return err
		}
		at := k.f.State().Seq()
		if at == seq {
			return nil
		}
		if at%progressStep == 0 {
			k.w.job.Progress("following the leases", uint64(at-from), uint64(seq-from))
		}
		if k.f.Heavy() {
			path, err := k.f.Take()
			if err == nil {
				err = os.Remove(path) // it is open, and no keyframe
			}
			if err != nil {
				return err
			}
		}
	}
	return &journal.CorruptionError{File: k.w.archive(), Seq: k.f.State().Seq() + 1, Offset: -1, Cause: errors.New("missing")}
}

// begin takes the newest state that is there up to an event, and puts it into a file of its own: within a packed file each look at
// it would unpack a piece.
func (k *keyframes) begin(seq journal.Seq) error {
	if err := os.Mkdir(k.folder, 0o700); err != nil {
		return err
	}
	key, err := k.r.Keyframe(seq)
	if err != nil {
		return err
	}
	if err := errors.Join(key.Skipped...); err != nil {
		return errors.Join(err, key.Close())
	}
	k.f = state.NewFollower(key.Snapshot, k.folder, k.w.meta)
	if key.Snapshot == nil {
		return nil
	}
	path, err := k.f.Take()
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// close removes all that was written.
func (k *keyframes) close() error {
	var err error
	if k.f != nil {
		err = k.f.Close()
	}
	return errors.Join(err, os.RemoveAll(k.folder))
}
