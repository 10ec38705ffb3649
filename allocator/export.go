package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Giving a network back to host-local: what is held, as the files that host-local would have. In the network's own
// folder the claim goes last. As long as it is there the journal decides, and what the files say is made good by doing it
// again; once it is gone the files are complete, and the next call of leaselog takes them over anew.

// Errors of Export and HandOver.
var (
	// ErrNotTaken is returned for a lease file that another program has written and no call has taken over yet.
	ErrNotTaken = errors.New("was written by another program")
	// ErrWiped is returned by HandOver when the folder is deleted meanwhile.
	ErrWiped = errors.New("folder was deleted meanwhile")
)

// Exported is what a network holds, as host-local's files have it.
type Exported struct {
	Seq     journal.Seq // the event after which it was so
	Time    time.Time   // of that event, UTC; zero if nothing is held because the folder was deleted
	Wiped   bool        // the folder was deleted, or is host-local's: nothing is held
	Leases  []hostlocal.Lease
	Cursors []journal.Cursor

	Missing []hostlocal.Lease // of Leases: whose file is not there in the network's folder, or is of another lease
	Stale   []string          // files in there of leases and cursors that are no more, by name
}

// exported returns what a state holds.
func exported(st *state.State) (*Exported, error) {
	e := &Exported{Seq: st.Seq(), Cursors: st.Cursors()}
	if st.Seq() != 0 {
		e.Time = st.LastClock().Time()
	}
	for l, err := range st.Leases() {
		if err != nil {
			return nil, err
		}
		e.Leases = append(e.Leases, fileOf(&l))
	}
	return e, nil
}

// Export says what the network holds, and how its folder differs from that. It takes no lock and writes nothing.
// ErrNotTaken is returned if the folder has leases that are not in the journal.
func (s *Store) Export() (*Exported, error) {
	// A file is written after its event, so that the events read later have the lease of each file listed now.
	files, err := s.listed()
	if err != nil {
		return nil, err
	}
	var e *Exported
	err = s.look(func(v *view) (err error) {
		if e, err = exported(v.state); err == nil {
			e.Seq, e.Wiped = v.reader.Coverage().Durable, v.wiped
		}
		return err
	})
	if err != nil || e.Wiped {
		return e, err
	}
	return e, s.compareFolder(e, files)
}

// listed lists the lease files in the network's folder, which may be missing.
func (s *Store) listed() ([]hostlocal.File, error) {
	files, err := hostlocal.List(s.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// HandOver makes the network's folder host-local's: its files say exactly what the journal says, and they are durable before
// the folder is no longer claimed. Nothing is changed if there are other files in it (hostlocal.ErrForeign), or leases that
// the journal knows nothing of (ErrNotTaken). A crash leaves the folder claimed, or complete.
func (s *Store) HandOver() (*Exported, error) {
	if err := hostlocal.NoStrangers(s.folder); err != nil {
		return nil, err
	}
	t, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer t.end()
	if t.foreign != nil {
		return nil, t.foreign
	}
	if err := t.lockHostLocal(s.folder); err != nil {
		return nil, err
	}
	if err := hostlocal.NoStrangers(s.folder); err != nil {
		return nil, err
	}
	if t.view != nil {
		if err := t.compareView(); err != nil {
			return nil, err
		}
	}
	var e *Exported
	err = t.decide(func() (err error) {
		e, err = exported(t.state)
		return err
	})
	if err != nil {
		return nil, err
	}
	files, err := hostlocal.List(s.folder)
	if err != nil {
		return nil, err
	}
	if err := s.compareFolder(e, files); err != nil {
		return nil, err
	}
	return e, t.handOver(e)
}

// handOver writes in this order: what the view knows of its files is forgotten, so that after a crash the journal alone
// decides; lease files and cursors; all of that synced; the claim; the note that there is a view.
func (t *transaction) handOver(e *Exported) error {
	folder, note := t.store.folder, filepath.Join(t.store.dir, stampName)
	if t.view != nil {
		if err := os.WriteFile(note, nil, 0o600); err != nil {
			return err
		}
	}
	for _, name := range e.Stale {
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, l := range e.Missing {
		if err := hostlocal.Replace(folder, l); err != nil {
			return err
		}
	}
	for _, c := range e.Cursors {
		if err := hostlocal.SetCursor(folder, c); err != nil {
			return err
		}
	}
	if err := hostlocal.Share(folder); err != nil {
		return err
	}
	if err := hostlocal.Sync(folder); err != nil {
		return err
	}
	// Whoever deleted the folder or the claim meanwhile wanted no lease to be left.
	if err := t.notWiped(); errors.Is(err, journal.ErrReplaced) {
		return fmt.Errorf("%s: %w", folder, ErrWiped)
	} else if err != nil {
		return err
	}
	if err := journal.DropClaim(folder); err != nil {
		return err
	}
	if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return journal.SyncDir(t.store.dir)
}

// compareFolder finds out which files the folder lacks and which it has too many. What is there and not held is stale if the
// journal gave or took over that very lease once; otherwise it is ErrNotTaken.
func (s *Store) compareFolder(e *Exported, files []hostlocal.File) error {
	rest := make(map[netip.Addr]bool, len(files))
	for _, f := range files {
		rest[f.IP] = true
	}
	for _, want := range e.Leases {
		if !rest[want.IP] {
			e.Missing = append(e.Missing, want)
			continue
		}
		delete(rest, want.IP)
		same, err := s.asIs(want)
		if err != nil {
			return err
		}
		if !same {
			e.Missing = append(e.Missing, want)
		}
	}
	if err := s.knownOf(rest); err != nil {
		return err
	}
	for ip := range rest {
		e.Stale = append(e.Stale, ip.String())
	}
	slices.Sort(e.Stale)
	cursors, err := hostlocal.CursorFiles(s.folder, e.Cursors)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.Stale = append(e.Stale, cursors...)
	return nil
}

// asIs reports whether the file of a lease is as it should be. One that names no owner stays as it is, whatever it holds.
func (s *Store) asIs(want hostlocal.Lease) (bool, error) {
	have, err := hostlocal.ReadLease(s.folder, want.IP)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return have.SameOwner(want) && (want.Time.IsZero() || have.Time.Equal(want.Time)), nil
}

// knownOf returns ErrNotTaken unless the journal gave or took over, at some time, the very leases that the files of these
// addresses tell of. It reads all events, if there are any such files.
func (s *Store) knownOf(addresses map[netip.Addr]bool) error {
	owners := make(map[netip.Addr]string)
	for ip := range addresses {
		have, err := hostlocal.ReadLease(s.folder, ip)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		owners[ip] = have.ContainerID
	}
	if len(owners) == 0 {
		return nil
	}
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		return err
	}
	err = r.Events(0, journal.Hash{}, func(ev *journal.Event) error {
		if ev.Kind == journal.KindAdd || ev.Kind == journal.KindImport {
			for _, a := range ev.Addresses {
				if id, ok := owners[a.IP]; ok && id == ev.ContainerID {
					delete(owners, a.IP)
				}
			}
		}
		return nil
	})
	for ip := range owners {
		err = errors.Join(err, fmt.Errorf("%s: %w: the next call that writes takes it over if host-local's files are kept here, otherwise remove it",
			hostlocal.Path(s.folder, ip), ErrNotTaken))
	}
	return err
}
