package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// fileCalls are the system calls on files that a call of the plugin makes. A "?" is for those that
// not every architecture has.
var fileCalls = []string{"openat", "read", "pread64", "write", "pwrite64", "lseek", "fsync", "?fdatasync", "ftruncate",
	"fallocate", "?renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "fchmod", "fchmodat", "flock", "fstat",
	"?newfstatat", "getdents64", "close", "?statfs", "faccessat", "?faccessat2"}

// harmless are system calls that name files but can't fail in a way that concerns the store: Go asks
// whether a descriptor can be polled, which the kernel always denies for files.
var harmless = map[string]bool{"fcntl": true, "epoll_ctl": true, "execve": true}

// sysCall is one system call as strace tells it.
type sysCall struct {
	thread   string
	name     string
	path     string // of its file; "" if it has none
	to       string // of a rename or link: the new name
	flags    string // all arguments
	args     []string
	fd       string // thread-independent number of the descriptor that it uses, "" if it goes by path
	result   int64  // -1 if it failed or never returned
	failed   bool   // it returned an error
	ended    bool   // it returned; false if the process was killed in it, or at its door
	injected bool
	ordinal  int // among the thread's calls of this name, 1 on
}

func (c sysCall) String() string {
	if c.to != "" {
		return fmt.Sprintf("%s %s -> %s", c.name, c.path, c.to)
	}
	return c.name + " " + c.path
}

// fault is what happens to a call of the plugin at some of its system calls.
type fault struct {
	name string // of the system call
	when string // which of them, as strace counts: by thread
	does string // "error=EIO", "signal=KILL"
}

const kill = "signal=KILL"

// under returns the words that run a command under strace with faults, and write its system calls to
// a file. all includes those that concern no file.
func under(trace string, all bool, faults ...fault) []string {
	words := []string{"strace", "-f", "-qq", "-y", "-s", "0", "-o", trace}
	if !all {
		words = append(words, "-e", "trace="+strings.Join(fileCalls, ","))
	}
	quick := !all
	for _, f := range faults {
		quick = quick && f.does != kill // strace does not send signals that way
		words = append(words, "-e", fmt.Sprintf("inject=%s:%s:when=%s", f.name, f.does, f.when))
	}
	if quick {
		words = append(words, "--seccomp-bpf")
	}
	return words
}

// watched makes a call with faults and returns its answer and its system calls on files.
func watched(t *testing.T, c call, faults ...fault) (answer, []sysCall) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	c.under, c.pin = under(trace, false, faults...), true
	a := do(t, c)
	return a, readTrace(t, trace)
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +([a-z0-9_]+)\((.*?)\)? += (-?\d+|\?)(.*)$`)
	tracePath = regexp.MustCompile(`"([^"]*)"`)
	traceFD   = regexp.MustCompile(`^(-?\d+|AT_FDCWD)<([^>]*)>$`)
)

// readTrace returns what strace wrote: the system calls in the order of their beginnings.
func readTrace(t *testing.T, path string) []sysCall {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var calls []sysCall
	ordinals := map[string]int{}
	for _, line := range wholeLines(string(text)) {
		m := traceLine.FindStringSubmatch(line)
		if m == nil {
			continue // signals, exits
		}
		c := parseCall(m)
		key := c.thread + " " + c.name
		ordinals[key]++
		c.ordinal = ordinals[key]
		calls = append(calls, c)
	}
	return calls
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
func parseCall(m []string) sysCall {
	c := sysCall{thread: m[1], name: m[2], flags: strings.TrimSpace(m[3])}
	c.args = strings.Split(c.flags, ", ")
	c.injected = strings.Contains(m[5], "(INJECTED)")
	n, err := strconv.ParseInt(m[4], 10, 64)
	c.result, c.ended = n, err == nil
	if err != nil {
		c.result = -1
	}
	c.failed = c.ended && n < 0
	base := ""
	if fd := traceFD.FindStringSubmatch(c.args[0]); fd != nil {
		base = fd[2]
		if fd[1] != "AT_FDCWD" {
			c.fd = fd[1]
		}
	}
	names := tracePath.FindAllStringSubmatch(m[3], -1)
	switch c.name {
	case "renameat", "renameat2", "linkat":
		if len(names) == 2 {
			c.path, c.to = names[0][1], names[1][1]
		}
	case "openat", "mkdirat", "unlinkat", "fchmodat", "newfstatat", "faccessat", "faccessat2", "statfs":
		if len(names) > 0 {
			c.path = names[0][1]
		}
		if !filepath.IsAbs(c.path) {
			c.path = filepath.Join(base, c.path)
		}
	default:
		c.path = base
	}
	return c
}

var changingNames = regexp.MustCompile(`(\.new-|tmp\.|quarantine/)[0-9]+(-[0-9a-f]{8}\b)?|/run/leaselog/[0-9a-f]+|\.ruin-.*`)

// site is a place in the plugin where a system call is made, as it can be found again in another run.
type site struct {
	call  string // name and path, without what differs from run to run
	round int    // how often it was made there before
}

func (s site) String() string { return fmt.Sprintf("%s (%d)", s.call, s.round+1) }

// located is a system call with its site.
type located struct {
	sysCall
	site site
}

// sites returns the calls of a trace that concern files below root, or the notes on fenced stores.
func sites(calls []sysCall, root string) []located {
	var found []located
	rounds := map[string]int{}
	for _, c := range calls {
		if !within(c.path, root) && !strings.HasPrefix(c.path, "/run/leaselog") {
			continue
		}
		key := changingNames.ReplaceAllStringFunc(strings.ReplaceAll(c.String(), root, ""), func(s string) string {
			return changingNames.FindStringSubmatch(s)[1] + "*"
		})
		found = append(found, located{c, site{key, rounds[key]}})
		rounds[key]++
	}
	return found
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
