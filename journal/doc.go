// Package journal keeps a network's events as bytes on disk: the one truth that leases,
// snapshots and answers are derived from.
//
// An event is one fact in the past tense: an attachment got these addresses, they were given
// back, an ADD was refused. Events are numbered from 1 on without gaps (Seq). Each is
// a record: a msgpack array with a checksum that is bound to the journal and the place, and with
// the hash of the record before it. Records lie in segments, files of about 64 KiB that
// tidwall/wal appends to; docs/FORMAT.md has every byte.
//
// # Writing
//
// Who writes holds the flock on the store's lock file, from Open to Close. Append returns
// nil only once the batch is synced: then it survives any crash. Until then it is there
// whole, not at all, or torn; since the lock is held across the sync, only one batch can
// be in that state at a time. The first error of an append ends the handle: what it
// wrote is cut off again and that is synced, or, where the disk refuses this too, the store is
// fenced until somebody succeeds.
//
// The lock file also holds the marker: idle, or writing from which byte of which segment on,
// or failed, and the newest acknowledged event. It is never synced. Within a boot it
// tells the next process that its predecessor died between write and sync; across boots it
// still witnesses what had been acknowledged.
//
// # Opening
//
// tidwall/wal takes zeros and flipped bits for entries, so it never sees bytes that Load has
// not checked. A torn tail, the rest of an append that was cut short, is kept in quarantine/,
// cut and told by a repair event. Everything else that is not what was written is damage: a
// *CorruptionError that names segment, byte and event, and nothing is changed. The line between
// the two is drawn in recover.go.
//
// # Reading
//
// A Reader takes no lock and writes nothing. It reports only events that were durable when it was
// opened, on a live store, a copy or a read-only file system.
//
// # Damage
//
// Calls and Readers stop at damage. Salvage goes on behind it and says what is lost. What can't be put back is never
// cut out of a journal: Succeed begins a new one, which names its parent and keeps the parent's bytes in archive/.
package journal
