package past_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// span is a call as it was seen from outside: what it did it did after it was called and before it returned.
// Both are nanoseconds since 1970.
type span struct{ called, returned int64 }

// wide returns the span with what a clock's error may add on both sides.
func (s span) wide() span {
	return span{s.called - int64(clockError) - 1, s.returned + int64(clockError) + 1}
}

// The ways in which a tenure ends.
const (
	byDel    = "del"
	byGC     = "gc"
	byReboot = "reboot"
)

// tenure is an attachment's hold on its addresses, as seen from outside.
type tenure struct {
	network  string
	id       string // container ID
	ips      []netip.Addr
	boot     journal.BootID
	begin    span
	end      span   // zero while it is held
	how      string // it ended; "" while it is held
	lastBoot span   // of one that a reboot ended: around the last event of its boot
}

func (tn *tenure) String() string {
	return fmt.Sprintf("%s %v: %s to %s, ended %s to %s by %q", tn.id, tn.ips, stamp(tn.begin.called), stamp(tn.begin.returned),
		stamp(tn.end.called), stamp(tn.end.returned), tn.how)
}

// ledger is all that was seen from outside.
type ledger struct {
	mu      sync.Mutex
	tenures []*tenure
	first   map[string]span // by network: of the first ADD that returned
	boots   map[string]map[journal.BootID]*bootSeen
}

// bootSeen is what was seen of one network in one boot.
type bootSeen struct {
	first    span  // begins with the first call and ends with the first that returned
	recorded int64 // when the last call began that has left an event
	returned int64 // when the last call returned
}

func newLedger() *ledger {
	return &ledger{first: map[string]span{}, boots: map[string]map[journal.BootID]*bootSeen{}}
}

// saw takes in a call that takes the network's lock. recorded says that it has left an event for certain.
func (l *ledger) saw(network string, boot journal.BootID, s span, recorded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.boots[network] == nil {
		l.boots[network] = map[journal.BootID]*bootSeen{}
	}
	b := l.boots[network][boot]
	if b == nil {
		b = &bootSeen{first: span{math.MaxInt64, math.MaxInt64}}
		l.boots[network][boot] = b
	}
	b.first.called, b.first.returned = min(b.first.called, s.called), min(b.first.returned, s.returned)
	b.returned = max(b.returned, s.returned)
	if recorded {
		b.recorded = max(b.recorded, s.called)
	}
}

// began takes in an ADD that succeeded.
func (l *ledger) began(network, id string, boot journal.BootID, s span, a caller.Answer) *tenure {
	tn := &tenure{network: network, id: id, ips: a.IPs, boot: boot, begin: s}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenures = append(l.tenures, tn)
	f, ok := l.first[network]
	if !ok {
		f = span{math.MaxInt64, math.MaxInt64}
	}
	l.first[network] = span{min(f.called, s.called), min(f.returned, s.returned)}
	return tn
}

// ended takes in the end of a tenure.
func (l *ledger) ended(tn *tenure, how string, s span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tn.how, tn.end = how, s
}

// rebooted ends what was held in earlier boots than the one of which calls have returned.
func (l *ledger) rebooted(t *testing.T, boot journal.BootID) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, tn := range l.tenures {
		if tn.how != "" || tn.boot == boot {
			continue
		}
		was, is := l.boots[tn.network][tn.boot], l.boots[tn.network][boot]
		if is == nil {
			t.Fatalf("network %s: no call in boot %s", tn.network, boot)
		}
		tn.how, tn.end, tn.lastBoot = byReboot, is.first, span{was.recorded, was.returned}
	}
}

// verdict is what can be told of an address at a time.
type verdict struct {
	exits   []int     // of who, all right
	holder  *tenure   // that certainly held it
	maybe   []*tenure // that may have held it
	decided bool
	free    bool // nobody held it, for certain
}

// judge says what can be told of an address of a network at a time. early says that the question was asked while
// calls went on: what became of a lease later could not be known.
func (l *ledger) judge(network string, ip netip.Addr, at int64, early bool) verdict {
	var v verdict
	for _, tn := range l.tenures {
		if tn.network != network || !slices.Contains(tn.ips, ip) {
			continue
		}
		begin, end := tn.begin.wide(), tn.end.wide()
		switch {
		case at < begin.called, tn.how != "" && at > end.returned:
		case at > begin.returned && (tn.how == "" || at < end.called):
			v.holder = tn
			v.exits = tn.exits(at, early)
		default:
			v.maybe = append(v.maybe, tn)
		}
	}
	first, begun := l.first[network], span{}
	if begun = first.wide(); first == (span{}) || at < begun.called {
		return verdict{exits: []int{3}, decided: true} // before the first event nothing is known
	}
	switch {
	case v.holder != nil:
		v.maybe, v.decided = nil, true
	case at < begun.returned:
		v.exits = []int{0, 1, 2, 3}
	case len(v.maybe) > 0:
		v.exits = []int{0, 1, 2}
	default:
		v.exits, v.free, v.decided = []int{1}, true, true
	}
	return v
}

// uncovered returns what can be told if nobody knows whether calls followed before the time asked about. Who is known to have held the address
// may be named still: within the error of its clock, the last event was at that time.
func (v verdict) uncovered() verdict {
	u := verdict{exits: []int{3}, decided: true, maybe: v.maybe}
	if v.holder != nil {
		u.maybe = append(u.maybe, v.holder)
	}
	return u
}

// exits returns how who may exit for a time at which the tenure certainly was.
func (tn *tenure) exits(at int64, early bool) []int {
	switch {
	case early && tn.how != byDel:
		return []int{0, 2}
	case tn.how == byGC:
		// All GC runs of a boot here are one, as far as the journal can tell: none is over before the next.
		return []int{2}
	case tn.how != byReboot, at < tn.lastBoot.wide().called:
		return []int{0}
	case at > tn.lastBoot.wide().returned:
		return []int{2}
	}
	return []int{0, 2}
}

// sane fails the test if what was seen from outside can't be: two that certainly held one address at a time.
func (l *ledger) sane(t *testing.T) {
	t.Helper()
	by := map[string][]*tenure{}
	for _, tn := range l.tenures {
		for _, ip := range tn.ips {
			key := tn.network + " " + ip.String()
			by[key] = append(by[key], tn)
		}
	}
	for key, list := range by {
		slices.SortFunc(list, func(x, y *tenure) int { return int(x.begin.returned - y.begin.returned) })
		for i, tn := range list {
			if i > 0 && (list[i-1].how == "" || list[i-1].end.called > tn.begin.returned) {
				t.Errorf("%s: given to %v while it was held by %v", key, tn, list[i-1])
			}
		}
	}
}
