package past_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// course is all that has happened on a network by its journal.
type course struct {
	hashes []string            // of records, by sequence number
	held   []map[string]string // the table after each event
	adds   []int               // up to each event, as stats counts
	leases []lease             // all of them
}

func (w *watcher) course(n caller.Network) *course {
	w.t.Helper()
	j, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		w.t.Fatal(err)
	}
	defer j.Close()
	c := &course{hashes: []string{""}, held: []map[string]string{{}}, adds: []int{0}}
	st := state.New()
	for rec, err := range j.Records(0) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		c.hashes = append(c.hashes, journal.RecordHash(rec.Raw).String())
		held, adds := c.held[len(c.held)-1], c.adds[len(c.adds)-1]
		if len(rec.Event.Addresses) > 0 { // else the table stays as it is
			held = heldIn(w.t, n.Name, st)
		}
		if rec.Event.Kind == journal.KindAdd {
			adds++
		}
		c.held, c.adds = append(c.held, held), append(c.adds, adds)
		c.take(n.Name, &rec.Event)
	}
	return c
}

// take takes in which leases an event begins and ends.
func (c *course) take(network string, ev *journal.Event) {
	for _, a := range ev.Addresses {
		switch ev.Kind {
		case journal.KindAdd:
			c.leases = append(c.leases, lease{Network: network, IP: a.IP, ContainerID: ev.ContainerID, Start: point{Seq: ev.Seq}})
		case journal.KindDel, journal.KindRelease:
			for i := range c.leases {
				if l := &c.leases[i]; l.IP == a.IP && l.End == nil {
					l.End = &end{point: point{Seq: ev.Seq}}
				}
			}
		}
	}
}

// upTo returns the names of the leases of an address that had begun with an event, with the ends that had come by then.
func (c *course) upTo(ip netip.Addr, seq journal.Seq) []string {
	var names []string
	for _, l := range c.leases {
		if l.IP == ip && l.Start.Seq <= seq {
			names = append(names, l.until(seq))
		}
	}
	return names
}

// until names a lease with its end, if that had come by an event.
func (l *lease) until(seq journal.Seq) string {
	name := l.name()
	if l.End != nil && l.End.Seq <= seq {
		name += " to event " + stampSeq(l.End.Seq)
	}
	return name
}

// judge holds all answers against all events, and so what was told as it happened.
func (w *watcher) judge(told []event) {
	w.t.Helper()
	j := judgement{watcher: w, courses: map[string]*course{}, quietTable: w.tableAt(w.quiet), was: map[string]string{}}
	for _, n := range w.networks {
		j.courses[n.Name] = w.course(n)
	}
	j.chained(said{args: []string{"events", "--follow"}}, told, durable(w.t, w.networks[0]))
	if len(told) > 0 && told[0].Seq != 1 {
		w.t.Errorf("events --follow begins with event %d", told[0].Seq)
	}
	for i := range w.seen {
		if s := &w.seen[i]; s.said.args[0] == "join" {
			w.joined(s.said)
		} else {
			j.one(s)
		}
	}
}

// judgement is what answers are held against.
type judgement struct {
	*watcher
	courses    map[string]*course // by network
	quietTable map[string]string
	was        map[string]string // answers about the past, which stays as it is
}

// one judges an answer by the events up to which it says that it tells.
func (j *judgement) one(s *seen) {
	r := s.said.read(j.t)
	last := map[string]journal.Seq{} // by network
	tables := map[string]string{}    // at these events
	for _, st := range r.Stores {
		last[st.Network] = st.LastSeq
		if c := j.courses[st.Network]; int(st.LastSeq) < len(c.held) {
			maps.Copy(tables, c.held[st.LastSeq])
		} else {
			j.t.Errorf("%v: tells of event %d of %d", s.said, st.LastSeq, len(c.held)-1)
		}
	}
	wrong := ""
	switch question := strings.Join(s.said.args[:2], " "); {
	case s.said.args[0] == "who":
		wrong = j.who(s, &r, tables)
	case s.said.args[0] == "history" && slices.Contains(s.said.args, "--ip"):
		wrong = j.history(s, &r, last[s.q.network])
	case s.said.args[0] == "leases", question == "at now":
		wrong = differences(table(r.Leases), tables)
	case s.said.args[0] == "at":
		got := strings.Join(slices.Sorted(maps.Values(table(r.Leases))), " ")
		if before, ok := j.was[question]; ok && before != got {
			wrong = "it was " + before
		}
		j.was[question] = got
	case s.said.args[0] == "diff":
		wrong = differences(applied(j.t, j.quietTable, s.said), tables)
	case s.said.args[0] == "events":
		j.chained(s.said, r.Events, last[j.networks[0].Name])
	case s.said.args[0] == "verify" && len(r.Findings) > 0:
		wrong = "a false finding"
	case s.said.args[0] == "networks", s.said.args[0] == "stats":
		wrong = j.counts(s, &r)
	}
	if wrong != "" {
		j.t.Errorf("%s: %v", wrong, s.said)
	}
}

func (j *judgement) who(s *seen, r *reply, tables map[string]string) (wrong string) {
	switch {
	case slices.Contains(s.said.args, "--skew"):
	case slices.Contains(s.said.args, "--at"):
		j.ledger.judge(s.q.network, s.q.ip, s.q.at, true).agrees(j.t, s.q.ip, s.q.at, whoSaid(j.t, s.said), &tally{})
	default:
		key := s.q.network + " " + s.q.ip.String()
		if got := table(r.Holders)[key]; got != tables[key] || (s.said.exit == 0) != (got != "") {
			return "held by " + tables[key]
		}
	}
	return ""
}

func (j *judgement) history(s *seen, r *reply, last journal.Seq) (wrong string) {
	var got []string
	for _, l := range r.Intervals {
		got = append(got, l.until(last))
	}
	if want := j.courses[s.q.network].upTo(s.q.ip, last); !slices.Equal(got, want) {
		return "the leases are " + strings.Join(want, ", ")
	}
	return ""
}

func (j *judgement) counts(s *seen, r *reply) (wrong string) {
	for _, n := range r.Networks {
		c := j.courses[n.Network]
		if n.Held+n.Leases != len(c.held[n.LastSeq]) || len(n.Damage) > 0 || s.said.args[0] == "stats" && n.Adds != c.adds[n.LastSeq] {
			return "miscounted"
		}
	}
	return ""
}

// joined holds the rows of a flow log with their holders against what was seen from outside.
func (w *watcher) joined(s said) {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(s.stdout)).ReadAll()
	if err != nil || len(rows) != 21 {
		w.t.Errorf("%v: %d rows, want 20 and a header: %v", err, len(rows), s)
		return
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339Nano, row[column["ts"]])
		ip, err2 := netip.ParseAddr(row[column["ip"]])
		if err := errors.Join(err, err2); err != nil {
			w.t.Errorf("%v: %v", err, s)
			return
		}
		a := answer{state: row[column["ip_state"]], detail: fmt.Sprintf("%q: %v", row, s)}
		if holders := row[column["ip_container"]]; holders != "" {
			a.holders = strings.Split(holders, ";")
		}
		a.exit = map[string]int{"certain": 0, "uncertain": 2, "unknown": 3}[row[column["ip_certainty"]]]
		if a.exit == 0 && len(a.holders) == 0 {
			a.exit = 1
		}
		w.ledger.judge(row[column["network"]], ip, at.UnixNano(), true).agrees(w.t, ip, at.UnixNano(), a, &tally{})
	}
}

// differences says where two tables differ.
func differences(got, want map[string]string) string {
	var text []string
	for key, holder := range got {
		if want[key] != holder {
			text = append(text, fmt.Sprintf("%s is held by %s and not by %q", key, holder, want[key]))
		}
	}
	for key, holder := range want {
		if got[key] == "" {
			text = append(text, fmt.Sprintf("%s is held by nobody and not by %s", key, holder))
		}
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}

// chained fails the test unless events of the first network are whole, in order, and up to the last one.
func (j *judgement) chained(s said, events []event, last journal.Seq) {
	c := j.courses[j.networks[0].Name]
	for i, ev := range events {
		if i > 0 && (ev.Seq != events[i-1].Seq+1 || ev.Prev != events[i-1].Evidence.SHA256) || ev.Evidence.SHA256 != c.hashes[ev.Seq] {
			j.t.Errorf("event %d is out of place: %v", ev.Seq, s)
		}
	}
	if n := len(events); n == 0 || events[n-1].Seq != last {
		j.t.Errorf("%d events, not up to event %d: %v", n, last, s)
	}
}
