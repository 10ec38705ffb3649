package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Copied is a copy of a store, such as a backup holds. It is by itself: no call uses it.
type Copied struct {
	Dir     string    // on the file system of HistoryDir: its files are shared
	Taken   time.Time // when the copy was made, by a clock that may have been wrong
	Covered time.Time // up to when the copy is known to tell all; zero if up to its last event
}

// Restored says what Restore has made.
type Restored struct {
	Journal   journal.ID  // the new one; zero if there is none
	Parent    journal.ID  // that of the copy
	ParentSeq journal.Seq // the copy's last event
	Kept      int         // leases that are carried over, all of them uncertain
}

// ErrInTheWay is returned by Restore where the network's store is there, or something in its data folder.
var ErrInTheWay = errors.New("is there already: nothing is restored over it")

// Vacant returns ErrInTheWay if the network has a store, or anything else in the place of one, or a data folder that is not empty. A claim that
// leads to a store which is not there is what a restore left that died, and in nobody's way.
func (s *Store) Vacant() error {
	if _, err := os.Lstat(s.dir); err == nil {
		return fmt.Errorf("%s %w", s.dir, ErrInTheWay)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(s.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != journal.ClaimName && e.Name() != journal.ClaimName+".tmp" {
			return fmt.Errorf("%s %w: it holds %s", s.folder, ErrInTheWay, e.Name())
		}
	}
	_, historyDir, err := journal.ReadClaim(s.folder)
	switch {
	case err == nil && historyDir == s.dir, errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		return fmt.Errorf("%s %w: its claim leads to %s", s.folder, ErrInTheWay, historyDir)
	}
	return err
}

// Restore makes the network's store from a copy: a new journal that succeeds the copy's, as after a repair with loss, since nobody knows
// what happened after the copy was made. It carries over the leases that were held, all of them uncertain, and the
// cursors, moved on; the copy's bytes are kept in its archive. The data folder is claimed. It returns ErrInTheWay
// where the network is there already, and changes nothing then; nor on any other error, unless the new journal comes with it:
// then the store is in place, and its name may not be durable yet.
func (s *Store) Restore(c Copied) (*Restored, error) {
	if err := s.Vacant(); err != nil {
		return nil, err
	}
	meta, err := journal.ReadMeta(c.Dir)
	if err != nil {
		return nil, err
	}
	r := &repair{store: &Store{o: s.o, dir: c.Dir}, meta: meta, m: &Mending{Journal: meta.ID},
		doubt: fmt.Sprintf("restored from a backup of %s: what came after it is not known, and may have ended the lease", stamp3339(c.Taken))}
	defer r.close()
	if _, err := r.openSnapshots(); err != nil {
		return nil, err
	}
	f, err := r.wholeFold()
	if err != nil {
		return nil, err
	}
	f.endless = true
	if err := f.lose(segmentEvents); err != nil {
		return nil, err
	}
	events, err := r.successorEvents(f)
	if err != nil {
		return nil, err
	}
	done := &Restored{Parent: meta.ID, ParentSeq: f.good, Kept: len(f.leases)}
	made, err := journal.Restore(s.o.HistoryDir, c.Dir,
		journal.NewStore{Network: s.o.Network, DataDir: s.o.DataDir, Version: s.o.Version, AllowNetworkFS: s.o.AllowNetworkFS, Claim: s.claimVacant},
		journal.Successor{ParentSeq: f.good, ParentHash: f.goodHash, Attributes: c.attributes(f),
			Write: func(next *journal.Journal) error { return appendAll(next, events) }},
		time.Now().Add(s.o.LockTimeout))
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %s", ErrInTheWay, err)
	}
	if made.ID == (journal.ID{}) {
		return nil, err
	}
	done.Journal = made.ID
	if r.store.hasView() { // the next call writes the files of what is held
		err = errors.Join(err, s.keepView())
	}
	return done, err
}

// claimVacant claims the data folder, unless it has come to be in the way.
func (s *Store) claimVacant(id journal.ID) (undo func(), err error) {
	if err := s.Vacant(); err != nil {
		return nil, err
	}
	return journal.WriteClaim(s.folder, id, s.dir)
}

// attributes are those of a restored journal's genesis, ascending. What the copy tells ends before the new journal begins: where the clock says
// otherwise, it or the one of the copy is wrong.
func (c *Copied) attributes(f *fold) []journal.Attribute {
	as := []journal.Attribute{{Key: journal.AttributeBackup, Value: stamp3339(c.Taken)}, {Key: journal.AttributeLost, Value: f.lostText()}}
	if !c.Covered.IsZero() && !c.Covered.After(time.Now()) {
		as = slices.Insert(as, 1, journal.Attribute{Key: journal.AttributeCovered, Value: stamp3339(c.Covered)})
	}
	return as
}

func stamp3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
