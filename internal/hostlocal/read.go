package hostlocal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// Errors of Read.
var (
	// ErrForeign is returned for a folder that holds files and nothing of host-local's.
	ErrForeign = errors.New("folder holds files that are neither host-local's nor leaselog's")
	// ErrChanging is returned for a folder in which somebody writes without its lock.
	ErrChanging = errors.New("folder is being written")
)

const (
	lockName     = "lock"
	cursorName   = "last_reserved_ip"
	maxLeaseFile = 16 << 10 // a lease is an ID and an interface name
	maxID        = 3 << 10  // what an event has room for, in bytes
	maxIfName    = 255
	maxSet       = 1 << 15 // more range sets fit no configuration
	maxReadings  = 4       // of a folder that changes meanwhile
)

// Lease is a lease as a file tells it.
type Lease struct {
	IP          netip.Addr
	ContainerID string
	IfName      string // "" in files of old releases, which belong to every interface of the container
	// Blocked is why the file names no owner: its address is held and nobody can release it. "" if it names one.
	Blocked string
	Time    time.Time // of the file, which is written once: when the lease began; zero if not known
}

// Content is what a folder tells.
type Content struct {
	Leases   []Lease          // ascending by address
	Cursors  []journal.Cursor // ascending by range set
	Warnings []string         // what could not be taken as it stands, in words; each names its file
}

// Empty reports whether nothing is held and no cursor has moved.
func (c *Content) Empty() bool { return len(c.Leases) == 0 && len(c.Cursors) == 0 }

// Read reads a network's folder, under its lock so that no host-local writes meanwhile. One that is missing holds
// nothing. It returns ErrForeign, ErrChanging, or an error of the file system that concerns the folder as a whole: what
// is wrong with a single file makes its address a blocked one.
func Read(folder string) (*Content, error) {
	for range maxReadings {
		before, err := changed(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return &Content{}, nil
		}
		if err != nil {
			return nil, err
		}
		c, err := read(folder)
		if err != nil {
			return nil, err
		}
		after, err := changed(folder)
		if err != nil {
			return nil, err
		}
		if before == after {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", folder, ErrChanging)
}

// Present reports whether a folder holds files of host-local, be it only its lock, without reading them or waiting for
// anybody. A folder with other files alone is ErrForeign.
func Present(folder string) (bool, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stranger, lock := "", false
	for _, e := range entries {
		name := e.Name()
		_, lease := ParseName(name)
		_, cursor := parseCursor(name)
		switch {
		case lease, cursor:
			return true, nil
		case name == lockName:
			lock = true
		case !ownName(name) && stranger == "":
			stranger = name
		}
	}
	if stranger != "" {
		return false, foreign(folder, stranger)
	}
	return lock, nil
}

// Called reports whether host-local has been called for the network: each of its calls makes the lock, and none removes it.
func Called(folder string) (bool, error) {
	_, err := os.Lstat(filepath.Join(folder, lockName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

func foreign(folder, name string) error {
	return fmt.Errorf("%s: %w: %q; what is wanted is the folder of one network", folder, ErrForeign, name)
}

// changed returns when names in the folder changed last.
func changed(folder string) (time.Time, error) {
	st, err := os.Stat(folder)
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

func read(folder string) (*Content, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	c := &Content{}
	strangers, known := []string{}, false
	for _, e := range entries {
		name := e.Name()
		if ip, ok := ParseName(name); ok {
			known = true
			c.lease(filepath.Join(folder, name), ip)
			continue
		}
		set, ok := parseCursor(name)
		switch {
		case ok:
			known = true
			c.cursor(filepath.Join(folder, name), set)
		case name == lockName, ownName(name):
		default:
			strangers = append(strangers, name)
		}
	}
	if len(strangers) > 0 && !known {
		return nil, foreign(folder, strangers[0])
	}
	for _, name := range strangers {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%q is not a file of host-local and is left alone", filepath.Join(folder, name)))
	}
	c.sort()
	return c, nil
}

// ownName reports whether a file in a network's folder is one of leaselog's.
func ownName(name string) bool {
	return name == journal.ClaimName || strings.HasPrefix(name, journal.ClaimName+".")
}

// ParseName returns the address that a file is the lease of, false for any other file. host-local on Windows writes
// "_" for ":".
func ParseName(name string) (netip.Addr, bool) {
	if name == "" || name[0] == '_' && !strings.HasPrefix(name, "__") {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(name, "_", ":"))
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// parseCursor returns the range set that a file is the cursor of.
func parseCursor(name string) (set int, ok bool) {
	rest, ok := strings.CutPrefix(name, cursorName)
	if !ok {
		return 0, false
	}
	if rest == "" {
		return -1, true
	}
	digits, ok := strings.CutPrefix(rest, ".")
	set, err := strconv.Atoi(digits)
	return set, ok && err == nil && set >= 0 && set <= maxSet && strconv.Itoa(set) == digits
}

// lease takes in a lease file.
func (c *Content) lease(path string, ip netip.Addr) {
	l := Lease{IP: ip}
	b, at, err := readFile(path)
	if l.Time = at; !at.Equal(time.Unix(0, at.UnixNano())) {
		l.Time = time.Time{} // beyond what events count, such as the year 2400
	}
	if err != nil {
		l.Blocked = err.Error()
	} else {
		l.ContainerID, l.IfName, l.Blocked = parseLease(b)
	}
	if l.Blocked != "" {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s: %s is held back as blocked", path, l.Blocked, ip))
	}
	c.Leases = append(c.Leases, l)
}

// parseLease reads what a lease file holds; why says why it names no owner.
func parseLease(b []byte) (id, ifName, why string) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", "", "empty"
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	id, ifName = string(bytes.TrimSuffix(first, []byte("\r"))), string(rest)
	switch {
	case !validID(id):
		return "", "", "doesn't begin with a container ID"
	case len(id) > maxID:
		return "", "", fmt.Sprintf("container ID of %d bytes, at most %d", len(id), maxID)
	case len(ifName) > maxIfName || strings.ContainsFunc(ifName, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '\ufffd' }):
		return "", "", "has no interface name after the container ID"
	}
	return id, ifName, ""
}

// validID reports whether a container ID is one that the CNI library lets through: letters, digits, and not in the
// first place also "_", "." and "-".
func validID(id string) bool {
	for i := range len(id) {
		c := id[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return id != ""
}

// cursor takes in a cursor file. One that host-local could not read makes it begin at the beginning, so it is no
// cursor here either.
func (c *Content) cursor(path string, set int) {
	b, _, err := readFile(path)
	ip := netip.Addr{}
	if err == nil {
		if ip, err = netip.ParseAddr(string(b)); err != nil || ip.Zone() != "" {
			err = errors.New("not an address")
		}
	}
	if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %v: the search begins at the first address", path, err))
		return
	}
	c.Cursors = append(c.Cursors, journal.Cursor{Set: set, IP: ip.Unmap()})
}

// sort orders leases and cursors, and settles what two files say about the same one.
func (c *Content) sort() {
	slices.SortStableFunc(c.Leases, func(a, b Lease) int { return a.IP.Compare(b.IP) })
	c.Leases = slices.CompactFunc(c.Leases, func(a, b Lease) bool {
		if a.IP != b.IP {
			return false
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s has two lease files; the owner %q of one of them is not taken over", a.IP, b.ContainerID))
		return true
	})
	slices.SortFunc(c.Cursors, func(a, b journal.Cursor) int { return a.Set - b.Set })
	if len(c.Cursors) > 0 && c.Cursors[0].Set < 0 { // without a number: the only range set that there was then
		if len(c.Cursors) > 1 && c.Cursors[1].Set == 0 {
			c.Cursors = c.Cursors[1:]
		} else {
			c.Cursors[0].Set = 0
		}
	}
}

// readFile reads a small regular file.
func readFile(path string) ([]byte, time.Time, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, withoutPath(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, withoutPath(err)
	}
	if !st.Mode().IsRegular() {
		return nil, st.ModTime(), errors.New("not a file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLeaseFile+1))
	if err == nil && len(b) > maxLeaseFile {
		err = fmt.Errorf("over %d bytes", maxLeaseFile)
	}
	return b, st.ModTime(), withoutPath(err)
}

// withoutPath returns the cause alone, for texts that begin with the path.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
