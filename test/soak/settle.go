package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/leaselog/leaselog/journal"
)

// ledger accounts for new events by the calls that were made. The journal's order is the witness: calls
// that ran side by side are taken in the order of their events, and each must have been
// answered as the model answers in that order.
type ledger struct {
	w      *world
	events []journal.Event // not accounted for yet
}

// settle accounts for every new event and every answer.
func (w *world) settle(calls []*call, events []journal.Event) error {
	l := &ledger{w, events}
	if slices.ContainsFunc(calls, func(c *call) bool { return !c.exact }) {
		calls = arrange(calls, events)
	}
	for _, c := range calls {
		if err := l.upkeepEvents(c); err != nil {
			return err
		}
		if err := l.account(c, calls); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
	}
	if len(l.events) > 0 {
		ev := &l.events[0]
		return fmt.Errorf("event %d, %s of %s/%s in %s: nobody asked for it; the new events are %s", ev.Seq, ev.Kind, ev.ContainerID, ev.IfName, ev.NetNS,
			eventList(events))
	}
	return nil
}

// eventList names events, each by its kind and the call that it is of.
func eventList(events []journal.Event) string {
	var words []string
	for i := range events {
		ev := &events[i]
		words = append(words, fmt.Sprintf("%d %s of %q in %q", ev.Seq, ev.Kind, ev.ContainerID, ev.NetNS))
	}
	return strings.Join(words, ", ")
}

// arrange sorts calls by the order of their events; those without come last. Of a killed ADD, all that is there may be the configuration.
func arrange(calls []*call, events []journal.Event) []*call {
	calls = slices.Clone(calls)
	place := func(c *call) int {
		i := slices.IndexFunc(events, func(ev journal.Event) bool { return c.owns(&ev) })
		if i < 0 && c.verb == "ADD" && !c.answered {
			i = slices.IndexFunc(events, func(ev journal.Event) bool {
				return ev.Kind == journal.KindConfig && sameRanges(ev.Ranges, c.plan.static())
			})
		}
		if i < 0 {
			i = len(events)
		}
		return i
	}
	sort.SliceStable(calls, func(i, j int) bool { return place(calls[i]) < place(calls[j]) })
	return calls
}

// owns reports whether an event is of the call.
func (c *call) owns(ev *journal.Event) bool {
	switch ev.Kind {
	case journal.KindAdd, journal.KindRefuse:
		return c.verb == "ADD" && ev.NetNS == c.netns
	case journal.KindDel:
		return c.verb == "DEL" && ev.NetNS == c.netns && ev.Reason == journal.ReasonDel ||
			c.verb == "GC" && ev.Reason == journal.ReasonGC
	}
	return false
}

// next returns the next event if the call owns it.
func (l *ledger) next(c *call) *journal.Event {
	if len(l.events) == 0 || !c.owns(&l.events[0]) {
		return nil
	}
	return &l.events[0]
}

// take makes the next event part of the model.
func (l *ledger) take(c *call) error {
	ev := &l.events[0]
	l.events = l.events[1:]
	if ev.Clock != c.clock {
		return fmt.Errorf("event %d: clock %+v, want %+v", ev.Seq, ev.Clock, c.clock)
	}
	if ev.Version != c.version && ev.Kind != journal.KindRepair {
		return fmt.Errorf("event %d: version %q, want %q", ev.Seq, ev.Version, c.version)
	}
	if len(ev.Dropped) > 0 || len(ev.Attributes) > 0 || ev.TraceParent != "" {
		return fmt.Errorf("event %d: has what nobody asked for, or lacks %q", ev.Seq, ev.Dropped)
	}
	l.w.facts = append(l.w.facts, factOf(ev))
	return l.w.m.apply(ev)
}

// upkeepEvents accounts for what the first call records that finds a store to be made, a torn
// tail or a wiped folder. A call that succeeded must have done so.
func (l *ledger) upkeepEvents(c *call) error {
	w := l.w
	if c.exact && (!c.locks() || !w.exists && c.verb != "ADD") {
		return nil // it changes nothing: what comes next is a later call's
	}
	for len(l.events) > 0 {
		ev := &l.events[0]
		switch ev.Kind {
		case journal.KindGenesis:
			if w.exists || c.exact && c.verb != "ADD" || ev.Origin.Network != w.network.Name || ev.Origin.Parent != (journal.ID{}) {
				return fmt.Errorf("event %d: genesis %+v by %v", ev.Seq, ev.Origin, c)
			}
			w.exists, w.wiped = true, false
		case journal.KindRepair:
			if err := w.repaired(ev); err != nil {
				return err
			}
		case journal.KindReset:
			if !w.wiped || !w.resetDue(c, true) || ev.Reason != journal.ReasonWiped {
				return fmt.Errorf("event %d: reset, %s, by %v; wiped is %v", ev.Seq, ev.Reason, c, w.wiped)
			}
			w.wiped = false
		default:
			return l.upkeepDone(c)
		}
		if err := l.take(l.blame(c)); err != nil {
			return err
		}
	}
	return l.upkeepDone(c)
}

// blame returns a call whose clock and version an upkeep event may show: side by side, any of them.
func (l *ledger) blame(c *call) *call {
	ev, like := &l.events[0], *c
	if c.exact {
		return c
	}
	if slices.Contains(l.w.clocks, ev.Clock) {
		like.clock = ev.Clock
	}
	if slices.Contains([]string{versionHere, versionBuilt}, ev.Version) {
		like.version = ev.Version
	}
	return &like
}

func (l *ledger) upkeepDone(c *call) error {
	w := l.w
	if !c.answered || !c.locks() {
		return nil
	}
	switch {
	case !w.exists && c.verb == "ADD":
		return fmt.Errorf("%v: answered without a store", c)
	case !w.exists:
		return nil
	case w.torn != nil:
		return fmt.Errorf("%v: a torn tail of %d bytes was not told", c, len(w.torn))
	case w.wiped && w.resetDue(c, false):
		return fmt.Errorf("%v: a wiped folder was not told", c)
	}
	w.wiped = false
	if c.exact {
		w.mayTear = false // side by side, one may have been killed after this
	}
	return nil
}

// resetDue reports whether a wiped folder is to be told by a reset: not if the newest event is one
// already, unless a snapshot hides that. Where the snapshot isn't known either may be.
func (w *world) resetDue(c *call, either bool) bool {
	n := len(w.facts)
	if n == 0 || w.facts[n-1].kind != journal.KindReset {
		return true
	}
	if !c.exact {
		return either
	}
	return int(c.base) == n
}

// account holds a call's own events and its answer against the model.
func (l *ledger) account(c *call, group []*call) error {
	switch c.verb {
	case "ADD":
		return l.add(c)
	case "DEL":
		return l.del(c, group)
	case "GC":
		return l.gc(c)
	case "CHECK":
		return l.w.check(c)
	case "STATUS":
		return l.w.status(c)
	}
	return nil
}

func (l *ledger) add(c *call) error {
	w := l.w
	want, code := w.m.choose(c.plan, c.who, c.wanted)
	if l.hasConfig(c) {
		if err := l.config(c); err != nil {
			return err
		}
	}
	ev := l.next(c)
	if ev == nil {
		return w.addUnrecorded(c, code)
	}
	l.outlived(c)
	if ev.ContainerID != c.who.id || ev.IfName != c.who.ifName || ev.Pod != c.pod {
		return fmt.Errorf("event %d: is about %s/%s of %+v", ev.Seq, ev.ContainerID, ev.IfName, ev.Pod)
	}
	if ev.Config != w.m.config(c.plan.static()) || !sameRanges(ev.Ranges, c.plan.sets[:c.plan.own]) {
		return fmt.Errorf("event %d: configuration %d with %v, want %d", ev.Seq, ev.Config, ev.Ranges, w.m.config(c.plan.static()))
	}
	if ev.Kind == journal.KindRefuse {
		return l.refused(c, ev, code)
	}
	var cursors []journal.Cursor
	var ips []netip.Addr
	for _, a := range want {
		cursors, ips = append(cursors, journal.Cursor{Set: a.Set, IP: a.IP}), append(ips, a.IP)
	}
	switch {
	case code != 0 || !slices.Equal(ev.Addresses, want) || !slices.Equal(ev.Cursors, cursors):
		return fmt.Errorf("event %d: gives %v, cursors %v, want %v, code %d", ev.Seq, ev.Addresses, ev.Cursors, want, code)
	case c.answered && (c.code != 0 || !slices.Equal(c.ips, ips)):
		return fmt.Errorf("event %d: gives %v, which is not the answer", ev.Seq, ips)
	}
	return l.take(c)
}

// outlived counts the events of killed processes: kills that hit too early or too late show nothing.
func (l *ledger) outlived(c *call) {
	if c.process && !c.answered {
		l.w.stats["killed, whole"]++
	}
}

// hasConfig reports whether the next event is a configuration that the call recorded: before its
// add, or alone, which may be what a crash left.
func (l *ledger) hasConfig(c *call) bool {
	if len(l.events) == 0 || l.events[0].Kind != journal.KindConfig {
		return false
	}
	return !c.answered || len(l.events) > 1 && c.owns(&l.events[1]) && l.events[1].Kind == journal.KindAdd
}

func (l *ledger) config(c *call) error {
	ev := &l.events[0]
	if len(c.plan.static()) == 0 || !sameRanges(ev.Ranges, c.plan.static()) {
		return fmt.Errorf("event %d: a configuration that is not this call's", ev.Seq)
	}
	if known := l.w.m.config(c.plan.static()); known > 0 {
		return fmt.Errorf("event %d: the configuration of event %d again", ev.Seq, known)
	}
	for _, k := range l.w.m.configs {
		if k.digest == ev.Digest {
			return fmt.Errorf("event %d: the digest of event %d for other ranges", ev.Seq, k.seq)
		}
	}
	return l.take(c)
}

func (l *ledger) refused(c *call, ev *journal.Event, code int) error {
	f := fact{kind: journal.KindRefuse, who: c.who, pod: podKey(c.pod, c.who), code: code, clock: c.clock}
	switch {
	case ev.Code != code || ev.Text == "" || !slices.Equal(ev.Requested, c.wanted) || len(ev.Addresses)+len(ev.Cursors) > 0:
		return fmt.Errorf("event %d: refused with %d for %v, want %d", ev.Seq, ev.Code, ev.Requested, code)
	case c.answered && (c.code != code || !c.process && c.text != ev.Text):
		return fmt.Errorf("event %d: refused with %d, %q, want %d, %q", ev.Seq, ev.Code, ev.Text, c.code, c.text)
	case c.exact && refusedLately(l.w.facts, c.base, f):
		return fmt.Errorf("event %d: the same refusal again", ev.Seq)
	}
	return l.take(c)
}

// addUnrecorded judges an ADD that left no event.
func (w *world) addUnrecorded(c *call, code int) error {
	f := fact{kind: journal.KindRefuse, who: c.who, pod: podKey(c.pod, c.who), code: c.code, clock: c.clock}
	switch {
	case !c.answered:
		return nil
	case c.code == 0:
		return fmt.Errorf("acknowledged, but not in the journal")
	case c.exact && c.code != code:
		return fmt.Errorf("want code %d", code)
	case c.exact && !refusedLately(w.facts, c.base, f), !refusedLately(w.facts, 0, f):
		return fmt.Errorf("a refusal that is not in the journal")
	}
	return nil
}

func (l *ledger) del(c *call, group []*call) error {
	held := l.w.m.held(c.who)
	ev := l.next(c)
	if ev == nil {
		return l.w.delUnrecorded(c, held, group)
	}
	l.outlived(c)
	switch {
	case len(held) == 0 && c.exact && delRepeated(l.w.facts, c.base, c.who):
		return fmt.Errorf("event %d: the same DEL again", ev.Seq)
	case ev.Pod != c.pod:
		return fmt.Errorf("event %d: is about %+v", ev.Seq, ev.Pod)
	}
	return l.release(c, ev, c.who, held)
}

// release accounts for an event that gives back all that an owner holds.
func (l *ledger) release(c *call, ev *journal.Event, who owner, held []lease) error {
	var want []journal.Address
	for _, h := range held {
		want = append(want, h.address)
	}
	if ev.ContainerID != who.id || ev.IfName != who.ifName || !slices.Equal(ev.Addresses, want) {
		return fmt.Errorf("event %d: %s/%s gives back %v, want %s and %v", ev.Seq, ev.ContainerID, ev.IfName, ev.Addresses, who, want)
	}
	return l.take(c)
}

// delUnrecorded judges a DEL that left no event: it must have held nothing, and that must have been told.
func (w *world) delUnrecorded(c *call, held []lease, group []*call) error {
	if !c.answered || !w.exists {
		return nil
	}
	if !c.exact && slices.ContainsFunc(group, func(o *call) bool { return o != c && (o.who == c.who || o.verb == "GC") }) {
		return nil // another call may have had the word before or after it
	}
	if len(held) > 0 {
		return fmt.Errorf("acknowledged, but not in the journal: holds %v", held)
	}
	if c.exact && !delRepeated(w.facts, c.base, c.who) {
		return fmt.Errorf("not in the journal, and nothing before it says the same")
	}
	return nil
}

func (l *ledger) gc(c *call) error {
	w := l.w
	for _, who := range w.m.owners() {
		if slices.Contains(c.valid, who) {
			continue
		}
		held := w.m.held(who)
		ev := l.next(c)
		switch {
		case ev == nil && (!c.answered || !c.exact):
			return nil
		case ev == nil:
			return fmt.Errorf("acknowledged, but %s still holds %v", who, held)
		}
		// Of several ADDs the last one tells best where the container is.
		newest := slices.MaxFunc(held, func(a, b lease) int { return cmp.Compare(a.start, b.start) })
		if ev.NetNS != newest.netns || ev.Pod != newest.pod {
			return fmt.Errorf("event %d: in %s of %+v, want %s of %+v", ev.Seq, ev.NetNS, ev.Pod, newest.netns, newest.pod)
		}
		if err := l.release(c, ev, who, held); err != nil {
			return err
		}
	}
	return nil
}

// check holds a CHECK against the model.
func (w *world) check(c *call) error {
	held := w.m.held(c.who)
	if w.wiped || !w.exists {
		held = nil
	}
	if !c.exact || !c.answered {
		return nil
	}
	if (c.code == codeNoLease) != (len(held) == 0) || !c.process && len(c.leases) != len(held) {
		return fmt.Errorf("got %d, %v, want %v", c.code, c.leases, held)
	}
	for _, l := range c.leases {
		if err := w.m.sameLease(l); err != nil {
			return err
		}
	}
	return nil
}

// status holds a STATUS against the model: only a full range set is a reason to fail.
func (w *world) status(c *call) error {
	if !c.exact || !c.answered {
		return nil
	}
	full := c.full && w.exists && !w.wiped && w.m.exhausted(c.plan)
	want := 0
	if full && c.process {
		want = codeUnavailable
	} else if full {
		want = codeExhausted
	}
	if c.code != want {
		return fmt.Errorf("got code %d, want %d", c.code, want)
	}
	return nil
}
