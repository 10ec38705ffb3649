package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/leaselog/leaselog/journal"
)

// newFile is what a command writes: stdout, or a file that is there only once it is complete.
type newFile struct {
	w    io.Writer
	file *os.File // nil for stdout
	path string
	buf  []byte
}

// createFile makes a file beside path, which must not exist; "" is stdout.
func createFile(path string, stdout io.Writer) (*newFile, error) {
	if path == "" {
		return &newFile{w: stdout}, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists already", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &newFile{w: f, file: f, path: path}, nil
}

// flush writes what is in buf, if that is enough to be worth it or all.
func (o *newFile) flush(all bool) error {
	if len(o.buf) < joinBuffer && !all || len(o.buf) == 0 {
		return nil
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

// finish puts the file in its place. Link, unlike rename, takes no place that was filled meanwhile.
func (o *newFile) finish() error {
	if err := o.flush(true); err != nil || o.file == nil {
		return err
	}
	if err := cmp.Or(o.file.Chmod(0o600), o.file.Sync(), o.file.Close()); err != nil {
		return err
	}
	err := os.Link(o.file.Name(), o.path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // a file system without links
		if _, err = os.Lstat(o.path); err == nil {
			return fmt.Errorf("%s exists already", o.path)
		}
		err = os.Rename(o.file.Name(), o.path)
	}
	if err != nil {
		return err
	}
	return journal.SyncDir(filepath.Dir(o.path))
}

// discardOnSignal removes the unfinished file when the run is interrupted. The returned function ends that.
func (o *newFile) discardOnSignal() func() {
	if o.file == nil {
		return func() {}
	}
	interrupted, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-interrupted:
			o.discard()
			os.Exit(exitError)
		case <-done:
		}
	}()
	return func() {
		signal.Stop(interrupted)
		close(done)
	}
}

// discard removes the unfinished file, and the other name of a finished one.
func (o *newFile) discard() {
	if o.file != nil {
		o.file.Close()
		os.Remove(o.file.Name())
	}
}
