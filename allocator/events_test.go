package allocator_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// TestEventsAreNotKept folds a history of many segments from one buffer that each segment is read into, and once
// with memory of its own for each. Whatever the state kept of an event would be another segment's bytes by the end.
func TestEventsAreNotKept(t *testing.T) {
	s := newBusyStore(t)
	add(t, s, 1)
	bulk(t, s, 3000)
	r, err := journal.OpenReader(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	shared, own := state.New(), state.New()
	files := map[string]bool{}
	if err := r.Events(0, journal.Hash{}, shared.Apply); err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := own.Apply(&rec.Event); err != nil {
			t.Fatal(err)
		}
		files[rec.File] = true
	}
	if len(files) < 3 {
		t.Fatalf("%d segments, want some", len(files))
	}
	var snaps [][]byte
	for _, st := range []*state.State{shared, own} {
		path, err := state.WriteSnapshot(t.TempDir(), r.Meta().ID, "net", st)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, b)
	}
	if !bytes.Equal(snaps[0], snaps[1]) {
		t.Error("the state depends on where its events were in memory")
	}
}

// TestSeam has a snapshot of another history of the same journal: readers have to notice as calls do.
func TestSeam(t *testing.T) {
	s := newBusyStore(t)
	add(t, s, 1)
	r, err := journal.OpenReader(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	st := state.New()
	if err := r.Events(0, journal.Hash{}, st.Apply); err != nil {
		t.Fatal(err)
	}
	st.SetHead(journal.Hash{1}) // of a record that was never written
	folder := filepath.Join(s.Dir(), "snap")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := state.WriteSnapshot(folder, r.Meta().ID, "net", st); err != nil {
		t.Fatal(err)
	}
	bulk(t, s, 1)
	var damage *journal.CorruptionError
	if err := s.Status(nil); !errors.As(err, &damage) || damage.Seq != st.Seq()+1 {
		t.Errorf("Status: %v, want damage at event %d", err, st.Seq()+1)
	}
}

// TestNewestSegmentElsewhere moves the newest of several segments to the archive, where those who write don't look for it.
func TestNewestSegmentElsewhere(t *testing.T) {
	s := newBusyStore(t)
	add(t, s, 1)
	bulk(t, s, 1200)
	segments, err := filepath.Glob(filepath.Join(s.Dir(), "journal", "*"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("segments %v, %v; want some", segments, err)
	}
	newest := slices.Max(segments)
	archive := filepath.Join(s.Dir(), "archive")
	if err := os.MkdirAll(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(newest, filepath.Join(archive, filepath.Base(newest))); err != nil {
		t.Fatal(err)
	}
	var damage *journal.CorruptionError
	if err := s.Status(nil); !errors.As(err, &damage) {
		t.Errorf("Status: %v, want damage", err)
	}
}
