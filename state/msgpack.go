package state

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The msgpack subset of snapshots, by hand: written in one form only, and read in that
// form only, so that whatever decodes encodes to the same bytes. Lengths are checked
// against what is there before anything is made of them.

var (
	errShort     = errors.New("ends too early")
	errShape     = errors.New("unexpected msgpack type")
	errNotMin    = errors.New("value is not in its shortest form")
	errRange     = errors.New("number out of range")
	errAddress   = errors.New("not an address")
	errTrailing  = errors.New("bytes after the end")
	errOwnerless = errors.New("owner and flags contradict each other")
)

// extUUID is the msgpack extension type of a text that ends in a UUID: its 16 bytes,
// then what stands before it.
const extUUID = 1

const (
	hexIDBytes = 32 // a container ID of 64 hex digits
	uuidBytes  = 16
	uuidText   = 36
)

// appendUint appends a number in its shortest form.
func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, msgpcode.Uint8, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, msgpcode.Uint16), uint16(v))
	case v < 1<<32:
		return appendFixed32(b, uint32(v))
	default:
		return appendFixed64(b, msgpcode.Uint64, v)
	}
}

// appendFixed32 and appendFixed64 keep their width, whatever the value: for fields at
// constant offsets, and for those counted after their place is taken.
func appendFixed32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, msgpcode.Uint32), v)
}

func appendFixed64(b []byte, code byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, code), v)
}

// appendStr appends at most 65535 bytes. Longer strings come from no journal; the
// records that they would spoil are over maxRecord and refused for that.
func appendStr(b []byte, s string) []byte {
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

// appendBin appends at most 255 bytes.
func appendBin(b, v []byte) []byte {
	return append(append(b, msgpcode.Bin8, byte(len(v))), v...)
}

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, msgpcode.FixedArrayLow|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, msgpcode.Array16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, msgpcode.Array32), uint32(n))
	}
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, msgpcode.True)
	}
	return append(b, msgpcode.False)
}

// appendAddr appends 4 or 16 bytes, or nil for the zero Addr.
func appendAddr(b []byte, ip netip.Addr) []byte {
	if !ip.IsValid() {
		return append(b, msgpcode.Nil)
	}
	k := keyOf(ip)
	n := byte(16)
	if k.fam == fam4 {
		n = 4
	}
	return k.append(append(b, msgpcode.Bin8, n))
}

// appendText appends a string in the shortest of three forms: container IDs are
// mostly 64 hex digits, pod UIDs are UUIDs, and the paths of network namespaces end
// in one; as text they would take twice the room.
func appendText(b []byte, s string) []byte {
	if len(s) == 2*hexIDBytes && isHex(s) {
		return appendHex(append(b, msgpcode.Bin8, hexIDBytes), s)
	}
	cut := len(s) - uuidText
	if cut < 0 || !isUUID(s[cut:]) {
		return appendStr(b, s)
	}
	switch n := uuidBytes + cut; {
	case n == uuidBytes:
		b = append(b, msgpcode.FixExt16, extUUID)
	case n < 1<<8:
		b = append(b, msgpcode.Ext8, byte(n), extUUID)
	default:
		b = append(binary.BigEndian.AppendUint16(append(b, msgpcode.Ext16), uint16(n)), extUUID)
	}
	for _, part := range uuidParts {
		b = appendHex(b, s[cut+part[0]:cut+part[1]])
	}
	return append(b, s[:cut]...)
}

// uuidParts are the runs of hex digits in a UUID's 8-4-4-4-12 form.
var uuidParts = [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, uuidText}}

// hexDigits has a bit for each lower-case hex digit, counted from '0'.
const hexDigits = 0x3ff | 0x3f<<('a'-'0')

// isHex has no branch in its loop: which digit comes next is as good as random.
func isHex[T string | []byte](s T) bool {
	ok := uint64(1)
	for i := range len(s) {
		ok &= hexDigits >> (s[i] - '0') // what is below '0' wraps and is shifted out
	}
	return ok == 1
}

// isUUID reports whether s, of uuidText bytes, is a UUID in lower-case hex digits. Others stay
// text, because what is read back must be what was given, letter by letter.
func isUUID[T string | []byte](s T) bool {
	at := 0
	for _, part := range uuidParts {
		if part[0] != at && s[at] != '-' || !isHex(s[part[0]:part[1]]) {
			return false
		}
		at = part[1]
	}
	return true
}

// appendHex appends the bytes of lower-case hex digits that isHex has checked.
func appendHex(b []byte, s string) []byte {
	for i := 0; i < len(s); i += 2 {
		b = append(b, nibble(s[i])<<4|nibble(s[i+1]))
	}
	return b
}

// nibble returns the value of a digit that isHex has checked.
func nibble(c byte) byte { return c&0xf + 9*(c>>6) }

// text is a string in one of the forms of appendText; its bytes belong to the block it was read from.
type text struct {
	form byte // msgpcode.Bin8, msgpcode.FixExt16 or msgpcode.Str8
	b    []byte
}

// appendTo appends the string that was given to appendText.
func (t text) appendTo(b []byte) []byte {
	switch t.form {
	case msgpcode.Bin8:
		return hex.AppendEncode(b, t.b)
	case msgpcode.FixExt16:
		b = append(b, t.b[uuidBytes:]...)
		at := 0
		for i, part := range uuidParts {
			if i > 0 {
				b = append(b, '-')
			}
			n := (part[1] - part[0]) / 2
			b = hex.AppendEncode(b, t.b[at:at+n])
			at += n
		}
		return b
	default:
		return append(b, t.b...)
	}
}

// parser reads values off the front of b. The first error sticks, and everything
// after it is zero, so callers check once.
type parser struct {
	b   []byte
	err error
}

// fail notes the first error and leaves nothing to read, so that loops end by themselves.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.b = nil
}

// take returns the next n bytes, without room to append to: what follows them is not theirs.
func (p *parser) take(n int) []byte {
	if n > len(p.b) {
		p.fail(errShort)
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

// code returns the next byte; after the end nil, which no value that must be there begins with.
func (p *parser) code() byte {
	if len(p.b) == 0 {
		p.fail(errShort)
		return msgpcode.Nil
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

// number reads a big-endian number of n bytes and checks that it needed them.
func (p *parser) number(n int, atLeast uint64) uint64 {
	var v uint64
	for _, c := range p.take(n) {
		v = v<<8 | uint64(c)
	}
	if v < atLeast {
		p.fail(errNotMin)
		return 0
	}
	return v
}

// uint reads what appendUint wrote.
func (p *parser) uint() uint64 {
	switch c := p.code(); {
	case c <= msgpcode.PosFixedNumHigh:
		return uint64(c)
	case c == msgpcode.Uint8:
		return p.number(1, 1<<7)
	case c == msgpcode.Uint16:
		return p.number(2, 1<<8)
	case c == msgpcode.Uint32:
		return p.number(4, 1<<16)
	case c == msgpcode.Uint64:
		return p.number(8, 1<<32)
	}
	p.fail(errShape)
	return 0
}

// atMost reads a number that must not exceed limit.
func (p *parser) atMost(limit uint64) uint64 {
	v := p.uint()
	if v > limit {
		p.fail(errRange)
		return 0
	}
	return v
}

func (p *parser) expect(code byte) {
	if p.code() != code {
		p.fail(errShape)
	}
}

func (p *parser) fixed32() uint32 {
	p.expect(msgpcode.Uint32)
	return uint32(p.number(4, 0))
}

func (p *parser) fixed64(code byte) uint64 {
	p.expect(code)
	return p.number(8, 0)
}

func (p *parser) bool() bool {
	c := p.code()
	if c != msgpcode.True && c != msgpcode.False {
		p.fail(errShape)
	}
	return c == msgpcode.True
}

// null passes over a nil, if one is next.
func (p *parser) null() bool {
	if len(p.b) > 0 && p.b[0] == msgpcode.Nil {
		p.b = p.b[1:]
		return true
	}
	return false
}

// array reads the head of an array; each of its elements takes at least one byte.
func (p *parser) array() int {
	var n uint64
	switch c := p.code(); {
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		n = uint64(c &^ msgpcode.FixedArrayLow)
	case c == msgpcode.Array16:
		n = p.number(2, 16)
	case c == msgpcode.Array32:
		n = p.number(4, 1<<16)
	default:
		p.fail(errShape)
	}
	if n > uint64(len(p.b)) {
		p.fail(errShort)
		return 0
	}
	return int(n)
}

// tuple reads the head of an array that has n elements in every valid file.
func (p *parser) tuple(n int) {
	if p.array() != n {
		p.fail(errShape)
	}
}

// bin reads exactly n bytes, at most 255.
func (p *parser) bin(n int) []byte {
	p.expect(msgpcode.Bin8)
	if c := p.code(); int(c) != n {
		p.fail(errShape)
	}
	return p.take(n)
}

// str reads what appendStr wrote. The bytes belong to the input.
func (p *parser) str() []byte {
	switch c := p.code(); {
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		return p.take(int(c &^ msgpcode.FixedStrLow))
	case c == msgpcode.Str8:
		return p.take(int(p.number(1, 32)))
	case c == msgpcode.Str16:
		return p.take(int(p.number(2, 1<<8)))
	}
	p.fail(errShape)
	return nil
}

// text reads what appendText wrote, and refuses a string that it would have written shorter.
func (p *parser) text() text {
	if len(p.b) == 0 {
		p.fail(errShort)
		return text{}
	}
	switch p.b[0] {
	case msgpcode.Bin8:
		return text{msgpcode.Bin8, p.bin(hexIDBytes)}
	case msgpcode.FixExt16:
		p.code()
		return p.uuid(uuidBytes)
	case msgpcode.Ext8:
		p.code()
		return p.uuid(p.number(1, uuidBytes+1))
	case msgpcode.Ext16:
		p.code()
		return p.uuid(p.number(2, 1<<8))
	}
	s := p.str()
	if cut := len(s) - uuidText; cut >= 0 && isUUID(s[cut:]) || len(s) == 2*hexIDBytes && isHex(s) {
		p.fail(errNotMin)
	}
	return text{msgpcode.Str8, s}
}

// uuid reads the rest of a text of n bytes that ends in a UUID.
func (p *parser) uuid(n uint64) text {
	p.expect(extUUID)
	b := p.take(int(n))
	if len(b) < uuidBytes {
		p.fail(errShort)
		return text{form: msgpcode.Str8}
	}
	return text{msgpcode.FixExt16, b}
}

// key reads an address that must be there.
func (p *parser) key() key {
	p.expect(msgpcode.Bin8)
	n := p.code()
	if n != 4 && n != 16 {
		p.fail(errAddress)
	}
	b := p.take(int(n))
	if p.err != nil {
		return key{}
	}
	k := keyFrom(b)
	if k.mapped() {
		p.fail(errAddress)
	}
	return k
}

// addr reads what appendAddr wrote.
func (p *parser) addr() netip.Addr {
	if p.null() {
		return netip.Addr{}
	}
	if k := p.key(); p.err == nil {
		return k.addr()
	}
	return netip.Addr{}
}
