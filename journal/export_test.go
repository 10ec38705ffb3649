package journal

import (
	"encoding/binary"
	"os"
	"sync"
)

// Hooks for tests of this package alone.

const (
	SegmentBytes  = segmentBytes
	PreallocBytes = preallocBytes
	ReserveBytes  = reserveBytes
	MarkerBytes   = markerBytes
)

// Marker states, for SetMarker.
const (
	StateIdle    = byte(stateIdle)
	StateWriting = byte(stateWriting)
	StateFailed  = byte(stateFailed)
)

// EditMarker rewrites a marker's bytes with some fields changed.
func EditMarker(b []byte, state byte, durable Seq, hash Hash, segment Seq, size int64, boot *BootID) ([]byte, error) {
	m, err := decodeMarker(b)
	if err != nil {
		return nil, err
	}
	m.state, m.segment, m.size, m.seq = markerState(state), segment, size, durable+1
	m.durable, m.hash = durable, hash
	if boot != nil {
		m.boot = *boot
	}
	return m.encode(), nil
}

// TryFlock takes the flock of an open file if nobody has it.
func TryFlock(f *os.File) (bool, error) { return tryFlock(f) }

// FencePath is where a fenced journal is noted.
func FencePath(id ID) string { return fencePath(id) }

// EncodeMeta returns the bytes of META.
func (m Meta) EncodeMeta() []byte { return m.encode() }

// DecodeHeaderPlainly reads a record's fixed part value by value, as where it is not as it should be. It returns the number
// of the event's elements.
func DecodeHeaderPlainly(record []byte) (ev Event, elements int, err error) {
	d := newDecoder(record, string(record))
	elements = d.plainHeader(&ev)
	return ev, elements, d.failure()
}

// DecodeHeader reads it at once, and reports whether that was possible.
func DecodeHeader(record []byte) (ev Event, elements int, ok bool) {
	d := newDecoder(record, string(record))
	elements, ok = d.header(&ev)
	return ev, elements, ok
}

// Reseal gives a changed record a checksum that fits, so that tests reach what lies behind it.
func Reseal(id ID, seq Seq, record []byte) {
	if n := len(record); n >= minRecord {
		crc := checksum(id, seq, record[:n-trailerBytes])
		record[n-trailerBytes] = 0xce
		binary.BigEndian.PutUint32(record[n-trailerBytes+1:], crc)
		record[n-1] = sentinel
	}
}

// OnListing has the reader call f before and after each listing.
func (r *Reader) OnListing(f func(done bool)) { r.onListing = f }

// NewMarker returns the bytes of an idle marker of device 1 and inode 2.
func NewMarker(id ID, durable Seq, hash Hash, boot BootID) []byte {
	return marker{state: stateIdle, id: id, durable: durable, hash: hash, dev: 1, inode: 2, boot: boot, pid: 4242}.encode()
}

// OpenReaderDuring is OpenReader with something that happens once while the end is looked for.
func OpenReaderDuring(dir string, f func()) (*Reader, error) {
	meta, err := ReadMeta(dir)
	if err != nil {
		return nil, err
	}
	return openReader(dir, meta, false, sync.OnceFunc(f))
}

// NetworkFS names a network file system by its magic number.
func NetworkFS(magic int64) string { return networkFS(magic) }

// SyncAncestors makes the names of a folder and of those above it durable.
func SyncAncestors(path string) error { return syncAncestors(path) }

// RawField returns a field that is kept as it stands.
func RawField(ev *Event, key int) []byte {
	for _, f := range ev.extra {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// SetRawField sets one.
func SetRawField(ev *Event, key int, value []byte) { ev.setSkippable(key, value) }
