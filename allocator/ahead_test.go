package allocator_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
)

// TestAhead: what Ahead says comes before an address is what ADDs get before they get it.
func TestAhead(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 1))
	tails := [][]string{
		{"10.0.0.0/28"}, {"10.0.0.0/29,10.0.0.2,10.0.0.5,10.0.0.4"}, {"10.0.0.0/29", "10.0.1.0/29,10.0.1.1,10.0.1.6,10.0.1.6"},
		{"10.0.1.0/29", "10.0.0.0/28,10.0.0.3,10.0.0.9,10.0.1.2"}, {"fd00::/124"}, {"::/64,::fffe:ffff:fffb,::1:0:0:2,::fffe:ffff:fffc"},
	}
	for round := range 400 {
		texts := tails[rnd.IntN(len(tails))]
		set := ranges(t, texts...)
		held := newHeldMap()
		fill(rnd, held, set)
		if rnd.IntN(4) > 0 {
			held.cursors[0] = set[rnd.IntN(len(set))].Start
			for range rnd.IntN(6) {
				held.cursors[0] = held.cursors[0].Next()
			}
		}
		cursor := held.cursors[0]
		before := map[netip.Addr]bool{}
		for ip := range held.owners {
			before[ip] = true
		}
		var given []netip.Addr
		for {
			c, err := allocator.Choose(held, allocator.Request{Owner: owner(len(given)), Sets: []allocator.RangeSet{set}})
			if err != nil {
				break
			}
			ip := c.Addresses[0].IP
			spans, ok := set.Ahead(cursor, ip)
			if got := freeIn(spans, before); !ok || !slices.Equal(got, given) {
				t.Fatalf("round %d: %v, cursor %s: ahead of %s: got %v (%t), given before it %v", round, texts, cursor, ip, got, ok, given)
			}
			given = append(given, ip)
			held.owners[ip], held.cursors[0] = owner(-1), ip
		}
		for _, r := range set {
			inside := slices.ContainsFunc(set, func(o allocator.Range) bool {
				return o.Gateway != r.Gateway && allocator.RangeSet{o}.Contains(r.Gateway)
			})
			if _, ok := set.Ahead(cursor, r.Gateway); ok && !inside {
				t.Fatalf("%v: a search comes to the gateway %s", texts, r.Gateway)
			}
		}
		if _, ok := set.Ahead(cursor, netip.MustParseAddr("192.0.2.1")); ok {
			t.Fatalf("%v: a search comes to an address of no range", texts)
		}
	}
}

// ranges is a set of ranges, each a subnet or "subnet,start,end,gateway".
func ranges(t *testing.T, texts ...string) allocator.RangeSet {
	t.Helper()
	var set allocator.RangeSet
	for _, text := range texts {
		parts := append(strings.Split(text, ","), "", "", "")
		set = append(set, rng(parts[0], parts[1], parts[2], parts[3]))
	}
	sets, err := allocator.Canonical([]allocator.RangeSet{set})
	if err != nil {
		t.Fatal(err)
	}
	return sets[0]
}

func fill(rnd *rand.Rand, held *heldMap, set allocator.RangeSet) {
	for _, r := range set {
		for ip, n := r.Start, 0; ip.Compare(r.End) <= 0 && n < 40; ip, n = ip.Next(), n+1 {
			if rnd.IntN(3) == 0 && !ip.Is4In6() {
				held.owners[ip] = state.Attachment{ContainerID: "old"}
			}
		}
	}
}

// freeIn lists what can be given in the spans, in order.
func freeIn(spans []allocator.Span, held map[netip.Addr]bool) []netip.Addr {
	var free []netip.Addr
	for _, s := range spans {
		for ip := s.From; ip.IsValid() && ip.Compare(s.To) <= 0; ip = ip.Next() {
			if ip != s.Gateway && !held[ip] {
				free = append(free, ip)
			}
		}
	}
	return free
}
