// Package rot damages a store in every way that a disk can forget: each bit flipped, each
// file cut at each byte, emptied, zeroed, lengthened and deleted, one at a time. For each it asks
// the readers and makes the next calls, and holds what they say against an oracle that knows the
// undamaged store and docs/FORMAT.md, but none of the code that is tested. It holds tests only.
//
// Everything runs in-process on a file system in memory, where there is one. Of a kind with many
// cases every seventh is run, under the race detector and with -short every 61st, primes, so that all
// modes and bits get their turn; and all of those of which there are only a few, such as cuts between
// two records. With -full it is all of them.
package rot
