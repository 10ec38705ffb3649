package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// What is wrong with an input. Decoder methods fail with these, and so may what is built on them.
var (
	ErrShort    = errors.New("ends too early")
	ErrShape    = errors.New("unexpected msgpack type")
	ErrNotMin   = errors.New("value is not in its shortest form")
	ErrRange    = errors.New("number out of range")
	ErrAddress  = errors.New("not an address")
	ErrDepth    = errors.New("nested too deep")
	ErrTrailing = errors.New("bytes after the end")
)

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 8

// Decoder reads values one after another. The first error sticks: from there on nothing is
// left to read and the position stays, so callers check once and loops over what was
// promised end by themselves. What a method returns then means nothing.
//
// It is small enough to be a value in its caller's frame; a copy reads on by itself.
type Decoder struct {
	b   []byte
	s   string // the same bytes, or ""
	i   int    // position in both; never behind the end of b
	err error
}

// NewDecoder returns a Decoder at the beginning of b. If text is not "" it must be the same
// bytes: strings are then cut from it, so that all of them cost the one allocation that text did.
func NewDecoder(b []byte, text string) Decoder { return Decoder{b: b, s: text} }

// Err returns the first error, or nil.
func (d *Decoder) Err() error { return d.err }

// Fail notes an error, if it is the first, and leaves nothing to read. err must not be nil.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = d.b[:d.i]
}

// Offset returns how many bytes were read. After an error that is where it was noticed.
func (d *Decoder) Offset() int { return d.i }

// Rest returns what has not been read yet; nothing after an error.
func (d *Decoder) Rest() []byte { return d.b[d.i:] }

// Since returns the bytes from an earlier Offset to here.
func (d *Decoder) Since(offset int) []byte { return d.b[offset:d.i:d.i] }

// End fails with ErrTrailing if anything is left.
func (d *Decoder) End() {
	if d.i < len(d.b) {
		d.Fail(ErrTrailing)
	}
}

// Take reads n bytes that are no value of their own. There is no room to append to them:
// what follows is not theirs.
func (d *Decoder) Take(n int) []byte {
	if uint(n) > uint(len(d.b)-d.i) {
		d.Fail(ErrShort)
		return nil
	}
	v := d.b[d.i : d.i+n : d.i+n]
	d.i += n
	return v
}

// Code reads a byte: the one that a value begins with, or a small number. After the end it
// returns nil's, with which nothing begins that must be there.
func (d *Decoder) Code() byte {
	if d.i >= len(d.b) {
		d.Fail(ErrShort)
		return msgpcode.Nil
	}
	c := d.b[d.i]
	d.i++
	return c
}

// Expect reads a byte that can only be this one.
func (d *Decoder) Expect(code byte) {
	if d.Code() != code {
		d.Fail(ErrShape)
	}
}

// Null passes over a nil, if one is next, and reports whether it was.
func (d *Decoder) Null() bool {
	if d.i < len(d.b) && d.b[d.i] == msgpcode.Nil {
		d.i++
		return true
	}
	return false
}

// Number reads the n bytes of a big-endian number, at most 8, and checks that it needed them: one
// below atLeast has a shorter form.
func (d *Decoder) Number(n int, atLeast uint64) uint64 {
	var v uint64
	if b := d.Take(n); len(b) == 8 {
		v = binary.BigEndian.Uint64(b)
	} else {
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
	}
	if v < atLeast {
		d.Fail(ErrNotMin)
		return 0
	}
	return v
}

// Uint reads what AppendUint wrote.
func (d *Decoder) Uint() uint64 {
	if d.i < len(d.b) && d.b[d.i] <= msgpcode.PosFixedNumHigh { // as nearly always
		d.i++
		return uint64(d.b[d.i-1])
	}
	return d.wide()
}

// wide reads a number that takes more than its first byte.
func (d *Decoder) wide() uint64 {
	switch c := d.Code(); {
	case c == msgpcode.Uint8:
		return d.Number(1, 1<<7)
	case c == msgpcode.Uint16:
		return d.Number(2, 1<<8)
	case c == msgpcode.Uint32:
		return d.Number(4, 1<<16)
	case c == msgpcode.Uint64:
		return d.Number(8, 1<<32)
	}
	d.Fail(ErrShape)
	return 0
}

// AtMost reads what AppendUint wrote and fails with ErrRange if it is over limit.
func (d *Decoder) AtMost(limit uint64) uint64 {
	v := d.Uint()
	if v > limit {
		d.Fail(ErrRange)
		return 0
	}
	return v
}

// Fixed32 reads what AppendFixed32 wrote.
func (d *Decoder) Fixed32() uint32 {
	d.Expect(msgpcode.Uint32)
	return uint32(d.Number(4, 0))
}

// Fixed64 reads what AppendFixed64 wrote with the same code.
func (d *Decoder) Fixed64(code byte) uint64 {
	d.Expect(code)
	return d.Number(8, 0)
}

// Bool reads what AppendBool wrote.
func (d *Decoder) Bool() bool {
	c := d.Code()
	if c != msgpcode.True && c != msgpcode.False {
		d.Fail(ErrShape)
	}
	return c == msgpcode.True
}

// StrBytes reads what AppendString wrote.
func (d *Decoder) StrBytes() []byte {
	switch c := d.Code(); {
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		return d.Take(int(c &^ msgpcode.FixedStrLow))
	case c == msgpcode.Str8:
		return d.Take(int(d.Number(1, 32)))
	case c == msgpcode.Str16:
		return d.Take(int(d.Number(2, 1<<8)))
	}
	d.Fail(ErrShape)
	return nil
}

// Str reads what AppendString wrote: cut from the text if there is one, else a copy.
func (d *Decoder) Str() string {
	if b := d.b[d.i:]; len(b) > 0 && b[0]&^0x1f == msgpcode.FixedStrLow && d.s != "" {
		if end := 1 + int(b[0]&0x1f); end <= len(b) { // the short way for short ones, of which there are many
			d.i += end
			return d.s[d.i-end+1 : d.i]
		}
	}
	v := d.StrBytes()
	if d.s == "" {
		return string(v)
	}
	return d.s[d.i-len(v) : d.i]
}

// Bin reads what AppendBin wrote.
func (d *Decoder) Bin() []byte {
	if b := d.b[d.i:]; len(b) >= 2 && b[0] == msgpcode.Bin8 { // as nearly always
		if end := 2 + int(b[1]); end <= len(b) {
			d.i += end
			return b[2:end:end]
		}
	}
	switch d.Code() {
	case msgpcode.Bin8:
		return d.Take(int(d.Number(1, 0)))
	case msgpcode.Bin16:
		return d.Take(int(d.Number(2, 1<<8)))
	}
	d.Fail(ErrShape)
	return nil
}

// Array reads what AppendArray wrote. Each element takes at least one byte, so the result is never
// more than there are bytes left.
func (d *Decoder) Array() int {
	n := 0
	switch c := d.Code(); {
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		n = int(c &^ msgpcode.FixedArrayLow)
	case c == msgpcode.Array16:
		n = int(d.Number(2, 16))
	default:
		d.Fail(ErrShape)
	}
	if n > len(d.b)-d.i {
		d.Fail(ErrShort)
		return 0
	}
	return n
}

// Tuple reads the head of an array that can only have n elements.
func (d *Decoder) Tuple(n int) {
	if d.Array() != n {
		d.Fail(ErrShape)
	}
}

// Map reads what AppendMap wrote and returns the number of pairs: never more than half of
// the bytes left.
func (d *Decoder) Map() int {
	n := 0
	switch c := d.Code(); {
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		n = int(c &^ msgpcode.FixedMapLow)
	case c == msgpcode.Map16:
		n = int(d.Number(2, 16))
	default:
		d.Fail(ErrShape)
	}
	if 2*n > len(d.b)-d.i {
		d.Fail(ErrShort)
		return 0
	}
	return n
}

// Addr reads an address that must be there. 4in6 is none: it would be a second form of an
// IPv4 address.
func (d *Decoder) Addr() netip.Addr {
	b := d.Bin()
	if len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.Is4In6() {
		d.Fail(ErrAddress)
	}
	return a
}

// AddrOrNil reads what AppendAddr wrote.
func (d *Decoder) AddrOrNil() netip.Addr {
	if d.Null() {
		return netip.Addr{}
	}
	return d.Addr()
}

// Skip passes over one value, with all that is in it, of any type up to 16 bits of length and
// without extensions. It fails with ErrDepth where values are nested deeper than any
// version of the formats nests them. That lengths are in their shortest form is not
// checked: the bytes are kept as they are.
func (d *Decoder) Skip() { d.skip(0) }

func (d *Decoder) skip(depth int) {
	if depth > maxDepth {
		d.Fail(ErrDepth)
		return
	}
	c := d.Code()
	n, values := 0, 0
	switch {
	case c <= msgpcode.PosFixedNumHigh, c >= msgpcode.NegFixedNumLow, c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		n = int(c &^ msgpcode.FixedStrLow)
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		values = int(c &^ msgpcode.FixedArrayLow)
	case c >= msgpcode.FixedMapLow && c <= msgpcode.FixedMapHigh:
		values = 2 * int(c&^msgpcode.FixedMapLow)
	case c == msgpcode.Uint8, c == msgpcode.Int8:
		n = 1
	case c == msgpcode.Uint16, c == msgpcode.Int16:
		n = 2
	case c == msgpcode.Uint32, c == msgpcode.Int32, c == msgpcode.Float:
		n = 4
	case c == msgpcode.Uint64, c == msgpcode.Int64, c == msgpcode.Double:
		n = 8
	case c == msgpcode.Str8, c == msgpcode.Bin8:
		n = int(d.Number(1, 0))
	case c == msgpcode.Str16, c == msgpcode.Bin16:
		n = int(d.Number(2, 0))
	case c == msgpcode.Array16:
		values = int(d.Number(2, 0))
	case c == msgpcode.Map16:
		values = 2 * int(d.Number(2, 0))
	default:
		d.Fail(ErrShape)
	}
	d.Take(n)
	for range values {
		if d.err != nil {
			return
		}
		d.skip(depth + 1)
	}
}
