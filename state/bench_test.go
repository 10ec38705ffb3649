package state_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

const benchLeases = 250_000

func benchAttachment(i int) state.Attachment {
	return state.Attachment{ContainerID: fmt.Sprintf("%032x%032x", uint64(i)*0x9e3779b97f4a7c15, i), IfName: "eth0"}
}

func benchEvent(seq journal.Seq, i int, ip netip.Addr) journal.Event {
	ev := add(benchAttachment(i).ContainerID, "eth0", journal.Address{IP: ip, Bits: 14, Gateway: netip.MustParseAddr("10.0.0.1")})
	ev.Seq = seq
	ev.NetNS = fmt.Sprintf("/var/run/netns/cni-%08x-89ab-cdef-0123-456789abcdef", i)
	ev.Pod = journal.Pod{Namespace: "default", Name: fmt.Sprintf("web-%d", i), UID: fmt.Sprintf("%08x-7654-3210-fedc-ba9876543210", i)}
	ev.Clock = journal.Clock{Wall: 1_800_000_000_000_000_000 + int64(i), BootTime: 1e13 + int64(i), Boot: journal.BootID{1}}
	ev.Cursors = []journal.Cursor{{IP: ip}}
	return ev
}

// benchSnapshot writes a snapshot with every address held but each gap-th.
func benchSnapshot(b *testing.B, gap int) string {
	b.Helper()
	st := state.New()
	ip := netip.MustParseAddr("10.0.0.2")
	for i := range benchLeases {
		if gap > 0 && i%gap == 0 {
			ip = ip.Next()
		}
		mustApply(b, st, benchEvent(journal.Seq(i+1), i, ip))
		ip = ip.Next()
	}
	return writeSnapshot(b, b.TempDir(), st)
}

var benchFrom, benchTo = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.15.255.254")

// BenchmarkOpenAndLookUp is what one ADD asks of a snapshot.
func BenchmarkOpenAndLookUp(b *testing.B) {
	for _, gap := range []int{0, 2} {
		path := benchSnapshot(b, gap)
		b.Run(fmt.Sprintf("gap=%d", gap), func(b *testing.B) {
			for i := range b.N {
				s, err := state.OpenSnapshot(path, testID)
				if err != nil {
					b.Fatal(err)
				}
				st := state.Over(s)
				if held, err := st.Held(benchAttachment(i * 7919 % benchLeases)); len(held) != 1 || err != nil {
					b.Fatal(held, err)
				}
				last, _ := st.Cursor(0)
				if _, ok, err := st.NextFree(last.Next(), benchTo); !ok || err != nil {
					b.Fatal(ok, err)
				}
				s.Close()
			}
		})
	}
}

func BenchmarkNextFree(b *testing.B) {
	for _, gap := range []int{0, 2} {
		path := benchSnapshot(b, gap)
		b.Run(fmt.Sprintf("gap=%d", gap), func(b *testing.B) {
			st := state.Over(openSnapshot(b, path))
			for b.Loop() {
				if _, ok, err := st.NextFree(benchFrom.Next(), benchTo); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkTail folds 1,000 events, half of them ends of leases of the snapshot, as a process
// that has just opened it does.
func BenchmarkTail(b *testing.B) {
	path := benchSnapshot(b, 0)
	events := benchTail(1000)
	for b.Loop() {
		s, err := state.OpenSnapshot(path, testID)
		if err != nil {
			b.Fatal(err)
		}
		st := state.Over(s)
		for i := range events {
			if err := st.Apply(&events[i]); err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
	}
}

func benchTail(n int) []journal.Event {
	var events []journal.Event
	ip := netip.MustParseAddr("10.0.0.2")
	ips := make([]netip.Addr, benchLeases)
	for i := range ips {
		ips[i] = ip
		ip = ip.Next()
	}
	for i := range n / 2 {
		gone := i * 7919 % benchLeases
		taken := benchEvent(0, benchLeases+i, ip)
		ip = ip.Next()
		events = append(events, del(benchAttachment(gone).ContainerID, "eth0", journal.Address{IP: ips[gone], Bits: 14}), taken)
	}
	for i := range events {
		events[i].Seq = journal.Seq(benchLeases + 1 + i)
	}
	return events
}

func BenchmarkApplyAll(b *testing.B) {
	events := make([]journal.Event, benchLeases)
	ip := benchFrom
	for i := range events {
		events[i] = benchEvent(journal.Seq(i+1), i, ip)
		ip = ip.Next()
	}
	for b.Loop() {
		st := state.New()
		for i := range events {
			if err := st.Apply(&events[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchLeases), "ns/event")
}

func BenchmarkWriteSnapshot(b *testing.B) {
	path := benchSnapshot(b, 0)
	events := benchTail(1000)
	st := state.Over(openSnapshot(b, path))
	mustApply(b, st, events...)
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		writeSnapshot(b, dir, st)
	}
}

func BenchmarkVerify(b *testing.B) {
	s := openSnapshot(b, benchSnapshot(b, 0))
	for b.Loop() {
		if err := s.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}
