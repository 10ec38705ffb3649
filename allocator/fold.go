package allocator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// fold is what the events that are left of a journal amount to. Up to the first loss it is exact;
// from there on an event that contradicts what is known proves that something in between is lost,
// and wins: whoever got an address by an event that can be read was the only one to hold it then.
type fold struct {
	exact    *state.State // until the first loss; nil afterwards
	whole    *state.State // after the last event, if none is lost; nil otherwise
	good     journal.Seq  // last event before the first loss
	goodHash journal.Hash
	prev     journal.Hash // of the record of the newest event read, seq; zero if the one before is lost
	seq      journal.Seq
	lost     journal.Seq // events lost since, or since the reset after that, at most
	endless  bool        // the journal's end is missing, and nothing tells how much: lost is no bound
	leases   map[netip.Addr]carried
	cursors  map[int]netip.Addr
	doubtful map[journal.Seq]bool // imports that a predecessor called uncertain
	boot     journal.BootID       // of genesis
	configs  map[journal.Seq][][]journal.Range
	sets     [][]journal.Range // of the newest add; nil if they are not known
}

// carried is a lease that a successor takes over.
type carried struct {
	state.Lease
	uncertain bool // an event that is lost may have ended it
}

// fold reads what is left of the journal after the snapshot. Of what comes before only the
// configurations matter.
func (r *repair) fold() (*fold, error) {
	f := &fold{exact: r.over(), good: r.baseSeq(), leases: map[netip.Addr]carried{}, cursors: map[int]netip.Addr{},
		configs: map[journal.Seq][][]journal.Range{}, doubtful: map[journal.Seq]bool{}}
	if r.base != nil {
		f.goodHash = r.base.Head()
		f.prev, f.seq = f.goodHash, f.good
	}
	last := journal.Seq(0) // event read or known to be lost
	for p, err := range r.pieces() {
		switch {
		case err != nil:
			return nil, err
		case p.Loss != nil && p.Loss.Disk:
			return nil, unreadable(p.Loss)
		case p.Loss != nil && p.Loss.Pruned() != nil && p.Loss.Last <= r.baseSeq():
			for ev := range p.Loss.Pruned().Earlier.All() { // what is still to be known of events that were pruned
				f.inherit(ev)
				f.remember(ev)
			}
		case p.Loss != nil && (p.Loss.Last > r.baseSeq() || p.Loss.Open):
			l := *p.Loss
			last = max(last, l.Last)
			l.First = max(l.First, r.baseSeq()+1)
			l.Last = max(l.Last, l.First-1)
			if err := f.lose(l.Events()); err != nil {
				return nil, err
			}
		case p.Loss != nil: // no lease depends on it
		default:
			last = max(last, p.Event.Seq)
			if err := f.take(&p.Record, r.baseSeq()); err != nil {
				return nil, err
			}
		}
	}
	if last < r.baseSeq() {
		// Nothing but the snapshot tells that the journal went on: it may have gone on further.
		f.endless = true
		return f, f.lose(segmentEvents)
	}
	f.whole = f.exact
	return f, f.lose(0)
}

// segmentEvents is how many events a segment can hold, roughly: what is taken for lost where nothing
// tells how many are.
const segmentEvents = 600

// lose takes in that n events are lost here.
func (f *fold) lose(n journal.Seq) error {
	f.lost += n
	if f.exact != nil {
		for l, err := range f.exact.Leases() {
			if err != nil {
				return err
			}
			f.leases[l.IP] = carried{Lease: l, uncertain: f.doubtful[l.Start]}
		}
		for _, c := range f.exact.Cursors() {
			f.cursors[c.Set] = c.IP
		}
		f.exact = nil
	}
	if n > 0 {
		for ip, l := range f.leases {
			l.uncertain = true
			f.leases[ip] = l
		}
	}
	return nil
}

func (f *fold) take(rec *journal.Record, base journal.Seq) error {
	ev := &rec.Event
	if !ev.Understood() {
		return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
	}
	f.inherit(ev)
	f.remember(ev)
	if ev.Seq <= base {
		return nil
	}
	foreign := ev.Seq == f.seq+1 && ev.Prev != f.prev // another course of the journal: nobody knows how it got here
	f.prev, f.seq = journal.RecordHash(rec.Raw), ev.Seq
	if f.exact != nil && !foreign {
		err := f.exact.Apply(ev)
		if err == nil {
			f.good, f.goodHash = f.seq, f.prev
			return nil
		}
		if _, ok := errors.AsType[*journal.CorruptionError](err); !ok {
			return err
		}
	}
	if f.exact != nil || foreign { // it can't have happened here, unless something is missing
		f.endless = f.endless || foreign
		if err := f.lose(1); err != nil {
			return err
		}
	}
	f.apply(ev)
	return nil
}

// remember takes in which ranges are in force.
func (f *fold) remember(ev *journal.Event) {
	switch ev.Kind {
	case journal.KindConfig:
		f.configs[ev.Seq] = ev.Ranges
	case journal.KindAdd:
		if static, ok := f.configs[ev.Config]; ok || ev.Config == 0 {
			f.sets = slices.Concat(ev.Ranges, static)
		}
	}
}

// inherit takes in what a successor says of its own predecessor: what was uncertain stays so, and what was lost is
// lost, until a reset, or the next boot in which nothing of the one before is alive.
func (f *fold) inherit(ev *journal.Event) {
	switch {
	case ev.Kind == journal.KindGenesis:
		f.boot = ev.Boot
		for _, a := range ev.Attributes {
			if n, err := strconv.ParseUint(a.Value, 10, 32); a.Key == journal.AttributeLost {
				f.lost, f.endless = journal.Seq(n), err != nil
			}
		}
	case ev.Kind == journal.KindImport:
		f.doubtful[ev.Seq] = slices.ContainsFunc(ev.Attributes, func(a journal.Attribute) bool { return a.Key == journal.AttributeDoubt }) ||
			slices.Contains(ev.Dropped, "attributes")
	case ev.Kind == journal.KindReset, ev.Boot != f.boot && f.exact != nil:
		f.lost, f.endless = 0, false
		f.boot = ev.Boot
	}
}

// apply folds an event onto what may have changed unseen.
func (f *fold) apply(ev *journal.Event) {
	owner := state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		for _, a := range ev.Addresses {
			f.leases[a.IP] = carried{Lease: state.Lease{Address: a, Attachment: owner, NetNS: ev.NetNS, NetNSID: ev.NetNSID, Pod: ev.Pod,
				Start: ev.Seq, Clock: ev.Clock, Claimed: ev.Claimed, Import: ev.Kind == journal.KindImport, Blocked: ev.Blocked},
				uncertain: f.doubtful[ev.Seq]}
		}
		for _, c := range ev.Cursors {
			f.cursors[c.Set] = c.IP
		}
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			delete(f.leases, a.IP) // whoever held it before: its owner of now has given it back
		}
	case journal.KindAnnotate:
		f.annotate(ev, owner)
	case journal.KindReset:
		clear(f.leases)
		clear(f.cursors)
		f.lost, f.endless = 0, false
	}
}

// annotate takes over what is said of leases. It also proves that the owner held them then, certainly: if that is not
// known, the event is lost that gave them.
func (f *fold) annotate(ev *journal.Event, owner state.Attachment) {
	for _, a := range ev.Addresses {
		l, ok := f.leases[a.IP]
		legacy := l.Import && l.Attachment == state.Attachment{ContainerID: owner.ContainerID} // answers to every interface name
		if !ok || l.Attachment != owner && !legacy {
			l = carried{Lease: state.Lease{Address: a, Attachment: owner, Start: ev.Seq, Clock: ev.Clock}}
		}
		l.uncertain = f.doubtful[l.Start]
		if ev.NetNS != "" {
			l.NetNS, l.NetNSID = ev.NetNS, ev.NetNSID
		}
		if ev.Pod != (journal.Pod{}) {
			l.Pod = ev.Pod
		}
		f.leases[a.IP] = l
	}
}

// successorEvents returns what a successor begins with after genesis: what is lost, the leases by the
// events that gave them, and the cursors.
func (r *repair) successorEvents(f *fold) ([]*journal.Event, error) {
	var events []*journal.Event
	for _, l := range r.m.Losses {
		text := l.Error(r.m.Archive).Error()
		events = append(events, &journal.Event{Kind: journal.KindRepair, Version: r.store.o.Version, Text: text[:min(len(text), 1024)],
			Cut: journal.Cut{File: r.m.Archive + "/" + l.File, Offset: max(l.Offset, 0), Bytes: l.Bytes}})
	}
	leases := slices.SortedFunc(maps.Values(f.leases), func(a, b carried) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.IfName, b.IfName),
			cmp.Compare(a.Set, b.Set), a.IP.Compare(b.IP))
	})
	for len(leases) > 0 {
		like := leases[0]
		n := slices.IndexFunc(leases, func(l carried) bool {
			return l.Start != like.Start || l.Attachment != like.Attachment || l.Blocked != like.Blocked ||
				l.NetNS != like.NetNS || l.NetNSID != like.NetNSID || l.Pod != like.Pod // some may have been annotated
		})
		if n < 0 {
			n = len(leases)
		}
		events = append(events, r.carry(f, leases[:n])...)
		leases = leases[n:]
	}
	cursors, err := f.movedOn()
	if err != nil {
		return nil, err
	}
	if len(cursors) > 0 {
		events = append(events, &journal.Event{Kind: journal.KindImport, Version: r.store.o.Version, Cursors: cursors})
	}
	return events, nil
}

// bound says how many events are lost.
func (f *fold) bound() string {
	if f.endless {
		return "nobody knows how many"
	}
	return fmt.Sprintf("at most %d", f.lost)
}

// lostText is the value of journal.AttributeLost.
func (f *fold) lostText() string {
	if f.endless {
		return journal.LostUnknown
	}
	return strconv.FormatUint(uint64(f.lost), 10)
}

// carry returns the import of leases that one event of the parent gave, and of whose owner the same is known: one event, or more where
// the words about them leave too little room in one.
func (r *repair) carry(f *fold, leases []carried) []*journal.Event {
	l := leases[0]
	ev := journal.Event{Kind: journal.KindImport, ContainerID: l.ContainerID, IfName: l.IfName, NetNS: l.NetNS, NetNSID: l.NetNSID, Pod: l.Pod,
		Version: r.store.o.Version, Blocked: l.Blocked, Claimed: l.Claimed,
		Attributes: []journal.Attribute{{Key: journal.AttributeParentSeq, Value: strconv.FormatUint(uint64(l.Start), 10)}}}
	if ev.Claimed == 0 {
		ev.Claimed = l.Clock.Wall
	}
	if l.uncertain {
		why := r.doubt
		if why == "" {
			why = fmt.Sprintf("events of journal %s after %d are lost, %s, and one of them may have ended the lease", r.meta.ID, f.good, f.bound())
		}
		ev.Attributes = slices.Insert(ev.Attributes, 0, journal.Attribute{Key: journal.AttributeDoubt, Value: why})
	}
	var events []*journal.Event
	const most = 32 // addresses of an import, so that it fits with all that is said about it
	for len(leases) > 0 {
		part := ev
		for _, l := range leases[:min(most, len(leases))] {
			part.Addresses = append(part.Addresses, l.Address)
		}
		leases = leases[len(part.Addresses):]
		events = append(events, &part)
	}
	return events
}

// movedOn returns the cursors as if each lost event had been an ADD, which is the most that they
// can have moved: addresses that were given in the lost part come back as late as possible. Where the
// ranges are not known, they move from address to address.
func (f *fold) movedOn() ([]journal.Cursor, error) {
	st := state.New()
	seq := journal.Seq(0)
	apply := func(ev journal.Event) error {
		seq++
		ev.Seq = seq
		return st.Apply(&ev)
	}
	for _, l := range f.leases {
		if err := apply(journal.Event{Kind: journal.KindImport, ContainerID: l.ContainerID, IfName: l.IfName, Blocked: l.Blocked,
			Addresses: []journal.Address{l.Address}}); err != nil {
			return nil, err
		}
	}
	var cursors []journal.Cursor
	for set, ip := range f.cursors {
		cursors = append(cursors, journal.Cursor{Set: set, IP: ip})
	}
	if err := apply(journal.Event{Kind: journal.KindImport, Cursors: cursors}); err != nil {
		return nil, err
	}
	sets := fromEvent(f.sets)
	for i := range sets {
		// Each set by itself: a full one must not keep the others from moving.
		c := chooser{leases: st}
		for range min(f.lost, maxMoves) {
			ip, err := c.next(i, sets[i])
			if err != nil {
				return nil, err
			}
			if !ip.IsValid() {
				break // full
			}
			if err := apply(journal.Event{Kind: journal.KindImport, Blocked: true,
				Addresses: []journal.Address{{Set: i, IP: ip, Bits: ip.BitLen()}}, Cursors: []journal.Cursor{{Set: i, IP: ip}}}); err != nil {
				return nil, err
			}
		}
	}
	moved := st.Cursors()
	for i := range moved {
		if moved[i].Set >= len(sets) { // its ranges are not known
			for n := min(f.lost, maxMoves); n > 0; n-- {
				moved[i].IP = moved[i].IP.Next()
			}
		}
		if !moved[i].IP.IsValid() {
			moved[i].IP = f.cursors[moved[i].Set] // beyond the last address there is
		}
	}
	return moved, nil
}

// maxMoves bounds the search for where cursors may have got to.
const maxMoves = 1 << 18

// fromEvent is the inverse of toEvent.
func fromEvent(sets [][]journal.Range) []RangeSet {
	out := make([]RangeSet, len(sets))
	for i, set := range sets {
		for _, r := range set {
			out[i] = append(out[i], Range(r))
		}
	}
	return out
}
