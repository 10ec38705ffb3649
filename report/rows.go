package report

import (
	"math"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

type rangeItem struct {
	Start   string `json:"start"`
	End     string `json:"end"`
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway"`
}

type changeItem struct {
	Known   bool  `json:"known"`
	Partial bool  `json:"partial"`
	Ranges  []int `json:"ranges"`
}

// rowItem is what is so from an instant on, up to the next row.
type rowItem struct {
	From       *instant `json:"from"`              // null: since ever
	General    bool     `json:"general,omitempty"` // of an address with rows of its own: those of all others are valid from here on
	Unknown    []int    `json:"unknown"`
	Candidates []int    `json:"candidates"`
	Possible   []int    `json:"possible"`
	Maybe      []int    `json:"maybe"`
	Certainty  string   `json:"certainty"`
	Doubts     []int    `json:"doubts"`
	Steps      []int    `json:"steps,omitempty"` // those that may have been by then: the first one, and the one behind the last
	Open       bool     `json:"open"`
}

// stepItem is that a clock was set.
type stepItem struct {
	Seq   uint64 `json:"seq"` // of the first event after it
	Doubt int    `json:"doubt"`
}

type ownItem struct {
	Address int       `json:"address"`
	Rows    []rowItem `json:"rows"`
}

// rows takes over what ranges were in force when, and what that leaves open.
func (e *encoding) rows() {
	e.Ranges, e.Changes, e.Steps, e.Rows = []rangeItem{}, []changeItem{}, []stepItem{}, []rowItem{}
	numbers := map[journal.Range]int{}
	for _, p := range e.parts {
		p.ranges, p.steps = len(e.Changes), len(e.Steps)
		if p.course == nil {
			continue
		}
		for i := range p.course.Changes {
			c := &p.course.Changes[i]
			it := changeItem{c.Known, c.Partial, []int{}}
			for _, g := range c.Ranges {
				n, ok := numbers[g]
				if !ok {
					n = len(e.Ranges)
					numbers[g] = n
					e.Ranges = append(e.Ranges, rangeItem{g.Start.String(), g.End.String(), g.Subnet.String(), addrText(g.Gateway)})
				}
				it.Ranges = append(it.Ranges, n)
			}
			e.Changes = append(e.Changes, it)
		}
		for _, step := range p.History.Clocks.Steps() {
			e.Steps = append(e.Steps, stepItem{uint64(step.Seq), e.texts.number(step.Doubt())})
		}
	}
	e.Rows = e.joined(func(p *partOf) []replay.Row { return p.course.Rows })
}

// joined are the rows of all parts, each as long as its part tells.
func (e *encoding) joined(of func(*partOf) []replay.Row) []rowItem {
	rows := []rowItem{}
	for _, p := range e.parts {
		if p.begin >= p.end {
			continue
		}
		if p.course == nil {
			texts := e.texts.all([]string{p.Unread})
			rows = append(rows, rowItem{From: fromOf(p.begin), Unknown: texts, Candidates: []int{}, Possible: []int{}, Maybe: []int{},
				Certainty: replay.Unknown.String(), Doubts: texts, Open: true})
			continue
		}
		all := of(p)
		for i := range all {
			from, to := max(all[i].From, p.begin), p.end
			if i+1 < len(all) {
				to = min(to, all[i+1].From)
			}
			if from < to {
				rows = append(rows, e.row(p, &all[i], from))
			}
		}
	}
	return rows
}

func (e *encoding) row(p *partOf, r *replay.Row, from int64) rowItem {
	changes := func(list []int) []int {
		numbers := make([]int, len(list))
		for i, n := range list {
			if numbers[i] = n; n >= 0 {
				numbers[i] = p.ranges + n
			}
		}
		return numbers
	}
	var steps []int
	if r.Steps > 0 {
		steps = []int{p.steps, p.steps + r.Steps}
	}
	return rowItem{From: fromOf(from), Unknown: e.texts.all(r.Unknown), Candidates: changes(r.Candidates), Possible: changes(r.Possible),
		Maybe: e.texts.all(r.Maybe), General: r.General, Certainty: r.Certainty.String(), Doubts: e.texts.all(r.Doubts), Steps: steps, Open: r.Open}
}

func fromOf(ns int64) *instant {
	if ns == math.MinInt64 {
		return nil
	}
	at := instantOf(ns)
	return &at
}

// ownRows are those of addresses that not all is so of which is so of the others. They are numbered with the leases' addresses.
func (e *encoding) ownRows() {
	e.Own = []ownItem{}
	for _, ip := range e.owners() {
		rows := e.joined(func(p *partOf) []replay.Row {
			if own, ok := p.course.Own[ip]; ok {
				return own
			}
			return []replay.Row{{From: math.MinInt64, General: true}}
		})
		e.Own = append(e.Own, ownItem{e.addresses[ip], rows})
	}
}

// owners are the addresses with rows of their own, ascending.
func (e *encoding) owners() []netip.Addr {
	found := map[netip.Addr]bool{}
	for _, p := range e.parts {
		if p.course == nil {
			continue
		}
		for ip := range p.course.Own {
			found[ip] = true
		}
	}
	all := make([]netip.Addr, 0, len(found))
	for ip := range found {
		all = append(all, ip)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// addrText is String, but empty for the zero Addr.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
