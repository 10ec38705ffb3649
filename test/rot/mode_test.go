package rot_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// mode is what the marker says of the store that is damaged. Its bytes stand in docs/FORMAT.md.
type mode int

const (
	modeLive     mode = iota // idle, of this boot and file
	modeWriting              // the last event's writer died between write and sync
	modeRebooted             // of another boot
	modeStale                // of another boot, and as old as a marker that no write ever reached: it names the first event
	modeCopy                 // of another file: the store was copied
	modes
)

var modeNames = [...]string{"live", "writing", "rebooted", "stale", "copy"}

func (m mode) String() string { return modeNames[m] }

// durable is the newest event that the marker witnesses.
func (m mode) durable() journal.Seq {
	switch m {
	case modeWriting:
		return lastEvent - 1
	case modeStale:
		return 1
	}
	return lastEvent
}

// here reports whether a reader takes the marker's word for where the journal ends.
func (m mode) here() bool { return m == modeLive || m == modeWriting }

// Offsets in the marker.
const (
	markerState   = 2
	markerDurable = 22
	markerHash    = 32
	markerDev     = 65
	markerInode   = 74
	markerBoot    = 84
	markerSegment = 106
	markerSize    = 115
	markerSeq     = 124
	markerSum     = 133
	markerBytes   = 137
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// marker returns the store's marker in a mode, for a lock file of this identity.
func (f *fixture) marker(m mode, dev, inode uint64) []byte {
	b := append([]byte(nil), f.files[lockFile]...)
	put := func(at int, v uint64) { binary.BigEndian.PutUint64(b[at:], v) }
	put(markerDev, dev)
	put(markerInode, inode)
	put(markerDurable, uint64(m.durable()))
	hash := journal.RecordHash(f.entry(m.durable()).raw)
	copy(b[markerHash:], hash[:])
	switch m {
	case modeWriting:
		b[markerState] = 2
		put(markerSegment, uint64(live[len(live)-1]))
		put(markerSize, uint64(f.entry(lastEvent).from))
		put(markerSeq, lastEvent)
	case modeRebooted, modeStale:
		b[markerBoot] ^= 0xff
	case modeCopy:
		put(markerInode, inode+1)
	}
	binary.BigEndian.PutUint32(b[markerSum:], crc32.Checksum(b[:markerSum-1], castagnoli))
	return b
}

// identity returns a file's device and inode.
func identity(t testing.TB, path string) (dev, inode uint64) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	return sys.Dev, sys.Ino
}
