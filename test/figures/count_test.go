package figures_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// notAsked are the system calls that Go's runtime makes on its own account, and why their number says
// nothing about leaselog. All others count.
var notAsked = []struct {
	why   string
	names []string
}{
	{"memory: how often the heap asks the kernel depends on its size and on huge pages",
		[]string{"mmap", "munmap", "mprotect", "madvise", "brk", "prctl"}},
	{"threads: how many there are, and how often they wait for each other, is a matter of time",
		[]string{"clone", "clone3", "futex", "gettid", "getpid", "tgkill", "sched_getaffinity", "sched_yield", "nanosleep", "clock_nanosleep",
			"set_robust_list", "set_tid_address", "rseq", "membarrier", "epoll_wait", "epoll_pwait", "epoll_pwait2", "restart_syscall"}},
	{"signals: all handlers are set at the start, the stacks with each thread; the scheduler interrupts by signal",
		[]string{"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"}},
	{"beginning and end of every process", []string{"execve", "arch_prctl", "prlimit64", "exit", "exit_group"}},
	{"clocks and chance: newer kernels answer without a system call", []string{"gettimeofday", "getrandom"}},
}

// notAskedFiles are those that the runtime reads to learn how many processors it has and how large
// pages are, at the start and now and then later.
var notAskedFiles = regexp.MustCompile(`^/proc/(self|\d+)/(cgroup|mountinfo)$|^/sys/(fs/cgroup|kernel/mm|devices/system/cpu)/`)

// asked reports whether a system call is one that leaselog asks for, itself or by what it uses of the
// standard library. root is the test's folder; how many there are above it is the machine's
// business, and all are synced where a store is made.
func asked(c trace.Call, root string) bool {
	for _, group := range notAsked {
		if slices.Contains(group.names, c.Name) {
			return false
		}
	}
	switch {
	case notAskedFiles.MatchString(c.Path):
		return false
	case c.Name == "fcntl" && len(c.FD) == 1 && c.FD <= "2":
		return false // whether standard input, output and error are open
	case c.Name == "clock_gettime":
		return c.Args[0] == "CLOCK_BOOTTIME" // the others take no system call, on most machines
	case strings.HasPrefix(c.Path, "anon_inode:[eventfd]") && c.Name != "epoll_ctl":
		return false // threads wake each other
	}
	return c.Path == "" || !strings.HasPrefix(root, strings.TrimSuffix(c.Path, "/")+"/")
}

// The figures of a call.
const (
	allCalls = "calls"
	syncs    = "syncs"
	locks    = "locks"
	writes   = "writes"  // to files below the test's folder
	written  = "written" // bytes of them
	blocks   = "blocks"  // of snapshots, read
	read     = "read"    // bytes of other files below the test's folder, standard input aside
)

var callFigures = golden{file: "calls.txt", columns: []string{allCalls, syncs, locks, writes, written, blocks, read},
	atMost: []string{read}, slack: 0.1, extra: 512} // the machine's name, up to 64 bytes, is read a few times

const blockBytes = 4096

// count makes figures of system calls.
func count(calls []trace.Call, root string) row {
	r := row{}
	for _, c := range calls {
		if !asked(c, root) {
			continue
		}
		r[allCalls]++
		r["sys."+c.Name]++
		switch c.Name {
		case "fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync":
			r[syncs]++
		case "flock":
			r[locks]++
		case "openat":
			if regexp.MustCompile(`\bO_D?SYNC\b`).MatchString(c.Flags) {
				r[syncs]++
			}
		}
		if c.Failed || c.FD == "0" || !strings.HasPrefix(c.Path, root+"/") {
			continue
		}
		switch c.Name {
		case "write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile":
			r[writes]++
			r[written] += int(c.Result)
		case "read", "pread64", "readv", "preadv", "preadv2":
			if filepath.Ext(c.Path) == ".snap" {
				r[blocks] += (int(c.Result) + blockBytes - 1) / blockBytes
			} else {
				r[read] += int(c.Result)
			}
		}
	}
	return r
}

// traced makes a call under strace and returns its answer and its system calls.
func traced(t *testing.T, c caller.Call) (caller.Answer, []trace.Call) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace")
	a := runCall(t, c, leaselog, nil, trace.Command(path)...)
	calls, err := trace.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return a, calls
}

// runCall makes a call. Its input is a file, because what can be read of a pipe at once is a matter of
// time. So it is when Go's collector runs, which closes files on occasion, and its scheduler interrupts
// threads, whose system calls end early then: both stay away.
func runCall(t *testing.T, c caller.Call, plugin string, third *os.File, under ...string) caller.Answer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(c.Input()), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	c.Env = append(c.Env, "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	cmd := c.Command(plugin, under...)
	cmd.Stdin = input
	if third != nil {
		cmd.ExtraFiles = []*os.File{third}
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if c.Verb == "VERSION" && cmd.ProcessState.Success() && stderr.Len() == 0 {
		return caller.Answer{Stdout: stdout.String()}
	}
	a, err := c.Read(cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
	if err != nil || a.Stderr != "" {
		t.Fatalf("%s %s: %v, %v", c.Verb, c.ID, err, a)
	}
	return a
}
