package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"

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
	slab  []byte
}

// slabBytes is how much memory the records that are still to come from a frame may share: they are mostly used and
// forgotten together.
func slabBytes(fr *frame) int {
	const perRecord = 400
	if fr == nil {
		return 0
	}
	return (fr.n - fr.at + 1) * perRecord
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
func (w *walk) decode(seq journal.Seq, raw []byte) (journal.Record, error) {
	if cap(w.slab)-len(w.slab) < len(raw) {
		w.slab = make([]byte, 0, max(len(raw), slabBytes(w.b.fr)))
	}
	start := len(w.slab)
	w.slab = append(w.slab, raw...)
	own := w.slab[start:len(w.slab):len(w.slab)]
	ev, err := journal.DecodeOwned(w.f.head.id, seq, own)
	if errors.Is(err, journal.ErrNewer) {
		return journal.Record{}, fmt.Errorf("%s: event %d: %w", w.f.path, seq, err)
	}
	if err != nil {
		return journal.Record{}, w.f.damaged(w.place, seq, err)
	}
	return journal.Record{Event: ev, Offset: w.place, Raw: own}, nil
}

// records yields the records after an event.
func (f *file) records(after journal.Seq, yield func(journal.Record) error) error {
	defer f.forget()
	w := f.walk(after)
	for w.seq <= f.head.last {
		seq := w.seq
		raw, _, err := w.next()
		if err != nil {
			return err
		}
		rec, err := w.decode(seq, raw)
		if err != nil {
			return err
		}
		if err := f.auditor.event(w, seq, rec.Raw); err != nil {
			return err
		}
		if err := yield(rec); err != nil {
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

// forget gives back the memory that a walk through the file has taken.
func (f *file) forget() { f.slots = nil }

// pieces yields the records after an event, and what is lost of them.
func (f *file) pieces(name string, after journal.Seq, hand func(journal.Piece) error) error {
	defer f.forget()
	for next := max(after+1, f.head.first); next <= f.head.last; {
		err := f.records(next-1, func(rec journal.Record) error {
			rec.File, next = name, rec.Event.Seq+1
			return hand(journal.Piece{Record: rec})
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
		if err := hand(journal.Piece{Loss: &l}); err != nil {
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
