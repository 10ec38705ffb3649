package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Reader reads a store without its lock and without writing anything: beside live
// processes, on a copy, on a read-only file system. It reports only events that were durable
// when it was opened. Safe for concurrent use.
type Reader struct {
	dir    string
	meta   Meta
	marker marker
	cov    Coverage

	strays    bool                     // pass over files that are not segments
	flat      bool                     // dir is an archive's own folder; see OpenArchive
	end       atomic.Pointer[entryEnd] // of the newest durable event, once a walk came there
	damage    error                    // what ends the readable part where no live marker tells the end; nil if nothing does
	onListing func(done bool)          // for tests: runs before and after each listing; nil otherwise
}

// entryEnd is where an entry ends.
type entryEnd struct {
	segment Seq
	offset  int64
}

// Coverage says how far a Reader's answers reach.
type Coverage struct {
	Live    bool     // the store is in use on this node: its marker is this boot's and this file's
	Here    bool     // the marker names this very file: this is the store itself, whenever it was used last
	Copy    bool     // the marker names another file: this is a copy of a store
	Fenced  bool     // the disk refused a write that could not be undone
	Durable Seq      // the newest event that is reported, unless damage comes before
	Torn    int64    // bytes after it that an append cut short left; they are not reported
	Doubts  []string // what else may make answers less than certain
}

// Record is an event with its evidence: where it stands and its bytes.
type Record struct {
	Event  Event
	File   string // below the store's folder, such as "journal/00000000000000000001"
	Offset int64  // of the record in File, after its length
	Raw    []byte // must not be changed: the event's strings are made of it
	Hash   Hash   // of Raw; zero if nothing needed it so far: see Head
	Light  bool   // only Seq, Clock, Kind and maybe Reason of Event are set, and mostly no Raw: who asked did not need the rest
}

// Head returns the hash of the record, as RecordHash does: what the next event's Prev holds.
func (r *Record) Head() Hash {
	if r.Hash != (Hash{}) {
		return r.Hash
	}
	return RecordHash(r.Raw)
}

// maxRestarts bounds how often a Reader lists the store anew because files moved under it.
const maxRestarts = 10

// OpenReader opens the store in dir for reading. It returns ErrNoStore if there is
// none, ErrNewer if a later version wrote it and a *CorruptionError for damage that
// hides what the store is. Damage to events is met by Records, after those before it.
func OpenReader(dir string) (*Reader, error) {
	meta, err := ReadMeta(dir)
	if err != nil {
		return nil, err
	}
	return openReader(dir, meta, false, func() {})
}

// OpenReaderAs is OpenReader for a store whose META is lost or damaged: the caller says what it is.
//
// It passes over what is in journal/ and is not a segment, where other readers stop.
func OpenReaderAs(dir string, meta Meta) (*Reader, error) {
	return openReader(dir, meta, true, func() {})
}

// openReader runs atEnd, a hook for tests, when it has found an end that no live marker told.
func openReader(dir string, meta Meta, strays bool, atEnd func()) (*Reader, error) {
	for range maxRestarts {
		r := &Reader{dir: dir, meta: meta, strays: strays}
		if err := r.readMarker(); err != nil {
			return nil, err
		}
		if r.cov.Live {
			r.cov.Durable = r.marker.durable
			return r, nil
		}
		if err := r.findEnd(); err != nil {
			return nil, err
		}
		atEnd()
		// A first writer of this boot may have begun meanwhile, and what was just read as the end may be its
		// append that is not durable yet. Then its marker is there by now.
		again := &Reader{dir: dir, meta: meta}
		if err := again.readMarker(); err != nil {
			return nil, err
		}
		if again.marker == r.marker {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%s: the marker changes too fast to be read", dir)
}

// readMarker reads the lock file's marker and what it says of the store.
func (r *Reader) readMarker() error {
	m, same, err := r.marked()
	_, damaged := errors.AsType[*CorruptionError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.cov.Doubts = append(r.cov.Doubts, "the lock file is missing, so nothing witnesses the last event")
		return nil
	case damaged, err == nil && m.id != r.meta.ID:
		r.cov.Doubts = append(r.cov.Doubts, "the marker in the lock file is unreadable, so nothing witnesses the last event")
		return nil
	case err != nil:
		return err
	}
	r.marker = m
	r.cov.Copy = !same
	r.cov.Here = same
	r.cov.Live = same && m.boot == CurrentBoot()
	r.cov.Fenced = r.cov.Live && (m.state == stateFailed || fenced(m.id))
	return nil
}

// marked reads the marker in the lock file, and whether it names this very file. It is overwritten in
// place by those who append, so one that doesn't check is read again before it counts as damaged.
func (r *Reader) marked() (m marker, same bool, err error) {
	f, err := openToRead(filepath.Join(r.dir, lockName))
	if err != nil {
		return marker{}, false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return marker{}, false, err
	} else if !st.Mode().IsRegular() {
		return marker{}, false, &CorruptionError{File: f.Name(), Offset: -1, Cause: errors.New("not a file")}
	}
	for range maxRestarts {
		if m, err = readMarker(f); err == nil || errors.Is(err, ErrNewer) {
			break
		}
		time.Sleep(time.Millisecond) // a writer is between two bytes of one pwrite
	}
	if errors.Is(err, ErrNewer) {
		return marker{}, false, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if err != nil && !errors.Is(err, errMarker) {
		return marker{}, false, err
	}
	if err != nil {
		return marker{}, false, &CorruptionError{File: f.Name(), Offset: -1, Cause: err}
	}
	dev, inode, err := identity(f)
	if err != nil {
		return marker{}, false, err
	}
	return m, m.dev == dev && m.inode == inode, nil
}

// findEnd looks for the last valid event where no live marker tells it. Damage there is kept for
// Records, which yields it after what is still readable.
func (r *Reader) findEnd() error {
	segments, err := r.inUse()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(segments) == 0 {
		if segments, err = r.archived(); err == nil && len(segments) == 0 {
			err = &CorruptionError{File: filepath.Join(r.dir, journalName), Offset: -1, Cause: errors.New("holds no segment")}
		}
	}
	if err != nil {
		return err
	}
	newest := segments[len(segments)-1]
	path, data, err := r.readSegment(newest)
	if err != nil {
		return err
	}
	s := newScanner(r.meta.ID, newest, data)
	bad := s.toEnd()
	r.cov.Durable = s.next - 1
	if bad != nil {
		t := tail{data: data, from: s.off, expected: s.next, id: s.id, durable: r.marker.durable, good: -1, cause: bad}
		if bad = t.classify(); bad == nil {
			r.cov.Torn = int64(len(data) - s.off)
			r.cov.Doubts = append(r.cov.Doubts,
				fmt.Sprintf("%d bytes of an unfinished append follow event %d and are not reported", r.cov.Torn, s.next-1))
		}
	} else if r.cov.Durable < r.marker.durable {
		bad = fmt.Errorf("the journal ends at event %d, but event %d was acknowledged", s.next-1, r.marker.durable)
	}
	if bad != nil {
		r.damage = &CorruptionError{File: path, Seq: s.next, Offset: int64(s.off), Cause: bad}
	}
	return nil
}

// CheckTail looks at what follows the newest durable event of a live store. It returns a
// *CorruptionError if the next call that writes would refuse it, and nil for a torn tail, which
// that call will cut, and while an append is under way.
func (r *Reader) CheckTail() error {
	if !r.cov.Live && r.damage != nil {
		return r.damage
	}
	newest, err := r.checkPlace()
	if err != nil || !r.cov.Live {
		return err
	}
	if at := r.end.Load(); at != nil && at.segment == newest && r.endsAt(at) {
		return nil
	}
	path, data, err := r.readSegment(newest)
	if err != nil {
		return err
	}
	s := newScanner(r.meta.ID, newest, data)
	for !s.done() && s.next <= r.cov.Durable {
		if s.skip() != nil {
			return nil // in events that Records reads, and judges better
		}
	}
	if s.done() && s.next <= r.cov.Durable {
		return &CorruptionError{File: path, Seq: s.next, Offset: int64(s.off),
			Cause: fmt.Errorf("the newest segment ends at event %d, but event %d was acknowledged", s.next-1, r.cov.Durable)}
	}
	if s.done() {
		return nil
	}
	again := Reader{dir: r.dir, meta: r.meta}
	if err := again.readMarker(); err != nil {
		return err
	}
	if again.marker.state != stateIdle || again.marker.durable != r.marker.durable {
		return nil
	}
	_, _, bad := s.read()
	if bad == nil {
		return nil
	}
	t := tail{data: data, from: s.off, expected: s.next, id: s.id, durable: r.marker.durable, good: -1, cause: bad}
	if cause := t.classify(); cause != nil {
		return &CorruptionError{File: path, Seq: s.next, Offset: int64(s.off), Cause: cause}
	}
	return nil
}

// endsAt reports whether a segment in journal/ ends there.
func (r *Reader) endsAt(at *entryEnd) bool {
	st, err := os.Stat(filepath.Join(r.dir, journalName, segmentName(at.segment)))
	return err == nil && st.Size() == at.offset
}

// checkPlace returns the newest segment, and a *CorruptionError if it is not where those who write look for it. Where a live
// marker tells the newest event, CheckTail looks for that in it, and the archive, which grows with history, is not
// listed: a stray segment there that is newer still is met by the call that archives its namesake, and by verify.
func (r *Reader) checkPlace() (newest Seq, err error) {
	var archived []Seq
	if !r.cov.Live {
		if archived, err = r.archived(); err != nil {
			return 0, err
		}
	}
	segments, err := r.inUse()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if len(segments) == 0 {
		return 0, &CorruptionError{File: filepath.Join(r.dir, journalName), Offset: -1, Cause: errors.New("holds no segment")}
	}
	newest = segments[len(segments)-1]
	if n := len(archived); n > 0 && archived[n-1] > newest {
		return 0, &CorruptionError{File: filepath.Join(r.dir, archiveName, segmentName(archived[n-1])), Seq: archived[n-1], Offset: -1,
			Cause: fmt.Errorf("is newer than all segments in %s/", journalName)}
	}
	again := Reader{dir: r.dir, meta: r.meta} // a segment may have been begun meanwhile
	if err := again.readMarker(); err != nil {
		return 0, err
	}
	if last := max(r.cov.Durable, again.marker.durable); newest > last+1 {
		return 0, &CorruptionError{File: filepath.Join(r.dir, journalName, segmentName(newest)), Seq: last + 1, Offset: -1,
			Cause: fmt.Errorf("begins with event %d, but the journal ends with %d", newest, last)}
	}
	return newest, nil
}

// Close ends the reader.
func (r *Reader) Close() error { return nil }

// Meta says what store this is.
func (r *Reader) Meta() Meta { return r.meta }

// Coverage says how far the answers reach.
func (r *Reader) Coverage() Coverage { return r.cov }

// readSegment reads a segment from where it is, journal/ or archive/.
func (r *Reader) readSegment(first Seq) (path string, data []byte, err error) {
	return r.readSegmentOver(nil, first)
}

// readSegmentOver is readSegment into a buffer that is no longer needed, if it is large enough.
func (r *Reader) readSegmentOver(room []byte, first Seq) (path string, data []byte, err error) {
	folders := []string{journalName, archiveName}
	if r.flat {
		folders = []string{""}
	}
	for _, folder := range folders {
		path = filepath.Join(r.dir, folder, segmentName(first))
		if data, err = readSegmentOver(room, path); !errors.Is(err, fs.ErrNotExist) {
			return path, data, err
		}
	}
	return path, nil, err
}

// inUse returns the first events of the segments in journal/.
func (r *Reader) inUse() ([]Seq, error) {
	folder := filepath.Join(r.dir, journalName)
	if r.strays {
		return segmentsIn(folder)
	}
	return listSegments(folder)
}

// listing returns the first events of all segments, whether in use or archived. What moves goes from
// journal/ to archive/, so it is seen at least once in this order.
func (r *Reader) listing() ([]Seq, error) {
	live, err := r.inUse()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	archived, err := r.archived()
	if err != nil {
		return nil, err
	}
	all := append(archived, live...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Records returns the events after a given one in order, up to Coverage().Durable. It
// ends with an error at damage, a *CorruptionError; missing events are damage too, once a second
// listing has missed them.
func (r *Reader) Records(after Seq) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		p := pass{r: r, last: after, recent: true}
		p.visit = func(rec *Record) error {
			if !yield(*rec, nil) {
				return errStopped
			}
			return nil
		}
		if err := p.walk(); err != nil && !errors.Is(err, errStopped) {
			yield(Record{}, err)
		}
	}
}

// errStopped ends a walk that nobody wants to go on with.
var errStopped = errors.New("stopped")

// Events hands the events after base, whose record has the hash head, to apply in order, each good during that call
// alone: they share one buffer. It returns what ended it: as with Records, or an event that does not continue base
// (a *CorruptionError), or one of a newer version (ErrNewer), or the error of apply.
func (r *Reader) Events(base Seq, head Hash, apply func(*Event) error) error {
	p := pass{r: r, last: base, recent: true, share: true}
	p.visit = func(rec *Record) error {
		if err := rec.Event.follows(base, head); err != nil {
			return rec.Event.refused(err, filepath.Join(r.dir, rec.File), rec.Offset)
		}
		return apply(&rec.Event)
	}
	return p.walk()
}

// pass is a walk over the segments as one listing has them.
type pass struct {
	r      *Reader
	last   Seq // newest event that was visited
	visit  func(*Record) error
	ended  error // what visit said, or damage: no other listing would change it
	recent bool  // look in journal/ alone if what follows last is there
	share  bool  // one buffer and one record for all
	// needles, if not nil, tell the records that are to be decoded; all others come light
	needles *Needles
	raw     bool // none is decoded
	edge    edge // the end of the segment before, where records are not held against one another
	data    []byte
	rec     Record
}

// walk visits what follows last, and lists the segments anew where one moved away meanwhile.
func (p *pass) walk() error {
	misses := 0
	for p.last < p.r.cov.Durable {
		before := p.last
		err := p.run()
		if p.ended != nil {
			return p.ended
		}
		if err == nil {
			break
		}
		if p.recent {
			p.recent = false
			continue
		}
		if p.last > before {
			misses = 0
		}
		misses++
		moved := errors.Is(err, fs.ErrNotExist) && misses < maxRestarts
		if misses > 1 && !moved {
			return err
		}
	}
	return p.r.damage
}

// run visits what follows last. An error is something that another pass may not meet:
// a segment that is not where the listing had it.
func (p *pass) run() error {
	r := p.r
	if r.onListing != nil {
		r.onListing(false)
	}
	segments, err := p.listing()
	if err != nil {
		return err
	}
	if r.onListing != nil {
		r.onListing(true)
	}
	place := filepath.Join(r.dir, journalName) // where what is missing should have been: after the segment before it
	missing := func(until Seq) error {
		return &CorruptionError{File: place, Seq: p.last + 1, Offset: -1,
			Cause: fmt.Errorf("events %d to %d are missing", p.last+1, until)}
	}
	for _, first := range covering(segments, p.last) {
		if p.last >= r.cov.Durable {
			return nil
		}
		if first > p.last+1 {
			return missing(first - 1)
		}
		if place, err = p.readSegment(first); err != nil {
			return err
		}
		if p.segment(place, first); p.ended != nil {
			return nil
		}
	}
	if p.last < r.cov.Durable {
		return missing(r.cov.Durable)
	}
	return nil
}

// listing is the Reader's, or what is in journal/ alone where that is enough: the archive grows with history.
func (p *pass) listing() ([]Seq, error) {
	if p.recent {
		live, err := p.r.inUse()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(live) > 0 && live[0] <= p.last+1 {
			return live, nil
		}
	}
	return p.r.listing()
}

// readSegment reads a segment into data, a new one unless it is shared.
func (p *pass) readSegment(first Seq) (path string, err error) {
	if !p.share {
		p.data = nil
	}
	path, p.data, err = p.r.readSegmentOver(p.data, first)
	return path, err
}

// segment visits the events of one segment. Durable bytes never change, so what is wrong with
// them is damage at once.
func (p *pass) segment(path string, first Seq) {
	r := p.r
	name := filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
	s := newScanner(r.meta.ID, first, p.data)
	for !s.done() && s.next <= r.cov.Durable {
		at, seq := s.off, s.next
		var record []byte
		var err error
		if seq <= p.last {
			err = s.skip()
		} else {
			record, err = p.read(s)
		}
		if err == nil && record != nil && p.edge.seq+1 == seq && p.edge.seq != 0 && prevOf(record) != p.edge.hash {
			err = errOtherCourse
		}
		if err == nil && record != nil && seq == r.marker.durable && RecordHash(record) != r.marker.hash {
			err = errNotAcknowledged
		}
		if err != nil {
			damage := s.blame(path, first) // what was passed over by its length may have led to the wrong place
			if damage == nil {
				damage = &CorruptionError{File: path, Seq: seq, Offset: int64(at), Cause: err}
			}
			p.ended = damage
			return
		}
		if record == nil {
			continue
		}
		p.last, p.edge.seq = seq, 0
		if p.needles != nil && s.done() {
			p.edge = edge{seq, RecordHash(record)}
		}
		p.rec.File, p.rec.Offset = name, int64(s.off-len(record))
		if p.ended = p.visit(&p.rec); p.ended != nil {
			return
		}
	}
	if s.next == r.cov.Durable+1 {
		r.end.Store(&entryEnd{first, int64(s.off)})
	}
}

// read reads the scanner's next entry into rec, and returns the record's bytes.
func (p *pass) read(s *scanner) ([]byte, error) {
	switch {
	case p.needles != nil:
		return s.sparse(p.needles, &p.rec)
	case p.raw:
		return s.copying(&p.rec)
	}
	read := s.readKept
	if p.share {
		read = s.readInto
	}
	record, err := read(&p.rec.Event)
	p.rec.Raw = record
	return record, err
}

// ScanFile reads one segment file by itself, for dumping it. Entries that are not valid
// end it with a *CorruptionError.
func ScanFile(path string, id ID) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		first, ok := parseSegmentName(filepath.Base(path))
		if !ok {
			yield(Record{}, fmt.Errorf("%s: not a segment's name: want %d decimal digits", path, nameDigits))
			return
		}
		data, err := readSegment(path)
		if err != nil {
			yield(Record{}, err)
			return
		}
		s := newScanner(id, first, data)
		for !s.done() {
			at := s.off
			ev, record, err := s.read()
			if err != nil {
				yield(Record{}, &CorruptionError{File: path, Seq: s.next, Offset: int64(at), Cause: err})
				return
			}
			if !yield(Record{Event: ev, File: filepath.Base(path), Offset: int64(s.off - len(record)), Raw: record}, nil) {
				return
			}
		}
	}
}
