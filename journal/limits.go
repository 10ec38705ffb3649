package journal

import "errors"

// optional lists the fields that an event can do without, in the order in which they
// are given up when the record would be too long. Dropped names them.
var optional = [...]struct {
	name  string
	clear func(ev *Event) bool // reports whether there was something to drop
}{
	{"ranges", func(ev *Event) bool { had := len(ev.Ranges) > 0; ev.Ranges = nil; return had }},
	{attributesField, func(ev *Event) bool { had := len(ev.Attributes) > 0; ev.Attributes = nil; return had }},
	{"requested", func(ev *Event) bool { had := len(ev.Requested) > 0; ev.Requested = nil; return had }},
	{"text", func(ev *Event) bool { had := ev.Text != ""; ev.Text = ""; return had }},
	{"traceparent", func(ev *Event) bool { had := ev.TraceParent != ""; ev.TraceParent = ""; return had }},
	{"netns", func(ev *Event) bool {
		had := ev.NetNS != "" || ev.NetNSID != (NetNSID{})
		ev.NetNS, ev.NetNSID = "", NetNSID{}
		return had
	}},
	{"pod", func(ev *Event) bool { had := ev.Pod != (Pod{}); ev.Pod = Pod{}; return had }},
}

// appendFitting appends the event's record, without optional fields where it would
// not fit otherwise. ErrTooLarge means that the mandatory ones alone don't.
func appendFitting(dst []byte, id ID, ev *Event) ([]byte, error) {
	out, err := AppendRecord(dst, id, ev)
	// What an import says of its lease's certainty goes last.
	for _, last := range []bool{false, true} {
		for _, o := range optional {
			if !errors.Is(err, ErrTooLarge) {
				return out, err
			}
			if last == (o.name == attributesField && ev.Kind == KindImport) && o.clear(ev) {
				ev.Dropped = append(ev.Dropped, o.name)
				out, err = AppendRecord(dst, id, ev)
			}
		}
	}
	return out, err
}

const attributesField = "attributes"

// Fits returns ErrTooLarge if an event with these mandatory fields can't be recorded,
// whatever its place in the journal. It lets an ADD be refused before it takes the lock.
func Fits(ev Event) error {
	ev.Config = ^Seq(0)
	_, err := EventBytes(&ev)
	return err
}

// EventBytes returns at most how many bytes of a batch the event takes, whenever and
// wherever it is recorded, and ErrTooLarge if it can't be.
func EventBytes(ev *Event) (int, error) {
	fit := *ev
	fit.MaxError = maxClockError
	b, err := appendFitting(nil, ID{}, &fit)
	return entryBytes(len(b) + 1), err // one for padding
}
