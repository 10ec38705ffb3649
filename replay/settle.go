package replay

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/leaselog/leaselog/state"
)

// SettledAtOnce is how many addresses one reading of the journal answers about where whole histories are needed.
const SettledAtOnce = 1000

// Settle answers questions in any order. It begins at the journal's first event, and leaves the sweep behind the newest of
// the questions.
func (s *Sweep) Settle(questions []Question) error {
	left := make([]*Question, len(questions))
	for i := range questions {
		left[i] = &questions[i]
	}
	if s.Plain() {
		slices.SortFunc(left, func(a, b *Question) int { return cmp.Compare(a.At, b.At) })
		s.rewind()
		rest := left[:0]
		for _, q := range left {
			var err error
			if q.Holding, err = s.Who(q.IP, q.At); err != nil {
				return err
			}
			if q.Holding == nil {
				rest = append(rest, q)
			}
		}
		left = rest
	}
	slices.SortStableFunc(left, func(a, b *Question) int { return a.IP.Compare(b.IP) })
	for len(left) > 0 {
		n, addrs := 0, map[netip.Addr]bool{}
		for ; n < len(left); n++ {
			if !addrs[left[n].IP] && len(addrs) == SettledAtOnce {
				break
			}
			addrs[left[n].IP] = true
		}
		if err := s.fromWhole(left[:n], addrs); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// fromWhole answers questions about some addresses from all that the journal tells of them.
func (s *Sweep) fromWhole(questions []*Question, addrs map[netip.Addr]bool) error {
	h, err := s.whole(addrs)
	if err != nil {
		return err
	}
	intervals := h.Intervals
	slices.SortStableFunc(intervals, func(a, b Interval) int { return a.Lease.IP.Compare(b.Lease.IP) })
	for i := 0; i < len(questions); {
		ip := questions[i].IP
		from, _ := slices.BinarySearchFunc(intervals, ip, func(iv Interval, ip netip.Addr) int { return iv.Lease.IP.Compare(ip) })
		to := from
		for to < len(intervals) && intervals[to].Lease.IP == ip {
			to++
		}
		h.Intervals = intervals[from:to]
		for ; i < len(questions) && questions[i].IP == ip; i++ {
			t := timeOf(questions[i].At)
			a := h.Who(ip, Asked{From: t, To: t, Covered: s.Covered})
			a.others = nil
			questions[i].Holding = &a
		}
	}
	return nil
}

// whole reads all that the journal tells of some addresses.
func (s *Sweep) whole(addrs map[netip.Addr]bool) (*History, error) {
	if s.Whole != nil {
		return s.Whole(slices.Collect(maps.Keys(addrs)))
	}
	return Read(s.Records(), Options{Keep: func(l *state.Lease) bool { return addrs[l.IP] }, Wiped: s.Wiped})
}
