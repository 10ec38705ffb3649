package move_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// annotation is a lease with what was added to it, as leasectl tells it.
type annotation struct {
	IP          netip.Addr
	ContainerID string `json:"container_id"`
	NetNS       string
	Inode       uint64 `json:"netns_inode"`
	Made        string `json:"netns_made"`
	Pod         struct{ Namespace, Name, UID string }
	Added       []string
	Done        bool
}

// TestCNICache adds what the CNI library's own cache knows to leases that were taken over from host-local, of which that knows
// neither; then they can be released when their namespace is gone.
func TestCNICache(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, from := range []string{hostLocal, leaselog, filepath.Join(nodes.BinDir, "bridge")} {
		install(t, bin, filepath.Base(from), from)
	}
	o := lab.Options{Plugin: "bridge", IPAM: "host-local", Version: "1.0.0", BinDir: bin,
		Ranges: [][]map[string]string{{{"subnet": "10.74.0.0/24"}}, {{"subnet": "fd74::/64"}}}}
	h := nodes.NewHost(t, o)
	n := caller.Network{Name: h.Network, DataDir: h.DataDir}
	named, nameless, recorded := h.NewPod(t), h.NewPod(t), h.NewPod(t)
	if _, err := h.On([]string{"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u1"}, nil,
		filepath.Join(nodes.BinDir, "cnitool"), "add", h.Network, named.Path()); err != nil {
		t.Fatal(err)
	}
	nameless.Succeed(t, "add")
	configure("leaselog")(t, h, o)
	recorded.Succeed(t, "add") // takes over what the others hold; of this one the journal knows the namespace itself
	before := held(t, n)

	var out struct{ Annotations []annotation }
	for _, dry := range []bool{true, false, false} {
		args := []string{"import", "cni-cache", filepath.Join(h.VarLib, "cni")}
		if dry {
			args = append(args, "--dry-run")
		}
		last := out.Annotations
		out.Annotations = nil
		ask(t, n, &out, args...)
		if last != nil && last[0].Done { // the second time there is nothing left
			if len(out.Annotations) > 0 {
				t.Errorf("added again: %+v", out.Annotations)
			}
			break
		}
		checkAnnotations(t, out.Annotations, named, nameless, !dry)
	}
	same(t, "leases after they were annotated", held(t, n), before)
	all(t, "check", named, nameless, recorded)

	if got := released(t, n); len(got) > 0 {
		t.Errorf("released %v, though all namespaces are there", got)
	}
	gone := named.ContainerID(t)
	lab.Must(t, "ip", "netns", "del", named.NetNS)
	if got := released(t, n); len(got) != 2 || got[0] != gone || got[1] != gone {
		t.Errorf("released %v, want two addresses of %s", got, gone)
	}
	all(t, "check", nameless, recorded)
	all(t, "del", nameless, recorded)
}

// checkAnnotations wants both addresses of both pods annotated, each as what the runtime said of it.
func checkAnnotations(t *testing.T, got []annotation, named, nameless *lab.Pod, done bool) {
	t.Helper()
	if len(got) != 4 {
		t.Fatalf("annotated %+v, want two addresses of two pods", got)
	}
	for _, a := range got {
		p, added, name := nameless, "netns", ""
		if a.ContainerID == named.ContainerID(t) {
			p, added, name = named, "netns pod", "web-0"
		}
		info, err := os.Stat(p.Path())
		if err != nil {
			t.Fatal(err)
		}
		if a.ContainerID != p.ContainerID(t) || a.NetNS != p.Path() || a.Inode != info.Sys().(*syscall.Stat_t).Ino || a.Made == "" ||
			a.Pod.Name != name || strings.Join(a.Added, " ") != added || a.Done != done {
			t.Errorf("annotated %+v, want %s of %s with namespace %s", a, added, p.ContainerID(t), p.Path())
		}
	}
}

// released returns the owners of the addresses that gc releases as their namespace is gone.
func released(t *testing.T, n caller.Network) (owners []string) {
	t.Helper()
	var out struct {
		Leases []struct {
			ContainerID string `json:"container_id"`
			Verdict     string
		}
	}
	ask(t, n, &out, "gc", "--netns", "--now")
	for _, l := range out.Leases {
		if l.Verdict == "released" {
			owners = append(owners, l.ContainerID)
		}
	}
	slices.Sort(owners)
	return owners
}
