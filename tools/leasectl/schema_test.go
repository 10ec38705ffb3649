package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/leaselog/leaselog/journal"
)

const schemasDir = "../../docs/schemas"

// sharedSchema is the file of what the others share: nothing is of that schema itself.
const sharedSchema = "common.json"

// schemas are the files in docs/schemas, compiled, by the schema that they describe.
type schemas struct {
	byName map[string]*jsonschema.Schema

	mu   sync.Mutex // scripts run side by side
	used map[string]bool
}

func loadSchemas(t *testing.T) *schemas {
	t.Helper()
	s := &schemas{byName: map[string]*jsonschema.Schema{}, used: map[string]bool{}}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	files, err := filepath.Glob(filepath.Join(schemasDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("schemas: %v, %v", files, err)
	}
	for _, file := range files {
		schema, err := compiler.Compile(file)
		if err != nil {
			t.Fatal(err)
		}
		if base := filepath.Base(file); base != sharedSchema {
			name := "leaselog." + strings.TrimSuffix(base, ".json") + "/1"
			if schema.Title != name {
				t.Errorf("%s: its title is %q, want %q", file, schema.Title, name)
			}
			s.byName[name] = schema
		}
	}
	return s
}

// check validates JSON values that follow one another, each by the schema that it names.
func (s *schemas) check(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("not UTF-8: %q", text)
	}
	values := json.NewDecoder(bytes.NewReader(text))
	for {
		var raw json.RawMessage
		if err := values.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		object, _ := value.(map[string]any)
		name, _ := object["schema"].(string)
		schema := s.byName[name]
		if schema == nil {
			return fmt.Errorf("no file in %s is of schema %q: %s", schemasDir, name, raw)
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%w\n%s", err, raw)
		}
		s.note(value)
	}
}

// checkJoined validates what join added to rows of JSON Lines. Other rows, and those that went through as they were, have
// nothing of it.
func (s *schemas) checkJoined(text []byte) error {
	const name = "leaselog.join/1"
	for line := range bytes.Lines(text) {
		row, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			continue
		}
		object, _ := row.(map[string]any)
		added, ok := object["leaselog"].(map[string]any)
		if !ok {
			continue
		}
		if err := s.byName[name].Validate(added); err != nil {
			return fmt.Errorf("%w\n%s", err, line)
		}
		s.note(map[string]any{"schema": name})
	}
	return nil
}

// note notes the schemas that a value and all within it name.
func (s *schemas) note(value any) {
	switch v := value.(type) {
	case map[string]any:
		if name, ok := v["schema"].(string); ok {
			s.mu.Lock()
			s.used[name] = true
			s.mu.Unlock()
		}
		for _, part := range v {
			s.note(part)
		}
	case []any:
		for _, part := range v {
			s.note(part)
		}
	}
}

// unused lists the schemas that nothing checked was of.
func (s *schemas) unused() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.byName)), func(name string) bool { return s.used[name] })
}

// asJSON returns the command line with another output format, and false if it may not be run once more: it changes something,
// writes a file, doesn't end, or shows no items.
func asJSON(args []string, format string) ([]string, bool) {
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	cmd, rest, err := root.Find(args)
	if err == nil && format == "json" && cmd.HasParent() && cmd.Parent().Name() == "export" && cmd.Name() != "host-local" {
		return nil, false // which is rows
	}
	if err != nil || cmd == root || !cmd.Runnable() || writesOutput(cmd.Name()) || cmd.Flags().Lookup("output") == nil && root.PersistentFlags().Lookup("output") == nil {
		return nil, false
	}
	for c := cmd; c != root; c = c.Parent() {
		if _, ok := c.Annotations[changing]; ok && !slices.Contains(rest, "--dry-run") {
			return nil, false
		}
	}
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"--prometheus", "--state", "--follow", "--watch", "--help", "-h", "-o", "--output", "-"}, name) {
			return nil, false
		}
	}
	return append(slices.Clone(args), "-o", format), true
}

// writesOutput reports whether -o is the file that a command writes, and the format of what it says has another flag.
func writesOutput(command string) bool { return command == "backup" || command == "report" }

// outputOf returns the output format of a command line.
func outputOf(args []string) string {
	names := []string{"-o", "--output"}
	if writesOutput(args[0]) {
		names = []string{"--format"}
	}
	for i, arg := range args {
		if slices.Contains(names, arg) && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// TestSchemasOverStores asks everything of stores in every condition, and holds what is printed against the schemas.
func TestSchemasOverStores(t *testing.T) {
	const events = "2 config subnet=10.0.0.0/24\n10 add id=c1 ip=10.0.0.2/24 config=2 pod=default/web/u1 netns=/run/x inode=7 made=3\n" +
		"20 del id=c1 ip=10.0.0.2/24 reason=del\n30 add id=c2 ip=10.0.0.2/24 config=2 off=5s\n35 refuse id=c9 code=100 requested=10.0.0.2 config=2\n" +
		"40 del id=c2 ip=10.0.0.2/24 reason=gc\n50 import id=c3 ip=10.0.0.2/24 claimed=then source=/x\n60 import ip=10.0.0.3/24 blocked=1\n" +
		"70 annotate boot=2 id=c3 ip=10.0.0.2/24 pod=default/db\n80 release boot=2 id=c3 ip=10.0.0.2/24 reason=force\n90 reset boot=2 reason=wiped\n"
	const hostile = "10 add id==1+1 ip=10.0.0.2/24 pod=\\x1b[2Jboo/=cmd\\u202e/@sum netns=/run/\\\\x\n11 add id=a\\xffb\\u009b ip=10.0.0.3/24\n"
	old := func(text string) func(dir string) error {
		return func(dir string) error { return madeOf(oldStore, dir, text) }
	}
	copied := func(change func(store string) error) func(dir string) error {
		return func(dir string) error {
			text := "0 genesis\n" + strings.ReplaceAll(events, "40 del", "---\n40 del")
			return errors.Join(copiedStore(dir, "cbr0", text), change(filepath.Join(dir, historyName, "cbr0")))
		}
	}
	stores := []struct {
		name string
		make func(dir string) error
	}{
		{"none", func(dir string) error { return nil }},
		{"empty", old("")},
		{"ordinary", old(events)},
		{"hostile", old(hostile)},
		{"in use", func(dir string) error {
			return madeOf(liveStore, dir, "0 add id=c1 ip=10.0.0.2/24\n0 add id=c2 ip=fd00::2/64\n")
		}},
		{"wiped", func(dir string) error {
			return errors.Join(madeOf(liveStore, dir, "0 add id=c1 ip=10.0.0.2/24\n"), os.RemoveAll(filepath.Join(dir, "cbr0")))
		}},
		{"copy", copied(func(string) error { return nil })},
		{"snapshot", copied(func(store string) error { return snapshotStore(store, 8) })},
		{"pruned", copied(func(store string) error {
			return os.Remove(filepath.Join(store, "archive", filepath.Base(firstSegment)))
		})},
		{"damaged", copied(func(store string) error {
			return flipBit(filepath.Join(store, "archive", filepath.Base(firstSegment)), "c2")
		})},
		{"damaged behind a snapshot", copied(func(store string) error {
			return errors.Join(snapshotStore(store, 8), flipBit(filepath.Join(store, "archive", filepath.Base(firstSegment)), "c2"))
		})},
		{"archive alone", copied(func(store string) error {
			return errors.Join(os.Rename(filepath.Join(store, "archive"), filepath.Join(store, "..", "..", "..", "archive")), os.RemoveAll(filepath.Dir(store)),
				os.Rename(filepath.Join(store, "..", "..", "..", "archive"), filepath.Join(store, "..", "..", "archive")))
		})},
		{"nothing but META", copied(func(store string) error {
			return errors.Join(os.RemoveAll(filepath.Join(store, "journal")), os.RemoveAll(filepath.Join(store, "archive")))
		})},
		{"META is damaged", copied(func(store string) error { return os.WriteFile(filepath.Join(store, "META"), []byte("x"), 0o600) })},
		{"claim leads nowhere", copied(os.RemoveAll)},
	}
	s := loadSchemas(t)
	beside := t.TempDir()
	if err := madeOf(oldStore, beside, events); err != nil {
		t.Fatal(err)
	}
	for _, tt := range stores {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := errors.Join(os.Mkdir(dir, 0o700), tt.make(dir)); err != nil {
				t.Fatal(err)
			}
			forms := []string{"table", "jsonl", "json", "csv"}
			s.askAll(t, forms, "--data-dir", dir)
			s.askAll(t, forms[2:3], "--data-dir", dir, "--data-dir", beside)
			for _, file := range dumpable(t, dir) {
				s.ask(t, forms, "dump", file)
			}
		})
	}
}

func madeOf(makeStore func(dataDir, network string, events []journal.Event) error, dir, text string) error {
	events, err := parseEvents(text)
	if err != nil {
		return err
	}
	return makeStore(dir, "cbr0", events)
}

// dumpable lists the segments and snapshots below a folder.
func dumpable(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, snapshotSuffix) || journal.IsSegmentName(filepath.Base(path))) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// askAll asks every question of the stores that the flags mean.
func (s *schemas) askAll(t *testing.T, forms []string, where ...string) {
	t.Helper()
	questions := []string{"leases", "networks", "stats", "verify", "verify --network cbr0", "leases --network cbr1",
		"who 10.0.0.2", "who 10.0.0.2 --at 2026-01-01T00:00:15Z", "who 10.0.0.2 --at 2026-01-01T00:00:25Z --skew 10s", "who 10.0.0.2 --at 2020-01-01T00:00:00Z",
		"who 10.0.0.1 --at 2026-01-01T00:00:15Z", "who fd00::2 --at -1h", "history --ip 10.0.0.2", "history --cidr 10.0.0.0/24 --since 2026-01-01T00:00:35Z",
		"history --container c1 --until 2026-01-01T00:01:00Z", "history --pod default/web", "at now", "at 2026-01-01T00:00:55Z",
		"diff 2026-01-01T00:00:15Z 2026-01-01T00:00:55Z", "diff 2026-01-01T00:00:00Z now", "events",
		"explain 10.0.0.2", "explain 10.0.0.200", "explain --container c1", "explain --pod default/web", "explain --container c9", "stats --window 24h", "stats --since 2026-01-01T00:00:00Z --until now",
		"stats --since 2026-01-01T00:00:05Z --until 2026-01-01T00:00:55Z", "events --kind add,import --ip 10.0.0.2 --since 2 --until 2026-01-01T00:02:00Z",
		"map", "map --at 2020-01-01T00:00:00Z --cidr 10.0.0.0/28", "timeline 10.0.0.2",
		"timeline 10.0.0.3 --since 2025-12-31T00:00:00Z --until 2026-01-01T00:01:00Z", "gc --boot --dry-run", "release 10.0.0.2 --dry-run", "repair --dry-run", "compact --dry-run", "inspect"}
	for _, q := range questions {
		s.ask(t, forms, append(strings.Fields(q), where...)...)
	}
}

// ask runs a command in several forms: the exit code has to be the same, and JSON as its schema says.
func (s *schemas) ask(t *testing.T, forms []string, args ...string) {
	t.Helper()
	want := -1
	for _, form := range forms {
		stdout, words, code := leasectl(append(slices.Clone(args), "-o", form)...)
		if want < 0 {
			want = code
		}
		if code != want {
			t.Errorf("%q -o %s: exit code %d, and %d with -o %s: %s", args, form, code, want, forms[0], words)
		}
		if !strings.HasPrefix(form, "json") {
			continue
		}
		if err := s.check([]byte(stdout)); err != nil {
			t.Errorf("%q -o %s: %v", args, form, err)
		}
		if stdout == "" && form == "json" && code < exitError {
			t.Errorf("%q: exit code %d, and no answer", args, code)
		}
	}
}
