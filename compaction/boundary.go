package compaction

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// span is a packed file, or one that is about to be made.
type span struct {
	first, last journal.Seq
	bytes       int64
}

// limit is a retention at work. What exceeds any of its bounds may go.
type limit struct {
	policy  journal.Retention
	counted journal.Seq // the first event that stays by number and size
	before  int64       // by age: what is certainly before may go
	aged    journal.Seq // and then this is the first event that stays
	ended   bool        // there is no more to come by age
	waits   journal.Seq // the first event since that has no age of its own; 0 if there is none
}

// stays returns the first event that stays.
func (l *limit) stays() journal.Seq { return max(l.counted, l.aged) }

// holding is an active hold at work.
type holding struct {
	Hold
	stays journal.Seq // the first event that stays because of it
	found bool        // that is settled
}

// bounds find the first event that stays: what goes is always all that is before it.
type bounds struct {
	s       *survey
	first   journal.Seq // that is there behind genesis
	most    journal.Seq // only events before it can go: the last packed one, so that one stays that the state before is packed with
	limits  []limit
	holds   []holding
	doubts  []string
	highest int64       // the latest time that a clock showed which nothing speaks against
	blocked bool        // a hold may be lost, so nothing goes
	unsure  journal.Seq // the first event since the last one that has an age
	set     bool        // some clock was synchronised, be it now: only such tell ages
}

// lowWater is how much of a bound in bytes a prune leaves used: what is left is packed anew with another index, and the next run is not
// to begin again for some kilobytes.
const lowWater = 15.0 / 16

func newBounds(s *survey, files []span, live int64, r *Retain) *bounds {
	b := &bounds{s: s, first: max(2, s.pruned.Last+1), highest: s.genesis.Wall}
	b.most = b.first
	for _, f := range files {
		if f.first <= b.most+1 {
			b.most = max(b.most, f.last)
		}
	}
	clock := r.clock()
	now, doubt := s.timeline().now(clock)
	b.set = clock.Synchronised || s.timeline().newestSynced() != 0
	if boot := s.clocks.boots[clock.Boot]; boot != nil && !boot.synced && clock.Synchronised {
		s.clocks.add(clock) // it corrects what this boot recorded
	}
	if doubt != "" && slices.ContainsFunc(r.Limits, func(p journal.Retention) bool { return p.Keep > 0 }) {
		b.doubts = append(b.doubts, doubt)
	}
	for _, policy := range r.Limits {
		l := limit{policy: policy, counted: b.first, aged: b.first, before: now - int64(policy.Keep), ended: policy.Keep == 0}
		if n := policy.Events; n > 0 && uint64(s.counted) > n {
			l.counted = max(l.counted, s.counted-journal.Seq(n)+1)
		}
		if policy.Bytes > 0 {
			l.counted = max(l.counted, bySize(files, live, policy.Bytes))
		}
		b.limits = append(b.limits, l)
	}
	b.blocked = len(s.lost) > 0 && !r.DespiteLost
	for _, text := range s.lost {
		if b.blocked {
			text = "nothing is pruned: " + text
		}
		b.doubts = append(b.doubts, text)
	}
	for _, h := range s.active() {
		own := holding{Hold: h, stays: b.most}
		if !h.Succeeded {
			own.stays = min(own.stays, h.Seq)
		}
		if h.Since == 0 {
			own.stays, own.found = b.first, true
		}
		b.holds = append(b.holds, own)
	}
	return b
}

// bySize returns the first event that stays where all may take so many bytes; 0 if all do. live is what is not packed.
func bySize(files []span, live, most int64) journal.Seq {
	total := live
	for _, f := range files {
		total += f.bytes
	}
	if total <= most {
		return 0
	}
	room := int64(float64(most)*lowWater) - live
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		if f.bytes > room {
			n := int64(f.last - f.first + 1)
			return f.last + 1 - journal.Seq(float64(n)*float64(max(room, 0))/float64(f.bytes))
		}
		room -= f.bytes
	}
	return 0
}

// retained returns the first event that stays by the retention alone, for all there is: the least of all limits.
func (b *bounds) retained() journal.Seq {
	stays := b.most
	for i := range b.limits {
		stays = min(stays, b.limits[i].stays())
	}
	if len(b.limits) == 0 {
		return b.first
	}
	return max(stays, b.first)
}

// stays returns the first event that stays.
func (b *bounds) stays() journal.Seq {
	stays := b.retained()
	if b.blocked {
		return b.first
	}
	for i := range b.holds {
		stays = min(stays, b.holds[i].stays)
	}
	return max(stays, b.first)
}

// far returns how far a look at clocks may still change what stays.
func (b *bounds) far() journal.Seq {
	far := b.most
	if b.blocked {
		return b.first
	}
	for i := range b.limits {
		if b.limits[i].ended {
			far = min(far, b.limits[i].stays())
		}
	}
	for i := range b.holds {
		far = min(far, b.holds[i].stays)
	}
	return far
}

// done reports whether events from one on no longer matter. Those without an age are of the time of the next one that has one, which a hold
// may cover.
func (b *bounds) done(seq journal.Seq) bool {
	return seq >= b.far() && (b.unsure == 0 || !slices.ContainsFunc(b.holds, func(h holding) bool { return !h.found }))
}

// walk looks at the clocks of events, oldest first, as far as they matter.
func (b *bounds) walk(ctx context.Context, r *archive.Reader) error {
	if b.far() <= b.first {
		return nil
	}
	for rec, err := range dated(r, b.first-1) {
		if err != nil {
			return err
		}
		if rec.Event.Seq%progressStep == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if b.done(rec.Event.Seq) {
			return nil
		}
		b.event(rec.Event.Seq, rec.Event.Clock)
	}
	return nil
}

// event takes in the next event. By age a limit ends at the first event that may be young by either clock: recorded, or corrected
// where the clock was set later in the boot. A clock that was never synchronised may show too little, in 1970 or where it
// stood when the node was switched off, so it says nothing of an event's age; such events go with the next one that has an age. Of what is old the last event stays, as it tells what was so when the kept time began. Where no clock ever was
// synchronised there are no others, and only those have no age that go back behind what events before showed.
func (b *bounds) event(seq journal.Seq, k journal.Clock) {
	at := b.s.clocks.latest(k)
	wall, synced := b.s.clocks.effective(k)
	sound := synced || k.Synchronised || !b.set && wall >= b.highest
	if sound {
		b.highest = max(b.highest, wall)
	}
	for i := range b.limits {
		l := &b.limits[i]
		switch {
		case l.ended:
		case at >= l.before:
			l.ended = true
			if at-int64(l.policy.Keep) > l.before+unsyncedError {
				b.doubts = append(b.doubts, fmt.Sprintf("event %d is of %s by its clock, which is still to come: it and what follows does not age until then", seq, stamp(at)))
			}
		case sound:
			l.aged, l.waits = seq, 0 // it tells what was so when the kept time began
		case l.waits == 0:
			l.waits = seq
		}
	}
	for i := range b.holds {
		if h := &b.holds[i]; !h.found && at >= h.Since {
			h.stays, h.found = min(h.stays, max(b.first, b.unsureFrom(seq)-1)), true // with what was so when its time began
		}
	}
	if sound {
		b.unsure = 0
	} else {
		b.unsure = b.unsureFrom(seq)
	}
}

// unsureFrom returns the first of the events up to one that may be of its time.
func (b *bounds) unsureFrom(seq journal.Seq) journal.Seq {
	if b.unsure != 0 {
		return b.unsure
	}
	return seq
}

// ageless ends the walk. It tells of events that seem old and stay because they have no age.
func (b *bounds) ageless() {
	for i := range b.holds {
		if h := &b.holds[i]; !h.found {
			h.stays = b.unsureFrom(h.stays) // no event tells that it was over before
		}
	}
	for i := range b.limits {
		l := &b.limits[i]
		if l.waits == 0 || l.counted > l.aged || l.stays() != b.stays() {
			continue
		}
		b.doubts = append(b.doubts, fmt.Sprintf("event %d, and perhaps events after it, are of a boot whose clock was never synchronised: they have no age and go with the next one that has", l.waits))
		return
	}
}

// held returns the holds that keep events which would go without.
func (b *bounds) held() []Hold {
	var held []Hold
	for _, h := range b.holds {
		if h.stays < b.retained() {
			held = append(held, h.Hold)
		}
	}
	return held
}

// waiting counts the events that the retention lets go and that stay because the plugin may still need the segment that they are in.
func (b *bounds) waiting(ctx context.Context, r *archive.Reader) (n uint64, err error) {
	if len(b.limits) == 0 || b.blocked || b.stays() < b.most {
		return 0, nil
	}
	for rec, err := range dated(r, b.most-1) {
		if err != nil {
			return 0, err
		}
		seq := rec.Event.Seq
		if seq%progressStep == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		at := b.s.clocks.latest(rec.Event.Clock)
		for i := range b.limits {
			if l := &b.limits[i]; seq >= l.counted && (l.policy.Keep == 0 || at >= l.before) {
				return n, nil
			}
		}
		n++
	}
	return n, nil
}

// dated returns the raw records after an event with their clocks and kinds.
func dated(r *archive.Reader, after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		var o journal.Outline
		for rec, err := range r.Raw(after) {
			if err == nil && o.Read(rec.Raw) {
				rec.Event.Clock, rec.Event.Kind = o.Clock, o.Kind
			} else if err == nil {
				rec.Event, err = journal.DecodeRecord(r.Meta().ID, rec.Event.Seq, rec.Raw)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}
