package lab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/skipping"
)

// Host is a namespace that stands for a host with one network, and folders of its own for configuration, leases and the
// runtime's cache.
type Host struct {
	Network string
	VarLib  string // stands in for /var/lib, where cnitool keeps its cache
	DataDir string
	Conf    map[string]any // the plugin configuration, with name and cniVersion

	lab     *Lab
	netns   string
	confDir string // NETCONFPATH
	binDir  string // CNI_PATH
}

// Pod is a namespace that stands for a pod.
type Pod struct {
	*Host
	NetNS string // its name
}

// Options describe a host's network.
type Options struct {
	Plugin  string // bridge or ptp
	IPAM    string // type of the IPAM plugin
	Version string // cniVersion
	Ranges  [][]map[string]string
	Keys    map[string]any // further keys of ipam
	BinDir  string         // where its plugins are; "" for the lab's
}

// NewHost makes a host with a network, gone when the test ends.
func (l *Lab) NewHost(t *testing.T, o Options) *Host {
	t.Helper()
	if l.Missing != "" {
		skipping.For(t, l.Missing)
	}
	n := l.made.Add(1)
	dir := t.TempDir()
	h := &Host{
		Network: fmt.Sprintf("net%d", n),
		VarLib:  filepath.Join(dir, "lib"),
		DataDir: filepath.Join(dir, "data"),
		lab:     l,
		netns:   fmt.Sprintf("%sh%d", l.runID, n),
		confDir: filepath.Join(dir, "net.d"),
		binDir:  cmp.Or(o.BinDir, l.BinDir),
	}
	for _, d := range []string{h.confDir, h.VarLib} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	addNamespace(t, h.netns)
	h.Configure(t, o)
	return h
}

// Configure writes the network's configuration, also over an earlier one.
func (h *Host) Configure(t *testing.T, o Options) {
	t.Helper()
	ipam := map[string]any{"type": o.IPAM, "dataDir": h.DataDir, "ranges": o.Ranges}
	for key, value := range o.Keys {
		ipam[key] = value
	}
	plugin := map[string]any{"type": o.Plugin, "ipam": ipam, "capabilities": map[string]bool{"ips": true}}
	if o.Plugin == "bridge" {
		plugin["bridge"] = "br0"
		plugin["isGateway"] = true
	}
	list := map[string]any{"cniVersion": o.Version, "name": h.Network, "plugins": []any{plugin}}
	if err := os.WriteFile(filepath.Join(h.confDir, "10.conflist"), marshal(t, list), 0o644); err != nil {
		t.Fatal(err)
	}
	// What a runtime passes on: without the capabilities, with name and version.
	h.Conf = map[string]any{"type": o.Plugin, "ipam": ipam, "cniVersion": o.Version, "name": h.Network}
}

// NewPod makes a pod's namespace, gone when the test ends.
func (h *Host) NewPod(t *testing.T) *Pod {
	t.Helper()
	p := &Pod{Host: h, NetNS: fmt.Sprintf("%sp%d", h.lab.runID, h.lab.made.Add(1))}
	addNamespace(t, p.NetNS)
	return p
}

// NewNamespace makes a network namespace, gone when the test ends, and returns its path.
func (l *Lab) NewNamespace(t *testing.T) (path string) {
	t.Helper()
	if l.Missing != "" {
		skipping.For(t, l.Missing)
	}
	name := fmt.Sprintf("%sn%d", l.runID, l.made.Add(1))
	Must(t, "ip", "netns", "add", name)
	t.Cleanup(func() { dropNamespace(t, name) })
	return "/run/netns/" + name
}

// dropNamespace deletes a namespace, which is gone already where the test was about that.
func dropNamespace(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat("/run/netns/" + name); err == nil {
		Must(t, "ip", "netns", "del", name)
	}
}

// addNamespace makes a network namespace that assigns IPv6 addresses at once: a
// duplicate can't be there, and looking for one takes a second an address.
func addNamespace(t *testing.T, name string) {
	t.Helper()
	Must(t, "ip", "netns", "add", name)
	t.Cleanup(func() { dropNamespace(t, name) })
	Must(t, "ip", "-n", name, "link", "set", "lo", "up")
	Must(t, "ip", "netns", "exec", name, "sh", "-c",
		"for f in all default; do f=/proc/sys/net/ipv6/conf/$f/accept_dad; [ ! -e $f ] || echo 0 >$f; done")
}

// Path is the namespace as runtimes name it.
func (p *Pod) Path() string { return "/run/netns/" + p.NetNS }

// ContainerID is what cnitool derives from the namespace's path; told by the
// attachment's cache file, so it is there between an ADD and its DEL only.
func (p *Pod) ContainerID(t *testing.T) string {
	t.Helper()
	return p.Cached(t)["containerId"].(string)
}

// Cached returns the runtime's note on the pod's attachment.
func (p *Pod) Cached(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.VarLib, "cni/results", p.Network+"-*"))
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
		if note["netns"] == p.Path() {
			return note
		}
	}
	t.Fatalf("no cached result for %s among %q", p.Path(), files)
	return nil
}

// On runs a command on the host.
func (h *Host) On(env []string, stdin []byte, args ...string) (stdout string, err error) {
	// The bind mount is seen by this command alone: ip netns exec has just unshared the mounts.
	args = append([]string{"netns", "exec", h.netns,
		"sh", "-c", `mount --bind "$0" /var/lib && exec "$@"`, h.VarLib}, args...)
	cmd := exec.Command("ip", args...)
	cmd.Env = append(os.Environ(), "CNI_PATH="+h.binDir, "NETCONFPATH="+h.confDir)
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
func (p *Pod) cnitool(verb string, ips ...string) (stdout string, err error) {
	var env []string
	if len(ips) > 0 {
		env = append(env, `CAP_ARGS={"ips":["`+strings.Join(ips, `","`)+`"]}`)
	}
	return p.On(env, nil, filepath.Join(p.lab.BinDir, "cnitool"), verb, p.Network, p.Path())
}

// Add attaches the pod and returns its addresses.
func (p *Pod) Add(t *testing.T, ips ...string) []netip.Prefix {
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
	if want := p.Conf["cniVersion"]; result.CNIVersion != want {
		t.Errorf("cniVersion of the result: got %q, want %q", result.CNIVersion, want)
	}
	var addresses []netip.Prefix
	for _, ip := range result.IPs {
		addresses = append(addresses, ip.Address)
	}
	return addresses
}

// Succeed calls the runtime and ends the test if that fails.
func (p *Pod) Succeed(t *testing.T, verb string) {
	t.Helper()
	if _, err := p.cnitool(verb); err != nil {
		t.Fatalf("%s: %v", strings.ToUpper(verb), err)
	}
}

// Refused calls the runtime, which must fail and name the cause.
func (p *Pod) Refused(t *testing.T, verb, cause string, ips ...string) {
	t.Helper()
	_, err := p.cnitool(verb, ips...)
	if err == nil {
		t.Fatalf("%s: succeeded, want it to fail with %q", strings.ToUpper(verb), cause)
	}
	if !strings.Contains(err.Error(), cause) {
		t.Errorf("%s: got %v, want %q in it", strings.ToUpper(verb), err, cause)
	}
}

// IPAM calls the IPAM plugin alone, as the interface plugin does. Keys are set on
// the configuration over what is there; env overrides what is there.
func (h *Host) IPAM(t *testing.T, verb string, keys map[string]any, env ...string) (stdout string, err error) {
	t.Helper()
	conf := map[string]any{}
	for _, m := range []map[string]any{h.Conf, keys} {
		for key, value := range m {
			conf[key] = value
		}
	}
	env = append([]string{"CNI_COMMAND=" + verb}, env...)
	ipam := conf["ipam"].(map[string]any)
	return h.On(env, marshal(t, conf), filepath.Join(h.binDir, ipam["type"].(string)))
}

// Env is the environment of a call about the pod's attachment.
func (p *Pod) Env(containerID string) []string {
	return []string{"CNI_CONTAINERID=" + containerID, "CNI_IFNAME=eth0", "CNI_NETNS=" + p.Path()}
}

// Ping sends from the pod until an answer comes; a new port may need a moment.
func (p *Pod) Ping(t *testing.T, to netip.Addr) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", p.NetNS,
		"ping", "-n", "-q", "-c", "1", "-i", "0.2", "-w", "10", to.String()).CombinedOutput()
	if err != nil {
		t.Errorf("ping from %s to %s: %v: %s", p.NetNS, to, err, out)
	}
}

// OnInterface returns the addresses of the pod's interface.
func (p *Pod) OnInterface(t *testing.T) []netip.Prefix {
	t.Helper()
	var links []struct {
		Addrs []struct {
			Family, Scope, Local string
			PrefixLen            int
		} `json:"addr_info"`
	}
	out := Must(t, "ip", "-n", p.NetNS, "-json", "addr", "show", "dev", "eth0")
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

// Must runs a command that has to succeed and returns what it printed.
func Must(t *testing.T, name string, args ...string) []byte {
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
