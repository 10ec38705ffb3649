package journal

import (
	"errors"
	"fmt"
	"time"
)

// Pruning is the cause of a Loss that was meant: the events were pruned, and a prune event that is left says so. Nothing is
// damaged, and what was so in their time is unknown all the same.
type Pruning struct {
	Tombstone Event    // the prune event
	Pruned    Pruned   // what it says
	Earlier   *Earlier // what is still known of the events; nil if that is not told. See archive.Options.Before
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

// IsPruned returns the pruning that an error is about, nil if it is about none.
func IsPruned(err error) *Pruning {
	p, _ := errors.AsType[*Pruning](err)
	return p
}

// Pruned returns why the events were pruned, nil if they are lost.
func (l *Loss) Pruned() *Pruning { return IsPruned(l.Cause) }
