package process_test

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// ledger keeps account of what the disk has been told to keep, from the system calls of one process
// after another. What it holds against them is stricter than any file system:
//
//   - bytes are durable once an fsync of their file has succeeded after them, names once one of their
//     folder has;
//   - after an fsync that failed the bytes that it was about are lost, however many succeed later, until
//     they are written once more or cut off: the kernel may have marked their pages clean.
type ledger struct {
	root  string
	files map[string]*ledgerFile
	names map[string]bool // names that were made or changed, and their folder not synced since

	copies []string // files that the process keeps cut bytes in
	broken []string // rules that do not wait for an acknowledgement
}

const nothing = math.MaxInt64

type ledgerFile struct {
	size      int64
	dirtyFrom int64 // first byte that is not known to be durable
	lostFrom  int64 // first byte that no later sync makes durable
}

// newLedger begins with the files below root as they are, all of them durable.
func newLedger(t *testing.T, root string) *ledger {
	t.Helper()
	l := &ledger{root: root, files: map[string]*ledgerFile{}, names: map[string]bool{}}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			l.files[path] = &ledgerFile{size: info.Size(), dirtyFrom: nothing, lostFrom: nothing}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// unsynced marks what stands behind an offset of a file as never synced.
func (l *ledger) unsynced(path string, from int64) {
	if f := l.files[path]; f != nil {
		f.dirtyFrom = from
	}
}

// process accounts for the calls of a process, up to and including those before the index that
// answered returns; then it returns what is owed. The rest is accounted for, too.
func (l *ledger) process(calls []trace.Call) (owed []string) {
	l.copies = nil
	end := answered(calls)
	for i, c := range calls {
		if i == end {
			owed = l.owed()
		}
		l.call(c)
	}
	if end == len(calls) {
		owed = l.owed()
	}
	return owed
}

// answered returns the index of the call that gives the answer: a write to standard output, or where
// there is none the first call of the upkeep that comes after it.
func answered(calls []trace.Call) int {
	for i, c := range calls {
		if c.Name == "write" && c.FD == "1" || c.Name == "openat" && filepath.Base(c.Path) == "snap.lock" {
			return i
		}
	}
	return len(calls)
}

func (l *ledger) call(c trace.Call) {
	f := l.files[c.Path]
	if c.Failed && c.Name == "fsync" && f != nil {
		f.lostFrom = min(f.lostFrom, f.dirtyFrom)
		f.dirtyFrom = nothing
	}
	if c.Failed || !c.Ended {
		return
	}
	switch c.Name {
	case "openat":
		if f == nil && strings.Contains(c.Flags, "O_CREAT") && within(c.Path, l.root) {
			l.files[c.Path] = &ledgerFile{lostFrom: nothing}
			l.touch(c.Path)
			if filepath.Base(filepath.Dir(c.Path)) == "quarantine" {
				l.copies = append(l.copies, c.Path)
			}
		}
	case "write", "pwrite64", "ftruncate", "fsync", "fdatasync":
		if f != nil {
			before := f.size
			if f.use(c); f.size < before {
				l.cut(c.Path)
			}
		} else if c.Name == "fsync" {
			l.syncNames(c.Path)
		}
	case "mkdirat":
		l.touch(c.Path)
	case "unlinkat":
		l.unlink(c.Path)
	case "linkat":
		if f != nil {
			l.files[c.To] = f
		}
		l.touch(c.To)
	case "renameat", "renameat2":
		l.rename(c.Path, c.To)
	}
}

func (l *ledger) syncNames(folder string) {
	for name := range l.names {
		if filepath.Dir(name) == folder {
			delete(l.names, name)
		}
	}
}

func (l *ledger) touch(path string) {
	if within(path, l.root) {
		l.names[path] = true
	}
}

// cut holds a repair to its order: what is cut is durable elsewhere.
func (l *ledger) cut(path string) {
	for _, copy := range l.copies {
		if f := l.files[copy]; f != nil && (f.dirtyFrom < f.size || f.lostFrom < f.size || l.names[copy]) {
			l.broken = append(l.broken, fmt.Sprintf("%s cut before its copy was durable", filepath.Base(path)))
		}
	}
}

// unlink holds archiving to its order: a segment may go once its other name is durable.
func (l *ledger) unlink(path string) {
	folder, name := filepath.Split(path)
	if filepath.Base(folder) == "journal" && !strings.Contains(path, "/.new-") && l.files[path] != nil && l.files[path].size > 0 {
		archived := filepath.Join(folder, "..", "archive", name)
		if l.files[archived] == nil || l.names[archived] {
			l.broken = append(l.broken, fmt.Sprintf("%s unlinked before its name in archive/ was durable", name))
		}
	}
	delete(l.files, path)
	delete(l.names, path)
}

// use accounts for a call on a file. What is written without an offset is written at its end: that is
// how the plugin writes new files, and how it appends.
func (f *ledgerFile) use(c trace.Call) {
	last, _ := strconv.ParseInt(c.Args[len(c.Args)-1], 10, 64)
	switch c.Name {
	case "write":
		f.write(f.size, c.Result)
	case "pwrite64":
		f.write(last, c.Result)
	case "ftruncate":
		f.cut(last)
	case "fsync", "fdatasync":
		f.dirtyFrom = nothing
	}
}

func (f *ledgerFile) write(at, n int64) {
	f.size = max(f.size, at+n)
	if at <= f.lostFrom && at+n >= f.size {
		f.lostFrom = nothing // all of it was written once more
	}
	f.dirtyFrom = min(f.dirtyFrom, at)
}

func (f *ledgerFile) cut(size int64) {
	if size < f.size {
		f.dirtyFrom = min(f.dirtyFrom, size)
	}
	f.size = size
	if size <= f.lostFrom {
		f.lostFrom = nothing
	}
}

// rename moves a file, or a folder with all that is in it. strace shows descriptors under the name
// that their file has at the time.
func (l *ledger) rename(from, to string) {
	for path, f := range l.files {
		if within(path, from) {
			delete(l.files, path)
			l.files[to+strings.TrimPrefix(path, from)] = f
		}
	}
	for name := range l.names {
		if within(name, from) {
			delete(l.names, name)
			l.names[to+strings.TrimPrefix(name, from)] = true
		}
	}
	l.touch(to)
}

// unpromised are names that no acknowledgement rests on: locks, the space kept back and what is in the
// making.
var unpromised = []string{"snap.lock", ".lock", "reserve", "next", "leaselog.tmp", "boot"}

// inTheMaking tells files that nobody goes by yet. Those in quarantine are judged when bytes are cut.
func inTheMaking(path string) bool {
	for _, part := range []string{"/.new-", "/snap/tmp.", "/quarantine/"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

// owed lists what an acknowledgement at this moment would rest on without the disk having it.
func (l *ledger) owed() []string {
	var owed []string
	for path, f := range l.files {
		base := filepath.Base(path)
		if slices.Contains(unpromised, base) || base == "lock" || inTheMaking(path) || f.size == 0 {
			continue // the marker in lock is never synced
		}
		if at := min(f.dirtyFrom, f.lostFrom); at < f.size || f.dirtyFrom != nothing {
			owed = append(owed, fmt.Sprintf("bytes of %s from %d on", strings.TrimPrefix(path, l.root), at))
		}
	}
	for name := range l.names {
		folder := filepath.Base(filepath.Dir(name))
		if slices.Contains(unpromised, filepath.Base(name)) || inTheMaking(name) || folder == "snap" || folder == "archive" {
			continue // a snapshot or a second name that is lost was not needed yet
		}
		owed = append(owed, "name "+strings.TrimPrefix(name, l.root))
	}
	slices.Sort(owed)
	return append(owed, l.broken...)
}

// image is the content of a folder, to come back to.
type image struct {
	root  string
	files map[string][]byte // nil for folders
	modes map[string]fs.FileMode
}

func save(t *testing.T, root string) image {
	t.Helper()
	im := image{root: root, files: map[string][]byte{}, modes: map[string]fs.FileMode{}}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		im.modes[path] = info.Mode()
		if e.IsDir() {
			return nil
		}
		im.files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// restore brings the folder back to what it was. Files that are still there keep their inode: the
// marker names that of the lock, and a store whose lock has another is a copy of the one that it was.
func (im image) restore(t *testing.T) {
	t.Helper()
	var there []string
	err := filepath.WalkDir(im.root, func(path string, _ fs.DirEntry, err error) error {
		there = append(there, path)
		return err
	})
	for _, path := range slices.Backward(there) { // what is in a folder first
		if _, ok := im.modes[path]; !ok && err == nil {
			err = os.Remove(path)
		}
	}
	paths := make([]string, 0, len(im.modes))
	for path := range im.modes {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err == nil {
			err = im.put(path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (im image) put(path string) error {
	mode := im.modes[path]
	if mode.IsDir() {
		if err := os.Mkdir(path, mode.Perm()); err != nil && !os.IsExist(err) {
			return err
		}
		return os.Chmod(path, mode.Perm())
	}
	if now, err := os.ReadFile(path); err == nil && string(now) == string(im.files[path]) {
		return nil
	}
	return os.WriteFile(path, im.files[path], mode.Perm())
}
