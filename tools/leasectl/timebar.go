package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/replay"
)

// draw draws an address through time.
func (t *timed) draw(p *picture, sc *screen, q *timelineQuestion) {
	p.add(sc.title(fmt.Sprintf("%s in %s", q.ip, t.onNode()))...)
	if len(t.spans) == 0 {
		p.add(sc.wrap("unknown: nothing tells of it", 2)...)
		return
	}
	var seen [looks]bool
	row := t.looks(sc.width)
	for _, l := range row {
		seen[l] = true
	}
	p.add(sc.wrap(fmt.Sprintf("from %s to %s: %s, %s%s", stamp(t.from()), stamp(t.to().Add(-1)), count(len(t.intervals), "lease"), t.certainty, t.less(row)), 2)...)
	marks := t.marks()
	if text := t.markRow(marks, sc.width); text != "" {
		p.add(sc.paint(bold, text))
	}
	p.add(sc.draw(row), t.axis(sc.width))
	p.add(sc.legend(&seen, "partly held")...)
	for i := range t.intervals {
		t.entry(p, sc, marks[i], &t.intervals[i])
	}
}

// less says that of the time drawn less is certain than of the leases: who held the address may be certain, and not the instants around
// the events.
func (t *timed) less(row []look) string {
	worst, n := replay.Certain, 0
	for _, l := range row {
		was := replay.Certain
		switch {
		case l == lookUnknown:
			was = replay.Unknown
		case l == lookUnsure || l >= lookUnsureShare:
			was = replay.Uncertain
		}
		if was > worst {
			worst, n = was, 0
		}
		if was == worst {
			n++
		}
	}
	switch {
	case worst <= t.certainty:
		return ""
	case n == len(row):
		return fmt.Sprintf("; all of this time is %s", worst)
	}
	return fmt.Sprintf("; some of this time is %s", worst)
}

// looks returns the time as a row of signs.
func (t *timed) looks(width int) []look {
	begin, end := t.from().UnixNano(), t.to().UnixNano()
	all := make([]block, width)
	wide := max(1, (end-begin)/int64(width))
	for i := range t.spans {
		s := &t.spans[i]
		from, to := s.From.UnixNano(), s.To.UnixNano()
		// What is uncertain by the error of clocks alone is drawn where that is as long as a sign.
		w := row{state: s.State, unsure: s.Certainty == replay.Uncertain}
		if to-from < wide && s.Certainty == replay.Uncertain {
			w.state, w.unsure = s.Exact.State, s.Exact.Certainty == replay.Uncertain
		}
		for c := signAt(from, begin, end, width); c < width && startOf(c, begin, end, width) < to; c++ {
			n := min(to, startOf(c+1, begin, end, width)) - max(from, startOf(c, begin, end, width))
			if n > 0 {
				all[c].add(&w, float64(n))
			}
		}
	}
	row := make([]look, width)
	for c := range all {
		if row[c] = all[c].throughout(); all[c] == (block{}) && c > 0 { // there are more signs than nanoseconds
			row[c] = row[c-1]
		}
	}
	return row
}

// throughout returns the look of a time, of which nothing but what the address was has a part.
func (b *block) throughout() look {
	held, sum, most := b.states[replay.StateHeld], 0.0, replay.StateNotOurs
	for s, n := range b.states {
		sum += n
		if s != int(replay.StateHeld) && n > b.states[most] {
			most = replay.State(s)
		}
	}
	switch {
	case b.unknown:
		return lookUnknown
	case held > 0:
		return shareLook(held, sum, b.unsure == 0)
	}
	return stateLooks[most]
}

// startOf returns when a sign's time begins.
func startOf(c int, begin, end int64, width int) int64 {
	span := end - begin
	return begin + span/int64(width)*int64(c) + span%int64(width)*int64(c)/int64(width)
}

// signAt returns which sign an instant belongs to.
func signAt(at, begin, end int64, width int) int {
	if at <= begin {
		return 0
	}
	c := int(float64(at-begin) / float64(end-begin) * float64(width))
	c = min(max(c, 0), width-1)
	for c > 0 && startOf(c, begin, end, width) > at {
		c--
	}
	for c+1 < width && startOf(c+1, begin, end, width) <= at {
		c++
	}
	return c
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// marks name the leases: by letters, or by numbers where they are too many.
func (t *timed) marks() []string {
	all := make([]string, len(t.intervals))
	for i := range all {
		if len(all) <= len(letters) {
			all[i] = letters[i : i+1]
		} else {
			all[i] = strconv.Itoa(i + 1)
		}
	}
	return all
}

// markRow returns a line with the marks of leases where they begin, those alone that have room; "" if they are too many.
func (t *timed) markRow(marks []string, width int) string {
	if len(marks) == 0 || len(marks) > len(letters) {
		return ""
	}
	line := []byte(strings.Repeat(" ", width))
	begin, end := t.from().UnixNano(), t.to().UnixNano()
	for i := range t.intervals {
		at, err := time.Parse(time.RFC3339Nano, t.intervals[i].Start.Effective)
		if c := signAt(at.UnixNano(), begin, end, width); err == nil && at.UnixNano() < end && line[c] == ' ' {
			line[c] = marks[i][0]
		}
	}
	return strings.TrimRight(string(line), " ")
}

// steps are how far apart the times of an axis may be.
var steps = []time.Duration{time.Microsecond, 10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	day, 2 * day, 5 * day, 10 * day, 30 * day, 90 * day, 365 * day, 3650 * day}

const day = 24 * time.Hour

// labelOf names a time of the axis by what changes from one to the next.
func labelOf(at time.Time, step time.Duration) string {
	switch {
	case step >= 30*day:
		return at.Format("2006-01-02")
	case step >= day, step >= time.Second && at.Truncate(day).Equal(at):
		return at.Format("01-02")
	case step >= time.Minute:
		return at.Format("15:04")
	case step >= time.Second:
		return at.Format("15:04:05")
	}
	return at.Format("05.000000")
}

// axis returns a line of times, each behind a stroke at its place.
func (t *timed) axis(width int) string {
	begin, end := t.from().UnixNano(), t.to().UnixNano()
	total := time.Duration(end - begin)
	for _, step := range steps {
		room := float64(step) / float64(total) * float64(width)
		if room < float64(len(labelOf(t.from().Truncate(step).Add(step), step))+3) {
			continue
		}
		line := []byte(strings.Repeat(" ", width))
		for at := t.from().Add(step - 1).Truncate(step); at.UnixNano() < end; at = at.Add(step) {
			label := "|" + labelOf(at, step)
			if c := signAt(at.UnixNano(), begin, end, width); c+len(label) <= width {
				copy(line[c:], label)
			} else {
				line[c] = '|'
			}
		}
		return strings.TrimRight(string(line), " ")
	}
	return "|"
}

// entry draws a lease: who, from when to when, why it ended, by which events, and what is in doubt.
func (t *timed) entry(p *picture, sc *screen, mark string, it *leaseItem) {
	who := it.Pod.String()
	if id := shortID(it.ContainerID); id != "" {
		who = strings.TrimSpace(who + " " + id)
	}
	if who == "" {
		who = "an unknown owner"
	}
	if it.IfName != "" {
		who += " " + it.IfName
	}
	text := fmt.Sprintf("%s, from %s to %s", printable.Text(who), it.Start.Effective, it.endText())
	if reason := it.reasonText(); reason != "" {
		text += ", " + printable.Text(reason)
	}
	text += fmt.Sprintf(", events %s-%s, %s", number(it.Start.Seq), number(it.end().Seq), it.Certainty)
	p.add(sc.certain(sc.wrapBehind(mark+"  ", text), it.Certainty)...)
	for _, d := range it.Doubts {
		p.add(sc.wrapBehind(strings.Repeat(" ", len(mark)+2), printable.Text(d))...)
	}
}
