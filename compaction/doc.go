// Package compaction keeps the journal of a store small for the plugin and complete for the investigator, and removes of its
// history what a retention lets go.
//
// Run moves sealed segments from journal/ to archive/ and packs what is there: few files, compressed and indexed, each
// with the state of the leases now and then (a keyframe), so that a question about the past reads a bounded part of it.
// Nothing is lost by that: unpacked records are, byte for byte, those that were packed. Plan says what Run would do, and
// changes nothing.
//
// The steps, and what is there if power fails or the process is killed after each:
//
//  1. compact.lock is taken, without waiting: of two runs the second leaves. What runs that died have left is removed.
//  2. Snapshots are taken where sealed segments wait for them, and these are moved: allocator.Store.Settle. A snapshot more,
//     or a segment under both names.
//  3. The events that are in segments of archive/ alone are packed, with those of the newest packed file if that is small. The
//     file is written, synced, read back and compared with what it was made of, and gets its name: now these events are
//     there twice, which every reader knows.
//  4. Segments and the packed file that it replaces are removed. Of segment 1 the first event stays, in a file of the same
//     name, since it says whose journal this is.
//
// The next run goes on wherever one has ended. The plugin may work meanwhile. Its lock is held for the unlinks of step 2
// alone, a few at a time. Readers need not know of any of it: what moves is there under its new name before the old one goes.
//
// Where a retention is given (Retain), Run then prunes: of all events that are packed the oldest go, up to one before which nothing is
// held or to be kept, and an event is recorded that says so. Succeeded journals go as a whole. The steps are told there. Damage
// anywhere in the history is in the way of a prune, since a hold may be lost with it; of packing it is only in what is packed.
//
// Packing and pruning are of one package: a prune packs what it cuts, under the same lock, and one that was killed is finished before anything
// else is taken for a leftover.
//
// Damage that is met on the way ends a run with a *journal.CorruptionError before anything is removed that was
// made of what is damaged.
//
// Only tools import this package; the plugin never links it.
package compaction
