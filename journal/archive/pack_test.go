package archive_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

func openArchive(t testing.TB, dir string) *archive.Reader {
	t.Helper()
	r, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestRoundTrip packs random histories, in one file or several, and compares what is read with what was packed.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(seed, seed%2 == 1)
			n := []int{1, 5, 128, 129, 1000, 2500}[seed%6]
			h.append(t, n)
			folder := t.TempDir()
			for first := 1; first <= n; {
				last := min(n, first+h.r.IntN(n))
				h.pack(t, folder, first, last)
				first = last + 1
			}
			r := openArchive(t, folder)
			if got := r.Coverage().Durable; got != journal.Seq(n) {
				t.Fatalf("durable: got %d, want %d", got, n)
			}
			want := h.decoded(t)
			for _, after := range []int{0, 1, n / 2, n - 1, n} {
				next := after
				for rec, err := range r.Records(journal.Seq(after)) {
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(rec.Raw, h.records[next]) {
						t.Fatalf("event %d: got % x, want % x", next+1, rec.Raw, h.records[next])
					}
					if rec.Head() != journal.RecordHash(rec.Raw) || rec.Event.Seq != journal.Seq(next+1) {
						t.Fatalf("event %d: read as event %d, with the hash %s", next+1, rec.Event.Seq, rec.Head())
					}
					if got, want := fmt.Sprintf("%+v", rec.Event), fmt.Sprintf("%+v", want[next]); got != want {
						t.Fatalf("event %d: got %s, want %s", next+1, got, want)
					}
					next++
				}
				if next != n {
					t.Fatalf("after %d: got %d events, want %d", after, next-after, n-after)
				}
			}
		})
	}
}

// TestAbout compares the sparse read with its promise, on random histories.
func TestAbout(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(100+seed, seed%2 == 1)
			n := 300 + h.r.IntN(1500)
			h.append(t, n)
			folder := t.TempDir()
			for first := 1; first <= n; {
				last := min(n, first+h.r.IntN(n))
				h.pack(t, folder, first, last)
				first = last + 1
			}
			r, events := openArchive(t, folder), h.decoded(t)
			checkKinds(t, r, h, journal.KindImport, journal.KindAnnotate)
			checkKinds(t, r, h, journal.Kind(40), journal.KindGenesis)
			for range 20 {
				var addrs []netip.Addr
				for range h.r.IntN(4) {
					addrs = append(addrs, h.addr())
				}
				after := journal.Seq(0)
				if h.r.IntN(3) == 0 {
					after = journal.Seq(h.r.IntN(n))
				}
				checkAbout(t, r, h, events, addrs, after)
			}
		})
	}
}

func checkAbout(t *testing.T, r *archive.Reader, h *history, events []journal.Event, addrs []netip.Addr, after journal.Seq) {
	t.Helper()
	light, whole, collected := promised(events, addrs)
	got := make(map[journal.Seq]bool) // whether whole
	gc := make(map[journal.Seq]bool)
	last := after
	for rec, err := range r.About(addrs, after) {
		if err != nil {
			t.Fatal(err)
		}
		seq := rec.Event.Seq
		if seq <= last {
			t.Fatalf("event %d after %d", seq, last)
		}
		last, got[seq] = seq, !rec.Light
		want := events[seq-1]
		if rec.Light {
			want = journal.Event{Seq: want.Seq, Clock: want.Clock, Kind: want.Kind}
			if collects(&events[seq-1]) && rec.Event.Reason != 0 {
				want.Reason = journal.ReasonGC
			}
		} else if !bytes.Equal(rec.Raw, h.records[seq-1]) {
			t.Fatalf("event %d: raw bytes are others", seq)
		}
		if got, want := fmt.Sprintf("%+v", rec.Event), fmt.Sprintf("%+v", want); got != want {
			t.Fatalf("event %d: got %s, want %s", seq, got, want)
		}
		if gc[seq] = collects(&rec.Event); !rec.Light {
			light = append(light, seq-1)
		}
	}
	for _, seq := range collected {
		if seq > after && !gc[seq] {
			t.Errorf("about %v after %d: event %d is not there as one of a GC", addrs, after, seq)
		}
	}
	for _, seq := range whole {
		if seq > after && !got[seq] {
			t.Errorf("about %v after %d: event %d (%s) is not there whole", addrs, after, seq, events[seq-1].Kind)
		}
	}
	for _, seq := range light {
		if _, ok := got[seq]; seq > after && !ok {
			t.Errorf("about %v after %d: event %d is not there", addrs, after, seq)
		}
	}
}

// promised works out, by looking at all events, what About has to give.
func promised(events []journal.Event, addrs []netip.Addr) (light, whole, collected []journal.Seq) {
	type lastSeen struct{ any, synced journal.Seq }
	boots := make(map[journal.BootID]*lastSeen)
	var lastAdd, lastGC *journal.Event
	for i := range events {
		ev := &events[i]
		boot := boots[ev.Boot]
		if boot == nil {
			boot = &lastSeen{}
			boots[ev.Boot] = boot
			light = append(light, ev.Seq)
		}
		boot.any = ev.Seq
		if ev.Synchronised {
			boot.synced = ev.Seq
		}
		if i > 0 {
			p := &events[i-1]
			step := time.Duration((ev.Wall - ev.BootTime) - (p.Wall - p.BootTime)).Abs()
			if ev.Wall < p.Wall || ev.Boot == p.Boot && step > 10*time.Millisecond {
				light = append(light, p.Seq, ev.Seq)
			}
		}
		needed := !ev.Understood()
		for _, a := range ev.Addresses {
			needed = needed || slices.Contains(addrs, a.IP)
		}
		for _, ip := range ev.Requested {
			needed = needed || slices.Contains(addrs, ip)
		}
		switch ev.Kind {
		case journal.KindGenesis, journal.KindConfig, journal.KindRepair, journal.KindReset:
			needed = true
		case journal.KindAdd:
			needed = needed || lastAdd == nil || lastAdd.Config != ev.Config || len(ev.Ranges) > 0 || len(ev.Dropped) > 0
			lastAdd = ev
		}
		if collects(ev) {
			if lastGC == nil || lastGC.Boot != ev.Boot || time.Duration(ev.BootTime-lastGC.BootTime) > time.Minute {
				collected = append(collected, ev.Seq)
				if lastGC != nil {
					collected = append(collected, lastGC.Seq)
				}
			}
			lastGC = ev
		}
		if needed {
			whole = append(whole, ev.Seq)
		}
	}
	if lastGC != nil {
		collected = append(collected, lastGC.Seq)
	}
	for _, b := range boots {
		light = append(light, b.any)
		if b.synced > 0 {
			light = append(light, b.synced)
		}
	}
	return light, whole, collected
}

func collects(ev *journal.Event) bool {
	return ev.Kind == journal.KindDel && ev.Reason == journal.ReasonGC
}

// TestFind compares Find with a look at all events.
func TestFind(t *testing.T) {
	h := newHistory(7, true)
	h.append(t, 4000) // several filters in a file
	folder := t.TempDir()
	h.pack(t, folder, 1, 300)
	h.pack(t, folder, 301, 4000)
	r, events := openArchive(t, folder), h.decoded(t)
	for i := range 300 {
		ev := &events[h.r.IntN(len(events))]
		q := archive.Query{Container: ev.ContainerID}
		switch i % 5 {
		case 1:
			q.Container = q.Container[:min(len(q.Container), 1+h.r.IntN(16))]
		case 2:
			q = archive.Query{UID: ev.Pod.UID}
		case 3:
			q = archive.Query{Pod: ev.Pod.Namespace + "/" + ev.Pod.Name}
		case 4:
			q = archive.Query{Container: h.hex(64)}
		}
		if q == (archive.Query{}) || q.Pod == "/" {
			continue
		}
		want := archive.Found{}
		exact := slices.ContainsFunc(events, func(ev journal.Event) bool { return q.Container != "" && ev.ContainerID == q.Container })
		for k := range events {
			ev := &events[k]
			if !q.Match(ev) || exact && ev.ContainerID != q.Container {
				continue
			}
			if want.First == 0 {
				want.First = ev.Seq
			}
			want.Containers = append(want.Containers, ev.ContainerID)
			for _, a := range ev.Addresses {
				want.Addresses = append(want.Addresses, a.IP)
			}
		}
		slices.Sort(want.Containers)
		want.Containers = slices.Compact(want.Containers)
		slices.SortFunc(want.Addresses, netip.Addr.Compare)
		want.Addresses = slices.Compact(want.Addresses)
		got, err := r.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("find %+v: got %v, want %v", q, got, want)
		}
	}
}
