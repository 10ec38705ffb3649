package process_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
)

// stuff brings the network's journal to this number of events, faster than processes would.
func stuff(t *testing.T, n network, events int) {
	t.Helper()
	s := allocator.NewStore(allocator.Options{Network: n.name, DataDir: n.dataDir})
	for i := len(readHistory(t, n).events); i < events; i++ {
		// Each is recorded, since no two name the same attachment.
		id := fmt.Sprintf("stuffing-%d", i)
		if err := s.Del(allocator.DelRequest{Owner: state.Attachment{ContainerID: id, IfName: "eth0"}}); err != nil {
			t.Fatal(err)
		}
	}
}

// stuffSegment brings the newest segment so near to its end that a call with the namespace that it
// returns has to start another. It makes the store if there is none.
func stuffSegment(t *testing.T, n network) (netns string) {
	t.Helper()
	const target = 64 << 10
	netns = strings.Repeat("/n", 1500)
	if _, err := os.Stat(n.storeDir()); err != nil {
		must(t, n.add("first"))
		must(t, n.del("first"))
	}
	s := allocator.NewStore(allocator.Options{Network: n.name, DataDir: n.dataDir})
	for i := 0; ; i++ {
		segments, err := filepath.Glob(filepath.Join(n.storeDir(), "journal", "*"))
		if err != nil || len(segments) == 0 || i > 1000 {
			t.Fatalf("segments: %q, %v", segments, err)
		}
		slices.Sort(segments)
		st, err := os.Stat(segments[len(segments)-1])
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > target-int64(len(netns)) && st.Size() <= target {
			return netns
		}
		owner := state.Attachment{ContainerID: fmt.Sprintf("stuffing-%d", i), IfName: fmt.Sprintf("at%d", time.Now().UnixNano())}
		if err := s.Del(allocator.DelRequest{Owner: owner, NetNS: netns}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModes has all that the plugin makes, snapshots included, under the loosest and the strictest umask.
func TestModes(t *testing.T) {
	for _, test := range []struct {
		name   string
		umask  string
		events []int // numbers of events to take a snapshot at
	}{
		{"loosest", "0000", nil},
		{"strictest", "0777", []int{1024, 2100}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			masked := func(c call) {
				t.Helper()
				c.under = []string{"/bin/sh", "-c", "umask " + test.umask + `; exec "$0"`}
				must(t, c)
			}
			masked(n.add("c1"))
			masked(n.del("c1"))
			if _, err := removeTree(n.folder()); err != nil {
				t.Fatal(err)
			}
			masked(n.add("c2"))
			for _, events := range test.events {
				stuff(t, n, events)
				masked(n.add(fmt.Sprintf("c-%d", events)))
			}
			if test.events != nil {
				hasAll(t, n)
			}
			modes(t, n)
		})
	}
}

// hasAll fails the test unless the store has every kind of file that a healthy one gets.
func hasAll(t *testing.T, n network) {
	t.Helper()
	for _, pattern := range []string{"snap/*.snap", "archive/*", "journal/*"} {
		if found, _ := filepath.Glob(filepath.Join(n.storeDir(), pattern)); len(found) == 0 {
			t.Errorf("no %s, so this test shows less than it means to", pattern)
		}
	}
}

// modes fails the test unless files are 0600 and folders 0700, but dataDir itself 0755.
func modes(t *testing.T, n network) {
	t.Helper()
	err := filepath.WalkDir(n.dataDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		switch {
		case path == n.dataDir:
			want = fs.ModeDir | 0o755
		case e.IsDir():
			want = fs.ModeDir | 0o700
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if st.Mode() != want {
			t.Errorf("%s: got mode %s, want %s", strings.TrimPrefix(path, n.dataDir), st.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
