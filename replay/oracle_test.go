package replay_test

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// records hands out events as a reader would, then err unless it is nil.
func records(events []journal.Event, err error) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for i, ev := range events {
			if !yield(journal.Record{Event: ev, File: "journal/00000000000000000001", Offset: int64(i)}, nil) {
				return
			}
		}
		if err != nil {
			yield(journal.Record{}, err)
		}
	}
}

// maker makes histories that obey the rules of the lease map.
type maker struct {
	rnd    *rand.Rand
	events []journal.Event
	held   map[netip.Addr]string
	clock  journal.Clock
	ids    int
	calm   int  // how much rarer clocks are set and the node boots
	never  bool // annotate nothing
}

func newMaker(seed uint64) *maker {
	m := &maker{rnd: rand.New(rand.NewPCG(seed, 1)), held: make(map[netip.Addr]string)}
	m.boot()
	m.add(journal.Event{Kind: journal.KindGenesis, Origin: journal.Origin{Network: "net0", Journal: journal.ID{1}}})
	return m
}

func (m *maker) boot() {
	m.clock.Boot = journal.BootID{byte(m.rnd.UintN(255) + 1), byte(m.rnd.UintN(255))}
	m.clock.BootTime = int64(m.rnd.IntN(100)) * int64(time.Second)
	m.clock.Wall = 1_700_000_000e9 + int64(m.rnd.IntN(3600))*int64(time.Second)
	m.clock.Synchronised = m.rnd.IntN(2) == 0
	m.clock.MaxError = time.Duration(m.rnd.IntN(5000)) * time.Microsecond
}

// tick lets time pass and now and then sets the clock or boots the node.
func (m *maker) tick() {
	passed := int64(m.rnd.IntN(50_000)) * int64(time.Millisecond)
	m.clock.BootTime += passed
	m.clock.Wall += passed
	switch m.rnd.IntN(12 * (1 + m.calm)) {
	case 0:
		m.clock.Wall += int64(m.rnd.IntN(200)-100) * int64(time.Second)
	case 1:
		m.clock.Synchronised = !m.clock.Synchronised
	case 2:
		if m.rnd.IntN(3) == 0 {
			m.boot()
		}
	}
}

func (m *maker) add(ev journal.Event) {
	ev.Seq, ev.Clock = journal.Seq(len(m.events)+1), m.clock
	m.events = append(m.events, ev)
}

func (m *maker) step() {
	m.tick()
	switch n := m.rnd.IntN(20); {
	case n < 9:
		m.lease()
	case n < 15:
		m.release()
	case n < 16:
		m.add(journal.Event{Kind: journal.KindRefuse, Code: 100, ContainerID: "refused", IfName: "eth0", Text: "full"})
	case n < 18 && !m.never:
		m.annotate()
	case n < 19 && m.rnd.IntN(4) == 0:
		m.add(journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped})
		clear(m.held)
	}
}

func (m *maker) lease() {
	m.ids++
	ev := journal.Event{Kind: journal.KindAdd, ContainerID: fmt.Sprintf("c%d", m.ids), IfName: "eth0"}
	if m.rnd.IntN(8) == 0 {
		ev.Kind, ev.Claimed = journal.KindImport, 5
	}
	for set := range 1 + m.rnd.IntN(2) {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(set), byte(m.rnd.IntN(6))})
		if m.held[ip] == "" {
			m.held[ip] = ev.ContainerID
			ev.Addresses = append(ev.Addresses, journal.Address{Set: set, IP: ip, Bits: 24})
		}
	}
	if len(ev.Addresses) > 0 {
		m.add(ev)
	}
}

// annotate adds to what is known of one lease or of more of an owner's.
func (m *maker) annotate() {
	ips := slices.SortedFunc(maps.Keys(m.held), netip.Addr.Compare)
	if len(ips) == 0 {
		return
	}
	ev := journal.Event{Kind: journal.KindAnnotate, ContainerID: m.held[ips[m.rnd.IntN(len(ips))]], IfName: "eth0",
		NetNS: []string{"", fmt.Sprint("netns", len(m.events))}[m.rnd.IntN(2)], NetNSID: journal.NetNSID{Inode: uint64(len(m.events))},
		Pod: journal.Pod{Name: []string{"", fmt.Sprint("pod", len(m.events))}[m.rnd.IntN(2)]}}
	for _, ip := range ips {
		if m.held[ip] == ev.ContainerID && (len(ev.Addresses) == 0 || m.rnd.IntN(2) == 0) {
			ev.Addresses = append(ev.Addresses, journal.Address{IP: ip, Bits: 24})
		}
	}
	m.add(ev)
}

func (m *maker) release() {
	var ips []netip.Addr
	for ip := range m.held {
		ips = append(ips, ip)
	}
	if len(ips) == 0 {
		return
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	owner := m.held[ips[m.rnd.IntN(len(ips))]]
	ev := journal.Event{Kind: journal.KindDel, ContainerID: owner, IfName: "eth0"}
	switch m.rnd.IntN(4) {
	case 0:
		ev.Reason = journal.ReasonDel
	case 1, 2:
		ev.Reason = journal.ReasonGC
	default:
		ev.Kind = journal.KindRelease
		ev.Reason = []journal.Reason{journal.ReasonForce, journal.ReasonReboot, journal.ReasonReplaced}[m.rnd.IntN(3)]
	}
	for _, ip := range ips {
		if m.held[ip] == owner {
			ev.Addresses = append(ev.Addresses, journal.Address{IP: ip, Bits: 24})
			delete(m.held, ip)
		}
	}
	m.add(ev)
}

// oracle derives intervals slowly, each on its own, straight from the definitions.
type oracle []journal.Event

func (o oracle) event(seq journal.Seq) *journal.Event { return &o[seq-1] }

func (o oracle) effective(seq journal.Seq) time.Time {
	ev := o.event(seq)
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].Boot == ev.Boot && o[i].Synchronised {
			return time.Unix(0, ev.BootTime+o[i].Wall-o[i].BootTime).UTC()
		}
	}
	return time.Unix(0, ev.Wall).UTC()
}

// endOf returns the first event after start that takes the address away, or 0.
func (o oracle) endOf(start journal.Seq, ip netip.Addr) journal.Seq {
	for _, ev := range o[start:] {
		gone := ev.Kind == journal.KindReset
		if ev.Kind == journal.KindDel || ev.Kind == journal.KindRelease {
			gone = slices.ContainsFunc(ev.Addresses, func(a journal.Address) bool { return a.IP == ip })
		}
		if gone {
			return ev.Seq
		}
	}
	return 0
}

// lastOfBoot returns the last event before seq in the boot of event start.
func (o oracle) lastOfBoot(start, before journal.Seq) journal.Seq {
	for seq := before - 1; ; seq-- {
		if o.event(seq).Boot == o.event(start).Boot {
			return seq
		}
	}
}

// runs returns the first events of the GC runs that were over at event end.
func (o oracle) runs(end journal.Seq) []journal.Seq {
	var first []journal.Seq
	var last *journal.Event
	apart := func(a, b *journal.Event) bool {
		return a.Boot != b.Boot || b.BootTime-a.BootTime > int64(time.Minute)
	}
	for i := range o[:end-1] {
		ev := &o[i]
		if ev.Kind != journal.KindDel || ev.Reason != journal.ReasonGC {
			continue
		}
		if last == nil || apart(last, ev) {
			first = append(first, ev.Seq)
		}
		last = ev
	}
	if last != nil && !apart(last, o.event(end)) {
		first = first[:len(first)-1]
	}
	return first
}

func (o oracle) window(start, end journal.Seq) journal.Seq {
	a, b := o.event(start), o.event(end)
	switch {
	case a.Boot != b.Boot:
		return o.lastOfBoot(start, end)
	case b.Reason == journal.ReasonDel:
		return end
	case b.Reason == journal.ReasonWiped, b.Reason == journal.ReasonReboot:
		return o.lastOfBoot(start, end)
	}
	w := start
	for _, run := range o.runs(end) {
		w = max(w, run)
	}
	return w
}

// want is what the oracle says of one interval, in a comparable form.
type want struct {
	ip                          netip.Addr
	id                          string
	start, end, window          journal.Seq
	startAt, endAt, windowAt    time.Time
	reason                      journal.Reason
	doubtful                    journal.Seq
	certainty                   replay.Certainty
	imported                    bool
	netns                       string
	netnsID                     journal.NetNSID
	pod                         journal.Pod
	notes                       int // of annotations
	lastSeq                     journal.Seq
	startRecorded, endRecorded  time.Time
	startMaxError, endsMaxError time.Duration
}

func (o oracle) maxError(seq journal.Seq) time.Duration {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].Boot == o.event(seq).Boot && o[i].Synchronised {
			return o[i].MaxError
		}
	}
	return time.Second
}

// annotations returns what is known at its end of the owner of a lease that ev gave, and by how many annotations.
func (o oracle) annotations(ev *journal.Event, ip netip.Addr) (netns string, id journal.NetNSID, pod journal.Pod, notes int) {
	until := o.endOf(ev.Seq, ip)
	for _, later := range o[ev.Seq:] {
		if later.Kind != journal.KindAnnotate || until != 0 && later.Seq > until ||
			!slices.ContainsFunc(later.Addresses, func(a journal.Address) bool { return a.IP == ip }) {
			continue
		}
		if later.NetNS != "" {
			netns, id = later.NetNS, later.NetNSID
		}
		if later.Pod != (journal.Pod{}) {
			pod = later.Pod
		}
		if later.NetNS != "" || later.Pod != (journal.Pod{}) {
			notes++
		}
	}
	return netns, id, pod, notes
}

func (o oracle) intervals() []want {
	var all []want
	last := journal.Seq(len(o))
	for _, ev := range o {
		if ev.Kind != journal.KindAdd && ev.Kind != journal.KindImport {
			continue
		}
		for _, a := range ev.Addresses {
			w := want{ip: a.IP, id: ev.ContainerID, start: ev.Seq, startAt: o.effective(ev.Seq), lastSeq: last,
				imported: ev.Kind == journal.KindImport, startRecorded: ev.Clock.Time(), startMaxError: o.maxError(ev.Seq)}
			w.netns, w.netnsID, w.pod, w.notes = o.annotations(&ev, a.IP)
			if w.end = o.endOf(ev.Seq, a.IP); w.end != 0 {
				w.window, w.lastSeq, w.reason = o.window(ev.Seq, w.end), w.end, o.event(w.end).Reason
				w.endAt, w.windowAt = o.effective(w.end), o.effective(w.window)
				w.endRecorded, w.endsMaxError = o.event(w.end).Clock.Time(), o.maxError(w.end)
				if w.window != w.end {
					w.doubtful = w.window
				}
			} else if ev.Boot != o.event(last).Boot {
				w.doubtful = o.lastOfBoot(ev.Seq, last+1)
			}
			if w.doubtful != 0 {
				w.certainty = replay.Uncertain
			}
			all = append(all, w)
		}
	}
	slices.SortStableFunc(all, func(a, b want) int {
		if a.start != b.start {
			return int(a.start) - int(b.start)
		}
		return a.ip.Compare(b.ip)
	})
	return all
}

func got(iv *replay.Interval) want {
	w := want{ip: iv.Lease.IP, id: iv.Lease.ContainerID, start: iv.Start.Seq, startAt: iv.Start.Effective,
		startRecorded: iv.Start.Time, startMaxError: iv.Start.MaxError,
		certainty: iv.Certainty, imported: iv.Lease.Import, lastSeq: iv.LastSeq,
		netns: iv.Lease.NetNS, netnsID: iv.Lease.NetNSID, pod: iv.Lease.Pod}
	for _, d := range iv.Doubts {
		if strings.Contains(d, "added by event") {
			w.notes++
		}
	}
	if e := iv.End; e != nil {
		w.end, w.endAt, w.reason = e.Seq, e.Effective, e.Reason
		w.window, w.windowAt, w.endRecorded, w.endsMaxError = e.Window.Seq, e.Window.Effective, e.Time, e.MaxError
	}
	if iv.Doubtful != nil {
		w.doubtful = iv.Doubtful.Seq
	}
	return w
}

func TestReadAgainstOracle(t *testing.T) {
	for seed := range uint64(300) {
		m := newMaker(seed)
		for range 20 + m.rnd.IntN(150) {
			m.step()
		}
		h, err := replay.Read(records(m.events, nil), replay.Options{})
		if err != nil || h.Stopped != nil {
			t.Fatalf("seed %d: Read: %v, stopped: %v", seed, err, h.Stopped)
		}
		wants := oracle(m.events).intervals()
		if len(h.Intervals) != len(wants) {
			t.Fatalf("seed %d: got %d intervals, want %d", seed, len(h.Intervals), len(wants))
		}
		for i := range wants {
			if g := got(&h.Intervals[i]); g != wants[i] {
				t.Fatalf("seed %d: interval %d\n got %+v\nwant %+v", seed, i, g, wants[i])
			}
		}
		if h.Held != len(m.held) {
			t.Errorf("seed %d: Held = %d, want %d", seed, h.Held, len(m.held))
		}
	}
}
