package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Modes of everything that is created here, whatever the umask.
const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
)

// parentMode is for folders above ours that were missing.
const parentMode fs.FileMode = 0o755

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// createFile makes a new file, open for reading and writing.
func createFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(fileMode); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// writeNew makes a new file with this content and syncs it; its name is durable
// only after SyncDir. On error no file is left.
func writeNew(path string, content []byte) error {
	f, err := createFile(path)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// makeDir makes one folder of ours.
func makeDir(path string) error {
	if err := os.Mkdir(path, dirMode); err != nil {
		return err
	}
	return os.Chmod(path, dirMode)
}

// syncAncestors makes the names of a folder and of those above it durable: who made them may have
// died before it did so. Folders that may not be read, and those of file systems that have nothing
// to sync (read-only images), are passed over: nobody made a name there lately.
func syncAncestors(path string) error {
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		switch err := SyncDir(parent); {
		case err == nil, errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		default:
			return err
		}
	}
	return nil
}

// EnsureDir makes one folder of ours again if it was deleted, its name durable.
func EnsureDir(path string) error {
	err := makeDir(path)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// makeDirs makes a folder with mode, and its missing parents with parentMode; every
// name that it made is durable when it returns.
func makeDirs(path string, mode fs.FileMode) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDirs(parent, parentMode); err != nil {
		return err
	}
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was quicker
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return SyncDir(parent)
}

// errNoExchange is returned where the file system can't exchange two names in one step.
var errNoExchange = errors.New("the file system can't exchange two names in one step")

// exchange makes each of two names mean what the other one meant, in one step.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		err = errNoExchange
	}
	return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
}

// openToRead opens a file for reading. It does not wait for the other end of what turns out to
// be a named pipe.
func openToRead(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// readAll reads a file from its beginning, whatever its offset.
func readAll(f *os.File) ([]byte, error) { return readOver(nil, f) }

// readOver is readAll into a buffer that is no longer needed, if it is large enough.
func readOver(room []byte, f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := slices.Grow(room[:0], int(st.Size()))[:st.Size()]
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil // it shrank: what is there is what counts
	}
	return b[:n], err
}

// noSpace reports whether an error means that the disk or a quota is full.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// IsFull reports whether an append failed for want of space alone, and was undone.
func IsFull(err error) bool {
	return !errors.Is(err, ErrFenced) && (noSpace(err) || errors.Is(err, ErrNoRoom))
}

// preallocate reserves space up to size bytes without changing the file's length.
// A file system that can't do it is no error: there ENOSPC shows up at the append.
func preallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil, errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return nil
		default:
			return &fs.PathError{Op: "reserve space for", Path: f.Name(), Err: err}
		}
	}
}
