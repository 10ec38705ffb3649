package figures_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// network is a network in a folder whose path is as long on every machine: the path stands in files of
// the store, and in the configuration.
type network struct {
	caller.Network
	root string
}

// rootLength is how long that path is.
const rootLength = 200

func newNetwork(t *testing.T, dual bool) network {
	t.Helper()
	root := t.TempDir()
	fill := rootLength - len(root) - 1
	if fill < 1 {
		t.Fatalf("%s is a long path for temporary files: TMPDIR has to be shorter", root)
	}
	root = filepath.Join(root, strings.Repeat("x", fill))
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	n := network{root: root, Network: caller.Network{Name: "pods", DataDir: filepath.Join(root, "networks"),
		Ranges: [][]caller.Range{{{Subnet: "10.0.0.0/12"}}}}}
	if dual {
		n.Ranges = append(n.Ranges, []caller.Range{{Subnet: "fd00:10::/64"}})
	}
	return n
}

// moreEvents is how many more than leases there are in a made store. With that many, the segments that calls append to
// have room for all of them.
const moreEvents = 1650

// generate makes the store with this many leases and some events after its newest snapshot.
func (n network) generate(t *testing.T, leases int, dual bool) {
	t.Helper()
	cmd := exec.Command(leasegen, "--out", n.DataDir, "--network", n.Name, "--leases", fmt.Sprint(leases), "--events", fmt.Sprint(leases+moreEvents),
		"--tail", "30", "--until", "2026-01-01T00:00:00Z")
	if dual {
		cmd.Args = append(cmd.Args, "--dual")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("leasegen: %v\n%s", err, out)
	}
	if err := caller.MarkStart(filepath.Join(n.DataDir, ".leaselog", n.Name)); err != nil {
		t.Fatal(err)
	}
}

// id makes a container ID as container runtimes do, of 64 digits.
func id(name string) string { return fmt.Sprintf("%064x", name) }

func (n network) call(verb, name string) caller.Call {
	return caller.Call{Network: n.Network, Verb: verb, ID: id(name), NetNS: "/var/run/netns/cni-01234567-89ab-cdef-0123-456789abcdef",
		Args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=01234567-89ab-cdef-0123-456789abcdef"}
}

// must makes a call that prepares something.
func must(t *testing.T, c caller.Call) {
	t.Helper()
	if a := runCall(t, c, leaselog, nil); !a.OK() {
		t.Fatalf("%s: %v, want success", c.Verb, a)
	}
}

// records reads the events after one.
func (n network) records(t *testing.T, after journal.Seq) []journal.Record {
	t.Helper()
	r, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var records []journal.Record
	for rec, err := range r.Records(after) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// last returns the newest event's number, 0 if there is no store.
func (n network) last(t *testing.T) journal.Seq {
	t.Helper()
	if _, err := os.Stat(n.StoreDir()); err != nil {
		return 0
	}
	r, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.Coverage().Durable
}

// attachments are all that hold a lease: what a GC is told to keep so that it has nothing to do.
func (n network) attachments(t *testing.T) []caller.Attachment {
	t.Helper()
	st := state.New()
	for _, rec := range n.records(t, 0) {
		if err := st.Apply(&rec.Event); err != nil {
			t.Fatal(err)
		}
	}
	valid := []caller.Attachment{}
	for l, err := range st.Leases() {
		if err != nil {
			t.Fatal(err)
		}
		if a := (caller.Attachment{ContainerID: l.ContainerID, IfName: l.IfName}); !slices.Contains(valid, a) {
			valid = append(valid, a)
		}
	}
	return valid
}

// appendEvents appends events that concern nobody, in batches, as long as more says how many.
func (n network) appendEvents(t *testing.T, more func(j *journal.Journal) int) {
	t.Helper()
	j, err := journal.Open(n.StoreDir(), time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for count := more(j); count > 0; count = more(j) {
		var batch []*journal.Event
		for range count {
			batch = append(batch, &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: "nobody", IfName: "e"})
		}
		if err := j.Append(batch...); err != nil {
			t.Fatal(err)
		}
	}
}

// fillSegment appends until the next event needs another segment.
func (n network) fillSegment(t *testing.T) {
	t.Helper()
	const target, event = 64 << 10, 200 // bytes; an event takes less
	n.appendEvents(t, func(*journal.Journal) int {
		segments, err := filepath.Glob(filepath.Join(n.StoreDir(), "journal", "*"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("segments: %q, %v", segments, err)
		}
		info, err := os.Stat(segments[len(segments)-1])
		if err != nil {
			t.Fatal(err)
		}
		return min(100, (target-int(info.Size()))/event)
	})
}

// age appends until the next call takes a snapshot.
func (n network) age(t *testing.T) {
	t.Helper()
	const due = 1024
	snaps, err := filepath.Glob(filepath.Join(n.StoreDir(), "snap", "*.snap"))
	if err != nil {
		t.Fatal(err)
	}
	var newest int
	if len(snaps) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(snaps[len(snaps)-1]), "%d.snap", &newest); err != nil {
			t.Fatal(err)
		}
	}
	n.appendEvents(t, func(j *journal.Journal) int { return min(100, newest+due-int(j.Last())) })
}
