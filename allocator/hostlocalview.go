package allocator

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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

// The view: host-local's files beside the journal, for programs that read them, and for calls of host-local that run
// beside ours while a node is switched over. The journal decides and the files follow, under host-local's lock; they are
// not synced. What others change in them is noticed by the next mutating call: a lease file that is gone is a release
// (reason external), one that is new is a lease that host-local gave, and is imported.
//
// What is ours to have changed is told from what others did by the stamp: all events up to its number have been
// shown in this folder in this boot. After a reboot files may be missing, empty or back again, so that a file that is not
// there or is older than what the journal knows of its address proves nothing. One that is newer was written by host-local in
// between: a power cut brings back no later file than the one that was lost.

// stampName is the file in the store's folder that says that there is a view, and how far it is.
const stampName = "view"

// viewListed is up to how many leases a call looks through all the files of a view. Beyond that it relies on the
// folder's time, which the kernel moves on in steps of some milliseconds.
const viewListed = 1024

// quickBoot is less than a node needs to boot. A file that is newer by less may be one that a power cut took the right time
// from, and the end of what was in it.
const quickBoot = time.Second

// stamp is what the stamp file says. The zero stamp says that nothing is known of the files.
type stamp struct {
	boot   journal.BootID
	dev    uint64
	inode  uint64
	seq    journal.Seq
	change int64 // when a name in the folder changed last, nanoseconds
}

// hostLocalView is the view of one transaction. A nil one shows nothing.
type hostLocalView struct {
	folder string
	path   string                // of the stamp
	old    stamp                 // as it was found; zero if it does not speak of this boot
	before uint64                // the folder's inode by a stamp of an earlier boot; zero if there is none
	since  bool                  // the folder is that one, so that newer files are host-local's
	gone   map[netip.Addr]ending // by events behind the stamp
	failed bool                  // something could not be shown, so that the next call has to look
}

// ending is the end of a lease.
type ending struct {
	owner state.Attachment
	at    int64 // by the clock, nanoseconds
}

// openView finds out whether there is a view. It comes before the events are loaded: those behind the stamp tell which
// files are leftovers of ours.
func (t *transaction) openView() error {
	s := t.store
	path := filepath.Join(s.dir, stampName)
	b, err := readShort(path) // one that can't be read is one that knows nothing
	known := err == nil
	if !known && s.o.View != ViewOn {
		if known, err = hostlocal.Called(s.folder); err != nil {
			return err
		}
	}
	off := givenUp(b)
	switch {
	case s.o.View == ViewOn, s.o.View == ViewKept && known && !off:
		old, before := parseStamp(b)
		t.view = &hostLocalView{folder: s.folder, path: path, old: old, before: before}
	case s.o.View == ViewOff && known && !off:
		return writeShort(path, viewGivenUp)
	}
	return nil
}

// viewGivenUp stands in the stamp file of a view that was turned off: from then on the files are out of date, and say nothing.
const viewGivenUp = "off\n"

func givenUp(stamp []byte) bool { return bytes.HasPrefix(stamp, []byte(viewGivenUp)) }

// startView begins to keep a view, before the folder is claimed: that there is one has to survive a crash. followView
// then looks at every file.
func (t *transaction) startView() error {
	t.view = &hostLocalView{folder: t.store.folder, path: filepath.Join(t.store.dir, stampName)}
	return t.store.keepView()
}

// keepView makes it durable that the store has a view, of whose files nothing is known.
func (s *Store) keepView() error {
	f, err := os.OpenFile(filepath.Join(s.dir, stampName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return journal.SyncDir(s.dir)
}

// hasView reports whether the store keeps a view.
func (s *Store) hasView() bool {
	b, err := readShort(filepath.Join(s.dir, stampName))
	return err == nil && !givenUp(b)
}

// parseStamp reads a stamp of this boot, or of one of an earlier boot the folder's inode. Any other text is the zero stamp.
func parseStamp(b []byte) (of stamp, before uint64) {
	boot := journal.CurrentBoot()
	first, _, _ := strings.Cut(string(b), "\n") // what follows is of something that was longer than a stamp
	words := strings.Fields(first)
	if len(words) != 5 || boot == (journal.BootID{}) {
		return stamp{}, 0
	}
	var n [4]uint64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(words[i+1], 10, 64); err != nil {
			return stamp{}, 0
		}
	}
	if words[0] != boot.String() {
		return stamp{}, n[1]
	}
	return stamp{boot, n[0], n[1], journal.Seq(n[2]), int64(n[3])}, 0
}

// String returns the stamp as its file has it.
func (s stamp) String() string {
	return fmt.Sprintf("%s %d %d %d %d\n", s.boot, s.dev, s.inode, s.seq, uint64(s.change))
}

// stampBytes is more than any stamp takes.
const stampBytes = 128

// write writes the stamp over the one before, in one piece and without cutting the file first: a call that is killed must
// not leave a stamp that knows nothing, or what host-local did until then is taken for files that prove nothing.
func (s stamp) write(path string) error {
	return writeShort(path, fmt.Sprintf("%-*s\n", stampBytes-1, strings.TrimSuffix(s.String(), "\n")))
}

// newStamp returns a stamp for the folder as it is.
func newStamp(folder string, seq journal.Seq) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return stamp{}, &fs.PathError{Op: "stat", Path: folder, Err: err}
	}
	return stamp{journal.CurrentBoot(), st.Dev, st.Ino, seq, st.Mtim.Nano()}, nil
}

// ended notes an event of the overlay that ended leases whose files may still be there.
func (v *hostLocalView) ended(ev *journal.Event) {
	if v == nil || ev.Seq <= v.old.seq {
		return
	}
	switch ev.Kind {
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			if v.gone == nil {
				v.gone = map[netip.Addr]ending{}
			}
			v.gone[a.IP] = ending{state.Attachment{ContainerID: strings.Clone(ev.ContainerID), IfName: strings.Clone(ev.IfName)}, ev.Clock.Wall}
		}
	}
}

// followView takes the view's lock and makes journal and files agree: what others did to the files becomes events, what
// the files miss is written.
func (t *transaction) followView() error {
	v := t.view
	if v == nil {
		return nil
	}
	if t.foreign != nil {
		t.view = nil
		return nil
	}
	if err := t.lockHostLocal(v.folder); err != nil {
		return err
	}
	now, err := newStamp(v.folder, t.state.Seq())
	if err != nil {
		return err
	}
	if v.old.dev != now.dev || v.old.inode != now.inode {
		v.old = stamp{} // another folder: nothing is known of what is in it
	}
	v.since = v.before != 0 && v.before == now.inode
	if v.old == now && t.state.Len() > viewListed {
		return nil
	}
	return t.compareView()
}

// compareView looks through all files and all leases.
func (t *transaction) compareView() error {
	files, err := hostlocal.List(t.view.folder)
	if err != nil {
		t.viewTrouble(err)
		return nil
	}
	c, err := t.compareFiles(files)
	if err != nil {
		return err
	}
	if err := t.append(t.outside(c)...); err != nil {
		return err
	}
	t.viewTrouble(t.view.done(t))
	return nil
}

// viewTrouble tells of an error that concerns a file of the view alone.
func (t *transaction) viewTrouble(err error) {
	if err != nil {
		t.view.failed = true
		t.store.o.Warn(fmt.Sprintf("host-local's files: %v", err))
	}
}

// comparison is what the files and the leases say of each other.
type comparison struct {
	released []state.Lease     // whose files others have removed
	imported []hostlocal.Lease // that others have written
}

// compareFiles compares, and mends the files that are ours to mend.
func (t *transaction) compareFiles(files []hostlocal.File) (*comparison, error) {
	v, c := t.view, &comparison{}
	return c, t.decide(func() error {
		*c = comparison{}
		rest := make(map[netip.Addr]hostlocal.File, len(files))
		for _, f := range files {
			rest[f.IP] = f
		}
		for l, err := range t.state.Leases() {
			if err != nil {
				return err
			}
			f, found := rest[l.IP]
			delete(rest, l.IP)
			t.viewTrouble(v.compare(c, &l, f, found))
		}
		for _, ip := range slices.SortedFunc(maps.Keys(rest), netip.Addr.Compare) {
			t.viewTrouble(v.unknown(c, ip))
		}
		return nil
	})
}

// compare judges the file of a lease.
func (v *hostLocalView) compare(c *comparison, l *state.Lease, f hostlocal.File, found bool) error {
	want := fileOf(l)
	shown := v.old.seq >= l.Start // with its time
	switch {
	case !found && shown:
		c.released = append(c.released, *l)
		return nil
	case !found:
		return hostlocal.Put(v.folder, want)
	case shown && f.Size == want.Size() && f.Time.Equal(want.Time):
		return nil
	}
	have, err := hostlocal.ReadLease(v.folder, l.IP)
	if err != nil {
		return err
	}
	same := have.SameOwner(want) && have.Blocked == "" == !l.Blocked
	later := have.Blocked == "" && have.Time.After(want.Time)
	rebooted := v.since || earlier(l, journal.CurrentBoot())
	again := later && (shown || rebooted && have.Time.Sub(want.Time) > quickBoot)
	switch {
	case again, !same && have.Blocked == "" && v.old.seq > 0:
		// host-local gave it anew, be it to the same, after the file was removed, or where one of our calls died before it
		// wrote the file: that one has not been answered.
		c.released, c.imported = append(c.released, *l), append(c.imported, have)
		return nil
	case same && later: // in a copy, or by a call that died before it set the time
		return hostlocal.SetTime(v.folder, want)
	case same:
		return nil
	}
	if later && !have.RestOf(want) { // the rest of our own names nobody else
		// Both may have it. The file stays, so that neither is forgotten: when ours ends, the other's lease begins.
		return fmt.Errorf("%s names %s/%s: the address is held by %s/%s, and two containers may have it",
			hostlocal.Path(v.folder, l.IP), have.ContainerID, have.IfName, l.ContainerID, l.IfName)
	}
	return hostlocal.Replace(v.folder, want)
}

// unknown judges a file of an address that nobody holds: a leftover of ours, or a lease that host-local gave.
func (v *hostLocalView) unknown(c *comparison, ip netip.Addr) error {
	have, err := hostlocal.ReadLease(v.folder, ip)
	if err != nil {
		return err
	}
	if v.leftover(have) {
		return hostlocal.Remove(v.folder, ip)
	}
	c.imported = append(c.imported, have)
	return nil
}

// leftover reports whether a file of an address that nobody holds is one of ours: of a call that died, or that a power cut
// brought back, whole or in part. One that is newer than the end is a lease that host-local gave the same container again.
func (v *hostLocalView) leftover(have hostlocal.Lease) bool {
	end, ours := v.gone[have.IP]
	if !ours || have.Time.After(time.Unix(0, end.at)) {
		return false
	}
	rest := v.old.seq == 0 && have.RestOf(hostlocal.Lease{ContainerID: end.owner.ContainerID, IfName: end.owner.IfName})
	return rest || have.Blocked != "" || ownedBy(have, end.owner)
}

// outside returns the events that tell what others did to the files.
func (t *transaction) outside(c *comparison) []*journal.Event {
	var events []*journal.Event
	version := t.store.o.Version
	for _, l := range c.released {
		events = append(events, &journal.Event{Kind: journal.KindRelease, Reason: journal.ReasonExternal, ContainerID: l.ContainerID,
			IfName: l.IfName, NetNS: l.NetNS, NetNSID: l.NetNSID, Pod: l.Pod, Version: version, Addresses: []journal.Address{l.Address}})
		t.store.o.Warn(fmt.Sprintf("%s was removed by another program: its lease is released", hostlocal.Path(t.view.folder, l.IP)))
	}
	if len(c.imported) == 0 {
		return events
	}
	sets := t.store.o.Ranges()
	for _, l := range c.imported {
		events = append(events, t.importEvent(l, sets))
		t.store.o.Warn(fmt.Sprintf("%s was written by another program: its lease is taken over", hostlocal.Path(t.view.folder, l.IP)))
	}
	if cursors, err := hostlocal.Cursors(t.view.folder); err == nil && len(cursors) > 0 {
		events[len(events)-1].Cursors = cursors
	}
	return events
}

// fileOf returns the lease as its file should have it.
func fileOf(l *state.Lease) hostlocal.Lease {
	f := hostlocal.Lease{IP: l.IP, ContainerID: l.ContainerID, IfName: l.IfName}
	if at := cmp.Or(l.Claimed, l.Clock.Wall); at != 0 {
		f.Time = time.Unix(0, at)
	}
	return f
}

// taken reports whether one of the addresses has a file, as it can't be: in a large folder that somebody has just
// written to, all files have to be looked at again. Files of leases that end with the choice are no surprise.
func (v *hostLocalView) taken(addresses []journal.Address, ending []*attachmentLeases) (bool, error) {
	if v == nil {
		return false, nil
	}
	ends := func(ip netip.Addr) bool {
		return slices.ContainsFunc(ending, func(a *attachmentLeases) bool {
			return slices.ContainsFunc(a.leases, func(l state.Lease) bool { return l.IP == ip })
		})
	}
	for _, a := range addresses {
		_, err := os.Lstat(hostlocal.Path(v.folder, a.IP))
		if !errors.Is(err, fs.ErrNotExist) && !ends(a.IP) {
			return err == nil, err
		}
	}
	return false, nil
}

// show brings the files up to date with events that were just appended. They are durable, so that nothing that happens here
// is an error of the call: what could not be shown is tried again by the next one.
func (v *hostLocalView) show(t *transaction, events []*journal.Event) {
	if v == nil {
		return
	}
	for _, ev := range events {
		t.viewTrouble(v.showEvent(ev))
	}
	t.viewTrouble(v.done(t))
}

func (v *hostLocalView) showEvent(ev *journal.Event) error {
	var err error
	switch ev.Kind {
	case journal.KindAdd:
		for _, a := range ev.Addresses {
			l := state.Lease{Address: a, Attachment: attachmentOf(ev), Clock: ev.Clock}
			err = errors.Join(err, hostlocal.Replace(v.folder, fileOf(&l)))
		}
		err = errors.Join(err, v.showCursors(ev))
	case journal.KindImport:
		for _, a := range ev.Addresses {
			l := state.Lease{Address: a, Attachment: attachmentOf(ev), Clock: ev.Clock, Claimed: ev.Claimed}
			if putErr := hostlocal.Put(v.folder, fileOf(&l)); !errors.Is(putErr, fs.ErrExist) { // it came from there
				err = errors.Join(err, putErr)
			}
		}
		err = errors.Join(err, v.showCursors(ev))
	case journal.KindDel, journal.KindRelease:
		if ev.Reason == journal.ReasonExternal {
			return nil // what there is, others have made so
		}
		for _, a := range ev.Addresses {
			err = errors.Join(err, v.hide(ev, a.IP))
		}
	}
	return err
}

func (v *hostLocalView) showCursors(ev *journal.Event) error {
	var err error
	for _, c := range ev.Cursors {
		err = errors.Join(err, hostlocal.SetCursor(v.folder, c))
	}
	return err
}

// hide removes the file of a lease that has ended, unless somebody else owns it by now.
func (v *hostLocalView) hide(ev *journal.Event, ip netip.Addr) error {
	have, err := hostlocal.ReadLease(v.folder, ip)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if have.Blocked == "" && !ownedBy(have, attachmentOf(ev)) {
		return nil
	}
	return hostlocal.Remove(v.folder, ip)
}

// ownedBy reports whether the file of a lease is one of the attachment. Old releases name no interface.
func ownedBy(have hostlocal.Lease, owner state.Attachment) bool {
	return have.ContainerID == owner.ContainerID && (have.IfName == owner.IfName || have.IfName == "" || owner.IfName == "")
}

// done stamps the view: all events are shown. It doesn't if something is still to be shown.
func (v *hostLocalView) done(t *transaction) error {
	if v.failed {
		return nil
	}
	now, err := newStamp(v.folder, t.state.Seq())
	if err != nil || now == v.old {
		return err
	}
	if err := now.write(v.path); err != nil {
		return err
	}
	v.old = now
	return nil
}

// ViewChanged reports whether names in a network's data folder have changed since a call of this boot has compared its view
// with the leases of the store in dir: then others may have given addresses and released some. False without a view.
func ViewChanged(dir, folder string) bool {
	b, err := readShort(filepath.Join(dir, stampName))
	if err != nil {
		return false
	}
	shown, _ := parseStamp(b)
	now, err := newStamp(folder, shown.seq)
	return err == nil && shown != (stamp{}) && now != shown
}

// shownInView returns what the attachment holds by the view as well, if there is one: not the leases whose files others have
// removed, and in their place those that host-local gave, as the next mutating call will find.
func (s *Store) shownInView(v *view, held []state.Lease, owner state.Attachment) ([]state.Lease, error) {
	b, err := readShort(filepath.Join(s.dir, stampName))
	switch none := errors.Is(err, fs.ErrNotExist); {
	case none && s.o.View != ViewOn, !none && (s.o.View == ViewOff || givenUp(b)):
		return held, nil
	}
	shown, _ := parseStamp(b)
	held = slices.DeleteFunc(held, func(l state.Lease) bool {
		_, err := os.Lstat(hostlocal.Path(s.folder, l.IP))
		return l.Start <= shown.seq && errors.Is(err, fs.ErrNotExist)
	})
	if len(held) > 0 {
		return held, nil
	}
	held, err = ownedIn(s.folder, owner, s.o.Ranges())
	if err != nil || len(held) == 0 {
		return nil, err
	}
	return s.withoutLeftovers(v, shown, held)
}

// withoutLeftovers returns those of the leases in files that are not of ours which have ended.
func (s *Store) withoutLeftovers(v *view, shown stamp, held []state.Lease) ([]state.Lease, error) {
	files, base, head := hostLocalView{old: shown}, journal.Seq(0), journal.Hash{}
	if v.base != nil {
		base, head = v.base.Seq(), v.base.Head()
	}
	err := v.reader.Events(base, head, func(ev *journal.Event) error {
		files.ended(ev)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(held, func(l state.Lease) bool {
		have, err := hostlocal.ReadLease(s.folder, l.IP)
		return err != nil || files.leftover(have)
	}), nil
}

func attachmentOf(ev *journal.Event) state.Attachment {
	return state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
}
