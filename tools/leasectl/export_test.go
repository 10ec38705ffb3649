package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// reference is the plugin host-local itself, on one network's folder.
type reference struct {
	t      *testing.T
	binary string
	folder string
	sets   []allocator.RangeSet
}

// newReference skips the test where there is no host-local.
func newReference(t *testing.T, folder string, sets []allocator.RangeSet) *reference {
	t.Helper()
	binary := os.Getenv("LEASELOG_HOST_LOCAL")
	if binary == "" {
		binary = filepath.Join("..", "..", "bin", "test", "host-local")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("the reference plugin host-local is not built: make test builds it, or set LEASELOG_HOST_LOCAL to its path")
	}
	return &reference{t, binary, folder, sets}
}

// call returns the addresses that an ADD gave, and what a failed call said.
func (r *reference) call(verb, id string) (ips []string, failure string) {
	r.t.Helper()
	var ranges [][]map[string]string
	for _, set := range r.sets {
		var of []map[string]string
		for _, one := range set {
			of = append(of, map[string]string{"subnet": one.Subnet.String(), "rangeStart": one.Start.String(),
				"rangeEnd": one.End.String(), "gateway": one.Gateway.String()})
		}
		ranges = append(ranges, of)
	}
	conf, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": filepath.Base(r.folder),
		"ipam": map[string]any{"type": "host-local", "dataDir": filepath.Dir(r.folder), "ranges": ranges}})
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(r.binary)
	cmd.Env = []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + id, "CNI_NETNS=/no/such/netns", "CNI_IFNAME=eth0",
		"CNI_PATH=/opt/cni/bin", "CNI_NETNS_OVERRIDE=1"}
	cmd.Stdin = bytes.NewReader(conf)
	out, err := cmd.Output()
	var answer struct {
		Msg string
		IPs []struct{ Address netip.Prefix }
	}
	if len(out) > 0 {
		if err := json.Unmarshal(out, &answer); err != nil {
			r.t.Fatalf("%s %s: %v in %s", verb, id, err, out)
		}
	}
	if (err != nil) != (answer.Msg != "") {
		r.t.Fatalf("%s %s: %v: %s", verb, id, err, out)
	}
	for _, ip := range answer.IPs {
		ips = append(ips, ip.Address.Addr().String())
	}
	return ips, answer.Msg
}

// must fails the test if the call does.
func (r *reference) must(verb, id string) []string {
	r.t.Helper()
	ips, failure := r.call(verb, id)
	if failure != "" {
		r.t.Fatalf("%s %s: %s", verb, id, failure)
	}
	return ips
}

// give is a node's ADD.
func (n *node) give(id string) []string {
	n.t.Helper()
	choice, err := n.store.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner(id), Sets: n.sets}})
	n.must(err)
	var ips []string
	for _, a := range choice.Addresses {
		ips = append(ips, a.IP.String())
	}
	return ips
}

func (n *node) del(id string) {
	n.t.Helper()
	n.must(n.store.Del(allocator.DelRequest{Owner: owner(id)}))
}

// folder is the network's in the dataDir.
func (n *node) folder(network string) string { return filepath.Join(n.dataDir, network) }

// live drives a node through random calls and returns who holds addresses then.
func (n *node) live(r *rand.Rand, calls int) []string {
	n.t.Helper()
	var held []string
	for i := range calls {
		if len(held) > 3 && r.IntN(5) < 2 {
			at := r.IntN(len(held))
			n.del(held[at])
			held = slices.Delete(held, at, at+1)
			continue
		}
		id := fmt.Sprintf("c%d", i)
		n.give(id)
		held = append(held, id)
	}
	return held
}

// exported runs export host-local, which has to succeed.
func exported(t *testing.T, dataDir, dir string, flags ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, code := leasectl(append([]string{"export", "host-local", dir, "--data-dir", dataDir}, flags...)...)
	if code != 0 {
		t.Fatalf("export: exit code %d: %s", code, stderr)
	}
	return stdout, stderr
}

// goOn has leaselog and host-local make the same calls, and wants the same addresses.
func goOn(t *testing.T, n *node, ref *reference, held []string, r *rand.Rand) {
	t.Helper()
	for i := range 25 {
		if len(held) > 0 && r.IntN(3) == 0 {
			at := r.IntN(len(held))
			n.del(held[at])
			ref.must("DEL", held[at])
			held = slices.Delete(held, at, at+1)
			continue
		}
		id := fmt.Sprintf("new%d", i)
		if got, want := ref.must("ADD", id), n.give(id); !slices.Equal(got, want) {
			t.Fatalf("call %d: host-local gave %v, leaselog %v", i, got, want)
		}
		held = append(held, id)
	}
	for _, id := range held {
		ref.must("CHECK", id)
		if _, failure := ref.call("ADD", id); !strings.Contains(failure, "duplicate allocation is not allowed") {
			t.Errorf("ADD of %s, who has an address: %q", id, failure)
		}
	}
}

var exportSets = []string{"10.1.0.0/26 10.2.0.0/27", "fd01::/64"}

// seeded prints a seed, so that a run can be repeated.
func seeded(t *testing.T) (seed uint64) {
	t.Helper()
	seed = rand.Uint64()
	t.Logf("seed %d", seed)
	return seed
}

func TestExportGoesOn(t *testing.T) {
	seed := seeded(t)
	n := newNode(t, "pods", exportSets...)
	dir := filepath.Join(t.TempDir(), "pods")
	ref := newReference(t, dir, n.sets)
	held := n.live(rand.New(rand.NewPCG(seed, 1)), 40)
	before := treeOf(t, n.dataDir)
	if stdout, stderr := exported(t, n.dataDir, dir); stdout != "" || !strings.Contains(stderr, "exported") || !strings.Contains(stderr, "as of event") {
		t.Errorf("said %q and %q", stdout, stderr)
	}
	if after := treeOf(t, n.dataDir); after != before {
		t.Errorf("the store was changed:\n%s\nwas:\n%s", after, before)
	}
	sameAsJournal(t, n, dir, true)
	modes(t, dir)
	goOn(t, n, ref, held, rand.New(rand.NewPCG(seed, 2)))
}

// TestHandOver: of two nodes with the same past, one is handed over. Both go on alike.
func TestHandOver(t *testing.T) {
	for _, view := range []allocator.ViewMode{allocator.ViewKept, allocator.ViewOn} {
		seed := seeded(t)
		n, twin := newNode(t, "pods", exportSets...), newNode(t, "pods", exportSets...)
		n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, View: view})
		ref := newReference(t, n.folder("pods"), n.sets)
		held := n.live(rand.New(rand.NewPCG(seed, 1)), 40)
		twin.live(rand.New(rand.NewPCG(seed, 1)), 40)
		exported(t, n.dataDir, n.folder("pods"))
		sameAsJournal(t, twin, n.folder("pods"), false)
		modes(t, n.folder("pods"))
		if names := namesIn(t, filepath.Join(n.dataDir, historyName, "pods")); slices.Contains(names, "view") {
			t.Errorf("the store still says that there is a view: %v", names)
		}
		goOn(t, twin, ref, slices.Clone(held), rand.New(rand.NewPCG(seed, 2)))

		// The next call of leaselog takes over what is there by then.
		want, err := hostlocal.Read(n.folder("pods"))
		n.must(err)
		n.give("back")
		for _, l := range want.Leases {
			got, err := n.store.Check(state.Attachment{ContainerID: l.ContainerID, IfName: l.IfName})
			if err != nil || !slices.ContainsFunc(got, func(g state.Lease) bool { return g.IP == l.IP }) {
				t.Errorf("%s of %s was not taken over: %v, %v", l.IP, l.ContainerID, got, err)
			}
		}
	}
}

// sameAsJournal compares the files with what the node's store holds, with or without the times of leases.
func sameAsJournal(t *testing.T, n *node, folder string, times bool) {
	t.Helper()
	content, err := hostlocal.Read(folder)
	n.must(err)
	if len(content.Warnings) > 0 {
		t.Errorf("warnings: %q", content.Warnings)
	}
	e, err := n.store.Export()
	n.must(err)
	owners := func(leases []hostlocal.Lease) map[string]string {
		all := map[string]string{}
		for _, l := range leases {
			all[l.IP.String()] = l.ContainerID + " " + l.IfName
		}
		return all
	}
	if got, want := owners(content.Leases), owners(e.Leases); !maps.Equal(got, want) || len(want) == 0 {
		t.Fatalf("leases: got %v, want %v", got, want)
	}
	if !slices.Equal(content.Cursors, e.Cursors) || len(e.Cursors) != len(n.sets) {
		t.Errorf("cursors: got %v, want %v", content.Cursors, e.Cursors)
	}
	for i, l := range content.Leases {
		if times && !l.Time.Equal(e.Leases[i].Time) {
			t.Errorf("%s: time %s, want %s", l.IP, l.Time, e.Leases[i].Time)
		}
	}
}

// modes checks modes and bytes of a folder against what host-local would make.
func modes(t *testing.T, folder string) {
	t.Helper()
	if st, err := os.Stat(folder); err != nil || st.Mode() != 0o755|fs.ModeDir {
		t.Errorf("folder: %v, %v", st.Mode(), err)
	}
	old := umask(0)
	umask(old)
	for _, name := range namesIn(t, folder) {
		st, err := os.Lstat(filepath.Join(folder, name))
		want := fs.FileMode(0o600)
		if name == "lock" {
			want = 0o750 &^ fs.FileMode(old)
		}
		if err != nil || st.Mode() != want || name == "lock" && st.Size() != 0 {
			t.Errorf("%s: mode %v, %d bytes, %v, want %v", name, st.Mode(), st.Size(), err, want)
		}
		_, lease := hostlocal.ParseName(name)
		if !lease && name != "lock" && !strings.HasPrefix(name, "last_reserved_ip.") {
			t.Errorf("%s is no file of host-local", name)
		}
	}
}

func namesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func treeOf(t *testing.T, folder string) string {
	t.Helper()
	text, err := tree(folder)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// file is what can be seen of one file.
type file struct {
	content string
	mode    fs.FileMode
	time    time.Time // not of cursors and the lock, which are written again and again
}

func filesIn(t *testing.T, folder string) map[string]file {
	t.Helper()
	all := map[string]file{}
	for _, name := range namesIn(t, folder) {
		st, err := os.Lstat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		f := file{string(b), st.Mode(), st.ModTime().UTC()}
		if _, lease := hostlocal.ParseName(name); !lease {
			f.time = time.Time{}
		}
		all[name] = f
	}
	return all
}

// oldFolder has host-local make leases, and writes what host-locals of long ago left, and an empty file.
func oldFolder(t *testing.T, ref *reference) map[string]file {
	t.Helper()
	for i := range 5 {
		ref.must("ADD", fmt.Sprint("c", i))
	}
	ref.must("DEL", "c1")
	for name, content := range map[string]string{"10.1.0.20": "legacy", "10.1.0.21": "", "fd01::77": "six\r\nnet1"} {
		path := filepath.Join(ref.folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Date(2019, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return filesIn(t, ref.folder)
}

// TestRoundTrip: what was taken over from host-local and given back is the same, byte for byte, in its own folder and
// beside it; and what is then taken over again is the same once more.
func TestRoundTrip(t *testing.T) {
	for _, view := range []allocator.ViewMode{allocator.ViewKept, allocator.ViewOn, allocator.ViewOff} {
		n := newNode(t, "pods", exportSets...)
		n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, View: view, Ranges: func() []allocator.RangeSet { return n.sets }})
		want := oldFolder(t, newReference(t, n.folder("pods"), n.sets))
		takeOver := func() []journal.Cursor {
			_, err := n.store.Import(n.folder("pods"))
			n.must(err)
			e, err := n.store.Export()
			n.must(err)
			if len(e.Missing)+len(e.Stale) > 0 || e.Wiped {
				t.Errorf("just taken over: %+v", e)
			}
			return e.Cursors
		}
		cursors := takeOver()
		dir := filepath.Join(t.TempDir(), "out")
		exported(t, n.dataDir, dir)
		if got := filesIn(t, dir); !reflect.DeepEqual(got, want) {
			t.Errorf("beside: got %v, want %v", got, want)
		}
		exported(t, n.dataDir, n.folder("pods"))
		if got := filesIn(t, n.folder("pods")); !reflect.DeepEqual(got, want) {
			t.Errorf("in place: got %v, want %v", got, want)
		}
		if again := takeOver(); !slices.Equal(again, cursors) || len(again) != 2 {
			t.Errorf("taken over again: cursors %v, want %v", again, cursors)
		}
		exported(t, n.dataDir, n.folder("pods"))
		if got := filesIn(t, n.folder("pods")); !reflect.DeepEqual(got, want) {
			t.Errorf("the second time: got %v, want %v", got, want)
		}
	}
}

// TestHandOverOfOldFolder: without a view the files fall behind. They are made right, and host-local goes on.
func TestHandOverOfOldFolder(t *testing.T) {
	n := newNode(t, "pods", exportSets...)
	n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, View: allocator.ViewOff})
	ref := newReference(t, n.folder("pods"), n.sets)
	old := oldFolder(t, ref)
	n.must(os.WriteFile(filepath.Join(n.folder("pods"), "last_reserved_ip"), []byte("10.1.0.9"), 0o600))
	n.must(os.WriteFile(filepath.Join(n.folder("pods"), "last_reserved_ip.7"), []byte("10.9.0.9"), 0o600))
	n.del("c2")
	n.del("legacy")
	n.give("d0")
	edited := filepath.Join(n.folder("pods"), "10.1.0.5") // of c3, with another owner and the same time
	st, err := os.Stat(edited)
	n.must(err)
	n.must(os.WriteFile(edited, []byte("c9\r\neth0"), 0o600))
	n.must(os.Chtimes(edited, st.ModTime(), st.ModTime()))
	for name := range old { // as nothing has followed
		if _, err := os.Stat(filepath.Join(n.folder("pods"), name)); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr := exported(t, n.dataDir, n.folder("pods"), "--dry-run", "-o", "csv")
	if want := "in place: " + n.folder("pods") + " would be host-local's\n"; !strings.HasSuffix(stderr, want) {
		t.Errorf("said %q, want %q at its end", stderr, want)
	}
	for _, line := range []string{"pods,remove,10.1.0.20,", "pods,remove,10.1.0.4,", "pods,keep,10.1.0.21,,,true,", "pods,remove,last_reserved_ip,",
		"pods,remove,leaselog,", "pods,write,last_reserved_ip.0,,,false,10.1.0.", ",d0,eth0,"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
	before := treeOf(t, n.dataDir)
	exported(t, n.dataDir, n.folder("pods"), "--dry-run")
	if after := treeOf(t, n.dataDir); after != before {
		t.Errorf("--dry-run changed\n%s\nwas\n%s", after, before)
	}
	exported(t, n.dataDir, n.folder("pods"))
	got := filesIn(t, n.folder("pods"))
	for _, name := range []string{"10.1.0.20", "10.1.0.4", "last_reserved_ip", journal.ClaimName} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is still there", name)
		}
	}
	if got, want := got["10.1.0.5"].content, "c3\r\neth0"; got != want {
		t.Errorf("10.1.0.5 holds %q, want %q", got, want)
	}
	modes(t, n.folder("pods"))
	ref.must("CHECK", "d0")
	ref.must("CHECK", "c3")
	if _, failure := ref.call("CHECK", "c2"); failure == "" {
		t.Error("c2 was released, and CHECK passes")
	}
	ref.must("DEL", "d0")
	if first := ref.must("ADD", "e0"); len(first) != 2 {
		t.Errorf("got %v", first)
	}
}

// TestExportOfThousands is about many leases, of which half were released.
func TestExportOfThousands(t *testing.T) {
	const many = 2000
	n := newNode(t, "pods", "10.8.0.0/16")
	n.must(os.Mkdir(n.folder("pods"), 0o755))
	ref := newReference(t, n.folder("pods"), n.sets)
	ip := netip.MustParseAddr("10.8.0.2")
	var keep []state.Attachment
	for i := range many {
		n.must(hostlocal.Put(n.folder("pods"), hostlocal.Lease{IP: ip, ContainerID: fmt.Sprint("c", i), IfName: "eth0"}))
		if i%2 == 0 {
			keep = append(keep, owner(fmt.Sprint("c", i)))
		}
		ip = ip.Next()
	}
	n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, View: allocator.ViewOff})
	n.give("last") // the first that is free, beyond all of them
	n.must(n.store.GC(append(keep, owner("last"))))
	exported(t, n.dataDir, n.folder("pods"))
	content, err := hostlocal.Read(n.folder("pods"))
	if n.must(err); len(content.Leases) != many/2+1 {
		t.Errorf("got %d leases, want %d", len(content.Leases), many/2+1)
	}
	if got := ref.must("ADD", "next"); got[0] != ip.Next().String() {
		t.Errorf("the next address: got %v, want %s", got, ip.Next())
	}
	ref.must("DEL", "c0")
	ref.must("CHECK", "c2")
	if _, failure := ref.call("CHECK", "c1"); failure == "" {
		t.Error("c1 was released, and CHECK passes")
	}
}

// TestExportRefuses: what can't be exported changes nothing and leaves nothing.
func TestExportRefuses(t *testing.T) {
	type setting struct {
		*node
		dir  string // to export to
		args []string
	}
	write := func(s *setting, path, content string) { s.must(os.WriteFile(path, []byte(content), 0o600)) }
	store := func(s *setting, below string) string { return filepath.Join(s.dataDir, historyName, "pods", below) }
	tests := []struct {
		name  string
		spoil func(*setting)
		code  int
		says  string
	}{
		{"another file in the network's folder", func(s *setting) {
			s.dir = s.folder("pods")
			write(s, filepath.Join(s.dir, "notes"), "x")
		}, exitError, "notes"},
		{"a folder that is called like a lease", func(s *setting) {
			s.dir = s.folder("pods")
			s.must(os.Mkdir(filepath.Join(s.dir, "10.1.0.9"), 0o700))
		}, exitError, "10.1.0.9"},
		{"a lease that nobody took over", func(s *setting) {
			s.dir = s.folder("pods")
			lock, err := hostlocal.Lock(s.dir, time.Now()) // who looks under the lock makes it
			s.must(err)
			s.must(lock.Close())
			write(s, store(s, "view"), "off\n") // otherwise host-local's files are looked at, and taken over
			write(s, filepath.Join(s.dir, "10.1.0.9"), "stranger\r\neth0")
		}, exitError, "10.1.0.9: was written by another program"},
		{"a lease that nobody took over, beside", func(s *setting) {
			write(s, filepath.Join(s.folder("pods"), "10.1.0.9"), "stranger\r\neth0")
		}, exitError, "10.1.0.9: was written by another program"},
		{"another lease on an address that was released", func(s *setting) {
			s.give("c")
			s.del("c")
			write(s, filepath.Join(s.folder("pods"), "10.1.0.4"), "stranger\r\neth0")
		}, exitError, "10.1.0.4: was written by another program"},
		{"a lease by a name that host-local does not look at", func(s *setting) {
			s.dir = s.folder("pods")
			write(s, filepath.Join(s.dir, "FD00::9"), "stranger\r\neth0")
		}, exitError, "FD00::9"},
		{"events are lost", func(s *setting) {
			for i := range 3 {
				s.give(fmt.Sprint("lost", i))
			}
			path := store(s, firstSegment)
			b, err := os.ReadFile(path)
			s.must(err)
			b[bytes.Index(b, []byte("lost1"))] ^= 1
			write(s, path, string(b))
			if _, stderr, code := leasectl("repair", "--apply", "--data-dir", s.dataDir); code != 0 {
				s.t.Fatalf("repair: exit code %d: %s", code, stderr)
			}
		}, exitUnknown, "are lost, at most 1"},
		{"not empty", func(s *setting) {
			s.must(os.Mkdir(s.dir, 0o755))
			write(s, filepath.Join(s.dir, "x"), "")
		}, exitError, "is not empty"},
		{"a file", func(s *setting) { write(s, s.dir, "") }, exitError, "not a directory"},
		{"a link to nowhere", func(s *setting) { s.must(os.Symlink("/no/where", s.dir)) }, exitError, "leads nowhere"},
		{"no parent", func(s *setting) { s.dir = filepath.Join(s.dir, "x", "y") }, exitError, "no such file"},
		{"no DIR", func(s *setting) { s.args = []string{"export", "host-local"} }, exitUsage, "accepts 1 arg"},
		{"several networks", func(s *setting) {
			s.must(allocator.NewStore(allocator.Options{Network: "other", DataDir: s.dataDir}).GC(nil))
			other := newNode(s.t, "other", "10.9.0.0/24")
			other.dataDir = s.dataDir
			other.store = allocator.NewStore(allocator.Options{Network: "other", DataDir: s.dataDir})
			other.give("o")
		}, exitUsage, "there are 2 networks"},
		{"a damaged event", func(s *setting) {
			path := store(s, firstSegment)
			b, err := os.ReadFile(path)
			s.must(err)
			b[len(b)/2] ^= 1
			write(s, path, string(b))
		}, exitUnknown, "damage at byte"},
		{"a damaged event, in place", func(s *setting) {
			s.dir = s.folder("pods")
			path := store(s, firstSegment)
			b, err := os.ReadFile(path)
			s.must(err)
			b[len(b)/2] ^= 1
			write(s, path, string(b))
		}, exitUnknown, "damage at byte"},
		{"damaged META", func(s *setting) { write(s, store(s, "META"), "x") }, exitUnknown, "META"},
		{"damaged claim", func(s *setting) { write(s, filepath.Join(s.folder("pods"), journal.ClaimName), "x") }, exitUnknown, "pods/leaselog: damage"},
		{"no lock file", func(s *setting) { s.must(os.Remove(store(s, "lock"))) }, exitUnknown, "nothing witnesses the last event"},
		{"a copy", func(s *setting) {
			dataDir := filepath.Join(s.t.TempDir(), "copy")
			s.must(os.CopyFS(dataDir, os.DirFS(s.dataDir)))
			s.dataDir = dataDir
		}, exitUnknown, "is a copy of a store"},
		{"the store is gone", func(s *setting) { s.must(os.RemoveAll(filepath.Join(s.dataDir, historyName))) }, exitError, "where there is none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t, "pods", "10.1.0.0/24")
			n.give("a")
			n.give("b")
			s := &setting{node: n, dir: filepath.Join(t.TempDir(), "out")}
			test.spoil(s)
			beside, before := "", treeOf(t, s.dataDir)
			if _, err := os.Stat(filepath.Dir(s.dir)); err == nil {
				beside = treeOf(t, filepath.Dir(s.dir))
			}
			if s.args == nil {
				s.args = []string{"export", "host-local", s.dir, "--data-dir", s.dataDir}
			}
			for _, dry := range []string{"--dry-run", "--dry-run=false"} {
				stdout, stderr, code := leasectl(append(s.args, dry)...)
				if code != test.code || !strings.Contains(stderr, test.says) || stdout != "" {
					t.Errorf("%s: exit code %d, %q, %q, want %d and %q", dry, code, stdout, stderr, test.code, test.says)
				}
			}
			if after := treeOf(t, s.dataDir); after != before {
				t.Errorf("changed:\n%s\nwas:\n%s", after, before)
			}
			if beside != "" && treeOf(t, filepath.Dir(s.dir)) != beside {
				t.Errorf("left behind: %s", treeOf(t, filepath.Dir(s.dir)))
			}
		})
	}
}

// TestExportOfAWipedNetwork: nothing is held, so nothing is exported.
func TestExportOfAWipedNetwork(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.give("a")
	n.must(os.RemoveAll(n.folder("pods")))
	dir := filepath.Join(t.TempDir(), "out")
	if _, stderr := exported(t, n.dataDir, dir); !strings.Contains(stderr, "no lease to export") {
		t.Errorf("said %q", stderr)
	}
	if got := namesIn(t, dir); !slices.Equal(got, []string{"lock"}) {
		t.Errorf("got %v, want the lock alone", got)
	}
	exported(t, n.dataDir, n.folder("pods"))
	if got := namesIn(t, n.folder("pods")); !slices.Equal(got, []string{"lock"}) {
		t.Errorf("in place: got %v, want the lock alone", got)
	}
}

// TestExportToAnEmptyFolder: one that is there is replaced, by way of a link too.
func TestExportToAnEmptyFolder(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.give("a")
	parent := t.TempDir()
	n.must(os.Mkdir(filepath.Join(parent, "real"), 0o700))
	n.must(os.Symlink("real", filepath.Join(parent, "link")))
	exported(t, n.dataDir, filepath.Join(parent, "link"))
	if got := namesIn(t, filepath.Join(parent, "real")); !slices.Equal(got, []string{"10.1.0.2", "last_reserved_ip.0", "lock"}) {
		t.Errorf("got %v", got)
	}
	if got := namesIn(t, parent); !slices.Equal(got, []string{"link", "real"}) {
		t.Errorf("beside it: %v", got)
	}
	modes(t, filepath.Join(parent, "real"))
}

// TestExportOnAFullDisk: an export that does not fit leaves nothing.
func TestExportOnAFullDisk(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	for i := range 40 {
		n.give(fmt.Sprint("c", i))
	}
	parent := tinyDisk(t)
	_, stderr, code := leasectl("export", "host-local", filepath.Join(parent, "out"), "--data-dir", n.dataDir)
	if code != exitError || !strings.Contains(stderr, "no space left") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if got := namesIn(t, parent); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

// TestHandOverWaits: host-local's lock is waited for, and without it nothing is changed.
func TestHandOverWaits(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.give("a")
	lock, err := hostlocal.Lock(n.folder("pods"), time.Now().Add(time.Second))
	n.must(err)
	before := filesIn(t, n.folder("pods"))
	o := allocator.Options{Network: "pods", DataDir: n.dataDir, LockTimeout: 50 * time.Millisecond}
	if _, err := allocator.NewStore(o).HandOver(); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("got %v, want %v", err, journal.ErrLocked)
	}
	if got := filesIn(t, n.folder("pods")); !reflect.DeepEqual(got, before) {
		t.Errorf("changed: %v, was %v", got, before)
	}
	n.must(lock.Close())
	o.LockTimeout = time.Minute
	if _, err := allocator.NewStore(o).HandOver(); err != nil {
		t.Error(err)
	}
}
