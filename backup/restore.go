package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// unpacking is what scratch folders of restores are called: they are in the history folder, where nothing that begins with a dot is a network's.
const unpacking = ".restore-"

// RestoreOptions say what is restored, and where to.
type RestoreOptions struct {
	DataDir        string   // absolute
	HistoryDir     string   // absolute; "" is that of DataDir
	Networks       []string // none for all
	Version        string   // of the program
	AllowNetworkFS bool
	DryRun         bool // check all that can be checked, and make nothing
}

// Restored is a network that was restored, or would be.
type Restored struct {
	*Stored
	Store string // the folder of the store
	allocator.Restored
}

// ErrNoNetwork is returned by Restore for a network that a backup doesn't hold.
var ErrNoNetwork = errors.New("the backup has no such network")

// errOther says that what a store holds is not what the manifest says of it.
var errOther = errors.New("is not what the manifest says")

// restoreTimeout is how long a restore waits for calls that make other stores.
const restoreTimeout = 30 * time.Second

// Restore makes stores of those in a backup file; see allocator.Store.Restore for what they are then. All of the file is read and checked before
// anything is made, and what was unpacked is read whole before the first store is made of it. It returns
// allocator.ErrInTheWay if one of the networks is there. On an error nothing is left, but for the networks that come with it:
// these are restored.
func Restore(path string, o RestoreOptions) ([]Restored, error) {
	f, err := openBackup(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := unpack(f, discard)
	if err != nil {
		return nil, err
	}
	r := &restoring{o: o, f: f}
	if !o.DryRun { // whatever becomes of this run: the one that left something may have been killed when its work was done
		if err := removeLeft(r.historyDir(), unpacking); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := r.choose(m); err != nil {
		return nil, err
	}
	if err := r.room(); err != nil || o.DryRun {
		return r.chosen, err
	}
	return r.run()
}

// Packed has package allocator read packed history.
func Packed() allocator.Packed {
	return allocator.Packed{Pieces: archive.Salvage, Keyframe: archive.SalvageKeyframe}
}

// restoring is one Restore.
type restoring struct {
	o       RestoreOptions
	f       *os.File
	scratch *scratch
	chosen  []Restored
}

// store returns the store of a network that is to be.
func (r *restoring) store(network string) *allocator.Store {
	return allocator.NewStore(allocator.Options{Network: network, DataDir: r.o.DataDir, HistoryDir: r.o.HistoryDir, Version: r.o.Version,
		AllowNetworkFS: r.o.AllowNetworkFS, LockTimeout: restoreTimeout, Packed: Packed()})
}

func (r *restoring) historyDir() string { return filepath.Dir(r.store("any").Dir()) }

// choose takes the networks that are asked for, if there is room for them.
func (r *restoring) choose(m *Manifest) error {
	for _, network := range r.o.Networks {
		if m.Store(network) == nil {
			return fmt.Errorf("%w: %q", ErrNoNetwork, network)
		}
	}
	for i := range m.Stores {
		s := &m.Stores[i]
		if len(r.o.Networks) > 0 && !slices.Contains(r.o.Networks, s.Network) {
			continue
		}
		if err := r.store(s.Network).Vacant(); err != nil {
			return err
		}
		r.chosen = append(r.chosen, Restored{Stored: s, Store: r.store(s.Network).Dir()})
	}
	return nil
}

// room refuses what the file system has no room for: a manifest may name any size.
func (r *restoring) room() error {
	need := int64(0)
	for i := range r.chosen {
		need += r.chosen[i].Bytes()
	}
	for path := r.historyDir(); ; path = filepath.Dir(path) {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.ENOENT) && path != filepath.Dir(path) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		if free := st.Bavail * uint64(st.Bsize); need < 0 || uint64(need) > free {
			return fmt.Errorf("%s: %d bytes are needed, and %d are free: %w", path, need, free, unix.ENOSPC)
		}
		return nil
	}
}

// run unpacks all stores, reads them, and then makes one after the other.
func (r *restoring) run() (done []Restored, err error) {
	lock, err := journal.LockCreation(r.historyDir(), time.Now().Add(restoreTimeout))
	if err != nil {
		return nil, err
	}
	made := lock.Made()
	if err := lock.Close(); err != nil {
		return nil, err
	}
	defer func() {
		if len(made) > 0 && len(done) == 0 {
			err = errors.Join(err, r.unmake(made))
		}
	}()
	if r.scratch, err = newScratch(r.historyDir(), unpacking); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.scratch.Close()) }()
	if err := r.unpack(); err != nil {
		return nil, err
	}
	for _, c := range r.chosen {
		made, err := r.store(c.Network).Restore(allocator.Copied{Dir: r.scratch.storeDir(c.Network), Taken: c.Taken, Covered: c.Covered()})
		if made != nil {
			c.Restored = *made
			done = append(done, c)
		}
		if err != nil {
			return done, fmt.Errorf("network %q: %w", c.Network, err)
		}
	}
	return done, nil
}

// unmake removes the history folder that was made for nothing.
func (r *restoring) unmake(made []string) error {
	lock, err := journal.LockCreation(r.historyDir(), time.Now().Add(restoreTimeout))
	if err != nil {
		return err
	}
	return lock.Unmake(made)
}

// unpack unpacks what was chosen, durably, and reads it.
func (r *restoring) unpack() error {
	wanted := func(network string) bool {
		return slices.ContainsFunc(r.chosen, func(c Restored) bool { return c.Network == network })
	}
	m, err := unpack(r.f, r.scratch.into(wanted))
	if err != nil {
		return err
	}
	for i := range r.chosen {
		c := &r.chosen[i]
		dir := r.scratch.storeDir(c.Network)
		if s := m.Store(c.Network); s == nil || s.Head != c.Head {
			return fmt.Errorf("%s: has changed while it was read", r.f.Name())
		}
		for _, name := range folderNames {
			if err := makeDir(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if err := c.check(dir); err != nil {
			return fmt.Errorf("%s: network %q: %w", r.f.Name(), c.Network, err)
		}
	}
	return syncTree(r.scratch.dir)
}

// check compares an unpacked store with what the manifest says of it.
func (c *Restored) check(dir string) error {
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		return err
	}
	if meta.ID.String() != c.Stored.Journal || meta.Network != c.Network {
		return fmt.Errorf("META names journal %s of network %q: %w", meta.ID, meta.Network, errOther)
	}
	found, err := readBack(dir, meta)
	if err != nil {
		return err
	}
	if len(found.damage) > 0 && len(c.Damage) == 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, found.damage[0])
	}
	if uint64(found.Last) != c.LastSeq || found.Head.String() != c.Head || uint64(found.First) != c.FirstSeq || !found.LastTime.Equal(c.LastTime) {
		return fmt.Errorf("holds events %d to %d of %s: %w", found.First, found.Last, found.LastTime.UTC().Format(time.RFC3339Nano), errOther)
	}
	return nil
}
