package past_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// turmoil is a node on which many processes call at once. What they do is written to the ledger.
type turmoil struct {
	*ledger
	t        *testing.T
	clock    clock
	boot     journal.BootID
	networks []caller.Network

	victims sync.Mutex
	doomed  map[string][]*tenure // by network: containers that the next GC is to find gone
	counts  map[string]int       // of answers, by verb and code
}

func newTurmoil(t *testing.T, networks ...caller.Network) *turmoil {
	t.Helper()
	return &turmoil{ledger: newLedger(), t: t, clock: newClock(t), networks: networks,
		doomed: map[string][]*tenure{}, counts: map[string]int{}}
}

// call makes a call and notes from when to when.
func (tm *turmoil) call(c caller.Call) (caller.Answer, span) {
	c.Env = tm.clock.env(tm.boot)
	s := span{called: tm.clock.now()}
	a, err := c.Run(leaselog)
	s.returned = tm.clock.now()
	if err != nil || a.Killed() {
		tm.t.Errorf("%s %s: %v, %v", c.Verb, c.ID, a, err)
	}
	tm.victims.Lock()
	tm.counts[fmt.Sprintf("%s %d", c.Verb, a.Code)]++
	tm.victims.Unlock()
	return a, s
}

// worker calls as one kubelet's thread does: what it begins with a container it goes on with itself.
type worker struct {
	*turmoil
	r       *rand.Rand
	name    string              // begins the IDs of its containers
	more    func(made int) bool // whether it is to make another call
	made    int
	valid   []caller.Attachment // all that may be there, for GC
	network caller.Network
	held    []*tenure // of network, oldest first
}

// phase has all workers call at once until each has made so many calls.
func (tm *turmoil) phase(r *rand.Rand, name string, calls int) {
	tm.work(r, name, everyID(name, calls), func(made int) bool { return made < calls })
	for _, n := range tm.networks { // what is doomed still is ended by a reboot, or not at all
		tm.doomed[n.Name] = nil
	}
}

// work has all workers call at once, and returns when they are done. With a list of all containers that may be there,
// valid, there are GCs as well.
func (tm *turmoil) work(r *rand.Rand, name string, valid []caller.Attachment, more func(made int) bool) {
	var group sync.WaitGroup
	for i := range workers {
		w := &worker{turmoil: tm, r: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())), name: fmt.Sprintf("%s-%d", name, i), more: more, valid: valid}
		w.network = tm.networks[i%3%len(tm.networks)] // two thirds on the first of two
		group.Go(w.run)
	}
	group.Wait()
}

// everyID lists all containers that may be there in a phase: what GC is told to keep.
func everyID(name string, calls int) []caller.Attachment {
	all := []caller.Attachment{{ContainerID: firstID, IfName: "eth0"}}
	for i := range workers {
		for j := range calls {
			all = append(all, caller.Attachment{ContainerID: containerID(fmt.Sprintf("%s-%d", name, i), j), IfName: "eth0"})
		}
	}
	return all
}

// firstID is the container that a network begins with.
const firstID = "first"

func containerID(worker string, n int) string { return fmt.Sprintf("%s-%d", worker, n) }

func (w *worker) run() {
	for w.more(w.made) && !w.t.Failed() {
		w.made++
		switch p := w.r.IntN(100); {
		case p < 3 && w.valid != nil:
			w.gc()
		case len(w.held) > 0 && (p < 38 || len(w.held) > 1 && p < 70):
			w.release()
		case len(w.held) > 0 && p < 75:
			w.duplicate()
		case p < 85:
			w.request()
		default:
			w.add("")
		}
	}
}

// add adds a container, which may be refused.
func (w *worker) add(args string) {
	id := containerID(w.name, w.made-1)
	a, s := w.call(caller.Call{Network: w.network, Verb: "ADD", ID: id, Args: args})
	w.saw(w.network.Name, w.boot, s, a.OK())
	if a.OK() {
		w.held = append(w.held, w.began(w.network.Name, id, w.boot, s, a))
	} else if a.Code != codeExhausted && (args == "" || a.Code != codeNotAvailable) {
		w.t.Errorf("ADD %s: %v", id, a)
	}
}

// request adds a container that wants an address which may be held.
func (w *worker) request() {
	ip := addresses(w.t, w.network)[0]
	args := "IP=" + ip[w.r.IntN(len(ip))].String()
	if len(w.network.Ranges) > 1 {
		args = "" // of each range set one would have to be named
	}
	w.add(args)
}

// duplicate adds a container that is there, which is refused.
func (w *worker) duplicate() {
	tn := w.held[w.r.IntN(len(w.held))]
	a, s := w.call(caller.Call{Network: w.network, Verb: "ADD", ID: tn.id})
	w.saw(w.network.Name, w.boot, s, false)
	if a.Code != codeDuplicate {
		w.t.Errorf("ADD %s, which is there: %v", tn.id, a)
	}
}

// release ends a container: by DEL, at times twice, or it leaves that to GC.
func (w *worker) release() {
	i := w.r.IntN(len(w.held))
	tn := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	if w.valid != nil && w.r.IntN(6) == 0 {
		w.victims.Lock()
		w.doomed[w.network.Name] = append(w.doomed[w.network.Name], tn)
		w.victims.Unlock()
		return
	}
	for n := range 1 + w.r.IntN(2)*w.r.IntN(2) {
		a, s := w.call(caller.Call{Network: w.network, Verb: "DEL", ID: tn.id})
		w.saw(w.network.Name, w.boot, s, n == 0)
		if !a.OK() {
			w.t.Errorf("DEL %s: %v", tn.id, a)
		}
		if n == 0 {
			w.ended(tn, byDel, s)
		}
	}
}

// gc has all released that is doomed by now.
func (w *worker) gc() {
	w.victims.Lock()
	doomed := w.doomed[w.network.Name]
	w.doomed[w.network.Name] = nil
	w.victims.Unlock()
	valid := slices.DeleteFunc(slices.Clone(w.valid), func(at caller.Attachment) bool {
		return slices.ContainsFunc(doomed, func(tn *tenure) bool { return tn.id == at.ContainerID })
	})
	a, s := w.call(caller.Call{Network: w.network, Verb: "GC", Valid: valid})
	w.saw(w.network.Name, w.boot, s, len(doomed) > 0)
	if !a.OK() {
		w.t.Errorf("GC: %v", a)
	}
	for _, tn := range doomed {
		w.ended(tn, byGC, s)
	}
}
