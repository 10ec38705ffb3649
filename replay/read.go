package replay

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// errChain is the cause of the damage that a record's own checksum can't show: a
// record, or a whole segment, that belongs to another course of the same journal.
var errChain = errors.New("does not continue the event before: another hash")

// Options choose what Read keeps and tell it what the journal can't. The zero value
// keeps everything of a journal that is read from its first event on.
type Options struct {
	Keep     func(*state.Lease) bool // nil keeps the intervals of all leases; asked when a lease begins
	HeldOnly bool                    // forget intervals when they end
	Wiped    bool                    // the network's data folder was deleted and no event says so yet
	Base     *state.Snapshot         // start with its leases; the records follow its Seq
	BaseFile string                  // where Base was read from, within the store's folder
}

// draft is an interval while effective times are not known yet.
type draft struct {
	lease      state.Lease
	file       string
	start, end mark // end.seq is 0 while it is held
	window     mark
	reason     journal.Reason
	released   bool   // by an operator or a rule, not by the runtime
	words      string // of whoever released it
	doubt      string // what a successor says against a lease that it carried over
	parentSeq  string // the parent's event that gave it
	notes      []string
}

// reading is the state of one Read.
type reading struct {
	Options
	h    *History
	st   *state.State
	open map[netip.Addr]*draft // of the leases that are kept
	done []*draft
	gc   gcRuns

	first, last mark
	head        journal.Hash // of the record of last; zero if not known

	lost             string // how many events of the parent are lost, by genesis
	genesis, settled mark   // from settled on that doesn't matter; its seq is 0 if it still does
}

// Read folds records into intervals. They must begin with the journal's first event,
// or follow the snapshot in Options. Damage and events of newer versions end the
// reading and stand in Stopped; the error is whatever else went wrong, and then there
// is no history.
func Read(records iter.Seq2[journal.Record, error], o Options) (*History, error) {
	r := &reading{
		Options: o,
		h:       &History{ranges: make(map[journal.Range]struct{})},
		st:      state.New(),
		open:    make(map[netip.Addr]*draft),
	}
	if o.Base != nil {
		if err := r.base(); err != nil {
			return nil, err
		}
	}
	for rec, err := range records {
		if err == nil {
			err = r.event(&rec)
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

// base begins with the leases of a snapshot.
func (r *reading) base() error {
	r.st = state.Over(r.Base)
	r.last, r.head = mark{r.st.Seq(), r.st.LastClock()}, r.Base.Head()
	for l, err := range r.st.Leases() {
		if err != nil {
			return err
		}
		r.keep(l, r.BaseFile)
		if d := r.open[l.IP]; d != nil && l.Import {
			d.doubt = fmt.Sprintf("imported by event %d, which was not read: it may call the lease uncertain", l.Start)
		}
	}
	return nil
}

// event takes in the next event. The lease map judges it first: what is impossible
// there begins and ends nothing here.
func (r *reading) event(rec *journal.Record) error {
	ev := &rec.Event
	if !ev.Understood() {
		return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
	}
	if r.head != (journal.Hash{}) && ev.Prev != r.head {
		return &journal.CorruptionError{File: rec.File, Seq: ev.Seq, Offset: rec.Offset, Cause: errChain}
	}
	if err := r.st.Apply(ev); err != nil {
		return located(err, rec)
	}
	m := mark{ev.Seq, ev.Clock}
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		r.begin(rec)
	case journal.KindAnnotate:
		r.annotate(ev)
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			r.close(a.IP, m, ev)
		}
	case journal.KindReset:
		for ip := range r.open {
			r.close(ip, m, ev)
		}
	case journal.KindConfig:
		r.h.addRanges(ev.Ranges)
	case journal.KindGenesis:
		r.h.Origin = ev.Origin
		r.lost = attribute(ev, journal.AttributeLost)
	}
	r.settle(ev, m)
	// From here on the event counts itself as "last of its boot" and as a GC's.
	if ev.Kind == journal.KindDel && ev.Reason == journal.ReasonGC {
		r.gc.release(m)
	}
	r.h.Clocks.Add(ev)
	if r.first.seq == 0 {
		r.first = m
	}
	r.last, r.head = m, journal.Hash{}
	if len(rec.Raw) > 0 {
		r.head = journal.RecordHash(rec.Raw)
	}
	return nil
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
	var damage *journal.CorruptionError
	if !errors.As(err, &damage) || damage.File != "" {
		return err
	}
	return &journal.CorruptionError{File: rec.File, Seq: rec.Event.Seq, Offset: rec.Offset, Cause: damage.Cause}
}

// reason returns why the event ended leases, also where it leaves that to its kind.
func reason(ev *journal.Event) journal.Reason {
	switch {
	case ev.Reason != 0:
		return ev.Reason
	case ev.Kind == journal.KindReset:
		return journal.ReasonWiped
	case ev.Kind == journal.KindRelease:
		return journal.ReasonForce
	}
	return journal.ReasonDel
}

func (r *reading) begin(rec *journal.Record) {
	ev := &rec.Event
	if ev.Kind == journal.KindAdd {
		r.h.hidden = r.h.hidden || ev.Config == 0 && len(ev.Ranges) == 0 || slices.Contains(ev.Dropped, "ranges")
		r.h.addRanges(ev.Ranges)
	}
	for _, a := range ev.Addresses {
		r.keep(state.Lease{
			Address:    a,
			Attachment: state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName},
			NetNS:      ev.NetNS,
			NetNSID:    ev.NetNSID,
			Pod:        ev.Pod,
			Start:      ev.Seq,
			Clock:      ev.Clock,
			Claimed:    ev.Claimed,
			Import:     ev.Kind == journal.KindImport,
			Blocked:    ev.Blocked,
		}, rec.File)
		if d := r.open[a.IP]; d != nil && ev.Kind == journal.KindImport {
			d.doubt, d.parentSeq = attribute(ev, journal.AttributeDoubt), attribute(ev, journal.AttributeParentSeq)
		}
	}
}

// annotate takes over what an event adds to open leases. That it was added later says nothing against the lease, but is
// told: whoever reads it must not take it for the word of the ADD.
func (r *reading) annotate(ev *journal.Event) {
	var added []string
	if ev.NetNS != "" {
		added = append(added, "netns")
	}
	if ev.Pod != (journal.Pod{}) {
		added = append(added, "pod")
	}
	if len(added) == 0 {
		return // dropped
	}
	verb, source := "was", cmp.Or(attribute(ev, journal.AttributeSource), "a source that is not named")
	if len(added) > 1 {
		verb = "were"
	}
	note := fmt.Sprintf("%s %s added by event %d, from %s", strings.Join(added, " and "), verb, ev.Seq, source)
	for _, a := range ev.Addresses {
		d := r.open[a.IP]
		if d == nil {
			continue // not kept
		}
		if ev.NetNS != "" {
			d.lease.NetNS, d.lease.NetNSID = ev.NetNS, ev.NetNSID
		}
		if ev.Pod != (journal.Pod{}) {
			d.lease.Pod = ev.Pod
		}
		d.notes = append(d.notes, note)
	}
}

func (r *reading) keep(l state.Lease, file string) {
	if r.Keep == nil || r.Keep(&l) {
		r.open[l.IP] = &draft{lease: l, file: file, start: mark{l.Start, l.Clock}}
	}
}

func (r *reading) close(ip netip.Addr, m mark, ev *journal.Event) {
	d := r.open[ip]
	if d == nil {
		return // not kept
	}
	delete(r.open, ip)
	if r.HeldOnly {
		return
	}
	d.end, d.reason = m, reason(ev)
	d.window = r.window(d, m, d.reason)
	if ev.Kind == journal.KindRelease {
		d.released, d.words = true, strings.Clone(cmp.Or(ev.Text, attribute(ev, "evidence")))
	}
	r.done = append(r.done, d)
}

// window returns the last event that shows the lease in use before m ended it.
func (r *reading) window(d *draft, m mark, why journal.Reason) mark {
	switch {
	case d.start.clock.Boot != m.clock.Boot:
		// Whatever the reason: nothing of an earlier boot was alive in this one.
		return r.lastOfBoot(d)
	case why == journal.ReasonDel:
		return m
	case why == journal.ReasonReboot, why == journal.ReasonWiped:
		return r.lastOfBoot(d)
	}
	if spared := r.gc.spared(m); spared.seq > d.start.seq {
		return spared
	}
	return d.start
}

// lastOfBoot returns the last event so far of the boot in which the lease began.
func (r *reading) lastOfBoot(d *draft) mark {
	if m := r.h.Clocks.lastOf(d.start.clock.Boot); m.seq > d.start.seq {
		return m
	}
	return d.start // the boot's other events are before the snapshot
}

// finish turns drafts into intervals, now that all clocks are known.
func (r *reading) finish() {
	h := r.h
	h.Held = r.st.Len()
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
	for _, d := range r.open {
		r.done = append(r.done, d)
	}
	h.Intervals = make([]Interval, 0, len(r.done))
	for _, d := range r.done {
		h.Intervals = append(h.Intervals, r.interval(d))
	}
	slices.SortFunc(h.Intervals, func(a, b Interval) int {
		return cmp.Or(cmp.Compare(a.Start.Seq, b.Start.Seq), a.Lease.IP.Compare(b.Lease.IP))
	})
}

func (r *reading) interval(d *draft) Interval {
	clocks := &r.h.Clocks
	iv := Interval{Lease: d.lease, Start: clocks.point(d.start), File: d.file, LastSeq: r.last.seq, Doubts: []string{}}
	doubtful := mark{}
	switch {
	case d.end.seq != 0:
		iv.LastSeq, iv.endBoot = d.end.seq, d.end.clock.Boot
		iv.End = &End{Point: clocks.point(d.end), Reason: d.reason, Text: d.words, Window: clocks.point(d.window), released: d.released}
		if d.window.seq < d.end.seq {
			doubtful = d.window
		}
	case d.start.clock.Boot != r.last.clock.Boot:
		doubtful = r.lastOfBoot(d)
	case r.Wiped:
		doubtful = r.last
	}
	if doubtful.seq != 0 {
		p := clocks.point(doubtful)
		iv.Doubtful, iv.Certainty = &p, Uncertain
	}
	if d.doubt != "" && d.start.seq != doubtful.seq {
		p := clocks.point(d.start)
		iv.Doubtful, iv.Certainty = &p, Uncertain
	}
	if iv.End == nil && r.h.Stopped != nil {
		iv.Certainty = Unknown
	}
	iv.doubt, iv.parentSeq, iv.notes = d.doubt, d.parentSeq, d.notes
	r.doubts(&iv)
	return iv
}
