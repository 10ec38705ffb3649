package backup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
)

// small mounts a file system of so many bytes, for this test alone, and returns where.
func small(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// TestFullDisk: on file systems of many sizes, a backup and a restore are done, or fail for want of room and leave nothing.
func TestFullDisk(t *testing.T) {
	runtime.LockOSThread() // with the thread end its mounts
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("mounts are made, which needs root: unshare: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("mounts are made: make / private: %v", err)
	}
	s := made(t, t.TempDir(), "net", 700)
	good := filepath.Join(t.TempDir(), "good")
	if _, err := backup.Write(good, []string{s.Dir()}, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	tries := map[string]func(dir string) error{
		"backup": func(dir string) error {
			_, err := backup.Write(filepath.Join(dir, "b"), []string{s.Dir()}, backup.Options{})
			return err
		},
		"restore": func(dir string) error {
			_, err := backup.Restore(good, backup.RestoreOptions{DataDir: filepath.Join(dir, "networks"), AllowNetworkFS: true})
			return err
		},
	}
	for name, try := range tries {
		full, fit := 0, 0
		for kib := 64; fit == 0 && kib < 4096; kib += kib / 6 {
			dir := small(t, kib<<10)
			err := try(dir)
			if err == nil {
				fit++
				continue
			}
			if full++; !errors.Is(err, unix.ENOSPC) && !journal.IsFull(err) {
				t.Errorf("%s in %d KiB: %v", name, kib, err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s in %d KiB left\n%s", name, kib, tree(t, dir))
			}
		}
		if full < 4 || fit == 0 {
			t.Errorf("%s: it failed %d times and succeeded %d times, so this test shows less than it means to", name, full, fit)
		}
		t.Logf("%s: %d times too small", name, full)
	}
}
