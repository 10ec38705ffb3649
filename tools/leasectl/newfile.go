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
	name string // of the file until it is complete; "" if it has none, so that nothing is left of it whatever ends the run
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

// createFile makes a file for path, which must not exist; "" is stdout.
func (a *app) createFile(path string) (*newFile, error) {
	if path == "" {
		return &newFile{w: a.stdout}, nil
	}
	if err := a.keepOut(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, existsAlready(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f := nameless(filepath.Dir(path)); f != nil {
		return &newFile{w: f, file: f, path: path}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), besideName(path, "-*"))
	if err != nil {
		return nil, err
	}
	return &newFile{w: f, file: f, path: path, name: f.Name()}, nil
}

func existsAlready(path string) error { return fmt.Errorf("%s exists already", path) }

// nameless makes a file without a name in a folder, nil where that can't be, or where it could not be given one.
func nameless(folder string) *os.File {
	f, err := os.OpenFile(folder, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil
	}
	if _, err := os.Stat(descriptor(f)); err != nil {
		f.Close()
		return nil
	}
	return f
}

// descriptor is the path by which an open file can be linked.
func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

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

// finish puts the file in its place.
func (o *newFile) finish() error {
	if o.file == nil {
		return nil
	}
	if err := o.file.Chmod(0o600); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	if err := o.link(); err != nil {
		return err
	}
	return cmp.Or(o.file.Close(), journal.SyncDir(filepath.Dir(o.path)))
}

// link gives the file its name. A link, unlike rename, takes no place that was filled meanwhile.
func (o *newFile) link() error {
	from := cmp.Or(o.name, descriptor(o.file))
	err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, o.path, unix.AT_SYMLINK_FOLLOW)
	if o.name != "" && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission)) { // a file system without links
		if _, err := os.Lstat(o.path); err == nil {
			return existsAlready(o.path)
		}
		return os.Rename(o.name, o.path)
	}
	if errors.Is(err, fs.ErrExist) {
		return existsAlready(o.path)
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: from, New: o.path, Err: err}
	}
	return nil
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
	if o.file == nil {
		return
	}
	o.file.Close()
	if o.name != "" {
		os.Remove(o.name)
	}
}
