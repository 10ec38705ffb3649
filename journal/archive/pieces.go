package archive

import (
	"errors"
	"fmt"
	"iter"

	"github.com/leaselog/leaselog/journal"
)

// Salvage is Pieces for the store in dir, whatever state it is in: the caller says what it is. It is journal.Salvage where events may be
// packed.
func Salvage(dir string, meta journal.Meta) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		r, err := openSalvage(dir, meta)
		if err != nil {
			yield(journal.Piece{}, err)
			return
		}
		defer r.Close()
		r.Pieces(0)(yield)
	}
}

// openSalvage opens a store in whatever state it is in, if its end can be found even with that: what was pruned is told by an event.
func openSalvage(dir string, meta journal.Meta) (*Reader, error) {
	j, err := journal.OpenReaderAs(dir, meta)
	if isDamage(err) {
		j, err = journal.OpenSalvage(dir, meta)
	}
	if err != nil {
		return nil, err
	}
	return Over(dir, j)
}

// Pieces returns everything after an event that can still be read, in order, damage or not, as journal.Salvage
// does: between the records stand the losses. A packed file that is missing, or can't be read at all, is one
// loss; damage in one of its frames costs the events of that frame.
func (r *Reader) Pieces(after journal.Seq) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		next, listed := after+1, journal.Seq(0)
		hand := func(p *journal.Piece) error {
			switch {
			case p.Loss != nil && p.Loss.Last >= next:
				next = p.Loss.Last + 1
			case p.Loss == nil:
				next = p.Event.Seq + 1
			}
			if !yield(*p, nil) {
				return errStopped
			}
			return nil
		}
		for {
			s, gone, err := r.stretchAt(next)
			if gone != nil {
				if hand(&journal.Piece{Loss: gone}) != nil {
					return
				}
				continue
			}
			if listed == next {
				s.listed = true
			}
			if err == nil {
				err = r.pieces(s, hand)
			}
			switch {
			case errors.Is(err, errStopped):
				return
			case errors.Is(err, errMissing) && r.list() == nil:
				listed = next // they may have been packed meanwhile
				continue
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

// errMissing says that events are neither in segments nor in a packed file that was listed.
var errMissing = errors.New("events are missing")

// packedPieces hands out what there is of a packed file. What can't be read there is taken from segments if these have it.
func (r *Reader) packedPieces(s stretch, hand func(*journal.Piece) error) error {
	f := s.file
	f.auditor = r.audit.of(f, s.first)
	defer func() { f.auditor = nil }()
	return f.pieces(r.nameOf(f), s.first-1, func(p *journal.Piece) error {
		if p.Loss == nil || r.j == nil {
			return hand(p)
		}
		return r.rescue(*p.Loss, hand)
	})
}

// rescue hands out those of the lost events that are in segments too, up to the first that is not, and then the loss of the rest.
func (r *Reader) rescue(l journal.Loss, hand func(*journal.Piece) error) error {
	first := l.First
	for p, err := range r.j.Pieces(first - 1) {
		if err != nil {
			return err
		}
		if p.Loss != nil || p.Event.Seq != l.First || p.Event.Seq > l.Last {
			break
		}
		l.First++
		if err := hand(&p); err != nil {
			return err
		}
	}
	if l.First > first {
		r.audit.flaw(Flaw{File: l.File, Offset: l.Offset, First: first, Last: l.First - 1,
			Cause: fmt.Errorf("%w; segments have these events", l.Cause)})
	}
	if l.First > l.Last {
		return nil
	}
	return hand(&journal.Piece{Loss: &l})
}

// pieces hands out what there is of one stretch.
func (r *Reader) pieces(s stretch, hand func(*journal.Piece) error) error {
	if s.file != nil {
		return r.packedPieces(s, hand)
	}
	next := s.first
	if r.j != nil {
		var p journal.Piece // one for all, as it is handed out by its address
		for piece, err := range r.j.Pieces(s.first - 1) {
			if err != nil {
				return err
			}
			if p = piece; s.last != 0 && beyond(&p, s.last) {
				break
			}
			if p.Loss != nil && absent(p.Loss) && p.Loss.First == next && !s.listed {
				return errMissing
			}
			if p.Loss != nil && absent(p.Loss) && (r.why != nil || r.brokenOver(p.Loss.First, p.Loss.Last) != nil) {
				p.Loss = r.lost(p.Loss.First, p.Loss.Last)
			}
			if err := hand(&p); err != nil {
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
	if !s.listed {
		return errMissing
	}
	return hand(&journal.Piece{Loss: r.lost(next, last)})
}

// absent reports whether events are not there at all: their segments are missing, or, where a segment of genesis alone is left of
// those that were packed, all that should follow it.
func absent(l *journal.Loss) bool {
	return l.Offset < 0 || l.Bytes == 0 && l.Last >= l.First && !l.Open
}

// lost is the loss of events that are in no file that can be read: of the packed file that should have them, if there is one.
func (r *Reader) lost(first, last journal.Seq) *journal.Loss {
	b := r.brokenOver(first, last)
	if b == nil {
		cause := errors.New("missing")
		if r.why != nil && first <= r.whyFrom && r.whyFrom <= last {
			cause = fmt.Errorf("missing: %w", r.why)
		}
		return &journal.Loss{File: folderName, Offset: -1, First: first, Last: last, Cause: cause}
	}
	loss := &journal.Loss{File: r.nameIn(b.name), Offset: -1, First: first, Last: last, Cause: b.err}
	if damage, ok := errors.AsType[*journal.CorruptionError](b.err); ok {
		loss.Offset, loss.Cause = damage.Offset, damage.Cause
	}
	return loss
}

// brokenOver returns a packed file that can't be read and should have some of these events, nil if there is none.
func (r *Reader) brokenOver(first, last journal.Seq) *broken {
	for i, b := range r.broken {
		if b.first <= last && first <= b.last {
			return &r.broken[i]
		}
	}
	return nil
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
