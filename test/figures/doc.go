// Package figures holds calls of the built plugin to figures that are the same on every machine:
// system calls, syncs, locks, writes, bytes written and blocks of snapshots read, allocations, the
// size of the binary. What they were when they were last looked at stands in testdata:
//
//	calls.txt        exact: a figure that went down fails as well, so that the file tells the truth
//	allocations.txt  at most a tenth more
//	binary.txt       at most
//
// After a change that is meant, one command writes them anew, and the diff shows what it cost:
//
//	go test ./test/figures -update
//
// calls.txt and binary.txt are of Linux on amd64: other architectures have other system calls.
package figures
