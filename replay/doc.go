// Package replay says what was true when: it folds the events of a journal into
// intervals of leases, with what is known of their times and what is not.
//
// It is read-only. Read is pure: records come in as an iterator, from the reader of
// package journal or from a slice in a test, and no file, lock or clock is touched. Verify reads the files of a
// store, all of them, and says whether they are as they were written.
// The lease map itself is package state's; an event that is impossible there stops
// the reading, as damage does.
//
// Events are ordered by sequence number, never by a clock. A lease is a half-open
// interval from the event that gave it to the event that ended it. An interval that
// reading stopped before the end of is marked Unknown and is never shown as ended or
// as still held; what was read up to there stands.
//
// Clocks are corrected, not trusted. The effective time of an event is its boot-time
// clock plus the offset to UTC of the last event of its boot that had a synchronised
// clock; in a boot without one it is the wall clock as recorded. So effective times
// are known only when all events have been read.
package replay
