package replay

import (
	"errors"
	"fmt"
	"iter"
	"math/big"
	"net/netip"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Standing is what the next ADD meets if it comes with the ranges of the newest one: the ranges of a call are not known before.
type Standing struct {
	Leases allocator.Leases              // after the last event
	All    iter.Seq2[state.Lease, error] // the same, one after the other
	Add    journal.Seq                   // the newest add; 0 if there is none
	Config journal.Seq                   // that it named; 0 if none
	Sets   []allocator.RangeSet          // of that add: its own first, then those of its configuration; nil if they are not known
	Why    string                        // they are not
}

// prospect is what an ADD, with no request and with one, would do about an address that is in a range set.
type prospect struct {
	set       int
	next      netip.Addr         // what the set gives next; zero if the ADD is refused
	ahead     *big.Int           // free addresses that the search comes to before; nil if it never comes to the address
	cursor    netip.Addr         // zero if there is none
	refusal   *allocator.Refusal // of an ADD that requests nothing
	requested *allocator.Refusal // of one that requests the address; nil if it gets it
}

// setOf returns the index of the range set that an address is in, -1 if it is in none.
func (b *Standing) setOf(ip netip.Addr) int {
	for i, set := range b.Sets {
		if set.Contains(ip) {
			return i
		}
	}
	return -1
}

// prospect asks the allocator. An address in no set can only be requested.
func (b *Standing) prospect(ip netip.Addr) (prospect, error) {
	p := prospect{set: b.setOf(ip)}
	_, err := allocator.Choose(b.Leases, allocator.Request{Sets: b.Sets, IPs: []netip.Addr{ip}})
	if err != nil && !errors.As(err, &p.requested) {
		return p, err
	}
	if p.set < 0 {
		return p, nil
	}
	choice, err := allocator.Choose(b.Leases, allocator.Request{Sets: b.Sets})
	if err != nil && !errors.As(err, &p.refusal) {
		return p, err
	}
	if err == nil {
		p.next = choice.Addresses[p.set].IP
	}
	p.cursor, _ = b.Leases.Cursor(p.set)
	spans, ok := b.Sets[p.set].Ahead(p.cursor, ip)
	if !ok {
		return p, nil
	}
	p.ahead, err = b.free(spans)
	return p, err
}

// free counts the addresses of the spans that nobody holds, gateways aside. It walks the leases and not the addresses.
func (b *Standing) free(spans []allocator.Span) (*big.Int, error) {
	n := new(big.Int)
	for _, s := range spans {
		n.Add(n, addresses(s.From, s.To))
		if between(s.From, s.Gateway, s.To) {
			n.Sub(n, big.NewInt(1))
		}
	}
	for l, err := range b.All {
		if err != nil {
			return nil, err
		}
		for _, s := range spans {
			if l.IP != s.Gateway && between(s.From, l.IP, s.To) {
				n.Sub(n, big.NewInt(1))
				break
			}
		}
	}
	return n, nil
}

// room returns how many addresses a range set has to give, and how many of them are free.
func (b *Standing) room(set int) (all, free *big.Int, err error) {
	var spans []allocator.Span
	all = new(big.Int)
	for _, r := range b.Sets[set] {
		spans = append(spans, allocator.Span{From: r.Start, To: r.End, Gateway: r.Gateway})
		all.Add(all, addresses(r.Start, r.End))
		if between(r.Start, r.Gateway, r.End) {
			all.Sub(all, big.NewInt(1))
		}
	}
	free, err = b.free(spans)
	return all, free, err
}

func between(from, ip, to netip.Addr) bool {
	return ip.BitLen() == from.BitLen() && from.Compare(ip) <= 0 && ip.Compare(to) <= 0
}

// addresses returns how many addresses there are from first to last.
func addresses(first, last netip.Addr) *big.Int {
	a, b := new(big.Int).SetBytes(first.AsSlice()), new(big.Int).SetBytes(last.AsSlice())
	return b.Sub(b, a).Add(b, big.NewInt(1))
}

// likeNewest says on what condition the standing is the next ADD's.
func (b *Standing) likeNewest() string {
	return fmt.Sprintf("if it comes with the ranges of the newest one (event %d)", b.Add)
}

// events are those that the ranges rest on.
func (b *Standing) events() []journal.Seq {
	if b.Config == 0 {
		return []journal.Seq{b.Add}
	}
	return []journal.Seq{b.Config, b.Add}
}
