package allocator_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// aliveNamespace returns a namespace that can be seen and identified: of this process, by its number.
func aliveNamespace(t testing.TB) (string, journal.NetNSID) {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	id := netns.Identify(path)
	if id == (journal.NetNSID{}) {
		t.Skip("network namespaces can't be seen in /proc")
	}
	return path, id
}

// earlierStore makes a store of another boot, in which these adds and imports happened.
func earlierStore(t testing.TB, reclaim bool, boot journal.BootID, evs ...*journal.Event) *allocator.Store {
	t.Helper()
	data := t.TempDir()
	s := storeWith(data, func(o *allocator.Options) { o.ReclaimOnBoot = reclaim })
	clock := journal.Clock{Wall: claimedAt.UnixNano(), BootTime: 1e9, Boot: boot}
	b, err := journal.NewBuilder(filepath.Join(data, ".leaselog"), journal.NewStore{Network: "net", DataDir: data, Version: "test",
		Claim: func(id journal.ID) (func(), error) { return journal.WriteClaim(s.Folder(), id, s.Dir()) }},
		&journal.Event{Clock: clock, Origin: journal.Origin{Journal: journal.ID{1}}}, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range evs {
		ev.Clock = clock
		if err := b.Append(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(0); err != nil {
		t.Fatal(err)
	}
	return s
}

// given is an add of another boot.
func given(n int, netNS string, id journal.NetNSID, ips ...string) *journal.Event {
	ev := &journal.Event{Kind: journal.KindAdd, ContainerID: owner(n).ContainerID, IfName: "eth0", NetNS: netNS, NetNSID: id}
	for i, ip := range ips {
		a := netip.MustParseAddr(ip)
		ev.Addresses = append(ev.Addresses, journal.Address{Set: i, IP: a, Bits: a.BitLen()})
		ev.Cursors = append(ev.Cursors, journal.Cursor{Set: i, IP: a})
	}
	return ev
}

var bootBefore = journal.BootID{0xb0}

func TestReclaimOnBoot(t *testing.T) {
	alive, id := aliveNamespace(t)
	gone := filepath.Join(t.TempDir(), "gone")
	evs := func() []*journal.Event {
		return []*journal.Event{
			given(1, gone, journal.NetNSID{}, "10.1.0.2", "2001:db8::2"),
			given(2, alive, id, "10.1.0.3"),
			given(3, "", journal.NetNSID{}, "10.1.0.4"),
			{Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{{IP: netip.MustParseAddr("10.1.0.9"), Bits: 32}}},
			given(4, alive, journal.NetNSID{Inode: id.Inode + 1}, "10.1.0.5"),
		}
	}
	const all = "release reboot 10.1.0.2 2001:db8::2, release reboot 10.1.0.4, release reboot 10.1.0.5, release reboot 10.1.0.9"
	for _, tt := range []struct {
		name    string
		reclaim bool
		boot    journal.BootID
		call    func(*allocator.Store) error
		n       int
		want    string
	}{
		{"ADD", true, bootBefore, func(s *allocator.Store) error { _, err := s.Add(request(t, 7)); return err }, 6, all + ", config, add 10.1.0.6 2001:db8::3"},
		{"DEL", true, bootBefore, func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(3)}) }, 4,
			"del del 10.1.0.4, release reboot 10.1.0.2 2001:db8::2, release reboot 10.1.0.5, release reboot 10.1.0.9"},
		{"GC, of what it does not spare", true, bootBefore, func(s *allocator.Store) error { return s.GC([]state.Attachment{owner(1), owner(2), owner(3)}) }, 2,
			"del gc 10.1.0.5, release reboot 10.1.0.9"},
		{"off", false, bootBefore, func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(7)}) }, 1, "del del"},
		{"same boot", true, journal.CurrentBoot(), func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(7)}) }, 1, "del del"},
		{"no boot ID", true, journal.BootID{}, func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(7)}) }, 1, "del del"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := earlierStore(t, tt.reclaim, tt.boot, evs()...)
			if err := tt.call(s); err != nil {
				t.Fatal(err)
			}
			if got := lastEvents(t, s, len(events(t, s))-6); got != tt.want || len(events(t, s)) != 6+tt.n {
				t.Errorf("events %s, want %s", got, tt.want)
			}
			if held, err := s.Check(owner(2)); err != nil || len(held) != 1 {
				t.Errorf("the survivor holds %v, %v", held, err)
			}
			before := len(events(t, s))
			if err := s.Del(allocator.DelRequest{Owner: owner(1)}); err != nil {
				t.Fatal(err)
			}
			for _, ev := range events(t, s)[before:] {
				if ev.Kind == journal.KindRelease && tt.name[:2] != "GC" {
					t.Errorf("released a second time: %v", ev.Addresses)
				}
			}
		})
	}
}

// TestReclaimInParts has more to release than one call does.
func TestReclaimInParts(t *testing.T) {
	var evs []*journal.Event
	for i := range allocator.Reclaimed + 100 {
		evs = append(evs, given(i, "/nowhere/gone", journal.NetNSID{}, fmt.Sprintf("10.1.%d.%d", 1+i/250, i%250)))
	}
	s := earlierStore(t, true, bootBefore, evs...)
	for i, want := range []int{allocator.Reclaimed, allocator.Reclaimed + 100, allocator.Reclaimed + 100} {
		release(t, s, 1_000_000+i)
		n := 0
		for _, ev := range events(t, s) {
			if ev.Kind == journal.KindRelease {
				n++
			}
		}
		if n != want {
			t.Errorf("after call %d: %d released, want %d", i+1, n, want)
		}
	}
}

func TestReplace(t *testing.T) {
	alive, id := aliveNamespace(t)
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	here := journal.CurrentBoot()
	ended := fmt.Sprintf("/proc/%d/ns/net", 1<<22+1) // beyond any process
	type caller struct {
		netNS string
		id    journal.NetNSID
	}
	seen := caller{alive, id}
	for _, tt := range []struct {
		name string
		boot journal.BootID
		held *journal.Event // by c1, or by c2 where an address is requested
		by   caller
		ips  []string
		want string // events, or the error
	}{
		{"of an earlier boot, gone", bootBefore, given(1, gone, journal.NetNSID{}, "10.1.0.2", "2001:db8::2"), seen, nil,
			"config, release replaced 10.1.0.2 2001:db8::2, add 10.1.0.3 2001:db8::3"},
		{"of an earlier boot, not recorded", bootBefore, given(1, "", journal.NetNSID{}, "10.1.0.2"), caller{}, nil,
			"config, release replaced 10.1.0.2, add 10.1.0.3 2001:db8::2"},
		{"of an earlier boot, alive", bootBefore, given(1, alive, id, "10.1.0.2"), seen, nil, "duplicate"},
		{"of an earlier boot, same name, other namespace", bootBefore, given(1, alive, journal.NetNSID{Inode: id.Inode + 1}, "10.1.0.2"), seen, nil,
			"config, release replaced 10.1.0.2, add 10.1.0.3 2001:db8::2"},
		{"of this boot, process ended", here, given(1, ended, journal.NetNSID{Inode: 1}, "10.1.0.2"), seen, nil,
			"config, release replaced 10.1.0.2, add 10.1.0.3 2001:db8::2"},
		{"of this boot, gone from where nothing is seen", here, given(1, gone, journal.NetNSID{}, "10.1.0.2"), seen, nil, "duplicate"},
		{"of this boot, gone, and the caller's own is not seen", here, given(1, ended, journal.NetNSID{Inode: 1}, "10.1.0.2"), caller{alive, journal.NetNSID{}}, nil, "duplicate"},
		{"of this boot, alive", here, given(1, alive, id, "10.1.0.2"), seen, nil, "duplicate"},
		{"of this boot, not recorded", here, given(1, "", journal.NetNSID{}, "10.1.0.2"), seen, nil, "duplicate"},
		{"requested, of an earlier boot, gone", bootBefore, given(2, gone, journal.NetNSID{}, "10.1.0.2", "2001:db8::2"), seen, []string{"10.1.0.2"},
			"release reboot 2001:db8::2, config, release replaced 10.1.0.2, add 10.1.0.2 2001:db8::3"},
		{"requested, of an earlier boot, alive", bootBefore, given(2, alive, id, "10.1.0.2"), seen, []string{"10.1.0.2"}, "not available"},
		{"requested, of this boot, process ended", here, given(2, ended, journal.NetNSID{Inode: 1}, "10.1.0.2"), seen, []string{"10.1.0.2"},
			"config, release replaced 10.1.0.2, add 10.1.0.2 2001:db8::2"},
		{"requested, blocked, of an earlier boot", bootBefore, &journal.Event{Kind: journal.KindImport, Blocked: true,
			Addresses: []journal.Address{{IP: netip.MustParseAddr("10.1.0.2"), Bits: 32}}}, seen, []string{"10.1.0.2"},
			"config, release replaced 10.1.0.2, add 10.1.0.2 2001:db8::2"},
		{"requested together with what is not there", bootBefore, given(2, gone, journal.NetNSID{}, "10.1.0.2"), seen, []string{"10.1.0.2", "10.9.0.1"}, "not available"},
	} {
		for _, reclaim := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, reclaim %v", tt.name, reclaim), func(t *testing.T) {
				held := *tt.held
				s := earlierStore(t, reclaim, tt.boot, &held)
				r := request(t, 1, tt.ips...)
				r.NetNS, r.NetNSID = tt.by.netNS, tt.by.id
				_, err := s.Add(r)
				want := tt.want
				if !reclaim && len(tt.ips) == 0 {
					want = "duplicate"
				} else if !reclaim {
					want = "not available"
				}
				got := lastEvents(t, s, len(events(t, s))-2)
				switch {
				case errors.Is(err, allocator.ErrDuplicate):
					got = "duplicate"
				case errors.Is(err, allocator.ErrNotAvailable):
					got = "not available"
				case err != nil:
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	}
}

// TestReplaceTheLastAddress: what is replaced is free for the ADD that replaces it, in a full range too.
func TestReplaceTheLastAddress(t *testing.T) {
	s := earlierStore(t, true, bootBefore, given(1, "/nowhere/gone", journal.NetNSID{}, "10.1.0.2"))
	r := request(t, 1)
	r.Sets = mustSets(t, "10.1.0.0/30")
	c, err := s.Add(r)
	if err != nil || c.Addresses[0].IP.String() != "10.1.0.2" {
		t.Errorf("got %+v, %v, want 10.1.0.2", c, err)
	}
}

// TestReclaimWithoutItsNote: the file that says for which boot leases were looked at saves time, and is no reason to fail.
func TestReclaimWithoutItsNote(t *testing.T) {
	var told strings.Builder
	s := storeWith(t.TempDir(), func(o *allocator.Options) {
		o.ReclaimOnBoot, o.Warn = true, func(text string) { fmt.Fprintln(&told, text) }
	})
	add(t, s, 1)
	note := filepath.Join(s.Dir(), "boot")
	if err := errors.Join(os.Remove(note), os.MkdirAll(filepath.Join(note, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	add(t, s, 2)
	release(t, s, 1)
	if got := strings.Count(told.String(), note); got != 2 {
		t.Errorf("told %q, want the file's name once in a call", told.String())
	}
}
