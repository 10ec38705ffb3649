package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// LockFile takes the flock of another program's lock file until it is closed, as Open does for a store's. It returns
// fs.ErrNotExist if there is no file, and ErrLocked if others keep it until deadline.
func LockFile(path string, deadline time.Time) (io.Closer, error) {
	f, err := lockFile(path, deadline)
	if err != nil {
		return nil, err // not a nil *os.File within an io.Closer
	}
	return f, nil
}

// lockFile opens path and holds its exclusive flock when it returns; closing the file
// gives it up. The file at path and the locked one are the same: a lock file that
// was deleted and made anew in between is opened again. It returns ErrLocked,
// naming the holder, when the deadline passes first.
func lockFile(path string, deadline time.Time) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			err = &CorruptionError{File: path, Offset: -1, Cause: errors.New("not a file")}
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if err := flockUntil(f, deadline); err != nil {
			return nil, err
		}
		same, err := stillAt(f, path)
		if err == nil && same {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// flockUntil takes the flock of f or closes f. Only a contended lock costs a thread:
// flock has no time limit, so it blocks there while this waits for the deadline.
func flockUntil(f *os.File, deadline time.Time) error {
	fd := int(f.Fd())
	ok, err := tryFlock(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if ok {
		return nil
	}
	done := make(chan error, 1)
	taken := make(chan bool, 1)
	go func() {
		done <- flock(fd, unix.LOCK_EX)
		if !<-taken {
			f.Close() // too late: nobody waits for it any more
		}
	}()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case err := <-done:
		taken <- err == nil
		if err != nil {
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return nil
	case <-timer.C:
		who := holder(f) // before the goroutine may close f
		taken <- false
		return fmt.Errorf("%w: %s is held by %s", ErrLocked, f.Name(), who)
	}
}

// tryFlock takes the flock of f if nobody has it. That others do is no error.
func tryFlock(f *os.File) (bool, error) {
	err := flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
		return err == nil, nil
	}
	return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// stillAt reports whether path still names the open file.
func stillAt(f *os.File, path string) (bool, error) {
	var open, named unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &open); err != nil {
		return false, &fs.PathError{Op: "fstat", Path: path, Err: err}
	}
	switch err := unix.Stat(path, &named); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return open.Dev == named.Dev && open.Ino == named.Ino, nil
}

// requireAt returns ErrReplaced if path no longer names the open file, because the store in dir was
// deleted or moved. Where that can't be told it returns the reason.
func requireAt(f *os.File, path, dir string) error {
	same, err := stillAt(f, path)
	if err == nil && !same {
		err = fmt.Errorf("%s: %w", dir, ErrReplaced)
	}
	return err
}

// holder says which process holds the flock of f, by the kernel's list of locks.
func holder(f *os.File) string {
	const unknown = "another process"
	_, inode, err := identity(f)
	if err != nil {
		return unknown
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return unknown
	}
	for line := range bytes.Lines(locks) {
		// 3: FLOCK  ADVISORY  WRITE 2167 fe:00:140513 0 EOF; waiters have "->" after the number
		words := bytes.Fields(line)
		if len(words) < 6 || string(words[1]) != "FLOCK" {
			continue
		}
		i := bytes.LastIndexByte(words[5], ':')
		if n, err := strconv.ParseUint(string(words[5][i+1:]), 10, 64); err != nil || n != inode {
			continue
		}
		if pid, err := strconv.Atoi(string(words[4])); err == nil && pid > 0 {
			return "process " + strconv.Itoa(pid)
		}
	}
	return unknown
}
