// Package figures holds what a call costs apart from time to a file that is checked in: system calls on the store's
// files, syncs, bytes written, blocks read of a snapshot, allocations, and the size of the binary. With one release of Go these
// figures are the same on every machine, so a test can tell when one of them changes, for the worse or the better.
//
//	go test ./test/figures -update
//
// writes the file anew. Times are in docs/BENCHMARKS.md.
package figures
