package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leaselog/leaselog/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leasectl": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"old":      storeCommand(oldStore),
			"live":     storeCommand(liveStore),
			"snapshot": cmdSnapshot,
			"flip":     cmdFlip,
			"watch":    cmdWatch,
			"parent":   cmdParent,
			"copy":     cmdCopy,
		},
	})
}

// cmdExits runs leasectl and checks its exit code: exits CODE ARG...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i, arg := range args {
		if arg == "--data-dir" || args[1] == "dump" && i == 2 {
			j := i + 1
			if arg != "--data-dir" {
				j = i
			}
			args[j] = ts.MkAbs(args[j])
		}
	}
	if got := run(args[1:], ts.Stdout(), ts.Stderr(), time.Now); got != code || neg {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
}

// storeCommand makes a store: CMD DATADIR NETWORK [EVENTS]
func storeCommand(makeStore func(dataDir, network string, events []journal.Event) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		text := ""
		if len(args) > 2 {
			text = ts.ReadFile(args[2])
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
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	i := bytes.Index(b, []byte(args[1]))
	if i < 0 {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	b[i] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
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
