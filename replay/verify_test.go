package replay_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// busyStore makes a store with two snapshots and archived segments, in memory where there is a folder for it.
func busyStore(t *testing.T) (dir, folder string) {
	t.Helper()
	root := inMemory(t)
	dir = filepath.Join(root, ".leaselog", "net")
	s := storeAt(root)
	for n := range 3 { // a snapshot is taken from 1,024 events on
		cycle(t, s, n)
		bulk(t, dir, 1100)
		cycle(t, s, n+10)
	}
	cycle(t, s, 20)
	return dir, filepath.Join(root, "net")
}

// inMemory returns a folder of the test's own.
func inMemory(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "leaselog")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

// bulk appends n adds of other attachments in large batches.
func bulk(t *testing.T, dir string, n int) {
	t.Helper()
	j, err := journal.Open(dir, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for n > 0 {
		var events []*journal.Event
		for i := range min(n, 64) {
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

func storeAt(root string) *allocator.Store {
	return allocator.NewStore(allocator.Options{Network: "net", DataDir: root, LockTimeout: 10 * time.Second, Version: "test"})
}

// cycle adds an attachment, and sometimes releases an older one.
func cycle(t testing.TB, s *allocator.Store, n int) {
	sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix("10.1.0.0/16")}}})
	if err != nil {
		t.Error(err)
	}
	who := func(n int) state.Attachment {
		return state.Attachment{ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"}
	}
	if _, err := s.Add(allocator.AddRequest{Request: allocator.Request{Owner: who(n), Sets: sets}}); err != nil {
		t.Error(err)
	}
	if n%3 == 0 {
		if err := s.Del(allocator.DelRequest{Owner: who(n / 2)}); err != nil {
			t.Error(err)
		}
	}
	s.Maintain()
}

// names returns the files of a store's subfolder, oldest first.
func names(t testing.TB, dir, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, filepath.Join(dir, folder, e.Name()))
	}
	return all
}

func edit(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(bytes.Clone(b)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flipAt(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
}

func TestVerify(t *testing.T) {
	dir, folder := busyStore(t)
	clean, err := replay.Verify(dir, folder)
	if err != nil || !clean.Clean() || !clean.Live {
		t.Fatalf("undamaged: %+v, %v", clean, err)
	}
	if clean.Snapshots != 2 || clean.Events < 2*1024 || len(names(t, dir, "archive")) == 0 || len(names(t, dir, "journal")) < 2 {
		t.Fatalf("%d snapshots, %d events, archive %d: not what this test is about", clean.Snapshots, clean.Events, len(names(t, dir, "archive")))
	}
	archived, live, snaps := names(t, dir, "archive"), names(t, dir, "journal"), names(t, dir, "snap")
	newest := live[len(live)-1]
	for _, test := range []struct {
		name     string
		path     string
		damage   func(path string)
		severity replay.Severity
		file     string // below the store's folder
		what     string
	}{
		{"archived segment flipped", archived[0], func(p string) { edit(t, p, flipAt(500)) }, replay.SeverityHistory, "archive/", "checksum"},
		{"archived segment missing", archived[1], func(p string) { remove(t, p) }, replay.SeverityHistory, "archive/", "are lost"},
		{"archived segment cut short", archived[0], func(p string) { edit(t, p, func(b []byte) []byte { return b[:len(b)/2] }) }, replay.SeverityHistory, "archive/", "lost"},
		{"newest segment flipped", newest, func(p string) { edit(t, p, flipAt(-100)) }, replay.SeverityDamage, "journal/", "checksum"},
		{"newest segment emptied", newest, func(p string) { edit(t, p, func([]byte) []byte { return nil }) }, replay.SeverityDamage, "journal", "acknowledged"},
		{"junk behind the end", newest, func(p string) {
			edit(t, p, func(b []byte) []byte { return append(b, bytes.Repeat([]byte("junk"), 60)...) })
		},
			replay.SeverityDamage, "journal/", "last byte"},
		{"newest snapshot flipped", snaps[1], func(p string) { edit(t, p, flipAt(-2000)) }, replay.SeverityHistory, "snap/", "checksum"},
		{"older snapshot cut", snaps[0], func(p string) { edit(t, p, func(b []byte) []byte { return b[:4096] }) }, replay.SeverityHistory, "snap/", "bytes"},
		{"snapshot of other events", snaps[1], func(p string) { forgeSnapshot(t, p) }, replay.SeverityDamage, "snap/", "not what the events lead to"},
		{"META rotten", filepath.Join(dir, "META"), func(p string) { edit(t, p, flipAt(40)) }, replay.SeverityDamage, "META", ""},
		{"META missing", filepath.Join(dir, "META"), func(p string) { remove(t, p) }, replay.SeverityDamage, "META", "missing"},
		{"lock missing", filepath.Join(dir, "lock"), func(p string) { remove(t, p) }, replay.SeverityDamage, "lock", "missing"},
		{"marker rotten", filepath.Join(dir, "lock"), func(p string) { edit(t, p, flipAt(30)) }, replay.SeverityHistory, "lock", "marker"},
		{"stray file", filepath.Join(dir, "journal", "notes"), func(p string) { put(t, p, "x") }, replay.SeverityDamage, "journal/notes", "not a segment"},
		{"claim rotten", filepath.Join(folder, journal.ClaimName), func(p string) { put(t, p, "rotten") }, replay.SeverityDamage, journal.ClaimName, "journal ID"},
		{"claim of another journal", filepath.Join(folder, journal.ClaimName), func(p string) { put(t, p, journal.ID{9}.String()+"\n/elsewhere\n") },
			replay.SeverityDamage, journal.ClaimName, "/elsewhere"},
		{"claim missing", filepath.Join(folder, journal.ClaimName), func(p string) { remove(t, p) }, replay.SeverityNote, journal.ClaimName, "missing"},
		{"a segment there twice, differently", filepath.Join(dir, "archive", filepath.Base(live[0])), func(p string) {
			b, err := os.ReadFile(live[0])
			if err != nil {
				t.Fatal(err)
			}
			put(t, p, string(b)+"x")
		}, replay.SeverityDamage, "archive/", "differs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			was, missing := os.ReadFile(test.path)
			test.damage(test.path)
			defer func() {
				if missing != nil {
					remove(t, test.path)
				} else {
					put(t, test.path, string(was))
				}
			}()
			v, err := replay.Verify(dir, folder)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(v.Findings, func(f replay.Finding) bool {
				return f.Severity == test.severity && strings.Contains(f.File, test.file) && strings.Contains(f.What, test.what)
			}) {
				t.Errorf("got %+v, want %s of %s with %q", v.Findings, test.severity, test.file, test.what)
			}
			if v.Clean() != (test.severity == replay.SeverityNote) {
				t.Errorf("clean: %v", v.Clean())
			}
			for _, f := range v.Findings {
				if f.Severity != replay.SeverityNote && (f.What == "" || f.Affects == "") {
					t.Errorf("%+v: does not say what is affected", f)
				}
			}
		})
	}
	if v, err := replay.Verify(dir, folder); err != nil || !v.Clean() {
		t.Errorf("everything put back: %+v, %v", v, err)
	}
}

// forgeSnapshot writes a snapshot that is whole, and claims another lease than the events gave.
func forgeSnapshot(t *testing.T, path string) {
	t.Helper()
	snap, err := state.OpenSnapshot(path, journal.ID{})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	st := state.Over(snap)
	var first state.Lease
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		first = l
		break
	}
	forged := state.New()
	for seq := journal.Seq(1); seq < snap.Seq(); seq++ {
		if err := forged.Apply(&journal.Event{Seq: seq, Kind: 100}); err != nil {
			t.Fatal(err)
		}
	}
	if err := forged.Apply(&journal.Event{Seq: snap.Seq(), Kind: journal.KindAdd, ContainerID: "forged", Addresses: []journal.Address{first.Address}}); err != nil {
		t.Fatal(err)
	}
	forged.SetHead(snap.Head())
	if _, err := state.WriteSnapshot(filepath.Dir(path), snap.ID(), snap.Network(), forged); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyWhileCallsGoOn finds nothing on a store that calls work on, with snapshots taken and segments
// moved to the archive meanwhile.
func TestVerifyWhileCallsGoOn(t *testing.T) {
	root := inMemory(t)
	const workers = 8
	const events = 500 + 900/everyNth // snapshots and archived segments come with more than a thousand
	var done atomic.Int64
	var group sync.WaitGroup
	cycle(t, storeAt(root), 0)
	for w := range workers {
		group.Go(func() {
			s := storeAt(root)
			for n := 1; done.Add(1) < events; n++ {
				cycle(t, s, (w+1)*100_000+n)
			}
		})
	}
	dir, folder := filepath.Join(root, ".leaselog", "net"), filepath.Join(root, "net")
	looks := 0
	for done.Load() < events {
		v, err := replay.Verify(dir, folder)
		if err != nil || !v.Clean() || !v.Live {
			t.Errorf("got %+v, %v", v, err)
		}
		looks++
	}
	group.Wait()
	t.Logf("%d looks", looks)
	if looks < 3 {
		t.Errorf("only %d looks, so this test shows less than it means to", looks)
	}
}

// TestSuccessorIsUncertain asks about the leases of a journal that lost events.
func TestSuccessorIsUncertain(t *testing.T) {
	root := t.TempDir()
	s := storeAt(root)
	for _, n := range []int{1, 2, 4, 5, 7} { // none of which is released
		cycle(t, s, n)
	}
	dir := filepath.Join(root, ".leaselog", "net")
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(4) { // that of c4
		if err != nil || rec.Event.Kind != journal.KindAdd {
			t.Fatal(rec.Event, err)
		}
		edit(t, filepath.Join(dir, rec.File), flipAt(int(rec.Offset)+80))
		break
	}
	if m, err := s.Repair(true, true); err != nil || !m.Succeeds() {
		t.Fatal(m, err)
	}
	if r, err = journal.OpenReader(dir); err != nil {
		t.Fatal(err)
	}
	h, err := replay.Read(r.Records(0), replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, iv := range h.Intervals {
		got = append(got, fmt.Sprintf("%s %s", iv.Lease.ContainerID, iv.Certainty))
		if iv.Certainty == replay.Uncertain && !slices.ContainsFunc(iv.Doubts, func(d string) bool { return strings.Contains(d, "are lost, at most 1") }) {
			t.Errorf("%s: doubts %q", iv.Lease.ContainerID, iv.Doubts)
		}
	}
	if want := "c1 uncertain, c2 uncertain, c5 certain, c7 certain"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
	// Nobody holds the lost attachment's address as far as is known: that must not look certain.
	a := h.Between(time.Time{}, time.Time{}, time.Now())
	if a.Certainty != replay.Uncertain {
		t.Errorf("certainty %s, doubts %q", a.Certainty, a.Doubts)
	}
	kept, err := replay.Verify(filepath.Join(dir, "archive", h.Origin.Parent.String()), "")
	if err != nil || kept.Clean() {
		t.Fatal(kept, err)
	}
	for _, f := range kept.Findings {
		if f.Severity == replay.SeverityDamage || f.Do != "" {
			t.Errorf("of a store kept as evidence: %+v", f)
		}
	}
}

// TestVerifyForeignCourse swaps the newest segment for one of the same journal that went another way, as a
// copy that was written to leaves it. Each event is whole there; the chain tells.
func TestVerifyForeignCourse(t *testing.T) {
	dir, folder := busyStore(t)
	live := names(t, dir, "journal")
	newest := live[len(live)-1]
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	var segment, record []byte
	for p, err := range journal.Salvage(dir, meta, 0) {
		if err != nil || p.Loss != nil {
			t.Fatal(err, p.Loss)
		}
		if p.File != filepath.Join("journal", filepath.Base(newest)) {
			continue
		}
		ev := p.Event
		ev.Prev = journal.Hash{1}
		if record != nil {
			ev.Prev = journal.RecordHash(record)
		}
		if record, err = journal.AppendRecord(nil, meta.ID, &ev); err != nil {
			t.Fatal(err)
		}
		segment = append(binary.AppendUvarint(segment, uint64(len(record))), record...)
	}
	put(t, newest, string(segment))
	remove(t, filepath.Join(dir, "lock")) // the marker would know, too
	v, err := replay.Verify(dir, folder)
	if err != nil || !slices.ContainsFunc(v.Findings, func(f replay.Finding) bool { return strings.Contains(f.What, "another hash") }) {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestConfirm has looks at a store in use find something each, and counts what two in a row have found.
func TestConfirm(t *testing.T) {
	for _, test := range []struct {
		name  string
		looks []string // a letter for each finding; the last look is repeated
		want  string
	}{
		{"clean", []string{""}, ""},
		{"fleeting", []string{"a", ""}, ""},
		{"damage", []string{"a", "a"}, "a"},
		{"fleeting beside damage", []string{"ab", "a"}, "a"},
		{"one after the other", []string{"a", "b", ""}, ""},
		{"damage while others come and go", []string{"ab", "ac", "ad", "ae", "af", "ag"}, "a"},
		{"damage that comes late", []string{"a", "b", "b"}, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			v, err := replay.Confirm(func() (*replay.Verified, error) {
				v := &replay.Verified{Live: true}
				for _, c := range test.looks[min(n, len(test.looks)-1)] {
					v.Findings = append(v.Findings, replay.Finding{Severity: replay.SeverityDamage, File: string(c)})
				}
				n++
				return v, nil
			})
			got := ""
			for _, f := range v.Findings {
				got += f.File
			}
			if err != nil || got != test.want {
				t.Errorf("after %d looks: got %q, %v, want %q", n, got, err, test.want)
			}
		})
	}
}

// TestUnsettled has a successor's lost events matter until the next boot, or a reset.
func TestUnsettled(t *testing.T) {
	for _, test := range []struct {
		name string
		next journal.Event
		want bool
	}{
		{"the same boot", journal.Event{Kind: journal.KindDel, ContainerID: "c", Clock: journal.Clock{Wall: 2e9, Boot: journal.BootID{1}}}, true},
		{"the next boot", journal.Event{Kind: journal.KindDel, ContainerID: "c", Clock: journal.Clock{Wall: 2e9, Boot: journal.BootID{2}}}, false},
		{"a reset", journal.Event{Kind: journal.KindReset, Clock: journal.Clock{Wall: 2e9, Boot: journal.BootID{1}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			genesis := journal.Event{Seq: 1, Kind: journal.KindGenesis, Clock: journal.Clock{Wall: 1e9, Boot: journal.BootID{1}},
				Attributes: []journal.Attribute{{Key: journal.AttributeLost, Value: "3"}}}
			test.next.Seq = 2
			h, err := replay.Read(func(yield func(journal.Record, error) bool) {
				_ = yield(journal.Record{Event: genesis}, nil) && yield(journal.Record{Event: test.next}, nil)
			}, replay.Options{})
			if err != nil || h.Stopped != nil {
				t.Fatal(err, h.Stopped)
			}
			if got := h.Unsettled(h.Last.Effective) != ""; got != test.want {
				t.Errorf("unsettled: %v, want %v", got, test.want)
			}
			if h.Unsettled(time.Time{}) == "" {
				t.Error("asked about all of the past: settled")
			}
		})
	}
}
