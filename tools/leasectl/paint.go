package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// colourModes are the values of --color.
var colourModes = []string{"auto", "always", "never"}

// Ways to show text, as ANSI terminals know them.
const (
	bold    = "1"
	faint   = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

// colourful reports whether tables are coloured: on a terminal, unless its user wants none.
func (a *app) colourful() bool {
	switch a.color {
	case "always":
		return true
	case "auto":
		return isTerminal(a.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return false
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// paint wraps text, which is escaped already and padded.
func paint(how, text string) string {
	if how == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", how, text)
}

// colourOf returns how a cell is shown: what is in doubt stands out. Only columns whose words are ours count: text from
// outside may say "unknown" as well.
func colourOf(column, cell string) string {
	switch column {
	case "certainty", "state", "severity", "end", "leases", "held", "stale", "blocked", "free", "adds", "dels", "refused", "bytes":
	default:
		return ""
	}
	switch cell {
	case "uncertain", "several", "history":
		return yellow
	case "unknown", "damage":
		return red
	}
	return ""
}
