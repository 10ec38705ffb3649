package move_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
	"github.com/leaselog/leaselog/test/skipping"
)

// boot is a boot of the node: the words that run a command in it.
type boot []string

// newBoot returns a boot of its own: a file over the kernel's boot ID, in a mount namespace that ends with the command.
func newBoot(t *testing.T, id string) boot {
	t.Helper()
	if nodes.Missing != "" {
		skipping.For(t, nodes.Missing)
	}
	path := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(path, []byte(id+"\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	return boot{"unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, path}
}

// The boot IDs of tests.
const (
	bootBefore = "11111111-2222-4333-8444-555555555555"
	bootAfter  = "99999999-8888-4777-8666-555555555555"
)

// node is a network with a container in each condition, all of them attached in the boot before.
type node struct {
	caller.Network
	before, after boot
	alive, dead   string // namespaces: one that is there throughout, and one to delete
}

// newNode attaches alive and dead, whose namespaces are real, and unseen, whose namespace nobody sees.
func newNode(t *testing.T, plugin string) *node {
	t.Helper()
	n := &node{Network: newNetwork(t, "10.75.0.0/24", "fd75::/64"), before: newBoot(t, bootBefore), after: newBoot(t, bootAfter)}
	n.alive, n.dead = nodes.NewNamespace(t), nodes.NewNamespace(t)
	must(t, hostLocal, add(n.Network, "imported"))
	must(t, plugin, n.add("alive", n.alive), n.before...)
	must(t, plugin, n.add("dead", n.dead), n.before...)
	must(t, plugin, add(n.Network, "unseen"), n.before...)
	return n
}

func (n *node) add(id, netns string) caller.Call {
	c := add(n.Network, id)
	c.NetNS = netns
	return c
}

// request is add for one address.
func (n *node) request(id, netns, ip string) caller.Call {
	c := n.add(id, netns)
	c.Args = "IP=" + ip
	return c
}

// crash deletes the namespace of dead.
func (n *node) crash(t *testing.T) {
	t.Helper()
	lab.Must(t, "ip", "netns", "del", filepath.Base(n.dead))
}

// replace puts another namespace at the place of dead's.
func (n *node) replace(t *testing.T) {
	t.Helper()
	n.crash(t)
	lab.Must(t, "ip", "netns", "add", filepath.Base(n.dead))
}

// hide leaves at the place of dead's namespace what a process without its mount sees there.
func (n *node) hide(t *testing.T) {
	t.Helper()
	n.crash(t)
	if err := os.WriteFile(n.dead, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(n.dead) })
}

// holding returns the containers that hold something by the journal.
func (n *node) holding(t *testing.T) []string {
	t.Helper()
	var out struct{ Leases []lease }
	ask(t, n.Network, &out, "leases")
	var ids []string
	for _, l := range out.Leases {
		ids = append(ids, l.ContainerID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// released returns the containers that were released for a reason, in the order of the events.
func (n *node) released(t *testing.T, reason string) []string {
	t.Helper()
	var ids []string
	for _, ev := range events(t, n.Network) {
		if ev.Kind == "release" && ev.Reason == reason {
			ids = append(ids, ev.ContainerID)
		}
	}
	return ids
}

func (n *node) wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestReboot has each verb come first after a reboot that one container has survived.
func TestReboot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		first func(n *node) caller.Call
		left  []string // besides alive
	}{
		{"ADD", func(n *node) caller.Call { return add(n.Network, "new") }, []string{"new"}},
		{"DEL", func(n *node) caller.Call { return del(n.Network, "nobody") }, nil},
		{"DEL of the living", func(n *node) caller.Call { return del(n.Network, "alive") }, nil},
		{"GC", func(n *node) caller.Call {
			return caller.Call{Network: n.Network, Verb: "GC", Valid: []caller.Attachment{{ContainerID: "alive", IfName: "eth0"}}}
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, leaselog)
			n.crash(t)
			must(t, leaselog, check(n.Network, "dead"), n.after...) // a reader, which changes nothing
			first := test.first(n)
			must(t, leaselog, first, n.after...)
			want := append([]string{"alive"}, test.left...)
			if first.Verb == "DEL" && first.ID == "alive" {
				want = nil
			}
			n.wants(t, "holding", n.holding(t), want...)
			if first.Verb != "GC" { // which released them itself
				n.wants(t, "released for the reboot", n.released(t, "reboot"), "imported", "dead", "unseen")
			}
			agree(t, n.Network)

			must(t, leaselog, add(n.Network, "later"), n.after...)
			must(t, leaselog, add(n.Network, "unseen"), n.after...) // which is of this boot now
			must(t, leaselog, del(n.Network, "later"), n.after...)
			if want != nil {
				must(t, leaselog, check(n.Network, "alive"), n.after...)
			}
			n.wants(t, "holding later", n.holding(t), append(slices.Clone(want), "unseen")...)
		})
	}
}

// TestRebootOff is about who releases nothing because of a reboot.
func TestRebootOff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		plugin string
		key    string
		off    bool
	}{
		{"under the name host-local", standIn, "", true},
		{"under the name host-local, auto", standIn, "auto", false},
		{"leaselog, off", leaselog, "off", true},
		{"leaselog, auto", leaselog, "auto", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, test.plugin)
			n.crash(t)
			if test.key != "" {
				n.Network = with(n.Network, "reclaimOnBoot", test.key)
			}
			if !test.off {
				must(t, test.plugin, add(n.Network, "dead"), n.after...)
				n.wants(t, "holding", n.holding(t), "alive", "dead")
				n.wants(t, "replaced", n.released(t, "replaced"), "dead")
				return
			}
			refused(t, test.plugin, codeDuplicate, add(n.Network, "dead"), n.after...)
			refused(t, test.plugin, codeNotAvailable, n.request("new", "", "10.75.0.4"), n.after...)
			n.wants(t, "holding", n.holding(t), "alive", "dead", "imported", "unseen")
		})
	}
}

// TestStaleLeaseTaken is about the containers that could not be started after a crash: those of nerdctl, which come back under
// their ID, and those of Podman, which ask for their address.
func TestStaleLeaseTaken(t *testing.T) {
	t.Parallel()
	again := func(n *node) caller.Call { return n.add("dead", n.dead) }
	elsewhere := func(n *node) caller.Call { return n.add("dead", n.alive) }
	podman := func(n *node) caller.Call { return n.request("new", n.alive, "10.75.0.4") }
	unseen := func(n *node) caller.Call { return n.add("unseen", n.alive) }
	stay := func(*node, *testing.T) {}
	tests := []struct {
		name    string
		crash   func(n *node, t *testing.T)
		reboot  bool
		request func(n *node) caller.Call
		code    int    // 0: it is given
		ip      string // that is given
	}{
		{"reboot, same ID", (*node).crash, true, elsewhere, 0, "10.75.0.6"},
		{"reboot, same ID, namespace of the same name", (*node).replace, true, again, 0, "10.75.0.6"},
		{"reboot, same address", (*node).crash, true, podman, 0, "10.75.0.4"},
		{"reboot, ID of one that nobody sees", stay, true, unseen, 0, "10.75.0.6"},
		{"reboot, ID alive", stay, true, again, codeDuplicate, ""},
		{"reboot, address alive", stay, true, podman, codeNotAvailable, ""},
		{"crash, same ID", (*node).crash, false, elsewhere, 0, "10.75.0.6"},
		{"crash, same ID, namespace of the same name", (*node).replace, false, again, 0, "10.75.0.6"},
		{"crash, same address", (*node).crash, false, podman, 0, "10.75.0.4"},
		{"ID alive", stay, false, again, codeDuplicate, ""},
		{"address alive", stay, false, podman, codeNotAvailable, ""},
		{"address of one that nobody sees", stay, false,
			func(n *node) caller.Call { return n.request("new", n.alive, "10.75.0.5") }, codeNotAvailable, ""},
		{"ID of one that nobody sees", stay, false, unseen, codeDuplicate, ""},
		{"address of one whose mount can't be seen", (*node).hide, false, podman, codeNotAvailable, ""},
		{"address of one in another view", func(n *node, t *testing.T) {
			must(t, leaselog, n.add("stranger", filepath.Join(t.TempDir(), "netns")), n.before...)
		}, false, func(n *node) caller.Call { return n.request("new", n.alive, "10.75.0.6") }, codeNotAvailable, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, leaselog)
			test.crash(n, t)
			now := n.before
			if test.reboot {
				now = n.after
			}
			c := test.request(n)
			a := do(t, leaselog, c, now...)
			if a.Code != test.code || a.OK() && a.IPs[0].String() != test.ip {
				t.Fatalf("ADD: %v, want code %d and %q", a, test.code, test.ip)
			}
			agree(t, n.Network)
			if test.code != 0 {
				n.wants(t, "replaced", n.released(t, "replaced"))
				must(t, leaselog, check(n.Network, "dead"), now...)
				return
			}
			replaced := "dead"
			if c.ID == "unseen" {
				replaced = c.ID
			}
			n.wants(t, "replaced", n.released(t, "replaced"), replaced)
			if !test.reboot { // the others' namespaces are not looked at
				n.wants(t, "holding", slices.DeleteFunc(n.holding(t), func(id string) bool { return id == c.ID }), "alive", "imported", "unseen")
			}
		})
	}
}

// TestFilesAfterPowerLoss: host-local's files are not synced, so that after a reboot they prove nothing.
func TestFilesAfterPowerLoss(t *testing.T) {
	t.Parallel()
	n := newNode(t, leaselog)
	n.Network = with(n.Network, "reclaimOnBoot", "off")
	owners := files(t, n.Network)
	for i, name := range []string{"10.75.0.2", "10.75.0.3", "fd75::3", "last_reserved_ip.0"} {
		path := filepath.Join(n.Folder(), name)
		if err := []func() error{
			func() error { return os.Remove(path) },
			func() error { return os.Truncate(path, 0) },
		}[i%2](); err != nil {
			t.Fatal(err)
		}
	}
	put(t, n.Network, "10.75.0.5", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	given := must(t, leaselog, add(n.Network, "new"), n.after...).IPs
	if given[0] != ip("10.75.0.6") || given[1] != ip("fd75::6") {
		t.Errorf("got %v, want the addresses after those of the boot before", given)
	}
	for _, a := range given {
		owners[a] = "new\r\neth0"
	}
	same(t, "leases", held(t, n.Network), owners)
	same(t, "files", files(t, n.Network), owners)
	if got := must(t, hostLocal, add(n.Network, "theirs")).IPs; got[0] != ip("10.75.0.7") {
		t.Errorf("host-local gives %v, want the address after ours", got)
	}
}

// TestReturn has host-local go on with the files of a view, across a reboot, and leaselog come back: what host-local gave since
// is held, also under the ID, on the address, or both, of a lease that leaselog knew.
func TestReturn(t *testing.T) {
	t.Parallel()
	n := newNode(t, leaselog)
	n.Network = with(n.Network, "reclaimOnBoot", "auto")
	must(t, leaselog, del(n.Network, "alive"), n.before...)
	for _, id := range []string{"dead", "unseen"} {
		must(t, hostLocal, del(n.Network, id), n.before...)
	}
	must(t, hostLocal, n.request("theirs", "", "10.75.0.4"), n.before...)
	must(t, hostLocal, n.request("alive", "", "10.75.0.3"), n.after...)
	must(t, hostLocal, n.request("unseen", "", "10.75.0.5"), n.after...)
	later := time.Now().Add(2 * time.Second) // what is newer by less than a second proves nothing after a reboot
	for _, name := range []string{"10.75.0.4", "10.75.0.5"} {
		if err := os.Chtimes(filepath.Join(n.Folder(), name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	given := files(t, n.Network)
	for _, address := range []string{"10.75.0.3", "10.75.0.4", "10.75.0.5"} {
		refused(t, leaselog, codeNotAvailable, n.request("new", "", address), n.after...)
	}
	owners := held(t, n.Network)
	for _, address := range []string{"10.75.0.3", "10.75.0.4", "10.75.0.5"} {
		if got, want := owners[ip(address)], given[ip(address)]; got != want {
			t.Errorf("%s: held by %q, want %q", address, got, want)
		}
	}
	agree(t, n.Network)
}
