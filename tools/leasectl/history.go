package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// historyAsked is the question of history as understood.
type historyAsked struct {
	scope
	IP    string `json:"ip"`
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	At    string `json:"at"`
}

// window is the time asked about, as given and as understood; zero is open.
type window struct {
	sinceText, untilText string
	since, until         time.Time
}

func (w *window) flags(cmd *cobra.Command, since string) {
	cmd.Flags().StringVar(&w.sinceText, "since", "", "from this "+since+" on")
	cmd.Flags().StringVar(&w.untilText, "until", "", "up to this "+since)
}

// parse understands the window and prints it as understood.
func (w *window) parse(a *app) error {
	for _, b := range []struct {
		name, text string
		t          *time.Time
	}{{"since", w.sinceText, &w.since}, {"until", w.untilText, &w.until}} {
		if b.text == "" {
			continue
		}
		var err error
		if *b.t, err = a.instant(b.name, b.text); err != nil {
			return err
		}
	}
	if !w.since.IsZero() && !w.until.IsZero() && w.until.Before(w.since) {
		return usagef("--until is before --since")
	}
	return nil
}

// bound returns a bound of the window for the question as understood.
func bound(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func (a *app) historyCommand() *cobra.Command {
	var text string
	var w window
	cmd := &cobra.Command{
		Use:   "history --ip ADDRESS",
		Short: "Who held an address, and when",
		Long: `Who held an address, oldest first, with the reason of each end. A lease is held from
start up to, not including, end. Between window_start and end its use is uncertain.

` + timesHelp,
		Example: "  leasectl history --ip 10.88.0.17 --since -2h",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("history takes no arguments: give the address by --ip")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if text == "" {
				return usagef("history of what? give --ip ADDRESS")
			}
			ip, err := netip.ParseAddr(text)
			if err != nil || ip.Zone() != "" {
				return usagef("address %q: want one such as 10.88.0.17 or fd00::17", text)
			}
			if err := w.parse(a); err != nil {
				return err
			}
			return a.history(ip.Unmap(), w)
		},
	}
	cmd.Flags().StringVar(&text, "ip", "", "the `address` asked about")
	w.flags(cmd, "`time`")
	return cmd
}

func (a *app) history(ip netip.Addr, w window) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("history", historyAsked{a.scope(), ip.String(), bound(w.since), bound(w.until), stamp(a.now)})
	var held []heldItem
	for _, s := range stores {
		found, err := a.holders(ans, s, ip, w, len(stores) == 1)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		held = append(held, found...)
	}
	slices.SortStableFunc(held, func(x, y heldItem) int { return x.start.Compare(y.start) })
	a.exit(ans.worst, len(held) > 0)
	items := func(yield func(*leaseItem, error) bool) {
		for i := range held {
			if !yield(&held[i].leaseItem, nil) {
				return
			}
		}
	}
	return show(a, ans, items, layout[leaseItem]{"intervals", historyTable, leaseCSV})
}

// heldItem orders the intervals of several networks, which have no order of events.
type heldItem struct {
	leaseItem
	start time.Time
}

// holders answers for one store. Among several, one that can't tell makes the answer unknown
// only if the address may have been its own to give.
func (a *app) holders(ans *answer, s *store, ip netip.Addr, w window, only bool) ([]heldItem, error) {
	if s.broken != nil {
		ans.take(s, replay.Point{}, replay.Point{})
		ans.worst = replay.Unknown
		return nil, nil
	}
	h, err := replay.Read(s.reader.Records(0), replay.Options{
		Keep:  func(l *state.Lease) bool { return l.IP == ip },
		Wiped: s.wiped,
	})
	if err != nil {
		return nil, err
	}
	ans.take(s, h.First, h.Last)
	found := h.Between(w.since, w.until, s.covered(a.now))
	c := found.Certainty
	if !only && len(found.Intervals) == 0 && !h.MayHold(ip) {
		c = replay.Certain
	}
	if s.torn && slices.ContainsFunc(found.Intervals, func(iv replay.Interval) bool { return iv.End == nil }) {
		c = max(c, replay.Uncertain)
	}
	ans.worst = max(ans.worst, c)
	for _, d := range found.Doubts {
		ans.doubt(replay.Certain, "%s: %s", s.title(), d)
	}
	held := make([]heldItem, len(found.Intervals))
	for i := range held {
		iv := &found.Intervals[i]
		held[i] = heldItem{s.lease(iv), iv.Start.Effective}
	}
	return held, nil
}

var historyTable = []column[leaseItem]{
	{"network", func(it *leaseItem) string { return it.Network }},
	{"address", func(it *leaseItem) string { return it.IP + "/" + strconv.Itoa(it.Prefix) }},
	{"container", func(it *leaseItem) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *leaseItem) string { return it.IfName }},
	{"pod", func(it *leaseItem) string { return it.Pod.String() }},
	{"start", func(it *leaseItem) string { return it.Start.Effective }},
	{"end", (*leaseItem).endText},
	{"reason", (*leaseItem).reasonText},
	{"events", func(it *leaseItem) string { return number(it.Start.Seq) + "-" + number(it.end().Seq) }},
	{"certainty", func(it *leaseItem) string { return it.Certainty }},
	{"doubts", func(it *leaseItem) string { return strings.Join(it.Doubts, "; ") }},
}
