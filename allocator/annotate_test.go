package allocator_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// imported returns the import of a lease of whose owner nothing else is known.
func imported(id, ifname string, ips ...string) *journal.Event {
	ev := &journal.Event{Kind: journal.KindImport, ContainerID: id, IfName: ifname, Blocked: id == ""}
	for _, ip := range ips {
		ev.Addresses = append(ev.Addresses, journal.Address{IP: netip.MustParseAddr(ip), Bits: 16})
	}
	return ev
}

// known returns what a cache would know of an attachment.
func known(id, ifname string, ips ...string) allocator.Annotation {
	k := allocator.Annotation{Owner: state.Attachment{ContainerID: id, IfName: ifname}, NetNS: "/run/netns/" + id + ifname,
		NetNSID: journal.NetNSID{Inode: 7, Made: 8}, Pod: journal.Pod{Namespace: "ns", Name: "pod-" + id + ifname}}
	for _, ip := range ips {
		k.Addresses = append(k.Addresses, netip.MustParseAddr(ip))
	}
	return k
}

// annotated has a store annotated: first as a dry run, which must change nothing and say the same.
func annotated(t *testing.T, s *allocator.Store, a allocator.Annotations) []allocator.Annotated {
	t.Helper()
	root := filepath.Dir(filepath.Dir(s.Dir()))
	before := tree(t, root)
	dry, err := s.Annotate(a, true)
	if err != nil {
		t.Fatalf("dry run: %v", err)
	}
	if !maps.Equal(before, tree(t, root)) {
		t.Error("the dry run changed something")
	}
	done, err := s.Annotate(a, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dry, done) {
		t.Errorf("added %+v, by the dry run it would be %+v", done, dry)
	}
	if again, err := s.Annotate(a, false); err != nil || slices.ContainsFunc(again, func(one allocator.Annotated) bool { return !one.TooLong }) {
		t.Errorf("again: %+v, %v; want nothing to add", again, err)
	}
	return done
}

// TestAnnotate fills in what is missing of leases of every kind, and nothing else.
func TestAnnotate(t *testing.T) {
	pod, netns := journal.Pod{Name: "recorded"}, "/recorded"
	withPod, withNetNS, withBoth := imported("pod", "eth0", "10.1.1.2"), imported("netns", "eth0", "10.1.1.3"), imported("both", "eth0", "10.1.1.4")
	withPod.Pod, withNetNS.NetNS, withBoth.Pod, withBoth.NetNS = pod, netns, pod, netns
	halfKnown := imported("mixed", "eth0", "10.1.2.8")
	halfKnown.NetNS = netns
	nothing := known("nothing", "eth0")
	nothing.NetNS, nothing.Pod = "", journal.Pod{}
	s := newStore(t)
	add(t, s, 1) // without a namespace, too
	appendTo(t, s, imported("c2", "eth0", "10.1.1.1", "2001:db8::9"), withPod, withNetNS, withBoth, imported("", "", "10.1.1.5"),
		imported("old", "", "10.1.2.1"), imported("two", "", "10.1.2.2"), imported("told", "", "10.1.2.3"), imported("moved", "eth0", "10.1.2.4"),
		imported("nothing", "eth0", "10.1.2.5"), imported("stranger", "eth0", "10.1.2.6"), imported("mixed", "eth0", "10.1.2.7"), halfKnown)
	before := heldNow(t, s)
	n := len(events(t, s))
	done := annotated(t, s, allocator.Annotations{Source: "cni-cache", AsOf: 1 << 40, Known: []allocator.Annotation{
		known("c1", "eth0"), known("c1", "net1"), known("c2", "eth0", "10.1.1.1", "2001:db8::9"), known("pod", "eth0"), known("netns", "eth0"),
		known("both", "eth0"), known("", ""), known("old", "eth0"), known("two", "eth0"), known("two", "net1"),
		known("told", "eth0", "10.1.9.9"), known("told", "net1", "10.1.2.3"), known("moved", "eth0", "10.1.9.8"), known("mixed", "eth0"), nothing, known("gone", "eth0")}})
	want := map[string]string{ // what is added, and of which attachment it is known
		"10.1.0.2": "netns pod c1eth0", "2001:db8::2": "netns pod c1eth0", "10.1.1.1": "netns pod c2eth0", "2001:db8::9": "netns pod c2eth0",
		"10.1.1.2": "netns podeth0", "10.1.1.3": "pod netnseth0", "10.1.2.1": "netns pod oldeth0", "10.1.2.3": "netns pod toldnet1",
		"10.1.2.7": "netns pod mixedeth0", "10.1.2.8": "pod mixedeth0",
	}
	got := map[string]string{}
	as := maps.Clone(before)
	for _, one := range done {
		l := before[one.Lease.IP]
		var added []string
		from := ""
		if one.NetNS {
			added, from = append(added, "netns"), strings.TrimPrefix(one.Lease.NetNS, "/run/netns/")
			l.NetNS, l.NetNSID = one.Lease.NetNS, journal.NetNSID{Inode: 7, Made: 8}
		}
		if one.Pod {
			added, from = append(added, "pod"), strings.TrimPrefix(one.Lease.Pod.Name, "pod-")
			l.Pod = journal.Pod{Namespace: "ns", Name: one.Lease.Pod.Name}
		}
		as[l.IP] = l
		got[one.Lease.IP.String()] = strings.Join(append(added, from), " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("added\n%v, want\n%v", got, want)
	}
	if after := heldNow(t, s); !maps.Equal(after, as) {
		t.Errorf("held are\n%+v, want\n%+v", after, as)
	}
	for _, ev := range events(t, s)[n:] {
		if ev.Kind != journal.KindAnnotate || len(ev.Attributes) != 1 || ev.Attributes[0] != (journal.Attribute{Key: "source", Value: "cni-cache"}) || ev.Version != "test" {
			t.Errorf("recorded %+v", ev)
		}
	}
	if got := len(events(t, s)) - n; got != 8 {
		t.Errorf("%d events, want one for each of 7 attachments, and one more where not the same was added to all", got)
	}
}

// TestAnnotateLeavesAlone changes leases between the finding and the annotating.
func TestAnnotateLeavesAlone(t *testing.T) {
	s := newStore(t)
	for n := range 4 {
		add(t, s, n)
	}
	last := journal.Seq(len(events(t, s)))
	add(t, s, 4)
	a := allocator.Annotations{Source: "test", AsOf: last, Known: []allocator.Annotation{known("c0", "eth0"), known("c1", "eth0"), known("c2", "eth0"),
		known("c3", "eth0"), known("c4", "eth0")}}
	found, err := s.Annotate(a, true)
	if err != nil || len(found) != 8 {
		t.Fatalf("found %d leases, %v; want two of each of the first four", len(found), err)
	}
	release(t, s, 0)
	held, err := s.Check(owner(1))
	if err != nil {
		t.Fatal(err)
	}
	release(t, s, 1)
	if _, err := s.Add(request(t, 1, held[0].IP.String(), held[1].IP.String())); err != nil {
		t.Fatal(err)
	}
	podOnly := known("c2", "eth0")
	podOnly.NetNS, podOnly.Pod.Name = "", "another"
	if _, err := s.Annotate(allocator.Annotations{AsOf: last, Known: []allocator.Annotation{podOnly}}, false); err != nil {
		t.Fatal(err)
	}
	n := len(events(t, s))
	rest, done, err := s.AnnotateBatch(a, found)
	if err != nil || len(rest) != 0 || len(done) != 2 || done[0].Lease.Attachment != owner(3) || done[1].Lease.Attachment != owner(3) {
		t.Errorf("annotated %+v, left %v, %v; want the two leases that did not change", done, rest, err)
	}
	if got := events(t, s)[n:]; len(got) != 1 || got[0].ContainerID != "c3" {
		t.Errorf("recorded %+v, want one event of c3", got)
	}
	for ip, l := range heldNow(t, s) {
		if l.ContainerID == "c4" && l.Pod != (journal.Pod{}) {
			t.Errorf("%s, given after what is known, was annotated: %+v", ip, l)
		}
	}
}

// TestAnnotateInBatches annotates more than one batch holds: the lock is given up in between.
func TestAnnotateInBatches(t *testing.T) {
	s := newBusyStore(t)
	const many = 300
	a := allocator.Annotations{Source: "test", AsOf: 1 << 40}
	for n := range many {
		add(t, s, n)
		k := known(fmt.Sprintf("c%d", n), "eth0")
		k.Pod.UID = strings.Repeat("u", 200)
		a.Known = append(a.Known, k)
	}
	found, err := s.Annotate(a, true)
	if err != nil || len(found) != 2*many {
		t.Fatalf("found %d leases, %v; want %d", len(found), err, 2*many)
	}
	rest, first, err := s.AnnotateBatch(a, found)
	if err != nil || len(rest) == 0 || len(first) == 0 || len(rest)+len(first) != 2*many {
		t.Errorf("under one lock %d leases were annotated and %d are left, %v; want some of %d each", len(first), len(rest), err, 2*many)
	}
	if done := annotated(t, s, a); len(done) != len(rest) {
		t.Errorf("%d leases annotated, want the %d that were left", len(done), len(rest))
	}
	batches := map[journal.Seq]bool{}
	annotations := 0
	for _, ev := range events(t, s) {
		if ev.Kind == journal.KindAnnotate {
			batches[ev.Synced] = true
			annotations++
		}
	}
	if annotations != many || len(batches) < 3 || len(batches) > many/10 {
		t.Errorf("%d events in %d batches, want %d in several", annotations, len(batches), many)
	}
	for ip, l := range heldNow(t, s) {
		if l.Pod.Name != "pod-"+l.ContainerID+"eth0" {
			t.Errorf("%s of %s is annotated as %s", ip, l.ContainerID, l.Pod.Name)
		}
	}
}

// TestAnnotateTooLong meets what has no room in a lease: it stays as it is, and the store can be used on.
func TestAnnotateTooLong(t *testing.T) {
	s := newStore(t)
	long := imported(strings.Repeat("c", 2000), "eth0", "10.1.1.1")
	long.NetNS = "/" + strings.Repeat("n", 1000)
	var many []string
	for n := range 60 {
		many = append(many, fmt.Sprintf("10.1.2.%d", n))
	}
	add(t, s, 0)
	appendTo(t, s, long, imported("many", "eth0", many...), imported("c3", "eth0", "10.1.1.3"))
	tooLong, roomy := known(long.ContainerID, "eth0"), known("many", "eth0")
	tooLong.Pod = journal.Pod{UID: strings.Repeat("u", 1060)} // too long with the namespace that the lease has
	roomy.Pod.UID = strings.Repeat("u", 3600)
	n := len(events(t, s))
	done := annotated(t, s, allocator.Annotations{Source: "test", AsOf: 1 << 40, Known: []allocator.Annotation{tooLong, roomy, known("c3", "eth0")}})
	if len(done) != 62 {
		t.Errorf("%d leases, want 62", len(done))
	}
	for _, one := range done {
		if one.TooLong != (one.Lease.ContainerID == long.ContainerID) {
			t.Errorf("%s of %s: too long is %v", one.Lease.IP, one.Lease.ContainerID[:2], one.TooLong)
		}
	}
	recorded := events(t, s)[n:]
	for _, ev := range recorded {
		if len(ev.Dropped) > 0 || ev.NetNS == "" || ev.Pod == (journal.Pod{}) || len(ev.Attributes) == 0 {
			t.Errorf("event %d is not whole: dropped %v", ev.Seq, ev.Dropped)
		}
	}
	if len(recorded) < 3 || len(recorded) > 6 {
		t.Errorf("%d events, want one of c3 and some of the many", len(recorded))
	}
	for ip, l := range heldNow(t, s) {
		if l.ContainerID == "many" && l.Pod.UID != roomy.Pod.UID {
			t.Errorf("%s is not annotated", ip)
		}
	}
	add(t, s, 1)
}

func TestAnnotateWithoutAStore(t *testing.T) {
	s := newStore(t)
	for _, dry := range []bool{true, false} {
		if done, err := s.Annotate(allocator.Annotations{}, dry); !errors.Is(err, journal.ErrNoStore) || len(done) > 0 {
			t.Errorf("dry %v: %v, %v; want ErrNoStore", dry, done, err)
		}
	}
	if all := tree(t, filepath.Dir(s.Folder())); len(all) > 1 {
		t.Errorf("it made %v", all)
	}
}

// TestRepairCarriesAnnotations loses an event of a journal with annotations: what they say of a lease goes on with it, each
// address by itself, and that there is one is known from them where the ADD is lost.
func TestRepairCarriesAnnotations(t *testing.T) {
	s := newStore(t)
	for n := 1; n <= 3; n++ { // events 3, 4, 5
		add(t, s, n)
	}
	held := heldNow(t, s)
	note := func(n int, leases ...state.Lease) *journal.Event {
		ev := &journal.Event{Kind: journal.KindAnnotate, ContainerID: owner(n).ContainerID, IfName: owner(n).IfName, NetNS: "/run/netns/annotated",
			NetNSID: journal.NetNSID{Inode: 7, Made: 8}, Pod: journal.Pod{Name: "annotated"}}
		for _, l := range leases {
			ev.Addresses = append(ev.Addresses, l.Address)
		}
		return ev
	}
	of := func(n int) []state.Lease {
		found, err := s.Check(owner(n))
		if err != nil || len(found) != 2 {
			t.Fatalf("%v holds %v, %v", owner(n), found, err)
		}
		return found
	}
	first, third := of(1), of(3)
	known := note(9, state.Lease{Address: journal.Address{IP: netip.MustParseAddr("10.1.0.200"), Bits: 16}})
	known.Kind = journal.KindAdd
	appendTo(t, s, note(1, first[0]), note(3, third...), known) // events 6, 7, 8
	root := filepath.Dir(filepath.Dir(s.Dir()))
	good := tree(t, root)
	annotated := heldNow(t, s)
	for _, tt := range []struct {
		lost      journal.Seq
		kept      int
		uncertain int
		annotated int
	}{
		{4, 5, 1, 4}, // another container's ADD: one address of the first is not annotated
		{5, 7, 3, 4}, // the third's ADD
		{6, 7, 4, 3}, // an annotation
		{7, 7, 6, 2},
	} {
		restore(t, root, good)
		damageEvent(t, s, tt.lost)
		if m := repaired(t, s); m.Kept != tt.kept || m.Uncertain != tt.uncertain {
			t.Errorf("event %d lost: %+v, want %d leases, %d of them uncertain", tt.lost, m, tt.kept, tt.uncertain)
		}
		n := 0
		for ip, l := range heldNow(t, s) {
			if l.NetNSID != (journal.NetNSID{}) {
				n++
			}
			want := annotated[ip]
			if l.NetNS != want.NetNS {
				want = held[ip]
			}
			if l.Attachment != want.Attachment || l.Address != want.Address || l.NetNS != want.NetNS || l.NetNSID != want.NetNSID || l.Pod != want.Pod {
				t.Errorf("event %d lost: carried over %+v, want as %+v", tt.lost, l, want)
			}
		}
		if n != tt.annotated {
			t.Errorf("event %d lost: %d leases are annotated, want %d", tt.lost, n, tt.annotated)
		}
	}
}
