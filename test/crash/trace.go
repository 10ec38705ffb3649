package crash

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// straceArgs make strace print what parseTrace reads: every call but those that can't touch a file, with
// all bytes of all strings in hex, the path of each descriptor, the whole environment of exec, and when it was.
func straceArgs(out string) []string {
	return []string{"strace", "-f", "-q", "-y", "-v", "-xx", "-ttt", "-s", "4194304", "-o", out,
		"-e", "trace=!pread64,futex,rt_sigaction,rt_sigprocmask,rt_sigreturn,sigaltstack,mprotect,madvise,munmap," +
			"nanosleep,clock_nanosleep,sched_yield,sched_getaffinity,gettid,getpid,tgkill,brk,arch_prctl,set_tid_address," +
			"prlimit64,epoll_pwait,epoll_ctl,getrandom,rseq,set_robust_list"}
}

// kind is what a system call does to files, as far as a crash can tell.
type kind int

const (
	opOpen kind = iota
	opClose
	opWrite // at the descriptor's offset
	opWriteAt
	opSeek // the offset moves, also by reading
	opSync
	opSyncFailed
	opTruncate
	opDup // at is the new descriptor
	opRename
	opExchange
	opLink
	opUnlink
	opMkdir
	opTouch    // at is the time that the file gets
	opSyncDisk // all of the file system
	opStart    // a process begins a call
	opAnswer   // the first byte on standard output
	opExit
)

// op is one system call on the recorded folder, or a step of a call's life, at its place in
// the one order of everything. Paths are below the recorded folder, "" for the folder itself.
type op struct {
	kind  kind
	proc  int // which process, by its first thread
	fd    int
	path  string
	to    string // rename, link
	at    int64  // offset, size
	data  []byte
	flags string
	begun int   // how many operations there were when the call was entered; for syncs
	code  int   // of exit; -1 if it was killed
	call  int   // which call the process is, for opStart
	time  int64 // of the clock, nanoseconds; 0 if the trace doesn't say
	words string
}

// sysCall is one line of strace, put together again if it was interrupted.
type sysCall struct {
	tid    int
	name   string
	args   []string
	result string
	begun  int // operations before it was entered
	time   int64
	line   int
}

// procCall tells which call a process is, by what it got from its environment; ok is false for
// processes that are none.
type procCall func(argv0 string, env map[string]string) (call int, ok bool)

// tracer turns strace's lines into operations.
type tracer struct {
	root    string
	rootHex string
	which   procCall
	process map[int]int // thread to process
	calls   map[int]int // process to call
	said    map[int]bool
	open    map[int]string // a thread's call under way
	begun   map[int]int
	ops     []op
}

// parseTrace reads what strace wrote and returns the operations below root. A call that it doesn't know and that
// names something below root is an error: it might have changed it.
func parseTrace(path, root string, which procCall) ([]op, error) {
	t := &tracer{root: root, rootHex: hexed(root), which: which, process: map[int]int{}, calls: map[int]int{},
		said: map[int]bool{}, open: map[int]string{}, begun: map[int]int{}}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := eachLine(content, t.family); err != nil {
		return nil, err
	}
	if err := eachLine(content, t.line); err != nil {
		return nil, err
	}
	return t.ops, nil
}

func eachLine(content []byte, do func(n, tid int, at int64, rest string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		tid, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("trace line %d: %.80q", n, lines.Text())
		}
		at, rest, err := clock(strings.TrimLeft(rest, " "))
		if err == nil {
			err = do(n, tid, at, rest)
		}
		if err != nil {
			return fmt.Errorf("trace line %d: %w: %.400s", n, err, rest)
		}
	}
	return lines.Err()
}

// clock takes the time off a line that has one.
func clock(line string) (at int64, rest string, err error) {
	word, rest, ok := strings.Cut(line, " ")
	seconds, micros, ok2 := strings.Cut(word, ".")
	if !ok || !ok2 || len(micros) != 6 {
		return 0, line, nil
	}
	at, err = strconv.ParseInt(seconds+micros, 10, 64)
	return at * 1000, rest, err
}

// family notes which thread belongs to which process. It runs before the rest because a new thread's lines may
// come before that of the call that made it.
func (t *tracer) family(_, tid int, _ int64, rest string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, "<... "), "(")
	name, _, _ = strings.Cut(name, " ")
	if name != "clone" && name != "clone3" && name != "vfork" && name != "fork" {
		return nil
	}
	if strings.HasSuffix(rest, "<unfinished ...>") {
		t.open[tid] = rest
		return nil
	}
	_, result, ok := cutLast(rest, " = ")
	child, err := strconv.Atoi(strings.TrimSpace(result))
	if !ok || err != nil || child <= 0 {
		return nil
	}
	t.process[child] = child
	if strings.Contains(t.open[tid]+rest, "CLONE_THREAD") {
		t.process[child] = tid // resolved to the first thread by processOf
	}
	delete(t.open, tid)
	return nil
}

// processOf returns the process that a thread belongs to.
func (t *tracer) processOf(tid int) int {
	for {
		parent, ok := t.process[tid]
		if !ok || parent == tid {
			return tid
		}
		tid = parent
	}
}

func (t *tracer) line(n, tid int, at int64, rest string) error {
	switch {
	case strings.HasPrefix(rest, "+++ "):
		return t.ended(tid, rest)
	case strings.HasPrefix(rest, "--- "):
		return nil
	case strings.HasSuffix(rest, "<unfinished ...>"):
		t.open[tid], t.begun[tid] = strings.TrimSuffix(rest, "<unfinished ...>"), len(t.ops)
		return nil
	}
	begun := len(t.ops)
	if strings.HasPrefix(rest, "<... ") {
		_, end, ok := strings.Cut(rest, " resumed>")
		if !ok {
			return fmt.Errorf("resumed without an end")
		}
		rest, begun = t.open[tid]+end, t.begun[tid]
		delete(t.open, tid)
	}
	c, err := splitCall(rest)
	if err != nil {
		return err
	}
	c.tid, c.begun, c.line, c.time = tid, begun, n, at
	return t.sysCall(c, rest)
}

// ended notes the end of a process; that of one of its other threads says nothing.
func (t *tracer) ended(tid int, rest string) error {
	if _, ok := t.calls[tid]; !ok {
		return nil
	}
	code := -1
	if word, ok := strings.CutPrefix(rest, "+++ exited with "); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(word, " +++"))
		if err != nil {
			return err
		}
		code = n
	}
	t.ops = append(t.ops, op{kind: opExit, proc: tid, code: code, call: t.calls[tid], words: strings.Trim(rest, "+ ")})
	delete(t.calls, tid)
	return nil
}

// splitCall takes a whole line apart: name(args) = result.
func splitCall(s string) (sysCall, error) {
	name, rest, ok := strings.Cut(s, "(")
	args, result, ok2 := cutLast(rest, " = ")
	args, ok3 := strings.CutSuffix(strings.TrimRight(args, " "), ")")
	if !ok || !ok2 || !ok3 {
		return sysCall{}, fmt.Errorf("not a system call")
	}
	result, _, _ = strings.Cut(result, " (")
	return sysCall{name: name, args: splitArgs(args), result: strings.TrimSpace(result)}, nil
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// splitArgs splits at the commas outside of brackets. Strings are all hex, so they hold none.
func splitArgs(s string) []string {
	var args []string
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth == 0 {
				args = append(args, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	return append(args, strings.TrimSpace(s[from:]))
}

// hexed returns a string as strace prints it with -xx.
func hexed(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}

// unhex returns the bytes of a quoted or bare hex string.
func unhex(s string) ([]byte, error) {
	if strings.HasSuffix(s, "...") {
		return nil, fmt.Errorf("a string was cut")
	}
	return hex.DecodeString(strings.ReplaceAll(strings.Trim(s, `"`), `\x`, ""))
}

// descriptor reads an argument such as 5<path>, with or without "(deleted)".
func descriptor(arg string) (fd int, path string, err error) {
	number, rest, _ := strings.Cut(arg, "<")
	raw, _, _ := strings.Cut(rest, ">")
	b, err := unhex(raw)
	if err != nil {
		return 0, "", err
	}
	if number == "AT_FDCWD" {
		return -1, string(b), nil
	}
	fd, err = strconv.Atoi(number)
	return fd, string(b), err
}

// below returns a path as it is within root, or false.
func (t *tracer) below(path string) (string, bool) {
	path = filepath.Clean(path)
	if path == t.root {
		return "", true
	}
	return strings.CutPrefix(path, t.root+"/")
}

// at resolves a folder's descriptor and a name.
func (t *tracer) at(dirfd, name string) (string, bool, error) {
	b, err := unhex(name)
	if err != nil {
		return "", false, err
	}
	path := string(b)
	if !filepath.IsAbs(path) {
		_, dir, err := descriptor(dirfd)
		if err != nil {
			return "", false, err
		}
		path = filepath.Join(dir, path)
	}
	inside, ok := t.below(path)
	return inside, ok, nil
}
