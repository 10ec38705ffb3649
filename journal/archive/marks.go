package archive

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Marks are the events of a file that every question needs: whole ones as their records, the others by their clocks. Releases of a
// GC are among those: a question needs to know when they were, and there are too many of them to be read whole each time.
// About says which they are. marksPerChunk of them, or marksBytes of records, are compressed together.
const (
	marksPerChunk = 512
	marksBytes    = 128 << 10
)

const (
	stepAtLeast = 10 * time.Millisecond
	gcPause     = time.Minute // between releases of one GC, at most
)

// mark is an event that every question needs.
type mark struct {
	seq   journal.Seq
	kind  journal.Kind
	clock journal.Clock
	gc    bool   // the runtime's GC released a lease
	raw   []byte // nil if it is light
}

// event is what a light one tells.
func (m *mark) event() journal.Event {
	ev := journal.Event{Seq: m.seq, Clock: m.clock, Kind: m.kind}
	if m.gc {
		ev.Reason = journal.ReasonGC
	}
	return ev
}

// markWriter finds them as events go by.
type markWriter struct {
	marks   []mark
	needles journal.Needles
	before  mark                    // the event before, light
	lastGC  mark                    // the last release of a GC so far
	shownGC int64                   // boot-time clock of the newest mark of the run
	synced  map[journal.BootID]mark // last synchronised event of each boot, but for
	current mark                    // that of the newest boot that has one
}

// add looks at the next event. outlined is false for a record that could not be read as an outline.
func (w *markWriter) add(o *journal.Outline, outlined bool, record []byte) {
	m, p := mark{seq: o.Seq, kind: o.Kind, clock: o.Clock}, w.before
	whole := !outlined || w.needles.Landmark(o, record)
	if m.gc = outlined && collects(o, record); m.gc {
		w.collected(m)
	}
	c := m.clock
	switch step := time.Duration((c.Wall - c.BootTime) - (p.clock.Wall - p.clock.BootTime)); {
	case p.seq == 0:
		w.marks = append(w.marks, m)
	case p.clock.Boot != c.Boot, c.Wall < p.clock.Wall, step > stepAtLeast, step < -stepAtLeast:
		w.marks = append(w.marks, p, m)
	case whole:
		w.marks = append(w.marks, p)
	}
	if c.Synchronised {
		if w.current.clock.Boot != c.Boot {
			w.endSynced()
		}
		w.current = m
	}
	w.before = m
	if whole {
		m.raw = slices.Clone(record)
		w.marks = append(w.marks, m)
	}
}

// collects reports whether the runtime's GC released a lease.
func collects(o *journal.Outline, record []byte) bool {
	return o.Kind == journal.KindDel && o.Number(record, journal.OutlineReason) == uint64(journal.ReasonGC)
}

// collected takes in a release of a GC. Of a long run there are marks in between, no further apart than a pause: who sees marks alone
// must not take it for several.
func (w *markWriter) collected(m mark) {
	g := &w.lastGC
	switch {
	case g.seq == 0, g.clock.Boot != m.clock.Boot, time.Duration(m.clock.BootTime-g.clock.BootTime) > gcPause: // the first of a run
		w.endRun()
		w.marks = append(w.marks, m)
		w.shownGC = m.clock.BootTime
	case time.Duration(m.clock.BootTime-w.shownGC) > gcPause:
		w.endRun()
		w.shownGC = g.clock.BootTime
	}
	*g = m
}

// endRun notes the last release of a GC.
func (w *markWriter) endRun() {
	if w.lastGC.seq != 0 {
		w.marks = append(w.marks, w.lastGC)
	}
}

// endSynced notes the last synchronised event of a boot.
func (w *markWriter) endSynced() {
	if w.current.seq != 0 {
		w.synced[w.current.clock.Boot] = w.current
	}
}

// finish returns all marks in order, each once.
func (w *markWriter) finish() []mark {
	w.endRun()
	w.endSynced()
	w.marks = append(w.marks, w.before)
	for _, m := range w.synced {
		w.marks = append(w.marks, m)
	}
	slices.SortStableFunc(w.marks, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(len(b.raw), len(a.raw))) // the whole one first
	})
	return slices.CompactFunc(w.marks, func(a, b mark) bool { return a.seq == b.seq })
}

// appendMark appends a mark as it stands in a chunk: how far its event is from that of the one before, kind, flags,
// number of the boot, wall and boot-time clock, bound on the error, and the length of the record and the record if it is
// whole.
func appendMark(b []byte, m *mark, before journal.Seq, boot int) []byte {
	b = binary.AppendUvarint(b, uint64(m.seq-before))
	flags := byte(0)
	if m.clock.Synchronised {
		flags |= 1
	}
	if m.raw != nil {
		flags |= 2
	}
	if m.gc {
		flags |= 4
	}
	b = binary.AppendUvarint(append(b, byte(m.kind), flags), uint64(boot))
	b = binary.BigEndian.AppendUint64(b, uint64(m.clock.Wall))
	b = binary.BigEndian.AppendUint64(b, uint64(m.clock.BootTime))
	b = binary.AppendUvarint(b, uint64(m.clock.MaxError/time.Microsecond))
	if m.raw != nil {
		b = append(binary.AppendUvarint(b, uint64(len(m.raw))), m.raw...)
	}
	return b
}

// writeMarks writes the marks and returns the rows of their table.
func (w *writer) writeMarks(marks []mark, boots map[journal.BootID]int) ([]byte, error) {
	var rows, b []byte
	n, first, before := 0, journal.Seq(0), journal.Seq(0)
	for i := range marks {
		if n == 0 {
			first, before = marks[i].seq, marks[i].seq
		}
		b = appendMark(b, &marks[i], before, boots[marks[i].clock.Boot])
		before = marks[i].seq
		if n++; n < marksPerChunk && len(b) < marksBytes && i+1 < len(marks) {
			continue
		}
		c, err := w.compressed(b)
		if err != nil {
			return nil, err
		}
		rows = c.append(binary.BigEndian.AppendUint64(rows, uint64(first)))
		b, n = b[:0], 0
	}
	return rows, nil
}

// markReader reads the marks of a chunk, one by one.
type markReader struct {
	numbers
	seq   journal.Seq // of the mark before; at the beginning, that of the chunk
	boots []journal.BootID
}

// next reads a mark, and returns false behind the last one and where err is set. The record is good as long as the chunk is.
func (r *markReader) next(m *mark) bool {
	if len(r.b) == 0 || r.err != nil {
		return false
	}
	r.seq += journal.Seq(r.number())
	head := r.take(2)
	boot := r.number()
	clocks := r.take(16)
	maxError := r.number()
	if r.err != nil || boot >= uint64(len(r.boots)) || maxError > 1<<40 {
		r.err = errShape
		return false
	}
	*m = mark{seq: r.seq, kind: journal.Kind(head[0]), gc: head[1]&4 != 0, clock: journal.Clock{
		Wall: int64(binary.BigEndian.Uint64(clocks)), BootTime: int64(binary.BigEndian.Uint64(clocks[8:])),
		Boot: r.boots[boot], Synchronised: head[1]&1 != 0, MaxError: time.Duration(maxError) * time.Microsecond}}
	if head[1]&2 != 0 {
		m.raw = r.take(int(min(r.number(), maxChunk)))
	}
	return r.err == nil
}
