package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
)

var errNotRegular = errors.New("there is something that is not a file; - is standard output")

// replaceFile makes path a file with this content and mode, whole and durable when it returns nil. On error the file
// that was there is as it was, unless only its name could not be synced, and nothing else is left. In order: write and
// sync a file beside it, whose name no collector of text files looks at; rename it; sync the folder.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	switch st, err := os.Lstat(path); {
	case err == nil && !st.Mode().IsRegular(): // such as /dev/stdout, which root could rename a file over
		return fmt.Errorf("write %s: %w", path, errNotRegular)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, besideName(path, ".*"))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return errors.Join(f.Close(), journal.SyncDir(folder))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
