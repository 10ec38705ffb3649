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
	var random [4]byte
	var id ID
	if err := randomBytes(id[:]); err != nil {
		return Meta{}, err
	}
	if err := randomBytes(random[:]); err != nil {
		return Meta{}, err
	}
	tmp := filepath.Join(historyDir, fmt.Sprintf("%s%d-%x", newPrefix, os.Getpid(), random))
	if err := j.buildSuccessor(tmp, id, n, deadline); err != nil {
		return Meta{}, errors.Join(err, os.RemoveAll(tmp))
	}
	if err := exchange(tmp, j.dir); err != nil {
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

// buildSuccessor makes the new store in tmp, durable down to the last name.
func (j *Journal) buildSuccessor(tmp string, id ID, n Successor, deadline time.Time) error {
	if err := requireAt(j.lock, j.lockPath, j.dir); err != nil {
		return err
	}
	err := fill(tmp, id, NewStore{Network: j.meta.Network, DataDir: n.DataDir, Version: n.Version}, Event{
		Attributes: n.Attributes,
		Origin:     Origin{Parent: j.meta.ID, ParentSeq: n.ParentSeq, ParentHash: n.ParentHash}})
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
	for _, ev := range j.pending {
		aside := *ev
		aside.Cut.Quarantine = ""
		aside.Text = fmt.Sprintf("%s; kept in %s/%s/%s/%s", ev.Text, archiveName, j.meta.ID, quarantineName, ev.Cut.Quarantine)
		if err := next.Append(&aside); err != nil {
			return err
		}
	}
	if err := n.Write(next); err != nil {
		return err
	}
	archive := filepath.Join(tmp, archiveName)
	if err := keepStore(j.dir, filepath.Join(archive, j.meta.ID.String()), archive); err != nil {
		return fmt.Errorf("keep %s: %w", j.dir, err)
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
		case e.Name() == reserveName, e.Name() == nextName, e.Name() == "snap.lock", e.Name() == "compact.lock", strings.HasSuffix(e.Name(), ".tmp"):
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
