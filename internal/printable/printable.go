// Package printable makes text from outside harmless wherever a person reads it: on a terminal, in a table, in the HTML of a page.
// What runs in the page does the same, see report/web/src/text.ts.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text writes what has no shape of its own, invalid UTF-8 and backslashes as Go does in strings, so that the text stays unambiguous, and
// marks that would cover what stands before or above.
func Text(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	marks := 0 // in a row
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		mark := unicode.IsMark(r)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\\':
			b.WriteString(`\\`)
		case Shown(r) && !(mark && (b.Len() == 0 || marks >= 2)):
			b.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		if marks++; !mark {
			marks = 0
		}
		s = s[n:]
	}
	return b.String()
}

// plain reports whether there is nothing to do, as nearly always.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// Shown reports whether a character has a shape of its own. Controls have none, nor what turns text around; and some letters, marks and
// symbols show nothing.
func Shown(r rune) bool {
	const brailleBlank = '\u2800'
	return strconv.IsPrint(r) && r != brailleBlank && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
