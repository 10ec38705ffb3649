package report

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// column is a row of numbers, or of bytes, of one kind.
type column []byte

// room makes room for n bytes: columns get long, and append alone would copy one over and over.
func (c *column) room(n int) {
	if cap(*c)-len(*c) < n {
		*c = slices.Grow(*c, max(n, len(*c)))
	}
}

// uvarint appends a number that is not negative.
func (c *column) uvarint(n uint64) {
	c.room(binary.MaxVarintLen64)
	*c = binary.AppendUvarint(*c, n)
}

// zigzag appends a number of either sign.
func (c *column) zigzag(n int64) { c.uvarint(uint64(n<<1) ^ uint64(n>>63)) }

func (c *column) byte(b byte) {
	c.room(1)
	*c = append(*c, b)
}

// text appends a text with its length in front.
func (c *column) text(lengths *column, s string) {
	lengths.uvarint(uint64(len(s)))
	c.room(len(s))
	*c = append(*c, s...)
}

// instant is a time: milliseconds since 1970, and the nanoseconds beyond them.
type instant [2]int64

const perMilli = int64(time.Millisecond)

func instantOf(ns int64) instant {
	ms, rest := floor(ns, perMilli)
	return instant{ms, rest}
}

// floor divides so that the rest is not negative, before 1970 too.
func floor(n, by int64) (quotient, rest int64) {
	quotient, rest = n/by, n%by
	if rest < 0 {
		quotient, rest = quotient-1, rest+by
	}
	return quotient, rest
}

// offset returns by how much a time is later than another. It may be more than an int64 holds.
func offset(of, from int64) instant {
	a, b := instantOf(of), instantOf(from)
	if a[1] -= b[1]; a[1] < 0 {
		a[0], a[1] = a[0]-1, a[1]+perMilli
	}
	return instant{a[0] - b[0], a[1]}
}

// run is from which index on a value is so: [index, value].
type run [2]int

// addRun appends to a list of runs.
func addRun(runs []run, index, value int) []run {
	if n := len(runs); n > 0 && runs[n-1][1] == value {
		return runs
	}
	return append(runs, run{index, value})
}

// marshal is JSON with all text as it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the page's data: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// valid is the text in UTF-8: each byte that is none becomes a U+FFFD, as in JSON.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
