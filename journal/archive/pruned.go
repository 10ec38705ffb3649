package archive

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Pruned returns what was pruned of the history, as the loss that Pieces tells; nil if nothing was. It is what the newest prune event
// says, all up to its last event, whose hash the first one that is left names, as soon as any of that is missing: power may fail
// while files are removed, and then any of them may be there again. What else is missing is damage.
func (r *Reader) Pruned() (*journal.Loss, error) { return r.pruned() }

func (r *Reader) pruned() (*journal.Loss, error) {
	if r.gone != nil || r.asked {
		return r.gone, nil
	}
	if first, _ := r.hole(); r.alone || first == 0 {
		return nil, nil
	}
	gone, err := r.pruning()
	if err != nil {
		return nil, err
	}
	r.gone, r.asked = gone, true
	return gone, nil
}

// hole returns the first events behind genesis that no packed file has, though one has later events; 0 if there are none. Genesis
// has a segment of its own.
func (r *Reader) hole() (first, last journal.Seq) {
	reached := journal.Seq(1)
	for _, f := range r.files {
		if f.head.first > reached+1 {
			return reached + 1, f.head.first - 1
		}
		reached = max(reached, f.head.last)
	}
	return 0, 0
}

// stretchAt returns the stretch that begins with an event, or the loss of what was pruned from that event on.
func (r *Reader) stretchAt(seq journal.Seq) (stretch, *journal.Loss, error) {
	s := r.next(seq)
	gone, err := r.pruned()
	switch {
	case gone == nil || err != nil || seq > gone.Last:
		return s, nil, err
	case seq < gone.First: // genesis; a file that has it has what is to go, too
		return stretch{first: seq, last: gone.First - 1}, nil, nil
	}
	l := *gone
	l.First = seq
	return stretch{}, &l, nil
}

// pruning looks for what was pruned.
func (r *Reader) pruning() (*journal.Loss, error) {
	first := journal.Seq(2)
	if r.j == nil {
		first = 1
	} else if there, err := r.inSegments(r.hole()); there || err != nil {
		return nil, err
	}
	p, err := r.tombstone(r.j)
	if err == nil && p == nil && r.j != nil && r.cov.Live { // it may be younger than what is told: files go once it is durable
		var again *journal.Reader
		if again, err = journal.OpenReaderAs(r.dir, r.meta); err == nil {
			p, err = r.tombstone(again)
		}
	}
	if p == nil || err != nil {
		return nil, err
	}
	return &journal.Loss{File: folderName, Offset: -1, First: first, Last: p.Pruned.Last, Cause: p}, nil
}

// inSegments reports whether segments have all events from first to last, or had them and are damaged.
func (r *Reader) inSegments(first, last journal.Seq) (bool, error) {
	for rec, err := range r.j.Raw(first - 1) {
		switch {
		case isDamage(err):
			return inBytes(err), nil
		case err != nil:
			return false, err
		case rec.Event.Seq >= last:
			return true, nil
		}
	}
	return false, nil
}

// tombstone returns the newest prune event, if it tells of all that is missing first.
func (r *Reader) tombstone(j *journal.Reader) (*journal.Pruning, error) {
	evs, err := r.prunes(j)
	if err != nil || len(evs) == 0 {
		return nil, err
	}
	ev, evs := evs[len(evs)-1], evs[:len(evs)-1]
	said, _ := ev.Pruned()
	first, last := r.hole()
	if said.Last < first { // what is missing came after
		return nil, nil
	}
	r.whyFrom = first
	if said.Last < last {
		r.why = fmt.Errorf("event %d tells of events up to %d alone as pruned", ev.Seq, said.Last)
		return nil, nil
	}
	p := &journal.Pruning{Tombstone: ev, Before: evs, Pruned: said}
	for _, f := range r.files {
		if f.head.first != said.Last+1 {
			continue
		}
		if f.head.before != said.Head {
			r.why = fmt.Errorf("event %d tells of events up to %d as pruned, but of another event %d than the one before event %d",
				ev.Seq, said.Last, said.Last, f.head.first)
			return nil, nil
		}
		if p.Earlier == nil {
			if p.Earlier, err = f.earlier(); isDamage(err) { // kept instants may be less certain without
				p.Earlier, err = nil, nil
			} else if err != nil {
				return nil, err
			}
		}
	}
	p.Before = append(r.prunesAmong(p.Earlier), p.Before...)
	return p, nil
}

// prunesAmong returns those of what is known of pruned events that tell of a prune before.
func (r *Reader) prunesAmong(events *journal.Earlier) (prunes []journal.Event) {
	for ev := range events.All() {
		if r.isPrune(ev) {
			prunes = append(prunes, *ev)
		}
	}
	return prunes
}

// isPrune reports whether an event tells of what was pruned of this journal. One that tells of itself tells nothing.
func (r *Reader) isPrune(ev *journal.Event) bool {
	p, ok := ev.Pruned()
	return ok && ev.Kind == journal.KindPrune && (p.Journal == journal.ID{} || p.Journal == r.meta.ID) && p.Last < ev.Seq
}

// Unfinished returns the last event that was to be pruned, and the prune event that says so, if packed files before it are still
// there; 0 if not.
func (r *Reader) Unfinished() (last, by journal.Seq, err error) {
	if len(r.files) == 0 || r.alone {
		return 0, 0, nil
	}
	evs, err := r.prunes(r.j)
	if err != nil || len(evs) == 0 {
		return 0, 0, err
	}
	ev := &evs[len(evs)-1]
	if said, _ := ev.Pruned(); r.files[0].head.first <= said.Last {
		return said.Last, ev.Seq, nil
	}
	return 0, 0, nil
}

// prunes returns the events that are there which tell of what was pruned of this journal, ascending.
func (r *Reader) prunes(j *journal.Reader) (all []journal.Event, err error) {
	take := func(ev *journal.Event) {
		if r.isPrune(ev) {
			all = append(all, *ev)
		}
	}
	for _, f := range r.files {
		if f.head.kinds[journal.KindPrune] == 0 {
			continue
		}
		err := f.eachMark(0, func(m *mark, place int64) error {
			if m.kind != journal.KindPrune || m.raw == nil {
				return nil
			}
			var rec journal.Record
			err := (&walk{f: f, place: place}).decode(&rec, m.seq, m.raw)
			if err == nil {
				take(&rec.Event)
			}
			return err
		})
		if err != nil && !isDamage(err) {
			return nil, err
		}
	}
	if err := pruneEvents(j, r.files[len(r.files)-1].head.last, take); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b journal.Event) int { return cmp.Compare(a.Seq, b.Seq) }) // a file may be there twice
	return slices.CompactFunc(all, func(a, b journal.Event) bool { return a.Seq == b.Seq }), nil
}

// pruneEvents hands on the events of segments after one that may be prune events. What is damaged is met by who reads there.
func pruneEvents(j *journal.Reader, after journal.Seq, take func(*journal.Event)) error {
	switch {
	case j == nil:
	case j.Coverage().Live:
		for rec, err := range j.Sparse(journal.NewNeedles(nil), after) {
			if err != nil {
				return ignoreDamage(err)
			}
			if !rec.Light {
				take(&rec.Event)
			}
		}
	default: // it may be one for salvage, which knows of no end
		for p, err := range j.Pieces(after) {
			if err != nil {
				return ignoreDamage(err)
			}
			if p.Loss == nil {
				take(&p.Event)
			}
		}
	}
	return nil
}

// Boundary returns the state before the first event that is left after a prune, as it stands in the packed file that begins
// with that event. Its Snapshot is nil if nothing was pruned, or if there is none.
func (r *Reader) Boundary() (Keyframe, error) {
	gone, err := r.pruned()
	if gone == nil || err != nil {
		return Keyframe{}, err
	}
	k := Keyframe{Seq: gone.Last}
	for _, f := range r.files {
		for _, known := range f.head.keyframes {
			if known.seq != gone.Last {
				continue
			}
			snap, err := f.openKeyframe(known.seq)
			if err == nil && snap.Head() != gone.Pruned().Pruned.Head {
				err = f.damaged(-1, known.seq, errors.New("the keyframe is of another event than the one that was pruned last"))
			}
			if err == nil {
				k.Snapshot, k.File = snap, r.nameOf(f)
				return k, nil
			}
			k.Skipped = append(k.Skipped, err)
		}
	}
	return k, nil
}

// Sparse is About that goes on behind what was pruned, of which the loss is told.
func (r *Reader) Sparse(addrs []netip.Addr, after journal.Seq) iter.Seq2[journal.Piece, error] {
	return r.readPieces(after, r.aboutWalker(addrs))
}

// Left is Records that goes on behind what was pruned, of which the loss is told.
func (r *Reader) Left(after journal.Seq) iter.Seq2[journal.Piece, error] {
	return r.readPieces(after, r.recordsWalker())
}

// read is readPieces for who does not know what to make of what was pruned: it ends there, as at damage.
func (r *Reader) read(after journal.Seq, w walker) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for p, err := range r.readPieces(after, w) {
			if err == nil && p.Loss != nil {
				err = p.Loss.Error(r.dir)
			}
			if !yield(p.Record, err) || err != nil {
				return
			}
		}
	}
}
