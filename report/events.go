package report

import (
	"cmp"
	"iter"
	"slices"
	"sort"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// Events are the events of a journal as a page has them. Read collects them.
type Events struct {
	n     int
	rows  [][]event // of eventsAtOnce each, the last one of those that are left: one list of all would be copied over and over
	boots []journal.BootID
}

const eventsAtOnce = 1 << 12

// at returns an event, by its number from 0 on.
func (e *Events) at(i int) *event { return &e.rows[i/eventsAtOnce][i%eventsAtOnce] }

// event is what a page knows of one.
type event struct {
	seq       journal.Seq
	recorded  int64 // wall clock, nanoseconds since 1970
	effective int64 // corrected; the boot-time clock before that is known
	code      int32 // of a refuse
	boot      int32 // index into boots
	kind      journal.Kind
}

// pruned is the kind of an event of which nothing but its place and time are known.
const pruned journal.Kind = 0

// of returns the pieces and collects their events as they are read.
func (e *Events) of(pieces iter.Seq2[journal.Piece, error]) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		for p, err := range pieces {
			if err == nil && p.Loss == nil {
				e.add(&p.Event)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

func (e *Events) add(ev *journal.Event) {
	if e.n%eventsAtOnce == 0 {
		e.rows = append(e.rows, make([]event, 0, eventsAtOnce))
	}
	row := &e.rows[e.n/eventsAtOnce]
	*row = append(*row, event{seq: ev.Seq, recorded: ev.Wall, effective: ev.BootTime, code: int32(ev.Code), boot: e.boot(ev.Boot), kind: ev.Kind})
	e.n++
}

// boot returns the number of a boot. Events of one mostly stand together.
func (e *Events) boot(id journal.BootID) int32 {
	if e.n > 0 {
		if last := e.at(e.n - 1).boot; e.boots[last] == id {
			return last
		}
	}
	i := slices.Index(e.boots, id)
	if i < 0 {
		i = len(e.boots)
		e.boots = append(e.boots, id)
	}
	return int32(i)
}

// settle ends the collecting, now that the history tells what the clocks were: it leaves out what the history could not take in, and
// takes in the events that its leases name and that were pruned.
func (e *Events) settle(h *replay.History) {
	e.n = e.from(h.Last.Seq + 1)
	offsets := make([]*int64, len(e.boots))
	for i, id := range e.boots {
		if p := h.Clocks.Point(0, journal.Clock{Boot: id}); p.Synced {
			offset := p.Effective.UnixNano()
			offsets[i] = &offset
		}
	}
	for i := range e.n {
		ev := e.at(i)
		if offset := offsets[ev.boot]; offset != nil {
			ev.effective += *offset
		} else {
			ev.effective = ev.recorded
		}
	}
	e.fill(h)
}

// fill takes in the events that leases name and that were not read.
func (e *Events) fill(h *replay.History) {
	missing := map[journal.Seq]*replay.Point{}
	note := func(p *replay.Point) {
		if _, ok := e.find(p.Seq); !ok {
			missing[p.Seq] = p
		}
	}
	for i := range h.Intervals {
		iv := &h.Intervals[i]
		note(&iv.Start)
		if iv.End != nil {
			note(&iv.End.Point)
		}
		if iv.Doubtful != nil {
			note(iv.Doubtful)
		}
	}
	if len(missing) == 0 {
		return
	}
	all := slices.Concat(e.rows...)[:e.n]
	for seq, p := range missing {
		all = append(all, event{seq: seq, recorded: p.Time.UnixNano(), effective: p.Effective.UnixNano(), boot: e.boot(p.Boot()), kind: pruned})
	}
	slices.SortFunc(all, func(a, b event) int { return cmp.Compare(a.seq, b.seq) })
	e.n, e.rows = len(all), slices.Collect(slices.Chunk(all, eventsAtOnce))
}

// from returns the number of the first event at or behind a place.
func (e *Events) from(seq journal.Seq) int {
	return sort.Search(e.n, func(i int) bool { return e.at(i).seq >= seq })
}

// find returns the number of an event. Where none is missing before it, that is plain.
func (e *Events) find(seq journal.Seq) (int, bool) {
	if e.n == 0 || seq < e.at(0).seq {
		return 0, false
	}
	if i := int(seq - e.at(0).seq); i < e.n && e.at(i).seq == seq {
		return i, true
	}
	i := e.from(seq)
	return i, i < e.n && e.at(i).seq == seq
}
