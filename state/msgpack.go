package state

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

// errOwnerless is of records that are well formed and to which no event leads.
var errOwnerless = errors.New("owner and flags contradict each other")

// extUUID is the msgpack extension type of a text that ends in a UUID: its 16 bytes,
// then what stands before it.
const extUUID = 1

const (
	hexIDBytes = 32 // a container ID of 64 hex digits
	uuidBytes  = 16
	uuidText   = 36
)

// appendArray appends the head of an array of any length: a state may have more cursors than
// any record has elements.
func appendArray(b []byte, n int) []byte {
	if n < 1<<16 {
		return wire.AppendArray(b, n)
	}
	return binary.BigEndian.AppendUint32(append(b, msgpcode.Array32), uint32(n))
}

// appendText appends a string in the shortest of three forms: container IDs are
// mostly 64 hex digits, pod UIDs are UUIDs, and the paths of network namespaces end
// in one; as text they would take twice the room.
func appendText(b []byte, s string) []byte {
	if len(s) == 2*hexIDBytes {
		if packed, ok := appendHex(append(b, msgpcode.Bin8, hexIDBytes), s); ok {
			return packed
		}
	}
	cut := len(s) - uuidText
	if cut < 0 {
		return wire.AppendString(b, s)
	}
	digits, ok := uuidDigits(s[cut:])
	if !ok {
		return wire.AppendString(b, s)
	}
	switch n := uuidBytes + cut; {
	case n == uuidBytes:
		b = append(b, msgpcode.FixExt16, extUUID)
	case n < 1<<8:
		b = append(b, msgpcode.Ext8, byte(n), extUUID)
	default:
		b = append(binary.BigEndian.AppendUint16(append(b, msgpcode.Ext16), uint16(n)), extUUID)
	}
	b, _ = appendHex(b, digits[:])
	return append(b, s[:cut]...)
}

// uuidParts are the runs of hex digits in a UUID's 8-4-4-4-12 form.
var uuidParts = [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, uuidText}}

// everyByte has a one in each byte: times a byte, it is that byte eight times.
const everyByte = 0x0101010101010101

// hexWord returns the bytes of eight lower-case hex digits, false if one of them is something else. It looks at
// all of them at once: there are a hundred in a lease, and which comes next is as good as random.
func hexWord(w uint64) (packed uint32, ok bool) {
	const high = 0x80 * everyByte
	// No sum carries into the byte above, as long as none is beyond ASCII; the high bit of each tells the result.
	digit := (w + (0x80-'0')*everyByte) &^ (w + (0x80-'9'-1)*everyByte)
	letter := (w + (0x80-'a')*everyByte) &^ (w + (0x80-'f'-1)*everyByte)
	ok = w&high == 0 && (digit|letter)&high == high
	w = w&(0x0f*everyByte) + w>>6&everyByte*9 // 'a' is 0x61
	w = (w | w>>4) & 0x00ff00ff00ff00ff
	w = (w | w>>8) & 0x0000ffff0000ffff
	return uint32(w | w>>16), ok
}

// wordAt returns the eight bytes at i, the first in the highest.
func wordAt[T string | []byte](s T, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i])<<56 | uint64(s[i+1])<<48 | uint64(s[i+2])<<40 | uint64(s[i+3])<<32 |
		uint64(s[i+4])<<24 | uint64(s[i+5])<<16 | uint64(s[i+6])<<8 | uint64(s[i+7])
}

// isHex reports whether s, of a multiple of eight bytes, is all lower-case hex digits.
func isHex[T string | []byte](s T) bool {
	all := true
	for i := 0; i+8 <= len(s); i += 8 {
		_, ok := hexWord(wordAt(s, i))
		all = all && ok
	}
	return all
}

// uuidDigits returns the digits of s, of uuidText bytes, and whether it is a UUID in lower-case hex digits. Others stay
// text, because what is read back must be what was given, letter by letter.
func uuidDigits[T string | []byte](s T) (digits [2 * uuidBytes]byte, ok bool) {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return digits, false
	}
	copy(digits[:8], s[:8])
	copy(digits[8:12], s[9:13])
	copy(digits[12:16], s[14:18])
	copy(digits[16:20], s[19:23])
	copy(digits[20:], s[24:uuidText])
	return digits, isHex(digits[:])
}

// isUUID reports whether s, of uuidText bytes, is a UUID in lower-case hex digits.
func isUUID[T string | []byte](s T) bool {
	_, ok := uuidDigits(s)
	return ok
}

// appendHex appends the bytes of lower-case hex digits, a multiple of eight, false if s is something else.
func appendHex[T string | []byte](b []byte, s T) ([]byte, bool) {
	all, n := true, len(b)
	b = slices.Grow(b, len(s)/2)[:n+len(s)/2]
	for i := 0; i+8 <= len(s); i += 8 {
		packed, ok := hexWord(wordAt(s, i))
		binary.BigEndian.PutUint32(b[n+i/2:], packed)
		all = all && ok
	}
	return b, all
}

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

// parser is wire's Decoder with the forms that only snapshots have.
type parser struct{ wire.Decoder }

func newParser(b []byte) parser { return parser{wire.NewDecoder(b, "")} }

// array reads what appendArray wrote; each of the elements takes at least one byte.
func (p *parser) array() int {
	if rest := p.Rest(); len(rest) == 0 || rest[0] != msgpcode.Array32 {
		return p.Array()
	}
	p.Code()
	n := p.Number(4, 1<<16)
	if n > uint64(len(p.Rest())) {
		p.Fail(wire.ErrShort)
		return 0
	}
	return int(n)
}

// tuple reads the head of an array that has n elements in every valid file.
func (p *parser) tuple(n int) {
	if p.array() != n {
		p.Fail(wire.ErrShape)
	}
}

// bin reads exactly n bytes, at most 255.
func (p *parser) bin(n int) []byte {
	p.Expect(msgpcode.Bin8)
	if c := p.Code(); int(c) != n {
		p.Fail(wire.ErrShape)
	}
	return p.Take(n)
}

// text reads what appendText wrote, and refuses a string that it would have written shorter.
func (p *parser) text() text {
	rest := p.Rest()
	if len(rest) == 0 {
		p.Fail(wire.ErrShort)
		return text{}
	}
	switch rest[0] {
	case msgpcode.Bin8:
		return text{msgpcode.Bin8, p.bin(hexIDBytes)}
	case msgpcode.FixExt16:
		p.Code()
		return p.uuid(uuidBytes)
	case msgpcode.Ext8:
		p.Code()
		return p.uuid(p.Number(1, uuidBytes+1))
	case msgpcode.Ext16:
		p.Code()
		return p.uuid(p.Number(2, 1<<8))
	}
	s := p.StrBytes()
	if cut := len(s) - uuidText; cut >= 0 && isUUID(s[cut:]) || len(s) == 2*hexIDBytes && isHex(s) {
		p.Fail(wire.ErrNotMin)
	}
	return text{msgpcode.Str8, s}
}

// uuid reads the rest of a text of n bytes that ends in a UUID.
func (p *parser) uuid(n uint64) text {
	p.Expect(extUUID)
	b := p.Take(int(n))
	if len(b) < uuidBytes {
		p.Fail(wire.ErrShort)
		return text{form: msgpcode.Str8}
	}
	return text{msgpcode.FixExt16, b}
}

// key reads an address that must be there.
func (p *parser) key() key {
	p.Expect(msgpcode.Bin8)
	n := p.Code()
	if n != 4 && n != 16 {
		p.Fail(wire.ErrAddress)
	}
	b := p.Take(int(n))
	if p.Err() != nil {
		return key{}
	}
	k := keyFrom(b)
	if k.mapped() {
		p.Fail(wire.ErrAddress)
	}
	return k
}

// addr reads what wire.AppendAddr wrote.
func (p *parser) addr() netip.Addr {
	if p.Null() {
		return netip.Addr{}
	}
	if k := p.key(); p.Err() == nil {
		return k.addr()
	}
	return netip.Addr{}
}
