package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
)

// mapAsked is the question of map as understood.
type mapAsked struct {
	scope
	At   string `json:"at"`
	CIDR string `json:"cidr,omitempty"`
}

// mapQuestion is what map is asked, and how it draws.
type mapQuestion struct {
	moment
	cidr   string
	prefix netip.Prefix
	watch  bool
}

func (a *app) mapCommand() *cobra.Command {
	var q mapQuestion
	cmd := &cobra.Command{
		Use:   "map",
		Short: "A network's addresses as a picture: what each was at a time",
		Long: `The addresses of each network as a picture: what each was at a time, as who says of it. Without --at, what they are
now; of a copy, as of its last event. Large ranges are drawn with many addresses to a sign: as much of it is filled as is
held, and where anything is unknown, all of the sign is. Of very large ones only those parts are drawn in which something is
held. --cidr draws one part, and is as certain as what is known of that.

--watch draws anew whenever the store changes, until it is interrupted.

The other formats have the states in rows of addresses.

` + timesHelp,
		Example: `  leasectl map
  leasectl map --at "yesterday 14:05" --network cbr0
  leasectl map --cidr 10.88.3.0/24 --watch`,
		Args: noArgument,
		RunE: func(*cobra.Command, []string) error {
			if err := q.parse(a); err != nil {
				return err
			}
			if q.watch {
				return a.watch(func(a *app) (time.Duration, error) { return 0, a.addressMap(&q) })
			}
			return a.addressMap(&q)
		},
	}
	cmd.Flags().StringVar(&q.text, "at", "", "the `time` asked about; without it, now")
	cmd.Flags().StringVar(&q.cidr, "cidr", "", "only the addresses of this `prefix`")
	a.pictureFlags(cmd, &q.watch)
	return cmd
}

// pictureFlags are the flags of commands that draw.
func (a *app) pictureFlags(cmd *cobra.Command, watch *bool) {
	cmd.Flags().BoolVar(&a.ascii, "ascii", false, "draw with ASCII alone, as where the locale is not of UTF-8")
	cmd.Flags().BoolVar(watch, "watch", false, "draw anew whenever the store changes, until interrupted")
}

func (q *mapQuestion) parse(a *app) (err error) {
	switch {
	case q.watch && q.text != "":
		return usagef("--watch draws what is so now: leave out --at")
	case q.watch && a.output != "table":
		return usagef("--watch draws pictures: leave out --output %s", a.output)
	}
	if q.cidr != "" {
		if q.prefix, err = parsePrefix(q.cidr); err != nil {
			return err
		}
		q.cidr = q.prefix.String()
	}
	if q.text != "" {
		return q.moment.parse(a)
	}
	return nil
}

// rowItem is a row of addresses of which the same is to be said.
type rowItem struct {
	Schema    string      `json:"schema"`
	Network   string      `json:"network"`
	Node      string      `json:"node"`
	StoreID   string      `json:"store_id"`
	At        string      `json:"at"`
	First     string      `json:"first"`
	Last      string      `json:"last"`
	Addresses json.Number `json:"addresses"`
	State     string      `json:"state"`
	Certainty string      `json:"certainty"`
	origin
}

// summaryItem is what the rows of a network come to.
type summaryItem struct {
	Schema    string     `json:"schema"`
	Network   string     `json:"network"`
	Node      string     `json:"node"`
	StoreID   string     `json:"store_id"`
	At        string     `json:"at"`
	Certainty string     `json:"certainty"`
	Known     bool       `json:"ranges_known"` // which addresses the network gave out
	IPv4      familyItem `json:"ipv4"`
	IPv6      familyItem `json:"ipv6"`
}

// familyItem counts the addresses of one family: a sum of both would tell nothing.
type familyItem struct {
	Uncertain json.Number            `json:"uncertain"` // addresses of whose state that is to be said
	States    map[string]json.Number `json:"states"`    // addresses by state; what there is none of is left out
}

// row is a row of addresses, first and last included, of which the same is to be said.
type row struct {
	first, last netip.Addr
	state       replay.State
	unsure      bool
}

// mapped is what is drawn of one store.
type mapped struct {
	*store
	at        time.Time
	certainty replay.Certainty
	known     bool  // the ranges are those that addresses were given from
	rows      []row // ascending; rows of one region follow one another
	regions   []region
	causes    []cause
	others    *big.Int // addresses that are not certain for other causes
}

// causesAtMost are told of a network: who tells of one address.
const causesAtMost = 3

// cause is why something of addresses is not certain.
type cause struct {
	text  string
	first netip.Addr
	addrs *big.Int
}

// region is a part of the address space that is looked at as a whole, first and last included.
type region struct {
	first, last netip.Addr
}

func (a *app) addressMap(q *mapQuestion) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	asked := a.now
	if q.text != "" {
		asked = q.at
	}
	ans := newAnswer("map", mapAsked{a.scope(), stamp(asked), q.cidr})
	var all []*mapped
	for _, s := range stores {
		m, err := s.mapped(a, ans, q)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		ans.worst = max(ans.worst, m.certainty)
		m.tell(ans)
		ans.Summaries = append(ans.Summaries, m.summary())
		all = append(all, m)
	}
	a.exit(ans.worst, true)
	if a.output != "table" {
		return show(a, ans, rowsOfAll(all), layout[rowItem]{"rows", nil, rowCSV})
	}
	return a.showPicture(ans, func(p *picture, sc *screen) {
		for i, m := range all {
			if i > 0 {
				p.add("")
			}
			m.draw(p, sc, len(all))
		}
	})
}

// showPicture prints an answer's words, and the picture.
func (a *app) showPicture(ans *answer, draw func(*picture, *screen)) error {
	ans.Certainty = ans.worst.String()
	for _, d := range ans.Doubts {
		a.say("%s", d)
	}
	var p picture
	draw(&p, a.screen())
	return p.write(answerWriter{a})
}

// mapped looks at a store.
func (s *store) mapped(a *app, ans *answer, q *mapQuestion) (*mapped, error) {
	m := q.moment
	if q.text == "" {
		var err error
		if m, err = s.lastMoment(a); err != nil {
			return nil, err
		}
	}
	tables, err := s.tablesOf(a, ans, []*moment{&m}, reading{free: true})
	if err != nil {
		return nil, err
	}
	t := &tables[0]
	of := &mapped{store: t.store, at: m.at, certainty: t.Certainty, others: new(big.Int)}
	if q.prefix.IsValid() {
		of.regions, of.certainty = []region{regionOf(q.prefix)}, replay.Certain // but for what its rows say
	}
	if t.h == nil {
		for _, r := range of.regions {
			of.put(row{first: r.first, last: r.last, state: replay.StateUnknown})
		}
		return of, nil
	}
	asked := m.asked(&t.era, a.now)
	unheld, h, err := s.unheld(a, t, &m, asked)
	if err != nil {
		return nil, err
	}
	ranges, known := h.RangesAt(asked)
	of.known = known
	if !q.prefix.IsValid() {
		of.regions = regionsOf(ranges, t.Leases)
	}
	for _, r := range of.regions {
		of.fill(r, t, unheld)
	}
	return of, nil
}

// lastMoment is now for a store in use, and for others their last event: of the time behind it they tell nothing.
func (s *store) lastMoment(a *app) (moment, error) {
	m := moment{at: a.now, now: true}
	if s.broken != nil || !s.covered(a.now).IsZero() {
		return m, nil
	}
	h, err := s.read(reading{addrs: []netip.Addr{}}, handover{})
	if err != nil || h.First.Seq == 0 {
		return m, err
	}
	return moment{at: h.Last.Effective}, nil
}

// unheld returns what answers about addresses that the table has no lease of, and the history that it rests on.
func (s *store) unheld(a *app, t *tableOf, m *moment, q replay.Asked) (*replay.Unheld, *replay.History, error) {
	claims := t.h.Claimed()
	if t.parts == nil && (len(claims) == 0 || q.Now) {
		return t.h.Unheld(q, nil), t.h, nil
	}
	// A part tells of leases alone, and what else is asked is found sooner than all can be read.
	quiet := newAnswer("", nil) // the same was said already
	eras, err := s.eras(quiet, reading{addrs: append([]netip.Addr{}, claims...)}, m.at)
	if err != nil {
		return nil, nil, err
	}
	about := eraOf(eras, m, a.now).h
	switch {
	case about == nil:
		return t.h.Unheld(q, nil), t.h, nil
	case t.parts != nil:
		return about.Unheld(q, nil), about, nil
	}
	return t.h.Unheld(q, about), t.h, nil
}

// fill says what the addresses of a region are.
func (m *mapped) fill(r region, t *tableOf, unheld *replay.Unheld) {
	leases := t.Leases
	i, _ := slices.BinarySearchFunc(leases, r.first, func(l replay.Holder, ip netip.Addr) int { return l.Lease.IP.Compare(ip) })
	for ip := r.first; ip.IsValid() && ip.Compare(r.last) <= 0; {
		next := row{first: ip, last: ip}
		var doubts []string
		if i < len(leases) && leases[i].Lease.IP == ip {
			next.state, next.unsure = replay.StateHeld, t.outside
			for ; i < len(leases) && leases[i].Lease.IP == ip; i++ {
				if leases[i].Unsure {
					next.unsure, doubts = true, append(doubts, t.item(&leases[i]).Doubts...)
				}
			}
		} else {
			was, last := unheld.At(ip)
			next.last = lesser(last, r.last)
			if i < len(leases) && leases[i].Lease.IP.Compare(next.last) <= 0 {
				next.last = leases[i].Lease.IP.Prev()
			}
			next.state, next.unsure, doubts = was.State, was.Certainty == replay.Uncertain, was.Doubts
		}
		m.put(next)
		if next.certainty() != replay.Certain {
			m.because(&next, doubts, t.Doubts)
		}
		ip = next.last.Next()
	}
}

// because notes why a row is not certain. What is said of the whole table need not be said again.
func (m *mapped) because(w *row, doubts, said []string) {
	n, other := countAddrs(w.first, w.last), false
	for i, text := range doubts {
		if slices.Contains(said, text) || slices.Contains(doubts[:i], text) {
			continue
		}
		at := slices.IndexFunc(m.causes, func(c cause) bool { return c.text == text })
		switch {
		case at >= 0:
			m.causes[at].addrs.Add(m.causes[at].addrs, n)
		case len(m.causes) < causesAtMost:
			m.causes = append(m.causes, cause{text, w.first, new(big.Int).Set(n)})
		default:
			other = true
		}
	}
	if other {
		m.others.Add(m.others, n)
	}
}

// tell says why what is drawn is not certain.
func (m *mapped) tell(ans *answer) {
	for _, c := range m.causes {
		of := c.first.String()
		if more := new(big.Int).Sub(c.addrs, big.NewInt(1)); more.Sign() > 0 {
			of += fmt.Sprintf(" and %s more", more)
		}
		ans.doubt(replay.Certain, "%s: %s: %s", m.title(), of, c.text)
	}
	if m.others.Sign() > 0 {
		ans.doubt(replay.Certain, "%s: addresses that are not certain for other causes: %s; leasectl who tells why of each", m.title(), m.others)
	}
}

// put adds a row, to the one before if the same is to be said.
func (m *mapped) put(next row) {
	if n := len(m.rows); n > 0 {
		was := &m.rows[n-1]
		if was.last.Next() == next.first && was.state == next.state && was.unsure == next.unsure {
			was.last = next.last
			return
		}
	}
	m.rows = append(m.rows, next)
	m.certainty = max(m.certainty, next.certainty())
}

func lesser(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}

// countAddrs returns how many addresses there are from one to another, both included.
func countAddrs(first, last netip.Addr) *big.Int {
	n := new(big.Int).Sub(new(big.Int).SetBytes(last.AsSlice()), new(big.Int).SetBytes(first.AsSlice()))
	return n.Add(n, big.NewInt(1))
}

func (w *row) certainty() replay.Certainty {
	switch {
	case w.state == replay.StateUnknown:
		return replay.Unknown
	case w.unsure:
		return replay.Uncertain
	}
	return replay.Certain
}

// counts returns how many of the addresses that are meant there are of each state, and how many of a state that is uncertain.
func (m *mapped) counts(means func(netip.Addr) bool) (by map[replay.State]*big.Int, unsure, unsureHeld *big.Int) {
	by, unsure, unsureHeld = map[replay.State]*big.Int{}, new(big.Int), new(big.Int)
	for i := range m.rows {
		w := &m.rows[i]
		if !means(w.first) {
			continue
		}
		n := countAddrs(w.first, w.last)
		if by[w.state] == nil {
			by[w.state] = new(big.Int)
		}
		by[w.state].Add(by[w.state], n)
		if w.certainty() == replay.Uncertain {
			unsure.Add(unsure, n)
			if w.state == replay.StateHeld {
				unsureHeld.Add(unsureHeld, n)
			}
		}
	}
	return by, unsure, unsureHeld
}

func (m *mapped) summary() summaryItem {
	return summaryItem{Schema: "leaselog.summary/1", Network: m.network, Node: m.meta.Node, StoreID: m.idText(), At: stamp(m.at),
		Certainty: m.certainty.String(), Known: m.known, IPv4: m.family(netip.Addr.Is4), IPv6: m.family(netip.Addr.Is6)}
}

func (m *mapped) family(means func(netip.Addr) bool) familyItem {
	by, unsure, _ := m.counts(means)
	it := familyItem{json.Number(unsure.String()), map[string]json.Number{}}
	for s, n := range by {
		it.States[s.String()] = json.Number(n.String())
	}
	return it
}

// rowsOfAll yields the rows of all stores.
func rowsOfAll(all []*mapped) iter.Seq2[*rowItem, error] {
	return func(yield func(*rowItem, error) bool) {
		for _, m := range all {
			for i := range m.rows {
				w := &m.rows[i]
				it := rowItem{Schema: "leaselog.row/1", Network: m.network, Node: m.meta.Node, StoreID: m.idText(), At: stamp(m.at),
					First: w.first.String(), Last: w.last.String(), Addresses: json.Number(countAddrs(w.first, w.last).String()),
					State: w.state.String(), Certainty: w.certainty().String(), origin: m.origin}
				if !yield(&it, nil) {
					return
				}
			}
		}
	}
}

var rowCSV = []column[rowItem]{
	{"network", func(it *rowItem) string { return it.Network }},
	{"first", func(it *rowItem) string { return it.First }},
	{"last", func(it *rowItem) string { return it.Last }},
	{"addresses", func(it *rowItem) string { return it.Addresses.String() }},
	{"state", func(it *rowItem) string { return it.State }},
	{"certainty", func(it *rowItem) string { return it.Certainty }},
	{"at", func(it *rowItem) string { return it.At }},
	{"node", func(it *rowItem) string { return it.Node }},
	{"store_id", func(it *rowItem) string { return it.StoreID }},
}

func compareRegions(x, y region) int {
	return cmp.Or(x.first.Compare(y.first), y.last.Compare(x.last))
}
