package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/imports-leaselog.txt anew")

const (
	module      = "github.com/leaselog/leaselog"
	importsFile = "testdata/imports-leaselog.txt"
)

// mayImport is docs/DESIGN.md's table of packages: which of ours each may import.
// Commands under tools/ and what is under test/ stand above it and may import all of these.
var mayImport = map[string][]string{
	"":                {"plugin"},
	"plugin":          {"allocator", "state", "journal", "internal/netns"},
	"allocator":       {"state", "journal", "internal/hostlocal", "internal/netns"},
	"state":           {"journal", "internal/wire", "internal/crc32c"},
	"journal":         {"internal/wire", "internal/crc32c"},
	"internal/wire":   nil,
	"internal/crc32c": nil,

	"internal/hostlocal": {"journal"},
	"internal/netns":     {"journal"},
	"internal/printable": nil,
	"journal/archive":    {"state", "journal", "internal/wire", "internal/crc32c"},
	"replay":             {"state", "journal", "journal/archive", "allocator"},
	"compaction":         {"state", "journal", "journal/archive", "allocator"},
	"backup":             {"state", "journal", "journal/archive", "allocator"},
	"report":             {"replay", "journal", "internal/printable"},

	// It is held against replay, so it may share nothing with it but what an event is.
	"test/oracle": {"journal"},
}

// onlyImporter names who alone may import what lies below a module path. The benchmark's floor is built on the
// CNI library to show what that costs, and a browser is for tests alone.
var onlyImporter = map[string][]string{
	"github.com/tidwall/wal":          {"journal"},
	"github.com/containernetworking/": {"plugin", "test/bench/floor"},
	"github.com/chromedp/":            {"test/page"},
	"github.com/ledongthuc/pdf":       {"test/page"},
}

// pluginModules are the modules that the plugin may link: it is started for every
// call, and each package that it starts up is paid for each time.
var pluginModules = []string{
	module,
	"github.com/containernetworking/cni",
	"github.com/tidwall/gjson", "github.com/tidwall/match", "github.com/tidwall/pretty",
	"github.com/tidwall/tinylru", "github.com/tidwall/wal",
	"github.com/vishvananda/netns", // of the CNI library's namespace check
	"github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2",
	"golang.org/x/sys",
}

// pluginMustNotLink are packages of the standard library and ours that cost the
// plugin start-up time or have no business in it, with all that is below them.
var pluginMustNotLink = []string{
	"compress", "crypto/tls", "html/template", "log/syslog", "net/http", "net/rpc", "testing", "text/template",
	module + "/backup", module + "/compaction", module + "/journal/archive", module + "/replay", module + "/report", module + "/tools", module + "/test",
}

// mayTouch names, by package, the only files that may use the file system, through the
// packages in impure, or the clock. Everything else there is a function of its arguments.
var mayTouch = map[string][]string{
	"internal/wire":      nil,
	"internal/crc32c":    nil,
	"internal/printable": nil,
	"state":              {"snapshot.go"},
	"allocator":          {"export.go", "hostlocalview.go", "import.go", "inspect.go", "reclaim.go", "repair.go", "restore.go", "settle.go", "store.go", "transaction.go", "upkeep.go", "wipe.go"},
}

var impure = []string{
	"crypto/rand", "io/ioutil", "math/rand", "math/rand/v2", "net/http", "os", "os/exec", "syscall", "golang.org/x/sys/unix",
}

// clock are the functions of package time that read or wait for a clock.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir     string
	Standard            bool
	Module              *struct{ Path string }
	GoFiles             []string
	Imports, Deps       []string
	TestImports         []string
	XTestImports        []string
	Error               *struct{ Err string }
	Incomplete, DepOnly bool
}

// name is the package's path within the module; ok is false for packages of others.
func (p *listed) name() (name string, ok bool) { return ours(p.ImportPath) }

func ours(importPath string) (name string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// below reports whether an import path is prefix or lies under it.
func below(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, strings.TrimSuffix(prefix, "/")+"/")
}

// list runs go list as for the build of the binaries.
func list(t *testing.T) map[string]*listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json", "./...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	packages := map[string]*listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read what go list printed: %v", err)
		}
		packages[p.ImportPath] = p
	}
}

func TestImports(t *testing.T) {
	packages := list(t)
	t.Run("layers", func(t *testing.T) { testLayers(t, packages) })
	t.Run("only importers", func(t *testing.T) { testOnlyImporters(t, packages) })
	t.Run("pure files", func(t *testing.T) { testPureFiles(t, packages) })
	t.Run("plugin graph", func(t *testing.T) { testPluginGraph(t, packages) })
}

func testLayers(t *testing.T, packages map[string]*listed) {
	for _, p := range packages {
		name, ok := p.name()
		if !ok {
			continue
		}
		allowed, inTable := mayImport[name]
		free := !inTable && (below(name, "tools") || below(name, "test"))
		if !inTable && !free {
			t.Errorf("package %q is not in the table of packages; see docs/DESIGN.md", name)
		}
		for _, imported := range p.Imports {
			to, ok := ours(imported)
			switch {
			case !ok:
			case below(to, "tools"), below(to, "test") && !below(name, "test"):
				t.Errorf("%q imports %q: nobody imports what is under tools/, and only tests what is under test/", name, to)
			case !free && !slices.Contains(allowed, to):
				t.Errorf("%q imports %q, may import %q of ours", name, to, allowed)
			}
		}
	}
}

func testOnlyImporters(t *testing.T, packages map[string]*listed) {
	for _, p := range packages {
		name, ok := p.name()
		if !ok {
			continue
		}
		for _, imported := range p.Imports {
			for prefix, only := range onlyImporter {
				if below(imported, prefix) && !slices.Contains(only, name) {
					t.Errorf("%q imports %s: only %q may", name, imported, only)
				}
			}
		}
	}
}

func testPureFiles(t *testing.T, packages map[string]*listed) {
	for name, exempt := range mayTouch {
		p := packages[module+"/"+name]
		if p == nil {
			t.Errorf("package %q is gone; its rule should go as well", name)
			continue
		}
		for _, file := range p.GoFiles {
			if slices.Contains(exempt, file) {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range impurities(parsed) {
				t.Errorf("%s/%s uses %s: in this package only %q may", name, file, what, exempt)
			}
		}
	}
}

// impurities names what a file uses of the file system, chance and the clock.
func impurities(file *ast.File) []string {
	var found []string
	for _, spec := range file.Imports {
		if imported, _ := strconv.Unquote(spec.Path.Value); slices.Contains(impure, imported) {
			found = append(found, imported)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
				found = append(found, "time."+sel.Sel.Name)
			}
		}
		return true
	})
	return found
}

func testPluginGraph(t *testing.T, packages map[string]*listed) {
	plugin := packages[module]
	if plugin == nil {
		t.Fatal("go list does not know the plugin binary")
	}
	if plugin.Error != nil {
		t.Fatalf("go list: %s", plugin.Error.Err)
	}
	var others []string
	for _, dep := range plugin.Deps {
		for _, banned := range pluginMustNotLink {
			if below(dep, banned) {
				t.Errorf("the plugin links %s", dep)
			}
		}
		p := packages[dep]
		if p == nil || p.Standard {
			continue
		}
		others = append(others, dep)
		if p.Module == nil || !slices.Contains(pluginModules, p.Module.Path) {
			t.Errorf("the plugin links %s, which is of none of the modules it may link", dep)
		}
	}
	slices.Sort(others)
	got := strings.Join(others, "\n") + "\n"
	if *update {
		if err := os.WriteFile(importsFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(importsFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("packages outside the standard library that the plugin links: got\n%swant, as in %s,\n%s"+
			"if it is meant: go test -run TestImports -update .", got, importsFile, want)
	}
}
