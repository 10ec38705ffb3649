package allocator_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// newStore returns a store in a data folder of its own; nothing is on disk yet.
func newStore(t testing.TB) *allocator.Store {
	t.Helper()
	return storeIn(t.TempDir())
}

// newBusyStore returns a store for thousands of events, in memory where the system has a
// folder for that: what is tested does not depend on how long a sync takes.
func newBusyStore(t testing.TB) *allocator.Store {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaselog")
	if err != nil {
		return newStore(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return storeIn(dir)
}

func storeIn(dataDir string) *allocator.Store {
	return allocator.NewStore(allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test"})
}

// mustSets returns canonical range sets of one subnet each.
func mustSets(t testing.TB, subnets ...string) []allocator.RangeSet {
	t.Helper()
	var sets []allocator.RangeSet
	for _, s := range subnets {
		sets = append(sets, allocator.RangeSet{{Subnet: netip.MustParsePrefix(s)}})
	}
	sets, err := allocator.Canonical(sets)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

func owner(n int) state.Attachment {
	return state.Attachment{ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"}
}

func request(t testing.TB, n int, ips ...string) allocator.AddRequest {
	t.Helper()
	r := allocator.AddRequest{Request: allocator.Request{Owner: owner(n), Sets: mustSets(t, "10.1.0.0/16", "2001:db8::/64")}}
	for _, ip := range ips {
		r.IPs = append(r.IPs, netip.MustParseAddr(ip))
	}
	return r
}

// add adds an attachment and returns its first address.
func add(t testing.TB, s *allocator.Store, n int) netip.Addr {
	t.Helper()
	c, err := s.Add(request(t, n))
	if err != nil {
		t.Fatal(err)
	}
	s.Maintain()
	return c.Addresses[0].IP
}

func release(t testing.TB, s *allocator.Store, n int) {
	t.Helper()
	if err := s.Del(allocator.DelRequest{Owner: owner(n)}); err != nil {
		t.Fatal(err)
	}
	s.Maintain()
}

// kinds returns the kinds of all events, each followed by a blank.
func kinds(t testing.TB, s *allocator.Store) string {
	t.Helper()
	var b strings.Builder
	for _, ev := range events(t, s) {
		fmt.Fprintf(&b, "%s ", ev.Kind)
	}
	return b.String()
}

func events(t testing.TB, s *allocator.Store) []journal.Event {
	t.Helper()
	r, err := journal.OpenReader(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var all []journal.Event
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec.Event)
	}
	return all
}

// TestMakingTakesLong makes a store, which takes longer than the call may wait for others. It waited for none.
func TestMakingTakesLong(t *testing.T) {
	s := storeWith(t.TempDir(), func(o *allocator.Options) { o.LockTimeout = time.Nanosecond })
	add(t, s, 1)
}

func TestAddIsOneEvent(t *testing.T) {
	s := newStore(t)
	c, err := s.Add(request(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Addresses); got != "[{0 10.1.0.2 16 10.1.0.1} {1 2001:db8::2 64 2001:db8::1}]" {
		t.Errorf("got %s", got)
	}
	if got, want := kinds(t, s), "genesis config add "; got != want {
		t.Fatalf("events %s, want %s", got, want)
	}
	evs := events(t, s)
	if evs[2].Config != 2 || evs[2].Synced != 1 || len(evs[2].Addresses) != 2 {
		t.Errorf("add: config %d, synced %d, %d addresses", evs[2].Config, evs[2].Synced, len(evs[2].Addresses))
	}
	add(t, s, 2)
	if got, want := kinds(t, s), "genesis config add add "; got != want {
		t.Errorf("the configuration was recorded again: %s", got)
	}
}

func TestRangesOfTheCall(t *testing.T) {
	s := newStore(t)
	r := request(t, 1)
	r.CallSets = 1
	if _, err := s.Add(r); err != nil {
		t.Fatal(err)
	}
	evs := events(t, s)
	if len(evs[1].Ranges) != 1 || evs[1].Ranges[0][0].Subnet.String() != "2001:db8::/64" {
		t.Errorf("config holds %v, want the static set", evs[1].Ranges)
	}
	if len(evs[2].Ranges) != 1 || evs[2].Ranges[0][0].Subnet.String() != "10.1.0.0/16" {
		t.Errorf("add holds %v, want the call's set", evs[2].Ranges)
	}
}

// TestFailedAddUndoesOnlyItself is host-local.md's finding 3: there it frees a running container's addresses.
func TestFailedAddUndoesOnlyItself(t *testing.T) {
	s := newStore(t)
	if _, err := s.Add(request(t, 1, "10.1.0.50")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Add(request(t, 1, "10.1.0.51"))
	var refusal *allocator.Refusal
	if !errors.As(err, &refusal) || refusal.Code() != allocator.CodeDuplicate {
		t.Fatalf("got %v, want a duplicate in set 1", err)
	}
	held, err := s.Check(owner(1))
	if err != nil || len(held) != 2 || held[0].IP.String() != "10.1.0.50" {
		t.Errorf("afterwards %v is held, %v", held, err)
	}
}

func TestRefusalsAreRecordedOnce(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	for range 3 {
		if _, err := s.Add(request(t, 1)); !errors.Is(err, allocator.ErrDuplicate) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := s.Add(request(t, 1, "10.1.0.1")); !errors.Is(err, allocator.ErrNotAvailable) {
		t.Fatalf("got %v", err)
	}
	if got, want := kinds(t, s), "genesis config add refuse refuse "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	ev := events(t, s)[4]
	if ev.Code != 102 || len(ev.Requested) != 1 || ev.ContainerID != "c1" || ev.Text == "" || len(ev.Cursors) != 0 {
		t.Errorf("refusal says %+v", ev)
	}
}

func TestDel(t *testing.T) {
	s := newStore(t)
	if err := s.Del(allocator.DelRequest{Owner: owner(1)}); err != nil {
		t.Fatalf("without a store: %v", err)
	}
	if ok, err := s.Exists(); ok || err != nil {
		t.Fatalf("DEL made a store: %t, %v", ok, err)
	}
	add(t, s, 1)
	for range 3 {
		release(t, s, 1)
	}
	release(t, s, 2)
	release(t, s, 2)
	if got, want := kinds(t, s), "genesis config add del del "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if _, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("after DEL: %v, want ErrNoLease", err)
	}
}

func TestGC(t *testing.T) {
	s := newBusyStore(t)
	if err := s.GC(nil); err != nil {
		t.Fatalf("without a store: %v", err)
	}
	for n := range 300 { // more than one batch
		add(t, s, n)
	}
	if err := s.GC([]state.Attachment{owner(7), owner(8), {ContainerID: "c9", IfName: "other"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		_, err := s.Check(owner(n))
		if kept := err == nil; kept != (n == 7 || n == 8) {
			t.Errorf("c%d: %v", n, err)
		}
	}
	gone := 0
	for _, ev := range events(t, s) {
		if ev.Kind == journal.KindDel {
			if ev.Reason != journal.ReasonGC || len(ev.Addresses) != 2 {
				t.Fatalf("event %d: reason %s, %d addresses", ev.Seq, ev.Reason, len(ev.Addresses))
			}
			gone++
		}
	}
	if gone != 298 {
		t.Errorf("%d events, want one for each of 298 attachments", gone)
	}
	before := kinds(t, s)
	if err := s.GC([]state.Attachment{owner(7), owner(8)}); err != nil || kinds(t, s) != before {
		t.Errorf("a second GC changed something: %v", err)
	}
}

// TestGCLeavesNewLeases: between two batches an attachment may go and come back.
func TestGCLeavesNewLeases(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	held, err := s.Check(owner(1))
	if err != nil {
		t.Fatal(err)
	}
	release(t, s, 1)
	add(t, s, 1)
	if err := s.ReleaseStale(owner(1), held[0].Start); err != nil {
		t.Fatal(err)
	}
	again, err := s.Check(owner(1))
	if err != nil {
		t.Fatalf("the new lease is gone: %v", err)
	}
	if err := s.ReleaseStale(owner(1), again[0].Start); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("an unchanged one is still there: %v", err)
	}
}

// TestManyAddresses: an attachment may hold more addresses than one record can name.
func TestManyAddresses(t *testing.T) {
	s := newBusyStore(t)
	const adds, each = 20, 40
	const many = adds * each // more than one batch can name
	var subnets []string
	for i := range each {
		subnets = append(subnets, fmt.Sprintf("2001:db8:%x::/64", i))
	}
	sets := mustSets(t, subnets...)
	fill := func(n int) {
		for i := range adds {
			r := allocator.AddRequest{Request: allocator.Request{Owner: owner(n), Sets: sets}}
			for k := range each {
				r.IPs = append(r.IPs, netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%d:%x", k, n, i+2)))
			}
			if _, err := s.Add(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(1)
	fill(2)
	release(t, s, 1)
	if _, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("after DEL: %v, want ErrNoLease", err)
	}
	if held, err := s.Check(owner(2)); err != nil || len(held) != many {
		t.Errorf("the other holds %d, %v", len(held), err)
	}
	if err := s.GC(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(owner(2)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("after GC: %v, want ErrNoLease", err)
	}
	if err := s.Del(allocator.DelRequest{Owner: state.Attachment{ContainerID: strings.Repeat("c", 5000), IfName: "eth0"}}); err != nil {
		t.Errorf("DEL of an ID that no ADD takes: %v", err)
	}
}

// TestRuin: what is left of a deleted store is no store, and no obstacle; it is kept.
func TestRuin(t *testing.T) {
	s := newStore(t)
	if err := os.MkdirAll(filepath.Join(s.Dir(), "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"snap.lock", "journal/00000000000000000001"} {
		if err := os.WriteFile(filepath.Join(s.Dir(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Status(nil); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	add(t, s, 1)
	ruins, err := filepath.Glob(filepath.Join(filepath.Dir(s.Dir()), ".ruin-net-*", "snap.lock"))
	if err != nil || len(ruins) != 1 {
		t.Errorf("kept %v, %v", ruins, err)
	}
}

// TestDeletedBesideCalls deletes the whole store while others work on it: no call may bring back a ruin
// that stands in the way of the next store.
func TestDeletedBesideCalls(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s := storeIn(dir)
				_, _ = s.Add(request(t, 100*worker+i%100)) // may meet a store that is half gone
				_ = s.Del(allocator.DelRequest{Owner: owner(100*worker + i%100)})
			}
		})
	}
	for range 40 {
		time.Sleep(5 * time.Millisecond) // lets calls get anywhere; nothing waits for it
		for os.RemoveAll(filepath.Join(dir, ".leaselog")) != nil {
			continue // met a file that was being made
		}
	}
	close(stop)
	wg.Wait()
	add(t, storeIn(dir), 1)
}

// TestWipedUnderForeignFiles: another program's files stop ADD, and not the tearing down of pods.
func TestWipedUnderForeignFiles(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	if err := errors.Join(os.RemoveAll(s.Folder()), os.Mkdir(s.Folder(), 0o755),
		os.WriteFile(filepath.Join(s.Folder(), "notes.txt"), []byte("c9"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Add(request(t, 2)); !errors.Is(err, allocator.ErrForeign) {
			t.Errorf("ADD: %v", err)
		}
		if err := s.Status(nil); !errors.Is(err, allocator.ErrForeign) {
			t.Errorf("STATUS: %v", err)
		}
		release(t, s, 1)
	}
	if got, want := kinds(t, s), "genesis config add reset del "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(s.Folder(), journal.ClaimName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder was claimed")
	}
}

func TestWipe(t *testing.T) {
	tests := []struct {
		name string
		wipe func(folder string) error
	}{
		{"folder", os.RemoveAll},
		{"marker", func(folder string) error { return os.Remove(filepath.Join(folder, journal.ClaimName)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			first := add(t, s, 1)
			add(t, s, 2)
			if err := tt.wipe(s.Folder()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
				t.Errorf("a reader sees %v before any call recorded the wipe, want ErrNoLease", err)
			}
			if ip := add(t, s, 3); ip != first {
				t.Errorf("the first address after the wipe is %s, want %s again", ip, first)
			}
			add(t, s, 1)
			if got, want := kinds(t, s), "genesis config add add reset add add "; got != want {
				t.Errorf("events %s, want %s", got, want)
			}
			if ev := events(t, s)[4]; ev.Reason != journal.ReasonWiped {
				t.Errorf("reason %s", ev.Reason)
			}
		})
	}
}

// TestWipeRecordedOnce covers a crash between the reset and the new marker.
func TestWipeRecordedOnce(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	for range 2 {
		if err := os.RemoveAll(s.Folder()); err != nil {
			t.Fatal(err)
		}
		if err := s.GC(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := kinds(t, s), "genesis config add reset "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestWholeStoreDeleted(t *testing.T) {
	for _, all := range []bool{true, false} {
		s := newStore(t)
		add(t, s, 1)
		old := events(t, s)[0].Origin.Journal
		err := os.RemoveAll(s.Dir())
		if all {
			err = errors.Join(err, os.RemoveAll(s.Folder()))
		}
		if err != nil {
			t.Fatal(err)
		}
		add(t, s, 1)
		if evs := events(t, s); evs[0].Origin.Journal == old || len(evs) != 3 {
			t.Errorf("all=%t: %d events in journal %s", all, len(evs), evs[0].Origin.Journal)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	tests := []struct {
		name string
		ok   bool
	}{
		{"10.1.0.9.bak", false}, {"last_reserved_ip.x", false}, {"notes.txt", false}, {"fe80::1%eth0", false},
		{"lock", true}, {"last_reserved_ip.0", true}, {"10.1.0.9", true}, {"2001:db8::9", true}, {"2001_db8__9", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			if err := os.MkdirAll(s.Folder(), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.Folder(), tt.name), []byte("c9\r\neth0"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Add(request(t, 1))
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, allocator.ErrForeign) || !strings.Contains(err.Error(), tt.name) {
				t.Errorf("got %v, want ErrForeign that names the file", err)
			}
			if err := s.Status(nil); !errors.Is(err, allocator.ErrForeign) {
				t.Errorf("STATUS: %v", err)
			}
			if left, err := os.ReadDir(filepath.Dir(s.Folder())); err != nil || len(left) != 1 {
				t.Errorf("touched: %v, %v", left, err)
			}
		})
	}
}

func TestHistoryElsewhere(t *testing.T) {
	data, one, two := t.TempDir(), t.TempDir(), t.TempDir()
	with := func(dataDir, historyDir string) *allocator.Store {
		return allocator.NewStore(allocator.Options{Network: "net", DataDir: dataDir, HistoryDir: historyDir})
	}
	if _, err := with(data, one).Add(request(t, 1)); err != nil {
		t.Fatal(err)
	}
	changed := with(data, two)
	_, addErr := changed.Add(request(t, 2))
	_, checkErr := changed.Check(owner(1))
	for verb, err := range map[string]error{"ADD": addErr, "CHECK": checkErr, "STATUS": changed.Status(nil),
		"GC": changed.GC(nil), "DEL": changed.Del(allocator.DelRequest{Owner: owner(1)})} {
		if !errors.Is(err, allocator.ErrElsewhere) {
			t.Errorf("another historyDir for the same dataDir: %s: %v, want ErrElsewhere", verb, err)
		}
	}
	meta := filepath.Join(one, "net", "META")
	b, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	hurt := append([]byte{b[0] ^ 1}, b[1:]...)
	if err := os.WriteFile(meta, hurt, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := changed.Add(request(t, 2)); !errors.Is(err, allocator.ErrElsewhere) {
		t.Errorf("another historyDir while the store's META is damaged: %v, want ErrElsewhere", err)
	}
	if err := os.WriteFile(meta, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := with(t.TempDir(), one).Add(request(t, 2)); !errors.Is(err, allocator.ErrElsewhere) {
		t.Errorf("the same historyDir for another dataDir: %v, want ErrElsewhere", err)
	}
	if _, err := with(data, one).Check(owner(1)); err != nil {
		t.Errorf("the lease is gone: %v", err)
	}
}

// bulk appends n adds of other attachments in large batches, as fast as many calls would be slow.
func bulk(t testing.TB, s *allocator.Store, n int) {
	t.Helper()
	j, err := journal.Open(s.Dir(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	const batch = 64
	for n > 0 {
		var events []*journal.Event
		for i := range min(n, batch) {
			k := int(j.Last()) + i // never used before
			events = append(events, &journal.Event{Kind: journal.KindAdd, ContainerID: fmt.Sprintf("b%d", k), IfName: "eth0",
				Addresses: []journal.Address{{IP: netip.AddrFrom4([4]byte{10, 2, byte(k >> 8), byte(k)}), Bits: 16}}})
		}
		if err := j.Append(events...); err != nil {
			t.Fatal(err)
		}
		n -= len(events)
	}
}

// churn makes at least n events, takes snapshots on the way and returns some attachments with what they hold.
func churn(t testing.TB, s *allocator.Store, n int) map[int]netip.Addr {
	t.Helper()
	held := map[int]netip.Addr{}
	const round = allocator.SnapshotEvents
	for i := 0; n > 0; i, n = i+1, n-round {
		for k := range 10 {
			held[100*i+k] = add(t, s, 100*i+k)
		}
		add(t, s, 100*i+50)
		release(t, s, 100*i+50)
		bulk(t, s, round-12)
		held[100*i+10] = add(t, s, 100*i+10) // its upkeep takes the snapshot
	}
	return held
}

func checkHeld(t *testing.T, s *allocator.Store, held map[int]netip.Addr) {
	t.Helper()
	for n, ip := range held {
		leases, err := s.Check(owner(n))
		if err != nil || leases[0].IP != ip {
			t.Errorf("c%d holds %v, %v, want %s", n, leases, err, ip)
		}
	}
}

func TestUpkeep(t *testing.T) {
	s := newBusyStore(t)
	held := churn(t, s, 7*allocator.SnapshotEvents/2)
	snaps, err := os.ReadDir(filepath.Join(s.Dir(), "snap"))
	if err != nil || len(snaps) != allocator.KeptSnapshots {
		t.Fatalf("%d snapshots, %v, want %d", len(snaps), err, allocator.KeptSnapshots)
	}
	live, err := os.ReadDir(filepath.Join(s.Dir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	archived, err := os.ReadDir(filepath.Join(s.Dir(), "archive"))
	if err != nil || len(archived) == 0 {
		t.Fatalf("nothing archived, %v", err)
	}
	if len(live) > 12 {
		t.Errorf("%d segments left in journal/", len(live))
	}
	checkHeld(t, s, held)
	if n := len(events(t, s)); n < 3*allocator.SnapshotEvents {
		t.Errorf("%d events left of the history", n)
	}
}

// TestDamagedSnapshots: the one before is used, and without any the whole journal is; it is said.
func TestDamagedSnapshots(t *testing.T) {
	s := newBusyStore(t)
	held := churn(t, s, 5*allocator.SnapshotEvents/2)
	folder := filepath.Join(s.Dir(), "snap")
	for round, hurt := range []func(b []byte) []byte{
		func(b []byte) []byte { // every block but the header: noticed only when a decision reads one
			for i := 4096; i < len(b); i += 4096 {
				b[i+200] ^= 1
			}
			return b
		},
		func(b []byte) []byte { b[100] ^= 1; return b },                   // header
		func(b []byte) []byte { return b[:len(b)-4096] },                  // too short
		func(b []byte) []byte { b[len(b)/2] ^= 0x80; return b },           // a block that a lookup may meet
		func(b []byte) []byte { return make([]byte, len(b)) },             // zeros
		func(b []byte) []byte { b[4096+200] ^= 0x10; return b },           // first data block
		func(b []byte) []byte { b[len(b)-4000] ^= 1; return b },           // last block
		func(b []byte) []byte { return append(b, make([]byte, 4096)...) }, // too long
	} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(folder, e.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, hurt(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		checkHeld(t, s, held)
		n := 10_000 + round
		ip := add(t, s, n)
		for m, other := range held {
			if other == ip {
				t.Fatalf("round %d: %s of c%d was given to c%d", round, ip, m, n)
			}
		}
		held[n] = ip
		checkHeld(t, s, held)
	}
	repairs := 0
	for _, ev := range events(t, s) {
		if ev.Kind == journal.KindRepair && strings.HasSuffix(ev.Cut.File, ".snap") {
			if _, err := os.Stat(filepath.Join(s.Dir(), "quarantine", ev.Cut.Quarantine)); err != nil {
				t.Error(err)
			}
			repairs++
		}
	}
	if repairs == 0 {
		t.Error("no event tells of a damaged snapshot")
	}
}

// TestDamageMetByADecision: damage that loading does not meet, only the question who holds what.
func TestDamageMetByADecision(t *testing.T) {
	s := newBusyStore(t)
	add(t, s, 1)
	bulk(t, s, allocator.SnapshotEvents)
	add(t, s, 7) // the last event before the snapshot: loading a later one would read blocks too
	snaps, err := filepath.Glob(filepath.Join(s.Dir(), "snap", "*.snap"))
	if err != nil || len(snaps) != 1 {
		t.Fatalf("snapshots %v, %v", snaps, err)
	}
	b, err := os.ReadFile(snaps[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i += 4096 {
		b[i+200] ^= 1
	}
	if err := os.WriteFile(snaps[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	release(t, s, 7)
	if _, err := s.Check(owner(7)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("after DEL: %v, want ErrNoLease", err)
	}
	if evs := events(t, s); evs[len(evs)-2].Kind != journal.KindRepair {
		t.Errorf("the damage was not told: %s", evs[len(evs)-2].Kind)
	}
}

// TestOddSnapshots: what only looks like a snapshot is set aside.
func TestOddSnapshots(t *testing.T) {
	const name = "00000000000000000099.snap"
	for kind, put := range map[string]func(path string) error{
		"dangling link": func(path string) error { return os.Symlink("nowhere", path) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"empty":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(kind, func(t *testing.T) {
			s := newStore(t)
			add(t, s, 1)
			if err := put(filepath.Join(s.Dir(), "snap", name)); err != nil {
				t.Fatal(err)
			}
			if err := s.Status(nil); err != nil && kind != "dangling link" {
				t.Errorf("STATUS: %v", err)
			}
			add(t, s, 2)
			if _, err := s.Check(owner(1)); err != nil {
				t.Errorf("CHECK: %v", err)
			}
		})
	}
}

// TestSnapshotThatNobodyReads: damage that no decision meets must not keep the next snapshot from being taken.
func TestSnapshotThatNobodyReads(t *testing.T) {
	s := newBusyStore(t)
	churn(t, s, 2*allocator.SnapshotEvents)
	snaps, err := filepath.Glob(filepath.Join(s.Dir(), "snap", "*.snap"))
	if err != nil || len(snaps) != 2 {
		t.Fatalf("snapshots %v, %v", snaps, err)
	}
	newest := snaps[1]
	b, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	b[3*4096+200] ^= 1 // a block of leases of other attachments
	if err := os.WriteFile(newest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		bulk(t, s, allocator.SnapshotEvents)
		add(t, s, 9000+n)
	}
	if _, err := os.Stat(newest); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the damaged snapshot is still there")
	}
	snaps, err = filepath.Glob(filepath.Join(s.Dir(), "snap", "*.snap"))
	if err != nil || len(snaps) == 0 || snaps[len(snaps)-1] < newest {
		t.Errorf("no newer snapshot: %v, %v", snaps, err)
	}
}

func TestStatus(t *testing.T) {
	s := newStore(t)
	if err := s.Status(nil); err != nil {
		t.Errorf("no store yet: %v", err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Error("STATUS made something")
	}
	small := allocator.AddRequest{Request: allocator.Request{Sets: mustSets(t, "10.9.0.0/30")}}
	small.Owner = owner(1)
	if _, err := s.Add(small); err != nil {
		t.Fatal(err)
	}
	if err := s.Status(nil); err != nil {
		t.Errorf("a full range counts only when asked for: %v", err)
	}
	if err := s.Status(small.Sets); !errors.Is(err, allocator.ErrExhausted) {
		t.Errorf("full range: %v, want ErrExhausted", err)
	}
	if err := s.Status(mustSets(t, "10.8.0.0/30", "2001:db8::/126")); err != nil {
		t.Errorf("free ranges: %v", err)
	}
	if err := newStore(t).Status(mustSets(t, "10.9.0.0/30")); err != nil {
		t.Errorf("free range without a store: %v", err)
	}
}

func TestStatusOfDamage(t *testing.T) {
	tests := []struct {
		name   string
		hurt   func(b []byte) []byte
		damage bool
	}{
		{"bit", func(b []byte) []byte { b[50] ^= 1; return b }, true},
		{"junk after the end", func(b []byte) []byte { return append(b, strings.Repeat("junk", 75)...) }, true},
		{"torn tail", func(b []byte) []byte { return append(b, make([]byte, 600)...) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			add(t, s, 1)
			segment := filepath.Join(s.Dir(), "journal", "00000000000000000001")
			b, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(segment, tt.hurt(b), 0o600); err != nil {
				t.Fatal(err)
			}
			var damage *journal.CorruptionError
			if err := s.Status(nil); errors.As(err, &damage) != tt.damage {
				t.Errorf("STATUS: %v", err)
			}
			if _, err := s.Add(request(t, 2)); errors.As(err, &damage) != tt.damage {
				t.Errorf("ADD: %v", err)
			}
		})
	}
}

// TestMissingFolders: folders that hold nothing that leases need are made again.
func TestMissingFolders(t *testing.T) {
	for _, name := range []string{"snap", "archive", "quarantine"} {
		t.Run(name, func(t *testing.T) {
			s := newBusyStore(t)
			add(t, s, 0)
			if err := os.RemoveAll(filepath.Join(s.Dir(), name)); err != nil {
				t.Fatal(err)
			}
			segment := filepath.Join(s.Dir(), "journal", "00000000000000000001")
			f, err := os.OpenFile(segment, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, 600)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			add(t, s, 1)
			for n := range 2 {
				bulk(t, s, allocator.SnapshotEvents)
				add(t, s, 2+n)
			}
			if entries, err := os.ReadDir(filepath.Join(s.Dir(), name)); err != nil || len(entries) == 0 {
				t.Errorf("%d files in %s/, %v", len(entries), name, err)
			}
		})
	}
	s := newStore(t)
	add(t, s, 0)
	if err := os.RemoveAll(filepath.Join(s.Dir(), "journal")); err != nil {
		t.Fatal(err)
	}
	var damage *journal.CorruptionError
	if _, err := s.Add(request(t, 1)); !errors.As(err, &damage) {
		t.Errorf("without journal/: %v, want damage", err)
	}
}

func TestTooLarge(t *testing.T) {
	s := newStore(t)
	r := request(t, 1)
	r.Owner.ContainerID = strings.Repeat("c", 5000)
	if _, err := s.Add(r); !errors.Is(err, allocator.ErrIDTooLong) {
		t.Errorf("got %v, want ErrIDTooLong", err)
	}
	var subnets []string
	for i := range 250 {
		subnets = append(subnets, fmt.Sprintf("2001:db8:%x::/64", i))
	}
	r = request(t, 1)
	r.Sets = mustSets(t, subnets...)
	if _, err := s.Add(r); !errors.Is(err, allocator.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if ok, err := s.Exists(); ok || err != nil {
		t.Errorf("a store was made: %t, %v", ok, err)
	}
	r.Sets, r.Owner.ContainerID = mustSets(t, "10.1.0.0/16"), strings.Repeat("c", 3000)
	if _, err := s.Add(r); err != nil {
		t.Errorf("3,000 bytes of container ID: %v", err)
	}
}

// TestConcurrentStores runs many stores on one network, each as a process would.
func TestConcurrentStores(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	seen := map[netip.Addr]int{}
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			s := storeIn(dir)
			c, err := s.Add(request(t, n))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, ok := seen[c.Addresses[0].IP]; ok {
				t.Errorf("%s was given to c%d and c%d", c.Addresses[0].IP, other, n)
			}
			seen[c.Addresses[0].IP] = n
		})
	}
	wg.Wait()
	if len(seen) != 40 {
		t.Errorf("%d addresses, want 40", len(seen))
	}
}
