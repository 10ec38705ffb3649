package rot_test

import (
	"bytes"
	"fmt"
	"slices"
)

// Ways to damage a file. Each has a number that says where or how much.
const (
	flip        = iota // this bit
	cut                // to this many bytes
	remove             // the file
	zeros              // all bytes
	zeroSector         // the sector of this number
	extendZeros        // by this many zeros
	extendJunk         // by this many bytes of anything
	again              // its last entry once more
)

const sector = 512

var damageNames = [...]string{"flip bit", "cut to", "remove", "zeros", "zero sector", "extend by zeros", "extend by junk", "append the end again, bytes"}

// damage is one thing that happens to one file.
type damage struct {
	kind uint8
	n    int32
}

func (d damage) String() string {
	if d.kind == flip {
		return fmt.Sprintf("flip bit %d of byte %d", d.n%8, d.n/8)
	}
	return fmt.Sprintf("%s %d", damageNames[d.kind], d.n)
}

// junk is bytes of anything: fixed, and none of them zero.
var junk = func() []byte {
	b := make([]byte, 8192)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x%255) + 1
	}
	return b
}()

// apply returns the damaged content, nil if the file is gone.
func (d damage) apply(was []byte) []byte {
	now := append(make([]byte, 0, len(was)+int(d.n)), was...)
	switch n := int(d.n); d.kind {
	case flip:
		now[n/8] ^= 1 << (n % 8)
	case cut:
		now = now[:n]
	case remove:
		return nil
	case zeros:
		clear(now)
	case zeroSector:
		clear(now[n*sector : min((n+1)*sector, len(now))])
	case extendZeros:
		now = append(now, make([]byte, n)...)
	case extendJunk:
		now = append(now, junk[n:2*n]...)
	case again:
		now = append(now, was[len(was)-n:]...)
	}
	return now
}

// damages lists everything that is done to a file of this content. Bits and cuts are all there are;
// every n-th where stride is n.
func damages(was []byte, bitStride, cutStride, longest int) []damage {
	var all []damage
	for i := 0; i < 8*len(was); i += bitStride {
		all = append(all, damage{flip, int32(i)})
	}
	for i := 0; i < len(was); i += cutStride {
		all = append(all, damage{cut, int32(i)})
	}
	all = append(all, damage{remove, 0})
	if len(was) > 0 {
		all = append(all, damage{zeros, 0})
	}
	for i := 0; i*sector < len(was); i++ {
		all = append(all, damage{zeroSector, int32(i)})
	}
	for n := 1; n <= longest; n++ {
		all = append(all, damage{extendZeros, int32(n)}, damage{extendJunk, int32(n)})
	}
	all = append(all, damage{extendZeros, 4096}, damage{extendJunk, 4096})
	return slices.DeleteFunc(all, func(d damage) bool { return d.kind != remove && bytes.Equal(d.apply(was), was) })
}

// firstDifference is where now begins to differ from was: the shorter one's end at the latest.
func firstDifference(was, now []byte) int {
	i := 0
	for i < len(was) && i < len(now) && was[i] == now[i] {
		i++
	}
	return i
}
