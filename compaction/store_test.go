package compaction_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// leases is how many leases the stores of these tests hold; each ADD beyond gives the place of the oldest one.
const leases = 40

// store is a store under test.
type store struct {
	t   testing.TB
	job compaction.Job
	dir string
	raw [][]byte // records, by event

	despite bool // prune in spite of lost holds
}

// newStore makes a store of n events that no call has used yet, with snapshots of two events from covered on, and the segments that
// the older one covers in the archive.
//
// Stores with the same salt have the same events, and all are of the same journal.
func newStore(t testing.TB, n int, covered journal.Seq, salt ...string) *store {
	t.Helper()
	root := t.TempDir()
	clock := journal.Clock{Wall: 1_700_000_000_000_000_000, BootTime: 5_000_000_000, Boot: journal.BootID{1}, Synchronised: true}
	genesis := &journal.Event{Clock: clock, Origin: journal.Origin{Journal: journal.ID{7, 1}, Node: "node"}}
	b, err := journal.NewBuilder(filepath.Join(root, "history"), journal.NewStore{Network: "net", DataDir: filepath.Join(root, "data"), Version: "test", AllowNetworkFS: true,
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }}, genesis, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	st := state.New()
	if err := st.Apply(genesis); err != nil {
		t.Fatal(err)
	}
	for i := range n - 1 {
		clock.Wall, clock.BootTime = clock.Wall+3_000_000_123, clock.BootTime+3_000_000_123
		ev := event(i, salt...)
		ev.Clock = clock
		if err := errors.Join(b.Append(ev), st.Apply(ev)); err != nil {
			t.Fatal(err)
		}
		if ev.Seq == covered || ev.Seq == covered+100 {
			st.SetHead(b.Head())
			if _, err := state.WriteSnapshot(b.SnapDir(), b.ID(), "net", st); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Finish(covered); err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, dir: filepath.Join(root, "history", "net"), job: compaction.Job{Limits: compaction.Limits{MaxEvents: 1000, MergeBelow: 400},
		Store: allocator.Options{Network: "net", DataDir: filepath.Join(root, "data"), HistoryDir: filepath.Join(root, "history"), Version: "test", AllowNetworkFS: true}}}
	s.raw = s.read()
	return s
}

// event is the i-th event of an endless story: ADDs, and from some time on a DEL between two of them.
func event(i int, salt ...string) *journal.Event {
	kind, n := journal.KindAdd, i
	if i >= leases {
		n = leases + (i-leases)/2
		if i%2 == 0 {
			kind, n = journal.KindDel, n-leases
		}
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(n, salt)))
	ev := &journal.Event{Kind: kind, ContainerID: hex.EncodeToString(sum[:]), IfName: "eth0", NetNS: fmt.Sprintf("/run/netns/cni-%x", sum[:8]),
		Addresses: []journal.Address{{IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(n % leases)}), Bits: 24, Gateway: netip.AddrFrom4([4]byte{10, 0, 0, 254})}}}
	if kind == journal.KindDel {
		ev.Reason = journal.ReasonDel
	}
	return ev
}

// read returns the raw records of the whole history.
func (s *store) read() (raw [][]byte) {
	s.t.Helper()
	r, err := archive.Open(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Records(0) {
		if err != nil {
			s.t.Fatal(err)
		}
		raw = append(raw, slices.Clone(rec.Raw))
	}
	return raw
}

// whole fails the test unless each event is there as it was, and verify finds nothing.
func (s *store) whole() {
	s.t.Helper()
	got := s.read()
	if len(got) < len(s.raw) {
		s.t.Fatalf("%d events are left of %d", len(got), len(s.raw))
	}
	for i, want := range s.raw {
		if !bytes.Equal(got[i], want) {
			s.t.Fatalf("event %d: got % x, want % x", i+1, got[i], want)
		}
	}
	v, err := replay.Verify(s.dir, "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range v.Findings {
		if f.Severity != replay.SeverityNote {
			s.t.Errorf("verify: %+v", f)
		}
	}
}

// run compacts the store.
func (s *store) run() *compaction.Report {
	s.t.Helper()
	rep, err := compaction.Run(context.Background(), s.job)
	if err != nil {
		s.t.Fatal(err)
	}
	return rep
}

// packed returns the names of the packed files, without the folder and zeros.
func (s *store) packed() (names []string) {
	s.t.Helper()
	for _, name := range s.names("archive") {
		if first, last, ok := strings.Cut(strings.TrimSuffix(name, ".llz"), "-"); ok {
			names = append(names, strings.TrimLeft(first, "0")+"-"+strings.TrimLeft(last, "0"))
		}
	}
	return names
}

// segments returns the names of the segments in a folder, without zeros.
func (s *store) segments(folder string) (names []string) {
	s.t.Helper()
	for _, name := range s.names(folder) {
		if journal.IsSegmentName(name) {
			names = append(names, strings.TrimLeft(name, "0"))
		}
	}
	return names
}

func (s *store) names(folder string) (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// tree returns all files of the store with what is in them, but for the locks of jobs.
func (s *store) tree() map[string]string {
	s.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == journal.CompactLock || e.Name() == "snap.lock" {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, s.dir)] = string(b)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// same fails the test unless both trees are the same.
func (s *store) same(what string, got, want map[string]string) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			s.t.Errorf("%s: %s is gone", what, name)
		} else if g != want[name] {
			s.t.Errorf("%s: %s has other bytes", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			s.t.Errorf("%s: %s is new", what, name)
		}
	}
}

// call makes n calls of the plugin's on the store: ADDs with a DEL each.
func (s *store) call(n int) {
	s.t.Helper()
	st := allocator.NewStore(s.job.Store)
	sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix("10.1.0.0/16")}}})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		owner := state.Attachment{ContainerID: fmt.Sprintf("c%d-%d", len(s.raw), i/2), IfName: "eth0"}
		if i%2 == 0 {
			_, err = st.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner, Sets: sets}})
		} else {
			err = st.Del(allocator.DelRequest{Owner: owner})
		}
		if err != nil {
			s.t.Fatal(err)
		}
		st.Maintain()
	}
}
