package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// BenchmarkPack packs the store in LEASELOG_BENCH_STORE.
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
	for b.Loop() {
		folder := b.TempDir()
		p, err := archive.Pack(folder, r.Meta(), 1, last, r.Raw, archive.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(p.Bytes)/float64(last), "B/event")
		b.ReportMetric(float64(last)/b.Elapsed().Seconds()*float64(b.N), "events/s")
		os.Rename(p.Path, filepath.Join("/tmp/archbench", filepath.Base(p.Path)))
	}
}
