package move_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// The plugin's error codes that tests expect.
const (
	codeStorage      = 5
	codeTryAgain     = 11
	codeExhausted    = 100
	codeDuplicate    = 101
	codeNotAvailable = 102
	codeNoLease      = 103
)

// networkName is what the network of every test is called.
const networkName = "net"

var (
	leaselog  string // the built plugin
	standIn   string // the built plugin under the name host-local
	pinned    string // the built plugin for strace, see caller.BuildPinned
	hostLocal string // the reference plugin
	leasectl  string
	nodes     *lab.Lab // makes hosts and pods; has cnitool and bridge
	// seed feeds every random choice; it is printed when a test fails.
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random choices")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leaselog-move-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "move:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "move:", err)
		return 1
	}
	code := m.Run()
	if left := nodes.Leftovers(); nodes.Missing == "" && left != "" {
		fmt.Fprintln(os.Stderr, "move: left behind:", left)
		return 1
	}
	return code
}

// build makes every binary from source, so that what is tested is what is written.
func build(dir string) (err error) {
	root := filepath.Join("..", "..")
	if leaselog, err = caller.Build(root, dir); err != nil {
		return err
	}
	if pinned, err = caller.BuildPinned(root, filepath.Join(dir, "pinned")); err != nil {
		return err
	}
	if leasectl, err = caller.BuildTool(root, dir, "leasectl"); err != nil {
		return err
	}
	nodes = lab.New()
	nodes.BinDir = filepath.Join(dir, "reference")
	cmd := exec.Command("go", "build", "-C", filepath.Join(root, "test", "tools"), "-o", nodes.BinDir+"/", "tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	hostLocal = filepath.Join(nodes.BinDir, "host-local")
	standIn = filepath.Join(dir, "host-local")
	return os.Link(leaselog, standIn)
}

// random returns a source of choices whose seed is told if the test fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat the choices: -seed %d", *seed)
		}
	})
	return rand.New(rand.NewPCG(*seed, 0))
}

// newNetwork returns a network without a store, with a range set of each subnet.
func newNetwork(t *testing.T, subnets ...string) caller.Network {
	t.Helper()
	n := caller.Network{Name: networkName, DataDir: t.TempDir()}
	for _, s := range subnets {
		n.Ranges = append(n.Ranges, []caller.Range{{Subnet: s}})
	}
	return n
}

// with returns the network with one more key of ipam.
func with(n caller.Network, key string, value any) caller.Network {
	keys := map[string]any{key: value}
	for k, v := range n.Keys {
		keys[k] = v
	}
	n.Keys = keys
	return n
}

// copyOf returns the network in a dataDir of its own, with everything in it, file times too.
func copyOf(t *testing.T, n caller.Network) caller.Network {
	t.Helper()
	from := n.DataDir
	n.DataDir = t.TempDir()
	lab.Must(t, "cp", "-a", from+"/.", n.DataDir)
	return n
}

// do makes a call. The errors of host-local all have the code 999, which is no code of ours.
func do(t *testing.T, plugin string, c caller.Call, under ...string) caller.Answer {
	t.Helper()
	a, err := c.Run(plugin, under...)
	if err != nil && (plugin != hostLocal || a.Code != 999) {
		t.Errorf("%s: %v", plugin, err)
	}
	return a
}

// must makes a call that has to succeed.
func must(t *testing.T, plugin string, c caller.Call, under ...string) caller.Answer {
	t.Helper()
	a := do(t, plugin, c, under...)
	if !a.OK() {
		t.Fatalf("%s %s %s: %v, want success", filepath.Base(plugin), c.Verb, c.ID, a)
	}
	return a
}

// refused makes a call of leaselog that has to fail with this code.
func refused(t *testing.T, plugin string, code int, c caller.Call, under ...string) caller.Answer {
	t.Helper()
	a := do(t, plugin, c, under...)
	if a.Code != code {
		t.Errorf("%s %s: %v, want code %d", c.Verb, c.ID, a, code)
	}
	return a
}

func add(n caller.Network, id string) caller.Call {
	return caller.Call{Network: n, Verb: "ADD", ID: id}
}
func del(n caller.Network, id string) caller.Call {
	return caller.Call{Network: n, Verb: "DEL", ID: id}
}
func check(n caller.Network, id string) caller.Call {
	return caller.Call{Network: n, Verb: "CHECK", ID: id}
}

// lease is a lease as leasectl tells it.
type lease struct {
	IP          netip.Addr
	ContainerID string `json:"container_id"`
	IfName      string
	Origin      string
	Start       struct{ Seq int }
	End         *struct{ Reason string }
}

// owner is container ID and interface, as in a lease file.
func (l lease) owner() string {
	if l.IfName == "" {
		return l.ContainerID
	}
	return l.ContainerID + "\r\n" + l.IfName
}

// ask has leasectl answer a question about a network in JSON.
func ask(t *testing.T, n caller.Network, into any, args ...string) {
	t.Helper()
	cmd := exec.Command(leasectl, append(args, "--data-dir", n.DataDir, "--network", n.Name, "-o", "json")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) { // 1 and 2 are answers, too
		t.Fatalf("leasectl %v: %v: %s", args, err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		t.Fatalf("leasectl %v: %v: %s", args, err, &stdout)
	}
}

// held returns what is held by the journal: owners by address. No address may be listed twice.
func held(t *testing.T, n caller.Network) map[netip.Addr]string {
	t.Helper()
	var out struct{ Leases []lease }
	ask(t, n, &out, "leases")
	owners := map[netip.Addr]string{}
	for _, l := range out.Leases {
		if other, twice := owners[l.IP]; twice {
			t.Errorf("%s: held by %q and %q", l.IP, other, l.owner())
		}
		owners[l.IP] = l.owner()
	}
	return owners
}

// event is an event as leasectl tells it.
type event struct {
	Seq         int
	Kind        string
	ContainerID string `json:"container_id"`
	Reason      string
	Claimed     string
	Blocked     bool
	Addresses   []struct{ IP netip.Addr }
	Cursors     []cursor
	Attributes  map[string]string
}

// cursor is the address that was given last from a range set.
type cursor struct {
	RangeSet int `json:"range_set"`
	IP       netip.Addr
}

// events returns the journal.
func events(t *testing.T, n caller.Network) []event {
	t.Helper()
	var out struct{ Events []event }
	ask(t, n, &out, "events")
	return out.Events
}

// files returns the lease files in the network's folder: what they hold by address. It is a reader of its own, so that
// what the plugin makes of them is held against another word.
func files(t *testing.T, n caller.Network) map[netip.Addr]string {
	t.Helper()
	entries, err := os.ReadDir(n.Folder())
	if err != nil {
		t.Fatal(err)
	}
	found := map[netip.Addr]string{}
	for _, e := range entries {
		ip, err := netip.ParseAddr(e.Name())
		if err != nil || e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(n.Folder(), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[ip] = string(b)
	}
	return found
}

// same fails the test unless two tables of owners agree.
func same(t *testing.T, what string, got, want map[netip.Addr]string) {
	t.Helper()
	for ip, owner := range want {
		if have, ok := got[ip]; !ok || have != owner {
			t.Errorf("%s: %s: got %q, want %q", what, ip, have, owner)
		}
	}
	for ip, owner := range got {
		if _, ok := want[ip]; !ok {
			t.Errorf("%s: %s: got %q, want nobody", what, ip, owner)
		}
	}
}

// agree fails the test unless the journal and the files hold the same.
func agree(t *testing.T, n caller.Network) {
	t.Helper()
	same(t, "files against the journal", files(t, n), held(t, n))
}
