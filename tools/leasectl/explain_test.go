package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
)

// TestExplainOfANode: what is said to be given next is what the plugin's own transaction then gives, also over a snapshot.
func TestExplainOfANode(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/28", "fd01::/64")
	held := map[netip.Addr]bool{}
	add := func(id string) netip.Addr {
		t.Helper()
		choice, err := n.store.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner(id), Sets: n.sets}})
		n.must(err)
		held[choice.Addresses[0].IP] = true
		return choice.Addresses[0].IP
	}
	gone := func(id string, ip netip.Addr) {
		n.must(n.store.Del(allocator.DelRequest{Owner: owner(id)}))
		delete(held, ip)
	}
	first, second := add("a"), add("b")
	add("c")
	gone("a", first)
	n.must(snapshotStore(filepath.Join(n.dataDir, historyName, "pods"), 0))
	gone("b", second)
	next := regexp.MustCompile(`10\.1\.0\.\d+ is free(?s:.*)The next ADD that requests no address gets it,`)
	for round := range 8 {
		expected := netip.Addr{}
		for ip := netip.MustParseAddr("10.1.0.2"); ip.Compare(netip.MustParseAddr("10.1.0.14")) <= 0; ip = ip.Next() {
			stdout, stderr, code := leasectl("explain", ip.String(), "--data-dir", n.dataDir)
			want := exitNobody
			if held[ip] {
				want = exitFound
			}
			if code != want || strings.Contains(stdout, " is held by ") != held[ip] {
				t.Fatalf("%s: exit code %d, want %d:\n%s%s", ip, code, want, stdout, stderr)
			}
			if next.MatchString(stdout) {
				if expected.IsValid() {
					t.Fatalf("both %s and %s are said to be next", expected, ip)
				}
				expected = ip
			}
		}
		if got := add(fmt.Sprint("new", round)); got != expected {
			t.Fatalf("round %d: %s is given, %s was said", round, got, expected)
		}
	}
	if err := n.add("late", "10.1.0.4"); !errors.Is(err, allocator.ErrNotAvailable) {
		t.Fatal(err)
	}
	stdout, stderr, code := leasectl("explain", "--container", "late", "--data-dir", n.dataDir)
	if code != exitFound || !strings.Contains(stdout, "10.1.0.4 was held then by container c, eth0, since event ") || !strings.Contains(stdout, ", and still is.") {
		t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	for i := range 5 {
		n.must(n.add(fmt.Sprint("fill", i)))
		if i == 3 {
			break
		}
	}
	if err := n.add("last"); !errors.Is(err, allocator.ErrExhausted) {
		t.Fatal(err)
	}
	stdout, _, _ = leasectl("explain", "--container", "last", "--data-dir", n.dataDir)
	if want := "Nothing in that range set was free then; after event "; !strings.Contains(stdout, want) || !strings.Contains(stdout, ", 0 of its 13 addresses are free.") {
		t.Errorf("got\n%s", stdout)
	}
}
