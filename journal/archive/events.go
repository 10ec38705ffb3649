package archive

import (
	"iter"

	"github.com/leaselog/leaselog/journal"
)

// Events returns the events about a container or a pod in order. Where something is damaged or was pruned it goes on behind: Pieces
// says what is lost. The result is for one walk.
func (r *Reader) Events(q Query) iter.Seq2[journal.Record, error] {
	needles := journal.NewNeedles(nil, q.texts()...)
	walk := r.readPieces(0, walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Sparse(needles, after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			return f.find(&q, after, yield)
		},
	})
	return func(yield func(journal.Record, error) bool) {
		last := journal.Seq(0)
		for p, err := range walk {
			if isDamage(err) {
				r.behind(last, &q, yield)
				return
			}
			if err == nil && p.Loss != nil {
				continue
			}
			if last = p.Event.Seq; err == nil && (p.Light || !q.Match(&p.Event)) {
				continue
			}
			if !yield(p.Record, err) || err != nil {
				return
			}
		}
	}
}

// behind yields what of the events after one can be read and is about a container or a pod.
func (r *Reader) behind(last journal.Seq, q *Query, yield func(journal.Record, error) bool) {
	for p, err := range r.Pieces(last) {
		if err == nil && (p.Loss != nil || !q.Match(&p.Event)) {
			continue
		}
		if !yield(p.Record, err) || err != nil {
			return
		}
	}
}
