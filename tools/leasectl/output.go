package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/replay"
)

// formats are the values of -o.
var formats = []string{"table", "json", "jsonl", "csv"}

// timeLayout is RFC 3339 with all nanoseconds; times are in UTC.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

func stamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// answer is what every command gives: the head of a JSON answer.
type answer struct {
	Schema    string      `json:"schema"`
	Asked     any         `json:"asked"`
	Stores    []storeItem `json:"stores"`
	Certainty string      `json:"certainty"`
	Doubts    []string    `json:"doubts"`
	Header    any         `json:"header,omitempty"`  // of a dumped snapshot
	Verdict   string      `json:"verdict,omitempty"` // of verify
	State     string      `json:"state,omitempty"`   // of an address
	Answers   []stateItem `json:"answers,omitempty"` // of the stores, on the state of an address

	Summaries []summaryItem `json:"networks,omitempty"`  // of map: what the rows come to
	Intervals []leaseItem   `json:"intervals,omitempty"` // of timeline

	Sentences []sentenceItem `json:"sentences,omitempty"` // of explain

	Would []compactionItem `json:"would,omitempty"` // of inspect: what compact would do

	worst replay.Certainty
}

func newAnswer(command string, asked any) *answer {
	return &answer{Schema: "leaselog." + command + "/1", Asked: asked, Stores: []storeItem{}, Doubts: []string{}}
}

// doubt adds a line about the answer as a whole, or about one store of it.
func (ans *answer) doubt(c replay.Certainty, format string, args ...any) {
	ans.worst = max(ans.worst, c)
	if text := fmt.Sprintf(format, args...); !slices.Contains(ans.Doubts, text) {
		ans.Doubts = append(ans.Doubts, text)
	}
}

// column is one of a table or of a CSV file.
type column[T any] struct {
	name string
	cell func(*T) string
}

// layout is how a command shows its items.
type layout[T any] struct {
	key   string // of the items in a JSON answer
	table []column[T]
	csv   []column[T]
}

// show prints the answer: words about it on stderr, items on stdout.
func show[T any](a *app, ans *answer, items iter.Seq2[*T, error], l layout[T]) error {
	ans.Certainty = ans.worst.String()
	for _, d := range ans.Doubts {
		a.say("%s", d)
	}
	w := bufio.NewWriter(answerWriter{a})
	var err error
	switch a.output {
	case "json":
		err = showJSON(w, ans, items, l.key)
	case "jsonl":
		err = showLines(w, items)
	case "csv":
		err = showCSV(w, items, l.csv)
	default:
		err = showTable(w, items, placed(a, l.table), a.colourful())
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// answerWriter writes answers to stdout, where a line of progress may stand if both are one terminal.
type answerWriter struct{ a *app }

func (w answerWriter) Write(p []byte) (int, error) {
	w.a.bar.hide()
	return w.a.stdout.Write(p)
}

// placed puts in front of a table's columns where its items come from, if that is more than one place.
func placed[T any](a *app, columns []column[T]) []column[T] {
	if _, ok := any(new(T)).(interface{ from() string }); !ok || !a.places {
		return columns
	}
	node := column[T]{"node", func(it *T) string { return any(it).(interface{ from() string }).from() }}
	return slices.Concat([]column[T]{node}, columns)
}

// each hands out items as show wants them.
func each[T any](items []T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for i := range items {
			if !yield(&items[i], nil) {
				return
			}
		}
	}
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return safeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// showJSON prints one object, an item a line, so that items needn't be held in memory.
func showJSON[T any](w io.Writer, ans *answer, items iter.Seq2[*T, error], key string) error {
	head, err := marshal(ans)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s,%q:[", bytes.TrimSuffix(head, []byte("}")), key)
	separator := "\n"
	for item, err := range items {
		if err != nil {
			return err
		}
		b, err := marshal(item)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, b); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err = fmt.Fprintln(w, "]}")
	return err
}

func showLines[T any](w io.Writer, items iter.Seq2[*T, error]) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		b, err := marshal(item)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", b); err != nil {
			return err
		}
	}
	return nil
}

func showCSV[T any](w io.Writer, items iter.Seq2[*T, error], columns []column[T]) error {
	out := csv.NewWriter(w)
	row := names(columns)
	if err := out.Write(row); err != nil {
		return err
	}
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := out.Write(csvRow(row, columns, item)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func names[T any](columns []column[T]) []string {
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	return row
}

// csvRow fills row with an item's cells.
func csvRow[T any](row []string, columns []column[T], item *T) []string {
	for i, c := range columns {
		row[i] = csvCell(c.cell(item))
	}
	return row
}

// heads are the names of columns as a table shows them.
func heads[T any](columns []column[T]) []string {
	row := names(columns)
	for i := range row {
		row[i] = strings.ToUpper(row[i])
	}
	return row
}

func tableRow[T any](columns []column[T], item *T) []string {
	row := make([]string, len(columns))
	for i, c := range columns {
		if row[i] = printable.Text(c.cell(item)); row[i] == "" {
			row[i] = "-"
		}
	}
	return row
}

// tableChunk is how many rows of a table are aligned at a time: a journal may be long.
const tableChunk = 1000

func showTable[T any](w io.Writer, items iter.Seq2[*T, error], columns []column[T], colours bool) error {
	t := table{w: w, columns: names(columns), colours: colours, widths: make([]int, len(columns))}
	rows := [][]string{heads(columns)}
	for item, err := range items {
		if err != nil {
			return err
		}
		if rows = append(rows, tableRow(columns, item)); len(rows) == tableChunk {
			if err := t.flush(rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return t.flush(rows)
}

// table is what a table's rows share.
type table struct {
	w       io.Writer
	columns []string
	widths  []int // in runes; columns are never narrower than those before
	headed  bool  // the head was printed
	colours bool
}

// flush prints rows, the first of which is the head at the first time.
func (t *table) flush(rows [][]string) error {
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			text, gap := cell, "\n"
			if last := len(row) - 1; i < last {
				text, gap = fmt.Sprintf("%-*s", t.widths[i], cell), "  "
			}
			line.WriteString(t.paint(t.columns[i], cell, text) + gap)
		}
		t.headed = true
		if _, err := io.WriteString(t.w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// paint colours a cell; text is what is printed of it.
func (t *table) paint(column, cell, text string) string {
	switch {
	case !t.colours:
		return text
	case !t.headed:
		return paint(bold, text)
	}
	return paint(colourOf(column, cell), text)
}
