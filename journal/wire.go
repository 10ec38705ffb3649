package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The msgpack subset of records, written and read by hand: the decoder accepts only
// the shortest form of each value, so that whatever decodes encodes to the same bytes,
// and it never allocates by a length that it has not checked against what is there.

var (
	errShort     = errors.New("ends too early")
	errShape     = errors.New("unexpected msgpack type")
	errNotMin    = errors.New("value is not in its shortest form")
	errEmpty     = errors.New("empty value where absence is meant")
	errAddress   = errors.New("not an address")
	errDepth     = errors.New("nested too deep")
	errRange     = errors.New("number out of range")
	errPadding   = errors.New("padding is wrong")
	errOrder     = errors.New("keys out of order")
	errTrailing  = errors.New("bytes after the end")
	errSentinel  = errors.New("last byte is wrong")
	errChecksum  = errors.New("checksum does not match")
	errSeq       = errors.New("sequence number is not the one that belongs here")
	errRecordLen = errors.New("impossible record length")

	errNotAcknowledged = errors.New("is not the event that was acknowledged under this number")
)

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, msgpcode.Uint8, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, msgpcode.Uint16), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, msgpcode.Uint32), uint32(v))
	default:
		return appendFixed64(b, msgpcode.Uint64, v)
	}
}

// appendFixed64 appends a number in its 9-byte form, whatever its value: for the fields at constant offsets.
func appendFixed64(b []byte, code byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, code), v)
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, msgpcode.FixedStrLow|byte(n))
	case n < 1<<8:
		b = append(b, msgpcode.Str8, byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, msgpcode.Str16), uint16(n))
	}
	return append(b, s...)
}

func appendBin(b, v []byte) []byte {
	if n := len(v); n < 1<<8 {
		b = append(b, msgpcode.Bin8, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, msgpcode.Bin16), uint16(n))
	}
	return append(b, v...)
}

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, msgpcode.FixedArrayLow|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, msgpcode.Array16), uint16(n))
}

func appendMap(b []byte, n int) []byte {
	if n < 16 {
		return append(b, msgpcode.FixedMapLow|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, msgpcode.Map16), uint16(n))
}

// appendAddr appends 4 or 16 bytes, or nil for the zero Addr.
func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		v := a.As4()
		return appendBin(b, v[:])
	case a.IsValid():
		v := a.As16()
		return appendBin(b, v[:])
	default:
		return append(b, msgpcode.Nil)
	}
}

// decoder reads values from b, whose text form s is the same bytes: strings are cut
// from s, so a whole segment costs one allocation. The first error sticks.
type decoder struct {
	b   []byte
	s   string
	i   int
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d: %w", d.i, err)
	}
}

// take returns the start of the next n bytes, or fails and returns -1.
func (d *decoder) take(n int) int {
	if d.err != nil {
		return -1
	}
	if n < 0 || n > len(d.b)-d.i {
		d.fail(errShort)
		return -1
	}
	i := d.i
	d.i += n
	return i
}

func (d *decoder) code() byte {
	if i := d.take(1); i >= 0 {
		return d.b[i]
	}
	return msgpcode.Nil
}

// number reads a big-endian number of n bytes and checks that it needed them.
func (d *decoder) number(n int, atLeast uint64) uint64 {
	i := d.take(n)
	if i < 0 {
		return 0
	}
	var v uint64
	for _, c := range d.b[i : i+n] {
		v = v<<8 | uint64(c)
	}
	if v < atLeast {
		d.fail(errNotMin)
	}
	return v
}

func (d *decoder) uint() uint64 {
	switch c := d.code(); {
	case c <= msgpcode.PosFixedNumHigh:
		return uint64(c)
	case c == msgpcode.Uint8:
		return d.number(1, 1<<7)
	case c == msgpcode.Uint16:
		return d.number(2, 1<<8)
	case c == msgpcode.Uint32:
		return d.number(4, 1<<16)
	case c == msgpcode.Uint64:
		return d.number(8, 1<<32)
	}
	d.fail(errShape)
	return 0
}

// small reads a number of at most limit.
func (d *decoder) small(limit uint64) int {
	v := d.uint()
	if v > limit {
		d.fail(errRange)
		return 0
	}
	return int(v)
}

func (d *decoder) fixed64(code byte) uint64 {
	if d.code() != code {
		d.fail(errShape)
	}
	return d.number(8, 0)
}

func (d *decoder) bool() bool {
	c := d.code()
	if c != msgpcode.True && c != msgpcode.False {
		d.fail(errShape)
	}
	return c == msgpcode.True
}

func (d *decoder) string() string {
	n := 0
	switch c := d.code(); {
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		n = int(c &^ msgpcode.FixedStrLow)
	case c == msgpcode.Str8:
		n = int(d.number(1, 32))
	case c == msgpcode.Str16:
		n = int(d.number(2, 1<<8))
	default:
		d.fail(errShape)
	}
	if i := d.take(n); i >= 0 {
		return d.s[i : i+n]
	}
	return ""
}

// nonEmpty reads a string that would have been left out if it were empty.
func (d *decoder) nonEmpty() string {
	s := d.string()
	if s == "" {
		d.fail(errEmpty)
	}
	return s
}

// bin returns bytes that share memory with the input.
func (d *decoder) bin() []byte {
	n := 0
	switch d.code() {
	case msgpcode.Bin8:
		n = int(d.number(1, 0))
	case msgpcode.Bin16:
		n = int(d.number(2, 1<<8))
	default:
		d.fail(errShape)
	}
	if i := d.take(n); i >= 0 {
		return d.b[i : i+n]
	}
	return nil
}

func (d *decoder) bytes(dst []byte) {
	if v := d.bin(); len(v) == len(dst) {
		copy(dst, v)
	} else {
		d.fail(errShape)
	}
}

// array returns the number of elements, each of which takes at least one byte.
func (d *decoder) array() int {
	n := 0
	switch c := d.code(); {
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		n = int(c &^ msgpcode.FixedArrayLow)
	case c == msgpcode.Array16:
		n = int(d.number(2, 16))
	default:
		d.fail(errShape)
	}
	if n > len(d.b)-d.i {
		d.fail(errShort)
	}
	if d.err != nil {
		return 0
	}
	return n
}

// filled reads the length of an array that would have been left out if it were empty.
func (d *decoder) filled() int {
	n := d.array()
	if n == 0 {
		d.fail(errEmpty)
	}
	return n
}

// tuple reads the head of an array of exactly n elements.
func (d *decoder) tuple(n int) {
	if d.array() != n {
		d.fail(errShape)
	}
}

func (d *decoder) mapLen() int {
	n := 0
	switch c := d.code(); {
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		n = int(c &^ msgpcode.FixedMapLow)
	case c == msgpcode.Map16:
		n = int(d.number(2, 16))
	default:
		d.fail(errShape)
	}
	if 2*n > len(d.b)-d.i {
		d.fail(errShort)
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) addr() netip.Addr {
	a, ok := netip.AddrFromSlice(d.bin())
	if d.err == nil && (!ok || a.Is4In6()) {
		d.fail(errAddress)
	}
	return a
}

// addrOrNil reads what appendAddr wrote.
func (d *decoder) addrOrNil() netip.Addr {
	if d.err == nil && d.i < len(d.b) && d.b[d.i] == msgpcode.Nil {
		d.i++
		return netip.Addr{}
	}
	return d.addr()
}

// maxDepth bounds the nesting of values that this version doesn't know.
const maxDepth = 8

// skip passes over one value of any type.
func (d *decoder) skip(depth int) {
	if depth > maxDepth {
		d.fail(errDepth)
		return
	}
	c := d.code()
	if d.err != nil {
		return
	}
	n, pairs := 0, 0
	switch {
	case c <= msgpcode.PosFixedNumHigh, c >= msgpcode.NegFixedNumLow, c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		n = int(c &^ msgpcode.FixedStrLow)
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		pairs = int(c &^ msgpcode.FixedArrayLow)
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		pairs = 2 * int(c&^msgpcode.FixedMapLow)
	case c == msgpcode.Uint8, c == msgpcode.Int8:
		n = 1
	case c == msgpcode.Uint16, c == msgpcode.Int16:
		n = 2
	case c == msgpcode.Uint32, c == msgpcode.Int32, c == msgpcode.Float:
		n = 4
	case c == msgpcode.Uint64, c == msgpcode.Int64, c == msgpcode.Double:
		n = 8
	case c == msgpcode.Str8, c == msgpcode.Bin8:
		n = int(d.number(1, 0))
	case c == msgpcode.Str16, c == msgpcode.Bin16:
		n = int(d.number(2, 0))
	case c == msgpcode.Array16:
		pairs = int(d.number(2, 0))
	case c == msgpcode.Map16:
		pairs = 2 * int(d.number(2, 0))
	default:
		d.fail(errShape)
	}
	d.take(n)
	for range pairs {
		if d.err != nil {
			return
		}
		d.skip(depth + 1)
	}
}
