package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// account is what the ledger is held against: a world, calls and the events that they left.
type account struct {
	w      *world
	calls  []*call
	events []journal.Event
}

// newAccount has c1 hold an address and then: c2's ADD, c1's DEL, a refused ADD of c2, a DEL of c1
// that holds nothing any more and is not told, a GC that ends what c2 has.
func newAccount(t *testing.T) account {
	t.Helper()
	p := plans[5]
	ip := func(n int) netip.Addr { return host(p.sets[0][0].subnet, n) }
	address := func(n int) []journal.Address {
		return []journal.Address{{IP: ip(n), Bits: 29, Gateway: ip(1)}}
	}
	clock := journal.Clock{Wall: 1, BootTime: 1}
	event := func(kind journal.Kind, id string) journal.Event {
		return journal.Event{Kind: kind, ContainerID: id, IfName: "eth0", Clock: clock, Version: versionHere}
	}
	w := &world{m: newModel(), exists: true, stats: map[string]int{}}
	w.network.Name = "pods"
	config := event(journal.KindConfig, "")
	config.IfName, config.Ranges, config.Digest = "", toRanges(p.sets), digest(toRanges(p.sets))
	first := event(journal.KindAdd, "c1")
	first.Addresses, first.Cursors, first.Config = address(2), []journal.Cursor{{IP: ip(2)}}, 2
	for i, ev := range []journal.Event{event(journal.KindGenesis, ""), config, first} {
		ev.Seq = journal.Seq(i + 1)
		w.facts = append(w.facts, factOf(&ev))
		if err := w.m.apply(&ev); err != nil {
			t.Fatal(err)
		}
	}
	made := func(verb, id, netns string, code int, ips ...netip.Addr) *call {
		return &call{verb: verb, who: owner{id, "eth0"}, plan: p, netns: netns, version: versionHere, clock: clock,
			exact: true, answered: true, code: code, ips: ips}
	}
	refused := made("ADD", "c2", "n3", codeDuplicate)
	refused.text = "has one"
	add, del, refuse, gc := event(journal.KindAdd, "c2"), event(journal.KindDel, "c1"), event(journal.KindRefuse, "c2"), event(journal.KindDel, "c2")
	add.Addresses, add.Cursors, add.Config, add.NetNS = address(3), []journal.Cursor{{IP: ip(3)}}, 2, "n1"
	del.Addresses, del.Reason, del.NetNS = address(2), journal.ReasonDel, "n2"
	refuse.Code, refuse.Text, refuse.Config, refuse.NetNS = codeDuplicate, refused.text, 2, "n3"
	gc.Addresses, gc.Reason, gc.NetNS = address(3), journal.ReasonGC, "n1"
	a := account{w: w, events: []journal.Event{add, del, refuse, gc},
		calls: []*call{made("ADD", "c2", "n1", 0, ip(3)), made("DEL", "c1", "n2", 0), refused, made("DEL", "c1", "n4", 0), made("GC", "", "", 0)}}
	for i := range a.events {
		a.events[i].Seq = journal.Seq(i + 4)
	}
	return a
}

// TestLedger: the ledger accepts what happened, and nothing that differs from it in one thing.
func TestLedger(t *testing.T) {
	other := netip.MustParseAddr("10.5.0.6")
	tests := []struct {
		name string
		edit func(a *account)
		want string // of the violation, "" for none
	}{
		{"as it was", func(*account) {}, ""},
		{"killed, and there", func(a *account) { a.calls[0].answered = false }, ""},
		{"acknowledged, not there", func(a *account) { a.drop(0) }, "not in the journal"},
		{"DEL acknowledged, not there", func(a *account) { a.drop(1) }, "not in the journal"},
		{"refused, not there", func(a *account) { a.drop(2) }, "not in the journal"},
		{"GC acknowledged, not there", func(a *account) { a.drop(3) }, "still holds"},
		{"there twice", func(a *account) { a.events = slices.Insert(a.events, 4, a.events[3]) }, "nobody asked"},
		{"of nobody", func(a *account) { a.events[0].NetNS = "n9" }, "not in the journal"},
		{"another address", func(a *account) { a.events[0].Addresses[0].IP = other }, "want [{0 10.5.0.3"},
		{"another answer", func(a *account) { a.calls[0].ips[0] = other }, "not the answer"},
		{"cursor elsewhere", func(a *account) { a.events[0].Cursors[0].IP = other }, "cursors"},
		{"no cursor", func(a *account) { a.events[0].Cursors = nil }, "cursors"},
		{"no configuration", func(a *account) { a.events[0].Config = 0 }, "configuration"},
		{"another container", func(a *account) { a.events[0].ContainerID = "c3" }, "is about"},
		{"another pod", func(a *account) { a.events[0].Pod.Name = "p" }, "is about"},
		{"another clock", func(a *account) { a.events[1].BootTime++ }, "clock"},
		{"another boot", func(a *account) { a.events[1].Boot[0]++ }, "clock"},
		{"another version", func(a *account) { a.events[1].Version = "v0" }, "version"},
		{"something dropped", func(a *account) { a.events[1].Dropped = []string{"pod"} }, "lacks"},
		{"DEL of nothing held", func(a *account) { a.events[1].Addresses = nil }, "gives back"},
		{"DEL told as GC", func(a *account) { a.events[1].Reason = journal.ReasonGC }, "not in the journal"},
		{"GC told as DEL", func(a *account) { a.events[3].Reason = journal.ReasonDel }, "still holds"},
		{"GC of what was listed", func(a *account) { a.calls[4].valid = []owner{{"c2", "eth0"}} }, "nobody asked"},
		{"another code", func(a *account) { a.events[2].Code = codeExhausted }, "refused with 100"},
		{"another code answered", func(a *account) { a.calls[2].code = codeExhausted }, "refused with 101"},
		{"another text", func(a *account) { a.events[2].Text = "is full" }, "is full"},
		{"a refusal again", func(a *account) { a.again(2) }, "same refusal again"},
		{"a refusal again, after a minute", func(a *account) { a.again(2); a.later(61e9) }, ""},
		{"a refusal again, in another boot", func(a *account) { a.again(2); a.calls[3].clock.Boot[0]++; a.events[3].Boot[0]++ }, ""},
		{"an empty DEL again", func(a *account) {
			again := a.events[1]
			again.NetNS, again.Addresses = "n4", nil
			a.events = slices.Insert(a.events, 3, again)
		}, "same DEL again"},
		{"a wipe not told", func(a *account) { a.w.wiped = true }, "wiped folder was not told"},
		{"a reset without a wipe", func(a *account) { a.reset(0) }, "reset"},
		{"a torn tail not told", func(a *account) { a.w.torn = []byte{1} }, "torn tail"},
		{"a repair without a torn tail", func(a *account) {
			a.events = slices.Insert(a.events, 0, journal.Event{Kind: journal.KindRepair, Clock: a.calls[0].clock})
		}, "repair"},
		{"a second genesis", func(a *account) {
			a.events = slices.Insert(a.events, 0, journal.Event{Kind: journal.KindGenesis, Clock: a.calls[0].clock})
		}, "genesis"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newAccount(t)
			test.edit(&a)
			err := a.w.settle(a.calls, a.events)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func (a *account) drop(i int) { a.events = slices.Delete(a.events, i, i+1) }

// again makes the call that left event i a second time, and has it leave the same event.
func (a *account) again(i int) {
	c, ev := *a.calls[i], a.events[i]
	c.netns, ev.NetNS = "n5", "n5"
	a.calls = slices.Insert(a.calls, i+1, &c)
	a.events = slices.Insert(a.events, i+1, ev)
}

// later lets time go by before the call that again has made.
func (a *account) later(d int64) {
	a.calls[3].clock.BootTime += d
	a.events[3].BootTime += d
}

func (a *account) reset(i int) {
	a.events = slices.Insert(a.events, i, journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped,
		Clock: a.calls[0].clock, Version: versionHere})
}

// TestSideBySide: calls that ran at once are taken in the journal's order, and any order will do.
func TestSideBySide(t *testing.T) {
	a := newAccount(t)
	a.calls = a.calls[:2]
	a.events = a.events[:2]
	for _, c := range a.calls {
		c.exact = false
	}
	slices.Reverse(a.calls)
	if err := a.w.settle(a.calls, a.events); err != nil {
		t.Error(err)
	}
}

// TestConfigurationAlone: of an ADD that was killed nothing but its configuration is there, and another call's event follows.
func TestConfigurationAlone(t *testing.T) {
	a := newAccount(t)
	killed, del := a.calls[0], a.calls[1]
	killed.plan, killed.exact, killed.answered, del.exact = plans[0], false, false, false
	config := a.events[0]
	config.Kind, config.ContainerID, config.IfName, config.NetNS = journal.KindConfig, "", "", ""
	config.Ranges, config.Digest = toRanges(killed.plan.sets), digest(toRanges(killed.plan.sets))
	config.Addresses, config.Cursors, config.Config = nil, nil, 0
	if err := a.w.settle([]*call{del, killed}, []journal.Event{config, a.events[1]}); err != nil {
		t.Error(err)
	}
}
