package allocator

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Why addresses are refused: the causes of a [Refusal].
var (
	// ErrExhausted means that a range set has no free address left.
	ErrExhausted = errors.New("no address is free")
	// ErrDuplicate means that the attachment already holds an address of a range
	// set and did not request another one.
	ErrDuplicate = errors.New("attachment already holds an address")
	// ErrNotAvailable means that a requested address is held, is a gateway, lies in
	// no range set or is the second one requested from the same set.
	ErrNotAvailable = errors.New("requested address is not available")
)

// Leases is what [Choose] looks at. Addresses given to it and coming from it are
// never IPv4-mapped. Errors end the choice and come back wrapped.
type Leases interface {
	// Lease returns the lease on ip, if somebody holds it.
	Lease(ip netip.Addr) (state.Lease, bool, error)
	// Held returns the leases of exactly this attachment, in any order.
	Held(a state.Attachment) ([]state.Lease, error)
	// NextFree returns the lowest address from from to to, both included and of one
	// family, that nobody holds.
	NextFree(from, to netip.Addr) (ip netip.Addr, ok bool, err error)
	// Cursor returns the address that the range set with this index gave last.
	Cursor(set int) (netip.Addr, bool)
}

// Request is what an attachment asks for: one address from each of the canonical
// sets, and among them all of IPs.
type Request struct {
	Owner state.Attachment
	Sets  []RangeSet
	// IPs are requested addresses in the order of the request. One that occurs
	// twice counts once. A set gives the first of them that lies in it.
	IPs []netip.Addr
}

// Choice is what an attachment gets: one address per range set, in their order,
// and where the cursors stand afterwards. Nothing is held before it is recorded.
type Choice struct {
	Addresses []journal.Address
	Cursors   []journal.Cursor
}

// Refusal says that a request can't be met, and why. It unwraps to its Cause.
type Refusal struct {
	Set   int          // index of the range set that refused; -1 if no set took the requested IPs
	Cause error        // ErrExhausted, ErrDuplicate or ErrNotAvailable
	IPs   []netip.Addr // requested addresses that are not available, or the one already held
	text  string
}

// Error returns the text that host-local has for the refusal, in full.
func (r *Refusal) Error() string {
	switch {
	case r.text == "":
		return r.Cause.Error() // not one of Choose
	case r.Set < 0:
		return r.text
	}
	return fmt.Sprintf("failed to allocate for range %d: %s", r.Set, r.text)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Choose decides which addresses the request gets; the package comment has the
// rules. A request that can't be met is refused as a whole with a [*Refusal]; any
// other error is one of leases. Choose changes nothing and keeps nothing.
func Choose(leases Leases, req Request) (Choice, error) {
	c := chooser{leases: leases, owner: req.Owner, wanted: distinct(req.IPs)}
	for i, set := range req.Sets {
		ip, err := c.pick(i, set)
		if err != nil {
			return Choice{}, err
		}
		r := set[set.find(ip)]
		c.Addresses = append(c.Addresses, journal.Address{Set: i, IP: ip, Bits: r.Subnet.Bits(), Gateway: r.Gateway})
		c.Cursors = append(c.Cursors, journal.Cursor{Set: i, IP: ip})
	}
	if len(c.wanted) > 0 {
		var text strings.Builder
		text.WriteString("failed to allocate all requested IPs:")
		for _, ip := range c.wanted {
			text.WriteString(" " + ip.String())
		}
		return Choice{}, &Refusal{Set: -1, Cause: ErrNotAvailable, IPs: c.wanted, text: text.String()}
	}
	return c.Choice, nil
}

// distinct returns ips unmapped and without repetitions.
func distinct(ips []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// chooser is a choice in the making.
type chooser struct {
	leases Leases
	owner  state.Attachment
	wanted []netip.Addr  // requested and not yet given
	held   []state.Lease // the owner's leases, once asked is set
	asked  bool
	Choice
}

// pick returns the address that the set with this index gives.
func (c *chooser) pick(index int, set RangeSet) (netip.Addr, error) {
	if i := slices.IndexFunc(c.wanted, set.Contains); i >= 0 {
		ip := c.wanted[i]
		c.wanted = slices.Delete(c.wanted, i, i+1)
		return ip, c.checkWanted(index, set, ip)
	}
	if err := c.checkDuplicate(index, set); err != nil {
		return netip.Addr{}, err
	}
	if ip, err := c.next(index, set); ip.IsValid() || err != nil {
		return ip, err
	}
	return netip.Addr{}, &Refusal{Set: index, Cause: ErrExhausted,
		text: "no IP addresses available in range set: " + set.String()}
}

// next returns the address that a set gives next, zero if it is full.
func (c *chooser) next(index int, set RangeSet) (netip.Addr, error) {
	cursor, _ := c.leases.Cursor(index)
	for _, s := range searchOrder(set, cursor.Unmap()) {
		if ip, ok, err := c.free(s); ok || err != nil {
			return ip, err
		}
	}
	return netip.Addr{}, nil
}

// checkWanted refuses a requested address of the set that can't be given.
func (c *chooser) checkWanted(index int, set RangeSet, ip netip.Addr) error {
	refusal := &Refusal{Set: index, Cause: ErrNotAvailable, IPs: []netip.Addr{ip}}
	if ip == set[set.find(ip)].Gateway {
		refusal.text = fmt.Sprintf("requested ip %s is subnet's gateway", ip)
		return refusal
	}
	_, taken, err := c.leases.Lease(ip)
	if err != nil {
		return fmt.Errorf("look up the lease on %s: %w", ip, err)
	}
	if taken {
		refusal.text = fmt.Sprintf("requested IP address %s is not available in range set %s", ip, set)
		return refusal
	}
	return nil
}

// checkDuplicate refuses an owner that has an address of the set already, be it
// from this very call. Of several, the text names the one that sorts first as
// text, because host-local finds them as file names.
func (c *chooser) checkDuplicate(index int, set RangeSet) error {
	if err := c.askHeld(); err != nil {
		return err
	}
	var first netip.Addr
	note := func(ip netip.Addr) {
		if set.Contains(ip) && (!first.IsValid() || ip.String() < first.String()) {
			first = ip
		}
	}
	for _, l := range c.held {
		note(l.IP)
	}
	for _, a := range c.Addresses {
		note(a.IP)
	}
	if !first.IsValid() {
		return nil
	}
	return &Refusal{Set: index, Cause: ErrDuplicate, IPs: []netip.Addr{first},
		text: fmt.Sprintf("%s has been allocated to %s, duplicate allocation is not allowed", first, c.owner.ContainerID)}
}

// askHeld looks up the owner's leases, once. A lease without an interface name,
// as old host-locals left them, belongs to every interface of the container.
func (c *chooser) askHeld() error {
	if c.asked {
		return nil
	}
	held, err := c.leases.Held(c.owner)
	if err != nil {
		return c.heldError(err)
	}
	if c.owner.IfName != "" {
		legacy, err := c.leases.Held(state.Attachment{ContainerID: c.owner.ContainerID})
		if err != nil {
			return c.heldError(err)
		}
		held = slices.Concat(held, legacy)
	}
	c.held, c.asked = held, true
	return nil
}

func (c *chooser) heldError(err error) error {
	return fmt.Errorf("look up the leases of %s/%s: %w", c.owner.ContainerID, c.owner.IfName, err)
}

// free returns the lowest address of the span that can be given. It asks once, and
// once more if the gateway is in the way. What this call gave from earlier sets
// needs no look: checkDuplicate has refused a set that holds any of it.
func (c *chooser) free(s span) (netip.Addr, bool, error) {
	for from := s.from; ; from = from.Next() {
		ip := from
		if from != s.gateway { // most ranges begin with their gateway: not worth a question
			var ok bool
			var err error
			if ip, ok, err = c.leases.NextFree(from, s.to); err != nil {
				return netip.Addr{}, false, fmt.Errorf("look for a free address from %s to %s: %w", from, s.to, err)
			} else if !ok {
				return netip.Addr{}, false, nil
			}
		}
		if ip != s.gateway {
			return ip, true, nil
		}
		if ip == s.to { // tested before Next, which has nowhere to go from a family's last address
			return netip.Addr{}, false, nil
		}
		from = ip
	}
}

// span is a part of a range that is searched upwards: from to to, both included.
type span struct {
	from, to, gateway netip.Addr
}

// searchOrder returns the spans that make up the set, in the order in which they
// are searched: from behind the cursor all the way round to the cursor itself.
func searchOrder(set RangeSet, cursor netip.Addr) []span {
	spans := make([]span, 0, len(set)+1)
	add := func(r Range, from, to netip.Addr) { spans = appendSpan(spans, span{from, to, r.Gateway}) }

	at := set.find(cursor)
	if at < 0 {
		for _, r := range set {
			add(r, r.Start, r.End)
		}
		return spans
	}
	if cursor != set[at].End {
		add(set[at], cursor.Next(), set[at].End)
	}
	for i := 1; i < len(set); i++ {
		r := set[(at+i)%len(set)]
		add(r, r.Start, r.End)
	}
	add(set[at], set[at].Start, cursor)
	return spans
}

// appendSpan adds s without the IPv4-mapped addresses, which an IPv6 range in a
// subnet such as ::/64 may reach and nobody can hold.
func appendSpan(spans []span, s span) []span {
	first, last := mapped()
	if s.from.Is4() || s.to.Less(first) || last.Less(s.from) {
		return append(spans, s)
	}
	if s.from.Less(first) {
		spans = append(spans, span{s.from, first.Prev(), s.gateway})
	}
	if last.Less(s.to) {
		spans = append(spans, span{last.Next(), s.to, s.gateway})
	}
	return spans
}
