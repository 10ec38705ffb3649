package replay

import (
	"cmp"
	"hash/maphash"
	"iter"
	"math"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// survey is what a first reading tells of all leases, in a few bytes each, so that a second one knows of every lease
// when it begins how and when it will end: that decides whether its use is in doubt.
type survey struct {
	h    *History
	last mark
	// plain says that every event did what the lease map allows, and none is lost. If it is not, the survey tells nothing.
	plain bool

	leases uint32
	ends   [][]int64                // of leases in the order in which they began: see endOf
	odd    []oddEnd                 // ends that are not regular, by lease
	added  map[uint32]*annotation   // by lease
	claims map[netip.Addr][]*draft  // leases of each address that are imports and began as their source says, by event
	boots  []journal.BootID         // that events are of, in order
	ahead  map[journal.BootID]int64 // the largest wall minus boottime of each boot

	open    map[netip.Addr]openLease
	gc      gcRuns
	genesis mark
	settled mark
	seed    maphash.Seed
}

// Values of an end that are no boot-time clock.
const (
	endNever = math.MinInt64     // it is held after the last event
	endOdd   = math.MinInt64 + 1 // it stands in odd
)

// chunkBits is the binary logarithm of how many ends are kept together.
const chunkBits = 16

// openLease is a lease that hasn't ended yet.
type openLease struct {
	lease uint32
	boot  uint32 // index of the boot in which it began
	seq   journal.Seq
	wall  int64
	since int64     // boot-time clock
	owner [2]uint64 // hashes of container ID and interface name
	taken bool      // without an interface name, so it answers to every one
}

// place is a mark in fewer bytes.
type place struct {
	seq        journal.Seq
	wall, boot int64
	of         uint32 // index of its boot
}

// oddEnd is the end of a lease that was not ended by its own DEL in its own boot while the clock was synchronised.
type oddEnd struct {
	lease    uint32
	reason   journal.Reason
	released bool
	end      place
	window   place
}

// annotation is what later events add to a lease.
type annotation struct {
	netNS   string
	netNSID journal.NetNSID
	pod     journal.Pod
	notes   []string
}

// surveyed reads all records. The error is about reading them; damage makes the survey not plain.
func surveyed(records iter.Seq2[journal.Record, error], o SweepOptions) (*survey, error) {
	s := &survey{
		h: &History{wiped: o.Wiped}, plain: true, seed: maphash.MakeSeed(),
		added: map[uint32]*annotation{}, claims: map[netip.Addr][]*draft{},
		ahead: map[journal.BootID]int64{}, open: map[netip.Addr]openLease{},
	}
	for rec, err := range records {
		if err != nil && !stops(err) {
			return nil, err
		}
		if err != nil || !s.event(&rec.Event) {
			s.plain = false
			break
		}
	}
	s.finish()
	return s, nil
}

// event takes in the next event, and reports whether it can be what happened next.
func (s *survey) event(ev *journal.Event) bool {
	if !ev.Understood() || ev.Seq != s.last.seq+1 {
		return false
	}
	m := mark{ev.Seq, ev.Clock}
	if n := len(s.boots); n == 0 || s.boots[n-1] != ev.Boot {
		s.boots = append(s.boots, ev.Boot)
	}
	if ahead, known := s.ahead[ev.Boot]; !known || ev.Wall-ev.BootTime > ahead {
		s.ahead[ev.Boot] = ev.Wall - ev.BootTime
	}
	if !s.fold(ev, m) {
		return false
	}
	s.settle(ev, m)
	if ev.Kind == journal.KindDel && ev.Reason == journal.ReasonGC {
		s.gc.release(m)
	}
	s.h.Clocks.Add(ev)
	if s.last.seq == 0 {
		s.h.First.Seq = m.seq
		s.genesis = m
	}
	s.last = m
	return true
}

// fold takes in what the event does to leases.
func (s *survey) fold(ev *journal.Event, m mark) bool {
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		if ev.Kind == journal.KindAdd {
			s.h.ranges.add(ev, m)
		}
		for _, a := range ev.Addresses {
			if !s.begin(ev, a) {
				return false
			}
		}
	case journal.KindAnnotate:
		return s.annotate(ev)
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			o, ok := s.open[a.IP]
			if !ok || !s.owns(&o, ev) {
				return false
			}
			delete(s.open, a.IP)
			s.close(&o, ev, m)
		}
	case journal.KindReset:
		for _, o := range s.open {
			s.close(&o, ev, m)
		}
		clear(s.open)
	case journal.KindConfig:
		s.h.ranges.config(ev)
	case journal.KindGenesis:
		s.h.Origin = ev.Origin
		s.h.lost = attribute(ev, journal.AttributeLost)
	}
	return true
}

func (s *survey) hash(ev *journal.Event) [2]uint64 {
	return [2]uint64{maphash.String(s.seed, ev.ContainerID), maphash.String(s.seed, ev.IfName)}
}

func (s *survey) owns(o *openLease, ev *journal.Event) bool {
	h := s.hash(ev)
	return h == o.owner || o.taken && h[0] == o.owner[0]
}

func (s *survey) begin(ev *journal.Event, a journal.Address) bool {
	if _, held := s.open[a.IP]; held {
		return false
	}
	imported := ev.Kind == journal.KindImport
	s.open[a.IP] = openLease{lease: s.leases, boot: uint32(len(s.boots) - 1), seq: ev.Seq, wall: ev.Wall, since: ev.BootTime,
		owner: s.hash(ev), taken: ev.IfName == ""}
	if s.leases>>chunkBits == uint32(len(s.ends)) {
		s.ends = append(s.ends, make([]int64, 1<<chunkBits))
	}
	s.setEnd(s.leases, endNever)
	s.leases++
	if imported && attribute(ev, journal.AttributeParentSeq) == "" {
		l := leaseOf(ev, a)
		d := newDraft(detached(&l), "")
		s.claims[a.IP] = append(s.claims[a.IP], d)
	}
	return true
}

func (s *survey) setEnd(lease uint32, end int64) {
	s.ends[lease>>chunkBits][lease&(1<<chunkBits-1)] = end
}

func (s *survey) endOf(lease uint32) int64 { return s.ends[lease>>chunkBits][lease&(1<<chunkBits-1)] }

// close notes how a lease ends.
func (s *survey) close(o *openLease, ev *journal.Event, m mark) {
	why := reason(ev)
	same := s.boots[o.boot] == ev.Boot
	if same && why == journal.ReasonDel && ev.Kind == journal.KindDel && ev.Synchronised && ev.Boot != (journal.BootID{}) {
		s.setEnd(o.lease, ev.BootTime)
		return
	}
	s.setEnd(o.lease, endOdd)
	start := place{o.seq, o.wall, o.since, o.boot}
	end := place{m.seq, ev.Wall, ev.BootTime, uint32(len(s.boots) - 1)}
	odd := oddEnd{lease: o.lease, reason: why, released: ev.Kind == journal.KindRelease, end: end, window: end}
	switch {
	case !same, why == journal.ReasonReboot, why == journal.ReasonWiped:
		odd.window = start
		if last := s.h.Clocks.lastOf(s.boots[o.boot]); last.seq > o.seq {
			odd.window = place{last.seq, last.clock.Wall, last.clock.BootTime, o.boot}
		}
	case why == journal.ReasonDel:
	default:
		odd.window = start
		if spared := s.gc.spared(m); spared.seq > o.seq {
			odd.window = place{spared.seq, spared.clock.Wall, spared.clock.BootTime, s.bootOf(spared)}
		}
	}
	s.odd = append(s.odd, odd)
}

// bootOf returns the index of the boot of an event that came before.
func (s *survey) bootOf(m mark) uint32 {
	for i := len(s.boots) - 1; i > 0; i-- {
		if s.boots[i] == m.clock.Boot {
			return uint32(i)
		}
	}
	return 0
}

func (s *survey) mark(p place) mark {
	return mark{p.seq, journal.Clock{Wall: p.wall, BootTime: p.boot, Boot: s.boots[p.of]}}
}

func (s *survey) annotate(ev *journal.Event) bool {
	for _, a := range ev.Addresses {
		o, ok := s.open[a.IP]
		if !ok || !s.owns(&o, ev) {
			return false
		}
		note := annotationNote(ev)
		if note == "" {
			continue
		}
		n := s.added[o.lease]
		if n == nil {
			n = &annotation{}
			s.added[o.lease] = n
		}
		l := state.Lease{NetNS: n.netNS, NetNSID: n.netNSID, Pod: n.pod}
		annotated(&l, ev)
		l = *detached(&l)
		n.netNS, n.netNSID, n.pod, n.notes = l.NetNS, l.NetNSID, l.Pod, append(n.notes, note)
	}
	return true
}

// settle is reading.settle.
func (s *survey) settle(ev *journal.Event, m mark) {
	if lost := s.h.lost; lost == "" || lost == "0" || s.settled.seq != 0 || ev.Kind == journal.KindGenesis {
		return
	}
	if ev.Kind == journal.KindReset || ev.Boot != s.genesis.clock.Boot {
		s.settled = m
	}
}

// finish dates what was read, now that all clocks are known.
func (s *survey) finish() {
	h := s.h
	h.time = h.Clocks.timeline()
	if s.last.seq != 0 {
		h.First, h.Last = h.Clocks.point(s.genesis), h.Clocks.point(s.last)
	}
	if s.settled.seq != 0 {
		h.settled = h.Clocks.point(s.settled)
	}
	h.ranges.points(&h.Clocks)
	s.open = nil
	slices.SortFunc(s.odd, func(a, b oddEnd) int { return cmp.Compare(a.lease, b.lease) })
}
