package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
	"github.com/leaselog/leaselog/journal"
)

// A snapshot file is a row of blocks. Each is two msgpack values:
//
//	c5 0f f8  4088 bytes of payload  ce  crc32c
//
// The checksum covers journal ID, seq, the block's number and the payload, so that a
// whole block in the wrong place or file is as wrong as a flipped bit.
const (
	blockBytes    = 4096
	payloadOffset = 3
	payloadBytes  = 4088
	crcOffset     = payloadOffset + payloadBytes
)

// scanBlocks is how many blocks a walk through a section reads at once.
const scanBlocks = 64

// cacheSlots bounds the memory of lookups to 1 MiB. They ask for the same few blocks
// again and again: those in the middle of a section, and those around a cursor.
const cacheSlots = 256

// Snapshot is an open snapshot file. It never changes, and its file may be unlinked
// meanwhile. It is not safe for concurrent use, because lookups share its cache.
type Snapshot struct {
	f     io.ReaderAt
	size  int64
	close func() error
	path  string
	head  header
	seed  uint32 // checksum of journal ID and seq, which every block's begins with
	cache [cacheSlots]slot
}

// slot holds the last block read of those that share it. Its bytes are read into again, so
// a payload is good only until the next block is asked for.
type slot struct {
	block uint32 // 0 = empty: the header is not cached
	bytes []byte
}

// SnapshotName returns the file name of the snapshot that covers the events up to seq.
func SnapshotName(seq journal.Seq) string { return fmt.Sprintf("%020d.snap", uint64(seq)) }

// OpenSnapshot opens a snapshot of the journal, or of any journal if id is zero. It reads
// the header alone and leaves the rest to lookups. Damage is a
// *journal.CorruptionError, as is a snapshot of another journal or under another
// snapshot's name; one that only a later version can read wraps journal.ErrNewer.
func OpenSnapshot(path string, id journal.ID) (*Snapshot, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not be waited for
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	s := &Snapshot{f: f, close: f.Close, path: path}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = s.damaged(0, errors.New("not a file"))
	}
	if err == nil {
		s.size = st.Size()
		err = s.readHeader(id)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// OpenSnapshotAt is OpenSnapshot for one that stands within another file, or in memory: it takes size bytes of r, and path is
// what errors call it. Close closes nothing then.
func OpenSnapshotAt(r io.ReaderAt, size int64, path string, id journal.ID) (*Snapshot, error) {
	s := &Snapshot{f: r, size: size, close: func() error { return nil }, path: path}
	if err := s.readHeader(id); err != nil {
		return nil, err
	}
	return s, nil
}

// SnapshotIDs returns the journals that the snapshots in a folder say they belong to; those that can't be read say
// nothing. It helps to identify a store whose META is lost.
func SnapshotIDs(folder string) []journal.ID {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var ids []journal.ID
	for _, e := range entries {
		if !isSnapshotName(e.Name()) {
			continue
		}
		if snap, err := OpenSnapshot(filepath.Join(folder, e.Name()), journal.ID{}); err == nil {
			ids = append(ids, snap.ID())
			_ = snap.Close()
		}
	}
	return ids
}

// readHeader reads and judges block 0: first what all versions have in common, then the
// checksum, and only then what it says.
func (s *Snapshot) readHeader(id journal.ID) error {
	var block [blockBytes]byte
	if n, err := s.f.ReadAt(block[:], 0); err != nil {
		return s.readError(err, int64(n))
	}
	payload := block[payloadOffset:crcOffset]
	if err := checkFixedPart(payload); err != nil {
		return s.damaged(0, err)
	}
	s.head.id = journal.ID(payload[idOffset:])
	s.head.seq = journal.Seq(binary.BigEndian.Uint64(payload[seqOffset:]))
	s.seed = seedOf(s.head.id, s.head.seq)
	if err := checkBlock(block[:], 0, s.seed); err != nil {
		return s.damaged(0, err)
	}
	// From here on it is what somebody wrote.
	if version := payload[versionOffset]; version == 0 || version > msgpcode.PosFixedNumHigh || version < payload[readerOffset] {
		return s.damaged(0, errHeader)
	}
	if payload[readerOffset] > formatVersion {
		return fmt.Errorf("open snapshot %s: for version %d and up: %w", s.path, payload[readerOffset], journal.ErrNewer)
	}
	if id != (journal.ID{}) && id != s.head.id {
		return s.damaged(0, fmt.Errorf("belongs to journal %s, not to %s", s.head.id, id))
	}
	if name := filepath.Base(s.path); name != SnapshotName(s.head.seq) && isSnapshotName(name) {
		return s.damaged(0, fmt.Errorf("holds the state after event %d, against its name", s.head.seq))
	}
	return s.readRest(payload)
}

// readRest reads the header blocks after the first, and what all of them say.
func (s *Snapshot) readRest(payload []byte) error {
	headers := binary.BigEndian.Uint32(payload[blocksOffset:])
	if headers == 0 || int64(headers)*blockBytes > s.size {
		return s.damaged(0, errHeader)
	}
	if headers > 1 {
		payload = append([]byte(nil), payload...)
		err := s.scan(1, headers-1, func(_ uint32, more []byte) error {
			payload = append(payload, more...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	var err error
	if s.head, err = parseHeader(payload); err != nil {
		return s.damaged(0, err)
	}
	if want := int64(s.head.blocks()) * blockBytes; s.size != want {
		return s.damaged(min(s.size, want), fmt.Errorf("file of %d bytes, not %d", s.size, want))
	}
	return nil
}

// isSnapshotName reports whether a file is named as SnapshotName names some snapshot.
func isSnapshotName(name string) bool {
	const digits = 20
	if len(name) != len(SnapshotName(0)) {
		return false
	}
	seq, err := strconv.ParseUint(name[:digits], 10, 64)
	return err == nil && SnapshotName(journal.Seq(seq)) == name
}

// Seq returns the number of the last event that the snapshot covers.
func (s *Snapshot) Seq() journal.Seq { return s.head.seq }

// Head returns the hash of that event's record.
func (s *Snapshot) Head() journal.Hash { return s.head.hash }

// ID returns the journal that the snapshot belongs to.
func (s *Snapshot) ID() journal.ID { return s.head.id }

// Network returns the name of the network whose leases these are.
func (s *Snapshot) Network() string { return s.head.network }

// Len returns the number of leases.
func (s *Snapshot) Len() int { return int(s.head.leases) }

// Close closes the file. States over the snapshot can't be asked any more.
func (s *Snapshot) Close() error {
	if err := s.close(); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// WriteSnapshot writes the state to a new snapshot in dir and returns its path. It is
// durable, name included, before the error is nil; on an error nothing is left. Equal
// states give equal bytes, whatever they were made from. Two calls for one dir must
// not overlap: the caller holds a lock.
func WriteSnapshot(dir string, id journal.ID, network string, st *State) (path string, err error) {
	if st.base != nil && st.base.head.id != id {
		return "", fmt.Errorf("write snapshot of journal %s: leases are of journal %s", id, st.base.head.id)
	}
	tmp := filepath.Join(dir, "tmp."+strconv.Itoa(os.Getpid()))
	if err := writeFile(tmp, id, network, st); err != nil {
		return "", errors.Join(fmt.Errorf("write snapshot: %w", err), removeIfThere(tmp))
	}
	path = filepath.Join(dir, SnapshotName(st.seq))
	if err := os.Rename(tmp, path); err != nil {
		return "", errors.Join(fmt.Errorf("write snapshot: %w", err), removeIfThere(tmp))
	}
	// Once renamed it is whole, so it stays if only its name isn't known to be durable.
	if err := journal.SyncDir(dir); err != nil {
		return "", fmt.Errorf("write snapshot: %w", err)
	}
	return path, nil
}

// writeFile does: unlink what a process of this number left, open(O_EXCL), fchmod,
// pwrite from after the header to the end, pwrite the header, fsync, close.
func writeFile(path string, id journal.ID, network string, st *State) error {
	if err := removeIfThere(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fillFile(f, id, network, st); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// fillFile writes the header last: where the sections are is known only after them.
func fillFile(f *os.File, id journal.ID, network string, st *State) error {
	if err := f.Chmod(0o600); err != nil { // whatever the umask took away
		return err
	}
	b := newBuilder(id, network, st)
	w := bufio.NewWriterSize(io.NewOffsetWriter(f, int64(b.block)*blockBytes), scanBlocks*blockBytes)
	if err := b.build(w, st, readHead); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := f.WriteAt(b.headerBlocks(), 0); err != nil {
		return err
	}
	return f.Sync()
}

// removeIfThere removes a file and doesn't mind if there is none.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// seedOf returns the checksum of what is the same for all blocks of a file.
func seedOf(id journal.ID, seq journal.Seq) uint32 {
	b := binary.BigEndian.AppendUint64(id[:], uint64(seq))
	return crc32c.Checksum(b)
}

// checksum returns the checksum of a block with this number and payload.
func checksum(seed, number uint32, payload []byte) uint32 {
	return crc32c.Update(crc32c.UpdateUint32(seed, number), payload)
}

// seal fills in what is around the payload of a block.
func seal(block []byte, number, seed uint32) {
	block[0] = msgpcode.Bin16
	binary.BigEndian.PutUint16(block[1:], payloadBytes)
	block[crcOffset] = msgpcode.Uint32
	binary.BigEndian.PutUint32(block[crcOffset+1:], checksum(seed, number, block[payloadOffset:crcOffset]))
}

var (
	errFrame    = errors.New("not a block")
	errChecksum = errors.New("checksum does not match")
)

// checkBlock tells whether the bytes are the block of this number in this file.
func checkBlock(block []byte, number, seed uint32) error {
	if block[0] != msgpcode.Bin16 || binary.BigEndian.Uint16(block[1:]) != payloadBytes || block[crcOffset] != msgpcode.Uint32 {
		return errFrame
	}
	if checksum(seed, number, block[payloadOffset:crcOffset]) != binary.BigEndian.Uint32(block[crcOffset+1:]) {
		return errChecksum
	}
	return nil
}

// payload returns a block's payload. It is good until the next call.
func (s *Snapshot) payload(number uint32) ([]byte, error) {
	c := &s.cache[number%cacheSlots]
	if c.block == number && number != 0 {
		return c.bytes[payloadOffset:crcOffset], nil
	}
	if c.bytes == nil {
		c.bytes = make([]byte, blockBytes)
	}
	c.block = 0 // until it is known to be good
	at := int64(number) * blockBytes
	if n, err := s.f.ReadAt(c.bytes, at); err != nil {
		return nil, s.readError(err, at+int64(n))
	}
	if err := checkBlock(c.bytes, number, s.seed); err != nil {
		return nil, s.damaged(at, err)
	}
	c.block = number
	return c.bytes[payloadOffset:crcOffset], nil
}

// scan calls fn with the payloads of n blocks from first on, past the cache.
func (s *Snapshot) scan(first, n uint32, fn func(number uint32, payload []byte) error) error {
	buf := make([]byte, min(n, scanBlocks)*blockBytes)
	for n > 0 {
		buf = buf[:min(n, scanBlocks)*blockBytes]
		at := int64(first) * blockBytes
		if m, err := s.f.ReadAt(buf, at); err != nil {
			return s.readError(err, at+int64(m))
		}
		for b := buf; len(b) > 0; b = b[blockBytes:] {
			if err := checkBlock(b, first, s.seed); err != nil {
				return s.damaged(int64(first)*blockBytes, err)
			}
			if err := fn(first, b[payloadOffset:crcOffset]); err != nil {
				return err
			}
			first++
			n--
		}
	}
	return nil
}

// readError tells a file that is too short, which is damage, from one that can't be read.
func (s *Snapshot) readError(err error, at int64) error {
	if errors.Is(err, io.EOF) {
		return s.damaged(at, wire.ErrShort)
	}
	return fmt.Errorf("read snapshot: %w", err)
}

// damaged names the place of damage, -1 if it has none.
func (s *Snapshot) damaged(at int64, cause error) error {
	return &journal.CorruptionError{File: s.path, Seq: s.head.seq, Offset: at, Cause: cause}
}
