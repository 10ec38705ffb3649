package journal

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

// Span is where a field's value stands in a record: from Start, and before End. The zero Span is that of a field
// that isn't there.
type Span struct{ Start, End int }

// Outline is what a record says by the places of its parts, without decoding them: the fixed ones, and where the
// fields of the body are. It is for records that have been checked already, or are about to be.
type Outline struct {
	Seq, Synced Seq
	Clock       Clock
	Kind        Kind
	Body        int                      // where the body's map begins
	Tail        int                      // where it ends
	Fields      [lastKnownField + 1]Span // by number, values without their keys
	Unknown     bool                     // there are body fields that this version would have to know, and doesn't
}

// The numbers of body fields that a reader of outlines asks for; docs/FORMAT.md has them all.
const (
	OutlineContainerID = fieldContainerID
	OutlinePod         = fieldPod
	OutlineTraceParent = fieldTraceParent
	OutlineAddresses   = fieldAddresses
	OutlineReason      = fieldReason
	OutlineRequested   = fieldRequested
	OutlineConfig      = fieldConfig
	OutlineRanges      = fieldRanges
	OutlineDropped     = fieldDropped
)

// AppendHead appends what stands before the body in the record of an event with these fixed parts, as it is
// without padding.
func (o *Outline) AppendHead(dst []byte, prev *Hash) []byte {
	dst = append(dst, msgpcode.FixedArrayLow|3, msgpcode.FixedArrayLow|recordFields, recordVersion)
	dst = wire.AppendFixed64(dst, msgpcode.Uint64, uint64(o.Seq))
	dst = wire.AppendFixed64(dst, msgpcode.Uint64, uint64(o.Synced))
	dst = wire.AppendBin(dst, prev[:])
	dst = wire.AppendFixed64(dst, msgpcode.Int64, uint64(o.Clock.Wall))
	dst = wire.AppendFixed64(dst, msgpcode.Int64, uint64(o.Clock.BootTime))
	dst = wire.AppendBin(dst, o.Clock.Boot[:])
	dst = wire.AppendBool(dst, o.Clock.Synchronised)
	dst = wire.AppendUint(dst, uint64(max(o.Clock.MaxError, 0)/time.Microsecond))
	return append(dst, byte(o.Kind))
}

// CompleteRecord makes a record of an event's head and body: it begins at start in dst. It adds the padding where the record's
// length needs it, and the checksum.
func CompleteRecord(dst []byte, start int, id ID, seq Seq) []byte {
	if (len(dst)-start+trailerBytes)%lengthModulus == 0 {
		dst[start+1]++
		dst = append(dst, msgpcode.Nil)
	}
	crc := checksum(id, seq, dst[start:])
	return append(binary.BigEndian.AppendUint32(append(dst, msgpcode.Uint32), crc), sentinel)
}

// CheckRecord returns why bytes can't be the record of event seq of a journal. What stands under its checksum it doesn't
// look at: that is DecodeRecord's.
func CheckRecord(id ID, seq Seq, record []byte) error { return checkRecord(id, seq, record) }

// DecodeOwned is DecodeRecord for bytes that nobody changes any more: the event's strings share them. Its addresses and cursors are
// written over those that are in ev. After an error ev means nothing.
func DecodeOwned(ev *Event, id ID, seq Seq, record []byte) error {
	return decodeRecord(ev, id, seq, record, unsafe.String(unsafe.SliceData(record), len(record)))
}

// Read sets the outline to a record's. It returns false where the record isn't laid out as AppendRecord lays it
// out: then only decoding it tells what it is, and Fields mean nothing. It allocates nothing.
func (o *Outline) Read(record []byte) bool {
	return o.head(record) && o.fields(record[:len(record)-trailerBytes])
}

// head reads the fixed parts.
func (o *Outline) head(record []byte) bool {
	o.Seq, o.Synced, o.Clock, o.Kind, o.Body, o.Tail, o.Unknown = 0, 0, Clock{}, 0, 0, 0, false
	if len(record) < minRecord || record[0] != msgpcode.FixedArrayLow|3 || record[2] != recordVersion {
		return false
	}
	b := record[:len(record)-trailerBytes]
	o.Seq = Seq(binary.BigEndian.Uint64(b[4:]))
	o.Synced = Seq(binary.BigEndian.Uint64(b[13:]))
	o.Clock.Wall = int64(binary.BigEndian.Uint64(b[56:]))
	o.Clock.BootTime = int64(binary.BigEndian.Uint64(b[65:]))
	copy(o.Clock.Boot[:], b[75:headerBytes])
	o.Clock.Synchronised = b[headerBytes] == msgpcode.True
	v, at, ok := number(b, headerBytes+1)
	if !ok || at >= len(b) || v > 1<<40 {
		return false
	}
	o.Clock.MaxError = time.Duration(v) * time.Microsecond
	if o.Kind = Kind(b[at]); o.Kind > maxField {
		return false
	}
	o.Body = at + 1
	return true
}

// fields finds the fields of the body.
func (o *Outline) fields(b []byte) bool {
	clear(o.Fields[:])
	at := o.Body
	if at >= len(b) {
		return false
	}
	var n int
	switch c := b[at]; {
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		n, at = int(c&0xf), at+1
	case c == msgpcode.Map16 && at+3 <= len(b):
		n, at = int(binary.BigEndian.Uint16(b[at+1:])), at+3
	default:
		return false
	}
	for range n {
		if at >= len(b) {
			return false
		}
		key := b[at]
		end := skipValue(b, at+1, 0)
		if end < 0 {
			return false
		}
		if int(key) <= lastKnownField {
			o.Fields[key] = Span{at + 1, end}
		} else if key < firstSkippable {
			o.Unknown = true
		}
		at = end
	}
	o.Tail = at
	return true
}

// Number returns a field that is a number, 0 if it isn't there.
func (o *Outline) Number(record []byte, field int) uint64 {
	if s := o.Fields[field]; s.End > s.Start {
		v, _, _ := number(record, s.Start)
		return v
	}
	return 0
}

// number reads an unsigned number at a place, and returns where it ends.
func number(b []byte, at int) (v uint64, end int, ok bool) {
	if at >= len(b) {
		return 0, at, false
	}
	c := b[at]
	if c <= msgpcode.PosFixedNumHigh {
		return uint64(c), at + 1, true
	}
	if c < msgpcode.Uint8 || c > msgpcode.Uint64 {
		return 0, at, false
	}
	n := 1 << (c - msgpcode.Uint8)
	if at+1+n > len(b) {
		return 0, at, false
	}
	for _, x := range b[at+1 : at+1+n] {
		v = v<<8 | uint64(x)
	}
	return v, at + 1 + n, true
}

// SkipValue returns where the msgpack value at a place of b ends, -1 where none does.
func SkipValue(b []byte, at int) int { return skipValue(b, at, 0) }

// SkipHead returns how long the head of the array or map is that b begins with.
func SkipHead(b []byte) int {
	if len(b) > 2 && (b[0] == msgpcode.Array16 || b[0] == msgpcode.Map16) {
		return 3
	}
	return min(1, len(b))
}

// skipDepth bounds the nesting of values that are passed over.
const skipDepth = 8

// skipValue returns where the msgpack value at a place ends, -1 where none does.
func skipValue(b []byte, at, depth int) int {
	if at < 0 || at >= len(b) || depth > skipDepth {
		return -1
	}
	c := b[at]
	if n := int(valueBytes[c]); n > 0 {
		if n > len(b)-at {
			return -1
		}
		return at + n
	}
	at++
	values := 0
	switch {
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		values = int(c & 0xf)
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		values = 2 * int(c&0xf)
	default:
		return skipSized(b, c, at, depth)
	}
	for range values {
		if at = skipValue(b, at, depth+1); at < 0 {
			return -1
		}
	}
	return at
}

// valueBytes has, for each byte that a msgpack value begins with, how many bytes it takes if that byte alone says so: numbers, nil, booleans and
// short strings. 0 is for all others.
const valueBytes = "" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10" +
	"\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20" +
	"\x01\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x03\x05\x09" +
	"\x02\x03\x05\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"

// skipSized is skipValue for what has its length behind the code; at is there.
func skipSized(b []byte, c byte, at, depth int) int {
	width, each := 0, 0
	switch c {
	case msgpcode.Bin8, msgpcode.Str8:
		width = 1
	case msgpcode.Bin16, msgpcode.Str16:
		width = 2
	case msgpcode.Bin32, msgpcode.Str32:
		width = 4
	case msgpcode.Array16:
		width, each = 2, 1
	case msgpcode.Array32:
		width, each = 4, 1
	case msgpcode.Map16:
		width, each = 2, 2
	case msgpcode.Map32:
		width, each = 4, 2
	default:
		return -1
	}
	if width > len(b)-at {
		return -1
	}
	n := 0
	for _, x := range b[at : at+width] {
		n = n<<8 | int(x)
	}
	at += width
	if each == 0 {
		if n > len(b)-at {
			return -1
		}
		return at + n
	}
	if n > len(b)-at { // each value takes a byte at least
		return -1
	}
	for range n * each {
		if at = skipValue(b, at, depth+1); at < 0 {
			return -1
		}
	}
	return at
}
