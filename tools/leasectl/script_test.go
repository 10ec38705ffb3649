package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/skipping"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leasectl": main})
}

// TestScripts runs the scripts in testdata. What they have leasectl print as JSON is checked against docs/schemas.
func TestScripts(t *testing.T) {
	known := loadSchemas(t)
	t.Run("script", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:           "testdata",
			UpdateScripts: *update,
			Condition:     condition,
			Setup: func(env *testscript.Env) error {
				env.Setenv("GORACE", quickExit)
				node, err := os.Hostname()
				env.Setenv("NODE", node)
				return err
			},
			Cmds: scriptCommands(known, newLeasegen(t.TempDir())),
		})
	})
	if unused := known.unused(); len(unused) > 0 && !someAlone() {
		t.Errorf("schemas that no script has anything of: %q", unused)
	}
}

// scriptCommands are the commands of scripts beside testscript's own.
func scriptCommands(known *schemas, g leasegen) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":    known.exits,
		"old":      storeCommand(oldStore),
		"live":     storeCommand(liveStore),
		"snapshot": cmdSnapshot,
		"flip":     cmdFlip,
		"watch":    cmdWatch,
		"parent":   cmdParent,
		"copy":     cmdCopy,
		"node":     cmdNode,
		"leasegen": g.run,
		"glob":     cmdGlob,
		"flipat":   cmdFlipAt,
		"same":     cmdSame,
		"shows":    cmdShows,
	}
}

// quickExit has a process under the race detector end without a second's wait for other goroutines.
const quickExit = "atexit_sleep_ms=0"

// condition knows whether namespaces can be made. LEASELOG_E2E_REQUIRE says that they must be.
func condition(name string) (bool, error) {
	if name != "namespaces" {
		return false, fmt.Errorf("condition %q is not known", name)
	}
	return skipping.Forbidden() || exec.Command("unshare", "--mount", "--net", "true").Run() == nil, nil
}

// exits runs leasectl and checks its exit code: exits CODE ARG... A command that only reads is run once more for each format of
// JSON: the exit code has to be the same.
func (s *schemas) exits(ts *testscript.TestScript, neg bool, args []string) {
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	// The script's folder is not this process's.
	for i, arg := range args {
		next := i + 1
		switch {
		case writesOutput(args[1]) && arg == "-o" && next < len(args) && args[next] != "-" && args[next] != "", arg == "--history-dir" && next < len(args):
			args[next] = ts.MkAbs(args[next])
		case args[1] == "restore" && i == 2 && arg != "" && !strings.HasPrefix(arg, "-"):
			args[i] = ts.MkAbs(arg)
		case args[1] == "dump" && i == 2, args[1] == "join" && i == 2 && arg != "-":
			args[i] = ts.MkAbs(arg)
		case strings.HasPrefix(arg, "--cni-cache="):
			args[i] = "--cni-cache=" + ts.MkAbs(strings.TrimPrefix(arg, "--cni-cache="))
		case slices.Contains([]string{"--data-dir", "--live", "--cni-cache", "--conf-dir", "-O"}, arg) && next < len(args) &&
			args[next] != "" && !strings.HasPrefix(args[next], "-"):
			args[next] = ts.MkAbs(args[next])
		}
	}
	var shown bytes.Buffer
	if got := run(args[1:], io.MultiWriter(ts.Stdout(), &shown), ts.Stderr(), time.Now); got != code || neg {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
	if args[1] == "join" {
		ts.Check(s.checkJoined(shown.Bytes()))
		return
	}
	if strings.HasPrefix(outputOf(args[1:]), "json") {
		ts.Check(s.check(shown.Bytes()))
		return
	}
	for _, format := range []string{"json", "jsonl"} {
		again, ok := asJSON(args[1:], format)
		if !ok {
			return
		}
		shown.Reset()
		if got := run(again, &shown, io.Discard, time.Now); got != code {
			ts.Fatalf("exit code %d with -o %s, want %d", got, format, code)
		}
		ts.Check(s.check(shown.Bytes()))
	}
}

// storeCommand makes a store: CMD DATADIR NETWORK [EVENTS]
func storeCommand(makeStore func(dataDir, network string, events []journal.Event) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		text := ""
		if len(args) > 2 {
			text = os.Expand(ts.ReadFile(args[2]), ts.Getenv)
		}
		events, err := parseEvents(text)
		ts.Check(err)
		ts.Check(makeStore(ts.MkAbs(args[0]), args[1], events))
	}
}

// cmdSnapshot writes a snapshot of a store: snapshot DIR SEQ
func cmdSnapshot(ts *testscript.TestScript, _ bool, args []string) {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	ts.Check(snapshotStore(ts.MkAbs(args[0]), journal.Seq(seq)))
}

// cmdFlip flips a bit in the record that holds a text: flip FILE TEXT
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(flipBit(ts.MkAbs(args[0]), args[1]))
}

// flipBit flips a bit where a file holds a text.
func flipBit(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// As a string of msgpack, if it is one: the text alone may be within a checksum by chance.
	i := bytes.Index(b, append([]byte{0xa0 | byte(len(text))}, text...)) + 1
	if i == 0 || len(text) > 31 {
		i = bytes.Index(b, []byte(text))
	}
	if i < 0 {
		return fmt.Errorf("%s does not hold %q", path, text)
	}
	b[i] ^= 1
	return os.WriteFile(path, b, 0o600)
}

// cmdParent makes the folder in which a store keeps the one it succeeded known as parent: parent DIR
func cmdParent(ts *testscript.TestScript, _ bool, args []string) {
	kept, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "archive", strings.Repeat("[0-9a-f]", 32)))
	ts.Check(err)
	if len(kept) != 1 {
		ts.Fatalf("kept: %q, want one", kept)
	}
	ts.Check(os.Symlink(kept[0], ts.MkAbs("parent")))
}

// cmdCopy copies a folder and all in it: copy FROM TO
func cmdCopy(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// cmdNode has a store's META name another node: node DIR NAME
func cmdNode(ts *testscript.TestScript, _ bool, args []string) {
	meta, err := journal.ReadMeta(ts.MkAbs(args[0]))
	ts.Check(err)
	meta.Node = args[1]
	ts.Check(journal.WriteMeta(ts.MkAbs(args[0]), meta))
}

// cmdWatch keeps what is below a folder, and at the second call says if it changed.
func cmdWatch(ts *testscript.TestScript, _ bool, args []string) {
	now, err := tree(ts.MkAbs(args[0]))
	ts.Check(err)
	kept := filepath.Join(ts.Getenv("WORK"), "..", filepath.Base(ts.Getenv("WORK"))+"."+filepath.Base(args[0])+".watch")
	before, err := os.ReadFile(kept)
	if err != nil {
		ts.Check(os.WriteFile(kept, []byte(now), 0o600))
		return
	}
	if now != string(before) {
		ts.Fatalf("changed:\n%s\nwas:\n%s", now, before)
	}
}
