package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leaselog/leaselog/internal/printable"
)

// csvCell makes text harmless as tables do, and keeps a spreadsheet from running the text as a formula.
func csvCell(s string) string {
	s = printable.Text(s)
	if r, _ := utf8.DecodeRuneInString(s); strings.ContainsRune("=+-@＝＋－＠", r) {
		return "'" + s
	}
	return s
}

// safeJSON escapes what shows nothing in marshalled JSON: encoding/json leaves the
// controls from U+0080 on and the marks that turn text around. Beyond ASCII there are only strings.
func safeJSON(b []byte) []byte {
	var out bytes.Buffer
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r < utf8.RuneSelf && r != 0x7f, printable.Shown(r):
			out.Write(b[i : i+n])
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		i += n
	}
	return out.Bytes()
}
