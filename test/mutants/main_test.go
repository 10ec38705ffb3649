package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTable keeps the table from rotting: every mutant applies to the files as they are, compiles, and
// has tests in packages that are there. That these catch it is shown by the program, which takes minutes.
func TestTable(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := newCompiler(t, root)
	l := lab{root: root, dir: t.TempDir()}
	seen := map[string]bool{}
	for _, m := range all() {
		t.Run(m.name, func(t *testing.T) {
			if seen[m.name] || len(m.tests) == 0 {
				t.Error("named twice, or without a test")
			}
			seen[m.name] = true
			path, err := l.overlay(m)
			if err != nil {
				t.Fatal(err)
			}
			replace, err := readReplace(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.edits {
				if ofPage(e.file) {
					continue
				}
				if err := c.check("./"+filepath.Dir(e.file), replace); err != nil {
					t.Errorf("does not compile: %v", err)
				}
			}
			for _, test := range m.tests {
				if c.packages[strings.Fields(test)[0]] == nil {
					t.Errorf("go test %s: there is no such package", test)
				}
			}
		})
	}
}

// compiler checks the types of packages with some files replaced: what it accepts compiles, and
// it needs milliseconds where the go command needs a second.
type compiler struct {
	root     string
	packages map[string][]string // source files by ./path
	exports  map[string]string   // file with the exported types by import path
	set      *token.FileSet
	imports  types.Importer // reads each package once
}

func newCompiler(t *testing.T, root string) *compiler {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-export", "-f",
		`{{.ImportPath}}|{{.Export}}|{{.Dir}}|{{join .GoFiles ","}}`, "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	c := &compiler{root: root, packages: map[string][]string{}, exports: map[string]string{}, set: token.NewFileSet()}
	c.imports = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(c.exports[path]) })
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimSpace(line), "|")
		c.exports[words[0]] = words[1]
		if below, ok := strings.CutPrefix(words[2], root); ok {
			for file := range strings.SplitSeq(words[3], ",") {
				name := "./" + strings.TrimPrefix(below, "/")
				c.packages[name] = append(c.packages[name], filepath.Join(words[2], file))
			}
		}
	}
	return c
}

// check checks the package at ./path.
func (c *compiler) check(path string, replace map[string]string) error {
	var files []*ast.File
	for _, source := range c.packages[path] {
		if by, ok := replace[source]; ok {
			source = by
		}
		file, err := parser.ParseFile(c.set, source, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: no such package", path)
	}
	conf := types.Config{Importer: c.imports}
	_, err := conf.Check(path, c.set, files, nil)
	return err
}

// TestCompiler: what does not compile must not pass.
func TestCompiler(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := newCompiler(t, root)
	if err := c.check("./test/mutants", nil); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "table.go")
	if err := os.WriteFile(broken, []byte("package main\n\nvar mutants []mutant\n\nfunc f() { x := 1 }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c.check("./test/mutants", map[string]string{filepath.Join(root, "test/mutants/table.go"): broken}) == nil {
		t.Error("an unused variable passes")
	}
}

// TestEditIsExact: a text that is missing or ambiguous must not pass for a mutant.
func TestEditIsExact(t *testing.T) {
	for _, e := range []edit{
		{"main.go", "no such text", "x"},
		{"main.go", "package main", "package main"},
		{"main.go", "err", "x"},
	} {
		if _, err := e.apply(e.file); err == nil {
			t.Errorf("%q for %q applies", e.to, e.from)
		}
	}
	if text, err := (edit{"main.go", "package main\n", "package other\n"}).apply("main.go"); err != nil || !strings.HasPrefix(text, "package other\n") {
		t.Errorf("got %.20q, %v", text, err)
	}
}

// TestVerdicts holds the runner to the difference between a test that fails and one that says nothing.
func TestVerdicts(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"go.mod": "module m\n\ngo 1.21\n", "m.go": "package m\n\nfunc One() int { return 1 }\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Error(\"not one\")\n\t}\n}\n\nfunc TestNone(t *testing.T) { t.Skip(\"never\") }\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		to     string
		test   string
		caught bool
	}{
		{"caught", "return 2", ". -run ^TestOne$", true},
		{"lives", "return 2 - 1", ". -run ^TestOne$", false},
		{"does not compile", "return x", ". -run ^TestOne$", false},
		{"no such test", "return 2", ". -run ^TestTwo$", false},
		{"skipped", "return 2", ". -run ^TestNone$ -v", false},
	}
	l := lab{root: dir, dir: t.TempDir(), healthy: map[string]error{}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			caught, err := l.try(mutant{test.name, []edit{{"m.go", "return 1", test.to}}, []string{test.test}})
			if got := slices.Equal(caught, []string{test.test}); got != test.caught || got != (err == nil) {
				t.Errorf("caught by %q, %v; want caught %t", caught, err, test.caught)
			}
		})
	}
}
