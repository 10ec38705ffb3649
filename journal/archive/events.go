package archive

import (
	"iter"

	"github.com/leaselog/leaselog/journal"
)

// Events returns the events about a container or a pod in order, as Records does. The result is for one walk.
func (r *Reader) Events(q Query) iter.Seq2[journal.Record, error] {
	needles := journal.NewNeedles(nil, q.texts()...)
	walk := r.read(0, walker{
		segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Sparse(needles, after) },
		packed: func(f *file, after journal.Seq, yield func(journal.Record) error) error {
			return f.find(&q, after, yield)
		},
	})
	return func(yield func(journal.Record, error) bool) {
		for rec, err := range walk {
			if err == nil && (rec.Light || !q.Match(&rec.Event)) {
				continue
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}
