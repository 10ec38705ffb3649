package allocator

import (
	"fmt"

	"github.com/leaselog/leaselog/journal"
)

// Note records an event that changes no lease: of a kind that a program may skip, such as a prune or a hold. It fills in Seq, clocks
// and version, and returns when the event is durable. It holds the lock as long as a call does. A network without a store is
// journal.ErrNoStore. A copy of a store is refused with ErrCopy: what it would tell then happened nowhere.
func (s *Store) Note(ev *journal.Event) error { return s.note(ev, nil) }

// NoteAfter is Note for what was decided by the events up to one. Those that came since are shown to look: nearly all before the lock is
// taken, however many they are, and under it the few that came then. With an error of look nothing is recorded.
func (s *Store) NoteAfter(seen journal.Seq, ev *journal.Event, look func(*journal.Event) error) error {
	catchUp := func() error {
		var err error
		seen, err = s.showAfter(seen, look)
		return err
	}
	for from := seen; ; from = seen {
		if err := catchUp(); err != nil {
			return err
		}
		if seen-from <= fewEvents {
			return s.note(ev, catchUp)
		}
	}
}

// fewEvents is how many events are looked at under the lock without harm: each takes some microseconds.
const fewEvents = 128

// showAfter shows the durable events after one to look, and returns the last of them.
func (s *Store) showAfter(seen journal.Seq, look func(*journal.Event) error) (journal.Seq, error) {
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		return seen, err
	}
	for rec, err := range r.Records(seen) {
		if err == nil {
			err = look(&rec.Event)
		}
		if err != nil {
			return seen, err
		}
		seen = rec.Event.Seq
	}
	return seen, nil
}

func (s *Store) note(ev *journal.Event, look func() error) error {
	if ev.Kind.MustUnderstand() {
		return fmt.Errorf("note %s: it changes leases", ev.Kind)
	}
	if !whole(ev) {
		return fmt.Errorf("note %s: %w", ev.Kind, ErrTooLarge)
	}
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		return err
	}
	if r.Coverage().Copy {
		return fmt.Errorf("%s: %w", s.dir, ErrCopy)
	}
	t, err := s.begin()
	if err != nil {
		return err
	}
	defer t.end()
	if look != nil {
		if err := look(); err != nil {
			return err
		}
	}
	ev.Version = s.o.Version
	return t.append(ev)
}
