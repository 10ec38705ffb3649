package main

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// atAsked is the question of at as understood.
type atAsked struct {
	scope
	At string `json:"at"`
}

func (a *app) atCommand() *cobra.Command {
	var m moment
	return &cobra.Command{
		Use:   "at TIME",
		Short: "The whole lease table as of a time",
		Long: `All leases that were held at a time, by network and address, as the plugin knew them then: without their ends.
Whether a lease's use was certain takes in what became known of it later.

` + timesHelp,
		Example: `  leasectl at 2026-11-03T14:05:00Z
  leasectl at "yesterday 14:05" --tz Europe/Vienna --network cbr0 -o csv`,
		Args: oneArg("TIME"),
		RunE: func(_ *cobra.Command, args []string) error {
			m.text = args[0]
			if err := m.parse(a); err != nil {
				return err
			}
			return a.at(&m)
		},
	}
}

func (a *app) at(m *moment) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("at", atAsked{a.scope(), stamp(m.at)})
	var tables []tableOf
	for _, s := range stores {
		t, err := s.tables(a, ans, []*moment{m})
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		ans.worst = max(ans.worst, t[0].Certainty)
		tables = append(tables, t[0])
	}
	a.exit(ans.worst, true)
	return show(a, ans, itemsOf(tables), layout[leaseItem]{"leases", leasesTable, leaseCSV})
}

// tableOf is a lease table with the store that tells it; without one, nothing is known.
type tableOf struct {
	era
	replay.Table
	outside bool // of what the store covers
}

// itemsOf yields the leases of tables as they were known then. Each is made when it is shown: a table has many.
func itemsOf(tables []tableOf) iter.Seq2[*leaseItem, error] {
	return func(yield func(*leaseItem, error) bool) {
		for i := range tables {
			t := &tables[i]
			for j := range t.Leases {
				it := t.item(&t.Leases[j])
				if !yield(&it, nil) {
					return
				}
			}
		}
	}
}

func (t *tableOf) item(held *replay.Holder) leaseItem {
	it := t.lease(held.Interval)
	it.End, it.Certainty = nil, replay.Certain.String()
	if held.Unsure || t.outside {
		it.Certainty = replay.Uncertain.String()
	}
	if held.Partly {
		it.Doubts = append(slices.Clip(it.Doubts), replay.WhetherHeld)
	}
	return it
}

// tables answers what was held at some times, with one reading for each store that tells of one.
func (s *store) tables(a *app, ans *answer, moments []*moment) ([]tableOf, error) {
	return s.tablesOf(a, ans, moments, reading{})
}

// tablesOf is tables with what else is to be read.
func (s *store) tablesOf(a *app, ans *answer, moments []*moment, r reading) ([]tableOf, error) {
	if s.broken != nil {
		ans.take(s, replay.Point{}, replay.Point{})
		unknown := tableOf{era: era{store: s}, Table: replay.Table{Certainty: replay.Unknown}, outside: true}
		return slices.Repeat([]tableOf{unknown}, len(moments)), nil
	}
	first := moments[0].at
	self := era{store: s}
	for _, m := range moments {
		if m.at.Before(first) {
			first = m.at
		}
		r.asked = append(r.asked, m.asked(&self, a.now))
	}
	eras, err := s.eras(ans, r, first)
	if err != nil {
		return nil, err
	}
	tables := make([]tableOf, len(moments))
	for i, m := range moments {
		e := eraOf(eras, m, a.now)
		if tables[i].era = *e; e.h == nil {
			tables[i].Certainty, tables[i].outside = replay.Unknown, true
			continue
		}
		h, q := e.h, m.asked(e, a.now)
		if e.parts != nil {
			h = e.parts[i]
		}
		t := h.At(q)
		tables[i].Table, tables[i].outside = t, e.outside(q)
		if e.parts != nil {
			h.Intervals = nil // it is not asked again, and a table has many
		}
		for _, d := range t.Doubts {
			ans.doubt(replay.Certain, "%s: %s", s.title(), d)
		}
	}
	return tables, nil
}

// outside reports whether the store doesn't cover the time.
func (e *era) outside(q replay.Asked) bool {
	covered := q.Covered
	if covered.IsZero() {
		covered = e.h.Last.Effective
	}
	return e.h.First.Seq == 0 || !q.Now && (q.From.Before(e.h.First.Effective) || q.To.After(covered))
}

// eraOf returns the store that tells of the time.
func eraOf(eras []era, m *moment, now time.Time) *era {
	for i := range eras {
		e := &eras[i]
		if e.h == nil || m.asked(e, now).Now || !m.at.Before(e.h.First.Effective) {
			return e
		}
	}
	return &eras[len(eras)-1]
}
