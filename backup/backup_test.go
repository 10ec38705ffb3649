package backup_test

import (
	"errors"
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
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

func storeOf(dataDir, network string) *allocator.Store {
	return allocator.NewStore(allocator.Options{Network: network, DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test", AllowNetworkFS: true})
}

func owner(n int) state.Attachment {
	return state.Attachment{ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"}
}

// call is an ADD, and for some numbers a DEL of an earlier one.
func call(t testing.TB, s *allocator.Store, n int) {
	t.Helper()
	sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix("10.9.0.0/16")}}})
	if err == nil {
		_, err = s.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner(n), Sets: sets}})
	}
	if err == nil && n%3 == 2 {
		err = s.Del(allocator.DelRequest{Owner: owner(n - 1)})
	}
	if err != nil {
		t.Error(err)
	}
	s.Maintain()
}

// made makes a store of so many ADDs, each third of which is released, with two snapshots and what the older one covers archived.
func made(t testing.TB, dataDir, network string, adds int) *allocator.Store {
	t.Helper()
	s := storeOf(dataDir, network)
	genesis := &journal.Event{Clock: journal.ReadClock()}
	genesis.Origin.Journal = journal.ID{1, byte(adds), byte(len(network)), network[0]}
	b, err := journal.NewBuilder(filepath.Dir(s.Dir()), journal.NewStore{Network: network, DataDir: dataDir, Version: "test", AllowNetworkFS: true,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(dataDir, network), id, s.Dir())
		}}, genesis, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	st := state.New()
	put := func(ev *journal.Event) {
		if ev.Kind != journal.KindGenesis {
			ev.Clock = journal.ReadClock()
			err = b.Append(ev)
		}
		if err == nil {
			err = st.Apply(ev)
		}
		if err != nil {
			t.Fatal(err)
		}
		st.SetHead(b.Head())
	}
	put(genesis)
	covered := journal.Seq(0)
	for n := range adds {
		a := journal.Address{IP: netip.AddrFrom4([4]byte{10, 9, byte((n + 2) >> 8), byte(n + 2)}), Bits: 16, Gateway: netip.MustParseAddr("10.9.0.1")}
		ev := journal.Event{Kind: journal.KindAdd, ContainerID: owner(n).ContainerID, IfName: "eth0", Addresses: []journal.Address{a},
			Cursors: []journal.Cursor{{IP: a.IP}}}
		del := ev
		put(&ev)
		if n%3 == 2 {
			del.Kind, del.Reason, del.Cursors = journal.KindDel, journal.ReasonDel, nil
			put(&del)
		}
		if left := adds - n; left == 60 || left == 20 {
			if _, err := state.WriteSnapshot(b.SnapDir(), b.ID(), network, st); err != nil {
				t.Fatal(err)
			}
			if covered == 0 {
				covered = b.Last()
			}
		}
	}
	if err := b.Finish(covered); err != nil {
		t.Fatal(err)
	}
	return s
}

// packed packs the archived segments of a store, but for the first, and removes them.
func packed(t testing.TB, dir string) {
	t.Helper()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	loose, err := filepath.Glob(filepath.Join(dir, "archive", strings.Repeat("[0-9]", 20)))
	if err != nil || len(loose) == 0 {
		t.Fatalf("%d archived segments, %v", len(loose), err)
	}
	live, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var first journal.Seq
	if _, err := fmt.Sscan(strings.TrimLeft(filepath.Base(live[0]), "0"), &first); err != nil {
		t.Fatal(err)
	}
	keyframes := []string{stateAt(t, r, (first-1)/2)}
	if _, err := archive.Pack(filepath.Join(dir, "archive"), r.Meta(), 1, first-1, r.Raw, archive.Options{Keyframes: keyframes}); err != nil {
		t.Fatal(err)
	}
	for _, path := range loose {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// stateAt returns a snapshot of the state after an event.
func stateAt(t testing.TB, r *journal.Reader, seq journal.Seq) string {
	t.Helper()
	st := state.New()
	for rec, err := range r.Records(0) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
		if st.SetHead(journal.RecordHash(rec.Raw)); rec.Event.Seq == seq {
			break
		}
	}
	path, err := state.WriteSnapshot(t.TempDir(), r.Meta().ID, r.Meta().Network, st)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// records reads the whole history of a store, each record by its bytes.
func records(t testing.TB, dir string) (raw []string) {
	t.Helper()
	r, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, string(rec.Raw))
	}
	return raw
}

// tree lists what is below a folder, with sizes.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCopy: a copy has all events of a store and is taken for a copy, whatever form they are in, and the store is as it was.
func TestCopy(t *testing.T) {
	dataDir := t.TempDir()
	s := made(t, dataDir, "net", 900)
	for _, form := range []string{"segments", "packed"} {
		for _, link := range []bool{false, true} {
			if form == "packed" && !link {
				packed(t, s.Dir())
			}
			want, before := records(t, s.Dir()), tree(t, dataDir)
			to := filepath.Join(t.TempDir(), "copy")
			c, err := backup.Copy(s.Dir(), to, backup.CopyOptions{Link: link})
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if after := tree(t, dataDir); after != before && !link {
				t.Errorf("%s: the store has changed", form)
			}
			if got := records(t, to); !slices.Equal(got, want) || int(c.Last) != len(want) || !c.Live {
				t.Errorf("%s: %d records, to event %d, live %v; want %d", form, len(got), c.Last, c.Live, len(want))
			}
			r, err := journal.OpenReader(to)
			if err != nil {
				t.Fatal(err)
			}
			if cov := r.Coverage(); !cov.Copy || len(cov.Doubts) > 0 {
				t.Errorf("%s: coverage %+v, want a copy's", form, cov)
			}
			snaps, _ := filepath.Glob(filepath.Join(to, "snap", "*.snap"))
			if len(snaps) == 0 {
				t.Errorf("%s: no snapshot was copied", form)
			}
			// A copy can be copied, too.
			if again, err := backup.Copy(to, to+"2", backup.CopyOptions{}); err != nil || again.Last != c.Last || again.Head != c.Head || again.Live {
				t.Errorf("%s: a copy of the copy: %+v, %v", form, again, err)
			}
		}
	}
}

// TestCopyLive: copies of a store in use are whole, though events are appended and segments move and are packed meanwhile.
func TestCopyLive(t *testing.T) {
	dataDir := t.TempDir()
	s := made(t, dataDir, "net", 600)
	stop, done, isPacked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 600; ; n++ {
			select {
			case <-stop:
				return
			default:
				call(t, s, n)
			}
			if n == 640 {
				packed(t, s.Dir())
				close(isPacked)
			}
		}
	}()
	last := journal.Seq(0)
	for i, rest := 0, 3; rest > 0; i++ {
		select {
		case <-isPacked:
			rest--
		default:
		}
		to := filepath.Join(t.TempDir(), fmt.Sprint(i))
		c, err := backup.Copy(s.Dir(), to, backup.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := records(t, to); len(got) != int(c.Last) || c.Last < last {
			t.Errorf("copy %d: %d records, to event %d; the one before ended with %d", i, len(got), c.Last, last)
		}
		last = c.Last
	}
	close(stop)
	<-done
	if all := records(t, s.Dir()); len(all) < int(last) {
		t.Errorf("the store ends with event %d, the copy with %d", len(all), last)
	}
}

// TestRoundTrip: what a backup holds is there after the restore, byte for byte in the parent, and its leases are held, in doubt.
func TestRoundTrip(t *testing.T) {
	dataDir := t.TempDir()
	one, two := made(t, dataDir, "one", 900), made(t, dataDir, "two", 5)
	packed(t, one.Dir())
	file := filepath.Join(t.TempDir(), "b.tar.zst")
	if _, err := backup.Write(file, []string{one.Dir(), two.Dir()}, backup.Options{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Write(file, []string{one.Dir()}, backup.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v, want fs.ErrExist", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("beside the backup: %v", left)
	}
	target := filepath.Join(t.TempDir(), "networks")
	o := backup.RestoreOptions{DataDir: target, Version: "test", AllowNetworkFS: true}
	o.DryRun = true
	if dry, err := backup.Restore(file, o); err != nil || len(dry) != 2 {
		t.Errorf("dry run: %d networks, %v", len(dry), err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dry run made %s", target)
	}
	o.DryRun = false
	restored, err := backup.Restore(file, o)
	if err != nil || len(restored) != 2 {
		t.Fatalf("%d networks, %v", len(restored), err)
	}
	for i, s := range []*allocator.Store{one, two} {
		r := restored[i]
		kept := filepath.Join(r.Store, "archive", r.Parent.String())
		if want := records(t, s.Dir()); !slices.Equal(records(t, kept), want) || r.LastSeq != uint64(len(want)) || int(r.ParentSeq) != len(want) {
			t.Errorf("%s: the parent is another, or ends with event %d and not %d", r.Network, r.ParentSeq, len(want))
		}
		held, doubtful := heldIn(t, r.Store)
		if want, _ := heldIn(t, s.Dir()); !slices.Equal(held, want) || doubtful != len(held) || r.Kept != len(held) {
			t.Errorf("%s: %d leases, %d in doubt, %d by its word; want %d", r.Network, len(held), doubtful, r.Kept, len(want))
		}
		if id, dir, err := journal.ReadClaim(filepath.Join(target, r.Network)); err != nil || id != r.Restored.Journal || dir != r.Store {
			t.Errorf("%s: claim of %s in %s, %v", r.Network, id, dir, err)
		}
		call(t, storeOf(target, r.Network), 5000) // it goes on
	}
	if left, _ := filepath.Glob(filepath.Join(target, ".leaselog", ".[rn]*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	before := tree(t, target)
	if _, err := backup.Restore(file, o); !errors.Is(err, allocator.ErrInTheWay) {
		t.Errorf("over what is there: %v, want ErrInTheWay", err)
	}
	if tree(t, target) != before {
		t.Error("a refused restore has changed something")
	}

}

// heldIn returns what a store holds, and how many leases are in doubt by their imports.
func heldIn(t testing.TB, dir string) (held []string, doubtful int) {
	t.Helper()
	r, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	st := state.New()
	for rec, err := range r.Records(0) {
		if err == nil {
			err = st.Apply(&rec.Event)
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(rec.Event.Attributes, func(a journal.Attribute) bool { return a.Key == journal.AttributeDoubt }) {
			doubtful += len(rec.Event.Addresses)
		}
	}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l.IP.String()+" "+l.ContainerID)
	}
	return held, doubtful
}
