package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ClaimName is the file in <dataDir>/<network> that ties the folder to its journal.
// Deleting it, or its folder, means that no lease is held any more: the next mutating
// call records a reset.
const ClaimName = "leaselog"

// claimLimit bounds what is read of the file.
const claimLimit = 16 << 10

// WriteClaim ties dataDir's network folder to a journal: the file's first line is the
// journal's ID, the second says where its history is. It is durable when this returns, names
// of folders included. The returned function takes back what was made.
//
// It returns ErrReplaced if the folder is deleted while it is being claimed.
func WriteClaim(folder string, id ID, historyDir string) (undo func(), err error) {
	defer func() {
		if errors.Is(err, fs.ErrNotExist) { // only a deletion takes away what was just made
			err = fmt.Errorf("%s: %w: %w", folder, ErrReplaced, err)
		}
	}()
	path := filepath.Join(folder, ClaimName)
	made := missingDirs(folder)
	undo = func() {
		if found, _, err := ReadClaim(folder); err == nil && found == id {
			_ = os.Remove(path)
		}
		removeEmpty(made)
	}
	if err := makeDirs(filepath.Dir(folder), parentMode); err != nil {
		removeEmpty(made)
		return nil, err
	}
	if err := makeDirs(folder, dirMode); err != nil {
		removeEmpty(made)
		return nil, err
	}
	if err := syncAncestors(folder); err != nil {
		removeEmpty(made)
		return nil, err
	}
	tmp := path + ".tmp" // the caller holds the store's lock, or the creation lock
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		removeEmpty(made)
		return nil, err
	}
	err = writeNew(tmp, claimText(id, historyDir))
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		if err = SyncDir(folder); err != nil {
			_ = os.Remove(path) // nobody may go by a claim that may not be durable
		}
	}
	if err != nil {
		_ = os.Remove(tmp)
		removeEmpty(made)
		return nil, err
	}
	return undo, nil
}

// RenewClaim has the claim name a journal instead of the one that it has succeeded. There is no moment
// without a claim, whatever fails: that would read as a wipe. A claim that is deleted meanwhile is one, and stays
// away. The caller holds the store's lock.
func RenewClaim(folder string, id ID, historyDir string) error {
	path := filepath.Join(folder, ClaimName)
	tmp := path + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := writeNew(tmp, claimText(id, historyDir)); err != nil {
		return err
	}
	err := exchange(tmp, path)
	switch {
	case errors.Is(err, errNoExchange):
		err = os.Rename(tmp, path)
	case err == nil, errors.Is(err, fs.ErrNotExist):
		err = os.Remove(tmp)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return SyncDir(folder)
}

// ReplaceClaim ties the folder to a journal where what stands in the claim's place is damaged. There is
// no moment without a claim, and what was there is kept beside it.
func ReplaceClaim(folder string, id ID, historyDir string) error {
	path := filepath.Join(folder, ClaimName)
	aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().UnixNano())
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() && os.Link(path, aside) == nil {
		return RenewClaim(folder, id, historyDir)
	}
	if err := writeNew(aside, claimText(id, historyDir)); err != nil {
		return err
	}
	if err := exchange(aside, path); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return SyncDir(folder)
}

// DropClaim removes the folder's claim, if there is one, and makes that durable.
func DropClaim(folder string) error {
	err := os.Remove(filepath.Join(folder, ClaimName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return SyncDir(folder)
}

func claimText(id ID, historyDir string) []byte {
	return []byte(id.String() + "\n" + historyDir + "\n")
}

// SyncClaim makes a claim durable that WriteClaim's process may have died in, names of folders
// included.
func SyncClaim(folder string) error {
	return syncAncestors(filepath.Join(folder, ClaimName))
}

// ReadClaim returns the journal that the network folder is tied to and where its history
// is. A missing file or folder is fs.ErrNotExist; a file that says something else
// is a *CorruptionError.
func ReadClaim(folder string) (id ID, historyDir string, err error) {
	path := filepath.Join(folder, ClaimName)
	b, err := readLimited(path, claimLimit)
	if err != nil {
		return ID{}, "", err
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	if id, err = ParseID(strings.TrimSpace(first)); err != nil {
		return ID{}, "", &CorruptionError{File: path, Offset: 0, Cause: err}
	}
	return id, strings.TrimSuffix(rest, "\n"), nil
}
