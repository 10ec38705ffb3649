package replay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// Sentence is one statement of an explanation with the events that it rests on, ascending.
type Sentence struct {
	Text   string
	Events []journal.Seq
}

// Explainer tells why addresses are, or are not, available after the last event of a history, and why ADDs were
// refused. It says what the journal shows, and of the next call what the allocator would do.
type Explainer struct {
	History  *History
	Standing *Standing      // nil if it is not known what the next call meets
	Boot     journal.BootID // of the node now; zero where the history is not that of a store on this node
	Live     bool           // the history tells all up to now
	Looked   bool           // calls of this boot have looked at the leases of earlier ones already

	said []Sentence
	err  error
}

// say adds a sentence. The events that it rests on are 0 where there is none.
func (e *Explainer) say(events []journal.Seq, format string, args ...any) {
	events = slices.DeleteFunc(slices.Clone(events), func(seq journal.Seq) bool { return seq == 0 })
	slices.Sort(events)
	e.said = append(e.said, Sentence{fmt.Sprintf(format, args...), slices.Compact(events)})
}

// rest is the list of events that a sentence rests on.
func rest(events ...journal.Seq) []journal.Seq { return events }

// sentenceTime is for times that people read in sentences: the events have the nanoseconds.
const sentenceTime = "2006-01-02T15:04:05Z07:00"

func when(p Point) string { return p.Effective.Format(sentenceTime) }

// Address explains what an address is. The history must have kept its leases.
func (e *Explainer) Address(ip netip.Addr) ([]Sentence, error) {
	e.said, e.err = nil, nil
	h := e.History
	if h.First.Seq == 0 {
		e.say(nil, "The journal holds no event: nothing is known of %s.", ip)
		return e.said, nil
	}
	e.asOf()
	s := h.span(Asked{Now: true})
	phases := h.phases(ip, &s)
	p := &phases[len(phases)-1]
	switch {
	case p.state == StateHeld:
		e.held(ip, p.lease)
	case p.state == StateUnknown:
		e.say(rest(h.Last.Seq), "What %s is, is unknown: %s.", ip, p.why)
	default:
		e.notHeld(ip, p.state)
	}
	e.requested(ip, p)
	return e.said, e.err
}

// asOf says when the explanation is of, if that is not now.
func (e *Explainer) asOf() {
	switch h := e.History; {
	case h.Stopped != nil:
		e.say(rest(h.Last.Seq),
			"Reading stopped after event %d, of %s: %v. What follows is as of that event.", h.Last.Seq, when(h.Last), h.Stopped)
	case !e.Live:
		e.say(rest(h.Last.Seq), "This is as of event %d, of %s: what came after it is not in this journal.", h.Last.Seq, when(h.Last))
	}
}

// held says who holds the address, and why still.
func (e *Explainer) held(ip netip.Addr, iv *Interval) {
	h, start := e.History, iv.Start.Seq
	how := fmt.Sprintf("event %d gave it", start)
	switch {
	case iv.pruned:
		how = fmt.Sprintf("event %d gave it, which was pruned, and the keyframe in %s tells of the lease", start, iv.File)
	case iv.fromGap:
		how = fmt.Sprintf("event %d is the first one behind lost events; which one gave it is not known", start)
	case iv.parentSeq != "":
		how = fmt.Sprintf("event %d carried it over from journal %s, whose event %s gave it", start, h.Origin.Parent, iv.parentSeq)
	case iv.Lease.Import:
		how = fmt.Sprintf("event %d took it over, and its source %s", start, claimed(iv))
	}
	e.say(rest(start), "%s is held by %s since %s: %s.", ip, ownerText(iv), when(iv.Start), how)
	if iv.lost {
		e.say(rest(iv.LastSeq), "Whether it still is, is not known: what followed event %d can't be read.", iv.LastSeq)
		return
	}
	switch {
	case iv.Lease.Blocked:
		e.say(rest(start), "It is blocked: the file of host-local that it was taken over from names no owner. No DEL can release it; "+
			"leasectl release %s does.", ip)
	case e.earlier(iv):
		e.stale(iv)
	default:
		e.say(rest(start, h.Last.Seq), "No event up to the newest one (event %d) ends the lease: it is held until a DEL, a GC or an operator ends it.",
			h.Last.Seq)
	}
	if iv.doubt != "" {
		e.say(rest(start), "The import calls it doubtful: %s.", iv.doubt)
	}
}

// claimed says what the source of an import tells of a lease's beginning.
func claimed(iv *Interval) string {
	if iv.Lease.Claimed == 0 {
		return "does not tell since when it was held"
	}
	return "says it was held since " + timeOf(iv.Lease.Claimed).Format(sentenceTime)
}

// earlier reports whether the lease is known to be of an earlier boot than the node's, or than the last event's.
func (e *Explainer) earlier(iv *Interval) bool {
	boot, now := iv.Lease.Clock.Boot, e.Boot
	if now == (journal.BootID{}) {
		now = e.History.Last.boot
	}
	return boot != now && boot != (journal.BootID{}) && now != (journal.BootID{})
}

// stale says what becomes of a lease of an earlier boot.
func (e *Explainer) stale(iv *Interval) {
	h, boot := e.History, iv.Lease.Clock.Boot
	last := h.Clocks.lastOf(boot)
	switch {
	case h.Last.boot != boot:
		e.say(rest(iv.Start.Seq, last.seq, h.Last.Seq),
			"It is of an earlier boot of the node: that boot's last event is event %d, and event %d is of another boot. "+
				"No event has ended the lease.", last.seq, h.Last.Seq)
	default:
		e.say(rest(iv.Start.Seq, h.Last.Seq),
			"It is of an earlier boot of the node: no call of this boot has recorded an event since event %d.", h.Last.Seq)
	}
	if e.Boot == (journal.BootID{}) {
		return // a copy: what the node's next call does shows elsewhere
	}
	if e.Looked {
		e.say(rest(iv.Start.Seq),
			"Calls of this boot have looked at the leases of earlier ones already and have left it: only an ADD that it is in the way of looks again.")
		return
	}
	e.say(rest(iv.Start.Seq),
		"The next call releases it where reclaimOnBoot is on, which the journal does not tell, unless the network namespace is there that it was given for.")
}

// notHeld says why the address is not held, and what the next ADD does about it.
func (e *Explainer) notHeld(ip netip.Addr, s State) {
	h := e.History
	if h.wiped {
		e.say(rest(h.Last.Seq),
			"The network's data folder was deleted: no lease of the time before counts any more. The next call records that.")
	}
	config, add := h.ranges.newest()
	switch s {
	case StateGateway:
		e.say(rest(config, add), "%s is a gateway of the network (%s): it is not given.", ip, e.inForce(ip, true))
	case StateNotOurs:
		e.say(rest(config, add), "%s is in none of the network's ranges: %s.", ip, e.inForce(ip, false))
	default:
		e.say(rest(config, add), "%s is free: nobody holds it, and it is in a range of the network (%s).", ip, e.inForce(ip, true))
	}
	if text := h.unsettledAt(&span{now: true}); text != "" {
		e.say(rest(h.First.Seq), "That is uncertain: %s.", text)
	}
	e.before(ip)
	if s == StateFree {
		e.next(ip)
	}
}

// before says who had the address last.
func (e *Explainer) before(ip netip.Addr) {
	h := e.History
	var last *Interval
	for i := range h.Intervals {
		if iv := &h.Intervals[i]; iv.Lease.IP == ip {
			last = iv
		}
	}
	switch {
	case last == nil && h.Pruned() != "":
		e.say(rest(h.First.Seq), "No event that is left gives it to anybody: %s.", h.Pruned())
	case last == nil && len(h.gaps) > 0:
		e.say(rest(h.First.Seq), "No event that can be read gives it to anybody; some are lost.")
	case last == nil && h.First.Seq > 1:
		e.say(rest(h.First.Seq), "No event from event %d on gives it to anybody; those before were not read.", h.First.Seq)
	case last == nil && h.Origin.Parent != (journal.ID{}):
		e.say(rest(h.First.Seq), "No event of this journal gives it to anybody; what was before %s is told by journal %s, which it continues.",
			when(h.First), h.Origin.Parent)
	case last == nil:
		e.say(rest(h.First.Seq), "No event has ever given it to anybody: the journal begins at %s.", when(h.First))
	case last.End != nil:
		e.say(rest(last.Start.Seq, last.End.Seq), "It was held last by %s, since %s (event %d), until event %d released it at %s (%s).",
			ownerText(last), when(last.Start), last.Start.Seq, last.End.Seq, when(last.End.Point), last.End.Reason)
	default:
		e.say(rest(last.Start.Seq),
			"It was held last by %s, since %s (event %d); no event tells the end.", ownerText(last), when(last.Start), last.Start.Seq)
	}
}

// inForce names the ranges in force: those that concern an address, or all.
func (e *Explainer) inForce(ip netip.Addr, about bool) string {
	f := e.History.ranges.changes[len(e.History.ranges.changes)-1]
	var texts []string
	for _, set := range append(slices.Clip(f.static), f.own) {
		for _, g := range set {
			if !about || g.Gateway == ip || between(g.Start, ip, g.End) {
				texts = append(texts, allocator.Range(g).String())
			}
		}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	const most = 8
	if n := len(texts); n > most {
		texts = append(texts[:most], fmt.Sprintf("and %d more", n-most))
	}
	if len(texts) == 0 {
		return "there are none"
	}
	from := fmt.Sprintf("event %d", f.config)
	if f.config == 0 {
		from = fmt.Sprintf("event %d", f.from.seq)
	}
	return fmt.Sprintf("%s; %s", strings.Join(texts, ", "), from)
}

// next says what an ADD without a request does about a free address.
func (e *Explainer) next(ip netip.Addr) {
	b := e.Standing
	switch {
	case b == nil:
		return
	case b.Sets == nil:
		e.say(rest(b.Add), "What the next ADD gives is not known: %s.", b.Why)
		return
	}
	p, err := b.prospect(ip)
	if err != nil {
		e.err = err
		return
	}
	switch like := b.likeNewest(); {
	case p.set < 0:
		e.say(b.events(), "The newest ADD (event %d) came without the range that it is in: the next one does not give it if it comes with the same ranges.",
			b.Add)
	case p.refusal != nil:
		e.say(b.events(), "Yet the next ADD is refused with code %d, %s: %v.", p.refusal.Code(), like, p.refusal)
	case p.next == ip:
		e.say(b.events(),
			"The next ADD that requests no address gets it, %s: the search in range set %d begins %s.", like, p.set, behind(p.cursor))
	case p.ahead == nil:
		e.say(b.events(), "It is the gateway of the range that it is in: no ADD is given it.")
	default:
		e.say(b.events(),
			"The next ADD that requests no address gets %s, %s: the search in range set %d begins %s, and comes to %s free %s before this one.",
			p.next, like, p.set, behind(p.cursor), p.ahead, plural(p.ahead.IsInt64() && p.ahead.Int64() == 1))
	}
}

func plural(one bool) string {
	if one {
		return "address"
	}
	return "addresses"
}

func behind(cursor netip.Addr) string {
	if !cursor.IsValid() {
		return "at the beginning, since there is no cursor"
	}
	return fmt.Sprintf("behind %s, where the cursor stands", cursor)
}

// requested says what an ADD that requests the address meets.
func (e *Explainer) requested(ip netip.Addr, at *phase) {
	b := e.Standing
	if b == nil || b.Sets == nil || e.err != nil {
		return
	}
	p, err := b.prospect(ip)
	if err != nil {
		e.err = err
		return
	}
	text := "gets it"
	if p.requested != nil {
		text = fmt.Sprintf("is refused with code %d, %v", p.requested.Code(), p.requested)
	}
	if l := at.lease; p.requested != nil && l != nil && !l.Lease.Blocked && e.Boot != (journal.BootID{}) {
		text += "; unless reclaimOnBoot is on and the holder's network namespace is seen to be gone: then the ADD takes it over"
	}
	e.say(b.events(), "An ADD that requests it, %s, %s.", b.likeNewest(), text)
}
