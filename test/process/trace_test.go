package process_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// fileCalls are the system calls on files that a call of the plugin makes. A "?" is for those that
// not every architecture has.
var fileCalls = []string{"openat", "read", "pread64", "write", "pwrite64", "lseek", "fsync", "?fdatasync", "ftruncate",
	"fallocate", "?renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "fchmod", "fchmodat", "flock", "fstat",
	"?newfstatat", "getdents64", "close", "?statfs", "faccessat", "?faccessat2"}

// harmless are system calls that name files but can't fail in a way that concerns the store: Go asks
// whether a descriptor can be polled, which the kernel always denies for files.
var harmless = map[string]bool{"fcntl": true, "epoll_ctl": true, "execve": true}

// fault is what happens to a call of the plugin at some of its system calls.
type fault struct {
	name string // of the system call
	when string // which of them, as strace counts: by thread
	does string // "error=EIO", "signal=KILL"
}

const kill = "signal=KILL"

// under returns the words that run a command under strace with faults, and write its system calls to
// a file. all includes those that concern no file.
func under(path string, all bool, faults ...fault) []string {
	words := trace.Command(path)
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
func watched(t *testing.T, c call, faults ...fault) (answer, []trace.Call) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace")
	c.under, c.pin = under(path, false, faults...), true
	a := do(t, c)
	return a, readTrace(t, path)
}

// readTrace returns what strace wrote: the system calls in the order of their beginnings.
func readTrace(t *testing.T, path string) []trace.Call {
	t.Helper()
	calls, err := trace.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return calls
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
	trace.Call
	site site
}

// sites returns the calls of a trace that concern files below root, or the notes on fenced stores.
func sites(calls []trace.Call, root string) []located {
	var found []located
	rounds := map[string]int{}
	for _, c := range calls {
		if !within(c.Path, root) && !strings.HasPrefix(c.Path, "/run/leaselog") {
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
