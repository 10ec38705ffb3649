// Package state folds events into what they amount to: who holds which address, where
// the next allocation goes on, and which configurations are known.
//
// A State is a pure function of the events applied to it, one by one and in order.
// Nothing else goes in, no clock and no randomness: the same events give the same
// state, and equal states give the same snapshot, byte for byte. The zero State is
// the one before the first event.
//
// A snapshot is a file with the state after one event, whose number and record hash it
// names. Over lays later events on it, and what comes out can't be told from
// all events folded from the first one on. A snapshot is read block by block as lookups
// ask for it: finding an owner's leases takes two or three reads, finding the next
// free address a few more, with ten leases or with a million. Every block that is read
// is checked. What is in a snapshot is in the journal too, so a damaged one costs
// time and never a lease. docs/FORMAT.md has the bytes.
//
// # Impossible events
//
// These can't be what happened, so they are damage in the journal or a fault in the
// program that wrote it. Apply refuses them with a *journal.CorruptionError and
// stays as it was:
//
//   - an event that doesn't follow the last one, and a genesis that isn't the first;
//   - an add or import of an address that is held, of one listed twice, of something that
//     is no address of a lease, or without a container;
//   - a blocked address with an owner, or that an import didn't bring;
//   - a del or release of an address that its attachment doesn't hold. Leases taken over
//     without an interface name answer to every one;
//   - an annotate that lists no address, or one that its attachment doesn't hold, or after which a lease
//     would not fit a snapshot's block;
//   - a kind below 64 that this version doesn't know. It wraps journal.ErrNewer.
//
// A del that lists no address is legal, as are kinds from 64 on, which are passed over.
//
// # Concurrency
//
// Neither State nor Snapshot is safe for concurrent use, lookups included: they share a
// cache of blocks. WriteSnapshot may run beside another process's reads of the
// same folder, but not beside another WriteSnapshot; journal's snap.lock sees to that.
package state
