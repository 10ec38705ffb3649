package figures_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

var update = flag.Bool("update", false, "write testdata/figures.txt anew")

const goldenFile = "testdata/figures.txt"

// slack is by how many bytes what is written may differ: the clock's error is a number of any length, and a record may
// be padded by one byte.
const slack = 8

// situation is a call whose cost is measured. Calls of the same network come one after another, as they are listed.
type situation struct {
	name string
	call caller.Call
}

func TestCalls(t *testing.T) {
	if out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("system calls are counted: strace: %v: %s", err, out)
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("system calls are counted by their names on amd64")
	}
	plugin := build(t, caller.Build)
	got := map[string]figures{}
	var order []string
	for _, s := range situations(t, plugin) {
		got[s.name] = measure(t, plugin, s.call)
		order = append(order, s.name)
	}
	if *update {
		writeGolden(t, order, got)
		return
	}
	want := readGolden(t)
	for _, name := range order {
		for _, change := range got[name].changes(want[name]) {
			t.Errorf("%s: %s", name, change)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is in %s and was not measured", name, goldenFile)
		}
	}
	if t.Failed() {
		t.Logf("measured with %s, the file was written with %s; if it is meant: go test ./test/figures -update", runtime.Version(), goldenGo(t))
	}
}

// build makes the plugin or a tool as it is released.
func build(t *testing.T, how func(root, dir string, flags ...string) (string, error)) string {
	t.Helper()
	path, err := how(filepath.Join("..", ".."), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// situations makes stores and returns the calls to be measured on them.
func situations(t *testing.T, plugin string) []situation {
	t.Helper()
	leasegen := build(t, func(root, dir string, flags ...string) (string, error) {
		return caller.BuildTool(root, dir, "leasegen", flags...)
	})
	id := func(n int) string { return fmt.Sprintf("%064x", n) }
	four := []caller.Range{{Subnet: "10.0.0.0/12"}}
	dual := [][]caller.Range{four, {{Subnet: "fd00:10::/64"}}}
	var all []situation
	scene := func(name string, ranges [][]caller.Range, leases int) {
		n := caller.Network{Name: "pods", DataDir: filepath.Join(t.TempDir(), "networks"), Ranges: ranges}
		if leases > 0 {
			generate(t, leasegen, n, leases, len(ranges) > 1)
		}
		call := func(verb, id string) caller.Call { return caller.Call{Network: n, Verb: verb, ID: id} }
		// The first call makes the store, or writes the configuration; the second finds it as it will stay.
		must(t, plugin, call("ADD", id(1)))
		must(t, plugin, call("ADD", id(2)))
		for _, s := range []situation{
			{"ADD", call("ADD", id(3))},
			{"ADD refused", call("ADD", id(3))},
			{"CHECK", call("CHECK", id(3))},
			{"STATUS", call("STATUS", "")},
			{"DEL", call("DEL", id(3))},
			{"DEL again", call("DEL", id(3))},
		} {
			all = append(all, situation{name + ": " + s.name, s.call})
		}
	}
	scene("no leases", [][]caller.Range{four}, 0)
	scene("250 leases", [][]caller.Range{four}, 250)
	scene("65,000 leases", [][]caller.Range{four}, 65_000)
	scene("65,000 leases dual stack", dual, 65_000)
	return all
}

// generate makes a store with a history, as the plugin's calls would have left it.
func generate(t *testing.T, tool string, n caller.Network, leases int, dual bool) {
	t.Helper()
	args := []string{"--out", n.DataDir, "--network", n.Name, "--leases", strconv.Itoa(leases), "--events", strconv.Itoa(leases + 2000),
		"--tail", "20", "--until", "2026-01-01T00:00:00Z"}
	if dual {
		args = append(args, "--dual")
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("leasegen: %v: %s", err, out)
	}
}

func must(t *testing.T, plugin string, c caller.Call) {
	t.Helper()
	if a, err := c.Run(plugin); err != nil || !a.OK() {
		t.Fatalf("%s: %v, %v", c.Verb, a, err)
	}
}

// figures are what one call costs.
type figures struct {
	calls   map[string]int // system calls on files below the network's folders, by name
	blocks  int            // read of a snapshot, the header included
	written int            // bytes
}

// traceLine is a system call and its result. With a file for each thread none is torn in two.
var traceLine = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)

// measure makes the call under strace. The Go runtime's own system calls name no file of the store, and how many
// there are of them is chance.
func measure(t *testing.T, plugin string, c caller.Call) figures {
	t.Helper()
	dir := t.TempDir()
	if _, err := c.Run(plugin, "strace", "-ff", "-qq", "-y", "-s", "0", "-o", filepath.Join(dir, "trace")); err != nil {
		t.Fatal(err)
	}
	traces, err := filepath.Glob(filepath.Join(dir, "trace*"))
	if err != nil || len(traces) == 0 {
		t.Fatalf("no trace: %v", err)
	}
	f := figures{calls: map[string]int{}}
	for _, path := range traces {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			m := traceLine.FindStringSubmatch(line)
			if m == nil || !strings.Contains(m[2], c.Network.DataDir) {
				continue
			}
			f.calls[m[1]]++
			result, _ := strconv.Atoi(m[3])
			switch m[1] {
			case "write", "pwrite64":
				f.written += result
			case "pread64":
				if strings.Contains(m[2], ".snap>") {
					f.blocks += result / 4096
				}
			}
		}
	}
	return f
}

// changes says what differs from the figures that are expected.
func (f figures) changes(want figures) []string {
	var changed []string
	names := slices.Sorted(maps.Keys(f.calls))
	for name := range want.calls {
		if _, ok := f.calls[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if got, want := f.calls[name], want.calls[name]; got != want {
			changed = append(changed, fmt.Sprintf("%s %d times, want %d", name, got, want))
		}
	}
	if f.blocks != want.blocks {
		changed = append(changed, fmt.Sprintf("%d blocks read, want %d", f.blocks, want.blocks))
	}
	if diff := f.written - want.written; diff < -slack || diff > slack {
		changed = append(changed, fmt.Sprintf("%d bytes written, want %d", f.written, want.written))
	}
	return changed
}

// String returns a line of the golden file.
func (f figures) String() string {
	s := fmt.Sprintf("blocks=%d written=%d", f.blocks, f.written)
	for _, name := range slices.Sorted(maps.Keys(f.calls)) {
		s += fmt.Sprintf(" %s=%d", name, f.calls[name])
	}
	return s
}

func parseFigures(line string) (figures, error) {
	f := figures{calls: map[string]int{}}
	for _, word := range strings.Fields(line) {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if err != nil {
			return f, err
		}
		switch name {
		case "blocks":
			f.blocks = n
		case "written":
			f.written = n
		default:
			f.calls[name] = n
		}
	}
	return f, nil
}

func writeGolden(t *testing.T, order []string, got map[string]figures) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", writtenWith, runtime.Version())
	for _, name := range order {
		fmt.Fprintf(&b, "%s\n\t%v\n", name, got[name])
	}
	if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writtenWith begins the line that names the release of Go: its packages make some of the system calls.
const writtenWith = "# "

func goldenGo(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimPrefix(first, writtenWith)
}

func readGolden(t *testing.T) map[string]figures {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]figures{}
	name := ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, writtenWith) {
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			name = strings.TrimSpace(line)
			continue
		}
		if all[name], err = parseFigures(line); err != nil {
			t.Fatalf("%s: %s: %v", goldenFile, name, err)
		}
	}
	return all
}
