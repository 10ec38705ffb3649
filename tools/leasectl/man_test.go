package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manDir is where make man wants the pages. What makes them is part of the tests, so that it isn't part of the tool.
var (
	manDir     = flag.String("man", "", "write the man pages to this folder")
	manVersion = flag.String("man-version", "", "version that the man pages are of")
	manDate    = flag.String("man-date", "", "date of the man pages, year-month-day")
)

// roffText escapes text for roff, where a backslash, and a dot or quote at the beginning of a line, mean something.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// manPage writes the page of a command.
func manPage(w io.Writer, cmd *cobra.Command, version, date string) {
	name := manName(cmd)
	fmt.Fprintf(w, ".TH %q 8 %q %q \"leasectl manual\"\n.nh\n.ad l\n", strings.ToUpper(name), date, "leasectl "+version)
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roffText(name), roffText(cmd.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n", roffText(cmd.UseLine()))
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	manText(w, text)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, ".SH COMMANDS\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roffText(c.Name()), roffText(c.Short))
			}
		}
	}
	manFlags(w, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(w, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprint(w, ".SH EXAMPLES\n.nf\n")
		for line := range strings.Lines(cmd.Example) {
			fmt.Fprintf(w, "%s\n", roffText(strings.TrimSuffix(line, "\n")))
		}
		fmt.Fprint(w, ".fi\n")
	}
	var others []string
	if cmd.HasParent() {
		others = append(others, manName(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			others = append(others, manName(c))
		}
	}
	fmt.Fprint(w, ".SH SEE ALSO\n")
	for i, other := range others {
		comma := ","
		if i == len(others)-1 {
			comma = ""
		}
		fmt.Fprintf(w, ".BR %s (8)%s\n", roffText(other), comma)
	}
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manText writes help as paragraphs. A line that is set in begins an entry of a list if there is a gap in it, and goes
// on with the entry before it otherwise.
func manText(w io.Writer, text string) {
	fresh, listed := true, false
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.TrimSpace(line)
		term, rest, gap := strings.Cut(words, "  ")
		setIn := strings.HasPrefix(line, "  ")
		switch {
		case words == "":
			fresh = true
			continue
		case setIn && gap:
			fmt.Fprintf(w, ".TP\n.B %s\n", roffText(term))
			words, fresh, listed = strings.TrimSpace(rest), false, true
		case fresh || listed && !setIn:
			fmt.Fprint(w, ".PP\n")
			fresh, listed = false, false
		}
		fmt.Fprintf(w, "%s\n", roffText(words))
	}
}

func manFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(w, ".SH %s\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(w, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s", roffText(name), roffText(value), roffText(usage))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			fmt.Fprintf(w, " (default %s)", roffText(strings.Trim(f.DefValue, "[]")))
		}
		fmt.Fprintln(w)
	})
}

// manPages writes a page for the command and for each below it, and returns their names.
func manPages(dir string, cmd *cobra.Command, version, date string) ([]string, error) {
	cmd.InitDefaultHelpFlag()
	name := manName(cmd) + ".8"
	var page strings.Builder
	manPage(&page, cmd, version, date)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(page.String()), 0o644); err != nil {
		return nil, err
	}
	names := []string{name}
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		below, err := manPages(dir, c, version, date)
		if err != nil {
			return nil, err
		}
		names = append(names, below...)
	}
	return names, nil
}

func TestRoffText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"words", "a word", "a word"},
		{"dash", "--flag", `\-\-flag`},
		{"dot", ".leaselog is a folder", `\&.leaselog is a folder`},
		{"quote", "'a'", `\&'a'`},
		{"backslash", `a\b`, `a\eb`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := roffText(tt.text); got != tt.want {
				t.Errorf("roffText(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

// TestMan: each command has a page, which tells its flags, depends on nothing but what it is made of, and has no line that
// roff would take for a request by accident.
func TestMan(t *testing.T) {
	version, date := "v0", "2026-01-02"
	if *manDir != "" {
		version, date = *manVersion, *manDate
	}
	pages := func(dir string) []string {
		a := &app{stdout: io.Discard, stderr: io.Discard}
		names, err := manPages(dir, a.root(), version, date)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	dir, again := t.TempDir(), t.TempDir()
	if *manDir != "" {
		dir = *manDir
	}
	names := pages(dir)
	pages(again)
	requests := []string{".TH", ".nh", ".ad", ".SH", ".PP", ".TP", ".B", ".BR", ".nf", ".fi"}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if other, err := os.ReadFile(filepath.Join(again, name)); err != nil || string(other) != string(b) {
			t.Errorf("%s differs from one time to the next, %v", name, err)
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			request, _, _ := strings.Cut(line, " ")
			known := false
			for _, r := range requests {
				known = known || r == request
			}
			if (strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")) && !known {
				t.Errorf("%s: %q is taken for a request", name, line)
			}
		}
	}
	for page, parts := range map[string][]string{
		"leasectl.8":                   {`.TH "LEASECTL" 8 "` + date + `" "leasectl ` + version + `"`, ".B verify\n", ".BR leasectl\\-gc (8),\n"},
		"leasectl-gc.8":                {"\\fB\\-\\-grace\\fR \\fIduration\\fR\nlook twice, so far apart (default 1m0s)\n", ".TP\n.B \\-\\-live FILE\n", ".SH EXAMPLES\n.nf\n"},
		"leasectl-export-host-local.8": {".SH OPTIONS OF ALL COMMANDS\n", ".BR leasectl\\-export (8)\n"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(b), part) {
				t.Errorf("%s has no %q:\n%s", page, part, b)
			}
		}
	}
}
