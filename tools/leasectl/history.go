package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// historyAsked is the question of history as understood.
type historyAsked struct {
	scope
	selection
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
	var of selection
	var w window
	cmd := &cobra.Command{
		Use:   "history (--ip ADDRESS | --cidr CIDR | --container ID | --pod NS/NAME)",
		Short: "Who held an address, or what a container or pod held, and when",
		Long: `Who held an address, or the addresses of a prefix, or what a container or a pod held, oldest first, with the
reason of each end. A lease is held from start up to, not including, end. Between window_start and end its use is
uncertain. A container ID may be given by its beginning.

` + timesHelp,
		Example: `  leasectl history --ip 10.88.0.17 --since -2h
  leasectl history --pod default/web-0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("history takes no arguments: give the address by --ip")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if err := of.parse(); err != nil {
				return err
			}
			if err := w.parse(a); err != nil {
				return err
			}
			return a.history(&of, w)
		},
	}
	of.flags(cmd)
	w.flags(cmd, "`time`")
	return cmd
}

func (a *app) history(of *selection, w window) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	asked := historyAsked{scope: a.scope(), selection: *of, Since: bound(w.since), Until: bound(w.until), At: stamp(a.now)}
	ans := newAnswer("history", asked)
	var held []heldItem
	for _, s := range stores {
		found, err := a.holders(ans, s, of, w, len(stores) == 1)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		held = append(held, found...)
	}
	if len(held) == 0 && of.Pod != "" {
		a.say("%v", a.noKnown("pod", of.Pod, knownPods))
	}
	if len(held) == 0 && of.Container != "" {
		a.say("%v", a.noKnown("container", of.Container, knownContainers))
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

// holders answers for one store and those that it has succeeded. Among several, one that can't tell makes the answer
// unknown only if the address may have been its own to give.
func (a *app) holders(ans *answer, s *store, of *selection, w window, only bool) ([]heldItem, error) {
	var held []heldItem
	own := newAnswer("", nil) // what is said of this store
	own.Stores = nil
	eras, matches, err := s.selected(own, of, w.since)
	if err != nil {
		return nil, err
	}
	c, may := own.worst, false
	for i := range eras {
		e := &eras[i]
		if e.h == nil {
			c, may = replay.Unknown, true
			continue
		}
		may = may || of.mayBeOf(e.h)
		since, until, ok := e.within(w, i+1 == len(eras))
		if !ok {
			continue
		}
		h := e.h.Select(matches)
		if of.addr.IsValid() {
			h = e.h.Of(of.addr)
		}
		found := h.Between(since, until, e.covered(a.now))
		c = max(c, found.Certainty)
		for _, d := range found.Doubts {
			own.doubt(replay.Certain, "%s: %s", s.title(), d)
		}
		for j := range found.Intervals {
			iv := &found.Intervals[j]
			it := e.lease(iv)
			if !e.until.IsZero() && iv.End == nil && !iv.Lost() {
				it.Doubts = append(slices.Clip(it.Doubts), e.until.stillHeld())
				it.lost = e.until.gap()
				if held := e.held(w); iv.Certainty < held {
					it.Certainty, c = held.String(), max(c, held)
				}
			}
			if e.torn && iv.End == nil {
				c = max(c, replay.Uncertain)
			}
			held = append(held, heldItem{it, iv.Start.Effective})
		}
	}
	if !only && len(held) == 0 && !may {
		c = min(c, replay.Certain)
	}
	ans.worst = max(ans.worst, c)
	ans.Stores, ans.Doubts = append(ans.Stores, own.Stores...), append(ans.Doubts, own.Doubts...)
	return held, nil
}

// within returns the part of a window that the era tells of, the oldest one of all before it, too. It is false if there is none: then the
// window is another era's.
func (e *era) within(w window, oldest bool) (since, until time.Time, ok bool) {
	since, until = w.since, w.until
	if !oldest && !since.IsZero() {
		since = laterOf(since, e.h.First.Effective)
	}
	if !e.until.IsZero() && !until.IsZero() {
		until = earlierOf(until, e.until.Time)
	}
	if e.until.gap() && until.IsZero() {
		until = e.until.Time // the time behind it is asked about, too, and nobody tells of it
	}
	if !until.IsZero() && until.Before(since) || !oldest && !until.IsZero() && until.Before(e.h.First.Effective) {
		return since, until, false
	}
	return since, until, true
}

// held is how certain it is that leases go on in a window of which the era's store tells no end, and that its successor begins with.
func (e *era) held(w window) replay.Certainty {
	if e.until.gap() && (w.until.IsZero() || w.until.After(e.told())) {
		return replay.Uncertain
	}
	return replay.Certain
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
