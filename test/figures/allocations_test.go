package figures_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

var allocations = golden{file: "allocations.txt", columns: []string{"objects", "bytes"}, atMost: []string{"objects", "bytes"}, slack: 0.1}

// TestAllocations counts what a whole process allocates, Go's start included, for calls that succeed. It is not
// quite the same in all runs, so that only more of it counts.
func TestAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("stores of 65,000 leases")
	}
	got, mu := table{}, sync.Mutex{}
	onEachStore(t, func(t *testing.T, leases int, dual bool) {
		n := newNetwork(t, dual)
		note := func(name string, c caller.Call) {
			r := n.allocated(t, c)
			mu.Lock()
			defer mu.Unlock()
			got[title(name, leases, dual)] = r
		}
		if leases > 0 {
			n.generate(t, leases, dual)
			must(t, n.call("ADD", "a"))
		} else {
			note("ADD-new-store", n.call("ADD", "a"))
		}
		must(t, n.call("DEL", "a"))
		note("ADD", n.call("ADD", "b"))
		note("CHECK", n.call("CHECK", "b"))
		note("STATUS", n.call("STATUS", ""))
		note("DEL", n.call("DEL", "b"))
		note("DEL-repeated", n.call("DEL", "b"))
	})
	if !t.Failed() {
		allocations.check(t, got)
	}
}

// allocated makes a call and returns what its process allocated.
func (n network) allocated(t *testing.T, c caller.Call) row {
	t.Helper()
	c.Env = append(c.Env, "GOMAXPROCS=2") // Go allocates something for each
	out, err := os.Create(filepath.Join(t.TempDir(), "figures"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if a := runCall(t, c, counted, out); !a.OK() {
		t.Fatalf("%s: %v, want success", c.Verb, a)
	}
	var objects, bytes int
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &objects, &bytes); err != nil {
		t.Fatalf("%s: %v", c.Verb, err)
	}
	return row{"objects": objects, "bytes": bytes}
}
