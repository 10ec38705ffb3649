package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// steps are what can be done, each as often as its weight says.
var steps = []struct {
	name    string
	weight  int
	process bool // needs the plugin
	do      func(w *world, r *rand.Rand) (string, error)
}{
	{"call", 600, false, (*world).oneCall},
	{"burst", 100, false, (*world).burst},
	{"clock", 50, false, (*world).clockStep},
	{"reboot", 30, false, (*world).reboot},
	{"power cut", 60, false, (*world).powerCut},
	{"wipe", 20, false, (*world).wipe},
	{"deletion", 1, false, (*world).deleteAll},
	{"side by side", 25, true, (*world).together},
	{"kill", 50, true, (*world).kill},
}

// choose picks a step by weight. Without processes it makes a call in the place of a step that needs them.
func choose(r *rand.Rand, processes bool) (string, func(*world, *rand.Rand) (string, error)) {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := r.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n >= 0 {
			continue
		}
		if s.process && !processes {
			s = steps[0]
		}
		return s.name, s.do
	}
	panic("soak: no step")
}

// The sizes of steps.
const (
	containers = 30
	burstCalls = 150
	sideCalls  = 8
)

// newCall returns a random call.
func (w *world) newCall(r *rand.Rand) *call {
	w.made++
	c := &call{who: owner{fmt.Sprintf("c%d", r.IntN(containers)), "eth0"}, plan: pickPlan(r),
		netns: fmt.Sprintf("/run/netns/%d", w.made), lazy: r.IntN(20) == 0, full: r.IntN(2) == 0}
	if r.IntN(4) == 0 {
		c.who.ifName = "net1"
	}
	switch n := r.IntN(100); {
	case n < 48:
		c.verb = "ADD"
		w.request(r, c)
	case n < 82:
		c.verb = "DEL"
		if r.IntN(12) == 0 {
			c.who.id = fmt.Sprintf("stranger%d", w.made)
		}
	case n < 86:
		c.verb = "GC"
		w.keep(r, c)
	case n < 94:
		c.verb = "CHECK"
	default:
		c.verb = "STATUS"
	}
	if c.verb == "ADD" || c.verb == "DEL" {
		switch r.IntN(4) {
		case 0:
			c.pod = journal.Pod{Namespace: "ns", Name: c.who.id, UID: "uid-" + c.who.id}
		case 1:
			c.pod = journal.Pod{Namespace: "ns", Name: c.who.id}
		}
	}
	return c
}

// request adds requested addresses: free, held, gateways, of no set, two of one set.
func (w *world) request(r *rand.Rand, c *call) {
	if r.IntN(5) > 0 {
		return
	}
	for range 1 + r.IntN(2) {
		set := c.plan.sets[r.IntN(len(c.plan.sets))]
		s := set[r.IntN(len(set))]
		ip := s.start
		switch r.IntN(8) {
		case 0:
			ip = s.gateway
		case 1:
			ip = s.end
		case 2:
			ip = netip.MustParseAddr("192.0.2.1")
		default:
			for range r.IntN(20) {
				if ip != s.end {
					ip = ip.Next()
				}
			}
		}
		if len(c.wanted) == 0 || c.wanted[0] != ip {
			c.wanted = append(c.wanted, ip)
		}
	}
}

// keep fills a GC's list: most of the owners, all of them, or none, and some that hold nothing.
func (w *world) keep(r *rand.Rand, c *call) {
	c.who = owner{"gc", "eth0"}
	drop := r.IntN(6)
	for _, who := range w.m.owners() {
		if drop == 0 || drop < 5 && r.IntN(5) > 0 {
			c.valid = append(c.valid, who)
		}
	}
	c.valid = append(c.valid, owner{"nobody", "eth0"})
}

func (w *world) oneCall(r *rand.Rand) (string, error) {
	c := w.newCall(r)
	if err := w.run(r, c); err != nil {
		return c.String(), err
	}
	return c.String(), w.look(c)
}

// burst makes many calls before the oracle looks.
func (w *world) burst(r *rand.Rand) (string, error) {
	var calls []*call
	var words []string
	for range 10 + r.IntN(burstCalls) {
		c := w.newCall(r)
		if c.verb == "GC" {
			c.valid = nil // who holds what by then is not known here
		}
		err := w.run(r, c)
		words = append(words, c.String())
		if err != nil {
			return lines(words), err
		}
		calls = append(calls, c)
	}
	return lines(words), w.look(calls...)
}

func (w *world) clockStep(r *rand.Rand) (string, error) {
	d, err := w.clock.step(r)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v to %v", d, w.clock.now.Time()), w.look()
}

// reboot changes the boot ID and begins boot time anew; everything written is on the disk.
func (w *world) reboot(r *rand.Rand) (string, error) {
	if err := w.clock.reboot(r); err != nil {
		return "", err
	}
	return w.clock.now.Boot.String(), w.look()
}

// wipe deletes the network's data folder, as an operator does to end all leases.
func (w *world) wipe(r *rand.Rand) (string, error) {
	if err := os.RemoveAll(w.network.Folder()); err != nil {
		return "", err
	}
	w.wiped = w.exists
	return fmt.Sprintf("%d leases", len(w.m.leases)), w.look()
}

// deleteAll deletes the history as well.
func (w *world) deleteAll(*rand.Rand) (string, error) {
	n := len(w.facts)
	for _, dir := range []string{w.network.Folder(), w.network.StoreDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	w.forget()
	return fmt.Sprintf("%d events", n), w.look()
}

// together runs processes at once and lets all of them end.
func (w *world) together(r *rand.Rand) (string, error) {
	jobs := w.jobs(r, 2+r.IntN(sideCalls-1))
	quick, err := w.sideBySide(jobs)
	if quick > 0 {
		w.quick = quick
	}
	if err != nil {
		return describe(jobs), err
	}
	return describe(jobs), w.look(callsOf(jobs)...)
}

// jobs returns calls that run at once, at most one of them a GC: its events don't say whose they are.
func (w *world) jobs(r *rand.Rand, n int) []job {
	var jobs []job
	swept := false
	for range n {
		c := w.newCall(r)
		for swept && c.verb == "GC" {
			c = w.newCall(r)
		}
		swept = swept || c.verb == "GC"
		c.asProcess()
		c.clock = w.clock.now
		jobs = append(jobs, job{call: c})
	}
	w.stats["processes"] += n
	return jobs
}

func callsOf(jobs []job) []*call {
	var calls []*call
	for _, j := range jobs {
		calls = append(calls, j.call)
	}
	return calls
}

func describe(jobs []job) string {
	var words []string
	for _, j := range jobs {
		words = append(words, j.String())
	}
	return lines(words)
}

// lines returns words below one another.
func lines(words []string) string { return strings.Join(words, "\n    ") }

// kill runs processes and kills some of them on their way. What these did is told only by the
// next call that takes the lock, so one is made: a DEL of somebody new, which always leaves an
// event. Before it, the power may go.
func (w *world) kill(r *rand.Rand) (string, error) {
	jobs := w.jobs(r, 1+r.IntN(sideCalls/2))
	if w.quick == 0 {
		w.quick = 10 * time.Millisecond
	}
	for i := range jobs {
		jobs[i].kill = i == 0 || r.IntN(3) == 0
		jobs[i].after = time.Duration(r.Int64N(int64(w.quick) * int64(1+len(jobs))))
		if r.IntN(3) > 0 && w.exists { // between write, sync, answer and upkeep
			jobs[i].growing, jobs[i].after = w.disk.newest, time.Duration(r.Int64N(int64(300*time.Microsecond)))
		}
	}
	_, err := w.sideBySide(jobs)
	if err != nil {
		return describe(jobs), err
	}
	w.mayTear = true
	for _, j := range jobs {
		if !j.answered {
			w.stats["killed"]++
		}
	}
	path, rest, err := w.disk.unacknowledged()
	if err != nil {
		return describe(jobs), err
	}
	seen, err := w.disk.look() // what a reader reports now has to stay, whatever comes
	if err != nil {
		return describe(jobs), err
	}
	if r.IntN(2) == 0 {
		if err := w.cutUnanswered(r, path, rest); err != nil {
			return describe(jobs), err
		}
	}
	probe := &call{verb: "DEL", who: owner{fmt.Sprintf("probe%d", w.made), "eth0"}, netns: fmt.Sprintf("/run/probe/%d", w.made),
		plan: plans[0], clock: w.clock.now}
	words := describe(jobs) + "\n    "
	if err := probe.inProcess(w.network); err != nil {
		return words + probe.String(), err
	}
	err = w.lookAfter(seen.events, append(callsOf(jobs), probe))
	w.mayTear = false // the probe has seen to it
	return words + probe.String(), err
}
