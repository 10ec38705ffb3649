package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Pruning is the cause of a Loss that was meant: the events were pruned, and a prune event that is left says so. Nothing is
// damaged, and what was so in their time is unknown all the same.
type Pruning struct {
	Tombstone Event   // the prune event
	Pruned    Pruned  // what it says
	Earlier   []Event // what is still known of the events, ascending; see archive.Options.Before
}

// Error says who pruned, when and why.
func (p *Pruning) Error() string {
	text := "pruned at " + p.Tombstone.Time().Format(time.RFC3339)
	for _, a := range p.Tombstone.Attributes {
		if a.Key == AttributeBy {
			text += " by " + a.Value
		}
	}
	text += fmt.Sprintf(" (event %d)", p.Tombstone.Seq)
	if p.Tombstone.Text != "" {
		text += ": " + p.Tombstone.Text
	}
	return text
}

// Find returns what is still known of an event; the zero one if nothing is.
func (p *Pruning) Find(seq Seq) Event {
	i, ok := slices.BinarySearchFunc(p.Earlier, seq, func(ev Event, seq Seq) int { return cmp.Compare(ev.Seq, seq) })
	if !ok {
		return Event{}
	}
	return p.Earlier[i]
}

// IsPruned returns the pruning that an error is about, nil if it is about none.
func IsPruned(err error) *Pruning {
	p, _ := errors.AsType[*Pruning](err)
	return p
}

// Pruned returns why the events were pruned, nil if they are lost.
func (l *Loss) Pruned() *Pruning { return IsPruned(l.Cause) }
