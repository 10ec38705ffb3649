package move_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/skipping"
)

// restart starts a node that is a container again: the boot ID is the same, and its first process is a new one. It
// returns the words that run a command there.
func restart(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		first, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if err != nil {
			t.Skip("the kernel does not tell who the children of a process are")
		}
		pid := strings.TrimSpace(string(first))
		// It is the first process of its node once it has another program than unshare, which mounts /proc before.
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); pid != "" && err == nil && strings.TrimSpace(string(name)) == "sleep" {
			return []string{"nsenter", "-t", pid, "-m", "-p"}
		}
	}
	t.Fatal("the node does not start")
	return nil
}

// TestRestartedNode: a node that is a container keeps its boot ID, so that what is from before its first process is
// released only where the namespace is seen to be gone.
func TestRestartedNode(t *testing.T) {
	t.Parallel()
	if nodes.Missing != "" {
		skipping.For(t, nodes.Missing)
	}
	n := &node{Network: newNetwork(t, "10.76.0.0/24", "fd76::/64"), alive: nodes.NewNamespace(t), dead: nodes.NewNamespace(t)}
	must(t, leaselog, n.add("alive", n.alive))
	must(t, leaselog, n.add("dead", n.dead))
	must(t, leaselog, add(n.Network, "unseen"))
	n.crash(t)
	must(t, leaselog, n.add("beside", n.alive))
	n.wants(t, "released before the node starts again", n.released(t, "reboot"))

	again := restart(t)
	must(t, leaselog, del(n.Network, "nobody"), again...)
	must(t, leaselog, add(n.Network, "blind"), again...)
	n.wants(t, "released by calls that see no namespace", n.released(t, "reboot"))
	must(t, leaselog, n.add("new", n.alive), again...)
	n.wants(t, "released", n.released(t, "reboot"), "dead")
	n.wants(t, "holding", n.holding(t), "alive", "beside", "blind", "new", "unseen")
}
