package allocator

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Taking over what host-local has. Whatever stands in a network's folder that is not claimed counts: the leases are
// read under host-local's own lock, each becomes an import event, then the folder is claimed, which keeps them from being
// taken over again. A crash in between leaves the folder as it was, and the next call begins anew, with a reset.

// ErrTaken is returned when a folder to import from belongs to another store.
var ErrTaken = errors.New("folder was taken over by another store")

// Imported says what was taken over from one folder.
type Imported struct {
	Folder    string
	Leases    []hostlocal.Lease // that are held now by their word, blocked ones included
	Held      []hostlocal.Lease // whose address the same owner held already
	Conflicts []Conflict
	Cursors   []journal.Cursor
	Warnings  []string
}

// Conflict is an imported lease on an address that somebody else holds: it goes on to be held, by that owner.
type Conflict struct {
	hostlocal.Lease
	Holder state.Attachment
}

// String says who claims what.
func (c Conflict) String() string {
	return fmt.Sprintf("%s: held by %s/%s, and by the files also by %s/%s", c.IP, c.Holder.ContainerID, c.Holder.IfName, c.ContainerID, c.IfName)
}

// importable reports whether a new store has something to take over first. It fails for a folder that it must
// not be made beside, and for one to import from that can't be read: nothing is touched then.
func (s *Store) importable() (bool, error) {
	own, err := hostlocal.Present(s.folder)
	if err != nil {
		return false, err
	}
	from := s.importFrom()
	if from == "" {
		return own, nil
	}
	if _, err := os.ReadDir(from); err != nil {
		return false, fmt.Errorf("import: %w", err)
	}
	if _, err := s.mayTake(from, journal.ID{}); err != nil {
		return false, err
	}
	_, err = hostlocal.Present(from)
	return true, err
}

// mayTake reports whether the folder is still to be taken over by journal id: false if that has happened. It returns
// ErrTaken if another store has done so and is still there.
func (s *Store) mayTake(folder string, id journal.ID) (bool, error) {
	by, dir, err := journal.ReadClaim(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if by == id {
		return false, nil
	}
	meta, err := journal.ReadMeta(dir)
	if errors.Is(err, journal.ErrNoStore) || err == nil && meta.ID != by {
		return true, nil
	}
	return false, errors.Join(fmt.Errorf("%s: %w: journal %s in %s", folder, ErrTaken, by, dir), err)
}

// takeOver claims the data folder: all leases end, and those that host-local has in the folder begin.
func (t *transaction) takeOver() error {
	s, id := t.store, t.journal.Meta().ID
	// What is not claimed is not shown in. followView looks at every file when it is.
	view := t.view
	if t.view = nil; view != nil {
		view.old = stamp{}
	}
	folders, err := t.sources()
	if err != nil {
		return err
	}
	var contents []*hostlocal.Content
	for _, folder := range folders {
		c, err := t.readLocked(folder)
		if err != nil {
			return err
		}
		contents = append(contents, c)
	}
	// An event is appended in any case but that of a reset that was not followed by the claim: the append notices
	// that the store was deleted meanwhile, and the claim must not be of such a one.
	fresh := t.newest == journal.KindGenesis && slices.ContainsFunc(contents, func(c *hostlocal.Content) bool { return !c.Empty() })
	if t.newest != journal.KindReset && !fresh {
		if err := t.reset(); err != nil {
			return err
		}
	}
	for i, c := range contents {
		if err := t.take(folders[i], c, true); err != nil {
			return err
		}
	}
	if s.o.View != ViewOff && slices.Contains(folders, s.folder) {
		// With the claim there is a stamp: what host-local does from then on counts, also if this call is killed.
		if err := errors.Join(t.startView(), t.compareView()); err != nil {
			return err
		}
	}
	if _, err := journal.WriteClaim(s.folder, id, s.dir); err != nil {
		return err
	}
	if t.view == nil {
		t.view = view
	}
	return t.markSource()
}

// takeLate takes over the folder to import from if that was named only when the store was there already. What is wrong
// with the folder is no reason to fail any more: it may have gone since it was taken over.
func (t *transaction) takeLate() error {
	s := t.store
	if s.o.ImportFrom == "" || s.byHand || t.foreign != nil {
		return nil
	}
	from := s.importFrom()
	if from == "" {
		return nil
	}
	due, err := s.mayTake(from, t.journal.Meta().ID) // first: it reads one file, where Present lists them all
	if err == nil && due {
		due, err = hostlocal.Present(from)
	}
	if err != nil {
		s.o.Warn(fmt.Sprintf("import from %s: %v", from, err))
		return nil
	}
	if !due {
		return nil
	}
	c, err := t.readLocked(from)
	if err != nil {
		return err
	}
	if err := t.take(from, c, true); err != nil {
		return err
	}
	return t.markSource()
}

// sources lists the folders to take over.
func (t *transaction) sources() ([]string, error) {
	s := t.store
	var folders []string
	own, err := hostlocal.Present(s.folder)
	if err != nil {
		return nil, err
	}
	if own {
		folders = append(folders, s.folder)
	}
	from := s.importFrom()
	if from == "" {
		return folders, nil
	}
	due, err := s.mayTake(from, t.journal.Meta().ID)
	if err != nil {
		return nil, err
	}
	if due {
		folders = append(folders, from)
	}
	return folders, nil
}

// readLocked reads a folder under host-local's lock and keeps the lock until the transaction ends. It returns ErrTaken for
// one that another store has taken over while this one waited for the lock.
func (t *transaction) readLocked(folder string) (*hostlocal.Content, error) {
	if _, err := os.Stat(folder); err != nil {
		if errors.Is(err, fs.ErrNotExist) && t.newest != journal.KindGenesis {
			return &hostlocal.Content{}, nil // to import from; of a store that was made long ago
		}
		return nil, err
	}
	if err := t.lockHostLocal(folder); err != nil {
		return nil, err
	}
	if folder != t.store.folder {
		if _, err := t.store.mayTake(folder, t.journal.Meta().ID); err != nil {
			return nil, err
		}
	}
	return hostlocal.Read(folder)
}

// lockHostLocal takes host-local's lock on a folder until the transaction ends.
func (t *transaction) lockHostLocal(folder string) error {
	if t.locks[folder] != nil {
		return nil
	}
	lock, err := hostlocal.Lock(folder, t.deadline)
	if err != nil {
		return err
	}
	if t.locks == nil {
		t.locks = map[string]io.Closer{}
	}
	t.locks[folder] = lock
	return nil
}

// take imports what a folder holds. A lease on an address that another attachment holds is a conflict: it is told, and
// refused where not all of the content needs to be taken.
func (t *transaction) take(folder string, c *hostlocal.Content, all bool) error {
	if c.Empty() {
		return nil
	}
	im := Imported{Folder: folder}
	if err := im.sort(c, func(l *hostlocal.Lease) (state.Lease, bool, error) { return t.state.Lease(l.IP) }); err != nil {
		return err
	}
	if len(im.Conflicts) > 0 && !all {
		t.imported = append(t.imported, im)
		return fmt.Errorf("%s: %w: %s", folder, ErrConflict, im.Conflicts[0])
	}
	if err := t.append(t.importEvents(&im)...); err != nil {
		return err
	}
	t.imported, t.sealed = append(t.imported, im), folder
	t.tellImported(&im)
	return nil
}

// ErrConflict is returned by Import for a lease on an address that another attachment holds.
var ErrConflict = errors.New("address is held by another attachment")

// importEvents returns an event for each lease and a last one with the cursors, which says that it was all.
func (t *transaction) importEvents(im *Imported) []*journal.Event {
	events := make([]*journal.Event, 0, len(im.Leases)+1)
	sets := t.store.o.Ranges()
	for _, l := range im.Leases {
		events = append(events, t.importEvent(l, sets))
	}
	last := &journal.Event{Kind: journal.KindImport, Version: t.store.o.Version, Cursors: im.Cursors, Attributes: []journal.Attribute{
		{Key: "leases", Value: strconv.Itoa(len(im.Leases))}, {Key: journal.AttributeSource, Value: im.Folder}}}
	if n := len(im.Conflicts); n > 0 {
		const room = 1 << 10 // bytes: attributes that don't fit are dropped, and the folder's name with them
		text := fmt.Sprintf("%d", n)
		for i := 0; i < n && len(text)+len(im.Conflicts[i].String()) < room; i++ {
			text += "; " + im.Conflicts[i].String()
		}
		last.Attributes = slices.Insert(last.Attributes, 0, journal.Attribute{Key: "conflicts", Value: strings.Replace(text, ";", ":", 1)})
	}
	return append(events, last)
}

// importEvent returns the event that takes over one lease.
func (t *transaction) importEvent(l hostlocal.Lease, sets []RangeSet) *journal.Event {
	ev := &journal.Event{Kind: journal.KindImport, ContainerID: l.ContainerID, IfName: l.IfName, Version: t.store.o.Version,
		Addresses: []journal.Address{place(l.IP, sets)}}
	if !l.Time.IsZero() {
		ev.Claimed = l.Time.UnixNano()
	}
	if l.Blocked != "" {
		ev.Blocked = true
		ev.Attributes = []journal.Attribute{{Key: "blocked", Value: l.Blocked}}
	}
	return ev
}

// place returns the address with the subnet and range set that it belongs to by the configuration, or by itself.
func place(ip netip.Addr, sets []RangeSet) journal.Address {
	for i, set := range sets {
		if j := set.find(ip); j >= 0 {
			return journal.Address{Set: i, IP: ip, Bits: set[j].Subnet.Bits(), Gateway: set[j].Gateway}
		}
	}
	return journal.Address{IP: ip, Bits: ip.BitLen()}
}

// tellImported says what was taken over, and what of it needs looking at.
func (t *transaction) tellImported(im *Imported) {
	const told = 20
	for _, text := range im.Warnings[:min(len(im.Warnings), told)] {
		t.store.o.Warn(text)
	}
	if n := len(im.Warnings) - told; n > 0 {
		t.store.o.Warn(fmt.Sprintf("%s: %d more files like these", im.Folder, n))
	}
	for _, c := range im.Conflicts {
		t.store.o.Warn(fmt.Sprintf("%s: %s", im.Folder, c))
	}
	t.store.o.Warn(fmt.Sprintf("took over %d leases of host-local from %s", len(im.Leases), im.Folder))
}

// markSource marks the folder that the newest event has taken over, unless it is the data folder, whose claim is the
// mark.
func (t *transaction) markSource() error {
	if t.sealed == "" || t.sealed == t.store.folder {
		return nil
	}
	id := t.journal.Meta().ID
	if by, _, err := journal.ReadClaim(t.sealed); err == nil && by == id {
		return journal.SyncClaim(t.sealed) // whoever wrote it may have died before it did
	}
	if _, err := os.Stat(t.sealed); errors.Is(err, fs.ErrNotExist) {
		return nil // there is nothing left to import twice
	}
	_, err := journal.WriteClaim(t.sealed, id, t.store.dir)
	return err
}

// holdsUnclaimed returns what host-local's files say that an attachment holds, where the data folder is not claimed and
// the next mutating call will take them over.
func (s *Store) holdsUnclaimed(owner state.Attachment) ([]state.Lease, error) {
	var held []state.Lease
	for _, folder := range []string{s.folder, s.importFrom()} {
		if folder == "" {
			continue
		}
		if due, err := s.mayTake(folder, journal.ID{}); err != nil || !due {
			// What is no folder holds nothing.
			if errors.Is(err, ErrTaken) || errors.Is(err, unix.ENOTDIR) || err == nil {
				continue
			}
			return nil, err
		}
		owned, err := ownedIn(folder, owner, s.o.Ranges())
		if err != nil && !errors.Is(err, ErrForeign) {
			return nil, err
		}
		held = append(held, owned...)
	}
	return held, nil
}

// unclaimed reports whether host-local's files are there for a store that is not.
func (s *Store) unclaimed() bool {
	ok, err := s.importable()
	return ok && err == nil
}

// ownedIn returns the leases that files in the folder say the attachment holds.
func ownedIn(folder string, owner state.Attachment, sets []RangeSet) ([]state.Lease, error) {
	c, err := hostlocal.Read(folder)
	if err != nil {
		return nil, err
	}
	var held []state.Lease
	for _, l := range c.Leases {
		if l.ContainerID == owner.ContainerID && l.Blocked == "" && (l.IfName == owner.IfName || l.IfName == "") {
			held = append(held, state.Lease{Address: place(l.IP, sets), Import: true,
				Attachment: state.Attachment{ContainerID: l.ContainerID, IfName: l.IfName}})
		}
	}
	return held, nil
}

// beginOver is begin for a call that releases. Where there is no store it makes one if host-local's files are to be
// taken over and wanted says that they matter to the call.
func (s *Store) beginOver(wanted func() (bool, error)) (*transaction, error) {
	t, err := s.begin()
	if !errors.Is(err, journal.ErrNoStore) {
		return t, err
	}
	if err := s.noneElsewhere(); err != nil {
		return nil, err
	}
	ok, wantedErr := wanted()
	if wantedErr != nil {
		return nil, wantedErr
	}
	if !ok {
		return nil, err
	}
	return s.beginOrCreate()
}

// Import takes over the leases of a folder of host-local into the store, which it makes if there is none; the
// folder is marked. Nothing is imported if an address is held by another attachment (ErrConflict), or if the folder
// was taken over by another store (ErrTaken). A folder that this store has taken over already gives an empty Imported.
func (s *Store) Import(folder string) (Imported, error) {
	s.o.ImportFrom, s.byHand = folder, true
	if s.importFrom() == "" {
		folder = s.folder
	}
	t, err := s.beginOrCreate()
	if err != nil {
		return Imported{}, err
	}
	defer t.end()
	if t.foreign != nil {
		return Imported{}, t.foreign
	}
	if im, ok := t.importedFrom(folder); ok {
		return im, nil // with the making of the store
	}
	due, err := s.mayTake(folder, t.journal.Meta().ID)
	if err != nil || !due {
		return Imported{Folder: folder}, err
	}
	c, err := t.readLocked(folder)
	if err != nil {
		return Imported{}, err
	}
	err = t.take(folder, c, false)
	if err == nil {
		err = t.markSource()
	}
	im, _ := t.importedFrom(folder)
	return im, err
}

// importedFrom returns what this transaction took over from a folder, or that it was nothing.
func (t *transaction) importedFrom(folder string) (im Imported, ok bool) {
	i := slices.IndexFunc(t.imported, func(im Imported) bool { return im.Folder == folder })
	if i < 0 {
		return Imported{Folder: folder}, false
	}
	return t.imported[i], true
}

// importFrom returns the folder to import from beside the data folder, "" if there is none.
func (s *Store) importFrom() string {
	from, errFrom := filepath.EvalSymlinks(s.o.ImportFrom)
	folder, errFolder := filepath.EvalSymlinks(s.folder)
	if s.o.ImportFrom == s.folder || errFrom == nil && errFolder == nil && from == folder {
		return ""
	}
	return s.o.ImportFrom
}

// PlanImport returns what Import would take over from the folder, and changes nothing. It takes host-local's lock if that is
// there.
func (s *Store) PlanImport(folder string) (Imported, error) {
	s.o.ImportFrom = folder
	if s.importFrom() == "" {
		folder = s.folder
	}
	im := Imported{Folder: folder}
	if lock, err := hostlocal.Lookup(folder, time.Now().Add(s.o.LockTimeout)); err != nil {
		return im, err
	} else if lock != nil {
		defer lock.Close()
	}
	c, err := hostlocal.Read(folder)
	if err != nil {
		return im, err
	}
	taken := func(*hostlocal.Lease) (held state.Lease, ok bool, err error) { return held, false, nil }
	err = s.look(func(v *view) error {
		due, err := s.mayTake(folder, v.reader.Meta().ID)
		if err != nil || !due {
			return err
		}
		if !v.wiped {
			taken = func(l *hostlocal.Lease) (state.Lease, bool, error) { return v.state.Lease(l.IP) }
		}
		return im.sort(c, taken)
	})
	if !errors.Is(err, journal.ErrNoStore) {
		return im, err
	}
	if err := s.notElsewhere(); err != nil {
		return im, err
	}
	if _, err := s.mayTake(folder, journal.ID{}); err != nil {
		return im, err
	}
	return im, im.sort(c, taken)
}

// sort tells leases that are new from those that are held, by their owner or by another.
func (im *Imported) sort(c *hostlocal.Content, taken func(*hostlocal.Lease) (state.Lease, bool, error)) error {
	im.Cursors, im.Warnings = c.Cursors, c.Warnings
	for _, l := range c.Leases {
		held, ok, err := taken(&l)
		switch {
		case err != nil:
			return err
		case !ok:
			im.Leases = append(im.Leases, l)
		case held.ContainerID == l.ContainerID && (held.IfName == l.IfName || l.IfName == ""):
			im.Held = append(im.Held, l)
		default:
			im.Conflicts = append(im.Conflicts, Conflict{Lease: l, Holder: held.Attachment})
		}
	}
	return nil
}
