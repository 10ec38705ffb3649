package allocator

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Settled says what Settle did, or would do.
type Settled struct {
	Snapshots []journal.Seq // that were taken, by the last event that they cover
	Archived  int           // segments that were moved to archive/
	Left      int           // sealed segments that stay in journal/, because just one snapshot covers them
	First     journal.Seq   // of the events that are in journal/ then
}

// Settle moves the segments that no call needs any more to archive/, as upkeep after a call does, but all of them: where snapshots
// are missing for it, it takes those. These are of what is durable, read beside the calls; the store's lock is held only
// while names are removed, a few at a time. With no segment to move it changes nothing.
//
// It stops with a *journal.CorruptionError at damage, and with journal.ErrFenced, ErrNewer or ErrLocked, before a name is
// removed. What it wrote until then is good and is used by the next one.
func (s *Store) Settle() (done Settled, err error) {
	lock, err := s.lockUpkeep(time.Now().Add(s.o.LockTimeout))
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r, plan, err := s.settling()
	if err != nil || plan.Archived == 0 && len(plan.Snapshots) == 0 {
		return plan, err
	}
	if !r.Coverage().Live {
		// Nothing tells whether what was read is more than a page in memory, and snapshots rest on it.
		if err := journal.SyncSegments(s.dir); err != nil {
			return done, err
		}
	}
	if len(plan.Snapshots) > 0 {
		if err := s.takeSnapshots(r, plan.Snapshots); err != nil {
			return done, err
		}
	}
	paths, err := snapshots(s.dir)
	if err != nil {
		return done, err
	}
	plan.Archived, err = s.retire(paths, time.Now().Add(s.o.LockTimeout))
	return plan, err
}

// SettlePlan says what Settle would do. It takes no lock and changes nothing.
func (s *Store) SettlePlan() (Settled, error) {
	_, plan, err := s.settling()
	return plan, err
}

// lockUpkeep waits for snap.lock: another call's upkeep has it for as long as a snapshot takes.
func (s *Store) lockUpkeep(deadline time.Time) (io.Closer, error) {
	lock, ok, err := journal.TryLock(s.snapLock())
	if err != nil || ok {
		return lock, err
	}
	return journal.LockFile(s.snapLock(), deadline)
}

// settling looks what there is to do.
func (s *Store) settling() (*journal.Reader, Settled, error) {
	var plan Settled
	r, err := journal.OpenReader(s.dir)
	if err == nil {
		err = journal.CanWrite(r.Meta())
	}
	if err == nil && r.Coverage().Fenced {
		err = journal.ErrFenced
	}
	if err != nil {
		return nil, plan, fmt.Errorf("%s: %w", s.dir, err)
	}
	segments, err := journal.Segments(s.dir)
	if err != nil || len(segments) == 0 {
		return nil, plan, err
	}
	paths, err := snapshots(s.dir)
	if err != nil {
		return nil, plan, err
	}
	durable := r.Coverage().Durable
	for len(segments) > 1 && segments[len(segments)-1] > durable+1 {
		segments = segments[:len(segments)-1] // begun since the marker was read
	}
	var have []journal.Seq
	for _, path := range paths {
		seq, _ := snapshotSeq(filepath.Base(path))
		have = append(have, seq)
	}
	plan.settle(segments, have, durable)
	return r, plan, nil
}

// settle decides which snapshots to take. Two have to cover what leaves journal/, so that one of them may be damaged: as of
// the last sealed event and as of the newest, and with these no sealed segment stays.
func (p *Settled) settle(segments, have []journal.Seq, durable journal.Seq) {
	sealed := segments[len(segments)-1] - 1
	newest, covered := journal.Seq(0), journal.Seq(0)
	if n := len(have); n > 0 {
		newest = have[n-1]
	}
	if len(segments) > 1 && (len(have) < keptSnapshots || have[len(have)-keptSnapshots] < sealed) {
		if newest < sealed {
			p.Snapshots = append(p.Snapshots, sealed)
		}
		if durable > max(newest, sealed) {
			p.Snapshots = append(p.Snapshots, durable)
		}
	}
	have = append(have, p.Snapshots...)
	if len(have) >= keptSnapshots {
		covered = have[len(have)-keptSnapshots]
	}
	for p.Archived+1 < len(segments) && segments[p.Archived+1] <= covered+1 {
		p.Archived++
	}
	p.Left, p.First = len(segments)-1-p.Archived, segments[p.Archived]
	if p.Archived == 0 {
		p.Snapshots = nil // they would be taken for nothing
	}
}

// takeSnapshots writes the snapshots of some events, ascending, all after the newest that is there. The caller holds snap.lock.
func (s *Store) takeSnapshots(r *journal.Reader, wanted []journal.Seq) (err error) {
	if err := s.prepare(); err != nil {
		return err
	}
	base, damage, err := openNewest(s.dir, r.Meta().ID)
	if err != nil {
		return err
	}
	f := state.NewFollower(base, s.snapFolder(), r.Meta())
	defer func() { err = errors.Join(err, f.Close()) }()
	if len(damage) > 0 {
		return damage[0] // the next call that writes sets it aside, and this has to wait for that
	}
	for rec, err := range r.Records(f.State().Seq()) {
		if err == nil {
			err = f.Apply(s.dir, &rec)
		}
		if err != nil {
			return fmt.Errorf("snapshot of event %d: %w", wanted[0], err)
		}
		due := f.State().Seq() == wanted[0]
		if !due && !f.Heavy() {
			continue
		}
		if _, err := f.Take(); err != nil {
			return err
		}
		if due {
			wanted = wanted[1:]
		}
		if len(wanted) == 0 {
			return nil
		}
	}
	return fmt.Errorf("snapshot of event %d: the journal ends with event %d", wanted[0], f.State().Seq())
}
