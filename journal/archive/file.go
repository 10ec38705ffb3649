package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/journal"
)

// cacheSlots bounds the memory for blocks of identities to 8 MiB: those of leases that are held are asked for
// again and again.
const cacheSlots = 2048

// file is an open packed file. Its tables are read when they are first needed.
type file struct {
	path  string
	f     *os.File
	size  int64 // up to the footer
	head  header
	boots []journal.BootID
	zstd  *zstd.Decoder // nil until it is needed; files of one Reader share it

	tables    map[int][]byte
	templates []*template // by number, those that were used
	packed    [][]byte    // the bytes of those that have been read, by number
	slots     []*slot     // made when they are first needed: a question about one address needs few
	newest    uint64      // behind the newest identity that was asked for, and the row of its block
	lastRow   int
	frame     frame // room
	plain     []byte
	auditor   *auditor // takes in what is read in order, from the first event on; nil if nobody does
}

// slot holds a block of identities of those that share it.
type slot struct {
	number int // of the block, from 1 on
	bytes  []byte
	places []uint32 // where each identity stands in it, as far as they are whole
}

// openFile opens the packed file at path, of a journal, or of any if id is zero.
func openFile(path string, id journal.ID) (*file, error) {
	first, last, ok := parseName(filepath.Base(path))
	if !ok {
		return nil, fmt.Errorf("%s: not a packed file's name", path)
	}
	return openFileAs(path, id, first, last)
}

// openFileAs is openFile whatever the file's name is.
func openFileAs(path string, id journal.ID, first, last journal.Seq) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a named pipe must not be waited for
	if err != nil {
		return nil, err
	}
	r := &file{path: path, f: f, tables: make(map[int][]byte)}
	err = r.open(id, first, last)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// open reads the footer.
func (f *file) open(id journal.ID, first, last journal.Seq) error {
	st, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.head.first = first
	if !st.Mode().IsRegular() || st.Size() < int64(len(magic)+trailerBytes) {
		return f.damaged(-1, first, errNotPacked)
	}
	var begin [len(magic)]byte
	var end [trailerBytes]byte
	at := st.Size() - int64(trailerBytes)
	if err := f.readAt(begin[:], 0); err != nil {
		return err
	}
	if err := f.readAt(end[:], at); err != nil {
		return err
	}
	if string(begin[:]) != magic {
		return f.damaged(0, first, errNotPacked)
	}
	n := int64(binary.BigEndian.Uint32(end[:]))
	if string(end[8:]) != endMagic || n > maxFooter || n > at-int64(len(magic)) {
		return f.damaged(at, first, errFooter)
	}
	b := make([]byte, n+4)
	if err := f.readAt(b, at-n); err != nil {
		return err
	}
	if crc32c.Checksum(b) != binary.BigEndian.Uint32(end[4:]) {
		return f.damaged(at-n, first, errChecksum)
	}
	h, err := parseFooter(b[:n])
	if h.minReader > formatVersion {
		return fmt.Errorf("open %s: for version %d and up: %w", f.path, h.minReader, journal.ErrNewer)
	}
	switch {
	case err != nil:
	case id != (journal.ID{}) && h.id != id:
		err = fmt.Errorf("belongs to journal %s, not to %s", h.id, id)
	case h.first != first || h.last != last:
		err = fmt.Errorf("holds events %d to %d, against its name", h.first, h.last)
	}
	if err != nil {
		return f.damaged(at-n, first, err)
	}
	f.head, f.size = h, at-n
	for _, b := range h.boots {
		f.boots = append(f.boots, b.ID)
	}
	return nil
}

func (f *file) close() error { return f.f.Close() }

// damaged names a place of damage, -1 if it has none.
func (f *file) damaged(at int64, seq journal.Seq, cause error) error {
	return &journal.CorruptionError{File: f.path, Seq: seq, Offset: at, Cause: cause}
}

// readAt reads bytes that must be there.
func (f *file) readAt(b []byte, at int64) error {
	if _, err := f.f.ReadAt(b, at); errors.Is(err, io.EOF) {
		return f.damaged(at, f.head.first, io.ErrUnexpectedEOF)
	} else if err != nil {
		return fmt.Errorf("read packed file: %w", err)
	}
	return nil
}

// read reads a chunk into room, if that is large enough.
func (f *file) read(c chunk, limit int, room []byte) ([]byte, error) {
	if c.bytes > limit || c.offset < 0 || c.offset > f.size-int64(c.bytes) {
		return nil, f.damaged(c.offset, f.head.first, errShape)
	}
	if cap(room) < c.bytes {
		room = make([]byte, c.bytes)
	}
	room = room[:c.bytes]
	if err := f.readAt(room, c.offset); err != nil {
		return nil, err
	}
	if sum(f.head.id, c.offset, room) != c.crc {
		return nil, f.damaged(c.offset, f.head.first, errChecksum)
	}
	return room, nil
}

// unpack reads a compressed chunk.
func (f *file) unpack(c chunk) ([]byte, error) {
	b, err := f.read(c, maxChunk, f.plain)
	if err != nil {
		return nil, err
	}
	f.plain = b
	out, err := f.decode(b, nil)
	if err != nil {
		return nil, f.damaged(c.offset, f.head.first, err)
	}
	return out, nil
}

// decode appends what compressed bytes are to room.
func (f *file) decode(b, room []byte) (_ []byte, err error) {
	if f.zstd == nil {
		if f.zstd, err = newDecoder(); err != nil {
			return nil, err
		}
	}
	return f.zstd.DecodeAll(b, room)
}

// newDecoder returns a decoder, which keeps the memory that it has once needed.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxChunk))
}

// table returns the rows of a section.
func (f *file) table(section, width int) ([]byte, error) {
	if b, ok := f.tables[section]; ok {
		return b, nil
	}
	c, ok := f.head.sections[section]
	if !ok {
		return nil, f.damaged(f.size, f.head.first, fmt.Errorf("there is no section %d", section))
	}
	b, err := f.read(c, maxSection, nil)
	if err == nil && len(b)%width != 0 {
		err = f.damaged(c.offset, f.head.first, errShape)
	}
	if err == nil {
		f.tables[section] = b
	}
	return b, err
}

// info returns the row of a frame.
func (f *file) info(number int) (frameInfo, error) {
	t, err := f.table(sectionFrames, frameRow)
	if err != nil {
		return frameInfo{}, err
	}
	if number < 0 || len(t) != f.head.frames*frameRow || number >= f.head.frames {
		return frameInfo{}, f.damaged(f.head.sections[sectionFrames].offset, f.head.first, errShape)
	}
	return readFrameInfo(t[number*frameRow:]), nil
}

// template returns a template by its number, which must have so many bytes that are no operations.
func (f *file) template(number uint64, head int) (*template, error) {
	if number < uint64(len(f.templates)) {
		if t := f.templates[number]; t != nil && len(t.head) == head {
			return t, nil
		}
	}
	return f.readTemplate(number, head)
}

// readTemplate reads a template, and the bytes of those that are compressed with it: most of them are not used by a question.
func (f *file) readTemplate(number uint64, head int) (*template, error) {
	if number == 0 || number > maxTemplates {
		return nil, errShape
	}
	if number >= uint64(len(f.packed)) || f.packed[number] == nil {
		if err := f.readTemplates(int((number - 1) / templatesPerChunk)); err != nil {
			return nil, err
		}
	}
	if number >= uint64(len(f.packed)) || f.packed[number] == nil {
		return nil, errShape
	}
	t, err := parseTemplate(f.packed[number])
	if err != nil {
		return nil, err
	}
	if len(t.head) != head { // of the other sort
		return nil, errShape
	}
	f.templates = slices.Grow(f.templates, max(0, len(f.packed)-len(f.templates)))[:len(f.packed)]
	f.templates[number] = t
	return t, nil
}

// readTemplates reads the bytes of a chunk of templates.
func (f *file) readTemplates(i int) error {
	rows, err := f.table(sectionTemplates, templateRow)
	if err != nil {
		return err
	}
	if i >= len(rows)/templateRow {
		return errShape
	}
	row := rows[i*templateRow:]
	if uint64(firstOf(row)) != uint64(i*templatesPerChunk+1) {
		return errShape
	}
	b, err := f.unpack(readChunk(row[4:]))
	if err != nil {
		return err
	}
	r := numbers{b: b}
	for at := i*templatesPerChunk + 1; len(r.b) > 0 && at <= (i+1)*templatesPerChunk; at++ {
		n := r.number()
		t := r.take(int(min(n, 2*maxTemplate)))
		if r.err != nil {
			return r.err
		}
		for at >= len(f.packed) {
			f.packed = append(f.packed, nil)
		}
		f.packed[at] = t
	}
	return nil
}

// identityAt returns the template and the values of an identity. The values are good until the next call.
func (f *file) identityAt(number uint64) (*template, []byte, error) {
	rows, err := f.table(sectionIdentities, identityRow)
	if err != nil {
		return nil, nil, err
	}
	if number >= f.head.identities {
		return nil, nil, errShape
	}
	lo, hi := f.lastRow, len(rows)/identityRow // the next one is mostly in the same block, or in the one behind
	if lo+1 < hi && number >= uint64(firstOf(rows[lo*identityRow:])) {
		if number < uint64(firstOf(rows[(lo+1)*identityRow:])) {
			hi = lo + 1
		}
	} else {
		lo = 0
	}
	for lo+1 < hi {
		if mid := (lo + hi) / 2; uint64(firstOf(rows[mid*identityRow:])) <= number {
			lo = mid
		} else {
			hi = mid
		}
	}
	s, err := f.block(rows, lo)
	if err != nil {
		return nil, nil, err
	}
	in := number - uint64(firstOf(rows[lo*identityRow:]))
	if in >= uint64(len(s.places)) {
		return nil, nil, errShape
	}
	if number+1 > f.newest { // new ones are asked for in order, what is referred to in none
		f.newest, f.lastRow = number+1, lo
	}
	return f.entry(&numbers{b: s.bytes[s.places[in]:]})
}

// entry reads an identity of a block.
func (f *file) entry(r *numbers) (*template, []byte, error) {
	n := r.number()
	e := numbers{b: r.take(int(min(n, maxChunk)))}
	t := e.number()
	if r.err != nil || e.err != nil {
		return nil, nil, errShape
	}
	id, err := f.template(t, 0)
	return id, e.b, err
}

// block returns a block of identities, by its row.
func (f *file) block(rows []byte, number int) (*slot, error) {
	if number < 0 || (number+1)*identityRow > len(rows) {
		return nil, errShape
	}
	if f.slots == nil {
		f.slots = make([]*slot, cacheSlots)
	}
	s := f.slots[number%cacheSlots]
	if s == nil {
		s = new(slot)
		f.slots[number%cacheSlots] = s
	}
	if s.number == number+1 {
		return s, nil
	}
	s.number = 0 // until it is known to be good
	b, err := f.read(readChunk(rows[number*identityRow+4:]), maxChunk, s.bytes)
	if err != nil {
		return nil, err
	}
	s.number, s.bytes, s.places = number+1, b, s.places[:0]
	for r := (numbers{b: b}); len(r.b) > 0; {
		at := len(b) - len(r.b)
		if r.take(int(min(r.number(), maxChunk))); r.err != nil {
			break // who asks for that one is told
		}
		s.places = append(s.places, uint32(at))
	}
	return s, nil
}

// openFrame reads a frame. It is good until the next one is opened.
func (f *file) openFrame(number int) (*frame, error) {
	info, err := f.info(number)
	if err != nil {
		return nil, err
	}
	fr := &f.frame
	fr.f, fr.number, fr.first = f, number, f.head.first+journal.Seq(number*frameEvents)
	fr.n = int(min(frameEvents, f.head.last+1-fr.first))
	fr.identity, fr.prev = uint64(info.identity), info.prev
	if fr.bytes, err = f.read(info.chunk, maxChunk, fr.bytes); err != nil {
		return nil, at(err, fr.first)
	}
	n, w := binary.Uvarint(fr.bytes)
	if w <= 0 || n > uint64(len(fr.bytes)-w) {
		return nil, f.damaged(info.offset, fr.first, errColumns)
	}
	if fr.plain, err = f.decode(fr.bytes[w:w+int(n)], fr.plain[:0]); err != nil {
		return nil, f.damaged(info.offset, fr.first, err)
	}
	if err := fr.parse(fr.plain, fr.bytes[w+int(n):]); err != nil {
		return nil, f.damaged(info.offset, fr.first, err)
	}
	return fr, nil
}

// at fills in which event damage begins with.
func at(err error, seq journal.Seq) error {
	if c, ok := errors.AsType[*journal.CorruptionError](err); ok {
		c.Seq = seq
	}
	return err
}

// Check compares the digest of the file's content with what the footer says.
func (f *file) Check() error {
	h, err := digest(io.NewSectionReader(f.f, 0, f.size))
	if err != nil {
		return err
	}
	if h != f.head.content {
		return f.damaged(-1, f.head.first, errors.New("the digest of its content is another"))
	}
	return nil
}
