// Package wire writes and reads the subset of msgpack that packages journal and state
// keep on disk.
//
// Each value has one form, the shortest, except where a field has a fixed width. The
// [Decoder] accepts no other, so whatever decodes encodes to the same bytes. It takes
// memory for nothing that the input only promises: a length is checked against what is
// there first. Its results share memory with the input.
//
// Which fields there are and in which order is the business of the packages above, as are
// checksums. docs/FORMAT.md has their tables.
package wire
