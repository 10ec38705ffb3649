package archive

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Marks are the events of a file that every question needs: whole ones as their records, the others by their clocks.
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
	raw   []byte // nil if it is light
}

// markWriter finds them as events go by.
type markWriter struct {
	marks    []mark
	needles  journal.Needles
	before   mark                    // the event before, light
	lastGC   mark                    // the last release of a GC so far, whole
	beforeGC mark                    // the event before that, light
	shownGC  int64                   // boot-time clock of the newest mark of the run
	synced   map[journal.BootID]mark // last synchronised event of each boot, but for
	current  mark                    // that of the newest boot that has one
}

// add looks at the next event. outlined is false for a record that could not be read as an outline.
func (w *markWriter) add(o *journal.Outline, outlined bool, record []byte) {
	m, p := mark{seq: o.Seq, kind: o.Kind, clock: o.Clock}, w.before
	whole := !outlined || w.needles.Landmark(o, record)
	if outlined && collects(o, record) {
		whole = w.collected(m, record) || whole
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

// collected takes in a release of a GC, and reports whether it is the first of a run. Of a long run there are marks in between,
// no further apart than a pause: who sees marks alone must not take it for several.
func (w *markWriter) collected(m mark, record []byte) (first bool) {
	g := &w.lastGC
	first = g.seq == 0 || g.clock.Boot != m.clock.Boot || time.Duration(m.clock.BootTime-g.clock.BootTime) > gcPause
	switch {
	case first:
		w.endRun()
		w.shownGC = m.clock.BootTime
	case time.Duration(m.clock.BootTime-w.shownGC) > gcPause:
		w.endRun()
		w.shownGC = g.clock.BootTime
	}
	room := g.raw
	*g, w.beforeGC = m, w.before
	g.raw = append(room[:0], record...)
	return first
}

// endRun notes the last release of a GC.
func (w *markWriter) endRun() {
	if w.lastGC.seq == 0 {
		return
	}
	last := w.lastGC
	last.raw = slices.Clone(last.raw)
	w.marks = append(w.marks, last)
	if w.beforeGC.seq != 0 {
		w.marks = append(w.marks, w.beforeGC)
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

// readMarks reads a chunk of marks that begins with an event.
func readMarks(b []byte, first journal.Seq, boots []journal.BootID) ([]mark, error) {
	var marks []mark
	r := numbers{b: b}
	for seq := first; len(r.b) > 0; {
		seq += journal.Seq(r.number())
		head := r.take(2)
		boot := r.number()
		clocks := r.take(16)
		maxError := r.number()
		if r.err != nil || boot >= uint64(len(boots)) || maxError > 1<<40 {
			return nil, errShape
		}
		m := mark{seq: seq, kind: journal.Kind(head[0]), clock: journal.Clock{
			Wall: int64(binary.BigEndian.Uint64(clocks)), BootTime: int64(binary.BigEndian.Uint64(clocks[8:])),
			Boot: boots[boot], Synchronised: head[1]&1 != 0, MaxError: time.Duration(maxError) * time.Microsecond}}
		if head[1]&2 != 0 {
			n := r.number()
			if n > uint64(len(r.b)) {
				return nil, errShape
			}
			m.raw = r.take(int(n))
		}
		marks = append(marks, m)
	}
	return marks, r.err
}
