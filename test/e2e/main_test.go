package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/lab"
)

const (
	leaselog  = "leaselog"
	hostLocal = "host-local"
)

var (
	// nodes makes the hosts; set by TestMain.
	nodes *lab.Lab
	// ipamType is the IPAM plugin that the networks are configured with.
	ipamType = leaselog
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if name := os.Getenv("LEASELOG_E2E_IPAM"); name != "" {
		ipamType = name
	}
	nodes = lab.New()
	if nodes.Missing != "" {
		return m.Run() // each test skips itself, which gives the reason its place in the report
	}
	dir, err := os.MkdirTemp("", "leaselog-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	nodes.BinDir = filepath.Join(dir, "bin")
	if err := build(nodes.BinDir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if left := nodes.Leftovers(); left != "" {
		fmt.Fprintln(os.Stderr, "e2e: left behind:", left)
		return 1
	}
	return code
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

// newHost makes a host whose network has the IPAM plugin that is tested.
func newHost(t *testing.T, o lab.Options) *lab.Host {
	t.Helper()
	o.IPAM = ipamType
	return nodes.NewHost(t, o)
}
