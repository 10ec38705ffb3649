package journal

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers branch on.
var (
	// ErrLocked is returned by Open when the store's lock stayed with others until the deadline.
	ErrLocked = errors.New("store is locked")
	// ErrReplaced is returned by Open, Append and WriteClaim when the store was deleted or moved away during the
	// call: what was written is gone with it, and nothing may be acknowledged.
	ErrReplaced = errors.New("store was removed during the call")
	// ErrNoStore is returned by Open, OpenReader and ReadMeta when the network has no store.
	ErrNoStore = errors.New("no store")
	// ErrNewer marks bytes that a later version of the format wrote and this one can't use.
	ErrNewer = errors.New("written by a newer version of leaselog")
	// ErrFenced is returned when the disk refused a write and the refusal can't be undone: nobody
	// knows what is on the disk, so nothing is built on it.
	ErrFenced = errors.New("store is fenced after a failed write")
	// ErrNoRoom is returned by Append for events that may not use the space kept back for releases.
	ErrNoRoom = errors.New("no room left for an ADD; the rest is kept for DEL")
	// ErrTooLarge is returned when an event's mandatory fields don't fit its record.
	ErrTooLarge = errors.New("event is too large")
	// ErrClosed is returned by a journal's methods after Close or after the first failed append.
	ErrClosed = errors.New("journal is closed")
	// ErrNetworkFS is returned by Create for a folder on a network file system.
	ErrNetworkFS = errors.New("network file system")
	// ErrTorn marks an append that was cut short at the end of the newest segment.
	ErrTorn = errors.New("torn tail")
)

// CorruptionError is damage: bytes of a store that are not what was written there. It
// is returned wherever they are met, and nothing is guessed around it.
type CorruptionError struct {
	File   string // path of the damaged file, "" where only the event is known
	Seq    Seq    // the first event affected, 0 if not known
	Offset int64  // of the first bad byte in File, -1 if not known
	Cause  error
}

// Error names the file, the place and the cause.
func (e *CorruptionError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	if IsPruned(e.Cause) != nil {
		return b.String() + e.Cause.Error() // as much is missing, and nothing is damaged
	}
	b.WriteString("damage")
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	if e.Seq > 0 {
		fmt.Fprintf(&b, ", event %d", e.Seq)
	}
	fmt.Fprintf(&b, ": %v", e.Cause)
	return b.String()
}

// Unwrap returns the cause.
func (e *CorruptionError) Unwrap() error { return e.Cause }
