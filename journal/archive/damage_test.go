package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// small packs a short history and returns the file.
func small(t *testing.T, n int) (h *history, path string, content []byte) {
	t.Helper()
	h = newHistory(3, true)
	h.append(t, n)
	path = h.pack(t, t.TempDir(), 1, n).Path
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return h, path, content
}

// judge opens a file that was changed and asks it everything. It returns the first damage that was met, and fails the
// test if an answer is wrong.
func judge(t *testing.T, h *history, path string, want []archive.Found, what string) error {
	t.Helper()
	r, err := archive.Open(filepath.Dir(path))
	if err != nil {
		return damage(t, what, err)
	}
	defer r.Close()
	judgeKind(t, h, r, what)
	next := 0
	for rec, err := range r.Records(0) {
		if err != nil {
			return damage(t, what, err)
		}
		if next >= len(h.records) || !bytes.Equal(rec.Raw, h.records[next]) {
			t.Fatalf("%s: event %d is another and nothing says so", what, next+1)
		}
		next++
	}
	if next != len(h.records) {
		t.Fatalf("%s: %d events, want %d, and nothing says so", what, next, len(h.records))
	}
	for i, q := range questions(h) {
		var got archive.Found
		if q.addrs == nil {
			got, err = r.Find(q.find)
		} else {
			got, err = about(r, q.addrs)
		}
		if err != nil {
			return damage(t, what, err)
		}
		if i < len(want) && fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Fatalf("%s: question %d: got %v, want %v, and nothing says so", what, i, got, want[i])
		}
	}
	return nil
}

// judgeKind asks for the events of a kind. Damage elsewhere may not be met.
func judgeKind(t *testing.T, h *history, r *archive.Reader, what string) {
	t.Helper()
	var want [][]byte
	for i, ev := range h.decoded(t) {
		if ev.Kind == journal.KindDel {
			want = append(want, h.records[i])
		}
	}
	next := 0
	for rec, err := range r.OfKinds(journal.KindDel) {
		if err != nil {
			_ = damage(t, what, err)
			return
		}
		if next >= len(want) || !bytes.Equal(rec.Raw, want[next]) {
			t.Fatalf("%s: event %d is another, or of another kind, and nothing says so", what, rec.Event.Seq)
		}
		next++
	}
	if next != len(want) {
		t.Fatalf("%s: %d events of a kind, want %d, and nothing says so", what, next, len(want))
	}
}

type question struct {
	find  archive.Query
	addrs []netip.Addr
}

func questions(h *history) []question {
	qs := []question{{find: archive.Query{Container: "x"}}, {find: archive.Query{Pod: "default/db-0"}}, {addrs: []netip.Addr{}}}
	for i := range 4 {
		qs = append(qs, question{addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + 13*i)})}})
	}
	return append(qs, question{addrs: []netip.Addr{netip.MustParseAddr("fd00::7")}})
}

// about counts what About gives as if it were found: all that matters here is whether it changes.
func about(r *archive.Reader, addrs []netip.Addr) (archive.Found, error) {
	var f archive.Found
	for rec, err := range r.About(addrs, 0) {
		if err != nil {
			return f, err
		}
		f.Containers = append(f.Containers, fmt.Sprintf("%d %v %+v %x", rec.Event.Seq, rec.Light, rec.Event.Clock, rec.Raw))
	}
	return f, nil
}

// answers are those of the file as it was packed.
func answers(t *testing.T, h *history, dir string) []archive.Found {
	t.Helper()
	r := openArchive(t, dir)
	var all []archive.Found
	for _, q := range questions(h) {
		got, err := r.Find(q.find)
		if q.addrs != nil {
			got, err = about(r, q.addrs)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got)
	}
	return all
}

// damage fails the test for an error that isn't damage with a file.
func damage(t *testing.T, what string, err error) error {
	t.Helper()
	c, ok := errors.AsType[*journal.CorruptionError](err)
	if !ok || c.File == "" {
		t.Fatalf("%s: got %v, want damage of a file", what, err)
	}
	return err
}

// TestFlippedBits flips each bit of a file: it is found, by opening and reading or by Check.
func TestFlippedBits(t *testing.T) {
	h, path, content := small(t, 12)
	want := answers(t, h, filepath.Dir(path))
	for i := range content {
		for bit := range 8 {
			if (i+bit)%everyNth != 0 {
				continue
			}
			content[i] ^= 1 << bit
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			content[i] ^= 1 << bit
			what := fmt.Sprintf("byte %d bit %d", i, bit)
			if judge(t, h, path, want, what) != nil {
				continue
			}
			r := openArchive(t, filepath.Dir(path))
			if err := r.Check(); err == nil {
				t.Errorf("%s: nothing finds it", what)
			}
			r.Close()
		}
	}
}

// TestCut cuts a file at each byte.
func TestCut(t *testing.T) {
	h, path, content := small(t, 12)
	for n := range content {
		if err := os.WriteFile(path, content[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if judge(t, h, path, nil, fmt.Sprintf("cut at %d", n)) == nil {
			t.Errorf("cut at %d: nothing finds it", n)
		}
	}
}

// TestPiecesOfDamaged damages a file anywhere: what is left is right, and the rest is told as lost.
func TestPiecesOfDamaged(t *testing.T) {
	h, path, content := small(t, 700)
	for range 400 {
		at := h.r.IntN(len(content))
		changed := slices.Clone(content)
		for i := at; i < min(len(changed), at+1+h.r.IntN(50)); i++ {
			changed[i] ^= byte(1 + h.r.IntN(255))
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(filepath.Dir(path))
		if err != nil {
			damage(t, fmt.Sprint("byte ", at), err)
			continue
		}
		checkPieces(t, h, r, 0, len(h.records), fmt.Sprint("byte ", at))
		r.Close()
	}
}

// checkPieces compares what is left and what is lost with what there was.
func checkPieces(t *testing.T, h *history, r *archive.Reader, after, last int, what string) (lost int) {
	t.Helper()
	next := after + 1
	for p, err := range r.Pieces(journal.Seq(after)) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if p.Loss != nil {
			if int(p.Loss.First) != next || p.Loss.Cause == nil {
				t.Fatalf("%s: lost are events %d to %d, but the next one is %d", what, p.Loss.First, p.Loss.Last, next)
			}
			lost += int(p.Loss.Last) + 1 - next
			next = int(p.Loss.Last) + 1
			continue
		}
		if int(p.Event.Seq) != next || !bytes.Equal(p.Raw, h.records[next-1]) {
			t.Fatalf("%s: got event %d, want %d", what, p.Event.Seq, next)
		}
		next++
	}
	if next != last+1 {
		t.Fatalf("%s: ends before event %d, want %d", what, next, last+1)
	}
	return lost
}
