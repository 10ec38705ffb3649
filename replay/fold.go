package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// draft is an interval while effective times are not known yet.
type draft struct {
	lease  *state.Lease
	file   string
	end    mark  // its seq is 0 while it is held
	window *mark // end itself if that is not in doubt
	*rare
	reason   journal.Reason
	released bool // by an operator or a rule, not by the runtime

	unsettled bool // it was held before a gap, and nothing behind it says that it still is
	pruned    bool // the event that gave it was pruned
	fromGap   bool // its beginning is lost: given is the first event behind
}

// rare is what few drafts have; to be written to by way of own alone, since all others share one.
type rare struct {
	words     string // of whoever released it
	doubt     string // what a successor says against a lease that it carried over
	parentSeq string // the parent's event that gave it
	notes     []string

	seen      mark // the last event before the gap, if it is unsettled
	lostAfter mark // the last event that shows it, if its end is lost
	lostBy    mark // the event that gave its address to another without its end; its seq is 0 if events are lost
	sure      mark // a snapshot shows that it was held from start to this event, gaps included; its seq is 0 if none does
}

var nothingRare rare

func newDraft(l *state.Lease, file string) *draft {
	d := new(draft)
	d.set(l, file)
	return d
}

func (d *draft) set(l *state.Lease, file string) {
	*d = draft{lease: l, file: file, rare: &nothingRare}
}

// given is the event that gave the lease.
func (d *draft) given() mark { return mark{d.lease.Start, d.lease.Clock} }

// own returns what the draft has of its own, to be written to.
func (d *draft) own() *rare {
	if d.rare == &nothingRare {
		d.rare = new(rare)
	}
	return d.rare
}

// reason returns why the event ended leases, also where it leaves that to its kind.
func reason(ev *journal.Event) journal.Reason {
	switch {
	case ev.Reason != 0:
		return ev.Reason
	case ev.Kind == journal.KindReset:
		return journal.ReasonWiped
	case ev.Kind == journal.KindRelease:
		return journal.ReasonForce
	}
	return journal.ReasonDel
}

// leaseOf returns the lease that an event gives, or tells of.
func leaseOf(ev *journal.Event, a journal.Address) state.Lease {
	return state.Lease{
		Address:    a,
		Attachment: state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName},
		NetNS:      ev.NetNS,
		NetNSID:    ev.NetNSID,
		Pod:        ev.Pod,
		Start:      ev.Seq,
		Clock:      ev.Clock,
		Claimed:    ev.Claimed,
		Import:     ev.Kind == journal.KindImport,
		Blocked:    ev.Blocked,
	}
}

// leaseOf is the package's function with room that is there, good until the next call.
func (r *reading) leaseOf(ev *journal.Event, a journal.Address) *state.Lease {
	r.lease = leaseOf(ev, a)
	return &r.lease
}

func (r *reading) begin(rec *journal.Record) {
	ev := &rec.Event
	m := mark{ev.Seq, ev.Clock}
	if ev.Kind == journal.KindAdd {
		r.h.ranges.add(ev, m)
	}
	for _, a := range ev.Addresses {
		if d := r.open[a.IP]; d != nil {
			if !d.unsettled {
				d.own().lostBy = m
				r.h.odd(a.IP, "event %d gives %s, which was not given back since event %d", ev.Seq, a.IP, d.lease.Start)
			}
			r.loseEnd(d)
		}
		if d := r.carry(r.leaseOf(ev, a), rec.File); d != nil {
			r.gap.settle(a.IP, ev.Seq)
			if ev.Kind == journal.KindImport {
				if d.imported(ev); d.parentSeq == "" {
					r.h.claimed = append(r.h.claimed, a.IP)
				}
			}
		}
	}
}

// imported takes over what an import says of the lease.
func (d *draft) imported(ev *journal.Event) {
	d.own().doubt = strings.Clone(attribute(ev, journal.AttributeDoubt))
	d.own().parentSeq = strings.Clone(attribute(ev, journal.AttributeParentSeq))
}

// carry opens an interval for the lease and returns it; nil if it is not to be kept.
func (r *reading) carry(l *state.Lease, file string) *draft {
	if !r.keeps(l) {
		return nil
	}
	kept := r.detached(l)
	var d *draft
	if r.Brief {
		d = r.together.draft()
		d.set(kept, file)
	} else {
		d = newDraft(kept, file)
	}
	r.open[l.IP] = d
	if l.Import && r.based(file) {
		d.own().doubt = fmt.Sprintf("imported by event %d, which was not read: it may call the lease uncertain", l.Start)
	}
	return d
}

// detached returns the lease as it is kept.
func (r *reading) detached(l *state.Lease) *state.Lease {
	if r.Brief {
		return r.together.brief(l)
	}
	return detached(l)
}

// annotate takes over what an event adds to open leases.
func (r *reading) annotate(ev *journal.Event) {
	note := annotationNote(ev)
	for _, a := range ev.Addresses {
		if d := r.told(a, ev); d != nil && note != "" {
			annotated(d.lease, ev)
			d.lease = r.detached(d.lease)
			d.note(note)
		}
	}
}

// annotated adds to a lease what an event tells of it.
func annotated(l *state.Lease, ev *journal.Event) {
	if ev.NetNS != "" {
		l.NetNS, l.NetNSID = ev.NetNS, ev.NetNSID
	}
	if ev.Pod != (journal.Pod{}) {
		l.Pod = ev.Pod
	}
}

// annotationNote says what an event adds to a lease; "" if that was dropped. That it was added later says nothing against the
// lease, but is told: whoever reads it must not take it for the word of the ADD.
func annotationNote(ev *journal.Event) string {
	var added []string
	if ev.NetNS != "" {
		added = append(added, "netns")
	}
	if ev.Pod != (journal.Pod{}) {
		added = append(added, "pod")
	}
	if len(added) == 0 {
		return ""
	}
	verb, source := "was", cmp.Or(attribute(ev, journal.AttributeSource), "a source that is not named")
	if len(added) > 1 {
		verb = "were"
	}
	return fmt.Sprintf("%s %s added by event %d, from %s", strings.Join(added, " and "), verb, ev.Seq, source)
}

// told returns the open interval of the lease that an event speaks of: one whose beginning is lost if need be. It is nil
// if it is not kept, or if there can be none.
func (r *reading) told(a journal.Address, ev *journal.Event) *draft {
	d := r.open[a.IP]
	owner := state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
	switch {
	case d != nil && owns(d.lease, owner):
		if d.unsettled {
			d.unsettled = false
			r.gap.settle(a.IP, ev.Seq)
			d.note(r.gap.through())
		}
		return d
	case d != nil && d.unsettled:
		r.loseEnd(d)
	case d != nil || !r.gap.unsettledAt(a.IP):
		if r.st == nil && r.keeps(r.leaseOf(ev, a)) {
			r.h.odd(a.IP, "event %d is about a lease of %s, which %s did not hold", ev.Seq, a.IP, owner.ContainerID)
		}
		return nil
	}
	l := r.leaseOf(ev, a)
	l.Blocked = ev.ContainerID == "" // host-local's file named no owner
	l.Start, l.Clock = r.gap.before.seq, r.gap.before.clock
	if d = r.carry(l, r.gap.file); d != nil {
		d.fromGap = true
		d.note(r.gap.begins())
		r.gap.settle(a.IP, ev.Seq)
	}
	return d
}

func (r *reading) close(a journal.Address, m mark, ev *journal.Event) {
	d := r.told(a, ev)
	if d == nil {
		return // not kept
	}
	delete(r.open, a.IP)
	if r.HeldOnly {
		return
	}
	r.end(d, m, ev)
	if ev.Kind == journal.KindRelease {
		d.released, d.own().words = true, strings.Clone(cmp.Or(ev.Text, attribute(ev, "evidence")))
	}
	r.finished(d)
}

func (r *reading) end(d *draft, m mark, ev *journal.Event) {
	d.end, d.reason = m, reason(ev)
	d.window = &d.end
	if w := r.window(d, m, d.reason); w != m {
		own := w // few need one, and it is allocated
		d.window = &own
	}
}

// reset ends all leases.
func (r *reading) reset(m mark, ev *journal.Event) {
	for ip, d := range r.open {
		if d.unsettled {
			r.loseEnd(d)
			continue
		}
		delete(r.open, ip)
		if !r.HeldOnly {
			r.end(d, m, ev)
			r.finished(d)
		}
	}
	r.gap.resolve(m)
	r.gap = nil
}

// loseEnd ends an interval that nothing shows any more, and whose end no event tells.
func (r *reading) loseEnd(d *draft) {
	delete(r.open, d.lease.IP)
	if r.HeldOnly {
		return
	}
	last := r.last
	if d.unsettled {
		last = d.seen
	}
	d.own().lostAfter = last
	r.finished(d)
}

// finished keeps an interval, unless no question is about it.
func (r *reading) finished(d *draft) {
	if len(r.spans) > 0 && !r.asked(d) {
		return
	}
	r.done = append(r.done, d)
}

func (r *reading) asked(d *draft) bool {
	if r.part != nil {
		return d.lease.Start <= r.part.last && (d.end.seq == 0 || d.end.seq > r.part.first)
	}
	iv := Interval{Start: r.Clocks.point(d.given()), lost: d.lostAfter.seq != 0, LastSeq: d.lostAfter.seq, few: &few{}}
	if d.end.seq != 0 {
		iv.End = &End{Point: r.Clocks.point(d.end)}
	}
	if d.lostBy.seq != 0 {
		iv.lostTo = r.Clocks.point(d.lostBy)
	}
	return d.sure.seq != 0 || slices.ContainsFunc(r.spans, func(s span) bool {
		return r.final.meet(&s, &iv.Start, iv.behind()).possible || s.backwards(&iv)
	})
}

// window returns the last event that shows the lease in use before m ended it.
func (r *reading) window(d *draft, m mark, why journal.Reason) mark {
	switch {
	case d.lease.Clock.Boot != m.clock.Boot:
		// Whatever the reason: nothing of an earlier boot was alive in this one.
		return r.lastOfBoot(d)
	case why == journal.ReasonDel:
		return m
	case why == journal.ReasonReboot, why == journal.ReasonWiped:
		return r.lastOfBoot(d)
	}
	if spared := r.gc.spared(m); spared.seq > d.lease.Start {
		return spared
	}
	return d.given()
}

// lastOfBoot returns the last event so far of the boot in which the lease began.
func (r *reading) lastOfBoot(d *draft) mark {
	clocks := &r.h.Clocks
	if r.part != nil && d.lease.Clock.Boot != r.boot {
		clocks = r.Clocks // nothing of another boot is still to come
	}
	if m := clocks.lastOf(d.lease.Clock.Boot); m.seq > d.lease.Start {
		return m
	}
	return d.given() // the boot's other events are before the snapshot
}

// interval turns a draft into an interval. end is room for its end, if it has one.
func (r *reading) interval(d *draft, end *End) Interval {
	clocks := &r.h.Clocks
	iv := Interval{Lease: d.lease, Start: clocks.point(d.given()), File: d.file, LastSeq: r.last.seq, Doubts: []string{},
		few: d.few(clocks), fromGap: d.fromGap, pruned: d.pruned}
	doubtful := mark{}
	switch {
	case d.end.seq != 0:
		iv.LastSeq, iv.End = d.end.seq, end
		*end = End{Point: clocks.point(d.end), Reason: d.reason, Text: d.words, released: d.released}
		iv.End.Window = &iv.End.Point
		if *d.window != d.end {
			window := clocks.point(*d.window)
			iv.End.Window = &window
		}
		if d.window.seq < d.end.seq {
			doubtful = *d.window
		}
	case d.lostAfter.seq != 0:
		iv.LastSeq, iv.Certainty, iv.lost = d.lostAfter.seq, Unknown, true
		if d.lease.Clock.Boot != r.last.clock.Boot {
			doubtful = r.lastOfBoot(d)
		}
	case d.lease.Clock.Boot != r.last.clock.Boot:
		doubtful = r.lastOfBoot(d)
	case r.Wiped:
		doubtful = r.last
	}
	if d.doubt != "" || d.lease.Blocked {
		doubtful = d.given()
	}
	if doubtful.seq != 0 {
		p := clocks.point(doubtful)
		iv.Doubtful, iv.Certainty = &p, max(iv.Certainty, Uncertain)
	}
	if iv.End == nil && r.h.Stopped != nil {
		iv.Certainty, iv.lost = Unknown, true
	}
	r.doubts(&iv)
	return iv
}

// few is what the draft's interval has of its own.
func (d *draft) few(clocks *Clocks) *few {
	if d.rare == &nothingRare {
		return &nothingOfFew
	}
	f := &few{sure: clocks.point(d.sure), doubt: d.doubt, parentSeq: d.parentSeq, notes: d.notes}
	if d.lostBy.seq != 0 {
		f.lostTo = clocks.point(d.lostBy)
	}
	return f
}

func (d *draft) note(text string) { d.own().notes = append(d.notes, text) }

// owner of leases that were taken over without an interface name answer to every one.
func owns(l *state.Lease, a state.Attachment) bool {
	return l.ContainerID == a.ContainerID && (l.IfName == a.IfName || l.IfName == "")
}

// keeps reports whether the lease is one of those asked for.
func (r *reading) keeps(l *state.Lease) bool { return r.Keep == nil || r.Keep(l) }
