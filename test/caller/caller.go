// Package caller builds the plugin and calls it as a container runtime does: the configuration
// on standard input, everything else in the environment, one process for each call. It is for
// tests that look at what calls leave on the disk; nothing that is released imports it.
package caller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build makes the plugin as it is released, at dir/leaselog, and returns that path. flags are more
// flags of go build, such as -overlay. root is the module's folder.
func Build(root, dir string, flags ...string) (string, error) {
	return build(root, filepath.Join(dir, "leaselog"), ".", flags)
}

// BuildPinned makes the plugin with its main goroutine bound to one thread, at dir/leaselog: strace counts system calls
// by thread, and so finds the one that it is to break. That is the only difference to the plugin as it is released.
func BuildPinned(root, dir string) (string, error) {
	overlay, err := pin(root, dir, ".")
	if err != nil {
		return "", err
	}
	return Build(root, dir, "-overlay", overlay)
}

// BuildPinnedTool makes the tool tools/NAME, at dir/NAME, as BuildPinned makes the plugin.
func BuildPinnedTool(root, dir, name string) (string, error) {
	overlay, err := pin(root, dir, filepath.Join("tools", name))
	if err != nil {
		return "", err
	}
	return BuildTool(root, dir, name, "-overlay", overlay)
}

// pin writes to dir an overlay that binds the main goroutine of the command in the folder what.
func pin(root, dir, what string) (overlay string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "pinned.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"runtime\"\n\nfunc init() { runtime.LockOSThread() }\n"), 0o600); err != nil {
		return "", err
	}
	return Overlay(root, dir, map[string]string{filepath.Join(what, "pinned.go"): source})
}

// Overlay writes an overlay for go build to dir, and returns its path: other files in place of some of the module's. Those are
// named as seen from the module's folder root, what stands in for them by any path.
func Overlay(root, dir string, by map[string]string) (string, error) {
	replace, err := replaced()
	if err != nil {
		return "", err
	}
	for file, source := range by {
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		if _, twice := replace[path]; twice {
			return "", fmt.Errorf("%s: replaced by the overlay in GOFLAGS already", file)
		}
		if replace[path], err = filepath.Abs(source); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

// replaced returns what the overlay in GOFLAGS replaces, which another overlay would take the place of.
func replaced() (map[string]string, error) {
	var overlay struct{ Replace map[string]string }
	for flag := range strings.FieldsSeq(os.Getenv("GOFLAGS")) {
		path, ok := strings.CutPrefix(flag, "-overlay=")
		if !ok {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &overlay); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if overlay.Replace == nil {
		overlay.Replace = map[string]string{}
	}
	return overlay.Replace, nil
}

// BuildTool makes the tool tools/NAME as it is released, at dir/NAME.
func BuildTool(root, dir, name string, flags ...string) (string, error) {
	return build(root, filepath.Join(dir, name), "./tools/"+name, flags)
}

// BuildPackage makes the command in the folder what, such as ./test/x, as if it were released, at dir/NAME.
func BuildPackage(root, dir, what string, flags ...string) (string, error) {
	return build(root, filepath.Join(dir, filepath.Base(what)), what, flags)
}

func build(root, path, what string, flags []string) (string, error) {
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, what)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", filepath.Base(path), err, out)
	}
	return path, nil
}

// Network is a network to make calls on.
type Network struct {
	Name    string
	DataDir string
	Ranges  [][]Range      // range sets
	Keys    map[string]any // more keys of ipam
}

// Range is a range as the configuration has it. Empty ends are the subnet's first and last address.
type Range struct {
	Subnet     string `json:"subnet"`
	RangeStart string `json:"rangeStart,omitempty"`
	RangeEnd   string `json:"rangeEnd,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
}

// StoreDir is where the network's history is, unless Keys name another historyDir.
func (n Network) StoreDir() string { return filepath.Join(n.DataDir, ".leaselog", n.Name) }

// Folder is the network's own folder below DataDir.
func (n Network) Folder() string { return filepath.Join(n.DataDir, n.Name) }

// config returns the configuration as a runtime sends it; valid is for GC, nil for no list.
func (n Network) config(valid []Attachment) string {
	ipam := map[string]any{"type": "leaselog", "dataDir": n.DataDir, "ranges": n.Ranges}
	for key, value := range n.Keys {
		ipam[key] = value
	}
	conf := map[string]any{"cniVersion": "1.1.0", "name": n.Name, "type": "bridge", "ipam": ipam}
	if valid != nil {
		conf["cni.dev/valid-attachments"] = valid
	}
	b, err := json.Marshal(conf)
	if err != nil {
		panic("caller: " + err.Error()) // Keys hold what JSON can't
	}
	return string(b)
}

// Attachment is one that a GC is told to keep.
type Attachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// Call is one call of the plugin.
type Call struct {
	Network Network
	Verb    string       // ADD, DEL, CHECK, GC, STATUS
	ID      string       // container ID
	IfName  string       // "" is eth0
	NetNS   string       // "" is a path that doesn't exist
	Args    string       // CNI_ARGS
	Valid   []Attachment // GC's list; nil sends none
	Env     []string     // more variables
}

// Command returns the command that makes the call, which runs below the words of under if there
// are any.
func (c Call) Command(plugin string, under ...string) *exec.Cmd {
	argv := append(append([]string{}, under...), plugin)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = c.Environment()
	cmd.Stdin = strings.NewReader(c.Input())
	return cmd
}

// Input is what the plugin reads on standard input.
func (c Call) Input() string { return c.Network.config(c.Valid) }

// Environment is all that the plugin gets of ours.
func (c Call) Environment() []string {
	ifName, netns := c.IfName, c.NetNS
	if ifName == "" {
		ifName = "eth0"
	}
	if netns == "" {
		netns = "/no/such/netns"
	}
	env := []string{"CNI_COMMAND=" + c.Verb, "CNI_CONTAINERID=" + c.ID, "CNI_NETNS=" + netns,
		"CNI_IFNAME=" + ifName, "CNI_PATH=/opt/cni/bin", "CNI_NETNS_OVERRIDE=1"}
	if c.Args != "" {
		env = append(env, "CNI_ARGS="+c.Args)
	}
	return append(env, c.Env...)
}

// Answer is what the caller of a call gets to see.
type Answer struct {
	Exit   int          // -1 if it was killed
	Code   int          // of the error; 0 if there is none
	Text   string       // of the error, with its details
	IPs    []netip.Addr // of an ADD
	Stdout string
	Stderr string
}

// OK reports whether the call succeeded.
func (a Answer) OK() bool { return a.Exit == 0 }

// Killed reports whether the process was killed before it could answer.
func (a Answer) Killed() bool { return a.Exit < 0 }

// String tells all of the answer, for messages.
func (a Answer) String() string {
	return fmt.Sprintf("exit %d, stdout %.600s, stderr %.600s", a.Exit, a.Stdout, a.Stderr)
}

// Run makes the call and waits for its answer. The error says that there is no answer which a
// runtime could read, or that the plugin panicked.
func (c Call) Run(plugin string, under ...string) (Answer, error) {
	cmd := c.Command(plugin, under...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Answer{}, fmt.Errorf("%s %s: %w", c.Verb, c.ID, err)
	}
	return c.Read(cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// Read makes an answer of what a process printed and how it ended.
func (c Call) Read(exit int, stdout, stderr string) (Answer, error) {
	a := Answer{Exit: exit, Stdout: stdout, Stderr: stderr}
	if strings.Contains(stderr, "panic:") || strings.Contains(stderr, "goroutine ") {
		return a, fmt.Errorf("%s %s panicked: %v", c.Verb, c.ID, a)
	}
	if a.Killed() {
		return a, nil
	}
	if err := a.parse(c.Verb); err != nil {
		return a, fmt.Errorf("%s %s: %w: %v", c.Verb, c.ID, err, a)
	}
	return a, nil
}

// parse reads standard output: nothing or one result on success, exactly one error otherwise.
func (a *Answer) parse(verb string) error {
	if a.Exit == 0 && verb != "ADD" {
		if a.Stdout != "" {
			return errors.New("a success that prints something")
		}
		return nil
	}
	var out struct {
		Code    int
		Msg     string
		Details string
		IPs     []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal([]byte(a.Stdout), &out); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	a.Code, a.Text = out.Code, strings.TrimSuffix(out.Msg+"; "+out.Details, "; ")
	for _, ip := range out.IPs {
		a.IPs = append(a.IPs, ip.Address.Addr())
	}
	switch {
	case a.Exit == 0 && (a.Code != 0 || len(a.IPs) == 0):
		return errors.New("exit 0 without addresses")
	case a.Exit != 0 && (a.Exit != 1 || a.Code == 0 || a.Code == 999 || a.Text == ""):
		return errors.New("an error without exit 1, code or text")
	}
	return nil
}
