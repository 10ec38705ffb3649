package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leaselog/leaselog/journal"
)

var update = flag.Bool("update", false, "write the transcripts in docs/FORENSICS.md, and what scripts compare output with, anew")

const (
	forensics   = "../../docs/FORENSICS.md"
	evidenceDir = "/evidence" // what the guide calls the folder of copies
	usualDir    = "/var/lib/cni/networks"
)

// guide is docs/FORENSICS.md with the transcripts that were run.
type guide struct {
	mu   sync.Mutex // scripts run side by side
	text string
	ran  map[string]bool // by case

	known *schemas
}

// TestCases runs the transcripts of docs/FORENSICS.md against stores that the scripts in testdata/cases make.
func TestCases(t *testing.T) {
	text, err := os.ReadFile(forensics)
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{text: string(text), ran: map[string]bool{}, known: loadSchemas(t)}
	commands := scriptCommands(g.known, newLeasegen(t.TempDir()))
	commands["evidence"], commands["transcript"] = cmdEvidence, g.transcript
	t.Run("case", func(t *testing.T) { testscript.Run(t, testscript.Params{Dir: "testdata/cases", Cmds: commands}) })
	for _, section := range sections(g.text) {
		name, _ := caseOf(section)
		if blocks := len(consoles(section)); blocks > 0 && !g.ran[name] && !someAlone() {
			t.Errorf("%s: %d transcripts under %q that no script in testdata/cases runs", forensics, blocks, headOf(section))
		}
	}
	if *update && g.text != string(text) {
		if err := os.WriteFile(forensics, []byte(g.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// someAlone reports whether -run asks for some of the scripts.
func someAlone() bool { return strings.Contains(flag.Lookup("test.run").Value.String(), "/") }

// sections parts a Markdown text at its headings.
func sections(text string) []string {
	var parts []string
	begin, fenced := 0, false
	at := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if strings.HasPrefix(line, "#") && !fenced && at > begin {
			parts = append(parts, text[begin:at])
			begin = at
		}
		at += len(line)
	}
	return append(parts, text[begin:])
}

func headOf(section string) string {
	head, _, _ := strings.Cut(section, "\n")
	return head
}

// caseOf returns the number of the case that a section is about.
func caseOf(section string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(headOf(section), "### Case ")
	name, _, _ = strings.Cut(rest, ":")
	return name, ok
}

// consoleBlock is a transcript; its text is between the fences.
var consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

func consoles(section string) [][]string { return consoleBlock.FindAllStringSubmatch(section, -1) }

// transcript runs what is shown under a case: transcript CASE NOW
func (g *guide) transcript(ts *testscript.TestScript, neg bool, args []string) {
	now, err := time.Parse(time.RFC3339, args[1])
	ts.Check(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, section := range sections(g.text) {
		if name, ok := caseOf(section); !ok || name != args[0] {
			continue
		}
		g.ran[args[0]] = true
		sh := shell{dir: ts.MkAbs("evidence"), now: now, known: g.known}
		redone := consoleBlock.ReplaceAllStringFunc(section, func(block string) string {
			return "```console\n" + sh.run(ts, consoleBlock.FindStringSubmatch(block)[1]) + "```"
		})
		if redone != section && !*update {
			shown, is := differing(section, redone)
			ts.Fatalf("case %s: the guide shows\n%s\nand it is\n%s\n(-update writes it anew)", args[0], shown, is)
		}
		g.text = strings.Replace(g.text, section, redone, 1)
		return
	}
	ts.Fatalf("%s has no case %s", forensics, args[0])
}

// differing returns the first lines in which two texts differ.
func differing(a, b string) (string, string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i], y[i]
		}
	}
	return fmt.Sprintf("%d lines", len(x)), fmt.Sprintf("%d lines", len(y))
}

// shell runs the lines of a transcript that begin with a prompt.
type shell struct {
	dir  string // that evidenceDir stands for
	now  time.Time
	code int // of the last command

	known *schemas
}

// run returns the transcript as it ought to be.
func (sh *shell) run(ts *testscript.TestScript, text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			continue
		}
		out.WriteString(line)
		words := shellWords(strings.ReplaceAll(command, evidenceDir, sh.dir))
		switch {
		case command == "echo $?":
			fmt.Fprintln(&out, sh.code)
		case len(words) > 1 && words[0] == "leasectl":
			var shown, data bytes.Buffer
			sh.code = run(words[1:], io.MultiWriter(&shown, &data), &shown, func() time.Time { return sh.now })
			if strings.HasPrefix(outputOf(words), "json") {
				ts.Check(sh.known.check(data.Bytes()))
			}
			out.WriteString(strings.ReplaceAll(shown.String(), sh.dir, evidenceDir))
		default:
			ts.Fatalf("%q: want leasectl, or echo $?", command)
		}
	}
	return out.String()
}

// shellWord is a word, or a part of one between quotes.
var shellWord = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)

func shellWords(line string) []string {
	words := shellWord.FindAllString(line, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], `"'`)
	}
	return words
}

// cmdEvidence makes the copy of a node's store that a responder has, with the node's last name for its own: evidence DIR NETWORK
// EVENTS. A line of dashes among the events begins another segment; those before the last are archived.
func cmdEvidence(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(copiedStore(ts.MkAbs(args[0]), args[1], ts.ReadFile(args[2])))
}

func copiedStore(dataDir, network, text string) error {
	var events []*journal.Event
	var first []int // event of each segment, counted from 0
	for part := range strings.SplitSeq(text, "\n---\n") {
		some, err := parseEvents(part)
		if err != nil {
			return err
		}
		first = append(first, len(events))
		for i := range some {
			events = append(events, &some[i])
		}
	}
	if len(events) == 0 || events[0].Kind != journal.KindGenesis {
		return errors.New("the first event is not genesis")
	}
	node := filepath.Base(dataDir)
	id := sha256.Sum256([]byte(node + "/" + network))
	events[0].Origin.Node, events[0].Origin.Journal = node, journal.ID(id[:len(journal.ID{})])
	if err := os.MkdirAll(filepath.Dir(dataDir), 0o700); err != nil {
		return err
	}
	made, err := os.MkdirTemp(filepath.Dir(dataDir), "made")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	history := filepath.Join(made, historyName)
	b, err := journal.NewBuilder(history, journal.NewStore{Network: network, DataDir: usualDir, Version: "v1.0.0", AllowNetworkFS: true,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(made, network), id, filepath.Join(usualDir, historyName, network))
		}}, events[0], time.Now().Add(10*time.Second))
	if err != nil {
		return err
	}
	for _, ev := range events[1:] {
		if err := b.Append(ev); err != nil {
			return errors.Join(err, b.Discard())
		}
	}
	if err := b.Finish(0); err != nil {
		return err
	}
	if err := partSegment(filepath.Join(history, network), first); err != nil {
		return err
	}
	return os.CopyFS(dataDir, os.DirFS(made)) // another lock file than the marker names: a copy
}

// partSegment makes a store's only segment several, that begin with these events, and archives all but the last.
func partSegment(dir string, first []int) error {
	whole := filepath.Join(dir, firstSegment)
	b, err := os.ReadFile(whole)
	if err != nil {
		return err
	}
	entry := func() {
		n, length := binary.Uvarint(b)
		b = b[length+int(n):]
	}
	for i := range first[1:] {
		from := b
		for range first[i+1] - first[i] {
			entry()
		}
		name := fmt.Sprintf("%020d", first[i]+1)
		if err := os.WriteFile(filepath.Join(dir, "archive", name), from[:len(from)-len(b)], 0o600); err != nil {
			return err
		}
	}
	if err := os.Remove(whole); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "journal", fmt.Sprintf("%020d", first[len(first)-1]+1)), b, 0o600)
}
