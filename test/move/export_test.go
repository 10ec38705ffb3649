package move_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// content is what files of host-local mean.
type content struct {
	owners  map[netip.Addr]string    // "" is nobody
	times   map[netip.Addr]time.Time // of the leases that have an owner
	cursors map[string]string
}

// contentOf reads a folder that host-local could work on.
func contentOf(t *testing.T, n caller.Network) content {
	t.Helper()
	c := content{files(t, n), map[netip.Addr]time.Time{}, map[string]string{}}
	for a, owner := range c.owners {
		st, err := os.Stat(filepath.Join(n.Folder(), a.String()))
		if err != nil {
			t.Fatal(err)
		}
		if owner != "" {
			c.times[a] = st.ModTime().UTC()
		}
	}
	found, err := filepath.Glob(filepath.Join(n.Folder(), "last_reserved_ip*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c.cursors[filepath.Base(path)] = string(b)
	}
	return c
}

// wants fails the test unless the contents are the same.
func (c content) wants(t *testing.T, what string, want content) {
	t.Helper()
	same(t, what, c.owners, want.owners)
	for a, at := range want.times {
		if !c.times[a].Equal(at) {
			t.Errorf("%s: %s: got time %v, want %v", what, a, c.times[a], at)
		}
	}
	if !maps.Equal(c.cursors, want.cursors) {
		t.Errorf("%s: got cursors %v, want %v", what, c.cursors, want.cursors)
	}
}

// exported has leasectl write host-local's files for the network, which is returned as another dataDir has it.
func exported(t *testing.T, n caller.Network) caller.Network {
	t.Helper()
	to := n
	to.DataDir = t.TempDir()
	lab.Must(t, leasectl, "export", "host-local", to.Folder(), "--data-dir", n.DataDir, "--network", n.Name)
	return to
}

// TestRoundTrip imports every kind of state, exports it, imports that, and exports it again.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	first, owners := everyKind(t)
	age(t, first)
	want := contentOf(t, first)
	want.owners = owners
	maps.DeleteFunc(want.times, func(a netip.Addr, _ time.Time) bool { return owners[a] == "" })
	for i := range 3 {
		n := first
		if i > 0 {
			n = exported(t, first)
			contentOf(t, n).wants(t, fmt.Sprintf("export %d", i), want)
			must(t, hostLocal, check(n, "pod-1"))
		}
		lab.Must(t, leasectl, "import", "host-local", n.Folder())
		same(t, fmt.Sprintf("import %d", i+1), held(t, n), owners)
		first = n
	}
	// An export that nothing was changed before is the same to the byte.
	a, b := exported(t, first), exported(t, first)
	lab.Must(t, "diff", "-r", a.Folder(), b.Folder())
}

// TestMoveOut gives leases by both plugins, exports them, and has host-local go on where leaselog would.
func TestMoveOut(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "10.79.0.0/27", "fd79::/64")
	fill(t, n, 5)
	for i := range 9 {
		must(t, leaselog, add(n, fmt.Sprintf("new-%d", i)))
	}
	for _, id := range []string{"old-1", "new-3", "new-8"} {
		must(t, leaselog, del(n, id))
	}
	for _, inPlace := range []bool{false, true} {
		stay, out := copyOf(t, n), n
		if inPlace {
			lab.Must(t, leasectl, "export", "host-local", n.Folder(), "--data-dir", n.DataDir, "--network", n.Name)
		} else {
			out = exported(t, n)
		}
		same(t, "files", files(t, out), held(t, stay))
		must(t, hostLocal, check(out, "new-2"))
		goesOn(t, out, stay)
		lab.Must(t, leasectl, "import", "host-local", out.Folder())
		same(t, "leases after the way back", held(t, out), held(t, stay))
	}
}

// goesOn fails the test unless host-local does on one network what leaselog does on the other, until both are full.
func goesOn(t *testing.T, theirs, ours caller.Network) {
	t.Helper()
	for i := range 40 {
		if i == 5 {
			must(t, hostLocal, del(theirs, "old-2"))
			must(t, leaselog, del(ours, "old-2"))
		}
		id := fmt.Sprintf("late-%d", i)
		want, got := do(t, hostLocal, add(theirs, id)), do(t, leaselog, add(ours, id))
		if !slices.Equal(got.IPs, want.IPs) {
			t.Fatalf("ADD %d: host-local gives %v, leaselog %v", i, want.IPs, got.IPs)
		}
		if !got.OK() {
			if i < 10 {
				t.Errorf("full after %d ADDs, want more", i)
			}
			return
		}
	}
	t.Error("never full")
}
