package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parse reads a trace, in which {words} stands for words in strace's hex.
func parse(t *testing.T, trace string) ([]op, error) {
	t.Helper()
	for {
		before, rest, ok := strings.Cut(trace, "{")
		if !ok {
			break
		}
		word, after, _ := strings.Cut(rest, "}")
		trace = before + hexed(word) + after
	}
	path := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(path, []byte(strings.TrimLeft(trace, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return parseTrace(path, "/r", func(argv0 string, env map[string]string) (int, bool) { return 7, argv0 == "/plugin" && env["A"] == "b" })
}

// TestTrace reads what strace prints of two processes with threads that interrupt one another.
func TestTrace(t *testing.T) {
	ops, err := parse(t, `
10 clone3([flags=CLONE_VFORK, exit_signal=SIGCHLD]) = 11
11 execve("{/plugin}", ["{/plugin}"], ["{A=b}"]) = 0
12 openat(AT_FDCWD<{/}>, "{/r/f}", O_RDWR|O_CREAT, 0600) = 3<{/r/f}>
11 clone3([flags=CLONE_VM|CLONE_THREAD]) = 12
12 fsync(3<{/r/f}> <unfinished ...>
11 write(3<{/r/f}>, "{abc}", 3) = 2
12 <... fsync resumed>) = 0
11 --- SIGURG [si_signo=SIGURG] ---
11 fsync(3<{/r/f}>) = -1 EIO (Input/output error) (INJECTED)
11 unlinkat(5<{/r/d}>, "{x}", 0) = 0
11 unlinkat(AT_FDCWD<{/r}>, "{y}", 0) = -1 ENOENT (No such file or directory)
11 read(4<{/elsewhere}>, "{/r/f}", 100) = 4
11 write(1<{pipe:[1]}>, "{[]}", 2) = 2
11 write(1<{pipe:[1]}>, "{[]}", 2) = 2
11 exit_group(0) = ?
12 +++ exited with 0 +++
11 +++ exited with 0 +++`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range ops {
		got = append(got, fmt.Sprintf("%d/%d %d %s %q %d", o.kind, o.proc, o.fd, o.path, o.data, o.begun))
	}
	want := []string{
		fmt.Sprintf(`%d/11 0  "" 0`, opStart),
		fmt.Sprintf(`%d/11 3 f "" 1`, opOpen),
		fmt.Sprintf(`%d/11 3 f "ab" 2`, opWrite),
		fmt.Sprintf(`%d/11 3 f "" 2`, opSync), // entered before the write
		fmt.Sprintf(`%d/11 3 f "" 4`, opSyncFailed),
		fmt.Sprintf(`%d/11 0 d/x "" 5`, opUnlink),
		fmt.Sprintf(`%d/11 0  "" 0`, opAnswer),
		fmt.Sprintf(`%d/11 0  "" 0`, opExit),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTraceRefuses wants everything that might change files and is not modelled to be an error.
func TestTraceRefuses(t *testing.T) {
	for _, line := range []string{
		`1 sync() = 0`,
		`1 copy_file_range(3<{/r/f}>, NULL, 4<{/r/g}>, NULL, 5, 0) = 5`,
		`1 fallocate(3<{/r/f}>, 0, 0, 100) = 0`,
		`1 symlinkat("{/x}", AT_FDCWD<{/r}>, "{/r/f}") = 0`,
		`1 renameat2(AT_FDCWD<{/r}>, "{/r/f}", AT_FDCWD<{/r}>, "{/r/g}", RENAME_WHITEOUT) = 0`,
		`1 renameat(AT_FDCWD<{/r}>, "{/r/f}", AT_FDCWD<{/r}>, "{/elsewhere}") = 0`,
		`1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3<{/r/f}>, 0) = 0x7000`,
		`1 pwritev(3<{/r/f}>, [], 1, 0) = 1`,
		`1 write(3<{/r/f}>, "{ab}"..., 9) = 9`,
		`1 garbage`,
	} {
		if ops, err := parse(t, line); err == nil {
			t.Errorf("%s: no error, operations %v", line, ops)
		}
	}
}

// TestTraceTimes reads when a call was made and what time it gives a file.
func TestTraceTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	line := `7 1700000000.000012 utimensat(AT_FDCWD<>, "` + hexed("/r/f") + `", [{tv_sec=1, tv_nsec=2} /* 1970-01-01T00:00:01.000000002+0000 */, ` +
		`{tv_sec=1600000000, tv_nsec=5} /* 2020-09-13T12:26:40.000000005+0000 */], %s) = 0` + "\n"
	for _, flags := range []string{"0", "AT_SYMLINK_NOFOLLOW"} {
		if err := os.WriteFile(path, fmt.Appendf(nil, line, flags), 0o600); err != nil {
			t.Fatal(err)
		}
		ops, err := parseTrace(path, "/r", func(string, map[string]string) (int, bool) { return 0, false })
		if flags != "0" {
			if err == nil {
				t.Errorf("%s: no error", flags)
			}
			continue
		}
		if err != nil || len(ops) != 1 {
			t.Fatal(ops, err)
		}
		if o := ops[0]; o.kind != opTouch || o.path != "f" || o.time != 1_700_000_000_000_012_000 || o.at != 1_600_000_000_000_000_005 {
			t.Errorf("got %+v", o)
		}
	}
}
