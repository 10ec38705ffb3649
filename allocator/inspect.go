package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// view is a store as a reader sees it: no lock taken, nothing written.
type view struct {
	reader *journal.Reader
	state  *state.State
	base   *state.Snapshot // below state; nil if all comes from the journal
	wiped  bool            // the data folder is not claimed
}

// look asks a question of the leases as of the newest durable event. A wiped data folder
// holds none. A question that meets damage in a snapshot is asked again over the one before.
//
// Files that go while they are read, and a store that is deleted or made anew meanwhile, are no
// findings: then it looks again.
func (s *Store) look(question func(*view) error) error {
	err := s.lookOnce(question)
	for range maxLooks {
		var damage *journal.CorruptionError
		if !errors.As(err, &damage) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		again := s.lookOnce(question)
		if again != nil && again.Error() == err.Error() {
			return again
		}
		err = again
	}
	return err
}

// maxLooks bounds how often a reader begins again.
const maxLooks = 10

func (s *Store) lookOnce(question func(*view) error) error {
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		return err
	}
	ok, _, err := s.claimed(r.Meta().ID)
	if err != nil {
		return err
	}
	if !ok {
		// Nothing is held, but the next call has to read the events all the same.
		ofLeases := question
		question = func(v *view) error { return ofLeases(&view{reader: v.reader, state: state.New(), wiped: true}) }
	}
	paths, err := snapshots(s.dir)
	if err != nil {
		return err
	}
	for i := len(paths) - 1; i >= 0; i-- {
		snap, err := state.OpenSnapshot(paths[i], r.Meta().ID)
		if errors.Is(err, fs.ErrNotExist) {
			return err // removed since it was listed; a newer one is there
		}
		if err == nil {
			if err = ask(&view{reader: r, state: state.OverTrusting(snap), base: snap}, question); damageIn(err, snap) == nil {
				return err
			}
		}
		var damage *journal.CorruptionError
		if !errors.As(err, &damage) {
			return err
		}
		s.o.Warn(fmt.Sprintf("%v; using the snapshot before it", damage))
	}
	return ask(&view{reader: r, state: state.New()}, question)
}

// ask brings the state up to date and asks the question.
func ask(v *view, question func(*view) error) error {
	if err := follow(v.state, v.reader); err != nil {
		return err
	}
	return question(v)
}

// follow applies what the reader has after the state.
func follow(st *state.State, r *journal.Reader) error {
	st.Expect(min(int(r.Coverage().Durable-st.Seq()), 2*snapshotEvents))
	return r.Events(st.Seq(), st.Head(), st.Apply)
}

// Check returns what the attachment holds, or ErrNoLease. It takes no lock and writes nothing. Where the data folder is not
// claimed, what host-local's files say counts: the next mutating call takes them over.
func (s *Store) Check(owner state.Attachment) ([]state.Lease, error) {
	var held []state.Lease
	wiped := false
	err := s.look(func(v *view) (err error) {
		held, err = heldBy(v.state, owner)
		if wiped = v.wiped; err == nil && !wiped {
			held, err = s.shownInView(v, held, owner)
		}
		return err
	})
	none := errors.Is(err, journal.ErrNoStore)
	if none {
		err = s.noneElsewhere()
	}
	if err == nil && (none || wiped) {
		held, err = s.holdsUnclaimed(owner)
	}
	if err == nil && len(held) == 0 {
		err = ErrNoLease
	}
	return held, err
}

// Status returns nil if an ADD could be served, and otherwise what stands in its way. Full
// range sets count only if they are given. It takes no lock and writes nothing.
func (s *Store) Status(sets []RangeSet) error {
	err := s.look(func(v *view) error { return s.ready(v, sets) })
	if errors.Is(err, journal.ErrNoStore) {
		return s.canCreate(sets)
	}
	return err
}

func (s *Store) ready(v *view, sets []RangeSet) error {
	if err := journal.CanWrite(v.reader.Meta()); err != nil {
		return err
	}
	if v.reader.Coverage().Fenced {
		return fmt.Errorf("%s: %w", s.dir, journal.ErrFenced)
	}
	lock := filepath.Join(s.dir, "lock")
	if st, err := os.Stat(lock); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", lock)
	}
	for _, path := range []string{filepath.Join(s.dir, "journal"), lock, nearest(s.folder)} {
		if err := writable(path); err != nil {
			return err
		}
	}
	if err := v.reader.CheckTail(); err != nil {
		return err
	}
	if v.wiped {
		if err := s.noForeignFiles(); err != nil {
			return err
		}
	}
	if err := v.reader.Room(); err != nil {
		return err
	}
	return notExhausted(v.state, sets)
}

// notExhausted refuses if a range set has no address to give.
func notExhausted(leases Leases, sets []RangeSet) error {
	for i, set := range sets {
		free, err := anyFree(leases, set)
		if err != nil {
			return err
		}
		if !free {
			return &Refusal{Set: i, Cause: ErrExhausted, text: "no IP addresses available in range set: " + set.String()}
		}
	}
	return nil
}

// canCreate says whether a store could be made and serve an ADD.
func (s *Store) canCreate(sets []RangeSet) error {
	if err := s.notElsewhere(); err != nil {
		return err
	}
	if _, err := s.importable(); err != nil {
		return err
	}
	if err := notExhausted(state.New(), sets); err != nil {
		return err
	}
	for _, path := range []string{s.o.HistoryDir, s.folder} {
		path = nearest(path)
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			return &fs.PathError{Op: "make a folder in", Path: path, Err: unix.ENOTDIR}
		}
		if err := writable(path); err != nil {
			return err
		}
	}
	if err := journal.CanCreate(s.o.HistoryDir); err != nil {
		return err
	}
	return journal.RoomForStore(nearest(s.o.HistoryDir))
}

// nearest returns path, or the nearest of its parents that exists.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// writable returns why nothing can be written at path; root is told of read-only file systems only.
func writable(path string) error {
	if err := unix.Access(path, unix.W_OK); err != nil {
		return &fs.PathError{Op: "write to", Path: path, Err: err}
	}
	return nil
}

// anyFree reports whether the set has an address to give.
func anyFree(leases Leases, set RangeSet) (bool, error) {
	c := chooser{leases: leases}
	for _, s := range searchOrder(set, netip.Addr{}) {
		if _, ok, err := c.free(s); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
