package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// earlierBytes is how much of what is known of earlier events is compressed together.
const earlierBytes = 128 << 10

// earlierWriter chooses what the first file after a prune keeps of the events before it, so that what is answered about its own
// events does not change. It says nothing of who held what. docs/FORMAT.md has the list.
type earlierWriter struct {
	kept   map[journal.Seq]journal.Event
	began  journal.Earlier // imports of leases that are held at the end: there may be one for each
	before journal.Event   // that was seen last
	synced map[journal.BootID]journal.Event
	held   map[journal.Seq]bool // imports of leases that are held at the end
}

func newEarlierWriter() *earlierWriter {
	return &earlierWriter{kept: make(map[journal.Seq]journal.Event), synced: make(map[journal.BootID]journal.Event), held: make(map[journal.Seq]bool)}
}

// dated is what is told of an event of which only the clock matters: a refusal, which changes nothing, that says nothing.
func dated(ev *journal.Event) journal.Event {
	return journal.Event{Seq: ev.Seq, Clock: ev.Clock, Kind: journal.KindRefuse}
}

// add takes in the next event that About tells of, or that was kept by a prune before.
func (w *earlierWriter) add(ev *journal.Event, light bool) {
	e, p := dated(ev), w.before
	step := time.Duration((e.Wall - e.BootTime) - (p.Wall - p.BootTime))
	switch {
	case p.Seq == 0:
		w.keep(e)
	case p.Boot != e.Boot, e.Wall < p.Wall, step > stepAtLeast, step < -stepAtLeast:
		w.keep(p)
		w.keep(e)
	}
	if w.before = e; e.Synchronised {
		w.synced[e.Boot] = e
	}
	if !light || ev.Reason == journal.ReasonGC {
		w.whole(ev, e)
	}
}

// whole keeps what later answers need of an event, but for its clock.
func (w *earlierWriter) whole(ev *journal.Event, e journal.Event) {
	e.Kind = ev.Kind
	switch ev.Kind {
	case journal.KindAdd: // the ranges in force from it on
		e.Config, e.Ranges, e.Dropped = ev.Config, ev.Ranges, ev.Dropped
	case journal.KindDel: // a run of the runtime's GC
		if e.Reason = ev.Reason; e.Reason != journal.ReasonGC {
			return
		}
	case journal.KindImport: // what speaks against a lease that it began
		if e.Attributes = doubtsOf(ev); len(e.Attributes) > 0 && w.held[ev.Seq] {
			w.began.Add(&e)
		}
		return
	case journal.KindRefuse, journal.KindRelease, journal.KindAnnotate:
		return
	default:
		e = *ev
	}
	w.keep(e)
}

func doubtsOf(ev *journal.Event) (doubts []journal.Attribute) {
	for _, a := range ev.Attributes {
		if a.Key == journal.AttributeDoubt || a.Key == journal.AttributeParentSeq {
			doubts = append(doubts, a)
		}
	}
	return doubts
}

// keep keeps an event, and the one that says more of two.
func (w *earlierWriter) keep(e journal.Event) {
	if _, ok := w.kept[e.Seq]; !ok || e.Kind != journal.KindRefuse {
		w.kept[e.Seq] = e
	}
}

// all returns what is kept, in order.
func (w *earlierWriter) all() *journal.Earlier {
	if w.before.Seq != 0 {
		w.keep(w.before)
	}
	for _, e := range w.synced {
		w.keep(e)
	}
	kept, all := slices.Sorted(maps.Keys(w.kept)), &journal.Earlier{}
	take := func(before journal.Seq) {
		for ; len(kept) > 0 && kept[0] < before; kept = kept[1:] {
			ev := w.kept[kept[0]]
			all.Add(&ev)
		}
	}
	for ev := range w.began.All() {
		take(ev.Seq)
		all.Add(ev)
	}
	take(math.MaxUint64)
	return all
}

// earlier returns what is to be kept of the events before one, at which the leases of a snapshot are held.
func (r *Reader) earlier(first journal.Seq, held *state.Snapshot) (*journal.Earlier, error) {
	w := newEarlierWriter()
	var imports []journal.Seq
	if held != nil {
		for l, err := range state.Over(held).Leases() {
			if err != nil {
				return nil, err
			}
			if l.Import && !w.held[l.Start] {
				w.held[l.Start] = true
				imports = append(imports, l.Start)
			}
		}
	}
	for p, err := range r.Sparse(nil, 0) {
		if err != nil {
			return nil, err
		}
		if l := p.Loss; l != nil {
			gone := l.Pruned()
			if gone == nil {
				return nil, l.Error(r.dir)
			}
			for ev := range gone.Earlier.All() {
				w.add(ev, ev.Kind == journal.KindRefuse)
			}
			continue
		}
		if p.Event.Seq >= first {
			break
		}
		w.add(&p.Event, p.Light)
	}
	if err := r.upTo(first, w); err != nil {
		return nil, err
	}
	slices.Sort(imports)
	if err := r.imports(imports, first, w); err != nil {
		return nil, err
	}
	return w.all(), nil
}

// upTo takes in what the marks of the packed file that goes on with an event don't tell of those before it: the last one, the
// last release of a GC, and the last add, whose ranges are in force.
func (r *Reader) upTo(first journal.Seq, w *earlierWriter) error {
	s := r.next(first - 1)
	if s.file == nil {
		return nil
	}
	var rec journal.Record
	var last, collected, added journal.Event
	err := s.file.records(0, &rec, func() error {
		if rec.Event.Seq >= first {
			return errStopped
		}
		switch last = rec.Event; {
		case last.Kind == journal.KindDel && last.Reason == journal.ReasonGC:
			collected = last
		case last.Kind == journal.KindAdd:
			added = last
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	for _, ev := range []*journal.Event{&collected, &added} {
		if ev.Seq != 0 {
			w.whole(ev, dated(ev))
		}
	}
	w.add(&last, true)
	return nil
}

// nearby is how many events are read to come to the next one, rather than begun anew.
const nearby = 1024

// imports takes in import events that began leases. Those that were pruned before are known already.
func (r *Reader) imports(seqs []journal.Seq, first journal.Seq, w *earlierWriter) error {
	gone, err := r.pruned()
	if err != nil {
		return err
	}
	for len(seqs) > 0 {
		if gone != nil && seqs[0] <= gone.Last {
			seqs = seqs[1:]
			continue
		}
		for rec, err := range r.Records(seqs[0] - 1) {
			if err != nil {
				return err
			}
			if len(seqs) == 0 || rec.Event.Seq+nearby < seqs[0] || rec.Event.Seq >= first {
				break
			}
			if rec.Event.Seq == seqs[0] {
				w.whole(&rec.Event, dated(&rec.Event))
				seqs = seqs[1:]
			}
		}
	}
	return nil
}

// earlier writes what is known of the events before the first, and returns the rows of the table.
func (w *writer) earlier(events *journal.Earlier) (rows []byte, err error) {
	var b, record []byte
	first := journal.Seq(0)
	left := events.Len()
	for ev := range events.All() {
		left--
		if record, err = journal.AppendRecord(record[:0], w.id, ev); err != nil {
			return nil, fmt.Errorf("event %d: %w", ev.Seq, err)
		}
		if len(b) == 0 {
			first = ev.Seq
		}
		b = append(binary.AppendUvarint(b, uint64(len(record))), record...)
		if len(b) < earlierBytes && left > 0 {
			continue
		}
		c, err := w.compressed(b)
		if err != nil {
			return nil, err
		}
		rows = c.append(binary.BigEndian.AppendUint64(rows, uint64(first)))
		b = b[:0]
	}
	return rows, nil
}

// earlier returns what the file knows of the events before its first; nil if that is not told.
func (f *file) earlier() (*journal.Earlier, error) {
	if _, ok := f.head.sections[sectionEarlier]; !ok {
		return nil, nil
	}
	rows, err := f.table(sectionEarlier, markRow)
	if err != nil {
		return nil, err
	}
	events := &journal.Earlier{}
	for ; len(rows) > 0; rows = rows[markRow:] {
		c := readChunk(rows[8:])
		b, err := f.unpack(c)
		if err != nil {
			return nil, err
		}
		for r := (numbers{b: b}); len(r.b) > 0; {
			record := r.take(int(min(r.number(), journal.MaxConfig)))
			if r.err != nil || len(record) < 12 {
				return nil, f.damaged(c.offset, f.head.first, errShape)
			}
			ev, err := journal.DecodeRecord(f.head.id, journal.Seq(binary.BigEndian.Uint64(record[4:])), record)
			if err != nil && !errors.Is(err, journal.ErrNewer) {
				err = f.damaged(c.offset, f.head.first, err)
			}
			if err != nil {
				return nil, err
			}
			events.Add(&ev)
		}
	}
	return events, nil
}

// past finds out what a new file is to know of the events before its first: by the options, or by a file that begins with the
// same event and knows it already.
func (p *packing) past(folder, except string, o *Options) (err error) {
	if o.Before != nil {
		held, err := p.heldBefore(o.Keyframes)
		if err != nil {
			return err
		}
		p.earlier, err = o.Before.earlier(p.head.first, held)
		if held != nil {
			err = errors.Join(err, held.Close())
		}
		return err
	}
	names, err := packedNames(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		if first, _, _ := parseName(name); first != p.head.first || p.before != nil || name == except {
			continue
		}
		f, err := openFile(filepath.Join(folder, name), p.head.id)
		if err != nil {
			return err
		}
		if _, ok := f.head.sections[sectionEarlier]; !ok {
			if err := f.close(); err != nil {
				return err
			}
			continue
		}
		p.before = f
		if p.earlier, err = f.earlier(); err != nil {
			return err
		}
	}
	return nil
}

// heldBefore opens the snapshot among these that covers the events before the first one, nil if none does.
func (p *packing) heldBefore(paths []string) (*state.Snapshot, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	snap, err := state.OpenSnapshot(paths[0], p.head.id) // they ascend
	if err != nil || snap.Seq()+1 == p.head.first {
		return snap, err
	}
	return nil, snap.Close()
}

// adopt takes over what a file that begins with the same event knows of the leases before it, unless that was given.
func (p *packing) adopt(rows []byte) ([]byte, error) {
	if p.before == nil {
		return rows, nil
	}
	for _, k := range p.before.head.keyframes {
		if k.seq+1 != p.head.first {
			continue
		}
		snap, err := p.before.openKeyframe(k.seq) // so that its head is checked
		if err != nil {
			return nil, err
		}
		if snap.Head() != p.head.before {
			return nil, p.before.damaged(-1, k.seq, errors.New("the keyframe is of another event of this number"))
		}
		r := &keyframeReader{f: p.before, size: k.bytes}
		if r.rows, err = p.before.keyframeRows(k.seq); err != nil {
			return nil, err
		}
		return p.keyframeFrom(rows, io.NewSectionReader(r, 0, k.bytes), k.seq)
	}
	return rows, nil
}
