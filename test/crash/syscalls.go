package crash

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// harmless are system calls that change nothing a crash could lose. Modes, owners, times and reserved space
// are not modelled, see doc.go.
var harmless = map[string]bool{
	"access": true, "faccessat": true, "faccessat2": true, "newfstatat": true, "fstat": true, "stat": true, "lstat": true,
	"statx": true, "statfs": true, "fstatfs": true, "readlink": true, "readlinkat": true, "getdents64": true, "flock": true,
	"fchmod": true, "fchmodat": true, "fchmodat2": true, "fchdir": true, "chdir": true, "getcwd": true, "fadvise64": true,
}

// pathless are calls that may change files without naming them.
var pathless = map[string]bool{"sync": true, "io_uring_setup": true, "io_uring_enter": true, "io_submit": true, "process_vm_writev": true}

var errNotModelled = errors.New("a call that is not modelled")

// sysCall adds what a system call does to the operations.
func (t *tracer) sysCall(c sysCall, text string) error {
	if c.name == "execve" {
		return t.exec(c)
	}
	if c.name == "write" && strings.HasPrefix(c.args[0], "1<") {
		return t.answer(c)
	}
	if pathless[c.name] {
		return errNotModelled
	}
	if !strings.Contains(text, t.rootHex) {
		return nil
	}
	number, err := strconv.ParseInt(strings.SplitN(c.result, "<", 2)[0], 10, 64)
	failed := err != nil || number < 0
	o := op{proc: t.processOf(c.tid), begun: c.begun, time: c.time, words: shorten(c)}
	switch c.name {
	case "fsync", "fdatasync":
		if o.kind = opSync; failed {
			o.kind = opSyncFailed
		}
		if c.result == "?" {
			return nil // killed before it did anything
		}
		return t.onFile(c, o)
	case "syncfs":
		if failed {
			return errNotModelled
		}
		o.kind = opSyncDisk
		return t.onFile(c, o)
	case "fcntl":
		if failed || !strings.HasPrefix(c.args[1], "F_DUPFD") {
			return nil
		}
		o.kind, o.at = opDup, number
		return t.onFile(c, o)
	case "fallocate":
		if !failed && c.args[1] != "FALLOC_FL_KEEP_SIZE" {
			return errNotModelled
		}
		return nil
	case "mmap":
		if strings.Contains(c.args[3], "MAP_SHARED") && strings.Contains(c.args[2], "PROT_WRITE") {
			return errNotModelled
		}
		return nil
	}
	if harmless[c.name] || failed {
		return nil
	}
	switch c.name {
	case "write", "pwrite64", "read", "lseek", "ftruncate", "close":
		return t.onDescriptor(c, o, number)
	}
	return t.onPath(c, o, number)
}

func (t *tracer) onFile(c sysCall, o op) error {
	fd, path, err := descriptor(c.args[0])
	if err != nil {
		return err
	}
	var inside bool
	o.fd = fd
	if o.path, inside = t.below(path); inside {
		t.ops = append(t.ops, o)
	}
	return nil
}

// onDescriptor handles calls on an open file that succeeded.
func (t *tracer) onDescriptor(c sysCall, o op, result int64) (err error) {
	switch c.name {
	case "write":
		o.kind = opWrite
	case "pwrite64":
		o.kind = opWriteAt
		o.at, err = strconv.ParseInt(c.args[3], 10, 64)
	case "read":
		o.kind, o.at, o.flags = opSeek, result, "SEEK_CUR"
	case "lseek":
		o.kind, o.at, o.flags = opSeek, result, "SEEK_SET"
	case "ftruncate":
		o.kind = opTruncate
		o.at, err = strconv.ParseInt(c.args[1], 10, 64)
	case "close":
		o.kind = opClose
	}
	if err != nil {
		return err
	}
	if o.kind == opWrite || o.kind == opWriteAt {
		if o.data, err = unhex(c.args[1]); err != nil {
			return err
		}
		if int64(len(o.data)) < result {
			return fmt.Errorf("wrote %d bytes, the trace has %d", result, len(o.data))
		}
		o.data = o.data[:result]
	}
	return t.onFile(c, o)
}

// onPath handles calls on names that succeeded.
func (t *tracer) onPath(c sysCall, o op, result int64) error {
	const cwd = "AT_FDCWD<>"
	var from, to [2]string
	switch c.name {
	case "openat":
		o.kind, from, o.fd = opOpen, [2]string{c.args[0], c.args[1]}, int(result)
		o.flags = c.args[2]
	case "open":
		o.kind, from, o.fd, o.flags = opOpen, [2]string{cwd, c.args[0]}, int(result), c.args[1]
	case "rename", "link":
		from, to = [2]string{cwd, c.args[0]}, [2]string{cwd, c.args[1]}
	case "renameat", "renameat2", "linkat":
		from, to = [2]string{c.args[0], c.args[1]}, [2]string{c.args[2], c.args[3]}
	case "unlink", "rmdir", "mkdir":
		from = [2]string{cwd, c.args[0]}
	case "unlinkat", "mkdirat", "utimensat":
		from = [2]string{c.args[0], c.args[1]}
	default:
		return errNotModelled
	}
	switch {
	case strings.HasPrefix(c.name, "rename"):
		o.kind = opRename
		if c.name == "renameat2" {
			switch c.args[4] {
			case "0", "RENAME_NOREPLACE":
			case "RENAME_EXCHANGE":
				o.kind = opExchange
			default:
				return errNotModelled
			}
		}
	case strings.HasPrefix(c.name, "link"):
		o.kind = opLink
	case strings.HasPrefix(c.name, "unlink"), c.name == "rmdir":
		o.kind = opUnlink
	case strings.HasPrefix(c.name, "mkdir"):
		o.kind = opMkdir
	case c.name == "utimensat":
		o.kind = opTouch
		var err error
		if o.at, err = modified(c.args[2]); err != nil || c.args[3] != "0" {
			return errors.Join(err, errNotModelled)
		}
	}
	var inside, toInside bool
	var err error
	if o.path, inside, err = t.at(from[0], from[1]); err != nil {
		return err
	}
	if toInside = inside; to[1] != "" {
		if o.to, toInside, err = t.at(to[0], to[1]); err != nil {
			return err
		}
	}
	if inside != toInside {
		return errors.New("a name moves over the border of the recorded folder")
	}
	if inside {
		t.ops = append(t.ops, o)
	}
	return nil
}

// modified reads the second of the two times that utimensat sets.
func modified(times string) (int64, error) {
	_, times, _ = strings.Cut(times, "}")
	var seconds, nanos int64
	_, at, ok := strings.Cut(times, "{")
	if _, err := fmt.Sscanf(at, "tv_sec=%d, tv_nsec=%d}", &seconds, &nanos); err != nil || !ok {
		return 0, fmt.Errorf("times %q: %w", times, err)
	}
	return seconds*1e9 + nanos, nil
}

// exec notes which call a process is.
func (t *tracer) exec(c sysCall) error {
	if c.result != "0" {
		return nil
	}
	argv0, err := unhex(c.args[0])
	if err != nil {
		return err
	}
	env := map[string]string{}
	for _, word := range splitArgs(strings.Trim(c.args[2], "[]")) {
		b, err := unhex(word)
		if err != nil {
			return err
		}
		key, value, _ := strings.Cut(string(b), "=")
		env[key] = value
	}
	call, ok := t.which(string(argv0), env)
	if !ok {
		return nil
	}
	t.process[c.tid] = c.tid
	t.calls[c.tid] = call
	t.ops = append(t.ops, op{kind: opStart, proc: c.tid, call: call, words: "start"})
	return nil
}

// answer notes the first byte that a call prints: from then on its caller may know.
func (t *tracer) answer(c sysCall) error {
	proc := t.processOf(c.tid)
	call, ok := t.calls[proc]
	if ok && !t.said[proc] {
		t.said[proc] = true
		t.ops = append(t.ops, op{kind: opAnswer, proc: proc, call: call, words: "answer"})
	}
	return nil
}

// shorten puts a system call into words, with long data left out.
func shorten(c sysCall) string {
	var args []string
	for _, a := range c.args {
		if strings.Contains(a, "<") {
			if fd, path, err := descriptor(a); err == nil {
				a = fmt.Sprintf("%d<%s>", fd, path)
			}
		} else if b, err := unhex(a); err == nil && strings.HasPrefix(a, `"`) {
			a = fmt.Sprintf("%.100q", b)
		}
		args = append(args, a)
	}
	return fmt.Sprintf("%s(%s) = %s", c.name, strings.Join(args, ", "), strings.SplitN(c.result, "<", 2)[0])
}
