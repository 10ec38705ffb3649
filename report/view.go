package report

import (
	"math"
	"net/netip"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// View is one network on one node: what its journal tells, and those that this one has succeeded.
type View struct {
	Network, Node string
	Title         string    // of both, as doubts begin with it
	Since, Until  time.Time // what the page shows, both included; zero is all that the journals tell of
	Parts         []Part    // oldest first; each tells up to where the next one begins
	Certainty     replay.Certainty
	Doubts        []string // what is to be said beside what the histories say
}

// Part is one journal of a View.
type Part struct {
	ID, Dir string
	Live    bool
	Torn    bool            // something may have ended the leases that it has as held
	Unread  string          // why it can't be read, if there is no History
	History *replay.History // of all leases, from the first event on
	Events  *Events         // collected by the reading that made History
	Covered time.Time       // as in replay.Asked
	// Between says what of the time that the page shows is asked of this journal; see replay.History.Between. None of it if it is nil.
	Between *Between
	// Held says why leases without an end are not known to go on, "" if they do, and HeldCertainty what that makes of them.
	Held          string
	HeldCertainty replay.Certainty
}

// Between is a window of time, both included; zero is open.
type Between struct{ Since, Until time.Time }

// header is a view's part of the page's header; see docs/FORMAT.md.
type header struct {
	Network   string        `json:"network"`
	Node      string        `json:"node"`
	Journals  []journalItem `json:"journals"`
	Boots     []bootItem    `json:"boots"`
	From      instant       `json:"from"`
	To        instant       `json:"to"`
	Covered   *instant      `json:"covered"`
	OpenTo    *instant      `json:"open_to"`
	Certainty string        `json:"certainty"`
	Doubts    []string      `json:"doubts"`
	Texts     []string      `json:"texts"`
	Ranges    []rangeItem   `json:"ranges"`
	Changes   []changeItem  `json:"changes"`
	Steps     []stepItem    `json:"steps"`
	Rows      []rowItem     `json:"rows"`
	Own       []ownItem     `json:"own"`
	Events    eventsItem    `json:"events"`
	EventRuns eventRuns     `json:"event_runs"`
	Leases    int           `json:"leases"`
	Files     []run         `json:"file_runs"`
	IfNames   []run         `json:"ifname_runs"`
	DoubtSets []doubtSet    `json:"doubt_sets"`
	Addresses int           `json:"addresses"`
	IPv4      int           `json:"addresses4"`
	IDs       int           `json:"ids"`
	Pods      int           `json:"pods"`
	// Columns are where they stand: offset behind the header, and length.
	Columns map[string][2]int64 `json:"columns"`
}

type journalItem struct {
	ID        string `json:"id"`
	Node      string `json:"node"`
	Dir       string `json:"dir"`
	FirstSeq  uint64 `json:"first_seq"`
	LastSeq   uint64 `json:"last_seq"`
	FirstTime string `json:"first_time"`
	LastTime  string `json:"last_time"`
	Live      bool   `json:"live"`
}

type bootItem struct {
	ID       string `json:"id"`
	MaxError int64  `json:"max_error_ns"`
	Synced   bool   `json:"synced"`
}

type eventsItem struct {
	Count int `json:"count"`
	First int `json:"first"`
	Last  int `json:"last"`
}

// eventRuns say of which journal, and of which boot, events are.
type eventRuns struct {
	Journal []run `json:"journal"`
	Boot    []run `json:"boot"`
}

// encoding is the making of one view.
type encoding struct {
	header
	view  *View
	parts []*partOf
	texts *texts
	doubt doubtSets

	from, to int64 // of the page
	worst    replay.Certainty

	leases    []leaseRef
	addresses map[netip.Addr]int
	columns   []namedColumn
}

type namedColumn struct {
	name string
	data column
}

// partOf is what is made of a part.
type partOf struct {
	*Part
	course *replay.Course // nil if the journal can't be read
	begin  int64          // from when on the part tells; the first one of all before, too
	end    int64          // up to when it does, not included
	base   int            // number of its first event among those of all parts
	boots  []int          // header's number of a boot of Events
	ranges int            // number of its first change of ranges
	steps  int            // number of its first clock step
	number []int32        // of its events on the page, -1 for those that are not there
}

// encode makes a view's header and columns.
func encode(v *View, made time.Time) (*encoding, error) {
	e := &encoding{view: v, texts: newTexts(), addresses: map[netip.Addr]int{}}
	e.doubt.texts = e.texts
	e.Network, e.Node = valid(v.Network), valid(v.Node)
	for i := range v.Parts {
		p := &partOf{Part: &v.Parts[i], begin: math.MinInt64, end: math.MaxInt64}
		if h := p.History; h != nil {
			p.Events.settle(h)
			p.course = h.Course(p.Covered)
		}
		e.parts = append(e.parts, p)
	}
	e.bounds()
	e.span(made)
	e.journals()
	e.rows()
	total := e.numberEvents()
	e.selectLeases()
	e.selectEvents(total)
	e.encodeAddresses()
	e.ownRows()
	e.encodeEvents()
	if err := e.encodeLeases(); err != nil {
		return nil, err
	}
	e.judge()
	e.Texts, e.DoubtSets = e.texts.list, append([]doubtSet{}, e.doubt.list...)
	return e, nil
}

// bounds finds in which time each part tells what was so: from its first event on, up to where a newer one does.
func (e *encoding) bounds() {
	next := int64(math.MaxInt64)
	for i := len(e.parts) - 1; i >= 0; i-- {
		p := e.parts[i]
		p.end = next
		if i == 0 || p.History == nil || p.History.First.Seq == 0 {
			continue
		}
		p.begin = p.History.First.Effective.UnixNano()
		next = min(next, p.begin)
	}
}

// span finds what time the page shows.
func (e *encoding) span(made time.Time) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, p := range e.parts {
		if p.History == nil {
			continue
		}
		for i := range p.Events.n {
			at := p.Events.at(i).effective
			first, last = min(first, at), max(last, at)
		}
		if p.History.First.Seq != 0 && p.end == math.MaxInt64 {
			last = max(last, p.course.Covered)
		}
	}
	if newest := e.parts[len(e.parts)-1]; newest.History != nil && newest.History.First.Seq != 0 {
		at := instantOf(newest.course.Covered)
		e.Covered = &at
		if to := newest.course.OpenTo; to != math.MaxInt64 {
			open := instantOf(to)
			e.OpenTo = &open
		}
	}
	if first > last {
		first, last = made.UnixNano(), made.UnixNano()
	}
	e.from, e.to = first, last
	if !e.view.Since.IsZero() {
		e.from = e.view.Since.UnixNano()
	}
	if !e.view.Until.IsZero() {
		e.to = e.view.Until.UnixNano()
	}
	if e.from > e.to { // all that is told is on one side of what was asked about
		if e.view.Until.IsZero() {
			e.to = e.from
		} else {
			e.from = e.to
		}
	}
	e.From, e.To = instantOf(e.from), instantOf(e.to)
}

// journals describes the journals and the boots of their events.
func (e *encoding) journals() {
	e.Journals, e.Boots = []journalItem{}, []bootItem{}
	for _, p := range e.parts {
		it := journalItem{ID: p.ID, Node: valid(e.view.Node), Dir: valid(p.Dir), Live: p.Live}
		if h := p.History; h != nil && h.First.Seq != 0 {
			it.FirstSeq, it.LastSeq = uint64(h.First.Seq), uint64(h.Last.Seq)
			it.FirstTime, it.LastTime = h.First.Effective.Format(timeLayout), h.Last.Effective.Format(timeLayout)
		}
		e.Journals = append(e.Journals, it)
		if p.History == nil {
			continue
		}
		for _, id := range p.Events.boots {
			known := p.History.Clocks.Point(0, journal.Clock{Boot: id})
			p.boots = append(p.boots, len(e.Boots))
			e.Boots = append(e.Boots, bootItem{id.String(), int64(known.MaxError), known.Synced})
		}
	}
}

func (e *encoding) column(name string, data column) {
	if len(data) > 0 {
		e.columns = append(e.columns, namedColumn{name, data})
	}
}

// numberEvents gives the parts' events numbers among those of all parts, and returns how many these are.
func (e *encoding) numberEvents() (total int) {
	for _, p := range e.parts {
		p.base = total
		if p.History != nil {
			total += p.Events.n
		}
	}
	return total
}

// selectEvents numbers the events that are on the page: those of its time, and those that its leases name.
func (e *encoding) selectEvents(total int) {
	first, last := total, -1
	e.each(func(n int, ev *event, _ *partOf) {
		if ev.effective >= e.from && ev.effective <= e.to {
			first, last = min(first, n), max(last, n)
		}
	})
	wanted := make([]bool, total)
	for n := first; n <= last; n++ {
		wanted[n] = true
	}
	for i := range e.leases {
		l := &e.leases[i]
		wanted[l.start], wanted[l.end], wanted[l.doubtful] = true, true, true
	}
	count := 0
	for _, p := range e.parts {
		if p.History == nil {
			continue
		}
		p.number = make([]int32, p.Events.n)
		for i := range p.number {
			p.number[i] = -1
			if wanted[p.base+i] {
				p.number[i] = int32(count)
				count++
			}
		}
	}
	e.Events = eventsItem{Count: count, First: 0, Last: -1}
	if first <= last {
		e.Events.First, e.Events.Last = e.numberOf(first), e.numberOf(last)
	}
}

// each visits all events of all parts, with their number among these.
func (e *encoding) each(visit func(n int, ev *event, p *partOf)) {
	for _, p := range e.parts {
		if p.History == nil {
			continue
		}
		for i := range p.Events.n {
			visit(p.base+i, p.Events.at(i), p)
		}
	}
}

// numberOf is an event's number on the page.
func (e *encoding) numberOf(n int) int {
	for _, p := range e.parts {
		if i := n - p.base; p.number != nil && i >= 0 && i < len(p.number) {
			return int(p.number[i])
		}
	}
	return -1
}

func (e *encoding) encodeEvents() {
	var seq, kind, code, ms, ns, offMS, offNS column
	e.EventRuns = eventRuns{[]run{}, []run{}}
	var before event
	var beforeMS int64
	var beforeOff instant
	for number, p := range e.parts {
		before.seq = 0
		for i, n := range p.number {
			if n < 0 {
				continue
			}
			ev := p.Events.at(i)
			e.EventRuns.Journal = addRun(e.EventRuns.Journal, int(n), number)
			e.EventRuns.Boot = addRun(e.EventRuns.Boot, int(n), p.boots[ev.boot])
			seq.uvarint(uint64(ev.seq - before.seq))
			kind.byte(byte(ev.kind))
			if ev.kind == journal.KindRefuse {
				code.uvarint(uint64(max(ev.code, 0)))
			}
			at := instantOf(ev.effective)
			ms.zigzag(at[0] - beforeMS)
			ns.room(3)
			ns = append(ns, byte(at[1]), byte(at[1]>>8), byte(at[1]>>16))
			off := offset(ev.recorded, ev.effective)
			offMS.zigzag(off[0] - beforeOff[0])
			offNS.zigzag(off[1] - beforeOff[1])
			before, beforeMS, beforeOff = *ev, at[0], off
		}
	}
	e.column("e.seq", seq)
	e.column("e.kind", kind)
	e.column("e.code", code)
	e.column("e.ms", ms)
	e.column("e.ns", ns)
	e.column("e.offms", offMS)
	e.column("e.offns", offNS)
}
