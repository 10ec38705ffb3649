package netns_test

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/skipping"
)

// lookerEnv makes the test binary a process that looks at a namespace from elsewhere.
const lookerEnv = "LEASELOG_NETNS_LOOKER"

func TestMain(m *testing.M) {
	if how := os.Getenv(lookerEnv); how != "" {
		if err := lookFromHere(how); err != nil {
			fmt.Fprintln(os.Stderr, "looker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// question is what a looker is asked, and told.
type question struct {
	Path string
	ID   journal.NetNSID
}

// lookFromHere answers the questions on standard input, a line each.
func lookFromHere(how string) error {
	if how == "hidden" {
		if err := syscall.Mount("proc", "/proc", "proc", 0, "hidepid=2"); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if how == "hidden" || how == "nobody" {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(65534, 65534, 65534), syscall.Setresuid(65534, 65534, 65534)); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		sight, why := netns.Look(q.Path, q.ID)
		fmt.Printf("%v %v: %s\n", netns.Identify(q.Path), sight, why)
	}
	return nil
}

// looker starts a process with a mount namespace of its own, into which nothing is propagated.
func looker(t *testing.T, how string) func(path string, id journal.NetNSID) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lookerEnv+"="+how, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("looker:", err)
		}
	})
	answers := bufio.NewReader(out)
	if line, err := answers.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("looker said %q: %v", line, err)
	}
	return func(path string, id journal.NetNSID) string {
		t.Helper()
		if err := json.NewEncoder(in).Encode(question{path, id}); err != nil {
			t.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(line, "\n")
	}
}

// needNamespaces skips the test where network namespaces can't be made.
func needNamespaces(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "needs root: network namespaces are made"
	} else if _, err := exec.LookPath("ip"); err != nil {
		missing = "needs the ip command"
	} else if out, err := exec.Command("unshare", "--net", "--mount", "true").CombinedOutput(); err != nil {
		missing = fmt.Sprintf("needs the right to make namespaces: %v: %s", err, out)
	}
	if missing != "" {
		skipping.For(t, missing)
	}
}

// named makes a named network namespace and returns its path.
func named(t *testing.T) string {
	t.Helper()
	b := make([]byte, 3)
	rand.Read(b) // never fails
	name := "llns" + hex.EncodeToString(b)
	command(t, "ip", "netns", "add", name)
	path := "/run/netns/" + name
	t.Cleanup(func() {
		if _, err := os.Lstat(path); err == nil {
			command(t, "ip", "netns", "del", name)
		}
	})
	return path
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// process starts a process in a network namespace of its own.
func process(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("cat")
	// It is there when Start returns, which waits for exec.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func netOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// expect looks, and wants words to be part of the reason.
func expect(t *testing.T, path string, id journal.NetNSID, want netns.Sight, words string) {
	t.Helper()
	if got, why := netns.Look(path, id); got != want || !strings.Contains(why, words) {
		t.Errorf("Look(%q, %v) = %v, %q; want %v, ...%s...", path, id, got, why, want, words)
	}
}

func TestNamed(t *testing.T) {
	needNamespaces(t)
	path := named(t)
	id := netns.Identify(path)
	if id.Inode == 0 || id.Made == 0 {
		t.Fatalf("Identify(%q) = %v, want a number and a time", path, id)
	}
	if again := netns.Identify("/var" + path); again != id {
		t.Errorf("Identify by way of a link to the folder = %v, want %v", again, id)
	}
	expect(t, path, id, netns.Alive, "as recorded")
	expect(t, path, journal.NetNSID{}, netns.Alive, "was not recorded")
	expect(t, path, journal.NetNSID{Inode: id.Inode}, netns.Alive, "as recorded")
	expect(t, path, journal.NetNSID{Inode: id.Inode + 1, Made: id.Made}, netns.Gone, "leads to namespace")

	command(t, "ip", "netns", "del", filepath.Base(path))
	expect(t, path, id, netns.Gone, "not there any more")
	expect(t, path, journal.NetNSID{}, netns.Gone, "not there any more")
	if got := netns.Identify(path); got != (journal.NetNSID{}) {
		t.Errorf("Identify of a deleted namespace = %v, want none", got)
	}
}

// TestNumberAgain mounts a namespace that has the number of the one recorded: the kernel does not give a number
// again on demand, but a namespace that was not mounted meanwhile looks the same.
func TestNumberAgain(t *testing.T) {
	needNamespaces(t)
	p := process(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mount := func() journal.NetNSID {
		t.Helper()
		if err := syscall.Mount(netOf(p.Process.Pid), path, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		return netns.Identify(path)
	}
	unmount := func() {
		t.Helper()
		if err := syscall.Unmount(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	first := mount()
	unmount()
	second := mount()
	// The kernel's clock for files ticks every few milliseconds.
	for deadline := time.Now().Add(10 * time.Second); second.Made == first.Made && time.Now().Before(deadline); second = mount() {
		unmount()
	}
	if second.Inode != first.Inode || second.Made == first.Made || second.Made == 0 {
		t.Errorf("mounted again: %v after %v, want the same number and another time", second, first)
	}
	expect(t, path, first, netns.Gone, "again later")
	expect(t, path, journal.NetNSID{Inode: first.Inode}, netns.Alive, "as recorded")
	unmount()
	expect(t, path, first, netns.Unseen, "not a namespace")
}

func TestOfProcess(t *testing.T) {
	needNamespaces(t)
	p := process(t)
	pid := p.Process.Pid
	path, link := netOf(pid), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	task := fmt.Sprintf("/proc/%d/task/%d/ns/net", pid, pid)
	id := netns.Identify(path)
	if id.Inode == 0 || id.Made != 0 {
		t.Fatalf("Identify(%q) = %v, want a number and no time", path, id)
	}
	for _, path := range []string{path, task, link} {
		if got := netns.Identify(path); got != id {
			t.Errorf("Identify(%q) = %v, want %v", path, got, id)
		}
		expect(t, path, id, netns.Alive, "as recorded")
		expect(t, path, journal.NetNSID{}, netns.Alive, "was not recorded")
		expect(t, path, journal.NetNSID{Inode: id.Inode + 1}, netns.Gone, "leads to namespace")
		// What is known of a mount does not tell against a path that is none.
		expect(t, path, journal.NetNSID{Inode: id.Inode, Made: 1}, netns.Alive, "as recorded")
	}
	expect(t, fmt.Sprintf("/proc/%d/task/%d/ns/net", pid, 1), id, netns.Unseen, "is not gone") // a thread of another process
	expect(t, fmt.Sprintf("/proc/%d/fd/77", pid), id, netns.Unseen, "each process, or each time")

	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It has ended when all that it held is closed, and stays listed until somebody waits for it.
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, task, link} {
		expect(t, path, id, netns.Unseen, "is not gone")
	}
	p.Wait()
	for _, path := range []string{path, task, link} {
		expect(t, path, id, netns.Gone, "has ended")
		expect(t, path, journal.NetNSID{}, netns.Gone, "has ended")
	}
}

func TestOwn(t *testing.T) {
	path := netOf(os.Getpid())
	id := netns.Identify(path)
	if id.Inode == 0 {
		t.Fatal("the namespace of this process can't be seen")
	}
	expect(t, path, id, netns.Alive, "as recorded")
	expect(t, path, journal.NetNSID{Inode: id.Inode + 1}, netns.Gone, "leads to namespace")
	expect(t, path, journal.NetNSID{}, netns.Unseen, "namespace of this process")
}

func TestNotSeen(t *testing.T) {
	dir := t.TempDir()
	file, loop, stray := filepath.Join(dir, "file"), filepath.Join(dir, "loop"), filepath.Join(dir, "stray")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{loop: loop, stray: filepath.Join(dir, "none")} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, path, why string }{
		{"none recorded", "", "no network namespace was recorded"},
		{"empty file", file, "not a namespace"},
		{"folder", dir, "not a namespace"},
		{"folder is missing", filepath.Join(dir, "none", "ns"), "does not see it"},
		{"folder is a file", filepath.Join(file, "ns"), "not a directory"},
		{"loop", loop, "too many levels"},
		{"link to nowhere", stray, "which is not there"},
		{"relative", "netns/x", "not an absolute path"},
		{"of whoever looks", "/proc/self/ns/net", "each process, or each time"},
		{"of the thread that looks", "/proc/thread-self/ns/net", "each process, or each time"},
		{"open file", "/dev/fd/77", "each process, or each time"},
		{"no process", "/proc/0/ns/net", "each process, or each time"},
		{"unprintable", "/run/\x00", "invalid argument"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, id := range []journal.NetNSID{{}, {Inode: 1}, {Inode: 1, Made: 1}} {
				expect(t, test.path, id, netns.Unseen, test.why)
			}
			if got := netns.Identify(test.path); got != (journal.NetNSID{}) {
				t.Errorf("Identify(%q) = %v, want none", test.path, got)
			}
		})
	}
}

// TestFromElsewhere looks at namespaces that are there from where they can't be seen.
func TestFromElsewhere(t *testing.T) {
	needNamespaces(t)
	p := process(t)
	tests := []struct {
		name, how, why string
		path           func(t *testing.T) string
	}{
		// The file that it is mounted on is there, as the folder is the same.
		{"mount is not propagated", "apart", "not a namespace", named},
		{"no right", "nobody", "permission denied", func(*testing.T) string { return netOf(p.Process.Pid) }},
		{"hidden process", "hidden", "is hidden", func(*testing.T) string { return netOf(p.Process.Pid) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			look := looker(t, test.how)
			path := test.path(t)
			id := netns.Identify(path)
			expect(t, path, id, netns.Alive, "as recorded")
			got := look(path, id)
			if want := "{0 0} unseen: "; !strings.HasPrefix(got, want) || !strings.Contains(got, test.why) {
				t.Errorf("from elsewhere %s is %q, want %s...%s...", path, got, want, test.why)
			}
		})
	}
}

func TestString(t *testing.T) {
	for sight, want := range map[netns.Sight]string{netns.Unseen: "unseen", netns.Alive: "alive", netns.Gone: "gone", 99: "unseen"} {
		if got := sight.String(); got != want {
			t.Errorf("Sight(%d).String() = %q, want %q", sight, got, want)
		}
	}
}
