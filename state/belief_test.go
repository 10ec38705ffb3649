package state_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// TestContradictedBeliefs applies events to a state that believes them although the snapshot says otherwise.
// That must come out where the snapshot is read, and name the event or the addresses.
func TestContradictedBeliefs(t *testing.T) {
	base := state.New()
	mustApply(t, base, numbered(
		add("one", "eth0", addr(0, "10.0.0.1/8")),
		add("two", "eth0", addr(0, "10.0.0.2/8")),
		add("far", "eth0", addr(0, "10.9.0.1/8")),
	)...)
	path := writeSnapshot(t, t.TempDir(), base)
	for _, c := range []struct {
		name  string
		evs   []journal.Event
		seq   journal.Seq // that the error names
		held  bool        // asking what its owner holds notices
		lease bool        // asking for the address notices
		next  bool        // looking for a free address from 10.0.0.1 on notices
		want  string      // in each error
	}{
		{"add of a held address", []journal.Event{add("new", "eth0", addr(0, "10.0.0.1/8"))}, 4, true, false, true, "10.0.0.1: contradicts"},
		{"del by a stranger", []journal.Event{del("new", "eth0", addr(0, "10.0.0.1/8"))}, 4, true, true, true, "10.0.0.1: contradicts"},
		{"del by another interface", []journal.Event{del("one", "eth1", addr(0, "10.0.0.1/8"))}, 4, true, true, true, "10.0.0.1: contradicts"},
		{"del of a free address", []journal.Event{del("one", "eth0", addr(0, "10.0.0.3/8"))}, 4, false, true, true, "10.0.0.3: contradicts"},
		{"add and del of a held address", []journal.Event{add("new", "eth0", addr(0, "10.0.0.1/8")), del("new", "eth0", addr(0, "10.0.0.1/8"))},
			0, true, true, true, "10.0.0.1: contradicts"},
		{"del of a free address elsewhere", []journal.Event{del("one", "eth0", addr(0, "10.5.0.3/8"))}, 4, false, true, false, "10.5.0.3: contradicts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			believing := func() *state.State {
				st := state.OverTrusting(openSnapshot(t, path))
				for i, ev := range c.evs {
					ev.Seq = journal.Seq(4 + i)
					mustApply(t, st, ev)
				}
				return st
			}
			check := func(what string, err error, noticed bool) {
				t.Helper()
				var damage *journal.CorruptionError
				if noticed && (!errors.As(err, &damage) || damage.Seq != c.seq || damage.File != "" || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: %v, want damage at event %d with %q", what, err, c.seq, c.want)
				}
				if !noticed && err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := believing().Held(state.Attachment{ContainerID: "one", IfName: "eth0"})
			check("Held", err, c.held)
			_, _, err = believing().Lease(c.evs[0].Addresses[0].IP)
			check("Lease", err, c.lease)
			_, _, err = believing().NextFree(ip("10.0.0.1"), ip("10.0.0.255"))
			check("NextFree", err, c.next)
			_, err = state.WriteSnapshot(t.TempDir(), testID, "net", believing())
			check("WriteSnapshot", err, true)
			for _, err = range believing().Leases() {
				if err != nil {
					break
				}
			}
			check("Leases", err, true)
		})
	}
	// What the tail itself contradicts is refused at once.
	st := state.OverTrusting(openSnapshot(t, path))
	mustApply(t, st, journal.Event{Seq: 4, Kind: journal.KindDel, ContainerID: "one", IfName: "eth0",
		Addresses: []journal.Address{addr(0, "10.0.0.1/8")}})
	for name, ev := range map[string]journal.Event{
		"del of what is free since":    del("one", "eth0", addr(0, "10.0.0.1/8")),
		"add of a listed address more": add("new", "eth0", addr(0, "10.0.0.1/8"), addr(0, "10.0.0.1/8")),
		"annotate of a free address":   annotate("two", "eth0", addr(0, "10.0.0.1/8")),
		// An annotation is no belief: the lease is read.
		"annotate by a stranger":              annotate("one", "eth0", addr(0, "10.0.0.2/8")),
		"annotate of what the snapshot lacks": annotate("two", "eth0", addr(0, "10.0.0.3/8")),
	} {
		ev.Seq = 5
		checkRefused(t, st, name, ev)
	}
}

// TestBelievedNeighbours asks for leases of the snapshot beside one that an event was about, before anything
// has been read of the addresses around.
func TestBelievedNeighbours(t *testing.T) {
	base := state.New()
	mustApply(t, base, numbered(
		add("one", "eth0", addr(0, "10.0.0.1/8")),
		add("two", "eth0", addr(0, "10.0.0.2/8")),
	)...)
	st := state.OverTrusting(openSnapshot(t, writeSnapshot(t, t.TempDir(), base)))
	gone := del("one", "eth0", addr(0, "10.0.0.1/8"))
	gone.Seq = 3
	mustApply(t, st, gone)
	if held, err := st.Held(state.Attachment{ContainerID: "two", IfName: "eth0"}); err != nil || len(held) != 1 {
		t.Errorf("Held of the neighbour = %v, %v; want one lease", held, err)
	}
	if l, ok, err := st.Lease(ip("10.0.0.2")); !ok || err != nil || l.ContainerID != "two" {
		t.Errorf("Lease of the neighbour = %v, %v, %v", l, ok, err)
	}
	if held, err := st.Held(state.Attachment{ContainerID: "one", IfName: "eth0"}); err != nil || len(held) != 0 {
		t.Errorf("Held of the one that has gone = %v, %v; want none", held, err)
	}
	if _, ok, err := st.Lease(ip("10.0.0.1")); ok || err != nil {
		t.Errorf("Lease of what was given back: %v, %v; want none", ok, err)
	}
}

// TestAnnotatedBeliefs annotates leases of a snapshot that is believed, before and after others of the tail's events: what
// comes out is what all events lead to, and nothing is taken for a contradiction.
func TestAnnotatedBeliefs(t *testing.T) {
	one, two, old := addr(0, "10.0.0.1/8"), addr(0, "10.0.0.2/8"), addr(0, "10.0.0.3/8")
	before := numbered(add("one", "eth0", one, two), journal.Event{Kind: journal.KindImport, ContainerID: "old", Claimed: 7,
		Addresses: []journal.Address{old}})
	for _, tt := range []struct {
		name string
		tail []journal.Event
		left string // who holds 10.0.0.1 in which namespace at the end
	}{
		{"annotate", []journal.Event{annotate("one", "eth0", one)}, "one in /var/run/netns/one"},
		{"annotate twice", []journal.Event{annotate("one", "eth0", one), annotate("one", "eth0", one, two)}, "one in /var/run/netns/one"},
		{"annotate, del", []journal.Event{annotate("one", "eth0", one, two), del("one", "eth0", one)}, "nobody"},
		{"annotate, del, add", []journal.Event{annotate("one", "eth0", one), del("one", "eth0", one), add("new", "eth0", one)}, "new in "},
		{"annotate, del, add, annotate", []journal.Event{annotate("one", "eth0", one), del("one", "eth0", one), add("new", "eth0", one),
			annotate("new", "eth0", one)}, "new in /var/run/netns/new"},
		{"del, add, annotate", []journal.Event{del("one", "eth0", one), add("new", "eth0", one), annotate("new", "eth0", one)}, "new in /var/run/netns/new"},
		{"del of the neighbour, annotate", []journal.Event{del("one", "eth0", two), annotate("one", "eth0", one)}, "one in /var/run/netns/one"},
		{"annotate without an interface name", []journal.Event{annotate("old", "", old)}, "one in "},
		{"annotate by any interface name", []journal.Event{annotate("old", "eth3", old), del("old", "eth4", old)}, "one in "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := state.New()
			mustApply(t, all, before...)
			believing := state.OverTrusting(openSnapshot(t, writeSnapshot(t, t.TempDir(), all)))
			for i, ev := range tt.tail {
				ev.Seq = journal.Seq(3 + i)
				mustApply(t, all, ev)
				mustApply(t, believing, ev)
			}
			for _, owner := range []state.Attachment{{ContainerID: "one", IfName: "eth0"}, {ContainerID: "new", IfName: "eth0"}, {ContainerID: "old"}} {
				want, _ := all.Held(owner)
				if got, err := believing.Held(owner); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("Held(%v) = %v, %v; want %v", owner, got, err, want)
				}
			}
			left := "nobody"
			l, ok, err := believing.Lease(one.IP)
			if ok {
				left = l.ContainerID + " in " + l.NetNS
			}
			if err != nil || left != tt.left {
				t.Errorf("10.0.0.1 is held by %s, %v; want %s", left, err, tt.left)
			}
			got, want := readFile(t, writeSnapshot(t, t.TempDir(), believing)), readFile(t, writeSnapshot(t, t.TempDir(), all))
			if !bytes.Equal(got, want) {
				t.Errorf("snapshot of %d bytes differs from that of all events, %d bytes", len(got), len(want))
			}
		})
	}
}
