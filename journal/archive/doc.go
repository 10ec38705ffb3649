// Package archive reads the whole history of a store: packed files, archived segments and the journal, as one.
//
// Packed files hold events in small compressed frames, with an index from addresses, containers and pods to them; what
// stands in them is in docs/FORMAT.md. Pack makes one of what a Reader reads. It removes nothing. Unpacked
// records are, byte for byte, those that were packed, so that checksums and the hash chain hold as before.
//
// A Reader takes no lock and writes nothing. It works on a live store, on a copy, on a read-only file system, and on a
// folder that holds packed files alone. Where a packed file and segments hold the same events, the packed file is
// read: it is smaller.
//
// The plugin never links this package.
package archive
