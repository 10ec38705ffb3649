package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leaselog/leaselog/journal"
)

// Flaw is something that is not as it was written and costs no event: what else has these events, or they are whole and what
// is said about them is wrong.
type Flaw struct {
	File        string // below the store's folder
	Offset      int64  // of what is wrong, -1 if it has no place
	First, Last journal.Seq
	Cause       error
}

// Audit is Pieces for whoever wants to know of all that is wrong: it looks also at what no question has
// to look at. That is, of each packed file, its digest, and whether it continues the file before; its index and its
// footer, held against the events; and what it has in common with other packed files and segments. report is told what is
// found beside the losses.
func (r *Reader) Audit(after journal.Seq, report func(Flaw)) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		a := &audit{r: r, report: report, all: make(map[*file]*auditor), told: make(map[string]bool)}
		r.audit = a
		defer func() { r.audit = nil }()
		for p, err := range r.Pieces(after) {
			if err == nil && p.Loss != nil {
				a.told[p.Loss.File] = true
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
		err := a.rest()
		a.tell()
		if err != nil {
			yield(journal.Piece{}, err)
		}
	}
}

// audit is one look at all packed files.
type audit struct {
	r      *Reader
	report func(Flaw)
	all    map[*file]*auditor
	told   map[string]bool // names of files of which something was told
	held   *Flaw           // the next to be told, once it is known that it doesn't go on
}

// flaw tells of one. A nil audit tells nobody.
func (a *audit) flaw(f Flaw) {
	if a == nil {
		return
	}
	a.told[f.File] = true
	if h := a.held; h != nil && h.File == f.File && h.Offset == f.Offset && h.Last+1 == f.First && h.Cause.Error() == f.Cause.Error() {
		h.Last = f.Last // one place costs many frames
		return
	}
	a.tell()
	a.held = &f
}

// tell tells of the flaw that is held.
func (a *audit) tell() {
	if a.held != nil {
		a.report(*a.held)
		a.held = nil
	}
}

// damage tells of damage in a file and returns every other error.
func (a *audit) damage(f *file, err error) error {
	d, ok := errors.AsType[*journal.CorruptionError](err)
	if !ok {
		return err
	}
	a.flaw(Flaw{File: a.r.nameOf(f), Offset: d.Offset, First: d.Seq, Last: max(d.Seq, f.head.last), Cause: d.Cause})
	return nil
}

// of returns what takes in a file's records where a walk begins with an event; nil if it would not see all of them.
func (a *audit) of(f *file, first journal.Seq) *auditor {
	if a == nil || first != f.head.first || a.all[f] != nil {
		return nil
	}
	a.all[f] = &auditor{a: a, f: f, next: first}
	return a.all[f]
}

// rest looks at what the walk through the history did not come to.
func (a *audit) rest() error {
	for _, b := range a.r.broken {
		d, ok := errors.AsType[*journal.CorruptionError](b.err)
		if !ok {
			return b.err
		}
		if name := a.r.nameIn(b.name); !a.told[name] {
			a.flaw(Flaw{File: name, Offset: d.Offset, First: b.first, Last: b.last,
				Cause: fmt.Errorf("%w; its events are elsewhere", d.Cause)})
		}
	}
	for _, f := range a.r.files {
		if err := a.file(f); err != nil {
			return err
		}
	}
	return nil
}

// file looks at the rest of a file.
func (a *audit) file(f *file) error {
	u := a.all[f]
	if u == nil { // others have been read in its place
		u = a.of(f, f.head.first)
		f.auditor = u
		var rec journal.Record
		err := f.records(0, &rec, a.against(f, &rec))
		f.auditor = nil
		if err := a.damage(f, err); err != nil {
			return err
		}
	}
	if err := a.damage(f, u.bad); err != nil {
		return err
	}
	if !a.r.alone {
		if err := a.segments(f); err != nil {
			return err
		}
	}
	if a.told[a.r.nameOf(f)] {
		return nil
	}
	for _, before := range a.r.files {
		if a.r.contradicts(before, f) {
			a.flaw(Flaw{File: a.r.nameOf(f), Offset: -1, First: f.head.first, Last: f.head.last,
				Cause: fmt.Errorf("does not continue %s: another digest", a.r.nameOf(before))})
		}
	}
	return a.damage(f, f.Check())
}

// against compares the records of a file that is not read, one by one, with those of the one that is read in its place.
func (a *audit) against(f *file, rec *journal.Record) func() error {
	var other *walk
	differs := false
	return func() error {
		seq := rec.Event.Seq
		best := a.r.next(seq).file
		if differs || best == nil || best == f {
			return nil
		}
		if other == nil || other.f != best || other.seq != seq {
			other = best.walk(seq - 1)
		}
		raw, _, err := other.next()
		if err != nil {
			other = nil // told where it was read
			return ignoreDamage(err)
		}
		if differs = !bytes.Equal(raw, rec.Raw); differs {
			a.flaw(Flaw{File: a.r.nameOf(f), Offset: rec.Offset, First: seq, Last: seq,
				Cause: fmt.Errorf("has another event of this number than %s", a.r.nameOf(best))})
		}
		return nil
	}
}

func ignoreDamage(err error) error {
	if _, ok := errors.AsType[*journal.CorruptionError](err); ok {
		return nil
	}
	return err
}

// segments compares a file with the segments that hold the same events.
func (a *audit) segments(f *file) error {
	folders := []string{filepath.Dir(f.path)}
	if a.r.folder != a.r.dir {
		folders = append(folders, filepath.Join(a.r.dir, "journal"))
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var before string // the newest segment that begins before the file
		for _, e := range entries {
			n, err := strconv.ParseUint(e.Name(), 10, 64)
			if err != nil || !journal.IsSegmentName(e.Name()) || journal.Seq(n) > f.head.last {
				continue
			}
			if journal.Seq(n) < f.head.first {
				before = e.Name()
				continue
			}
			if err := a.segment(f, filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
		if before != "" {
			if err := a.segment(f, filepath.Join(folder, before)); err != nil {
				return err
			}
		}
	}
	return nil
}

// segment compares a file with a segment, up to the first difference.
func (a *audit) segment(f *file, path string) error {
	name, err := filepath.Rel(a.r.dir, path)
	if err != nil {
		return err
	}
	var w *walk
	for rec, err := range journal.ScanFile(path, f.head.id) {
		if d, ok := errors.AsType[*journal.CorruptionError](err); ok && f.head.first <= d.Seq && d.Seq <= f.head.last {
			a.flaw(Flaw{File: name, Offset: d.Offset, First: d.Seq, Last: d.Seq,
				Cause: fmt.Errorf("%w; %s has the event", d.Cause, a.r.nameOf(f))})
			return nil
		} else if ok || errors.Is(err, fs.ErrNotExist) { // gone meanwhile, or not what is compared
			return nil
		}
		if err != nil {
			return err
		}
		seq := rec.Event.Seq
		if seq < f.head.first {
			continue
		}
		if seq > f.head.last {
			return nil
		}
		if w == nil {
			w = f.walk(seq - 1)
		}
		raw, _, err := w.next()
		if err != nil {
			return ignoreDamage(err) // told where it was read
		}
		if !bytes.Equal(raw, rec.Raw) {
			a.flaw(Flaw{File: a.r.nameOf(f), Offset: w.place, First: seq, Last: seq, Cause: fmt.Errorf("has another event of this number than %s", name)})
			return nil
		}
	}
	return nil
}
