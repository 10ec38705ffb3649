package replay_test

import (
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
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

// said is what of an answer has to agree.
func said(a *replay.Holding) string {
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
	seeds := 40
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
		o := replay.SweepOptions{Wiped: rnd.IntN(4) == 0, Window: time.Duration(rnd.IntN(600)) * time.Second, Kept: []int{0, 3}[rnd.IntN(2)]}
		h := read(t, events, replay.Options{Wiped: o.Wiped})
		if rnd.IntN(2) == 0 {
			o.Covered = h.Last.Effective.Add(time.Duration(rnd.IntN(100)) * time.Second)
		}
		questions := sweptQuestions(h, events, rnd, 500)
		check := func(q *replay.Question, how string) {
			at := time.Unix(0, q.At).UTC()
			want := h.Who(q.IP, replay.Asked{From: at, To: at, Covered: o.Covered})
			if got, want := said(q.Holding), said(&want); got != want {
				t.Fatalf("seed %d, %s, %s at %s:\n got %s %q\nwant %s %q", seed, how, q.IP, at, got, q.Holding.Doubts, want, h.Who(q.IP, replay.Asked{From: at, To: at, Covered: o.Covered}).Doubts)
			}
		}
		s := sweepOf(t, events, o)
		if !s.Plain() {
			t.Fatalf("seed %d: not plain", seed)
		}
		slices.SortFunc(questions, func(a, b replay.Question) int {
			return int((a.At - b.At + rnd.Int64N(int64(o.Window)*2+1) - int64(o.Window)) / int64(time.Second))
		})
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
