package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// unlinksPerHold bounds how many files are removed under one hold of the lock, so that
// no ADD waits long for it.
const unlinksPerHold = 16

// Archive moves the segments whose events are all at or before covered to archive/. Each is
// linked there and the link is durable before its old name goes, so that a crash leaves
// at worst both. The store's lock must not be held by the caller; snap.lock must be.
func Archive(dir string, covered Seq, deadline time.Time) error {
	from, to := filepath.Join(dir, journalName), filepath.Join(dir, archiveName)
	segments, err := listSegments(from)
	if err != nil {
		return err
	}
	if err := EnsureDir(to); err != nil {
		return err
	}
	var paths []string
	for i := 0; i+1 < len(segments) && segments[i+1] <= covered+1; i++ {
		name := segmentName(segments[i])
		if err := linkOrCopy(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
		paths = append(paths, filepath.Join(from, name))
	}
	if len(paths) == 0 {
		return nil
	}
	if err := SyncDir(to); err != nil {
		return err
	}
	return Remove(dir, paths, deadline)
}

// Remove unlinks files of a store under its lock, so that who holds the lock sees a
// steady folder. Missing ones are no error.
func Remove(dir string, paths []string, deadline time.Time) error {
	for len(paths) > 0 {
		lock, err := lockFile(filepath.Join(dir, lockName), deadline)
		if err != nil {
			return err
		}
		n := min(len(paths), unlinksPerHold)
		for _, path := range paths[:n] {
			if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		if err := errors.Join(err, SyncDir(filepath.Dir(paths[0])), lock.Close()); err != nil {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

// linkOrCopy gives a sealed segment a second name. Where the file system has no hard links it
// is copied and synced. A name that is there already must hold the same bytes.
func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return nil
	}
	content, readErr := readSegment(from)
	if readErr != nil {
		return readErr
	}
	if !errors.Is(err, fs.ErrExist) {
		return writeRenamed(to, content)
	}
	there, err := readSegment(to)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, there) {
		return &CorruptionError{File: to, Offset: -1, Cause: fmt.Errorf("differs from %s of the same number", from)}
	}
	return nil
}

// writeRenamed writes a file under another name first, so that a crash leaves no half of it.
func writeRenamed(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(tmp, content); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// TryLock takes the flock of a file beside the store's lock without waiting, and makes the
// file if need be. ok is false if another process has it.
func TryLock(path string) (unlock io.Closer, ok bool, err error) {
	f, err := createFile(path)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, false, err
	}
	if err := flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, false, f.Close()
	}
	return f, true, nil
}
