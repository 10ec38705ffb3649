package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
)

// addressesPerChunk is how many addresses of the index are compressed together.
const addressesPerChunk = 512

// posting says that a frame has an address, of IPv6.
type posting struct {
	ip    [16]byte
	frame uint32
}

// addressWriter collects which frames have which addresses.
type addressWriter struct {
	v4 []uint64 // address << 32 | frame
	v6 []posting
}

// v4Posting is a posting of IPv4.
func v4Posting(ip []byte, frame int) uint64 {
	return uint64(binary.BigEndian.Uint32(ip))<<32 | uint64(frame)
}

// sort puts postings in order, each once.
func (w *addressWriter) sort() {
	slices.Sort(w.v4)
	w.v4 = slices.Compact(w.v4)
	slices.SortFunc(w.v6, func(a, b posting) int {
		return cmp.Or(bytes.Compare(a.ip[:], b.ip[:]), cmp.Compare(a.frame, b.frame))
	})
	w.v6 = slices.Compact(w.v6)
}

func (w *addressWriter) add(ip []byte, frame int) {
	if len(ip) == 4 {
		w.v4 = append(w.v4, v4Posting(ip, frame))
	} else if len(ip) == 16 {
		w.v6 = append(w.v6, posting{[16]byte(ip), uint32(frame)})
	}
}

// An address chunk holds addresses of one family, ascending, and for each the frames that have it: columns of unsigned
// LEB128 numbers, one behind the other.
//
//	family (4 or 16), number of addresses
//	addresses: of IPv4 the difference from the one before; of IPv6 16 bytes
//	how many frames each has
//	the first frame of each, as zigzag difference from that of the address before
//	the other frames of each, as differences from the one before
type addressChunk struct {
	family int
	n      int
	addrs  []byte
	counts []byte
	firsts []byte
	others []byte
	last   uint32 // address, of IPv4
	frame  uint32 // first frame of the address before
	row    []byte
}

// write writes the index and returns the rows of its table.
func (w *addressWriter) write(out func([]byte) (chunk, error)) ([]byte, error) {
	var rows []byte
	var c addressChunk
	flush := func() error {
		if c.n == 0 {
			return nil
		}
		at, err := out(c.encode())
		rows = at.append(append(rows, c.row...))
		c = addressChunk{addrs: c.addrs[:0], counts: c.counts[:0], firsts: c.firsts[:0], others: c.others[:0]}
		return err
	}
	w.sort()
	var frames []uint32
	room := make([]byte, 4)
	for i := 0; i < len(w.v4); {
		ip := uint32(w.v4[i] >> 32)
		frames = frames[:0]
		for ; i < len(w.v4) && uint32(w.v4[i]>>32) == ip; i++ {
			frames = append(frames, uint32(w.v4[i]))
		}
		binary.BigEndian.PutUint32(room, ip)
		c.add(room, frames)
		if c.n == addressesPerChunk {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	for i := 0; i < len(w.v6); {
		ip := w.v6[i].ip
		frames = frames[:0]
		for ; i < len(w.v6) && w.v6[i].ip == ip; i++ {
			frames = append(frames, w.v6[i].frame)
		}
		c.add(ip[:], frames)
		if c.n == addressesPerChunk {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return rows, flush()
}

func (c *addressChunk) add(ip []byte, frames []uint32) {
	if c.n == 0 {
		c.family, c.row = len(ip), addressKey(ip)
	}
	c.n++
	if len(ip) == 4 {
		v := binary.BigEndian.Uint32(ip)
		c.addrs = binary.AppendUvarint(c.addrs, uint64(v-c.last))
		c.last = v
	} else {
		c.addrs = append(c.addrs, ip...)
	}
	c.counts = binary.AppendUvarint(c.counts, uint64(len(frames)))
	c.firsts = binary.AppendUvarint(c.firsts, zigzag(int64(frames[0])-int64(c.frame)))
	c.frame = frames[0]
	for i := 1; i < len(frames); i++ {
		c.others = binary.AppendUvarint(c.others, uint64(frames[i]-frames[i-1]))
	}
}

func (c *addressChunk) encode() []byte {
	b := binary.AppendUvarint([]byte{byte(c.family)}, uint64(c.n))
	b = append(append(b, c.addrs...), c.counts...)
	return append(append(b, c.firsts...), c.others...)
}

// addressKey is what an address is found by in the table of chunks: IPv4 before IPv6.
func addressKey(ip []byte) []byte {
	key := make([]byte, 17)
	key[0] = byte(len(ip))
	copy(key[1:], ip)
	return key
}

// framesOf finds the frames that have an address in a chunk.
func framesOf(b, ip []byte) ([]uint32, error) {
	if len(b) < 2 || int(b[0]) != len(ip) {
		return nil, nil
	}
	next := numbers{b: b[1:]}
	n := next.number()
	if n > addressesPerChunk {
		return nil, errShape
	}
	at := -1
	last := uint32(0)
	for i := range int(n) {
		if len(ip) == 4 {
			last += uint32(next.number())
			if last == binary.BigEndian.Uint32(ip) {
				at = i
			}
		} else if bytes.Equal(next.take(16), ip) {
			at = i
		}
	}
	if at < 0 {
		return nil, next.err
	}
	counts := make([]uint64, n)
	skip := uint64(0)
	for i := range counts {
		if counts[i] = next.number(); counts[i] == 0 {
			return nil, errShape
		}
		if i < at {
			skip += counts[i] - 1
		}
	}
	frame, first := int64(0), int64(0)
	for i := range counts {
		if frame += unzigzag(next.number()); i == at {
			first = frame
		}
	}
	for ; skip > 0 && next.err == nil; skip-- {
		next.number()
	}
	if first < 0 || counts[at] > uint64(len(b)) {
		return nil, errShape
	}
	frames := []uint32{uint32(first)}
	for range counts[at] - 1 {
		frames = append(frames, frames[len(frames)-1]+uint32(next.number()))
	}
	return frames, next.err
}

// eachPosting calls fn with each frame of each address in a chunk, in order.
func eachPosting(b []byte, fn func(ip []byte, frame uint32) error) error {
	if len(b) < 2 || b[0] != 4 && b[0] != 16 {
		return errShape
	}
	r := numbers{b: b[1:]}
	n := int(min(r.number(), addressesPerChunk+1))
	if n > addressesPerChunk {
		return errShape
	}
	ips, last := make([][]byte, n), uint32(0)
	for i := range ips {
		if b[0] == 16 {
			ips[i] = r.take(16)
			continue
		}
		last += uint32(r.number())
		ips[i] = binary.BigEndian.AppendUint32(nil, last)
	}
	counts, firsts, frame := make([]uint64, n), make([]uint32, n), int64(0)
	for i := range counts {
		counts[i] = r.number()
	}
	for i := range firsts {
		frame += unzigzag(r.number())
		firsts[i] = uint32(frame)
	}
	for i, ip := range ips {
		if r.err != nil || counts[i] == 0 || counts[i] > uint64(len(b)) {
			return errShape
		}
		at := firsts[i]
		if err := fn(ip, at); err != nil {
			return err
		}
		for range counts[i] - 1 {
			at += uint32(r.number())
			if err := fn(ip, at); err != nil {
				return err
			}
		}
	}
	if r.err != nil || len(r.b) > 0 {
		return errShape
	}
	return nil
}

// numbers reads unsigned LEB128 numbers.
type numbers struct {
	b   []byte
	err error
}

func (r *numbers) number() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	v, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.err, r.b = errShape, nil
		return 0
	}
	r.b = r.b[w:]
	return v
}

func (r *numbers) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err, r.b = errShape, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// rowBefore returns the last row of a table that is not behind a key, -1 if all are.
func rowBefore(table []byte, width int, key []byte) int {
	n := len(table) / width
	return sort.Search(n, func(i int) bool { return bytes.Compare(table[i*width:i*width+len(key)], key) > 0 }) - 1
}
