package archive

import (
	"encoding/binary"
	"errors"

	"github.com/leaselog/leaselog/journal"
)

// A record's body is cut in two. The identity is what a DEL repeats of its ADD: the fields up to the pod, and the
// addresses. The rest is the trace context, which stands between the two, and what follows. Of each,
// a template has the bytes that many have in common, and holes for the others. Templates are on disk as a row of these operations,
// each with a number; docs/FORMAT.md has them too.
const (
	opLiteral = 0 // n bytes, which follow
	opHex     = 1 // n bytes, as lower-case hex
	opUUID    = 2 // 16 bytes as 8-4-4-4-12
	opSuffix  = 3 // 3 bytes: n letters as Kubernetes makes them up
	opBytes   = 4 // n bytes
	opAddr    = 5 // n bytes, an address of the identity
	opKnown   = 6 // no bytes: the identity's address number n
	opDecimal = 7 // a number, as decimal digits
	opLong    = 8 // its length, and bytes
	opText    = 9 // as opLong, out of the part of the frame that is compressed
	opSplit   = 10
)

// opBytesOnDisk is what an operation takes, the bytes of a literal aside.
const opBytesOnDisk = 3

// suffixLetters are those that Kubernetes makes suffixes of; suffixLen of them fit three bytes.
const (
	suffixLetters = "bcdfghjklmnpqrstvwxz2456789"
	suffixLen     = 5
)

// Sizes that bound a template and what it makes.
const (
	maxTemplate = 8 << 10
	maxKnown    = 16 // addresses of an identity that others may refer to
	minDigits   = 4
	maxDigits   = 18
	minHex      = 16 // letters
	longText    = 96 // a text without a hole that is longer is no template's
)

// tokens makes a template and the bytes for its holes.
type tokens struct {
	tmpl    []byte
	literal int // where the length of the literal that is being made stands in tmpl; 0 if none is
	vars    []byte
	text    *[]byte // of the frame; nil where there is none
	known   [][]byte
	fields  int
}

// shapeHead is how many bytes the template of a rest has that are no operations: kind, and whether the clock was
// synchronised. That of an identity has none.
const shapeHead = 2

// reset begins a template with some bytes that are no operations.
func (t *tokens) reset(head ...byte) {
	t.tmpl = append(append(t.tmpl[:0], 0, byte(len(head))), head...)
	t.literal, t.vars, t.known, t.fields = 0, t.vars[:0], t.known[:0], 0
}

// done returns the template, whose first byte is the number of fields.
func (t *tokens) done() []byte {
	t.tmpl[0] = byte(t.fields)
	return t.tmpl
}

func (t *tokens) op(code byte, n int) {
	t.literal = 0
	t.tmpl = append(t.tmpl, code, byte(n>>8), byte(n))
}

func (t *tokens) lit(b ...byte) {
	if len(b) == 0 {
		return
	}
	if t.literal == 0 {
		t.op(opLiteral, 0)
		t.literal = len(t.tmpl) - 2
	}
	t.tmpl = append(t.tmpl, b...)
	binary.BigEndian.PutUint16(t.tmpl[t.literal:], uint16(len(t.tmpl)-t.literal-2))
}

func (t *tokens) bytes(b []byte) {
	t.op(opBytes, len(b))
	t.vars = append(t.vars, b...)
}

// long makes a hole for bytes of any number.
func (t *tokens) long(b []byte) {
	t.op(opLong, 0)
	t.vars = append(binary.AppendUvarint(t.vars, uint64(len(b))), b...)
}

// identity makes the template of the identity of a record.
func (t *tokens) identity(raw []byte, o *journal.Outline) {
	t.reset()
	for field := 1; field <= 4; field++ {
		s := o.Fields[field]
		if s.End == 0 {
			continue
		}
		t.fields++
		t.lit(byte(field))
		switch field {
		case 4:
			t.pod(raw[s.Start:s.End])
		default:
			head, b := splitString(raw[s.Start:s.End])
			t.name(head, b, field == 1)
		}
	}
	t.op(opSplit, 0)
	if s := o.Fields[journal.OutlineAddresses]; s.End != 0 {
		t.fields++
		t.addresses(raw[s.Start-1 : s.End])
	}
}

// name makes holes in a string, or one hole of it if it is of no form that is known.
func (t *tokens) name(head, b []byte, whole bool) {
	if whole && len(b) >= minHex {
		if vars, ok := allHex(t.vars, b); ok {
			t.lit(head...)
			t.op(opHex, len(b)/2)
			t.vars = vars
			return
		}
	}
	if whole && !(len(b) >= minHex && len(b)%2 == 0 && hexRun(b) == len(b)) || len(b) > longText && hexRun(b) != len(b) {
		t.long(append(head[:len(head):len(head)], b...))
		return
	}
	t.lit(head...)
	t.string(b)
}

// pod makes the template of namespace, name and UID.
func (t *tokens) pod(b []byte) {
	t.lit(b[0])
	b = b[1:]
	for i := range 3 {
		head, s := splitString(b)
		b = b[len(head)+len(s):]
		cut := len(s)
		if i == 1 {
			for cut = len(s); cut > 0 && s[cut-1] != '-'; cut-- {
			}
		}
		if i != 1 || cut == 0 || len(s)-cut > 64 {
			t.name(head, s, i == 2 && len(s) != uuidLen)
			continue
		}
		t.lit(head...)
		t.string(s[:cut])
		t.suffix(s[cut:])
	}
}

// suffix makes a hole of what stands behind the last hyphen of a pod's name.
func (t *tokens) suffix(b []byte) {
	if v := suffixValue(b); v >= 0 {
		t.op(opSuffix, suffixLen)
		t.vars = append(t.vars, byte(v>>16), byte(v>>8), byte(v))
		return
	}
	if len(b) > 0 {
		t.bytes(b)
	}
}

// suffixDigits has the place of each byte among suffixLetters, and noDigit for all others.
const suffixDigits = "" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\x14\xff\x15\x16\x17\x18\x19\x1a\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\x00\x01\x02\xff\x03\x04\x05\xff\x06\x07\x08\x09\x0a\xff" +
	"\x0b\x0c\x0d\x0e\x0f\xff\x10\x11\x12\xff\x13\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// suffixValue returns what a suffix is as a number, its lowest digit first, or -1 if it is not made of suffixLen letters.
func suffixValue(b []byte) int {
	if len(b) != suffixLen {
		return -1
	}
	v := 0
	for i := len(b) - 1; i >= 0; i-- {
		d := suffixDigits[b[i]]
		if d == noDigit {
			return -1
		}
		v = v*len(suffixLetters) + int(d)
	}
	return v
}

// string makes holes for what looks random or counted.
func (t *tokens) string(b []byte) {
	plain := 0 // from here on no hole has been made
	for at := 0; at < len(b); {
		if !isHex(b[at]) {
			at++
			continue
		}
		if vars, ok := appendUUID(t.vars, b[at:]); ok {
			t.lit(b[plain:at]...)
			t.op(opUUID, 16)
			t.vars = vars
			at += uuidLen
			plain = at
			continue
		}
		run, digits := hexRun(b[at:]), 0
		if run >= minDigits {
			digits = decimalRun(b[at : at+run])
		}
		end := at + run
		switch {
		case run >= minHex:
			run &^= 1
			t.lit(b[plain:at]...)
			t.op(opHex, run/2)
			end = at + run
			t.vars = appendHex(t.vars, b[at:end])
			plain = end
		case digits >= minDigits && digits <= maxDigits && b[at] != '0':
			t.lit(b[plain:at]...)
			end = at + digits
			t.decimal(b[at:end])
			plain = end
		case digits > 0:
			end = at + digits
		}
		at = end
	}
	t.lit(b[plain:]...)
}

func (t *tokens) decimal(b []byte) {
	t.op(opDecimal, 0)
	t.vars = binary.AppendUvarint(t.vars, decimalValue(b))
}

// decimalValue returns the number that decimal digits are, at most maxDigits of them.
func decimalValue(digits []byte) (v uint64) {
	for _, c := range digits {
		v = v*10 + uint64(c-'0')
	}
	return v
}

// splitString returns the head of a msgpack string and what it holds.
func splitString(b []byte) (head, s []byte) {
	n, w := 0, 1
	switch {
	case len(b) == 0:
		return nil, nil
	case b[0] >= 0xa0 && b[0] <= 0xbf:
		n = int(b[0] & 0x1f)
	case b[0] == 0xd9 && len(b) > 1:
		n, w = int(b[1]), 2
	case b[0] == 0xda && len(b) > 2:
		n, w = int(binary.BigEndian.Uint16(b[1:])), 3
	}
	if n > len(b)-w {
		n = len(b) - w
	}
	return b[:w], b[w : w+n]
}

// eachAddress calls fn with each address of field 6, which begins with its key. It stops where the field isn't made
// as it should be, and returns where that is: its end if it is.
func eachAddress(b []byte, fn func(ip []byte)) int {
	if len(b) == 0 {
		return 0
	}
	for at := 1 + journal.SkipHead(b[1:]); at < len(b); {
		start := at + journal.SkipHead(b[at:]) // of the four
		start = journal.SkipValue(b, start)    // range set
		if start < 0 || start+1 >= len(b) || b[start] != 0xc4 || start+2+int(b[start+1]) > len(b) {
			return at
		}
		end := start + 2 + int(b[start+1])
		next := journal.SkipValue(b, journal.SkipValue(b, end))
		if next < 0 {
			return at
		}
		fn(b[start+2 : end])
		at = next
	}
	return len(b)
}

// appendKnown appends the addresses of field 6.
func appendKnown(known [][]byte, b []byte) [][]byte {
	eachAddress(b, func(ip []byte) { known = append(known, ip) })
	return known
}

// addresses makes holes for the addresses of field 6 and leaves what is around them, the gateways too, to the template:
// those are the same for many.
func (t *tokens) addresses(b []byte) {
	rest := b
	eachAddress(b, func(ip []byte) {
		at := cap(rest) - cap(ip) // both end where the record does
		t.lit(rest[:at]...)
		t.op(opAddr, len(ip))
		t.vars = append(t.vars, ip...)
		rest = rest[at+len(ip):]
	})
	t.lit(rest...)
}

// rest makes the template of what is not the identity. known are the addresses of that.
func (t *tokens) rest(raw []byte, o *journal.Outline, known [][]byte) {
	t.fields = 0
	t.known = append(t.known[:0], known[:min(len(known), maxKnown)]...)
	if s := o.Fields[5]; s.End != 0 {
		t.fields++
		t.lit(5)
		head, b := splitString(raw[s.Start:s.End])
		t.name(head, b, false)
	}
	t.op(opSplit, 0)
	for at := afterIdentity(raw, o); at < o.Tail; {
		end := journal.SkipValue(raw[:o.Tail], at+1)
		t.fields++
		t.lit(raw[at])
		switch raw[at] {
		case 7, 8, 9, 14, 17, 22:
			t.value(raw[at+1 : end])
		default:
			t.op(opText, 0)
			*t.text = append(binary.AppendUvarint(*t.text, uint64(end-at-1)), raw[at+1:end]...)
		}
		at = end
	}
}

// afterIdentity returns where the fields begin that stand behind the identity.
func afterIdentity(raw []byte, o *journal.Outline) int {
	from := o.Body + journal.SkipHead(raw[o.Body:])
	for field := 1; field <= journal.OutlineAddresses; field++ {
		from = max(from, o.Fields[field].End)
	}
	return from
}

// value makes the template of a value of numbers, addresses and short texts.
func (t *tokens) value(b []byte) {
	for at := 0; at < len(b); {
		n := 1
		switch c := b[at]; {
		case c >= 0xa0 && c <= 0xbf || c == 0xd9 || c == 0xda:
			head, s := splitString(b[at:])
			t.name(head, s, false)
			at += len(head) + len(s)
			continue
		case c == 0xc4 && at+1 < len(b):
			n = 2 + int(b[at+1])
			t.lit(b[at : at+2]...)
			t.bin(b[at+2 : min(at+n, len(b))])
			at += n
			continue
		case c == 0xcf || c == 0xd3:
			n = 9
		case c == 0xce:
			n = 5
		case c == 0xcd:
			n = 3
		case c == 0xcc:
			n = 2
		}
		n = min(n, len(b)-at)
		if t.lit(b[at]); n > 3 {
			t.bytes(b[at+1 : at+n])
		} else {
			t.lit(b[at+1 : at+n]...)
		}
		at += n
	}
}

func (t *tokens) bin(b []byte) {
	for i, k := range t.known {
		if string(k) == string(b) {
			t.op(opKnown, i)
			return
		}
	}
	t.bytes(b)
}

// template is one that was read.
type template struct {
	head   []byte // what stands before the operations, but for the number of fields
	fields int
	first  []byte // operations, all of them whole: those of the first half
	second []byte // and of the second
}

var errTemplate = errors.New("not a template")

// parseTemplate reads a template: the number of fields, how many bytes follow that are no operations, these, and the
// operations.
func parseTemplate(b []byte) (*template, error) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return nil, errTemplate
	}
	t := &template{fields: int(b[0]), head: b[2 : 2+int(b[1])]}
	ops, split := b[2+len(t.head):], -1
	for at := 0; at < len(ops); {
		if len(ops)-at < opBytesOnDisk {
			return nil, errTemplate
		}
		code, n := opAt(ops[at:])
		at += opBytesOnDisk
		switch {
		case code == opLiteral:
			if at += n; at > len(ops) {
				return nil, errTemplate
			}
		case code == opSplit && split < 0:
			split = at
		case code >= opSplit || n > maxTemplate:
			return nil, errTemplate
		}
	}
	if split < 0 {
		return nil, errTemplate
	}
	t.first, t.second = ops[:split-opBytesOnDisk], ops[split:]
	return t, nil
}

// opAt returns the operation that ops begins with.
func opAt(ops []byte) (code byte, n int) { return ops[0], int(ops[1])<<8 | int(ops[2]) }

// filler puts values into the holes of templates.
type filler struct {
	known  [maxKnown][2]int // where the identity's addresses stand in what is being made
	knownN int
}

var errHole = errors.New("ends within a value")

// fill appends what the operations make to dst. It returns what is left of vars and text.
func (f *filler) fill(dst, ops, vars, text []byte) (out, varsLeft, textLeft []byte, err error) {
	for len(ops) > 0 {
		code, n := opAt(ops)
		ops = ops[opBytesOnDisk:]
		size := n // of the hole in vars
		switch code {
		case opLiteral:
			dst, ops = append(dst, ops[:n]...), ops[n:]
			continue
		case opKnown:
			if n >= f.knownN {
				return dst, vars, text, errHole
			}
			dst = append(dst, dst[f.known[n][0]:f.known[n][1]]...)
			continue
		case opDecimal:
			v, w := binary.Uvarint(vars)
			if w <= 0 {
				return dst, vars, text, errHole
			}
			dst, vars = appendDecimal(dst, v), vars[w:]
			continue
		case opLong:
			v, w := binary.Uvarint(vars)
			if w <= 0 || v > uint64(len(vars)-w) {
				return dst, vars, text, errHole
			}
			dst, vars = append(dst, vars[w:w+int(v)]...), vars[w+int(v):]
			continue
		case opText:
			v, w := binary.Uvarint(text)
			if w <= 0 || v > uint64(len(text)-w) {
				return dst, vars, text, errHole
			}
			dst, text = append(dst, text[w:w+int(v)]...), text[w+int(v):]
			continue
		case opUUID:
			size = 16
		case opSuffix:
			size = 3
		}
		if size > len(vars) {
			return dst, vars, text, errHole
		}
		dst = f.hole(dst, code, vars[:size])
		vars = vars[size:]
	}
	return dst, vars, text, nil
}

// hole appends what an operation makes of its bytes.
func (f *filler) hole(dst []byte, code byte, b []byte) []byte {
	switch code {
	case opHex:
		return appendDigits(dst, b)
	case opUUID:
		return appendUUIDText(dst, b)
	case opSuffix:
		v := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		for range suffixLen {
			dst = append(dst, suffixLetters[v%len(suffixLetters)])
			v /= len(suffixLetters)
		}
		return dst
	case opAddr:
		if f.knownN < maxKnown {
			f.known[f.knownN] = [2]int{len(dst), len(dst) + len(b)}
			f.knownN++
		}
	}
	return append(dst, b...)
}

func appendDecimal(dst []byte, v uint64) []byte {
	var room [20]byte
	i := len(room)
	for {
		i--
		room[i] = byte('0' + v%10)
		if v /= 10; v == 0 {
			return append(dst, room[i:]...)
		}
	}
}
