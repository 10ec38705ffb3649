package page_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

var (
	stores  = flag.Int("stores", 10, "how many stores of random histories TestStates makes")
	moments = flag.Int("moments", 24, "about how many instants TestStates asks about, of each store")
)

// kinds of stores, each with what makes its answers hard.
func kinds(t testing.TB) []*store {
	t.Helper()
	small := []string{"--leases", "24", "--events", "400", "--days", "1", "--subnet", "10.1.0.0/26"}
	with := func(args ...string) []string { return append(slices.Clone(small), args...) }
	dual := generated(t, "dual-stack", with("--dual", "--seed", "2")...)

	damaged := generated(t, "damaged", with("--seed", "3")...)
	damaged.changes(t)
	damaged.spoil(t, func(seq uint64) bool { return seq > 100 && seq < 110 || seq == 250 })

	pruned := generated(t, "pruned", with("--seed", "4")...)
	pruned.changes(t)
	pruned.ctl(t, []int{0}, "prune", "--keep-events", "150")

	succeeded := generated(t, "succeeded", with("--seed", "5")...)
	succeeded.changes(t)
	succeeded.spoil(t, func(seq uint64) bool { return seq == 300 })
	succeeded.ctl(t, []int{0}, "repair", "--apply")
	return []*store{generated(t, "ordinary", with("--seed", "1")...), dual, damaged, settled(t), pruned, succeeded, used(t)}
}

// settled is a store in which events are lost, and behind them an event tells of the first address of the range alone.
func settled(t testing.TB) *store {
	t.Helper()
	s := &store{name: "settled", dataDir: t.TempDir()}
	first := netip.MustParsePrefix("10.1.0.2/26")
	r := journal.Range{Subnet: first.Masked(), Start: first.Addr(), End: netip.MustParseAddr("10.1.0.62"), Gateway: netip.MustParseAddr("10.1.0.1")}
	add := journal.Event{Kind: journal.KindAdd, ContainerID: "a", IfName: "eth0", Config: 2, Addresses: []journal.Address{{IP: first.Addr(), Bits: 26}}}
	del := add
	del.Kind, del.Config = journal.KindDel, 0
	events := []journal.Event{
		{Kind: journal.KindGenesis, Origin: journal.Origin{Journal: journal.ID{7}, Network: netName, Node: "node"}},
		{Kind: journal.KindConfig, Ranges: [][]journal.Range{{r}}}, add, del, add, del,
	}
	for i := range events {
		wall := time.Date(2026, 11, 2, 12, i, 0, 0, time.UTC)
		events[i].Seq = journal.Seq(i + 1)
		events[i].Clock = journal.Clock{Wall: wall.UnixNano(), BootTime: wall.UnixNano(), Boot: journal.BootID{1}, Synchronised: true}
	}
	s.write(t, events)
	s.changes(t)
	s.spoil(t, func(seq uint64) bool { return seq == 4 })
	return s
}

// TestStates holds what pages say of every address at random instants against what leasectl does: leases and how certain they
// are and what is said of them by leasectl at, addresses that nobody held by leasectl join, which is who for many.
func TestStates(t *testing.T) {
	all := kinds(t)
	for s, n := *seed, *stores; n > 0; s++ {
		if r := random(t, s); r != nil {
			all = append(all, r)
			n--
		}
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) { s.compare(t) })
	}
}

// compare asks the store's page and leasectl the same.
func (s *store) compare(t *testing.T) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, uint64(len(s.name))))
	at := instants(s.changes(t), rnd, *moments)
	addresses := s.addresses(t)
	made := time.Now().UnixNano()
	p := open(t, s.report(t), "")
	from, to := p.span()
	at = slices.DeleteFunc(at, func(instant int64) bool { return instant < instantOf(t, from) || instant > instantOf(t, to) })
	got := p.ask(addresses, at)
	who := s.join(t, addresses, at)
	for i, instant := range at {
		if made <= instant && instant <= time.Now().UnixNano() {
			continue // it came while the page was there already: leasectl has more to say
		}
		held := s.compareTable(t, instant, got[i].Table)
		for _, a := range addresses {
			w, g := who[instant][a], got[i].Who[a]
			switch {
			case held[a] && w.State != "held":
				// leasectl at lists it though who does not know: the table as a whole is unknown then, or the lease uncertain.
				if g.State != "held" || g.Certainty == "certain" && got[i].Table.Certainty == "certain" {
					t.Errorf("%s at %s:\npage:     %+v\nleasectl: %+v, and in the table", a, stamp(instant), g, w)
				}
			case !same(w, g):
				t.Errorf("%s at %s:\npage:     %+v\nleasectl: %+v", a, stamp(instant), g, w)
			}
		}
		for _, k := range rnd.Perm(len(addresses))[:3] {
			s.compareDoubts(t, instant, addresses[k], got[i].Who[addresses[k]])
		}
		if t.Failed() {
			return // others are most likely of the same kind
		}
	}
	// Where some addresses are unknown and some are not, each is drawn by itself.
	some := func(i int, unknown bool) bool {
		return slices.ContainsFunc(addresses, func(a string) bool {
			return (got[i].Who[a].State == "unknown") == unknown && got[i].Who[a].State != "not ours"
		})
	}
	order := rnd.Perm(len(at))
	slices.SortStableFunc(order, func(i, k int) int {
		return cmp.Compare(map[bool]int{false: 1}[some(i, true) && some(i, false)], map[bool]int{false: 1}[some(k, true) && some(k, false)])
	})
	for _, i := range order[:min(6, len(order))] {
		p.compareGrid(at[i])
	}
}

// compareGrid looks that the grid draws of each state as many addresses as the page says are of it.
func (p *tab) compareGrid(instant int64) {
	p.Helper()
	p.eval(`leaselog.go({at: `+quote(stamp(instant))+`, ip: ""})`, nil)
	p.frame()
	var got, want map[string]int
	p.eval(`Object.fromEntries([...document.querySelectorAll("#legend li:has(.count)")].filter(li => li.querySelector(".count").textContent)
		.map(li => [li.children[1].textContent.split(/[:,]/)[0], Number(li.querySelector(".count").textContent.replaceAll(",", ""))]).filter(([, n]) => n > 0))`, &got)
	p.eval(`(() => {
		const count = {};
		for (const {textContent: cidr} of document.querySelectorAll("#map h3")) {
			const [first, bits] = cidr.split("/");
			if (!/^[\d.]+$/.test(first) || !(bits >= 22)) return {};
			const value = first.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
			for (let i = 0; i < 2 ** (32 - bits); i++) {
				const {state, certainty} = leaselog.who([24, 16, 8, 0].map(shift => (value + i) >>> shift & 255).join("."));
				for (const word of certainty === "uncertain" ? [state, certainty] : [state]) count[word] = (count[word] ?? 0) + 1;
			}
		}
		return count;
	})()`, &want)
	if len(want) > 0 && !maps.Equal(got, want) {
		p.Errorf("at %s the grid draws %v, and the page says of these addresses %v", stamp(instant), got, want)
	}
}

// compareTable looks that the page's table is that of leasectl at, and returns which addresses are held.
func (s *store) compareTable(t *testing.T, instant int64, got table) map[string]bool {
	t.Helper()
	want := s.at(t, instant)
	if got.Certainty != want.Certainty {
		t.Errorf("the table at %s is %s in the page, %s by leasectl at", stamp(instant), got.Certainty, want.Certainty)
	}
	// How far a store tells, leasectl says beside that; in the page it stands under About.
	doubts := slices.DeleteFunc(want.Doubts, func(d string) bool { return strings.Contains(d, ": it tells nothing after event ") })
	for i := range doubts {
		doubts[i] = strings.TrimPrefix(doubts[i], fmt.Sprintf("network %q: ", netName))
	}
	if !slices.Equal(got.Doubts, doubts) {
		t.Errorf("the table at %s:\nthe page says  %q\nleasectl says %q", stamp(instant), got.Doubts, doubts)
	}
	held := map[string]bool{}
	for _, l := range want.Leases {
		held[l.IP] = true
	}
	for _, d := range difference(got.Leases, want.Leases) {
		t.Errorf("the table at %s: the page has, leasectl at has not: %+v", stamp(instant), d)
	}
	for _, d := range difference(want.Leases, got.Leases) {
		t.Errorf("the table at %s: leasectl at has, the page has not: %+v", stamp(instant), d)
	}
	return held
}

// compareDoubts looks that what the page says against an address that nobody held is what leasectl who says, which may say more.
func (s *store) compareDoubts(t *testing.T, instant int64, address string, got said) {
	t.Helper()
	if got.State == "held" || got.Certainty == "certain" {
		return
	}
	want := s.who(t, address, instant)
	if len(got.Doubts) == 0 {
		t.Errorf("%s at %s: the page does not say why it is %s", address, stamp(instant), got.Certainty)
	}
	for _, d := range got.Doubts {
		if !slices.Contains(want.Doubts, d) && !slices.Contains(want.Doubts, fmt.Sprintf("network %q: %s", netName, d)) {
			t.Errorf("%s at %s:\nthe page says  %q\nleasectl says %q", address, stamp(instant), d, want.Doubts)
		}
	}
}

// difference is what of a is not in b.
func difference(a, b []lease) []lease {
	return slices.DeleteFunc(slices.Clone(a), func(l lease) bool { return slices.ContainsFunc(b, l.same) })
}

// same reports whether two answers about an address are the same, as far as join tells.
func same(a, b said) bool {
	return a.State == b.State && a.Certainty == b.Certainty && slices.EqualFunc(holders(a), holders(b), func(x, y lease) bool {
		return x.ContainerID == y.ContainerID && x.Start.Seq == y.Start.Seq
	})
}

// holders are in the order of their first events: join has them by overlap.
func holders(s said) []lease {
	return slices.SortedFunc(slices.Values(s.Holders), func(a, b lease) int { return int(a.Start.Seq) - int(b.Start.Seq) })
}

// addresses are all that were leased, and some that never were: gateways, free ones, and such of no range.
func (s *store) addresses(t testing.TB) []string {
	t.Helper()
	all := []string{"10.1.0.1", "10.1.0.62", "10.1.0.63", "10.1.0.64", "10.0.0.1", "10.0.0.5", "10.0.0.7", "10.0.1.1", "10.0.1.6",
		"fd00::1", "fd00::ffff", "fd00:10::1", "fd00:10::fff0", "192.0.2.1"}
	all = append(all, s.leased(t)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// report writes the store's page.
func (s *store) report(t testing.TB, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	s.ctl(t, []int{0, 2, 3}, append([]string{"report", "-o", file}, args...)...)
	return file
}

// moment is what a page says at an instant.
type moment struct {
	Table table
	Who   map[string]said
}

// ask has the page tell the table and each of the addresses at one instant after the other, also such as its slider does not go to.
func (p *tab) ask(addresses []string, at []int64) []moment {
	p.Helper()
	var times []string
	for _, instant := range at {
		times = append(times, stamp(instant))
	}
	var all []moment
	p.eval(fmt.Sprintf(`%s.map(at => ({Table: leaselog.at(at), Who: Object.fromEntries(%s.map(ip => [ip, leaselog.who(ip, at)]))}))`,
		quote(times), quote(addresses)), &all)
	return all
}
