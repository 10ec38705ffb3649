package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/maphash"
	"math/bits"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/leaselog/leaselog/journal"
)

// identityBlock is how large a block of identities grows before the next one is begun. One is read for each
// DEL that refers to an ADD, so it is small.
const identityBlock = 4 << 10

// templatesPerChunk is how many templates are compressed together.
const templatesPerChunk = 64

// Bounds for what a file's templates may take of a reader's memory. What finds no room there is kept as it is.
const (
	maxTemplates     = 1 << 17
	maxTemplateBytes = 16 << 20
)

// writer writes the parts of a packed file, one behind the other.
type writer struct {
	f      *os.File
	buf    *bufio.Writer
	sum    hash.Hash
	offset int64
	id     journal.ID
	zstd   *zstd.Encoder
	fast   *zstd.Encoder // of columns: it looks for repetitions alone, since to code the rest takes more time than it spares room
	room   []byte

	templates templateWriter
	idents    identityWriter
	sections  map[int]chunk
}

func newWriter(f *os.File, id journal.ID) (*writer, error) {
	enc, err := newEncoder(zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	fast, err := newEncoder(zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithNoEntropyCompression(true))
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, buf: bufio.NewWriterSize(f, 256<<10), sum: sha256.New(), id: id, zstd: enc, fast: fast, sections: make(map[int]chunk)}
	w.templates.numbers = make(map[string]uint32)
	w.idents.seed = maphash.MakeSeed()
	return w, w.write([]byte(magic))
}

func newEncoder(options ...zstd.EOption) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithLowerEncoderMem(true))...)
}

func (w *writer) write(b []byte) error {
	w.offset += int64(len(b))
	_, _ = w.sum.Write(b) // a hash returns no error
	_, err := w.buf.Write(b)
	return err
}

// chunk writes bytes that are read together.
func (w *writer) chunk(b []byte) (chunk, error) {
	c := chunk{w.offset, len(b), sum(w.id, w.offset, b)}
	return c, w.write(b)
}

// compressed writes bytes that are read together, compressed.
func (w *writer) compressed(b []byte) (chunk, error) {
	w.room = w.zstd.EncodeAll(b, w.room[:0])
	return w.chunk(w.room)
}

// section writes a table.
func (w *writer) section(number int, rows []byte) error {
	c, err := w.chunk(rows)
	w.sections[number] = c
	return err
}

// templateWriter gives templates their numbers, from 1 on.
type templateWriter struct {
	numbers map[string]uint32
	fresh   []string // not written yet
	bytes   int
	rows    []byte
}

// template returns a template's number, 0 if there is no room for it, and remembers it.
func (w *writer) template(b []byte, keep *recentTemplate) (uint32, error) {
	t := &w.templates
	if n, ok := t.numbers[string(b)]; ok {
		if keep.number != n {
			*keep = recentTemplate{n, string(b)}
		}
		return n, nil
	}
	if len(b) > maxTemplate || len(t.numbers) >= maxTemplates || t.bytes+len(b) > maxTemplateBytes {
		return 0, nil
	}
	n := uint32(len(t.numbers) + 1)
	s := string(b)
	t.numbers[s], *keep = n, recentTemplate{n, s}
	t.bytes += len(b)
	t.fresh = append(t.fresh, s)
	if len(t.fresh) == templatesPerChunk {
		return n, w.endTemplates()
	}
	return n, nil
}

// endTemplates writes the templates that have gathered.
func (w *writer) endTemplates() error {
	t := &w.templates
	if len(t.fresh) == 0 {
		return nil
	}
	var b []byte
	for _, f := range t.fresh {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	c, err := w.compressed(b)
	t.rows = c.append(binary.BigEndian.AppendUint32(t.rows, uint32(len(t.numbers)-len(t.fresh)+1)))
	t.fresh = t.fresh[:0]
	return err
}

// identity is what is known of an identity that is looked for, or is to be added.
type identity struct {
	names, address                  []byte // its fields
	container, namespace, name, uid []byte // of these
	key                             uint64
	slot                            *identitySlot
	number                          uint32 // if it is known
	template                        uint32
	values                          []byte
}

// identityWriter gives identities their numbers, from 0 on.
type identityWriter struct {
	seed   maphash.Seed
	slots  []identitySlot // a hash table of a power of two
	newest []identitySlot // those that were found or added last, by hash: most ends are of a lease that began shortly before
	next   uint32
	first  uint32 // in the block
	block  []byte
	rows   []byte
	blocks uint32
	filter filterWriter
}

// newestIdentities is small enough for a processor's cache, which the table is not.
const newestIdentities = 1 << 11

// identitySlot holds an identity by its hash.
type identitySlot struct {
	key    uint64
	number uint32 // and 1; 0 if there is none
}

// find looks for an identity, and for the place that it would have. That two have one hash would be found when the file is
// read back.
func (w *identityWriter) find(id *identity) bool {
	id.key = bits.RotateLeft64(maphash.Bytes(w.seed, id.names), 23) ^ maphash.Bytes(w.seed, id.address)
	if w.newest == nil {
		w.newest = make([]identitySlot, newestIdentities)
	}
	newest := &w.newest[id.key%newestIdentities]
	if newest.key != id.key || newest.number == 0 {
		if int(w.next) >= len(w.slots)/4*3 {
			w.grow()
		}
		if id.slot = w.place(id.key); id.slot.number == 0 {
			return false
		}
		*newest = *id.slot
	}
	id.number = newest.number - 1
	return true
}

// place returns where a hash is, or is to be.
func (w *identityWriter) place(key uint64) *identitySlot {
	for i := key; ; i++ {
		if s := &w.slots[i&uint64(len(w.slots)-1)]; s.number == 0 || s.key == key {
			return s
		}
	}
}

// grow doubles the room for hashes.
func (w *identityWriter) grow() {
	before := w.slots
	w.slots = make([]identitySlot, max(1<<10, 2*len(before)))
	for _, s := range before {
		if s.number != 0 {
			*w.place(s.key) = s
		}
	}
}

// identity adds an identity that find did not find, right after that.
func (w *writer) identity(id *identity) error {
	i := &w.idents
	i.next++
	*id.slot = identitySlot{id.key, i.next}
	i.newest[id.key%newestIdentities] = *id.slot
	var room [5]byte
	n := binary.PutUvarint(room[:], uint64(id.template))
	i.block = append(binary.AppendUvarint(i.block, uint64(n+len(id.values))), room[:n]...)
	i.block = append(i.block, id.values...)
	if len(i.block) < identityBlock {
		return nil
	}
	return w.endBlock()
}

// endBlock writes the block of identities that is being filled.
func (w *writer) endBlock() error {
	i := &w.idents
	if len(i.block) == 0 {
		return nil
	}
	c, err := w.chunk(i.block)
	if err != nil {
		return err
	}
	i.rows = c.append(binary.BigEndian.AppendUint32(i.rows, i.first))
	i.first, i.block = i.next, i.block[:0]
	if i.blocks++; i.blocks%blocksPerFilter == 0 {
		return w.endFilter()
	}
	return nil
}

// endFilter writes the filter of the blocks that have been written since the last one.
func (w *writer) endFilter() error {
	f := &w.idents.filter
	if w.idents.blocks == f.from {
		return nil
	}
	c, err := w.chunk(f.encode())
	f.rows = c.append(binary.BigEndian.AppendUint32(f.rows, f.from))
	f.from, f.keys = w.idents.blocks, f.keys[:0]
	return err
}

// finish writes the footer, and makes all durable but the name.
func (w *writer) finish(h *header) error {
	w.sum.Sum(h.content[:0])
	h.sections, h.identities = w.sections, uint64(w.idents.next)
	if _, err := w.buf.Write(h.encode()); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	return w.f.Sync()
}
