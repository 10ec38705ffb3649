package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// leasegen is the command that makes stores, built once for all scripts.
type leasegen struct {
	build func() (string, error)
}

func newLeasegen(folder string) leasegen {
	return leasegen{sync.OnceValues(func() (string, error) {
		path := filepath.Join(folder, "leasegen")
		out, err := exec.Command("go", "build", "-o", path, "../leasegen").CombinedOutput()
		if err != nil {
			return string(out), err
		}
		return path, nil
	})}
}

// run makes a store: leasegen ARG...
func (g leasegen) run(ts *testscript.TestScript, _ bool, args []string) {
	path, err := g.build()
	if err != nil {
		ts.Fatalf("build leasegen: %v: %s", err, path)
	}
	ts.Check(ts.Exec(path, args...))
}

// cmdGlob sets a variable, in capitals, to the one file that a pattern means: glob NAME PATTERN
func cmdGlob(ts *testscript.TestScript, _ bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s: %q, want one", args[1], found)
	}
	ts.Setenv(strings.ToUpper(args[0]), found[0])
}

// cmdFlipAt flips a bit of a byte, counted from the end if it is negative: flipat FILE BYTE
func cmdFlipAt(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[(at+len(b))%len(b)] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// cmdSame compares columns of two CSV files: same FILE FILE COLUMN,...
func cmdSame(ts *testscript.TestScript, _ bool, args []string) {
	read := func(file string) [][]string {
		all, err := csv.NewReader(bytes.NewReader([]byte(ts.ReadFile(file)))).ReadAll()
		ts.Check(err)
		var columns []int
		for _, name := range strings.Split(args[2], ",") {
			i := slices.Index(all[0], name)
			if i < 0 {
				ts.Fatalf("%s: no column %q among %q", file, name, all[0])
			}
			columns = append(columns, i)
		}
		rows := make([][]string, len(all))
		for i, row := range all {
			for _, c := range columns {
				rows[i] = append(rows[i], row[c])
			}
		}
		return rows
	}
	one, other := read(args[0]), read(args[1])
	for i := range min(len(one), len(other)) {
		if !slices.Equal(one[i], other[i]) {
			ts.Fatalf("line %d: %q, want %q", i+1, one[i], other[i])
		}
	}
	if len(one) != len(other) || len(one) < 2 {
		ts.Fatalf("%d lines, want %d", len(one), len(other))
	}
}

// TestFollowPacked follows a store from its first event on, of which many are packed, and one frame is damaged.
func TestFollowPacked(t *testing.T) {
	path, err := newLeasegen(t.TempDir()).build()
	if err != nil {
		t.Fatalf("build leasegen: %v: %s", err, path)
	}
	dataDir := t.TempDir()
	out, err := exec.Command(path, "--out", dataDir, "--network", "pods", "--leases", "40", "--events", "3000", "--seed", "5",
		"--until", "2026-01-31T00:00:00Z", "--pack").CombinedOutput()
	if err != nil {
		t.Fatalf("leasegen: %v: %s", err, out)
	}
	archived := filepath.Join(dataDir, historyName, "pods", "archive")
	files, err := filepath.Glob(filepath.Join(archived, "*.llz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d packed files, %v", len(files), err)
	}
	file := files[0]
	last := uint64(894)
	w := follow(t, "--data-dir", dataDir, "--since", "1")
	w.expect(1, 3000)
	w.end(syscall.SIGINT, exitFound)
	w = follow(t, "--data-dir", archived, "--since", "1")
	w.expect(1, last)
	w.end(syscall.SIGINT, exitFound)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 1 // in the first frame
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w = follow(t, "--data-dir", dataDir, "--since", "1")
	w.expect(1, 1) // it is kept in a segment of its own, too
	w.expect(129, 3000)
	if words := w.end(syscall.SIGINT, exitUnknown); !strings.Contains(words, "events 2 to 128 are lost") {
		t.Errorf("said %s", words)
	}
}
