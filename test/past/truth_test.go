package past_test

import (
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// snapshotEvents is how many events there are before a call takes a snapshot.
const snapshotEvents = 1024

// networks returns a small network of one family and a smaller one of two, without stores.
func networks(t *testing.T) []caller.Network {
	t.Helper()
	dataDir := filepath.Join(t.TempDir(), "networks")
	return []caller.Network{
		{Name: "small", DataDir: dataDir, Ranges: [][]caller.Range{{{Subnet: "10.66.0.0/27"}}}},
		{Name: "dual", DataDir: dataDir, Ranges: [][]caller.Range{{{Subnet: "10.66.1.0/28"}}, {{Subnet: "fd66::/124"}}}},
	}
}

// addresses lists what a network has to give, by range set.
func addresses(t *testing.T, n caller.Network) [][]netip.Addr {
	t.Helper()
	sets := make([][]netip.Addr, len(n.Ranges))
	for i, set := range n.Ranges {
		for _, r := range set {
			subnet := netip.MustParsePrefix(r.Subnet)
			first := subnet.Addr().Next().Next() // behind the gateway
			for ip := first; subnet.Contains(ip); ip = ip.Next() {
				if ip.Is6() || subnet.Contains(ip.Next()) { // IPv4 has a broadcast address
					sets[i] = append(sets[i], ip)
				}
			}
		}
	}
	return sets
}

// grow appends events to the stores until a few calls more make the next snapshot due.
func (tm *turmoil) grow() {
	for _, n := range tm.networks {
		events := int(durable(tm.t, n))
		cmd := exec.Command(age, n.StoreDir(), strconv.Itoa((events/snapshotEvents+1)*snapshotEvents-20))
		cmd.Env = tm.clock.env(tm.boot)
		if out, err := cmd.CombinedOutput(); err != nil {
			tm.t.Fatalf("%v: %s", err, out)
		}
	}
}

// begin makes the stores.
func (tm *turmoil) begin() {
	for _, n := range tm.networks {
		a, s := tm.call(caller.Call{Network: n, Verb: "ADD", ID: firstID})
		if !a.OK() {
			tm.t.Fatalf("ADD: %v", a)
		}
		tm.saw(n.Name, tm.boot, s, true)
		tm.began(n.Name, firstID, tm.boot, s, a)
	}
}

// snapshots and segments list files of a store, oldest first.
func snapshots(t *testing.T, n caller.Network) []string {
	t.Helper()
	return files(t, n, "snap/*.snap")
}

func segments(t *testing.T, n caller.Network, folder string) []string {
	t.Helper()
	return files(t, n, folder+"/0*")
}

func files(t *testing.T, n caller.Network, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.StoreDir(), pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found // Glob sorts
}

// archived fails the test unless snapshots were taken and segments archived.
func (tm *turmoil) archived() {
	for _, n := range tm.networks {
		if len(snapshots(tm.t, n)) == 0 || len(segments(tm.t, n, "archive")) == 0 {
			tm.t.Errorf("network %s: no snapshots, or nothing archived: this test shows less than it means to", n.Name)
		}
	}
}

// TestTruth lets many processes loose on two networks in three boots, and asks who held what when: while they call, when all is
// quiet, and in the end.
func TestTruth(t *testing.T) {
	r := random(t)
	tm := newTurmoil(t, networks(t)...)
	var early []question
	var n tally
	boots := []journal.BootID{{1, 2, 3}, {4, 5, 6}, journal.CurrentBoot()} // the last one is the machine's
	for i, boot := range boots {
		tm.boot = boot
		if i == 0 {
			tm.begin()
		}
		tm.grow()
		last := i == len(boots)-1
		stop := make(chan struct{})
		var asking sync.WaitGroup
		if last { // before that the stores are not in use, as far as leasectl can see
			from := rand.New(rand.NewPCG(r.Uint64(), 1))
			asking.Go(func() { early = tm.keepAsking(from, stop) })
		}
		tm.phase(r, string(rune('a'+i)), 25)
		close(stop)
		asking.Wait()
		if i > 0 {
			tm.rebooted(t, boot)
		}
		tm.sane(t)
		tm.askReplay(r, 3000, &n)
		if t.Failed() {
			return
		}
	}
	t.Logf("%v; %d questions while calls went on; %+v", tm.counts, len(early), n)
	tm.archived()
	for _, q := range early {
		tm.judge(q.network, q.ip, q.at, true).agrees(t, q.ip, q.at, whoSaid(t, q.said), &tally{})
	}
	if n.held < 1000 || n.doubtful < 100 || n.free < 100 || len(early) < 10 {
		t.Errorf("%+v, %d early ones: this test shows less than it means to", n, len(early))
	}
	var said tally
	tm.askLeasectl(r, 200, &said)
	t.Logf("leasectl: %+v", said)
	tm.histories()
	tm.tables(r)
}

// question is one that leasectl was asked while calls went on.
type question struct {
	network string
	ip      netip.Addr
	at      int64
	said    said
}

// draw chooses a network, an address and a time until now; one in three is close to a call about the address.
func (tm *turmoil) draw(r *rand.Rand, now int64) question {
	n := tm.networks[r.IntN(len(tm.networks))]
	sets := addresses(tm.t, n)
	set := sets[r.IntN(len(sets))]
	q := question{network: n.Name, ip: set[r.IntN(len(set))]}
	tm.mu.Lock()
	defer tm.mu.Unlock()
	begun := tm.first[n.Name].called
	q.at = begun - 1_000_000 + r.Int64N(now-begun+1_000_000)
	if r.IntN(3) > 0 {
		return q
	}
	tn := tm.tenures[r.IntN(len(tm.tenures))]
	q.network, q.ip = tn.network, tn.ips[r.IntN(len(tn.ips))]
	edges := []int64{tn.begin.wide().called, tn.begin.wide().returned, tn.end.wide().called, tn.end.wide().returned}
	if q.at = edges[r.IntN(len(edges))] + r.Int64N(3) - 1; q.at < begun || q.at > now {
		q.at = now
	}
	return q
}

// keepAsking has leasectl answer until it is told to stop.
func (tm *turmoil) keepAsking(r *rand.Rand, stop <-chan struct{}) []question {
	var asked []question
	for {
		select {
		case <-stop:
			return asked
		default:
		}
		q := tm.draw(r, tm.clock.now())
		q.said = tm.who(q)
		asked = append(asked, q)
	}
}

// who asks leasectl, of all networks: the others don't have the address.
func (tm *turmoil) who(q question) said {
	return ask(tm.t, nil, "who", q.ip.String(), "--at", stamp(q.at), "--data-dir", tm.networks[0].DataDir, "-o", "json")
}

// askReplay puts so many questions to package replay.
func (tm *turmoil) askReplay(r *rand.Rand, questions int, n *tally) {
	tm.t.Helper()
	now := tm.clock.now()
	pasts := map[string]past{}
	for _, network := range tm.networks {
		pasts[network.Name] = readPast(tm.t, network, now)
	}
	for range questions {
		q := tm.draw(r, now)
		p := pasts[q.network]
		last := p.Last.Effective.UnixNano()
		if p.covered.IsZero() && r.IntN(20) == 0 {
			q.at = last + r.Int64N(3*int64(clockError))
		}
		v := tm.judge(q.network, q.ip, q.at, false)
		if p.covered.IsZero() && q.at > last {
			v = v.uncovered()
		}
		v.agrees(tm.t, q.ip, q.at, whoRead(p.Who(q.ip, p.asked(q.at))), n)
	}
}

// askLeasectl puts so many questions to leasectl.
func (tm *turmoil) askLeasectl(r *rand.Rand, questions int, n *tally) {
	tm.t.Helper()
	for range questions {
		q := tm.draw(r, tm.clock.now())
		v := tm.judge(q.network, q.ip, q.at, false)
		if v.holder == nil && v.decided && !v.free {
			continue // before the one network has begun, the other may have
		}
		v.agrees(tm.t, q.ip, q.at, whoSaid(tm.t, tm.who(q)), n)
	}
}
