package replay

import (
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// maxRefused is how many refusals of one owner are explained, the newest.
const maxRefused = 5

// Refused are the refusals that events tell of, and what came after them. The zero Refused is ready to use.
type Refused struct {
	Events   uint64 // taken in
	Refusals uint64

	newest journal.Event // that was no refusal; its Seq is 0 if there is none
	list   []refused
	held   map[netip.Addr]journal.Seq // by the owner, and which event gave it
}

// refused is a refusal.
type refused struct {
	event journal.Event
	held  []netip.Addr  // by the owner then
	after journal.Event // the next event that was no refusal; its Seq is 0 if there is none
}

// Take takes in the next event about an owner.
func (r *Refused) Take(ev *journal.Event) {
	r.Events++
	if ev.Kind == journal.KindRefuse {
		r.Refusals++
		r.list = append(r.list, refused{event: *ev, held: slices.SortedFunc(maps.Keys(r.held), netip.Addr.Compare)})
		if len(r.list) > maxRefused {
			r.list = slices.Delete(r.list, 0, 1)
		}
		return
	}
	for i := range r.list {
		if r.list[i].after.Seq == 0 {
			r.list[i].after = *ev
		}
	}
	r.newest = *ev
	for _, a := range ev.Addresses {
		switch ev.Kind {
		case journal.KindAdd, journal.KindImport:
			if r.held == nil {
				r.held = make(map[netip.Addr]journal.Seq)
			}
			r.held[a.IP] = ev.Seq
		case journal.KindDel, journal.KindRelease:
			delete(r.held, a.IP)
		}
	}
}

// Addresses returns what the explanation of the refusals needs the leases of.
func (r *Refused) Addresses() []netip.Addr {
	all := []netip.Addr{}
	for i := range r.list {
		all = append(append(all, r.list[i].event.Requested...), r.list[i].held...)
	}
	for _, a := range r.newest.Addresses {
		all = append(all, a.IP)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// Owner explains why the ADDs of a container or a pod were refused, newest last. The history must have kept the leases of
// r.Addresses.
func (e *Explainer) Owner(who string, r *Refused) ([]Sentence, error) {
	e.said, e.err = nil, nil
	h := e.History
	if h.First.Seq == 0 {
		e.say(nil, "The journal holds no event: nothing is known of %s.", who)
		return e.said, nil
	}
	e.asOf()
	if r.Refusals == 0 {
		e.say(rest(h.First.Seq, h.Last.Seq),
			"No refusal of %s is recorded. A refusal is recorded once a minute at most, and only where the reason was the addresses "+
				"(codes 100 to 102): an ADD that failed otherwise, as for a lock, a disk or a configuration, leaves no event.", who)
		if r.newest.Seq == 0 {
			e.say(rest(h.First.Seq, h.Last.Seq), "No event names it.")
		} else {
			e.since(&r.newest)
		}
		return e.said, nil
	}
	if n := r.Refusals - uint64(len(r.list)); n > 0 {
		e.say(nil, "%d refusals are recorded; what follows are the newest %d.", r.Refusals, len(r.list))
	}
	for i := range r.list {
		e.refusal(&r.list[i])
		e.cause(&r.list[i], netip.Addr{})
		if after := &r.list[i].after; i+1 == len(r.list) || after.Seq != 0 && after.Seq < r.list[i+1].event.Seq {
			e.since(after)
		}
	}
	if newest := &r.newest; newest.Seq > r.list[len(r.list)-1].after.Seq && newest.Seq > r.list[len(r.list)-1].event.Seq {
		e.since(newest)
	}
	e.say(nil, "Refusals that repeat are not all recorded: there were at least %d.", r.Refusals)
	return e.said, e.err
}

// About explains the refusals of whoever requested an address.
func (e *Explainer) About(ip netip.Addr, r *Refused) ([]Sentence, error) {
	e.said, e.err = nil, nil
	if r.Refusals == 0 {
		return nil, nil
	}
	if n := r.Refusals - uint64(len(r.list)); n > 0 {
		e.say(nil, "ADDs that requested %s were refused at least %d times; what follows are the newest %d.", ip, r.Refusals, len(r.list))
	}
	for i := range r.list {
		e.refusal(&r.list[i])
		e.cause(&r.list[i], ip)
	}
	return e.said, e.err
}

func (e *Explainer) pointOf(ev *journal.Event) Point { return e.History.Clocks.Point(ev.Seq, ev.Clock) }

// refusal says what was refused.
func (e *Explainer) refusal(r *refused) {
	ev := &r.event
	l := leaseOf(ev, journal.Address{})
	asked := ""
	if len(ev.Requested) > 0 {
		asked = " that requested " + joined(ev.Requested)
	}
	e.say(rest(ev.Seq), "At %s an ADD of %s%s was refused with code %d: %s (event %d).", when(e.pointOf(ev)),
		ownerText(&Interval{Lease: &l}), asked, ev.Code, ev.Text, ev.Seq)
}

func joined(ips []netip.Addr) string {
	texts := make([]string, len(ips))
	for i, ip := range ips {
		texts[i] = ip.String()
	}
	return strings.Join(texts, ", ")
}

// cause says what stood in the way then, and whether it still does: of one address, or of all if it is zero.
func (e *Explainer) cause(r *refused, only netip.Addr) {
	switch ev := &r.event; ev.Code {
	case allocator.CodeExhausted:
		e.exhausted(ev)
	case allocator.CodeDuplicate:
		for _, ip := range r.held {
			if iv := e.heldAt(ip, ev.Seq); iv != nil && strings.Contains(ev.Text, ": "+ip.String()+" has been allocated to ") {
				e.stood(ip, iv, ev.Seq)
			}
		}
	case allocator.CodeNotAvailable:
		for _, ip := range ev.Requested {
			if !only.IsValid() || ip == only {
				e.unavailable(ip, ev.Seq)
			}
		}
	}
}

// exhausted says how much room the range set that was full has now.
func (e *Explainer) exhausted(ev *journal.Event) {
	b := e.Standing
	if b == nil {
		return
	}
	for i, set := range b.Sets {
		if !strings.HasSuffix(ev.Text, " "+set.String()) {
			continue
		}
		all, free, err := b.room(i)
		if err != nil {
			e.err = err
			return
		}
		e.say(append(b.events(), ev.Seq, e.History.Last.Seq), "Nothing in that range set was free then; after event %d, %s of its %s %s.",
			e.History.Last.Seq, free, all, map[bool]string{true: "address is free", false: "addresses are free"}[all.Cmp(big.NewInt(1)) == 0])
		return
	}
}

// unavailable says why a requested address was not given.
func (e *Explainer) unavailable(ip netip.Addr, seq journal.Seq) {
	if iv := e.heldAt(ip, seq); iv != nil {
		e.stood(ip, iv, seq)
		return
	}
	s := e.History.span(Asked{Now: true})
	b := phasing{h: e.History, ip: ip, s: &s}
	switch state, why := b.stateAt(seq); state {
	case StateGateway:
		e.say(rest(seq), "%s was a gateway of the network then.", ip)
	case StateNotOurs:
		e.say(rest(seq), "%s was in none of the network's ranges then.", ip)
	case StateUnknown:
		e.say(rest(seq), "What %s was then is unknown: %s.", ip, why)
	}
}

// heldAt returns the interval of an address at the position after an event, nil if nobody is known to have held it.
func (e *Explainer) heldAt(ip netip.Addr, seq journal.Seq) *Interval {
	for iv := range each(e.History.Intervals) {
		if iv.Lease.IP == ip && iv.Start.Seq <= seq && (iv.End == nil && seq <= iv.LastSeq || iv.End != nil && seq < iv.End.Seq) {
			return iv
		}
	}
	return nil
}

// stood says who held an address at an event, and until when.
func (e *Explainer) stood(ip netip.Addr, iv *Interval, seq journal.Seq) {
	text := fmt.Sprintf("%s was held then by %s, since event %d", ip, ownerText(iv), iv.Start.Seq)
	switch {
	case iv.End != nil:
		e.say(rest(iv.Start.Seq, seq, iv.End.Seq),
			"%s; event %d released it at %s (%s).", text, iv.End.Seq, when(iv.End.Point), iv.End.Reason)
	case iv.lost:
		e.say(rest(iv.Start.Seq, seq), "%s; what became of it is not known.", text)
	case e.History.wiped:
		e.say(rest(iv.Start.Seq, seq), "%s; the network's data folder was deleted since.", text)
	default:
		e.say(rest(iv.Start.Seq, seq), "%s, and still is.", text)
	}
}

// since says what became of the owner after a refusal.
func (e *Explainer) since(ev *journal.Event) {
	at := when(e.pointOf(ev))
	var ips []netip.Addr
	for _, a := range ev.Addresses {
		ips = append(ips, a.IP)
	}
	switch {
	case ev.Seq == 0:
		e.say(rest(e.History.Last.Seq), "Up to the newest event (event %d), no other event names it.", e.History.Last.Seq)
	case ev.Kind == journal.KindAdd:
		text := "it still holds what it got"
		for _, ip := range ips {
			if iv := e.heldAt(ip, e.History.Last.Seq); iv == nil || iv.Start.Seq != ev.Seq {
				text = "it does not hold all of that any more"
			}
		}
		e.say(rest(ev.Seq), "At %s event %d gave it %s; %s.", at, ev.Seq, joined(ips), text)
	case len(ips) == 0:
		e.say(rest(ev.Seq), "At %s a %s about it followed (event %d), which had nothing to release.", at, ev.Kind, ev.Seq)
	default:
		e.say(rest(ev.Seq), "At %s a %s about it followed (event %d): %s.", at, ev.Kind, ev.Seq, joined(ips))
	}
}

// Told says whether the journal tells all of a time, and in words why it doesn't.
func (h *History) Told(q Asked) (c Certainty, doubts []string) {
	s := h.span(q)
	c, doubts = h.outside(&s, !q.From.IsZero(), !q.To.IsZero(), netip.Addr{})
	for _, g := range h.gaps {
		if g.meets(&s) {
			c, doubts = Unknown, append(doubts, g.toldOf(&s))
		}
	}
	if near := h.nearLost(&s, nil); near != "" {
		c, doubts = max(c, Uncertain), append(doubts, near)
	}
	return c, doubts
}
