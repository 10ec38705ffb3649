package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
)

// markerState says how the last call that wrote left the store.
type markerState byte

const (
	stateIdle    markerState = 1 // all that is readable is durable
	stateWriting markerState = 2 // an append is under way, or its process died in it
	stateFailed  markerState = 3 // the disk refused an append and then its undoing
)

// marker is what the lock file holds. It is written in place and never synced: it
// speaks to the processes of this boot, whose page cache it shares. After a reboot
// only its durable event counts, which was synced before the marker named it.
type marker struct {
	state   markerState
	id      ID
	durable Seq  // newest event that was acknowledged or may be
	hash    Hash // of its record
	dev     uint64
	inode   uint64 // of the lock file itself: another one means that this is a copy
	boot    BootID
	pid     uint32
	segment Seq   // writing, failed: first event of the segment that is appended to
	size    int64 // writing, failed: the segment's good length in bytes
	seq     Seq   // writing, failed: first event of the batch
}

const (
	markerVersion = 1
	markerBytes   = 137
)

// encode returns exactly markerBytes bytes: an array of fixed-width values and its CRC-32C.
func (m marker) encode() []byte {
	b := append(make([]byte, 0, markerBytes), msgpcode.FixedArrayLow|13, markerVersion, byte(m.state))
	b = wire.AppendBin(b, m.id[:])
	b = wire.AppendFixed64(b, msgpcode.Uint64, uint64(m.durable))
	b = wire.AppendBin(b, m.hash[:])
	b = wire.AppendFixed64(b, msgpcode.Uint64, m.dev)
	b = wire.AppendFixed64(b, msgpcode.Uint64, m.inode)
	b = wire.AppendBin(b, m.boot[:])
	b = wire.AppendFixed32(b, m.pid)
	b = wire.AppendFixed64(b, msgpcode.Uint64, uint64(m.segment))
	b = wire.AppendFixed64(b, msgpcode.Uint64, uint64(m.size))
	b = wire.AppendFixed64(b, msgpcode.Uint64, uint64(m.seq))
	return binary.BigEndian.AppendUint32(append(b, msgpcode.Uint32), crc32c.Checksum(b))
}

func decodeMarker(b []byte) (marker, error) {
	var m marker
	if len(b) != markerBytes {
		return m, errShort
	}
	if b[markerBytes-5] != msgpcode.Uint32 || binary.BigEndian.Uint32(b[markerBytes-4:]) != crc32c.Checksum(b[:markerBytes-5]) {
		return m, errChecksum
	}
	d := newDecoder(b, "")
	d.Tuple(13)
	if version := d.Code(); version != markerVersion {
		return m, ErrNewer
	}
	m.state = markerState(d.Code())
	d.bytes(m.id[:])
	m.durable = Seq(d.Fixed64(msgpcode.Uint64))
	d.bytes(m.hash[:])
	m.dev = d.Fixed64(msgpcode.Uint64)
	m.inode = d.Fixed64(msgpcode.Uint64)
	d.bytes(m.boot[:])
	m.pid = d.Fixed32()
	m.segment = Seq(d.Fixed64(msgpcode.Uint64))
	m.size = int64(d.Fixed64(msgpcode.Uint64))
	m.seq = Seq(d.Fixed64(msgpcode.Uint64))
	if m.state < stateIdle || m.state > stateFailed || m.size < 0 {
		d.Fail(wire.ErrRange)
	}
	return m, d.failure()
}

// errMarker marks a marker that was read and says nothing, unlike one that can't be read.
var errMarker = errors.New("unreadable marker")

// readMarker reads the marker of an open lock file. One that is torn or damaged is errMarker, and any
// other error but ErrNewer comes from the disk.
func readMarker(f *os.File) (marker, error) {
	var room [markerBytes + 1]byte
	n, err := f.ReadAt(room[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return marker{}, err
	}
	m, err := decodeMarker(room[:n])
	if err != nil && !errors.Is(err, ErrNewer) {
		err = fmt.Errorf("%w: %w", errMarker, err)
	}
	return m, err
}

// Marker is what a lock file tells to those who only look.
type Marker struct {
	ID      ID
	Durable Seq  // newest event that was acknowledged or may be
	Live    bool // of this boot and this very file: calls of this boot keep it
	Fenced  bool // the disk refused a write and its undoing in this boot
}

// InspectMarker reads the marker of the store in dir, more than once if need be: calls overwrite it
// in place. One that can't be read is a *CorruptionError.
func InspectMarker(dir string) (Marker, error) {
	r := &Reader{dir: dir}
	m, same, err := r.marked()
	if err != nil {
		return Marker{}, err
	}
	live := same && m.boot == CurrentBoot()
	return Marker{ID: m.id, Durable: m.durable, Live: live, Fenced: live && (m.state == stateFailed || fenced(m.id))}, nil
}

// MarkCopy gives a copy of a store its lock file: it witnesses the newest event, and names no file that there is, so that readers take
// the store for a copy.
func MarkCopy(dir string, id ID, durable Seq, head Hash) error {
	f, err := createFile(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	_, err = f.Write(marker{state: stateIdle, id: id, durable: durable, hash: head}.encode())
	return errors.Join(err, f.Close())
}

// identity returns a file's device and inode.
func identity(f *os.File) (dev, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return st.Dev, st.Ino, nil
}

// runDir holds a note per fenced journal: it lives exactly as long as the page cache
// that may hold what the disk refused.
const runDir = "/run/leaselog"

func fencePath(id ID) string { return filepath.Join(runDir, id.String()) }

// fenced reports whether the note is there.
func fenced(id ID) bool {
	_, err := os.Lstat(fencePath(id))
	return err == nil
}

// raiseFence leaves the note; where /run can't be written the marker alone has to do.
func raiseFence(id ID, m marker) error {
	if err := os.MkdirAll(runDir, dirMode); err != nil {
		return err
	}
	return os.WriteFile(fencePath(id), m.encode(), fileMode)
}
