package past_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// readOnly returns the words that run a command for which a folder, with all below, can't be written: it is a read-only
// mount of a namespace that ends with the command. Nil where that is not allowed.
func readOnly(t *testing.T, dir string) []string {
	t.Helper()
	words := []string{"unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`, dir}
	try := exec.Command(words[0], append(words[1:], "touch", filepath.Join(dir, "written"))...)
	out, err := try.CombinedOutput()
	switch {
	case err == nil:
		t.Fatalf("%s can be written though it is mounted read-only", dir)
	case !strings.Contains(string(out), "Read-only file system"):
		t.Logf("no read-only mounts here, system calls tell alone: %v: %s", err, out)
		return nil
	}
	return words
}

// watchedCalls are the system calls by which a command could change something, or wait for somebody. A "?" is for those
// that not every architecture or version has.
var watchedCalls = []string{"?open", "openat", "?openat2", "?creat", "flock", "fcntl", "?unlink", "unlinkat", "?rename", "?renameat",
	"renameat2", "?link", "linkat", "?symlink", "symlinkat", "?mkdir", "mkdirat", "?rmdir", "?mknod", "mknodat", "truncate", "ftruncate",
	"fallocate", "?chmod", "fchmod", "fchmodat", "?chown", "fchown", "fchownat", "utimensat", "setxattr", "fsetxattr", "write", "pwrite64",
	"?writev", "?pwritev", "fsync", "fdatasync", "sync", "syncfs", "copy_file_range", "sendfile", "mount", "umount2"}

// watch returns the words that run a command under strace, which writes to a file what wrote reads.
func watch(path string) []string {
	return trace.Command(path, "--seccomp-bpf", "-e", "trace="+strings.Join(watchedCalls, ","))
}

// wrote lists what a command did that a reader has no business to do, as strace tells it; opened is how many files it
// opened at all.
func wrote(t *testing.T, path string) (bad []string, opened int) {
	t.Helper()
	calls, err := trace.Read(path)
	if err != nil {
		t.Error(err)
	}
	for _, c := range calls {
		switch c.Name {
		case "open", "openat", "openat2":
			opened++
			for _, flag := range []string{"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"} {
				if strings.Contains(c.Flags, flag) && c.Path != "/dev/null" {
					bad = append(bad, fmt.Sprintf("opens for writing: %s %s", c, c.Flags))
					break
				}
			}
		case "fcntl":
			if strings.Contains(c.Flags, "SETLK") {
				bad = append(bad, "locks: "+c.Flags)
			}
		case "write", "writev", "pwrite64", "pwritev":
			// Go's runtime wakes itself by writing to an event descriptor.
			if c.FD != "1" && c.FD != "2" && !strings.HasPrefix(c.Path, "anon_inode:") && !strings.HasPrefix(c.Path, "pipe:") {
				bad = append(bad, fmt.Sprintf("writes: %s %s", c, c.Flags))
			}
		default:
			bad = append(bad, fmt.Sprintf("%s %s", c, c.Flags))
		}
	}
	return bad, opened
}
