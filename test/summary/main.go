// Summary reads the output of go test -json on standard input and prints what a
// person needs of it: one line a package, everything that failed tests printed,
// and at the end which tests were skipped and why, which go test hides. Arguments
// are what else was skipped, in words.
//
// It exits 0 if every package passed, 1 if anything failed or nothing was tested,
// and 4 if its input is not what go test -json prints.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output, where Package is empty
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// summary is what has been seen so far.
type summary struct {
	out     io.Writer
	output  map[string][]string            // lines printed, by package + " " + test
	skipped map[string]map[string][]string // tests by reason and package
	passed  int
	failed  int
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(skipped []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &summary{out: stdout, output: map[string][]string{}, skipped: map[string]map[string][]string{}}
	for _, why := range skipped {
		if why != "" {
			s.skipped[why] = nil
		}
	}
	lines := bufio.NewReader(stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				fmt.Fprintf(stderr, "summary: read %q: %v\n", line, err)
				return 4
			}
			s.add(e)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Fprintf(stderr, "summary: read standard input: %v\n", err)
			return 4
		}
	}
	return s.finish()
}

// add takes in one event. Output is held back until its test or package has ended,
// because only then is it known whether anybody wants to read it.
func (s *summary) add(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "skip":
		if e.Test != "" {
			s.skip(e.Package, e.Test, reason(s.output[key]))
		}
		delete(s.output, key)
	case "pass":
		if e.Test == "" {
			s.passed++
			fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
		}
		delete(s.output, key)
	case "fail":
		fmt.Fprint(s.out, strings.Join(s.output[key], ""))
		if e.Test == "" {
			s.failed++
			fmt.Fprintf(s.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
		}
		delete(s.output, key)
	}
}

func (s *summary) skip(pkg, test, why string) {
	if s.skipped[why] == nil {
		s.skipped[why] = map[string][]string{}
	}
	s.skipped[why][pkg] = append(s.skipped[why][pkg], test)
}

// finish prints the skipped tests by reason and says how it went.
func (s *summary) finish() int {
	for _, why := range sorted(s.skipped) {
		fmt.Fprintf(s.out, "SKIP  %s\n", why)
		for _, pkg := range sorted(s.skipped[why]) {
			fmt.Fprintf(s.out, "        %s: %s\n", pkg, strings.Join(s.skipped[why][pkg], " "))
		}
	}
	fmt.Fprintf(s.out, "%d packages passed, %d failed\n", s.passed, s.failed)
	if s.failed > 0 || s.passed == 0 {
		return 1
	}
	return 0
}

// reason picks the words given to t.Skip from what a skipped test printed: go test
// sets them off by a file name and line, and everything else by === or ---.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, words, found := strings.Cut(line, ".go:"); found {
			if _, words, found = strings.Cut(words, ": "); found {
				return words
			}
		}
		return line
	}
	return "no reason given"
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
