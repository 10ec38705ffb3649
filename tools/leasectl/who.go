package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// whoAsked is the question of who as understood.
type whoAsked struct {
	scope
	IP   string `json:"ip"`
	At   string `json:"at"`
	From string `json:"from,omitempty"` // with a skew
	To   string `json:"to,omitempty"`
	Skew string `json:"skew,omitempty"`
}

// whoItem is a holder, or in a table what an address was that nobody held.
type whoItem struct {
	leaseItem
	State     string `json:"state"`
	OverlapNS *int64 `json:"overlap_ns,omitempty"` // within the time asked about, with a skew
	Partly    bool   `json:"partly,omitempty"`     // it was not the holder in all of it, or may not have been
}

// stateItem is what one store says of the address.
type stateItem struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	Node      string   `json:"node"`
	StoreID   string   `json:"store_id"`
	IP        string   `json:"ip"`
	State     string   `json:"state"`
	Certainty string   `json:"certainty"`
	Counts    bool     `json:"counts"` // it may have been the store's to give
	Doubts    []string `json:"doubts"`
	held      bool     // somebody may have held it
	origin    `json:"-"`
}

// moment is the instant asked about, as given and as understood.
type moment struct {
	text string
	skew time.Duration
	at   time.Time
	now  bool
}

// parse understands the instant and says what it was taken for.
func (m *moment) parse(a *app) (err error) {
	if strings.HasPrefix(m.text, "now-") {
		m.text = strings.TrimPrefix(m.text, "now") // see agoArgs
	}
	m.now = strings.TrimSpace(m.text) == "now" && m.skew == 0
	switch {
	case m.skew < 0:
		return usagef("--skew %s is negative", m.skew)
	case m.skew > maxSkew:
		return usagef("--skew %s: at most %s; for what was held in a longer time, see leasectl history", m.skew, maxSkew)
	}
	if m.at, err = a.instant("at", m.text); err == nil && m.skew > 0 {
		a.say("from %s to %s", stamp(m.at.Add(-m.skew)), stamp(m.at.Add(m.skew)))
	}
	return err
}

// maxSkew keeps the ends of what is asked within what a journal can hold.
const maxSkew = 30 * 24 * time.Hour

// asked is the question for a store: what is held now is asked of a store in use alone.
func (m *moment) asked(e *era, now time.Time) replay.Asked {
	return replay.Asked{From: m.at.Add(-m.skew), To: m.at.Add(m.skew), Covered: e.covered(now),
		Now: m.now && e.until.IsZero() && !e.covered(now).IsZero()}
}

// parseAddr reads an address as people write it.
func parseAddr(text string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil && strings.Contains(text, "/"):
		return netip.Addr{}, usagef("address %q: want one address, without a prefix length", text)
	case err != nil:
		return netip.Addr{}, usagef("address %q: want one such as 10.88.0.17 or fd00::17", text)
	case ip.Zone() != "":
		return netip.Addr{}, usagef("address %q: an address of a network has no zone: leave out %%%s", text, ip.Zone())
	}
	return ip.Unmap(), nil
}

func (a *app) whoCommand() *cobra.Command {
	var m moment
	cmd := &cobra.Command{
		Use:   "who ADDRESS",
		Short: "Who held an address at a time",
		Long: `Who held an address at a time: the attachment, since when and until when, by which events, and how sure that is.
Without --at, who holds it now. --skew widens the question to all that held it at most so long before or after.

An address that nobody held is free, a gateway, or not ours: of no range of the network. Where the journal does not
tell, the answer is unknown and never free.

` + timesHelp,
		Example: `  leasectl who 10.88.0.17
  leasectl who 10.88.0.17 --at 2026-11-03T14:05:00Z
  leasectl who 10.88.0.17 --at "yesterday 14:05" --tz Europe/Vienna --skew 2s`,
		Args:              oneArg("ADDRESS"),
		ValidArgsFunction: a.completeFirst(knownAddresses),
		RunE: func(_ *cobra.Command, args []string) error {
			ip, err := parseAddr(args[0])
			if err == nil {
				err = m.parse(a)
			}
			if err != nil {
				return err
			}
			return a.who(ip, &m)
		},
	}
	cmd.Flags().StringVar(&m.text, "at", "now", "the `time` asked about")
	cmd.Flags().DurationVar(&m.skew, "skew", 0, "how far the clock that gave the time may be off, a `duration`")
	return cmd
}

// oneArg wants exactly one argument.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s wants one %s, not %d: leasectl %s", cmd.Name(), name, len(args), cmd.Use)
		}
		return nil
	}
}

func (a *app) who(ip netip.Addr, m *moment) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	asked := whoAsked{scope: a.scope(), IP: ip.String(), At: stamp(m.at)}
	if m.skew > 0 {
		asked.From, asked.To, asked.Skew = stamp(m.at.Add(-m.skew)), stamp(m.at.Add(m.skew)), m.skew.String()
	}
	ans := newAnswer("who", asked)
	var held []whoItem
	var states []stateItem
	for _, s := range stores {
		items, state, err := s.who(a, ans, ip, m)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		held, states = append(held, items...), append(states, state)
	}
	a.concludeWho(ans, held, states)
	ans.Answers = states
	unknown := ans.State == replay.StateUnknown.String()
	switch {
	case a.output == "json":
	case len(held) == 0 && a.output == "table":
		return show(a, ans, each(states), layout[stateItem]{"answers", stateTable, nil})
	case a.output == "jsonl" && (len(held) == 0 || unknown):
		return show(a, ans, each(answerLines(states, held)), layout[any]{})
	case len(held) == 0 || unknown: // that it is unknown comes first, and then what is known beside
		held = slices.Concat(rowsOf(states), held)
	}
	table := whoTable
	if m.skew > 0 {
		table = slices.Insert(slices.Clone(whoTable), 8, overlapColumn)
	}
	return show(a, ans, each(held), layout[whoItem]{"holders", table, whoCSV})
}

// who answers for a store and those that it has succeeded.
func (s *store) who(a *app, ans *answer, ip netip.Addr, m *moment) ([]whoItem, stateItem, error) {
	st := stateItem{Schema: "leaselog.state/1", Network: s.network, Node: s.meta.Node, StoreID: s.idText(), IP: ip.String(),
		Counts: true, Doubts: []string{}, origin: s.origin}
	eras, err := s.eras(ans, reading{addrs: []netip.Addr{ip}}, m.at.Add(-m.skew))
	if err != nil {
		return nil, st, err
	}
	var items []whoItem
	worst, may := replay.Certain, false
	for i := range eras {
		e := &eras[i]
		if e.h == nil {
			worst, may = replay.Unknown, true
			st.say("what it tells can't be read")
			continue
		}
		may = may || e.h.MayHold(ip)
		q := m.asked(e, a.now)
		if i+1 < len(eras) && !q.Now {
			if q.To.Before(e.h.First.Effective) {
				continue // the one before tells
			}
			q.From = laterOf(q.From, e.h.First.Effective)
		}
		if !e.until.IsZero() {
			q.To = earlierOf(q.To, e.until.Time)
		}
		was := e.h.Who(ip, q)
		worst = max(worst, was.Certainty)
		if was.Several {
			worst = max(worst, replay.Uncertain)
		}
		if st.State = cmp.Or(st.State, was.State.String()); was.State == replay.StateHeld {
			st.State = was.State.String()
		}
		st.Doubts = append(st.Doubts, was.Doubts...)
		for j := range was.Holders {
			if e.torn && was.Holders[j].End == nil {
				was.Holders[j].Unsure, worst = true, max(worst, replay.Uncertain)
			}
			was.Holders[j].Unsure = was.Holders[j].Unsure || was.Certainty == replay.Unknown
			items = append(items, e.holder(&was.Holders[j], m))
		}
	}
	if worst == replay.Unknown || st.State == "" {
		worst, st.State = replay.Unknown, replay.StateUnknown.String()
	}
	st.held = len(items) > 0
	st.Certainty, st.Counts = worst.String(), worst != replay.Unknown || may || len(items) > 0
	return items, st, nil
}

func (st *stateItem) say(text string) { st.Doubts = append(st.Doubts, text) }

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// holder describes a holder. Its certainty is that of the answer: that of the whole lease may be worse.
func (e *era) holder(held *replay.Holder, m *moment) whoItem {
	it := whoItem{State: replay.StateHeld.String(), Partly: held.Partly, leaseItem: e.lease(held.Interval)}
	it.Schema = "leaselog.holder/1"
	it.Certainty = replay.Certain.String()
	if held.Unsure {
		it.Certainty = replay.Uncertain.String()
	}
	if m.skew > 0 {
		ns := int64(held.Overlap)
		it.OverlapNS = &ns
	}
	return it
}

// concludeWho makes one answer of those of all stores. One that doesn't know counts only if the address may have been its own.
func (a *app) concludeWho(ans *answer, held []whoItem, states []stateItem) {
	worst, counted, holding := ans.worst, false, 0
	for i := range states {
		st := &states[i]
		for _, d := range st.Doubts {
			ans.Doubts = append(ans.Doubts, st.title()+": "+d)
		}
		if st.held {
			holding++
		}
		if len(states) == 1 || st.Counts {
			worst, counted = max(worst, certaintyOf(st.Certainty)), true
		}
	}
	if !counted {
		worst = replay.Unknown
	}
	switch {
	case worst == replay.Unknown:
		ans.State = replay.StateUnknown.String()
	case len(held) > 0:
		ans.State = replay.StateHeld.String()
	default:
		for _, s := range []replay.State{replay.StateNotOurs, replay.StateFree, replay.StateGateway} {
			if slices.ContainsFunc(states, func(st stateItem) bool { return st.State == s.String() }) {
				ans.State = s.String()
			}
		}
	}
	if worst < replay.Uncertain && holding > 1 {
		worst = replay.Uncertain
		ans.Doubts = append(ans.Doubts, "several networks or nodes had it held")
	}
	ans.worst = worst
	a.exit(worst, len(held) > 0)
}

func (st *stateItem) title() string {
	if st.place == "" {
		return fmt.Sprintf("network %q", st.Network)
	}
	return fmt.Sprintf("network %q of %s", st.Network, st.place)
}

func certaintyOf(text string) replay.Certainty {
	for _, c := range []replay.Certainty{replay.Certain, replay.Uncertain} {
		if c.String() == text {
			return c
		}
	}
	return replay.Unknown
}

// held reports whether the row is of a holder.
func (it *whoItem) held() bool { return it.State == replay.StateHeld.String() }

// ifHeld is the text in rows of holders, and "" in others.
func (it *whoItem) ifHeld(text string) string {
	if !it.held() {
		return ""
	}
	return text
}

// address is the address with its prefix length, where that is known.
func (it *whoItem) address() string {
	if !it.held() {
		return it.IP
	}
	return it.IP + "/" + strconv.Itoa(it.Prefix)
}

// rowsOf are the answers of stores as rows of a table of holders.
func rowsOf(states []stateItem) []whoItem {
	rows := make([]whoItem, len(states))
	for i := range states {
		rows[i] = states[i].row()
	}
	return rows
}

// answerLines are what is printed with an item a line, the answers of stores first.
func answerLines(states []stateItem, held []whoItem) []any {
	var all []any
	for i := range states {
		all = append(all, &states[i])
	}
	for i := range held {
		all = append(all, &held[i])
	}
	return all
}

// row is the answer as a row of a table of holders.
func (st *stateItem) row() whoItem {
	return whoItem{State: st.State, leaseItem: leaseItem{Network: st.Network, IP: st.IP, Certainty: st.Certainty, Doubts: st.Doubts,
		Evidence: evidenceItem{Node: st.Node, StoreID: st.StoreID}}}
}

var whoTable = []column[whoItem]{
	{"state", func(it *whoItem) string { return it.State }},
	{"network", func(it *whoItem) string { return it.Network }},
	{"address", func(it *whoItem) string { return it.address() }},
	{"container", func(it *whoItem) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *whoItem) string { return it.IfName }},
	{"pod", func(it *whoItem) string { return it.Pod.String() }},
	{"start", func(it *whoItem) string { return it.Start.Effective }},
	{"end", func(it *whoItem) string { return it.ifHeld(it.endText()) }},
	{"reason", func(it *whoItem) string { return it.reasonText() }},
	{"events", func(it *whoItem) string { return it.ifHeld(number(it.Start.Seq) + "-" + number(it.end().Seq)) }},
	{"file", func(it *whoItem) string { return it.Evidence.File }},
	{"certainty", func(it *whoItem) string { return it.Certainty }},
	{"doubts", func(it *whoItem) string { return strings.Join(it.Doubts, "; ") }},
}

// overlapColumn is what holders are ordered by: how long each held the address within the time asked about.
var overlapColumn = column[whoItem]{"overlap", func(it *whoItem) string {
	if it.OverlapNS == nil {
		return ""
	}
	return time.Duration(*it.OverlapNS).String()
}}

// whoCSV are the columns of a holder; their order is fixed, new ones come last.
var whoCSV = whoColumns()

func whoColumns() []column[whoItem] {
	columns := []column[whoItem]{
		{"state", func(it *whoItem) string { return it.State }},
		{"overlap_ns", func(it *whoItem) string {
			if it.OverlapNS == nil {
				return ""
			}
			return strconv.FormatInt(*it.OverlapNS, 10)
		}},
		{"partly", func(it *whoItem) string { return strconv.FormatBool(it.Partly) }},
	}
	// Of an address that nobody held there is nothing to say in the other columns.
	always := []string{"network", "ip", "certainty", "doubts", "node", "store_id"}
	for _, c := range leaseCSV {
		columns = append(columns, column[whoItem]{c.name, func(it *whoItem) string {
			if it.State != replay.StateHeld.String() && !slices.Contains(always, c.name) {
				return ""
			}
			return c.cell(&it.leaseItem)
		}})
	}
	return columns
}

var stateTable = []column[stateItem]{
	{"state", func(it *stateItem) string { return it.State }},
	{"network", func(it *stateItem) string { return it.Network }},
	{"address", func(it *stateItem) string { return it.IP }},
	{"certainty", func(it *stateItem) string { return it.Certainty }},
	{"doubts", func(it *stateItem) string { return strings.Join(it.Doubts, "; ") }},
}
