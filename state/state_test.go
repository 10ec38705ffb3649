package state_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func addr(set int, s string) journal.Address {
	p := netip.MustParsePrefix(s)
	return journal.Address{Set: set, IP: p.Addr(), Bits: p.Bits()}
}

// netipLast returns the last address of the /24 or /120 that a is in.
func netipLast(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] = 255
	last, _ := netip.AddrFromSlice(b)
	return last
}

func checkRefused(t *testing.T, st *state.State, what string, ev journal.Event) {
	t.Helper()
	seq, n := st.Seq(), st.Len()
	err := st.Apply(&ev)
	var damage *journal.CorruptionError
	if !errors.As(err, &damage) || damage.Seq != ev.Seq || damage.Offset != -1 || damage.File != "" {
		t.Fatalf("%s: Apply = %v, want a CorruptionError of event %d", what, err, ev.Seq)
	}
	if st.Seq() != seq || st.Len() != n {
		t.Fatalf("%s: the refused event changed Seq to %d and Len to %d, want %d and %d", what, st.Seq(), st.Len(), seq, n)
	}
}

// numbered gives events the numbers from 1 on.
func numbered(events ...journal.Event) []journal.Event {
	for i := range events {
		events[i].Seq = journal.Seq(i + 1)
	}
	return events
}

func add(id, ifname string, addrs ...journal.Address) journal.Event {
	return journal.Event{Kind: journal.KindAdd, ContainerID: id, IfName: ifname, Addresses: addrs}
}

func del(id, ifname string, addrs ...journal.Address) journal.Event {
	return journal.Event{Kind: journal.KindDel, ContainerID: id, IfName: ifname, Addresses: addrs}
}

func annotate(id, ifname string, addrs ...journal.Address) journal.Event {
	return journal.Event{Kind: journal.KindAnnotate, ContainerID: id, IfName: ifname, NetNS: "/var/run/netns/" + id,
		NetNSID: journal.NetNSID{Inode: 7, Made: 8}, Pod: journal.Pod{Name: "pod of " + id}, Addresses: addrs}
}

func TestApplyRefuses(t *testing.T) {
	a1, a2 := addr(0, "10.0.0.1/24"), addr(0, "10.0.0.2/24")
	zoned := a2
	zoned.IP = zoned.IP.WithZone("") // IPv4 has none
	zoned6 := addr(0, "fe80::1/64")
	zoned6.IP = zoned6.IP.WithZone("eth0")
	mapped := journal.Address{IP: ip("::ffff:10.0.0.2"), Bits: 24}
	genesis := journal.Event{Kind: journal.KindGenesis}
	tests := []struct {
		name   string
		before []journal.Event
		ev     journal.Event
		want   string // "" = no error
	}{
		{"genesis", nil, genesis, ""},
		{"second genesis", []journal.Event{genesis}, genesis, "apply genesis: genesis after the first event"},
		{"gap", nil, journal.Event{Seq: 2, Kind: journal.KindRepair}, "apply repair: follows event 0"},
		{"repeated", []journal.Event{genesis}, journal.Event{Seq: 1, Kind: journal.KindRepair}, "apply repair: follows event 1"},
		{"add", nil, add("c1", "eth0", a1, a2), ""},
		{"add without addresses", nil, add("c1", "eth0"), ""},
		{"add of held", []journal.Event{add("c1", "eth0", a1)}, add("c2", "eth0", a1), "apply add: range set 0: 10.0.0.1: held by c1/eth0"},
		{"add of held, second address", []journal.Event{add("c1", "eth0", a1)}, add("c2", "eth0", a2, a1), "apply add: range set 0: 10.0.0.1: held by c1/eth0"},
		{"add of own", []journal.Event{add("c1", "eth0", a1)}, add("c1", "eth0", a1), "apply add: range set 0: 10.0.0.1: held by c1/eth0"},
		{"add of another address by the same owner", []journal.Event{add("c1", "eth0", a1)}, add("c1", "eth0", a2), ""},
		{"add twice in one event", nil, add("c1", "eth0", a1, a1), "apply add: 10.0.0.1: listed twice"},
		{"add without container", nil, add("", "eth0", a1), "apply add: names no container"},
		{"add blocked", nil, journal.Event{Kind: journal.KindAdd, Blocked: true, Addresses: []journal.Address{a1}}, "apply add: blocked address with an owner"},
		{"import blocked with owner", nil, journal.Event{Kind: journal.KindImport, ContainerID: "c", Blocked: true, Addresses: []journal.Address{a1}}, "apply import: blocked address with an owner"},
		{"import of a cursor alone", nil, journal.Event{Kind: journal.KindImport, Cursors: []journal.Cursor{{Set: 1, IP: a1.IP}}}, ""},
		{"cursor of a negative set", nil, journal.Event{Kind: journal.KindImport, Cursors: []journal.Cursor{{Set: -1, IP: a1.IP}}}, "apply import: cursor of range set -1 at 10.0.0.1"},
		{"cursor without address", nil, journal.Event{Kind: journal.KindImport, Cursors: []journal.Cursor{{}}}, "apply import: cursor of range set 0 at invalid IP"},
		{"no zone on IPv4", nil, add("c1", "eth0", zoned), ""},
		{"zone", nil, add("c1", "eth0", zoned6), "not an address of a lease"},
		{"mapped", nil, add("c1", "eth0", mapped), "not an address of a lease"},
		{"zero address", nil, add("c1", "eth0", journal.Address{}), "not an address of a lease"},
		{"negative set", nil, add("c1", "eth0", journal.Address{Set: -1, IP: a1.IP, Bits: 24}), "not an address of a lease"},
		{"prefix too long", nil, add("c1", "eth0", journal.Address{IP: a1.IP, Bits: 33}), "not an address of a lease"},
		{"mapped gateway", nil, add("c1", "eth0", journal.Address{IP: a1.IP, Bits: 24, Gateway: mapped.IP}), "not an address of a lease"},
		{"del", []journal.Event{add("c1", "eth0", a1)}, del("c1", "eth0", a1), ""},
		{"del of nothing", nil, del("c1", "eth0"), ""},
		{"del of free", nil, del("c1", "eth0", a1), "apply del: range set 0: 10.0.0.1: not held by c1/eth0"},
		{"del of zero address", nil, del("c1", "eth0", journal.Address{}), "apply del: invalid IP is not an address of a lease"},
		{"del by another container", []journal.Event{add("c1", "eth0", a1)}, del("c2", "eth0", a1), "apply del: range set 0: 10.0.0.1: not held by c2/eth0"},
		{"del by another interface", []journal.Event{add("c1", "eth0", a1)}, del("c1", "net1", a1), "apply del: range set 0: 10.0.0.1: not held by c1/net1"},
		{"del of an add without interface", []journal.Event{add("c1", "", a1)}, del("c1", "net1", a1), "apply del: range set 0: 10.0.0.1: not held by c1/net1"},
		{"del twice in one event", []journal.Event{add("c1", "eth0", a1)}, del("c1", "eth0", a1, a1), "apply del: range set 0: 10.0.0.1: not held by c1/eth0"},
		{"annotate", []journal.Event{add("c1", "eth0", a1)}, annotate("c1", "eth0", a1), ""},
		{"annotate of nothing", []journal.Event{add("c1", "eth0", a1)}, annotate("c1", "eth0"), "apply annotate: lists no address"},
		{"annotate of free", nil, annotate("c1", "eth0", a1), "apply annotate: range set 0: 10.0.0.1: not held by c1/eth0"},
		{"annotate of held and free", []journal.Event{add("c1", "eth0", a1)}, annotate("c1", "eth0", a1, a2), "apply annotate: range set 0: 10.0.0.2: not held by c1/eth0"},
		{"annotate of zero address", nil, annotate("c1", "eth0", journal.Address{}), "apply annotate: invalid IP is not an address of a lease"},
		{"annotate of another container", []journal.Event{add("c1", "eth0", a1)}, annotate("c2", "eth0", a1), "apply annotate: range set 0: 10.0.0.1: not held by c2/eth0"},
		{"annotate of another interface", []journal.Event{add("c1", "eth0", a1)}, annotate("c1", "net1", a1), "apply annotate: range set 0: 10.0.0.1: not held by c1/net1"},
		{"annotate twice in one event", []journal.Event{add("c1", "eth0", a1)}, annotate("c1", "eth0", a1, a1), "apply annotate: range set 0: 10.0.0.1: not held by c1/eth0"},
		{"annotate of blocked", []journal.Event{{Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{a1}}}, annotate("", "", a1), "apply annotate: names no container"},
		{"annotate beyond a block", []journal.Event{{Kind: journal.KindAdd, ContainerID: "c1", NetNS: strings.Repeat("n", 3000), Addresses: []journal.Address{a1, a2}}},
			journal.Event{Kind: journal.KindAnnotate, ContainerID: "c1", Pod: journal.Pod{Name: strings.Repeat("p", 3000)}, Addresses: []journal.Address{a1, a2}},
			"apply annotate: 10.0.0.1: lease of 6048 bytes, at most 4082"},
		{"lease too long", nil, add(strings.Repeat("x", 5000), "eth0", a1), "at most 4082"},
		{"unknown kind that must be understood", nil, journal.Event{Kind: 63}, "apply kind(63): written by a newer version of leaselog"},
		{"unknown kind that may be skipped", nil, journal.Event{Kind: 64}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := state.New()
			mustApply(t, st, numbered(tt.before...)...)
			ev := tt.ev
			if ev.Seq == 0 {
				ev.Seq = st.Seq() + 1
			}
			if tt.want == "" {
				mustApply(t, st, ev)
				return
			}
			if err := st.Apply(&ev); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Apply = %v, want %q", err, tt.want)
			}
			checkRefused(t, st, tt.name, ev)
		})
	}
}

func TestUnknownKindIsNewer(t *testing.T) {
	err := state.New().Apply(&journal.Event{Seq: 1, Kind: 11})
	if !errors.Is(err, journal.ErrNewer) {
		t.Errorf("Apply = %v, want one that wraps ErrNewer", err)
	}
}

func TestLegacyOwner(t *testing.T) {
	st := state.New()
	a := addr(0, "10.0.0.1/24")
	mustApply(t, st, numbered(
		journal.Event{Kind: journal.KindImport, ContainerID: "c1", Addresses: []journal.Address{a}, Claimed: 7},
		del("c1", "eth5", a),
	)...)
	if st.Len() != 0 {
		t.Errorf("Len() = %d, want 0: a lease without interface name answers to every one", st.Len())
	}
}

func TestBlocked(t *testing.T) {
	st := state.New()
	a := addr(0, "10.0.0.1/24")
	mustApply(t, st, numbered(
		journal.Event{Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{a}},
	)...)
	if held, err := st.Held(state.Attachment{}); held != nil || err != nil {
		t.Errorf("Held(zero) = %v, %v, want nothing", held, err)
	}
	l, ok, err := st.Lease(a.IP)
	if !ok || err != nil || !l.Blocked || l.Attachment != (state.Attachment{}) {
		t.Errorf("Lease = %v, %t, %v, want a blocked one", l, ok, err)
	}
	mustApply(t, st, journal.Event{Seq: 2, Kind: journal.KindRelease, Addresses: []journal.Address{a}})
	if st.Len() != 0 {
		t.Errorf("Len() = %d, want 0", st.Len())
	}
}

func TestReset(t *testing.T) {
	st := state.New()
	digest := journal.Hash{9}
	owner := state.Attachment{ContainerID: "c1", IfName: "eth0"}
	a := addr(0, "10.0.0.1/24")
	taken := add("c1", "eth0", a)
	taken.Cursors = []journal.Cursor{{Set: 0, IP: a.IP}}
	mustApply(t, st, numbered(journal.Event{Kind: journal.KindConfig, Digest: digest}, taken)...)
	over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), st)))
	for name, st := range map[string]*state.State{"events": st, "snapshot": over} {
		mustApply(t, st, journal.Event{Seq: 3, Kind: journal.KindReset})
		if _, ok := st.Cursor(0); ok || st.Len() != 0 {
			t.Errorf("%s: a cursor or one of %d leases outlived the reset", name, st.Len())
		}
		if seq, ok := st.Config(digest); seq != 1 || !ok {
			t.Errorf("%s: Config = %d, %t, want 1, true: configurations outlive a reset", name, seq, ok)
		}
		if kind, ok := st.LastAbout(owner); kind != journal.KindReset || !ok {
			t.Errorf("%s: LastAbout = %v, %t, want reset", name, kind, ok)
		}
		mustApply(t, st, journal.Event{Seq: 4, Kind: journal.KindAdd, ContainerID: "c1", IfName: "eth0", Addresses: []journal.Address{a}})
		if kind, ok := st.LastAbout(owner); kind != journal.KindAdd || !ok {
			t.Errorf("%s: LastAbout = %v, %t, want add", name, kind, ok)
		}
	}
}

func TestNextFree(t *testing.T) {
	st := state.New()
	var events []journal.Event
	for _, s := range []string{"10.0.0.1/8", "10.0.0.2/8", "255.255.255.255/8", "fd00::/64", "fd00::1/64", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/64", "::fffe:ffff:ffff/64"} {
		events = append(events, add("c"+s, "eth0", addr(0, s)))
	}
	mustApply(t, st, numbered(events...)...)
	over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), st)))
	tests := []struct {
		name, from, to, want string
	}{
		{"free itself", "10.0.0.0", "10.0.0.9", "10.0.0.0"},
		{"after a run", "10.0.0.1", "10.0.0.9", "10.0.0.3"},
		{"last of the range", "10.0.0.1", "10.0.0.3", "10.0.0.3"},
		{"none left", "10.0.0.1", "10.0.0.2", ""},
		{"backwards", "10.0.0.9", "10.0.0.3", ""},
		{"end of IPv4", "255.255.255.255", "255.255.255.255", ""},
		{"IPv6", "fd00::", "fd00::ffff:ffff:ffff:ffff", "fd00::2"},
		{"end of IPv6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"past the mapped addresses", "::fffe:ffff:ffff", "::ffff:ffff:ffff:ffff", "::1:0:0:0"},
		{"two families", "10.0.0.1", "fd00::", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, st := range map[string]*state.State{"events": st, "snapshot": over} {
				got, ok, err := st.NextFree(ip(tt.from), ip(tt.to))
				if err != nil || ok != (tt.want != "") || ok && got != ip(tt.want) {
					t.Errorf("%s: NextFree(%s, %s) = %s, %t, %v, want %q", kind, tt.from, tt.to, got, ok, err, tt.want)
				}
			}
		})
	}
}

// TestNextFreeBigRuns steps over pages with changes inside one long run of the snapshot.
func TestNextFreeBigRuns(t *testing.T) {
	st := state.New()
	first := ip("10.0.0.0")
	for i, a := 0, first; i < 5000; i, a = i+1, a.Next() {
		ev := add(fmt.Sprint("c", i), "eth0", journal.Address{IP: a, Bits: 8})
		ev.Seq = st.Seq() + 1
		mustApply(t, st, ev)
	}
	over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), st)))
	for name, st := range map[string]*state.State{"events": st, "snapshot": over} {
		ev := add("beyond", "eth0", addr(0, "10.0.200.0/8")) // a page with changes after the run
		ev.Seq = st.Seq() + 1
		mustApply(t, st, ev)
		if got, ok, err := st.NextFree(first, ip("10.255.255.255")); got != ip("10.0.19.136") || !ok || err != nil {
			t.Errorf("%s: NextFree = %s, %t, %v, want 10.0.19.136", name, got, ok, err)
		}
	}
	for _, gone := range []int{4999, 4000, 2100, 2000, 300} {
		a := ip("10.0.0.0")
		for range gone {
			a = a.Next()
		}
		for name, st := range map[string]*state.State{"events": st, "snapshot": over} {
			ev := del(fmt.Sprint("c", gone), "eth0", journal.Address{IP: a, Bits: 8})
			ev.Seq = st.Seq() + 1
			mustApply(t, st, ev)
			if got, ok, err := st.NextFree(first, ip("10.255.255.255")); got != a || !ok || err != nil {
				t.Errorf("%s: NextFree = %s, %t, %v, want %s", name, got, ok, err, a)
			}
		}
	}
}

func TestRefusedLately(t *testing.T) {
	boot := journal.BootID{1}
	refuse := func(at time.Duration, code int, id string, pod journal.Pod) journal.Event {
		return journal.Event{Kind: journal.KindRefuse, Clock: journal.Clock{Boot: boot, BootTime: int64(at)},
			Code: code, ContainerID: id, IfName: "eth0", Pod: pod}
	}
	pod := journal.Pod{Namespace: "ns", Name: "web", UID: "u1"}
	named := journal.Pod{Namespace: "ns", Name: "web"}
	base := []journal.Event{
		refuse(100*time.Second, 100, "c1", pod),
		refuse(100*time.Second, 101, "c2", named),
		refuse(100*time.Second, 102, "c3", journal.Pod{}),
	}
	otherBoot := refuse(110*time.Second, 100, "c1", pod)
	otherBoot.Boot = journal.BootID{2}
	otherIfName := refuse(110*time.Second, 102, "c3", journal.Pod{})
	otherIfName.IfName = "net1"
	tests := []struct {
		name string
		ev   journal.Event
		want bool
	}{
		{"same UID, other container", refuse(110*time.Second, 100, "c9", pod), true},
		{"after 60 s", refuse(160*time.Second, 100, "c1", pod), true},
		{"after more than 60 s", refuse(160*time.Second+1, 100, "c1", pod), false},
		{"other code", refuse(110*time.Second, 101, "c1", pod), false},
		{"other UID of the same name", refuse(110*time.Second, 100, "c1", journal.Pod{Namespace: "ns", Name: "web", UID: "u2"}), false},
		{"other boot", otherBoot, false},
		{"same name", refuse(110*time.Second, 101, "c9", named), true},
		{"other namespace", refuse(110*time.Second, 101, "c2", journal.Pod{Namespace: "xx", Name: "web"}), false},
		{"same attachment", refuse(110*time.Second, 102, "c3", journal.Pod{}), true},
		{"other interface", otherIfName, false},
		{"from the future", refuse(99*time.Second, 102, "c3", journal.Pod{}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := state.New()
			mustApply(t, st, numbered(base...)...)
			if got := st.RefusedLately(&tt.ev); got != tt.want {
				t.Errorf("RefusedLately = %t, want %t", got, tt.want)
			}
		})
	}
}

func TestRefusedLatelyInAll(t *testing.T) {
	st := state.New()
	ask := journal.Event{Kind: journal.KindRefuse, Code: 100, ContainerID: "new"}
	for i := range 200 {
		// From the 140th on they come within the minute before the question.
		at := int64(i) * int64(10*time.Second)
		if i >= 140 {
			at = int64(1400*time.Second) + int64(i)
		}
		ask.BootTime = at + int64(time.Minute)
		if got, want := st.RefusedLately(&ask), i > 199; got != want {
			t.Fatalf("after %d refusals: RefusedLately = %t, want %t", i, got, want)
		}
		mustApply(t, st, journal.Event{Seq: st.Seq() + 1, Kind: journal.KindRefuse, Code: 100,
			ContainerID: fmt.Sprint("c", i), Clock: journal.Clock{BootTime: at}})
	}
	ask.BootTime = int64(1400*time.Second) + int64(time.Minute) + 140
	if !st.RefusedLately(&ask) {
		t.Error("RefusedLately = false after 60 refusals in a minute, want true")
	}
	ask.BootTime++
	if st.RefusedLately(&ask) {
		t.Error("RefusedLately = true with 59 refusals in the last minute, want false")
	}
}

// TestLongHistory checks that memory follows the leases, not the events.
func TestLongHistory(t *testing.T) {
	st := state.New()
	a := addr(0, "10.0.0.1/24")
	stay := add("stay", "eth0", addr(0, "10.0.0.2/24"))
	stay.Seq = 1
	mustApply(t, st, stay)
	const containers, remembered = 100_000, 2000
	for i := range containers {
		id := fmt.Sprintf("%064x", i)
		taken, given := add(id, "eth0", a), del(id, "eth0", a)
		taken.Seq, given.Seq = st.Seq()+1, st.Seq()+2
		mustApply(t, st, taken, given)
		past := state.Attachment{ContainerID: fmt.Sprintf("%064x", max(0, i-remembered)), IfName: "eth0"}
		if kind, ok := st.LastAbout(past); kind != journal.KindDel || !ok {
			t.Fatalf("after %d containers: LastAbout(%s) = %v, %t, want del", i, past.ContainerID, kind, ok)
		}
	}
	if got, most := st.ArenaBytes(), 8<<20; got > most {
		t.Errorf("overlay of %d bytes for one lease, want at most %d", got, most)
	}
	if held, err := st.Held(state.Attachment{ContainerID: "stay", IfName: "eth0"}); len(held) != 1 || err != nil {
		t.Errorf("Held = %v, %v, want one lease", held, err)
	}
}

func TestApplyKeepsNothing(t *testing.T) {
	st := state.New()
	ev := add("c1", "eth0", addr(0, "10.0.0.1/24"))
	ev.Seq = 1
	ev.Cursors = []journal.Cursor{{Set: 0, IP: ip("10.0.0.1")}}
	mustApply(t, st, ev)
	ev.Addresses[0], ev.Cursors[0] = addr(0, "10.0.0.9/24"), journal.Cursor{IP: ip("10.0.0.9")}
	if _, ok, _ := st.Lease(ip("10.0.0.1")); !ok {
		t.Error("the lease changed with the event's slice")
	}
	if c, _ := st.Cursor(0); c != ip("10.0.0.1") {
		t.Errorf("Cursor = %s, want 10.0.0.1", c)
	}
	if got, want := st.Cursors(), []journal.Cursor{{Set: 0, IP: ip("10.0.0.1")}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Cursors = %v, want %v", got, want)
	}
}
