// Package crash cuts the power of real runs of the plugin, at every point and in every way that a disk could take it,
// and looks whether the promise holds. It is for tests alone:
// nothing that is released imports it.
//
// # Recording
//
// The built plugin runs under strace, on real files. What it did below the recorded folder becomes a list of
// operations in one order, over all of its threads and processes; a call that might change files and that the
// recorder does not know is an error. The list is replayed on a model of the file system, which must end up with
// the bytes and names of the real folder. The moment at which an ADD's first byte was printed, and at which another
// call's process had ended, is the moment from which its caller counts on it.
//
// # What a crash leaves
//
// After each operation the power is cut. What is on the disk then:
//
//   - Of a file: all that was there when a successful fsync was entered. Of what came later each piece of a write
//     that lies within one sector of 512 bytes is there or not, whatever the others are; the file ends at any byte
//     between its old size and its new one; a truncation happened or not. A piece that is not there reads as what
//     was there before, or as zeros. The same bytes written several times are there in any one of the versions.
//   - Of a folder: all names as they were when a successful fsync of the folder was entered. Of what came later each
//     new name, removal and renaming is there or not, whatever the others are. A renaming within the folder is one
//     change. One across folders is two: both names, either, or neither may be left.
//   - An fsync makes no other file's bytes durable, and not the file's own name; a folder whose own name is lost takes all
//     that is in it along.
//   - A file of host-local's has the time of the last of its changes that is on the disk; setting the time is one of them.
//   - A sync of the whole file system makes the bytes of all files durable, and no names.
//   - After an fsync that failed, what it should have written counts as clean and is not on the disk. A later one
//     that succeeds doesn't change that, unless the bytes were written again or cut off. That of a folder leaves its
//     names undecided until the next one.
//
// This is more than today's file systems do: ext4 and XFS write names in order and a rename as one transaction. It is
// what POSIX leaves open, and what a disk cache may do to them.
//
// Not modelled: a disk that acknowledges a flush and forgets it; damage to what was durable (test/rot does that);
// sectors that tear within; file modes and owners, and times but for those; the space that fallocate reserves, which changes no byte
// that can be read; file systems that lose their own structure.
//
// When an image is written out for a trial, its marker gets the new file's device and inode and another boot's ID,
// so that recovery takes the way that it takes after a power loss on the very disk; the scenario "copy" leaves the
// marker alone, and recovery takes the way for copies. The stamp of a view gets the new folder's inode and another boot's ID.
// The notes of fenced stores in /run are gone.
//
// An import names its folder in an event, under a checksum. Images of such runs are written where the recording was,
// one after the other.
//
// # The promise
//
// On each image the next process reads, then recovers and serves an ADD for a new container, takes a snapshot if one is
// due, and gets a DEL for each container whose call was not acknowledged, as runtimes do. The oracle (oracle.go)
// knows the calls and their answers and nothing of lease maps: each acknowledged ADD holds its addresses, each
// acknowledged DEL has released them, what was not acknowledged is there whole or not at all, nobody else holds
// anything, no call fails, nothing is warned of. The history read back from event 1 is one chain, begins with exactly
// the events that acknowledged calls wrote, and goes on with nothing but unacknowledged ones that were recorded and
// then what the calls after the crash had to write. Every byte that recovery cut off is kept and told.
//
// Where host-local's files are taken over, kept beside the journal or handed back, leases begin before the first call: a file is
// a promise like an answer. Until a call after it is acknowledged the files may be what counts, CHECK says so, and the next
// ADD may begin with a reset and take over what they say, each lease once. In the end files and leases agree, by name, owner
// and cursor, the folder that was imported from is marked, and one that was handed over is not claimed and complete. In some
// trials of a view host-local gives an address before any call is made: that, and nothing else, is taken over.
//
// # How much
//
// Crash points with few enough combinations are explored exhaustively, the others by the rules in states.go: none,
// all, prefixes, each change alone and each left out, every byte of a file's end, and random combinations. The seed
// is printed. With -short and under the race detector it is a small sample. test/mutants breaks
// the protocol, in the recorded plugin and in recovery, and wants each break to be noticed.
//
// -real needs root and leaves the model. It writes images to an ext4 file system on a loop device and has the built
// plugin recover them; and it kills the plugin at each of its system calls and takes what the kernel has written to
// the disk by then, which ext4 recovers by its own journal before the plugin recovers the store.
package crash
