package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestCacheSeesNamespaces looks up which namespaces the paths in a cache lead to: one that is there is told from others
// later, one that is gone, or this process's own, is not.
func TestCacheSeesNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	sleeper := exec.Command("cat") // ends with its standard input
	sleeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := sleeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Start(); err != nil {
		t.Skipf("no network namespace can be made: %v", err)
	}
	defer func() {
		in.Close()
		if err := sleeper.Wait(); err != nil {
			t.Error(err)
		}
	}()
	there := fmt.Sprintf("/proc/%d/ns/net", sleeper.Process.Pid)
	own := fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	info, err := os.Stat(there)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "results")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{"there": there, "own": own, "gone": "/run/netns/no-such-namespace", "none": ""}
	for id, path := range paths {
		text := fmt.Sprintf(`{"kind":"cniCacheV1","containerId":%q,"ifName":"eth0","networkName":"net","netns":%q}`, id, path)
		if err := os.WriteFile(filepath.Join(dir, "net-"+id+"-eth0"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := readCache(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	known, files := cache.about("net")
	if other, _ := cache.about("nets"); len(known) != len(paths) || len(files) != len(paths) || len(other) != 0 {
		t.Fatalf("%d annotations of %d files, %d of another network; want %d and none", len(known), len(files), len(other), len(paths))
	}
	for i, k := range known {
		want := journal.NetNSID{}
		if k.Owner.ContainerID == "there" {
			want.Inode = info.Sys().(*syscall.Stat_t).Ino
		}
		if k.NetNS != paths[k.Owner.ContainerID] || k.NetNSID != want || !strings.HasSuffix(files[i], "net-"+k.Owner.ContainerID+"-eth0") {
			t.Errorf("%s: in %s with %v, by %s; want %v", k.Owner.ContainerID, k.NetNS, k.NetNSID, files[i], want)
		}
	}
}
