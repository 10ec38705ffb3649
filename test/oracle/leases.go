package oracle

import (
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Interval is a lease from the event that gave it to the event that ended it.
type Interval struct {
	IP     netip.Addr
	Owner  Owner
	Start  journal.Seq // 0 if the event that gave it is lost and no snapshot tells its number
	First  journal.Seq // Start, or the first event behind the gap in which it is lost
	End    journal.Seq // 0 if it is held at the end of the store, or if its end is lost
	Reason journal.Reason
	Window journal.Seq // the last event that shows it in use; events after it don't. Only if Doubtful
	Lost   bool        // its end is lost

	Doubtful bool  // its use is uncertain after Window
	Doubt    bool  // its import calls it doubtful, or nobody knows whose it is: uncertain throughout
	Import   bool  // taken over from elsewhere
	Carried  bool  // from a parent
	Claimed  int64 // when its source says that it began; 0 if it doesn't

	begin int // the first point at which it is known to be held
	boot  journal.BootID
}

// point is what is known of an address after one event, which may be lost.
type point struct {
	seq   journal.Seq
	event int // index in events, -1 if it is lost
	snap  *Snapshot
	gave  *Known // the lease that begins here, if a snapshot tells of it
	known bool
	held  bool
	lease *Interval // of held points
}

// points lists the events, the last lost one of each gap, of which the event behind the gap may tell, the snapshots, and
// the lost events that gave the address by what a snapshot tells.
func points(s *Store, ip netip.Addr) []point {
	var out []point
	at := func(seq journal.Seq) *point {
		i, found := slices.BinarySearchFunc(out, seq, func(p point, q journal.Seq) int { return int(p.seq) - int(q) })
		if !found {
			out = slices.Insert(out, i, point{seq: seq, event: -1})
		}
		return &out[i]
	}
	for i := range s.Events {
		seq := s.Events[i].Seq
		if seq > 1 {
			at(seq - 1)
		}
		at(seq).event = i
	}
	for i := range s.Snapshots {
		snap := &s.Snapshots[i]
		at(snap.Seq).snap = snap
		if known := snap.told(ip); known != nil {
			at(known.Start).gave = known
		}
	}
	return out
}

// told returns what the snapshot says of the address.
func (snap *Snapshot) told(ip netip.Addr) *Known {
	for i := range snap.Leases {
		if snap.Leases[i].Address.IP == ip {
			return &snap.Leases[i]
		}
	}
	return nil
}

// timeline finds out what is known of one address.
type timeline struct {
	store  *Store
	ip     netip.Addr
	points []point
	snaps  []*Known // of each point the lease that a snapshot there or later tells to have been held there
}

// leases returns what is known of the address at each event, and at lost ones that gave it and that a snapshot tells of,
// and its intervals by their first point.
func leases(s *Store, ip netip.Addr) ([]place, []*Interval) {
	t := &timeline{store: s, ip: ip, points: points(s, ip)}
	t.tell()
	t.spread()
	all := t.join(t.runs())
	for _, l := range all {
		t.judge(l)
	}
	var row []place
	for i := range t.points {
		pt := &t.points[i]
		if pt.event < 0 && pt.gave == nil {
			continue
		}
		p := place{seq: pt.seq, event: pt.event, known: pt.known, held: pt.lease}
		if pt.event >= 0 {
			p.stamp = stampOf(s.Events, s.Events[pt.event].Clock)
		} else {
			p.stamp = stampOf(s.Events, pt.gave.Clock)
		}
		row = append(row, p)
	}
	for i := 1; i < len(row); i++ {
		// What is lost ahead of a start that only a snapshot tells of stays lost.
		row[i-1].whole = row[i].event >= 0 && s.through(ip, row[i-1].seq, row[i].seq)
	}
	return row, all
}

// through reports whether nothing about the address is lost between two events: no event at all is, or a snapshot tells
// of one lease from before the first of them until the last.
func (s *Store) through(ip netip.Addr, a, b journal.Seq) bool {
	if a+1 == b {
		return true
	}
	return slices.ContainsFunc(s.Snapshots, func(snap Snapshot) bool {
		known := snap.told(ip)
		return snap.Seq >= b-1 && known != nil && known.Start <= a
	})
}

// event returns the event of point i if it concerns the address, nil otherwise.
func (t *timeline) event(i int) *journal.Event {
	if at := t.points[i].event; at >= 0 && concerns(&t.store.Events[at], t.ip) {
		return &t.store.Events[at]
	}
	return nil
}

// beside reports whether nothing is lost between points i-1 and i.
func (t *timeline) beside(i int) bool {
	if i == 0 {
		return t.points[0].seq == 1
	}
	return t.points[i].event >= 0 && t.points[i-1].seq+1 == t.points[i].seq
}

func (t *timeline) set(i int, held bool) {
	if i >= 0 {
		t.points[i].known, t.points[i].held = true, held
	}
}

// tell writes down what each event and snapshot says about its own point and the one before.
func (t *timeline) tell() {
	t.snaps = make([]*Known, len(t.points))
	for i := range t.points {
		p := &t.points[i]
		if i == 0 && p.seq == 1 && p.event == 0 {
			t.set(0, false) // the first event of all finds nothing held
		}
		if p.snap != nil {
			known := p.snap.told(t.ip)
			t.set(i, known != nil)
			for j := i; known != nil && j >= 0 && t.points[j].seq >= known.Start; j-- {
				t.set(j, true)
				t.snaps[j] = known
				if j > 0 && t.points[j].seq == known.Start && t.points[j-1].seq == known.Start-1 {
					t.set(j-1, false)
				}
			}
		}
		ev := t.event(i)
		if ev == nil {
			continue
		}
		before := -1
		if i > 0 && t.beside(i) {
			before = i - 1
		}
		switch {
		case begins(ev):
			t.set(i, true)
			t.set(before, false)
		case ev.Kind == journal.KindReset:
			t.set(i, false)
		case ends(ev):
			t.set(i, false)
			t.set(before, true)
		default:
			t.set(i, true)
			t.set(before, true)
		}
	}
}

// spread carries what is known to the neighbours that no event about the address divides.
func (t *timeline) spread() {
	for again := true; again; {
		again = false
		for i := 1; i < len(t.points); i++ {
			a, b := &t.points[i-1], &t.points[i]
			if !t.beside(i) || a.known == b.known {
				continue
			}
			if ev := t.event(i); ev != nil && ev.Kind != journal.KindAnnotate {
				continue
			}
			again = true
			t.set(i-1, a.held || b.held)
			t.set(i, a.held || b.held)
		}
	}
}

// runs returns the stretches of points at which one lease is held, each without a gap.
func (t *timeline) runs() []*Interval {
	var out []*Interval
	for i := range t.points {
		p := &t.points[i]
		if !p.held {
			continue
		}
		ev := t.event(i)
		if i > 0 && t.beside(i) && t.points[i-1].held && (ev == nil || !begins(ev)) {
			p.lease = t.points[i-1].lease
		} else {
			p.lease = &Interval{IP: t.ip, begin: i, Lost: true}
			out = append(out, p.lease)
		}
		t.learn(p.lease, i)
	}
	return out
}

// learn adds to a lease what the event of a point at which it is held says, the one behind it, and a snapshot.
func (t *timeline) learn(l *Interval, i int) {
	if known := t.snaps[i]; known != nil {
		l.Start, l.Owner, l.boot = known.Start, known.Owner, known.Clock.Boot
		l.Import, l.Claimed = known.Import, known.Claimed
	}
	if ev := t.event(i); ev != nil {
		switch {
		case begins(ev):
			l.Start, l.Owner, l.boot = ev.Seq, Owner{ev.ContainerID, ev.IfName}, ev.Boot
			l.Import, l.Claimed = ev.Kind == journal.KindImport, ev.Claimed
			_, l.Carried = attribute(ev, journal.AttributeParentSeq)
			_, l.Doubt = attribute(ev, journal.AttributeDoubt)
		case l.Owner == Owner{}:
			l.Owner = Owner{ev.ContainerID, ev.IfName}
		}
	}
	if i == len(t.points)-1 {
		l.Lost = false // still held
		return
	}
	if ev := t.event(i + 1); ev != nil && ends(ev) && t.beside(i+1) {
		l.End, l.Reason, l.Lost = ev.Seq, ev.Reason, false
		if l.Owner == (Owner{}) && ev.Kind != journal.KindReset {
			l.Owner = Owner{ev.ContainerID, ev.IfName}
		}
	}
}

// join makes one interval of the runs of a lease that gaps divide.
func (t *timeline) join(runs []*Interval) []*Interval {
	var out []*Interval
	for _, b := range runs {
		if len(out) > 0 {
			if a := out[len(out)-1]; t.same(a, b) {
				t.absorb(a, b)
				continue
			}
		}
		out = append(out, b)
	}
	return out
}

// same reports whether a, whose end is lost, goes on as b behind a gap.
func (t *timeline) same(a, b *Interval) bool {
	if !a.Lost {
		return false
	}
	for i := a.begin + 1; i < b.begin; i++ {
		if t.points[i].known && !t.points[i].held {
			return false
		}
	}
	if b.Start != 0 {
		return b.Start == a.Start
	}
	return a.Owner == b.Owner || a.Owner.ContainerID == b.Owner.ContainerID && a.Owner.IfName == ""
}

func (t *timeline) absorb(a, b *Interval) {
	a.End, a.Reason, a.Lost = b.End, b.Reason, b.Lost
	for i := range t.points {
		if t.points[i].lease == b {
			t.points[i].lease = a
		}
	}
}

// judge finds out from where on the lease's use is uncertain.
func (t *timeline) judge(l *Interval) {
	if l.Owner == (Owner{}) {
		l.Doubt = true
	}
	events := t.store.Events
	l.First = l.Start
	if l.First == 0 {
		// What is behind the gap stands for what is lost in it.
		first := &events[t.next(l.begin)]
		l.First, l.boot = first.Seq, first.Boot
	}
	if l.End == 0 {
		last := &events[len(events)-1]
		switch {
		case last.Boot != l.boot:
			l.Doubtful, l.Window = true, t.lastOfBoot(l, last.Seq+1)
		case t.store.Wiped && !l.Lost:
			l.Doubtful, l.Window = true, last.Seq
		}
		return
	}
	end := &events[slices.IndexFunc(events, func(ev journal.Event) bool { return ev.Seq == l.End })]
	l.Doubtful = true
	switch {
	case end.Boot != l.boot, end.Reason == journal.ReasonReboot, end.Reason == journal.ReasonWiped:
		l.Window = t.lastOfBoot(l, l.End)
	case end.Reason == journal.ReasonDel:
		l.Window = l.End
	default:
		l.Window = max(l.First, spared(events, l.First, end))
	}
}

// next returns the first event from point i on.
func (t *timeline) next(i int) int {
	for ; i < len(t.points); i++ {
		if at := t.points[i].event; at >= 0 {
			return at
		}
	}
	return len(t.store.Events) - 1
}

// lastOfBoot returns the last event before end of the lease's boot.
func (t *timeline) lastOfBoot(l *Interval, end journal.Seq) journal.Seq {
	last := l.First
	for i := range t.store.Events {
		if ev := &t.store.Events[i]; ev.Seq < end && ev.Boot == l.boot {
			last = max(last, ev.Seq)
		}
	}
	return last
}

// spared returns the first event of the last GC run that began after a lease's start and was over at its end; 0 if
// there was none.
func spared(events []journal.Event, start journal.Seq, end *journal.Event) journal.Seq {
	var spared, run journal.Seq
	var last *journal.Event // of the run
	over := func(next *journal.Event) {
		if last != nil && !continues(last, next) && run > start {
			spared = run
		}
	}
	for i := range events {
		ev := &events[i]
		if ev.Seq >= end.Seq || ev.Kind != journal.KindDel || ev.Reason != journal.ReasonGC {
			continue
		}
		over(ev)
		if last == nil || !continues(last, ev) {
			run = ev.Seq
		}
		last = ev
	}
	over(end)
	return spared
}

// gcRunGap is the longest time between two releases of one GC, by the boot-time clock.
const gcRunGap = int64(time.Minute)

// continues reports whether an event may belong to the GC run that another is of. Without a boot ID the boot-time clock may
// have begun anew in between, which is no proof that the run was over.
func continues(run, ev *journal.Event) bool {
	passed := ev.BootTime - run.BootTime
	return ev.Boot == run.Boot && passed <= gcRunGap
}
