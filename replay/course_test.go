package replay_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// TestCourse compares, for random histories with clocks set back, boots, imports, losses and damage, what a course says with what
// At and Who say, at all instants around the events' times.
func TestCourse(t *testing.T) {
	plain, all := 0, 0
	for seed := range uint64(60) {
		m := newMaker(seed)
		m.calm = int(seed % 4 * 3)
		for range 60 {
			m.step()
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := courseHistory(t, m, seed)
			for _, covered := range []time.Time{{}, h.Last.Effective.Add(time.Hour)} {
				plain += compareCourse(t, h, covered, m.rnd)
				all += len(h.Intervals)
			}
		})
	}
	if plain < all/20 || plain > all*19/20 {
		t.Errorf("%d of %d intervals are plain: one of the two ways is hardly tried", plain, all)
	}
}

// TestCourseOfSlowClock: by the clock as it was recorded the journal ends before the lease began by the other one. In between it was
// held by neither.
func TestCourseOfSlowClock(t *testing.T) {
	h := read(t, journalOf(event(journal.KindAdd, unsynced(at(80), -70*time.Second), "a", addrA),
		event(journal.KindRefuse, unsynced(at(81), -70*time.Second), "x")), replay.Options{})
	for _, covered := range []time.Time{{}, instant(90)} {
		compareCourse(t, h, covered, rand.New(rand.NewPCG(1, 1)))
	}
}

// TestCourseBeforeFirst: the first events are lost, and a snapshot tells of leases that they gave one after the other. None of them was
// held before it began.
func TestCourseBeforeFirst(t *testing.T) {
	events := journalOf(event(journal.KindAdd, at(10), "a", addrA), event(journal.KindAdd, at(50), "b", addrB), event(journal.KindRefuse, at(90), "x"),
		ended(event(journal.KindDel, at(95), "a", addrA), journal.ReasonDel))
	compareCourse(t, readLosing(t, events, []journal.Seq{1, 2, 3}, []journal.Seq{3}), time.Time{}, rand.New(rand.NewPCG(1, 1)))
}

// courseHistory reads the events, of which some are lost for some seeds, with ranges that change.
func courseHistory(t *testing.T, m *maker, seed uint64) *replay.History {
	t.Helper()
	events := courseRanges(m, seed)
	pieces := func(yield func(journal.Piece, error) bool) {
		for i, ev := range events {
			if seed%5 == 3 && i == 45 { // reading stops
				yield(journal.Piece{}, &journal.CorruptionError{File: "journal/00000000000000000001", Seq: ev.Seq})
				return
			}
			if seed%5 == 4 && i > 20 && i < 26 {
				if i == 21 && !yield(journal.Piece{Loss: &journal.Loss{First: ev.Seq, Last: ev.Seq + 4, Cause: fmt.Errorf("torn"), Offset: -1}}, nil) {
					return
				}
				continue
			}
			if !yield(journal.Piece{Record: journal.Record{Event: ev, File: "journal/00000000000000000001"}}, nil) {
				return
			}
		}
	}
	h, err := replay.ReadPieces(pieces, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// courseRanges gives ADDs of the history ranges that change.
func courseRanges(m *maker, seed uint64) []journal.Event {
	events := slices.Clone(m.events)
	if seed%4 == 1 { // events of a parent are lost, until the next boot or reset
		events[0].Attributes = []journal.Attribute{{Key: journal.AttributeLost, Value: "2"}}
	}
	for i := range events {
		ev := &events[i]
		if ev.Kind == journal.KindImport && seed%2 == 0 {
			ev.Claimed = ev.Wall - int64(i%90)*int64(time.Second)
		}
		if ev.Kind != journal.KindAdd || seed%3 == 0 && i%7 == 0 {
			continue
		}
		for _, a := range ev.Addresses {
			b := a.IP.As4()
			r := journal.Range{Start: netip.AddrFrom4([4]byte{10, 0, b[2], 1}), End: netip.AddrFrom4([4]byte{10, 0, b[2], byte(4 + i%3)}),
				Gateway: netip.AddrFrom4([4]byte{10, 0, b[2], byte(5 + i%2)})}
			ev.Ranges = append(ev.Ranges, []journal.Range{r})
		}
	}
	return events
}

// compareCourse returns how many intervals were plain.
func compareCourse(t *testing.T, h *replay.History, covered time.Time, rnd *rand.Rand) (plain int) {
	t.Helper()
	c := h.Course(covered)
	windows := make([][]replay.Window, len(h.Intervals))
	for i := range h.Intervals {
		var usual bool
		if windows[i], usual = c.Windows(nil, i); usual {
			plain++
			if want := c.PlainWindows(nil, &h.Intervals[i]); !slices.Equal(windows[i], want) {
				t.Fatalf("interval %d is plain, but has %v, not %v", i, windows[i], want)
			}
		}
	}
	for _, at := range courseInstants(h, covered, rnd) {
		when := time.Unix(0, at).UTC()
		q := replay.Asked{From: when, To: when, Covered: covered}
		table := h.At(q)
		got, steps := courseTable(h, windows, at, rowAt(c.Rows, at))
		if want := tableText(&table, outsideCourse(h, q)); got != want {
			t.Fatalf("at %s (covered %s): the table is\n%s\nby its course, and\n%s", when.Format(time.RFC3339Nano), covered, got, want)
		}
		row := rowAt(c.Rows, at)
		if doubts := slices.Concat(row.Doubts, steps); !slices.Equal(doubts, table.Doubts) {
			t.Fatalf("at %s: the table's doubts are %q by its course, and %q", when.Format(time.RFC3339Nano), doubts, table.Doubts)
		}
		if len(table.Leases) == 0 && (row.Certainty != table.Certainty || row.Open != table.Open) {
			t.Fatalf("at %s: table %v open %v, not %v %v", when.Format(time.RFC3339Nano), row.Certainty, row.Open, table.Certainty, table.Open)
		}
		for last := range 10 {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(last % 3), byte(last)})
			a := h.Of(ip).Who(ip, q)
			if len(a.Holders) > 0 {
				continue
			}
			got, want := unheldText(c, ip, at), fmt.Sprint(a.State, a.Certainty == replay.Certain)
			if a.Certainty == replay.Unknown {
				want = fmt.Sprint(replay.StateUnknown, false)
			}
			if got != want {
				t.Fatalf("at %s: %s is %s by its course, and %s %q", when.Format(time.RFC3339Nano), ip, got, want, a.Doubts)
			}
			row := rowOf(c, ip, at)
			doubts := row.Unknown
			if a.Certainty != replay.Unknown { // else the ranges in force may say why, and nobody asks what the address may be
				doubts = slices.Concat(doubts, row.Maybe)
			}
			for _, text := range doubts {
				if !slices.Contains(a.Doubts, text) {
					t.Fatalf("at %s: of %s its course says %q, and Who says %q", when.Format(time.RFC3339Nano), ip, text, a.Doubts)
				}
			}
		}
	}
	return plain
}

// courseInstants returns those around the times of all events, by both clocks.
func courseInstants(h *replay.History, covered time.Time, rnd *rand.Rand) []int64 {
	all := []int64{math.MinInt64 / 2, math.MaxInt64 / 2, h.First.Effective.UnixNano() - 1, covered.UnixNano(), covered.UnixNano() + 1}
	add := func(p *replay.Point) {
		for _, at := range []int64{p.Effective.UnixNano(), p.Time.UnixNano(), p.Effective.UnixNano() - int64(p.MaxError), p.Effective.UnixNano() + int64(p.MaxError)} {
			all = append(all, at-1, at, at+1, at+rnd.Int64N(100e9))
		}
	}
	for i := range h.Intervals {
		iv := &h.Intervals[i]
		add(&iv.Start)
		if iv.End != nil {
			add(&iv.End.Point)
		}
		if iv.Doubtful != nil {
			add(iv.Doubtful)
		}
	}
	add(&h.First)
	add(&h.Last)
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), 250)]
}

// courseTable is the lease table by windows, with what is said of each lease; and the clock steps that are named with it.
func courseTable(h *replay.History, windows [][]replay.Window, at int64, row *replay.Row) (text string, steps []string) {
	type held struct {
		*replay.Interval
		replay.Window
	}
	var all []held
	for i := range h.Intervals {
		for _, w := range windows[i] {
			if w.From <= at && at < w.To {
				all = append(all, held{&h.Intervals[i], w})
			}
		}
	}
	slices.SortFunc(all, func(x, y held) int {
		return cmp.Or(x.Lease.IP.Compare(y.Lease.IP), cmp.Compare(x.Start.Seq, y.Start.Seq))
	})
	for i, l := range all {
		several := i > 0 && all[i-1].Lease.IP == l.Lease.IP || i+1 < len(all) && all[i+1].Lease.IP == l.Lease.IP
		doubts, use := h.Then(l.Interval)
		if use >= 0 && !l.Use {
			doubts = slices.Delete(slices.Clone(doubts), use, use+1)
		}
		text += fmt.Sprintf("%s %d %v %v %q\n", l.Lease.IP, l.Start.Seq, l.Unsure || several, l.Partly || several, doubts)
	}
	for _, step := range h.Clocks.Steps()[:row.Steps] {
		if slices.ContainsFunc(all, func(l held) bool { return l.Start.Seq <= step.Seq }) {
			steps = append(steps, fmt.Sprintf("the clock was set by %s before event %d", step.By, step.Seq))
		}
	}
	return text, steps
}

// outsideCourse reports whether the journal doesn't cover the time: then no lease is sure.
func outsideCourse(h *replay.History, q replay.Asked) bool {
	covered := q.Covered
	if covered.IsZero() || h.Stopped != nil {
		covered = h.Last.Effective
	}
	return q.From.Before(h.First.Effective) || q.From.After(covered)
}

func tableText(t *replay.Table, outside bool) string {
	text := ""
	for _, l := range t.Leases {
		text += fmt.Sprintf("%s %d %v %v %q\n", l.Lease.IP, l.Start.Seq, l.Unsure || outside, l.Partly, l.Doubts)
	}
	return text
}

func rowAt(rows []replay.Row, at int64) *replay.Row {
	i, found := slices.BinarySearchFunc(rows, at, func(r replay.Row, at int64) int {
		if r.From < at {
			return -1
		} else if r.From > at {
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return &rows[i]
}

// rowOf returns what the course tells of an address that nobody holds.
func rowOf(c *replay.Course, ip netip.Addr, at int64) *replay.Row {
	rows := c.Rows
	if own, ok := c.Own[ip]; ok {
		rows = own
	}
	r := rowAt(rows, at)
	if r.General {
		r = rowAt(c.Rows, at)
	}
	return r
}

// unheldText says what the course tells of an address that nobody holds, as docs/FORMAT.md says.
func unheldText(c *replay.Course, ip netip.Addr, at int64) string {
	r := rowOf(c, ip, at)
	if len(r.Unknown) > 0 {
		return fmt.Sprint(replay.StateUnknown, false)
	}
	state := func(i int) replay.State {
		if i < 0 {
			return replay.StateUnknown
		}
		return c.Changes[i].State(ip)
	}
	var states []replay.State
	for _, i := range r.Candidates {
		if state(i) == replay.StateUnknown {
			return fmt.Sprint(replay.StateUnknown, false)
		}
		states = append(states, state(i))
	}
	sure := len(r.Maybe) == 0
	for _, i := range r.Possible {
		if state(i) == replay.StateUnknown {
			sure = false
			continue
		}
		states = append(states, state(i))
	}
	if len(states) == 0 {
		return fmt.Sprint(replay.StateUnknown, false)
	}
	for _, s := range states {
		sure = sure && s == states[0]
	}
	return fmt.Sprint(states[0], sure)
}
