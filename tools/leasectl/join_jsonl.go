package main

import (
	"bytes"
	"errors"
	"fmt"
)

// deepest is how far JSON may be nested in a row.
const deepest = 1000

var (
	errNotJSON = errors.New("not JSON")
	errTooDeep = errors.New("JSON that is nested too deep")
)

// jsonScan checks that a line is one JSON object, and finds values in it on the way. It allocates
// nothing as long as keys have no escapes.
type jsonScan struct {
	b     []byte
	i     int
	names []string // that are looked for: keys, or paths of them with a dot between
	key   string   // at the top level, of which seen tells
	seen  bool
	found [][]byte // the value of each name as it stands, quotes included; nil if there is none
	twice bool     // some name has several

	matched []int // of each name, how much of it leads to the object that is read; -1 if it leads elsewhere
	empty   bool  // the object has no member
	shut    int   // where it ends: its closing brace
}

func newJSONScan(names []string, key string) *jsonScan {
	return &jsonScan{names: names, key: key, found: make([][]byte, len(names)), matched: make([]int, len(names))}
}

// object reads a whole line.
func (s *jsonScan) object(line []byte) error {
	s.b, s.i, s.seen, s.twice = line, 0, false, false
	for i := range s.found {
		s.found[i], s.matched[i] = nil, 0
	}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != '{' {
		return errors.New("not a JSON object")
	}
	if err := s.value(0); err != nil {
		return err
	}
	s.shut = s.i - 1
	inner := bytes.TrimLeft(line[bytes.IndexByte(line, '{')+1:], " \t\r")
	s.empty = inner[0] == '}'
	if s.space(); s.i != len(s.b) {
		return errors.New("something behind the JSON object")
	}
	return nil
}

func (s *jsonScan) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// value reads a value at the given depth, the space before it included.
func (s *jsonScan) value(depth int) error {
	if depth > deepest {
		return errTooDeep
	}
	if s.space(); s.i == len(s.b) {
		return errNotJSON
	}
	switch c := s.b[s.i]; {
	case c == '"':
		_, err := s.text()
		return err
	case c == '{':
		return s.members(depth)
	case c == '[':
		return s.elements(depth)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.b[s.i:], []byte(word)) {
			s.i += len(word)
			return nil
		}
	}
	return errNotJSON
}

// more reads what follows an element: true for a comma, false for the closing bracket.
func (s *jsonScan) more(shut byte) (bool, error) {
	if s.space(); s.i == len(s.b) {
		return false, errNotJSON
	}
	c := s.b[s.i]
	s.i++
	switch c {
	case ',':
		return true, nil
	case shut:
		return false, nil
	}
	return false, errNotJSON
}

func (s *jsonScan) elements(depth int) error {
	s.i++
	if s.space(); s.i < len(s.b) && s.b[s.i] == ']' {
		s.i++
		return nil
	}
	outside := s.leave()
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if more, err := s.more(']'); err != nil || !more {
			s.enter(outside)
			return err
		}
	}
}

func (s *jsonScan) members(depth int) error {
	s.i++
	if s.space(); s.i < len(s.b) && s.b[s.i] == '}' {
		s.i++
		return nil
	}
	for {
		if s.space(); s.i == len(s.b) || s.b[s.i] != '"' {
			return errNotJSON
		}
		raw, err := s.text()
		if err != nil {
			return err
		}
		key := raw[1 : len(raw)-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			key = []byte(unquoteJSON(raw))
		}
		if s.space(); s.i == len(s.b) || s.b[s.i] != ':' {
			return errNotJSON
		}
		s.i++
		s.seen = s.seen || depth == 0 && string(key) == s.key
		if err := s.member(key, depth); err != nil {
			return err
		}
		if more, err := s.more('}'); err != nil || !more {
			return err
		}
	}
}

// member reads the value of a key, and keeps it if it is one that is looked for.
func (s *jsonScan) member(key []byte, depth int) error {
	var kept [8]int
	before := append(kept[:0], s.matched...)
	var wanted [8]bool
	want := append(wanted[:0], make([]bool, len(s.names))...)
	for i, name := range s.names {
		m := s.matched[i]
		s.matched[i] = -1
		if m < 0 || len(name)-m < len(key) || name[m:m+len(key)] != string(key) {
			continue
		}
		if rest := name[m+len(key):]; rest == "" {
			want[i] = true
		} else if rest[0] == '.' {
			s.matched[i] = m + len(key) + 1
		}
	}
	s.space()
	from := s.i
	if err := s.value(depth + 1); err != nil {
		return err
	}
	copy(s.matched, before)
	for i, w := range want {
		if w {
			s.twice = s.twice || s.found[i] != nil
			s.found[i] = s.b[from:s.i]
		}
	}
	return nil
}

// leave turns away from all names: within a list they lead nowhere. enter undoes it.
func (s *jsonScan) leave() []int {
	for i := range s.matched {
		if s.matched[i] >= 0 {
			before := append([]int(nil), s.matched...)
			for j := range s.matched {
				s.matched[j] = -1
			}
			return before
		}
	}
	return nil
}

func (s *jsonScan) enter(before []int) {
	if before != nil {
		copy(s.matched, before)
	}
}

// text reads a string and returns it as it stands, quotes included.
func (s *jsonScan) text() ([]byte, error) {
	from := s.i
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[from:s.i], nil
		case c < ' ':
			return nil, errNotJSON
		case c == '\\':
			if s.i++; s.i == len(s.b) || bytes.IndexByte([]byte(`"\/bfnrtu`), s.b[s.i]) < 0 {
				return nil, errNotJSON
			}
			if s.b[s.i] == 'u' {
				for range 4 {
					if s.i++; s.i == len(s.b) || !isHex(s.b[s.i]) {
						return nil, errNotJSON
					}
				}
			}
		}
	}
	return nil, errNotJSON
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *jsonScan) digits() error {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	if s.i == from {
		return errNotJSON
	}
	return nil
}

func (s *jsonScan) number() error {
	if s.b[s.i] == '-' {
		s.i++
	}
	from := s.i
	if err := s.digits(); err != nil || s.b[from] == '0' && s.i > from+1 {
		return errNotJSON
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		if s.i++; s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return nil
}

// jsonTable is JSON Lines: an object a line, and what is added is one more member of it. Zeek's JSON is that, too.
type jsonTable struct {
	asked *joinColumns
	lines *lines
	scan  *jsonScan
	begun bool
	open  []byte   // what begins the member that is added
	keys  [][]byte // of the addresses in it
}

func newJSON(in *lines, asked *joinColumns) (*jsonTable, error) {
	t := &jsonTable{asked: asked, lines: in, open: append(appendJSON(nil, asked.key()), ':', '{')}
	copy(asked.names, asked.ips)
	for _, name := range asked.names {
		t.keys = append(t.keys, append(appendJSON(nil, name), ':'))
	}
	t.scan = newJSONScan(append([]string{asked.when}, asked.ips...), asked.key())
	return t, t.first()
}

// first looks whether the first objects have what is asked for: a misspelt name would leave every row unanswered.
func (t *jsonTable) first() error {
	head, whole, err := t.lines.peek()
	if err != nil {
		return err
	}
	var keys []string
	missing := ""
	for i := 0; i < 100 && len(head) > 0; i++ {
		line, rest, full := bytes.Cut(bytes.TrimPrefix(head, []byte(byteOrderMark)), []byte("\n"))
		if head = rest; !full && !whole {
			break
		}
		if t.scan.object(line) != nil {
			continue
		}
		before := missing
		missing = ""
		for j, v := range t.scan.found {
			if v == nil {
				missing = t.scan.names[j]
				break
			}
		}
		if missing == "" {
			return nil
		}
		if before != "" {
			missing = before
		}
		keys = topKeys(line, keys)
	}
	if missing == "" {
		return nil // no object at all: each row says so
	}
	_, err = t.asked.find(missing, keys)
	return err
}

func (t *jsonTable) next(row *joinRow) error {
	line, eol, _, err := t.lines.next(0)
	if err != nil {
		return err
	}
	*row = joinRow{line: line, eol: eol, ips: row.ips[:0]}
	mark := 0
	if !t.begun && bytes.HasPrefix(line, []byte(byteOrderMark)) {
		mark = len(byteOrderMark)
	}
	t.begun = true
	if len(bytes.TrimSpace(line)) == 0 {
		row.kind = rowOther
		return nil
	}
	if err := t.scan.object(line[mark:]); err != nil {
		row.kind, row.reason = rowMute, err.Error()
		return nil
	}
	if t.scan.seen {
		row.kind, row.reason = rowMute, fmt.Sprintf("it has a member %q already; --prefix names another", t.asked.key())
		return nil
	}
	row.at = mark + t.scan.shut
	if t.scan.twice {
		row.kind, row.reason = rowBad, "a member that is asked for is there twice"
		return nil
	}
	for i, v := range t.scan.found {
		c, ok := cellOf(v)
		if !ok {
			row.kind, row.reason = rowBad, fmt.Sprintf("%s is neither text nor a number", t.scan.names[i])
			return nil
		}
		if i == 0 {
			row.when = c
		} else {
			row.ips = append(row.ips, c)
		}
	}
	return nil
}

// cellOf returns a JSON value as a cell: what stands in a string, or a number. Null is an empty one, as is none.
func cellOf(v []byte) (cell []byte, ok bool) {
	switch {
	case len(v) == 0 || string(v) == "null":
		return nil, true
	case v[0] == '"':
		if bytes.IndexByte(v, '\\') >= 0 {
			return []byte(unquoteJSON(v)), true
		}
		return v[1 : len(v)-1], true
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return v, true
	}
	return nil, false
}

func (t *jsonTable) begin(dst []byte, row *joinRow) []byte {
	dst = append(dst, row.line[:row.at]...)
	if !t.scan.empty {
		dst = append(dst, ',')
	}
	return append(dst, t.open...)
}

func (t *jsonTable) answer(dst []byte, i int, ans *joinAnswer) []byte {
	if ans == nil {
		return dst
	}
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, t.keys[i]...)
	return append(dst, ans.json()...)
}

func (t *jsonTable) end(dst []byte, row *joinRow, reason string) []byte {
	if reason != "" {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, `"reason":`...)
		dst = appendJSON(dst, reason)
	}
	dst = append(dst, '}')
	dst = append(dst, row.line[row.at:]...)
	return append(dst, row.eol...)
}

func (t *jsonTable) header(dst []byte, _ *joinRow) []byte { return dst }

func (t *jsonTable) words() []string { return []string{"JSON Lines"} }

func (t *jsonTable) source() *lines { return t.lines }
