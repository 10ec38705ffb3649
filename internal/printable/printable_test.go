package printable_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/internal/printable"
)

func TestText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "pod-1/eth0", "pod-1/eth0"},
		{"letters", "żółw 日本", "żółw 日本"},
		{"terminal", "\x1b]0;x\a", `\x1b]0;x\x07`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"turned around", "a\u202eb\u2066", `a\u202eb\u2066`},
		{"zero width", "a\u200b\ufeff", `a\u200b\ufeff`},
		{"letters that show nothing", "\u115f\u3164\uffa0", `\u115f\u3164\uffa0`},
		{"marks that show nothing", "a\u034f\ufe0f\U000e0100", `a\u034f\ufe0f\U000e0100`},
		{"a symbol that shows nothing", "\u2800", `\u2800`},
		{"spaces", "a\u00a0\u3000b", `a\u00a0\u3000b`},
		{"a mark without a letter", "\u0301a\u0301", `\u0301` + "a\u0301"},
		{"two of them", "\u0301\u0302", `\u0301` + "\u0302"},
		{"a heap of marks", "a\u0301\u0302\u0303\u0304b\u0301", "a\u0301\u0302" + `\u0303\u0304` + "b\u0301"},
		{"not UTF-8", "a\xff", `a\xff`},
		{"backslash", `a\x1b`, `a\\x1b`},
		{"lines", "a\r\nb\tc", `a\x0d\x0ab\x09c`},
		{"beyond 16 bits", "\U000e0001", `\U000e0001`},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := printable.Text(tt.text); got != tt.want {
				t.Errorf("Text(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[2J\u202e\\\xff\U000e0001\u0301\u3164")
	f.Fuzz(func(t *testing.T, s string) {
		shown := printable.Text(s)
		for _, r := range shown {
			if !printable.Shown(r) {
				t.Errorf("Text(%q) holds %q", s, r)
			}
		}
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(shown, `"`, `\"`) + `"`)
		if err != nil || back != s {
			t.Errorf("Text(%q) reads back as %q, %v", s, back, err)
		}
	})
}
