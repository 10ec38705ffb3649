package replay_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// measure reads the clocks, then the events.
func measure(t *testing.T, events []journal.Event, q replay.Asked, wiped bool) replay.Use {
	t.Helper()
	var clocks replay.Clocks
	for i := range events {
		clocks.Add(&events[i])
	}
	u, err := replay.MeasureRecords(records(events, nil), &clocks, q, wiped)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// use measures slowly, each figure on its own, straight from the definitions.
func (o oracle) use(q replay.Asked) replay.Use {
	begin, covered := o.effective(1), o.effective(journal.Seq(len(o)))
	if !q.Covered.IsZero() {
		covered = q.Covered
	}
	u := replay.Use{From: q.From, To: q.To, Released: map[journal.Reason]uint64{}, Refused: map[int]uint64{}}
	if u.From.Before(begin) {
		u.From = begin
	}
	if u.To.After(covered) {
		u.To = covered
	}
	if u.From.After(u.To) {
		return replay.Use{}
	}
	inside := func(seq journal.Seq) bool {
		at := o.effective(seq)
		return !at.Before(q.From) && !at.After(q.To)
	}
	peaked := false
	for i := range o {
		seq := journal.Seq(i + 1)
		until, last := covered, i+1 == len(o)
		if !last {
			until = o.effective(seq + 1)
		}
		over := o.effective(seq).Before(q.From) && (until.After(q.From) || last && until.Equal(q.From))
		if !over && !inside(seq) {
			continue
		}
		if n := o.heldAt(seq); !peaked || n > u.Peak {
			u.Peak, u.PeakAt.Seq, peaked = n, seq, true
		}
	}
	for _, ev := range o {
		if inside(ev.Seq) {
			o.count(&u, &ev)
		}
	}
	o.reuses(&u, inside)
	o.longest(&u, q, covered)
	return u
}

// heldAt counts what is held at a position, blocked addresses aside.
func (o oracle) heldAt(seq journal.Seq) (n int) {
	for _, ev := range o[:seq] {
		for _, a := range ev.Addresses {
			if gives(&ev) && !ev.Blocked && (o.endOf(ev.Seq, a.IP) == 0 || o.endOf(ev.Seq, a.IP) > seq) {
				n++
			}
		}
	}
	return n
}

func gives(ev *journal.Event) bool {
	return ev.Kind == journal.KindAdd || ev.Kind == journal.KindImport
}

func (o oracle) count(u *replay.Use, ev *journal.Event) {
	why := ev.Reason
	if why == 0 && ev.Kind == journal.KindDel {
		why = journal.ReasonDel
	}
	switch ev.Kind {
	case journal.KindAdd:
		u.Adds++
	case journal.KindRefuse:
		u.Refused[ev.Code]++
	case journal.KindDel, journal.KindRelease, journal.KindReset:
		if why == journal.ReasonDel {
			u.Dels++
		}
		for _, began := range o[:ev.Seq] {
			for _, a := range began.Addresses {
				if gives(&began) && o.endOf(began.Seq, a.IP) == ev.Seq {
					u.Released[why]++
				}
			}
		}
	}
}

func (o oracle) apart(from, to journal.Seq) (time.Duration, bool) {
	a, b := o.event(from), o.event(to)
	if a.Boot == b.Boot && a.Boot != (journal.BootID{}) {
		return time.Duration(b.BootTime - a.BootTime), true
	}
	d := o.effective(to).Sub(o.effective(from))
	return d, o.synced(from) && o.synced(to) && d.Abs() > o.maxError(from)+o.maxError(to)
}

func (o oracle) synced(seq journal.Seq) bool {
	return slices.ContainsFunc(o, func(ev journal.Event) bool { return ev.Boot == o.event(seq).Boot && ev.Synchronised })
}

func (o oracle) reuses(u *replay.Use, inside func(journal.Seq) bool) {
	var lags []time.Duration
	for _, began := range o {
		for _, a := range began.Addresses {
			end := journal.Seq(0)
			if gives(&began) {
				end = o.endOf(began.Seq, a.IP)
			}
			if end == 0 {
				continue
			}
			i := slices.IndexFunc(o[end:], func(ev journal.Event) bool {
				return gives(&ev) && slices.ContainsFunc(ev.Addresses, func(b journal.Address) bool { return a.IP == b.IP })
			})
			if i < 0 || o[int(end)+i].Kind != journal.KindAdd || !inside(end+journal.Seq(i)+1) {
				continue
			}
			next := end + journal.Seq(i) + 1
			switch d, sure := o.apart(end, next); {
			case d < 0:
				u.Reuses.Negative++
			case !sure:
				u.Reuses.Uncertain++
			default:
				lags = append(lags, d)
				if s := u.Reuses.Shortest; s == nil || d < s.After || d == s.After && (next < s.Start.Seq || next == s.Start.Seq && a.IP.Less(s.IP)) {
					u.Reuses.Shortest = &replay.Reuse{IP: a.IP, End: replay.Point{Seq: end}, Start: replay.Point{Seq: next}, After: d}
				}
			}
		}
	}
	if u.Reuses.Count = uint64(len(lags)); len(lags) > 0 {
		slices.Sort(lags)
		u.Reuses.Median = lags[(len(lags)-1)/2]
	}
}

func (o oracle) longest(u *replay.Use, q replay.Asked, covered time.Time) {
	for _, ev := range o {
		for _, a := range ev.Addresses {
			if !gives(&ev) || ev.Blocked {
				continue
			}
			h := replay.Hold{IP: a.IP, Start: replay.Point{Seq: ev.Seq}}
			until := covered
			if end := o.endOf(ev.Seq, a.IP); end != 0 {
				h.End, until = &replay.Point{Seq: end}, o.effective(end)
				h.For, h.Sure = o.apart(ev.Seq, end)
			} else if q.Covered.IsZero() {
				h.For, h.Sure = o.apart(ev.Seq, journal.Seq(len(o)))
			} else {
				h.For, h.Sure = covered.Sub(o.effective(ev.Seq)), o.synced(ev.Seq)
			}
			if h.For < 0 || o.effective(ev.Seq).After(q.To) || until.Before(q.From) {
				continue
			}
			if l := u.Longest; l == nil || h.For > l.For || h.For == l.For && (h.Start.Seq < l.Start.Seq || h.Start.Seq == l.Start.Seq && h.IP.Less(l.IP)) {
				u.Longest = &h
			}
		}
	}
}

// bare leaves of points the event, and of the median what it is told to.
func bare(t *testing.T, u replay.Use, median time.Duration) replay.Use {
	t.Helper()
	u.PeakAt = replay.Point{Seq: u.PeakAt.Seq}
	if l := u.Longest; l != nil {
		h := *l
		h.Start = replay.Point{Seq: h.Start.Seq}
		if h.End != nil {
			h.End = &replay.Point{Seq: h.End.Seq}
		}
		u.Longest = &h
	}
	if s := u.Reuses.Shortest; s != nil {
		r := *s
		r.Start, r.End = replay.Point{Seq: r.Start.Seq}, replay.Point{Seq: r.End.Seq}
		u.Reuses.Shortest = &r
	}
	if got := u.Reuses.Median; got > median || got < median-median/1024-1 {
		t.Errorf("median %s, want %s", got, median)
	}
	u.Reuses.Median = median
	return u
}

func TestMeasureAgainstOracle(t *testing.T) {
	figures := map[string]int{}
	for seed := range uint64(250) {
		m := newMaker(seed)
		for range 20 + m.rnd.IntN(90) {
			m.step()
		}
		rnd := rand.New(rand.NewPCG(seed, 9))
		for i := range m.events {
			if ev := &m.events[i]; ev.Kind == journal.KindImport && rnd.IntN(2) == 0 {
				ev.Blocked = true
			}
		}
		o := oracle(m.events)
		some := func() time.Time { // an event's time, or one beside it
			return o.effective(journal.Seq(1 + rnd.IntN(len(o)))).Add(time.Duration(rnd.IntN(3) - 1))
		}
		for range 6 {
			q := replay.Asked{From: some(), To: some()}
			if rnd.IntN(2) == 0 {
				q.Covered = o.effective(journal.Seq(len(o))).Add(time.Duration(rnd.IntN(1000)) * time.Second)
			}
			if q.To.Before(q.From) {
				q.From, q.To = q.To, q.From
			}
			if rnd.IntN(5) == 0 {
				q.To = q.To.Add(time.Hour)
			}
			want := o.use(q)
			got := bare(t, measure(t, m.events, q, false), want.Reuses.Median)
			if !reflect.DeepEqual(got, want) || t.Failed() {
				t.Fatalf("seed %d, %s to %s, covered %s:\n got %+v, longest %+v\nwant %+v, longest %+v", seed, q.From, q.To, q.Covered, got, got.Longest, want, want.Longest)
			}
			note(figures, &want)
		}
	}
	for _, figure := range []string{"peak", "adds", "dels", "released", "refused", "reuses", "negative", "uncertain", "longest", "nothing"} {
		if figures[figure] < 20 {
			t.Errorf("only %d histories have %s: %v", figures[figure], figure, figures)
		}
	}
}

// note counts what the histories have.
func note(figures map[string]int, u *replay.Use) {
	has := map[string]bool{"peak": u.Peak > 1, "adds": u.Adds > 0, "dels": u.Dels > 0, "released": len(u.Released) > 0, "refused": len(u.Refused) > 0,
		"reuses": u.Reuses.Count > 2, "negative": u.Reuses.Negative > 0, "uncertain": u.Reuses.Uncertain > 0, "longest": u.Longest != nil, "nothing": u.From.IsZero()}
	for name := range maps.Keys(has) {
		if has[name] {
			figures[name]++
		}
	}
}

func TestMeasure(t *testing.T) {
	add := func(sec int64, id string, ip netip.Addr) journal.Event {
		return event(journal.KindAdd, at(sec), id, ip)
	}
	del := func(sec int64, id string, ip netip.Addr) journal.Event {
		return ended(event(journal.KindDel, at(sec), id, ip), journal.ReasonDel)
	}
	events := journalOf(add(10, "a", addrA), add(20, "b", addrB), del(30, "a", addrA), add(33, "c", addrA), del(40, "c", addrA), add(50, "d", addrA))
	window := func(from, to int64) replay.Asked {
		return replay.Asked{From: instant(from), To: instant(to), Covered: instant(100)}
	}
	tests := []struct {
		name    string
		q       replay.Asked
		peak    int
		peakAt  journal.Seq
		adds    uint64
		median  time.Duration
		count   uint64
		longest time.Duration
		wiped   bool
	}{
		{"all", window(0, 100), 2, 3, 4, 3 * time.Second, 2, 80 * time.Second, false},
		{"between two events", window(21, 22), 2, 3, 0, 0, 0, 80 * time.Second, false},
		{"one event alone", window(33, 33), 2, 5, 1, 3 * time.Second, 1, 80 * time.Second, false},
		{"after the last event", window(60, 70), 2, 7, 0, 0, 0, 80 * time.Second, false},
		{"before the first ADD", window(1, 2), 0, 1, 0, 0, 0, 0, false},
		{"wiped", window(0, 100), 2, 3, 4, 3 * time.Second, 2, 30 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := measure(t, events, tt.q, tt.wiped)
			var longest time.Duration
			if u.Longest != nil {
				longest = u.Longest.For
			}
			if off := tt.median - u.Reuses.Median; u.Peak != tt.peak || u.PeakAt.Seq != tt.peakAt || u.Adds != tt.adds || u.Reuses.Count != tt.count ||
				off < 0 || off > tt.median/1024 || longest != tt.longest {
				t.Errorf("got %+v, longest %s", u, longest)
			}
		})
	}
	if u := measure(t, events, window(200, 300), false); !u.From.IsZero() {
		t.Errorf("a window that is not covered: got %+v", u)
	}
	if u := measure(t, nil, window(0, 100), false); !u.From.IsZero() {
		t.Errorf("a journal without events: got %+v", u)
	}
}

// TestMeasureClocks: a time from one boot to another is as good as the clocks are.
func TestMeasureClocks(t *testing.T) {
	del := ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonDel)
	next := func(sec int64, change func(*journal.Clock)) journal.Event {
		c := inBoot2(at(sec))
		change(&c)
		return event(journal.KindAdd, c, "b", addrA)
	}
	none := func(*journal.Clock) {}
	tests := []struct {
		name string
		next journal.Event
		want replay.Reuses
	}{
		{"good clocks", next(30, none), replay.Reuses{Count: 1, Median: 10 * time.Second}},
		{"within their error", next(20, func(c *journal.Clock) { c.Wall += 2_000_000 }), replay.Reuses{Uncertain: 1}},
		{"just beyond it", next(20, func(c *journal.Clock) { c.Wall += 2_000_001 }), replay.Reuses{Count: 1, Median: 2_000_001}},
		{"not synchronised", next(30, func(c *journal.Clock) { c.Synchronised = false }), replay.Reuses{Uncertain: 1}},
		{"set back", next(10, none), replay.Reuses{Negative: 1}},
		{"at once, within a boot", event(journal.KindAdd, at(20), "b", addrA), replay.Reuses{Count: 1}},
		{"within a boot, whatever the wall clock says", event(journal.KindAdd, unsynced(at(25), -time.Hour), "b", addrA), replay.Reuses{Count: 1, Median: 5 * time.Second}},
		{"an import is no ADD", event(journal.KindImport, at(25), "b", addrA), replay.Reuses{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := measure(t, journalOf(event(journal.KindAdd, at(10), "a", addrA), del, tt.next), replay.Asked{From: instant(0), To: instant(1000), Covered: instant(1000)}, false)
			got := u.Reuses
			if s := got.Shortest; (s != nil) != (tt.want.Count > 0) || s != nil && s.After != tt.want.Median {
				t.Errorf("shortest %+v, want %s", s, tt.want.Median)
			}
			if got.Shortest = nil; got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	back := journalOf(event(journal.KindAdd, at(10), "a", addrA), ended(event(journal.KindRelease, inBoot2(at(5)), "a", addrA), journal.ReasonReboot))
	if u := measure(t, back, replay.Asked{From: instant(0), To: instant(1000), Covered: instant(1000)}, false); u.Longest != nil {
		t.Errorf("a lease that ended before it began is held longest, for %s", u.Longest.For)
	}
}

// TestMeasureDamage: what can't have happened is damage, and then no figure is known.
func TestMeasureDamage(t *testing.T) {
	twice := journalOf(event(journal.KindAdd, at(1), "a", addrA), event(journal.KindAdd, at(2), "b", addrA))
	never := journalOf(event(journal.KindDel, at(1), "a", addrA))
	newer := journalOf(event(journal.Kind(40), at(1), ""))
	broken := errors.New("input/output error")
	for _, tt := range []struct {
		name   string
		events []journal.Event
		err    error
		damage bool
		is     error
	}{
		{"given twice", twice, nil, true, nil}, {"released and never given", never, nil, true, nil},
		{"of a newer version", newer, nil, false, journal.ErrNewer}, {"the file system's", journalOf(), broken, false, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var clocks replay.Clocks
			for i := range tt.events {
				clocks.Add(&tt.events[i])
			}
			u, err := replay.MeasureRecords(records(tt.events, tt.err), &clocks, replay.Asked{From: instant(0), To: instant(9)}, false)
			_, damage := errors.AsType[*journal.CorruptionError](err)
			if err == nil || damage != tt.damage || tt.is != nil && !errors.Is(err, tt.is) || !reflect.DeepEqual(u, replay.Use{}) {
				t.Errorf("got %+v, %v", u, err)
			}
		})
	}
}
