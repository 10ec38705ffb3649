package backup

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestScratchBeside has several runs make their folders in one place, where each removes what seems to be left. None gets a folder that
// another one has removed.
func TestScratchBeside(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s, err := newScratch(root, "tmp.")
				if err == nil {
					err = os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o600)
				}
				if err == nil {
					_, err = os.Stat(filepath.Join(s.dir, scratchLock))
				}
				if err == nil {
					err = errors.Join(removeLeft(root, "tmp."), s.Close())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
