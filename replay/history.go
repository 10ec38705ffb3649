package replay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Certainty says how far an answer can be relied on. A larger one is a worse one.
type Certainty uint8

// The degrees of certainty.
const (
	Certain   Certainty = iota
	Uncertain           // known, but it may not be the whole truth
	Unknown             // not recorded, not readable, or outside of what the journal covers
)

// String returns the certainty as answers spell it.
func (c Certainty) String() string {
	switch c {
	case Certain:
		return "certain"
	case Uncertain:
		return "uncertain"
	}
	return "unknown"
}

// Interval is a lease from the event that gave it to the event that ended it.
type Interval struct {
	Lease     *state.Lease
	Start     Point
	End       *End        // nil if it is still held, or if its end is not known (Certainty is Unknown then)
	Doubtful  *Point      // after this event the lease's use is uncertain; nil if it never is
	Certainty Certainty   // of the interval as a whole
	Doubts    []string    // in words, what speaks against it; never nil
	File      string      // that holds the first event, within the store's folder
	LastSeq   journal.Seq // the ending event, or the last one read: none up to it ends the lease

	*few
	pruned    bool  // the event at Start was pruned
	fromGap   bool  // Start is the first event behind those that are lost
	lost      bool  // no event that can be read ends it, and none after LastSeq shows it
	use, ends int32 // 1 + which of Doubts is about its use, and from which on they are about its end; 0 for none
}

// few is what few intervals have, of which a long history has very many: all others share one that is empty, and not to be written to.
type few struct {
	sure      Point  // held all the time from Start to this event, whatever events are lost; Seq 0 if that is not known
	lostTo    Point  // what gave the address to another, if that is known
	doubt     string // what a successor says against a lease that it carried over
	parentSeq string // the parent's event that gave it
	notes     []string
}

var nothingOfFew = few{sure: new(Clocks).point(mark{})}

// Whole reports whether all events could be read, from the first one on.
func (h *History) Whole() bool { return h.Stopped == nil && len(h.gaps) == 0 && h.First.Seq == 1 }

// Lossy reports whether events are lost, other than those that were pruned, and what stands behind them was read.
func (h *History) Lossy() bool {
	return slices.ContainsFunc(h.gaps, func(g *gap) bool { return g.pruned == nil })
}

// Lost reports whether nothing that can be read tells the interval's end, and that it goes on.
func (iv *Interval) Lost() bool { return iv.lost }

// End is the event that ended a lease.
type End struct {
	Point
	Reason journal.Reason
	Text   string // what an operator or a rule says of it, "" if nothing
	Window *Point // the last event that shows the lease in use; the end itself if that is not in doubt

	released bool // by an operator or a rule, not by the runtime
}

// History is what a journal says about its leases. It doesn't change once it was read.
type History struct {
	Intervals []Interval // by first event, then address
	Clocks    Clocks
	First     Point          // first event read; Seq 0 if there are none
	Last      Point          // last event read
	Origin    journal.Origin // what genesis says
	Held      int            // leases held after the last event, whatever Options keep
	// Stopped is why reading ended before the journal did: damage, or an event that
	// this version doesn't understand. Nil if all was read.
	Stopped error

	time    timeline
	gaps    []*gap
	pending *gap // behind which nothing could be read yet
	ranges  rangesOf
	claimed []netip.Addr // of imports that tell of a time before them, as often as there are such
	base    journal.Seq  // the snapshot's that the reading began with, 0 if it began with events
	only    netip.Addr   // the address that it was reduced to
	part    bool         // of all leases only those were kept that a table may have
	wiped   bool         // the network's data folder was deleted and no event says so yet
	odds    []oddity     // what can't be, and was passed over
	notes   []string     // what could not be read, and matters to no answer

	lost    string // how many events of the parent are lost, at most; "" or "0" if none is
	settled Point  // from this event on that doesn't matter any more; Seq 0 if it still does
}

// gcRunGap parts one GC run from the next: a run writes its releases in batches and
// waits for the lock between them, 30 seconds at most by default. Two runs taken for
// one only widen a doubt; one taken for two would hide it.
const gcRunGap = time.Minute

// gcRuns tells the GC runs apart. A run that released nobody is not recorded.
type gcRuns struct {
	previous mark // first event of the run before the newest
	first    mark // first event of the newest run
	last     mark // its last event so far
}

func (g *gcRuns) goesOn(m mark) bool {
	return g.last.seq != 0 && g.last.clock.Boot == m.clock.Boot &&
		time.Duration(m.clock.BootTime-g.last.clock.BootTime) <= gcRunGap
}

// release takes in a release by GC.
func (g *gcRuns) release(m mark) {
	if !g.goesOn(m) {
		g.previous, g.first = g.first, m
	}
	g.last = m
}

// spared returns the first event of the last run that was over at m. All that was
// held then and is still held at m was on the runtime's list. A run that may still be
// going on at m doesn't count: it may not have come to the lease yet.
func (g *gcRuns) spared(m mark) mark {
	if g.goesOn(m) {
		return g.previous
	}
	return g.first
}

// oddity is what can't be of an address, and was passed over.
type oddity struct {
	ip   netip.Addr
	text string
}

// odd notes what can't be, and is passed over.
func (h *History) odd(ip netip.Addr, format string, args ...any) {
	const most = 1000
	if len(h.odds) < most {
		h.odds = append(h.odds, oddity{ip, fmt.Sprintf(format, args...)})
	}
}

// oddOf returns what was passed over of an address, or of all for the zero one.
func (h *History) oddOf(ip netip.Addr) []string {
	var texts []string
	for _, o := range h.odds {
		if !ip.IsValid() || o.ip == ip {
			texts = append(texts, o.text)
		}
	}
	return texts
}
