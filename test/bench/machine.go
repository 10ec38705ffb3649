package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says what the figures were measured on.
type machine struct {
	cpu, kernel, golang, memory, disk, revision string
	cores                                       int
}

func inspect(plugin, dir string) (machine, error) {
	m := machine{cpu: "unknown", golang: runtime.Version(), cores: runtime.NumCPU()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(b)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.cpu = strings.TrimSpace(value)
			break
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, fmt.Errorf("sysinfo: %w", err)
	}
	m.memory = fmt.Sprintf("%.1f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	if m.disk, err = fileSystem(dir); err != nil {
		return m, err
	}
	m.revision, err = version(plugin)
	return m, err
}

// version returns what the plugin says it is when it is called by hand.
func version(plugin string) (string, error) {
	c := command{path: plugin}
	a, err := c.run()
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(a.stderr)+"\n", "CNI leaselog plugin ")
	if !ok {
		return "", fmt.Errorf("%s does not tell its version: %q", plugin, a.stderr)
	}
	words, _, _ := strings.Cut(rest, "\n")
	return words, nil
}

// fileSystem names the type of the file system that holds path.
func fileSystem(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", fmt.Errorf("statfs %s: %w", path, err)
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay"}
	if name, ok := names[int64(st.Type)]; ok {
		return name, nil
	}
	return fmt.Sprintf("type %#x", st.Type), nil
}
