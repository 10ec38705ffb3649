package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Loss is a stretch of a journal that can't be read any more. It may have cost events, or bytes
// between events alone. Where its cause is a Pruning, nothing is damaged.
type Loss struct {
	File   string // below the store's folder; a folder where the whole file is missing
	Offset int64  // of the first bad byte in File; -1 where there are none to look at
	Bytes  int64  // up to the next record that can be read, or the file's end
	First  Seq    // first event affected
	Last   Seq    // last one that is known to be lost; before First if none is
	Open   bool   // nothing that can be read follows, so events after Last may be lost too
	Disk   bool   // the disk refused to read the file: what is in it may be whole
	Cause  error
}

// Events returns how many events the loss has cost at most: where nothing follows it, as many as
// its bytes could hold.
func (l Loss) Events() Seq {
	n := l.Last + 1 - l.First
	if l.Open {
		n = max(n, Seq(l.Bytes/minRecord))
	}
	return n
}

// Error returns the loss as damage of the store in dir.
func (l Loss) Error(dir string) *CorruptionError {
	cause := l.Cause
	switch {
	case l.Pruned() != nil:
		cause = fmt.Errorf("events %d to %d were %w", l.First, l.Last, cause)
	case l.Open:
		cause = fmt.Errorf("%w; events from %d on are lost, at most %d", cause, l.First, l.Events())
	case l.Last > l.First:
		cause = fmt.Errorf("%w; events %d to %d are lost", cause, l.First, l.Last)
	case l.Last == l.First:
		cause = fmt.Errorf("%w; event %d is lost", cause, l.First)
	default:
		cause = fmt.Errorf("%w; no event is lost", cause)
	}
	return &CorruptionError{File: filepath.Join(dir, l.File), Seq: l.First, Offset: l.Offset, Cause: cause}
}

// Piece is what Salvage finds next: a record, or a loss if Loss is not nil.
type Piece struct {
	Record
	Loss *Loss
}

// Salvage returns everything after an event that can still be read of the store in dir, in order,
// damage or not: between the records stand the losses. It ends with an error where reading itself
// fails, or at a record of a newer version. A Reader's Records, in contrast, ends at the first damage.
//
// Of a live store it returns what is durable, and calls may go on meanwhile: events are missed only
// once a second listing has missed them too. Of any other it returns all, but for a torn tail.
func Salvage(dir string, meta Meta, after Seq) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		r, err := OpenSalvage(dir, meta)
		if err != nil {
			yield(Piece{}, err)
			return
		}
		r.Pieces(after)(yield)
	}
}

// OpenSalvage opens the store in dir for Pieces alone, whatever state it is in: the caller says what it is.
func OpenSalvage(dir string, meta Meta) (*Reader, error) {
	r := &Reader{dir: dir, meta: meta}
	if err := r.readMarker(); err != nil {
		return nil, err
	}
	r.cov.Durable = r.marker.durable
	return r, nil
}

// Pieces is Salvage for the store that the Reader has opened, up to the same event as its other readings.
func (r *Reader) Pieces(after Seq) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		s := salvage{r: r, next: after + 1, yield: yield}
		for misses := 0; ; {
			before := s.next
			err := s.pass()
			if s.next > before {
				misses = 0
			}
			switch misses++; {
			case s.stopped:
				return
			case err == nil:
				return
			case errors.Is(err, errMissed), errors.Is(err, fs.ErrNotExist) && misses < maxRestarts:
			default:
				yield(Piece{}, err)
				return
			}
		}
	}
}

// errMissed says that events were not there where a listing should have had them.
var errMissed = errors.New("events are missing")

// salvage is a walk over all segments of a store.
type salvage struct {
	r       *Reader
	next    Seq // the event to come
	missed  Seq // the event that a listing has missed already
	yield   func(Piece, error) bool
	stopped bool
	piece   Piece // the next one that is a record
}

// ended reports whether the event to come is beyond what a live store's reader may tell.
func (s *salvage) ended(next Seq) bool { return s.r.cov.Live && next > s.r.cov.Durable }

// record yields the event in piece.
func (s *salvage) record(name string, offset int, raw []byte) {
	if s.piece.Event.Seq < s.next {
		return
	}
	s.next = s.piece.Event.Seq + 1
	s.piece.File, s.piece.Offset, s.piece.Raw = name, int64(offset), raw
	s.stopped = !s.yield(s.piece, nil)
}

func (s *salvage) loss(l Loss) {
	if l.First < s.next {
		return // told by the pass before, or of no interest
	}
	if l.Last >= s.next {
		s.next = l.Last + 1
	}
	s.stopped = !s.yield(Piece{Loss: &l}, nil)
}

// pass goes through the segments as one listing has them. errMissed and fs.ErrNotExist ask for
// another listing.
func (s *salvage) pass() error {
	segments, err := s.r.readable()
	if err != nil {
		return err
	}
	segments = covering(segments, s.next-1)
	for i, first := range segments {
		if s.ended(s.next) {
			return nil
		}
		if first > s.next && i+1 == len(segments) && s.r.marker.durable+1 < first && s.r.empty(first) {
			s.loss(Loss{File: filepath.Join(journalName, segmentName(first)), Offset: 0, First: s.next, Last: s.next - 1,
				Cause: errors.New("an empty segment that follows no event")})
			return nil
		}
		if first > s.next {
			if err := s.gap(first-1, "missing"); err != nil || s.stopped {
				return err
			}
		}
		until := Seq(0) // the newest segment has no end
		if i+1 < len(segments) {
			until = segments[i+1] - 1
		}
		if err := s.segment(first, until); err != nil || s.stopped {
			return err
		}
	}
	if last := s.r.marker.durable; last >= s.next {
		return s.gap(last, fmt.Sprintf("the journal ends at event %d, but event %d was acknowledged", s.next-1, last))
	}
	return nil
}

// gap tells that the events up to last are missing, once two listings have missed them.
func (s *salvage) gap(last Seq, cause string) error {
	if s.missed != s.next {
		s.missed = s.next
		return errMissed
	}
	s.loss(Loss{File: journalName, Offset: -1, First: s.next, Last: last, Cause: errors.New(cause)})
	return nil
}

// readable lists all segments, in use or archived, by their first events, and passes over what is
// not one.
func (r *Reader) readable() ([]Seq, error) {
	if r.flat {
		return segmentsIn(r.dir)
	}
	var all []Seq
	for _, folder := range []string{filepath.Join(r.dir, journalName), r.ArchiveDir()} { // in this order, see listing
		segments, err := segmentsIn(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all = append(all, segments...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// empty reports whether a segment holds nothing.
func (r *Reader) empty(first Seq) bool {
	st, err := os.Lstat(filepath.Join(r.dir, journalName, segmentName(first)))
	return err == nil && st.Size() == 0
}

// segment goes through one segment, whose events end with until, or with the journal if that is 0.
func (s *salvage) segment(first, until Seq) error {
	if until != 0 && s.next > until {
		return nil // told by the pass before
	}
	path, data, err := s.r.readSegment(first)
	name := filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
	if s.r.flat {
		name = filepath.Base(path)
	}
	var damage *CorruptionError
	if errors.As(err, &damage) {
		err = damage.Cause
	}
	if err != nil && (damage != nil || errors.Is(err, unix.EIO)) {
		last := until
		if until == 0 {
			last = max(s.r.marker.durable, s.next)
		}
		s.loss(Loss{File: name, Offset: -1, First: s.next, Last: last, Open: until == 0, Disk: damage == nil, Cause: err})
		return nil
	}
	if err != nil {
		return err
	}
	sc := newScanner(s.r.meta.ID, first, data)
	for !sc.done() && !s.ended(sc.next) && !s.stopped {
		if until != 0 && sc.next > until {
			s.loss(Loss{File: name, Offset: int64(sc.off), Bytes: int64(len(data) - sc.off), First: sc.next, Last: sc.next - 1,
				Cause: fmt.Errorf("goes on after event %d, with which the next segment begins", until)})
			return nil
		}
		at := sc.off
		ev := &s.piece.Event
		record, err := sc.readKept(ev)
		switch {
		case errors.Is(err, ErrNewer):
			return fmt.Errorf("%s: event %d: %w", path, sc.next, err)
		case err == nil && ev.Seq == s.r.marker.durable && RecordHash(record) != s.r.marker.hash:
			s.loss(Loss{File: name, Offset: int64(at), Bytes: int64(sc.off - at), First: ev.Seq, Last: ev.Seq, Cause: errNotAcknowledged})
		case err == nil:
			s.record(name, sc.off-len(record), record)
		case s.torn(sc, until, err):
			return nil
		default:
			s.skip(sc, name, until, err)
		}
	}
	if !s.stopped && s.next <= until && !s.ended(s.next) {
		s.loss(Loss{File: name, Offset: int64(len(data)), First: s.next, Last: until,
			Cause: fmt.Errorf("ends with event %d, and the next segment begins with event %d", s.next-1, until+1)})
	}
	return nil
}

// torn reports whether what the scanner can't read is an append cut short, which is no damage.
func (s *salvage) torn(sc *scanner, until Seq, bad error) bool {
	if until != 0 || s.r.cov.Live {
		return false
	}
	t := tail{data: sc.data, from: sc.off, expected: sc.next, id: sc.id, durable: s.r.marker.durable, good: -1, cause: bad}
	return t.classify() == nil
}

// skip puts the scanner behind bad bytes: to the next whole record, or to the segment's end.
func (s *salvage) skip(sc *scanner, name string, until Seq, bad error) {
	from, low, high := sc.off, sc.next, until
	if high == 0 {
		high = low + Seq((len(sc.data)-from)/minRecord)
	}
	for i := from; i+minRecord <= len(sc.data); i++ {
		ev, end, ok := recordAt(sc.id, sc.data, i, low, high)
		if !ok {
			continue
		}
		s.loss(Loss{File: name, Offset: int64(from), Bytes: int64(i - from), First: low, Last: ev.Seq - 1, Cause: bad})
		if !s.stopped && !s.ended(ev.Seq) {
			s.piece.Event = ev
			s.record(name, i, sc.data[i:end])
		}
		sc.off, sc.next = end, ev.Seq+1
		return
	}
	l := Loss{File: name, Offset: int64(from), Bytes: int64(len(sc.data) - from), First: low, Last: until, Cause: bad}
	if until == 0 {
		l.Last, l.Open = max(low, s.r.marker.durable), true
	}
	s.loss(l)
	sc.off = len(sc.data)
}
