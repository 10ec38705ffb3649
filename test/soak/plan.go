package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// span is a range as the model sees it, with nothing left to defaults.
type span struct {
	subnet              netip.Prefix
	start, end, gateway netip.Addr
}

func (s span) holds(ip netip.Addr) bool {
	return s.start.BitLen() == ip.BitLen() && s.start.Compare(ip) <= 0 && ip.Compare(s.end) <= 0
}

// plan is a configuration that a call comes with: range sets, of which the first few are for this
// call alone.
type plan struct {
	name string
	sets [][]span
	own  int
}

// plans are small on purpose, so that sets get full and addresses come back. They share addresses
// across set numbers: a cursor often is one of another configuration.
var plans = []plan{
	{name: "ranges", sets: parse("10.1.0.0/26 10-17,12; 10.1.0.0/26 2-5,1; 10.2.0.0/29 1-6,1")},
	{name: "dual", sets: parse("10.1.0.0/26 2-40,12", "fd00::/120 16-31,18")},
	{name: "wide", sets: parse("fd01::/64 1-65535,1", "10.3.0.0/28 1-14,14")},
	{name: "own", own: 1, sets: parse("10.4.0.0/28 2-9,1", "fd00::/120 20-60,1")},
	{name: "only own", own: 1, sets: parse("10.4.0.0/28 2-14,5")},
	{name: "tiny", sets: parse("10.5.0.0/29 1-6,1")},
	{name: "turned", sets: parse("fd00::/120 16-24,16; fd02::/126 1-3,9", "10.1.0.0/26 30-44,33")},
}

// variants is how many more plans there are: more than a store remembers configurations.
const variants = 90

func pickPlan(r *rand.Rand) plan {
	if r.IntN(12) > 0 {
		return plans[r.IntN(len(plans))]
	}
	n := r.IntN(variants)
	return plan{name: fmt.Sprintf("variant %d", n), sets: parse(fmt.Sprintf("10.6.0.0/24 2-%d,1", 100+n))}
}

// parse reads sets of ranges: "subnet start-end,gateway; ...", the latter three as offsets.
func parse(sets ...string) [][]span {
	var out [][]span
	for _, set := range sets {
		var spans []span
		for text := range strings.SplitSeq(set, "; ") {
			var subnet string
			var start, end, gateway int
			if _, err := fmt.Sscanf(text, "%s %d-%d,%d", &subnet, &start, &end, &gateway); err != nil {
				panic(fmt.Sprintf("soak: range %q: %v", text, err))
			}
			p := netip.MustParsePrefix(subnet)
			spans = append(spans, span{p, host(p, start), host(p, end), host(p, gateway)})
		}
		out = append(out, spans)
	}
	return out
}

// host returns the n-th address of a subnet.
func host(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// static returns the sets that are not for one call alone.
func (p plan) static() [][]span { return p.sets[p.own:] }

// request returns the sets as the allocator takes them.
func (p plan) request() ([]allocator.RangeSet, error) {
	sets := make([]allocator.RangeSet, len(p.sets))
	for i, set := range p.sets {
		for _, s := range set {
			sets[i] = append(sets[i], allocator.Range{Subnet: s.subnet, Start: s.start, End: s.end, Gateway: s.gateway})
		}
	}
	return allocator.Canonical(sets)
}

// config returns the sets as a runtime sends them.
func (p plan) config() [][]caller.Range {
	var sets [][]caller.Range
	for _, set := range p.sets {
		var ranges []caller.Range
		for _, s := range set {
			ranges = append(ranges, caller.Range{Subnet: s.subnet.String(), RangeStart: s.start.String(),
				RangeEnd: s.end.String(), Gateway: s.gateway.String()})
		}
		sets = append(sets, ranges)
	}
	return sets
}

// toRanges returns sets as events hold them.
func toRanges(sets [][]span) [][]journal.Range {
	var out [][]journal.Range
	for _, set := range sets {
		var ranges []journal.Range
		for _, s := range set {
			ranges = append(ranges, journal.Range{Subnet: s.subnet, Start: s.start, End: s.end, Gateway: s.gateway})
		}
		out = append(out, ranges)
	}
	return out
}

// digest identifies static ranges as docs/FORMAT.md has it.
func digest(ranges [][]journal.Range) journal.Hash {
	return sha256.Sum256(journal.AppendRanges(nil, ranges))
}

// sameRanges reports whether an event holds these sets.
func sameRanges(got [][]journal.Range, want [][]span) bool {
	return slices.EqualFunc(got, want, func(got []journal.Range, want []span) bool {
		return slices.EqualFunc(got, want, func(g journal.Range, w span) bool {
			return g == journal.Range{Subnet: w.subnet, Start: w.start, End: w.end, Gateway: w.gateway}
		})
	})
}
