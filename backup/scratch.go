package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// scratch is a folder for files that are needed for a while. Its lock tells it from what a run left that died.
type scratch struct {
	dir  string
	held io.Closer
}

// scratchLock is the file in a scratch folder that its process holds.
const scratchLock = "lock"

// newScratch makes a folder in another one, with a name that begins so, and removes those there that processes left which died.
func newScratch(folder, prefix string) (*scratch, error) {
	if err := removeLeft(folder, prefix); err != nil {
		return nil, err
	}
	for {
		dir, err := os.MkdirTemp(folder, prefix+"*")
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, scratchLock)
		held, free, err := journal.TryLock(path)
		if err == nil && free {
			var ours bool
			if ours, err = named(held, path); ours {
				return &scratch{dir, held}, nil
			}
			err = errors.Join(err, held.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		// Another run has taken it for one that nobody holds, before its lock was there.
	}
}

// named reports whether a path leads to an open file. Of a lock that two runs made at once one may be gone again when it is held.
func named(f *os.File, path string) (bool, error) {
	held, err := f.Stat()
	if err != nil {
		return false, err
	}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(held, st), err
}

// removeLeft removes the scratch folders that nobody holds.
func removeLeft(folder, prefix string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		lock := filepath.Join(path, scratchLock)
		held, free, err := journal.TryLock(lock)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !free {
			continue
		}
		if err == nil {
			var left bool
			if left, err = named(held, lock); left {
				err = (&scratch{path, held}).Close()
			} else {
				err = errors.Join(err, held.Close())
			}
		}
		if err != nil {
			return fmt.Errorf("remove what another run left: %w", err)
		}
	}
	return nil
}

// Close removes the folder and all in it. The lock goes last: what is left of the folder if that ends early is still known for what it is.
func (s *scratch) Close() error { return errors.Join(s.empty(), s.held.Close()) }

func (s *scratch) empty() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its own process was about to end
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == scratchLock {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	for {
		err := os.RemoveAll(s.dir)
		if !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
		// A run that looks for what is left has made the lock anew.
	}
}

// syncTree makes everything below a folder durable.
func syncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = errors.Join(unix.Syncfs(int(d.Fd())), d.Close()) // all bytes at once; names are made durable one by one
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return journal.SyncDir(path)
	})
}
