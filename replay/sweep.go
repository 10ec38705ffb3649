package replay

import (
	"iter"
	"math"
	"net/netip"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// SweepOptions say how a journal is swept.
type SweepOptions struct {
	// Records returns the journal's records from its first event on, the same ones each time, the last ones included.
	Records func() iter.Seq2[journal.Record, error]
	// Whole returns the history of some addresses; nil is by Read. It is asked where events are lost, and may go on behind that.
	Whole   func([]netip.Addr) (*History, error)
	Wiped   bool          // as in Options
	Covered time.Time     // as in Asked
	Window  time.Duration // how far behind the newest question others may be without being late
}

// Sweep answers who held addresses at many instants, as History.Who does, with memory that doesn't depend on how many they
// are. It reads the journal once to learn its clocks and how leases end, and moves through it a second time as the instants
// asked about go on. Questions about instants behind its window are late: they are answered together, by reading again.
//
// Of the holders in its answers the end tells the time alone, and doubts about the clock at the end are left out.
// A journal that is not plain (events lost, damage, events that can't be) has only late questions. Not safe for concurrent use.
type Sweep struct {
	SweepOptions
	survey *survey
	lookup segments

	fold    *sweepFold
	ahead   int   // events that are read at a time
	kept    int   // ended leases that are kept for questions within the window, at most, beside those read ahead
	newest  int64 // instant asked about
	horizon int64 // the oldest that is not late

	before  *Holding // before the first event, where no import claims the address
	beyond  *Holding // after what is covered, where nobody is known to have held the address
	nobody  [][StateNotOurs + 1]*Holding
	ranges  [][]journal.Range // in force, by change
	changes []moment          // of the ranges in force
}

// Question is one about an instant, in nanoseconds since 1970, and the answer to it.
type Question struct {
	IP      netip.Addr
	At      int64
	Holding *Holding
}

// NewSweep reads the journal once. Close has to follow.
func NewSweep(o SweepOptions) (*Sweep, error) {
	s := &Sweep{SweepOptions: o, ahead: chunkEvents, kept: 100_000}
	var err error
	if s.survey, err = surveyed(o.Records(), o); err != nil {
		return nil, err
	}
	h := s.survey.h
	s.lookup = segmentsOf(&h.time, s.span(0).covered, !o.Covered.IsZero())
	s.nobody = make([][StateNotOurs + 1]*Holding, len(h.ranges.changes))
	for i := range h.ranges.changes {
		f := &h.ranges.changes[i]
		s.changes = append(s.changes, s.survey.moment(&f.point))
		s.ranges = append(s.ranges, f.list())
	}
	s.rewind()
	return s, nil
}

// Plain reports whether questions are answered on the way; see Sweep.
func (s *Sweep) Plain() bool { return s.survey.plain && s.survey.last.seq != 0 }

// First returns the event from which on the journal tells; its Seq is 0 if there is none.
func (s *Sweep) First() Point { return s.survey.h.First }

// MayHold is History.MayHold.
func (s *Sweep) MayHold(ip netip.Addr) bool { return !s.Plain() || s.survey.h.MayHold(ip) }

// Close ends what reads the journal.
func (s *Sweep) Close() { s.fold.stop() }

// rewind goes back to the journal's beginning.
func (s *Sweep) rewind() {
	if s.fold != nil {
		s.fold.stop()
	}
	s.newest, s.horizon = math.MinInt64, math.MinInt64
	s.fold = newSweepFold(s.survey, newFeed(s.Records, s.survey.last.seq, s.ahead))
}

// span returns the question about an instant.
func (s *Sweep) span(at int64) span {
	sp := s.survey.h.span(Asked{Covered: s.Covered})
	sp.from, sp.to = at, at
	return sp
}

// Who answers who held an address at an instant, in nanoseconds since 1970. It returns nil if the question is late: then it
// is one for Settle. Answers are shared, and not to be changed.
func (s *Sweep) Who(ip netip.Addr, at int64) (*Holding, error) {
	if s.Plain() && at < s.fold.clear[0] {
		return s.early(ip, at), nil
	}
	if !s.Plain() || at < s.horizon {
		return nil, nil
	}
	if at > s.newest {
		s.newest = at
		if horizon := min(at, s.lookup.covered) - int64(s.Window); horizon > s.horizon {
			s.horizon = horizon
		}
		if err := s.fold.advance(at, s); err != nil {
			return nil, err
		}
		if at < s.horizon {
			return nil, nil // there were too many leases to keep
		}
	}
	entry := s.fold.addrs[ip]
	if at > s.lookup.last {
		return s.late(ip, at, entry), nil
	}
	if claims := s.survey.claims[ip]; len(claims) > 0 && claims[len(claims)-1].lease.Start > s.fold.last.seq {
		return nil, nil // an import that is to come may say that it began before
	}
	seg := s.lookup.find(at)
	if !seg.single || at > s.lookup.covered {
		return s.evaluate(ip, at, entry), nil
	}
	if entry != nil {
		for i := len(entry.leases) - 1; i >= 0; i-- {
			l := entry.leases[i]
			switch began := l.start.passed(seg.stretch, at); began {
			case unclear:
				return s.evaluate(ip, at, entry), nil
			case yes:
				return s.since(ip, at, entry, l, &seg)
			}
		}
	}
	return s.notHeld(ip, at, entry, &seg), nil
}

// since answers where a lease began before the instant, and the next one after.
func (s *Sweep) since(ip netip.Addr, at int64, entry *sweepAddr, l *sweepLease, seg *segment) (*Holding, error) {
	if l.ended {
		switch l.end.passed(seg.stretch, at) {
		case unclear:
			return s.evaluate(ip, at, entry), nil
		case yes:
			return s.notHeld(ip, at, entry, seg), nil
		}
	}
	doubt := s.interval(l).Doubtful
	switch {
	case doubt == nil:
	case l.always:
		return s.held(ip, at, l, &l.unsure), nil
	default:
		switch after := l.doubtful.passed(seg.stretch, at); {
		case after == unclear, after == yes && at <= max(seg.core, l.doubtful.hi): // no time may have passed since
			return s.evaluate(ip, at, entry), nil
		case after == yes:
			return s.held(ip, at, l, &l.unsure), nil
		}
	}
	return s.held(ip, at, l, &l.sure), nil
}

// held returns the answer that is kept with a lease, or makes it.
func (s *Sweep) held(ip netip.Addr, at int64, l *sweepLease, kept **Holding) *Holding {
	if *kept == nil {
		*kept = shared(s.evaluate(ip, at, &sweepAddr{leases: []*sweepLease{l}}))
		l.iv = (*kept).Holders[0].Interval // the same one, and its memory once
	}
	return *kept
}

// notHeld answers where nobody held the address.
func (s *Sweep) notHeld(ip netip.Addr, at int64, entry *sweepAddr, seg *segment) *Holding {
	h := s.survey.h
	i, clear := latest(s.changes, seg.stretch, at)
	if !clear || i < 0 || h.lost != "" && h.lost != "0" || len(s.survey.claims[ip]) > 0 {
		return s.evaluate(ip, at, entry)
	}
	state := h.ranges.changes[i].stateIn(s.ranges[i], ip)
	if s.nobody[i][state] == nil {
		s.nobody[i][state] = shared(s.evaluate(ip, at, nil))
	}
	return s.nobody[i][state]
}

// early answers about a time that is before the first event by every clock.
func (s *Sweep) early(ip netip.Addr, at int64) *Holding {
	if claims := s.survey.claims[ip]; len(claims) > 0 {
		return s.whoOf(ip, at, []Interval{s.survey.interval(claims[0])})
	}
	if s.before == nil {
		s.before = shared(s.whoOf(ip, at, nil))
	}
	return s.before
}

// late answers about a time that is after what is covered, and after the last event by every clock: what was held last is named.
func (s *Sweep) late(ip netip.Addr, at int64, entry *sweepAddr) *Holding {
	if entry == nil {
		if s.beyond == nil {
			s.beyond = shared(s.whoOf(ip, at, nil))
		}
		return s.beyond
	}
	if entry.beyond == nil {
		entry.beyond = shared(s.evaluate(ip, at, entry))
	}
	return entry.beyond
}

// evaluate answers by all rules from the leases that are kept: no position before them can be meant.
func (s *Sweep) evaluate(ip netip.Addr, at int64, entry *sweepAddr) *Holding {
	var leases []Interval
	if entry != nil {
		for _, l := range entry.leases {
			iv := *s.interval(l)
			if iv.End != nil && !l.ended {
				// The end lies behind what was read, and all that was not read behind the instant.
				end := *iv.End
				end.Point = Point{Seq: s.fold.last.seq + 1, Time: farAway, Effective: farAway, boot: iv.Start.boot}
				iv.End = &end
			}
			leases = append(leases, iv)
		}
	}
	a := s.whoOf(ip, at, leases)
	for i := range a.Holders {
		for _, l := range entry.leases {
			if l.began.seq == a.Holders[i].Start.Seq {
				a.Holders[i].End = l.iv.End
			}
		}
	}
	return a
}

// shared marks an answer that is given more than once.
func shared(a *Holding) *Holding {
	a.shared = true
	return a
}

// Shared reports whether a Sweep gives this answer, the same pointer, to many questions.
func (a *Holding) Shared() bool { return a.shared }

// farAway is the end of what has none, in a form that has nanoseconds.
var farAway = time.Unix(0, math.MaxInt64)

// whoOf answers as if the journal had only these leases of the address.
func (s *Sweep) whoOf(ip netip.Addr, at int64, leases []Interval) *Holding {
	h := *s.survey.h
	h.Intervals = leases
	t := timeOf(at)
	a := h.Who(ip, Asked{From: t, To: t, Covered: s.Covered})
	a.others = nil
	return &a
}

// interval returns the lease as History has it.
func (s *Sweep) interval(l *sweepLease) *Interval {
	if l.iv == nil {
		d := l.draft()
		if n := s.survey.added[l.number]; n != nil {
			if n.netNS != "" {
				d.lease.NetNS, d.lease.NetNSID = n.netNS, n.netNSID
			}
			if n.pod != (journal.Pod{}) {
				d.lease.Pod = n.pod
			}
			d.own().notes = n.notes
		}
		s.survey.ending(d, l.until, l.odd)
		iv := s.survey.interval(d)
		l.iv = &iv
		l.over()
		if l.always = iv.doubt != "" || iv.Lease.Blocked; iv.Doubtful != nil {
			l.doubtful = s.survey.moment(iv.Doubtful)
		}
	}
	return l.iv
}

// interval finishes a draft as reading does.
func (s *survey) interval(d *draft) Interval {
	r := reading{Options: Options{Wiped: s.h.wiped}, h: s.h, last: s.last}
	return r.interval(d, new(End))
}

// ending sets how a draft ended.
func (s *survey) ending(d *draft, until int64, odd *oddEnd) {
	switch {
	case odd != nil:
		window := s.mark(odd.window)
		d.end, d.window, d.reason, d.released = s.mark(odd.end), &window, odd.reason, odd.released
	case until != endNever:
		// Only its effective time is known beforehand. The other is not looked at before the event is read.
		clock := journal.Clock{BootTime: until, Boot: d.lease.Clock.Boot}
		clock.Wall = s.h.Clocks.Point(0, clock).Effective.UnixNano()
		d.end = mark{d.lease.Start + 1, clock}
		d.window, d.reason = &d.end, journal.ReasonDel
	}
}
