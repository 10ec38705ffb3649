package oracle

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// Case is a history with what is left of it.
type Case struct {
	Name      string
	Whole     []journal.Event // from the first one on
	Lost      []bool          // of each event
	Snapshots []journal.Seq   // the newest event that each covers
	Live      bool
	Now       int64
	Wiped     bool
}

// Random returns a random case of a few dozen events. The same seed gives the same case.
func Random(seed uint64) *Case {
	m := newMaker(rand.New(rand.NewPCG(seed, 0)))
	m.rough = seed%8 == 2
	m.genesis()
	for n := 4 + m.rnd.IntN(36); len(m.events) < n; {
		m.step()
	}
	c := &Case{Name: fmt.Sprintf("seed %d", seed), Whole: m.events, Lost: make([]bool, len(m.events))}
	m.lose(c)
	m.ask(c)
	return c
}

// Store returns what can be read.
func (c *Case) Store() *Store {
	s := &Store{Name: c.Name, Live: c.Live, Now: c.Now, Wiped: c.Wiped}
	for i, ev := range c.Whole {
		if !c.Lost[i] {
			s.Events = append(s.Events, ev)
		}
	}
	for _, seq := range c.Snapshots {
		s.Snapshots = append(s.Snapshots, c.snapshot(seq))
	}
	return s
}

// Drop returns the case without one event, as if it had never been.
func (c *Case) Drop(i int) *Case {
	d := *c
	d.Whole, d.Lost = slices.Delete(slices.Clone(c.Whole), i, i+1), slices.Delete(slices.Clone(c.Lost), i, i+1)
	gone := journal.Seq(i + 1)
	for j := range d.Whole {
		ev := &d.Whole[j]
		ev.Seq = journal.Seq(j + 1)
		switch {
		case ev.Config == gone:
			ev.Config = 0
		case ev.Config > gone:
			ev.Config--
		}
	}
	d.Snapshots = slices.Clone(c.Snapshots)
	for j := range d.Snapshots {
		if d.Snapshots[j] >= gone {
			d.Snapshots[j]--
		}
	}
	d.Snapshots = slices.DeleteFunc(slices.Compact(d.Snapshots), func(seq journal.Seq) bool { return seq == 0 })
	return &d
}

// maker plays a node: its clocks, its leases, and the program that records what happens to them.
type maker struct {
	rnd    *rand.Rand
	events []journal.Event
	clock  journal.Clock
	boots  uint64
	held   []Known
	config journal.Seq
	quiet  bool // nothing goes wrong with the clocks
	rough  bool // more is lost, and more snapshots are there
}

func newMaker(rnd *rand.Rand) *maker {
	m := &maker{rnd: rnd, quiet: rnd.IntN(5) == 0}
	m.clock.Wall = time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC).UnixNano()
	m.boot()
	return m
}

// one returns one of the values.
func one[T any](m *maker, of ...T) T { return of[m.rnd.IntN(len(of))] }

// chance is true in n of 100 cases.
func (m *maker) chance(n int) bool { return m.rnd.IntN(100) < n }

func (m *maker) addresses() []netip.Addr {
	return []netip.Addr{addr("10.0.0.2"), addr("10.0.0.3"), addr("10.0.0.4"), addr("10.0.1.2"), addr("fd00::2")}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// rangeOf returns the range that the address is given from.
func rangeOf(ip netip.Addr) journal.Range {
	subnet := netip.MustParsePrefix("10.0.0.0/29")
	switch {
	case ip.Is6():
		subnet = netip.MustParsePrefix("fd00::/124")
	case ip.As4()[2] == 1:
		subnet = netip.MustParsePrefix("10.0.1.0/29")
	}
	gateway := subnet.Addr().Next()
	end := gateway
	for range 5 {
		end = end.Next()
	}
	return journal.Range{Subnet: subnet, Start: gateway.Next(), End: end, Gateway: gateway}
}

// boot starts the node anew.
func (m *maker) boot() {
	m.boots++
	m.clock.Boot = journal.BootID{}
	if m.quiet || !m.chance(15) {
		binary.BigEndian.PutUint64(m.clock.Boot[:], m.boots)
	}
	m.clock.BootTime = one(m, int64(0), 1, int64(time.Second), int64(time.Minute))
	m.sync(m.quiet || m.chance(60))
	if m.boots > 1 {
		m.clock.Wall += one(m, 0, 0, 1, int64(time.Second), int64(time.Minute))
		if m.chance(60) {
			m.set()
		}
	}
}

func (m *maker) sync(on bool) {
	m.clock.Synchronised = on
	m.clock.MaxError = one(m, 0, time.Microsecond, time.Millisecond, time.Second, 5*time.Second)
	if m.quiet {
		m.clock.MaxError = time.Microsecond
	}
}

// set changes the wall clock, back or forth.
func (m *maker) set() {
	if m.quiet {
		return
	}
	by := one(m, 0, 1, int64(time.Microsecond), int64(9*time.Millisecond), int64(10*time.Millisecond), int64(11*time.Millisecond),
		int64(time.Second), int64(2*time.Second), int64(time.Minute))
	m.clock.Wall += one(m, int64(-1), 1) * by
}

// pass lets time pass between two events.
func (m *maker) pass() {
	by := one(m, 0, 0, 1, 2, int64(time.Microsecond), int64(time.Millisecond), int64(400*time.Millisecond),
		int64(time.Second), int64(time.Second), int64(20*time.Second), int64(time.Minute), int64(time.Minute)+1)
	if m.quiet {
		by = max(by, int64(time.Millisecond))
	}
	m.clock.BootTime += by
	m.clock.Wall += by
	if m.chance(8) {
		m.set()
	}
	if m.chance(6) {
		m.sync(!m.clock.Synchronised)
		m.set()
	}
}

// append records an event.
func (m *maker) append(ev journal.Event) journal.Seq {
	ev.Seq, ev.Clock = journal.Seq(len(m.events)+1), m.clock
	m.events = append(m.events, ev)
	return ev.Seq
}

func (m *maker) genesis() {
	ev := journal.Event{Kind: journal.KindGenesis}
	parent := m.chance(20)
	if parent {
		ev.Origin.Parent, ev.Origin.ParentSeq = journal.ID{1}, 7
		ev.Attributes = []journal.Attribute{{Key: journal.AttributeLost, Value: one(m, "0", "3", journal.LostUnknown)}}
	}
	m.append(ev)
	for parent && m.chance(70) {
		m.imported(true)
	}
}

// step does one of the things that happen.
func (m *maker) step() {
	m.pass()
	switch n := m.rnd.IntN(100); {
	case n < 38:
		m.add()
	case n < 58:
		m.del(journal.KindDel, journal.ReasonDel)
	case n < 64:
		m.gc()
	case n < 74:
		m.del(journal.KindRelease, one(m, journal.ReasonForce, journal.ReasonGC, journal.ReasonReboot, journal.ReasonReplaced,
			journal.ReasonExternal))
	case n < 81:
		m.imported(false)
	case n < 84:
		m.append(journal.Event{Kind: journal.KindRefuse, ContainerID: "refused", IfName: "eth0", Code: 100, Requested: m.addresses()[:1]})
	case n < 86:
		m.append(journal.Event{Kind: journal.KindRepair})
	case n < 88:
		m.append(journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped})
		m.held = nil
	case n < 92:
		m.annotate()
	case n < 94:
		m.configure()
	case n < 95:
		m.append(journal.Event{Kind: journal.KindImport, Attributes: []journal.Attribute{{Key: journal.AttributeSource, Value: "/folder"}}})
	case n < 96:
		m.append(journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: m.container(), IfName: "eth0"})
	default:
		m.boot()
	}
}

func (m *maker) container() string { return one(m, "c1", "c2", "c3") }

// configure records a configuration, now and then one whose ranges don't fit.
func (m *maker) configure() {
	ev := journal.Event{Kind: journal.KindConfig}
	for _, ip := range m.addresses() {
		if r := rangeOf(ip); m.chance(60) && !slices.ContainsFunc(ev.Ranges, func(set []journal.Range) bool { return set[0] == r }) {
			ev.Ranges = append(ev.Ranges, []journal.Range{r})
		}
	}
	if m.chance(10) {
		ev.Ranges, ev.Dropped = nil, []string{"ranges"}
	}
	m.config = m.append(ev)
}

// free returns some addresses that nobody holds, all of different ranges.
func (m *maker) free(n int) []journal.Address {
	var out []journal.Address
	all := m.addresses()
	m.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, ip := range all {
		r := rangeOf(ip)
		taken := slices.ContainsFunc(m.held, func(k Known) bool { return k.Address.IP == ip }) ||
			slices.ContainsFunc(out, func(a journal.Address) bool { return rangeOf(a.IP) == r })
		if !taken && len(out) < n {
			out = append(out, journal.Address{Set: len(out), IP: ip, Bits: r.Subnet.Bits(), Gateway: r.Gateway})
		}
	}
	return out
}

func (m *maker) add() {
	if m.config == 0 || m.chance(10) {
		m.configure()
	}
	ev := journal.Event{Kind: journal.KindAdd, ContainerID: m.container(), IfName: one(m, "eth0", "eth0", "net1"), Config: m.config,
		Addresses: m.free(1 + m.rnd.IntN(2))}
	if len(ev.Addresses) == 0 {
		return
	}
	if m.chance(10) {
		ev.Ranges = [][]journal.Range{{rangeOf(ev.Addresses[0].IP)}}
		if m.chance(50) {
			ev.Config = 0
		}
	}
	if m.chance(4) {
		ev.Ranges, ev.Dropped = nil, []string{"ranges"}
	} else if m.chance(2) {
		ev.Ranges, ev.Config = nil, 0
	}
	m.take(m.append(ev))
}

// take makes the addresses of the newest event held.
func (m *maker) take(seq journal.Seq) {
	ev := &m.events[seq-1]
	for _, a := range ev.Addresses {
		m.held = append(m.held, Known{Address: a, Owner: Owner{ev.ContainerID, ev.IfName}, Start: seq, Clock: ev.Clock,
			Import: ev.Kind == journal.KindImport, Blocked: ev.Blocked, Claimed: ev.Claimed})
	}
}

func (m *maker) imported(carried bool) {
	ev := journal.Event{Kind: journal.KindImport, ContainerID: m.container(), IfName: one(m, "eth0", "net1", ""), Addresses: m.free(1)}
	if len(ev.Addresses) == 0 {
		return
	}
	if m.chance(70) {
		ev.Claimed = m.clock.Wall + one(m, 0, -1, 1, -int64(time.Second), -int64(time.Minute), -int64(time.Hour), int64(time.Minute))
	}
	switch {
	case carried:
		if m.chance(30) {
			ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributeDoubt, Value: "its end may be lost"})
		}
		ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributeParentSeq, Value: strconv.Itoa(1 + m.rnd.IntN(7))})
	case m.chance(20):
		ev.ContainerID, ev.IfName, ev.Blocked = "", "", true
	}
	m.take(m.append(ev))
}

// owned returns what some attachment holds.
func (m *maker) owned() (Owner, []journal.Address) {
	if len(m.held) == 0 {
		return Owner{}, nil
	}
	owner := one(m, m.held...).Owner
	var out []journal.Address
	for _, k := range m.held {
		if k.Owner == owner && (len(out) == 0 || m.chance(80)) {
			out = append(out, k.Address)
		}
	}
	return owner, out
}

// del records that an attachment's addresses were given back.
func (m *maker) del(kind journal.Kind, reason journal.Reason) {
	owner, addresses := m.owned()
	if len(addresses) == 0 || owner == (Owner{}) && kind == journal.KindDel {
		return
	}
	ev := journal.Event{Kind: kind, Reason: reason, ContainerID: owner.ContainerID, IfName: owner.IfName, Addresses: addresses}
	if owner.IfName == "" && owner.ContainerID != "" {
		ev.IfName = one(m, "", "eth0")
	}
	m.append(ev)
	m.held = slices.DeleteFunc(m.held, func(k Known) bool {
		return slices.ContainsFunc(addresses, func(a journal.Address) bool { return a.IP == k.Address.IP })
	})
}

// gc releases some attachments one after the other; other calls may come in between.
func (m *maker) gc() {
	for range 1 + m.rnd.IntN(3) {
		m.del(journal.KindDel, journal.ReasonGC)
		if m.chance(30) {
			m.add()
		}
		m.pass()
	}
}

func (m *maker) annotate() {
	owner, addresses := m.owned()
	if len(addresses) == 0 || owner == (Owner{}) {
		return
	}
	m.append(journal.Event{Kind: journal.KindAnnotate, ContainerID: owner.ContainerID, IfName: owner.IfName, Addresses: addresses,
		NetNS: "/run/netns/a", Pod: journal.Pod{Namespace: "default", Name: "p"}})
}

// lose takes events away, and leaves snapshots behind some that are lost.
func (m *maker) lose(c *Case) {
	n := len(c.Whole)
	if m.chance(25) {
		for i := range 1 + m.rnd.IntN(n-2) {
			c.Lost[i] = true
		}
	}
	more, shown := 25, 2
	if m.rough {
		more, shown = 60, 12
	}
	for m.chance(more) {
		from := 1 + m.rnd.IntN(n-2)
		for i := from; i < from+1+m.rnd.IntN(4) && i < n-1; i++ {
			c.Lost[i] = true
		}
	}
	if !slices.Contains(c.Lost, true) {
		return
	}
	for i, lost := range c.Lost {
		border := lost && !c.Lost[i+1]
		if border && m.chance(45) || m.chance(shown) {
			c.Snapshots = append(c.Snapshots, journal.Seq(i+1))
		}
	}
}

// snapshot returns what was held after event seq.
func (c *Case) snapshot(seq journal.Seq) Snapshot {
	var m maker
	for i := range c.Whole[:seq] {
		ev := c.Whole[i]
		switch {
		case ev.Kind == journal.KindReset:
			m.held = nil
		case begins(&ev):
			m.events = c.Whole[:i+1]
			m.take(ev.Seq)
		case ends(&ev):
			m.held = slices.DeleteFunc(m.held, func(k Known) bool { return concerns(&ev, k.Address.IP) })
		}
	}
	return Snapshot{Seq: seq, Leases: m.held}
}

// ask says how the store is found: live, or a copy.
func (m *maker) ask(c *Case) {
	if m.chance(50) {
		return
	}
	at := stamps(c.Store().Events)
	last := at[len(at)-1].effective
	c.Live, c.Wiped = true, m.chance(15)
	c.Now = last + one(m, 0, 1, int64(time.Second), int64(time.Hour))
	if !m.quiet && m.chance(10) {
		c.Now = last - one(m, 1, int64(time.Second))
	}
}
