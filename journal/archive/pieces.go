package archive

import (
	"errors"
	"iter"

	"github.com/leaselog/leaselog/journal"
)

// Pieces returns everything after an event that can still be read, in order, damage or not, as journal.Salvage
// does: between the records stand the losses. A packed file that is missing, or can't be read at all, is one
// loss; damage in one of its frames costs the events of that frame.
func (r *Reader) Pieces(after journal.Seq) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		next := after + 1
		hand := func(p journal.Piece) error {
			switch {
			case p.Loss != nil && p.Loss.Last >= next:
				next = p.Loss.Last + 1
			case p.Loss == nil:
				next = p.Event.Seq + 1
			}
			if !yield(p, nil) {
				return errStopped
			}
			return nil
		}
		for {
			s := r.next(next)
			err := r.pieces(s, hand)
			switch {
			case errors.Is(err, errStopped):
				return
			case err != nil:
				yield(journal.Piece{}, err)
				return
			case s.last == 0:
				return
			}
			next = s.last + 1
		}
	}
}

// pieces hands out what there is of one stretch.
func (r *Reader) pieces(s stretch, hand func(journal.Piece) error) error {
	if s.file != nil {
		return s.file.pieces(r.nameOf(s.file), s.first-1, hand)
	}
	next := s.first
	if r.j != nil {
		for p, err := range r.j.Pieces(s.first - 1) {
			if err != nil {
				return err
			}
			if s.last != 0 && beyond(&p, s.last) {
				break
			}
			if err := hand(p); err != nil {
				return err
			}
			if p.Loss == nil {
				next = p.Event.Seq + 1
			} else {
				next = max(next, p.Loss.Last+1)
			}
		}
	}
	last := s.last
	if last == 0 {
		for _, b := range r.broken { // nothing that can be read says that these events were there
			last = max(last, b.last)
		}
	}
	if next > last {
		return nil
	}
	cause := s.broken
	for _, b := range r.broken {
		if cause == nil && b.first <= last && next <= b.last {
			cause = b.err
		}
	}
	loss := &journal.Loss{File: folderName, Offset: -1, First: next, Last: last, Cause: errors.New("missing")}
	if damage, ok := errors.AsType[*journal.CorruptionError](cause); ok {
		cause = damage.Cause
	}
	if cause != nil {
		loss.Cause = cause
	}
	return hand(journal.Piece{Loss: loss})
}

// beyond reports whether a piece stands behind an event, and cuts off what of a loss does.
func beyond(p *journal.Piece, last journal.Seq) bool {
	if p.Loss == nil {
		return p.Event.Seq > last
	}
	if p.Loss.First > last {
		return true
	}
	if p.Loss.Last > last || p.Loss.Open {
		l := *p.Loss
		l.Last, l.Open = last, false
		p.Loss = &l
	}
	return false
}
