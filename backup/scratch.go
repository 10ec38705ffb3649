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

// scratchLock is the file in a scratch folder that its process holds. No network's name begins with a dot.
const scratchLock = ".lock"

// building is what scratch folders of Build are called.
const building = ".building-"

// Build makes a folder that has its name when it is whole and durable, and not before: until then fill has one of that name to make, in a
// hidden folder beside it. It returns fs.ErrExist if there is one. On an error nothing is left, and what a run leaves that was killed is
// removed by the next one in the same place.
func Build(to string, fill func(dir string) error) (err error) {
	folder := filepath.Dir(to)
	if err := removeLeft(folder, building); err != nil { // also if there is nothing to do: the run that left it may have been killed behind its work
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return &fs.PathError{Op: "make", Path: to, Err: unix.EEXIST}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s, err := newScratch(folder, building)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir := filepath.Join(s.dir, filepath.Base(to))
	if err := fill(dir); err != nil {
		return err
	}
	if err := syncTree(dir); err != nil {
		return err
	}
	if err := renameNew(dir, to); err != nil {
		return err
	}
	if err := journal.SyncDir(folder); err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	return nil
}

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
	// Only what is ours goes: as soon as the lock has no name, another run may make it anew, to have the folder or to remove it.
	for _, path := range []string{filepath.Join(s.dir, scratchLock), s.dir} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
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
