package archive_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// TestEnds compares Ends of packed files, and of segments beside them, with a look at all events.
func TestEnds(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			dir, h := newStore(t, 700+seed, 1500)
			firsts, _ := loose(t, dir)
			middle := firsts[len(firsts)/2]
			h.pack(t, dir+"/archive", 1, middle-301)
			h.pack(t, dir+"/archive", middle-300, middle-1)
			r := openArchive(t, dir)
			events := h.decoded(t)
			for range 30 {
				checkEnds(t, r, events, []int{middle - 301, middle - 1, len(events)}, journal.Seq(h.r.IntN(len(events))))
			}
		})
	}
}

// checkEnds compares the Ends after an event. lasts are the last events of packed files, and of the segments behind them, which
// know nothing of what is before the first event that they are asked for.
func checkEnds(t *testing.T, r *archive.Reader, events []journal.Event, lasts []int, after journal.Seq) {
	t.Helper()
	var want []archive.End
	first := 1
	for i, last := range lasts {
		segments := i+1 == len(lasts) && len(lasts) > 2
		since := journal.Seq(first)
		if segments {
			since = max(since, after+1)
		}
		starts := make(map[netip.Addr]journal.Seq)
		for k := int(since); k <= last; k++ {
			ev := &events[k-1]
			plain := slices.Contains([]journal.Reason{journal.ReasonDel, journal.ReasonReboot, journal.ReasonWiped}, ev.Reason) ||
				ev.Kind == journal.KindDel && ev.Reason == 0
			for _, a := range ev.Addresses {
				switch ev.Kind {
				case journal.KindAdd, journal.KindImport:
					starts[a.IP] = ev.Seq
				case journal.KindDel, journal.KindRelease:
					if !plain && ev.Seq > after {
						want = append(want, archive.End{Seq: ev.Seq, Kind: ev.Kind, Reason: ev.Reason, IP: a.IP, Start: starts[a.IP],
							Since: since, Owner: archive.OwnerHash(ev.ContainerID),
							Clock: journal.Clock{Wall: ev.Wall, BootTime: ev.BootTime, Boot: ev.Boot}})
					}
					delete(starts, a.IP)
				}
			}
			if ev.Kind == journal.KindReset {
				clear(starts)
			}
		}
		first = last + 1
	}
	var got []archive.End
	for e, err := range r.Ends(after) {
		if err != nil {
			t.Fatal(err)
		}
		e.Clock.Synchronised, e.Clock.MaxError = false, 0
		got = append(got, e)
	}
	if !slices.Equal(got, want) {
		t.Errorf("ends after event %d: got %d, want %d", after, len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	}
}
