package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// TestTryFlock: that a lock can't be asked for is no word of another process that has it.
func TestTryFlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, ok, err := journal.TryLock(path)
	if err != nil || !ok {
		t.Fatalf("free: %t, %v", ok, err)
	}
	if other, ok, err := journal.TryLock(path); ok || err != nil || other != nil {
		t.Errorf("held: %t, %v", ok, err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := journal.TryFlock(held); ok || !errors.Is(err, unix.EBADF) { // EIO and ENOLCK come alike
		t.Errorf("closed: %t, %v", ok, err)
	}
	if f, ok, err := journal.TryLock(path); err != nil || !ok {
		t.Errorf("free again: %t, %v", ok, err)
	} else if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
