package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// busyStore returns a store of some segments, the older ones archived, with a snapshot, and the oracle
// that has read it. It is made of batches, because a call for each event would take long.
func busyStore(t *testing.T) (*disk, *model) {
	t.Helper()
	historyDir := t.TempDir()
	dir := filepath.Join(historyDir, "pods")
	deadline := time.Now().Add(time.Minute)
	err := journal.Create(historyDir, journal.NewStore{Network: "pods",
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }}, deadline)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir, deadline)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	st := state.New()
	if err := j.Load(0, journal.Hash{}, st.Apply); err != nil {
		t.Fatal(err)
	}
	for batch := range 12 {
		for _, ev := range eventsOf(t, j, batch) {
			if err := st.Apply(ev); err != nil {
				t.Fatal(err)
			}
		}
		st.SetHead(j.Head())
		if batch == 9 {
			if _, err := state.WriteSnapshot(filepath.Join(dir, "snap"), j.Meta().ID, "pods", st); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Archive(dir, st.Seq()/2, deadline); err != nil {
		t.Fatal(err)
	}
	return readBusy(t, dir)
}

// eventsOf appends a batch in which attachments get addresses and some give them back.
func eventsOf(t *testing.T, j *journal.Journal, batch int) []*journal.Event {
	t.Helper()
	var events []*journal.Event
	for i := range 50 {
		ip := host(plans[2].sets[0][0].subnet, 100*batch+i)
		add := &journal.Event{Kind: journal.KindAdd, ContainerID: fmt.Sprintf("c%d-%d", batch, i), IfName: "eth0", NetNS: "/n",
			Addresses: []journal.Address{{IP: ip, Bits: 64}}, Cursors: []journal.Cursor{{IP: ip}}}
		events = append(events, add)
		if i%5 > 0 {
			events = append(events, &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel,
				ContainerID: add.ContainerID, IfName: "eth0", Addresses: add.Addresses})
		}
	}
	if err := j.Append(events...); err != nil {
		t.Fatal(err)
	}
	return events
}

func readBusy(t *testing.T, dir string) (*disk, *model) {
	t.Helper()
	d, m := newDisk(dir), newModel()
	s, err := d.look()
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.events {
		if err := m.apply(&s.events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if d.archived == 0 {
		t.Fatal("nothing is archived, so this shows less than it means to")
	}
	return d, m
}

// TestOracle: the oracle accepts the store as it was left, and names whatever is done to it.
func TestOracle(t *testing.T) {
	d, m := busyStore(t)
	first := filepath.Join(d.dir, "archive", "00000000000000000001")
	snap := newestSnapshot(t, d)
	marker := filepath.Join(d.dir, "lock")
	tests := []struct {
		name string
		path string
		edit func(b []byte) []byte
		want string
	}{
		{"nothing", first, func(b []byte) []byte { return b }, ""},
		{"a flipped bit in the archive", first, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "durable bytes"},
		{"an archived segment cut short", first, func(b []byte) []byte { return b[:len(b)-1] }, "durable bytes"},
		{"an archived segment gone", first, nil, "durable bytes"},
		{"the newest segment cut short", d.newest, func(b []byte) []byte { return b[:len(b)-1] }, "durable bytes"},
		{"a twin that differs", filepath.Join(d.dir, "archive", filepath.Base(d.newest)), func([]byte) []byte { return []byte("x") }, "differs"},
		{"no marker", marker, func([]byte) []byte { return nil }, ""}, // the events are all there
		{"a snapshot damaged", snap, func(b []byte) []byte { b[100] ^= 1; return b }, "damage"},
		{"a snapshot of another event", snap, func([]byte) []byte { return forged(t, d) }, "not of this journal"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, err := os.ReadFile(test.path)
			missing := os.IsNotExist(err)
			if err != nil && !missing {
				t.Fatal(err)
			}
			if test.edit == nil {
				err = os.Remove(test.path)
			} else {
				err = os.WriteFile(test.path, test.edit(bytes.Clone(before)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.look()
			if err == nil {
				err = d.readAll(m)
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if missing {
				err = os.Remove(test.path)
			} else {
				err = os.WriteFile(test.path, before, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOracleModel: leases and cursors that are not what the events come to are told.
func TestOracleModel(t *testing.T) {
	d, m := busyStore(t)
	for ip, was := range m.leases {
		l := was
		l.netns = "/elsewhere"
		m.leases[ip] = l
		if err := d.readAll(m); err == nil {
			t.Error("a lease that differs in its namespace passes")
		}
		delete(m.leases, ip)
		if err := d.readAll(m); err == nil {
			t.Error("a lease too many passes")
		}
		m.leases[ip] = was
		break
	}
	was := m.cursors[0]
	m.cursors[0] = was.Next()
	if err := d.readAll(m); err == nil {
		t.Error("a cursor that is elsewhere passes")
	}
	m.cursors[0] = was
	if err := d.readAll(m); err != nil {
		t.Errorf("got %v, want none", err)
	}
}

func newestSnapshot(t *testing.T, d *disk) string {
	t.Helper()
	base, err := d.base()
	if err != nil || base == 0 {
		t.Fatalf("no snapshot: %v", err)
	}
	return filepath.Join(d.dir, "snap", state.SnapshotName(base))
}

// forged returns a snapshot that is whole, of this journal and named like the newest, but whose events
// were others.
func forged(t *testing.T, d *disk) []byte {
	t.Helper()
	base, err := d.base()
	if err != nil {
		t.Fatal(err)
	}
	meta, err := journal.ReadMeta(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	st := state.New()
	for seq := journal.Seq(1); seq <= base; seq++ {
		if err := st.Apply(&journal.Event{Seq: seq, Kind: journal.KindRepair}); err != nil {
			t.Fatal(err)
		}
	}
	path, err := state.WriteSnapshot(t.TempDir(), meta.ID, meta.Network, st)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
