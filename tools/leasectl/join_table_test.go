package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// fixedLookup says the same of every address.
type fixedLookup struct{ ans joinAnswer }

func (f *fixedLookup) who(netip.Addr, int64) (*joinAnswer, error) { return &f.ans, nil }
func (f *fixedLookup) settle([]joinQuestion) error                { return nil }

// joinText joins a text with answers that are always the same, and returns what comes out.
func joinText(t *testing.T, in io.Reader, format, unit string) (string, *joiner, error) {
	t.Helper()
	var out, words bytes.Buffer
	q := joinAsked{columns: joinColumns{when: "t", ips: []string{"ip"}, names: []string{"ip"}}, format: format, unit: unit}
	table, _, err := openTable(in, &q)
	if err != nil {
		return "", nil, err
	}
	j := &joiner{a: &app{stdout: &out, stderr: &words}, table: table, look: &fixedLookup{joinAnswer{State: "held", Certainty: "certain",
		Holders: []joinHolder{{ContainerID: "c1"}}}}, out: &newFile{w: &out}, times: rowTimes{unit: unit, zone: time.UTC}, columns: &q.columns}
	err = j.run()
	return out.String(), j, err
}

// TestJoinCSVAgainstReader: what encoding/csv reads of a joined file is what it read before, and the new cells behind it.
func TestJoinCSVAgainstReader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	cells := []string{"", "a", "\"", "\"\"", "a,b", "x\ny", "\r\n", "ä", "\x00\x01", "=1", " \"q\"", strings.Repeat("long", 100), ";", "\t"}
	for range 300 {
		var in bytes.Buffer
		w := csv.NewWriter(&in)
		w.UseCRLF = rnd.IntN(2) == 0
		rows := [][]string{{"t", "ip", "x", "y"}}
		for range rnd.IntN(20) {
			rows = append(rows, []string{"1767225612", "10.0.0.2", cells[rnd.IntN(len(cells))], cells[rnd.IntN(len(cells))]})
		}
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		// A reader that gives a byte at a time meets every border between two reads.
		out, j, err := joinText(t, iotest.OneByteReader(bytes.NewReader(in.Bytes())), "csv", "s")
		if err != nil || j.bad != 0 {
			t.Fatalf("%q: %v, %d bad", in.String(), err, j.bad)
		}
		want, err := csv.NewReader(&in).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		got, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d rows became %d", len(want), len(got))
		}
		for i := range want {
			if fmt.Sprint(got[i][:4]) != fmt.Sprint(want[i]) {
				t.Fatalf("row %d: %q became %q", i, want[i], got[i])
			}
			if i > 0 && fmt.Sprint(got[i][4:]) != "[held c1   /  2  0 certain  ]" && got[i][4] != "held" {
				t.Fatalf("row %d: %q", i, got[i][4:])
			}
		}
	}
}

// TestJoinKeepsBytes: without what is added, rows are as they were.
func TestJoinKeepsBytes(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	tests := []struct{ name, format, in string }{
		{"crlf", "csv", "t,ip\r\n1,10.0.0.2\r\n"},
		{"no end", "csv", "t,ip\n1,10.0.0.2"},
		{"mark", "csv", byteOrderMark + "t,ip\n1,10.0.0.2\n"},
		{"binary", "csv", "t,ip,x\n1,10.0.0.2,\x00\xff\xfe\x1b[31m\n"},
		{"long row", "csv", "t,ip,x\n1,10.0.0.2," + long + "\n2,10.0.0.2,\"" + long + "\n\"\n"},
		{"ragged", "csv", "t,ip,x\n1,10.0.0.2\n1,10.0.0.2,3,4\n\n"},
		{"tabs", "tsv", "t\tip\n1\t10.0.0.2\n"},
		{"bars", "csv", "t|ip\n1|10.0.0.2\n"},
		{"json", "jsonl", "{\"t\":1,\"ip\":\"10.0.0.2\"}\r\n"},
		{"json with mark", "jsonl", byteOrderMark + "{\"t\":1,\"ip\":\"10.0.0.2\"}"},
		{"json long", "jsonl", "{\"t\":1,\"ip\":\"10.0.0.2\",\"x\":\"" + long + "\"}\n"},
		{"json binary", "jsonl", "{\"t\":1,\"ip\":\"10.0.0.2\"}\n\x00\x01\n\xff\n"},
		{"json broken", "jsonl", "{\"t\":1,\"ip\":\"10.0.0.2\"}\n{\"t\":1,\"ip\":\n[1]\n" + strings.Repeat("[", 5000) + "\n"},
		{"zeek", "zeek", "#separator \\x09\n#fields\tt\tip\n1\t10.0.0.2\n1\t\x00\xff\n#close\tx\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := joinText(t, strings.NewReader(tt.in), tt.format, "s")
			if err != nil {
				t.Fatal(err)
			}
			// What is added is in one piece of each line, so that the lines are there in order, each in two pieces.
			rest := out
			for line := range strings.SplitAfterSeq(tt.in, "\n") {
				body := strings.TrimRight(line, "\r\n")
				if tt.format == "jsonl" && json.Valid([]byte(strings.TrimPrefix(body, byteOrderMark))) {
					body = strings.TrimSuffix(body, "}")
				}
				i := strings.Index(rest, body)
				if i < 0 {
					t.Fatalf("%.80q is not in %.200q", line, rest)
				}
				rest = rest[i+len(body):]
				if end := line[len(strings.TrimRight(line, "\r\n")):]; !strings.Contains(rest, end) {
					t.Fatalf("the end of %.80q is not there", line)
				}
			}
			if a, b := strings.Count(out, "\n"), strings.Count(tt.in, "\n"); a != b {
				t.Errorf("%d lines became %d", b, a)
			}
			if a, b := strings.Count(out, "\r"), strings.Count(tt.in, "\r"); a != b {
				t.Errorf("%d carriage returns became %d", b, a)
			}
		})
	}
}

// TestJoinRefuses: what is not text of these kinds is refused before anything is written.
func TestJoinRefuses(t *testing.T) {
	tests := []struct {
		name, format string
		in           io.Reader
		want         string
	}{
		{"utf-16", "auto", strings.NewReader("\xff\xfet\x00"), "UTF-16"},
		{"array", "auto", strings.NewReader(" [\n{}]"), "JSON array"},
		{"nothing", "auto", strings.NewReader(""), "the file is empty"},
		{"zeros", "auto", strings.NewReader(strings.Repeat("\x00", 100)), `no column "t"`},
		{"endless row", "csv", strings.NewReader("t,ip\n1,\"" + strings.Repeat("x", longestRow)), "longer than 16 MiB"},
		{"broken disk", "csv", io.MultiReader(strings.NewReader("t,ip\n1,10.0.0.2\n"), iotest.ErrReader(errors.New("disk"))), "disk"},
		{"twice", "csv", strings.NewReader("t,ip,ip\n"), `column "ip" is there twice`},
		{"zeek separator", "zeek", strings.NewReader("#separator xy\n#fields\tt\tip\n"), "want one byte"},
		{"zeek two logs", "zeek", strings.NewReader("#fields\tt\tip\n#unset_field\tnone\n#fields\tt\tip\n"), "two logs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := joinText(t, tt.in, tt.format, "s")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzJSONScan: an object is one exactly if encoding/json says so, and what is added leaves it one.
func FuzzJSONScan(f *testing.F) {
	for _, s := range []string{`{}`, `{"t":1}`, ` {"t":-0.1e+5,"a":[1,{"ip":null}],"ip":"\u0031"} `, `{"t":01}`, `{"t":1,}`, `{"a.b":{"c":1}}`,
		"{\"t\":\"\x01\"}", `{"t":tru}`, `{"t":"\x"}`, `{"leaselog":1}`, `{"t":1}{}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s := newJSONScan([]string{"t", "a.ip"}, "leaselog")
		err := s.object([]byte(line))
		var object map[string]any
		want := json.Unmarshal([]byte(line), &object) == nil && object != nil
		if got := err == nil; got != want && !errors.Is(err, errTooDeep) {
			t.Fatalf("%q: %v, encoding/json: %v", line, err, want)
		}
		if err != nil {
			return
		}
		comma := ","
		if s.empty {
			comma = ""
		}
		if joined := line[:s.shut] + comma + `"leaselog":{}` + line[s.shut:]; !json.Valid([]byte(joined)) {
			t.Fatalf("%q became %q", line, joined)
		}
		if v, ok := object["t"]; ok != (s.found[0] != nil) && !s.twice {
			t.Fatalf("%q: t is %v, found %q", line, v, s.found[0])
		}
	})
}
