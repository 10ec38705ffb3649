package crc32c

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"runtime"
	"sync/atomic"
)

// bulk is how many bytes are done by table before hash/crc32, ten times as fast, is worth its start.
const bulk = 1 << 20

// done counts the bytes that were done by table. Like the tables it is the package's alone: which way a checksum takes
// can't be seen in it.
var done atomic.Int64

// tables are those of slicing-by-8 (Kounavis and Berry, 2005): tables[k][b] is the checksum register
// after the byte b and k zeros.
var tables [8][256]uint32

func init() {
	if runtime.GOARCH != "amd64" {
		done.Store(bulk) // elsewhere hash/crc32 has little to prepare
	}
	t := &tables
	for b := range t[0] {
		crc := uint32(b)
		for range 8 {
			crc = crc>>1 ^ crc32.Castagnoli&-(crc&1)
		}
		t[0][b] = crc
	}
	for k := range len(t) - 1 {
		for b := range t[0] {
			t[k+1][b] = t[k][b]>>8 ^ t[0][byte(t[k][b])]
		}
	}
}

// Checksum returns the CRC-32C of p.
func Checksum(p []byte) uint32 { return Update(0, p) }

// Update returns the CRC-32C of what crc is the checksum of, followed by p. Safe for concurrent use.
func Update(crc uint32, p []byte) uint32 {
	if done.Load() >= bulk {
		return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), p)
	}
	done.Add(int64(len(p)))
	return byTable(crc, p)
}

// UpdateUint32 is Update by the four bytes of v, the highest first. It doesn't make a slice of them.
func UpdateUint32(crc, v uint32) uint32 {
	crc = ^crc
	for shift := 24; shift >= 0; shift -= 8 {
		crc = tables[0][byte(crc)^byte(v>>shift)] ^ crc>>8
	}
	return ^crc
}

// UpdateUint64 is Update by the eight bytes of v, the highest first. It doesn't make a slice of them either.
func UpdateUint64(crc uint32, v uint64) uint32 {
	t := &tables
	first, last := bits.ReverseBytes32(uint32(v>>32))^^crc, bits.ReverseBytes32(uint32(v))
	return ^(t[7][first&0xff] ^ t[6][first>>8&0xff] ^ t[5][first>>16&0xff] ^ t[4][first>>24] ^
		t[3][last&0xff] ^ t[2][last>>8&0xff] ^ t[1][last>>16&0xff] ^ t[0][last>>24])
}

func byTable(crc uint32, p []byte) uint32 {
	t := &tables
	crc = ^crc
	for ; len(p) >= 8; p = p[8:] {
		crc ^= binary.LittleEndian.Uint32(p)
		crc = t[0][p[7]] ^ t[1][p[6]] ^ t[2][p[5]] ^ t[3][p[4]] ^
			t[4][crc>>24] ^ t[5][crc>>16&0xff] ^ t[6][crc>>8&0xff] ^ t[7][crc&0xff]
	}
	for _, b := range p {
		crc = t[0][byte(crc)^b] ^ crc>>8
	}
	return ^crc
}
