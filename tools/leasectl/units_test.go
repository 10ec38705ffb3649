package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unitsDir holds what is installed with the tool.
var unitsDir = filepath.Join("..", "..", "packaging")

// unit is a file of settings for systemd: values by section and key, in their order.
type unit map[string]map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(unitsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
			u[section] = map[string][]string{}
		case !ok || section == "" || strings.HasSuffix(line, `\`):
			t.Fatalf("%s: %q: want key=value on one line of a section", name, line)
		default:
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}

// one returns the only value of a key.
func (u unit) one(t *testing.T, section, key string) string {
	t.Helper()
	if n := len(u[section][key]); n != 1 {
		t.Fatalf("[%s] %s= is there %d times, want once", section, key, n)
	}
	return u[section][key][0]
}

// TestUnits has systemd read the services and their timers, where it is installed.
func TestUnits(t *testing.T) {
	for _, name := range []string{"leaselog-gc", "leaselog-compact"} {
		paths := units(t, name)
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Skip("needs the systemd-analyze command")
		}
		// What it does not know it only warns of. The machine's own units are none of our business.
		out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(name)) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

// units writes a service and its timer to a folder, with leasectl where it is.
func units(t *testing.T, name string) (paths []string) {
	t.Helper()
	cmd, _ := command(t)
	dir := t.TempDir()
	for _, name := range []string{name + ".service", name + ".timer"} {
		b, err := os.ReadFile(filepath.Join(unitsDir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		b = bytes.ReplaceAll(b, []byte("/usr/local/bin/leasectl"), []byte(cmd.Path)) // it looks whether that is there
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestTimer(t *testing.T) {
	u := readUnit(t, "leaselog-gc.timer")
	for _, key := range []string{"OnBootSec", "OnUnitInactiveSec", "RandomizedDelaySec"} {
		u.one(t, "Timer", key)
	}
	if got := u.one(t, "Install", "WantedBy"); got != "timers.target" {
		t.Errorf("WantedBy=%s", got)
	}
}

// blinding are settings that give a service another view of mounts, processes or users than the runtime's.
var blinding = []string{"Private", "Protect", "ProcSubset", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "NoExecPaths", "ExecPaths",
	"TemporaryFileSystem", "BindPaths", "BindReadOnlyPaths", "Root", "MountFlags", "MountAPIVFS", "JoinsNamespaceOf", "NetworkNamespacePath",
	"DynamicUser", "User", "Group", "StateDirectory", "SystemCallFilter"}

// TestService runs what the service runs, with the rights that it has, where namespaces are to be seen and one is gone.
func TestService(t *testing.T) {
	u := readUnit(t, "leaselog-gc.service")
	if got := u.one(t, "Service", "Type"); got != "oneshot" {
		t.Errorf("Type=%s", got)
	}
	for key := range u["Service"] {
		if slices.ContainsFunc(blinding, func(b string) bool { return strings.HasPrefix(key, b) }) {
			t.Errorf("%s= would keep it from seeing namespaces", key)
		}
	}
	words := strings.Fields(u.one(t, "Service", "ExecStart"))
	if words[0] != "/usr/local/bin/leasectl" {
		t.Errorf("ExecStart=%s", words[0])
	}
	w := newWorld(t)
	w.add("dead")
	pod := exec.Command("cat")
	pod.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stdin, err := pod.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := pod.Start(); err != nil {
		t.Skipf("needs the right to make network namespaces: %v", err)
	}
	defer pod.Wait()
	defer stdin.Close()
	w.addAt("alive", fmt.Sprintf("/proc/%d/ns/net", pod.Process.Pid))
	out := runWith(t, capabilities(u.one(t, "Service", "CapabilityBoundingSet")), append(words[1:], "--data-dir", w.dataDir, "--now", "--explain"))
	for _, want := range []string{" dead ", " released ", " alive ", "netns: alive: "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if got := w.held(); got != "alive" {
		t.Errorf("held by %q, want alive", got)
	}
}

// capabilities returns a bounding set in the words of setpriv.
func capabilities(set string) string {
	words := "-all"
	for _, c := range strings.Fields(set) {
		words += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	return words
}

// runWith runs leasectl with no more rights than these.
func runWith(t *testing.T, bounding string, args []string) string {
	t.Helper()
	cmd, stderr := command(t, args...)
	// The test binary is not for everyone to read, and these rights do not let root do without.
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs the setpriv command")
	}
	cmd.Args = append([]string{setpriv, "--no-new-privs", "--bounding-set", bounding, "--inh-caps", "-all", cmd.Path}, args...)
	cmd.Path = setpriv
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, stderr)
	}
	return string(out)
}
