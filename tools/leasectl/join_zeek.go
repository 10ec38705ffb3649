package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leaselog/leaselog/internal/printable"
)

// zeekTable is the log format of Zeek: lines that begin with # say what the columns are, and may come again
// within a file.
type zeekTable struct {
	asked     *joinColumns
	lines     *lines
	separator byte
	empty     string // stands for an empty cell
	unset     string // stands for none
	when      int
	ips       []int
	width     int // fields, 0 before the first #fields
	marks     [2]string
	cells     [][]byte
	row       int64
}

func newZeek(in *lines, asked *joinColumns) (*zeekTable, error) {
	t := &zeekTable{asked: asked, lines: in, ips: make([]int, len(asked.ips))}
	t.reset()
	head, _, err := in.peek()
	if err != nil {
		return nil, err
	}
	first := zeekTable{asked: asked, lines: &lines{r: bytes.NewReader(head), buf: make([]byte, joinBuffer)}, ips: t.ips}
	first.reset()
	for row := (joinRow{}); first.width == 0; {
		if err := first.next(&row); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("no line with #fields: not a log of Zeek")
		} else if err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *zeekTable) reset() { t.separator, t.empty, t.unset = '\t', "(empty)", "-" }

func (t *zeekTable) next(row *joinRow) error {
	line, eol, _, err := t.lines.next(0)
	if err != nil {
		return err
	}
	t.row++
	*row = joinRow{line: line, eol: eol, ips: row.ips[:0], at: len(line)}
	if bytes.HasPrefix(line, []byte("#")) {
		return t.note(row)
	}
	if len(line) == 0 {
		row.kind = rowOther
		return nil
	}
	t.cells = t.cells[:0]
	for rest := line; ; {
		i := bytes.IndexByte(rest, t.separator)
		if i < 0 {
			t.cells = append(t.cells, rest)
			break
		}
		t.cells = append(t.cells, rest[:i])
		rest = rest[i+1:]
	}
	switch {
	case t.width == 0:
		row.kind, row.reason = rowMute, "there is no #fields before it"
	case len(t.cells) != t.width:
		row.kind, row.reason = rowBad, fmt.Sprintf("%s, where #fields names %d", counted(int64(len(t.cells)), "cell"), t.width)
	default:
		row.when = t.cell(t.when)
		for _, c := range t.ips {
			row.ips = append(row.ips, t.cell(c))
		}
	}
	return nil
}

func (t *zeekTable) cell(i int) []byte {
	c := t.cells[i]
	if string(c) == t.unset || string(c) == t.empty {
		return nil
	}
	return c
}

// note takes in a line that begins with #.
func (t *zeekTable) note(row *joinRow) error {
	row.kind = rowOther
	line := row.line
	if v, ok := bytes.CutPrefix(line, []byte("#separator ")); ok {
		s, err := strconv.Unquote(`"` + string(v) + `"`)
		if err != nil || len(s) != 1 {
			return fmt.Errorf("row %d: separator %q: want one byte such as \\x09", t.row, v)
		}
		if t.width > 0 && s[0] != t.separator {
			return fmt.Errorf("row %d: another separator than before: these are two logs", t.row)
		}
		t.reset()
		t.separator = s[0]
		return nil
	}
	name, rest, _ := bytes.Cut(line, []byte{t.separator})
	switch string(name) {
	case "#empty_field":
		t.empty = string(rest)
	case "#unset_field":
		t.unset = string(rest)
	case "#types":
		row.kind = rowHeader
	case "#fields":
		row.kind = rowHeader
		if err := t.resolve(strings.Split(string(rest), string(t.separator))); err != nil {
			return fmt.Errorf("row %d: %w", t.row, err)
		}
	}
	return nil
}

func (t *zeekTable) resolve(fields []string) (err error) {
	if t.width > 0 && t.marks != [2]string{t.empty, t.unset} {
		return errors.New("other marks for empty cells than before: these are two logs")
	}
	t.width, t.marks = len(fields), [2]string{t.empty, t.unset}
	find := func(name string) (int, error) {
		if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(fields) {
			return n - 1, nil
		}
		return t.asked.find(name, fields)
	}
	if t.when, err = find(t.asked.when); err != nil {
		return err
	}
	for i, name := range t.asked.ips {
		if t.ips[i], err = find(name); err != nil {
			return err
		}
		t.asked.names[i] = fields[t.ips[i]]
	}
	return t.asked.unused(fields)
}

func (t *zeekTable) begin(dst []byte, row *joinRow) []byte {
	dst = append(dst, row.line...)
	if row.kind == rowBad {
		for i := len(t.cells); i < t.width; i++ {
			dst = append(append(dst, t.separator), t.unset...)
		}
	}
	return dst
}

func (t *zeekTable) end(dst []byte, row *joinRow, reason string) []byte {
	dst = append(dst, t.separator)
	if reason == "" {
		reason = t.unset
	} else {
		reason = t.text(reason)
	}
	dst = append(dst, reason...)
	return append(dst, row.eol...)
}

func (t *zeekTable) answer(dst []byte, _ int, ans *joinAnswer) []byte {
	if ans == nil {
		for range joinCells {
			dst = append(append(dst, t.separator), t.unset...)
		}
		return dst
	}
	if ans.cells == nil {
		for i := range joinCells {
			ans.cells = append(append(ans.cells, t.separator), joinCells[i].cell(ans, t.text)...)
			if ans.cells[len(ans.cells)-1] == t.separator {
				ans.cells = append(ans.cells, t.unset...)
			}
		}
		ans.forget()
	}
	return append(dst, ans.cells...)
}

// text returns a cell as Zeek writes it: what shows nothing or could be taken for something else as \xNN.
func (t *zeekTable) text(s string) string {
	if s != "" && (s == t.unset || s == t.empty) {
		return fmt.Sprintf(`\x%02x`, s[0]) + s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '\\' || s[i] == t.separator || r == utf8.RuneError && n == 1 || !printable.Shown(r) {
			for ; n > 0; n-- {
				fmt.Fprintf(&b, `\x%02x`, s[i])
				i++
			}
			continue
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

func (t *zeekTable) header(dst []byte, row *joinRow) []byte {
	dst = append(dst, row.line...)
	names := slices.Clone(t.asked.added())
	if bytes.HasPrefix(row.line, []byte("#types")) {
		for i := range names {
			names[i] = "string"
		}
	}
	for _, name := range names {
		dst = append(append(dst, t.separator), t.text(name)...)
	}
	return append(dst, row.eol...)
}

func (t *zeekTable) words() []string { return []string{"a log of Zeek"} }

func (t *zeekTable) source() *lines { return t.lines }
