package replay_test

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

var sweepSeed = flag.Uint64("sweepseed", 0, "seed of the first history that is swept; 0 is the usual ones")

// sweptHistory is a random history with configurations and ranges that come with calls.
func sweptHistory(seed uint64, steps int) []journal.Event {
	m := newMaker(seed)
	m.calm = int(seed%3) * 8
	subnet := netip.MustParsePrefix("10.0.0.0/24")
	config := journal.Seq(0)
	for range steps {
		n := len(m.events)
		switch m.rnd.IntN(30) {
		case 0:
			m.tick()
			last := byte(2 + m.rnd.IntN(4))
			m.add(journal.Event{Kind: journal.KindConfig, Digest: journal.Hash{last}, Ranges: [][]journal.Range{{{Subnet: subnet,
				Start: netip.AddrFrom4([4]byte{10, 0, 0, 1}), End: netip.AddrFrom4([4]byte{10, 0, 0, last}),
				Gateway: netip.AddrFrom4([4]byte{10, 0, 0, 1})}}}})
			config = journal.Seq(len(m.events))
		default:
			m.step()
		}
		if len(m.events) == n {
			continue
		}
		if ev := &m.events[n]; ev.Kind == journal.KindAdd {
			ev.Config = config
			if m.rnd.IntN(40) == 0 {
				own := netip.AddrFrom4([4]byte{10, 0, 1, byte(m.rnd.IntN(6))})
				ev.Ranges = [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.0.1.0/24"), Start: own, End: own}}}
			}
		}
		if ev := &m.events[n]; m.rnd.IntN(60) == 0 && ev.Kind == journal.KindImport {
			ev.Attributes = []journal.Attribute{{Key: journal.AttributeDoubt, Value: "doubtful"}}
		}
	}
	if seed%4 == 1 { // clocks that are exact: then an answer may be another one a nanosecond behind an event
		for i := range m.events {
			m.events[i].MaxError = 0
		}
	}
	return m.events
}

// sweptQuestions asks about all addresses at and around every time that an event has by some clock.
func sweptQuestions(h *replay.History, events []journal.Event, rnd *rand.Rand, n int) []replay.Question {
	var times []int64
	for i := range events {
		p := h.Clocks.Point(events[i].Seq, events[i].Clock)
		for _, t := range []time.Time{p.Time, p.Effective} {
			for _, e := range []time.Duration{0, p.MaxError} {
				for _, d := range []int64{-1, 0, 1} {
					times = append(times, t.UnixNano()-int64(e)+d, t.UnixNano()+int64(e)+d)
				}
			}
		}
	}
	slices.Sort(times)
	first, last := times[0]-int64(time.Minute), times[len(times)-1]+int64(time.Minute)
	questions := make([]replay.Question, n)
	for i := range questions {
		q := &questions[i]
		q.IP = netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(2)), byte(rnd.IntN(7))})
		if q.At = times[rnd.IntN(len(times))]; rnd.IntN(5) == 0 {
			q.At = first + rnd.Int64N(last-first)
		}
	}
	return questions
}

// sweptText is what of an answer has to agree.
func sweptText(a *replay.Holding) string {
	s := fmt.Sprint(a.State, a.Certainty)
	for i := range a.Holders {
		h := &a.Holders[i]
		until := "held"
		if h.End != nil {
			until = h.End.Effective.String()
		}
		s += fmt.Sprintf(" [%s %d until %s, unsure %t, partly %t, pod %v, netns %v, doubtful %v]", h.Lease.ContainerID, h.Start.Seq, until, h.Unsure, h.Partly,
			h.Lease.Pod, h.Lease.NetNS, h.Doubtful)
	}
	for _, d := range a.Doubts {
		if strings.Contains(d, "a clock stood still or was set back") {
			s += " " + d // names who held it
		}
	}
	return s
}

func sweepOf(t *testing.T, events []journal.Event, o replay.SweepOptions) *replay.Sweep {
	t.Helper()
	o.Records = func() iter.Seq2[journal.Record, error] { return records(events, nil) }
	s, err := replay.NewSweep(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestSweepAgainstWho: a sweep says what History.Who says, whatever the clocks did and in whatever order it is asked.
func TestSweepAgainstWho(t *testing.T) {
	seeds := 32
	if *sweepSeed != 0 {
		seeds = 1
	}
	late, asked := 0, 0
	for i := range seeds {
		seed := uint64(i + 1)
		if *sweepSeed != 0 {
			seed = *sweepSeed
		}
		events := sweptHistory(seed, 150)
		rnd := rand.New(rand.NewPCG(seed, 2))
		o := replay.SweepOptions{Wiped: rnd.IntN(4) == 0, Window: time.Duration(rnd.IntN(600)) * time.Second}
		few := rnd.IntN(2) == 1
		h := read(t, events, replay.Options{Wiped: o.Wiped})
		if rnd.IntN(2) == 0 {
			o.Covered = h.Last.Effective.Add(time.Duration(rnd.IntN(100)) * time.Second)
		}
		questions := sweptQuestions(h, events, rnd, 500)
		check := func(q *replay.Question, how string) {
			at := time.Unix(0, q.At).UTC()
			want := h.Who(q.IP, replay.Asked{From: at, To: at, Covered: o.Covered})
			if got, want := sweptText(q.Holding), sweptText(&want); got != want {
				t.Fatalf("seed %d, %s, %s at %s:\n got %s %q\nwant %s %q", seed, how, q.IP, at, got, q.Holding.Doubts, want, h.Who(q.IP, replay.Asked{From: at, To: at, Covered: o.Covered}).Doubts)
			}
		}
		s := sweepOf(t, events, o)
		if !s.Plain() {
			t.Fatalf("seed %d: not plain", seed)
		}
		s.ReadAhead(1 + rnd.IntN(4))
		if few {
			s.KeepEnded(3)
		}
		slices.SortFunc(questions, func(a, b replay.Question) int {
			return int((a.At - b.At + rnd.Int64N(int64(o.Window)*2+1) - int64(o.Window)) / int64(time.Second))
		})
		if rnd.IntN(2) == 0 { // what lies far before the first one is passed over
			questions = questions[len(questions)/4*3:]
		}
		var rest []replay.Question
		for j := range questions {
			q := &questions[j]
			var err error
			if q.Holding, err = s.Who(q.IP, q.At); err != nil {
				t.Fatal(err)
			}
			asked++
			if q.Holding == nil {
				late++
				rest = append(rest, *q)
				continue
			}
			check(q, "on the way")
		}
		rnd.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		if err := s.Settle(rest); err != nil {
			t.Fatal(err)
		}
		for j := range rest {
			check(&rest[j], "late")
		}
	}
	t.Logf("%d of %d were late", late, asked)
}

// TestSweepOfLostEvents: what begins behind its first event, or ends at damage, is answered from whole histories.
func TestSweepOfLostEvents(t *testing.T) {
	events := sweptHistory(7, 120)
	damage := &journal.CorruptionError{File: "journal/00000000000000000001", Seq: 80, Cause: errors.New("bad")}
	tests := []struct {
		name    string
		records func() iter.Seq2[journal.Record, error]
	}{
		{"pruned", func() iter.Seq2[journal.Record, error] { return records(events[40:], nil) }},
		{"damaged", func() iter.Seq2[journal.Record, error] { return records(events[:79], damage) }},
		{"impossible", func() iter.Seq2[journal.Record, error] {
			return records(append(events[:60:60], events[61:]...), nil)
		}},
		{"empty", func() iter.Seq2[journal.Record, error] { return records(nil, nil) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := replay.NewSweep(replay.SweepOptions{Records: tt.records})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			h, err := replay.Read(tt.records(), replay.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s.Plain() {
				t.Error("it is called plain")
			}
			questions := sweptQuestions(h, events, rand.New(rand.NewPCG(7, 7)), 300)
			if a, err := s.Who(questions[0].IP, questions[0].At); a != nil || err != nil {
				t.Errorf("Who = %v, %v, want it to be late", a, err)
			}
			if err := s.Settle(questions); err != nil {
				t.Fatal(err)
			}
			for i := range questions {
				q := &questions[i]
				at := time.Unix(0, q.At).UTC()
				want := h.Who(q.IP, replay.Asked{From: at, To: at})
				if got, want := sweptText(q.Holding), sweptText(&want); got != want {
					t.Fatalf("%s at %s:\n got %s\nwant %s", q.IP, at, got, want)
				}
			}
		})
	}
}

// TestSweepFails: an error of reading is one of the sweep, whenever it comes.
func TestSweepFails(t *testing.T) {
	events := sweptHistory(7, 120)
	broken := errors.New("disk")
	if _, err := replay.NewSweep(replay.SweepOptions{Records: func() iter.Seq2[journal.Record, error] {
		return records(events[:50], broken)
	}}); !errors.Is(err, broken) {
		t.Errorf("NewSweep = %v, want %v", err, broken)
	}
	var fails bool
	s, err := replay.NewSweep(replay.SweepOptions{Records: func() iter.Seq2[journal.Record, error] {
		if fails {
			return records(events[:50], broken)
		}
		return records(events, nil)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fails = true
	if _, err := s.Who(netip.MustParseAddr("10.0.0.1"), s.LastPoint().Effective.UnixNano()+int64(1e12)); !errors.Is(err, broken) {
		t.Errorf("Who = %v, want %v", err, broken)
	}
	if err := s.Settle([]replay.Question{{IP: netip.MustParseAddr("10.0.0.1"), At: s.LastPoint().Effective.UnixNano()}}); !errors.Is(err, broken) {
		t.Errorf("Settle = %v, want %v", err, broken)
	}
}

// TestSweepKeepsLittle: in an ordinary history questions in order are answered on the way, and the answers are shared.
func TestSweepKeepsLittle(t *testing.T) {
	var events []journal.Event
	add := func(ev journal.Event, sec int) {
		ev.Seq, ev.Clock = journal.Seq(len(events)+1), at(int64(sec))
		events = append(events, ev)
	}
	ip := netip.MustParseAddr("10.0.0.2")
	add(journal.Event{Kind: journal.KindGenesis}, 0)
	for i := range 1000 {
		add(event(journal.KindAdd, journal.Clock{}, fmt.Sprint("c", i), ip), 10+20*i)
		add(ended(event(journal.KindDel, journal.Clock{}, fmt.Sprint("c", i), ip), journal.ReasonDel), 20+20*i)
	}
	s := sweepOf(t, events, replay.SweepOptions{Window: time.Minute})
	seen := map[*replay.Holding]int{}
	for sec := 12; sec < 20000; sec++ {
		a, err := s.Who(ip, instant(int64(sec)).UnixNano()+5e8)
		if err != nil || a == nil {
			t.Fatalf("second %d: %v, %v", sec, a, err)
		}
		if a.Shared() {
			seen[a]++
		}
	}
	if most := 1000 + 2; len(seen) > most || len(seen) < 1000 {
		t.Errorf("%d answers are shared, want one for each lease and for what was between", len(seen))
	}
	for a, n := range seen {
		if a.State == replay.StateHeld && n < 8 {
			t.Errorf("an answer about %s was given %d times", a.Holders[0].Lease.ContainerID, n)
		}
	}
}

// TestSweepOutside: an instant that one stretch of events means alone may still lie outside of what is covered, and then
// nothing that is kept for instants within may be said of it.
func TestSweepOutside(t *testing.T) {
	ip := netip.MustParseAddr("10.0.0.2")
	tests := []struct {
		name   string
		events []journal.Event
		asked  []int64
	}{
		{"after it, before a clock was set back", journalOf(
			event(journal.KindAdd, at(10), "c1", ip),
			ended(event(journal.KindDel, at(200), "c1", ip), journal.ReasonDel),
			event(journal.KindRefuse, inBoot2(at(20)), "c2"),
			event(journal.KindRefuse, inBoot2(at(40)), "c3"),
		), []int64{15, 150, 16, 250, 30, -10}},
		{"before it, after a clock was set back", begunAt(at(100), journalOf(
			event(journal.KindRefuse, at(110), "c1"),
			event(journal.KindAdd, inBoot2(at(60)), "c2", ip),
			ended(event(journal.KindDel, inBoot2(at(150)), "c2", ip), journal.ReasonDel),
			event(journal.KindRefuse, inBoot2(at(160)), "c3"),
		)), []int64{120, 70, 121, 71, 10, 155}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { testOutside(t, ip, tt.events, tt.asked) })
	}
}

// begunAt gives the first event another clock.
func begunAt(c journal.Clock, events []journal.Event) []journal.Event {
	events[0].Clock = c
	return events
}

func testOutside(t *testing.T, ip netip.Addr, events []journal.Event, asked []int64) {
	t.Helper()
	s := sweepOf(t, events, replay.SweepOptions{Window: time.Hour})
	h := read(t, events, replay.Options{})
	for _, sec := range asked {
		a, err := s.Who(ip, instant(sec).UnixNano())
		if err != nil || a == nil {
			t.Fatalf("second %d: %v, %v", sec, a, err)
		}
		want := h.Who(ip, replay.Asked{From: instant(sec), To: instant(sec)})
		if got, want := sweptText(a), sweptText(&want); got != want {
			t.Errorf("second %d:\n got %s\nwant %s", sec, got, want)
		}
	}
}

// TestSweepPassesOver: a lease that ended before the first instant asked about by the effective clock is not passed over if
// it may be meant by the recorded one.
func TestSweepPassesOver(t *testing.T) {
	ip := netip.MustParseAddr("10.0.0.2")
	ahead := func(sec int64) journal.Clock {
		c := at(sec)
		c.Wall += int64(900 * time.Second)
		return c
	}
	events := journalOf(
		event(journal.KindAdd, ahead(10), "c1", ip),
		ended(event(journal.KindDel, ahead(20), "c1", ip), journal.ReasonDel),
		event(journal.KindRefuse, at(30), "c2"),
		event(journal.KindRefuse, at(1000), "c3"),
	)
	s := sweepOf(t, events, replay.SweepOptions{})
	a, err := s.Who(ip, instant(915).UnixNano())
	if err != nil || a == nil {
		t.Fatalf("%v, %v", a, err)
	}
	want := read(t, events, replay.Options{}).Who(ip, replay.Asked{From: instant(915), To: instant(915)})
	if got, want := sweptText(a), sweptText(&want); got != want || len(a.Holders) != 1 {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
