package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
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
		err := f.records(0, a.against(f))
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
		if before.head.last+1 == f.head.first && f.head.previous != (journal.Hash{}) && f.head.previous != before.head.content {
			a.flaw(Flaw{File: a.r.nameOf(f), Offset: -1, First: f.head.first, Last: f.head.last,
				Cause: fmt.Errorf("does not continue %s: another digest", a.r.nameOf(before))})
		}
	}
	return a.damage(f, f.Check())
}

// against compares the records of a file that is not read with those of the one that is read in its place.
func (a *audit) against(f *file) func(journal.Record) error {
	var other *walk
	differs := false
	return func(rec journal.Record) error {
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

// auditor takes in the records of a file, one by one, to hold its index and footer against them.
type auditor struct {
	a    *audit
	f    *file
	next journal.Seq
	gap  bool  // not all records could be read: what they add up to is not known
	bad  error // the first thing that is wrong

	o          journal.Outline
	marks      markWriter
	stored     []mark
	addrs      addressWriter
	head       header // what the events add up to
	boots      map[journal.BootID]int
	identities uint64
	whole      bool // in the frame so far
	filter     filterAudit
}

// filterAudit holds filters against the identities that they should have.
type filterAudit struct {
	block, number int
	bits          []byte // of the filter with this number, nil before it is read
	keys          filterWriter
}

var (
	errIndexed  = errors.New("the index of addresses is not that of the events")
	errMarked   = errors.New("the marks are not those of the events")
	errFiltered = errors.New("a filter rules out a container or pod that is there")
	errFooted   = errors.New("the footer is not that of the events")
	errRow      = errors.New("the table of frames is not that of the events")
)

// is notes damage at a place, unless something is wrong already.
func (u *auditor) is(ok bool, at int64, seq journal.Seq, cause error) {
	if !ok && u.bad == nil {
		u.bad = u.f.damaged(at, seq, cause)
	}
}

// event takes in the next record of a walk. The error is not damage: that waits for finish.
func (u *auditor) event(w *walk, seq journal.Seq, raw []byte) error {
	if u == nil || u.gap || u.bad != nil {
		return nil
	}
	if u.gap = seq != u.next; u.gap {
		return nil
	}
	u.next++
	err := u.take(w, seq, raw)
	if err == nil && seq == u.f.head.last {
		err = u.finish()
	}
	if _, ok := errors.AsType[*journal.CorruptionError](err); ok {
		u.bad, err = err, nil
	}
	return err
}

func (u *auditor) take(w *walk, seq journal.Seq, raw []byte) error {
	f, o := u.f, &u.o
	outlined := o.Read(raw) && o.Seq == seq
	if !outlined { // as Pack does
		o.Seq, o.Kind = seq, 0
	}
	if seq == f.head.first {
		if err := f.eachMark(0, func(m *mark, _ int64) error { u.stored = append(u.stored, *m); return nil }); err != nil {
			return err
		}
		if outlined {
			copy(u.head.before[:], raw[23:])
		}
		u.head.from = o.Clock
		u.boots = make(map[journal.BootID]int)
		u.marks.synced = make(map[journal.BootID]mark)
	}
	boot, ok := u.boots[o.Clock.Boot]
	if !ok {
		boot = len(u.head.boots)
		u.boots[o.Clock.Boot] = boot
		u.head.boots = append(u.head.boots, Boot{ID: o.Clock.Boot, First: seq})
	}
	u.head.boots[boot].Last, u.head.to = seq, o.Clock
	u.head.kinds[o.Kind]++
	u.marks.add(o, outlined, raw)
	if outlined {
		eachIndexed(o, raw, func(ip []byte) { u.addrs.add(ip, int(seq-f.head.first)/frameEvents) })
	}
	return u.inFrame(w, seq, raw)
}

// inFrame holds the rows of tables that lead to the record against it.
func (u *auditor) inFrame(w *walk, seq journal.Seq, raw []byte) error {
	fr := w.b.fr
	info, err := u.f.info(fr.number)
	if err != nil {
		return err
	}
	k := fr.at - 1
	u.is(k > 0 || info.from == u.o.Clock.Wall && uint64(info.identity) == u.identities, info.offset, seq, errRow)
	u.whole = k > 0 && u.whole || fr.cols[colShape][k] == 0
	if k+1 == fr.n {
		u.is(info.to == u.o.Clock.Wall && info.whole == u.whole, info.offset, seq, errRow)
	}
	if fr.cols[colShape][k] == 0 || fr.cols[colIdentity][k] != 1 {
		return nil
	}
	u.identities++
	return u.filtered(int(u.identities)-1, seq, raw)
}

// filtered looks whether the filter of a new identity lets it be found.
func (u *auditor) filtered(identity int, seq journal.Seq, raw []byte) error {
	blocks, err := u.f.table(sectionIdentities, identityRow)
	if err != nil {
		return err
	}
	rows, err := u.f.table(sectionFilters, filterRow)
	if err != nil {
		return err
	}
	c := &u.filter
	for (c.block+1)*identityRow < len(blocks) && int(firstOf(blocks[(c.block+1)*identityRow:])) <= identity {
		c.block++
	}
	for (c.number+1)*filterRow < len(rows) && int(firstOf(rows[(c.number+1)*filterRow:])) <= c.block {
		c.number++
		c.bits = nil
	}
	at := u.f.head.sections[sectionFilters].offset
	if len(rows) <= c.number*filterRow || int(firstOf(rows[c.number*filterRow:])) > c.block {
		return u.f.damaged(at, seq, errFiltered)
	}
	where := readChunk(rows[c.number*filterRow+4:])
	if c.bits == nil {
		if c.bits, err = u.f.read(where, maxChunk, nil); err != nil {
			return err
		}
	}
	namespace, name, uid := splitPod(valueAt(raw, u.o.Fields[journal.OutlinePod]))
	_, container := splitString(valueAt(raw, u.o.Fields[journal.OutlineContainerID]))
	c.keys.keys = c.keys.keys[:0]
	c.keys.identity(container, namespace, name, uid)
	for _, key := range c.keys.keys {
		u.is(mayHold(c.bits, key), where.offset, seq, errFiltered)
	}
	return nil
}

// finish returns the damage that was found, once all records have gone by. What was collected is needed no longer.
func (u *auditor) finish() error {
	f, h := u.f, &u.head
	same := h.kinds == f.head.kinds && slices.Equal(h.boots, f.head.boots) && u.identities == f.head.identities &&
		h.from == f.head.from && h.to == f.head.to && h.before == f.head.before
	u.is(same, f.size, f.head.first, errFooted)
	u.is(marked(u.stored, u.marks.finish()), f.head.sections[sectionMarks].offset, f.head.first, errMarked)
	if u.bad == nil {
		u.bad = u.indexed()
	}
	u.stored, u.marks, u.addrs, u.filter = nil, markWriter{}, addressWriter{}, filterAudit{}
	return u.bad
}

// marked reports whether the marks of a file are those of its events. More of them do no harm.
func marked(stored, want []mark) bool {
	for _, m := range want {
		for len(stored) > 0 && stored[0].seq < m.seq {
			stored = stored[1:]
		}
		if len(stored) == 0 {
			return false
		}
		s := stored[0]
		if s.seq != m.seq || s.kind != m.kind || s.clock != m.clock || m.raw != nil && !bytes.Equal(s.raw, m.raw) {
			return false
		}
	}
	return true
}

// indexed holds the index of addresses against the events.
func (u *auditor) indexed() error {
	f, w := u.f, &u.addrs
	w.sort()
	rows, err := f.table(sectionAddresses, addressRow)
	if err != nil {
		return err
	}
	v4, v6 := w.v4, w.v6
	for at := 0; at < len(rows); at += addressRow {
		c := readChunk(rows[at+17:])
		b, err := f.unpack(c)
		if err != nil {
			return err
		}
		bad := f.damaged(c.offset, f.head.first, errIndexed)
		key := rows[at : at+17]
		err = eachPosting(b, func(ip []byte, frame uint32) error {
			if key != nil && !bytes.Equal(key, addressKey(ip)) {
				return bad
			}
			key = nil
			switch {
			case len(ip) == 4 && len(v4) > 0 && v4[0] == v4Posting(ip, int(frame)):
				v4 = v4[1:]
			case len(ip) == 16 && len(v6) > 0 && v6[0] == posting{[16]byte(ip), frame}:
				v6 = v6[1:]
			default:
				return bad
			}
			return nil
		})
		if errors.Is(err, errShape) {
			return bad
		}
		if err != nil {
			return err
		}
	}
	if len(v4)+len(v6) > 0 {
		return f.damaged(f.head.sections[sectionAddresses].offset, f.head.first, errIndexed)
	}
	return nil
}
