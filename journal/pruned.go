package journal

import (
	"slices"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

// Fields of the events that don't change the lease map. They are kept as they stand and read when somebody asks for
// them: the plugin passes over them, and what a later version says more in them is no damage.
const (
	fieldPruned = 64
	fieldHold   = 65
)

// Pruned says what a prune event took out of the history: events of one journal, all there were from First to Last.
// Before First, only genesis is left.
type Pruned struct {
	First, Last         Seq
	FirstWall, LastWall int64       // their wall clocks as recorded, UTC nanoseconds
	Kinds               []KindCount // ascending by kind
	Digest              Hash        // SHA-256 over the records, one after another; zero if they could not all be read
	Head                Hash        // SHA-256 of the record of Last: what the first event that is left names as Prev
	Journal             ID          // whose events they were if a succeeded journal went as a whole; zero: of the one that says so
}

// KindCount is how many events there are of a kind.
type KindCount struct {
	Kind   Kind
	Events uint64
}

// Hold is what a hold event keeps from being pruned, or an unhold event no longer does.
type Hold struct {
	Since, Until int64 // hold: wall clock, UTC nanoseconds, both included; 0 = from the beginning, without end
	Of           Seq   // unhold: the hold event that it ends
	Journal      ID    // unhold: whose event Of is if it is that of a journal that this one has succeeded; else zero
}

// Pruned returns what a prune event took. It returns false for an event that doesn't say so in a form known here.
func (ev *Event) Pruned() (Pruned, bool) {
	d, n, ok := ev.skippable(fieldPruned, 8)
	if !ok {
		return Pruned{}, false
	}
	p := Pruned{First: Seq(d.Uint()), Last: Seq(d.Uint())}
	p.FirstWall, p.LastWall = int64(d.Fixed64(msgpcode.Int64)), int64(d.Fixed64(msgpcode.Int64))
	for range d.Array() {
		d.Tuple(2)
		p.Kinds = append(p.Kinds, KindCount{Kind(d.small(maxField)), d.Uint()})
	}
	d.bytes(p.Digest[:])
	d.bytes(p.Head[:])
	d.optionalID(&p.Journal)
	if !d.rest(n-8) || p.First == 0 || p.Last < p.First {
		return Pruned{}, false
	}
	return p, true
}

// SetPruned makes the event say what was taken.
func (ev *Event) SetPruned(p *Pruned) {
	b := wire.AppendArray(nil, 8)
	b = wire.AppendUint(wire.AppendUint(b, uint64(p.First)), uint64(p.Last))
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(p.FirstWall))
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(p.LastWall))
	b = wire.AppendArray(b, len(p.Kinds))
	for _, k := range p.Kinds {
		b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 2), uint64(k.Kind)), k.Events)
	}
	b = wire.AppendBin(wire.AppendBin(b, p.Digest[:]), p.Head[:])
	ev.setSkippable(fieldPruned, appendOptionalID(b, p.Journal))
}

// Hold returns what a hold or unhold event is about. It returns false for an event that doesn't say so in a form known
// here.
func (ev *Event) Hold() (Hold, bool) {
	d, n, ok := ev.skippable(fieldHold, 4)
	if !ok {
		return Hold{}, false
	}
	h := Hold{Since: int64(d.Fixed64(msgpcode.Int64)), Until: int64(d.Fixed64(msgpcode.Int64)), Of: Seq(d.Uint())}
	d.optionalID(&h.Journal)
	if !d.rest(n - 4) {
		return Hold{}, false
	}
	return h, true
}

// SetHold makes the event say what it holds, or no longer does.
func (ev *Event) SetHold(h Hold) {
	b := wire.AppendFixed64(wire.AppendArray(nil, 4), msgpcode.Int64, uint64(h.Since))
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(h.Until))
	b = wire.AppendUint(b, uint64(h.Of))
	ev.setSkippable(fieldHold, appendOptionalID(b, h.Journal))
}

// skippable returns a field's value behind the head of its array, and how many elements follow: at least so many.
func (ev *Event) skippable(key, atLeast int) (decoder, int, bool) {
	i := slices.IndexFunc(ev.extra, func(f rawField) bool { return f.key == key })
	if i < 0 {
		return decoder{}, 0, false
	}
	d := newDecoder(ev.extra[i].value, "")
	n := d.Array()
	return d, n, d.Err() == nil && n >= atLeast
}

// rest passes over elements that a later version has added, and reports whether all was as it should be.
func (d *decoder) rest(n int) bool {
	for range n {
		d.Skip()
	}
	d.End()
	return d.Err() == nil
}

// setSkippable sets a field. The list is a new one: copies of the event share the old.
func (ev *Event) setSkippable(key int, value []byte) {
	extra := make([]rawField, 0, len(ev.extra)+1)
	for _, f := range ev.extra {
		if f.key != key {
			extra = append(extra, f)
		}
	}
	i, _ := slices.BinarySearchFunc(extra, key, func(f rawField, key int) int { return f.key - key })
	ev.extra = slices.Insert(extra, i, rawField{key, value})
}

// optionalID reads an ID or nil, which leaves it zero.
func (d *decoder) optionalID(id *ID) {
	if !d.Null() {
		d.bytes(id[:])
	}
}

func appendOptionalID(b []byte, id ID) []byte {
	if id == (ID{}) {
		return append(b, msgpcode.Nil)
	}
	return wire.AppendBin(b, id[:])
}
