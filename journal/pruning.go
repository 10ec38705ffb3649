package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Pruning is the cause of a Loss that was meant: the events were pruned, and a prune event that is left says so. Nothing is
// damaged, and what was so in their time is unknown all the same.
type Pruning struct {
	Tombstone Event    // the newest prune event, which tells of the last of them
	Before    []Event  // the prune events before that are known, ascending
	Pruned    Pruned   // what it says
	Earlier   *Earlier // what is still known of the events; nil if that is not told. See archive.Options.Before
}

// Part is what one prune removed.
type Part struct {
	First, Last         Seq
	FirstWall, LastWall int64 // as recorded
	Tombstone           Event
}

// Parts returns what each prune removed, ascending. What none tells of any more, the next one is said to have removed.
func (p *Pruning) Parts() []Part {
	var parts []Part
	next := Seq(0)
	for _, ev := range append(slices.Clone(p.Before), p.Tombstone) {
		said, ok := ev.Pruned()
		if !ok || said.Last < next {
			continue // a run that died told it before
		}
		first := said.First
		if next != 0 {
			first = next
		}
		parts = append(parts, Part{first, said.Last, said.FirstWall, said.LastWall, ev})
		next = said.Last + 1
	}
	return parts
}

// Error says who pruned, when and why.
func (p *Pruning) Error() string {
	parts := p.Parts()
	if len(parts) < 2 {
		return "pruned " + told(&p.Tombstone)
	}
	texts := make([]string, 0, len(parts))
	for i := range parts {
		if k := len(parts) - partsTold; k > 1 && i > 0 && i <= k {
			if i == k {
				texts = append(texts, fmt.Sprintf("and so on up to event %d by %d more", parts[i].Last, k))
			}
			continue
		}
		texts = append(texts, fmt.Sprintf("events %d to %d %s", parts[i].First, parts[i].Last, told(&parts[i].Tombstone)))
	}
	return fmt.Sprintf("pruned by %d prunes: %s", len(parts), strings.Join(texts, "; "))
}

// partsTold is how many prunes are named one by one, if they are more those at the ends.
const partsTold = 4

// Error says who pruned the part, when and why.
func (p *Part) Error() string { return "pruned " + told(&p.Tombstone) }

// told says what a prune event says of itself.
func told(ev *Event) string {
	text := "at " + ev.Time().Format(time.RFC3339)
	for _, a := range ev.Attributes {
		if a.Key == AttributeBy {
			text += " by " + a.Value
		}
	}
	text += fmt.Sprintf(" (event %d)", ev.Seq)
	if ev.Text != "" {
		text += ": " + ev.Text
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
