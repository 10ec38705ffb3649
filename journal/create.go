package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// NewStore says what store Create makes.
type NewStore struct {
	Network        string
	DataDir        string
	Version        string // of the program, for the first event
	AllowNetworkFS bool   // accept a folder on a network file system

	// Claim is called with the new journal's ID under the creation lock, before the store can be
	// seen, to do what has to be durable by then. Create calls the function that it
	// returns if it fails afterwards.
	Claim func(ID) (undo func(), err error)
}

const (
	createLock = ".lock" // in historyDir; a network's name can't begin with a dot
	newPrefix  = ".new-"
	ruinPrefix = ".ruin-" // remains of a deleted store that were in the way of a new one, kept
)

// Create makes the store <historyDir>/<network> with its first event, durable when it
// returns, or finds that another process was quicker, which is no error. It waits for the creation
// lock until deadline and then returns ErrLocked. On an error nothing is left behind.
func Create(historyDir string, n NewStore, deadline time.Time) error {
	_, err := create(historyDir, n, deadline, func(_, tmp string, id ID) error { return fill(tmp, id, n, Event{}) })
	if errors.Is(err, errThere) {
		return nil
	}
	return err
}

// errThere says that the store to be made is there already.
var errThere = errors.New("the store is there")

// create is Create for a store that fillIn makes in tmp, to be put at dir. The ID comes with an error where the store is in place.
func create(historyDir string, n NewStore, deadline time.Time, fillIn func(dir, tmp string, id ID) error) (id ID, err error) {
	if !n.AllowNetworkFS {
		if err := refuseNetworkFS(historyDir); err != nil {
			return ID{}, err
		}
	}
	made := missingDirs(historyDir)
	lock, err := createLockFile(historyDir, deadline)
	if err != nil {
		removeEmpty(made)
		return ID{}, err
	}
	defer lock.Close()
	dir, built := filepath.Join(historyDir, n.Network), false
	if _, err := ReadMeta(dir); err == nil {
		return ID{}, errThere
	} else if !errors.Is(err, ErrNoStore) {
		return ID{}, err
	}
	defer func() {
		if err != nil && !built {
			dropCreateLock(lock, made)
		}
	}()
	if err := randomBytes(id[:]); err != nil {
		return ID{}, err
	}
	undo, err := n.Claim(id)
	if err != nil {
		return ID{}, err
	}
	if err := build(lock, dir, func(tmp string) error { return fillIn(dir, tmp, id) }); err != nil {
		undo()
		return ID{}, err
	}
	built = true
	removeStale(historyDir)
	// The store is there and others may use it already, so that it stays: who finds no more than its
	// first event in it syncs its name once more.
	return id, SyncDir(historyDir)
}

// LockCreation takes the lock under which stores in historyDir are made and replaced, until it is closed. It returns
// ErrLocked if others keep it until deadline.
func LockCreation(historyDir string, deadline time.Time) (*Creation, error) {
	made := missingDirs(historyDir)
	lock, err := createLockFile(historyDir, deadline)
	if err != nil {
		removeEmpty(made)
		return nil, err
	}
	return &Creation{lock, made}, nil
}

// Creation is the lock under which stores are made.
type Creation struct {
	lock *os.File
	made []string // folders that were missing
}

// Close gives up the lock.
func (c *Creation) Close() error { return c.lock.Close() }

// Made lists the folders that were made for the lock, outermost first.
func (c *Creation) Made() []string { return c.made }

// Unmake removes the lock and the folders that were made for it, if there is nothing else in the history folder. It may be
// given what an earlier Creation there has made.
func (c *Creation) Unmake(made []string) error {
	if entries, err := os.ReadDir(filepath.Dir(c.lock.Name())); err == nil && len(entries) == 1 {
		dropCreateLock(c.lock, made)
	}
	return c.Close()
}

// createLockFile makes the history folder and the creation lock if need be, and takes the
// lock. Another call that failed may remove both again while this one waits.
func createLockFile(historyDir string, deadline time.Time) (*os.File, error) {
	path := filepath.Join(historyDir, createLock)
	for {
		if err := makeDirs(historyDir, dirMode); err != nil {
			return nil, err
		}
		if err := syncAncestors(historyDir); err != nil {
			return nil, err
		}
		f, err := createFile(path)
		switch {
		case err == nil:
			err = f.Close()
		case errors.Is(err, fs.ErrExist):
			err = nil
		}
		var lock *os.File
		if err == nil {
			lock, err = lockFile(path, deadline)
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return lock, err
		}
	}
}

// dropCreateLock removes the creation lock of a failed creation and the folders that were made for it.
func dropCreateLock(lock *os.File, made []string) {
	if same, err := stillAt(lock, lock.Name()); err == nil && same && len(made) > 0 {
		_ = os.Remove(lock.Name())
		removeEmpty(made)
	}
}

// build makes the store under a name that readers pass over and renames it into place, where its
// name is not durable yet. The
// creation lock has to be the one at its path until then: if it was deleted, another call
// may have made the store.
func build(lock *os.File, dir string, fillIn func(tmp string) error) error {
	tmp, err := newName(filepath.Dir(dir))
	if err != nil {
		return err
	}
	err = fillIn(tmp)
	if err == nil {
		ruin := ruinPrefix + filepath.Base(dir) + tmp[strings.LastIndexByte(tmp, '-'):]
		err = makeWay(lock, dir, filepath.Join(filepath.Dir(dir), ruin))
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// newName returns where a store is built in the history folder.
func newName(historyDir string) (string, error) {
	var random [4]byte
	if err := randomBytes(random[:]); err != nil {
		return "", err
	}
	return filepath.Join(historyDir, fmt.Sprintf("%s%d-%x", newPrefix, os.Getpid(), random)), nil
}

// makeWay looks once more whether the store may be made, and moves to ruin what is left at its
// place of one that was deleted beside running calls.
func makeWay(lock *os.File, dir, ruin string) error {
	switch _, err := ReadMeta(dir); {
	case err == nil:
		return fmt.Errorf("%s: made by another call: %w", dir, ErrReplaced)
	case !errors.Is(err, ErrNoStore):
		return err
	}
	if err := requireAt(lock, lock.Name(), lock.Name()); err != nil {
		return err
	}
	if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
		return nil // the rename that follows says what is in its way
	}
	return os.Rename(dir, ruin)
}

// fill makes everything that a store consists of, synced. Genesis may come with more to say.
func fill(tmp string, id ID, n NewStore, genesis Event) error {
	if err := makeStoreDirs(tmp); err != nil {
		return err
	}
	node, err := os.Hostname()
	if err != nil {
		node = "" // a name is a help to readers, not a need
	}
	genesis.Seq, genesis.Clock, genesis.Kind, genesis.Version = 1, ReadClock(), KindGenesis, n.Version
	genesis.Origin.Network, genesis.Origin.Node, genesis.Origin.Journal = n.Network, node, id
	record, err := AppendRecord(nil, id, &genesis)
	if err != nil {
		return err
	}
	meta := Meta{Format: formatVersion, MinReader: formatVersion, MinWriter: formatVersion, ID: id,
		Network: n.Network, Created: genesis.Time(), Node: node, DataDir: n.DataDir}
	if err := writeFirstSegment(filepath.Join(tmp, journalName, segmentName(1)), record); err != nil {
		return err
	}
	if err := writeLock(filepath.Join(tmp, lockName), marker{state: stateIdle, id: id, durable: 1,
		hash: RecordHash(record), boot: genesis.Boot, pid: uint32(os.Getpid())}); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(tmp, reserveName), make([]byte, reserveBytes)); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(tmp, metaName), meta.encode()); err != nil {
		return err
	}
	for _, name := range []string{journalName, snapName, archiveName, quarantineName, ""} {
		if err := SyncDir(filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	return nil
}

// makeStoreDirs makes a store's folder and those in it.
func makeStoreDirs(dir string) error {
	for _, name := range []string{"", journalName, snapName, archiveName, quarantineName} {
		if err := makeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func writeFirstSegment(path string, record []byte) error {
	f, err := createFile(path)
	if err != nil {
		return err
	}
	if err = preallocate(f, preallocBytes); err == nil {
		_, err = f.Write(append(binary.AppendUvarint(nil, uint64(len(record))), record...))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeLock makes the lock file with a marker that names the file itself.
func writeLock(path string, m marker) error {
	f, err := createFile(path)
	if err != nil {
		return err
	}
	if m.dev, m.inode, err = identity(f); err == nil {
		_, err = f.Write(m.encode())
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// removeStale removes what processes left that died while creating. The caller holds the creation
// lock, so none of them is alive.
func removeStale(historyDir string) {
	entries, err := os.ReadDir(historyDir)
	if err != nil {
		return // the store stands; the next creation tries again
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			_ = os.RemoveAll(filepath.Join(historyDir, e.Name()))
		}
	}
}

// missingDirs lists path and those of its parents that don't exist, outermost first.
func missingDirs(path string) []string {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return append(missingDirs(filepath.Dir(path)), path)
}

// removeEmpty removes the folders again that a failed call made, as far as they are empty.
func removeEmpty(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		_ = os.Remove(made[i])
	}
}

// networkFS returns the name of a file system whose locks or syncs reach beyond this
// node, by its magic number in statfs(2), or "".
func networkFS(magic int64) string {
	switch uint32(magic) {
	case 0x6969:
		return "NFS"
	case 0x517b, 0xff534d42, 0xfe534d42:
		return "SMB"
	case 0x5346414f, 0x6b414653:
		return "AFS"
	case 0x00c36400:
		return "Ceph"
	case 0x01021997:
		return "9p"
	case 0x0bd00bd0:
		return "Lustre"
	case 0x47504653:
		return "GPFS"
	}
	return ""
}

// refuseNetworkFS returns ErrNetworkFS if path, or the nearest parent that exists, is on one.
func refuseNetworkFS(path string) error {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.ENOENT) && path != filepath.Dir(path) {
			path = filepath.Dir(path)
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "statfs", Path: path, Err: err}
		}
		if name := networkFS(int64(st.Type)); name != "" {
			return fmt.Errorf("%s is on %s: %w", path, name, ErrNetworkFS)
		}
		return nil
	}
}
