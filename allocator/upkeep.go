package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// A call takes a snapshot when so many events have come since the newest one. Each call reads these events, 1.5 µs
// each, and writing 250,000 leases takes a tenth of a second: rarer snapshots would cost more in all.
const snapshotEvents = 1024

const keptSnapshots = 2

// upkeepTimeout bounds how long upkeep waits for the store's lock. Another call will do it.
const upkeepTimeout = 500 * time.Millisecond

// upkeep is a state that a transaction left behind.
type upkeep struct {
	state *state.State // nil if nothing was appended
	meta  journal.Meta
}

func (u upkeep) due() bool {
	return u.state != nil && u.state.Tail() >= snapshotEvents
}

// Maintain takes a snapshot if one is due, and archives the segments that the older of the
// two kept snapshots covers. Callers run it after the answer is given: the lock is free, and
// nothing that it does or fails to do changes what was answered.
func (s *Store) Maintain() {
	if !s.upkeep.due() {
		return
	}
	err := s.maintain(s.upkeep)
	if d := new(journal.CorruptionError); errors.As(err, &d) && filepath.Dir(d.File) == filepath.Join(s.dir, "snap") {
		// No decision has met the damage so far, but no snapshot can be built on it.
		err = errors.Join(err, s.dropSnapshot(d))
	}
	if err != nil {
		s.o.Warn(fmt.Sprintf("snapshot of %s: %v", s.dir, err))
	}
}

// dropSnapshot sets a damaged snapshot aside and has that told; a later call builds on the one before.
func (s *Store) dropSnapshot(d *journal.CorruptionError) error {
	t, err := s.beginUntil(time.Now().Add(upkeepTimeout))
	if err != nil {
		return err
	}
	defer t.end()
	if err := t.setAside(d); err != nil {
		return err
	}
	return t.load()
}

// maintain publishes the snapshot and drops what it replaces, see publish and retire.
func (s *Store) maintain(u upkeep) (err error) {
	unlock, ok, err := journal.TryLock(s.snapLock())
	if err != nil || !ok {
		return err
	}
	defer func() { err = errors.Join(err, unlock.Close()) }()
	if meta, err := journal.ReadMeta(s.dir); err != nil || meta.ID != u.meta.ID {
		return nil // deleted since, and perhaps made anew
	}
	paths, err := snapshots(s.dir)
	if err != nil {
		return err
	}
	if newestSeq(paths)+snapshotEvents > u.state.Seq() && len(paths) > 0 {
		return nil // another call was quicker
	}
	if err := s.prepare(); err != nil {
		return err
	}
	path, err := state.WriteSnapshot(s.snapFolder(), u.meta.ID, u.meta.Network, u.state)
	if err != nil {
		return err
	}
	_, err = s.retire(append(paths, path), time.Now().Add(upkeepTimeout))
	return err
}

func (s *Store) snapLock() string   { return filepath.Join(s.dir, "snap.lock") }
func (s *Store) snapFolder() string { return filepath.Join(s.dir, "snap") }

// newestSeq returns the event that the last of some snapshots covers, 0 if there is none.
func newestSeq(paths []string) journal.Seq {
	if len(paths) == 0 {
		return 0
	}
	seq, _ := snapshotSeq(filepath.Base(paths[len(paths)-1]))
	return seq
}

// prepare makes ready for a snapshot. The caller holds snap.lock. What the snapshot covers is durable already: the journal,
// and the names of the view by this, because who begins from the snapshot no longer knows whose files ought to be gone.
func (s *Store) prepare() error {
	if err := journal.EnsureDir(s.snapFolder()); err != nil {
		return err
	}
	if err := removeUnfinished(s.snapFolder()); err != nil {
		return err
	}
	if s.o.DataDir != "" && s.hasView() {
		if err := journal.SyncDir(s.folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// retire drops what the newest of some snapshots, oldest first, replace. Order: they are synced and have their names; then
// segments that the older of the kept ones covers are linked, then unlinked, then
// older snapshots. A crash anywhere leaves a file too many and never one too few.
func (s *Store) retire(paths []string, deadline time.Time) (archived int, err error) {
	if len(paths) < keptSnapshots {
		return 0, nil
	}
	old := paths[:len(paths)-keptSnapshots]
	covered, _ := snapshotSeq(filepath.Base(paths[len(old)]))
	if archived, err = journal.Archive(s.dir, covered, deadline); err != nil {
		return archived, err
	}
	return archived, journal.Remove(s.dir, old, deadline)
}

// removeUnfinished removes snapshots whose writer died. The caller holds snap.lock.
func removeUnfinished(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp.") {
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
