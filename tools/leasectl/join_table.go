package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// joinBuffer is how much of FILE is read at a time, and how much of its beginning is looked at to tell what it is.
	joinBuffer = 256 << 10
	// longestRow bounds what a row may take: it has to be in memory as a whole.
	longestRow = 16 << 20
)

// rowKind says what a row of FILE is.
type rowKind uint8

const (
	rowData   rowKind = iota
	rowHeader         // it gets the names of the added columns
	rowOther          // a comment or an empty line, passed on as it is
	rowBad            // not a row of this table; see joinRow.reason
	rowMute           // likewise, and there is no place in it to say so: passed on as it is
)

// joinRow is a row of FILE as it was read. Its bytes are good until the next row is read.
type joinRow struct {
	kind   rowKind
	line   []byte   // without its end
	eol    []byte   // its end: "\n", "\r\n", or nothing after the last one
	when   []byte   // the cell of the time
	ips    [][]byte // the cells of the addresses, in the order that they were asked for; empty if they hold none
	reason string   // of a bad one: why
	at     int      // where in line the added columns go
}

// joinTable is a file's format: it finds rows and cells, and says how answers are added.
type joinTable interface {
	// next reads the next row. The error is io.EOF behind the last one.
	next(*joinRow) error
	// begin appends what comes before the added cells, end what comes behind them with the reason why
	// the row could not be answered, or "".
	begin(dst []byte, row *joinRow) []byte
	end(dst []byte, row *joinRow, reason string) []byte
	// answer appends the cells of the i-th address column; nil is a cell that holds no address.
	answer(dst []byte, i int, ans *joinAnswer) []byte
	// header is begin to end for a header row.
	header(dst []byte, row *joinRow) []byte
	// source is where the lines come from.
	source() *lines
	// words says what was found out about the file.
	words() []string
}

// lines hands out the lines of a file, each with its end. Quotes may hold ends of lines if the caller says so.
type lines struct {
	r          io.Reader
	buf        []byte
	start, end int
	err        error // of r
	row        int64 // of the line handed out last, from 1 on
}

func newLines(r io.Reader) *lines { return &lines{r: r, buf: make([]byte, joinBuffer)} }

// fill reads more behind what is there, which it may move. It returns false at the end of the file or at an error.
func (l *lines) fill() (bool, error) {
	if l.err != nil {
		return false, l.failure()
	}
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	if l.end == len(l.buf) {
		if len(l.buf) >= longestRow {
			return false, fmt.Errorf("row %d: longer than %d MiB", l.row+1, longestRow>>20)
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	for l.err == nil {
		var n int
		n, l.err = l.r.Read(l.buf[l.end:])
		if l.end += n; n > 0 {
			return true, nil
		}
	}
	return false, l.failure()
}

func (l *lines) failure() error {
	if errors.Is(l.err, io.EOF) {
		return nil
	}
	return fmt.Errorf("row %d: %w", l.row+1, l.err)
}

// peek returns the file's beginning without taking it. Whole says that it is all there is.
func (l *lines) peek() (head []byte, whole bool, err error) {
	for l.end < joinBuffer/4 {
		more, err := l.fill()
		if err != nil {
			return nil, false, err
		}
		if !more {
			return l.buf[:l.end], true, nil
		}
	}
	return l.buf[l.start:l.end], false, nil
}

// next returns the next line and how many of its bytes are its end. With a delimiter other than 0, ends of
// lines in quoted cells are part of the line; open reports that the file ends within such a cell.
func (l *lines) next(delimiter byte) (line, eol []byte, open bool, err error) {
	var q quotes
	for from := 0; ; {
		have := l.buf[l.start:l.end]
		i := bytes.IndexByte(have[from:], '\n')
		stop := len(have)
		if i >= 0 {
			stop = from + i
		}
		if delimiter != 0 {
			q.scan(have[from:stop], delimiter)
		}
		if i >= 0 && !q.in {
			line, eol = cutEnd(have[:stop+1])
			l.start += stop + 1
			l.row++
			return line, eol, false, nil
		}
		if i >= 0 {
			from = stop + 1
			continue
		}
		from = stop
		more, err := l.fill()
		if err != nil {
			return nil, nil, false, err
		}
		if more {
			continue
		}
		if len(have) == 0 {
			return nil, nil, false, io.EOF
		}
		line, eol = cutEnd(l.buf[l.start:l.end])
		l.start = l.end
		l.row++
		return line, eol, q.in, nil
	}
}

func cutEnd(b []byte) (line, eol []byte) {
	n := len(b)
	if n > 0 && b[n-1] == '\n' {
		n--
		if n > 0 && b[n-1] == '\r' {
			n--
		}
	}
	return b[:n], b[n:]
}

// quotes follows quoted cells of CSV through pieces of a row.
type quotes struct {
	in    bool // within a quoted cell
	shut  bool // the byte before was a quote within it: its end, or the first of two
	inner bool // within a cell that began without a quote: quotes mean nothing there
}

func (q *quotes) scan(b []byte, delimiter byte) {
	if !q.in && !q.shut && bytes.IndexByte(b, '"') < 0 {
		if len(b) > 0 {
			q.inner = b[len(b)-1] != delimiter // the row may go on in another piece
		}
		return
	}
	for _, c := range b {
		switch {
		case q.shut && c == '"':
			q.in, q.shut = true, false
		case q.in:
			if c == '"' {
				q.in, q.shut = false, true
			}
		case c == delimiter:
			q.shut, q.inner = false, false
		case c == '"' && !q.inner && !q.shut:
			q.in = true
		default:
			q.inner, q.shut = true, false
		}
	}
}
