package oracle

import (
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// State is the answer to who held an address.
type State int

// The answers. A larger one of those without a holder says more about the address.
const (
	NotOurs State = iota
	Free
	Gateway
	Held
	Unknown
)

var stateNames = [...]string{"not ours", "free", "gateway", "held", "unknown"}

// String returns the state in words.
func (s State) String() string { return stateNames[s] }

// ranges are those in force at a position.
type ranges struct {
	known   bool // the last add recorded its ranges
	partial bool // there are others in force: of a configuration that is lost, or of a call whose ranges were left out
	all     []journal.Range
}

// dropped reports whether the event's ranges were left out because its record would have been too long.
func dropped(ev *journal.Event) bool { return slices.Contains(ev.Dropped, "ranges") }

func flat(sets [][]journal.Range) []journal.Range { return slices.Concat(sets...) }

// static returns the ranges of the configuration that an add names; ok is false where they are not recorded.
func static(events []journal.Event, add *journal.Event) (all []journal.Range, ok bool) {
	for i := range events {
		if ev := &events[i]; ev.Seq == add.Config && ev.Kind == journal.KindConfig && !dropped(ev) {
			return flat(ev.Ranges), true
		}
	}
	return nil, false
}

// recorded reports whether an add recorded the ranges that it allocated from.
func recorded(events []journal.Event, add *journal.Event) bool {
	if dropped(add) {
		return false
	}
	if add.Config == 0 {
		return len(add.Ranges) > 0
	}
	_, ok := static(events, add)
	return ok
}

// inForce returns the ranges in force at the position of event i. Behind lost events they are not known until an add
// records its own, because a lost one may have brought others.
func inForce(events []journal.Event, i int) ranges {
	var r ranges
	var named *journal.Event
	for j := range i + 1 {
		ev := &events[j]
		if j == 0 && ev.Seq != 1 || j > 0 && events[j-1].Seq+1 != ev.Seq {
			r.known = false
		}
		if ev.Kind != journal.KindAdd {
			continue
		}
		if ev.Config != 0 {
			named = ev
		}
		r.known = recorded(events, ev)
		r.partial = r.partial || dropped(ev)
		r.all = append(r.all, flat(ev.Ranges)...)
	}
	if named != nil {
		all, ok := static(events, named)
		r.all = append(r.all, all...)
		r.partial = r.partial || !ok
	}
	return r
}

// state is that of an address which nobody holds.
func (r *ranges) state(ip netip.Addr) State {
	if !r.known {
		return Unknown
	}
	best := NotOurs
	for _, in := range r.all {
		if in.Gateway == ip {
			best = max(best, Gateway)
		}
		if in.Start.Compare(ip) <= 0 && ip.Compare(in.End) <= 0 {
			best = max(best, Free)
		}
	}
	if best == NotOurs && r.partial {
		return Unknown
	}
	return best
}

// MayHold reports whether the address is in a range that the store has recorded at any time, or may be in one that it has
// not.
func (s *Store) MayHold(ip netip.Addr) bool {
	if len(s.Events) == 0 || s.Events[0].Seq != 1 || s.Events[len(s.Events)-1].Seq != journal.Seq(len(s.Events)) {
		return true // what is lost may have brought ranges
	}
	any := false
	for i := range s.Events {
		ev := &s.Events[i]
		if ev.Kind == journal.KindAdd && !recorded(s.Events, ev) {
			return true
		}
		for _, in := range flat(ev.Ranges) {
			any = true
			if in.Start.Compare(ip) <= 0 && ip.Compare(in.End) <= 0 {
				return true
			}
		}
	}
	return !any
}
