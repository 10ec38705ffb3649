package archive

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
	"github.com/leaselog/leaselog/journal"
)

// formatVersion is what this version writes and all that it can read. Both it and the version that a reader must have stand in
// the footer.
const formatVersion = 1

// magic begins each packed file, and endMagic ends it.
const (
	magic    = "\x89LLZ\r\n\x1a\x01"
	endMagic = "LLZ\x01end\n"
)

// trailerBytes is what follows the footer: its length, its checksum, endMagic.
const trailerBytes = 4 + 4 + len(endMagic)

// Sections, numbered as on disk. A section is a table of rows of one width, or marks.
const (
	sectionFrames     = 1
	sectionIdentities = 2
	sectionTemplates  = 3
	sectionMarks      = 4
	sectionAddresses  = 5
	sectionFilters    = 6
	sectionKeyframes  = 7
	sectionEnds       = 8
	sectionEarlier    = 9 // of the first file after a prune alone
)

// Bytes of a table's row.
const (
	frameRow    = 32 + 8 + 4 + 4 + 4 + 8 + 8 + 1
	chunkRow    = 8 + 4 + 4
	identityRow = 4 + chunkRow
	templateRow = 4 + chunkRow
	addressRow  = 17 + chunkRow
	filterRow   = 4 + chunkRow
	keyframeRow = 8 + 4 + chunkRow
	markRow     = 8 + chunkRow
)

// Limits for what is read at once, so that no damaged number makes a reader ask for more memory than there is.
const (
	maxFooter  = 1 << 20
	maxSection = 1 << 30
	maxChunk   = 16 << 20
)

// chunk is a stretch of the file with its own checksum.
type chunk struct {
	offset int64
	bytes  int
	crc    uint32
}

func (c chunk) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.offset))
	b = binary.BigEndian.AppendUint32(b, uint32(c.bytes))
	return binary.BigEndian.AppendUint32(b, c.crc)
}

func readChunk(b []byte) chunk {
	return chunk{int64(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:])), binary.BigEndian.Uint32(b[12:])}
}

// frameInfo is a row of the table of frames.
type frameInfo struct {
	chunk
	prev     journal.Hash // of the record before the frame's first
	identity uint32       // number of the first new identity
	from, to int64        // wall clocks of the first and last event
	whole    bool         // some records stand in it as they are
}

func (i *frameInfo) append(b []byte) []byte {
	b = i.chunk.append(append(b, i.prev[:]...))
	b = binary.BigEndian.AppendUint32(b, i.identity)
	b = binary.BigEndian.AppendUint64(b, uint64(i.from))
	b = binary.BigEndian.AppendUint64(b, uint64(i.to))
	if i.whole {
		return append(b, 1)
	}
	return append(b, 0)
}

func readFrameInfo(b []byte) (i frameInfo) {
	copy(i.prev[:], b)
	i.chunk = readChunk(b[32:])
	b = b[32+chunkRow:]
	i.identity = binary.BigEndian.Uint32(b)
	i.from, i.to = int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint64(b[12:]))
	i.whole = b[20] != 0
	return i
}

// sum returns the checksum of a chunk: bound to the journal and its place, so that a whole chunk in the wrong place is
// as wrong as a flipped bit.
func sum(id journal.ID, offset int64, data []byte) uint32 {
	var place [24]byte
	copy(place[:], id[:])
	binary.BigEndian.PutUint64(place[16:], uint64(offset))
	return crc32c.Update(crc32c.Checksum(place[:]), data)
}

// Boot is which events of a file are of one boot.
type Boot struct {
	ID          journal.BootID
	First, Last journal.Seq
}

// keyframe is a snapshot that a file has, and how large that is.
type keyframe struct {
	seq   journal.Seq
	bytes int64
}

// header is what a packed file says of itself, in its footer.
type header struct {
	format, minReader int
	id                journal.ID
	network, node     string
	first, last       journal.Seq
	from, to          journal.Clock // of the first and last event
	before, after     journal.Hash  // of the record before the first, and of the last
	boots             []Boot
	kinds             [256]uint64  // events by kind
	content           journal.Hash // SHA-256 of all bytes before the footer
	previous          journal.Hash // content of the file before; zero if there is none
	keyframes         []keyframe   // ascending
	frames            int
	identities        uint64
	sections          map[int]chunk
}

// footerKeys is the number of keys of the footer's map.
const footerKeys = 18

func appendClock(b []byte, c journal.Clock) []byte {
	b = wire.AppendFixed64(wire.AppendArray(b, 5), msgpcode.Int64, uint64(c.Wall))
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(c.BootTime))
	b = wire.AppendBool(wire.AppendBin(b, c.Boot[:]), c.Synchronised)
	return wire.AppendUint(b, uint64(c.MaxError/time.Microsecond))
}

// encode returns the footer with its trailer.
func (h *header) encode() []byte {
	b := wire.AppendMap(nil, footerKeys)
	number := func(key string, v uint64) { b = wire.AppendUint(wire.AppendString(b, key), v) }
	bin := func(key string, v []byte) { b = wire.AppendBin(wire.AppendString(b, key), v) }
	number("format", uint64(h.format))
	number("min_reader", uint64(h.minReader))
	bin("journal", h.id[:])
	b = wire.AppendString(wire.AppendString(b, "network"), h.network)
	b = wire.AppendString(wire.AppendString(b, "node"), h.node)
	number("first", uint64(h.first))
	number("last", uint64(h.last))
	b = appendClock(wire.AppendString(b, "first_clock"), h.from)
	b = appendClock(wire.AppendString(b, "last_clock"), h.to)
	bin("before", h.before[:])
	bin("after", h.after[:])
	b = wire.AppendArray(wire.AppendString(b, "boots"), len(h.boots))
	for _, boot := range h.boots {
		b = wire.AppendBin(wire.AppendArray(b, 3), boot.ID[:])
		b = wire.AppendUint(wire.AppendUint(b, uint64(boot.First)), uint64(boot.Last))
	}
	kinds := 0
	for _, n := range h.kinds {
		if n > 0 {
			kinds++
		}
	}
	b = wire.AppendArray(wire.AppendString(b, "kinds"), kinds)
	for k, n := range h.kinds {
		if n > 0 {
			b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 2), uint64(k)), n)
		}
	}
	bin("content", h.content[:])
	bin("previous", h.previous[:])
	b = wire.AppendArray(wire.AppendString(b, "keyframes"), len(h.keyframes))
	for _, k := range h.keyframes {
		b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 2), uint64(k.seq)), uint64(k.bytes))
	}
	number("identities", h.identities)
	b = wire.AppendArray(wire.AppendString(b, "sections"), len(h.sections))
	for n := range 256 {
		if c, ok := h.sections[n]; ok {
			b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 4), uint64(n)), uint64(c.offset))
			b = wire.AppendFixed32(wire.AppendUint(b, uint64(c.bytes)), c.crc)
		}
	}
	n := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint32(b, crc32c.Checksum(b))
	return append(b, endMagic...)
}

var (
	errNotPacked = errors.New("not a packed file")
	errFooter    = errors.New("footer is wrong")
	errChecksum  = errors.New("checksum does not match")
)

// parseFooter reads what encode wrote, but for the trailer.
func parseFooter(b []byte) (header, error) {
	h := header{sections: make(map[int]chunk)}
	d := wire.NewDecoder(b, "")
	for range d.Map() {
		switch key := d.Str(); key {
		case "format":
			h.format = int(d.AtMost(1 << 20))
		case "min_reader":
			h.minReader = int(d.AtMost(1 << 20))
		case "journal":
			hashInto(&d, h.id[:])
		case "network":
			h.network = d.Str()
		case "node":
			h.node = d.Str()
		case "first":
			h.first = journal.Seq(d.Uint())
		case "last":
			h.last = journal.Seq(d.Uint())
		case "first_clock":
			h.from = readClock(&d)
		case "last_clock":
			h.to = readClock(&d)
		case "before":
			hashInto(&d, h.before[:])
		case "after":
			hashInto(&d, h.after[:])
		case "content":
			hashInto(&d, h.content[:])
		case "previous":
			hashInto(&d, h.previous[:])
		case "identities":
			h.identities = d.AtMost(1 << 32)
		default:
			h.list(&d, key)
		}
	}
	d.End()
	if d.Err() == nil && (h.first == 0 || h.last < h.first || h.last-h.first >= 1<<32 || len(h.boots) == 0) {
		d.Fail(errFooter)
	}
	h.frames = int((h.last-h.first)/frameEvents) + 1
	return h, d.Err()
}

// list reads the footer's lists, and passes over what it doesn't know.
func (h *header) list(d *wire.Decoder, key string) {
	switch key {
	case "boots":
		for range d.Array() {
			d.Tuple(3)
			var boot Boot
			hashInto(d, boot.ID[:])
			boot.First, boot.Last = journal.Seq(d.Uint()), journal.Seq(d.Uint())
			h.boots = append(h.boots, boot)
		}
	case "kinds":
		for range d.Array() {
			d.Tuple(2)
			h.kinds[d.AtMost(255)] += d.Uint()
		}
	case "keyframes":
		for range d.Array() {
			d.Tuple(2)
			h.keyframes = append(h.keyframes, keyframe{journal.Seq(d.Uint()), int64(d.AtMost(1 << 40))})
		}
	case "sections":
		for range d.Array() {
			d.Tuple(4)
			n := int(d.AtMost(1 << 20))
			h.sections[n] = chunk{int64(d.AtMost(1 << 50)), int(d.AtMost(maxSection)), d.Fixed32()}
		}
	default:
		d.Skip()
	}
}

func readClock(d *wire.Decoder) (c journal.Clock) {
	d.Tuple(5)
	c.Wall, c.BootTime = int64(d.Fixed64(msgpcode.Int64)), int64(d.Fixed64(msgpcode.Int64))
	hashInto(d, c.Boot[:])
	c.Synchronised = d.Bool()
	c.MaxError = time.Duration(d.AtMost(1<<40)) * time.Microsecond
	return c
}

// hashInto reads bytes that can only be as many as dst has.
func hashInto(d *wire.Decoder, dst []byte) {
	if b := d.Bin(); len(b) == len(dst) {
		copy(dst, b)
	} else {
		d.Fail(wire.ErrShape)
	}
}
