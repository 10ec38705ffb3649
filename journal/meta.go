package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
)

// Names in a store's folder.
const (
	metaName       = "META"
	lockName       = "lock"
	journalName    = "journal"
	snapName       = "snap"
	archiveName    = "archive"
	quarantineName = "quarantine"
	reserveName    = "reserve"
	nextName       = "next" // a segment in the making
)

// formatVersion is what this version writes and all that it can read.
const formatVersion = 1

// Meta says what a store is. It is written once, when the store is created.
type Meta struct {
	Format    int // of the store as it was created
	MinReader int // versions of the format below this can't read it
	MinWriter int // versions of the format below this can't write to it
	ID        ID
	Network   string
	Created   time.Time
	Node      string // host name
	DataDir   string // folder whose network it was created for
}

// metaLimit bounds what is read as META.
const metaLimit = 64 << 10

// encode returns META's bytes: an array of a map and the CRC-32C of the map's bytes.
func (m Meta) encode() []byte {
	b := wire.AppendMap(wire.AppendArray(nil, 2), 8)
	b = wire.AppendUint(wire.AppendString(b, "format"), uint64(m.Format))
	b = wire.AppendUint(wire.AppendString(b, "min_reader"), uint64(m.MinReader))
	b = wire.AppendUint(wire.AppendString(b, "min_writer"), uint64(m.MinWriter))
	b = wire.AppendBin(wire.AppendString(b, "journal"), m.ID[:])
	b = wire.AppendString(wire.AppendString(b, "network"), m.Network)
	b = wire.AppendFixed64(wire.AppendString(b, "created"), msgpcode.Int64, uint64(m.Created.UnixNano()))
	b = wire.AppendString(wire.AppendString(b, "node"), m.Node)
	b = wire.AppendString(wire.AppendString(b, "data_dir"), m.DataDir)
	return binary.BigEndian.AppendUint32(append(b, msgpcode.Uint32), crc32c.Checksum(b[1:]))
}

func decodeMeta(b []byte) (Meta, error) {
	const trailer = 5
	if len(b) < 1+trailer || b[len(b)-trailer] != msgpcode.Uint32 {
		return Meta{}, wire.ErrShape
	}
	body := b[:len(b)-trailer]
	if binary.BigEndian.Uint32(b[len(b)-trailer+1:]) != crc32c.Checksum(body[1:]) {
		return Meta{}, errChecksum
	}
	d := newDecoder(body, string(body))
	var m Meta
	d.Tuple(2)
	for range d.Map() {
		switch key := d.Str(); key {
		case "format":
			m.Format = d.small(1 << 20)
		case "min_reader":
			m.MinReader = d.small(1 << 20)
		case "min_writer":
			m.MinWriter = d.small(1 << 20)
		case "journal":
			d.bytes(m.ID[:])
		case "network":
			m.Network = d.Str()
		case "created":
			m.Created = time.Unix(0, int64(d.Fixed64(msgpcode.Int64))).UTC()
		case "node":
			m.Node = d.Str()
		case "data_dir":
			m.DataDir = d.Str()
		default:
			d.Skip()
		}
	}
	d.End()
	if m.ID == (ID{}) {
		d.Fail(errEmpty)
	}
	return m, d.failure()
}

// ReadMeta reads what the store in dir is. It returns ErrNoStore if there is none,
// ErrNewer if this version can't read it, and a *CorruptionError if META is
// damaged, or missing beside a journal.
func ReadMeta(dir string) (Meta, error) {
	path := filepath.Join(dir, metaName)
	b, err := readLimited(path, metaLimit)
	if errors.Is(err, fs.ErrNotExist) {
		missing := missingMeta(dir)
		var damage *CorruptionError
		if !errors.As(missing, &damage) {
			return Meta{}, missing
		}
		// There is a journal; but the store may have been made between the two looks.
		if b, err = readLimited(path, metaLimit); errors.Is(err, fs.ErrNotExist) {
			return Meta{}, missing
		}
	}
	if err != nil {
		return Meta{}, err
	}
	m, err := decodeMeta(b)
	if err != nil {
		return Meta{}, &CorruptionError{File: path, Offset: -1, Cause: err}
	}
	if m.MinReader > formatVersion {
		return Meta{}, fmt.Errorf("%s: format %d: %w", path, m.Format, ErrNewer)
	}
	return m, nil
}

// missingMeta tells a folder that holds no store from a store that lost its META.
func missingMeta(dir string) error {
	for _, name := range []string{journalName, snapName, archiveName} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return err // there may be a journal
		}
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
			info, err := e.Info() // an empty segment is what a call leaves that runs beside a deletion
			return err != nil || info.Size() == 0
		})
		if err == nil && len(entries) > 0 {
			return &CorruptionError{File: filepath.Join(dir, metaName), Offset: -1,
				Cause: fmt.Errorf("missing, but there is %s/%s", name, entries[0].Name())}
		}
	}
	return ErrNoStore
}

// readLimited reads a small file whole, and refuses a larger one or something else.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := openToRead(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, &CorruptionError{File: path, Offset: -1, Cause: fmt.Errorf("not a file of at most %d bytes", limit)}
	}
	return readAll(f)
}
