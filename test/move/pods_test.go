package move_test

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// TestPods moves a node with running pods to leaselog, back, and to leaselog again, by either way that there is.
func TestPods(t *testing.T) {
	tests := []struct {
		name    string
		forward func(t *testing.T, h *lab.Host, o lab.Options)
		back    func(t *testing.T, h *lab.Host, o lab.Options)
	}{
		{"by ipam.type", configure("leaselog"), export},
		{"by rename", replace(&leaselog), replace(&hostLocal)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			for _, from := range []string{hostLocal, leaselog, filepath.Join(nodes.BinDir, "bridge")} {
				install(t, bin, filepath.Base(from), from)
			}
			o := lab.Options{Plugin: "bridge", IPAM: "host-local", Version: "1.0.0", BinDir: bin,
				Ranges: [][]map[string]string{{{"subnet": "10.73.0.0/24"}}, {{"subnet": "fd73::/64"}}}}
			h := nodes.NewHost(t, o)
			testPods(t, h, func() { test.forward(t, h, o) }, func() { test.back(t, h, o) })
		})
	}
}

func configure(ipam string) func(*testing.T, *lab.Host, lab.Options) {
	return func(t *testing.T, h *lab.Host, o lab.Options) {
		o.IPAM = ipam
		h.Configure(t, o)
	}
}

// export hands the folder over before the type is changed.
func export(t *testing.T, h *lab.Host, o lab.Options) {
	n := caller.Network{Name: h.Network, DataDir: h.DataDir}
	lab.Must(t, leasectl, "export", "host-local", n.Folder(), "--data-dir", n.DataDir, "--network", n.Name)
	h.Configure(t, o)
}

func replace(by *string) func(*testing.T, *lab.Host, lab.Options) {
	return func(t *testing.T, _ *lab.Host, o lab.Options) { install(t, o.BinDir, "host-local", *by) }
}

// install puts a binary in place as README says: by a rename over what is there.
func install(t *testing.T, dir, name, from string) {
	t.Helper()
	path := filepath.Join(dir, name)
	lab.Must(t, "cp", from, path+".new")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func testPods(t *testing.T, h *lab.Host, forward, back func()) {
	n := caller.Network{Name: h.Network, DataDir: h.DataDir}
	first, second, third := h.NewPod(t), h.NewPod(t), h.NewPod(t)
	first.Add(t)
	target := second.Add(t)[0].Addr()
	third.Add(t)
	lost := pingAll(t, first, target)

	forward()
	first.Succeed(t, "check") // by host-local's files: nothing is imported yet
	fourth := h.NewPod(t)
	fourth.Succeed(t, "add")
	all(t, "check", first, second, third, fourth)
	agree(t, n)
	third.Succeed(t, "del")
	fourth.Ping(t, target)

	back()
	all(t, "check", first, second, fourth)
	fifth := h.NewPod(t)
	fifth.Succeed(t, "add") // its DEL comes when leaselog is back
	sixth := h.NewPod(t)
	sixth.Succeed(t, "add")
	all(t, "del", fourth, sixth)
	fifth.Ping(t, target)

	forward()
	all(t, "check", first, second, fifth)
	third.Succeed(t, "add")
	third.Ping(t, target)
	agree(t, n)
	all(t, "check", first, second, third, fifth)
	fifth.Succeed(t, "del")
	if got := len(held(t, n)); got != 6 { // of two families
		t.Errorf("%d addresses are held, want 6: %v", got, held(t, n))
	}
	if last, missing := lost(); last < 10 || missing > 0 {
		t.Errorf("%d packets sent while the plugins changed, %d of them lost", last, missing)
	}
	all(t, "del", first, second, third)
	if left := files(t, n); len(left) > 0 || len(held(t, n)) > 0 {
		t.Errorf("after the last DEL: files %v, leases %v, want none", left, held(t, n))
	}
}

func all(t *testing.T, verb string, pods ...*lab.Pod) {
	t.Helper()
	for _, p := range pods {
		p.Succeed(t, verb)
	}
}

var pingAnswer = regexp.MustCompile(`icmp_seq=(\d+) `)

// pingAll pings from a pod until stop is called, which returns the number of the last packet that was answered, and how many
// before it were not.
func pingAll(t *testing.T, p *lab.Pod, to netip.Addr) (stop func() (last, missing int)) {
	t.Helper()
	p.Ping(t, to) // the first packet waits for the neighbour's address
	cmd := exec.Command("ip", "netns", "exec", p.NetNS, "ping", "-n", "-i", "0.02", to.String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() (last, missing int) {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait() // its exit code tells of the packet on the way, too
		answered := map[int]bool{}
		for _, m := range pingAnswer.FindAllStringSubmatch(out.String(), -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			answered[n] = true
			last = max(last, n)
		}
		return last, last - len(answered)
	}
}
