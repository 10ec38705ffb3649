package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leasegen": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": cmdExits},
	})
}

// cmdExits runs leasegen and checks its exit code: exits CODE ARG...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i, arg := range args[:len(args)-1] {
		if arg == "--out" {
			args[i+1] = ts.MkAbs(args[i+1])
		}
	}
	if got := run(args[1:], ts.Stdout(), ts.Stderr(), time.Now); got != code || neg {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
}
