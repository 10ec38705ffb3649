package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// builder turns leases, given in order of address, into the blocks of a snapshot. What
// it makes depends on the leases and the header alone: Verify relies on it, by
// building a snapshot again from its own leases.
type builder struct {
	w     io.Writer
	head  header
	seed  uint32
	block uint32 // number of the next block to be written

	buf     [blockBytes]byte
	offsets []uint16 // of the records in records
	records []byte   // of the block of leases that is being filled

	owners      []ownerRef
	first, last key // the run that is being extended; its family is 0 before the first lease
	runs        [2][]byte
}

// ownerRef is an entry of the owner index.
type ownerRef struct {
	print uint64
	block uint32
}

// ownersDealt is how many entries of the owner index share a bucket while it is sorted.
const ownersDealt = 8

// newBuilder makes a builder that has left room for the header.
func newBuilder(id journal.ID, network string, st *State) *builder {
	b := &builder{
		head: header{
			version: formatVersion,
			id:      id,
			seq:     st.seq,
			hash:    st.head,
			network: network,
			clock:   st.clock,
			leases:  uint64(st.held),
			cursors: st.cursors,
			configs: st.configs,
		},
		seed:   seedOf(id, st.seq),
		owners: make([]ownerRef, 0, st.held),
	}
	b.block = blocksFor(uint64(len(b.head.append(nil))), payloadBytes)
	return b
}

// build writes all blocks but those of the header. parse reads the leases of the snapshot below.
func (b *builder) build(w io.Writer, st *State, parse parseFunc) error {
	b.w = w
	// The leases go out as they come. What the other sections need of them is kept: 12 bytes for
	// an owner, two addresses for a run.
	first := b.block
	if err := st.records(parse, b.add); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	b.head.sections[sectionLeases] = section{first, b.block - first, b.head.leases}
	sortOwners(b.owners)
	b.endRun()
	if err := b.ownerSection(); err != nil {
		return err
	}
	if err := b.section(sectionRuns4, b.runs[0], run4Bytes); err != nil {
		return err
	}
	return b.section(sectionRuns6, b.runs[1], run6Bytes)
}

// sortOwners puts the entries in order of fingerprint. Ties are broken by block: nothing may
// depend on the order of equal entries. Fingerprints are evenly spread, so dealing them out by
// their first bits leaves a handful to be compared with each other, where sorting all of them
// would take as long as reading their leases.
func sortOwners(owners []ownerRef) {
	size := bits.Len(uint(len(owners)) / ownersDealt)
	bucket := func(o ownerRef) int { return int(o.print >> 1 >> (63 - size)) } // a shift by 64 if there is one bucket
	ends := make([]int, 1<<size)
	for _, o := range owners {
		ends[bucket(o)]++
	}
	next := make([]int, len(ends)) // of each bucket: the first place that may hold another's entry
	for i := 1; i < len(ends); i++ {
		next[i] = ends[i-1]
		ends[i] += ends[i-1]
	}
	for i, end := range ends {
		start := 0
		if i > 0 {
			start = ends[i-1]
		}
		for next[i] < end {
			o := &owners[next[i]]
			j := bucket(*o)
			if j != i {
				*o, owners[next[j]] = owners[next[j]], *o
			}
			next[j]++
		}
		slices.SortFunc(owners[start:end], func(x, y ownerRef) int {
			return cmp.Or(cmp.Compare(x.print, y.print), cmp.Compare(x.block, y.block))
		})
	}
}

// headerBlocks returns the header blocks of what was built.
func (b *builder) headerBlocks() []byte {
	head := b.head.append(nil)
	var blocks []byte
	for number := uint32(0); len(head) > 0; number++ {
		n := min(len(head), payloadBytes)
		blocks = append(blocks, make([]byte, blockBytes)...)
		block := blocks[len(blocks)-blockBytes:]
		copy(block[payloadOffset:], head[:n])
		seal(block, number, b.seed)
		head = head[n:]
	}
	return blocks
}

// add takes the next lease.
func (b *builder) add(r *record) error {
	// Count, offsets of the records with this one and of their end, records.
	if 2+2*(len(b.offsets)+2)+len(b.records)+len(r.raw) > payloadBytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.offsets = append(b.offsets, uint16(len(b.records)))
	b.records = append(b.records, r.raw...)
	if !r.blocked() {
		b.owners = append(b.owners, ownerRef{r.fingerprint(), b.block})
	}
	// A run ends where an address is missing, and with its family.
	next, more := b.last.next()
	if b.first.fam == 0 || !more || next != r.key {
		b.endRun()
		b.first = r.key
	}
	b.last = r.key
	return nil
}

// endRun notes the run that goes up to the last lease, if there is one.
func (b *builder) endRun() {
	switch b.first.fam {
	case fam4:
		b.runs[0] = b.last.append(b.first.append(b.runs[0]))
	case fam6:
		b.runs[1] = b.last.append(b.first.append(b.runs[1]))
	}
}

// flush writes the block of leases that has been filled, if there is something in it.
func (b *builder) flush() error {
	n := len(b.offsets)
	if n == 0 {
		return nil
	}
	start := 2 + 2*(n+1)
	head := binary.BigEndian.AppendUint16(b.buf[payloadOffset:payloadOffset], uint16(n))
	for _, off := range b.offsets {
		head = binary.BigEndian.AppendUint16(head, uint16(start)+off)
	}
	binary.BigEndian.AppendUint16(head, uint16(start+len(b.records)))
	used := payloadOffset + start + copy(b.buf[payloadOffset+start:crcOffset], b.records)
	clear(b.buf[used:]) // the last block may have reached further
	b.offsets, b.records = b.offsets[:0], b.records[:0]
	return b.write()
}

// section writes entries of one size as a section.
func (b *builder) section(which int, entries []byte, size int) error {
	b.head.sections[which] = section{first: b.block, entries: uint64(len(entries) / size)}
	whole := payloadBytes / size * size
	for len(entries) > 0 {
		n := min(whole, len(entries))
		copy(b.buf[payloadOffset:], entries[:n])
		clear(b.buf[payloadOffset+n:])
		if err := b.write(); err != nil {
			return err
		}
		entries = entries[n:]
	}
	b.head.sections[which].blocks = b.block - b.head.sections[which].first
	return nil
}

// ownerSection writes the owner index from where it was sorted: as bytes it would be there twice.
func (b *builder) ownerSection() error {
	b.head.sections[sectionOwners] = section{first: b.block, entries: uint64(len(b.owners))}
	for left := b.owners; len(left) > 0; {
		n := min(ownersPerBlock, len(left))
		entries := b.buf[payloadOffset:payloadOffset]
		for _, o := range left[:n] {
			entries = binary.BigEndian.AppendUint64(entries, o.print)
			entries = binary.BigEndian.AppendUint32(entries, o.block)
		}
		clear(b.buf[payloadOffset+len(entries):])
		if err := b.write(); err != nil {
			return err
		}
		left = left[n:]
	}
	b.head.sections[sectionOwners].blocks = b.block - b.head.sections[sectionOwners].first
	return nil
}

// write seals the block in buf and hands it on.
func (b *builder) write() error {
	seal(b.buf[:], b.block, b.seed)
	b.block++
	_, err := b.w.Write(b.buf[:])
	return err
}

// Verify reads the whole snapshot: every checksum, every lease, and whether it is bit for
// bit what its leases, cursors and configurations lead to. Damage is a
// *journal.CorruptionError. Lookups don't need it: they check the blocks that they read.
func (s *Snapshot) Verify() error { return s.Matches(Over(s)) }

// Matches reads the whole snapshot and returns a *journal.CorruptionError unless it is bit for bit
// what WriteSnapshot would write of the state. A header of a later version is not compared.
func (s *Snapshot) Matches(st *State) error {
	b := newBuilder(s.head.id, s.head.network, st)
	if s.head.version != formatVersion {
		b.block = s.head.sections[sectionLeases].first // its header may be longer than ours
	}
	same := &comparer{s: s, block: b.block}
	if err := b.build(same, st, readWhole); err != nil {
		return err
	}
	if b.head.sections != s.head.sections {
		return s.damaged(-1, errSections)
	}
	if s.head.version != formatVersion {
		return nil // the header's other keys are not ours to judge
	}
	header := &comparer{s: s}
	_, err := header.Write(b.headerBlocks())
	return err
}

// comparer is a Writer that checks what is written against the snapshot's blocks.
type comparer struct {
	s     *Snapshot
	block uint32
}

// Write takes whole blocks.
func (c *comparer) Write(p []byte) (int, error) {
	for done := 0; done < len(p); done += blockBytes {
		if err := c.compare(p[done:][:blockBytes]); err != nil {
			return done, err
		}
		c.block++
	}
	return len(p), nil
}

// compare checks one block. Equal bytes have the right checksum, so it is looked at only
// to tell a flipped bit from a block that was wrong when it was written.
func (c *comparer) compare(want []byte) error {
	if c.block >= c.s.head.blocks() {
		return c.s.damaged(-1, errSections)
	}
	var got [blockBytes]byte
	at := int64(c.block) * blockBytes
	if n, err := c.s.f.ReadAt(got[:], at); err != nil {
		return c.s.readError(err, at+int64(n))
	}
	if !bytes.Equal(got[:], want) {
		if err := checkBlock(got[:], c.block, c.s.seed); err != nil {
			return c.s.damaged(at, err)
		}
		return c.s.damaged(at, fmt.Errorf("block %d is not what the leases lead to", c.block))
	}
	return nil
}
