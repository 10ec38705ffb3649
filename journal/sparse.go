package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"slices"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

// Needles tells the records that a question about some addresses or names needs whole. It is to be asked about all
// records, in order: whether an add changes the configuration depends on the one before. The zero Needles asks about
// nothing. It is not safe for concurrent use.
type Needles struct {
	bytes  [][]byte // as they stand in a record
	add    bool     // there was an add
	config uint64   // that it named
	own    bool     // and it brought ranges, or had to drop fields
}

// NewNeedles returns the Needles for these addresses, and for texts that are a part of some string, such as a container
// ID or the beginning of one.
func NewNeedles(addrs []netip.Addr, texts ...string) *Needles {
	n := &Needles{}
	for _, a := range addrs {
		if a.IsValid() {
			n.bytes = append(n.bytes, wire.AppendAddr(nil, a.Unmap()))
		}
	}
	for _, text := range texts {
		n.bytes = append(n.bytes, []byte(text))
	}
	return n
}

// Whole reports whether a question needs the record whole: if its bytes have one of the addresses or texts, which may be by
// chance, or it is one that every question needs, see Landmark.
func (n *Needles) Whole(o *Outline, record []byte) bool {
	landmark := n.Landmark(o, record)
	if landmark || (o.Kind == KindRelease || o.Kind == KindDel) && o.collects(record) {
		return true
	}
	for _, a := range n.bytes {
		if bytes.Contains(record[o.Body:], a) {
			return true
		}
	}
	return false
}

// Landmark reports whether the record is one that every question needs: genesis, config, reset, repair, prune, holds and kinds that
// this version should know and doesn't, or whatever has fields of that sort; an add that brings ranges, or had to drop
// fields, or names another configuration than the add before, or comes after one of these: by it the ranges are known again.
func (n *Needles) Landmark(o *Outline, record []byte) bool {
	if o.Unknown && o.Kind != KindAdd {
		return true
	}
	switch o.Kind {
	case KindGenesis, KindConfig, KindReset, KindRepair, KindPrune, KindHold, KindUnhold:
		return true
	case KindDel, KindRefuse, KindImport, KindRelease, KindAnnotate:
		return false
	case KindAdd:
	default:
		return o.Kind.MustUnderstand()
	}
	config := o.Number(record, fieldConfig)
	own := o.Fields[fieldRanges] != Span{} || o.Fields[fieldDropped] != Span{}
	landmark := !n.add || config != n.config || own || n.own || o.Unknown
	n.add, n.config, n.own = true, config, own
	return landmark
}

// collects reports whether a GC released the lease.
func (o *Outline) collects(record []byte) bool {
	return o.Number(record, fieldReason) == uint64(ReasonGC)
}

// Sparse is Records for a question about some addresses or names: all events after a given one, in order, but only those
// that Needles calls for are decoded. All others come Light. The checksum of each is checked, so that damage is found as
// Records finds it; but that the bytes under a right checksum are those of an event is known of whole records alone.
// Whole records share no memory with one another. The result is for one walk.
func (r *Reader) Sparse(n *Needles, after Seq) iter.Seq2[Record, error] {
	return pass{r: r, last: after, recent: true, share: true, needles: n}.records
}

// Raw is Records for whoever copies records: of Event only Seq, Clock and Kind are set, as in Light ones, and Raw is good
// until the next record. Checksums are checked.
func (r *Reader) Raw(after Seq) iter.Seq2[Record, error] {
	return pass{r: r, last: after, recent: true, share: true, raw: true}.records
}

// records yields what the walk visits. It is of a copy, so that each call begins anew.
func (p pass) records(yield func(Record, error) bool) {
	p.visit = func(rec *Record) error {
		if !yield(*rec, nil) {
			return errStopped
		}
		return nil
	}
	if err := p.walk(); err != nil && !errors.Is(err, errStopped) {
		yield(Record{}, err)
	}
}

// copying reads the next entry without decoding it.
func (s *scanner) copying(rec *Record) ([]byte, error) {
	start, end, err := s.frame(s.off)
	if err != nil {
		return nil, err
	}
	raw := s.data[start:end]
	if err := checkRecord(s.id, s.next, raw); err != nil {
		return nil, err
	}
	o := &s.outline
	if !o.head(raw) {
		*o = Outline{Seq: s.next}
	}
	ev := &rec.Event // of which a walk that copies sets nothing else
	ev.Seq, ev.Clock, ev.Kind = o.Seq, o.Clock, o.Kind
	rec.Raw, rec.Light = raw, true
	s.off, s.next = end, s.next+1
	return raw, nil
}

// sparse reads the next entry into a record, whole only if the needles say so. What it returns is the record's
// bytes, good until the next segment is read.
func (s *scanner) sparse(n *Needles, rec *Record) ([]byte, error) {
	start, end, err := s.frame(s.off)
	if err != nil {
		return nil, err
	}
	raw := s.data[start:end]
	var o Outline
	if !o.Read(raw) || n.Whole(&o, raw) {
		raw = slices.Clone(raw)
		*rec = Record{Raw: raw}
		if err := DecodeOwned(&rec.Event, s.id, s.next, raw); err != nil {
			return nil, err
		}
	} else {
		if err := checkRecord(s.id, s.next, raw); err != nil {
			return nil, err
		}
		*rec = Record{Event: Event{Seq: o.Seq, Clock: o.Clock, Kind: o.Kind}, Light: true}
	}
	s.off, s.next = end, s.next+1
	return raw, nil
}

// checkRecord is what decodeRecord checks before it decodes.
func checkRecord(id ID, seq Seq, record []byte) error {
	n := len(record)
	if n < minRecord || n > MaxConfig || n%lengthModulus == 0 {
		return errRecordLen
	}
	if record[n-1] != sentinel {
		return errSentinel
	}
	if record[n-trailerBytes] != msgpcode.Uint32 ||
		binary.BigEndian.Uint32(record[n-trailerBytes+1:]) != checksum(id, seq, record[:n-trailerBytes]) {
		return errChecksum
	}
	if Seq(binary.BigEndian.Uint64(record[4:])) != seq {
		return errSeq
	}
	return nil
}

// edge is the last record of a segment. A sparse read holds it against the first one of the next segment: whole segments of
// another course of the same journal would be taken for its own otherwise.
type edge struct {
	seq  Seq
	hash Hash
}

var errOtherCourse = errors.New("does not continue the event before: another hash")

// prevOf returns the hash that a record names as that of the one before it, zero for one that is too short.
func prevOf(record []byte) (h Hash) {
	const offset = 23 // see docs/FORMAT.md, "Records"
	if len(record) >= offset+len(h) {
		copy(h[:], record[offset:])
	}
	return h
}
