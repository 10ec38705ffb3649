package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/report"
)

// cmdShows holds a page against what leasectl answers of the same stores: shows FILE DATADIR...
func cmdShows(ts *testscript.TestScript, _ bool, args []string) {
	var dirs []string
	for _, dir := range args[1:] {
		dirs = append(dirs, ts.MkAbs(dir))
	}
	ts.Check(pageShows(ts.MkAbs(args[0]), dirs))
}

// pageShows compares each view of a page with what the stores tell: its leases with their intervals, and tables and the states of
// addresses with what At and Who say, at instants all over the time that is told.
func pageShows(file string, dirs []string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data, err := decodePage(page)
	if err != nil {
		return err
	}
	a := &app{stdout: io.Discard, stderr: io.Discard, now: data.Made, dataDirs: dirs}
	stores, err := a.stores()
	if err != nil || len(stores) != len(data.Views) {
		return fmt.Errorf("%d stores, %d views: %w", len(stores), len(data.Views), err)
	}
	defer func() {
		for _, s := range a.opened {
			s.close()
		}
	}()
	for i, s := range stores {
		eras, err := s.eras(newAnswer("", nil), reading{events: map[*replay.History]*report.Events{}}, time.Time{})
		if err != nil {
			return err
		}
		c := &shown{app: a, view: data.Views[i], eras: eras, rnd: rand.New(rand.NewPCG(1, 2))}
		c.since, _ = time.Parse(time.RFC3339Nano, data.Asked.Since)
		c.until, _ = time.Parse(time.RFC3339Nano, data.Asked.Until)
		if err := errors.Join(c.leases(), c.instants()); err != nil {
			return fmt.Errorf("%s: %w", s.title(), err)
		}
	}
	return nil
}

// shown is one view in comparison.
type shown struct {
	app  *app
	view *pageView
	eras []era // newest first
	rnd  *rand.Rand

	since, until time.Time // that the page was asked for
}

// leases compares what is known of each lease.
func (c *shown) leases() error {
	intervals := map[string]*replay.Interval{}
	held := map[string]string{}
	key := func(journal string, seq uint64, ip netip.Addr) string { return fmt.Sprint(journal, seq, ip) }
	for i := range c.eras {
		e := &c.eras[i]
		for j := 0; e.h != nil && j < len(e.h.Intervals); j++ {
			iv := &e.h.Intervals[j]
			k := key(e.idText(), uint64(iv.Start.Seq), iv.Lease.IP)
			intervals[k] = iv
			if !e.until.IsZero() && iv.End == nil && !iv.Lost() {
				held[k] = e.until.stillHeld()
			}
		}
	}
	shown := map[string]bool{}
	for i := range c.view.leases {
		l := &c.view.leases[i]
		start := &c.view.events[l.start]
		shown[key(c.view.Journals[start.journal].ID, start.seq, l.address)] = true
		k := key(c.view.Journals[start.journal].ID, start.seq, l.address)
		iv := intervals[k]
		if iv == nil {
			return fmt.Errorf("lease %d of %s from event %d: no such interval", i, l.address, start.seq)
		}
		if got, want := c.textOf(l), textOf(iv, held[k]); got != want {
			return fmt.Errorf("lease %d of %s:\ngot  %s\nwant %s", i, l.address, got, want)
		}
		if id := printed(iv.Lease.ContainerID); l.id != id && (len(l.id) != 16 || !strings.HasPrefix(id, l.id)) {
			return fmt.Errorf("lease %d: container %q, want %q", i, l.id, id)
		}
	}
	e := &c.eras[0] // of the others it is not told what came after they were succeeded
	if e.h == nil {
		return nil
	}
	told := e.h.Between(c.since, c.until, e.covered(c.app.now))
	for i := range told.Intervals {
		if iv := &told.Intervals[i]; !shown[key(e.idText(), uint64(iv.Start.Seq), iv.Lease.IP)] {
			return fmt.Errorf("the lease of %s from event %d is missing", iv.Lease.IP, iv.Start.Seq)
		}
	}
	return nil
}

// printed is a text as JSON has it.
func printed(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// textOf is what a page knows of a lease, and what its interval says.
func (c *shown) textOf(l *pageLease) string {
	point := func(event int) string {
		if event < 0 {
			return "-"
		}
		e := &c.view.events[event]
		return fmt.Sprint(e.seq, e.effective, e.recorded)
	}
	return fmt.Sprintf("%s %s %s %d %q %q %q %s %q %v %v %d", point(l.start), point(l.end), point(l.doubtful), l.reason, l.endText, l.ifname,
		l.namespace+"/"+l.pod, l.file, l.doubts, l.flags&4 != 0, l.flags&8 != 0, l.flags&2)
}

func textOf(iv *replay.Interval, held string) string {
	point := func(p *replay.Point) string {
		if p == nil {
			return "-"
		}
		return fmt.Sprint(p.Seq, p.Effective.UnixNano(), p.Time.UnixNano())
	}
	var end *replay.Point
	reason, text, throughout := 0, "", 0
	if iv.End != nil {
		end, reason, text = &iv.End.Point, int(iv.End.Reason), printed(iv.End.Text)
	}
	if iv.Throughout() {
		throughout = 2
	}
	var doubts []string
	for _, d := range iv.Doubts {
		doubts = append(doubts, printed(d))
	}
	if held != "" {
		doubts = append(doubts, held)
	}
	return fmt.Sprintf("%s %s %s %d %q %q %q %s %q %v %v %d", point(&iv.Start), point(end), point(iv.Doubtful), reason, text, printed(iv.Lease.IfName),
		printed(iv.Lease.Pod.Namespace)+"/"+printed(iv.Lease.Pod.Name), iv.File, doubts, iv.Lease.Import, iv.Lost(), throughout)
}

// instants compares tables and addresses at instants around which something changes.
func (c *shown) instants() error {
	edges := []int64{nanos(c.view.From), nanos(c.view.To)}
	for _, r := range c.view.Rows {
		if r.From != nil {
			edges = append(edges, nanos(*r.From), nanos(*r.From)+int64(time.Hour))
		}
	}
	always := len(edges)
	for i := range c.view.leases {
		for _, w := range c.view.leases[i].windows {
			edges = append(edges, w.from, w.to)
		}
	}
	c.rnd.Shuffle(len(edges)-always, func(i, j int) { edges[always+i], edges[always+j] = edges[always+j], edges[always+i] })
	for _, edge := range edges[:min(len(edges), always+60)] {
		for _, at := range []int64{edge - 1, edge} {
			if at < nanos(c.view.From) || at > nanos(c.view.To) {
				continue
			}
			if err := c.instant(at); err != nil {
				return fmt.Errorf("at %s: %w", stamp(time.Unix(0, at)), err)
			}
		}
	}
	return nil
}

func (c *shown) instant(at int64) error {
	m := &moment{at: time.Unix(0, at).UTC()}
	e := eraOf(c.eras, m, c.app.now)
	row := rowAt(c.view.Rows, at)
	if e.h == nil {
		if len(row.Unknown) == 0 {
			return errors.New("it is known what nobody held, by a journal that can't be read")
		}
		return nil
	}
	q := m.asked(e, c.app.now)
	table := e.h.At(q)
	var want []string
	items := tableOf{era: *e, Table: table, outside: e.outside(q)}
	for i := range table.Leases {
		it := items.item(&table.Leases[i])
		var doubts []string
		for _, d := range it.Doubts {
			doubts = append(doubts, printed(d))
		}
		want = append(want, fmt.Sprintf("%s %d %v %q", it.IP, it.Start.Seq, it.Certainty != replay.Certain.String(), doubts))
	}
	got, unsure, held := c.table(at)
	if !slices.Equal(got, want) {
		return fmt.Errorf("table: got  %q\nwant %q", got, want)
	}
	for i, d := range table.Doubts {
		table.Doubts[i] = printed(d)
	}
	if got := c.doubts(row, at); !slices.Equal(got, table.Doubts) {
		return fmt.Errorf("table: doubts %q, want %q", got, table.Doubts)
	}
	certainty := row.Certainty
	if unsure && certainty == replay.Certain.String() {
		certainty = replay.Uncertain.String()
	}
	if want := table.Certainty.String(); certainty != want {
		return fmt.Errorf("table is %s, want %s: %q", certainty, want, table.Doubts)
	}
	for _, ip := range c.some() {
		if held[ip] {
			continue
		}
		who := e.h.Of(ip).Who(ip, q)
		if state, sure := c.state(ip, at); state != who.State || state != replay.StateUnknown && sure != (who.Certainty == replay.Certain) {
			return fmt.Errorf("%s: %s, sure %v, want %s, %s: %q", ip, state, sure, who.State, who.Certainty, who.Doubts)
		}
	}
	return nil
}

// table is the lease table of a page: by address, then beginning.
func (c *shown) table(at int64) (lines []string, unsure bool, held map[netip.Addr]bool) {
	type entry struct {
		l *pageLease
		pageWindow
	}
	var all []entry
	count := map[netip.Addr]int{}
	for i := range c.view.leases {
		l := &c.view.leases[i]
		for _, w := range l.windows {
			if w.from <= at && at < w.to {
				all = append(all, entry{l, w})
				count[l.address]++
			}
		}
	}
	slices.SortStableFunc(all, func(x, y entry) int { return x.l.address.Compare(y.l.address) })
	held = map[netip.Addr]bool{}
	for _, x := range all {
		several := count[x.l.address] > 1
		x.unsure = x.unsure || several
		unsure = unsure || x.unsure
		doubts := slices.Clone(x.l.then)
		if x.l.use > 0 && !x.use {
			doubts = slices.Delete(doubts, x.l.use-1, x.l.use)
		}
		if x.partly || several {
			doubts = append(doubts, replay.WhetherHeld)
		}
		held[x.l.address] = true
		lines = append(lines, fmt.Sprintf("%s %d %v %q", x.l.address, c.view.events[x.l.start].seq, x.unsure, doubts))
	}
	return lines, unsure, held
}

// doubts are those of a page's table as a whole.
func (c *shown) doubts(row *pageRow, at int64) []string {
	var doubts []string
	for _, n := range row.Doubts {
		doubts = append(doubts, c.view.Texts[n])
	}
	if len(row.Steps) == 0 {
		return doubts
	}
	for _, step := range c.view.Steps[row.Steps[0]:row.Steps[1]] {
		if slices.ContainsFunc(c.view.leases, func(l pageLease) bool {
			return c.view.events[l.start].seq <= step.Seq && slices.ContainsFunc(l.windows, func(w pageWindow) bool { return w.from <= at && at < w.to })
		}) {
			doubts = append(doubts, c.view.Texts[step.Doubt])
		}
	}
	return doubts
}

// some are addresses to be asked about: leased ones, those around ranges, and others.
func (c *shown) some() []netip.Addr {
	ips := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	for range min(3, len(c.view.addresses)) {
		ips = append(ips, c.view.addresses[c.rnd.IntN(len(c.view.addresses))])
	}
	for _, own := range c.view.Own {
		ips = append(ips, c.view.addresses[own.Address])
	}
	for _, r := range c.view.Ranges {
		for _, text := range []string{r.Start, r.End, r.Gateway} {
			if ip, err := netip.ParseAddr(text); err == nil {
				ips = append(ips, ip, ip.Next(), ip.Prev())
			}
		}
	}
	return ips
}

func rowAt(rows []pageRow, at int64) *pageRow {
	row := &rows[0]
	for i := range rows {
		if rows[i].From == nil || nanos(*rows[i].From) <= at {
			row = &rows[i]
		}
	}
	return row
}

// state is what a page says of an address that nobody holds.
func (c *shown) state(ip netip.Addr, at int64) (state replay.State, sure bool) {
	rows := c.view.Rows
	for _, own := range c.view.Own {
		if c.view.addresses[own.Address] == ip {
			rows = own.Rows
		}
	}
	row := rowAt(rows, at)
	if row.General {
		row = rowAt(c.view.Rows, at)
	}
	if len(row.Unknown) > 0 {
		return replay.StateUnknown, true
	}
	var states []replay.State
	for i, change := range slices.Concat(row.Candidates, row.Possible) {
		s := c.stateIn(change, ip)
		if s == replay.StateUnknown && i < len(row.Candidates) {
			return s, true
		}
		states = append(states, s)
	}
	sure = len(row.Maybe) == 0 && len(slices.Compact(slices.Clone(states))) == 1
	return states[0], sure
}

func (c *shown) stateIn(change int, ip netip.Addr) replay.State {
	if change < 0 || !c.view.Changes[change].Known {
		return replay.StateUnknown
	}
	in := &c.view.Changes[change]
	state := replay.StateNotOurs
	if in.Partial {
		state = replay.StateUnknown
	}
	for _, n := range in.Ranges {
		r := &c.view.Ranges[n]
		if r.Gateway == ip.String() {
			return replay.StateGateway
		}
		start, end := netip.MustParseAddr(r.Start), netip.MustParseAddr(r.End)
		if start.Compare(ip) <= 0 && ip.Compare(end) <= 0 {
			state = replay.StateFree
		}
	}
	return state
}
