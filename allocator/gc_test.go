package allocator_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// condemn returns what the attachment holds as something to release.
func condemn(t *testing.T, s *allocator.Store, owner state.Attachment) allocator.Condemned {
	t.Helper()
	held, err := s.Check(owner)
	if err != nil {
		t.Fatal(err)
	}
	c := allocator.Condemned{Owner: owner}
	for _, l := range held {
		c.Start = max(c.Start, l.Start)
	}
	return c
}

func TestRelease(t *testing.T) {
	s := newStore(t)
	if got, err := s.Release([]allocator.Condemned{{Owner: owner(1), Start: 3}}, allocator.Why{Reason: journal.ReasonForce}); !errors.Is(err, journal.ErrNoStore) {
		t.Fatalf("without a store: %v, %v, want ErrNoStore", got, err)
	}
	if got, err := s.Release(nil, allocator.Why{}); got != nil || err != nil {
		t.Fatalf("of nothing: %v, %v", got, err)
	}
	for n := range 5 {
		add(t, s, n)
	}
	for _, pair := range [][]string{{"10.1.9.9", "2001:db8::9:9"}, {"10.1.0.7", "2001:db8::7"}} { // the newer one is not the last
		if _, err := s.Add(request(t, 5, pair...)); err != nil {
			t.Fatal(err)
		}
	}
	blocked := netip.MustParseAddr("10.1.7.7")
	appendTo(t, s, &journal.Event{Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{{IP: blocked, Bits: 16}}})
	legacy := state.Attachment{ContainerID: "old"}
	appendTo(t, s, &journal.Event{Kind: journal.KindImport, ContainerID: "old", Addresses: []journal.Address{{IP: netip.MustParseAddr("10.1.8.8"), Bits: 16}}})
	held := events(t, s)
	blockedSeq, legacySeq := held[len(held)-2].Seq, held[len(held)-1].Seq

	single := condemn(t, s, owner(2))
	single.IP = netip.MustParseAddr("2001:db8::4")
	replaced := condemn(t, s, owner(3))
	release(t, s, 3)
	add(t, s, 3)
	other := condemn(t, s, owner(4)) // another's address, by a lease that is as old
	other.IP, other.Owner = netip.MustParseAddr("10.1.0.6"), owner(1)
	list := []allocator.Condemned{
		condemn(t, s, owner(1)), single, replaced, other,
		{IP: blocked, Start: blockedSeq, Text: "nobody's"},
		{Owner: legacy, Start: legacySeq},
		condemn(t, s, owner(5)),
		{Owner: owner(99), Start: 4},
		{Owner: owner(99)},
		{IP: netip.MustParseAddr("10.1.250.1")},
	}
	list[0].Text = "because"
	why := allocator.Why{Reason: journal.ReasonForce, Attributes: []journal.Attribute{{Key: "evidence", Value: "word"}}}
	before := len(events(t, s))
	released, err := s.Release(list, why)
	if err != nil {
		t.Fatal(err)
	}
	if want := []allocator.Condemned{list[0], list[1], list[4], list[5], list[6]}; !slices.Equal(released, want) {
		t.Errorf("released %v, want %v", released, want)
	}
	var got []string
	for _, ev := range events(t, s)[before:] {
		if ev.Kind != journal.KindRelease || ev.Reason != journal.ReasonForce || !slices.Equal(ev.Attributes, why.Attributes) {
			t.Errorf("event %d: %s, reason %s, %v", ev.Seq, ev.Kind, ev.Reason, ev.Attributes)
		}
		line := ev.ContainerID + "/" + ev.IfName + " " + ev.Text
		for _, a := range ev.Addresses {
			line += " " + a.IP.String()
		}
		got = append(got, line)
	}
	want := []string{"c1/eth0 because 10.1.0.3 2001:db8::3", "c2/eth0  2001:db8::4", "/ nobody's 10.1.7.7", "old/  10.1.8.8",
		"c5/eth0  10.1.0.7 10.1.9.9 2001:db8::7 2001:db8::9:9"}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
	if held, err := s.Check(owner(2)); err != nil || len(held) != 1 || held[0].IP != netip.MustParseAddr("10.1.0.4") {
		t.Errorf("c2 holds %v, %v, want its other address", held, err)
	}
	if again, err := s.Release(list, why); err != nil || len(again) != 0 {
		t.Errorf("again: %v, %v, want nothing", again, err)
	}
}

// TestReleaseTwiceListed: what is listed twice is one release, or the journal would tell what can't have been.
func TestReleaseTwiceListed(t *testing.T) {
	s := newStore(t)
	for _, wholes := range []map[int]bool{{1: true}, {0: true, 2: true}} {
		single := allocator.Condemned{Owner: owner(1), IP: add(t, s, 1)}
		whole := condemn(t, s, owner(1))
		single.Start = whole.Start
		list := []allocator.Condemned{single, single, single}
		for i := range wholes {
			list[i] = whole
		}
		released, err := s.Release(list, allocator.Why{Reason: journal.ReasonForce})
		if err != nil {
			t.Fatal(err)
		}
		if len(released) == len(list) {
			t.Errorf("released %v, some of it twice", released)
		}
		if _, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
			t.Fatalf("after it: %v, want ErrNoLease", err)
		}
	}
}

func TestReleaseInBatches(t *testing.T) {
	s := newBusyStore(t)
	var list []allocator.Condemned
	for n := range 500 {
		add(t, s, n)
		list = append(list, condemn(t, s, owner(n)))
	}
	kept := list[150]
	list = slices.Delete(list, 150, 151)
	if rest, err := s.ReleaseBatch([]allocator.Condemned{kept, kept, kept}); err != nil || len(rest) != 0 {
		t.Errorf("left of a batch: %d, %v, want nothing", len(rest), err)
	}
	add(t, s, 150)
	kept = condemn(t, s, kept.Owner)
	if rest, err := s.ReleaseBatch(list); err != nil || len(rest) < 20 || len(rest) > len(list)-20 {
		t.Fatalf("left of a long batch: %d, %v, want some of %d", len(rest), err, len(list))
	} else {
		list = rest
	}
	batches, before := 0, len(events(t, s))
	released, err := s.Release(list, allocator.Why{Reason: journal.ReasonGC})
	if err != nil || !slices.Equal(released, list) {
		t.Fatalf("released %d, %v, want %d in their order", len(released), err, len(list))
	}
	synced := journal.Seq(0)
	for _, ev := range events(t, s)[before:] {
		if ev.Kind == journal.KindRelease && ev.Synced != synced {
			synced = ev.Synced
			batches++
		}
	}
	if batches < 2 || batches > 20 {
		t.Errorf("%d batches, want a few", batches)
	}
	if held, err := s.Check(kept.Owner); err != nil || len(held) != 2 {
		t.Errorf("not listed: %v, %v", held, err)
	}
}
