package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\xef\xbb\xbf"

// csvTable is comma-separated values with whatever delimiter, quoted as RFC 4180 has it. Cells are kept as
// they are; what is added stands behind them.
type csvTable struct {
	asked     *joinColumns
	lines     *lines
	delimiter byte
	when      int // cells, from 0 on
	ips       []int
	last      int // of them the one furthest right
	width     int // cells in the first row
	headed    bool
	begun     bool
	cells     [][]byte
	unquoted  []byte
}

func newCSV(in *lines, asked *joinColumns, delimiter byte) (*csvTable, error) {
	t := &csvTable{asked: asked, lines: in, delimiter: delimiter, headed: true, ips: make([]int, len(asked.ips))}
	head, whole, err := in.peek()
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(head, []byte(byteOrderMark)) {
		head = head[len(byteOrderMark):]
	}
	first := &lines{r: bytes.NewReader(head), buf: make([]byte, joinBuffer)}
	if t.delimiter == 0 {
		t.delimiter = likelyDelimiter(head)
	}
	line, eol, open, err := first.next(t.delimiter)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file is empty: there is no row that names the columns")
	case open || len(eol) == 0 && !whole:
		return nil, fmt.Errorf("row 1: its end is not within %d KiB: not CSV? give --format", joinBuffer>>12)
	}
	t.split(line)
	t.width = len(t.cells)
	return t, t.resolve()
}

// likelyDelimiter is the one of the usual delimiters that the first line has most of.
func likelyDelimiter(head []byte) byte {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := byte(','), 0
	for _, d := range []byte(",;\t|") {
		if n := bytes.Count(line, []byte{d}); n > most {
			best, most = d, n
		}
	}
	return best
}

// resolve finds the columns asked for in the first row, whose cells are in t.cells, and whether it is a header.
func (t *csvTable) resolve() error {
	first := make([]string, len(t.cells))
	for i, c := range t.cells {
		first[i] = string(c)
	}
	find := func(name string) (int, error) {
		if n, err := strconv.Atoi(name); err == nil {
			if n < 1 || n > len(first) {
				return 0, fmt.Errorf("no column %d: the first row has %s", n, counted(int64(len(first)), "cell"))
			}
			return n - 1, nil
		}
		return t.asked.find(name, first)
	}
	var err error
	if t.when, err = find(t.asked.when); err != nil {
		return err
	}
	numbers := isNumber(t.asked.when)
	for i, name := range t.asked.ips {
		if t.ips[i], err = find(name); err != nil {
			return err
		}
		numbers = numbers && isNumber(name)
	}
	t.last = max(t.when, slices.Max(t.ips))
	// Columns that are all given by number may be those of a file without a header: then the first row is data.
	if numbers && t.asked.looksLikeData(first[t.when], first[t.ips[0]]) {
		t.headed = false
	}
	for i, c := range t.ips {
		name := first[c]
		if !t.headed {
			name = "column" + strconv.Itoa(c+1)
		}
		t.asked.names[i] = name
	}
	if t.headed {
		return t.asked.unused(first)
	}
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// split puts the cells of a row in t.cells, unquoted. Text outside of a cell's quotes is refused.
func (t *csvTable) split(line []byte) (ok bool) {
	t.cells, t.unquoted = t.cells[:0], t.unquoted[:0]
	if bytes.IndexByte(line, '"') < 0 {
		for {
			i := bytes.IndexByte(line, t.delimiter)
			if i < 0 {
				t.cells = append(t.cells, line)
				return true
			}
			t.cells = append(t.cells, line[:i])
			line = line[i+1:]
		}
	}
	for {
		if len(line) == 0 || line[0] != '"' {
			i := bytes.IndexByte(line, t.delimiter)
			if i < 0 {
				t.cells = append(t.cells, line)
				return true
			}
			t.cells = append(t.cells, line[:i])
			line = line[i+1:]
			continue
		}
		cell, rest, ok := t.quoted(line[1:])
		if !ok {
			return false
		}
		t.cells = append(t.cells, cell)
		if len(rest) == 0 {
			return true
		}
		if rest[0] != t.delimiter {
			return false
		}
		line = rest[1:]
	}
}

// quoted returns a cell whose opening quote was read, and what follows its closing one.
func (t *csvTable) quoted(b []byte) (cell, rest []byte, ok bool) {
	from := len(t.unquoted)
	for {
		i := bytes.IndexByte(b, '"')
		switch {
		case i < 0:
			return nil, nil, false
		case i+1 == len(b) || b[i+1] != '"':
			if len(t.unquoted) == from {
				return b[:i], b[i+1:], true
			}
			t.unquoted = append(t.unquoted, b[:i]...)
			return t.unquoted[from:], b[i+1:], true
		}
		t.unquoted = append(t.unquoted, b[:i+1]...)
		b = b[i+2:]
	}
}

func (t *csvTable) next(row *joinRow) error {
	line, eol, open, err := t.lines.next(t.delimiter)
	if err != nil {
		return err
	}
	*row = joinRow{line: line, eol: eol, ips: row.ips[:0], at: len(line)}
	first := !t.begun
	t.begun = true
	switch {
	case first && t.headed:
		row.kind = rowHeader
		return nil
	case first && bytes.HasPrefix(line, []byte(byteOrderMark)):
		line = line[len(byteOrderMark):]
	case len(line) == 0:
		row.kind = rowOther
		return nil
	}
	switch {
	case open:
		row.kind, row.reason = rowMute, "a quote is opened and not closed"
	case !t.split(line):
		row.kind, row.reason = rowBad, "text behind a closing quote"
	case len(t.cells) != t.width:
		row.kind, row.reason = rowBad, fmt.Sprintf("%s, where the first row has %d", counted(int64(len(t.cells)), "cell"), t.width)
	default:
		row.when = t.cells[t.when]
		for _, c := range t.ips {
			row.ips = append(row.ips, t.cells[c])
		}
	}
	return nil
}

func (t *csvTable) begin(dst []byte, row *joinRow) []byte {
	dst = append(dst, row.line...)
	if row.kind == rowBad {
		// What is added stands below its name also behind a row that is too short.
		for i := len(t.cells); i < t.width; i++ {
			dst = append(dst, t.delimiter)
		}
	}
	return dst
}

func (t *csvTable) end(dst []byte, row *joinRow, reason string) []byte {
	dst = append(dst, t.delimiter)
	if reason != "" {
		dst = appendCSV(dst, reason, t.delimiter)
	}
	return append(dst, row.eol...)
}

func (t *csvTable) answer(dst []byte, _ int, ans *joinAnswer) []byte {
	if ans == nil {
		for range joinCells {
			dst = append(dst, t.delimiter)
		}
		return dst
	}
	if ans.cells == nil {
		for i := range joinCells {
			ans.cells = appendQuoted(append(ans.cells, t.delimiter), joinCells[i].cell(ans, csvCell), t.delimiter)
		}
		ans.forget()
	}
	return append(dst, ans.cells...)
}

func (t *csvTable) header(dst []byte, row *joinRow) []byte {
	dst = append(dst, row.line...)
	for _, name := range t.asked.added() {
		dst = append(dst, t.delimiter)
		dst = appendCSV(dst, name, t.delimiter)
	}
	return append(dst, row.eol...)
}

func (t *csvTable) words() []string {
	head := "the first row is a header"
	if !t.headed {
		head = "there is no header"
	}
	name := map[byte]string{',': "comma", ';': "semicolon", '\t': "tab", '|': "bar"}[t.delimiter]
	return []string{fmt.Sprintf("CSV with %ss, %s", name, head)}
}

// appendCSV appends text from outside as a cell: escaped, no formula, and quoted where it has to be.
func appendCSV(dst []byte, s string, delimiter byte) []byte {
	return appendQuoted(dst, csvCell(s), delimiter)
}

func appendQuoted(dst []byte, s string, delimiter byte) []byte {
	r, _ := utf8.DecodeRuneInString(s)
	if s == "" || r != ' ' && strings.IndexByte(s, delimiter) < 0 && strings.IndexByte(s, '"') < 0 {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

func (t *csvTable) source() *lines { return t.lines }
