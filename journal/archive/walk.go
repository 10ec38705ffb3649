package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// keyframeChunk is how much of a keyframe is compressed together.
const keyframeChunk = 64 << 10

var errChain = errors.New("what was made of the frame has another hash than the record that was packed")

// digest returns the SHA-256 of what a reader has.
func digest(r io.Reader) (h journal.Hash, err error) {
	s := sha256.New()
	_, err = io.Copy(s, r)
	s.Sum(h[:0])
	return h, err
}

// walk goes through the records of a file.
type walk struct {
	f     *file
	seq   journal.Seq // of the next record
	b     builder
	place int64 // of the frame

	// Memory that the records which are still to come from a frame share: they are mostly used and forgotten together.
	slab      []byte
	addresses []journal.Address
	cursors   []journal.Cursor
}

// left returns how many records may still have to be decoded of a frame, 0 if there is none.
func (w *walk) left() int {
	if w.b.fr == nil {
		return 0
	}
	return w.b.fr.n - w.b.fr.at + 1
}

// roomFor returns room for the next list of addresses or cursors, and those of so many records.
func roomFor[T any](room []T, left int) []T {
	const few = 4 // in a list
	if left == 0 || cap(room) >= few {
		return room
	}
	return make([]T, 0, left+few)
}

// cut returns a list that was made in room, or beside it where that was not enough, and the room behind it.
func cut[T any](list, room []T) (_, left []T) {
	n := len(list)
	switch {
	case n == 0:
		return nil, room
	case n > cap(room):
		return list, room
	}
	return list[:n:n], room[n:n]
}

// walk begins after an event.
func (f *file) walk(after journal.Seq) *walk { return &walk{f: f, seq: max(after+1, f.head.first)} }

// frame opens the frame with the next record and goes there.
func (w *walk) frame() error {
	number := int(w.seq-w.f.head.first) / frameEvents
	info, err := w.f.info(number)
	if err != nil {
		return err
	}
	if fr := w.b.fr; fr != nil && fr.number+1 == number && fr.prev != info.prev && w.b.compared == nil {
		return w.f.damaged(info.offset, w.seq, errChain)
	}
	fr, err := w.f.openFrame(number)
	if err != nil {
		return err
	}
	w.b, w.place = builder{fr: fr, compared: w.b.compared, chain: w.b.chain}, info.offset
	for fr.first+journal.Seq(fr.at) < w.seq {
		if _, _, err := w.build(); err != nil {
			return err
		}
	}
	return nil
}

// build makes the next record of the frame.
func (w *walk) build() (record []byte, outlined bool, err error) {
	seq := w.b.fr.first + journal.Seq(w.b.fr.at)
	record, outlined, err = w.b.next()
	if _, ok := errors.AsType[*journal.CorruptionError](err); err != nil && !ok {
		err = w.f.damaged(w.place, seq, err)
	}
	return record, outlined, err
}

// next makes the next record; there must be one. It is good until the next call.
func (w *walk) next() (record []byte, outlined bool, err error) {
	if w.seq > w.f.head.last {
		return nil, false, io.EOF
	}
	if fr := w.b.fr; fr == nil || fr.at == fr.n {
		if err := w.frame(); err != nil {
			return nil, false, err
		}
	}
	if record, outlined, err = w.build(); err != nil {
		return nil, false, err
	}
	if w.seq == w.f.head.last && w.b.compared == nil && w.b.fr.prev != w.f.head.after {
		return nil, false, w.f.damaged(w.place, w.seq, errChain)
	}
	w.seq++
	return record, outlined, nil
}

// decode makes the whole record of what was built.
func (w *walk) decode(rec *journal.Record, seq journal.Seq, raw []byte) error {
	const perRecord = 400
	left := w.left()
	if cap(w.slab)-len(w.slab) < len(raw) {
		w.slab = make([]byte, 0, max(len(raw), left*perRecord))
	}
	start := len(w.slab)
	w.slab = append(w.slab, raw...)
	own := w.slab[start:len(w.slab):len(w.slab)]
	ev := &rec.Event
	w.addresses, w.cursors = roomFor(w.addresses, left), roomFor(w.cursors, left)
	ev.Addresses, ev.Cursors = w.addresses, w.cursors
	err := journal.DecodeOwned(ev, w.f.head.id, seq, own)
	if errors.Is(err, journal.ErrNewer) {
		return fmt.Errorf("%s: event %d: %w", w.f.path, seq, err)
	}
	if err != nil {
		return w.f.damaged(w.place, seq, err)
	}
	ev.Addresses, w.addresses = cut(ev.Addresses, w.addresses)
	ev.Cursors, w.cursors = cut(ev.Cursors, w.cursors)
	rec.File, rec.Offset, rec.Raw, rec.Hash, rec.Light = "", w.place, own, journal.Hash{}, false
	if w.b.fr != nil && w.b.compared == nil {
		rec.Hash = w.b.fr.prev
	}
	return nil
}

// records reads the records after an event into rec, one after the other, and yields when one is there.
func (f *file) records(after journal.Seq, rec *journal.Record, yield func() error) error {
	defer f.forget()
	w := f.walk(after)
	for w.seq <= f.head.last {
		seq := w.seq
		raw, _, err := w.next()
		if err != nil {
			return err
		}
		if err := w.decode(rec, seq, raw); err != nil {
			return err
		}
		if err := f.auditor.event(w, seq, rec.Raw); err != nil {
			return err
		}
		if err := yield(); err != nil {
			return err
		}
	}
	return nil
}

// raw yields the bytes of the records after an event.
func (f *file) raw(after journal.Seq, yield func(journal.Record) error) error {
	defer f.forget()
	for w := f.walk(after); w.seq <= f.head.last; {
		seq := w.seq
		raw, _, err := w.next()
		if err != nil {
			return err
		}
		if err := yield(journal.Record{Event: journal.Event{Seq: seq}, Offset: w.place, Raw: raw, Light: true}); err != nil {
			return err
		}
	}
	return nil
}

// ofKinds yields the events of some kinds after an event. Frames that have none are not built, and those behind the last one are not read.
func (f *file) ofKinds(kinds []journal.Kind, after journal.Seq, yield func(journal.Record) error) error {
	defer f.forget()
	left := uint64(0)
	for _, k := range kinds {
		left += f.head.kinds[k]
	}
	for number := 0; number < f.head.frames && left > 0; number++ {
		w := f.walk(f.head.first + journal.Seq(number*frameEvents) - 1)
		if err := w.frame(); err != nil {
			return err
		}
		if !w.b.fr.mayHave(kinds) {
			continue
		}
		for last := w.seq + journal.Seq(w.b.fr.n) - 1; w.seq <= last; {
			seq := w.seq
			raw, outlined, err := w.next()
			if err != nil {
				return err
			}
			if outlined && !slices.Contains(kinds, w.b.o.Kind) {
				continue
			}
			var rec journal.Record
			if err := w.decode(&rec, seq, raw); err != nil {
				return err
			}
			if !slices.Contains(kinds, rec.Event.Kind) {
				continue
			}
			if left--; seq <= after {
				continue
			}
			if err := yield(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayHave reports whether events of some kinds may stand in the frame, by the templates that its events are made of. What is wrong with
// one of these is told where its event is built.
func (fr *frame) mayHave(kinds []journal.Kind) bool {
	return slices.ContainsFunc(fr.cols[colShape][:fr.n], func(shape uint64) bool {
		if shape == 0 {
			return true
		}
		t, err := fr.f.template(shape, shapeHead)
		return err != nil || slices.Contains(kinds, journal.Kind(t.head[0]))
	})
}

// forget gives back the memory that a walk through the file has taken.
func (f *file) forget() { f.slots = nil }

// pieces yields the records after an event, and what is lost of them. A piece is good until the next one.
func (f *file) pieces(name string, after journal.Seq, hand func(*journal.Piece) error) error {
	defer f.forget()
	var p journal.Piece
	for next := max(after+1, f.head.first); next <= f.head.last; {
		err := f.records(next-1, &p.Record, func() error {
			p.File, next = name, p.Event.Seq+1
			return hand(&p)
		})
		damage, ok := errors.AsType[*journal.CorruptionError](err)
		if err != nil && !ok {
			return err
		}
		if err == nil {
			return nil
		}
		frame := int(next-f.head.first) / frameEvents
		last := min(f.head.last, f.head.first+journal.Seq((frame+1)*frameEvents)-1)
		l := journal.Loss{File: name, Offset: damage.Offset, First: next, Last: last, Cause: damage.Cause}
		if info, err := f.info(frame); err != nil {
			l.Last = f.head.last
		} else if info.offset == damage.Offset {
			l.Bytes = int64(info.bytes)
		}
		if err := hand(&journal.Piece{Loss: &l}); err != nil {
			return err
		}
		next = l.Last + 1
	}
	return nil
}

// addrBytes returns an address as records have it, nil if there is none.
func addrBytes(a netip.Addr) []byte {
	a = a.Unmap()
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}
