package journal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestGolden reads stores of format version 1 as they were written once. The files in
// testdata are never made again: a change that can't read them, or that writes
// other bytes for the same events, is a new version of the format.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []journal.Event
	}{
		{"v1", sampleEvents()},
		{"v1-annotated", laterEvents()},
		{"v1-retention", retentionEvents()},
	} {
		t.Run(tt.name, func(t *testing.T) { checkGolden(t, filepath.Join("testdata", tt.name), tt.events) })
	}
}

func checkGolden(t *testing.T, dir string, want []journal.Event) {
	t.Helper()
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	if meta.ID != testID || meta.Network != "net" || meta.DataDir != "/var/lib/cni/networks" {
		t.Errorf("META says %+v", meta)
	}
	if got := read(t, filepath.Join(dir, "META")); !bytes.Equal(got, meta.EncodeMeta()) {
		t.Errorf("META is written as %x now", meta.EncodeMeta())
	}
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Coverage(); !c.Copy || c.Live || c.Durable != journal.Seq(len(want)) || len(c.Doubts) != 0 {
		t.Errorf("coverage %+v", c)
	}
	var prev journal.Hash
	n := 0
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		ev := want[n]
		ev.Seq, ev.Synced, ev.Prev = journal.Seq(n+1), journal.Seq(n), prev
		ev.Wall += int64(n) * 1e9
		ev.BootTime += int64(n) * 1e9
		if !reflect.DeepEqual(rec.Event, ev) {
			t.Errorf("event %d reads\n%+v, want\n%+v", n+1, rec.Event, ev)
		}
		raw, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil || !bytes.Equal(raw, rec.Raw) {
			t.Errorf("event %d is written as %x now, %v", n+1, raw, err)
		}
		prev = journal.RecordHash(rec.Raw)
		n++
	}
	if n != len(want) {
		t.Errorf("%d events, want %d", n, len(want))
	}
	marker := read(t, filepath.Join(dir, "lock"))
	if got := journal.NewMarker(testID, journal.Seq(len(want)), prev, want[0].Boot); !bytes.Equal(got, marker) {
		t.Errorf("the marker is written as %x now", got)
	}
}

// TestGoldenIsUsable opens a copy of the golden store for writing.
func TestGoldenIsUsable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	j, events := open(t, dir)
	if len(events) != 10 {
		t.Fatalf("%d events, want 10", len(events))
	}
	if err := j.Append(del(1)); err != nil {
		t.Error(err)
	}
}
