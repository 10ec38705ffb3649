package archive_test

import (
	"os"
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

// BenchmarkPack packs the store in LEASELOG_BENCH_STORE, and says how many events a second of CPU time it does, and for
// comparison how many records are hashed in one.
func BenchmarkPack(b *testing.B) {
	dir := os.Getenv("LEASELOG_BENCH_STORE")
	if dir == "" {
		b.Skip("LEASELOG_BENCH_STORE names no store")
	}
	r, err := journal.OpenReader(dir)
	if err != nil {
		b.Fatal(err)
	}
	last := min(r.Coverage().Durable, archive.MaxEvents)
	var hashing, packing time.Duration
	var bytes int64
	for b.Loop() {
		start, record := cpu(b), make([]byte, 340)
		for range last {
			journal.RecordHash(record)
		}
		hashing += cpu(b) - start
		start = cpu(b)
		p, err := archive.Pack(b.TempDir(), r.Meta(), 1, last, r.Raw, archive.Options{})
		if err != nil {
			b.Fatal(err)
		}
		packing += cpu(b) - start
		bytes = p.Bytes
	}
	b.ReportMetric(float64(bytes)/float64(last), "B/event")
	b.ReportMetric(float64(last)*float64(b.N)/packing.Seconds(), "events/cpu-s")
	b.ReportMetric(float64(last)*float64(b.N)/hashing.Seconds(), "hashes/cpu-s")
}
