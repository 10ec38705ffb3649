package replay

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// State is what an address was at some time.
type State uint8

// The states of an address. Nothing that this version records can mean StateCooling, StateReserved or StateExcluded.
const (
	StateUnknown  State = iota // not recorded, lost, or outside of what the journal covers
	StateHeld                  // by an attachment
	StateFree                  // it could have been given
	StateCooling               // given back, and not given again for a while
	StateGateway               // of a range: never given
	StateReserved              // kept for an attachment
	StateExcluded              // never given, by configuration
	StateNotOurs               // in no range of the network
)

// String returns the state as answers spell it.
func (s State) String() string {
	return [...]string{"unknown", "held", "free", "cooling", "gateway", "reserved", "excluded", "not ours"}[s]
}

// Holder is a lease as the answer to a question about an address.
type Holder struct {
	*Interval
	Overlap time.Duration // how long it was held within the time asked about, by the effective clock
	Unsure  bool          // it may not have been the holder, or its use is uncertain
	Partly  bool          // in a part of the time asked about it was not, or may not have been

	candidate bool
}

// Holding is what an address was at a time.
type Holding struct {
	State     State
	Holders   []Holder // by overlap, longest first
	Several   bool     // one after the other, within the time asked about
	Certainty Certainty
	Doubts    []string // those of leases stand in Holders

	others []*phase // at which nobody held it
	maybe  bool     // it is possible that it is unknown
	shared bool     // by questions to a Sweep
}

// phase is a row of positions at which an address is the same.
type phase struct {
	from  Point
	to    *Point    // nil: up to the last position
	lease *Interval // nil if nobody holds it
	state State
	why   string // it is unknown
	met
}

// Who answers what an address was at a time, and who held it. The history must have kept all leases of the address.
// docs/FORENSICS.md has the rules.
func (h *History) Who(ip netip.Addr, q Asked) Holding {
	s := h.span(q)
	return h.who(ip, q, s)
}

func (h *History) who(ip netip.Addr, q Asked, s span) Holding {
	var a Holding
	phases := h.phases(ip, &s)
	h.besides(&a, ip, &s, phases, !q.From.IsZero(), !q.To.IsZero())
	for i := range phases {
		a.take(h, &phases[i], &s)
	}
	for i := range phases {
		a.named(&phases[i], &s)
	}
	if h.wiped && s.now {
		for iv := range each(h.Intervals) {
			if iv.Lease.IP == ip && iv.End == nil && !iv.lost {
				a.doubt(Certain, "the network's data folder was deleted: the lease of %s, since event %d, ended with it, and no event says so yet",
					ownerText(iv), iv.Start.Seq)
			}
		}
	}
	a.conclude(h, &s)
	if len(h.oddOf(ip)) > 0 {
		for held := range each(a.Holders) {
			held.Unsure = true
		}
	}
	h.steps(&a.Doubts, func(yield func(*Interval) bool) {
		for held := range each(a.Holders) {
			if !yield(held.Interval) {
				return
			}
		}
	})
	return a
}

// besides begins an answer with what is to be said of it whatever its phases say: of times that the journal doesn't cover, of what is lost and
// of what was passed over. An end that was not given is no question.
func (h *History) besides(a *Holding, ip netip.Addr, s *span, phases []phase, from, to bool) {
	a.Certainty, a.Doubts = h.outside(s, from, to, ip)
	if a.Certainty == Unknown {
		a.around(phases, s)
	}
	h.inGaps(a, s, phases)
	if near := h.nearLost(s, phases); near != "" {
		a.maybe = true
		a.doubt(Uncertain, "%s", near)
	}
}

func (a *Holding) doubt(c Certainty, format string, args ...any) {
	a.Certainty = max(a.Certainty, c)
	if text := fmt.Sprintf(format, args...); !slices.Contains(a.Doubts, text) {
		a.Doubts = append(a.Doubts, text)
	}
}

// take takes what an address was in a row of positions into the answer.
func (a *Holding) take(h *History, p *phase, s *span) {
	switch {
	case !p.possible:
		return
	case p.lease == nil:
		a.notHeld(p)
		return
	}
	held := a.holder(p.lease)
	held.Overlap += time.Duration(p.overlap)
	if p.candidate {
		held.candidate = true
		held.Unsure = held.Unsure || h.unsure(p.lease, p.to, s)
	}
}

// holder returns the lease as one of the holders: it may have been one in other positions already.
func (a *Holding) holder(iv *Interval) *Holder {
	for i := range a.Holders {
		if a.Holders[i].Start.Seq == iv.Start.Seq {
			return &a.Holders[i]
		}
	}
	own := *iv
	a.Holders = append(a.Holders, Holder{Interval: &own})
	return &a.Holders[len(a.Holders)-1]
}

// named names a lease that the span would meet if the clocks had gone on.
func (a *Holding) named(p *phase, s *span) {
	iv := p.lease
	switch {
	case iv == nil || !s.backwards(iv) || slices.ContainsFunc(a.Holders, func(h Holder) bool { return h.Start.Seq == iv.Start.Seq }):
	case iv.Start.Seq == iv.End.Seq:
		a.doubt(Certain, "%s gave it back by event %d: since when it was held is lost", ownerText(iv), iv.End.Seq)
	default:
		a.doubt(Certain, "%s held it from event %d to event %d, between which a clock stood still or was set back",
			ownerText(iv), iv.Start.Seq, iv.End.Seq)
	}
}

// vacant says what makes it doubtful what the address was, if nobody held it. told is false if nothing tells that at any of the positions
// that are meant.
func (h *History) vacant(a *Holding, s *span, told bool) {
	switch text := h.unsettledAt(s); {
	case told && text != "":
		a.doubt(Uncertain, "%s", text)
	case !told && a.Certainty != Unknown:
		a.doubt(Unknown, "%s", never)
	}
}

// notHeld takes in that nobody held the address at some of the positions that are meant, or that this is unknown.
func (a *Holding) notHeld(p *phase) {
	if p.state == StateUnknown {
		if p.candidate {
			a.doubt(Unknown, "%s", p.why)
			return
		}
		a.maybe = true
		a.doubt(Uncertain, "%s", momentOff+p.why)
		return
	}
	a.others = append(a.others, p)
}

// unsure reports whether the lease's use is uncertain at a candidate of the span before `to`.
func (h *History) unsure(iv *Interval, to *Point, s *span) bool {
	switch {
	case iv.Doubtful == nil:
		return false
	case iv.doubt != "" || iv.Lease.Blocked:
		return true
	}
	m := h.meetOf(iv, s, iv.Doubtful, to)
	return m.candidate && m.beyond
}

// conclude makes one answer of what was taken in.
func (a *Holding) conclude(h *History, s *span) {
	slices.SortStableFunc(a.Holders, func(x, y Holder) int {
		return cmp.Or(cmp.Compare(y.Overlap, x.Overlap), cmp.Compare(x.Start.Seq, y.Start.Seq))
	})
	slices.SortStableFunc(a.others, func(x, y *phase) int {
		if x.candidate == y.candidate {
			return 0
		} else if x.candidate {
			return -1
		}
		return 1
	})
	states := map[State]bool{}
	for _, p := range a.others {
		states[p.state] = true
	}
	answers := len(a.Holders) + len(states)
	if len(a.Holders) > 0 && len(states) > 0 {
		answers = len(a.Holders) + 1
	}
	skewed := s.from != s.to
	switch {
	case len(a.Holders) > 0:
		a.State = StateHeld
	case len(a.others) > 0:
		a.State = a.others[0].state
		h.vacant(a, s, true)
	default:
		h.vacant(a, s, false)
	}
	if a.maybe {
		answers++
	}
	for i := range a.Holders {
		held := &a.Holders[i]
		held.Partly = answers > 1
		if held.Unsure = held.Unsure || !held.candidate; held.Unsure {
			a.Certainty = max(a.Certainty, Uncertain)
		}
		held.Unsure = held.Unsure || answers > 1 && !skewed
	}
	a.Several = skewed && len(a.Holders) > 1
	if answers > 1 && !a.maybe && !s.now && (!skewed || len(a.Holders) == 0) {
		a.doubt(Uncertain, "%s", leftOpen)
	}
	if a.Certainty == Unknown {
		a.State = StateUnknown
	}
}

// momentOff is said where it is unknown what an address was at a time that the error of the clocks leaves open.
const momentOff = "a moment before or after, within the error of the clocks, it is unknown: "

// leftOpen is said where what the clocks leave open is not one and the same.
const leftOpen = "the clocks leave open which of these it was: events lie closer to the time asked about than their clocks are exact, or a clock was set"

// WhetherHeld is said of a lease in a table of which Holder.Partly is true.
const WhetherHeld = "whether it was held at the time asked about depends on the error of a clock"

// never is said of a time that no clock showed.
const never = "no event tells what was held then: the clocks were set so that the time never was"

// unsettledAt is Unsettled for a span.
func (h *History) unsettledAt(s *span) string {
	if s.now && h.settled.Seq != 0 {
		return ""
	}
	return h.Unsettled(timeOf(s.from))
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// outside returns what is to be said of a span that the journal doesn't cover. An end that was not given is no question.
func (h *History) outside(s *span, from, to bool, ip netip.Addr) (c Certainty, doubts []string) {
	odd := h.oddOf(ip)
	if h.First.Seq == 0 {
		return Unknown, []string{"the journal holds no event"}
	}
	if h.Stopped != nil && (s.now || !to || s.to > s.covered) {
		doubts = append(doubts, fmt.Sprintf("reading stopped after event %d: %v", h.Last.Seq, h.Stopped))
	}
	if first := h.First; first.Seq > 1 && (!from || s.from < effective(&first)) && !s.now && h.base == 0 {
		doubts = append(doubts, fmt.Sprintf("events before event %d are not there: what was before %s is unknown", first.Seq,
			first.Effective.Format(timeLayout)))
	} else if !s.now {
		if begin := effective(&h.First); from && s.from < begin || to && s.to < begin {
			doubts = append(doubts, fmt.Sprintf("the journal begins at %s: what was before is unknown", h.First.Effective.Format(timeLayout)))
		}
	}
	if !s.now {
		if from && s.from > s.covered || to && s.to > s.covered {
			doubts = append(doubts, fmt.Sprintf("the journal tells nothing after %s", timeOf(s.covered).Format(timeLayout)))
		}
	}
	switch {
	case len(doubts) > 0:
		c = Unknown
	case len(odd) > 0:
		c = Uncertain
	}
	return c, slices.Concat(doubts, odd, h.notes)
}

// around names what is known beside what the journal covers: the lease that its source says to be older, and the one
// that was held last.
func (a *Holding) around(phases []phase, s *span) {
	for i := range phases {
		iv := phases[i].lease
		if iv == nil {
			continue
		}
		if iv.Lease.Import && iv.parentSeq == "" && s.from < effective(&iv.Start) {
			a.doubt(Unknown, "%s", claimText(iv))
		}
		break
	}
	if n := len(phases); n > 0 && phases[n-1].lease != nil && phases[n-1].to == nil && s.to > s.covered {
		a.doubt(Unknown, "last known holder: %s, since event %d", ownerText(phases[n-1].lease), phases[n-1].lease.Start.Seq)
	}
}

// claimText says what an import tells of the time before it.
func claimText(iv *Interval) string {
	since := "does not tell since when"
	if iv.Lease.Claimed != 0 {
		since = "says since " + timeOf(iv.Lease.Claimed).Format(timeLayout)
	}
	return fmt.Sprintf("event %d took over a lease of %s, whose source %s: who held the address before is unknown",
		iv.Start.Seq, ownerText(iv), since)
}

// ownerText names who held a lease.
func ownerText(iv *Interval) string {
	l := iv.Lease
	switch {
	case l.Blocked:
		return "an unknown owner"
	case l.Pod.Name != "":
		return fmt.Sprintf("pod %s/%s (container %s, %s)", l.Pod.Namespace, l.Pod.Name, l.ContainerID, l.IfName)
	}
	return fmt.Sprintf("container %s, %s", l.ContainerID, l.IfName)
}

// lostTo reports whether the span lies where nothing tells what the address was: in a gap of lost events, but for the parts of it of which
// snapshots show who held the address. lies says whether the span does between two events.
func (h *History) lostTo(phases []phase, g *gap, lies func(a, b *Point) bool) bool {
	told := &g.from
	for i := range phases {
		iv := phases[i].lease
		switch {
		case iv == nil || told == &iv.sure || len(iv.sureIn(g)) == 0:
			continue
		case iv.Start.Seq > g.after.seq && lies(told, &iv.Start):
			return true
		case iv.sure.Seq+1 >= g.before.seq:
			return false
		}
		told = &iv.sure
	}
	return lies(told, &g.to)
}

// inGaps says that the span lies where events are lost, and what was held around.
func (h *History) inGaps(a *Holding, s *span, phases []phase) {
	for _, g := range h.gaps {
		met := g.meets(s)
		if g.pruned == nil && !s.now {
			met = h.lostTo(phases, g, s.between)
		}
		if !met {
			continue
		}
		text := g.toldOf(s)
		for _, around := range []struct {
			where string
			seq   journal.Seq
		}{{"before it", g.after.seq}, {"behind it", g.before.seq}} {
			for i := range phases {
				if p := &phases[i]; p.lease != nil && p.holds(around.seq) {
					text += fmt.Sprintf("; %s, the holder was %s", around.where, ownerText(p.lease))
				}
			}
		}
		a.doubt(Unknown, "%s", text)
	}
}

// holds reports whether the position after an event is one of the phase.
func (p *phase) holds(seq journal.Seq) bool {
	return p.from.Seq <= seq && (p.to == nil || seq < p.to.Seq)
}
