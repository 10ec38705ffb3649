package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leaselog/leaselog/internal/printable"
)

func TestCSVCell(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "pod-1/eth0", "pod-1/eth0"},
		{"terminal", "\x1b]0;x\a", `\x1b]0;x\x07`},
		{"formula", "=1+1", "'=1+1"},
		{"minus", "-1", "'-1"},
		{"full width", "＝1", "'＝1"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := csvCell(tt.text); got != tt.want {
				t.Errorf("csvCell(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestMarshal(t *testing.T) {
	got, err := marshal("a\u202e\u3164\ufe0f\u2800\U000e0001ż")
	if want := `"a\u202e\u3164\ufe0f\u2800\udb40\udc01ż"`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func FuzzMarshal(f *testing.F) {
	f.Add("\x1b[2J\u202e\\\xff\U000e0001\u3164")
	f.Fuzz(func(t *testing.T, s string) {
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
		if bytes.ContainsFunc(b, func(r rune) bool { return !printable.Shown(r) }) {
			t.Errorf("JSON of %q holds what shows nothing: %s", s, b)
		}
	})
}
