package process_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// scene is a store in some condition and a call on it, which does all that its name says.
type scene struct {
	name    string
	changes bool // the call writes to the store
	prepare func(t *testing.T, n *network) call
	settles bool                                     // whatever call comes next does for others than the victim what this one would have done
	killed  bool                                     // a writer died on the way to its sync
	shows   func(t *testing.T, n network, h history) // fails the test unless the call did what its name says; nil if that is plain
}

// scenes are the calls whose every system call fails in TestFaults, and kills in TestKills those that
// change something.
var scenes = []scene{
	{name: "ADD that makes the network", changes: true,
		prepare: func(_ *testing.T, n *network) call { return n.add("victim") }},
	{name: "ADD", changes: true, prepare: func(t *testing.T, n *network) call {
		must(t, n.add("witness"))
		return n.add("victim")
	}},
	{name: "ADD of two families", changes: true, prepare: func(t *testing.T, n *network) call {
		n.dual()
		must(t, n.add("witness"))
		return n.add("victim")
	}, shows: func(t *testing.T, _ network, h history) { wantLen(t, "addresses", len(h.leases["victim"]), 2) }},
	{name: "ADD that starts a segment", changes: true, prepare: prepareRotation, shows: func(t *testing.T, n network, _ history) {
		wantLen(t, "segments", len(files(t, n, "journal/*")), 2)
	}},
	{name: "refused ADD", changes: true, prepare: func(t *testing.T, n *network) call {
		must(t, n.add("victim"))
		return n.add("victim")
	}, shows: func(t *testing.T, _ network, h history) { wantLen(t, "refusals", h.count(journal.KindRefuse), 1) }},
	{name: "DEL", changes: true, prepare: func(t *testing.T, n *network) call {
		must(t, n.add("witness"))
		must(t, n.add("victim"))
		return n.del("victim")
	}},
	{name: "DEL that starts a segment", changes: true, prepare: func(t *testing.T, n *network) call {
		must(t, n.add("victim"))
		c := prepareRotation(t, n)
		c.verb = "DEL"
		return c
	}, shows: func(t *testing.T, n network, _ history) { wantLen(t, "segments", len(files(t, n, "journal/*")), 2) }},
	{name: "GC in several batches", changes: true, prepare: prepareGC, shows: func(t *testing.T, _ network, h history) {
		batches := map[journal.Seq]bool{}
		for i := range h.events {
			if h.events[i].Kind == journal.KindDel {
				batches[h.events[i].Synced] = true
			}
		}
		wantLen(t, "batches", len(batches), 3)
	}},
	{name: "CHECK", prepare: func(t *testing.T, n *network) call {
		must(t, n.add("victim"))
		return n.check("victim")
	}},
	{name: "STATUS", prepare: func(t *testing.T, n *network) call {
		must(t, n.add("victim"))
		n.ipam = map[string]any{"statusOnExhaustion": true}
		return n.status()
	}},
	{name: "ADD that takes a snapshot", changes: true, prepare: prepareSnapshot(1), shows: func(t *testing.T, n network, _ history) {
		wantLen(t, "snapshots", len(files(t, n, "snap/*.snap")), 1)
	}},
	{name: "ADD that takes a snapshot and archives", changes: true, prepare: prepareSnapshot(3), shows: func(t *testing.T, n network, _ history) {
		wantLen(t, "snapshots", len(files(t, n, "snap/*.snap")), 2)
		if got := len(files(t, n, "archive/*")); got < 4 {
			t.Errorf("%d segments in archive/, want some of this call's", got)
		}
	}},
	{name: "ADD that repairs a torn tail", changes: true, killed: true, prepare: prepareTorn, shows: func(t *testing.T, n network, h history) {
		wantLen(t, "repairs", h.count(journal.KindRepair), 1)
		wantLen(t, "files in quarantine", len(files(t, n, "quarantine/*")), 1)
	}},
	{name: "ADD after a wipe", changes: true, settles: true, prepare: func(t *testing.T, n *network) call {
		must(t, n.add("witness"))
		removeFolder(t, *n)
		return n.add("victim")
	}, shows: func(t *testing.T, _ network, h history) { wantLen(t, "resets", resets(t, h), 1) }},
	{name: "ADD that sets a snapshot aside", changes: true, prepare: prepareDamagedSnapshot, shows: func(t *testing.T, n network, h history) {
		wantLen(t, "repairs", h.count(journal.KindRepair), 1)
		wantLen(t, "files in quarantine", len(files(t, n, "quarantine/*")), 1)
	}},
	{name: "ADD that adopts an append", changes: true, settles: true, killed: true, prepare: func(t *testing.T, n *network) call {
		killInAppend(t, *n, "orphan")
		return n.add("victim")
	}, shows: func(t *testing.T, _ network, h history) { wantLen(t, "addresses", len(h.leases["orphan"]), 1) }},
}

func wantLen(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("got %d %s, want %d", got, what, want)
	}
}

// files lists files of a store by a pattern.
func files(t *testing.T, n network, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.storeDir(), pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// dual gives the network a second range set, of IPv6.
func (n *network) dual() {
	n.ipam = map[string]any{"ranges": []any{
		[]any{map[string]any{"subnet": n.subnet}}, []any{map[string]any{"subnet": "fd00:1::/64"}}}}
}

func prepareRotation(t *testing.T, n *network) call {
	t.Helper()
	must(t, n.add("witness"))
	fillSegment(t, n.storeDir(), filepath.Join(n.storeDir(), "journal", "00000000000000000001"))
	c := n.add("victim")
	c.netns = longNetNS
	return c
}

// longNetNS makes an event longer than what fillSegment leaves of a segment.
var longNetNS = "/netns/" + string(slices.Repeat([]byte("n"), 1000))

// prepareGC makes leases whose release takes three batches of at most 32 KiB.
func prepareGC(t *testing.T, n *network) call {
	t.Helper()
	for i := range 70 {
		c := n.add(fmt.Sprintf("stale-%d", i))
		c.netns = longNetNS
		must(t, c)
	}
	return n.gc()
}

// prepareSnapshot leaves a store whose next ADD takes the snapshot of this number.
func prepareSnapshot(number int) func(t *testing.T, n *network) call {
	return func(t *testing.T, n *network) call {
		t.Helper()
		must(t, n.add("witness"))
		for i := 1; i < number; i++ {
			age(t, *n, snapshotEvents*i)
			must(t, n.add(fmt.Sprintf("witness-%d", i)))
			wantLen(t, "snapshots", len(files(t, *n, "snap/*.snap")), i)
		}
		age(t, *n, snapshotEvents*number)
		return n.add("victim")
	}
}

// snapshotEvents is after how many events a snapshot is due.
const snapshotEvents = 1024

// age appends events that concern nobody until there are this many.
func age(t *testing.T, n network, events int) {
	t.Helper()
	withJournal(t, n, func(j *journal.Journal) error {
		for int(j.Last()) < events {
			var batch []*journal.Event
			for range min(100, events-int(j.Last())) {
				batch = append(batch, &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: "nobody", IfName: "e"})
			}
			if err := j.Append(batch...); err != nil {
				return err
			}
		}
		return nil
	})
}

// withJournal runs f with a network's journal, open for writing.
func withJournal(t *testing.T, n network, f func(j *journal.Journal) error) {
	t.Helper()
	j, err := journal.Open(n.storeDir(), time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err = j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err == nil {
		err = f(j)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// killInAppend makes an ADD and kills it between its write and its sync.
func killInAppend(t *testing.T, n network, id string) {
	t.Helper()
	must(t, n.add("witness"))
	a, _ := watched(t, n.add(id), fault{name: "fsync", when: "1", does: kill})
	if !a.killed() {
		t.Fatalf("%v: want it killed at its sync", a)
	}
}

// prepareTorn leaves an append of which the disk got the beginning.
func prepareTorn(t *testing.T, n *network) call {
	t.Helper()
	killInAppend(t, *n, "orphan")
	segment := files(t, *n, "journal/*")[0]
	info, err := os.Stat(segment)
	if err == nil {
		err = os.Truncate(segment, info.Size()-20)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n.add("victim")
}

// prepareDamagedSnapshot leaves two snapshots, of which the newer has a flipped bit.
func prepareDamagedSnapshot(t *testing.T, n *network) call {
	t.Helper()
	c := prepareSnapshot(2)(t, n)
	must(t, c)
	snaps := files(t, *n, "snap/*.snap")
	wantLen(t, "snapshots", len(snaps), 2)
	newest := snaps[len(snaps)-1]
	b, err := os.ReadFile(newest)
	if err == nil {
		b[1000] ^= 1
		err = os.WriteFile(newest, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.id = "victim"
	must(t, n.del("victim"))
	return c
}

// leasesOf returns what containers hold by the journal; none if there is no store.
func leasesOf(t *testing.T, n network) (history, map[string][]netip.Addr) {
	t.Helper()
	if _, err := os.Stat(n.storeDir()); os.IsNotExist(err) {
		return history{}, map[string][]netip.Addr{}
	}
	h := readHistory(t, n)
	return h, h.leases
}

// trueSnapshots fails the test unless every snapshot that is not damaged on purpose says what the events say.
func trueSnapshots(t *testing.T, n network, h history) {
	t.Helper()
	for _, path := range files(t, n, "snap/*.snap") {
		snap, err := state.OpenSnapshot(path, h.id)
		if err != nil {
			t.Errorf("open snapshot: %v", err)
			continue
		}
		want := state.New()
		for i := range h.events[:snap.Seq()] {
			if err := want.Apply(&h.events[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := leaseList(t, state.Over(snap)), leaseList(t, want); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", filepath.Base(path), got, want)
		}
		if err := snap.Close(); err != nil {
			t.Error(err)
		}
	}
}

func leaseList(t *testing.T, st *state.State) []string {
	t.Helper()
	var list []string
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %s %s", l.IP, l.ContainerID, l.IfName))
	}
	slices.Sort(list)
	return list
}
