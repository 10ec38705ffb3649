package archive_test

import (
	"iter"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// cpu returns the CPU time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stretch is how many events are timed together.
const stretch = 1024

// timed is a Source that notes how long its caller takes with each stretch, walk by walk.
func timed(source archive.Source, walks *[][]time.Duration) archive.Source {
	return func(after journal.Seq) iter.Seq2[journal.Record, error] {
		return func(yield func(journal.Record, error) bool) {
			var took []time.Duration
			start, n := time.Now(), 0
			for rec, err := range source(after) {
				if !yield(rec, err) {
					break
				}
				if n++; n%stretch == 0 {
					took, start = append(took, time.Since(start)), time.Now()
				}
			}
			*walks = append(*walks, took)
		}
	}
}

// quiet returns what an event takes in all walks, by the tenth of the stretches that took least. On a machine that others use too most are
// interrupted, and find the processor's caches with other things in them.
func quiet(walks [][]time.Duration) (ns float64) {
	for _, took := range walks {
		if slices.Sort(took); len(took) > 0 {
			ns += float64(took[len(took)/10].Nanoseconds()) / stretch
		}
	}
	return ns
}

// BenchmarkPack packs the store in LEASELOG_BENCH_STORE, and says how many events a second of CPU time it does, for
// comparison how many records are hashed in one, and what an event takes where nothing interrupts.
func BenchmarkPack(b *testing.B) {
	dir := os.Getenv("LEASELOG_BENCH_STORE")
	if dir == "" {
		b.Skip("LEASELOG_BENCH_STORE names no store")
	}
	r, err := journal.OpenReader(dir)
	if err != nil {
		b.Fatal(err)
	}
	last := min(r.Coverage().Durable, 1<<19) // as many as compaction puts in a file
	var hashing, packing time.Duration
	var bytes int64
	var least float64
	for b.Loop() {
		start, record := cpu(b), make([]byte, 340)
		for range last {
			journal.RecordHash(record)
		}
		hashing += cpu(b) - start
		start = cpu(b)
		var walks [][]time.Duration
		p, err := archive.Pack(b.TempDir(), r.Meta(), 1, last, timed(r.Raw, &walks), archive.Options{})
		if err != nil {
			b.Fatal(err)
		}
		packing += cpu(b) - start
		bytes, least = p.Bytes, quiet(walks)
	}
	b.ReportMetric(float64(bytes)/float64(last), "B/event")
	b.ReportMetric(float64(last)*float64(b.N)/packing.Seconds(), "events/cpu-s")
	b.ReportMetric(float64(last)*float64(b.N)/hashing.Seconds(), "hashes/cpu-s")
	b.ReportMetric(least, "quiet-ns/event")
}
