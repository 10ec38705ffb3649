package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// timelineAsked is the question of timeline as understood.
type timelineAsked struct {
	scope
	IP    string `json:"ip"`
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	At    string `json:"at"`
}

// timelineQuestion is what timeline is asked, and how it draws.
type timelineQuestion struct {
	ip netip.Addr
	window
	watch bool
}

func (a *app) timelineCommand() *cobra.Command {
	var q timelineQuestion
	cmd := &cobra.Command{
		Use:   "timeline ADDRESS",
		Short: "An address through time as a picture: who held it, and when",
		Long: `An address through time as a picture, as who says at each instant, with a line for each lease below: those of history,
oldest first. Without --since and --until, all that the journal tells of. A sign stands for a part of that time: as much of
it is filled as the address was held, and where anything is unknown, all of the sign is. Certainty and exit code are those of
the leases; where less is certain of the time drawn, such as the moment around an event, that is said behind it.

--watch draws anew whenever the store changes, until it is interrupted.

The other formats have the states in spans of time. They take in that clocks are not exact: around an event there is a moment
in which both states are possible.

` + timesHelp,
		Example: `  leasectl timeline 10.88.0.17
  leasectl timeline 10.88.0.17 --since -2h --watch`,
		Args:              oneArg("ADDRESS"),
		ValidArgsFunction: a.completeFirst(knownAddresses),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if q.ip, err = parseAddr(args[0]); err != nil {
				return err
			}
			switch {
			case q.watch && q.untilText != "":
				return usagef("--watch draws up to now: leave out --until")
			case q.watch && a.output != "table":
				return usagef("--watch draws pictures: leave out --output %s", a.output)
			}
			if err := q.window.parse(a); err != nil {
				return err
			}
			if q.watch {
				return a.watch(func(a *app) (time.Duration, error) { return a.timelineNow(&q) })
			}
			_, err = a.timeline(&q)
			return err
		},
	}
	q.flags(cmd, "`time`")
	a.pictureFlags(cmd, &q.watch)
	return cmd
}

// timelineNow draws once more: a beginning such as -2h is another one then. It returns how long the picture is right if nothing happens.
func (a *app) timelineNow(q *timelineQuestion) (time.Duration, error) {
	if q.sinceText != "" {
		zone, err := parseZone(a.tz)
		if err != nil {
			return 0, err
		}
		if q.since, err = parseInstant(q.sinceText, a.now, zone); err != nil {
			return 0, err
		}
	}
	wide, err := a.timeline(q)
	return min(max(wide, time.Second), time.Minute), err
}

// spanItem is a time through which the same is to be said of an address.
type spanItem struct {
	Schema    string           `json:"schema"`
	Network   string           `json:"network"`
	Node      string           `json:"node"`
	StoreID   string           `json:"store_id"`
	IP        string           `json:"ip"`
	From      string           `json:"from"`
	To        string           `json:"to"` // not included, but for the last one's
	State     string           `json:"state"`
	Certainty string           `json:"certainty"`
	Holders   []spanHolderItem `json:"holders"`
	Doubts    []string         `json:"doubts"`
	origin
}

// spanHolderItem is who held the address, or may have.
type spanHolderItem struct {
	ContainerID string  `json:"container_id"`
	IfName      string  `json:"ifname"`
	Pod         podItem `json:"pod"`
	StartSeq    uint64  `json:"start_seq"`
	EndSeq      uint64  `json:"end_seq"` // 0 if no event ended it
	Certainty   string  `json:"certainty"`
}

// timed is what is drawn of one store.
type timed struct {
	*store
	spans     []replay.Stretch
	intervals []leaseItem
	certainty replay.Certainty
}

func (t *timed) from() time.Time { return t.spans[0].From }
func (t *timed) to() time.Time   { return t.spans[len(t.spans)-1].To }

// timeline answers, and returns for how long a sign of its picture stands.
func (a *app) timeline(q *timelineQuestion) (time.Duration, error) {
	stores, err := a.stores()
	if err != nil {
		return 0, err
	}
	if len(stores) == 0 && !a.failed {
		return 0, a.noStore()
	}
	ans := newAnswer("timeline", timelineAsked{a.scope(), q.ip.String(), bound(q.since), bound(q.until), stamp(a.now)})
	of := &selection{IP: q.ip.String(), addr: q.ip}
	var all []*timed
	for _, s := range stores {
		own := newAnswer("", nil)
		held, err := a.holders(own, s, of, q.window, len(stores) == 1)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		ans.worst = max(ans.worst, own.worst)
		ans.Stores, ans.Doubts = append(ans.Stores, own.Stores...), append(ans.Doubts, own.Doubts...)
		t := &timed{store: s, certainty: own.worst}
		slices.SortStableFunc(held, func(x, y heldItem) int { return x.start.Compare(y.start) })
		for i := range held {
			t.intervals = append(t.intervals, held[i].leaseItem)
		}
		may, err := t.read(a, q)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		if may || len(held) > 0 || len(stores) == 1 {
			ans.Intervals = append(ans.Intervals, t.intervals...)
			all = append(all, t)
		}
	}
	a.exit(ans.worst, len(ans.Intervals) > 0)
	if a.output != "table" {
		return 0, show(a, ans, each(spanItems(all, q)), layout[spanItem]{"spans", nil, spanCSV})
	}
	var wide time.Duration
	return wide, a.showPicture(ans, func(p *picture, sc *screen) {
		for i, t := range all {
			if i > 0 {
				p.add("")
			}
			t.draw(p, sc, q)
			if len(t.spans) > 0 {
				wide = max(wide, t.to().Sub(t.from())/time.Duration(sc.width))
			}
		}
		if len(all) == 0 {
			p.add(sc.wrap(fmt.Sprintf("%s was in no range of any network", q.ip), 2)...)
		}
	})
}

// read reads what the address was, and reports whether it may have been the network's to give.
func (t *timed) read(a *app, q *timelineQuestion) (may bool, err error) {
	eras, err := t.eras(newAnswer("", nil), reading{addrs: []netip.Addr{q.ip}}, q.since) // the words were said already
	if err != nil {
		return false, err
	}
	for i, e := range slices.Backward(eras) { // oldest first
		if e.h == nil || e.h.First.Seq == 0 {
			may = true
			if !q.since.IsZero() && i > 0 { // the one behind it tells the rest
				t.unknown(q.since, eras[i-1].h.First.Effective, "what it tells can't be read")
			}
			continue
		}
		may = may || e.h.MayHold(q.ip)
		from, to := q.since, q.until
		if from.IsZero() || i+1 < len(eras) {
			from = laterOf(from, e.h.First.Effective)
		}
		switch covered := e.covered(a.now); {
		case i > 0:
			next := eras[i-1].h.First.Effective.Add(-1)
			if to.IsZero() || next.Before(to) {
				to = next
			}
		case to.IsZero() && !covered.IsZero():
			to = covered
		case to.IsZero():
			to = laterOf(e.h.Last.Effective, from)
		}
		if to.Before(from) {
			continue
		}
		for _, s := range e.h.Stretches(q.ip, from, to, e.covered(a.now)) {
			if e.torn && slices.ContainsFunc(s.Holders, func(h replay.Holder) bool { return h.End == nil }) {
				s.Certainty, s.Exact.Certainty = max(s.Certainty, replay.Uncertain), max(s.Exact.Certainty, replay.Uncertain)
			}
			t.spans = append(t.spans, s)
		}
	}
	return may, nil
}

// unknown adds a time of which nothing is known.
func (t *timed) unknown(from, to time.Time, why string) {
	if !from.Before(to) {
		return
	}
	s := replay.Stretch{From: from, To: to}
	s.Certainty, s.Exact.Certainty, s.Doubts = replay.Unknown, replay.Unknown, []string{why}
	t.spans = append(t.spans, s)
}

// spanItems are the spans of all stores.
func spanItems(all []*timed, q *timelineQuestion) []spanItem {
	var items []spanItem
	for _, t := range all {
		first := len(items)
		for i := range t.spans {
			it := t.item(&t.spans[i], q)
			if i+1 == len(t.spans) {
				it.To = stamp(t.spans[i].To.Add(-1))
			}
			if n := len(items); n > first && items[n-1].same(&it) { // they differ in what would be so if clocks were exact
				items[n-1].To = it.To
				continue
			}
			items = append(items, it)
		}
	}
	return items
}

func (t *timed) item(s *replay.Stretch, q *timelineQuestion) spanItem {
	it := spanItem{Schema: "leaselog.span/1", Network: t.network, Node: t.meta.Node, StoreID: t.idText(), IP: q.ip.String(),
		From: stamp(s.From), To: stamp(s.To), State: s.State.String(), Certainty: s.Certainty.String(),
		Holders: []spanHolderItem{}, Doubts: append([]string{}, s.Doubts...), origin: t.origin}
	for i := range s.Holders {
		held := &s.Holders[i]
		h := spanHolderItem{ContainerID: held.Lease.ContainerID, IfName: held.Lease.IfName, Pod: podItem(held.Lease.Pod),
			StartSeq: uint64(held.Start.Seq), Certainty: replay.Certain.String()}
		if held.End != nil {
			h.EndSeq = uint64(held.End.Seq)
		}
		if held.Unsure || s.Certainty == replay.Unknown {
			h.Certainty = replay.Uncertain.String()
		}
		it.Holders = append(it.Holders, h)
	}
	return it
}

// same reports whether the same is said as of the time before.
func (it *spanItem) same(next *spanItem) bool {
	return it.State == next.State && it.Certainty == next.Certainty && slices.Equal(it.Holders, next.Holders) && slices.Equal(it.Doubts, next.Doubts)
}

// ofHolders joins what is said of each holder.
func ofHolders(cell func(*spanHolderItem) string) func(*spanItem) string {
	return func(it *spanItem) string {
		var cells []string
		for i := range it.Holders {
			cells = append(cells, cell(&it.Holders[i]))
		}
		return strings.Join(cells, "; ")
	}
}

var spanCSV = []column[spanItem]{
	{"network", func(it *spanItem) string { return it.Network }},
	{"ip", func(it *spanItem) string { return it.IP }},
	{"from", func(it *spanItem) string { return it.From }},
	{"to", func(it *spanItem) string { return it.To }},
	{"state", func(it *spanItem) string { return it.State }},
	{"certainty", func(it *spanItem) string { return it.Certainty }},
	{"container_id", ofHolders(func(h *spanHolderItem) string { return h.ContainerID })},
	{"ifname", ofHolders(func(h *spanHolderItem) string { return h.IfName })},
	{"pod_namespace", ofHolders(func(h *spanHolderItem) string { return h.Pod.Namespace })},
	{"pod_name", ofHolders(func(h *spanHolderItem) string { return h.Pod.Name })},
	{"pod_uid", ofHolders(func(h *spanHolderItem) string { return h.Pod.UID })},
	{"start_seq", ofHolders(func(h *spanHolderItem) string { return number(h.StartSeq) })},
	{"end_seq", ofHolders(func(h *spanHolderItem) string { return number(h.EndSeq) })},
	{"doubts", func(it *spanItem) string { return strings.Join(it.Doubts, "; ") }},
	{"node", func(it *spanItem) string { return it.Node }},
	{"store_id", func(it *spanItem) string { return it.StoreID }},
}
