package archive

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
	bad := byte(0)
	start := len(dst)
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

// uuidLen is how long a UUID is in the form 8-4-4-4-12.
const uuidLen = 36

// appendUUID appends the bytes of the UUID that b begins with; false if it begins with none.
func appendUUID(dst, b []byte) ([]byte, bool) {
	if len(b) < uuidLen || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return dst, false
	}
	start := len(dst)
	for _, part := range [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, uuidLen}} {
		var ok bool
		if dst, ok = allHex(dst, b[part[0]:part[1]]); !ok {
			return dst[:start], false
		}
	}
	return dst, true
}
