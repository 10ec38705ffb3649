package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// owner is who holds addresses.
type owner struct{ id, ifName string }

func (o owner) String() string { return o.id + "/" + o.ifName }

// lease is an address that is held.
type lease struct {
	owner
	address journal.Address
	netns   string
	pod     journal.Pod
	start   journal.Seq
	clock   journal.Clock
}

// knownConfigs is how many configurations a store remembers.
const knownConfigs = 64

// model is a network as plain maps.
type model struct {
	leases  map[netip.Addr]lease
	cursors map[int]netip.Addr
	configs []config // in the order in which they were recorded
}

type config struct {
	digest journal.Hash
	seq    journal.Seq
	ranges [][]journal.Range
}

func newModel() *model {
	return &model{leases: map[netip.Addr]lease{}, cursors: map[int]netip.Addr{}}
}

// The codes of refusals.
const (
	codeExhausted    = 100
	codeDuplicate    = 101
	codeNotAvailable = 102
	codeNoLease      = 103
	codeUnavailable  = 50
)

// choose says which addresses an ADD gets, in host-local's order, or the code of its refusal.
func (m *model) choose(p plan, who owner, requested []netip.Addr) ([]journal.Address, int) {
	var given []journal.Address
	wanted := slices.Clone(requested)
	for i, set := range p.sets {
		at := slices.IndexFunc(wanted, func(ip netip.Addr) bool { return in(set, ip) })
		var s span
		var ip netip.Addr
		if at >= 0 {
			ip = wanted[at]
			wanted = slices.DeleteFunc(wanted, func(w netip.Addr) bool { return w == ip })
			s = set[slices.IndexFunc(set, func(s span) bool { return s.holds(ip) })]
			if _, held := m.leases[ip]; held || ip == s.gateway {
				return nil, codeNotAvailable
			}
		} else {
			for _, l := range m.leases {
				if l.owner == who && in(set, l.address.IP) {
					return nil, codeDuplicate
				}
			}
			var ok bool
			if ip, s, ok = m.search(set, m.cursors[i]); !ok {
				return nil, codeExhausted
			}
		}
		given = append(given, journal.Address{Set: i, IP: ip, Bits: s.subnet.Bits(), Gateway: s.gateway})
	}
	if len(wanted) > 0 {
		return nil, codeNotAvailable
	}
	return given, 0
}

func in(set []span, ip netip.Addr) bool {
	return slices.ContainsFunc(set, func(s span) bool { return s.holds(ip) })
}

// search walks a set from address to address, beginning behind the cursor, once round.
func (m *model) search(set []span, cursor netip.Addr) (netip.Addr, span, bool) {
	at := slices.IndexFunc(set, func(s span) bool { return s.holds(cursor) })
	ip := cursor
	next := func() {
		if at < 0 || ip == set[at].end {
			at = (at + 1) % len(set)
			ip = set[at].start
		} else {
			ip = ip.Next()
		}
	}
	next()
	for first := ip; ; {
		if _, held := m.leases[ip]; !held && ip != set[at].gateway {
			return ip, set[at], true
		}
		if next(); ip == first {
			return netip.Addr{}, span{}, false
		}
	}
}

// exhausted reports whether a set of the plan has nothing to give.
func (m *model) exhausted(p plan) bool {
	return slices.ContainsFunc(p.sets, func(set []span) bool {
		_, _, ok := m.search(set, netip.Addr{})
		return !ok
	})
}

// held returns what an owner holds, by range set, then address.
func (m *model) held(who owner) []lease {
	var held []lease
	for _, l := range m.leases {
		if l.owner == who {
			held = append(held, l)
		}
	}
	slices.SortFunc(held, func(a, b lease) int {
		return cmp.Or(cmp.Compare(a.address.Set, b.address.Set), a.address.IP.Compare(b.address.IP))
	})
	return held
}

// owners returns who holds something, in order of their lowest addresses.
func (m *model) owners() []owner {
	ips := make([]netip.Addr, 0, len(m.leases))
	for ip := range m.leases {
		ips = append(ips, ip)
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	var owners []owner
	for _, ip := range ips {
		if who := m.leases[ip].owner; !slices.Contains(owners, who) {
			owners = append(owners, who)
		}
	}
	return owners
}

// config returns the event that holds these static ranges, 0 if none is remembered.
func (m *model) config(static [][]span) journal.Seq {
	for _, c := range m.configs {
		if sameRanges(c.ranges, static) {
			return c.seq
		}
	}
	return 0
}

// apply folds an event. It says which could not have happened.
func (m *model) apply(ev *journal.Event) error {
	who := owner{ev.ContainerID, ev.IfName}
	switch ev.Kind {
	case journal.KindAdd:
		for _, a := range ev.Addresses {
			if l, held := m.leases[a.IP]; held {
				return fmt.Errorf("event %d: %s gets %s, which %s holds", ev.Seq, who, a.IP, l.owner)
			}
			m.leases[a.IP] = lease{owner: who, address: a, netns: ev.NetNS, pod: ev.Pod, start: ev.Seq, clock: ev.Clock}
		}
		for _, c := range ev.Cursors {
			m.cursors[c.Set] = c.IP
		}
	case journal.KindDel:
		for _, a := range ev.Addresses {
			if l, held := m.leases[a.IP]; !held || l.owner != who || l.address != a {
				return fmt.Errorf("event %d: %s gives back %v, but the lease is %+v", ev.Seq, who, a, l)
			}
			delete(m.leases, a.IP)
		}
	case journal.KindReset:
		clear(m.leases)
		clear(m.cursors)
	case journal.KindConfig:
		m.remember(ev)
	case journal.KindGenesis, journal.KindRepair, journal.KindRefuse:
	default:
		return fmt.Errorf("event %d: nothing here records a %s", ev.Seq, ev.Kind)
	}
	return nil
}

func (m *model) remember(ev *journal.Event) {
	m.configs = slices.DeleteFunc(m.configs, func(c config) bool { return c.digest == ev.Digest })
	m.configs = append(m.configs, config{ev.Digest, ev.Seq, ev.Ranges})
	if len(m.configs) > knownConfigs {
		m.configs = m.configs[1:]
	}
}
