package allocator

import "net/netip"

// Span is a part of a range, From and To included. Gateway is that of the range, and never given.
type Span struct {
	From, To, Gateway netip.Addr
}

// Ahead returns what a search in the canonical set looks at before it comes to ip, in order; cursor is the address that
// the set gave last, zero if none. ok is false if a search never comes to ip.
func (s RangeSet) Ahead(cursor, ip netip.Addr) (ahead []Span, ok bool) {
	ip = ip.Unmap()
	for _, p := range searchOrder(s, cursor.Unmap()) {
		if p.from.Compare(ip) <= 0 && ip.Compare(p.to) <= 0 {
			if ip != p.from {
				ahead = append(ahead, Span{p.from, ip.Prev(), p.gateway})
			}
			return ahead, ip != p.gateway
		}
		ahead = append(ahead, Span{p.from, p.to, p.gateway})
	}
	return nil, false
}
