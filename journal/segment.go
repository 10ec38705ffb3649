package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unsafe"
)

// A segment is a file of entries as tidwall/wal writes them: a record's length as a
// uvarint, then the record. Its name is the sequence number of its first event in
// 20 decimal digits. It has no header.
const (
	// segmentBytes is the target: an append that would go beyond it starts a new segment.
	segmentBytes = 64 << 10
	// preallocBytes is reserved for each segment. What lies beyond the target is for
	// releases when the disk is full: 128 KiB, 250 DELs of 520 bytes.
	preallocBytes = 192 << 10
	// reserveBytes is the size of the file that is given up when even that is not there.
	reserveBytes = 64 << 10

	nameDigits   = 20
	maxVarint    = 3 // bytes of the length prefix of the longest record
	sectorBytes  = 512
	segmentLimit = 64 << 20 // more is not a segment of ours; bounds what is read into memory
)

func segmentName(first Seq) string { return fmt.Sprintf("%0*d", nameDigits, uint64(first)) }

// parseSegmentName returns the first event of the segment called name, or false.
func parseSegmentName(name string) (Seq, bool) {
	if len(name) != nameDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(name, 10, 64)
	return Seq(n), err == nil && n > 0
}

// IsSegmentName reports whether a file is named like a segment.
func IsSegmentName(name string) bool {
	_, ok := parseSegmentName(name)
	return ok
}

// listSegments returns the first events of the segments in dir, ascending. A name that is not a
// segment's is damage: tidwall/wal deletes and renames by some of them. A missing dir is an error.
func listSegments(dir string) ([]Seq, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	segments := make([]Seq, 0, len(entries))
	for _, e := range entries {
		first, ok := parseSegmentName(e.Name())
		if !ok {
			return nil, &CorruptionError{File: filepath.Join(dir, e.Name()), Offset: -1,
				Cause: errors.New("not a segment; nothing else belongs in this folder")}
		}
		segments = append(segments, first)
	}
	slices.Sort(segments)
	return segments, nil
}

// segmentsIn returns the first events of the segments in a folder, ascending, and passes over what is not one.
func segmentsIn(folder string) ([]Seq, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var segments []Seq
	for _, e := range entries { // sorted by name, so by number
		if first, ok := parseSegmentName(e.Name()); ok {
			segments = append(segments, first)
		}
	}
	return segments, nil
}

// covering returns the segments that hold events after base, the first of which may
// hold base too.
func covering(segments []Seq, base Seq) []Seq {
	i, found := slices.BinarySearch(segments, base+1)
	if !found && i > 0 {
		i--
	}
	return segments[i:]
}

// readSegment reads a whole segment.
func readSegment(path string) ([]byte, error) { return readSegmentOver(nil, path) }

// readSegmentOver is readSegment into a buffer that is no longer needed, if it is large enough.
func readSegmentOver(room []byte, path string) ([]byte, error) {
	f, err := openToRead(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkSegment(f); err != nil {
		return nil, err
	}
	return readOver(room, f)
}

// checkSegment refuses what can't be a segment before it is read into memory.
func checkSegment(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() > segmentLimit {
		return &CorruptionError{File: f.Name(), Offset: -1, Cause: errors.New("not a segment: no regular file, or too large")}
	}
	return nil
}

// scanner walks through the entries of one segment. Its bytes must not change.
type scanner struct {
	id   ID
	data []byte
	next Seq // of the entry at off
	off  int

	text   string // the bytes of data, from which decoded strings are cut
	before int    // where the entry before off begins, if it was passed over

	lists   lists   // for events that are kept
	outline Outline // room
}

// newScanner returns a scanner whose events share memory with data: their strings are good for as long as its bytes
// stay as they are. So a walk that keeps what it reads takes new bytes for each segment, which is
// cheaper than to copy what may not be kept.
func newScanner(id ID, first Seq, data []byte) *scanner {
	return &scanner{id: id, data: data, next: first, text: unsafe.String(unsafe.SliceData(data), len(data))}
}

// decode reads the record that stands there in data as event seq.
func (s *scanner) decode(ev *Event, seq Seq, start, end int) error {
	return decodeRecord(ev, s.id, seq, s.data[start:end], s.text[start:end])
}

// lists is room for the lists of events that are kept, made for many events at once.
type lists struct {
	addresses []Address
	cursors   []Cursor
}

// listsOf is how many elements are made at once. Who keeps one address of them keeps all.
const listsOf = 32

// lend gives an event room for its lists, and settle takes back what it left of that.
func (l *lists) lend(ev *Event) {
	if cap(l.addresses) == 0 {
		l.addresses = make([]Address, 0, listsOf)
	}
	if cap(l.cursors) == 0 {
		l.cursors = make([]Cursor, 0, listsOf)
	}
	ev.Addresses, ev.Cursors = l.addresses, l.cursors
}

func (l *lists) settle(ev *Event) {
	ev.Addresses, l.addresses = divide(ev.Addresses, l.addresses)
	ev.Cursors, l.cursors = divide(ev.Cursors, l.cursors)
}

// divide returns a list without room to grow, nil if it is empty, and the room behind it; all of the room if the list had to
// be made elsewhere.
func divide[T any](list, room []T) (own, rest []T) {
	n := len(list)
	switch {
	case n == 0:
		return nil, room
	case n > cap(room):
		return list, room
	}
	return list[:n:n], list[n:n]
}

// frame returns where the record at off begins and ends.
func (s *scanner) frame(off int) (start, end int, err error) {
	n, w := binary.Uvarint(s.data[off:min(off+maxVarint, len(s.data))])
	switch {
	case w == 0 && len(s.data)-off < maxVarint:
		return 0, 0, errShort
	case w <= 0, n < minRecord, n > MaxConfig, w > 2 && n < 1<<14:
		return 0, 0, errRecordLen
	case int(n) > len(s.data)-off-w:
		return 0, 0, errShort
	}
	return off + w, off + w + int(n), nil
}

// done reports whether the segment's end was reached.
func (s *scanner) done() bool { return s.off == len(s.data) }

// toEnd puts the scanner behind the last entry that was durable once, and returns why nothing valid follows if something
// does. An entry that is not valid is no end if one behind it says that it was durable: who reads it meets the damage there.
// The rest of a batch of which the disk got parts says no such thing.
func (s *scanner) toEnd() error {
	var bad error
	end := *s
	for !s.done() {
		ev, _, err := s.read()
		switch {
		case err == nil && (bad == nil || ev.Synced >= end.next):
			bad, end = nil, *s
			continue
		case err == nil:
			continue
		case bad == nil:
			bad = err
		}
		if s.skip() != nil {
			break
		}
	}
	if bad == nil {
		return nil
	}
	*s = end
	return bad
}

// skip passes over an entry by its length alone.
func (s *scanner) skip() error {
	_, end, err := s.frame(s.off)
	if err != nil {
		return err
	}
	s.before, s.off, s.next = s.off, end, s.next+1
	return nil
}

// endsWith reports whether the entry before off, which was passed over, is that event. If so, no length on the way
// there lied: none swallowed what follows.
func (s *scanner) endsWith(seq Seq) bool {
	start, end, err := s.frame(s.before)
	if err != nil || end != s.off {
		return false
	}
	var ev Event
	return s.decode(&ev, seq, start, end) == nil
}

// blame looks for a length that lies among the entries before off, for a scanner that passed over some of them by
// their length alone: it leads to a place where what looks wrong is not the damage. It returns a *CorruptionError for
// the first entry that is not valid and behind which none is, nil if there is no such entry. Where a later one is valid
// under its number, all lengths up to there were right, and what is damaged before is nobody's business here.
func (s *scanner) blame(path string, first Seq) error {
	again := newScanner(s.id, first, s.data)
	var suspect error
	for again.off < s.off {
		at, seq := again.off, again.next
		_, _, err := again.read()
		switch {
		case err == nil:
			suspect = nil
			continue
		case errors.Is(err, ErrNewer):
			return nil // whole, and all that this version can say of it
		case suspect == nil:
			suspect = &CorruptionError{File: path, Seq: seq, Offset: int64(at), Cause: err}
		}
		if again.skip() != nil {
			break
		}
	}
	return suspect
}

// read decodes the next entry and returns its record too, which shares memory with
// the segment. On an error the scanner stays before the entry.
func (s *scanner) read() (Event, []byte, error) {
	var ev Event
	record, err := s.readKept(&ev)
	if err != nil {
		return Event{}, nil, err
	}
	return ev, record, nil
}

// readKept is read into an event, which gets lists of its own.
func (s *scanner) readKept(ev *Event) ([]byte, error) {
	s.lists.lend(ev)
	record, err := s.readInto(ev)
	if err == nil {
		s.lists.settle(ev)
	}
	return record, err
}

// readInto is read into an event, see decodeRecord.
func (s *scanner) readInto(ev *Event) ([]byte, error) {
	start, end, err := s.frame(s.off)
	if err != nil {
		return nil, err
	}
	if err := s.decode(ev, s.next, start, end); err != nil {
		return nil, err
	}
	s.off, s.next = end, s.next+1
	return s.data[start:end], nil
}
