package state

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// key is an address as numbers, ordered as netip.Addr.Compare orders addresses: IPv4
// before IPv6, then by value. Unlike netip.Addr it hashes in one go and can be counted
// with. It has no room for a zone, and 4in6 addresses must never become one: both are
// refused where events come in.
type key struct {
	fam    uint64 // fam4 or fam6; as wide as the rest so that the struct has no padding to hash around
	hi, lo uint64 // IPv4 is in the low 32 bits of lo
}

// The families. Their order is the order of addresses.
const (
	fam4 = 4
	fam6 = 6
)

// pageAddrs is how many neighbouring addresses share a page of the overlay.
const pageAddrs = 256

// afterMapped is the first address after ::ffff:0:0/96, which never holds leases of its own.
var afterMapped = key{fam: fam6, lo: 1 << 48}

// keyOf returns the key of an address that is representable.
func keyOf(ip netip.Addr) key {
	if ip.Is4() {
		b := ip.As4()
		return key{fam: fam4, lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := ip.As16()
	return key{fam: fam6, hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// keyFrom reads what append wrote: 4 bytes are IPv4, 16 are IPv6.
func keyFrom(b []byte) key {
	if len(b) == 4 {
		return key{fam: fam4, lo: uint64(binary.BigEndian.Uint32(b))}
	}
	return key{fam: fam6, hi: binary.BigEndian.Uint64(b), lo: binary.BigEndian.Uint64(b[8:])}
}

// append appends the address as it stands on disk, whose length tells the family.
func (k key) append(b []byte) []byte {
	if k.fam == fam4 {
		return binary.BigEndian.AppendUint32(b, uint32(k.lo))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.hi), k.lo)
}

// addr returns the address; the zero key has none and must not be asked.
func (k key) addr() netip.Addr {
	var b [16]byte
	ip, _ := netip.AddrFromSlice(k.append(b[:0]))
	return ip
}

// compare orders as netip.Addr.Compare does: files and lookups rely on the same order.
func (k key) compare(o key) int {
	if c := cmp.Compare(k.fam, o.fam); c != 0 {
		return c
	}
	if c := cmp.Compare(k.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(k.lo, o.lo)
}

// next returns the following address, false after the family's last one.
func (k key) next() (key, bool) {
	if k.fam == fam4 && k.lo == 1<<32-1 {
		return key{}, false
	}
	k.lo++
	if k.lo == 0 {
		k.hi++
		return k, k.hi != 0
	}
	return k, true
}

// page returns the first address of the page that k is in.
func (k key) page() key {
	k.lo &^= pageAddrs - 1
	return k
}

// pageEnd returns the last address of the page that k is in.
func (k key) pageEnd() key {
	k.lo |= pageAddrs - 1
	return k
}

// mapped reports whether k is in ::ffff:0:0/96, whose addresses are IPv4 in disguise.
func (k key) mapped() bool { return k.fam == fam6 && k.hi == 0 && k.lo>>32 == 0xffff }
