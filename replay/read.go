package replay

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// errChain is the cause of the damage that a record's own checksum can't show: a
// record, or a whole segment, that belongs to another course of the same journal.
var errChain = errors.New("does not continue the event before: another hash")

// Options choose what is kept of what is read, and tell what the journal can't. The zero value
// keeps everything of a journal that is read from its first event on.
type Options struct {
	Keep      func(*state.Lease) bool // nil keeps the intervals of all leases; asked when a lease begins
	HeldOnly  bool                    // forget intervals when they end
	Wiped     bool                    // the network's data folder was deleted and no event says so yet
	Base      *state.Snapshot         // start with its leases; the records follow its Seq
	BaseFile  string                  // where Base was read from, within the store's folder
	Snapshots []Snapshot              // tell what was held where events before them are lost
	// Clocks are those of all events, from a reading before. With them, and Asked, intervals are forgotten that no
	// question of Asked is about. Nil if they become known on the way.
	Clocks *Clocks
	Asked  []Asked
	Unheld bool // what addresses were that nobody held is asked, too; see History.Unheld
	// Brief forgets of leases which network namespace they were for, and the UID of their pod: a fifth of the memory that a long history takes
	// are texts.
	Brief bool

	// sparse says that events which are about nothing that Keep keeps may have been left out, or be light: then the rules
	// of the lease map are not checked.
	sparse bool
	// addrs, unless nil, are all addresses whose leases Keep keeps: in snapshots no others are looked for.
	addrs []netip.Addr
}

// Snapshot is a snapshot of the journal with where it was read from.
type Snapshot struct {
	*state.Snapshot
	File string // within the store's folder
}

// reading is the state of one reading.
type reading struct {
	Options
	h    *History
	st   *state.State // judges what is impossible; nil where not everything is known
	open map[netip.Addr]*draft
	done []*draft
	gc   gcRuns
	gap  *gap // behind which not all is settled yet; nil if there is none

	first, last mark
	head        journal.Hash // of the record of last; zero if not known

	lost             string // how many events of the parent are lost, by genesis
	genesis, settled mark   // from settled on that doesn't matter; its seq is 0 if it still does

	spans []span // of Asked
	final timeline

	part *part          // nil where all is read
	boot journal.BootID // of the newest event

	lease    state.Lease // room for the one that an event gives
	together together    // what Brief keeps
}

// Read folds records into intervals. They must begin with the journal's first event,
// or follow the snapshot in Options. Damage and events of newer versions end the
// reading and stand in Stopped; the error is whatever else went wrong, and then there
// is no history.
func Read(records iter.Seq2[journal.Record, error], o Options) (*History, error) {
	return ReadPieces(func(yield func(journal.Piece, error) bool) {
		for rec, err := range records {
			if !yield(journal.Piece{Record: rec}, err) {
				return
			}
		}
	}, o)
}

// ReadPieces is Read for a journal of which events are lost: it goes on behind a loss. What was held there is not
// known until later events or a snapshot settle it, address by address.
func ReadPieces(pieces iter.Seq2[journal.Piece, error], o Options) (*History, error) {
	r := &reading{
		Options: o,
		h:       &History{wiped: o.Wiped},
		st:      state.New(),
		open:    make(map[netip.Addr]*draft),
	}
	if o.sparse {
		r.st = nil
	}
	if err := r.base(); err != nil {
		return nil, err
	}
	for piece, err := range pieces {
		if err == nil {
			err = r.piece(&piece)
		}
		if err == nil {
			continue
		}
		if !stops(err) {
			return nil, err
		}
		r.h.Stopped = err
		break
	}
	r.finish()
	return r.h, nil
}

// stops reports whether err is about what is in the journal, and not about reading
// it: then what came before stands.
func stops(err error) bool {
	var damage *journal.CorruptionError
	return errors.As(err, &damage) || errors.Is(err, journal.ErrNewer)
}

// base begins with the leases of a snapshot, and with what was asked.
func (r *reading) base() error {
	if r.Clocks != nil {
		r.final = r.Clocks.timeline()
		for _, q := range r.Asked {
			r.spans = append(r.spans, r.final.span(q))
		}
	}
	if r.Base == nil {
		return nil
	}
	r.st = state.Over(r.Base)
	r.h.base = r.Base.Seq()
	r.last, r.head = mark{r.st.Seq(), r.st.LastClock()}, r.Base.Head()
	for l, err := range r.st.Leases() {
		if err != nil {
			return err
		}
		file := r.BaseFile
		if r.part != nil {
			file = r.part.file(l.Start)
		}
		if d := r.carry(&l, file); d != nil && r.part != nil && l.Start <= r.part.gone {
			d.began(file)
		}
	}
	return nil
}

// piece takes in the next record or loss.
func (r *reading) piece(p *journal.Piece) error {
	if p.Loss != nil {
		r.loses(p.Loss)
		return nil
	}
	if r.first.seq == 0 && r.Base == nil && p.Event.Seq > 1 && r.h.pending == nil {
		r.loses(&journal.Loss{First: 1, Last: p.Event.Seq - 1, Offset: -1, Cause: errors.New("they are not there")})
	}
	m := mark{p.Event.Seq, p.Event.Clock}
	if r.h.pending != nil {
		if err := r.goesOn(m, &p.Record); err != nil {
			return err
		}
	}
	if err := r.event(&p.Record); err != nil {
		return err
	}
	return r.settleBySnapshot()
}

// event takes in the next event. The lease map judges it first: what is impossible
// there begins and ends nothing here.
func (r *reading) event(rec *journal.Record) error {
	ev := &rec.Event
	m := mark{ev.Seq, ev.Clock}
	r.boot = ev.Boot
	if !rec.Light {
		if err := r.judge(rec); err != nil {
			return err
		}
		r.fold(rec, m)
	}
	r.settle(ev, m) // a light one may be the first of a boot
	// From here on the event counts itself as "last of its boot" and as a GC's.
	if ev.Kind == journal.KindDel && ev.Reason == journal.ReasonGC {
		r.gc.release(m)
	}
	r.h.Clocks.Add(ev)
	if r.first.seq == 0 {
		r.first = m
	}
	r.last, r.head = m, journal.Hash{}
	if len(rec.Raw) > 0 && r.st != nil {
		r.head = rec.Head()
	}
	return nil
}

// judge returns why the event can't be what happened next.
func (r *reading) judge(rec *journal.Record) error {
	ev := &rec.Event
	if !ev.Understood() {
		return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
	}
	if r.head != (journal.Hash{}) && ev.Prev != r.head {
		return &journal.CorruptionError{File: rec.File, Seq: ev.Seq, Offset: rec.Offset, Cause: errChain}
	}
	if r.st == nil {
		return nil
	}
	return located(r.st.Apply(ev), rec)
}

// fold takes what the event does to leases.
func (r *reading) fold(rec *journal.Record, m mark) {
	ev := &rec.Event
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		r.begin(rec)
	case journal.KindAnnotate:
		r.annotate(ev)
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			r.close(a, m, ev)
		}
	case journal.KindReset:
		r.reset(m, ev)
	case journal.KindConfig:
		r.h.ranges.config(ev)
	case journal.KindGenesis:
		r.h.Origin = ev.Origin
		r.lost = attribute(ev, journal.AttributeLost)
	}
}

// attribute returns the value of an event's attribute, "" if it has none.
func attribute(ev *journal.Event, key string) string {
	for _, a := range ev.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// settle notes from when on it doesn't matter any more that events of the parent are lost: with a
// reset every lease ends, and nothing of a boot is alive in the next.
func (r *reading) settle(ev *journal.Event, m mark) {
	switch {
	case ev.Kind == journal.KindGenesis:
		r.genesis = m
	case r.lost == "" || r.lost == "0" || r.settled.seq != 0:
	case ev.Kind == journal.KindReset || ev.Boot != r.genesis.clock.Boot:
		r.settled = m
	}
}

// located adds the record's place to damage that the lease map found: it sees events
// and no files.
func located(err error, rec *journal.Record) error {
	if err == nil {
		return nil // as nearly always: what is looked for would be allocated
	}
	var damage *journal.CorruptionError
	if !errors.As(err, &damage) || damage.File != "" {
		return err
	}
	return &journal.CorruptionError{File: rec.File, Seq: rec.Event.Seq, Offset: rec.Offset, Cause: damage.Cause}
}

// finish turns drafts into intervals, now that all clocks are known.
func (r *reading) finish() {
	h := r.h
	if h.pending != nil {
		h.Stopped = cmp.Or(h.Stopped, h.pending.damage)
		r.lostBehind(h.pending)
	}
	h.Held = len(r.open)
	if r.st != nil {
		h.Held = r.st.Len()
	}
	if r.Clocks != nil {
		h.Clocks = *r.Clocks
	}
	h.time = h.Clocks.timeline()
	if r.first.seq != 0 {
		h.First = h.Clocks.point(r.first)
	}
	if r.last.seq != 0 {
		h.Last = h.Clocks.point(r.last)
	}
	h.lost = r.lost
	if r.settled.seq != 0 {
		h.settled = h.Clocks.point(r.settled)
	}
	for i := range h.gaps {
		h.gaps[i].points(&h.Clocks)
	}
	h.ranges.points(&h.Clocks)
	for _, d := range r.open {
		if d.unsettled && h.pending == nil {
			d.own().lostAfter = d.seen
		}
		r.finished(d)
	}
	r.open = nil
	r.sortDone()
	h.Intervals = make([]Interval, len(r.done))
	var making sync.WaitGroup
	for from := 0; from < len(r.done); from += finishedAtOnce { // each depends on nothing but what is known by now
		making.Go(func() { r.intervals(h.Intervals[from:], r.done[from:min(from+finishedAtOnce, len(r.done))]) })
	}
	making.Wait()
}

// intervals turns some drafts into intervals. Their ends share memory, since a history keeps all or none of them.
func (r *reading) intervals(to []Interval, drafts []*draft) {
	n := 0
	for _, d := range drafts {
		if d.end.seq != 0 {
			n++
		}
	}
	ends := make([]End, n)
	for i, d := range drafts {
		var end *End
		if d.end.seq != 0 {
			end, ends = &ends[0], ends[1:]
		}
		to[i] = r.interval(d, end)
		drafts[i] = nil // of many leases there must not be more copies than needed
	}
}

// finishedAtOnce is how many intervals are worth a goroutine.
const finishedAtOnce = 1 << 14

// sortDone sorts the drafts by first event, then address: not the intervals, which are large, and by numbers beside them, since
// drafts of a long history lie far apart in memory.
func (r *reading) sortDone() {
	type numbered struct {
		seq journal.Seq
		d   *draft
	}
	order := make([]numbered, len(r.done))
	for i, d := range r.done {
		order[i] = numbered{d.lease.Start, d}
	}
	slices.SortFunc(order, func(a, b numbered) int {
		if a.seq != b.seq {
			return cmp.Compare(a.seq, b.seq)
		}
		return a.d.lease.IP.Compare(b.d.lease.IP)
	})
	for i := range order {
		r.done[i] = order[i].d
	}
}

func (h *History) sort() {
	slices.SortFunc(h.Intervals, func(a, b Interval) int {
		return cmp.Or(cmp.Compare(a.Start.Seq, b.Start.Seq), a.Lease.IP.Compare(b.Lease.IP))
	})
}
