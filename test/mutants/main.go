package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// all are the mutants of every table.
func all() []mutant {
	return slices.Concat(mutants, powerLossMutants, repairMutants, exportMutants, moveMutants, pastMutants, jobMutants, compactionMutants, retentionMutants, backupMutants, pageMutants)
}

func main() {
	only := flag.String("only", "", "run the mutants with this in their name")
	skip := flag.String("skip", "", "leave out the mutants with this in their name")
	root := flag.String("root", ".", "the module's folder")
	list := flag.Bool("list", false, "list the mutants and run nothing")
	flag.Parse()
	if err := run(*root, *only, *skip, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(root, only, skip string, list bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "leaselog-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := lab{root: root, dir: dir, healthy: map[string]error{}}
	fmt.Println("| mutant | caught by |")
	fmt.Println("| --- | --- |")
	n := 0
	var errs []error
	for _, m := range all() {
		if !strings.Contains(m.name, only) || skip != "" && strings.Contains(m.name, skip) {
			continue
		}
		n++
		caught := m.tests
		if !list {
			caught, err = l.try(m)
			errs = append(errs, err)
		}
		fmt.Printf("| %s | %s |\n", m.name, strings.Join(titles(caught), ", "))
	}
	if n == 0 {
		return fmt.Errorf("no mutant is called %q", only)
	}
	return errors.Join(errs...)
}

// titles shortens go test's arguments to what they run.
func titles(tests []string) []string {
	var out []string
	for _, test := range tests {
		words := strings.Fields(test)
		names := strings.ReplaceAll(strings.Trim(words[2], "^$()"), "|", " and ")
		out = append(out, strings.TrimPrefix(words[0], "./")+" "+names)
	}
	return out
}

// lab is where mutants are tried.
type lab struct {
	root, dir string
	healthy   map[string]error // by test: what it said without a mutant
}

// try runs a mutant's tests and returns those that caught it. The error tells of those that didn't,
// or that say nothing because they fail anyway.
func (l *lab) try(m mutant) (caught []string, err error) {
	overlay, err := l.overlay(m)
	if err == nil {
		err = l.bundle(m, overlay)
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(m.tests) == 0 {
		errs = append(errs, fmt.Errorf("%s: no test is listed", m.name))
	}
	for _, test := range m.tests {
		if _, known := l.healthy[test]; !known {
			_, l.healthy[test] = l.test(test, "")
		}
		if err := l.healthy[test]; err != nil {
			errs = append(errs, fmt.Errorf("%s: without a mutant: %w", test, err))
			continue
		}
		red, err := l.test(test, overlay)
		switch {
		case !red && err == nil:
			errs = append(errs, fmt.Errorf("%s: go test %s lets it live", m.name, test))
		case !red:
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		default:
			caught = append(caught, test)
		}
	}
	return caught, errors.Join(errs...)
}

// test runs a test, under an overlay if there is one. red means that a test failed; any other
// reason for which it didn't pass is an error alone.
func (l *lab) test(test, overlay string) (red bool, err error) {
	cmd := exec.Command("go", append([]string{"test", "-v", "-count=1", "-timeout=5m"}, strings.Fields(test)...)...)
	cmd.Dir = l.root
	cmd.Env = environment(overlay)
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case strings.Contains(text, "no tests to run"), strings.Contains(text, "--- SKIP"):
		return false, fmt.Errorf("go test %s: runs nothing here", test)
	case strings.Contains(text, "panic: test timed out"):
		return false, fmt.Errorf("go test %s: takes too long\n%s", test, text)
	case err == nil:
		return false, nil
	case strings.Contains(text, "--- FAIL"), strings.Contains(text, "panic: "):
		return true, fmt.Errorf("go test %s: %w\n%s", test, err, text)
	}
	return false, fmt.Errorf("go test %s: %w\n%s", test, err, text)
}

// environment returns the environment with the overlay in GOFLAGS, so that it reaches what tests build, too.
func environment(overlay string) []string {
	if overlay == "" {
		return os.Environ()
	}
	return append(os.Environ(), strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay))
}

// overlay writes the mutant's files and returns the path of the overlay that names them.
func (l *lab) overlay(m mutant) (string, error) {
	dir, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for i, e := range m.edits {
		path := filepath.Join(l.root, e.file)
		source := path
		if by, again := replace[path]; again {
			source = by
		}
		text, err := e.apply(source)
		if err != nil {
			return "", fmt.Errorf("%s: %w", m.name, err)
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(e.file)))
		if err := os.WriteFile(replace[path], []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o644)
}

// ofPage reports whether a file is a source of the page's script and style, which go build does not build.
func ofPage(file string) bool { return strings.HasPrefix(file, "report/web/src/") }

// bundle builds the page's script and style of a mutant that has edits of their sources, and adds them to its overlay.
func (l *lab) bundle(m mutant, overlay string) error {
	if !slices.ContainsFunc(m.edits, func(e edit) bool { return ofPage(e.file) }) {
		return nil
	}
	replace, err := readReplace(overlay)
	if err != nil {
		return err
	}
	web, dir := filepath.Join(l.root, "report", "web"), filepath.Join(filepath.Dir(overlay), "web")
	if err := os.CopyFS(filepath.Join(dir, "src"), os.DirFS(filepath.Join(web, "src"))); err != nil {
		return err
	}
	for from, to := range replace {
		name, err := filepath.Rel(web, from)
		if err != nil {
			return err
		}
		if !filepath.IsLocal(name) {
			continue // not of the page
		}
		text, err := os.ReadFile(to)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{"build.mjs", "package.json", "tsconfig.json", "node_modules"} {
		if err := os.Symlink(filepath.Join(web, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	cmd := exec.Command("node", "--preserve-symlinks-main", "build.mjs")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: build the page: %w\n%s", m.name, err, out)
	}
	for _, name := range []string{"page.js", "style.css"} {
		replace[filepath.Join(web, "dist", name)] = filepath.Join(dir, "dist", name)
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(overlay, b, 0o644)
}

// readReplace reads an overlay.
func readReplace(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var o struct{ Replace map[string]string }
	return o.Replace, errors.Join(err, json.Unmarshal(b, &o))
}

// apply returns the file's text with the edit made.
func (e edit) apply(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(b), e.from); n != 1 || e.from == e.to {
		return "", fmt.Errorf("%s: has %d times what is to be changed, want once: %q", e.file, n, e.from)
	}
	return strings.Replace(string(b), e.from, e.to, 1), nil
}
