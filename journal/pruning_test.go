package journal

import (
	"strings"
	"testing"
)

// TestPruningTold has each of several prunes told with its own time, author and reason.
func TestPruningTold(t *testing.T) {
	tombstone := func(seq, first, last Seq, why string) Event {
		ev := Event{Seq: seq, Kind: KindPrune, Clock: Clock{Wall: int64(seq) * 1e9}, Text: why, Attributes: []Attribute{{Key: AttributeBy, Value: "user " + why}}}
		ev.SetPruned(&Pruned{First: first, Last: last})
		return ev
	}
	a, again, b, c := tombstone(100, 2, 50, "one"), tombstone(101, 2, 50, "again"), tombstone(200, 51, 80, "two"), tombstone(300, 95, 110, "three")
	for _, test := range []struct {
		name string
		p    Pruning
		want string
	}{
		{"one", Pruning{Tombstone: a}, "pruned at 1970-01-01T00:01:40Z by user one (event 100): one"},
		{"two", Pruning{Tombstone: b, Before: []Event{a, again}}, "pruned by 2 prunes: events 2 to 50 at 1970-01-01T00:01:40Z by user one (event 100): one; " +
			"events 51 to 80 at 1970-01-01T00:03:20Z by user two (event 200): two"},
		{"one that nothing tells of", Pruning{Tombstone: c, Before: []Event{a}}, "pruned by 2 prunes: events 2 to 50 at 1970-01-01T00:01:40Z by user one (event 100): one; " +
			"events 51 to 110 at 1970-01-01T00:05:00Z by user three (event 300): three"},
	} {
		if got := test.p.Error(); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
	var daily []Event
	for i := Seq(0); i < 365; i++ {
		daily = append(daily, tombstone(1000+i, 2+10*i, 11+10*i, "daily"))
	}
	p := Pruning{Tombstone: daily[364], Before: daily[:364]}
	got := p.Error()
	for _, want := range []string{"by 365 prunes", "events 2 to 11 at", "and so on up to event 3621 by 361 more", "events 3622 to 3631 at", "events 3642 to 3651 at"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not told in %s", want, got)
		}
	}
	if n := strings.Count(got, "daily (event "); n != 4 {
		t.Errorf("%d prunes are named, want 4: %s", n, got)
	}
}
