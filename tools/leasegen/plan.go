package main

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/pflag"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// flags are the command line as given.
type flags struct {
	out, network, subnet, subnet6, until string
	leases, events, tail                 int64
	days, snapshots                      int
	seed                                 uint64
	dual, pack                           bool
	keyframes                            int64
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.out, "out", "", "`folder` that the plugin knows as dataDir; made if missing")
	set.StringVar(&f.network, "network", "", "`name` of the network")
	set.Int64Var(&f.leases, "leases", 250, "leases held at the end, an even number with --dual")
	set.Int64Var(&f.events, "events", -1, "events in all (default four for each lease, at least 1000)")
	set.Uint64Var(&f.seed, "seed", 1, "what all chance comes from")
	set.StringVar(&f.subnet, "subnet", "10.0.0.0/12", "`CIDR` of the range set")
	set.BoolVar(&f.dual, "dual", false, "two range sets: each attachment holds an address of --subnet6 too")
	set.StringVar(&f.subnet6, "subnet6", "fd00:10::/64", "`CIDR` of the second range set")
	set.IntVar(&f.days, "days", 30, "days that the events span")
	set.StringVar(&f.until, "until", "", "`time` at which they end, RFC 3339 (default now)")
	set.IntVar(&f.snapshots, "snapshots", 2, "snapshots that are kept, 0 to 2")
	set.BoolVar(&f.pack, "pack", false, "pack the archived segments, and remove them")
	set.Int64Var(&f.keyframes, "keyframes", 0, "with --pack: a keyframe every so many `events` (default none: what was held at a time is then read from the first event on)")
	set.Int64Var(&f.tail, "tail", -1, "events after the newest snapshot (default as the plugin leaves them)")
}

// plan is what is to be made, checked.
type plan struct {
	dataDir, network string
	events           int // in all
	attachments      int // that hold leases at the end
	sets             []allocator.RangeSet
	capacity         int // attachments that the range sets have room for, at most maxCapacity
	start, end       time.Time
	snapshots        int
	tail             int // events after the newest snapshot; -1 as upkeep leaves them
	pack             bool
	keyframes        journal.Seq // a keyframe every so many events; 0 for none
	key              [sha256.Size]byte
}

// Bounds that keep numbers within what is counted with.
const (
	maxEvents   = 1 << 31
	maxCapacity = 1 << 26
	maxDays     = 36500
)

// networkName is what the CNI library takes for a network's name.
var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,254}$`)

// plan checks the flags and works out what they mean.
func (f *flags) plan(now time.Time) (plan, error) {
	switch {
	case f.out == "":
		return plan{}, usagef("--out is missing: the folder to write to")
	case !networkName.MatchString(f.network):
		return plan{}, usagef("--network %q: want letters, digits, '_', '.', '-', beginning with a letter or digit", f.network)
	case f.snapshots < 0 || f.snapshots > 2:
		return plan{}, usagef("--snapshots %d: want 0 to 2", f.snapshots)
	case f.keyframes < 0 || f.keyframes > 0 && !f.pack:
		return plan{}, usagef("--keyframes %d: want a number of events, and --pack", f.keyframes)
	case f.days < 1 || f.days > maxDays:
		return plan{}, usagef("--days %d: want 1 to %d", f.days, maxDays)
	}
	dataDir, err := filepath.Abs(f.out)
	if err != nil {
		return plan{}, err
	}
	p := plan{dataDir: dataDir, network: f.network, end: now, snapshots: f.snapshots, pack: f.pack, keyframes: journal.Seq(max(f.keyframes, 0))}
	if f.until != "" {
		if p.end, err = time.Parse(time.RFC3339Nano, f.until); err != nil {
			return plan{}, usagef("--until %q: want a time such as 2026-01-31T12:00:00Z", f.until)
		}
	}
	p.start = p.end.AddDate(0, 0, -f.days)
	if p.start.Year() < 1980 || p.end.Year() > 2200 {
		return plan{}, usagef("events from %s to %s: want years from 1980 to 2200", p.start.Format(time.DateOnly), p.end.Format(time.DateOnly))
	}
	if err := f.ranges(&p); err != nil {
		return plan{}, err
	}
	if err := f.numbers(&p); err != nil {
		return plan{}, err
	}
	// Journals of other flags get another ID: it seeds the checksums, and must not be shared.
	p.key = sha256.Sum256(fmt.Appendf(nil, "%d %q %d %d %s %d %d %d %d",
		f.seed, p.network, p.attachments, p.events, digestText(p.sets), p.start.UnixNano(), p.end.UnixNano(), p.snapshots, p.tail))
	return p, nil
}

func digestText(sets []allocator.RangeSet) string {
	text := ""
	for _, s := range sets {
		text += s.String() + ";"
	}
	return text
}

// ranges makes the range sets.
func (f *flags) ranges(p *plan) error {
	subnets := []string{f.subnet}
	if f.dual {
		subnets = append(subnets, f.subnet6)
	}
	var sets []allocator.RangeSet
	for _, text := range subnets {
		subnet, err := netip.ParsePrefix(text)
		if err != nil {
			return usagef("subnet %q: want an address and a prefix length, such as 10.0.0.0/12", text)
		}
		sets = append(sets, allocator.RangeSet{{Subnet: subnet}})
	}
	sets, err := allocator.Canonical(sets)
	if err == nil {
		err = allocator.CheckOverlap(sets)
	}
	if err != nil {
		return &usageError{err}
	}
	p.sets, p.capacity = sets, maxCapacity
	for _, s := range sets {
		p.capacity = min(p.capacity, room(s[0]))
	}
	return nil
}

// room returns how many addresses a range gives out, at most maxCapacity: all from Start to End but the gateway,
// which a subnet without a given one has as its first address.
func room(r allocator.Range) int {
	host := r.Subnet.Addr().BitLen() - r.Subnet.Bits()
	if host > 26 {
		return maxCapacity
	}
	n := 1<<host - 2 // the network's own address and the gateway
	if r.Start.Is4() {
		n-- // broadcast
	}
	return n
}

// numbers checks that the leases and events can be had exactly.
func (f *flags) numbers(p *plan) error {
	each := int64(len(p.sets))
	attachments := f.leases / each
	need := attachments + 2 // the first event, the configuration, the ADDs
	if attachments == 0 {
		need = 1
	}
	events := f.events
	if events < 0 {
		events = max(4*f.leases, 1000)
	}
	switch {
	case f.leases < 0:
		return usagef("--leases %d: want 0 or more", f.leases)
	case f.leases%each != 0:
		return usagef("--leases %d: with --dual each attachment holds two, so it must be even", f.leases)
	case attachments > int64(p.capacity):
		return usagef("--leases %d: the subnet has room for %d", f.leases, int64(p.capacity)*each)
	case events < need:
		return usagef("--events %d: %d leases take at least %d", events, f.leases, need)
	case events > maxEvents:
		return usagef("--events %d: want at most %d", events, maxEvents)
	case f.tail >= events:
		return usagef("--tail %d: want fewer than the %d events", f.tail, events)
	case f.tail >= 0 && f.snapshots == 0:
		return usagef("--tail %d: there is no newest snapshot with --snapshots 0", f.tail)
	}
	p.attachments, p.events, p.tail = int(attachments), int(events), int(max(f.tail, -1))
	return nil
}

// toEvent returns range sets as events hold them.
func toEvent(sets []allocator.RangeSet) [][]journal.Range {
	var out [][]journal.Range
	for _, set := range sets {
		var ranges []journal.Range
		for _, r := range set {
			ranges = append(ranges, journal.Range(r))
		}
		out = append(out, ranges)
	}
	return out
}

// addOffset returns the address n after ip.
func addOffset(ip netip.Addr, n uint64) netip.Addr {
	b := ip.AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += uint64(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	sum, _ := netip.AddrFromSlice(b)
	return sum
}
