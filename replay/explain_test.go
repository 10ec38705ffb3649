package replay_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// explainer reads events and takes the next ADD to come with the ranges of the newest one.
func explainer(t *testing.T, events []journal.Event, o replay.Options) *replay.Explainer {
	t.Helper()
	e := &replay.Explainer{History: read(t, events, o), Live: true, Boot: boot1}
	st, b := state.New(), &replay.Standing{Why: "there was no ADD"}
	for i := range events {
		ev := events[i]
		if err := st.Apply(&ev); err != nil {
			t.Fatal(err)
		}
		if ev.Kind == journal.KindAdd {
			b.Add, b.Config, b.Sets, b.Why = ev.Seq, ev.Config, nil, ""
			sets := ev.Ranges
			if ev.Config != 0 {
				sets = append(slices.Clip(sets), events[ev.Config-1].Ranges...)
			}
			for _, set := range sets {
				var s allocator.RangeSet
				for _, r := range set {
					s = append(s, allocator.Range(r))
				}
				b.Sets = append(b.Sets, s)
			}
		}
	}
	if o.Wiped {
		st = state.New()
	}
	b.Leases, b.All = st, st.Leases()
	e.Standing = b
	return e
}

func one(subnet, start, end, gateway string) []journal.Range {
	return []journal.Range{{Subnet: netip.MustParsePrefix(subnet), Start: netip.MustParseAddr(start), End: netip.MustParseAddr(end),
		Gateway: netip.MustParseAddr(gateway)}}
}

// lease is an ADD with the configuration of event 2, after which the cursor stands at its address.
func lease(c journal.Clock, id string, ip netip.Addr) journal.Event {
	ev := event(journal.KindAdd, c, id, ip)
	ev.Config, ev.Cursors = 2, []journal.Cursor{{IP: ip}}
	return ev
}

func refusal(c journal.Clock, id string, code int, text string, requested ...netip.Addr) journal.Event {
	ev := event(journal.KindRefuse, c, id)
	ev.Code, ev.Text, ev.Requested = code, text, requested
	return ev
}

func TestExplainAddress(t *testing.T) {
	config := event(journal.KindConfig, at(1), "")
	config.Ranges, config.Digest = [][]journal.Range{one("10.0.0.0/29", "10.0.0.2", "10.0.0.5", "10.0.0.1")}, journal.Hash{1}
	full := config
	full.Ranges = append(slices.Clone(config.Ranges), one("10.0.1.0/30", "10.0.1.1", "10.0.1.1", "10.0.1.1"))
	blocked := event(journal.KindImport, at(3), "", addrA)
	blocked.Blocked = true
	imported := event(journal.KindImport, at(3), "a", addrA)
	imported.Claimed = epoch - 5e9
	withCall := lease(at(9), "call", netip.MustParseAddr("10.7.0.2"))
	withCall.Ranges = [][]journal.Range{one("10.7.0.0/24", "10.7.0.2", "10.7.0.9", "10.7.0.1")}
	dropped := lease(at(9), "d", addrB)
	dropped.Config, dropped.Dropped = 0, []string{"ranges"}
	del := ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonDel)
	other := netip.MustParseAddr("10.0.0.4")
	successor := journalOf(config, lease(at(5), "a", addrA))
	successor[0].Origin = journal.Origin{Parent: journal.ID{7}, ParentSeq: 9}
	successor[0].Attributes = []journal.Attribute{{Key: journal.AttributeLost, Value: "3"}}
	tests := []struct {
		name   string
		events []journal.Event
		o      replay.Options
		ip     string
		boot   journal.BootID // of the node now; zero is boot1
		looked bool
		want   []string // parts of sentences, in order, each of another one
		not    string
	}{
		{"held", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.2", boot1, false, []string{
			"is held by container a, eth0 since 2023-11-14T22:13:25Z: event 3 gave it.",
			"No event up to the newest one (event 3) ends the lease",
			"requests it, if it comes with the ranges of the newest one (event 3), is refused with code 102, failed to allocate for range 0: requested IP address 10.0.0.2 is not available",
		}, "boot of the node"},
		{"held since an earlier boot", journalOf(config, lease(at(5), "a", addrA), lease(at(6), "b", addrB), lease(inBoot2(at(1)), "c", other)), replay.Options{}, "10.0.0.2", boot2, false, []string{
			"is held by container a", "of an earlier boot of the node: that boot's last event is event 4, and event 5 is of another boot",
			"The next call releases it where reclaimOnBoot is on", "unless reclaimOnBoot is on",
		}, "No event up to"},
		{"held since an earlier boot, looked at", journalOf(config, lease(at(5), "a", addrA), lease(inBoot2(at(1)), "c", other)), replay.Options{}, "10.0.0.2", boot2, true, []string{
			"of an earlier boot", "have left it: only an ADD that it is in the way of looks again",
		}, "The next call releases"},
		{"held before the node booted, no call since", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.2", boot2, false, []string{
			"no call of this boot has recorded an event since event 3", "The next call releases it",
		}, "No event up to"},
		{"blocked", journalOf(config, blocked, lease(at(5), "b", addrB)), replay.Options{}, "10.0.0.2", boot1, false, []string{
			"is held by an unknown owner", "It is blocked", "refused with code 102",
		}, "unless reclaimOnBoot"},
		{"imported", journalOf(config, imported, lease(at(5), "b", addrB)), replay.Options{}, "10.0.0.2", boot1, false, []string{
			"event 3 took it over, and its source says it was held since 2023-11-14T22:13:15Z", "No event up to the newest one (event 4)",
		}, ""},
		{"free, next", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.3", boot1, false, []string{
			"10.0.0.3 is free: nobody holds it, and it is in a range of the network (10.0.0.2-10.0.0.5; event 2)", "No event has ever given it",
			"gets it, if it comes with the ranges of the newest one (event 3): the search in range set 0 begins behind 10.0.0.2, where the cursor stands.", "(event 3), gets it.",
		}, ""},
		{"free, held before", journalOf(config, lease(at(5), "a", addrA), lease(at(6), "b", addrB), del), replay.Options{}, "10.0.0.2", boot1, false, []string{
			"is free", "held last by container a, eth0, since 2023-11-14T22:13:25Z (event 3), until event 5 released it at 2023-11-14T22:13:40Z (del)",
			"gets 10.0.0.4, if it comes with the ranges of the newest one (event 4): the search in range set 0 begins behind 10.0.0.3, where the cursor stands, and comes to 2 free addresses before this one",
		}, ""},
		{"free, the one after next", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.4", boot1, false, []string{"comes to 1 free address before this one"}, ""},
		{"free, but another set is full", journalOf(full, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.3", boot1, false, []string{
			"is free", "Yet the next ADD is refused with code 100", "range 1: no IP addresses available in range set: 10.0.1.1-10.0.1.1",
		}, ""},
		{"gateway", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.0.0.1", boot1, false, []string{
			"is a gateway of the network (10.0.0.2-10.0.0.5; event 2)", "No event has ever", "is refused with code 102",
		}, "free"},
		{"not ours", journalOf(config, lease(at(5), "a", addrA)), replay.Options{}, "10.9.0.1", boot1, false, []string{
			"is in none of the network's ranges: 10.0.0.2-10.0.0.5; event 2", "No event has ever", "refused with code 102, failed to allocate all requested IPs: 10.9.0.1",
		}, "free"},
		{"of a call's own ranges", journalOf(config, withCall, lease(at(10), "a", addrA)), replay.Options{}, "10.7.0.3", boot1, false, []string{
			"is free", "The newest ADD (event 4) came without the range", "refused with code 102, failed to allocate all requested IPs",
		}, ""},
		{"no ADD yet", journalOf(config), replay.Options{}, "10.0.0.2", boot1, false, []string{"What 10.0.0.2 is, is unknown: which addresses the network gives out is not recorded"}, "free"},
		{"ranges dropped", journalOf(config, dropped), replay.Options{}, "10.0.0.4", boot1, false, []string{"is unknown"}, "free"},
		{"in a store that has succeeded another", successor, replay.Options{}, "10.0.0.3", boot1, false, []string{
			"is free", "That is uncertain: events of journal 07000000000000000000000000000000 are lost, at most 3",
			"No event of this journal gives it to anybody; what was before 2023-11-14T22:13:20Z is told by journal 07000000000000000000000000000000",
		}, "No event has ever"},
		{"wiped", journalOf(config, lease(at(5), "a", addrA)), replay.Options{Wiped: true}, "10.0.0.2", boot1, false, []string{
			"data folder was deleted", "is free", "held last by container a, eth0, since 2023-11-14T22:13:25Z (event 3); no event tells the end", "begins at the beginning, since there is no cursor",
		}, "is held by"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := explainer(t, tt.events, tt.o)
			e.Boot, e.Looked = tt.boot, tt.looked
			said, err := e.Address(netip.MustParseAddr(tt.ip))
			if err != nil {
				t.Fatal(err)
			}
			expectSaid(t, said, tt.want, tt.not, len(tt.events))
		})
	}
}

// expectSaid looks for parts of sentences in order, and that each sentence names events that there are.
func expectSaid(t *testing.T, said []replay.Sentence, want []string, not string, events int) {
	t.Helper()
	all, at := "", 0
	for _, s := range said {
		all += s.Text + "\n"
		if at < len(want) && strings.Contains(s.Text, want[at]) {
			at++
		}
		if len(s.Events) == 0 && !strings.Contains(s.Text, "at least") && !strings.Contains(s.Text, "newest 5") {
			t.Errorf("%q rests on no event", s.Text)
		}
		for _, seq := range s.Events {
			if seq == 0 || int(seq) > events {
				t.Errorf("%q rests on event %d, of %d", s.Text, seq, events)
			}
		}
		for _, m := range regexp.MustCompile(`\(event (\d+)\)`).FindAllStringSubmatch(s.Text, -1) {
			if !slices.ContainsFunc(s.Events, func(seq journal.Seq) bool { return fmt.Sprint(seq) == m[1] }) {
				t.Errorf("%q names event %s and does not rest on it: %d", s.Text, m[1], s.Events)
			}
		}
	}
	if at < len(want) {
		t.Errorf("got\n%swithout %q in its place", all, want[at])
	}
	if not != "" && strings.Contains(all, not) {
		t.Errorf("got\n%swhich has %q", all, not)
	}
}

// TestExplainNext: the order that is told for a free address is the one in which ADDs then get addresses.
func TestExplainNext(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 2))
	ahead := regexp.MustCompile(`gets (\S+), if .* comes to (\d+) free`)
	for round := range 150 {
		config := event(journal.KindConfig, at(1), "")
		config.Ranges, config.Digest = [][]journal.Range{append(one("10.0.0.0/29", "10.0.0.1", "10.0.0.6", "10.0.0.3"), one("10.0.1.0/29", "10.0.1.2", "10.0.1.6", "10.0.1.1")...)}, journal.Hash{1}
		events := []journal.Event{config}
		held := map[netip.Addr]bool{}
		for i := range 1 + rnd.IntN(20) {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(2)), byte(1 + rnd.IntN(6))})
			if set := allocator.RangeSet(toRanges(config.Ranges[0])); ip == netip.MustParseAddr("10.0.0.3") || !set.Contains(ip) {
				continue
			}
			if held[ip] {
				events = append(events, event(journal.KindDel, at(int64(i+2)), "c"+ip.String(), ip))
			} else {
				events = append(events, lease(at(int64(i+2)), "c"+ip.String(), ip))
			}
			held[ip] = !held[ip]
		}
		if len(events) == 1 {
			continue
		}
		events = journalOf(events...)
		e := explainer(t, events, replay.Options{})
		order := inTurn(t, events, e.Standing.Sets)
		for i, ip := range order {
			said, err := e.Address(ip)
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, s := range said {
				text += s.Text + "\n"
			}
			m := ahead.FindStringSubmatch(text)
			switch {
			case i == 0 && !strings.Contains(text, "requests no address gets it,"):
				t.Fatalf("round %d: %s is given next: got\n%s", round, ip, text)
			case i > 0 && (m == nil || m[1] != order[0].String() || m[2] != fmt.Sprint(i)):
				t.Fatalf("round %d: %s is given after %d others, %s first: got\n%s", round, ip, i, order[0], text)
			}
		}
	}
}

func toRanges(ranges []journal.Range) []allocator.Range {
	var out []allocator.Range
	for _, r := range ranges {
		out = append(out, allocator.Range(r))
	}
	return out
}

// inTurn gives addresses until there are none.
func inTurn(t *testing.T, events []journal.Event, sets []allocator.RangeSet) []netip.Addr {
	t.Helper()
	st := state.New()
	for i := range events {
		if err := st.Apply(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	var order []netip.Addr
	for {
		choice, err := allocator.Choose(st, allocator.Request{Sets: sets})
		if err != nil {
			return order
		}
		ev := event(journal.KindAdd, at(1000), fmt.Sprint("n", len(order)), choice.Addresses[0].IP)
		ev.Seq, ev.Cursors = st.Seq()+1, choice.Cursors
		if err := st.Apply(&ev); err != nil {
			t.Fatal(err)
		}
		order = append(order, choice.Addresses[0].IP)
	}
}

func TestExplainOwner(t *testing.T) {
	config := event(journal.KindConfig, at(1), "")
	config.Ranges, config.Digest = [][]journal.Range{one("10.0.0.0/29", "10.0.0.2", "10.0.0.3", "10.0.0.1")}, journal.Hash{1}
	const fullText = "failed to allocate for range 0: no IP addresses available in range set: 10.0.0.2-10.0.0.3"
	duplicate := "failed to allocate for range 0: 10.0.0.3 has been allocated to p, duplicate allocation is not allowed"
	addA, addB := lease(at(5), "a", addrA), lease(at(6), "p", addrB)
	delA := ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonDel)
	gateway, far := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.9.0.1")
	var many []journal.Event
	for i := range 7 {
		many = append(many, refusal(at(int64(100+i*100)), "q", 100, fullText))
	}
	tests := []struct {
		name   string
		events []journal.Event
		who    string
		want   []string
		not    string
	}{
		{"nothing known", journalOf(config, addA), "q", []string{"No refusal of q is recorded", "No event names it"}, ""},
		{"never refused", journalOf(config, addA), "a", []string{"No refusal of a is recorded", "event 3 gave it 10.0.0.2; it still holds what it got"}, "names it"},
		{"full then and now", journalOf(config, addA, lease(at(6), "b", addrB), refusal(at(10), "q", 100, fullText)), "q", []string{
			"At 2023-11-14T22:13:30Z an ADD of container q, eth0 was refused with code 100: " + fullText + " (event 5).",
			"Nothing in that range set was free then; after event 5, 0 of its 2 addresses are free.",
			"Up to the newest event (event 5), no other event names it", "at least 1",
		}, ""},
		{"full then, served later", journalOf(config, addA, lease(at(6), "b", addrB), refusal(at(10), "q", 100, fullText), delA, lease(at(30), "q", addrA)), "q", []string{
			"refused with code 100", "after event 7, 0 of its 2", "event 7 gave it 10.0.0.2; it still holds what it got", "at least 1",
		}, "no other event"},
		{"duplicate, still held", journalOf(config, addB, refusal(at(10), "p", 101, duplicate)), "p", []string{
			"refused with code 101", "10.0.0.3 was held then by container p, eth0, since event 3, and still is.", "no other event names it",
		}, ""},
		{"duplicate, given back", journalOf(config, addB, refusal(at(10), "p", 101, duplicate), ended(event(journal.KindDel, at(20), "p", addrB), journal.ReasonDel)), "p", []string{
			"was held then by container p, eth0, since event 3; event 5 released it at 2023-11-14T22:13:40Z (del)", "a del about it followed (event 5): 10.0.0.3",
		}, "still is"},
		{"requested", journalOf(config, addA, refusal(at(10), "q", 102, "not available", addrA, gateway, far), delA), "q", []string{
			"that requested 10.0.0.2, 10.0.0.1, 10.9.0.1 was refused with code 102: not available (event 4)",
			"10.0.0.2 was held then by container a, eth0, since event 3; event 5 released it", "10.0.0.1 was a gateway", "10.9.0.1 was in none of the network's ranges then",
		}, ""},
		{"ranges not known then", journalOf(refusal(at(2), "q", 102, "not available", addrA)), "q", []string{"What 10.0.0.2 was then is unknown"}, ""},
		{"many", journalOf(append([]journal.Event{config, addA}, many...)...), "q", []string{
			"7 refusals are recorded; what follows are the newest 5.", "(event 6)", "(event 10)", "at least 7",
		}, "(event 5)"},
		{"a DEL without a lease", journalOf(config, refusal(at(10), "q", 100, "full"), event(journal.KindDel, at(11), "q")), "q", []string{
			"refused", "a del about it followed (event 4), which had nothing to release",
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r replay.Refused
			for i := range tt.events {
				if tt.events[i].ContainerID == tt.who {
					r.Take(&tt.events[i])
				}
			}
			addrs := r.Addresses()
			e := explainer(t, tt.events, replay.Options{Keep: func(l *state.Lease) bool { return slices.Contains(addrs, l.IP) }})
			said, err := e.Owner(tt.who, &r)
			if err != nil {
				t.Fatal(err)
			}
			expectSaid(t, said, tt.want, tt.not, len(tt.events))
		})
	}
}
