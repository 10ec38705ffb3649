package report

import (
	"math"
	"net/netip"
	"slices"
	"sync"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// leaseRef is a lease that is on the page, with its events by their number among those of all parts.
type leaseRef struct {
	*replay.Interval
	part                 *partOf
	start, end, doubtful int32           // start where there is none
	address              int32           // its number on the page
	windows              []replay.Window // nil unless they do not follow from the events
	explicit             bool
}

// Flags of leases; from certaintyShift on stands the certainty.
const (
	flagExplicit   = 1 << 0 // the lease brings its windows
	flagThroughout = 1 << 1 // its use is unsure throughout
	flagImport     = 1 << 2
	flagLost       = 1 << 3 // its end is lost
	flagDoubtful   = 1 << 4 // l.doubtful has the event behind which its use is uncertain
	flagMore       = 1 << 5 // l.more has more of it
	certaintyShift = 6
)

// Flags of windows.
const (
	windowUnsure = 1 << 0
	windowPartly = 1 << 1
	windowUse    = 1 << 2
)

// selectLeases finds the leases of the page: those that were, or may have been, held at some time that it shows, and those of which no
// clock showed a time at which they were.
func (e *encoding) selectLeases() {
	for _, p := range e.parts {
		if p.History != nil {
			some := e.leasesOf(p)
			if len(e.leases) == 0 {
				e.leases = some // most pages have one part, and there may be very many
				continue
			}
			e.leases = append(e.leases, some...)
		}
	}
	number := func(ip netip.Addr) int32 {
		n, known := e.addresses[ip]
		if !known {
			n = len(e.addresses)
			e.addresses[ip] = n
		}
		return int32(n)
	}
	for i := range e.leases {
		e.leases[i].address = number(e.leases[i].Lease.IP)
	}
	for _, ip := range e.owners() {
		number(ip)
	}
}

// chosenAtOnce is how many leases are worth a goroutine.
const chosenAtOnce = 1 << 14

// leasesOf returns the leases of a part that are on the page.
func (e *encoding) leasesOf(p *partOf) []leaseRef {
	n := len(p.History.Intervals)
	all, chosen := make([]leaseRef, n), make([]int, (n+chosenAtOnce-1)/chosenAtOnce)
	var open sync.Mutex // a Course keeps what leases without an end have in common
	var choosing sync.WaitGroup
	for k := range chosen {
		choosing.Go(func() {
			some, room := all[k*chosenAtOnce:min((k+1)*chosenAtOnce, n)], make([]replay.Window, 0, 5)
			for i := range some {
				if e.lease(p, k*chosenAtOnce+i, &open, room, &some[chosen[k]]) {
					chosen[k]++
				}
			}
		})
	}
	choosing.Wait()
	count := 0
	for k, n := range chosen {
		count += copy(all[count:], all[k*chosenAtOnce:k*chosenAtOnce+n])
	}
	return all[:count]
}

// lease makes what is known of a lease, and reports whether it is on the page.
func (e *encoding) lease(p *partOf, i int, open sync.Locker, room []replay.Window, l *leaseRef) bool {
	*l = leaseRef{Interval: &p.History.Intervals[i], part: p}
	if l.End == nil {
		open.Lock()
		defer open.Unlock()
	}
	windows, plain := p.course.Windows(room, i)
	windows, l.explicit = p.within(windows)
	// The formula has one end of time, that of the newest journal.
	l.explicit = l.explicit || !plain || l.End == nil && p != e.parts[len(e.parts)-1]
	if !slices.ContainsFunc(windows, func(w replay.Window) bool { return w.From <= e.to && w.To > e.from }) &&
		!p.course.Never(i, max(e.from, p.begin), min(e.to, p.end)) {
		return false
	}
	if l.explicit {
		l.windows = slices.Clone(windows) // out of room
	}
	l.start, l.end, l.doubtful = l.events()
	return true
}

// numberOf is the number on the page of one of the part's events.
func (p *partOf) numberOf(n int32) int32 { return p.number[int(n)-p.base] }

// within cuts windows to the time in which the part tells, and reports whether that changed them.
func (p *partOf) within(windows []replay.Window) (cut []replay.Window, changed bool) {
	if p.begin == math.MinInt64 && p.end == math.MaxInt64 {
		return windows, false
	}
	for _, w := range windows {
		from, to := max(w.From, p.begin), min(w.To, p.end)
		changed = changed || from != w.From || to != w.To
		if from < to {
			w.From, w.To = from, to
			cut = append(cut, w)
		}
	}
	return cut, changed
}

// events finds the lease's events, which stand in Events: settle has seen to that.
func (l *leaseRef) events() (start, end, doubtful int32) {
	find := func(seq journal.Seq) int32 {
		i, _ := l.part.Events.find(seq)
		return int32(l.part.base + i)
	}
	start = find(l.Start.Seq)
	end, doubtful = start, start
	if l.End != nil {
		end = find(l.End.Seq)
	}
	if l.Doubtful != nil {
		doubtful = find(l.Doubtful.Seq)
	}
	return start, end, doubtful
}

// encodeAddresses numbers the addresses, ascending.
func (e *encoding) encodeAddresses() {
	all := make([]netip.Addr, 0, len(e.addresses))
	for ip := range e.addresses {
		all = append(all, ip)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	var v4, v6 column
	before, numbers := uint64(0), make([]int32, len(all)) // by those that selectLeases gave
	for i, ip := range all {
		numbers[e.addresses[ip]], e.addresses[ip] = int32(i), i
		if !ip.Is4() {
			b := ip.As16()
			v6 = append(v6, b[:]...)
			continue
		}
		b := ip.As4()
		n := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		v4.uvarint(n - before)
		before = n
		e.IPv4++
	}
	for i := range e.leases {
		e.leases[i].address = numbers[e.leases[i].address]
	}
	e.Addresses = len(all)
	e.column("a.v4", v4)
	e.column("a.v6", v6)
}

// moreItem is what few leases have.
type moreItem struct {
	Lease   int    `json:"lease"`
	Text    int    `json:"text,omitempty"`     // of the end
	LastSeq uint64 `json:"last_seq,omitempty"` // none of the events up to this one ends it
}

type windowsItem struct {
	Lease   int      `json:"lease"`
	Windows [][3]any `json:"windows"` // from, to, flags
}

// leaseColumns are those that have something of each lease.
type leaseColumns struct {
	start, end, address, flags, doubtful, doubts, reason column

	more     []moreItem
	explicit []windowsItem
}

func (e *encoding) encodeLeases() error {
	var c leaseColumns
	e.Leases, e.Files, e.IfNames = len(e.leases), []run{}, []run{}
	owned := make(chan *owners)
	go func() { owned <- ownersOf(e.leases) }() // half of the work
	start, address := int32(0), int32(0)
	for i := range e.leases {
		l := &e.leases[i]
		e.Files = addRun(e.Files, i, e.texts.number(l.File))
		e.IfNames = addRun(e.IfNames, i, e.texts.number(l.Lease.IfName))
		own := l.part.numberOf(l.start)
		c.start.uvarint(uint64(own - start))
		c.address.zigzag(int64(l.address) - int64(address))
		start, address = own, l.address
		e.encodeLease(&c, i, l)
	}
	e.column("l.start", c.start)
	e.column("l.end", c.end)
	e.column("l.address", c.address)
	e.column("l.flags", c.flags)
	e.column("l.doubtful", c.doubtful)
	e.column("l.doubts", c.doubts)
	e.column("l.reason", c.reason)
	e.takeOwners(<-owned)
	return e.jsonColumns(&c)
}

// encodeLease adds all of one that depends on no other lease.
func (e *encoding) encodeLease(c *leaseColumns, i int, l *leaseRef) {
	certainty, extra := l.Certainty, ""
	if l.End == nil && !l.Lost() && l.part.Held != "" {
		certainty, extra = max(certainty, l.part.HeldCertainty), l.part.Held
	}
	flags, more := byte(certainty)<<certaintyShift, moreItem{Lease: i}
	number := l.part.numberOf
	set := func(flag byte, is bool) {
		if is {
			flags |= flag
		}
	}
	if l.End == nil {
		c.end.uvarint(0)
		if l.LastSeq != l.part.History.Last.Seq {
			more.LastSeq = uint64(l.LastSeq)
		}
	} else {
		c.end.uvarint(uint64(number(l.end) - number(l.start) + 1))
		c.reason.byte(byte(l.End.Reason))
		more.Text = e.texts.number(l.End.Text)
	}
	if l.Doubtful != nil {
		c.doubtful.uvarint(uint64(number(l.doubtful) - number(l.start)))
	}
	set(flagExplicit, l.explicit)
	set(flagThroughout, l.Throughout())
	set(flagImport, l.Lease.Import)
	set(flagLost, l.Lost())
	set(flagDoubtful, l.Doubtful != nil)
	if more != (moreItem{Lease: i}) {
		set(flagMore, true)
		c.more = append(c.more, more)
	}
	if l.explicit {
		c.explicit = append(c.explicit, windowsItem{i, windowItems(l.windows)})
	}
	c.flags.byte(flags)
	c.doubts.uvarint(uint64(e.doubt.number(l, extra)))
}

func windowItems(windows []replay.Window) [][3]any {
	items := [][3]any{}
	for _, w := range windows {
		flags := 0
		set := func(flag int, is bool) {
			if is {
				flags |= flag
			}
		}
		set(windowUnsure, w.Unsure)
		set(windowPartly, w.Partly)
		set(windowUse, w.Use)
		it := [3]any{fromOf(w.From), nil, flags}
		if w.To != math.MaxInt64 {
			it[1] = instantOf(w.To)
		}
		items = append(items, it)
	}
	return items
}

func (e *encoding) jsonColumns(c *leaseColumns) error {
	if len(c.more) > 0 {
		data, err := marshal(c.more)
		if err != nil {
			return err
		}
		e.column("l.more", data)
	}
	if len(c.explicit) > 0 {
		data, err := marshal(c.explicit)
		if err != nil {
			return err
		}
		e.column("w", data)
	}
	return nil
}
