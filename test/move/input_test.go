package move_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

// listing returns what is in the folders, with all that a change would leave a trace in. Of the folders themselves it leaves out
// the time: the lock under which stores are made comes and goes beside the networks.
func listing(t *testing.T, folders ...string) []string {
	t.Helper()
	var all []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			line := fmt.Sprintf("%s inode %d, %v, %d bytes", path, st.Ino, info.Mode(), st.Size)
			if path != folder {
				line += fmt.Sprintf(", changed %d.%09d", st.Ctim.Sec, st.Ctim.Nsec)
			}
			all = append(all, line)
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return all
}

// untouched fails the test unless the folders are as they were.
func untouched(t *testing.T, before []string, folders ...string) {
	t.Helper()
	after := listing(t, folders...)
	for _, line := range after {
		if !slices.Contains(before, line) {
			t.Errorf("now %s", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("was %s", line)
		}
	}
}

// TestRefusedFolders is about folders that can't be taken over: the ADD says why, and nothing is changed.
func TestRefusedFolders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, n, source caller.Network) // n imports from source's folder
		code    int
		words   string
	}{
		{"to import from: missing", func(*testing.T, caller.Network, caller.Network) {}, codeStorage, "no such file or directory"},
		{"to import from: a file", func(t *testing.T, _, source caller.Network) {
			if err := os.WriteFile(source.Folder(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, codeStorage, "not a directory"},
		{"to import from: foreign", func(t *testing.T, _, source caller.Network) {
			put(t, source, "letters", "love")
		}, codeStorage, "letters"},
		{"to import from: taken over by another store", func(t *testing.T, _, source caller.Network) {
			put(t, source, "10.78.0.9", "pod\r\neth0")
			must(t, leaselog, add(source, "theirs"))
		}, codeStorage, "was taken over by another store"},
		{"to import from: of another store that can't be read", func(t *testing.T, _, source caller.Network) {
			put(t, source, "10.78.0.9", "pod\r\neth0")
			must(t, leaselog, add(source, "theirs"))
			if err := os.Truncate(filepath.Join(source.StoreDir(), "META"), 5); err != nil {
				t.Fatal(err)
			}
		}, codeStorage, "was taken over by another store"},
		{"its own: foreign", func(t *testing.T, n, source caller.Network) {
			put(t, source, "10.78.0.9", "pod\r\neth0")
			put(t, n, "letters", "love")
			put(t, n, "lock", "")
		}, codeStorage, "letters"},
		{"its own: a file", func(t *testing.T, n, source caller.Network) {
			put(t, source, "10.78.0.9", "pod\r\neth0")
			if err := os.WriteFile(n.Folder(), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, codeStorage, "not a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			source := newNetwork(t, "10.78.0.0/24")
			n := with(newNetwork(t, "10.78.0.0/24"), "importFrom", source.Folder())
			test.prepare(t, n, source)
			before := listing(t, n.DataDir, source.DataDir)
			a := refused(t, leaselog, test.code, add(n, "pod"))
			if !strings.Contains(a.Text, test.words) {
				t.Errorf("got %q, want %q in it", a.Text, test.words)
			}
			untouched(t, before, n.DataDir, source.DataDir)
			must(t, leaselog, del(n, "nobody"))
			untouched(t, before, n.DataDir, source.DataDir)
		})
	}
}

// TestImportFrom imports from the folder of another dataDir, once, and leaves host-local's files in it alone.
func TestImportFrom(t *testing.T) {
	t.Parallel()
	source := newNetwork(t, "10.78.1.0/24", "fd78::/64")
	fill(t, source, 6)
	owners := files(t, source)
	n := with(newNetwork(t, "10.78.1.0/24", "fd78::/64"), "importFrom", source.Folder())
	must(t, leaselog, check(n, "old-2"))
	want := must(t, hostLocal, add(copyOf(t, source), "next")).IPs
	given := must(t, leaselog, add(n, "next")).IPs
	if !slices.Equal(given, want) {
		t.Errorf("ADD: got %v, host-local gives %v", given, want)
	}
	same(t, "host-local's files", files(t, source), owners)
	if left := files(t, n); len(left) > 0 {
		t.Errorf("files of host-local beside the new store: %v, want none", left)
	}
	must(t, leaselog, del(n, "old-3"))
	must(t, leaselog, add(n, "last"))
	leases := held(t, n)
	if len(leases) != 14 { // 5 old ones and 2 new ones, of two families
		t.Errorf("%d addresses are held, want 14: %v", len(leases), leases)
	}
	third := with(newNetwork(t, "10.78.1.0/24"), "importFrom", source.Folder())
	refused(t, leaselog, codeStorage, add(third, "thief"))
	if a := do(t, leaselog, add(source, "thief")); a.OK() {
		t.Errorf("ADD on the folder that was taken over: %v, want it refused", a)
	}

	// A wipe of the new network means that nothing is held. The source has been taken over and stays so.
	if err := os.RemoveAll(n.Folder()); err != nil {
		t.Fatal(err)
	}
	must(t, leaselog, add(n, "fresh"))
	if leases := held(t, n); len(leases) != 2 {
		t.Errorf("after the wipe: %v, want what fresh holds alone", leases)
	}
}

// TestLockedFolder: who holds host-local's lock is waited for, then named, and nothing is imported.
func TestLockedFolder(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("its own %t", own), func(t *testing.T) {
			t.Parallel()
			source := newNetwork(t, "10.78.2.0/24")
			given := must(t, hostLocal, add(source, "old")).IPs[0]
			n := source
			if !own {
				n = with(newNetwork(t, "10.78.2.0/24"), "importFrom", source.Folder())
			}
			lock := hold(t, source)
			before := listing(t, source.Folder())
			a := refused(t, leaselog, codeTryAgain, add(with(n, "lockTimeout", "1s"), "new")) // the store is made in that time, too
			if me := fmt.Sprint(os.Getpid()); !strings.Contains(a.Text, me) || !strings.Contains(a.Text, lock.Name()) {
				t.Errorf("got %q, want the lock and process %s in it", a.Text, me)
			}
			untouched(t, before, source.Folder())
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
			if got := must(t, leaselog, add(n, "new")).IPs[0]; got != given.Next() {
				t.Errorf("got %s after the lock was free, want %s", got, given.Next())
			}
			must(t, leaselog, check(n, "old"))
		})
	}
}
