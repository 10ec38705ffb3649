package allocator

import (
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Hooks for tests of this package alone.

const (
	SnapshotEvents = snapshotEvents
	KeptSnapshots  = keptSnapshots
)

// Dir is the store's folder.
func (s *Store) Dir() string { return s.dir }

// Folder is the network's data folder.
func (s *Store) Folder() string { return s.folder }

// ReleaseStale is the part of GC that releases, for an attachment that was found stale
// when its newest lease was that of the event start.
func (s *Store) ReleaseStale(owner state.Attachment, start journal.Seq) error {
	return s.gcBatch(nil, &[]staleOwner{{owner: owner, start: start}})
}
