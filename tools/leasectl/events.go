package main

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// eventsAsked is the question of events as understood.
type eventsAsked struct {
	scope
	SinceSeq  uint64   `json:"since_seq,omitempty"`
	UntilSeq  uint64   `json:"until_seq,omitempty"`
	Since     string   `json:"since,omitempty"`
	Until     string   `json:"until,omitempty"`
	Kinds     []string `json:"kinds,omitempty"`
	IP        string   `json:"ip,omitempty"`
	Container string   `json:"container,omitempty"`
	At        string   `json:"at"`
}

// eventFilter says which events are meant; zero fields mean all.
type eventFilter struct {
	window
	sinceSeq, untilSeq journal.Seq
	kinds              []string
	ipText             string
	ip                 netip.Addr
	container          string
	follow             bool
	chain              bool // those of the stores that each store has succeeded come first
	poll               time.Duration
}

func (a *app) eventsCommand() *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use:   "events",
		Short: "The journal itself",
		Long: `The journal itself, in its order. --since and --until take a sequence number or a time;
a whole number of a billion or more is Unix seconds. Both ends are included. Times are
compared with the effective time of events: corrected where the clock was set later.

--follow tells new events as they become durable, until it is interrupted; --since begins with older ones. It
takes no lock. What was told last is said at the end, for --since of the next run; each event has its number,
too. It goes on through repairs that begin a new journal, and says so; likewise if events that it has not
told are gone. Times of such events are as recorded. Then the exit code is 0 if nothing was missed, else 3.

` + timesHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := f.parse(a); err != nil {
				return err
			}
			if f.follow {
				return a.follow(&f)
			}
			return a.events(&f)
		},
	}
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with new events until interrupted")
	cmd.Flags().DurationVar(&f.poll, "poll", defaultPoll, "how often --follow looks for new events")
	f.flags(cmd, "`seq or time`")
	cmd.Flags().StringSliceVar(&f.kinds, "kind", nil, "only events of these `kinds`")
	cmd.Flags().StringVar(&f.ipText, "ip", "", "only events about this `address`")
	cmd.Flags().StringVar(&f.container, "container", "", "only events about container IDs that begin with this `text`")
	return cmd
}

func (f *eventFilter) parse(a *app) error {
	for _, b := range []struct {
		name string
		text *string
		seq  *journal.Seq
	}{{"since", &f.sinceText, &f.sinceSeq}, {"until", &f.untilText, &f.untilSeq}} {
		n, err := strconv.ParseUint(*b.text, 10, 64)
		if err != nil || n >= smallestUnixTime {
			continue
		}
		if n == 0 {
			return usagef("--%s 0: events are numbered from 1 on", b.name)
		}
		*b.seq, *b.text = journal.Seq(n), ""
		a.say("%s event %d", b.name, n)
	}
	if err := f.window.parse(a); err != nil {
		return err
	}
	if f.untilSeq != 0 && f.untilSeq < f.sinceSeq {
		return usagef("--until is before --since")
	}
	for _, k := range f.kinds {
		if !kindExists(k) {
			return usagef("%w", unknownKind(k))
		}
	}
	switch {
	case f.follow && (f.untilSeq != 0 || !f.until.IsZero()):
		return usagef("--follow has no end: leave out --until")
	case f.follow && a.output == "json":
		return usagef("--follow has no end, and one JSON object has: give -o jsonl")
	case f.poll <= 0:
		return usagef("--poll %s: want more than 0", f.poll)
	}
	if f.ipText != "" {
		ip, err := netip.ParseAddr(f.ipText)
		if err != nil || ip.Zone() != "" {
			return usagef("address %q: want one such as 10.88.0.17 or fd00::17", f.ipText)
		}
		f.ip = ip.Unmap()
	}
	return nil
}

// kindExists accepts also the kinds of later versions, as "kind(N)".
func kindExists(name string) bool {
	if _, err := journal.ParseKind(name); err == nil {
		return true
	}
	var n uint8
	_, err := fmt.Sscanf(name, "kind(%d)", &n)
	return err == nil && journal.Kind(n).String() == name
}

func unknownKind(name string) error { return noSuch("kind", name, kindNames()) }

func kindNames() []string {
	var names []string
	for _, k := range journal.Kinds() {
		names = append(names, k.String())
	}
	return names
}

// match reports whether the event is meant, whose effective time is at.
func (f *eventFilter) match(ev *journal.Event, at time.Time) bool {
	switch {
	case ev.Seq < f.sinceSeq, f.untilSeq != 0 && ev.Seq > f.untilSeq:
		return false
	case !f.since.IsZero() && at.Before(f.since), !f.until.IsZero() && at.After(f.until):
		return false
	case len(f.kinds) > 0 && !slices.Contains(f.kinds, ev.Kind.String()):
		return false
	case !strings.HasPrefix(ev.ContainerID, f.container):
		return false
	}
	return !f.ip.IsValid() || about(ev, f.ip)
}

// about reports whether the event gives, takes or was asked for the address.
func about(ev *journal.Event, ip netip.Addr) bool {
	return slices.ContainsFunc(ev.Addresses, func(a journal.Address) bool { return a.IP == ip }) ||
		slices.Contains(ev.Requested, ip)
}

// scan is what a first pass over a store's records tells, so that a second can print them:
// effective times are known only at the end of a boot.
type scan struct {
	s           *store
	clocks      replay.Clocks
	first, last replay.Point
	ends        [2]journal.Event // the first and the last event
	lost        []lostEvents
	lostClocks  [][2]journal.Event // the events around each of them
	stopped     error              // damage behind which nothing can be read
}

func (a *app) events(f *eventFilter) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("events", eventsAsked{a.scope(), uint64(f.sinceSeq), uint64(f.untilSeq),
		bound(f.since), bound(f.until), f.kinds, addrText(f.ip), f.container, stamp(a.now)})
	var scans []*scan
	for _, s := range stores {
		of, err := s.scans(ans, f, a.now)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		scans = append(scans, of...)
	}
	found := false
	items := func(yield func(*eventItem, error) bool) {
		for _, sc := range scans {
			for item, err := range sc.items(f) {
				found = true
				if !yield(item, err) {
					return
				}
			}
		}
	}
	err = show(a, ans, items, layout[eventItem]{"events", eventTable, eventCSV})
	a.exit(ans.worst, found)
	if err == nil && !found && f.container != "" {
		a.say("%v", a.noKnown("container", f.container, knownContainers))
	}
	return err
}

// scans reads a store a first time, and those that it has succeeded if they are meant, the oldest first.
func (s *store) scans(ans *answer, f *eventFilter, now time.Time) ([]*scan, error) {
	sc := &scan{s: s}
	if err := sc.read(); err != nil {
		return nil, err
	}
	if !f.chain {
		sc.tell(ans, f, s.covered(now))
		return []*scan{sc}, nil
	}
	all := []*scan{sc}
	covered, part := s.covered(now), *f
	for _, p := range s.parents {
		begins := sc.first.Effective
		if sc.first.Seq == 0 || !f.since.IsZero() && !f.since.Before(begins) {
			break
		}
		until, err := sc.s.handedOver(begins)
		if err != nil {
			return nil, err
		}
		newer := part
		if newer.since = begins; f.until.IsZero() || !f.until.Before(begins) { // what is before, the parent tells
			sc.tell(ans, &newer, covered)
		}
		if err := p.ask(); err != nil {
			ans.doubt(replay.Unknown, "%s: %v", s.title(), err)
			return all, nil
		}
		until = until.of(p)
		if text := until.ending(p); text != "" {
			ans.doubt(replay.Certain, "%s", text)
		}
		switch {
		case !f.until.IsZero():
			part.until = earlierOf(begins, f.until)
		case until.gap():
			part.until = begins // the time behind it is meant, too, and nobody tells of it
		}
		sc = &scan{s: p}
		if err := sc.read(); err != nil {
			return nil, err
		}
		covered, all = until.covered(), slices.Insert(all, 0, sc)
	}
	sc.tell(ans, &part, covered)
	return all, nil
}

// lostEvents is a row of events that can't be read.
type lostEvents struct {
	first, last journal.Seq
	why         error
	after       replay.Point // the events around it; Seq 0 where there is none
	before      replay.Point
}

// read takes in the clocks of all events that can be read. Behind damage it goes on.
func (sc *scan) read() error {
	if sc.s.reader == nil {
		return nil
	}
	for rec, err := range sc.s.records(0) {
		switch {
		case unreadable(err):
			return sc.readOn()
		case err != nil:
			return err
		}
		sc.take(&rec.Event)
	}
	sc.points()
	return nil
}

func (sc *scan) take(ev *journal.Event) {
	sc.clocks.Add(ev)
	if sc.ends[0].Seq == 0 {
		sc.ends[0] = *ev
	}
	sc.ends[1] = *ev
}

func (sc *scan) points() {
	if first, last := &sc.ends[0], &sc.ends[1]; last.Seq != 0 {
		sc.first, sc.last = sc.clocks.Point(first.Seq, first.Clock), sc.clocks.Point(last.Seq, last.Clock)
	}
}

// readOn reads what can be read behind damage.
func (sc *scan) readOn() error {
	past, err := sc.s.past()
	if err != nil {
		return err
	}
	for p, err := range past.Pieces(sc.ends[1].Seq) {
		switch l := p.Loss; {
		case unreadable(err):
			sc.stopped = err
			sc.points()
			return nil
		case err != nil:
			return err
		case l == nil:
			if n := len(sc.lost); n > 0 && sc.lost[n-1].before.Seq == 0 {
				sc.lost[n-1].before.Seq = p.Event.Seq
				sc.lostClocks = append(sc.lostClocks, [2]journal.Event{sc.ends[1], p.Event})
			}
			sc.take(&p.Event)
		case l.Last >= l.First || l.Open:
			sc.lost = append(sc.lost, lostEvents{first: l.First, last: l.Last, why: lossText(l, "")})
			if l.Pruned() != nil {
				sc.clocks.Pruned(l.Pruned().Earlier)
			} else {
				sc.clocks.Lost()
			}
		}
	}
	if n := len(sc.lost); n > 0 && sc.lost[n-1].before.Seq == 0 {
		sc.stopped = sc.lost[n-1].why
		sc.lost = sc.lost[:n-1]
	}
	sc.points()
	for i, around := range sc.lostClocks[:min(len(sc.lostClocks), len(sc.lost))] {
		sc.lost[i].after = sc.clocks.Point(around[0].Seq, around[0].Clock)
		sc.lost[i].before = sc.clocks.Point(around[1].Seq, around[1].Clock)
	}
	return nil
}

// concerns reports whether events that are meant may be among the lost ones.
func (l *lostEvents) concerns(f *eventFilter) bool {
	return f.sinceSeq <= l.last && (f.untilSeq == 0 || f.untilSeq >= l.first) &&
		(f.since.IsZero() || l.before.Seq == 0 || !f.since.After(l.before.Effective)) &&
		(f.until.IsZero() || l.after.Seq == 0 || !f.until.Before(l.after.Effective))
}

// tell adds to the answer what the first pass found out.
func (sc *scan) tell(ans *answer, f *eventFilter, covered time.Time) {
	s := sc.s
	ans.take(s, sc.first, sc.last)
	switch {
	case s.broken != nil:
		ans.worst = replay.Unknown // take has said why
		return
	case sc.stopped != nil:
		ans.doubt(replay.Unknown, "%s: reading stopped after event %d: %v", s.title(), sc.last.Seq, sc.stopped)
		covered = time.Time{}
	}
	if sc.last.Seq == 0 {
		return
	}
	if len(s.parents) > 0 && !f.chain {
		ans.doubt(replay.Certain, "%s: it goes on from another journal, whose events --data-dir %s tells", s.title(), s.parents[0].dir)
	}
	for i := range sc.lost {
		if l := &sc.lost[i]; l.concerns(f) {
			ans.doubt(replay.Unknown, "%s: %v", s.title(), l.why)
		}
	}
	for _, d := range replay.Outside(sc.first, sc.last, f.since, f.until, covered) {
		ans.doubt(replay.Unknown, "%s: %s", s.title(), d)
	}
}

// items reads the store again, up to the event at which the first pass ended.
func (sc *scan) items(f *eventFilter) iter.Seq2[*eventItem, error] {
	return func(yield func(*eventItem, error) bool) {
		after := max(f.sinceSeq, 1) - 1
		if after >= sc.last.Seq {
			return
		}
		for rec, err := range sc.again(after) {
			if err != nil {
				yield(nil, err)
				return
			}
			ev := &rec.Event
			if at := sc.clocks.Point(ev.Seq, ev.Clock).Effective; f.match(ev, at) {
				item := newEvent(&rec)
				item.Network, item.Effective, item.origin = sc.s.network, stamp(at), sc.s.origin
				item.Evidence.Node, item.Evidence.StoreID = sc.s.meta.Node, sc.s.meta.ID.String()
				if !yield(&item, nil) {
					return
				}
			}
			if ev.Seq == sc.last.Seq {
				return
			}
		}
	}
}

// again is what the first pass read of the events after one.
func (sc *scan) again(after journal.Seq) iter.Seq2[journal.Record, error] {
	if len(sc.lost) == 0 {
		return sc.s.records(after)
	}
	return func(yield func(journal.Record, error) bool) {
		past, err := sc.s.past()
		if err != nil {
			yield(journal.Record{}, err)
			return
		}
		for p, err := range past.Pieces(after) {
			if err == nil && p.Loss != nil {
				continue // tell has said so
			}
			if !yield(p.Record, err) || err != nil {
				return
			}
		}
	}
}
