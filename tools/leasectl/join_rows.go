package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// joinLookup says who held an address at an instant, in nanoseconds since 1970.
type joinLookup interface {
	// who returns nil if the instant lies behind the window: then the question is one for settle.
	who(ip netip.Addr, at int64) (*joinAnswer, error)
	// settle answers questions in any order.
	settle([]joinQuestion) error
}

// joinQuestion is one that came late.
type joinQuestion struct {
	ip  netip.Addr
	at  int64
	ans *joinAnswer
}

// lateBytes is how much of the file is held back at most until late questions are answered together.
const lateBytes = 48 << 20

// joiner is one run of join.
type joiner struct {
	a       *app
	table   joinTable
	look    joinLookup
	out     *newFile
	buf     []byte // rows that are not in out yet
	times   rowTimes
	columns *joinColumns
	bar     *progress // nil where none is shown

	rows, bad, bare int64 // rows, those that could not be read, and addresses that are not there
	passes          int64 // how often late rows were settled
	states          [5]int64

	ips     []netip.Addr  // of the row; the zero address where there is none
	answers []*joinAnswer // of the row
	late    lateRows
}

// lateRows are rows that wait for the answer to late questions, and those behind them.
type lateRows struct {
	rows      []lateRow
	text      []byte
	questions []joinQuestion
	places    []int // of each row and address column: the question, -1 for an answer in answers
	answers   []*joinAnswer
}

// lateRow is a row up to where answers go, and from there on.
type lateRow struct {
	begin, tail, eol int // ends of these parts in text
	reason           string
	whole            bool // begin is all of it
}

// flush writes what is in buf, if that is enough to be worth it or all.
func (j *joiner) flush(all bool) error {
	if len(j.buf) < joinBuffer && !all || len(j.buf) == 0 {
		return nil
	}
	_, err := j.out.w.Write(j.buf)
	j.buf = j.buf[:0]
	return err
}

func (j *joiner) run() error {
	var row joinRow
	for {
		err := j.table.next(&row)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := j.row(&row); err != nil {
			return err
		}
		if j.rows%progressStep == 0 {
			j.bar.tell("rows", uint64(j.rows), 0)
		}
		if err := j.flush(false); err != nil {
			return err
		}
	}
	if err := j.settle(); err != nil {
		return err
	}
	return j.flush(true)
}

// row answers for a row and puts it out, or keeps it until that can be done.
func (j *joiner) row(row *joinRow) error {
	switch row.kind {
	case rowHeader:
		j.pass(j.table.header(nil, row))
		return nil
	case rowOther:
		j.pass(append(append([]byte(nil), row.line...), row.eol...))
		return nil
	}
	j.rows++
	reason, late := row.reason, false
	j.ips, j.answers = j.ips[:0], j.answers[:0]
	for range j.columns.ips {
		j.ips, j.answers = append(j.ips, netip.Addr{}), append(j.answers, nil)
	}
	at := int64(0)
	if row.kind == rowData {
		var err error
		if at, err = j.times.parse(row.when); err != nil {
			reason = j.columns.when + ": " + err.Error()
		} else if reason, late, err = j.ask(row, at); err != nil {
			return err
		}
	}
	if reason != "" {
		j.blame(reason)
	}
	if row.kind == rowMute {
		j.pass(append(append([]byte(nil), row.line...), row.eol...))
		return nil
	}
	if late || len(j.late.rows) > 0 {
		return j.keep(row, at, reason)
	}
	buf := j.table.begin(j.buf, row)
	for i, ans := range j.answers {
		j.count(ans)
		buf = j.table.answer(buf, i, ans)
	}
	j.buf = j.table.end(buf, row, reason)
	return nil
}

// ask asks for the row's addresses. Late says that some answer is still to come.
func (j *joiner) ask(row *joinRow, at int64) (reason string, late bool, err error) {
	for i, cell := range row.ips {
		if len(cell) == 0 {
			j.bare++
			continue
		}
		ip, err := cellAddr(cell)
		if err != nil {
			if reason != "" {
				reason += "; "
			}
			reason += j.columns.names[i] + ": " + err.Error()
			continue
		}
		j.ips[i] = ip
		if j.answers[i], err = j.look.who(ip, at); err != nil {
			return "", false, err
		}
		late = late || j.answers[i] == nil
	}
	return reason, late, nil
}

// namedRows is how many rows that could not be read are named on stderr.
const namedRows = 10

func (j *joiner) blame(reason string) {
	if j.bad++; j.bad <= namedRows {
		j.a.say("row %d: %s", j.table.source().row, reason)
	} else if j.bad == namedRows+1 {
		j.a.say("and more that are not named here")
	}
}

func (j *joiner) count(ans *joinAnswer) {
	if ans != nil {
		j.states[ans.code]++
	}
}

// pass puts out what needs no answer, behind rows that wait for theirs.
func (j *joiner) pass(text []byte) {
	if len(j.late.rows) == 0 {
		j.buf = append(j.buf, text...)
		return
	}
	l := &j.late
	l.text = append(l.text, text...)
	l.rows = append(l.rows, lateRow{begin: len(l.text), tail: len(l.text), eol: len(l.text), whole: true})
}

// keep holds a row back.
func (j *joiner) keep(row *joinRow, at int64, reason string) error {
	l := &j.late
	l.text = j.table.begin(l.text, row)
	r := lateRow{begin: len(l.text), reason: reason}
	l.text = append(l.text, row.line[row.at:]...)
	r.tail = len(l.text)
	l.text = append(l.text, row.eol...)
	r.eol = len(l.text)
	l.rows = append(l.rows, r)
	for i, ip := range j.ips {
		place := -1
		if j.answers[i] == nil && ip.IsValid() {
			place = len(l.questions)
			l.questions = append(l.questions, joinQuestion{ip: ip, at: at})
		}
		l.places = append(l.places, place)
		l.answers = append(l.answers, j.answers[i])
	}
	const perRow, perColumn = 64, 64 // what they take beside the text, about
	if len(l.text)+perRow*len(l.rows)+perColumn*len(l.places) < lateBytes {
		return nil
	}
	return j.settle()
}

// settle answers what came late and puts all rows out that waited for it.
func (j *joiner) settle() error {
	l := &j.late
	if len(l.rows) == 0 {
		return nil
	}
	j.passes++
	if err := j.look.settle(l.questions); err != nil {
		return err
	}
	from, column, width := 0, 0, len(j.columns.ips)
	for _, r := range l.rows {
		j.buf = append(j.buf, l.text[from:r.begin]...)
		if !r.whole {
			for i := range width {
				ans := l.answers[column+i]
				if p := l.places[column+i]; p >= 0 {
					ans = l.questions[p].ans
				}
				j.count(ans)
				j.buf = j.table.answer(j.buf, i, ans)
			}
			column += width
			row := joinRow{line: l.text[r.begin:r.tail], eol: l.text[r.tail:r.eol]}
			j.buf = j.table.end(j.buf, &row, r.reason)
		}
		from = r.eol
		if err := j.flush(false); err != nil {
			return err
		}
	}
	j.late = lateRows{rows: l.rows[:0], text: l.text[:0], questions: l.questions[:0], places: l.places[:0], answers: l.answers[:0]}
	return nil
}

// report says at the end what there was, and sets the exit code by it.
func (j *joiner) report() {
	s := &j.states
	var parts []string
	for _, p := range []struct {
		n    int64
		word string
	}{{s[exitFound], "held"}, {s[exitNobody], "held by nobody"}, {s[exitUncertain], "uncertain or of several holders"},
		{s[exitUnknown], "unknown"}, {j.bare, "left empty"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if len(parts) == 0 {
		parts = []string{"none"}
	}
	j.a.say("%s; addresses: %s", counted(j.rows, "row"), strings.Join(parts, ", "))
	if j.passes > 0 {
		j.a.say("rows came late by more than --window: the journals were read again, %s", counted(j.passes, "time"))
	}
	switch {
	case j.bad > 0:
		j.a.say("%s could not be read, and went through unchanged but for the reason", counted(j.bad, "row"))
		j.a.code = exitError
	case s[exitUnknown] > 0:
		j.a.code = exitUnknown
	case s[exitUncertain] > 0:
		j.a.code = exitUncertain
	case s[exitFound] > 0:
		j.a.code = exitFound
	default:
		j.a.code = exitNobody
	}
}
