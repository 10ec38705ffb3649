package rot_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// script is what is called after the damage: an ADD and a DEL. The order matters, since each meets
// other parts of a snapshot first.
type script struct {
	name     string
	delFirst bool
	ips      []netip.Addr // requested
}

var scripts = []script{
	{name: "add, del"},
	{name: "del, add with a requested address", delFirst: true, ips: []netip.Addr{netip.MustParseAddr("10.9.0.9")}},
}

func (f *fixture) addRequest(s script) allocator.AddRequest {
	return allocator.AddRequest{Request: allocator.Request{Owner: coming, Sets: f.dual, IPs: s.ips}, NetNS: "/var/run/netns/x"}
}

// expected is what a script has to lead to, from the state after some event on.
type expected struct {
	choice allocator.Choice
	events []journal.Event // as far as they don't depend on time and place
	held   [][]state.Lease // of asked, afterwards; the seq of what is new and its clock left out
}

// model holds what is true of the undamaged store: folded in memory, no file involved.
type model struct {
	held  map[journal.Seq][][]state.Lease // of asked, by newest event
	after map[journal.Seq][]expected      // by script
	reset []expected                      // with every lease ended
}

func newModel(t testing.TB, f *fixture) *model {
	m := &model{held: map[journal.Seq][][]state.Lease{}, after: map[journal.Seq][]expected{}}
	for seq := journal.Seq(newerSnapshot); seq <= lastEvent; seq++ {
		m.held[seq] = heldBy(t, f.fold(t, seq))
		for _, s := range scripts {
			m.after[seq] = append(m.after[seq], f.expect(t, f.fold(t, seq), s))
		}
	}
	for _, s := range scripts {
		st := f.fold(t, lastEvent)
		ev := journal.Event{Seq: lastEvent + 1, Kind: journal.KindReset, Reason: journal.ReasonWiped, Version: "rot"}
		if err := st.Apply(&ev); err != nil {
			t.Fatal(err)
		}
		want := f.expect(t, st, s)
		want.events = append([]journal.Event{portable(ev)}, want.events...)
		m.reset = append(m.reset, want)
	}
	return m
}

// heldBy returns what each of asked holds, leases without an interface name included.
func heldBy(t testing.TB, st *state.State) [][]state.Lease {
	t.Helper()
	var all [][]state.Lease
	for _, a := range asked {
		held, err := st.Held(a)
		if err == nil && len(held) == 0 {
			held, err = st.Held(state.Attachment{ContainerID: a.ContainerID})
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, held)
	}
	return all
}

// portable is an event without what depends on when and where it was recorded.
func portable(ev journal.Event) journal.Event {
	ev.Seq, ev.Synced, ev.Prev, ev.Clock = 0, 0, journal.Hash{}, journal.Clock{}
	return ev
}

// expect runs a script on a state in memory.
func (f *fixture) expect(t testing.TB, st *state.State, s script) (want expected) {
	t.Helper()
	r := f.addRequest(s)
	apply := func(ev journal.Event) {
		ev.Seq, ev.Version = st.Seq()+1, "rot"
		if err := st.Apply(&ev); err != nil {
			t.Fatal(err)
		}
		want.events = append(want.events, portable(ev))
	}
	add := func() {
		var err error
		if want.choice, err = allocator.Choose(st, r.Request); err != nil {
			t.Fatal(err)
		}
		apply(journal.Event{Kind: journal.KindAdd, ContainerID: coming.ContainerID, IfName: coming.IfName, NetNS: r.NetNS,
			Addresses: want.choice.Addresses, Cursors: want.choice.Cursors, Config: 2})
	}
	del := func() {
		held, err := st.Held(based)
		if err != nil {
			t.Fatal(err)
		}
		ev := journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: based.ContainerID, IfName: based.IfName}
		for _, l := range held {
			ev.Addresses = append(ev.Addresses, l.Address)
		}
		apply(ev)
	}
	if s.delFirst {
		del()
		add()
	} else {
		add()
		del()
	}
	want.held = heldBy(t, st)
	for _, held := range want.held {
		timeless(held)
	}
	return want
}

// timeless leaves out of new leases which event gave them and when.
func timeless(held []state.Lease) []state.Lease {
	for i := range held {
		if held[i].Attachment == coming {
			held[i].Start, held[i].Clock = 0, journal.Clock{}
		}
	}
	return held
}

// looked is what readers say of a store.
type looked struct {
	checks    []check
	status    bool // whether STATUS was asked
	statusErr error
	history   journal.Seq // how many records were as they were written, from the first on
	stray     string      // a record that was not
	end       error
	added     []journal.Record // after the fixture's
}

// check is what CHECK says of one of asked.
type check struct {
	who  int
	held []state.Lease
	err  error // nil also for an attachment without a lease
}

// whom returns which of asked CHECK is asked about. All attachments' answers come from the same reading
// of the store, so where there are thousands of cases for the same record or block they take turns.
func (j job) whom() []int {
	if j.damage.kind == flip || strings.HasPrefix(j.file, snapDir) {
		return []int{(int(j.damage.n)*3 + int(j.mode)) % len(asked)}
	}
	return []int{0, 1, 2, 3, 4, 5, 6}
}

// look asks the readers.
func (w *worker) look(j job) (l looked) {
	l.checks = w.check(j)
	if l.status = len(l.checks) > 1 || l.checks[0].who < 3; l.status {
		l.statusErr = w.store.Status(w.f.dual)
	}
	w.readHistory(&l, lastEvent)
	return l
}

func (w *worker) check(j job) (all []check) {
	for _, i := range j.whom() {
		held, err := w.store.Check(asked[i])
		if errors.Is(err, allocator.ErrNoLease) {
			held, err = nil, nil
		}
		all = append(all, check{i, held, err})
	}
	return all
}

// readHistory reads the journal from its first event on. Up to a given one they must be the fixture's, byte for byte.
func (w *worker) readHistory(l *looked, old journal.Seq) {
	r, err := journal.OpenReader(w.path(storeDir))
	if err != nil {
		l.end = err
		return
	}
	var prev journal.Hash
	for rec, err := range r.Records(0) {
		if err != nil {
			l.end = err
			return
		}
		n := l.history + journal.Seq(len(l.added)) + 1
		if rec.Event.Seq != n || rec.Event.Prev != prev {
			l.stray = fmt.Sprintf("event %d in place %d, or not after the one before it", rec.Event.Seq, n)
			return
		}
		prev = journal.RecordHash(rec.Raw)
		if n > old {
			l.added = append(l.added, rec)
			continue
		}
		e := w.f.entry(n)
		if !slices.Equal(rec.Raw, e.raw) || storeDir+rec.File != e.file || int(rec.Offset) != e.to-len(e.raw) {
			l.stray = fmt.Sprintf("event %d is not the one that was recorded", n)
			return
		}
		l.history++
	}
}

// called is what the calls of a script came to.
type called struct {
	choice         allocator.Choice
	addErr, delErr error
}

func (w *worker) call(s script) (c called) {
	add := func() { c.choice, c.addErr = w.store.Add(w.f.addRequest(s)) }
	del := func() {
		c.delErr = w.store.Del(allocator.DelRequest{Owner: based})
	}
	if s.delFirst {
		del()
		add()
	} else {
		add()
		del()
	}
	return c
}
