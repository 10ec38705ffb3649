package jobs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// TestInTheWay has compact meet what does not belong there, and what is damaged.
func TestInTheWay(t *testing.T) {
	flip := func(name func(w *world) string) func(w *world) error {
		return func(w *world) error {
			path := name(w)
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		}
	}
	packed := func(w *world) string {
		all, err := filepath.Glob(filepath.Join(w.net.StoreDir(), "archive", "*.llz"))
		if err != nil || len(all) != 1 {
			w.t.Fatalf("packed files %q, %v", all, err)
		}
		return all[0]
	}
	in := func(names ...string) func(w *world) string {
		return func(w *world) string { return filepath.Join(append([]string{w.net.StoreDir()}, names...)...) }
	}
	folder := func(name func(w *world) string) func(w *world) error {
		return func(w *world) error { return os.MkdirAll(filepath.Join(name(w), "something"), 0o700) }
	}
	file := func(name func(w *world) string) func(w *world) error {
		return func(w *world) error { return os.WriteFile(name(w), []byte("something"), 0o600) }
	}
	live := func(w *world) string { // the oldest segment
		all, err := journal.Segments(w.net.StoreDir())
		if err != nil {
			w.t.Fatal(err)
		}
		return in("journal", journal.SegmentName(all[0]))(w)
	}
	tests := []struct {
		name  string
		put   func(w *world) error
		stops string // what it says; "" if it does not mind
	}{
		{"damaged segment", flip(live), journal.SegmentName(783)}, // it may be moved to archive/ before anybody reads it
		{"damaged packed file", flip(packed), ".llz"},
		{"a folder with a segment's name", folder(in("archive", journal.SegmentName(783))), journal.SegmentName(783)},
		{"a folder with the packed file's name", folder(in("archive", archive.Name(1, 1955))), archive.Name(1, 1955)},
		{"a folder with the lock's name", func(w *world) error {
			return os.MkdirAll(in(journal.CompactLock)(w), 0o700)
		}, journal.CompactLock},
		{"a foreign file", file(in("archive", "README")), ""},
		{"a foreign file in journal/", file(in("journal", "README")), "journal/README"},
		{"a foreign file in snap/", file(in("snap", "README")), ""},
		{"leftovers", folder(in("archive", "tmp.keyframes")), ""},
		{"a leftover", file(in("archive", "tmp.17.llz")), ""},
	}
	w := newWorld(t)
	w.fill(pods)
	w.must("compact")
	w.fill(pods)
	_ = os.Remove(filepath.Join(w.net.StoreDir(), journal.CompactLock)) // where a folder is put
	before, im := w.read(), w.save()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := im.restore(); err != nil {
				t.Fatal(err)
			}
			if err := tt.put(w); err != nil {
				t.Fatal(err)
			}
			was := w.save()
			out, exit := w.tool("compact")
			switch {
			case tt.stops == "" && exit != 0:
				t.Errorf("exit %d: %s", exit, out)
			case tt.stops != "" && (exit != 4 || !strings.Contains(out, tt.stops)):
				t.Errorf("exit %d, want 4 and %q: %s", exit, tt.stops, out)
			case tt.stops != "":
				w.asGoodAs(t, was)
			}
			if tt.stops != "" && !strings.HasPrefix(tt.name, "damaged") {
				for _, name := range []string{journal.SegmentName(783), archive.Name(1, 1955), "../" + journal.CompactLock} {
					if st, err := os.Stat(in("archive", name)(w)); err == nil && st.IsDir() {
						_ = os.RemoveAll(in("archive", name)(w))
					}
				}
				_ = os.Remove(in("journal", "README")(w))
				w.must("compact")
			}
			if !strings.HasPrefix(tt.name, "damaged") {
				if err := w.unchanged(before); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := im.restore(); err != nil { // in the folder of the test that made the world
		t.Fatal(err)
	}
	if err := w.unchanged(before); err != nil {
		t.Error(err)
	}
}

// asGoodAs fails the test if a file with events is gone that was there, or has other bytes. A segment may have moved.
func (w *world) asGoodAs(t *testing.T, was image) {
	t.Helper()
	for path, b := range was.files {
		folder := filepath.Base(filepath.Dir(path))
		if folder != "journal" && folder != "archive" || strings.HasPrefix(filepath.Base(path), "tmp.") {
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil && folder == "journal" {
			got, err = os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "archive", filepath.Base(path)))
		}
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s is not what it was: %v", path, err)
		}
	}
}

// TestFlippedBits: whatever bit flips in a packed file that compact made, verify finds it and names the file.
func TestFlippedBits(t *testing.T) {
	w := newWorld(t)
	w.fill(pods)
	w.must("compact")
	all, err := filepath.Glob(filepath.Join(w.net.StoreDir(), "archive", "*.llz"))
	if err != nil || len(all) != 1 {
		t.Fatalf("packed files %q, %v", all, err)
	}
	good, err := os.ReadFile(all[0])
	if err != nil {
		t.Fatal(err)
	}
	step := 8 * len(good) / 150
	if *full {
		step = 7
	}
	flips := 0
	for bit := int(*seed % uint64(step)); bit < 8*len(good); bit += step {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(all[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := replay.Verify(w.net.StoreDir(), w.net.Folder())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Findings, func(f replay.Finding) bool {
			return f.Severity != replay.SeverityNote && filepath.Base(f.File) == filepath.Base(all[0])
		}) {
			t.Errorf("bit %d of byte %d of %d: verify finds %+v (-seed %d)", bit%8, bit/8, len(good), v.Findings, *seed)
		}
		flips++
	}
	t.Logf("%d flips in %d bytes", flips, len(good))
}
