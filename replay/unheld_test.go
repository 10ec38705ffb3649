package replay_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// unheldHistory returns a random history, with gaps for some seeds, as it is read in whole and as it is read for one question.
func unheldHistory(t *testing.T, seed uint64) (events []journal.Event, whole *replay.History, of func(replay.Asked) *replay.History) {
	t.Helper()
	events = sweptHistory(seed, 120)
	rnd := rand.New(rand.NewPCG(seed, 3))
	var lost []journal.Seq
	if seed%3 == 0 {
		for range 1 + rnd.IntN(3) {
			lost = append(lost, journal.Seq(2+rnd.IntN(len(events)-2)))
		}
	}
	readOf := func(o replay.Options) *replay.History {
		h, err := replay.ReadPieces(without(events, lost...), o)
		if err != nil || h.Stopped != nil {
			t.Fatal(err, h.Stopped)
		}
		return h
	}
	whole = readOf(replay.Options{})
	return events, whole, func(q replay.Asked) *replay.History {
		return readOf(replay.Options{Clocks: &whole.Clocks, Asked: []replay.Asked{q}, Unheld: true})
	}
}

// TestUnheld: of every address that a table has no lease of, Unheld says what Who says, whatever was read for the question alone.
func TestUnheld(t *testing.T) {
	states := map[string]int{}
	for seed := range uint64(12) {
		events, whole, of := unheldHistory(t, seed)
		rnd := rand.New(rand.NewPCG(seed, 4))
		for _, question := range sweptQuestions(whole, events, rnd, 25) {
			at := time.Unix(0, question.At).UTC()
			q := replay.Asked{From: at, To: at, Covered: whole.Last.Effective.Add(time.Duration(rnd.IntN(2)) * time.Minute)}
			if q.Now = rnd.IntN(10) == 0; rnd.IntN(3) == 0 {
				q.Covered = time.Time{}
			}
			h := of(q)
			held := map[netip.Addr]bool{}
			table := h.At(q)
			for i := range table.Leases {
				held[table.Leases[i].Lease.IP] = true
			}
			claimed := h.Claimed()
			unheld := h.Unheld(q, whole.Select(func(l *state.Lease) bool { return slices.Contains(claimed, l.IP) }))
			var until netip.Addr
			for _, subnet := range []string{"10.0.0.0", "10.0.1.0"} {
				var was *replay.Holding
				ip := netip.MustParseAddr(subnet)
				for range 12 {
					if !held[ip] {
						want := whole.Who(ip, q)
						if was, until = unheld.At(ip); was.State != want.State || was.Certainty != want.Certainty {
							t.Fatalf("seed %d, %s at %s (now: %t): got %s %q, want %s %q", seed, ip, at, q.Now, inOneLine(was), was.Doubts, inOneLine(&want), want.Doubts)
						}
						if until.Less(ip) {
							t.Fatalf("seed %d: the answer about %s is that of all up to %s", seed, ip, until)
						}
						for range rnd.IntN(4) {
							next := netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(2)), byte(rnd.IntN(12))})
							if next.Less(ip) || until.Less(next) {
								continue
							}
							if want := whole.Who(next, q); !held[next] && (was.State != want.State || was.Certainty != want.Certainty) {
								t.Fatalf("seed %d, %s at %s, by the answer about %s: got %s, want %s", seed, next, at, ip, inOneLine(was), inOneLine(&want))
							}
						}
						states[fmt.Sprint(was.State, " ", was.Certainty)]++
					}
					ip = ip.Next()
				}
			}
		}
	}
	for _, want := range []string{"free certain", "not ours certain", "not ours uncertain", "gateway certain", "unknown unknown"} {
		if states[want] == 0 {
			t.Errorf("no answer is %s: %v", want, states)
		}
	}
}

// TestStretches: at the beginning, at the end and within each stretch an address was what Who says.
func TestStretches(t *testing.T) {
	n := 0
	for seed := range uint64(12) {
		events, whole, _ := unheldHistory(t, seed)
		rnd := rand.New(rand.NewPCG(seed, 5))
		var times []int64
		for _, q := range sweptQuestions(whole, events, rnd, 100) {
			times = append(times, q.At)
		}
		slices.Sort(times)
		covered := []time.Time{{}, whole.Last.Effective.Add(time.Minute)}[seed%2]
		for host := range byte(6) {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(seed % 2), host})
			first, last := time.Unix(0, times[0]), time.Unix(0, times[len(times)-1])
			all := whole.Stretches(ip, first, last, covered)
			if !all[0].From.Equal(first) || !all[len(all)-1].To.Equal(last.Add(1)) {
				t.Fatalf("seed %d: from %s to %s: got %s to %s", seed, first, last, all[0].From, all[len(all)-1].To)
			}
			for i := range all {
				s := &all[i]
				if i > 0 && (!s.From.Equal(all[i-1].To)) {
					t.Fatalf("seed %d, %s: from %s after to %s", seed, ip, s.From, all[i-1].To)
				}
				instants := []time.Time{s.From, s.To.Add(-1), s.From.Add(s.To.Sub(s.From) / 2)}
				for _, ns := range times {
					if at := time.Unix(0, ns); !at.Before(s.From) && at.Before(s.To) {
						instants = append(instants, at)
					}
				}
				for _, at := range instants {
					n++
					want := whole.Who(ip, replay.Asked{From: at, To: at, Covered: covered})
					if got, want := inOneLine(&s.Holding), inOneLine(&want); got != want {
						t.Fatalf("seed %d, %s at %s of %s to %s: got %s, want %s", seed, ip, at, s.From, s.To, got, want)
					}
				}
				if s.Exact.Certainty > s.Certainty {
					t.Fatalf("seed %d, %s at %s: %s if clocks were exact, and %s", seed, ip, s.From, s.Exact.Certainty, s.Certainty)
				}
			}
		}
	}
	t.Logf("%d instants", n)
}

// TestStretchesOfPrunes: at each instant the doubts are those of Who, which names the prune that removed the events of that time.
func TestStretchesOfPrunes(t *testing.T) {
	var events []journal.Event
	for i := range 60 {
		events = append(events, gave(at(60*int64(i+1)), fmt.Sprint("c", i), netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})))
	}
	const early, last = 15, 40 // of the first prune and of the second one
	pruned := &journal.Pruning{Earlier: &journal.Earlier{}}
	records := journalOf(append([]journal.Event{config()}, events...)...)
	prune := func(to journal.Seq) journal.Event {
		n := len(records)
		said := journal.Event{Seq: journal.Seq(n) + 1, Clock: records[n-1].Clock, Kind: journal.KindPrune, Text: fmt.Sprint("up to ", to)}
		pruned.Pruned = journal.Pruned{First: 2, Last: to, FirstWall: records[1].Wall, LastWall: records[to-1].Wall}
		said.SetPruned(&pruned.Pruned)
		return said
	}
	pruned.Before, pruned.Tombstone = []journal.Event{prune(early)}, prune(last)
	for i := 1; i < last; i++ {
		pruned.Earlier.Add(&records[i])
	}
	h, err := replay.ReadPieces(func(yield func(journal.Piece, error) bool) {
		for i, ev := range records {
			p := journal.Piece{Record: journal.Record{Event: ev, File: "journal/00000000000000000001"}}
			if i == 1 {
				p = journal.Piece{Loss: &journal.Loss{First: 2, Last: last, Cause: pruned}}
			}
			if i == 0 || i == 1 || i >= last {
				if !yield(p, nil) {
					return
				}
			}
		}
	}, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	ip := netip.MustParseAddr("10.0.0.200")
	for _, s := range h.Stretches(ip, h.First.Time, h.Last.Time, time.Time{}) {
		for i := range 20 {
			at := s.From.Add(s.To.Sub(s.From) * time.Duration(i) / 20)
			want := h.Who(ip, replay.Asked{From: at, To: at})
			if !slices.Equal(s.Doubts, want.Doubts) {
				t.Fatalf("at %s of %s to %s: got %q, want %q", at, s.From, s.To, s.Doubts, want.Doubts)
			}
			told[fmt.Sprint(want.Doubts)] = true
		}
	}
	if len(told) < 3 {
		t.Errorf("told: %v", told)
	}
}

// TestStretchesExact: that clocks are not exact makes the moments around an event uncertain, and no more.
func TestStretchesExact(t *testing.T) {
	h := read(t, journalOf(config(), gave(at(5), "x", addrB), gave(at(10), "a", addrA), ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonGC)), replay.Options{})
	var got []string
	for _, s := range h.Stretches(addrA, instant(6), instant(20), instant(100)) {
		got = append(got, fmt.Sprintf("%s %s, exactly %s %s", s.From.Format("05.000"), inOneLine(&s.Holding), s.Exact.State, s.Exact.Certainty))
	}
	want := []string{
		"26.000 free [] certain, exactly free certain", "29.999 held [a?] uncertain, exactly free certain", "30.000 held [a?] uncertain, exactly held certain",
		"30.000 held [a?] uncertain, exactly held uncertain", "30.001 held [a?] uncertain, exactly held uncertain",
		"39.999 held [a?] uncertain, exactly held uncertain", "40.000 held [a?] uncertain, exactly free certain",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUnheldOfPart: where a table is read in part, what nobody held is told by a reading of the addresses alone whose imports may tell of it, and
// is what Who says.
func TestUnheldOfPart(t *testing.T) {
	parts, claims := 0, 0
	for seed := range uint64(6) {
		events := sweptHistory(seed, 120)
		for i := range events {
			if ev := &events[i]; ev.Kind == journal.KindImport && seed%2 == 0 {
				ev.Kind, ev.Claimed, ev.Attributes = journal.KindAdd, 0, nil
			}
		}
		rnd := rand.New(rand.NewPCG(seed, 6))
		past := packedHistory(t, rnd, events)
		whole, err := replay.ReadPieces(past.Pieces(0), replay.Options{})
		if err != nil || whole.Stopped != nil {
			t.Fatal(err, whole.Stopped)
		}
		clocks, err := replay.ClocksOf(past)
		if err != nil {
			t.Fatal(err)
		}
		questions := sweptQuestions(whole, events, rnd, 100)
		for _, off := range []time.Duration{-time.Hour, 100 * time.Hour} {
			questions = append(questions, replay.Question{At: whole.First.Time.Add(off).UnixNano()})
		}
		for _, question := range questions {
			at := time.Unix(0, question.At).UTC()
			q := replay.Asked{From: at, To: at.Add(time.Duration(rnd.IntN(4)/3*rnd.IntN(60)) * time.Second), Now: rnd.IntN(10) == 0, Covered: whole.Last.Effective}
			h, err := replay.ReadPart(past, replay.Options{Clocks: clocks, Asked: []replay.Asked{q}, Unheld: true})
			if err != nil {
				t.Fatal(err)
			}
			if h == nil {
				continue
			}
			claimed := append([]netip.Addr{}, h.Claimed()...)
			if parts++; len(claimed) > 0 {
				claims++
			}
			about, err := replay.ReadAbout(past, claimed, replay.Options{})
			if err != nil {
				t.Fatal(err)
			}
			held := map[netip.Addr]bool{}
			for _, l := range h.At(q).Leases {
				held[l.Lease.IP] = true
			}
			unheld := about.Unheld(q, nil)
			for n := range byte(16) {
				ip := netip.AddrFrom4([4]byte{10, 0, n % 2, n / 2})
				want := whole.Who(ip, q)
				if was, _ := unheld.At(ip); !held[ip] && (was.State != want.State || was.Certainty != want.Certainty) {
					t.Fatalf("seed %d, %s at %s (now: %t): got %s, want %s %q", seed, ip, at, q.Now, inOneLine(was), inOneLine(&want), want.Doubts)
				}
			}
		}
	}
	if parts == claims || claims == 0 {
		t.Errorf("%d tables were read in part, imports may tell of %d", parts, claims)
	}
}
