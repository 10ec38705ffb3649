package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// lab is a host with one network: a namespace that stands for the host, and folders
// of its own for configuration, leases and the runtime's cache.
type lab struct {
	host    string // its namespace
	network string
	confDir string // NETCONFPATH
	varLib  string // stands in for /var/lib, where cnitool keeps its cache
	dataDir string
	conf    map[string]any // the plugin configuration, with name and cniVersion
}

// pod is a namespace that stands for a pod.
type pod struct {
	*lab
	netns string
}

// options describe a lab's network.
type options struct {
	plugin  string // bridge or ptp
	version string // cniVersion
	ranges  [][]map[string]string
	ipam    map[string]any // further keys of ipam
}

var labs atomic.Int32

// newLab makes a host with a network, gone when the test ends.
func newLab(t *testing.T, o options) *lab {
	t.Helper()
	if missing != "" {
		t.Skip(missing)
	}
	n := labs.Add(1)
	dir := t.TempDir()
	l := &lab{
		host:    fmt.Sprintf("%sh%d", runID, n),
		network: fmt.Sprintf("net%d", n),
		confDir: filepath.Join(dir, "net.d"),
		varLib:  filepath.Join(dir, "lib"),
		dataDir: filepath.Join(dir, "data"),
	}
	for _, d := range []string{l.confDir, l.varLib} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	addNamespace(t, l.host)
	l.configure(t, o)
	return l
}

// configure writes the network's configuration, also over an earlier one.
func (l *lab) configure(t *testing.T, o options) {
	t.Helper()
	ipam := map[string]any{"type": ipamType, "dataDir": l.dataDir, "ranges": o.ranges}
	for key, value := range o.ipam {
		ipam[key] = value
	}
	plugin := map[string]any{"type": o.plugin, "ipam": ipam, "capabilities": map[string]bool{"ips": true}}
	if o.plugin == "bridge" {
		plugin["bridge"] = "br0"
		plugin["isGateway"] = true
	}
	list := map[string]any{"cniVersion": o.version, "name": l.network, "plugins": []any{plugin}}
	if err := os.WriteFile(filepath.Join(l.confDir, "10.conflist"), marshal(t, list), 0o644); err != nil {
		t.Fatal(err)
	}
	// What a runtime passes on: without the capabilities, with name and version.
	l.conf = map[string]any{"type": o.plugin, "ipam": ipam, "cniVersion": o.version, "name": l.network}
}

func (l *lab) newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{lab: l, netns: fmt.Sprintf("%sp%d", runID, labs.Add(1))}
	addNamespace(t, p.netns)
	return p
}

// addNamespace makes a network namespace that assigns IPv6 addresses at once: a
// duplicate can't be there, and looking for one takes a second an address.
func addNamespace(t *testing.T, name string) {
	t.Helper()
	must(t, "ip", "netns", "add", name)
	t.Cleanup(func() {
		// Gone already where the test was about that.
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			must(t, "ip", "netns", "del", name)
		}
	})
	must(t, "ip", "-n", name, "link", "set", "lo", "up")
	must(t, "ip", "netns", "exec", name, "sh", "-c",
		"for f in all default; do f=/proc/sys/net/ipv6/conf/$f/accept_dad; [ ! -e $f ] || echo 0 >$f; done")
}

// path is the namespace as runtimes name it.
func (p *pod) path() string { return "/run/netns/" + p.netns }

// containerID is what cnitool derives from the namespace's path; told by the
// attachment's cache file, so it is there between an ADD and its DEL only.
func (p *pod) containerID(t *testing.T) string {
	t.Helper()
	return p.cached(t)["containerId"].(string)
}

// cached returns the runtime's note on the pod's attachment.
func (p *pod) cached(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.varLib, "cni/results", p.network+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var note map[string]any
		if err := json.Unmarshal(content, &note); err != nil {
			t.Fatal(err)
		}
		if note["netns"] == p.path() {
			return note
		}
	}
	t.Fatalf("no cached result for %s among %q", p.path(), files)
	return nil
}

// on runs a command on the host.
func (l *lab) on(env []string, stdin []byte, args ...string) (stdout string, err error) {
	// The bind mount is seen by this command alone: ip netns exec has just unshared the mounts.
	args = append([]string{"netns", "exec", l.host,
		"sh", "-c", `mount --bind "$0" /var/lib && exec "$@"`, l.varLib}, args...)
	cmd := exec.Command("ip", args...)
	cmd.Env = append(os.Environ(), "CNI_PATH="+binDir, "NETCONFPATH="+l.confDir)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		cause, _, _ := strings.Cut(words.String(), "\nUsage:") // cnitool explains itself with every error
		return out.String(), fmt.Errorf("%w: stdout %q stderr %q", err, out.String(), cause)
	}
	return out.String(), nil
}

// cnitool calls the runtime for one pod. Requested addresses are passed as the ips capability.
func (p *pod) cnitool(verb string, ips ...string) (stdout string, err error) {
	var env []string
	if len(ips) > 0 {
		env = append(env, `CAP_ARGS={"ips":["`+strings.Join(ips, `","`)+`"]}`)
	}
	return p.on(env, nil, filepath.Join(binDir, "cnitool"), verb, p.network, p.path())
}

// add attaches the pod and returns its addresses.
func (p *pod) add(t *testing.T, ips ...string) []netip.Prefix {
	t.Helper()
	out, err := p.cnitool("add", ips...)
	if err != nil {
		t.Fatalf("ADD: %v", err)
	}
	var result struct {
		CNIVersion string
		IPs        []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("read the result of ADD: %v: %s", err, out)
	}
	if want := p.conf["cniVersion"]; result.CNIVersion != want {
		t.Errorf("cniVersion of the result: got %q, want %q", result.CNIVersion, want)
	}
	var addresses []netip.Prefix
	for _, ip := range result.IPs {
		addresses = append(addresses, ip.Address)
	}
	return addresses
}

// succeed calls the runtime and ends the test if that fails.
func (p *pod) succeed(t *testing.T, verb string) {
	t.Helper()
	if _, err := p.cnitool(verb); err != nil {
		t.Fatalf("%s: %v", strings.ToUpper(verb), err)
	}
}

// refused calls the runtime, which must fail and name the cause.
func (p *pod) refused(t *testing.T, verb, cause string, ips ...string) {
	t.Helper()
	_, err := p.cnitool(verb, ips...)
	if err == nil {
		t.Fatalf("%s: succeeded, want it to fail with %q", strings.ToUpper(verb), cause)
	}
	if !strings.Contains(err.Error(), cause) {
		t.Errorf("%s: got %v, want %q in it", strings.ToUpper(verb), err, cause)
	}
}

// ipam calls the IPAM plugin alone, as the interface plugin does. Keys are set on
// the configuration over what is there; env overrides what is there.
func (l *lab) ipam(t *testing.T, verb string, keys map[string]any, env ...string) (stdout string, err error) {
	t.Helper()
	conf := map[string]any{}
	for _, m := range []map[string]any{l.conf, keys} {
		for key, value := range m {
			conf[key] = value
		}
	}
	env = append([]string{"CNI_COMMAND=" + verb}, env...)
	return l.on(env, marshal(t, conf), filepath.Join(binDir, ipamType))
}

// env is the environment of a call about the pod's attachment.
func (p *pod) env(containerID string) []string {
	return []string{"CNI_CONTAINERID=" + containerID, "CNI_IFNAME=eth0", "CNI_NETNS=" + p.path()}
}

// ping sends from the pod until an answer comes; a new port may need a moment.
func (p *pod) ping(t *testing.T, to netip.Addr) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", p.netns,
		"ping", "-n", "-q", "-c", "1", "-i", "0.2", "-w", "10", to.String()).CombinedOutput()
	if err != nil {
		t.Errorf("ping from %s to %s: %v: %s", p.netns, to, err, out)
	}
}

// onInterface returns the addresses of the pod's interface.
func (p *pod) onInterface(t *testing.T) []netip.Prefix {
	t.Helper()
	var links []struct {
		Addrs []struct {
			Family, Scope, Local string
			PrefixLen            int
		} `json:"addr_info"`
	}
	out := must(t, "ip", "-n", p.netns, "-json", "addr", "show", "dev", "eth0")
	if err := json.Unmarshal(out, &links); err != nil {
		t.Fatalf("read what ip printed: %v: %s", err, out)
	}
	var addresses []netip.Prefix
	for _, link := range links {
		for _, a := range link.Addrs {
			if a.Scope == "global" {
				addresses = append(addresses, netip.PrefixFrom(netip.MustParseAddr(a.Local), a.PrefixLen))
			}
		}
	}
	return addresses
}

func must(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
