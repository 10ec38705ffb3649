package replay

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Unheld answers what the addresses of a network were at one time that nobody held, each as History.Who does: neighbours of which
// the same is to be said share an answer, so that a large range takes no longer than a small one. Leases of other times that Who names in its
// doubts are left out. Not safe for concurrent use.
type Unheld struct {
	h *History
	q Asked

	cuts  []netip.Addr               // ascending, where ranges and gateways begin, and behind where they end
	kept  []*Holding                 // of the addresses before the first cut, and from each of them on
	alone []netip.Addr               // ascending, of which more may be known than of their neighbours
	own   map[netip.Addr][]*Interval // theirs
}

// Unheld returns what answers about the addresses that h.At(q) has no lease of. The history may have been read for q alone, with
// Options.Unheld. claimed has all leases of the addresses that Claimed names; it may be nil if there are none.
func (h *History) Unheld(q Asked, claimed *History) *Unheld {
	u := &Unheld{h: h, q: q, own: make(map[netip.Addr][]*Interval, len(h.Intervals))}
	for iv := range each(h.Intervals) {
		u.own[iv.Lease.IP] = append(u.own[iv.Lease.IP], iv)
	}
	for _, g := range h.gaps {
		for ip := range g.settled {
			u.apart(ip)
		}
	}
	for _, o := range h.odds {
		u.apart(o.ip)
	}
	if claimed != nil {
		for _, ip := range h.Claimed() {
			u.own[ip] = nil
		}
		for iv := range each(claimed.Intervals) {
			u.own[iv.Lease.IP] = append(u.own[iv.Lease.IP], iv)
		}
	}
	for ip := range u.own {
		u.alone = append(u.alone, ip)
	}
	slices.SortFunc(u.alone, netip.Addr.Compare)
	for g := range h.ranges.all {
		u.cuts = append(u.cuts, g.Start)
		u.cut(g.End)
		if g.Gateway.IsValid() {
			u.cuts = append(u.cuts, g.Gateway)
			u.cut(g.Gateway)
		}
	}
	u.cuts = append(u.cuts, netip.IPv6Unspecified()) // behind the last of IPv4
	slices.SortFunc(u.cuts, netip.Addr.Compare)
	u.cuts = slices.Compact(u.cuts)
	u.kept = make([]*Holding, len(u.cuts)+1)
	return u
}

// apart has an address answered by itself.
func (u *Unheld) apart(ip netip.Addr) {
	if _, ok := u.own[ip]; !ok {
		u.own[ip] = nil
	}
}

// cut cuts behind an address.
func (u *Unheld) cut(behind netip.Addr) {
	if next := behind.Next(); next.IsValid() {
		u.cuts = append(u.cuts, next)
	}
}

// At answers about an address, and says up to which one the answer is the same. The answer is shared and not to be changed.
func (u *Unheld) At(ip netip.Addr) (was *Holding, last netip.Addr) {
	next, found := slices.BinarySearchFunc(u.alone, ip, netip.Addr.Compare)
	if found {
		return u.who(ip, u.own[ip]), ip
	}
	i, found := slices.BinarySearchFunc(u.cuts, ip, netip.Addr.Compare)
	if found {
		i++
	}
	if u.kept[i] == nil {
		u.kept[i] = u.who(ip, nil)
	}
	switch {
	case i < len(u.cuts):
		last = u.cuts[i].Prev()
		if last.Is6() != ip.Is6() || !last.IsValid() { // the cut is the first of IPv6
			last = netip.AddrFrom4([4]byte{255, 255, 255, 255})
		}
	default:
		last = netip.AddrFrom16([16]byte(slices.Repeat([]byte{255}, 16)))
	}
	if next < len(u.alone) && u.alone[next].Compare(last) <= 0 {
		last = u.alone[next].Prev()
	}
	return u.kept[i], last
}

func (u *Unheld) who(ip netip.Addr, leases []*Interval) *Holding {
	h := *u.h
	h.Intervals = make([]Interval, len(leases))
	for i, iv := range leases {
		h.Intervals[i] = *iv
	}
	was := h.Who(ip, u.q)
	was.others = nil
	return &was
}

// Claimed returns the addresses of imports that say since when there was a lease, or don't know it: before such an event nobody
// knows who held the address.
func (h *History) Claimed() []netip.Addr {
	all := slices.Clone(h.claimed)
	for iv := range each(h.Intervals) {
		if iv.Lease.Import && iv.parentSeq == "" { // a snapshot may show one, whose event is lost
			all = append(all, iv.Lease.IP)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// RangesAt returns the ranges that addresses were given from at a time, and true; or all that were recorded at any time, and false,
// if some of that time are not known.
func (h *History) RangesAt(q Asked) (ranges []journal.Range, known bool) {
	s, changes := h.span(q), h.ranges.changes
	all := map[journal.Range]bool{}
	for i := range changes {
		var to *Point
		if i+1 < len(changes) {
			to = &changes[i+1].point
		}
		if !h.time.meet(&s, &changes[i].point, to).candidate {
			continue
		}
		if known = changes[i].known; !known {
			break
		}
		for _, g := range changes[i].list() {
			all[g] = true
		}
	}
	if !known {
		for g := range h.ranges.all {
			all[g] = true
		}
	}
	for g := range all {
		ranges = append(ranges, g)
	}
	slices.SortFunc(ranges, func(x, y journal.Range) int {
		return cmp.Or(x.Start.Compare(y.Start), x.End.Compare(y.End), x.Gateway.Compare(y.Gateway))
	})
	return ranges, known
}
