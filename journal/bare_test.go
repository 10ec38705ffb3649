package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// goldenSegment is the first segment of a store that an earlier version wrote.
const goldenSegment = "testdata/v1/journal/00000000000000000001"

// TestOpenArchive: an archive tells its events by itself, above its folder or in it, and nothing else is taken for one.
func TestOpenArchive(t *testing.T) {
	segment, err := os.ReadFile(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	want, err := journal.OpenReader("testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		files   []string // below the folder; one named like a segment is that one
		archive bool
		damaged bool
	}{
		{"above", []string{"archive/00000000000000000001"}, true, false},
		{"its own folder", []string{"00000000000000000001"}, true, false},
		{"with notes beside", []string{"00000000000000000001", "README"}, true, false},
		{"with a kept store", []string{"00000000000000000001", "00112233445566778899aabbccddeeff/META"}, true, false},
		{"without the first", []string{"archive/00000000000000000002"}, true, true},
		{"its own folder without the first", []string{"00000000000000000002"}, true, true},
		{"packed alone", []string{"00000000000000000001-00000000000000000009.llz"}, true, true},
		{"empty", nil, false, false},
		{"an empty archive", []string{"archive/notes"}, false, false},
		{"archive is a file", []string{"archive"}, false, false},
		{"a store", []string{"META", "archive/00000000000000000001"}, false, false},
		{"a store without META", []string{"journal/00000000000000000001", "archive/00000000000000000001"}, false, false},
		{"only the marker is left", []string{"lock", "archive/00000000000000000001"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tt.files {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, segment, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := journal.IsArchive(dir); got != tt.archive || err != nil {
				t.Fatalf("IsArchive is %v, %v; want %v", got, err, tt.archive)
			}
			r, err := journal.OpenArchive(dir)
			_, damaged := errors.AsType[*journal.CorruptionError](err)
			switch {
			case !tt.archive:
				if !errors.Is(err, journal.ErrNoStore) {
					t.Errorf("opened as an archive: %v, want %v", err, journal.ErrNoStore)
				}
				return
			case tt.damaged || damaged:
				if tt.damaged != damaged {
					t.Errorf("opened: %v, want damage: %v", err, tt.damaged)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			cov := r.Coverage()
			if cov.Durable != want.Coverage().Durable || !cov.Copy || cov.Live || len(cov.Doubts) > 0 || r.Meta().ID != want.Meta().ID {
				t.Errorf("coverage %+v of %s, want a copy's up to %d of %s", cov, r.Meta().ID, want.Coverage().Durable, want.Meta().ID)
			}
			n := journal.Seq(0)
			for rec, err := range r.Records(0) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				if _, err := os.Stat(filepath.Join(r.ArchiveDir(), filepath.Base(rec.File))); err != nil || rec.Event.Seq != n {
					t.Errorf("event %d in %s, want %d: %v", rec.Event.Seq, rec.File, n, err)
				}
			}
			if n != cov.Durable {
				t.Errorf("%d events, want %d", n, cov.Durable)
			}
			parent := filepath.Join(r.ArchiveDir(), "09000000000000000000000000000000")
			if parents, err := r.Parents(); len(parents) != 1 || parents[0] != parent || err != nil {
				t.Errorf("parents %q, %v; want %s", parents, err, parent)
			}
		})
	}
}

// TestOpenArchiveDamaged: damage in an archive is met where it is.
func TestOpenArchiveDamaged(t *testing.T) {
	segment, err := os.ReadFile(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	segment[len(segment)-20] ^= 1
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(goldenSegment)), segment, 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := journal.IsArchive(filepath.Dir(goldenSegment)); ok || err != nil {
		t.Errorf("the segments in use are taken for an archive: %v, %v", ok, err)
	}
	r, err := journal.OpenArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range r.Records(0) {
		last = err
	}
	if damage, ok := errors.AsType[*journal.CorruptionError](last); !ok || damage.Seq != r.Coverage().Durable+1 {
		t.Errorf("reading ended with %v, want damage to event %d", last, r.Coverage().Durable+1)
	}
}
