package trace

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Command returns the words that run a command under strace, which writes its system calls to a file
// in the form that Read reads. more are more arguments of strace.
func Command(path string, more ...string) []string {
	return append([]string{"strace", "-f", "-qq", "-y", "-s", "0", "-o", path}, more...)
}

// Need skips a test where strace is missing or not allowed to trace.
func Need(t testing.TB) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("system calls are watched: %v", err)
	}
	if out, err := exec.Command(path, "-f", "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("system calls are watched: strace: %v: %s", err, strings.TrimSpace(string(out)))
	}
}

// Call is one system call as strace tells it.
type Call struct {
	Thread   string
	Name     string
	Path     string // of its file; "" if it has none
	To       string // of a rename or link: the new name
	Flags    string // all arguments
	Args     []string
	FD       string // thread-independent number of the descriptor that it uses, "" if it goes by path
	Result   int64  // -1 if it failed or never returned
	Failed   bool   // it returned an error
	Ended    bool   // it returned; false if the process was killed in it, or at its door
	Injected bool
	Ordinal  int // among the thread's calls of this name, 1 on
}

func (c Call) String() string {
	if c.To != "" {
		return c.Name + " " + c.Path + " -> " + c.To
	}
	return c.Name + " " + c.Path
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +([a-z0-9_]+)\((.*?)\)? += (-?\d+|\?)(.*)$`)
	tracePath = regexp.MustCompile(`"([^"]*)"`)
	traceFD   = regexp.MustCompile(`^(-?\d+|AT_FDCWD)<([^>]*)>$`)
)

// noCall reports whether a call's name is a number that no kernel has a call of. strace writes such a line at times for a thread that
// dies, from registers that are nobody's any more. A call that strace is too old to know has a small number, and is kept.
func noCall(name string) bool {
	number, ok := strings.CutPrefix(name, "syscall_0x")
	n, err := strconv.ParseUint(number, 16, 64)
	return ok && err == nil && n >= 1024
}

// Read returns what strace wrote to a file: the system calls in the order of their beginnings.
func Read(path string) ([]Call, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var calls []Call
	ordinals := map[string]int{}
	for _, line := range wholeLines(string(text)) {
		m := traceLine.FindStringSubmatch(line)
		if m == nil {
			continue // signals, exits
		}
		if noCall(m[2]) {
			continue
		}
		c := parseCall(m)
		key := c.Thread + " " + c.Name
		ordinals[key]++
		c.Ordinal = ordinals[key]
		calls = append(calls, c)
	}
	return calls, nil
}

// wholeLines puts the two halves of calls together that another thread's calls came between.
func wholeLines(text string) []string {
	var lines []string
	begun := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		thread, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimLeft(rest, " ")
		switch {
		case strings.HasSuffix(line, "<unfinished ...>"):
			begun[thread] = len(lines)
			// Without an end it was killed: that is how strace shows a call that never returned.
			lines = append(lines, strings.TrimSuffix(line, "<unfinished ...>")+") = ?")
		case strings.HasPrefix(rest, "<... "):
			if i, ok := begun[thread]; ok {
				_, end, _ := strings.Cut(rest, "resumed>")
				lines[i] = strings.TrimSuffix(lines[i], ") = ?") + end
				delete(begun, thread)
			}
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

// parseCall makes a call of a matched line.
func parseCall(m []string) Call {
	c := Call{Thread: m[1], Name: m[2], Flags: strings.TrimSpace(m[3])}
	c.Args = strings.Split(c.Flags, ", ")
	c.Injected = strings.Contains(m[5], "(INJECTED)")
	n, err := strconv.ParseInt(m[4], 10, 64)
	c.Result, c.Ended = n, err == nil
	if err != nil {
		c.Result = -1
	}
	c.Failed = c.Ended && n < 0
	base := ""
	if fd := traceFD.FindStringSubmatch(c.Args[0]); fd != nil {
		base = fd[2]
		if fd[1] != "AT_FDCWD" {
			c.FD = fd[1]
		}
	}
	names := tracePath.FindAllStringSubmatch(m[3], -1)
	switch c.Name {
	case "renameat", "renameat2", "linkat":
		if len(names) == 2 {
			c.Path, c.To = names[0][1], names[1][1]
		}
	case "openat", "mkdirat", "unlinkat", "fchmodat", "newfstatat", "faccessat", "faccessat2", "statfs":
		if len(names) > 0 {
			c.Path = names[0][1]
		}
		if !filepath.IsAbs(c.Path) {
			c.Path = filepath.Join(base, c.Path)
		}
	case "epoll_ctl":
		if len(c.Args) > 2 { // what is watched, not what watches
			_, c.Path, _ = strings.Cut(strings.TrimSuffix(c.Args[2], ">"), "<")
		}
	default:
		c.Path = base
	}
	return c
}
