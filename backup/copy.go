package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// CopyOptions choose how a store is copied. The zero value is good.
type CopyOptions struct {
	Link    bool // give archived files, which never change, a second name where the file system can, in place of copying them
	Damaged bool // copy a store in which something is damaged, too
}

// Copied says what a copy holds.
type Copied struct {
	Meta   journal.Meta
	Clock  journal.Clock // when the copying began
	Live   bool          // the store was in use on this node: the copy tells all that happened up to then
	Damage []string      // what is damaged in the copy as it is in the store, in words
	Left   []string      // files of the store that nobody knows the meaning of, and that were left out
	contents
}

// maxPasses bounds how often a store is listed because files moved while they were copied.
const maxPasses = 4

// ErrDamaged is returned by Copy for a store in which something is damaged, unless that is asked for.
var ErrDamaged = errors.New("is damaged")

// Copy copies the store in from to a new folder, to: one in use, a copy, or one on a read-only file system. It takes no lock and writes
// nothing into from. The copy ends with the newest event that was durable, and has all before it; snapshots that reach further are left
// out. It is read back whole: the checksum of each record, and that each continues the one before. Its bytes are not synced. It returns
// fs.ErrExist if to exists. On an error nothing is left.
func Copy(from, to string, o CopyOptions) (Copied, error) {
	c := copying{from: from, to: to, o: o}
	return c.copy()
}

func (c *copying) copy() (Copied, error) {
	if err := os.Mkdir(c.to, 0o700); err != nil {
		return Copied{}, err
	}
	done, err := c.run()
	if err != nil {
		return Copied{}, errors.Join(fmt.Errorf("copy %s: %w", c.from, err), os.RemoveAll(c.to))
	}
	return done, nil
}

// copying is one Copy.
type copying struct {
	from, to string
	o        CopyOptions
	durable  journal.Seq // of this pass
	left     []string
	shown    int // snapshots that were listed in this pass
	taken    int // and of these, copied

	kept map[string]fs.FileInfo // files of the copy that stay for the next pass, and what they were copied of
	gone []string               // what was there in this pass, and not any more when its turn came; what holds no events of the store's own

	listed func(folder string) // for tests: runs after a folder was listed; nil otherwise
	copied func(name string)   // for tests: runs after a file was copied that never changes; nil otherwise
}

// run copies the store until a copy has all of it: files move from journal/ to archive/, are packed there and pruned, and which is where
// may change between a listing and the copying.
func (c *copying) run() (Copied, error) {
	c.kept = make(map[string]fs.FileInfo)
	var before []string // what was wrong with the pass before
	for pass := 1; ; pass++ {
		done, err := c.pass()
		if err != nil {
			return Copied{}, err
		}
		// What a second pass finds too is not because files moved.
		moved := len(done.contents.damage) > 0 && !slices.Equal(done.contents.damage, before) || done.Last < c.durable ||
			c.shown > 0 && c.taken == 0 || len(c.gone) > 0
		if before = done.contents.damage; moved && pass < maxPasses {
			continue
		}
		if len(c.gone) > 0 {
			return Copied{}, fmt.Errorf("%s was removed while it was copied, as files were in %d passes before", c.gone[0], pass-1)
		}
		if done.Last < c.durable {
			done.Damage = append(done.Damage, fmt.Sprintf("%s ends with event %d, but event %d was acknowledged", c.from, done.Last, c.durable))
		}
		if len(done.Damage) > 0 && !c.o.Damaged {
			return Copied{}, fmt.Errorf("%w: %s", ErrDamaged, strings.Join(done.Damage, "; "))
		}
		if done.Last == 0 {
			return Copied{}, errors.New("none of its events can be read")
		}
		return done, journal.MarkCopy(c.to, done.Meta.ID, done.Last, done.Head)
	}
}

// pass copies what one listing has of the store. Archived files stay from the pass before, unless the store has others now.
func (c *copying) pass() (Copied, error) {
	done := Copied{Clock: journal.ReadClock()}
	c.left, c.shown, c.taken, c.gone = nil, 0, 0, nil
	if err := c.drop(); err != nil {
		return done, err
	}
	parents, err := parentsIn(c.from) // before the marker: the event that tells of one that is pruned comes first, and then it is gone
	if err != nil {
		return done, err
	}
	r, err := journal.OpenReader(c.from)
	if err != nil {
		return done, err
	}
	cov := r.Coverage()
	done.Meta, done.Live, c.durable = r.Meta(), cov.Live, cov.Durable
	if cov.Fenced {
		done.Damage = append(done.Damage, "the disk refused a write that was not undone")
	}
	for _, name := range []string{"journal", "snap"} {
		if err := os.RemoveAll(filepath.Join(c.to, name)); err != nil {
			return done, err
		}
	}
	for _, name := range folderNames {
		if err := makeDir(filepath.Join(c.to, name)); err != nil {
			return done, err
		}
	}
	// In this order, what moves is seen at least once.
	for _, step := range []func() error{c.segments, c.archive, c.snapshots, c.rest} {
		if err := step(); err != nil {
			return done, err
		}
	}
	if err := c.still(parents); err != nil {
		return done, err
	}
	done.Left = c.left
	done.contents, err = readBack(c.to, done.Meta)
	done.Damage = append(done.Damage, done.contents.damage...)
	return done, err
}

// drop removes from the copy what the store does not have any more as it was copied: files that were merged, made anew, or pruned. Beside
// what came since they would be a history with a hole in it.
func (c *copying) drop() error {
	for name, was := range c.kept {
		now, err := os.Lstat(filepath.Join(c.from, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && os.SameFile(was, now) && was.Size() == now.Size() && was.ModTime().Equal(now.ModTime()) {
			continue
		}
		if err := os.Remove(filepath.Join(c.to, name)); err != nil {
			return err
		}
		delete(c.kept, name)
	}
	parents, err := parentsIn(c.to)
	if err != nil {
		return err
	}
	for _, path := range parents {
		if _, err := os.Lstat(filepath.Join(c.from, path)); errors.Is(err, fs.ErrNotExist) {
			err = os.RemoveAll(filepath.Join(c.to, path))
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// still notes those of the succeeded stores that are not there any more: a prune renames them before it removes anything, so what
// is there after it was copied was copied whole.
func (c *copying) still(parents []string) error {
	for _, path := range parents {
		if _, err := os.Lstat(filepath.Join(c.from, path)); errors.Is(err, fs.ErrNotExist) {
			c.gone = append(c.gone, path)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// parentsIn lists the folders of stores that the one in dir has succeeded, below it.
func parentsIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "archive"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if _, err := journal.ParseID(e.Name()); err == nil {
			paths = append(paths, filepath.Join("archive", e.Name()))
		}
	}
	return paths, nil
}

// Names in a store's folder, see docs/FORMAT.md.
var (
	folderNames = []string{"journal", "archive", "snap", "quarantine"}
	fileNames   = []string{"META", "view"}                                                        // that are copied
	passing     = []string{"lock", "reserve", "next", "boot", "snap.lock", "compact.lock", "tmp"} // that mean nothing in a copy
)

// isPassing reports whether a file is one in the making, or means something in its own place only.
func isPassing(name string) bool {
	return slices.Contains(passing, name) || strings.HasPrefix(name, "tmp.") || strings.HasSuffix(name, ".tmp")
}

// segments copies what is in journal/, up to the newest durable event.
func (c *copying) segments() error {
	names, err := c.list("journal")
	if err != nil {
		return err
	}
	for _, name := range names {
		first, err := strconv.ParseUint(name, 10, 64)
		switch {
		case !journal.IsSegmentName(name) || err != nil:
			c.leave(filepath.Join("journal", name))
			continue
		case journal.Seq(first) > c.durable+1: // it was begun since
			continue
		}
		of, err := c.file(filepath.Join("journal", name))
		if err != nil {
			return err
		}
		if of != nil {
			if err := c.cut(filepath.Join(c.to, "journal", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut ends a copied segment behind the newest durable event. What can't be read before that stays, for whoever reads back.
func (c *copying) cut(path string) error {
	meta, err := journal.ReadMeta(c.from)
	if err != nil {
		return err
	}
	end := int64(0)
	for rec, err := range journal.ScanFile(path, meta.ID) {
		if damage, ok := errors.AsType[*journal.CorruptionError](err); ok && damage.Seq <= c.durable {
			return nil
		} else if err != nil && !ok {
			return err
		}
		if err != nil || rec.Event.Seq > c.durable {
			break
		}
		end = rec.Offset + int64(len(rec.Raw))
	}
	return os.Truncate(path, end)
}

// archive copies archived segments, packed files, and the stores that this one has succeeded.
func (c *copying) archive() error {
	names, err := c.list("archive")
	if err != nil {
		return err
	}
	// Loose segments first: they are packed, and then there is the packed file.
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(filepath.Ext(a), filepath.Ext(b)) })
	for _, name := range names {
		path := filepath.Join("archive", name)
		_, notID := journal.ParseID(name)
		switch {
		case notID == nil:
			err = c.tree(path)
		case journal.IsSegmentName(name), strings.HasSuffix(name, ".llz") && !isPassing(name):
			err = c.shared(path)
		case !isPassing(name):
			c.leave(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshots copies those that reach no further than the copy.
func (c *copying) snapshots() error {
	names, err := c.list("snap")
	if err != nil {
		return err
	}
	for _, name := range names {
		seq, err := strconv.ParseUint(strings.TrimSuffix(name, ".snap"), 10, 64)
		switch {
		case isPassing(name):
			continue
		case err != nil || !strings.HasSuffix(name, ".snap"):
			c.leave(filepath.Join("snap", name))
			continue
		}
		c.shown++
		if journal.Seq(seq) > c.durable {
			continue
		}
		of, err := c.file(filepath.Join("snap", name))
		if err != nil {
			return err
		}
		if of != nil {
			c.taken++
		}
	}
	return nil
}

// rest copies what stands in the store's own folder, and quarantine/.
func (c *copying) rest() error {
	names, err := c.list(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case slices.Contains(fileNames, name):
			err = c.again(name)
		case !slices.Contains(folderNames, name) && !isPassing(name):
			c.leave(name)
		}
		if err != nil {
			return err
		}
	}
	return c.tree("quarantine")
}

// list lists a folder of the store, which need not be there.
func (c *copying) list(name string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(c.from, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if c.listed != nil {
		c.listed(name)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (c *copying) leave(name string) { c.left = append(c.left, name) }

// tree copies a folder and all in it, but for what a copy has no use for.
func (c *copying) tree(name string) error {
	names, err := c.list(name)
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Join(c.to, name)); err != nil {
		return err
	}
	for _, n := range names {
		path := filepath.Join(name, n)
		info, err := os.Lstat(filepath.Join(c.from, path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.gone, err = append(c.gone, path), nil
		case err != nil:
			return err
		case info.IsDir():
			err = c.tree(path)
		case !info.Mode().IsRegular() || !validName(filepath.ToSlash(path)):
			c.leave(path)
		default:
			if err = c.shared(path); err == nil && c.kept[path] == nil {
				c.gone = append(c.gone, path)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shared copies a file that never changes, unless that was done; by a link if that is asked for and can be done.
func (c *copying) shared(name string) error {
	if c.kept[name] != nil {
		return nil
	}
	of, err := c.link(name)
	if err == nil && of == nil {
		of, err = c.file(name)
	}
	if err != nil || of == nil {
		return err
	}
	c.kept[name] = of
	if c.copied != nil {
		c.copied(name)
	}
	return nil
}

// link gives a file a second name if that is asked for; nil if not, or if it can't be done.
func (c *copying) link(name string) (fs.FileInfo, error) {
	to := filepath.Join(c.to, name)
	if !c.o.Link || os.Link(filepath.Join(c.from, name), to) != nil {
		return nil, nil
	}
	return os.Lstat(to)
}

// again copies a file over one of a pass before.
func (c *copying) again(name string) error {
	if err := os.RemoveAll(filepath.Join(c.to, name)); err != nil {
		return err
	}
	_, err := c.file(name)
	return err
}

// file copies a file, and describes what it copied. That is nil if it isn't there any more, or is no file, which nothing takes for damage
// here: who reads the copy back misses what it held.
func (c *copying) file(name string) (fs.FileInfo, error) {
	in, err := os.OpenFile(filepath.Join(c.from, name), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0) // a named pipe must not be waited for
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, unix.ELOOP) {
		c.leave(name)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	of, err := in.Stat()
	if err != nil || !of.Mode().IsRegular() {
		c.leave(name)
		return nil, err
	}
	out, err := newFile(filepath.Join(c.to, name))
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(out, in)
	return of, errors.Join(err, out.Close())
}

// newFile makes a file that nobody else may read.
func newFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil { // whatever the umask took away
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeDir makes a folder that nobody else may read, and is content with one that is there.
func makeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return os.Chmod(path, 0o700)
}
