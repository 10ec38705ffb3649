package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/replay"
)

// Sizes of pictures, in signs and lines.
const (
	narrowest = 20  // less is drawn as if it were that, and wraps
	usualWide = 80  // where nothing tells the width
	widest    = 400 // more says nothing more
)

// screen is what pictures are drawn for.
type screen struct {
	width   int
	height  int // 0 where lines go on without end
	colours bool
	signs   *signSet
}

// screen returns what stdout is, as far as that can be told: a terminal says how large it is, and COLUMNS says it where there is none.
func (a *app) screen() *screen {
	if a.drawnOn != nil {
		return a.drawnOn
	}
	sc := &screen{width: usualWide, colours: a.colourful(), signs: &unicodeSigns}
	if a.ascii || !speaksUTF8() {
		sc.signs = &asciiSigns
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		sc.width = n
	}
	if width, _, ok := sizeOf(a.stdout); ok {
		sc.width = width
	}
	sc.width = min(max(sc.width, narrowest), widest)
	return sc
}

// sizeOf returns the size of a terminal, and false if it is none or doesn't know.
func sizeOf(w io.Writer) (width, height int, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// speaksUTF8 reports whether the locale's characters are those of Unicode: the first of the variables that is set decides.
func speaksUTF8() bool {
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// look is what one sign of a picture stands for. Looks are worse from top to bottom as far as they are about what is not known.
type look uint8

// What signs stand for. Those of shares stand for more than one address, or for more than one instant.
const (
	lookNotOurs look = iota
	lookExcluded
	lookReserved
	lookGateway
	lookCooling
	lookFree
	lookHeld
	lookUnsure // held, or may have been
	lookUnknown
	lookShare                       // some of it held: the first of the shares
	lookUnsureShare = lookShare + 7 // likewise, and not all of that is certain
	looks           = lookUnsureShare + 2
)

// signSet is how looks are drawn.
type signSet struct {
	of                   [looks]rune
	shares, unsureShares string // what the legend says of them
}

var unicodeSigns = signSet{
	of:     [looks]rune{'-', '×', 'R', 'G', '~', '·', '█', '▓', '╱', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '░', '▒'},
	shares: "▁▂▃▄▅▆▇", unsureShares: "░▒",
}

var asciiSigns = signSet{
	of:     [looks]rune{'-', 'x', 'R', 'G', '~', '.', '#', '%', '?', ':', ':', ':', '+', '+', '*', '*', 'o', 'o'},
	shares: ":+*", unsureShares: "o",
}

// shareLook returns the look of something of which a part is held. No part is too small to be seen, and none passes for all.
func shareLook(held, of float64, sure bool) look {
	share := held / of
	switch {
	case share >= 1 && sure:
		return lookHeld
	case share >= 1:
		return lookUnsure
	case sure:
		return lookShare + look(min(max(int(share*8+0.5), 1), 7)-1)
	}
	return lookUnsureShare + look(min(int(share*2), 1))
}

// colour returns how a look is painted: what is not known stands out.
func (l look) colour() string {
	switch {
	case l == lookUnknown:
		return red
	case l == lookUnsure || l >= lookUnsureShare:
		return yellow
	case l == lookHeld || l >= lookShare:
		return green
	case l == lookGateway:
		return cyan
	case l == lookCooling, l == lookReserved, l == lookExcluded:
		return magenta
	}
	return faint
}

// stateLooks are how states are drawn.
var stateLooks = [...]look{replay.StateUnknown: lookUnknown, replay.StateHeld: lookHeld, replay.StateFree: lookFree, replay.StateCooling: lookCooling,
	replay.StateGateway: lookGateway, replay.StateReserved: lookReserved, replay.StateExcluded: lookExcluded, replay.StateNotOurs: lookNotOurs}

// lookNames are the words of the legend, but for shares.
var lookNames = [...]string{"not ours", "excluded", "reserved", "gateway", "cooling", "free", "held", "held, uncertain", "unknown"}

// draw returns a row of looks as text.
func (sc *screen) draw(row []look) string {
	var b strings.Builder
	for len(row) > 0 {
		n := 1
		for n < len(row) && row[n].colour() == row[0].colour() {
			n++
		}
		var text strings.Builder
		for _, l := range row[:n] {
			text.WriteRune(sc.signs.of[l])
		}
		b.WriteString(sc.paint(row[0].colour(), text.String()))
		row = row[n:]
	}
	return b.String()
}

func (sc *screen) paint(how, text string) string {
	if !sc.colours {
		return text
	}
	return paint(how, text)
}

// title sets text that heads a picture.
func (sc *screen) title(text string) []string {
	lines := sc.wrap(text, 2)
	for i := range lines {
		lines[i] = sc.paint(bold, lines[i])
	}
	return lines
}

// certain paints the last word of lines, which says how certain they are.
func (sc *screen) certain(lines []string, certainty string) []string {
	last := len(lines) - 1
	if head, ok := strings.CutSuffix(lines[last], certainty); ok {
		lines[last] = head + sc.paint(colourOf("certainty", certainty), certainty)
	}
	return lines
}

// legend names the looks that a picture has, and always those that must not be taken for one another.
func (sc *screen) legend(seen *[looks]bool, part string) []string {
	var entries []entry
	add := func(l look, signs, words string) {
		entries = append(entries, entry{l, signs, words})
	}
	sign := func(l look) string { return string(sc.signs.of[l]) }
	share := func(from, to look) bool {
		for l := from; l < to; l++ {
			if seen[l] {
				return true
			}
		}
		return false
	}
	if seen[lookHeld] {
		add(lookHeld, sign(lookHeld), lookNames[lookHeld])
	}
	if share(lookShare, lookUnsureShare) {
		add(lookShare, sc.signs.shares, part)
	}
	if seen[lookUnsure] {
		add(lookUnsure, sign(lookUnsure), lookNames[lookUnsure])
	}
	if share(lookUnsureShare, looks) {
		add(lookUnsureShare, sc.signs.unsureShares, part+", uncertain")
	}
	for _, l := range []look{lookFree, lookCooling, lookGateway, lookReserved, lookExcluded, lookNotOurs, lookUnknown} {
		if seen[l] || l == lookFree || l == lookUnknown {
			add(l, sign(l), lookNames[l])
		}
	}
	return sc.flow(entries)
}

// entry is a sign with what it means.
type entry struct {
	look
	signs, words string
}

// flow sets entries into lines.
func (sc *screen) flow(entries []entry) []string {
	var lines []string
	width := 0
	for i, e := range entries {
		n := utf8.RuneCountInString(e.signs)
		words := sc.lay(strings.Repeat(" ", n+1), e.words, n+1)
		first := sc.paint(e.colour(), e.signs) + words[0][n:]
		n = utf8.RuneCountInString(words[0])
		switch {
		case i > 0 && len(words) == 1 && width+2+n <= sc.width:
			lines[len(lines)-1] += "  " + first
			width += 2 + n
		default:
			lines = append(append(lines, first), words[1:]...)
			if width = n; len(words) > 1 {
				width = sc.width
			}
		}
	}
	return lines
}

// wrap breaks text, which is escaped already, into lines: between words where that is possible. Lines after the first are indented.
func (sc *screen) wrap(text string, indent int) []string { return sc.lay("", text, indent) }

// wrapBehind is wrap for text behind what its first line begins with, and below it.
func (sc *screen) wrapBehind(lead, text string) []string {
	return sc.lay(lead, text, utf8.RuneCountInString(lead))
}

func (sc *screen) lay(lead, text string, indent int) []string {
	if sc.signs == &asciiSigns {
		text = asciiText(text)
	}
	var lines []string
	line, width, empty := lead, utf8.RuneCountInString(lead), true
	next := func() {
		lines = append(lines, line)
		line, width, empty = strings.Repeat(" ", indent), indent, true
	}
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && width+1+n > sc.width {
			next()
		} else if !empty {
			line, width = line+" ", width+1
		}
		for ; width+n > sc.width; n = utf8.RuneCountInString(word) { // longer than a line
			runes := []rune(word)
			cut := sc.width - width
			line, word = line+string(runes[:cut]), string(runes[cut:])
			next()
		}
		line, width, empty = line+word, width+n, false
	}
	if !empty || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// asciiText writes what is not ASCII as Go does in strings, as printable.Text does with what shows nothing.
func asciiText(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r == '…': // shortID's
			b.WriteString("...")
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// picture is text that is drawn line by line.
type picture struct{ lines []string }

func (p *picture) add(lines ...string) { p.lines = append(p.lines, lines...) }

func (p *picture) addf(format string, args ...any) { p.add(fmt.Sprintf(format, args...)) }

// write prints the picture.
func (p *picture) write(w io.Writer) error {
	var b strings.Builder
	for _, line := range p.lines {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
