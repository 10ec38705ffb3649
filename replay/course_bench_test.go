package replay_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// courseEvents are imports, and leases that go on, after which a node boots many times, with a change of ranges and a lease in each boot.
func courseEvents(imports, leases, boots int) []journal.Event {
	clock := at(1)
	all := []journal.Event{config()}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	add := func(ev journal.Event) {
		clock.Wall += int64(time.Millisecond)
		clock.BootTime += int64(time.Millisecond)
		ev.Clock = clock
		all = append(all, ev)
	}
	for i := range imports {
		ev := event(journal.KindImport, clock, fmt.Sprint("i", i), addr(i))
		ev.Claimed = clock.Wall - int64(i+1)*int64(time.Minute)
		add(ev)
	}
	for i := range leases {
		add(gave(clock, fmt.Sprint("h", i), addr(1<<16+i)))
	}
	for i := range boots {
		clock.Boot = journal.BootID{byte(i), byte(i >> 8), 1}
		clock.BootTime, clock.Wall = 1e9, clock.Wall+int64(time.Hour)
		ev := config()
		ev.Ranges = [][]journal.Range{{{Start: addr(2<<16 + i%2), End: addr(3 << 16)}}}
		add(ev)
		ev = gave(clock, fmt.Sprint("b", i), addr(2<<16+i))
		ev.Config = journal.Seq(len(all) + 1)
		add(ev)
		add(released(clock, fmt.Sprint("b", i), addr(2<<16+i)))
	}
	return journalOf(all...)
}

// BenchmarkCourse cuts histories in which very much changes, and asks for all windows.
func BenchmarkCourse(b *testing.B) {
	for _, size := range [][3]int{{250, 0, 1000}, {0, 100, 2000}, {0, 60_000, 50}, {0, 0, 10_000}} {
		b.Run(fmt.Sprintf("imports=%d/leases=%d/boots=%d", size[0], size[1], size[2]), func(b *testing.B) {
			h, err := replay.Read(records(courseEvents(size[0], size[1], size[2]), nil), replay.Options{})
			if err != nil || h.Stopped != nil {
				b.Fatal(err, h.Stopped)
			}
			for b.Loop() {
				c := h.Course(time.Time{})
				for i := range h.Intervals {
					c.Windows(nil, i)
				}
			}
		})
		b.Run(fmt.Sprintf("stretches/imports=%d/leases=%d/boots=%d", size[0], size[1], size[2]), func(b *testing.B) {
			h, err := replay.Read(records(courseEvents(size[0], size[1], size[2]), nil), replay.Options{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				h.Stretches(netip.MustParseAddr("10.0.0.1"), h.First.Time, h.Last.Time, time.Time{})
			}
		})
	}
}
