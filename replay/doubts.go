package replay

import (
	"fmt"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// timeLayout is RFC 3339 with all nanoseconds, for times in words.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// based reports whether what is known of a lease stands in the snapshot that the reading began with.
func (r *reading) based(file string) bool {
	return r.Base != nil && r.part == nil && file == r.BaseFile
}

// doubts says in words what is less than certain about an interval.
func (r *reading) doubts(iv *Interval) {
	say := func(format string, args ...any) { iv.Doubts = append(iv.Doubts, fmt.Sprintf(format, args...)) }
	if iv.Lease.Import {
		r.importDoubts(iv, say)
	}
	for _, note := range iv.notes {
		say("%s", note)
	}
	if iv.doubt != "" {
		say("%s", iv.doubt)
	}
	if r.based(iv.File) {
		say("taken from a snapshot: the events before were not read")
	}
	if p := iv.Doubtful; p != nil && !iv.Lease.Blocked {
		iv.use = int32(len(iv.Doubts) + 1)
		say("%s", useDoubt(p, r.cause(iv)))
	}
	if iv.lostTo.Seq != 0 {
		say("its end is not known: event %d gives the address to another", iv.lostTo.Seq)
	} else if iv.lost && iv.LastSeq == r.last.seq {
		say("its end is not known: reading stopped after event %d", iv.LastSeq)
	} else if iv.lost {
		say("its end is not known: events after event %d are lost", iv.LastSeq)
	}
	clockDoubts(&iv.Start, say)
	if iv.End != nil {
		iv.ends = int32(len(iv.Doubts) + 1)
		clockDoubts(&iv.End.Point, say)
	}
}

// useDoubt says from when on a lease's use is uncertain, and why.
func useDoubt(p *Point, cause string) string {
	return fmt.Sprintf("use is uncertain after event %d (%s): %s", p.Seq, p.Effective.Format(timeLayout), cause)
}

func (r *reading) importDoubts(iv *Interval, say func(string, ...any)) {
	since := "at a time that its source does not tell"
	if iv.Lease.Claimed != 0 {
		since = "at " + time.Unix(0, iv.Lease.Claimed).UTC().Format(timeLayout) + " by the word of its source"
	}
	if iv.parentSeq != "" {
		say("carried over by event %d from journal %s, whose event %s gave the lease at %s: what was before is told there",
			iv.Start.Seq, r.h.Origin.Parent, iv.parentSeq, time.Unix(0, iv.Lease.Claimed).UTC().Format(timeLayout))
	} else {
		say("imported by event %d: the lease began %s; who held the address before event %d is unknown",
			iv.Start.Seq, since, iv.Start.Seq)
	}
	if iv.Lease.Blocked {
		say("held back without a known owner")
	}
}

// cause says why the use of an interval's lease is uncertain before its end.
func (r *reading) cause(iv *Interval) string {
	boot := iv.Lease.Clock.Boot
	switch {
	case iv.doubt != "" && iv.Doubtful.Seq == iv.Start.Seq:
		return "events of the parent are lost"
	case iv.End == nil && boot != r.last.clock.Boot:
		return "the node has booted since, and no event ended the lease"
	case iv.End == nil:
		return "the network's data folder was deleted since, and no event says so yet"
	case r.otherBoot(iv):
		return fmt.Sprintf("the node had booted when the lease was ended (%s)", iv.End.Reason)
	case iv.End.Reason == journal.ReasonGC && iv.End.released:
		return "an operator's GC found the owner dead, and the lease may have been out of use before"
	case iv.End.Reason == journal.ReasonGC:
		return "the runtime's GC ended the lease, which may have been out of use before"
	case iv.End.Reason == journal.ReasonWiped:
		return "the network's data folder was deleted at some time after that"
	}
	return fmt.Sprintf("the runtime did not end the lease (%s)", iv.End.Reason)
}

// otherBoot reports whether the lease was ended in another boot than it began in.
func (r *reading) otherBoot(iv *Interval) bool { return iv.End.boot != iv.Lease.Clock.Boot }

func clockDoubts(p *Point, say func(string, ...any)) {
	if off := p.Time.Sub(p.Effective); off > stepAtLeast || off < -stepAtLeast {
		say("event %d: its clock was off by %s, as a later event of the same boot shows", p.Seq, off)
	}
	if !p.Synced {
		say("event %d: the clock was never synchronised in its boot, the time is as recorded", p.Seq)
	}
}
