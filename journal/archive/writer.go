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
	room   []byte

	templates templateWriter
	idents    identityWriter
	sections  map[int]chunk
}

func newWriter(f *os.File, id journal.ID) (*writer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, buf: bufio.NewWriterSize(f, 256<<10), sum: sha256.New(), id: id, zstd: enc, sections: make(map[int]chunk)}
	w.templates.numbers = make(map[string]uint32)
	w.idents.seed = maphash.MakeSeed()
	w.idents.numbers = make(map[uint64]uint32)
	return w, w.write([]byte(magic))
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
	fresh   [][]byte // not written yet
	bytes   int
	rows    []byte
}

// template returns a template's number, 0 if there is no room for it.
func (w *writer) template(b []byte) (uint32, error) {
	t := &w.templates
	if n, ok := t.numbers[string(b)]; ok {
		return n, nil
	}
	if len(b) > maxTemplate || len(t.numbers) >= maxTemplates || t.bytes+len(b) > maxTemplateBytes {
		return 0, nil
	}
	n := uint32(len(t.numbers) + 1)
	s := string(b)
	t.numbers[s] = n
	t.bytes += len(b)
	t.fresh = append(t.fresh, []byte(s))
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

// identityWriter gives identities their numbers, from 0 on.
type identityWriter struct {
	seed    maphash.Seed
	numbers map[uint64]uint32
	next    uint32
	first   uint32 // in the block
	block   []byte
	rows    []byte
	blocks  uint32
	filter  filterWriter
}

// find returns the number of an identity that was given one. That two have one hash would be found when the file is
// read back.
func (w *identityWriter) find(names, address []byte) (key uint64, number uint32, ok bool) {
	key = bits.RotateLeft64(maphash.Bytes(w.seed, names), 23) ^ maphash.Bytes(w.seed, address)
	number, ok = w.numbers[key]
	return key, number, ok
}

// identity adds an identity.
func (w *writer) identity(key uint64, template uint32, vars []byte) error {
	i := &w.idents
	i.numbers[key] = i.next
	i.next++
	var room [5]byte
	n := binary.PutUvarint(room[:], uint64(template))
	i.block = append(binary.AppendUvarint(i.block, uint64(n+len(vars))), room[:n]...)
	i.block = append(i.block, vars...)
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
