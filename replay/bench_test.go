package replay_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// Sizes of the store that is folded: a long history of few leases, as churn leaves it.
const (
	benchEvents = 1_000_000
	benchLeases = 65_000
)

// generate makes a store with leasegen, as the plugin would have left it, and returns its folder.
func generate(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	tool := filepath.Join(dir, "leasegen")
	for _, args := range [][]string{
		{"go", "build", "-o", tool, "../tools/leasegen"},
		{tool, "--out", dir, "--network", "net", "--until", "2026-01-01T00:00:00Z",
			"--leases", strconv.Itoa(benchLeases), "--events", strconv.Itoa(benchEvents)},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatalf("%v: %v", args, err)
		}
	}
	return filepath.Join(dir, ".leaselog", "net")
}

// BenchmarkColdFold is a reader's whole way from the files of a million events to what they lead
// to, on one core. Nothing is kept from one round to the next; the page cache has the files.
func BenchmarkColdFold(b *testing.B) {
	store := generate(b)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	size := segmentBytes(b, store)
	folds := []struct {
		name string
		fold func(b *testing.B, r *journal.Reader)
	}{
		{"read=records", readRecords}, // bytes to events: CRC, no hash
		{"read=map", foldMap},         // and to the lease map, as CHECK and STATUS do
		{"read=leases", foldLeases},   // the same along the hash chain, each record kept
		{"read=history", foldHistory}, // and to who held what when
	}
	for _, f := range folds {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r, err := journal.OpenReader(store)
				if err != nil {
					b.Fatal(err)
				}
				f.fold(b, r)
			}
			b.ReportMetric(float64(b.N)*benchEvents/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func segmentBytes(b *testing.B, store string) (sum int64) {
	b.Helper()
	for _, folder := range []string{"archive", "journal"} {
		files, err := filepath.Glob(filepath.Join(store, folder, "0*"))
		if err != nil {
			b.Fatal(err)
		}
		for _, file := range files {
			st, err := os.Stat(file)
			if err != nil {
				b.Fatal(err)
			}
			sum += st.Size()
		}
	}
	return sum
}

func readRecords(b *testing.B, r *journal.Reader) {
	last := journal.Seq(0)
	for rec, err := range r.Records(0) {
		if err != nil {
			b.Fatal(err)
		}
		last = rec.Event.Seq
	}
	if last != benchEvents {
		b.Fatalf("got %d events, want %d", last, benchEvents)
	}
}

// foldMap checks each record's checksum and place, and whether the event is possible.
func foldMap(b *testing.B, r *journal.Reader) {
	st := state.New()
	if err := r.Events(0, journal.Hash{}, st.Apply); err != nil {
		b.Fatal(err)
	}
	if st.Seq() != benchEvents || st.Len() != benchLeases {
		b.Fatalf("got %d leases after event %d, want %d after %d", st.Len(), st.Seq(), benchLeases, benchEvents)
	}
}

// foldLeases does what every reader must: the record's checksum, its place, the hash of the
// record before, and whether the event is possible.
func foldLeases(b *testing.B, r *journal.Reader) {
	st := state.New()
	var head journal.Hash
	for rec, err := range r.Records(0) {
		if err != nil {
			b.Fatal(err)
		}
		if rec.Event.Prev != head {
			b.Fatalf("event %d does not continue the event before", rec.Event.Seq)
		}
		if err := st.Apply(&rec.Event); err != nil {
			b.Fatal(err)
		}
		head = journal.RecordHash(rec.Raw)
	}
	if st.Seq() != benchEvents || st.Len() != benchLeases {
		b.Fatalf("got %d leases after event %d, want %d after %d", st.Len(), st.Seq(), benchLeases, benchEvents)
	}
}

func foldHistory(b *testing.B, r *journal.Reader) {
	h, err := replay.Read(r.Records(0), replay.Options{HeldOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	if h.Stopped != nil {
		b.Fatal(h.Stopped)
	}
}
