package oracle_test

import (
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// open reports whether a case is one of those about which the two answerers are known to disagree. Each line here is a
// question that docs/FORENSICS.md leaves open or a mistake that is known; none should stay.
func open(w *world) bool {
	gaps := 0
	for i := range w.c.Lost {
		if w.c.Lost[i] && !w.c.Lost[i+1] {
			gaps++
		}
	}
	if gaps == 0 {
		return false
	}
	for _, snap := range w.s.Snapshots {
		if w.c.Lost[snap.Seq-1] && w.c.Lost[snap.Seq] {
			return true // a snapshot of the middle of a gap
		}
		for _, l := range snap.Leases {
			if w.c.Lost[l.Start-1] {
				return true // a lease whose start is lost, and told by a snapshot
			}
			if slices.ContainsFunc(w.s.Events, func(ev journal.Event) bool { return ev.Seq == snap.Seq && ev.Kind == journal.KindAnnotate }) {
				return true // a snapshot that covers no more than an annotate behind a gap
			}
		}
	}
	for i := range w.c.Whole {
		if ev := &w.c.Whole[i]; ev.Kind == journal.KindAnnotate && ev.IfName == "" {
			return true // an annotate of a lease that answers to every interface name
		}
		if ev := &w.c.Whole[i]; ev.Kind == journal.KindRelease && ev.ContainerID == "" {
			return true // a blocked address whose import may be lost
		}
	}
	return gaps > 1 || w.c.Wiped
}

// openAnswer reports whether the answers to a question differ in a way that is known: at is unknown instead of uncertain
// where it is not known what was held at a position that is merely possible; history may be certain of a lease that ends
// with a clock set back; where a lease is held through a gap, its use is called uncertain an instant too early.
func openAnswer(w *world, q *query, a, b *said) bool {
	switch {
	case q.verb == "at" && a.exit == 2 && b.exit == 3, q.verb == "history" && a.exit == 2 && b.exit == 0:
		return true
	case len(w.c.Snapshots) == 0 || b.exit != 2 || len(a.leases) != len(b.leases):
		return false
	}
	sure := *b
	sure.exit, sure.leases = a.exit, slices.Clone(b.leases)
	for i := range sure.leases {
		sure.leases[i].unsure = a.leases[i].unsure
	}
	return a.equal(&sure)
}
