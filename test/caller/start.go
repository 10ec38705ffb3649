package caller

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// MarkStart leaves in a store what a call leaves that has looked at the leases from before this start of the node, so
// that those of a made store, which are of boots long ago, are let alone.
func MarkStart(dir string) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	stat, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const start = 22 - 3 // in proc(5), where the field after the name is the third
	if len(fields) <= start {
		return fmt.Errorf("/proc/1/stat has %d fields", len(fields))
	}
	ticks, err := strconv.ParseInt(string(fields[start]), 10, 64)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s %d\n", bytes.TrimSpace(boot), ticks*10_000_000)
	return os.WriteFile(filepath.Join(dir, "boot"), []byte(text), 0o600)
}
