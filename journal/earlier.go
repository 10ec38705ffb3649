package journal

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Earlier is what is still known of events that were pruned, ascending. After a repair or a restore there may be one for each lease,
// so of those of which only a clock or a doubt is told it holds no Event, which is large.
//
// A nil *Earlier has none.
type Earlier struct {
	rows   []earlierRow
	whole  []Event // those that no row has room for
	doubts []string
	known  map[string]uint32 // indexes of doubts, by text
}

// earlierRow is one event.
type earlierRow struct {
	seq    Seq
	clock  Clock
	parent uint64 // AttributeParentSeq; 0 if it has none
	doubt  uint32 // AttributeDoubt: index of doubts, from 1 on; 0 if it has none
	whole  uint32 // index of whole, from 1 on; 0 if the row says all
	kind   Kind
}

// Add takes in an event, in any order, though the ascending one costs least. Of two with the same number a refusal, of which only the
// clock is told, gives way to the other. Nothing is kept of the memory that the event's strings are part of, if it says no more than
// a clock and a doubt.
func (e *Earlier) Add(ev *Event) {
	i, ok := len(e.rows), false
	if i > 0 && e.rows[i-1].seq >= ev.Seq {
		if i, ok = e.search(ev.Seq); ok && ev.Kind == KindRefuse {
			return
		}
	}
	row := earlierRow{seq: ev.Seq, clock: ev.Clock, kind: ev.Kind}
	if !e.fits(&row, ev) {
		e.whole = append(e.whole, *ev)
		row.whole = uint32(len(e.whole))
	}
	if ok {
		e.rows[i] = row
		return
	}
	e.rows = slices.Insert(e.rows, i, row)
}

func (e *Earlier) search(seq Seq) (int, bool) {
	return slices.BinarySearchFunc(e.rows, seq, func(row earlierRow, seq Seq) int { return cmp.Compare(row.seq, seq) })
}

// fits fills in the row's attributes, and reports whether it says all of the event then.
func (e *Earlier) fits(row *earlierRow, ev *Event) bool {
	switch {
	case ev.Kind != KindImport && ev.Kind != KindRefuse,
		len(ev.extra) > 0 || ev.moreN > 0 || ev.Synced != 0 || ev.Prev != Hash{},
		ev.ContainerID != "" || ev.IfName != "" || ev.NetNS != "" || ev.NetNSID != NetNSID{} || ev.Pod != Pod{} || ev.TraceParent != "",
		len(ev.Addresses) > 0 || len(ev.Cursors) > 0 || ev.Reason != 0 || ev.Version != "" || ev.Code != 0 || ev.Text != "",
		len(ev.Requested) > 0 || ev.Config != 0 || ev.Digest != Hash{} || len(ev.Ranges) > 0 || ev.Claimed != 0 || ev.Blocked || len(ev.Dropped) > 0:
		return false
	}
	doubt, told := "", false
	for _, a := range ev.Attributes {
		switch a.Key {
		case AttributeDoubt:
			doubt, told = a.Value, true
		case AttributeParentSeq:
			n, err := strconv.ParseUint(a.Value, 10, 64)
			if err != nil || n == 0 || strconv.FormatUint(n, 10) != a.Value {
				return false
			}
			row.parent = n
		default:
			return false
		}
	}
	if told {
		row.doubt = e.doubt(doubt)
	}
	return true
}

func (e *Earlier) doubt(text string) uint32 {
	if n, ok := e.known[text]; ok {
		return n
	}
	if e.known == nil {
		e.known = make(map[string]uint32)
	}
	text = strings.Clone(text)
	e.doubts = append(e.doubts, text)
	e.known[text] = uint32(len(e.doubts))
	return e.known[text]
}

// Len is how many there are.
func (e *Earlier) Len() int {
	if e == nil {
		return 0
	}
	return len(e.rows)
}

// All yields them. Each is good until the next.
func (e *Earlier) All() iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		for i := range e.Len() {
			ev := e.at(i)
			if !yield(&ev) {
				return
			}
		}
	}
}

func (e *Earlier) at(i int) Event {
	row := &e.rows[i]
	if row.whole > 0 {
		return e.whole[row.whole-1]
	}
	ev := Event{Seq: row.seq, Clock: row.clock, Kind: row.kind}
	if row.doubt > 0 {
		ev.Attributes = append(ev.Attributes, Attribute{AttributeDoubt, e.doubts[row.doubt-1]})
	}
	if row.parent > 0 {
		ev.Attributes = append(ev.Attributes, Attribute{AttributeParentSeq, strconv.FormatUint(row.parent, 10)})
	}
	return ev
}

// Find returns what is known of an event; the zero one if nothing is.
func (e *Earlier) Find(seq Seq) Event {
	if e.Len() == 0 {
		return Event{}
	}
	if i, ok := e.search(seq); ok {
		return e.at(i)
	}
	return Event{}
}
