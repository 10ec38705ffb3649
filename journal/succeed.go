package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Successor is the journal that takes the place of one that lost events. It never renumbers: it has an
// ID of its own, begins with event 1, and its genesis names the parent and its last good event.
//
// Attributes that tell of it: AttributeLost in genesis, the other two in the imports that follow.
type Successor struct {
	Version    string      // of the program
	DataDir    string      // whose network the store is; "" if that is not known, as of a copy
	ParentSeq  Seq         // last event of the parent before its first loss
	ParentHash Hash        // of that event's record
	Attributes []Attribute // of genesis
	// Write appends what the new journal begins with after genesis.
	Write func(*Journal) error
}

// Attributes of a successor's events.
const (
	AttributeLost      = "lost"       // genesis: how many events of the parent are lost, at most, or LostUnknown
	AttributeBackup    = "backup"     // genesis: when the backup was made that the store was restored from; RFC 3339
	AttributeCovered   = "covered"    // genesis, with AttributeBackup: up to when the parent tells all; absent if up to its last event
	AttributeParentSeq = "parent_seq" // import: the parent's event that gave the lease, or by which it is known
	AttributeDoubt     = "doubt"      // import: why the lease is uncertain, in words
)

// LostUnknown is the value of AttributeLost where the parent's end is missing.
const LostUnknown = "unknown"

// Succeed puts a successor in the place of the journal, whose lock the caller holds. All that the old
// store holds is kept, byte for byte, in the new one's archive/<journal ID>, a folder that
// readers take for a copy of a store. The new store is complete and durable before it takes the old
// one's place in one step, so that a crash leaves one of the two. What SetAside moved and no event tells yet is told
// by the new journal. The caller holds the creation lock and snap.lock too.
//
// On an error nothing has changed, unless the new journal's ID comes with it: then the successor is in place, but its
// name may not be durable yet, and the next call that writes sees to that. The handle is closed after it.
func (j *Journal) Succeed(n Successor, deadline time.Time) (Meta, error) {
	historyDir := filepath.Dir(j.dir)
	var id ID
	if err := randomBytes(id[:]); err != nil {
		return Meta{}, err
	}
	tmp, err := newName(historyDir)
	if err != nil {
		return Meta{}, err
	}
	err = requireAt(j.lock, j.lockPath, j.dir)
	if err == nil {
		err = n.build(tmp, id, j.meta.Network, parent{j.dir, j.meta.ID, j.pending}, deadline)
	}
	if err == nil {
		err = exchange(tmp, j.dir)
	}
	if err != nil {
		return Meta{}, errors.Join(err, os.RemoveAll(tmp))
	}
	meta := j.meta
	meta.ID = id
	if err := errors.Join(SyncDir(historyDir), j.Close()); err != nil {
		return meta, err
	}
	_ = os.RemoveAll(tmp) // it is all in the archive; what stays goes with the next creation
	return meta, nil
}

// Restore makes the store <historyDir>/<network> as the successor of a store that a backup held, which is in the folder from, on the same
// file system. All bytes of that are kept in the new one's archive/<journal ID>; from itself stays as it is, and its files are shared. The
// store is there whole and durable when the error is nil, and its claim with it.
//
// It returns fs.ErrExist where there is a store, or anything else in its place. On an error nothing is left behind, unless the
// new journal's ID comes with it: see Succeed.
func Restore(historyDir, from string, n NewStore, s Successor, deadline time.Time) (Meta, error) {
	meta, err := ReadMeta(from)
	if err != nil {
		return Meta{}, err
	}
	old := parent{dir: from, id: meta.ID}
	s.Version, s.DataDir = n.Version, n.DataDir
	meta.Network, meta.DataDir = n.Network, n.DataDir
	meta.ID, err = create(historyDir, n, deadline, func(dir, tmp string, id ID) error {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(&fs.PathError{Op: "restore store", Path: dir, Err: fs.ErrExist}, err)
		}
		return s.build(tmp, id, n.Network, old, deadline)
	})
	if errors.Is(err, errThere) {
		err = &fs.PathError{Op: "restore store", Path: filepath.Join(historyDir, n.Network), Err: fs.ErrExist}
	}
	return meta, err
}

// parent is a store that another one succeeds.
type parent struct {
	dir  string
	id   ID
	told []*Event // of repairs that no event of it tells
}

// build makes the new store in tmp, durable down to the last name.
func (n *Successor) build(tmp string, id ID, network string, old parent, deadline time.Time) error {
	err := fill(tmp, id, NewStore{Network: network, DataDir: n.DataDir, Version: n.Version}, Event{
		Attributes: n.Attributes,
		Origin:     Origin{Parent: old.id, ParentSeq: n.ParentSeq, ParentHash: n.ParentHash}})
	if err != nil {
		return err
	}
	next, err := Open(tmp, deadline)
	if err != nil {
		return err
	}
	defer next.Close()
	if err := next.Load(0, Hash{}, func(*Event) error { return nil }); err != nil {
		return err
	}
	for _, ev := range old.told {
		aside := *ev
		aside.Cut.Quarantine = ""
		aside.Text = fmt.Sprintf("%s; kept in %s/%s/%s/%s", ev.Text, archiveName, old.id, quarantineName, ev.Cut.Quarantine)
		if err := next.Append(&aside); err != nil {
			return err
		}
	}
	if err := n.Write(next); err != nil {
		return err
	}
	archive := filepath.Join(tmp, archiveName)
	if err := keepStore(old.dir, filepath.Join(archive, old.id.String()), archive); err != nil {
		return fmt.Errorf("keep %s: %w", old.dir, err)
	}
	return errors.Join(SyncDir(archive), SyncDir(tmp))
}

// keepStore gives every file of a store a second name below to, synced: a copy of the store for
// readers. What it keeps of its own predecessors goes to archive, beside it.
func keepStore(from, to, archive string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := makeDir(to); err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.Name() == reserveName, e.Name() == nextName, e.Name() == "snap.lock", e.Name() == CompactLock, strings.HasSuffix(e.Name(), ".tmp"),
			strings.HasPrefix(e.Name(), "tmp."): // among them what a prune has taken away and not removed yet
			continue // nobody's bytes
		case e.Name() == lockName:
			// Another file than the store's own, which tells readers that this is a copy.
			err = copyFile(source, target)
		case e.IsDir() && filepath.Base(from) == archiveName && isIDName(e.Name()):
			err = keepTree(source, filepath.Join(archive, e.Name()))
		case e.IsDir() && e.Name() == archiveName:
			err = keepStore(source, target, archive)
		default:
			err = keepTree(source, target)
		}
		if err != nil {
			return err
		}
	}
	return SyncDir(to)
}

// keepTree gives a file, or everything in a folder, a second name.
func keepTree(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !st.IsDir() { // links and pipes, too, have names that can be doubled
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) || !st.Mode().IsRegular() {
			return err
		}
		return copyFile(from, to)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := makeDir(to); err != nil {
		return err
	}
	for _, e := range entries {
		if err := keepTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return SyncDir(to)
}

// copyFile copies a file to a new one, synced.
func copyFile(from, to string) error {
	f, err := openToRead(from)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := createFile(to)
	if err != nil {
		return err
	}
	// Hidden from each other, so that it is plain reads and writes wherever a file system is odd about more.
	if _, err = io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{f}); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func isIDName(name string) bool {
	return len(name) == hex.EncodedLen(len(ID{})) && strings.Trim(name, "0123456789abcdef") == ""
}
