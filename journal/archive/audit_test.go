package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// audited reads all of an archive and returns what is said to be wrong: losses first, then flaws.
func audited(t *testing.T, r *archive.Reader) (records int, wrong []string) {
	t.Helper()
	var flaws []string
	for p, err := range r.Audit(0, func(f archive.Flaw) {
		flaws = append(flaws, fmt.Sprintf("%s: byte %d: events %d to %d: %v", f.File, f.Offset, f.First, f.Last, f.Cause))
	}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case p.Loss != nil:
			wrong = append(wrong, fmt.Sprintf("%s: byte %d: lost: events %d to %d: %v", p.Loss.File, p.Loss.Offset, p.Loss.First, p.Loss.Last, p.Loss.Cause))
		default:
			records++
		}
	}
	return records, append(wrong, flaws...)
}

// TestAuditOfWhole: nothing is wrong with what Pack makes.
func TestAuditOfWhole(t *testing.T) {
	for seed := range uint64(8) {
		h := newHistory(40+seed, seed%2 == 0)
		h.append(t, 1500)
		dir := t.TempDir()
		h.pack(t, dir, 1, 500)
		h.pack(t, dir, 501, 1500)
		h.pack(t, dir, 501, 900) // which nobody reads
		r := openArchive(t, dir)
		if n, wrong := audited(t, r); n != 1500 || wrong != nil {
			t.Errorf("seed %d: %d records, %q", seed, n, wrong)
		}
		r.Close()
	}
}

// TestAuditOfSpoilt: what is said about the events is held against them.
func TestAuditOfSpoilt(t *testing.T) {
	for _, spoil := range archive.Spoils {
		t.Run(spoil, func(t *testing.T) {
			h := newHistory(7, false)
			h.append(t, 700)
			dir := t.TempDir()
			h.pack(t, dir, 1, 300)
			name := archive.Name(301, 700)
			meta := journal.Meta{ID: h.id, Network: "n", Node: "here"}
			if err := archive.PackSpoilt(filepath.Join(dir, name), meta, 301, 700, h.source, archive.Options{}, spoil); err != nil {
				t.Fatal(err)
			}
			r := openArchive(t, dir)
			n, wrong := audited(t, r)
			if n != 700 && !strings.Contains(fmt.Sprint(wrong), ": lost: ") || len(wrong) != 1 || !strings.HasPrefix(wrong[0], name+": byte ") {
				t.Errorf("%d records, %q; want one flaw of %s", n, wrong, name)
			}
		})
	}
}

// TestAuditOfFlipped flips a bit of each byte of a file.
func TestAuditOfFlipped(t *testing.T) {
	h, path, content := small(t, 12)
	for i := range content {
		content[i] ^= 4
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		content[i] ^= 4
		r, err := archive.Open(filepath.Dir(path))
		if err != nil {
			continue
		}
		if _, wrong := audited(t, r); len(wrong) == 0 || !strings.HasPrefix(wrong[0], filepath.Base(path)) {
			t.Errorf("byte %d of %d: got %q", i, len(content), wrong)
		}
		checkPieces(t, h, r, 0, len(h.records), fmt.Sprint("byte ", i))
		r.Close()
	}
}

// TestAuditOfDuplicates: what holds the same events has to be the same, and stands in for what is damaged.
func TestAuditOfDuplicates(t *testing.T) {
	n := 2500
	dir, h := newStore(t, 300, n)
	firsts, end := loose(t, dir)
	p := h.pack(t, filepath.Join(dir, "archive"), 1, end-1)
	packed := "archive/" + filepath.Base(p.Path)
	segment := fmt.Sprintf("archive/%020d", firsts[1])
	whole, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(name string, at int) func() {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(b)
		changed[at] ^= 1
		write(t, filepath.Join(dir, name), changed)
		return func() { write(t, filepath.Join(dir, name), b) }
	}
	inFrame := 0 // a byte of a frame in the middle
	for rec, err := range openArchive(t, dir).Raw(journal.Seq(end / 2)) {
		if err != nil {
			t.Fatal(err)
		}
		inFrame = int(rec.Offset) + 20
		break
	}
	other := newHistory(300, false)
	other.id = h.id
	other.append(t, end+500)
	other.records[0] = h.records[0]
	for _, tt := range []struct {
		name  string
		spoil func() (undo func())
		want  []string // prefix and what it says
	}{
		{"as it is", func() func() { return func() {} }, nil},
		{"a segment", func() func() { return flip(segment, 3000) }, []string{segment + ": byte ", packed + " has the event"}},
		{"a frame", func() func() { return flip(packed, inFrame) }, []string{packed + ": byte ", "segments have these events"}},
		{"a frame and a segment elsewhere", func() func() {
			frame := flip(packed, inFrame)
			missing := filepath.Join(dir, "archive", fmt.Sprintf("%020d", firsts[len(firsts)-1]))
			b, err := os.ReadFile(missing)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(missing)
			return func() { frame(); write(t, missing, b) }
		}, []string{packed + ": byte ", "segments have these events"}},
		{"the footer", func() func() { return flip(packed, len(whole)-30) }, []string{packed + ": byte ", "its events are elsewhere"}},
		{"another course", func() func() {
			foreign := other.pack(t, t.TempDir(), 2, end-1)
			b, err := os.ReadFile(foreign.Path)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "archive", filepath.Base(foreign.Path))
			write(t, path, b)
			return func() { os.Remove(path) }
		}, []string{"archive/" + archive.Name(2, journal.Seq(end-1)) + ": byte ", "another event of this number than " + packed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.spoil()()
			r := openArchive(t, dir)
			checkRecords(t, h, r, 0)
			checkRecords(t, h, r, 700)
			got, wrong := audited(t, r)
			r.Close()
			if got != n || (wrong == nil) != (tt.want == nil) {
				t.Fatalf("%d records, %q", got, wrong)
			}
			if tt.want != nil && (!strings.HasPrefix(wrong[0], tt.want[0]) || !strings.Contains(wrong[0], tt.want[1])) {
				t.Errorf("got %q, want %q", wrong, tt.want)
			}
		})
	}
	if b, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("the file was not put back: %v", err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestParentsPacked: who was before is known where the first event is packed.
func TestParentsPacked(t *testing.T) {
	parent := journal.ID{1, 2, 3}
	dir, h := newSuccessor(t, 303, 2500, parent)
	firsts, end := loose(t, dir)
	h.pack(t, filepath.Join(dir, "archive"), 1, end-1)
	for _, first := range firsts {
		removeLoose(t, dir, first)
	}
	r := openArchive(t, dir)
	defer r.Close()
	want := filepath.Join(dir, "archive", parent.String())
	if got, err := r.Parents(); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
}

// TestBareTail: the last file of an archive by itself can't be read, and who reads so far is told.
func TestBareTail(t *testing.T) {
	h := newHistory(9, false)
	h.append(t, 400)
	dir := t.TempDir()
	h.pack(t, dir, 1, 200)
	path := h.pack(t, dir, 201, 400).Path
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-30] ^= 1
	write(t, path, b)
	r := openArchive(t, dir)
	n := 0
	for _, err = range r.Records(0) {
		if err == nil {
			n++
		}
	}
	if d := damage(t, "tail", err); n != 200 || !strings.Contains(d.Error(), filepath.Base(path)) {
		t.Errorf("%d records, then %v", n, err)
	}
}

// TestBareMixture: an archive by itself of packed files and the segments behind them is one history.
func TestBareMixture(t *testing.T) {
	dir, h := newStore(t, 301, 2500)
	firsts, end := loose(t, dir)
	last := firsts[len(firsts)/2] - 1
	h.pack(t, filepath.Join(dir, "archive"), 1, last)
	for _, first := range firsts[:len(firsts)/2] {
		removeLoose(t, dir, first)
	}
	h.records = h.records[:end-1]
	r, err := archive.OpenArchive(filepath.Join(dir, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Coverage(); int(got.Durable) != end-1 || !got.Copy || r.Meta().Created.IsZero() {
		t.Errorf("got %+v of %+v, want up to event %d", got, r.Meta(), end-1)
	}
	checkRecords(t, h, r, 0)
	if lost := checkPieces(t, h, r, 0, end-1, "mixture"); lost != 0 {
		t.Errorf("%d events are lost", lost)
	}
	removeLoose(t, dir, firsts[len(firsts)/2])
	if lost := checkPieces(t, h, r, 0, end-1, "mixture"); lost != firsts[len(firsts)/2+1]-last-1 {
		t.Errorf("%d events are lost", lost)
	}
}

// TestPiecesPackedMeanwhile: segments that are packed and removed under a Reader are not lost.
func TestPiecesPackedMeanwhile(t *testing.T) {
	dir, h := newStore(t, 302, 2500)
	r := openArchive(t, dir)
	defer r.Close()
	firsts, end := loose(t, dir)
	h.pack(t, filepath.Join(dir, "archive"), 1, end-1)
	for _, first := range firsts {
		removeLoose(t, dir, first)
	}
	if n, wrong := audited(t, r); n != 2500 || wrong != nil {
		t.Errorf("%d records, %q", n, wrong)
	}
}
