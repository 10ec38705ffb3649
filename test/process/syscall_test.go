package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// traced makes a call that has to succeed and returns its system calls, one a line.
func traced(t *testing.T, c call) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace")
	c.under = []string{"strace", "-f", "-qq", "-y", "-s", "0", "-o", path}
	must(t, c)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// sync matches system calls that wait for the disk, whole or as far as strace saw their beginning.
var (
	syncCall  = regexp.MustCompile(`^\d+ +(fsync|fdatasync|sync|syncfs|sync_file_range|msync)\(`)
	syncFlag  = regexp.MustCompile(`^\d+ +open(at2?)?\(.*\bO_D?SYNC\b`)
	lockCall  = regexp.MustCompile(`^\d+ +(flock\(|fcntl\(.*F_(OFD_)?SETLK)`)
	madeCall  = regexp.MustCompile(`^\d+ +(creat|mkdir(at)?|mknod(at)?|link(at)?|symlink(at)?|rename(at2?)?|unlink(at)?|rmdir|truncate|ftruncate|fallocate|ch(mod|own)|fch(mod|own)(at)?|utime(s|nsat)?|setxattr|copy_file_range)\(`)
	openCall  = regexp.MustCompile(`^\d+ +open(at2?)?\(.*\bO_(CREAT|WRONLY|RDWR|TRUNC|APPEND|TMPFILE)\b`)
	writeCall = regexp.MustCompile(`^\d+ +(p?writev?2?|pwrite64|sendfile|splice)\((\d+)<([^>]*)>`)
)

// TestSyncs counts: an acknowledged call waits for the disk once. The store is there, its
// configuration recorded, its segment not full.
func TestSyncs(t *testing.T) {
	trace.Need(t)
	n := newNetwork(t)
	must(t, n.add("c0"))
	for i, c := range []call{n.add("c1"), n.add("c2"), n.del("c1"), n.add("c1"), n.del("c2")} {
		var syncs []string
		for _, line := range traced(t, c) {
			if syncCall.MatchString(line) || syncFlag.MatchString(line) {
				syncs = append(syncs, line)
			}
		}
		if len(syncs) != 1 {
			t.Errorf("call %d, %s %s: %d syncs, want 1:\n%s", i, c.verb, c.id, len(syncs), strings.Join(syncs, "\n"))
		}
	}
}

// TestReadersOnlyRead holds CHECK and STATUS to what they promise.
func TestReadersOnlyRead(t *testing.T) {
	trace.Need(t)
	n := newNetwork(t)
	must(t, n.add("c1"))
	must(t, n.add("c2"))
	full := n
	full.ipam = map[string]any{"statusOnExhaustion": true}
	for _, c := range []call{n.check("c1"), n.status(), full.status()} {
		before := tree(t, n.dataDir)
		for _, line := range traced(t, c) {
			if why := writes(line, n.dataDir); why != "" {
				t.Errorf("%s %s: %s", c.verb, why, line)
			}
		}
		untouched(t, n.dataDir, before)
	}
}

// writes says what is not a reader's business in a line of strace; "" if all is well. The runtime
// writes to pipes and event descriptors of its own, which have no path.
func writes(line, dataDir string) string {
	switch {
	case syncCall.MatchString(line), syncFlag.MatchString(line):
		return "syncs"
	case lockCall.MatchString(line):
		return "locks"
	case madeCall.MatchString(line):
		return "changes names, sizes or modes"
	case openCall.MatchString(line) && !strings.Contains(line, `"/dev/null"`):
		return "opens for writing"
	}
	if m := writeCall.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[3], dataDir) {
		return fmt.Sprintf("writes to descriptor %s", m[2])
	}
	return ""
}
