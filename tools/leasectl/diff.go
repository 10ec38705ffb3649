package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// diffAsked is the question of diff as understood.
type diffAsked struct {
	scope
	From string `json:"from"`
	To   string `json:"to"`
}

// changeItem is an address that another lease holds, or none, at the second time.
type changeItem struct {
	Schema    string      `json:"schema"`
	Change    string      `json:"change"`
	Network   string      `json:"network"`
	Node      string      `json:"node"`
	StoreID   string      `json:"store_id"`
	IP        string      `json:"ip"`
	Before    []leaseItem `json:"before"`
	After     []leaseItem `json:"after"`
	Certainty string      `json:"certainty"`
	origin    `json:"-"`
}

func (a *app) diffCommand() *cobra.Command {
	var from, to moment
	return &cobra.Command{
		Use:   "diff TIME TIME",
		Short: "What changed between two times",
		Long: `What changed in the lease table from the first time to the second:

  added    nobody held the address, and then somebody did
  removed  somebody held it, and then nobody did
  moved    another attachment held it
  reused   the same attachment held it, and had given it back and got it again in between

` + timesHelp,
		Example: `  leasectl diff -24h now
  leasectl diff 2026-11-03T14:00:00Z 2026-11-03T15:00:00Z --network cbr0 -o jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("diff wants two times, not %d: leasectl diff TIME TIME", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for i, m := range []*moment{&from, &to} {
				m.text = args[i]
				if err := m.parse(a); err != nil {
					return err
				}
			}
			if to.at.Before(from.at) {
				return usagef("the second time is before the first")
			}
			return a.diff(&from, &to)
		},
	}
}

func (a *app) diff(from, to *moment) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("diff", diffAsked{a.scope(), stamp(from.at), stamp(to.at)})
	var changes [len(changeKinds)][]changeItem
	for _, s := range stores {
		t, err := s.tables(a, ans, []*moment{from, to})
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		if t[0].outside || t[1].outside {
			ans.doubt(replay.Unknown, "%s: what was held at one of the times is unknown, so that nothing can be compared", s.title())
			continue
		}
		ans.worst = max(ans.worst, comparable(ans, s, t))
		d := replay.Diff(&t[0].Table, &t[1].Table)
		for i, list := range [...][]replay.Change{d.Added, d.Removed, d.Moved, d.Reused} {
			for j := range list {
				it := s.change(changeKinds[i], &list[j], t)
				ans.worst = max(ans.worst, certaintyOf(it.Certainty))
				changes[i] = append(changes[i], it)
			}
		}
	}
	found := false
	for i := range changes {
		found = found || len(changes[i]) > 0
	}
	a.exit(ans.worst, found)
	if a.output == "json" {
		return a.showChanges(ans, changes[:])
	}
	var all []changeItem
	for i := range changes {
		all = append(all, changes[i]...)
	}
	return show(a, ans, each(all), layout[changeItem]{"changes", changeTable, changeCSV})
}

// comparable returns how certain it is that all changes between two tables are told. That the use of a lease is uncertain says
// nothing against it: it is in both tables, or it is a change, which is uncertain then.
func comparable(ans *answer, s *store, t []tableOf) replay.Certainty {
	c := replay.Certain
	for i := range t {
		switch {
		case t[i].Certainty == replay.Unknown:
			c = replay.Unknown
		case t[i].Open && c == replay.Certain:
			c = replay.Uncertain
			ans.doubt(replay.Certain, "%s: the clocks leave open whether all these leases were held at the times asked about, and no others", s.title())
		}
	}
	return c
}

var changeKinds = [...]string{"added", "removed", "moved", "reused"}

// change describes a change from the first table to the second.
func (s *store) change(kind string, c *replay.Change, t []tableOf) changeItem {
	it := changeItem{Schema: "leaselog.change/1", Change: kind, Network: s.network, Node: s.meta.Node, StoreID: s.idText(),
		IP: c.IP.String(), Before: []leaseItem{}, After: []leaseItem{}, Certainty: replay.Certain.String(), origin: s.origin}
	for i, list := range [][]replay.Holder{c.Before, c.After} {
		for j := range list {
			item := t[i].item(&list[j])
			if list[j].Unsure {
				it.Certainty = replay.Uncertain.String()
			}
			if i == 0 {
				it.Before = append(it.Before, item)
			} else {
				it.After = append(it.After, item)
			}
		}
	}
	if t[0].Certainty == replay.Unknown || t[1].Certainty == replay.Unknown {
		it.Certainty = replay.Unknown.String()
	}
	return it
}

// showChanges prints one object with a list for each kind of change.
func (a *app) showChanges(ans *answer, changes [][]changeItem) error {
	ans.Certainty = ans.worst.String()
	for _, d := range ans.Doubts {
		a.say("%s", d)
	}
	head, err := marshal(ans)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(answerWriter{a})
	fmt.Fprintf(w, "%s", bytes.TrimSuffix(head, []byte("}")))
	for i, list := range changes {
		fmt.Fprintf(w, ",%q:[", changeKinds[i])
		for j := range list {
			b, err := marshal(&list[j])
			if err != nil {
				return err
			}
			separator := ",\n"
			if j == 0 {
				separator = "\n"
			}
			fmt.Fprintf(w, "%s%s", separator, b)
		}
		fmt.Fprint(w, "]")
	}
	fmt.Fprintln(w, "}")
	return w.Flush()
}

// holdersText names the holders, in a table.
func holdersText(list []leaseItem, id func(string) string) string {
	var parts []string
	for i := range list {
		l := &list[i]
		text := id(l.ContainerID)
		if pod := l.Pod.String(); pod != "" {
			text += " (" + pod + ")"
		}
		parts = append(parts, text+" since event "+number(l.Start.Seq))
	}
	return strings.Join(parts, "; ")
}

func wholeID(id string) string { return id }

var changeTable = []column[changeItem]{
	{"change", func(it *changeItem) string { return it.Change }},
	{"network", func(it *changeItem) string { return it.Network }},
	{"address", func(it *changeItem) string { return it.IP }},
	{"before", func(it *changeItem) string { return holdersText(it.Before, shortID) }},
	{"after", func(it *changeItem) string { return holdersText(it.After, shortID) }},
	{"certainty", func(it *changeItem) string { return it.Certainty }},
}

// changeCSV are the columns of a change; their order is fixed, new ones come last.
var changeCSV = []column[changeItem]{
	{"change", func(it *changeItem) string { return it.Change }},
	{"network", func(it *changeItem) string { return it.Network }},
	{"ip", func(it *changeItem) string { return it.IP }},
	{"before", func(it *changeItem) string { return holdersText(it.Before, wholeID) }},
	{"after", func(it *changeItem) string { return holdersText(it.After, wholeID) }},
	{"certainty", func(it *changeItem) string { return it.Certainty }},
	{"node", func(it *changeItem) string { return it.Node }},
	{"store_id", func(it *changeItem) string { return it.StoreID }},
}
