package move_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// The race at the switch.
const (
	racers  = 16 // processes of each plugin at any time
	initial = 160
	turns   = 4 // ADDs of each
)

// TestRaceAtTheSwitch starts host-local and leaselog at once where host-local has leases and leaselog has nothing yet.
func TestRaceAtTheSwitch(t *testing.T) {
	before := newNetwork(t, "10.70.0.0/24")
	before.Ranges[0][0].RangeEnd = "10.70.0.220" // addresses come back while the race is on
	given := fill(t, before, initial)
	for _, second := range []struct{ name, plugin string }{{"leaselog", leaselog}, {"under the name host-local", standIn}} {
		t.Run(second.name, func(t *testing.T) {
			t.Parallel()
			testRace(t, copyOf(t, before), second.plugin, given)
		})
	}
}

// fill has host-local give addresses, two calls at a time.
func fill(t *testing.T, n caller.Network, count int) map[string]netip.Addr {
	t.Helper()
	given := map[string]netip.Addr{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for w := range 2 {
		group.Go(func() {
			for i := w; i < count; i += 2 {
				id := fmt.Sprintf("old-%d", i)
				if a := do(t, hostLocal, add(n, id)); a.OK() {
					mu.Lock()
					given[id] = a.IPs[0]
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if len(given) != count {
		t.Fatalf("host-local gave %d addresses, want %d", len(given), count)
	}
	return given
}

// stay is the time in which an address was a container's for certain: from the answer to its ADD until the call of its DEL.
type stay struct {
	id       string
	ip       netip.Addr
	from, to time.Duration
}

const forever = time.Duration(1<<63 - 1)

// diary collects stays.
type diary struct {
	epoch time.Time
	mu    sync.Mutex
	stays []stay
}

func (d *diary) began(id string, ip netip.Addr) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stays = append(d.stays, stay{id, ip, time.Since(d.epoch), forever})
	return len(d.stays) - 1
}

func (d *diary) ends(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stays[i].to = time.Since(d.epoch)
}

// judge fails the test for each address that was two containers' at once.
func (d *diary) judge(t *testing.T) {
	t.Helper()
	slices.SortFunc(d.stays, func(a, b stay) int {
		if a.ip != b.ip {
			return a.ip.Compare(b.ip)
		}
		return int(a.from - b.from)
	})
	for i := 1; i < len(d.stays); i++ {
		if a, b := d.stays[i-1], d.stays[i]; a.ip == b.ip && a.to > b.from {
			t.Errorf("%s was given to %s at %v while it was %s's, from %v to %v", b.ip, b.id, b.from, a.id, a.from, a.to)
		}
	}
}

// living returns who holds what at the end, as lease files have it.
func (d *diary) living() map[netip.Addr]string {
	owners := map[netip.Addr]string{}
	for _, s := range d.stays {
		if s.to == forever {
			owners[s.ip] = s.id + "\r\neth0"
		}
	}
	return owners
}

func testRace(t *testing.T, n caller.Network, second string, given map[string]netip.Addr) {
	d := &diary{epoch: time.Now()}
	var old []int // stays of containers that host-local gave addresses before
	for _, id := range slices.Sorted(maps.Keys(given)) {
		old = append(old, d.began(id, given[id]))
	}
	// Both plugins release containers of the other's as well: each racer takes some of the old ones.
	var group sync.WaitGroup
	ready := make(chan struct{})
	for w := range 2 * racers {
		plugin := []string{hostLocal, second}[w%2]
		group.Go(func() {
			<-ready
			race(t, d, n, plugin, w, old[turns*w:turns*(w+1)])
		})
	}
	close(ready)
	group.Wait()

	must(t, second, del(n, "nobody")) // sees what host-local did last
	d.judge(t)
	same(t, "leases", held(t, n), d.living())
	same(t, "files", files(t, n), d.living())
	for i, s := range d.stays {
		if s.to == forever && i%16 == 0 {
			must(t, hostLocal, check(n, s.id))
			must(t, second, check(n, s.id))
		}
	}
}

// race takes some containers of one racer through their lives.
func race(t *testing.T, d *diary, n caller.Network, plugin string, w int, old []int) {
	for turn := range turns {
		id := fmt.Sprintf("racer-%d-%d", w, turn)
		a := do(t, plugin, add(n, id))
		if !a.OK() {
			t.Errorf("%s ADD %s: %v, want success", plugin, id, a)
			continue
		}
		mine := d.began(id, a.IPs[0])
		leaving := []int{old[turn]}
		if turn%2 == 0 {
			leaving = append(leaving, mine)
		}
		for _, i := range leaving {
			d.mu.Lock()
			id := d.stays[i].id
			d.mu.Unlock()
			d.ends(i)
			if a := do(t, plugin, del(n, id)); !a.OK() {
				t.Errorf("%s DEL %s: %v, want success", plugin, id, a)
			}
		}
	}
}
