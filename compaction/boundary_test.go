package compaction

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

const day = int64(24 * time.Hour)

// moment is an event's clock in these tests: day of the wall clock, day of the boot clock, boot, whether synchronised.
type moment struct {
	wall, boot int64
	id         byte
	synced     bool
}

func (m moment) clock() journal.Clock {
	return journal.Clock{Wall: m.wall * day, BootTime: m.boot * day, Boot: journal.BootID{m.id}, Synchronised: m.synced}
}

// weighed returns the bounds of events with these clocks, from genesis on, all of which are packed, at 1000 bytes each; the hold and
// unhold events among them are given by their numbers.
func weighed(moments []moment, marked map[journal.Seq]*journal.Event, r *Retain) *bounds {
	s := &survey{id: journal.ID{1}, clocks: clocks{boots: make(map[journal.BootID]*bootTimes)}}
	var all []journal.Event
	for i, m := range moments {
		ev := journal.Event{Seq: journal.Seq(i + 1), Clock: m.clock(), Kind: journal.KindAdd}
		if i == 0 {
			ev.Kind = journal.KindGenesis
		}
		if special := marked[ev.Seq]; special != nil {
			special.Seq, special.Clock = ev.Seq, ev.Clock
			ev = *special
		}
		s.event(&ev)
		all = append(all, ev)
	}
	n := journal.Seq(len(all))
	b := newBounds(s, []span{{1, n / 2, int64(n/2) * 1000}, {n/2 + 1, n, int64(n-n/2) * 1000}}, 0, r)
	for _, ev := range all[1:] {
		if b.done(ev.Seq) {
			break
		}
		b.event(ev.Seq, ev.Clock)
	}
	b.ageless()
	return b
}

func holding17(since int64) *journal.Event {
	ev := &journal.Event{Kind: journal.KindHold}
	ev.SetHold(journal.Hold{Since: since * day})
	return ev
}

func unholding(of journal.Seq) *journal.Event {
	ev := &journal.Event{Kind: journal.KindUnhold}
	ev.SetHold(journal.Hold{Of: of})
	return ev
}

// days are n events, a day apart, of one boot.
func days(n int, synced bool) (all []moment) {
	for i := range n {
		all = append(all, moment{int64(1000 + i), int64(1 + i), 1, synced})
	}
	return all
}

// reckoned are n events, a day apart, of a boot that began in 1970.
func reckoned(n int) (all []moment) {
	for i := range int64(n) {
		all = append(all, moment{1 + i, 1 + i, 1, false})
	}
	return all
}

// unknown are the same of boots that are not known.
func unknown(all []moment) []moment {
	for i := range all {
		all[i].id = 0
	}
	return all
}

func keep(n int) journal.Retention { return journal.Retention{Keep: time.Duration(n) * 24 * time.Hour} }

// TestBoundary has the first event that stays, by age and clocks, number, size and holds. Events are of days 1000 on, and it is
// day 1040 unless a case says otherwise. By age, and by holds, the last event before the kept time stays, too.
func TestBoundary(t *testing.T) {
	now := moment{1040, 1, 9, true}.clock()
	unsynced := func(wall int64) journal.Clock { return moment{wall, 41, 1, false}.clock() }
	with := func(all []moment, at int, m moment) []moment {
		all = slices.Clone(all)
		all[at-1] = m
		return all
	}
	tail := func(all []moment, more ...moment) []moment { return append(slices.Clip(all), more...) }
	for _, tt := range []struct {
		name   string
		events []moment
		marked map[journal.Seq]*journal.Event
		limits []journal.Retention
		clock  journal.Clock
		want   journal.Seq
		doubt  string
	}{
		{name: "nothing is asked for", events: days(40, true), limits: []journal.Retention{{}}, want: 2},
		{name: "no limit", events: days(40, true), want: 2},
		{name: "all are young", events: days(40, true), limits: []journal.Retention{keep(50)}, want: 2},
		{name: "by age", events: days(40, true), limits: []journal.Retention{keep(30)}, want: 10}, // event 11 is of day 1010, and 10 tells what was so when that began
		{name: "by age, never synchronised", events: days(40, false), clock: unsynced(1040), limits: []journal.Retention{keep(30)}, want: 10},
		{name: "one packed event stays", events: days(40, true), limits: []journal.Retention{keep(1)}, want: 39},
		{name: "by number", events: days(40, true), limits: []journal.Retention{{Events: 15}}, want: 26},
		{name: "by number, more than there are", events: days(40, true), limits: []journal.Retention{{Events: 40}}, want: 2},
		{name: "by size", events: days(40, true), limits: []journal.Retention{{Bytes: 16000}}, want: 26}, // 15 of them are 15/16
		{name: "by size, just enough", events: days(40, true), limits: []journal.Retention{{Bytes: 40000}}, want: 2},
		{name: "by size, a whole file", events: days(40, true), limits: []journal.Retention{{Bytes: 21334}}, want: 21},
		{name: "each bound counts", events: days(40, true), limits: []journal.Retention{{Keep: keep(30).Keep, Events: 15}}, want: 26},
		{name: "two retentions", events: days(40, true), limits: []journal.Retention{{Events: 15}, keep(30)}, want: 10},
		{name: "two retentions, one keeps all", events: days(40, true), limits: []journal.Retention{{Events: 15}, {}}, want: 2},

		{name: "one event of a year to come", events: with(days(40, false), 5, moment{9000, 5, 1, false}), clock: unsynced(1040),
			limits: []journal.Retention{keep(30)}, want: 4, doubt: "event 5 is of "},
		{name: "one event of a year to come, corrected later in its boot", events: with(days(40, true), 5, moment{9000, 5, 1, false}),
			limits: []journal.Retention{keep(30)}, want: 4, doubt: "event 5 is of "},
		{name: "by number in spite of it", events: with(days(40, false), 5, moment{9000, 5, 1, false}), limits: []journal.Retention{{Events: 15}}, want: 26},
		{name: "a clock of 1970 that was set later: as young as it says then",
			events: tail(days(10, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{1035, 3, 2, true}), limits: []journal.Retention{keep(30)}, want: 10},
		{name: "a clock of 1970 that was never set tells no age", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{3, 3, 2, false}),
			limits: []journal.Retention{keep(30)}, want: 8, doubt: "event 9, and perhaps events after it, are of a boot whose clock was never synchronised"},
		{name: "unless what follows tells", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{1009, 3, 3, true}, moment{1039, 33, 3, true}),
			limits: []journal.Retention{keep(30)}, want: 11},
		// What a clock shows that was never synchronised is no age where others are.
		{name: "the first boot was in 1970", events: tail(reckoned(8), moment{1035, 1, 2, true}, moment{1036, 2, 2, true}), limits: []journal.Retention{keep(30)}, want: 2,
			doubt: "event 2, and perhaps events after it, are of a boot whose clock was never synchronised"},
		{name: "the first boot was in 1970, and what follows is old", events: tail(reckoned(8), moment{1001, 1, 2, true}, moment{1039, 39, 2, true}),
			limits: []journal.Retention{keep(30)}, want: 9},
		{name: "a clock that went on where the node was switched off", events: tail(days(8, true), moment{1007, 1, 2, false}, moment{1008, 2, 2, false}, moment{1039, 1, 3, true}),
			limits: []journal.Retention{keep(30)}, want: 8, doubt: "event 9, and "},
		{name: "only now is synchronised, in another boot", events: days(40, false), limits: []journal.Retention{keep(30)}, want: 2, doubt: "event 2, and "},
		{name: "only now is synchronised, in the same boot: young", events: reckoned(8), clock: moment{1040, 9, 1, true}.clock(), limits: []journal.Retention{keep(30)}, want: 2},
		{name: "only now is synchronised, in the same boot: old", events: reckoned(40), clock: moment{1040, 41, 1, true}.clock(), limits: []journal.Retention{keep(30)}, want: 10},
		{name: "synchronised, of boots that are not known", events: unknown(days(40, true)), limits: []journal.Retention{keep(30)}, want: 10},

		// Where nothing was ever synchronised the clock of now is no witness alone, nor is that of the newest boot.
		{name: "the clock of the first call of a boot, never synchronised", events: days(10, false), clock: moment{9000, 1, 9, false}.clock(),
			limits: []journal.Retention{keep(30)}, want: 2, doubt: "the clock is not synchronised and shows "},
		{name: "what passed since counts", events: days(10, false), clock: moment{9000, 1, 9, false}.clock(), // it is day 1010 at least
			limits: []journal.Retention{keep(5)}, want: 5, doubt: "the clock is not synchronised and shows "},
		{name: "a boot that is ahead has events", events: tail(days(10, false), moment{9000, 1, 2, false}, moment{9001, 2, 2, false}), clock: moment{9002, 3, 2, false}.clock(),
			limits: []journal.Retention{keep(5)}, want: 7, doubt: "the clock is not synchronised and shows "}, // it is day 1012 at least
		{name: "a boot that is ahead is over", events: tail(days(10, false), moment{9000, 1, 2, false}, moment{9001, 2, 2, false}), clock: moment{9002, 1, 3, false}.clock(),
			limits: []journal.Retention{keep(5)}, want: 7, doubt: "the clock is not synchronised and shows "},
		{name: "a boot that was behind is no witness", events: tail(days(10, false), moment{1, 1, 2, false}, moment{1020, 1, 3, false}), clock: moment{1021, 2, 3, false}.clock(),
			limits: []journal.Retention{keep(10)}, want: 2, doubt: "the clock is not synchronised and shows "}, // it is day 1012 at least
		{name: "the first boot was in 1970, never synchronised", events: tail(reckoned(8), moment{1000, 1, 2, false}), clock: moment{1001, 2, 2, false}.clock(),
			limits: []journal.Retention{keep(30)}, want: 2, doubt: "the clock is not synchronised and shows "},
		{name: "the first boot was in 1970, never synchronised, and much has passed since", events: tail(reckoned(8), moment{1000, 1, 2, false}), clock: moment{1040, 41, 2, false}.clock(),
			limits: []journal.Retention{keep(30)}, want: 8, doubt: "the clock is not synchronised and shows "},
		{name: "boots are not known, never synchronised", events: unknown(days(10, false)), clock: moment{9000, 1, 0, false}.clock(),
			limits: []journal.Retention{keep(5)}, want: 4, doubt: "the clock is not synchronised and shows "},

		{name: "the clock shows a year to come", events: days(40, true), clock: moment{9000, 1, 9, false}.clock(), limits: []journal.Retention{keep(30)}, want: 9,
			doubt: "the clock is not synchronised and shows "}, // it is day 1039 at least
		{name: "the clock was set forward in the boot", events: days(40, false), clock: unsynced(9000), limits: []journal.Retention{keep(30)}, want: 10,
			doubt: "the clock is not synchronised and shows "},
		{name: "the clock is not synchronised, and right", events: days(40, false), clock: unsynced(1040), limits: []journal.Retention{keep(30)}, want: 10},

		// What has no age may be of a hold's time.
		{name: "a hold of a time in which a boot was in 1970", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{1020, 1, 3, true}, moment{1021, 2, 3, true}),
			marked: map[journal.Seq]*journal.Event{12: holding17(1015)}, limits: []journal.Retention{{Events: 1}}, want: 8},
		{name: "a hold of a time after that", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{1020, 1, 3, true}, moment{1021, 2, 3, true}, moment{1022, 3, 3, true}),
			marked: map[journal.Seq]*journal.Event{13: holding17(1021)}, limits: []journal.Retention{{Events: 1}}, want: 11},
		{name: "a hold of a time after that, and a bound within the boot", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{1020, 1, 3, true}, moment{1021, 2, 3, true}),
			marked: map[journal.Seq]*journal.Event{12: holding17(1021)}, limits: []journal.Retention{{Events: 3}}, want: 10},
		{name: "a hold of a time to come, and the boot in 1970 is the last", events: tail(days(8, true), moment{1, 1, 2, false}, moment{2, 2, 2, false}, moment{3, 3, 2, false}),
			marked: map[journal.Seq]*journal.Event{11: holding17(1015)}, limits: []journal.Retention{{Events: 1}}, want: 9},
		{name: "a hold in a form of a later version", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: {Kind: journal.KindHold}}, limits: []journal.Retention{{Events: 1}}, want: 2},
		{name: "a prune event in a form of a later version", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: {Kind: journal.KindPrune}}, limits: []journal.Retention{{Events: 1}}, want: 2,
			doubt: "nothing is pruned: prune event 35 is in a form of a later version"},

		{name: "a hold", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(1007)}, limits: []journal.Retention{{Events: 1}}, want: 7},
		{name: "a hold of a time to come keeps itself", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(2000)},
			limits: []journal.Retention{{Events: 1}}, want: 35},
		{name: "a hold from the beginning", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(0)}, limits: []journal.Retention{{Events: 1}}, want: 2},
		{name: "a hold that ended", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(1007), 36: unholding(35)},
			limits: []journal.Retention{{Events: 1}}, want: 40},
		{name: "the end of another hold", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(1007), 36: unholding(34)},
			limits: []journal.Retention{{Events: 1}}, want: 7},
		{name: "a hold of an event that is dated late", events: with(days(40, false), 5, moment{1020, 5, 1, false}), clock: unsynced(1040),
			marked: map[journal.Seq]*journal.Event{35: holding17(1015)}, limits: []journal.Retention{{Events: 1}}, want: 4},
		{name: "a hold that keeps nothing", events: days(40, true), marked: map[journal.Seq]*journal.Event{35: holding17(1030)}, limits: []journal.Retention{keep(30)}, want: 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.clock == (journal.Clock{}) {
				tt.clock = now
			}
			b := weighed(tt.events, tt.marked, &Retain{Limits: tt.limits, Clock: tt.clock})
			if got := b.stays(); got != tt.want {
				t.Errorf("event %d stays first, want %d; doubts %q", got, tt.want, b.doubts)
			}
			if doubts := strings.Join(b.doubts, "; "); (doubts == "") != (tt.doubt == "") || !strings.Contains(doubts, tt.doubt) {
				t.Errorf("doubts %q, want %q", doubts, tt.doubt)
			}
			if held := b.held(); !b.blocked && (len(held) > 0) != (b.stays() < b.retained()) {
				t.Errorf("held by %+v, event %d would stay without, and %d does", held, b.retained(), b.stays())
			}
		})
	}
}
