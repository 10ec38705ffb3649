package state

import (
	"encoding/binary"

	"github.com/leaselog/leaselog/journal"
)

// BlockBytes is the size of a snapshot's blocks.
const BlockBytes = blockBytes

// MaxRecord is the longest lease record.
const MaxRecord = maxRecord

// Reseal gives every block of a snapshot's bytes the frame and checksum that belong to
// what is in it, so that tests reach what comes after the checksums.
func Reseal(b []byte) {
	if len(b) < blockBytes {
		return
	}
	head := b[payloadOffset:]
	seed := seedOf(journal.ID(head[idOffset:]), journal.Seq(binary.BigEndian.Uint64(head[seqOffset:])))
	for number := uint32(0); len(b) >= blockBytes; number++ {
		seal(b[:blockBytes], number, seed)
		b = b[blockBytes:]
	}
}

// AppendLease encodes a lease as its record.
func AppendLease(b []byte, l *Lease) []byte {
	return appendRecord(b, l, appendOwner(nil, l.Attachment))
}

// DecodeLease reads what AppendLease wrote.
func DecodeLease(raw []byte) (Lease, error) { return decodeLease(raw) }

// ArenaBytes tells how much memory the overlay's records take.
func (st *State) ArenaBytes() int { return st.over.bytes() }

// SortOwners sorts entries of the owner index, given as fingerprint and block.
func SortOwners(entries [][2]uint64) {
	refs := make([]ownerRef, len(entries))
	for i, e := range entries {
		refs[i] = ownerRef{e[0], uint32(e[1])}
	}
	sortOwners(refs)
	for i, r := range refs {
		entries[i] = [2]uint64{r.print, uint64(r.block)}
	}
}

// BlocksRead returns the numbers of the blocks that lookups have read since ForgetBlocks, in order. It is
// exact where a file has no more blocks than lookups keep.
func (s *Snapshot) BlocksRead() []uint32 {
	if s.head.blocks() > cacheSlots {
		panic("state: more blocks than are kept")
	}
	var numbers []uint32
	for i := range s.cache {
		if n := s.cache[i].block; n != 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// ForgetBlocks makes lookups read all blocks anew.
func (s *Snapshot) ForgetBlocks() {
	for i := range s.cache {
		s.cache[i].block = 0
	}
}

// SectionBlocks returns where each section begins and how many blocks it has, in the order of the file: leases,
// owner index, held runs of IPv4, of IPv6.
func (s *Snapshot) SectionBlocks() (sections [4]struct{ First, Blocks uint32 }) {
	for i, sec := range s.head.sections {
		sections[i].First, sections[i].Blocks = sec.first, sec.blocks
	}
	return sections
}
