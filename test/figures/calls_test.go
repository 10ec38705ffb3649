package figures_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// sizes are how many leases are held, by one subnet or by two.
var sizes = []int{0, 250, 65_000}

// situation is a call whose figures are taken. It finds what those before it left.
type situation struct {
	name    string
	prepare func(t *testing.T, n network)
	verb    string
	id      string
	code    int // of the error that it answers with
	largest int // the most leases that it is made at, 0 for all
	gc      bool
	change  func(c *caller.Call)
	shows   func(t *testing.T, n network, added []journal.Record) // fails the test unless the call did what its name says; nil if there is no store
}

// situations are in the order in which they are made on one store.
var situations = []situation{
	{name: "ADD", verb: "ADD", id: "b", shows: newKinds(journal.KindAdd)},
	{name: "ADD-refused", verb: "ADD", id: "b", code: 101, shows: newKinds(journal.KindRefuse)},
	{name: "ADD-refused-again", verb: "ADD", id: "b", code: 101, shows: newKinds()},
	{name: "CHECK", verb: "CHECK", id: "b", shows: newKinds()},
	{name: "STATUS", verb: "STATUS", shows: newKinds()},
	{name: "STATUS-on-exhaustion", verb: "STATUS", shows: newKinds(), change: func(c *caller.Call) {
		c.Network.Keys = map[string]any{"statusOnExhaustion": true}
	}},
	{name: "GC-of-nothing", verb: "GC", gc: true, largest: 250, shows: newKinds()}, // the list of more takes megabytes
	{name: "DEL", verb: "DEL", id: "b", shows: newKinds(journal.KindDel)},
	{name: "DEL-repeated", verb: "DEL", id: "b", shows: newKinds()},
	{name: "DEL-of-unknown", verb: "DEL", id: "nobody", shows: newKinds(journal.KindDel)},
	{name: "ADD-new-segment", prepare: func(t *testing.T, n network) { n.fillSegment(t) }, verb: "ADD", id: "c",
		shows: func(t *testing.T, n network, added []journal.Record) {
			newKinds(journal.KindAdd)(t, n, added)
			if len(added) == 1 {
				if _, err := os.Stat(filepath.Join(n.StoreDir(), "journal", fmt.Sprintf("%020d", added[0].Event.Seq))); err != nil {
					t.Errorf("no segment begins with its event: %v", err)
				}
			}
		}},
	{name: "ADD-snapshot", prepare: func(t *testing.T, n network) { n.age(t) }, verb: "ADD", id: "d", largest: 250,
		shows: func(t *testing.T, n network, added []journal.Record) {
			newKinds(journal.KindAdd)(t, n, added)
			if len(added) == 1 {
				if _, err := os.Stat(filepath.Join(n.StoreDir(), "snap", fmt.Sprintf("%020d.snap", added[0].Event.Seq))); err != nil {
					t.Errorf("no snapshot covers its event: %v", err)
				}
			}
		}},
}

// newKinds wants events of these kinds to have been recorded.
func newKinds(want ...journal.Kind) func(*testing.T, network, []journal.Record) {
	return func(t *testing.T, _ network, added []journal.Record) {
		t.Helper()
		var got []journal.Kind
		for _, rec := range added {
			got = append(got, rec.Event.Kind)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("recorded %v, want %v", got, want)
		}
	}
}

// TestCalls counts what calls ask of the kernel.
func TestCalls(t *testing.T) {
	needAMD64(t)
	trace.Need(t)
	if testing.Short() {
		t.Skip("some eighty processes under strace")
	}
	got, mu := table{}, sync.Mutex{}
	onEachStore(t, func(t *testing.T, leases int, dual bool) {
		n := newNetwork(t, dual)
		note := func(s situation) {
			r := n.figures(t, s)
			mu.Lock()
			defer mu.Unlock()
			got[title(s.name, leases, dual)] = r
		}
		if leases > 0 {
			n.generate(t, leases, dual)
			must(t, n.call("ADD", "a"))
		} else {
			if !dual {
				note(situation{name: "VERSION", verb: "VERSION"})
			}
			note(situation{name: "ADD-new-store", verb: "ADD", id: "a", shows: newKinds(journal.KindGenesis, journal.KindConfig, journal.KindAdd)})
		}
		must(t, n.call("DEL", "a"))
		for _, s := range situations {
			if s.largest == 0 || leases <= s.largest {
				note(s)
			}
		}
	})
	if !t.Failed() {
		callFigures.check(t, got)
	}
}

// title names a row: verb, subnets and leases.
func title(name string, leases int, dual bool) string {
	families := "single"
	if dual {
		families = "dual"
	}
	return fmt.Sprintf("%s/%s/%d", name, families, leases)
}

// onEachStore calls f for each kind of store, side by side, and waits.
func onEachStore(t *testing.T, f func(t *testing.T, leases int, dual bool)) {
	t.Helper()
	t.Run("stores", func(t *testing.T) {
		for _, leases := range sizes {
			for _, dual := range []bool{false, true} {
				t.Run(title("", leases, dual)[1:], func(t *testing.T) {
					t.Parallel()
					f(t, leases, dual)
				})
			}
		}
	})
}

// figures prepares and makes a call and returns its figures.
func (n network) figures(t *testing.T, s situation) row {
	t.Helper()
	if s.prepare != nil {
		s.prepare(t, n)
		// A process that was forked elsewhere while the store was open has its lock, too, until it has begun its own program.
		syscall.ForkLock.RLock()
		//lint:ignore SA2001 waiting is all
		syscall.ForkLock.RUnlock()
	}
	c := n.call(s.verb, s.id)
	if s.gc {
		c.Valid = n.attachments(t)
	}
	if s.change != nil {
		s.change(&c)
	}
	before := n.last(t)
	a, calls := traced(t, c)
	if a.Code != s.code {
		t.Fatalf("%s: %v, want code %d", s.name, a, s.code)
	}
	r := count(calls, n.root)
	if s.shows != nil {
		added := n.records(t, before)
		s.shows(t, n, added)
		r[written] -= varying(added)
	}
	return r
}

// varying returns how many of the bytes that events took are the machine's: its clock's error, a number of
// one to five bytes; its name, which also stands in META; and the byte that is added to a record whose length would
// be a multiple of 128, which depends on these.
func varying(added []journal.Record) int {
	bytes := 0
	for i := range added {
		const padded = 0x9c // docs/FORMAT.md, Records: the event's array has one element more
		ev := &added[i].Event
		bytes += numberBytes(uint64(ev.MaxError / time.Microsecond))
		if ev.Kind == journal.KindGenesis {
			bytes += 2 * stringBytes(ev.Origin.Node)
		}
		if added[i].Raw[1] == padded {
			bytes++
		}
	}
	return bytes
}

// numberBytes returns the length of a number in msgpack.
func numberBytes(n uint64) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	default:
		return 5 // the kernel doesn't count beyond 16 seconds
	}
}

// stringBytes returns the length of a string of less than 256 bytes in msgpack.
func stringBytes(s string) int {
	if len(s) < 32 {
		return 1 + len(s)
	}
	return 2 + len(s)
}
