package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	tests := []struct{ name, text, want, cell string }{
		{"plain", "pod-1/eth0", "pod-1/eth0", "pod-1/eth0"},
		{"letters", "żółw", "żółw", "żółw"},
		{"terminal", "\x1b]0;x\a", `\x1b]0;x\x07`, `\x1b]0;x\x07`},
		{"C1 control", "\u009b31m", `\u009b31m`, `\u009b31m`},
		{"turned around", "a\u202eb", `a\u202eb`, `a\u202eb`},
		{"not UTF-8", "a\xff", `a\xff`, `a\xff`},
		{"backslash", `a\x1b`, `a\\x1b`, `a\\x1b`},
		{"lines", "a\r\nb\tc", `a\x0d\x0ab\x09c`, `a\x0d\x0ab\x09c`},
		{"beyond 16 bits", "\U000e0001", `\U000e0001`, `\U000e0001`},
		{"formula", "=1+1", "=1+1", "'=1+1"},
		{"minus", "-1", "-1", "'-1"},
		{"full width", "＝1", "＝1", "'＝1"},
		{"empty", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := escape(tt.text); got != tt.want {
				t.Errorf("escape(%q) = %q, want %q", tt.text, got, tt.want)
			}
			if got := csvCell(tt.text); got != tt.cell {
				t.Errorf("csvCell(%q) = %q, want %q", tt.text, got, tt.cell)
			}
		})
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("\x1b[2J\u202e\\\xff\U000e0001")
	f.Fuzz(func(t *testing.T, s string) {
		shown := escape(s)
		for _, r := range shown {
			if !strconv.IsPrint(r) {
				t.Errorf("escape(%q) holds %q", s, r)
			}
		}
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(shown, `"`, `\"`) + `"`)
		if err != nil || back != s {
			t.Errorf("escape(%q) reads back as %q, %v", s, back, err)
		}
		b, err := marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(b, &got); err != nil || got != strings.ToValidUTF8(got, "") || !utf8.Valid(b) {
			t.Errorf("JSON of %q: %s, %v", s, b, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Errorf("JSON of %q reads back as %q", s, got)
		}
		if bytes.ContainsFunc(b, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("JSON of %q holds what doesn't print: %s", s, b)
		}
	})
}
