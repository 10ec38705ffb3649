package crash

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Where things are in the marker, by docs/FORMAT.md.
const (
	markerBytes  = 137
	markerDev    = 65
	markerInode  = 74
	markerBoot   = 84
	markerBefore = 132 // the checksum covers what is before
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// transplant says what becomes of an image's files when it is written out below another folder than the one it was
// recorded in. Both paths have the same length.
type transplant struct {
	from, to string
	copied   bool   // as a copy of the store: the markers are left to name other files
	folder   string // the network's, below from
	inode    uint64 // that it had there
}

// transplant has an image written below another folder, or below the very one when what was recorded there is gone.
func (r *recording) transplant(to string, copied bool) transplant {
	return transplant{from: r.root, to: to, copied: copied, folder: moved(r.net.Folder(), r.root, ""), inode: r.inode}
}

// write puts an image below to, which must not exist.
func (tr transplant) write(img *image) error {
	if err := os.Mkdir(tr.to, 0o755); err != nil {
		return err
	}
	for _, e := range img.entries {
		p := filepath.Join(tr.to, e.path)
		var err error
		switch {
		case e.dir:
			err = os.Mkdir(p, 0o700)
		case e.same >= 0:
			err = os.Link(filepath.Join(tr.to, img.entries[e.same].path), p)
		default:
			err = tr.file(p, e.data)
		}
		if err == nil && e.time != 0 {
			err = os.Chtimes(p, time.Unix(0, e.time), time.Unix(0, e.time))
		}
		if err != nil {
			return err
		}
	}
	for _, e := range img.entries {
		if path.Base(e.path) == "view" && !tr.copied {
			if err := tr.stampHere(filepath.Join(tr.to, e.path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// stampHere makes the stamp of a view one of another boot, and if it names the network's folder, as that is here.
func (tr transplant) stampHere(p string) error {
	data, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	data = bytes.ReplaceAll(data, []byte(journal.CurrentBoot().String()), []byte("00000000-0000-4000-8000-000000000000"))
	words := strings.Fields(string(data)) // boot, device, inode, event, time
	info, err := os.Stat(tr.to + tr.folder)
	if err == nil && len(words) == 5 && words[2] == strconv.FormatUint(tr.inode, 10) {
		st := info.Sys().(*syscall.Stat_t)
		words[1], words[2] = strconv.FormatUint(uint64(st.Dev), 10), strconv.FormatUint(st.Ino, 10)
		data = []byte(strings.Join(words, " ") + "\n")
	}
	return os.WriteFile(p, data, 0o600)
}

func (tr transplant) file(p string, data []byte) error {
	f, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	switch path.Base(p) {
	case "lock":
		if !tr.copied {
			if data, err = markerHere(data, f); err != nil {
				return err
			}
		}
	case "META":
		data = metaHere(data, tr.from, tr.to)
	case "leaselog", "leaselog.tmp": // the claim, whose second line is the store's folder
		data = bytes.ReplaceAll(data, []byte(tr.from), []byte(tr.to))
	}
	if len(data) >= sector && zero(data) {
		return f.Truncate(int64(len(data)))
	}
	_, err = f.Write(data)
	return err
}

// markerHere makes a marker name this file and another boot: the power was lost, the file is still the same. A
// marker that doesn't check stays as it is.
func markerHere(data []byte, f *os.File) ([]byte, error) {
	if len(data) != markerBytes || binary.BigEndian.Uint32(data[markerBytes-4:]) != crc32.Checksum(data[:markerBefore], castagnoli) {
		return data, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st := info.Sys().(*syscall.Stat_t)
	data = bytes.Clone(data)
	binary.BigEndian.PutUint64(data[markerDev:], uint64(st.Dev))
	binary.BigEndian.PutUint64(data[markerInode:], st.Ino)
	copy(data[markerBoot:], "an earlier boot.")
	binary.BigEndian.PutUint32(data[markerBytes-4:], crc32.Checksum(data[:markerBefore], castagnoli))
	return data, nil
}

// metaHere changes the path in META, which is covered by a checksum.
func metaHere(data []byte, from, to string) []byte {
	n := len(data)
	if n < 6 || binary.BigEndian.Uint32(data[n-4:]) != crc32.Checksum(data[1:n-5], castagnoli) {
		return data
	}
	data = bytes.ReplaceAll(data, []byte(from), []byte(to))
	binary.BigEndian.PutUint32(data[n-4:], crc32.Checksum(data[1:n-5], castagnoli))
	return data
}
