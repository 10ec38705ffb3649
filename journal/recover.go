package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// tail is what follows the last valid entry of the newest segment.
type tail struct {
	data     []byte // the whole segment
	from     int    // where the last valid entry ends
	expected Seq    // the event that would begin there
	id       ID
	durable  Seq   // newest event known to have been acknowledged, 0 if not known
	good     int64 // the segment's length before the unfinished append, -1 if not known
	cause    error // why nothing valid begins at from
}

// classify tells a torn append from damage. It returns nil if the tail is what an
// append cut short by a crash or a full disk leaves behind, so that it may be cut, and
// otherwise the reason why cutting it could lose an acknowledged event.
//
// Only one batch can be unacknowledged at any time, since the lock is held until
// the sync is done; and every record says what was durable when it was written. That makes
// the question decidable but for an acknowledged last record whose sector reads as zeros.
func (t tail) classify() error {
	rest := t.data[t.from:]
	switch {
	case t.expected <= t.durable:
		return fmt.Errorf("%w, but event %d was acknowledged", t.cause, t.durable)
	case t.good >= 0 && int64(t.from) < t.good:
		return fmt.Errorf("%w, but the append began at byte %d", t.cause, t.good)
	case len(rest) > MaxBatch:
		return fmt.Errorf("%w, and %d bytes follow, more than one append writes", t.cause, len(rest))
	}
	if err := t.laterRecord(); err != nil {
		return err
	}
	if t.zeroSector() || t.prefix() {
		return nil
	}
	return t.cause
}

// laterRecord looks for a whole record behind the bad bytes that proves them to
// have been durable once, or that merely lost its length.
func (t tail) laterRecord() error {
	for i := t.from; i+minRecord <= len(t.data); i++ {
		ev, end, ok := recordAt(t.id, t.data, i, t.expected, t.expected+MaxBatch/minRecord)
		switch {
		case !ok:
		case ev.Seq == t.expected && t.lengthLost(i, end-i):
		case ev.Seq == t.expected:
			return fmt.Errorf("%w, but event %d begins at byte %d", t.cause, ev.Seq, i)
		case ev.Synced >= t.expected:
			return fmt.Errorf("%w, but event %d at byte %d says that event %d was durable", t.cause, ev.Seq, i, t.expected)
		}
	}
	return nil
}

// lengthLost reports whether all that is wrong with the record of n bytes at i is that its length begins in the
// sector before, and the disk did not get that part of the append. A flipped bit doesn't look so: no byte
// that a length begins with has a single bit set.
func (t tail) lengthLost(i, n int) bool {
	border := (t.from/sectorBytes + 1) * sectorBytes
	length := binary.AppendUvarint(nil, uint64(n))
	return border <= i && i-t.from == len(length) && allZero(t.data[t.from:border]) &&
		bytes.Equal(t.data[border:i], length[border-t.from:])
}

// recordAt tries to read a record of any length at i, with a number from low to high. Its end is
// found by the checksum, which only needs to be computed where a sentinel closes something that
// looks like a trailer.
func recordAt(id ID, data []byte, i int, low, high Seq) (ev Event, end int, ok bool) {
	if data[i] != 0x93 || data[i+1]&0xf0 != 0x90 || data[i+2] != recordVersion {
		return Event{}, 0, false
	}
	seq := Seq(binary.BigEndian.Uint64(data[i+4:]))
	if seq < low || seq > high {
		return Event{}, 0, false
	}
	limit := min(i+MaxConfig, len(data))
	for end := i + minRecord; end <= limit; end++ {
		if data[end-1] != sentinel || data[end-trailerBytes] != 0xce {
			continue
		}
		if ev, err := DecodeRecord(id, seq, data[i:end]); err == nil {
			return ev, end, true
		}
	}
	return Event{}, 0, false
}

// zeroSector reports whether some sector that the tail reaches into holds nothing but
// zeros there: the disk did not get that part of the append. A record ends in a byte
// that is never zero, so a whole one never looks so.
func (t tail) zeroSector() bool {
	for at := t.from; at < len(t.data); {
		end := min((at/sectorBytes+1)*sectorBytes, len(t.data))
		if allZero(t.data[at:end]) {
			return true
		}
		at = end
	}
	return false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// prefix reports whether the tail is the beginning of the expected record, cut short.
func (t tail) prefix() bool {
	if !errors.Is(t.cause, errShort) {
		return false
	}
	rest := t.data[t.from:]
	_, w := binary.Uvarint(rest[:min(maxVarint, len(rest))])
	if w <= 0 {
		return len(rest) < maxVarint
	}
	rest = rest[w:]
	head := []byte{0x93, 0, recordVersion, 0xcf}
	head = binary.BigEndian.AppendUint64(head, uint64(t.expected))
	for i, c := range rest[:min(len(rest), len(head))] {
		if i != 1 && c != head[i] {
			return false
		}
	}
	return len(rest) < 2 || rest[1]&0xf0 == 0x90
}
