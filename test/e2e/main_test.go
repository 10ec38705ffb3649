package e2e_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const (
	leaselog  = "leaselog"
	hostLocal = "host-local"
)

var (
	// runID marks every namespace of this run, so that concurrent runs don't meet
	// and a leftover can be told from somebody else's.
	runID = newRunID()
	// binDir holds the plugins and cnitool; set by TestMain.
	binDir string
	// ipamType is the IPAM plugin that the networks are configured with.
	ipamType = leaselog
	// missing says why nothing here can run, "" if it can.
	missing string
)

func newRunID() string {
	b := make([]byte, 3)
	rand.Read(b) // never fails
	return "ll" + hex.EncodeToString(b)
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if name := os.Getenv("LEASELOG_E2E_IPAM"); name != "" {
		ipamType = name
	}
	if missing = whatIsMissing(); missing != "" {
		if os.Getenv("LEASELOG_E2E_REQUIRE") != "" {
			fmt.Fprintln(os.Stderr, "e2e: LEASELOG_E2E_REQUIRE is set, but:", missing)
			return 1
		}
		return m.Run() // each test skips itself, which gives the reason its place in the report
	}
	dir, err := os.MkdirTemp("", runID)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = filepath.Join(dir, "bin")
	if err := build(binDir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if left := leftovers(); left != "" {
		fmt.Fprintln(os.Stderr, "e2e: left behind:", left)
		return 1
	}
	return code
}

// whatIsMissing tries what the tests need rather than guess from the user ID: root
// in a container often may not make namespaces.
func whatIsMissing() string {
	switch {
	case runtime.GOOS != "linux":
		return "needs Linux: network namespaces are made"
	case os.Geteuid() != 0:
		return "needs root: network namespaces are made"
	}
	for _, command := range []string{"ip", "ping"} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Sprintf("needs the %s command", command)
		}
	}
	probe := runID + "probe"
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		return fmt.Sprintf("needs the right to make network namespaces: ip netns add: %s", firstLine(out))
	}
	// Entering one mounts things, which is a right of its own.
	out, err := exec.Command("ip", "netns", "exec", probe, "true").CombinedOutput()
	exec.Command("ip", "netns", "del", probe).Run()
	if err != nil {
		return fmt.Sprintf("needs the right to enter network namespaces: ip netns exec: %s", firstLine(out))
	}
	return ""
}

// build makes every binary from source, so that what is tested is what is written.
func build(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	builds := [][]string{{"-C", "../tools", "-o", dir + "/", "tool"}}
	if ipamType == leaselog {
		builds = append(builds, []string{"-o", filepath.Join(dir, leaselog), "../.."})
	}
	for _, args := range builds {
		cmd := exec.Command("go", append([]string{"build"}, args...)...)
		// -C must come first, so the setting that lets a foreign clone build goes by the environment.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// leftovers names the namespaces of this run that are still there.
func leftovers() string {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Sprintf("not known: ip netns list: %v", err)
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, runID) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return strings.Join(left, ", ")
}

func firstLine(out []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(line)
}
