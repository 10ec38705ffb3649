package rot_test

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Names below a store's root, which is the data folder.
const (
	claimFile   = "net/leaselog"
	storeDir    = ".leaselog/net/"
	metaFile    = storeDir + "META"
	lockFile    = storeDir + "lock"
	journalDir  = storeDir + "journal"
	archiveDir  = storeDir + "archive"
	snapDir     = storeDir + "snap"
	quarDir     = storeDir + "quarantine"
	reserveFile = storeDir + "reserve"
	nextFile    = storeDir + "next"
	snapLock    = storeDir + "snap.lock"
	createLock  = ".leaselog/.lock"
)

// The store's shape. The calls write all events into one segment; how they are spread over segments
// makes no difference to their bytes, so the builder cuts that one into as many as are wanted.
const (
	lastEvent     = 22
	olderSnapshot = 12 // within the first segment of journal/
	newerSnapshot = 16 // within the second: a call passes over a part of it
)

var (
	archived = []journal.Seq{1, 6}       // first events of the segments in archive/
	live     = []journal.Seq{11, 15, 19} // of those in journal/
)

// Attachments of the store.
var (
	gone     = state.Attachment{ContainerID: "a1", IfName: "eth0"}                          // its lease ended with the reset
	released = state.Attachment{ContainerID: "b1", IfName: "eth0"}                          // by DEL
	based    = state.Attachment{ContainerID: strings.Repeat("c0ffee42", 8), IfName: "eth0"} // held, in the newer snapshot
	swept    = state.Attachment{ContainerID: "b3", IfName: "eth0"}                          // by GC
	recent   = state.Attachment{ContainerID: "b4", IfName: "net1"}                          // held, in the journal alone
	newest   = state.Attachment{ContainerID: "b5", IfName: "eth0"}                          // held by the last event
	legacy   = state.Attachment{ContainerID: "old", IfName: "eth0"}                         // held by an import without an interface name
	coming   = state.Attachment{ContainerID: "new", IfName: "eth0"}                         // asks for addresses after the damage
)

// asked are the attachments that CHECK is asked about.
var asked = []state.Attachment{released, based, swept, recent, newest, legacy, coming}

// entry is an event where the undamaged store has it.
type entry struct {
	ev       journal.Event
	raw      []byte // the record
	file     string
	from, to int // of the entry in file, its length included
}

func (e *entry) prefix() int { return e.to - e.from - len(e.raw) }

// fixture is the undamaged store in memory.
type fixture struct {
	id      journal.ID
	files   map[string][]byte // by name below the root
	names   []string          // of the files, sorted
	dirs    []string
	entries []entry // of events 1 to lastEvent
	dual    []allocator.RangeSet
}

func (f *fixture) entry(seq journal.Seq) *entry { return &f.entries[seq-1] }

// in returns the entries of a segment, in order.
func (f *fixture) in(file string) []entry {
	from := slices.IndexFunc(f.entries, func(e entry) bool { return e.file == file })
	to := from
	for to < len(f.entries) && f.entries[to].file == file {
		to++
	}
	return f.entries[from:to]
}

func segmentFile(first journal.Seq) string {
	dir := journalDir
	if slices.Contains(archived, first) {
		dir = archiveDir
	}
	return fmt.Sprintf("%s/%020d", dir, uint64(first))
}

func newestSegment() string { return segmentFile(live[len(live)-1]) }

func snapshotFile(seq journal.Seq) string { return snapDir + "/" + state.SnapshotName(seq) }

// tempRoot returns a folder in memory, where the system has one: nothing here depends on how long
// a sync takes.
func tempRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaselog-rot")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func storeAt(root string, warn func(string)) *allocator.Store {
	return allocator.NewStore(allocator.Options{Network: "net", DataDir: root, LockTimeout: 5 * time.Second, Version: "rot", Warn: warn})
}

func sets(t testing.TB, subnets ...string) []allocator.RangeSet {
	t.Helper()
	var all []allocator.RangeSet
	for _, s := range subnets {
		all = append(all, allocator.RangeSet{{Subnet: netip.MustParsePrefix(s)}})
	}
	all, err := allocator.Canonical(all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// builder makes the store's history through the packages that make it in life.
type builder struct {
	t     testing.TB
	root  string
	store *allocator.Store
}

func (b *builder) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) add(owner state.Attachment, call int, of []allocator.RangeSet, ips ...string) error {
	r := allocator.AddRequest{Request: allocator.Request{Owner: owner, Sets: of}, CallSets: call, NetNS: "/var/run/netns/" + owner.IfName,
		Pod: journal.Pod{Namespace: "default", Name: "pod-" + owner.ContainerID[:2], UID: "0b58ac39-9bd9-4de1-a421-3fc1d0a5be4f"}}
	for _, ip := range ips {
		r.IPs = append(r.IPs, netip.MustParseAddr(ip))
	}
	_, err := b.store.Add(r)
	return err
}

func (b *builder) del(owner state.Attachment) {
	b.must(b.store.Del(allocator.DelRequest{Owner: owner}))
}

// record appends events that no verb of the plugin writes.
func (b *builder) record(events ...*journal.Event) {
	j, err := journal.Open(filepath.Join(b.root, storeDir), time.Now().Add(5*time.Second))
	b.must(err)
	b.must(j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }))
	b.must(j.Append(events...))
	b.must(j.Close())
}

// tear leaves what an append cut short leaves, for the next call to repair.
func (b *builder) tear() {
	f, err := os.OpenFile(filepath.Join(b.root, journalDir, fmt.Sprintf("%020d", 1)), os.O_WRONLY|os.O_APPEND, 0)
	b.must(err)
	_, err = f.Write(make([]byte, 40))
	b.must(err)
	b.must(f.Close())
}

func addresses(ips ...string) []journal.Address {
	var as []journal.Address
	for _, ip := range ips {
		as = append(as, journal.Address{IP: netip.MustParseAddr(ip), Bits: 24})
	}
	return as
}

// history makes events 1 to lastEvent: every kind, with ranges of the configuration and of the
// call, one and two families, every reason that the plugin gives, and a kind that may be skipped.
func (b *builder) history(dual []allocator.RangeSet) {
	single := sets(b.t, "10.9.0.0/24")
	b.must(b.add(gone, 0, dual))                                                    // 1 genesis, 2 config, 3 add
	b.must(b.add(state.Attachment{ContainerID: "a2", IfName: "eth0"}, 1, dual))     // 4 config, 5 add
	b.del(state.Attachment{ContainerID: "ghost", IfName: "eth0"})                   // 6 del of nothing
	b.record(&journal.Event{Kind: journal.KindRelease, Reason: journal.ReasonForce, // 7 release
		ContainerID: gone.ContainerID, IfName: gone.IfName, Addresses: addresses("10.9.0.2")})
	b.must(os.RemoveAll(filepath.Join(b.root, "net")))
	b.must(b.add(released, 0, single)) // 8 reset, 9 config, 10 add
	b.record(&journal.Event{Kind: journal.KindImport, Addresses: addresses("10.9.0.77"), Blocked: true},
		&journal.Event{Kind: journal.KindImport, ContainerID: legacy.ContainerID, Addresses: addresses("10.9.0.78"), Claimed: 1e18})
	if err := b.add(released, 0, single); err == nil { // 13 refuse
		b.t.Fatal("a duplicate ADD was not refused")
	}
	b.must(b.add(based, 0, dual))                         // 14 add
	b.record(&journal.Event{Kind: 70})                    // 15 a note that may be skipped
	b.del(released)                                       // 16 del
	b.must(b.add(swept, 0, dual))                         // 17 add
	b.must(b.store.GC([]state.Attachment{based, legacy})) // 18 del, reason gc
	b.tear()
	b.must(b.add(recent, 0, dual))                                // 19 repair, 20 add
	if err := b.add(newest, 0, single, "10.9.0.77"); err == nil { // 21 refuse
		b.t.Fatal("an ADD of a held address was not refused")
	}
	b.must(b.add(newest, 0, single, "10.9.0.99")) // 22 add
}

var wantKinds = "genesis config add config add del release reset config add import import refuse add kind(70) del add del repair add refuse add"

// newFixture builds the store and reads it into memory.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	root := tempRoot(t)
	f := &fixture{files: map[string][]byte{}, dual: sets(t, "10.9.0.0/24", "2001:db8:9::/64")}
	b := &builder{t: t, root: root, store: storeAt(root, func(string) {})}
	b.history(f.dual)
	f.readEvents(t, root)
	f.writeSnapshots(t, root)
	b.must(os.WriteFile(filepath.Join(root, snapLock), nil, 0o600))
	b.must(os.WriteFile(filepath.Join(root, nextFile), nil, 0o600))
	b.must(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			f.dirs = append(f.dirs, name)
			return nil
		}
		f.files[name], err = os.ReadFile(path)
		return err
	}))
	f.splitSegment(t)
	for name := range f.files {
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	return f
}

func (f *fixture) readEvents(t testing.TB, root string) {
	t.Helper()
	r, err := journal.OpenReader(filepath.Join(root, storeDir))
	if err != nil {
		t.Fatal(err)
	}
	f.id = r.Meta().ID
	var kinds []string
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		f.entries = append(f.entries, entry{ev: rec.Event, raw: slices.Clone(rec.Raw)})
		kinds = append(kinds, rec.Event.Kind.String())
	}
	if got := strings.Join(kinds, " "); got != wantKinds || len(kinds) != lastEvent {
		t.Fatalf("the store was built with events\n%s, want\n%s", got, wantKinds)
	}
}

// splitSegment spreads the entries of the one segment over those of the fixture.
func (f *fixture) splitSegment(t testing.TB) {
	t.Helper()
	built := journalDir + fmt.Sprintf("/%020d", 1)
	whole := f.files[built]
	delete(f.files, built)
	var joined []byte
	file := ""
	for i := range f.entries {
		e := &f.entries[i]
		if slices.Contains(archived, e.ev.Seq) || slices.Contains(live, e.ev.Seq) {
			file = segmentFile(e.ev.Seq)
		}
		content := f.files[file]
		e.file, e.from = file, len(content)
		content = append(binary.AppendUvarint(content, uint64(len(e.raw))), e.raw...)
		e.to = len(content)
		f.files[file] = content
		joined = append(joined, content[e.from:]...)
	}
	if !slices.Equal(joined, whole) {
		t.Fatal("the segments do not hold the bytes that were appended")
	}
}

// writeSnapshots takes the two snapshots as the plugin would have.
func (f *fixture) writeSnapshots(t testing.TB, root string) {
	t.Helper()
	for _, seq := range []journal.Seq{olderSnapshot, newerSnapshot} {
		st := f.fold(t, seq)
		if _, err := state.WriteSnapshot(filepath.Join(root, snapDir), f.id, "net", st); err != nil {
			t.Fatal(err)
		}
	}
}

// fold returns the state after an event, without any file.
func (f *fixture) fold(t testing.TB, seq journal.Seq) *state.State {
	t.Helper()
	st := state.New()
	for i := range f.entries[:seq] {
		if err := st.Apply(&f.entries[i].ev); err != nil {
			t.Fatal(err)
		}
		st.SetHead(journal.RecordHash(f.entries[i].raw))
	}
	return st
}

// leases are all leases of a state in order of address.
func leases(t testing.TB, st *state.State) []state.Lease {
	t.Helper()
	var all []state.Lease
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}
