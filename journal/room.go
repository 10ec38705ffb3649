package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CanWrite returns ErrNewer if this version must not write to the store.
func CanWrite(m Meta) error {
	if m.MinWriter > formatVersion {
		return fmt.Errorf("store of format %d: %w", m.Format, ErrNewer)
	}
	return nil
}

// CanCreate returns why the creation lock in historyDir can't be taken, if it is there.
func CanCreate(historyDir string) error {
	path := filepath.Join(historyDir, createLock)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !st.Mode().IsRegular() {
		err = &CorruptionError{File: path, Offset: -1, Cause: errors.New("not a file")}
	}
	return err
}

// Room returns ErrNoRoom if the next ADD would find no room: the newest segment is full and
// there is no space for another.
func (r *Reader) Room() error {
	segments, err := listSegments(filepath.Join(r.dir, journalName))
	if err != nil || len(segments) == 0 {
		return err
	}
	path := filepath.Join(r.dir, journalName, segmentName(segments[len(segments)-1]))
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // archived since: there is a newer one
	}
	if err != nil {
		return err
	}
	if st.Size()+MaxRecord <= segmentBytes {
		return nil
	}
	return room(r.dir, preallocBytes)
}

// RoomForStore returns ErrNoRoom if there is no space in dir for a new store.
func RoomForStore(dir string) error { return room(dir, preallocBytes+reserveBytes) }

func room(dir string, need uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := st.Bavail * uint64(st.Bsize); st.Blocks > 0 && free < need {
		return fmt.Errorf("%s: %w: %d bytes free, %d needed", dir, ErrNoRoom, free, need)
	}
	return nil
}
