package archive

import (
	"encoding/binary"
	"encoding/hex"
)

// hexDigits has the value of each byte as a lower-case hex digit, and noDigit for all others.
const hexDigits = "" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

const noDigit = 0xff

func isHex(c byte) bool { return hexDigits[c] != noDigit }

// hexRun returns how many hex digits b begins with.
func hexRun(b []byte) int {
	for i, c := range b {
		if hexDigits[c] == noDigit {
			return i
		}
	}
	return len(b)
}

// decimalRun returns how many decimal digits b begins with.
func decimalRun(b []byte) int {
	for i, c := range b {
		if c-'0' >= 10 {
			return i
		}
	}
	return len(b)
}

// appendHex appends what an even number of hex digits stands for.
func appendHex(dst, digits []byte) []byte {
	for ; len(digits) >= 2; digits = digits[2:] {
		dst = append(dst, hexDigits[digits[0]]<<4|hexDigits[digits[1]])
	}
	return dst
}

// allHex is appendHex of what may not be hex digits; false if it isn't, or is no even number of them.
func allHex(dst, b []byte) ([]byte, bool) {
	if len(b)%2 != 0 {
		return dst, false
	}
	start := len(dst)
	for ; len(b) >= 8; b = b[8:] {
		v, ok := fromDigits(binary.BigEndian.Uint64(b))
		if !ok {
			return dst[:start], false
		}
		dst = binary.BigEndian.AppendUint32(dst, v)
	}
	bad := byte(0)
	for ; len(b) >= 2; b = b[2:] {
		hi, lo := hexDigits[b[0]], hexDigits[b[1]]
		bad |= hi | lo
		dst = append(dst, hi<<4|lo)
	}
	if bad > 0xf {
		return dst[:start], false
	}
	return dst, true
}

// each has a byte in each of the eight of a word.
const each = 0x0101010101010101

// fromDigits returns what eight lower-case hex digits stand for, all eight at once; false if some are none.
func fromDigits(digits uint64) (uint32, bool) {
	x := digits&(0xf*each) + (digits>>6)&each*9 // a letter's low bits are 1 to 6
	if x&(0xf0*each) != 0 || toDigits(x) != digits {
		return 0, false
	}
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16), true
}

// toDigits makes hex digits of the eight numbers below 16 in a word.
func toDigits(x uint64) uint64 {
	letters := (x + 6*each) >> 4 & each
	return x + '0'*each + letters*('a'-10-'0')
}

// appendDigits appends bytes as lower-case hex digits.
func appendDigits(dst, b []byte) []byte {
	for ; len(b) >= 4; b = b[4:] {
		x := uint64(binary.BigEndian.Uint32(b))
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
		x = (x | x<<4) & (0xf * each)
		dst = binary.BigEndian.AppendUint64(dst, toDigits(x))
	}
	return hex.AppendEncode(dst, b)
}

// uuidLen is how long a UUID is in the form 8-4-4-4-12.
const uuidLen = 36

// appendUUID appends the bytes of the UUID that b begins with; false if it begins with none.
func appendUUID(dst, b []byte) ([]byte, bool) {
	if len(b) < uuidLen || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return dst, false
	}
	var digits [32]byte
	copy(digits[:], b[:8])
	copy(digits[8:], b[9:13])
	copy(digits[12:], b[14:18])
	copy(digits[16:], b[19:23])
	copy(digits[20:], b[24:uuidLen])
	return allHex(dst, digits[:])
}

// appendUUIDText appends a UUID's 16 bytes as text.
func appendUUIDText(dst, b []byte) []byte {
	var room [32]byte
	d := appendDigits(room[:0], b[:16])
	dst = append(append(dst, d[:8]...), '-')
	dst = append(append(dst, d[8:12]...), '-')
	dst = append(append(dst, d[12:16]...), '-')
	dst = append(append(dst, d[16:20]...), '-')
	return append(dst, d[20:]...)
}
