package replay

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// Use is what became of a network's addresses in a window of time. Numbers of events are at least what happened: calls
// that are repeated are not all recorded.
type Use struct {
	From, To time.Time // the part of the window that the journal covers; both zero if it covers none, and then nothing else is set

	Peak   int   // most leases held at once, by order of events, blocked addresses aside
	PeakAt Point // the event after which that was so first

	Adds, Dels uint64                    // events, as in Counts
	Released   map[journal.Reason]uint64 // leases that ended
	Refused    map[int]uint64            // ADDs, by CNI error code
	Reuses     Reuses
	Longest    *Hold // of the leases held at some time in the window; nil if there is none
}

// Reuses are the times from the end of a lease to the ADD that gave its address next, where the ADD is in the window.
type Reuses struct {
	Count     uint64        // that the median is of
	Median    time.Duration // the lower one of the two in the middle, rounded down to one part in 1024
	Shortest  *Reuse        // nil if Count is 0
	Negative  uint64        // left out: by the clocks the ADD came first
	Uncertain uint64        // left out: from one boot to another with clocks that were not synchronised, or less than their error
	Pruned    uint64        // left out: the event that gave the address back was pruned, if there was one
}

// Reuse is a lease of an address that another lease of it followed.
type Reuse struct {
	IP         netip.Addr
	End, Start Point
	After      time.Duration
}

// Hold is how long a lease was held, also where that reaches beyond the window.
type Hold struct {
	IP    netip.Addr
	Start Point
	End   *Point // nil if no event ends it
	For   time.Duration
	Sure  bool // the clocks that tell For were synchronised, or are one
}

// errHeld and errNotHeld are the causes of damage that the addresses of an event show.
var (
	errHeld    = errors.New("gives an address that is held")
	errNotHeld = errors.New("releases an address that is not held")
)

// address is what is known of one address so far.
type address struct {
	held, blocked bool
	start         mark
	end           mark // of its last lease; its seq is 0 if no ADD is to be compared with it
}

// using is a Use in the making.
type using struct {
	Use
	clocks *Clocks
	s      span
	wiped  bool
	by     map[netip.Addr]*address
	gone   bool // what was before the first event is known from a keyframe
	held   int  // blocked addresses aside
	peaked bool
	lags   map[uint64]uint64 // reuses by lagBucket

	first, last mark
	head        journal.Hash
}

// Measure measures the use of addresses in a window from all events of a journal. The clocks are those of all these events. wiped
// says that the network's data folder was deleted and no event says so yet. Memory is bounded by the number of addresses.
// Where events were pruned, what they led to is taken from the keyframe behind them, and the figures begin with the first event that
// is left.
//
// The error is what ended the reading: damage, an event of a newer version, or the file system's. Then nothing is known.
func Measure(past *archive.Reader, clocks *Clocks, q Asked, wiped bool) (Use, error) {
	u := newUsing(clocks, q, wiped)
	for p, err := range past.Left(0) {
		switch {
		case err != nil:
		case p.Loss != nil:
			err = u.pruned(past, p.Loss)
		default:
			err = u.take(&p.Record)
		}
		if err != nil {
			return Use{}, err
		}
	}
	return u.used()
}

// pruned begins with the leases that were held after the last event that was pruned.
func (u *using) pruned(past *archive.Reader, l *journal.Loss) error {
	k, err := past.Boundary()
	if err != nil {
		return err
	}
	defer k.Close()
	if k.Snapshot == nil {
		return l.Error("")
	}
	u.first, u.last, u.gone = mark{}, mark{}, true
	u.head = k.Snapshot.Head()
	for lease, err := range state.Over(k.Snapshot).Leases() {
		if err != nil {
			return err
		}
		u.by[lease.IP] = &address{held: true, blocked: lease.Blocked, start: mark{lease.Start, lease.Clock}}
		if !lease.Blocked {
			u.held++
		}
	}
	return nil
}

func newUsing(clocks *Clocks, q Asked, wiped bool) *using {
	t := clocks.timeline()
	u := &using{clocks: clocks, s: t.span(q), wiped: wiped, by: map[netip.Addr]*address{}, lags: map[uint64]uint64{}}
	u.Released, u.Refused = map[journal.Reason]uint64{}, map[int]uint64{}
	return u
}

// used returns what was measured, once all events were taken in.
func (u *using) used() (Use, error) {
	if u.first.seq == 0 {
		return Use{}, nil
	}
	first := u.clocks.point(u.first)
	from, to := max(u.s.from, effective(&first)), min(u.s.to, u.s.covered)
	if from > to {
		return Use{}, nil
	}
	u.From, u.To = timeOf(from), timeOf(to)
	u.conclude()
	return u.Use, nil
}

// take takes in the next event.
func (u *using) take(rec *journal.Record) error {
	ev := &rec.Event
	m := mark{ev.Seq, ev.Clock}
	damage := func(cause error) error {
		return &journal.CorruptionError{File: rec.File, Seq: ev.Seq, Offset: rec.Offset, Cause: cause}
	}
	switch {
	case !ev.Understood():
		return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
	case u.head != (journal.Hash{}) && ev.Prev != u.head:
		return damage(errChain)
	}
	at := u.clocks.point(m)
	now := effective(&at)
	if u.last.seq != 0 {
		if before := u.clocks.point(u.last); effective(&before) < u.s.from && now > u.s.from {
			u.peak(before) // held over the window's beginning
		}
	}
	inside := u.s.from <= now && now <= u.s.to
	if inside {
		u.count(ev)
	}
	if err := u.fold(ev, m, inside); err != nil {
		return damage(err)
	}
	if inside {
		u.peak(at)
	}
	if u.first.seq == 0 {
		u.first = m
	}
	u.last = m
	if len(rec.Raw) > 0 {
		u.head = rec.Head()
	}
	return nil
}

// peak takes in that so many leases are held after an event.
func (u *using) peak(at Point) {
	if !u.peaked || u.held > u.Peak {
		u.Peak, u.PeakAt, u.peaked = u.held, at, true
	}
}

// count counts an event of the window.
func (u *using) count(ev *journal.Event) {
	switch ev.Kind {
	case journal.KindAdd:
		u.Adds++
	case journal.KindDel, journal.KindRelease:
		if reason(ev) == journal.ReasonDel {
			u.Dels++
		}
		if n := len(ev.Addresses); n > 0 {
			u.Released[reason(ev)] += uint64(n)
		}
	case journal.KindReset:
		n := uint64(0)
		for _, a := range u.by {
			if a.held {
				n++
			}
		}
		if n > 0 {
			u.Released[reason(ev)] += n
		}
	case journal.KindRefuse:
		u.Refused[ev.Code]++
	}
}

// fold takes in what the event does to leases.
func (u *using) fold(ev *journal.Event, m mark, inside bool) error {
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		for _, given := range ev.Addresses {
			a := u.by[given.IP]
			if a == nil && u.gone && inside && ev.Kind == journal.KindAdd {
				u.Reuses.Pruned++
			}
			if a == nil {
				a = &address{}
				u.by[given.IP] = a
			}
			if a.held {
				return fmt.Errorf("%w: %s", errHeld, given.IP)
			}
			if inside && a.end.seq != 0 && ev.Kind == journal.KindAdd {
				u.reused(given.IP, a.end, m)
			}
			*a = address{held: true, blocked: ev.Blocked, start: m}
			if !ev.Blocked {
				u.held++
			}
		}
	case journal.KindDel, journal.KindRelease:
		for _, back := range ev.Addresses {
			a := u.by[back.IP]
			if a == nil || !a.held {
				return fmt.Errorf("%w: %s", errNotHeld, back.IP)
			}
			u.end(back.IP, a, m)
		}
	case journal.KindReset:
		for ip, a := range u.by {
			if a.held {
				u.end(ip, a, m)
			}
		}
	}
	return nil
}

// end ends a lease.
func (u *using) end(ip netip.Addr, a *address, m mark) {
	if !a.blocked {
		u.held--
		to := u.clocks.point(m)
		d, sure := u.apart(a.start, m)
		u.hold(Hold{IP: ip, Start: u.clocks.point(a.start), End: &to, For: d, Sure: sure}, effective(&to))
	}
	*a = address{end: m}
}

// hold takes in how long a lease was held that was so up to a time. Of two alike, the one that began first counts.
func (u *using) hold(h Hold, until int64) {
	if h.For < 0 || effective(&h.Start) > u.s.to || until < u.s.from {
		return
	}
	if l := u.Longest; l == nil || h.For > l.For || h.For == l.For && (h.Start.Seq < l.Start.Seq || h.Start.Seq == l.Start.Seq && h.IP.Less(l.IP)) {
		u.Longest = &h
	}
}

// apart returns the time from one event to a later one: by the boot-time clock within a boot, else by the effective one. It
// is sure if its sign can't be an error of the clocks.
func (u *using) apart(from, to mark) (d time.Duration, sure bool) {
	if boot := from.clock.Boot; boot == to.clock.Boot && boot != (journal.BootID{}) {
		return time.Duration(to.clock.BootTime - from.clock.BootTime), true
	}
	a, b := u.clocks.point(from), u.clocks.point(to)
	d = b.Effective.Sub(a.Effective)
	return d, a.Synced && b.Synced && d.Abs() > a.MaxError+b.MaxError
}

// reused takes in that an address was given again.
func (u *using) reused(ip netip.Addr, end, start mark) {
	r := &u.Reuses
	switch d, sure := u.apart(end, start); {
	case d < 0:
		r.Negative++
	case !sure:
		r.Uncertain++
	default:
		r.Count++
		u.lags[lagBucket(d)]++
		if first := r.Shortest; first == nil || d < first.After || d == first.After && start.seq == first.Start.Seq && ip.Less(first.IP) {
			r.Shortest = &Reuse{IP: ip, End: u.clocks.point(end), Start: u.clocks.point(start), After: d}
		}
	}
}

// lagDigits is how many binary digits of a duration are kept for the median, so that memory does not grow with events.
const lagDigits = 11

// lagBucket returns a number for durations that have their first digits in common. It grows with them.
func lagBucket(d time.Duration) uint64 {
	shift := max(bits.Len64(uint64(d))-lagDigits, 0)
	return uint64(shift)<<lagDigits | uint64(d)>>shift
}

// lagOf returns the shortest duration of a bucket.
func lagOf(bucket uint64) time.Duration {
	return time.Duration(bucket&(1<<lagDigits-1)) << (bucket >> lagDigits)
}

// conclude takes in what goes on after the last event, and finds the median.
func (u *using) conclude() {
	last := u.clocks.point(u.last)
	if t := effective(&last); t < u.s.from && u.s.covered >= u.s.from {
		u.peak(last)
	}
	for ip, a := range u.by {
		if !a.held || a.blocked {
			continue
		}
		d, sure := u.apart(a.start, u.last)
		until := effective(&last)
		if start := u.clocks.point(a.start); u.s.live && !u.wiped {
			d, sure, until = timeOf(u.s.covered).Sub(start.Effective), start.Synced, u.s.covered
		}
		u.hold(Hold{IP: ip, Start: u.clocks.point(a.start), For: d, Sure: sure}, until)
	}
	rank := uint64(0)
	for _, bucket := range slices.Sorted(maps.Keys(u.lags)) {
		if rank += u.lags[bucket]; rank > (u.Reuses.Count-1)/2 {
			u.Reuses.Median = max(lagOf(bucket), u.Reuses.Shortest.After)
			return
		}
	}
}
