package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Lengths beyond 16 bits are not checked here: what is that long is over the limits of
// every record, and refused for that once it is encoded.

// AppendUint appends a number in its shortest form.
func AppendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, msgpcode.Uint8, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, msgpcode.Uint16), uint16(v))
	case v < 1<<32:
		return AppendFixed32(b, uint32(v))
	default:
		return AppendFixed64(b, msgpcode.Uint64, v)
	}
}

// AppendFixed32 appends a number in its 5-byte form, whatever its value: for fields at
// constant offsets, and for those whose value is known only after their place is taken.
func AppendFixed32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, msgpcode.Uint32), v)
}

// AppendFixed64 appends a number in its 9-byte form, whatever its value. The code is
// msgpcode.Uint64, or msgpcode.Int64 for the bits of an int64.
func AppendFixed64(b []byte, code byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, code), v)
}

// AppendBool appends true or false.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, msgpcode.True)
	}
	return append(b, msgpcode.False)
}

// AppendString appends at most 65535 bytes as a string. They need not be UTF-8.
func AppendString(b []byte, s string) []byte {
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

// AppendBin appends at most 65535 bytes as binary.
func AppendBin(b, v []byte) []byte {
	if n := len(v); n < 1<<8 {
		b = append(b, msgpcode.Bin8, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, msgpcode.Bin16), uint16(n))
	}
	return append(b, v...)
}

// AppendArray appends the head of an array of n elements, at most 65535. They follow it.
func AppendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, msgpcode.FixedArrayLow|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, msgpcode.Array16), uint16(n))
}

// AppendMap appends the head of a map of n pairs, at most 65535. They follow it.
func AppendMap(b []byte, n int) []byte {
	if n < 16 {
		return append(b, msgpcode.FixedMapLow|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, msgpcode.Map16), uint16(n))
}

// AppendAddr appends an address as 4 or 16 bytes, or nil for the zero Addr. There is
// no room for a zone, and a 4in6 address is not read back.
func AppendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		v := a.As4()
		return AppendBin(b, v[:])
	case a.IsValid():
		v := a.As16()
		return AppendBin(b, v[:])
	default:
		return append(b, msgpcode.Nil)
	}
}
