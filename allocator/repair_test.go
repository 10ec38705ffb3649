package allocator_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
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
	"github.com/leaselog/leaselog/state"
)

// tree returns every file below dir with its content, and every folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		content := ""
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(b)
		}
		all[path] = content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// repaired has a store repaired: first a dry run, which must change nothing and name the same steps.
func repaired(t *testing.T, s *allocator.Store) *allocator.Mending {
	t.Helper()
	root := filepath.Dir(filepath.Dir(s.Dir()))
	before := tree(t, root)
	dry, err := s.Repair(false, true)
	if err != nil {
		t.Fatalf("dry run: %v", err)
	}
	if !maps.Equal(before, tree(t, root)) {
		t.Error("the dry run changed something")
	}
	m, err := s.Repair(true, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(dry.Steps) != len(m.Steps) || dry.Succeeds() != m.Succeeds() || dry.Kept != m.Kept || dry.Uncertain != m.Uncertain || dry.Events != m.Events {
		t.Errorf("the dry run said %q, then it was %q", dry.Steps, m.Steps)
	}
	again, err := s.Repair(true, true)
	if err != nil || again.Needed() {
		t.Errorf("after the repair: %v, %v; want nothing to do", again, err)
	}
	return m
}

// heldNow returns the leases that the store's calls go by.
func heldNow(t testing.TB, s *allocator.Store) map[netip.Addr]state.Lease {
	t.Helper()
	r, err := journal.OpenReader(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	st := state.New()
	for rec, err := range r.Records(0) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	held := map[netip.Addr]state.Lease{}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		held[l.IP] = l
	}
	return held
}

// recordAt returns where an event stands in the store's first segment.
func recordAt(t testing.TB, s *allocator.Store, seq journal.Seq) journal.Record {
	t.Helper()
	r, err := journal.OpenReader(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(seq - 1) {
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	t.Fatalf("no event %d", seq)
	return journal.Record{}
}

// damageEvent flips a bit in the middle of an event's record.
func damageEvent(t testing.TB, s *allocator.Store, seq journal.Seq) {
	t.Helper()
	rec := recordAt(t, s, seq)
	path := filepath.Join(s.Dir(), rec.File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[int(rec.Offset)+len(rec.Raw)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRepairAnyEvent damages each event of a random history in turn and repairs that. A plain model of
// what the rest of the events proves says which leases must be kept, and which are uncertain.
func TestRepairAnyEvent(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	s := newBusyStore(t)
	live := map[int]bool{}
	for n := range 14 {
		add(t, s, n)
		live[n] = true
		if r.IntN(3) == 0 {
			victim := r.IntN(n + 1)
			release(t, s, victim)
			delete(live, victim)
		}
	}
	history := events(t, s)
	root := filepath.Dir(filepath.Dir(s.Dir()))
	good := tree(t, root)
	for seq := journal.Seq(1); seq <= journal.Seq(len(history)); seq++ {
		restore(t, root, good)
		damageEvent(t, s, seq)
		if _, err := s.Add(request(t, 99)); err == nil || !strings.Contains(err.Error(), "damage") {
			t.Fatalf("event %d damaged: ADD says %v", seq, err)
		}
		m := repaired(t, s)
		if !m.Succeeds() || m.Events != max(1, m.Events) || m.ParentSeq != seq-1 {
			t.Fatalf("event %d damaged: %+v", seq, m)
		}
		checkCarried(t, s, history, seq)
		checkGoesOn(t, s, history, seq)
	}
}

// restore makes a folder hold what it held.
func restore(t testing.TB, root string, good map[string]string) {
	t.Helper()
	for path := range tree(t, root) {
		if _, ok := good[path]; !ok {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(good)) {
		if st, err := os.Lstat(path); err == nil && st.IsDir() {
			continue
		}
		if content := good[path]; content != "" || filepath.Ext(path) != "" || strings.Contains(filepath.Base(path), "lock") {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // the lock keeps its inode where it is still there
			if err == nil {
				_, err = f.WriteString(content)
				err = cmpErr(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// checkCarried compares a successor's leases with what the events but one prove.
func checkCarried(t *testing.T, s *allocator.Store, history []journal.Event, lost journal.Seq) {
	t.Helper()
	type lease struct {
		owner     string
		uncertain bool
	}
	want := map[netip.Addr]lease{}
	for _, ev := range history {
		switch {
		case ev.Seq == lost:
			for ip, l := range want {
				want[ip] = lease{l.owner, true}
			}
		case ev.Kind == journal.KindAdd:
			for _, a := range ev.Addresses {
				want[a.IP] = lease{ev.ContainerID, false}
			}
		case ev.Kind == journal.KindDel:
			for _, a := range ev.Addresses {
				if want[a.IP].owner == ev.ContainerID {
					delete(want, a.IP)
				}
			}
		}
	}
	got := map[netip.Addr]lease{}
	for _, ev := range events(t, s) {
		doubt := slices.ContainsFunc(ev.Attributes, func(a journal.Attribute) bool { return a.Key == journal.AttributeDoubt })
		if ev.Kind == journal.KindImport {
			for _, a := range ev.Addresses {
				got[a.IP] = lease{ev.ContainerID, doubt}
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("event %d lost: carried over %v, want %v", lost, got, want)
	}
}

// checkGoesOn has the repaired store serve calls. An address that the lost event may have given must not
// be the next to be given.
func checkGoesOn(t *testing.T, s *allocator.Store, history []journal.Event, lost journal.Seq) {
	t.Helper()
	held := heldNow(t, s)
	c, err := s.Add(request(t, 100))
	if err != nil {
		t.Fatalf("event %d lost, repaired: %v", lost, err)
	}
	for _, a := range c.Addresses {
		if _, ok := held[a.IP]; ok {
			t.Errorf("event %d lost: %s given twice", lost, a.IP)
		}
		if slices.ContainsFunc(history[lost-1].Addresses, func(b journal.Address) bool { return b.IP == a.IP }) && history[lost-1].Kind == journal.KindAdd {
			t.Errorf("event %d lost: %s, which it gave, is given at once", lost, a.IP)
		}
	}
	for n := range 15 {
		release(t, s, n)
	}
	release(t, s, 100)
	if left := heldNow(t, s); len(left) > 0 {
		t.Errorf("event %d lost: still held after a DEL of all: %v", lost, left)
	}
}

// TestRepairInPlace mends what costs no event in the journal that is there.
func TestRepairInPlace(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, s *allocator.Store)
		step   string // words of the one step; "" if there is nothing to repair
	}{
		{"nothing", func(*testing.T, *allocator.Store) {}, ""},
		{"META missing", func(t *testing.T, s *allocator.Store) { unlink(t, filepath.Join(s.Dir(), "META")) }, "META"},
		{"META rotten", func(t *testing.T, s *allocator.Store) { overwrite(t, filepath.Join(s.Dir(), "META"), "rotten") }, "META"},
		{"META of another journal", func(t *testing.T, s *allocator.Store) {
			other := newStore(t)
			add(t, other, 1)
			b, err := os.ReadFile(filepath.Join(other.Dir(), "META"))
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, filepath.Join(s.Dir(), "META"), string(b))
		}, "META"},
		{"lock missing", func(t *testing.T, s *allocator.Store) { unlink(t, filepath.Join(s.Dir(), "lock")) }, "lock file"},
		{"a stray file", func(t *testing.T, s *allocator.Store) {
			overwrite(t, filepath.Join(s.Dir(), "journal", "x.START"), "x")
		}, "nothing but segments"},
		{"claim rotten", func(t *testing.T, s *allocator.Store) { overwrite(t, claimOf(s), "rotten") }, "claim"},
		{"claim with a flipped bit", func(t *testing.T, s *allocator.Store) {
			overwrite(t, claimOf(s), fmt.Sprintf("%s\n%s\n", journal.ID{7}, s.Dir()))
		}, "claim"},
		{"claim that leads nowhere", func(t *testing.T, s *allocator.Store) {
			overwrite(t, claimOf(s), fmt.Sprintf("%s\n%s\n", journal.ID{7}, "/no/such/store"))
		}, "claim"},
		{"claim missing", func(t *testing.T, s *allocator.Store) { unlink(t, claimOf(s)) }, ""},
		{"snapshot rotten", func(t *testing.T, s *allocator.Store) {
			overwrite(t, filepath.Join(s.Dir(), "snap", state.SnapshotName(3)), "rotten")
		}, "snapshot"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			for n := range 4 {
				add(t, s, n)
			}
			want := heldNow(t, s)
			test.damage(t, s)
			m := repaired(t, s)
			if test.step == "" && m.Needed() || test.step != "" && (len(m.Steps) != 1 || !strings.Contains(m.Steps[0], test.step)) || m.Succeeds() {
				t.Fatalf("steps %q, want one with %q", m.Steps, test.step)
			}
			if test.name == "claim missing" {
				return // a wipe stays one
			}
			if test.step != "" {
				again, err := s.Repair(true, true)
				if err != nil || again.Needed() {
					t.Errorf("repaired, and again: %+v, %v", again, err)
				}
			}
			if got := heldNow(t, s); len(got) != len(want) {
				t.Errorf("got leases %v, want %v", got, want)
			}
			if _, err := s.Add(request(t, 9)); err != nil {
				t.Error(err)
			}
			if _, err := s.Check(owner(1)); err != nil {
				t.Error(err)
			}
		})
	}
}

func claimOf(s *allocator.Store) string {
	return filepath.Join(filepath.Dir(filepath.Dir(s.Dir())), "net", journal.ClaimName)
}

func unlink(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRepairOverSnapshot loses events that a snapshot covers, and then some that none does.
func TestRepairOverSnapshot(t *testing.T) {
	s := newBusyStore(t)
	churn(t, s, allocator.SnapshotEvents)
	for n := 5000; n < 5010; n++ {
		add(t, s, n)
	}
	want := heldNow(t, s)
	damageEvent(t, s, 5)
	m, err := s.Repair(true, true)
	if err != nil || m.Needed() || len(m.Losses) != 1 {
		t.Fatalf("history damaged below a snapshot: %+v, %v; want it told and left", m, err)
	}
	if _, err := s.Check(owner(5003)); err != nil {
		t.Error(err)
	}
	last := journal.Seq(0)
	for _, l := range want {
		last = max(last, l.Start)
	}
	path := filepath.Join(s.Dir(), recordAfter(t, s, last).File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := recordAfter(t, s, last)
	b[rec.Offset+60] ^= 1
	overwrite(t, path, string(b))
	m = repaired(t, s)
	if !m.Succeeds() || m.Kept != len(want)-2 || m.Uncertain != m.Kept || m.Events < 1 || len(m.Losses) != 2 {
		t.Fatalf("got %+v, want %d leases, all uncertain", m, len(want)-2)
	}
	for ip := range heldNow(t, s) {
		if _, ok := want[ip]; !ok {
			t.Errorf("%s: held by nobody before", ip)
		}
	}
}

// recordAfter returns an event of a store whose older history is damaged.
func recordAfter(t testing.TB, s *allocator.Store, seq journal.Seq) journal.Record {
	t.Helper()
	meta, err := journal.ReadMeta(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range journal.Salvage(s.Dir(), meta, seq-1) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Loss == nil {
			return p.Record
		}
	}
	t.Fatalf("no event %d", seq)
	return journal.Record{}
}

// TestRepairEndedBeforeTheClaim is a crash between the new journal and its claim: the next call of
// either kind goes by the leases that were carried over, and it is no wipe.
func TestRepairEndedBeforeTheClaim(t *testing.T) {
	s := newStore(t)
	for n := range 5 {
		add(t, s, n)
	}
	old, err := os.ReadFile(claimOf(s))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		damageEvent(t, s, journal.Seq(4-round))
		if m := repaired(t, s); !m.Succeeds() {
			t.Fatalf("got %+v", m)
		}
	}
	overwrite(t, claimOf(s), string(old)) // of the parent's parent
	if _, err := s.Check(owner(4)); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if _, err := s.Add(request(t, 9)); err != nil {
		t.Fatalf("ADD: %v", err)
	}
	for _, ev := range events(t, s) {
		if ev.Kind == journal.KindReset {
			t.Error("read as a wipe")
		}
	}
	if now, err := os.ReadFile(claimOf(s)); err != nil || string(now) == string(old) {
		t.Errorf("the claim was not renewed: %v", err)
	}
	overwrite(t, claimOf(s), fmt.Sprintf("%s\n%s\n", journal.ID{7}, s.Dir()))
	if _, err := s.Add(request(t, 10)); err == nil {
		t.Error("a stranger's claim was taken for the parent's")
	}
}

// TestRepairAfterReset has no doubt left where a reset follows what is lost.
func TestRepairAfterReset(t *testing.T) {
	s := newStore(t)
	for n := range 3 {
		add(t, s, n)
	}
	unlink(t, claimOf(s))
	add(t, s, 10)
	damageEvent(t, s, 4)
	if m := repaired(t, s); m.Kept != 2 || m.Uncertain != 0 || m.Events != 0 {
		t.Errorf("got %+v, want the two leases given after the reset, certain", m)
	}
}

// TestRepairWithoutAnEnd loses the newest segments and the marker: only a snapshot tells that the
// journal went on. Its leases are kept, and none is certain.
func TestRepairWithoutAnEnd(t *testing.T) {
	s := newBusyStore(t)
	churn(t, s, allocator.SnapshotEvents)
	snaps, err := filepath.Glob(filepath.Join(s.Dir(), "snap", "*.snap"))
	if err != nil || len(snaps) != 1 {
		t.Fatal(snaps, err)
	}
	segments, err := filepath.Glob(filepath.Join(s.Dir(), "journal", "*"))
	if err != nil || len(segments) < 2 {
		t.Fatal(segments, err)
	}
	held := len(heldNow(t, s))
	unlink(t, segments[len(segments)-1])
	unlink(t, filepath.Join(s.Dir(), "lock"))
	m := repaired(t, s)
	if !m.Succeeds() || !m.Endless || m.Kept != held || m.Uncertain != held {
		t.Errorf("got %+v, want all %d leases, uncertain", m, held)
	}
	if genesis := events(t, s)[0]; genesis.Attributes[0].Value != journal.LostUnknown {
		t.Errorf("genesis says %v", genesis.Attributes)
	}
}

// TestRepairOverContradiction loses the DEL of an address that somebody else was given afterwards.
func TestRepairOverContradiction(t *testing.T) {
	s := newStore(t)
	if _, err := s.Add(request(t, 1, "10.1.0.9", "2001:db8::9")); err != nil {
		t.Fatal(err)
	}
	release(t, s, 1)
	if _, err := s.Add(request(t, 2, "10.1.0.9", "2001:db8::9")); err != nil {
		t.Fatal(err)
	}
	damageEvent(t, s, 4)
	if m := repaired(t, s); m.Kept != 2 || m.Uncertain != 0 {
		t.Errorf("got %+v", m)
	}
	if held, err := s.Check(owner(2)); err != nil || len(held) != 2 {
		t.Errorf("the second holder: %v, %v", held, err)
	}
	if _, err := s.Check(owner(1)); err == nil {
		t.Error("the first holder still holds what the second one was given")
	}
}

// appendTo appends events as another version of the program would.
func appendTo(t testing.TB, s *allocator.Store, events ...*journal.Event) {
	t.Helper()
	j, err := journal.Open(s.Dir(), time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(events...); err != nil {
		t.Fatal(err)
	}
}

// TestRepairLeavesNewer refuses a store that a later version has written to, as calls do.
func TestRepairLeavesNewer(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	appendTo(t, s, &journal.Event{Kind: 20})
	before := tree(t, s.Dir())
	for _, apply := range []bool{false, true} {
		if m, err := s.Repair(apply, true); !errors.Is(err, journal.ErrNewer) {
			t.Errorf("apply %v: %+v, %v, want ErrNewer", apply, m, err)
		}
	}
	if _, err := s.Add(request(t, 2)); !errors.Is(err, journal.ErrNewer) {
		t.Errorf("ADD: %v", err)
	}
	after := tree(t, s.Dir())
	for _, name := range []string{"snap.lock", journal.CompactLock} {
		delete(before, filepath.Join(s.Dir(), name))
		delete(after, filepath.Join(s.Dir(), name))
	}
	if !maps.Equal(before, after) {
		t.Error("something changed")
	}
}

// TestRepairsAtOnce has repairs and ADDs at the same time: one journal comes of it, and no lease is lost or given twice.
func TestRepairsAtOnce(t *testing.T) {
	for round := range 8 {
		s := newStore(t)
		for n := range 5 {
			add(t, s, n)
		}
		dataDir := filepath.Dir(filepath.Dir(s.Dir()))
		damageEvent(t, s, 4)
		if round%2 == 1 {
			overwrite(t, filepath.Join(s.Dir(), "META"), "")
		}
		var group sync.WaitGroup
		var succeeded atomic.Int32
		for n := range 4 {
			group.Go(func() {
				m, err := storeIn(dataDir).Repair(true, true)
				if err != nil {
					t.Errorf("repair: %v", err)
				} else if m.Succeeds() {
					succeeded.Add(1)
				}
				_, _ = storeIn(dataDir).Add(request(t, 10+n))
			})
		}
		group.Wait()
		if succeeded.Load() != 1 {
			t.Errorf("round %d: %d repairs began a new journal, want 1", round, succeeded.Load())
		}
		for n := range 5 {
			if n == 1 {
				continue // event 4 was its ADD
			}
			if _, err := s.Check(owner(n)); err != nil {
				t.Errorf("round %d: c%d: %v", round, n, err)
			}
		}
		heldNow(t, s)
	}
}

// TestRepairOfASuccessor keeps uncertain what the repair before has called uncertain.
func TestRepairOfASuccessor(t *testing.T) {
	s := newStore(t)
	for n := range 5 {
		add(t, s, n)
	}
	damageEvent(t, s, 5) // c2's
	if m := repaired(t, s); m.Uncertain != 4 {
		t.Fatalf("got %+v, want c0 and c1 uncertain", m)
	}
	damageEvent(t, s, 2) // that tells of what was lost
	if m := repaired(t, s); m.Uncertain != 4 || m.Kept != 8 || m.Events != 2 {
		t.Errorf("got %+v, want the same uncertain, and the lost events of both", m)
	}
}

// TestMisplacedSegments has readers and calls agree about segments that are not where they belong.
func TestMisplacedSegments(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, dir string)
	}{
		{"the newest is in archive/", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "journal", segmentName(1)), filepath.Join(dir, "archive", segmentName(1))); err != nil {
				t.Fatal(err)
			}
		}},
		{"one that follows no event", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "journal", segmentName(9999)), "") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			add(t, s, 1)
			test.do(t, s.Dir())
			if err := s.Status(nil); err == nil {
				t.Error("STATUS finds nothing")
			}
			if _, err := s.Add(request(t, 2)); err == nil {
				t.Error("ADD finds nothing")
			}
			if m := repaired(t, s); !m.Succeeds() || m.Kept != 2 || m.Uncertain != 0 || m.Events != 0 {
				t.Errorf("got %+v, want both addresses of c1, certain", m)
			}
		})
	}
}

func segmentName(first journal.Seq) string { return fmt.Sprintf("%020d", uint64(first)) }

// TestStatusOfAWipedStore tells of damage although nothing is held: the next call has to read the events.
func TestStatusOfAWipedStore(t *testing.T) {
	s := newStore(t)
	for n := range 3 {
		add(t, s, n)
	}
	damageEvent(t, s, 3)
	unlink(t, claimOf(s))
	if err := s.Status(nil); err == nil {
		t.Error("STATUS finds nothing")
	}
}
