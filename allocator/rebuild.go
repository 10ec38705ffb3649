package allocator

import (
	"fmt"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// rebuild makes a snapshot anew, or finds out that it can, where events between the snapshots that are whole and the segments are packed:
// calls don't read packed files. It returns false where something else is damaged, or the packed events are. Then the newest keyframe of them
// is what a successor is built on.
func (r *repair) rebuild(damage *journal.CorruptionError) (bool, error) {
	if r.store.o.Packed.Pieces == nil || damage.Offset >= 0 {
		return false, nil // what is wrong is not that events are missing from the segments
	}
	f, err := r.wholeFold()
	if err != nil || f.whole == nil {
		return false, err
	}
	r.m.step("make a snapshot of event %d anew from packed files: none is whole that the segments in journal/ follow", f.good)
	if !r.apply {
		return true, nil
	}
	return true, r.writeSnapshot(f)
}

// wholeFold is fold, from the newest keyframe on where events before it are lost or were pruned.
func (r *repair) wholeFold() (*fold, error) {
	f, err := r.fold()
	if err != nil || f.whole != nil {
		return f, err
	}
	if found, err := r.openKeyframe(); err != nil || !found {
		return f, err
	}
	return r.fold()
}

// openKeyframe has the newest keyframe take the snapshot's place, if it reaches further.
func (r *repair) openKeyframe() (bool, error) {
	if r.store.o.Packed.Keyframe == nil {
		return false, nil
	}
	snap, done, err := r.store.o.Packed.Keyframe(r.store.dir, r.meta)
	if err != nil {
		return false, err
	}
	if snap == nil || snap.Seq() <= r.baseSeq() {
		return false, done()
	}
	r.close()
	r.base, r.packed = snap, done
	return true, nil
}

// writeSnapshot writes what the whole history amounts to as a snapshot, and goes on from that. The caller holds snap.lock, and has had what
// was read synced.
func (r *repair) writeSnapshot(f *fold) error {
	folder := filepath.Join(r.store.dir, "snap")
	if err := journal.EnsureDir(folder); err != nil {
		return err
	}
	if err := removeUnfinished(folder); err != nil {
		return err
	}
	f.whole.SetHead(f.goodHash)
	path, err := state.WriteSnapshot(folder, r.meta.ID, r.meta.Network, f.whole)
	if err != nil {
		return fmt.Errorf("make a snapshot of event %d: %w", f.good, err)
	}
	snap, err := state.OpenSnapshot(path, r.meta.ID)
	if err != nil {
		return err
	}
	r.close()
	r.base = snap
	return nil
}
