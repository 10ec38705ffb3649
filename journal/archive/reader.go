package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/leaselog/leaselog/journal"
)

// folderName is the folder of a store that packed files are in.
const folderName = "archive"

// Reader reads the history of one store. It is not safe for concurrent use.
type Reader struct {
	dir    string          // the store's folder, or the bare archive
	folder string          // that packed files are in
	j      *journal.Reader // of the segments; nil if there is nothing but packed files
	meta   journal.Meta
	cov    journal.Coverage
	files  []*file // ascending by first event, later ones reach further
	broken []broken
	zstd   *zstd.Decoder // of all files
	alone  bool          // it is one file that is read, whatever else is in its folder
	audit  *audit        // nil if none is under way

	gone  *journal.Loss // what was pruned; nil if nothing was, or nobody asked
	asked bool          // since the files were listed
	why   error         // what is missing is damage, though there is a prune event

	whyFrom journal.Seq // the first event that is missing so
}

// broken is a file that is named like a packed one and can't be used.
type broken struct {
	name        string
	first, last journal.Seq
	err         error
}

// Open opens the history of the store in dir, or of the packed files in dir if no store is there: those of
// dir itself, or of dir/archive. It returns what journal.OpenReader returns if there are no packed files.
func Open(dir string) (*Reader, error) {
	j, err := journal.OpenReader(dir)
	if err == nil {
		return Over(dir, j)
	}
	for _, folder := range []string{filepath.Join(dir, folderName), dir} {
		if names, listErr := packedNames(folder); listErr == nil && len(names) > 0 {
			return openBare(dir, folder)
		}
	}
	return nil, err
}

// Over is Open for a store whose segments somebody has a reader of. That is not closed by Close.
func Over(dir string, j *journal.Reader) (*Reader, error) {
	r := &Reader{dir: dir, folder: j.ArchiveDir(), j: j, meta: j.Meta(), cov: j.Coverage()}
	if err := r.list(); err != nil {
		return nil, err
	}
	return r, nil
}

// Close closes the packed files.
func (r *Reader) Close() error {
	var err error
	for _, f := range r.files {
		err = errors.Join(err, f.close())
	}
	return err
}

// Meta says what store this is. Of a bare archive only ID, Network and Node are known, and those
// by the word of the packed files; and Created, by the first event's.
func (r *Reader) Meta() journal.Meta { return r.meta }

// Coverage says how far the answers reach.
func (r *Reader) Coverage() journal.Coverage { return r.cov }

// Journal returns the reader of the segments, nil if there is nothing but packed files where a store should be.
func (r *Reader) Journal() *journal.Reader { return r.j }

// list opens the packed files of the folder that are not open yet. It is run again where segments are gone: they may
// have been packed meanwhile.
func (r *Reader) list() error {
	if r.alone {
		return nil
	}
	names, err := packedNames(r.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	open := make(map[string]*file)
	for _, f := range r.files {
		open[filepath.Base(f.path)] = f
	}
	r.files, r.broken = r.files[:0], nil
	r.asked = false
	for _, name := range names {
		f := open[name]
		if f == nil {
			if f, err = openFile(filepath.Join(r.folder, name), r.id()); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					continue // replaced by one that reaches further
				}
				first, last, _ := parseName(name)
				r.broken = append(r.broken, broken{name, first, last, err})
				continue
			}
			if r.zstd == nil {
				if r.zstd, err = newDecoder(); err != nil {
					return errors.Join(err, f.close())
				}
			}
			f.zstd = r.zstd
		}
		delete(open, name)
		r.files = append(r.files, f)
	}
	for _, f := range open {
		r.files = append(r.files, f) // its name is gone; what is open can still be read
	}
	sortFiles(r.files)
	return nil
}

// id is the journal that files must be of; zero if nothing but themselves says so.
func (r *Reader) id() journal.ID {
	if r.j == nil && len(r.files) > 0 {
		return r.files[0].head.id
	}
	return r.meta.ID
}

// stretch is a part of the history that is read in one way: from a packed file, or from segments where file is nil.
type stretch struct {
	file        *file
	broken      error       // why what should be in a packed file can't be read from it; segments may have it
	first, last journal.Seq // last is 0 for the end of the journal
	listed      bool        // packed files were listed again for it
}

// next returns the stretch that begins with an event.
func (r *Reader) next(seq journal.Seq) stretch {
	var best *file
	until := journal.Seq(0)
	for _, f := range r.files {
		if f.head.first <= seq && seq <= f.head.last && (best == nil || f.head.last > best.head.last) {
			best = f
		}
		if f.head.first > seq && (until == 0 || f.head.first <= until) {
			until = f.head.first - 1
		}
	}
	if best != nil {
		return stretch{file: best, first: seq, last: best.head.last}
	}
	s := stretch{first: seq, last: until}
	for _, b := range r.broken {
		if b.first <= seq && seq <= b.last {
			s.broken = b.err
		}
	}
	return s
}

// errStopped ends a walk that nobody wants to go on with.
var errStopped = errors.New("stopped")

// Records returns the events after a given one in order, up to Coverage().Durable, as journal.Reader.Records does. It
// ends with an error at damage, a *journal.CorruptionError; missing events are damage too. What is damaged in a packed file is read
// from segments if these have it.
func (r *Reader) Records(after journal.Seq) iter.Seq2[journal.Record, error] {
	return r.read(after, r.recordsWalker())
}

func (r *Reader) recordsWalker() walker {
	return walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Records(after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			var rec journal.Record
			return f.records(after, &rec, func() error { return yield(rec) })
		},
	}
}

// Raw is Records for whoever copies records, as journal.Reader.Raw is: of Event only Seq is sure to be set, and Raw is good until
// the next record. It is a Source.
func (r *Reader) Raw(after journal.Seq) iter.Seq2[journal.Record, error] {
	return r.read(after, walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Raw(after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			return f.raw(after, yield)
		},
	})
}

// OfKinds returns the events of some kinds, but for those that were pruned, in order. Of packed files it reads the frames that may have one.
// It ends with an error as Records does.
func (r *Reader) OfKinds(kinds ...journal.Kind) iter.Seq2[journal.Record, error] {
	walk := r.readPieces(0, walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Raw(after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			return f.ofKinds(kinds, after, yield)
		},
	})
	return func(yield func(journal.Record, error) bool) {
		for p, err := range walk {
			if err == nil && (p.Loss != nil || !slices.Contains(kinds, p.Event.Kind)) {
				continue
			}
			if err == nil && p.Light {
				err = r.whole(&p.Record)
			}
			if !yield(p.Record, err) || err != nil {
				return
			}
		}
	}
}

// whole decodes a record of a segment of which only the outline was read.
func (r *Reader) whole(rec *journal.Record) error {
	seq := rec.Event.Seq // not told any more by an event that can't be decoded
	rec.Light, rec.Raw = false, slices.Clone(rec.Raw)
	err := journal.DecodeOwned(&rec.Event, r.meta.ID, seq, rec.Raw)
	switch {
	case errors.Is(err, journal.ErrNewer):
		return fmt.Errorf("%s: event %d: %w", rec.File, seq, err)
	case err != nil:
		return &journal.CorruptionError{File: rec.File, Seq: seq, Offset: rec.Offset, Cause: err}
	}
	return nil
}

// Broken returns why packed files can't be read at all, nil if all can. What is wrong within one is found by whoever reads there.
func (r *Reader) Broken() error {
	var all []error
	for _, b := range r.broken {
		all = append(all, b.err)
	}
	return errors.Join(all...)
}

// About is the sparse read, for questions about some addresses. It returns events after a given one in order: whole
// those that have one of the addresses, and the landmarks, which every question needs; of the others some are left
// out, and some are Light, so that
//
//   - for every whole record the event just before it is there, at least light;
//   - of each boot its first, its last and its last synchronised event are there, at least light;
//   - every event at which the recorded wall clock is less than at the event before, or at which wall clock minus
//     boot-time clock differs by more than 10 ms from that of the event before, of the same boot, is there, at least
//     light, and so is the event before it;
//   - the first and the last event of each run of GC releases are there, at least light, and then with their reason; a
//     run ends with another boot, or where the next release comes more than a minute of boot time later.
//
// Landmarks are genesis, config, repair, reset, prune, hold, unhold, and whatever kind or field this version should know and doesn't; adds
// that bring ranges, or name another configuration than the add before, or had to drop fields, and the add after one of these. Of segments all
// events are there.
//
// It ends with an error as Records does. The result is for one walk. Damage in frames of packed files that it doesn't have to look at is not
// met; Records and Pieces meet it.
func (r *Reader) About(addrs []netip.Addr, after journal.Seq) iter.Seq2[journal.Record, error] {
	return r.read(after, r.aboutWalker(addrs))
}

func (r *Reader) aboutWalker(addrs []netip.Addr) walker {
	needles := journal.NewNeedles(addrs)
	return walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Sparse(needles, after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			return f.about(addrs, after, yield)
		},
	}
}

// Clocks applies events to learn what the clocks of all boots showed: enough of them for replay.Clocks. Only Seq, Clock, Kind
// and, of a release by the runtime's GC, Reason are good.
func (r *Reader) Clocks(apply func(*journal.Event) error) error {
	for rec, err := range r.About(nil, 0) {
		if err != nil {
			return err
		}
		if err := apply(&rec.Event); err != nil {
			return err
		}
	}
	return nil
}

// Check compares the packed files with the digests that they have of themselves and of one another, which reads them whole. Each
// byte is under some checksum too, that is checked when it is used.
func (r *Reader) Check() error {
	var all []error
	for _, b := range r.broken {
		all = append(all, b.err)
	}
	for i, f := range r.files {
		all = append(all, f.Check())
		for _, before := range r.files[:i] {
			if r.contradicts(before, f) {
				all = append(all, f.damaged(-1, f.head.first, fmt.Errorf("does not continue %s: another digest", before.path)))
			}
		}
	}
	return errors.Join(all...)
}

// contradicts reports whether a file names another one than the file before it. The file that a prune packed anew has not the digest
// that the next one names; that it is continued, the records' hashes tell as well.
func (r *Reader) contradicts(before, f *file) bool {
	if _, anew := before.head.sections[sectionEarlier]; anew || before.head.last+1 != f.head.first {
		return false
	}
	return f.head.previous != (journal.Hash{}) && f.head.previous != before.head.content
}

// walker says how the two kinds of stretches are read.
type walker struct {
	segments func(after journal.Seq) iter.Seq2[journal.Record, error]
	packed   func(f *file, after journal.Seq, yield func(journal.Record) error) error
}

// readPieces goes through stretch after stretch. Of losses it tells that which was pruned.
func (r *Reader) readPieces(after journal.Seq, w walker) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		next, listed := after+1, journal.Seq(0)
		hand := func(rec journal.Record) error {
			next = rec.Event.Seq + 1
			if !yield(journal.Piece{Record: rec}, nil) {
				return errStopped
			}
			return nil
		}
		for r.j != nil || next <= r.cov.Durable {
			s, gone, err := r.stretchAt(next)
			if err != nil || gone != nil {
				if !yield(journal.Piece{Loss: gone}, err) || err != nil {
					return
				}
				next = gone.Last + 1
				continue
			}
			err = r.stretch(s, w, hand)
			if s.file != nil && r.j != nil && isDamage(err) { // segments may have what is damaged
				before, damage := next, err
				s = stretch{first: next, last: s.last, broken: damage}
				if err = r.stretch(s, w, hand); errors.Is(err, damage) && next > before {
					continue // with the packed file, behind what is damaged in it
				}
				listed = next
			}
			if s.file != nil && err == nil {
				next = s.last + 1
			}
			switch {
			case errors.Is(err, errStopped):
				return
			case err == nil && s.last != 0:
			case err == nil:
				return
			case s.file == nil && listed != next && !inBytes(err) && r.list() == nil:
				listed = next // they may have been packed meanwhile
			default:
				yield(journal.Piece{}, err)
				return
			}
		}
	}
}

// inBytes reports whether an error is damage in bytes that are there: to look elsewhere changes nothing about it.
func inBytes(err error) bool {
	damage, ok := errors.AsType[*journal.CorruptionError](err)
	return ok && damage.Offset >= 0
}

// stretch hands out the records of one stretch.
func (r *Reader) stretch(s stretch, w walker, hand func(journal.Record) error) error {
	if s.file != nil {
		name := r.nameOf(s.file)
		return w.packed(s.file, s.first-1, func(rec journal.Record) error {
			if rec.Event.Seq > r.cov.Durable {
				return nil
			}
			rec.File = name
			return hand(rec)
		})
	}
	next := s.first
	if r.j != nil {
		for rec, err := range w.segments(s.first - 1) {
			if err != nil {
				return r.whyMissing(s, next, err)
			}
			if s.last != 0 && rec.Event.Seq > s.last {
				break
			}
			if err := hand(rec); err != nil {
				return err
			}
			if next = rec.Event.Seq + 1; s.last != 0 && next > s.last {
				break
			}
		}
	}
	if s.last == 0 && r.j != nil || s.last != 0 && next > s.last {
		return nil
	}
	return r.whyMissing(s, next, nil)
}

// whyMissing says why an event could not be read from segments: what these say, unless it should have been in a packed file.
func (r *Reader) whyMissing(s stretch, seq journal.Seq, err error) error {
	switch {
	case s.broken != nil:
		return s.broken
	case err != nil && s.last == 0:
		return err
	case s.last == 0:
		return r.missing(seq, r.cov.Durable)
	}
	if damage, ok := errors.AsType[*journal.CorruptionError](err); ok && damage.Offset >= 0 || err != nil && !ok {
		return err
	}
	return r.missing(seq, s.last)
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*journal.CorruptionError](err)
	return ok
}

func (r *Reader) missing(first, last journal.Seq) error {
	cause := fmt.Errorf("events %d to %d are missing", first, last)
	if r.why != nil && first <= r.whyFrom && r.whyFrom <= last {
		cause = fmt.Errorf("%w: %w", cause, r.why)
	}
	return &journal.CorruptionError{File: r.folder, Seq: first, Offset: -1, Cause: cause}
}

// nameOf returns a packed file's name below the store's folder.
func (r *Reader) nameOf(f *file) string { return r.nameIn(filepath.Base(f.path)) }

func (r *Reader) nameIn(name string) string {
	if r.folder == r.dir {
		return name
	}
	return filepath.Join(folderName, name)
}

// packedNames lists the packed files of a folder.
func packedNames(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := parseName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
