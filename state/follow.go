package state

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
)

// heavyEvents is how many events a Follower should lay over one snapshot at most: they are in memory.
const heavyEvents = 1 << 17

// Follower is a state that records are applied to, one after the other, and that can be written down on the way. It is for long
// stretches of history: with each snapshot that it takes it begins anew from that, so that memory is bounded
// by the events in between.
type Follower struct {
	base   *Snapshot // nil if there is none
	st     *State
	folder string // of the snapshots that it takes
	meta   journal.Meta
}

// NewFollower returns the state of a snapshot, or the one before the first event if that is nil. The snapshot is the
// Follower's to close.
func NewFollower(base *Snapshot, folder string, meta journal.Meta) *Follower {
	f := &Follower{base: base, folder: folder, meta: meta}
	f.begin()
	return f
}

func (f *Follower) begin() {
	f.st = New()
	if f.base != nil {
		f.st = OverTrusting(f.base)
	}
}

// State returns the state as it is. It is good until Take.
func (f *Follower) State() *State { return f.st }

// Heavy reports whether so many events are laid over the snapshot that another should be taken.
func (f *Follower) Heavy() bool { return f.st.Tail() >= heavyEvents }

// Apply applies the next record of the store in dir. One that does not continue the one before is
// a *journal.CorruptionError, and so is what State.Apply says.
func (f *Follower) Apply(dir string, rec *journal.Record) error {
	ev := &rec.Event
	if !ev.Understood() {
		return fmt.Errorf("%s: event %d: %w", filepath.Join(dir, rec.File), ev.Seq, journal.ErrNewer)
	}
	if ev.Prev != f.st.Head() {
		return &journal.CorruptionError{File: filepath.Join(dir, rec.File), Seq: ev.Seq, Offset: rec.Offset,
			Cause: errors.New("does not continue the event before it")}
	}
	if err := f.st.Apply(ev); err != nil {
		return err
	}
	f.st.SetHead(journal.RecordHash(rec.Raw))
	return nil
}

// Take writes the state as a snapshot, see WriteSnapshot, and goes on from that.
func (f *Follower) Take() (path string, err error) {
	if path, err = WriteSnapshot(f.folder, f.meta.ID, f.meta.Network, f.st); err != nil {
		return "", err
	}
	next, err := OpenSnapshot(path, f.meta.ID)
	if err != nil {
		return "", err
	}
	err = f.Close()
	f.base = next
	f.begin()
	return path, err
}

// Close closes the snapshot below the state.
func (f *Follower) Close() error {
	if f.base == nil {
		return nil
	}
	return f.base.Close()
}
