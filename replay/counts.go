package replay

import (
	"errors"
	"fmt"
	"iter"
	"maps"

	"github.com/leaselog/leaselog/journal"
)

// Counts are what the events of a journal up to Seq add up to. Numbers of events are at least what happened: calls
// that are repeated are not all recorded. The zero Counts are those before the first event.
type Counts struct {
	Seq  journal.Seq  // the last event counted
	Head journal.Hash // of its record; the chain of hashes makes it stand for all events before

	Adds     uint64                    // attachments that got their addresses
	Dels     uint64                    // DEL events, also those that found nothing to release
	Imports  uint64                    // leases and blocked addresses that were taken over
	Released map[journal.Reason]uint64 // leases that ended, by reason
	Refused  map[int]uint64            // ADDs that were refused, by CNI error code
	Held     uint64                    // leases held after Seq, blocked addresses included
	LastAdd  journal.Seq               // the newest add, 0 if there is none
}

// errOverdrawn is the cause of damage that the number of leases shows.
var errOverdrawn = errors.New("releases more leases than there are")

// Take counts the next event. It returns a *journal.CorruptionError for one that does not continue what was counted,
// and journal.ErrNewer for one that this version doesn't understand; then nothing is counted.
func (c *Counts) Take(rec *journal.Record) error {
	ev := &rec.Event
	damage := func(cause error) error {
		return &journal.CorruptionError{File: rec.File, Seq: ev.Seq, Offset: rec.Offset, Cause: cause}
	}
	switch {
	case !ev.Understood():
		return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
	case ev.Prev != c.Head: // so it is not the next one either
		return damage(errChain)
	}
	n := uint64(len(ev.Addresses))
	switch ev.Kind {
	case journal.KindAdd:
		c.Adds++
		c.Held += n
		c.LastAdd = ev.Seq
	case journal.KindImport:
		c.Imports += n
		c.Held += n
	case journal.KindDel, journal.KindRelease:
		if n > c.Held {
			return damage(errOverdrawn)
		}
		c.end(reason(ev), n)
		if reason(ev) == journal.ReasonDel {
			c.Dels++
		}
	case journal.KindReset:
		c.end(reason(ev), c.Held)
	case journal.KindRefuse:
		if c.Refused == nil {
			c.Refused = make(map[int]uint64)
		}
		c.Refused[ev.Code]++
	}
	c.Seq, c.Head = ev.Seq, rec.Head()
	return nil
}

// end counts the end of n leases.
func (c *Counts) end(why journal.Reason, n uint64) {
	c.Held -= n
	if n == 0 {
		return
	}
	if c.Released == nil {
		c.Released = make(map[journal.Reason]uint64)
	}
	c.Released[why] += n
}

// Recorder reads the events after a given one in order, as journal.Reader and archive.Reader do.
type Recorder interface {
	Records(after journal.Seq) iter.Seq2[journal.Record, error]
}

// Count counts the events up to the newest durable one. It goes on from before, which an earlier Count returned, if the
// journal still has the very event that those end with, and so the very events before it; in all other
// cases, a zero before among them, it counts from the first event on, or, where r has a method Left, from the Counts that it
// returns: see CountsLeft. before is not changed.
//
// The error is what ended the reading: damage, an event of a newer version, or the file system's. Then there are no counts.
func Count(r Recorder, before Counts) (Counts, error) {
	var c Counts
	if continues(r, &before) {
		c = before
		c.Released, c.Refused = maps.Clone(before.Released), maps.Clone(before.Refused)
	}
	if left, ok := r.(interface{ Left() (Counts, error) }); ok && c.Seq == 0 {
		var err error
		if c, err = left.Left(); err != nil {
			return Counts{}, err
		}
	}
	for rec, err := range r.Records(c.Seq) {
		if err == nil {
			err = c.Take(&rec)
		}
		if err != nil {
			return Counts{}, err
		}
	}
	return c, nil
}

// continues reports whether the journal has the event that the counts end with. What stands in the way of looking is met
// again when all is counted.
func continues(r Recorder, c *Counts) bool {
	if c.Seq == 0 {
		return false
	}
	for rec, err := range r.Records(c.Seq - 1) {
		return err == nil && rec.Event.Seq == c.Seq && rec.Head() == c.Head
	}
	return false
}
