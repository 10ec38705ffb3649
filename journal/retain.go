package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// unlinksPerHold bounds how many files are removed under one hold of the lock, so that
// no ADD waits long for it.
const unlinksPerHold = 4

// Archive moves the segments whose events are all at or before covered to archive/, and returns how many. Each is
// linked there and the link is durable before its old name goes, so that a crash leaves
// at worst both. The store's lock must not be held by the caller; snap.lock must be.
func Archive(dir string, covered Seq, deadline time.Time) (moved int, err error) {
	from, to := filepath.Join(dir, journalName), filepath.Join(dir, archiveName)
	segments, err := listSegments(from)
	if err != nil {
		return 0, err
	}
	if err := EnsureDir(to); err != nil {
		return 0, err
	}
	var paths []string
	for i := 0; i+1 < len(segments) && segments[i+1] <= covered+1; i++ {
		name := segmentName(segments[i])
		if err := linkOrCopy(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return 0, err
		}
		paths = append(paths, filepath.Join(from, name))
	}
	if len(paths) == 0 {
		return 0, nil
	}
	if err := SyncDir(to); err != nil {
		return 0, err
	}
	if err := Remove(dir, paths, deadline); err != nil {
		return 0, err
	}
	return len(paths), nil
}

// Remove unlinks files of one folder of a store under its lock, so that who holds the lock sees a
// steady folder. Missing ones are no error, and what has got the name of one since the call is let alone: a store may
// be deleted and made anew while the lock is waited for.
//
// The folder is synced once, after all holds. If power fails before that some of the names are back, as they would be in
// the middle of the unlinks: of a segment, which is in archive/ as well, or of an older snapshot. Nobody takes the absence
// of a name for durable before the sync has succeeded: who goes on from there syncs the folder itself.
func Remove(dir string, paths []string, deadline time.Time) error {
	if len(paths) == 0 {
		return nil
	}
	folder := filepath.Dir(paths[0])
	for some := range slices.Chunk(paths, unlinksPerHold) {
		if err := unlinkUnderLock(dir, some, deadline); err != nil {
			return errors.Join(err, SyncDir(folder))
		}
	}
	return SyncDir(folder)
}

// slowToFree is from what size on a file's blocks take so long to be freed that this is not done under the lock.
const slowToFree = 1 << 20

// unlinkUnderLock holds the lock for the unlinks alone. Large files stay open until it is given up, since the last name of a
// file takes its blocks with it, which lasts for a snapshot of many leases.
//
// System calls: lstat of each, open of large ones; flock; lstat, unlink of each; close(lock); close of large ones.
func unlinkUnderLock(dir string, paths []string, deadline time.Time) (err error) {
	files := make([]fs.FileInfo, len(paths))
	for i, path := range paths {
		st, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		files[i] = st
		if st.Size() < slowToFree {
			continue
		}
		if f, err := openToRead(path); err == nil { // otherwise its blocks go a little earlier
			defer f.Close()
		}
	}
	lock, err := lockFile(filepath.Join(dir, lockName), deadline)
	if err != nil {
		return err
	}
	for i, path := range paths {
		st, e := os.Lstat(path)
		if e == nil && files[i] != nil && os.SameFile(st, files[i]) {
			e = os.Remove(path)
		}
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, lock.Close())
}

// Segments returns the first events of the segments in journal/, ascending. All but the newest are sealed: nothing is
// appended to them any more.
func Segments(dir string) ([]Seq, error) { return listSegments(filepath.Join(dir, journalName)) }

// Loose returns the first events of the segments in archive/, ascending; none where there is no such folder.
func Loose(dir string) ([]Seq, error) { return looseArchive(dir) }

// SegmentName returns the file name of the segment that begins with an event.
func SegmentName(first Seq) string { return segmentName(first) }

// SyncSegments makes the segments in journal/ durable, and their names: of a store that no call of this boot has used, nothing
// tells whether they are.
func SyncSegments(dir string) error {
	folder := filepath.Join(dir, journalName)
	segments, err := listSegments(folder)
	if err != nil {
		return err
	}
	for _, first := range segments {
		err := syncFile(filepath.Join(folder, segmentName(first)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // archived meanwhile, so it is durable
			return err
		}
	}
	return SyncDir(folder)
}

func syncFile(path string) error {
	f, err := openToRead(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// CompactLock is the file in a store's folder whose flock belongs to whoever compacts the store, or puts another in its place.
const CompactLock = "compact.lock"

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
// file if need be. ok is false if another process has it. Closing the file gives the lock up.
func TryLock(path string) (lock *os.File, ok bool, err error) {
	f, err := createFile(path)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, false, err
	}
	if ok, err := tryFlock(f); !ok {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, true, nil
}

// Holder says in words which process holds the flock of a file.
func Holder(path string) string {
	f, err := openToRead(path)
	if err != nil {
		return "another process"
	}
	defer f.Close()
	return holder(f)
}
