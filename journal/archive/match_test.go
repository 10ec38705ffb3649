package archive_test

import (
	"encoding/hex"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// TestSourceChanges wants Pack to notice where the source, when it is read again, is not what was packed: in what is kept of a
// record, and in the hash of the record before, which is not worked out a second time.
func TestSourceChanges(t *testing.T) {
	h := newHistory(3, false)
	h.append(t, 400)
	events := h.decoded(t)
	for _, c := range []struct {
		name string
		seq  int
		does func(*journal.Event)
	}{
		{"nothing", 200, func(*journal.Event) {}},
		{"hash of the record before", 200, func(ev *journal.Event) { ev.Prev[31] ^= 1 }},
		{"hash at the beginning of a frame", 129, func(ev *journal.Event) { ev.Prev[0] ^= 1 }},
		{"hash in the first event", 1, func(ev *journal.Event) { ev.Prev[7] ^= 1 }},
		{"hash in the last event", 400, func(ev *journal.Event) { ev.Prev[7] ^= 1 }},
		{"clock", 200, func(ev *journal.Event) { ev.Wall++ }},
		{"container", 200, func(ev *journal.Event) { ev.ContainerID += "0" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev := events[c.seq-1]
			c.does(&ev)
			other, err := journal.AppendRecord(nil, h.id, &ev)
			if err != nil {
				t.Fatal(err)
			}
			walks := 0
			source := func(after journal.Seq) iter.Seq2[journal.Record, error] {
				walks++
				again := walks > 1
				return func(yield func(journal.Record, error) bool) {
					for i := int(after); i < len(h.records); i++ {
						rec := journal.Record{Event: journal.Event{Seq: journal.Seq(i + 1)}, Raw: h.records[i]}
						if again && i+1 == c.seq {
							rec.Raw = other
						}
						if !yield(rec, nil) {
							return
						}
					}
				}
			}
			folder := t.TempDir()
			_, err = archive.Pack(folder, journal.Meta{ID: h.id}, 1, 400, source, archive.Options{})
			left, _ := os.ReadDir(folder)
			if wrong := c.name != "nothing"; wrong != (err != nil) || wrong == (len(left) > 0) {
				t.Errorf("error %v, %d files", err, len(left))
			}
		})
	}
}

// TestSourceEnds wants Pack to notice a source that ends before all was compared.
func TestSourceEnds(t *testing.T) {
	h := newHistory(4, false)
	h.append(t, 300)
	walks := 0
	source := func(after journal.Seq) iter.Seq2[journal.Record, error] {
		walks++
		end := len(h.records)
		if walks > 1 {
			end -= 5
		}
		return func(yield func(journal.Record, error) bool) {
			for i := int(after); i < end; i++ {
				if !yield(journal.Record{Event: journal.Event{Seq: journal.Seq(i + 1)}, Raw: h.records[i]}, nil) {
					return
				}
			}
		}
	}
	if _, err := archive.Pack(t.TempDir(), journal.Meta{ID: h.id}, 1, 300, source, archive.Options{}); err == nil || walks != 2 {
		t.Errorf("error %v after %d walks", err, walks)
	}
}

// TestHex compares the digits that are made and read eight at once with encoding/hex.
func TestHex(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		want := hex.EncodeToString(b)
		if got := string(archive.AppendDigits(nil, b)); got != want {
			t.Fatalf("%d bytes: got %s, want %s", n, got, want)
		}
		back, ok := archive.AllHex(nil, []byte(want))
		if !ok || string(back) != string(b) {
			t.Fatalf("%s: got %x, %t", want, back, ok)
		}
	}
	for c := range 256 {
		for at := range 16 {
			digits := []byte("0123456789abcdef")
			digits[at] = byte(c)
			_, ok := archive.AllHex(nil, digits)
			if want := strings.ContainsRune("0123456789abcdef", rune(c)) && c < 128; ok != want {
				t.Fatalf("byte %#x at %d: got %t", c, at, ok)
			}
		}
	}
}
