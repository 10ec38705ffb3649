package replay

import (
	"container/heap"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// sweepFold moves through the events of a journal, and keeps the leases that instants asked about may mean.
type sweepFold struct {
	survey *survey
	feed   *feed

	last     mark    // event that was taken in
	stretch  int     // of it
	reached  int64   // instants before this one mean nothing that is still to be read of the stretch
	clear    []int64 // likewise of each stretch and those behind it
	before   []int64 // up to which instants each stretch, and those before it, are meant
	complete bool

	number uint32 // of the next lease
	odd    int    // in survey.odd, the next one
	addrs  map[netip.Addr]*sweepAddr
	ended  endedHeap
}

// sweepAddr is an address that was given.
type sweepAddr struct {
	leases []*sweepLease // that are kept, by beginning
	beyond *Holding
}

// sweepLease is a lease that is kept.
type sweepLease struct {
	began  place
	boot   journal.BootID
	facts  *facts
	number uint32
	until  int64   // as survey.endOf
	odd    *oddEnd // if that is endOdd

	start, end moment
	ended      bool // the ending event was read: then last and lastWall are of it
	last       journal.Seq
	lastWall   int64
	upTo       int64
	iv         *Interval
	doubtful   moment
	always     bool // doubtful throughout
	sure       *Holding
	unsure     *Holding
}

// facts are what the event says that begins a lease, in one piece of memory.
type facts struct {
	text            string // container ID, interface name, namespace's path, pod's namespace, name and UID, doubt, parentSeq
	cuts            [7]int // where each but the first begins
	netNSID         journal.NetNSID
	address         journal.Address
	claimed         int64
	imports, blocks bool
}

func factsOf(ev *journal.Event, a journal.Address) *facts {
	f := &facts{netNSID: ev.NetNSID, address: a, claimed: ev.Claimed, imports: ev.Kind == journal.KindImport, blocks: ev.Blocked}
	parts := [8]string{ev.ContainerID, ev.IfName, ev.NetNS, ev.Pod.Namespace, ev.Pod.Name, ev.Pod.UID}
	if f.imports {
		parts[6], parts[7] = attribute(ev, journal.AttributeDoubt), attribute(ev, journal.AttributeParentSeq)
	}
	at := 0
	for i := range f.cuts {
		at += len(parts[i])
		f.cuts[i] = at
	}
	f.text = strings.Join(parts[:], "")
	return f
}

func (f *facts) part(i int) string {
	from, to := 0, len(f.text)
	if i > 0 {
		from = f.cuts[i-1]
	}
	if i < len(f.cuts) {
		to = f.cuts[i]
	}
	return f.text[from:to]
}

// draft returns the lease as a reading has it.
func (l *sweepLease) draft() *draft {
	f := l.facts
	m := mark{l.began.seq, journal.Clock{Wall: l.began.wall, BootTime: l.began.boot, Boot: l.boot}}
	d := newDraft(&state.Lease{
		Address: f.address, Attachment: state.Attachment{ContainerID: f.part(0), IfName: f.part(1)}, NetNS: f.part(2), NetNSID: f.netNSID,
		Pod: journal.Pod{Namespace: f.part(3), Name: f.part(4), UID: f.part(5)}, Start: m.seq, Clock: m.clock,
		Claimed: f.claimed, Import: f.imports, Blocked: f.blocks}, "")
	if doubt, parentSeq := f.part(6), f.part(7); doubt != "" || parentSeq != "" {
		d.own().doubt, d.own().parentSeq = doubt, parentSeq
	}
	return d
}

// over puts what the ending event says into the interval.
func (l *sweepLease) over() {
	if l.ended && l.iv != nil {
		l.iv.LastSeq, l.iv.End.Seq, l.iv.End.Time = l.last, l.last, time.Unix(0, l.lastWall).UTC()
	}
}

func newSweepFold(s *survey, events *feed) *sweepFold {
	f := &sweepFold{survey: s, addrs: map[netip.Addr]*sweepAddr{}, reached: math.MinInt64, feed: events}
	n := len(s.h.time.stretches)
	f.clear = make([]int64, n+1)
	f.clear[n] = math.MaxInt64
	for i := n - 1; i >= 0; i-- {
		m := momentIn(i, &s.h.time.stretches[i].first)
		f.clear[i] = min(f.clear[i+1], m.lo)
	}
	f.stretch = -1
	upTo := int64(math.MinInt64)
	for i := range n {
		last := momentIn(i, &s.h.time.stretches[i].last)
		if upTo = max(upTo, last.hi); i+1 < n {
			next := momentIn(i+1, &s.h.time.stretches[i+1].first)
			upTo = max(upTo, next.hi)
		}
		f.before = append(f.before, upTo)
	}
	return f
}

func (f *sweepFold) stop() { f.feed.stop() }

// advance reads all that an instant may mean, and forgets what lies behind the horizon.
func (f *sweepFold) advance(at int64, s *Sweep) error {
	for !f.complete && (at >= f.reached || at >= f.clear[f.stretch+1]) {
		c, err := f.feed.take()
		if err != nil {
			return err
		}
		if c == nil {
			f.complete = true
			break
		}
		for i := range c.events {
			f.event(&c.events[i], s.horizon)
		}
		f.pass(c.last)
		f.feed.give(c)
		f.forget(s)
	}
	f.forget(s)
	return nil
}

// pass notes how far was read.
func (f *sweepFold) pass(m mark) {
	f.last = m
	f.enter(m.seq)
	p := f.survey.h.Clocks.point(m)
	f.reached = momentIn(f.stretch, &p).lo
}

// enter finds the stretch of the event.
func (f *sweepFold) enter(seq journal.Seq) {
	stretches := f.survey.h.time.stretches
	for f.stretch+1 < len(stretches) && stretches[f.stretch+1].first.Seq <= seq {
		f.stretch++
	}
}

func (f *sweepFold) event(ev *journal.Event, horizon int64) {
	f.enter(ev.Seq)
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		for _, a := range ev.Addresses {
			f.begin(ev, a, horizon)
		}
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			f.close(a.IP, ev)
		}
	case journal.KindReset:
		for ip := range f.addrs {
			f.close(ip, ev)
		}
	}
}

func (f *sweepFold) begin(ev *journal.Event, a journal.Address, horizon int64) {
	n := f.number
	f.number++
	l := &sweepLease{number: n, until: f.survey.endOf(n)}
	if l.until == endOdd {
		l.odd = &f.survey.odd[f.odd]
		f.odd++
	}
	if l.odd == nil && l.until != endNever {
		// Between its ends no clock showed more than this.
		p := f.survey.h.Clocks.Point(0, journal.Clock{BootTime: l.until, Boot: ev.Boot})
		l.upTo = max(effective(&p)+int64(p.MaxError), l.until+f.survey.ahead[ev.Boot])
		if l.upTo < horizon && len(f.survey.claims[a.IP]) == 0 {
			return
		}
	}
	l.began, l.boot, l.facts = place{seq: ev.Seq, wall: ev.Wall, boot: ev.BootTime}, ev.Boot, factsOf(ev, a)
	p := f.survey.h.Clocks.Point(ev.Seq, ev.Clock)
	l.start = momentIn(f.stretch, &p)
	entry := f.addrs[a.IP]
	if entry == nil {
		entry = &sweepAddr{}
		f.addrs[a.IP] = entry
	}
	entry.leases = append(entry.leases, l)
	entry.beyond = nil
}

func (f *sweepFold) close(ip netip.Addr, ev *journal.Event) {
	entry := f.addrs[ip]
	if entry == nil {
		return // it lies behind the horizon
	}
	l := entry.leases[len(entry.leases)-1]
	if l.ended {
		return
	}
	entry.beyond = nil
	p := f.survey.h.Clocks.Point(ev.Seq, ev.Clock)
	l.end, l.ended = momentIn(f.stretch, &p), true
	l.last, l.lastWall = ev.Seq, ev.Wall
	l.over()
	l.upTo = max(l.start.hi, l.end.hi)
	stretches := f.survey.h.time.stretches
	for i := l.start.stretch; i < l.end.stretch; i++ {
		last, next := momentIn(i, &stretches[i].last), momentIn(i+1, &stretches[i+1].first)
		l.upTo = max(l.upTo, last.hi, next.hi)
	}
	if claims := f.survey.claims[ip]; len(claims) > 0 {
		// What is said of the time between a lease and an import rests on both.
		last := f.survey.h.Clocks.point(claims[len(claims)-1].given())
		l.upTo = max(l.upTo, f.before[f.survey.moment(&last).stretch])
	}
	heap.Push(&f.ended, endedLease{l, ip})
}

// forget drops leases that no instant from the horizon on means, and more if there are too many.
func (f *sweepFold) forget(s *Sweep) {
	for len(f.ended) > 0 && (f.ended[0].upTo < s.horizon || len(f.ended) > s.kept) {
		e := heap.Pop(&f.ended).(endedLease)
		s.horizon = max(s.horizon, e.upTo+1)
		entry := f.addrs[e.ip]
		for i, l := range entry.leases {
			if l == e.sweepLease {
				entry.leases = append(entry.leases[:i:i], entry.leases[i+1:]...)
				break
			}
		}
		if len(entry.leases) == 0 {
			delete(f.addrs, e.ip)
		}
	}
}

// endedLease is one of the leases that are kept though they have ended.
type endedLease struct {
	*sweepLease
	ip netip.Addr
}

// endedHeap has on top the one that is meant up to the earliest instant.
type endedHeap []endedLease

func (h endedHeap) Len() int           { return len(h) }
func (h endedHeap) Less(i, j int) bool { return h[i].upTo < h[j].upTo }
func (h endedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *endedHeap) Push(x any) { *h = append(*h, x.(endedLease)) }

// Pop is heap.Interface's.
func (h *endedHeap) Pop() any {
	n := len(*h) - 1
	x := (*h)[n]
	(*h)[n] = endedLease{}
	*h = (*h)[:n]
	return x
}
