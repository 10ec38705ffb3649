package archive

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/leaselog/leaselog/journal"
)

// Most records are laid out as one that came shortly before. So the template of that is tried first: whether what it makes
// would be these bytes. It costs a fifth of making a template anew and looking for its number.

// recentSlots is how many templates are remembered, of identities and of rests each. Those of one slot replace each other: there are some
// thousands in a file where pods come and go.
const (
	recentBits  = 12
	recentSlots = 1 << recentBits
)

// recent remembers templates by what records that share one have in common.
type recent struct {
	slots [recentSlots]recentTemplate
	vars  []byte // for the holes of what matched last
}

type recentTemplate struct {
	number uint32 // 0: none is remembered
	bytes  string // as it is on disk
}

// hasHead reports whether the template is of a rest with this head. Identities have none.
func (t *recentTemplate) hasHead(kind, synchronised byte) bool {
	return t.number != 0 && t.bytes[1] == shapeHead && t.bytes[2] == kind && t.bytes[3] == synchronised
}

// slot returns the place for a hash.
func (r *recent) slot(hash uint64) *recentTemplate { return &r.slots[hash>>(64-recentBits)] }

// match reports whether the template makes first by the first half of its operations and second by the other. If so the bytes
// for its holes are in r.vars. It is false too where another template would spare bytes, or has holes for texts. known are the addresses
// that the operations may refer to.
func (r *recent) match(t *recentTemplate, first, second []byte, known [][]byte) bool {
	if t.number == 0 {
		return false
	}
	vars, ops, ok := unfill(t.bytes[2+int(t.bytes[1]):], first, r.vars[:0], known)
	if ok {
		vars, _, ok = unfill(ops, second, vars, known)
	}
	r.vars = vars
	return ok
}

// unfill is what filler.fill does, backwards: it appends to vars what the operations, up to the end of their first half or of all, would make
// b of. It returns the operations behind.
func unfill(ops string, b, vars []byte, known [][]byte) ([]byte, string, bool) {
	for len(ops) > 0 {
		code, n := ops[0], int(ops[1])<<8|int(ops[2])
		ops = ops[opBytesOnDisk:]
		switch code {
		case opLiteral:
			if n > len(b) || string(b[:n]) != ops[:n] {
				return vars, "", false
			}
			ops = ops[n:]
		case opSplit:
			return vars, ops, len(b) == 0
		case opKnown:
			if n >= len(known) || !bytes.HasPrefix(b, known[n]) {
				return vars, "", false
			}
			n = len(known[n])
		default:
			if vars, n = unfillHole(code, n, b, vars, known); n < 0 {
				return vars, "", false
			}
		}
		b = b[n:]
	}
	return vars, "", len(b) == 0
}

// unfillHole appends what a hole would be made of that b begins with. It returns how long that is in b, -1 if there is no such hole.
func unfillHole(code byte, n int, b, vars []byte, known [][]byte) ([]byte, int) {
	ok := true
	switch code {
	case opHex:
		if n *= 2; n > len(b) {
			return vars, -1
		}
		vars, ok = allHex(vars, b[:n])
	case opUUID:
		vars, ok = appendUUID(vars, b)
		n = uuidLen
	case opSuffix:
		v := -1
		if n = suffixLen; n <= len(b) {
			v = suffixValue(b[:n])
		}
		vars, ok = append(vars, byte(v>>16), byte(v>>8), byte(v)), v >= 0
	case opAddr:
		if n > len(b) {
			return vars, -1
		}
		vars = append(vars, b[:n]...)
	case opBytes:
		if n > len(b) || n == suffixLen && suffixValue(b[:n]) >= 0 || isKnown(known, b[:n]) {
			return vars, -1
		}
		vars = append(vars, b[:n]...)
	case opDecimal:
		n = decimalRun(b)
		if n < minDigits || n > maxDigits || b[0] == '0' {
			return vars, -1
		}
		vars = binary.AppendUvarint(vars, decimalValue(b[:n]))
	default:
		ok = false
	}
	if !ok {
		return vars, -1
	}
	return vars, n
}

func isKnown(known [][]byte, b []byte) bool {
	for _, k := range known {
		if string(k) == string(b) {
			return true
		}
	}
	return false
}

// identityHash is of what identities with one template have in common: the name of the pod without its suffix, the namespace.
func identityHash(namespace, name []byte, container int) uint64 {
	cut := len(name)
	for cut > 0 && name[cut-1] != '-' {
		cut--
	}
	return mix(mix(uint64(container), namespace), name[:cut])
}

// restHash is of what rests with one template have in common: their head, how many fields the body has, and what the rest begins with.
func restHash(o *journal.Outline, raw []byte, from int) uint64 {
	h := uint64(o.Kind)<<1 | uint64(asByte(o.Clock.Synchronised))
	h = h<<16 | uint64(raw[o.Body])<<8 | uint64(raw[from]) // behind the body there are bytes in any record
	return h * mixFactor
}

const mixFactor = 0x9e3779b97f4a7c15

// mix takes bytes into a hash. It is the same in each run: what a file holds must not depend on chance.
func mix(h uint64, b []byte) uint64 {
	h ^= uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*mixFactor, 31)
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * mixFactor
	}
	return bits.RotateLeft64(h*mixFactor, 31) * mixFactor
}
