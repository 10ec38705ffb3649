package allocator

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Hooks for tests of this package alone.

const (
	SnapshotEvents = snapshotEvents
	KeptSnapshots  = keptSnapshots
	FewEvents      = fewEvents
)

// Folder is the network's data folder.
func (s *Store) Folder() string { return s.folder }

// ReleaseStale is the part of GC that releases, for an attachment that was found stale
// when its newest lease was that of the event start.
func (s *Store) ReleaseStale(owner state.Attachment, start journal.Seq) error {
	_, err := s.Release([]Condemned{{Owner: owner, Start: start}}, Why{Reason: journal.ReasonGC, spared: func(*state.Lease) bool { return false }})
	return err
}

// ReleaseBatch is what Release does under one lock. It returns what is left of the list.
func (s *Store) ReleaseBatch(list []Condemned) (rest []Condemned, err error) {
	rest, _, err = s.releaseBatch(nil, list, Why{Reason: journal.ReasonGC})
	return rest, err
}

// AnnotateBatch is what Annotate does under one lock with what was found before. It returns what is left.
func (s *Store) AnnotateBatch(a Annotations, found []Annotated) (rest, added []Annotated, err error) {
	return s.annotateBatch(&a, found, false)
}

// ViewListed is up to how many leases all files of a view are looked at.
const ViewListed = viewListed

// WriteStamp writes a stamp as calls do.
func WriteStamp(path string, seq journal.Seq) error {
	return stamp{journal.CurrentBoot(), math.MaxUint64, math.MaxUint64, seq, -1}.write(path)
}

// StampOf reads what was written so, 0 if it is no stamp.
func StampOf(b []byte) journal.Seq {
	s, _ := parseStamp(b)
	return s.seq
}

// ForgetView makes the view one of another boot.
func (s *Store) ForgetView() error {
	path := filepath.Join(s.dir, stampName)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	then, _ := parseStamp(b)
	then.boot = journal.BootID{1}
	return os.WriteFile(path, []byte(then.String()), 0o600)
}

// RebootView makes the view one of another boot, of the same folder.
func (s *Store) RebootView() error {
	now, err := newStamp(s.folder, 1)
	now.boot = journal.BootID{1}
	return errors.Join(err, os.WriteFile(filepath.Join(s.dir, stampName), []byte(now.String()), 0o600))
}

// Reclaimed is how many attachments one call reclaims.
const Reclaimed = reclaimed

// Settling decides what Settle does with these segments, snapshots and newest durable event.
func Settling(segments, have []journal.Seq, durable journal.Seq) (p Settled) {
	p.settle(segments, have, durable)
	return p
}
