package allocator

import (
	"fmt"

	"github.com/leaselog/leaselog/journal"
)

// Note records an event that changes no lease: of a kind that a program may skip, such as a prune or a hold. It fills in Seq, clocks
// and version, and returns when the event is durable. It holds the lock as long as a call does. A network without a store is
// journal.ErrNoStore. A copy of a store is refused with ErrCopy: what it would tell then happened nowhere.
func (s *Store) Note(ev *journal.Event) error {
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
	ev.Version = s.o.Version
	return t.append(ev)
}
