package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"sort"
)

// Entries of the sections with entries of one size.
const (
	ownerBytes     = 12 // fingerprint, number of a block of leases
	ownersPerBlock = payloadBytes / ownerBytes
	run4Bytes      = 8 // first and last address
	runs4PerBlock  = payloadBytes / run4Bytes
	run6Bytes      = 32
	runs6PerBlock  = payloadBytes / run6Bytes
)

// maxRecord is the longest lease record: one that has a block to itself.
const maxRecord = payloadBytes - 2 - 2*2

// minRecord is less than any lease record takes with its offset. With it a header can't
// make a reader believe in more leases than the file has room for.
const minRecord = 32

var (
	errOffsets  = errors.New("lease offsets are wrong")
	errOrder    = errors.New("leases out of order")
	errSections = errors.New("sections contradict each other")
)

// leaseBlock is the payload of a block of leases: their number n as 2 bytes, n+1
// offsets of 2 bytes, the records from the first offset on, zeros after the last.
type leaseBlock struct {
	b []byte
	n int
}

// openLeases checks the count alone, which bounds the offsets; each offset is checked
// when it is used.
func openLeases(payload []byte) (leaseBlock, error) {
	n := int(binary.BigEndian.Uint16(payload))
	if n == 0 || 2*n+4 > payloadBytes {
		return leaseBlock{}, errOffsets
	}
	return leaseBlock{payload, n}, nil
}

// record returns the bytes of record i.
func (l leaseBlock) record(i int) ([]byte, error) {
	from, to := int(binary.BigEndian.Uint16(l.b[2+2*i:])), int(binary.BigEndian.Uint16(l.b[4+2*i:]))
	if from < 4+2*l.n || from >= to || to > payloadBytes {
		return nil, errOffsets
	}
	return l.b[from:to], nil
}

// key returns the address of record i.
func (l leaseBlock) key(i int) (key, error) {
	raw, err := l.record(i)
	if err != nil {
		return key{}, err
	}
	p := newParser(raw)
	p.leaseHead()
	k := p.key()
	return k, p.Err()
}

// search returns the first record whose address is not below k.
func (l leaseBlock) search(k key) (int, error) {
	var failed error
	i := sort.Search(l.n, func(i int) bool {
		at, err := l.key(i)
		if err != nil {
			failed = err
		}
		return err != nil || at.compare(k) >= 0
	})
	return i, failed
}

// leases returns a block of leases.
func (s *Snapshot) leases(number uint32) (leaseBlock, error) {
	payload, err := s.payload(number)
	if err != nil {
		return leaseBlock{}, err
	}
	l, err := openLeases(payload)
	if err != nil {
		return leaseBlock{}, s.damagedBlock(number, err)
	}
	return l, nil
}

// damagedBlock is damage somewhere in a block whose checksum is right.
func (s *Snapshot) damagedBlock(number uint32, cause error) error {
	return s.damaged(int64(number)*blockBytes, cause)
}

// lease returns the record of an address. It is good until the next lookup.
func (s *Snapshot) lease(k key) (record, bool, error) {
	sec := s.head.sections[sectionLeases]
	number, ok, err := s.lastBlock(sec, func(number uint32) (bool, error) {
		l, err := s.leases(number)
		if err != nil {
			return false, err
		}
		first, err := l.key(0)
		if err != nil {
			return false, s.damagedBlock(number, err)
		}
		return first.compare(k) <= 0, nil
	})
	if !ok || err != nil {
		return record{}, false, err
	}
	l, err := s.leases(number)
	if err != nil {
		return record{}, false, err
	}
	i, err := l.search(k)
	if err != nil {
		return record{}, false, s.damagedBlock(number, err)
	}
	if i == l.n {
		return record{}, false, nil
	}
	raw, err := l.record(i)
	if err != nil {
		return record{}, false, s.damagedBlock(number, err)
	}
	r, err := parseRecord(raw)
	if err != nil {
		return record{}, false, s.damagedBlock(number, err)
	}
	return r, r.key == k, nil
}

// lastBlock returns the last block of a section that begins at or before what is
// looked for, false if none does.
func (s *Snapshot) lastBlock(sec section, before func(number uint32) (bool, error)) (uint32, bool, error) {
	low, high := uint32(0), sec.blocks // blocks below low begin before it, those from high on after it
	for low < high {
		mid := low + (high-low)/2
		ok, err := before(sec.first + mid)
		if err != nil {
			return 0, false, err
		}
		if ok {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return sec.first + low - 1, low > 0, nil
}

// held calls fn with every record of the attachment that has these bytes and this
// fingerprint. The records are good only during the call, which must not look up more.
func (s *Snapshot) held(packed []byte, print uint64, fn func(*record)) error {
	var room [8]uint32
	blocks, err := s.blocksOf(room[:0], print)
	if err != nil {
		return err
	}
	for i, number := range blocks {
		if i > 0 && blocks[i-1] == number {
			continue // more than one of its leases are in there
		}
		if err := s.heldIn(number, packed, fn); err != nil {
			return err
		}
	}
	return nil
}

// heldIn looks through one block. It reads all of its records' owners: they are in order
// of address, and another owner may have the same fingerprint.
func (s *Snapshot) heldIn(number uint32, packed []byte, fn func(*record)) error {
	sec := s.head.sections[sectionLeases]
	if number < sec.first || number-sec.first >= sec.blocks {
		return s.damaged(-1, errSections)
	}
	l, err := s.leases(number)
	if err != nil {
		return err
	}
	var r record // one for all: fn may make it escape
	for i := range l.n {
		raw, err := l.record(i)
		if err != nil {
			return s.damagedBlock(number, err)
		}
		if !ownedBy(raw, packed) {
			continue
		}
		r, err = parseRecord(raw)
		if err != nil {
			return s.damagedBlock(number, err)
		}
		fn(&r)
	}
	return nil
}

// ownedBy reports whether the bytes after a record's address are those of the owner. That
// is where appendRecord puts them, and no owner's bytes begin another's.
func ownedBy(raw, packed []byte) bool {
	const before = 3 // array, bin8 and its length
	if len(raw) < before {
		return false
	}
	at := before + int(raw[before-1])
	return at < len(raw) && bytes.HasPrefix(raw[at:], packed)
}

// blocksOf appends the blocks of leases that the owner index names for a fingerprint.
// Fingerprints are spread evenly, so the place of one among all numbers is nearly its
// place in the section: the first guess is nearly always right or beside it.
func (s *Snapshot) blocksOf(found []uint32, print uint64) ([]uint32, error) {
	sec := s.head.sections[sectionOwners]
	low, high := uint32(0), sec.blocks // the first entry not below print is in [low, high) or begins high
	if high == 0 {
		return found, nil
	}
	guess, _ := bits.Mul64(print, sec.entries)
	for mid, tries := uint32(guess/ownersPerBlock), 0; high-low > 1; tries++ {
		payload, err := s.payload(sec.first + mid)
		if err != nil {
			return nil, err
		}
		n := s.ownersIn(mid)
		switch {
		case binary.BigEndian.Uint64(payload) >= print:
			// The first of them may be this block's first, which collect comes to by itself.
			high = max(mid, low+1)
		case binary.BigEndian.Uint64(payload[(n-1)*ownerBytes:]) >= print:
			low, high = mid, mid+1
		default:
			low = mid + 1
		}
		// Beside the guess first; halving is for sections that somebody made up.
		switch {
		case tries > 3:
			mid = low + (high-low)/2
		case mid >= high:
			mid = high - 1
		case mid < low:
			mid = low
		}
	}
	return s.collect(found, low, print)
}

// ownersIn returns how many entries block i of the owner index has.
func (s *Snapshot) ownersIn(i uint32) int {
	sec := s.head.sections[sectionOwners]
	return int(min(uint64(ownersPerBlock), sec.entries-uint64(i)*ownersPerBlock))
}

// collect appends the entries of a fingerprint, the first of which is in block i of the owner
// index or begins the next one.
func (s *Snapshot) collect(found []uint32, i uint32, print uint64) ([]uint32, error) {
	sec := s.head.sections[sectionOwners]
	for ; i < sec.blocks; i++ {
		payload, err := s.payload(sec.first + i)
		if err != nil {
			return nil, err
		}
		n := s.ownersIn(i)
		j := sort.Search(n, func(j int) bool { return binary.BigEndian.Uint64(payload[j*ownerBytes:]) >= print })
		for ; j < n; j++ {
			e := payload[j*ownerBytes:]
			if binary.BigEndian.Uint64(e) != print {
				return found, nil
			}
			found = append(found, binary.BigEndian.Uint32(e[8:]))
		}
	}
	return found, nil
}

// runs describes the held runs of one family.
type runs struct {
	sec      section
	size     int
	perBlock int
}

// runs returns the section of a family.
func (s *Snapshot) runs(fam uint64) runs {
	if fam == fam4 {
		return runs{s.head.sections[sectionRuns4], run4Bytes, runs4PerBlock}
	}
	return runs{s.head.sections[sectionRuns6], run6Bytes, runs6PerBlock}
}

// run returns the i-th run: addresses held without a gap, from first to last.
func (s *Snapshot) run(r runs, i uint64) (first, last key, err error) {
	payload, err := s.payload(r.sec.first + uint32(i/uint64(r.perBlock)))
	if err != nil {
		return key{}, key{}, err
	}
	e := payload[int(i%uint64(r.perBlock))*r.size:][:r.size]
	return keyFrom(e[:r.size/2]), keyFrom(e[r.size/2:]), nil
}

// searchRuns returns the index of the first run that ends at or after k: the one that holds k,
// or else the next one, or the number of runs. It looks at blocks first, so
// that it reads one for each halving and not more.
func (s *Snapshot) searchRuns(r runs, k key) (uint64, error) {
	number, ok, err := s.lastBlock(r.sec, func(number uint32) (bool, error) {
		first, _, err := s.run(r, uint64(number-r.sec.first)*uint64(r.perBlock))
		return first.compare(k) <= 0, err
	})
	if !ok || err != nil {
		return 0, err
	}
	from := uint64(number-r.sec.first) * uint64(r.perBlock)
	var failed error
	n := sort.Search(int(min(uint64(r.perBlock), r.sec.entries-from)), func(i int) bool {
		_, last, err := s.run(r, from+uint64(i))
		if err != nil {
			failed = err
		}
		return err != nil || last.compare(k) >= 0
	})
	return from + uint64(n), failed
}

// runFrom returns the last address of the run that holds k, false if k is free. A
// nil Snapshot holds nothing.
func (s *Snapshot) runFrom(k key) (key, bool, error) {
	if s == nil {
		return key{}, false, nil
	}
	r := s.runs(k.fam)
	i, err := s.searchRuns(r, k)
	if err != nil || i == r.sec.entries {
		return key{}, false, err
	}
	first, last, err := s.run(r, i)
	if err != nil || first.compare(k) > 0 {
		return key{}, false, err
	}
	return last, true, nil
}

// fill sets the bits of the page's addresses that are held. A nil Snapshot holds nothing.
func (s *Snapshot) fill(p *page) error {
	if s == nil {
		return nil
	}
	r := s.runs(p.first.fam)
	i, err := s.searchRuns(r, p.first)
	if err != nil {
		return err
	}
	for end := p.first.pageEnd(); i < r.sec.entries; i++ {
		first, last, err := s.run(r, i)
		if err != nil {
			return err
		}
		if first.compare(end) > 0 {
			return nil
		}
		if first.compare(p.first) < 0 {
			first = p.first
		}
		if last.compare(end) > 0 {
			last = end
		}
		// Within a page only lo differs. The bound on n is for a run that ends before it begins.
		for n := last.lo - first.lo + 1; n > 0 && n <= pageAddrs; n-- {
			p.held.add(first)
			first.lo++
		}
	}
	return nil
}

// records calls fn with every record, in the order of the file, and checks that this is
// the order of addresses. Records are good only during the call.
func (s *Snapshot) records(parse parseFunc, fn func(*record) error) error {
	sec := s.head.sections[sectionLeases]
	var before key
	var r record // one for all: fn may make it escape
	return s.scan(sec.first, sec.blocks, func(number uint32, payload []byte) error {
		l, err := openLeases(payload)
		if err != nil {
			return s.damagedBlock(number, err)
		}
		for i := range l.n {
			raw, err := l.record(i)
			if err != nil {
				return s.damagedBlock(number, err)
			}
			err = parse(&r, raw)
			if err == nil && before.compare(r.key) >= 0 {
				err = errOrder
			}
			if err != nil {
				return s.damagedBlock(number, err)
			}
			before = r.key
			if err := fn(&r); err != nil {
				return err
			}
		}
		return nil
	})
}
