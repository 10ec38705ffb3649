package state_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// readCounter tells how many bytes the calling thread has read by system calls; Linux counts them. The goroutine must
// be locked to its thread.
type readCounter struct {
	f   *os.File
	own int // bytes that reading the counter adds to it
}

func newReadCounter(t *testing.T) *readCounter {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	f, err := os.Open("/proc/thread-self/io")
	if err != nil {
		t.Skipf("bytes read are counted by the kernel: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	c := &readCounter{f: f}
	c.bytes(t) // the numbers may get longer, but not by much in one test
	return c
}

func (c *readCounter) bytes(t *testing.T) int {
	t.Helper()
	var text [512]byte
	n, err := c.f.ReadAt(text[:128], 0)
	if err != nil && n == 0 {
		t.Fatal(err)
	}
	var read int
	if _, err := fmt.Sscanf(string(text[:n]), "rchar: %d", &read); err != nil {
		t.Fatal(err)
	}
	read -= c.own
	c.own += n
	return read
}

// reads is how many blocks a lookup reads at most, and on average.
type reads struct {
	most int
	mean float64
}

// sizes are snapshots, and how many blocks of the owner index a lookup reads. Fingerprints are spread evenly, but not
// more evenly than chance is: of n of them the place of one is up to a standard deviation of √n/2 from where it would be.
// That is 0.4 of a block of 340 at 65,000 and 0.7 at 250,000. Which owners there are is the same in all runs.
var sizes = []struct {
	leases int
	index  reads
}{
	{65_000, reads{2, 1.3}},
	{250_000, reads{3, 1.8}},
}

// TestBlocksRead bounds how many blocks lookups read in large snapshots: by address and of held runs one for each
// halving of the section, by owner a few of the index, and one of the leases.
func TestBlocksRead(t *testing.T) {
	st, from := state.New(), 0
	ip := netip.MustParseAddr("10.0.0.2")
	var ips []netip.Addr
	for _, size := range sizes {
		if testing.Short() && size.leases > 65_000 {
			continue
		}
		for ; from < size.leases; from++ {
			if from%2 == 0 {
				ip = ip.Next() // so that there are many runs
			}
			ev := add(benchAttachment(from).ContainerID, "eth0", journal.Address{IP: ip, Bits: 12})
			ev.Seq = journal.Seq(from + 1)
			if err := st.Apply(&ev); err != nil {
				t.Fatal(err)
			}
			ips = append(ips, ip)
			ip = ip.Next()
		}
		st.SetHead(hashOf(st.Seq()))
		t.Run(fmt.Sprint(size.leases), func(t *testing.T) {
			s := openSnapshot(t, writeSnapshot(t, t.TempDir(), st))
			countReads(t, s, ips, size.index)
		})
	}
}

func countReads(t *testing.T, s *state.Snapshot, ips []netip.Addr, index reads) {
	t.Helper()
	const lookups = 500
	counter := newReadCounter(t)
	sections := s.SectionBlocks()
	if sections[2].Blocks < 50 {
		t.Fatalf("%d blocks of held runs, want many", sections[2].Blocks)
	}
	byHalves := func(section int) reads {
		n := bits.Len32(sections[section].Blocks)
		return reads{n, float64(n)}
	}
	r := rand.New(rand.NewPCG(65, 250))
	for _, q := range []struct {
		name string
		want reads
		ask  func(st *state.State, i int) error
	}{
		{"by address", byHalves(0), func(st *state.State, i int) error {
			_, ok, err := st.Lease(ips[i])
			return found(ok, true, err)
		}},
		{"by a free address", byHalves(0), func(st *state.State, i int) error {
			_, ok, err := st.Lease(ips[i&^1].Prev())
			return found(ok, false, err)
		}},
		{"by owner", reads{index.most + 1, index.mean + 1}, func(st *state.State, i int) error {
			held, err := st.Held(benchAttachment(i))
			return found(len(held) == 1 && held[0].IP == ips[i], true, err)
		}},
		{"by an owner of nothing", index, func(st *state.State, i int) error {
			held, err := st.Held(state.Attachment{ContainerID: benchAttachment(i).ContainerID, IfName: "net7"})
			return found(len(held) > 0, false, err)
		}},
		{"next free from a held one", byHalves(2), func(st *state.State, i int) error {
			free, ok, err := st.NextFree(ips[i&^1], benchTo)
			return found(ok && free == ips[i|1].Next(), true, err)
		}},
		{"next free from a free one", byHalves(2), func(st *state.State, i int) error {
			free, ok, err := st.NextFree(ips[i|1].Next(), benchTo)
			return found(ok && free == ips[i|1].Next(), true, err)
		}},
	} {
		most, sum := 0, 0
		for range lookups {
			i := r.IntN(len(ips))
			s.ForgetBlocks()
			fresh := state.Over(s)
			before := counter.bytes(t)
			err := q.ask(fresh, i)
			n := counter.bytes(t) - before
			if err != nil || n%state.BlockBytes != 0 {
				t.Fatalf("%s %d: %v, %d bytes read, want whole blocks", q.name, i, err, n)
			}
			sum += n / state.BlockBytes
			most = max(most, n/state.BlockBytes)
		}
		mean := float64(sum) / lookups
		if most > q.want.most || mean > q.want.mean || most == 0 {
			t.Errorf("%s: %d blocks read at most, %.2f on average, want up to %d and %.2f", q.name, most, mean, q.want.most, q.want.mean)
		}
		t.Logf("%s: %d blocks read at most, %.2f on average", q.name, most, mean)
	}
}

// found returns an error unless a lookup found what it was to find.
func found(got, want bool, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("found: %t, want %t", got, want)
	}
	return err
}
