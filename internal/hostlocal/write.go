package hostlocal

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// Modes of host-local's files and folders, less the umask.
const (
	fileMode fs.FileMode = 0o600
	lockMode fs.FileMode = 0o750
)

// Lock takes host-local's lock on a network's folder, which has to be there, until it is closed. It makes the lock file
// if need be, as host-local does. It returns journal.ErrLocked, naming the holder, if others keep it until deadline.
func Lock(folder string, deadline time.Time) (io.Closer, error) {
	path := filepath.Join(folder, lockName)
	for {
		lock, err := journal.LockFile(path, deadline)
		if !errors.Is(err, fs.ErrNotExist) {
			return lock, err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, lockMode)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// Lookup takes the lock as Lock does, but makes nothing: without a lock file it returns nil.
func Lookup(folder string, deadline time.Time) (io.Closer, error) {
	lock, err := journal.LockFile(filepath.Join(folder, lockName), deadline)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return lock, err
}

// Path returns where the lease file of an address is.
func Path(folder string, ip netip.Addr) string { return filepath.Join(folder, ip.String()) }

// ReadLease reads the lease file of one address. Without one it returns fs.ErrNotExist; a file that names no owner is a
// blocked lease.
func ReadLease(folder string, ip netip.Addr) (Lease, error) {
	path := Path(folder, ip)
	if _, err := os.Lstat(path); err != nil {
		return Lease{}, err
	}
	var c Content
	c.lease(path, ip)
	return c.Leases[0], nil
}

// File is a lease file as the folder lists it.
type File struct {
	IP   netip.Addr
	Size int64
	Time time.Time
}

// List lists the lease files of a folder without reading them.
func List(folder string) ([]File, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		ip, ok := ParseName(e.Name())
		if !ok || e.Name() != ip.String() {
			continue // no name that host-local on this system would look at
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, File{IP: ip, Size: st.Size(), Time: st.ModTime()})
	}
	return files, nil
}

// Cursors reads the cursors of a folder.
func Cursors(folder string) ([]journal.Cursor, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var c Content
	for _, e := range entries {
		if set, ok := parseCursor(e.Name()); ok {
			c.cursor(filepath.Join(folder, e.Name()), set)
		}
	}
	c.sort()
	return c.Cursors, nil
}

// Put writes the file of a lease, not synced, with the lease's time if it has one. It returns fs.ErrExist if the address
// has a file already. On error no file is left.
func Put(folder string, l Lease) error {
	path := Path(folder, l.IP)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(l.text())
	err = errors.Join(err, f.Close())
	if err == nil {
		err = SetTime(folder, l)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// SetTime gives the file of a lease the lease's time, if it has one.
func SetTime(folder string, l Lease) error {
	if l.Time.IsZero() {
		return nil
	}
	return os.Chtimes(Path(folder, l.IP), l.Time, l.Time)
}

// Replace writes the file of a lease over one that may be there.
func Replace(folder string, l Lease) error {
	if err := Remove(folder, l.IP); err != nil {
		return err
	}
	return Put(folder, l)
}

// Remove removes the lease file of an address, if there is one.
func Remove(folder string, ip netip.Addr) error {
	err := os.Remove(Path(folder, ip))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Size returns how many bytes the lease's file has.
func (l Lease) Size() int64 { return int64(len(l.text())) }

// text is what the lease's file holds.
func (l Lease) text() string {
	switch {
	case l.ContainerID == "":
		return ""
	case l.IfName == "":
		return l.ContainerID
	}
	return l.ContainerID + "\r\n" + l.IfName
}

// SameOwner reports whether two leases name the same owner, or both none.
func (l Lease) SameOwner(other Lease) bool {
	return l.ContainerID == other.ContainerID && l.IfName == other.IfName
}

// RestOf reports whether a file that names l's owner may be what a power cut left of other's.
func (l Lease) RestOf(other Lease) bool { return strings.HasPrefix(other.text(), l.text()) }

// SetCursor writes a cursor in place, not synced.
func SetCursor(folder string, c journal.Cursor) error {
	path := cursorPath(folder, c.Set)
	// Opening a pipe would wait for a reader, with the locks held.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.IP.String())
	return errors.Join(err, f.Close())
}

// cursorPath returns where the cursor of a range set is.
func cursorPath(folder string, set int) string {
	return filepath.Join(folder, cursorName+"."+strconv.Itoa(set))
}
