package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// salvaged is all that Salvage says of a store.
type salvaged struct {
	records []journal.Record
	losses  []journal.Loss
}

func salvage(t testing.TB, dir string, after journal.Seq) salvaged {
	t.Helper()
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s salvaged
	for p, err := range journal.Salvage(dir, meta, after) {
		switch {
		case err != nil:
			t.Fatal(err)
		case p.Loss != nil:
			s.losses = append(s.losses, *p.Loss)
		default:
			s.records = append(s.records, p.Record)
		}
	}
	return s
}

// String tells the records as ranges and the losses between them, such as "1-3 -4 5-9".
func (s salvaged) String() string {
	var words []string
	losses := s.losses
	for i := 0; i < len(s.records); {
		first := s.records[i].Event.Seq
		for len(losses) > 0 && losses[0].First <= first {
			words, losses = append(words, lossText(losses[0])), losses[1:]
		}
		last := first
		for i++; i < len(s.records) && s.records[i].Event.Seq == last+1 && (len(losses) == 0 || losses[0].First > last+1); i++ {
			last++
		}
		words = append(words, fmt.Sprintf("%d-%d", first, last))
	}
	for _, l := range losses {
		words = append(words, lossText(l))
	}
	return strings.Join(words, " ")
}

func lossText(l journal.Loss) string {
	text := fmt.Sprintf("lost:%d-%d", l.First, l.Last)
	if l.Open {
		text += "+"
	}
	return text
}

// handMade makes a store of small segments, of which those after the first begin with the given events.
// Its marker is another boot's, so that all of it is read, and witnesses the last event.
func handMade(t *testing.T, events int, firsts ...journal.Seq) (dir string, all []journal.Record) {
	t.Helper()
	return handMadeTo(t, events, journal.Seq(events), firsts...)
}

// handMadeTo is handMade with a marker that witnesses an earlier event.
func handMadeTo(t *testing.T, events int, durable journal.Seq, firsts ...journal.Seq) (dir string, all []journal.Record) {
	t.Helper()
	dir = newStore(t)
	fill(t, dir, events-1)
	if all = salvage(t, dir, 0).records; len(all) != events {
		t.Fatalf("%d events, want %d", len(all), events)
	}
	otherBoot(t, dir, durable)
	segment := read(t, segmentPath(dir, 1))
	at := boundaries(t, segment)
	firsts = append([]journal.Seq{1}, append(firsts, journal.Seq(events+1))...)
	for i, first := range firsts[:len(firsts)-1] {
		write(t, segmentPath(dir, first), segment[at[first-1]:at[firsts[i+1]-1]])
	}
	return dir, all
}

// TestSalvageFlips flips bits of three segments, one or two in each byte: what is read is what was
// written, at most one event is lost, and the loss says which.
func TestSalvageFlips(t *testing.T) {
	const step = 5
	dir, all := handMade(t, 7, 3, 5)
	if got := salvage(t, dir, 0).String(); got != "1-7" {
		t.Fatalf("undamaged: got %s", got)
	}
	for _, first := range []journal.Seq{1, 3, 5} {
		path := segmentPath(dir, first)
		good := read(t, path)
		for bit := 0; bit < len(good)*8; bit += step {
			bad := bytes.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			write(t, path, bad)
			s := salvage(t, dir, 0)
			if len(s.losses) != 1 || len(s.records) < len(all)-1 {
				t.Fatalf("segment %d, bit %d: got %s, want one loss of at most one event", first, bit, s)
			}
			l, next := s.losses[0], 0
			for _, rec := range s.records {
				want := all[rec.Event.Seq-1]
				if rec.Event.Seq <= journal.Seq(next) || !bytes.Equal(rec.Raw, want.Raw) {
					t.Fatalf("segment %d, bit %d: event %d is not what was written", first, bit, rec.Event.Seq)
				}
				next = int(rec.Event.Seq)
			}
			if l.First > l.Last && len(s.records) != len(all) || l.First <= l.Last && len(s.records)+int(l.Last+1-l.First) != len(all) {
				t.Fatalf("segment %d, bit %d: got %s: events are missing unsaid", first, bit, s)
			}
			if l.File != filepath.Join("journal", journal.SegmentName(first)) || int64(bit/8) < l.Offset || l.Offset+l.Bytes < int64(bit/8) {
				t.Fatalf("segment %d, bit %d: loss of %s at %d, %d bytes", first, bit, l.File, l.Offset, l.Bytes)
			}
		}
		write(t, path, good)
	}
}

func TestSalvageLosses(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		after  journal.Seq
		want   string
	}{
		{"a missing segment", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 5)) }, 0, "1-4 lost:5-8 9-12"},
		{"the first segment", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)) }, 0, "lost:1-4 5-12"},
		{"the newest segment", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 9)) }, 0, "1-8 lost:9-12"},
		{"before what is asked for", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)) }, 4, "5-12"},
		{"a segment cut short", func(t *testing.T, dir string) {
			truncate(t, segmentPath(dir, 5), int64(boundaries(t, read(t, segmentPath(dir, 5)))[2]))
		}, 0, "1-6 lost:7-8 9-12"},
		{"a segment cut inside a record", func(t *testing.T, dir string) {
			truncate(t, segmentPath(dir, 5), int64(boundaries(t, read(t, segmentPath(dir, 5)))[2]-9))
		}, 0, "1-5 lost:6-8 9-12"},
		{"the newest segment cut short of what was acknowledged", func(t *testing.T, dir string) {
			truncate(t, segmentPath(dir, 9), int64(boundaries(t, read(t, segmentPath(dir, 9)))[2]-9))
		}, 0, "1-9 lost:10-12+"},
		{"zeros from the middle on", func(t *testing.T, dir string) {
			b := read(t, segmentPath(dir, 9))
			clear(b[boundaries(t, b)[1]:])
			write(t, segmentPath(dir, 9), b)
		}, 0, "1-9 lost:10-12+"},
		{"bytes that don't belong there", func(t *testing.T, dir string) {
			b := read(t, segmentPath(dir, 5))
			write(t, segmentPath(dir, 5), append(b, read(t, segmentPath(dir, 9))...))
		}, 0, "1-8 lost:9-8 9-12"},
		{"a folder in place of a segment", func(t *testing.T, dir string) {
			remove(t, segmentPath(dir, 5))
			if err := os.Mkdir(segmentPath(dir, 5), 0o700); err != nil {
				t.Fatal(err)
			}
		}, 0, "1-4 lost:5-8 9-12"},
		{"a stray file", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "journal", "notes"), []byte("x")) }, 0, "1-12"},
		{"archived", func(t *testing.T, dir string) {
			if err := os.Rename(segmentPath(dir, 1), filepath.Join(dir, "archive", journal.SegmentName(1))); err != nil {
				t.Fatal(err)
			}
		}, 0, "1-12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, _ := handMade(t, 12, 5, 9)
			test.damage(t, dir)
			if got := salvage(t, dir, test.after).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestSalvageTorn holds Salvage to what Load does with a torn tail: it is no loss.
func TestSalvageTorn(t *testing.T) {
	dir, _ := handMadeTo(t, 12, 11, 5, 9)
	truncate(t, segmentPath(dir, 9), int64(len(read(t, segmentPath(dir, 9)))-3))
	if got := salvage(t, dir, 0).String(); got != "1-11" {
		t.Errorf("got %s, want 1-11", got)
	}
}

// TestSalvageLive reads a store in use up to what its marker calls durable.
func TestSalvageLive(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 4)
	b := read(t, segmentPath(dir, 1))
	write(t, segmentPath(dir, 1), append(b, 0, 0, 0, 7))
	if got := salvage(t, dir, 0).String(); got != "1-5" {
		t.Errorf("got %s, want 1-5: what follows is not durable", got)
	}
}

func TestIdentify(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		others bool // the caller knows the ID
		ok     bool
		node   bool // genesis was read
	}{
		{"by genesis", func(*testing.T, string) {}, false, true, true},
		{"by an archived genesis", func(t *testing.T, dir string) {
			if err := os.Rename(segmentPath(dir, 1), filepath.Join(dir, "archive", journal.SegmentName(1))); err != nil {
				t.Fatal(err)
			}
		}, false, true, true},
		{"by the marker", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)) }, false, true, false},
		{"by the caller", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)); remove(t, filepath.Join(dir, "lock")) }, true, true, false},
		{"by nothing", func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)); remove(t, filepath.Join(dir, "lock")) }, false, false, false},
		{"a damaged genesis", func(t *testing.T, dir string) { flip(t, segmentPath(dir, 1), 60) }, false, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, _ := handMade(t, 12, 5, 9)
			want, err := journal.ReadMeta(dir)
			if err != nil {
				t.Fatal(err)
			}
			test.damage(t, dir)
			remove(t, filepath.Join(dir, "META"))
			others := []journal.ID{{9}}
			if test.others {
				others = append(others, want.ID)
			}
			got, err := journal.Identify(dir, others...)
			if (err == nil) != test.ok {
				t.Fatalf("got %v", err)
			}
			if !test.ok {
				if d := new(journal.CorruptionError); !errors.As(err, &d) {
					t.Errorf("got %v, want damage", err)
				}
				return
			}
			want.DataDir = ""
			if !test.node {
				want.Node, want.Created = "", got.Created
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if err := journal.WriteMeta(dir, got); err != nil {
				t.Fatal(err)
			}
			if again, err := journal.ReadMeta(dir); err != nil || again.ID != want.ID {
				t.Errorf("written and read again: %v, %v", again, err)
			}
		})
	}
}

func TestWriteMetaKeepsTheOldOne(t *testing.T) {
	dir, _ := handMade(t, 12, 5, 9)
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "META"), []byte("rotten"))
	if err := journal.WriteMeta(dir, meta); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "quarantine", "*-META"))
	if err != nil || len(kept) != 1 || string(read(t, kept[0])) != "rotten" {
		t.Errorf("kept %v, %v", kept, err)
	}
}

func TestRestoreLock(t *testing.T) {
	dir, _ := handMade(t, 12, 5, 9)
	remove(t, filepath.Join(dir, "lock"))
	if err := os.Mkdir(filepath.Join(dir, "lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if journal.HasLock(dir) {
		t.Fatal("a folder counts as lock file")
	}
	for range 2 {
		if err := journal.RestoreLock(dir); err != nil {
			t.Fatal(err)
		}
		j, events := open(t, dir)
		if len(events) != 12 {
			t.Errorf("%d events, want 12", len(events))
		}
		j.Close()
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	b := read(t, path)
	b[at] ^= 1
	write(t, path, b)
}

// TestCoveredDamageAndTornTail has damage in an event that a snapshot covers, whose place is not in doubt, and behind it
// the rest of an append that power cut short: calls go on.
func TestCoveredDamageAndTornTail(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 9)
	otherBoot(t, dir, 10)
	hash := hashOf(t, dir, 8)
	path := segmentPath(dir, 1)
	flip(t, path, boundaries(t, read(t, path))[3]+60)
	write(t, path, append(read(t, path), make([]byte, 300)...))
	j, err := journal.Open(dir, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(8, hash, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(j.Cuts()) != 1 || j.Last() != 11 {
		t.Errorf("cuts %v, last event %d; want the tail cut and told", j.Cuts(), j.Last())
	}
}
