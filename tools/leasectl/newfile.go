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
	"slices"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// newFile is what a command writes: stdout, or a file that is there only once it is complete.
type newFile struct {
	w    io.Writer
	file *os.File // nil for stdout
	path string
}

// keepOut refuses to write a file into the folders that are read: where one is too many, or another than before, a store is damaged, and
// host-local takes each in a network's folder for a lease.
func (a *app) keepOut(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	read := slices.Clone(a.dataDirs)
	for _, s := range a.opened {
		read = append(read, s.dir, s.folder)
		if history := filepath.Dir(s.dir); filepath.Base(history) == historyName || s.byClaim {
			read = append(read, history)
		}
	}
	for _, dir := range read {
		if dir == "" {
			continue
		}
		real, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return err
		}
		if below, err := filepath.Rel(real, folder); err == nil && filepath.IsLocal(below) {
			return fmt.Errorf("write %s: it would be in %s, whose stores are read; leasectl writes no file there", path, dir)
		}
	}
	return nil
}

// createFile makes a file beside path, which must not exist; "" is stdout.
func (a *app) createFile(path string) (*newFile, error) {
	if path == "" {
		return &newFile{w: a.stdout}, nil
	}
	if err := a.keepOut(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists already", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), besideName(path, "-*"))
	if err != nil {
		return nil, err
	}
	return &newFile{w: f, file: f, path: path}, nil
}

// besideName returns the pattern of a temporary name for a file: that of the file between a dot and the suffix, cut where a file
// system would refuse it for its length.
func besideName(path, suffix string) string {
	const longest = 255 - len(".-0123456789") // bytes
	name := filepath.Base(path)
	for len(name) > longest {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return "." + name + suffix
}

// finish puts the file in its place. Link, unlike rename, takes no place that was filled meanwhile.
func (o *newFile) finish() error {
	if o.file == nil {
		return nil
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
	notify(interrupted, os.Interrupt, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		select {
		case sig := <-interrupted:
			o.discard()
			if sig == unix.SIGQUIT {
				dieOf(unix.SIGQUIT)
			}
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
