package archive

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// framesWith returns the frames whose events have one of the addresses, ascending.
func (f *file) framesWith(addrs []netip.Addr) ([]uint32, error) {
	var frames []uint32
	for _, a := range addrs {
		ip := addrBytes(a)
		if ip == nil {
			continue
		}
		rows, err := f.table(sectionAddresses, addressRow)
		if err != nil {
			return nil, err
		}
		i := rowBefore(rows, addressRow, addressKey(ip))
		if i < 0 {
			continue
		}
		c := readChunk(rows[i*addressRow+17:])
		b, err := f.unpack(c)
		if err != nil {
			return nil, err
		}
		found, err := framesOf(b, ip)
		if err != nil {
			return nil, f.damaged(c.offset, f.head.first, err)
		}
		frames = append(frames, found...)
	}
	slices.Sort(frames)
	return slices.Compact(frames), nil
}

// eachMark calls fn with the marks after an event. Each is good until fn returns.
func (f *file) eachMark(after journal.Seq, fn func(*mark, int64) error) error {
	rows, err := f.table(sectionMarks, markRow)
	if err != nil {
		return err
	}
	var m mark
	for i := 0; i < len(rows); i += markRow {
		if i+markRow < len(rows) && seqOf(rows[i+markRow:]) <= after {
			continue
		}
		c := readChunk(rows[i+8:])
		b, err := f.unpack(c)
		if err != nil {
			return err
		}
		r := markReader{numbers: numbers{b: b}, seq: seqOf(rows[i:]), boots: f.boots}
		for r.next(&m) {
			if m.seq <= after {
				continue
			}
			if err := fn(&m, c.offset); err != nil {
				return err
			}
		}
		if r.err != nil {
			return f.damaged(c.offset, f.head.first, r.err)
		}
	}
	return nil
}

// about yields marks, and the events that have one of the addresses with the one before each, see Reader.About.
func (f *file) about(addrs []netip.Addr, after journal.Seq, yield func(journal.Record) error) error {
	defer f.forget()
	frames, err := f.framesWith(addrs)
	if err != nil {
		return err
	}
	s := search{f: f, frames: frames, after: after, yield: yield, last: after}
	for _, a := range addrs {
		if ip := addrBytes(a); ip != nil {
			s.needles = append(s.needles, append([]byte{0xc4, byte(len(ip))}, ip...))
		}
	}
	err = f.eachMark(after, func(m *mark, place int64) error {
		if err := s.before(m.seq); err != nil {
			return err
		}
		return s.mark(m, place)
	})
	if err != nil {
		return err
	}
	return s.before(f.head.last + 1)
}

// search merges the marks of a file with what is found in its frames.
type search struct {
	f       *file
	frames  []uint32 // still to be looked at
	needles [][]byte
	after   journal.Seq
	yield   func(journal.Record) error

	last journal.Seq      // the newest event that was yielded
	held []journal.Record // found in the frame, not yielded yet
}

// before yields what frames have before an event.
func (s *search) before(before journal.Seq) error {
	for {
		for len(s.held) > 0 && s.held[0].Event.Seq < before {
			if err := s.hand(s.held[0]); err != nil {
				return err
			}
			s.held = s.held[1:]
		}
		if len(s.held) > 0 || len(s.frames) == 0 {
			return nil
		}
		if first := s.f.head.first + journal.Seq(s.frames[0])*frameEvents; first > before { // the event before may be a mark
			return nil
		}
		if err := s.look(int(s.frames[0])); err != nil {
			return err
		}
		s.frames = s.frames[1:]
	}
}

// hand yields a record, unless its event was.
func (s *search) hand(rec journal.Record) error {
	if rec.Event.Seq <= s.last {
		return nil
	}
	s.last = rec.Event.Seq
	return s.yield(rec)
}

// mark yields a mark, or what was found in a frame of the same event.
func (s *search) mark(m *mark, place int64) error {
	if len(s.held) > 0 && s.held[0].Event.Seq == m.seq && !s.held[0].Light {
		rec := s.held[0]
		s.held = s.held[1:]
		return s.hand(rec)
	}
	if m.raw == nil {
		return s.hand(journal.Record{Event: m.event(), Offset: place, Light: true})
	}
	w := walk{f: s.f, place: place}
	var rec journal.Record
	if err := w.decode(&rec, m.seq, m.raw); err != nil {
		return err
	}
	return s.hand(rec)
}

// look finds the events of a frame that have a needle, and those before them.
func (s *search) look(number int) error {
	first := s.f.head.first + journal.Seq(number)*frameEvents
	last := min(first+frameEvents-1, s.f.head.last)
	if last <= s.after {
		return nil
	}
	w := s.f.walk(first - 1)
	var before journal.Record // light, of the event before; its seq is 0 where a mark has that
	for w.seq <= last {
		seq := w.seq
		raw, _, err := w.next()
		if err != nil {
			return err
		}
		var o journal.Outline
		if !o.Read(raw) { // a mark
			before = journal.Record{}
			continue
		}
		if seq > s.after && s.has(raw[o.Body:]) {
			if before.Event.Seq > s.after {
				s.held = append(s.held, before)
			}
			var rec journal.Record
			if err := w.decode(&rec, seq, raw); err != nil {
				return err
			}
			s.held = append(s.held, rec)
		}
		before = journal.Record{Event: journal.Event{Seq: seq, Clock: o.Clock, Kind: o.Kind}, Offset: w.place, Light: true}
	}
	if len(s.held) > 0 && s.held[0].Event.Seq == first && first > max(s.f.head.first, s.after+1) {
		return s.lightBefore(first)
	}
	return nil
}

// lightBefore puts the event before the first of a frame in front of what was found in that.
func (s *search) lightBefore(first journal.Seq) error {
	w := s.f.walk(first - 2)
	raw, _, err := w.next()
	if err != nil {
		return err
	}
	var o journal.Outline
	if !o.Read(raw) {
		return nil // a mark
	}
	light := journal.Record{Event: journal.Event{Seq: first - 1, Clock: o.Clock, Kind: o.Kind}, Offset: w.place, Light: true}
	s.held = slices.Insert(s.held, 0, light)
	return nil
}

// has reports whether a body has one of the needles.
func (s *search) has(body []byte) bool {
	for _, n := range s.needles {
		if bytes.Contains(body, n) {
			return true
		}
	}
	return false
}

func seqOf(row []byte) journal.Seq { return journal.Seq(binary.BigEndian.Uint64(row)) }
