package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of all choices")
	length = flag.Duration("for", time.Minute, "how long to go on")
	count  = flag.Int("steps", 0, "how many steps to do instead")
)

// root is the module's folder as seen from this one.
const root = "../.."

// shortSpan is how long the run takes with -short.
const shortSpan = 5 * time.Second

// leastOften is what has to come up in a run of at least longEnough: what never happens proves nothing.
var leastOften = map[string]int{"ADD": 100, "DEL": 100, "GC": 10, "CHECK": 10, "STATUS": 10, "snapshots": 2, "archived": 1,
	"full readings": 10, "torn": 2, "wipe": 1, "reboot": 1, "clock": 1, "processes": 10, "killed": 1}

const longEnough = 30 * time.Second

// leastSteps are done on a slow machine, too: they make all of leastOften likely enough.
const leastSteps = 800

// program builds the program with its clock, which go test's own build doesn't have. It returns its path and the module's.
func program(t *testing.T, dir string) (path, abs string) {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := writeOverlay(abs, dir)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "soak")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", path, "./test/soak")
	build.Dir = abs
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path, abs
}

// TestSoak lets the program run.
func TestSoak(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, abs := program(t, dir)
	if testing.Short() {
		*length = min(*length, shortSpan)
	}
	least := 0
	if *length >= longEnough {
		least = leastSteps
	}
	cmd := exec.Command(program, "-root", abs, "-dir", dir, "-seed", fmt.Sprint(*seed), "-for", length.String(), "-steps", fmt.Sprint(*count), "-least", fmt.Sprint(least))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nThis store goes with the test; go run -overlay %s ./test/soak -seed %d keeps its own.", err, out, overlayFile, *seed)
	}
	t.Logf("%s", out)
	did := map[string]int{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		did[strings.Join(words[:len(words)-1], " ")], _ = strconv.Atoi(words[len(words)-1]) // the seed may be too large
	}
	for what, least := range leastOften {
		if *count == 0 && *length >= longEnough && did[what] < least {
			t.Errorf("%s: %d times, want at least %d: this run shows less than it means to", what, did[what], least)
		}
	}
}

// TestRepeat: the same seed gives the same steps with the same answers, as far as nothing runs beside them.
func TestRepeat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, _ := program(t, dir)
	var outs [][]byte
	for range 2 {
		out, err := exec.Command(program, "-dir", dir, "-seed", "5", "-steps", "40", "-processes=false", "-v").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		outs = append(outs, out)
	}
	if !bytes.Equal(outs[0], outs[1]) {
		t.Errorf("one run said\n%s\nthe other\n%s", outs[0], outs[1])
	}
}

// TestClockSurface holds the clock of the overlay against the one that it replaces: were their
// exported names and signatures not the same, the tested build would not be the released one.
func TestClockSurface(t *testing.T) {
	want := exported(t, filepath.Join(root, "journal", "clock.go"))
	got := exported(t, filepath.Join("testdata", "clock.go"))
	if !slices.Equal(got, want) {
		t.Errorf("the overlay exports %q, journal/clock.go %q", got, want)
	}
	if len(want) == 0 {
		t.Error("journal/clock.go exports nothing: the clock has moved")
	}
}

// exported returns what a file exports: functions with their signatures, other declarations whole.
func exported(t *testing.T, path string) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.FileExports(file)
	var names []string
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			f.Body, f.Doc = nil, nil
		}
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			continue
		}
		var b bytes.Buffer
		if err := printer.Fprint(&b, set, decl); err != nil {
			t.Fatal(err)
		}
		names = append(names, b.String())
	}
	slices.Sort(names)
	return names
}
