package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
)

// makingCalls are those before which a backup or a restore is killed.
var makingCalls = []string{"openat", "mkdirat", "unlinkat", "write", "pwrite64", "ftruncate", "fchmodat", "fchmod", "fsync", "syncfs", "renameat",
	"renameat2", "linkat", "flock"}

// killedAt runs leasectl once to its end, and then killed before some of its system calls, or before all with -full. before makes
// what a run needs and returns its arguments; after judges.
func killedAt(t *testing.T, before func() []string, after func(what string)) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace, to kill at a system call")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command, log := filepath.Join(t.TempDir(), "leasectl"), filepath.Join(t.TempDir(), "log")
	if err := os.Symlink(self, command); err != nil { // the test binary is leasectl when it is called so, see TestMain
		t.Fatal(err)
	}
	try := func(flags ...string) string {
		args := append([]string{"-f", "-qq", "-o", log, "-e", "trace=" + strings.Join(makingCalls, ",")}, flags...)
		out, _ := exec.Command("strace", append(append(args, command), before()...)...).CombinedOutput()
		return string(out)
	}
	after("not killed: " + try())
	points, hits, tries := killPoints(t, log, makingCalls), 0, 0
	r := rand.New(rand.NewPCG(seeded(t), 5))
	for _, p := range points {
		if !*full && r.IntN(len(points)) >= 12 {
			continue
		}
		tries++
		out := try("-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.name, p.n))
		after(fmt.Sprintf("killed at %s %d: %s", p.name, p.n, out))
		if b, err := os.ReadFile(log); err == nil && strings.Contains(string(b), "killed by SIGKILL") {
			hits++
		}
	}
	if len(points) < 30 || hits < tries/2 {
		t.Errorf("%d calls and %d kills of %d, so this test shows less than it means to", len(points), hits, tries)
	}
	t.Logf("%d kills of %d calls", hits, len(points))
}

// TestBackupKilled: whenever it is killed, the file is whole or not there, the store is as it was, and the next run leaves nothing but
// the file.
func TestBackupKilled(t *testing.T) {
	dataDir, folder := t.TempDir(), ""
	if err := liveStore(dataDir, "net", nil); err != nil {
		t.Fatal(err)
	}
	was, err := tree(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	killedAt(t, func() []string {
		folder = t.TempDir()
		return []string{"backup", "-o", filepath.Join(folder, "b"), "--data-dir", dataDir}
	}, func(what string) {
		file := filepath.Join(folder, "b")
		if _, err := os.Stat(file); err == nil {
			if _, err := backup.Check(file); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if now, _ := tree(dataDir); now != was {
			t.Errorf("%s: the store has changed", what)
		}
		if _, words, code := leasectl("backup", "-o", file+"2", "--data-dir", dataDir); code != exitFound {
			t.Errorf("%s: the next run: exit code %d, %s", what, code, words)
		}
		names, err := filepath.Glob(filepath.Join(folder, ".*"))
		if len(names) > 0 || err != nil {
			t.Errorf("%s: left behind: %q, %v", what, names, err)
		}
	})
}

// TestRestoreKilled: whenever it is killed, there is no store, and the next run makes it; or there is all of it.
func TestRestoreKilled(t *testing.T) {
	was, file, dataDir := t.TempDir(), filepath.Join(t.TempDir(), "b"), ""
	if err := madeOf(liveStore, was, "1 config subnet=10.0.0.0/24\n2 add id=c1 ip=10.0.0.2/24 config=2"); err != nil {
		t.Fatal(err)
	}
	if _, words, code := leasectl("backup", "-o", file, "--data-dir", was); code != exitFound {
		t.Fatal(words)
	}
	killedAt(t, func() []string {
		dataDir = filepath.Join(t.TempDir(), "networks")
		return []string{"restore", file, "--data-dir", dataDir}
	}, func(what string) {
		_, err := journal.ReadMeta(filepath.Join(dataDir, historyName, "cbr0"))
		want, text := exitFound, ""
		if err == nil {
			want, text = exitError, "is there already"
		}
		if _, words, code := leasectl("restore", file, "--data-dir", dataDir); code != want || !strings.Contains(words, text) {
			t.Errorf("%s: the next run: exit code %d, want %d: %s", what, code, want, words)
		}
		if out, words, code := leasectl("leases", "--data-dir", dataDir); code != exitUncertain || !strings.Contains(out, " c1 ") {
			t.Errorf("%s: leases: exit code %d: %s%s", what, code, out, words)
		}
		if out, _, code := leasectl("verify", "--data-dir", dataDir); code != exitFound {
			t.Errorf("%s: verify: exit code %d: %s", what, code, out)
		}
		if err == nil {
			return // what it left is removed by the next restore that makes something
		}
		if names, err := filepath.Glob(filepath.Join(dataDir, historyName, ".[rn]*")); len(names) > 0 || err != nil {
			t.Errorf("%s: left behind: %q, %v", what, names, err)
		}
	})
}
