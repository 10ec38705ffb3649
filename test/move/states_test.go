package move_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// put writes a file of host-local's by hand.
func put(t *testing.T, n caller.Network, name, content string) {
	t.Helper()
	if err := os.MkdirAll(n.Folder(), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(n.Folder(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// age gives the lease files times of their own, each a minute after the one before, and returns them.
func age(t *testing.T, n caller.Network) map[netip.Addr]time.Time {
	t.Helper()
	times := map[netip.Addr]time.Time{}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, ip := range slices.SortedFunc(maps.Keys(files(t, n)), netip.Addr.Compare) {
		at = at.Add(time.Minute)
		times[ip] = at
		if err := os.Chtimes(filepath.Join(n.Folder(), ip.String()), at, at); err != nil {
			t.Fatal(err)
		}
	}
	return times
}

// everyKind leaves in a dual stack network what real host-local leaves, and by hand what older ones and crashes leave. It returns
// who holds what; "" is an address that is held by nobody.
func everyKind(t *testing.T) (caller.Network, map[netip.Addr]string) {
	t.Helper()
	n := newNetwork(t, "10.71.0.0/27", "fd71::/64")
	for i := range 9 {
		c := add(n, fmt.Sprintf("pod-%d", i))
		if i == 7 {
			c.Args = "IP=10.71.0.20" // the cursor jumps
		}
		must(t, hostLocal, c)
	}
	for _, id := range []string{"pod-2", "pod-5", "pod-8"} {
		must(t, hostLocal, del(n, id))
	}
	want := files(t, n)
	if len(want) != 12 {
		t.Fatalf("host-local left %v, want 12 leases", want)
	}
	for name, content := range map[string]string{
		"10.71.0.22": "old-form", "fd71::b": "old-form", "10.71.0.23": "line-feed\neth0", "10.71.0.24": " spaces\r\neth1\n",
		"10.71.0.25": "", "10.71.0.26": "\x00\x00\x00\x00\x00\x00\x00", "10.71.0.27": "not an owner", "fd71::c": "",
	} {
		put(t, n, name, content)
	}
	if err := os.Mkdir(filepath.Join(n.Folder(), "10.71.0.28"), 0o700); err != nil {
		t.Fatal(err)
	}
	maps.Copy(want, map[netip.Addr]string{
		ip("10.71.0.22"): "old-form", ip("fd71::b"): "old-form", ip("10.71.0.23"): "line-feed\r\neth0", ip("10.71.0.24"): "spaces\r\neth1",
		ip("10.71.0.25"): "", ip("10.71.0.26"): "", ip("10.71.0.27"): "", ip("10.71.0.28"): "", ip("fd71::c"): "",
	})
	return n, want
}

// ip is a literal.
func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// blocked lists addresses that nobody can release, as everyKind makes them.
var blocked = []string{"10.71.0.25", "10.71.0.26", "10.71.0.27", "10.71.0.28", "fd71::c"}

// TestEveryKindOfState imports all that can be found in a folder of host-local: each address stays held, the next one
// is what host-local would have given, and none is given twice until the network is full.
func TestEveryKindOfState(t *testing.T) {
	t.Parallel()
	n, want := everyKind(t)
	times := age(t, n)
	other := copyOf(t, n)
	taken := maps.Clone(want)
	for i := range 40 {
		id := fmt.Sprintf("new-%d", i)
		theirs, ours := do(t, hostLocal, add(other, id)), do(t, leaselog, add(n, id))
		if !slices.Equal(ours.IPs, theirs.IPs) {
			t.Fatalf("ADD %d: got %v, host-local gives %v", i, ours.IPs, theirs.IPs)
		}
		if i == 0 {
			warned(t, ours, append(blocked, "took over 21 leases")...)
			imports(t, n, times, blocked)
		}
		if !ours.OK() {
			if ours.Code != codeExhausted || i < 5 {
				t.Fatalf("ADD %d: %v, want code %d later", i, ours, codeExhausted)
			}
			break
		}
		for _, a := range ours.IPs {
			if owner, ok := taken[a]; ok {
				t.Errorf("%s: given to %s, held by %q", a, id, owner)
			}
			taken[a] = id + "\r\neth0"
		}
	}
	same(t, "leases", held(t, n), taken)
	for i := 2; i < 31; i++ { // .1 is the gateway's
		if a := ip(fmt.Sprintf("10.71.0.%d", i)); taken[a] == "" && !slices.Contains(blocked, a.String()) {
			t.Errorf("%s: never given", a)
		}
	}
}

// warned fails the test unless the call told of each of the words.
func warned(t *testing.T, a caller.Answer, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(a.Stderr, w) {
			t.Errorf("stderr does not tell of %q: %s", w, a.Stderr)
		}
	}
}

// imports fails the test unless each file became an import event with the file's time, once, blocked where it should be.
func imports(t *testing.T, n caller.Network, times map[netip.Addr]time.Time, blocked []string) {
	t.Helper()
	seen := map[netip.Addr]bool{}
	for _, ev := range events(t, n) {
		if ev.Kind != "import" || len(ev.Addresses) == 0 {
			continue
		}
		a := ev.Addresses[0].IP
		if seen[a] {
			t.Errorf("%s: imported twice", a)
		}
		seen[a] = true
		if want := slices.Contains(blocked, a.String()); ev.Blocked != want {
			t.Errorf("%s: blocked %t, want %t", a, ev.Blocked, want)
		}
		claimed, err := time.Parse(time.RFC3339Nano, ev.Claimed)
		if want, ok := times[a]; ok && (err != nil || !claimed.Equal(want)) {
			t.Errorf("%s: claimed %q, want the file's time %v", a, ev.Claimed, want)
		}
	}
	for a := range times {
		if !seen[a] {
			t.Errorf("%s: not imported", a)
		}
	}
}

// TestOldCursor: before v0.6.0 the cursor's file had no number. The one with the number is newer.
func TestOldCursor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		cursors map[string]string
		want    string
	}{
		{"none", nil, "10.71.2.3"},
		{"without a number", map[string]string{"last_reserved_ip": "10.71.2.77"}, "10.71.2.78"},
		{"with a number", map[string]string{"last_reserved_ip.0": "10.71.2.90"}, "10.71.2.91"},
		{"both", map[string]string{"last_reserved_ip": "10.71.2.77", "last_reserved_ip.0": "10.71.2.90"}, "10.71.2.91"},
		{"empty", map[string]string{"last_reserved_ip.0": ""}, "10.71.2.3"},
		{"of another network", map[string]string{"last_reserved_ip.0": "10.99.0.9"}, "10.71.2.3"},
		{"the next is held", map[string]string{"last_reserved_ip.0": "10.71.2.99"}, "10.71.2.101"},
		{"at the end", map[string]string{"last_reserved_ip.0": "10.71.2.254"}, "10.71.2.3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, "10.71.2.0/24")
			put(t, n, "10.71.2.2", "old")
			put(t, n, "10.71.2.100", "other\r\neth0")
			for name, text := range test.cursors {
				put(t, n, name, text)
			}
			if test.cursors["last_reserved_ip"] == "" { // which today's host-local does not know of
				theirs := must(t, hostLocal, add(copyOf(t, n), "new"))
				if got := theirs.IPs[0].String(); got != test.want {
					t.Fatalf("host-local gives %s, want %s", got, test.want)
				}
			}
			if got := must(t, leaselog, add(n, "new")).IPs[0].String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestReleaseByEachForm releases leases that were written in each form, as first call and after the import.
func TestReleaseByEachForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, content, id, ifName string
		releases                  bool
	}{
		{"ID and interface", "c1\r\neth0", "c1", "eth0", true},
		{"other interface", "c1\r\neth0", "c1", "eth1", false},
		{"other container", "c1\r\neth0", "c2", "eth0", false},
		{"ID alone", "c1", "c1", "eth7", true},
		{"ID alone of another", "c1", "c2", "eth7", false},
		{"line feed alone", "c1\neth0", "c1", "eth0", true},
		{"empty", "", "c1", "eth0", false},
	}
	for _, test := range tests {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, first %t", test.name, first), func(t *testing.T) {
				t.Parallel()
				n := newNetwork(t, "10.71.3.0/24")
				put(t, n, "10.71.3.9", test.content)
				if !first {
					must(t, leaselog, add(n, "first"))
				}
				testRelease(t, n, test.id, test.ifName, test.releases)
			})
		}
	}
}

// testRelease releases what the attachment holds, 10.71.3.9 or nothing.
func testRelease(t *testing.T, n caller.Network, id, ifName string, releases bool) {
	t.Helper()
	c := caller.Call{Network: n, ID: id, IfName: ifName}
	probe := func(holds bool) {
		t.Helper()
		c.Verb = "CHECK"
		if a := do(t, leaselog, c); a.OK() != holds || !holds && a.Code != codeNoLease {
			t.Errorf("CHECK: %v, want the lease found: %t", a, holds)
		}
	}
	probe(releases) // without a store by the files
	c.Verb = "DEL"
	must(t, leaselog, c)
	probe(false)
	must(t, leaselog, add(n, "last")) // imports what a DEL that concerns nothing has left
	if _, ok := held(t, n)[ip("10.71.3.9")]; ok == releases {
		t.Errorf("10.71.3.9 is held: %t, want %t", ok, !releases)
	}
	if _, ok := files(t, n)[ip("10.71.3.9")]; ok == releases {
		t.Errorf("10.71.3.9 has a file: %t, want %t", ok, !releases)
	}
}

// TestThousandsOfLeases imports a large folder.
func TestThousandsOfLeases(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "10.72.0.0/20")
	a := ip("10.72.0.1")
	for i := range 3000 {
		a = a.Next()
		put(t, n, a.String(), fmt.Sprintf("pod-%d\r\neth0", i))
	}
	put(t, n, "last_reserved_ip.0", "10.72.0.200")
	times := age(t, n)
	want := files(t, n)
	theirs := must(t, hostLocal, add(copyOf(t, n), "new")).IPs
	ours := must(t, leaselog, add(n, "new")).IPs
	if !slices.Equal(ours, theirs) {
		t.Errorf("got %v, host-local gives %v", ours, theirs)
	}
	imports(t, n, times, nil)
	want[ours[0]] = "new\r\neth0"
	same(t, "leases", held(t, n), want)

	must(t, leaselog, del(n, "pod-1000"))
	must(t, hostLocal, del(n, "pod-2000"))
	must(t, leaselog, del(n, "pod-2999"))
	for _, gone := range []string{"10.72.3.234", "10.72.7.210", "10.72.11.185"} {
		delete(want, ip(gone))
	}
	same(t, "leases after the DELs", held(t, n), want)
	for i, a := range must(t, hostLocal, add(n, "theirs")).IPs {
		want[a] = "theirs\r\neth0"
		if i > 0 || a != ours[0].Next() {
			t.Errorf("host-local gives %v, want the address after %v", a, ours)
		}
	}
	must(t, leaselog, del(n, "theirs"))
	delete(want, ours[0].Next())
	same(t, "leases at the end", held(t, n), want)
	same(t, "files at the end", files(t, n), want)
}
