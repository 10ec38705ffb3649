package report_test

import (
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/report"
)

// TestAllocates: what a page has of events and leases is allocated for many of them at once. One by one, that and the collector would
// take much of the time.
func TestAllocates(t *testing.T) {
	const events = 5_000
	var all []journal.Piece
	for p, err := range chronicle(events) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	pieces := func(yield func(journal.Piece, error) bool) {
		for i := range all {
			if !yield(all[i], nil) {
				return
			}
		}
	}
	if n := testing.AllocsPerRun(1, func() { page(t, &report.View{}, pieces) }); n > events/2 {
		t.Errorf("a page of %d events made %.0f allocations", events, n)
	}
}
