package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
	"github.com/leaselog/leaselog/journal"
)

// Versions of the snapshot format. A file says which version wrote it and which is the
// first that can read it; both are a single byte, so at most 127.
const (
	formatName    = "leaselog snapshot"
	formatVersion = 1
	formatReader  = 1
)

// The header is one msgpack map over the payloads of the header blocks, zeros after it.
// Its keys are in this order. What must be known before anything else can be
// read is at constant offsets: those are for all versions.
const (
	headerKeys    = 14
	versionOffset = 34 // positive fixint
	readerOffset  = 46 // positive fixint
	idOffset      = 57 // 16 bytes
	seqOffset     = 78 // 8 bytes
	blocksOffset  = 95 // 4 bytes: how many header blocks there are
	fixedPart     = 99
)

// The sections, in the order of the file. The numbers are on disk.
const (
	sectionLeases = iota
	sectionOwners
	sectionRuns4
	sectionRuns6
	sections
)

// header is what the header blocks say. Its slices never change once it is read: states
// over the snapshot share them.
type header struct {
	version  byte
	id       journal.ID
	seq      journal.Seq
	hash     journal.Hash
	network  string
	clock    journal.Clock
	leases   uint64
	sections [sections]section
	cursors  []journal.Cursor
	configs  []config
}

// section is where a part of the file is.
type section struct {
	first, blocks uint32
	entries       uint64
}

// appendKey appends a key of the header's map.
func appendKey(b []byte, s string) []byte { return wire.AppendString(b, s) }

// append appends the header's map. Counts have fixed widths, so that its length and
// with it the first block of leases are known before the leases are counted.
func (h *header) append(b []byte) []byte {
	start := len(b)
	b = append(b, msgpcode.FixedMapLow|headerKeys)
	b = wire.AppendString(appendKey(b, "format"), formatName)
	b = append(appendKey(b, "version"), formatVersion)
	b = append(appendKey(b, "min_reader"), formatReader)
	b = wire.AppendBin(appendKey(b, "journal"), h.id[:])
	b = wire.AppendFixed64(appendKey(b, "seq"), msgpcode.Uint64, uint64(h.seq))
	b = wire.AppendFixed32(appendKey(b, "headers"), 0)
	b = wire.AppendBin(appendKey(b, "head"), h.hash[:])
	b = wire.AppendString(appendKey(b, "network"), h.network)
	b = appendClock(appendKey(b, "clock"), &h.clock)
	b = wire.AppendFixed64(appendKey(b, "leases"), msgpcode.Uint64, h.leases)
	b = appendArray(appendKey(b, "sections"), sections)
	for i, s := range h.sections {
		b = appendArray(b, 4)
		b = append(b, byte(i+1))
		b = wire.AppendFixed32(wire.AppendFixed32(b, s.first), s.blocks)
		b = wire.AppendFixed64(b, msgpcode.Uint64, s.entries)
	}
	b = wire.AppendFixed32(appendKey(b, "blocks"), h.blocks())
	b = appendArray(appendKey(b, "cursors"), len(h.cursors))
	for _, c := range h.cursors {
		b = wire.AppendAddr(wire.AppendUint(appendArray(b, 2), uint64(c.Set)), c.IP)
	}
	b = appendArray(appendKey(b, "configs"), len(h.configs))
	for _, c := range h.configs {
		b = wire.AppendUint(wire.AppendBin(appendArray(b, 2), c.digest[:]), uint64(c.seq))
	}
	binary.BigEndian.PutUint32(b[start+blocksOffset:], blocksFor(uint64(len(b)-start), payloadBytes))
	return b
}

// blocks returns the file's size in blocks.
func (h *header) blocks() uint32 {
	last := h.sections[sections-1]
	return last.first + last.blocks
}

// blocksFor returns how many blocks entries of one size take.
func blocksFor(entries uint64, perBlock int) uint32 {
	return uint32((entries + uint64(perBlock) - 1) / uint64(perBlock))
}

var (
	errNotSnapshot = errors.New("not a snapshot")
	errHeader      = errors.New("header contradicts itself")
	errPadding     = errors.New("padding is not zero")
)

// checkFixedPart checks the first block's payload as far as every version has it. With
// the keys in their places the offsets are right; the checksum can be looked at only after
// that, since it needs the journal ID and seq.
func checkFixedPart(b []byte) error {
	p := newParser(b)
	if c := p.Code(); c < msgpcode.FixedMapLow || c > msgpcode.FixedMapHigh {
		return errNotSnapshot
	}
	if p.skipKey("format"); string(p.StrBytes()) != formatName || p.Err() != nil {
		return errNotSnapshot
	}
	p.skipKey("version")
	p.Code()
	p.skipKey("min_reader")
	p.Code()
	p.skipKey("journal")
	p.bin(len(journal.ID{}))
	p.skipKey("seq")
	p.Fixed64(msgpcode.Uint64)
	p.skipKey("headers")
	p.Fixed32()
	return p.Err()
}

// skipKey reads a key of the header and checks that it is the one that belongs there.
func (p *parser) skipKey(name string) {
	if !bytes.Equal(p.StrBytes(), []byte(name)) {
		p.Fail(fmt.Errorf("header has no %q where it belongs", name))
	}
}

// parseHeader reads the payloads of all header blocks. Of a later version it reads what
// it knows and leaves what follows.
func parseHeader(b []byte) (header, error) {
	h := header{version: b[versionOffset], id: journal.ID(b[idOffset:]), seq: journal.Seq(binary.BigEndian.Uint64(b[seqOffset:]))}
	p := newParser(b[fixedPart:])
	p.skipKey("head")
	copy(h.hash[:], p.bin(len(h.hash)))
	p.skipKey("network")
	h.network = string(p.StrBytes())
	p.skipKey("clock")
	h.clock = p.clock()
	p.skipKey("leases")
	h.leases = p.Fixed64(msgpcode.Uint64)
	p.skipKey("sections")
	p.tuple(sections)
	for i := range h.sections {
		h.sections[i] = p.section(byte(i + 1))
	}
	p.skipKey("blocks")
	blocks := p.Fixed32()
	p.headerCursors(&h)
	p.headerConfigs(&h)
	if p.Err() != nil {
		return h, p.Err()
	}
	if blocks != h.blocks() {
		return h, errHeader
	}
	if h.version == formatVersion && (b[0] != msgpcode.FixedMapLow|headerKeys || b[readerOffset] != formatReader) {
		return h, errHeader
	}
	if h.version == formatVersion && len(bytes.TrimLeft(p.Rest(), "\x00")) > 0 {
		return h, errPadding
	}
	return h, h.check(binary.BigEndian.Uint32(b[blocksOffset:]))
}

// section reads the entry of the section with this number.
func (p *parser) section(number byte) section {
	p.tuple(4)
	p.Expect(number)
	return section{first: p.Fixed32(), blocks: p.Fixed32(), entries: p.Fixed64(msgpcode.Uint64)}
}

// headerCursors reads the cursors. They are in order, for binary search and because
// each state has only one snapshot.
func (p *parser) headerCursors(h *header) {
	p.skipKey("cursors")
	n := p.array()
	if n > 0 {
		h.cursors = make([]journal.Cursor, 0, n)
	}
	for range n {
		p.tuple(2)
		c := journal.Cursor{Set: int(p.AtMost(math.MaxInt))}
		if k := p.key(); p.Err() == nil {
			c.IP = k.addr()
		}
		if n := len(h.cursors); n > 0 && h.cursors[n-1].Set >= c.Set {
			p.Fail(errHeader)
		}
		if p.Err() != nil {
			return
		}
		h.cursors = append(h.cursors, c)
	}
}

// headerConfigs reads the configurations, oldest first: the next one to be forgotten is
// the first.
func (p *parser) headerConfigs(h *header) {
	p.skipKey("configs")
	n := p.array()
	if n > maxConfigs {
		p.Fail(wire.ErrRange)
		return
	}
	if n > 0 {
		h.configs = make([]config, 0, n)
	}
	for range n {
		p.tuple(2)
		var c config
		copy(c.digest[:], p.bin(len(c.digest)))
		c.seq = journal.Seq(p.Uint())
		for _, before := range h.configs {
			if before.seq >= c.seq || before.digest == c.digest {
				p.Fail(errHeader)
			}
		}
		if c.seq > h.seq || p.Err() != nil {
			p.Fail(errHeader)
			return
		}
		h.configs = append(h.configs, c)
	}
}

// check tells whether the sections follow one another and have the sizes that their
// entries need. What the entries are, only Verify looks at.
func (h *header) check(headers uint32) error {
	per := [sections]int{sectionOwners: ownersPerBlock, sectionRuns4: runs4PerBlock, sectionRuns6: runs6PerBlock}
	next := uint64(headers) // where the next section has to begin
	for i, s := range h.sections {
		if uint64(s.first) != next || s.entries > h.leases {
			return errHeader
		}
		if i != sectionLeases && s.entries > math.MaxUint32 || i != sectionLeases && s.blocks != blocksFor(s.entries, per[i]) {
			return errHeader
		}
		next += uint64(s.blocks)
	}
	leases, runs := h.sections[sectionLeases], h.sections[sectionRuns4].entries+h.sections[sectionRuns6].entries
	switch {
	case next > math.MaxUint32, leases.entries != h.leases:
		return errHeader
	// No block of leases is empty, and none has more than fit.
	case h.leases < uint64(leases.blocks), h.leases > uint64(leases.blocks)*(payloadBytes/minRecord):
		return errHeader
	// Each lease is in a run, and no run is without one.
	case (h.leases == 0) != (runs == 0), runs > h.leases:
		return errHeader
	}
	return nil
}
