package archive_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/leaselog/leaselog/journal/archive"
)

// BenchmarkReader reads the store in LEASELOG_BENCH_STORE, such as leasegen makes.
func BenchmarkReader(b *testing.B) {
	dir := os.Getenv("LEASELOG_BENCH_STORE")
	if dir == "" {
		b.Skip("LEASELOG_BENCH_STORE names no store")
	}
	r, err := archive.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	addr := netip.MustParseAddr("10.0.20.7")
	b.Run("about", func(b *testing.B) {
		for b.Loop() {
			n, whole := 0, 0
			for rec, err := range r.About([]netip.Addr{addr}, 0) {
				if err != nil {
					b.Fatal(err)
				}
				if n++; !rec.Light {
					whole++
				}
			}
			b.ReportMetric(float64(n), "records")
			b.ReportMetric(float64(whole), "whole")
		}
	})
	b.Run("records", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range r.Records(0) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds()*float64(b.N), "events/s")
		}
	})
}
