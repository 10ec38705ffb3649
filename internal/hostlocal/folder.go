package hostlocal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// NoStrangers checks that a folder, if there is one, holds nothing but what host-local makes and leaselog's own: then it can
// be made to hold other leases without a file being lost. It returns ErrForeign, naming the first file that is something else.
func NoStrangers(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		ip, lease := ParseName(name)
		_, cursor := parseCursor(name)
		known := lease && name == ip.String() || cursor || name == lockName || ownName(name)
		if !known || !e.Type().IsRegular() {
			return fmt.Errorf("%s: %w: %q", folder, ErrForeign, name)
		}
	}
	return nil
}

// CursorFiles lists the cursor files of a folder that are not of one of the cursors.
func CursorFiles(folder string, but []journal.Cursor) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	keep := make(map[string]bool)
	for _, c := range but {
		keep[filepath.Base(cursorPath(folder, c.Set))] = true
	}
	var names []string
	for _, e := range entries {
		if _, ok := parseCursor(e.Name()); ok && !keep[e.Name()] {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Share gives a folder that only its owner may look into, as leaselog makes it, the mode that host-local's folders have.
func Share(folder string) error {
	st, err := os.Stat(folder)
	if err != nil || st.Mode().Perm() != 0o700 {
		return err
	}
	return os.Chmod(folder, 0o755)
}

// Sync makes durable what was written to a folder: all of its file system, in one wait for the disk instead of one for
// each file, then its names.
func Sync(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(d.Fd())); err != nil {
		err = &fs.PathError{Op: "syncfs", Path: folder, Err: err}
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	return journal.SyncDir(folder)
}
