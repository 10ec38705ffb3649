package replay_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

var pool = [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Start: netip.MustParseAddr("10.0.0.2"),
	End: netip.MustParseAddr("10.0.0.9"), Gateway: netip.MustParseAddr("10.0.0.1")}}}

// config records the ranges that adds with Config 2 name: it has to be event 2.
func config() journal.Event {
	ev := event(journal.KindConfig, at(1), "")
	ev.Ranges = pool
	return ev
}

func gave(c journal.Clock, id string, ips ...netip.Addr) journal.Event {
	ev := event(journal.KindAdd, c, id, ips...)
	ev.Config = 2
	return ev
}

func released(c journal.Clock, id string, ips ...netip.Addr) journal.Event {
	return ended(event(journal.KindDel, c, id, ips...), journal.ReasonDel)
}

// without leaves events out, as if they were lost: an event of the zero kind.
func without(events []journal.Event, lost ...journal.Seq) iter.Seq2[journal.Piece, error] {
	gone := map[journal.Seq]bool{}
	for _, seq := range lost {
		gone[seq] = true
	}
	return func(yield func(journal.Piece, error) bool) {
		for _, ev := range events {
			p := journal.Piece{Record: journal.Record{Event: ev, File: "journal/00000000000000000001"}}
			if gone[ev.Seq] {
				p = journal.Piece{Loss: &journal.Loss{File: "journal/00000000000000000001", First: ev.Seq, Last: ev.Seq, Cause: errors.New("bad sector")}}
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// inOneLine is an answer in one line: state, holders in order, certainty.
func inOneLine(a *replay.Holding) string {
	var ids []string
	for i := range a.Holders {
		id := a.Holders[i].Lease.ContainerID
		if a.Holders[i].Unsure {
			id += "?"
		}
		ids = append(ids, id)
	}
	text := fmt.Sprintf("%s [%s] %s", a.State, strings.Join(ids, " "), a.Certainty)
	if a.Several {
		text += " several"
	}
	return text
}

type whoTest struct {
	name   string
	events []journal.Event
	lost   []journal.Seq
	ip     netip.Addr // addrA if there is none
	at     time.Time
	skew   time.Duration
	now    bool
	wiped  bool
	want   string
	doubt  string
}

func TestWho(t *testing.T) {
	plain := journalOf(config(), gave(at(10), "a", addrA), released(at(20), "a", addrA), gave(at(30), "b", addrA),
		ended(event(journal.KindDel, at(40), "b", addrA), journal.ReasonGC), gave(at(50), "c", addrB), gave(at(60), "d", addrA))
	late := func(sec int64) journal.Clock { return unsynced(at(sec), -time.Hour) }
	corrected := journalOf(config(), gave(late(10), "a", addrA), released(late(20), "a", addrA), gave(at(30), "x", addrB))
	back := journalOf(config(), gave(at(10), "a", addrA), released(inBoot2(at(5)), "a", addrA), gave(inBoot2(at(50)), "b", addrA))
	rebooted := journalOf(config(), gave(at(10), "a", addrA), gave(at(20), "x", addrB), event(journal.KindRefuse, inBoot2(at(30)), "y"))
	imported := event(journal.KindImport, at(30), "i", addrA)
	imported.Claimed = at(15).Wall
	blocked := event(journal.KindImport, at(30), "", addrA)
	blocked.Blocked = true
	own := gave(at(30), "o", addrB)
	own.Config, own.Ranges = 0, [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.9.0.0/24"),
		Start: netip.MustParseAddr("10.9.0.2"), End: netip.MustParseAddr("10.9.0.9")}}}
	dropped := gave(at(40), "p", netip.MustParseAddr("10.0.0.8"))
	dropped.Dropped = []string{"ranges"}
	ms := func(sec int64, ms int) time.Time { return instant(sec).Add(time.Duration(ms) * time.Millisecond) }
	through := journalOf(config(), gave(at(10), "a", addrA), gave(at(20), "x", addrB), event(journal.KindRefuse, at(30), "y"),
		released(at(40), "a", addrA), event(journal.KindRefuse, at(60), "y"))
	tests := []whoTest{
		{name: "held", events: plain, at: instant(15), want: "held [a] certain"},
		{name: "free", events: plain, at: instant(25), want: "free [] certain"},
		{name: "at the ADD, within the clock's error", events: plain, at: instant(10), want: "held [a?] uncertain", doubt: "error of the clocks, it is unknown: which addresses"},
		{name: "a moment later", events: plain, at: ms(10, 2), want: "held [a] certain"},
		{name: "a moment before the DEL", events: plain, at: ms(19, 998), want: "held [a] certain"},
		{name: "after the window's start", events: plain, at: instant(35), want: "held [b?] uncertain"},
		{name: "two in turn", events: plain, at: instant(25), skew: 8 * time.Second, want: "held [a b?] uncertain several"},
		{name: "one for a part", events: plain, at: instant(22), skew: 4 * time.Second, want: "held [a] certain"},
		{name: "now", events: plain, now: true, want: "held [d] certain"},
		{name: "now, wiped", events: plain, now: true, wiped: true, want: "free [] certain"},
		{name: "wiped since", events: plain, at: instant(65), wiped: true, want: "held [d?] uncertain"},
		{name: "before genesis", events: plain, at: instant(-1), want: "unknown [] unknown", doubt: "what was before is unknown"},
		{name: "in the future", events: plain, at: instant(101), want: "unknown [] unknown", doubt: "last known holder: container d"},
		{name: "gateway", events: plain, ip: netip.MustParseAddr("10.0.0.1"), at: instant(25), want: "gateway [] certain"},
		{name: "not ours", events: plain, ip: netip.MustParseAddr("10.0.0.77"), at: instant(25), want: "not ours [] certain"},
		{name: "before any ranges", events: plain, at: instant(5), want: "unknown [] unknown", doubt: "no ADD before has recorded its ranges"},
		{name: "clock set later: by the time as it was", events: corrected, at: instant(15), want: "held [a?] uncertain"},
		{name: "clock set later: by the time as it was shown", events: corrected, at: instant(15 - 3600), want: "unknown [a] unknown"},
		{name: "boots overlap", events: back, at: instant(7), want: "unknown [] unknown"},
		{name: "boots overlap, named", events: back, at: instant(12), want: "free [] certain", doubt: ""},
		{name: "before the boot's last event", events: rebooted, at: instant(15), want: "held [a] certain"},
		{name: "after the boot's last event", events: rebooted, at: instant(25), want: "held [a?] uncertain"},
		{name: "before an import, within its claim", events: journalOf(config(), gave(at(5), "x", addrB), imported, released(at(40), "i", addrA)),
			at: instant(20), want: "unknown [] unknown", doubt: "whose source says since"},
		{name: "before an import's claim", events: journalOf(config(), gave(at(5), "x", addrB), imported, released(at(40), "i", addrA)),
			at: instant(12), want: "free [] certain"},
		{name: "blocked", events: journalOf(config(), blocked, gave(at(40), "x", addrB)), at: instant(35), want: "held [?] uncertain"},
		{name: "ranges of a call", events: journalOf(config(), gave(at(5), "x", netip.MustParseAddr("10.0.0.7")), own, event(journal.KindRefuse, at(60), "y")),
			ip: netip.MustParseAddr("10.9.0.5"), at: instant(35), want: "free [] certain"},
		{name: "before the call that brought them", events: journalOf(config(), gave(at(5), "x", netip.MustParseAddr("10.0.0.7")), own),
			ip: netip.MustParseAddr("10.9.0.5"), at: instant(15), want: "not ours [] certain"},
		{name: "ranges that were dropped", events: journalOf(config(), gave(at(5), "x", netip.MustParseAddr("10.0.0.7")), dropped, event(journal.KindRefuse, at(60), "y")),
			at: instant(45), want: "unknown [] unknown"},
		{name: "in a gap", events: plain, lost: []journal.Seq{4}, at: instant(22), want: "unknown [] unknown", doubt: "event 4 is lost"},
		{name: "in a gap, named", events: plain, lost: []journal.Seq{4}, at: instant(22), want: "unknown [] unknown", doubt: "before it, the holder was container a"},
		{name: "before a gap", events: plain, lost: []journal.Seq{6}, at: instant(15), want: "held [a] certain"},
		{name: "behind a gap, told by an add", events: plain, lost: []journal.Seq{6}, at: instant(65), want: "held [d] certain"},
		{name: "behind a gap, not held before the add", events: plain, lost: []journal.Seq{6}, at: instant(55), want: "free [] certain"},
		{name: "behind a gap, nothing tells", events: plain, lost: []journal.Seq{6}, ip: netip.MustParseAddr("10.0.0.5"), at: instant(55),
			want: "unknown [] unknown", doubt: "no event behind tells"},
		{name: "through a gap", events: through, lost: []journal.Seq{4}, at: instant(35), want: "held [a] certain"},
		{name: "through a gap, within it", events: through, lost: []journal.Seq{4}, at: instant(25), want: "unknown [] unknown"},
		{name: "through a gap, the other one is not known", events: through, lost: []journal.Seq{4}, ip: addrB, at: instant(35), want: "unknown [] unknown"},
		{name: "beginning lost", events: through, lost: []journal.Seq{3, 4}, at: instant(35), want: "held [a] certain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := replay.ReadPieces(without(tt.events, tt.lost...), replay.Options{Wiped: tt.wiped})
			if err != nil || h.Stopped != nil {
				t.Fatal(err, h.Stopped)
			}
			ip := tt.ip
			if !ip.IsValid() {
				ip = addrA
			}
			when := tt.at
			if tt.now {
				when = instant(100)
			}
			a := h.Who(ip, replay.Asked{From: when.Add(-tt.skew), To: when.Add(tt.skew), Now: tt.now, Covered: instant(100)})
			if got := inOneLine(&a); got != tt.want {
				t.Errorf("got %s, want %s; doubts %q", got, tt.want, a.Doubts)
			}
			if text := strings.Join(a.Doubts, "\n"); !strings.Contains(text, tt.doubt) {
				t.Errorf("doubts are %q, want %q", text, tt.doubt)
			}
		})
	}
}

// TestWhoBesideGap: where the error of the clocks lets a time lie where events are lost, nothing is certain of it, but for what a
// snapshot shows to have been held all the while.
func TestWhoBesideGap(t *testing.T) {
	off := func(sec int64) journal.Clock { c := at(sec); c.MaxError = time.Second; return c }
	events := journalOf(event(journal.KindAdd, off(10), "a", addrA), event(journal.KindAdd, off(20), "b", addrB), event(journal.KindRefuse, off(30), "x"),
		ended(event(journal.KindDel, off(40), "b", addrB), journal.ReasonDel), event(journal.KindAdd, off(50), "c", addrB), event(journal.KindRefuse, off(60), "x"))
	for _, tc := range []struct {
		lost      []journal.Seq
		snapshots []journal.Seq
		ip        netip.Addr
		at        int64
		want      replay.Certainty
	}{
		{[]journal.Seq{4, 5}, nil, addrB, 51, replay.Certain},
		{[]journal.Seq{4, 5}, nil, addrB, 50, replay.Uncertain},
		{[]journal.Seq{4, 5}, nil, addrB, 20, replay.Uncertain},
		{[]journal.Seq{4, 5}, []journal.Seq{5}, addrA, 20, replay.Certain},
		{[]journal.Seq{4, 5}, []journal.Seq{5}, addrA, 50, replay.Certain},
		{[]journal.Seq{1, 2, 3, 4, 5}, nil, addrB, 50, replay.Uncertain},
		{[]journal.Seq{1, 2, 3, 4, 5}, nil, addrB, 51, replay.Certain},
		{[]journal.Seq{1, 2, 3, 4, 5}, nil, addrB, 49, replay.Unknown},
	} {
		h := readLosing(t, events, tc.lost, tc.snapshots)
		q := replay.Asked{From: instant(tc.at), To: instant(tc.at)}
		who, table := h.Who(tc.ip, q), h.At(q)
		if who.Certainty != tc.want {
			t.Errorf("events %v lost: %s at %d s is %s, %q; want %s", tc.lost, tc.ip, tc.at, who.Certainty, who.Doubts, tc.want)
		}
		for _, held := range table.Leases {
			if held.Lease.IP == tc.ip && held.Unsure != (tc.want == replay.Uncertain) && tc.want != replay.Unknown {
				t.Errorf("events %v lost: in the table at %d s the lease of %s is unsure: %t; want %s", tc.lost, tc.at, tc.ip, held.Unsure, tc.want)
			}
		}
		compareCourse(t, h, time.Time{}, rand.New(rand.NewPCG(1, 1)))
	}
}
