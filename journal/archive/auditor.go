package archive

import (
	"bytes"
	"errors"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

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
		if s.seq != m.seq || s.kind != m.kind || s.clock != m.clock || m.gc && !s.gc && s.raw == nil || m.raw != nil && !bytes.Equal(s.raw, m.raw) {
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
