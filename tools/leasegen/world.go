package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// world is a node with pods that come and go until as many events are recorded and as many pods
// run as is wanted. Every call is made only if what is wanted can still be reached after it.
type world struct {
	*recorder
	r     *rand.Rand
	clock *clock

	pods   []*pod // running
	leaked []*pod // gone without a DEL, their addresses are held
	gone   []gone // some of those that a DEL ended
	works  []*workload

	numbers    uint64 // of pods and sandboxes so far
	task       func() (more bool, err error)
	nextReboot int // event from which on the node may go down
	everyBoot  int
}

// gone is a sandbox that a DEL has ended.
type gone struct {
	sender sender
	seq    journal.Seq // of the DEL
}

// summary says what was made.
type summary struct {
	journal          journal.ID
	leases, events   int
	kinds            [10]int
	boots, snapshots int
}

// String is the line that is printed.
func (s summary) String() string {
	return fmt.Sprintf("journal %s: %d leases, %d events (%d add, %d del, %d refuse), %d boots, %d snapshots", s.journal, s.leases, s.events,
		s.kinds[journal.KindAdd], s.kinds[journal.KindDel], s.kinds[journal.KindRefuse], s.boots, s.snapshots)
}

// generate makes the store. If it fails, or ctx ends, nothing is left of it.
func generate(ctx context.Context, p plan) (summary, error) {
	r := rand.New(rand.NewChaCha8(p.key))
	id := journal.ID(uuidBytes(r))
	node := string(suffix([]byte("node-"), 6, r))
	clock := newClock(r, p.start, p.end)
	s, err := newRecorder(p, id, node, clock.read())
	if err != nil {
		return summary{}, err
	}
	s.names = names{key: binary.BigEndian.Uint64(p.key[:])}
	w := &world{recorder: s, r: r, clock: clock}
	for i := range max(3, p.attachments/10) {
		w.works = append(w.works, s.names.workload(uint64(i)))
	}
	days := int(p.end.Sub(p.start).Hours() / 24)
	w.everyBoot = max(1, p.events/(1+max(2, days/10)))
	w.nextReboot = p.events / 50 // an early one costs least
	if err := w.run(ctx); err != nil {
		return summary{}, errors.Join(err, s.b.Discard())
	}
	if err := s.finish(); err != nil {
		return summary{}, err
	}
	return summary{journal: id, leases: s.st.Len(), events: int(s.b.Last()), kinds: s.kinds, boots: clock.boots, snapshots: len(s.snaps)}, nil
}

func (w *world) run(ctx context.Context) error {
	for n := 0; w.left() > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// held returns how many attachments hold addresses.
func (w *world) held() int { return len(w.pods) + len(w.leaked) }

// need returns how many events it takes at least from so many attachments to those that are wanted.
func (w *world) need(held int, configured bool) int {
	n := w.p.attachments - held
	if n > 0 && !configured {
		n++
	}
	return max(n, -n)
}

// afford reports whether so many events can be spent that change the number of attachments by so much.
func (w *world) afford(events, change int) bool {
	return w.left()-events >= w.need(w.held()+change, w.configured() || change > 0)
}

// pass lets time go by and shows the clocks after it.
func (w *world) pass(pace float64) journal.Clock {
	w.clock.pass(w.left(), pace)
	return w.clock.read()
}

// step makes a call or several, or none.
func (w *world) step() error {
	switch spare := w.left() - w.need(w.held(), w.configured()); {
	case spare == 0:
		return w.converge()
	case spare == 1:
		return w.stray()
	case !w.configured() && w.afford(2, 1):
		return w.startNew()
	case w.task != nil:
		more, err := w.task()
		if !more {
			w.task = nil
		}
		return err
	case int(w.b.Last()) >= w.nextReboot:
		w.nextReboot += w.everyBoot
		if 2*w.held() <= spare/2 {
			w.task = w.reboot()
		}
		return nil
	}
	return w.something()
}

// something is what may happen at any time. The numbers are shares of 10,000.
func (w *world) something() error {
	switch n := w.r.IntN(10000); {
	case n < 250 && len(w.pods) > 0:
		return w.restart(w.anyPod(), 1)
	case n < 370:
		return w.repeatDel()
	case n < 430 && len(w.pods) > 0:
		return w.duplicate()
	case n < 470 && len(w.pods) > 0:
		return w.request(false)
	case n < 500:
		return w.request(true)
	case n < 520 && len(w.pods) > 0 && len(w.leaked) < w.p.attachments/20:
		w.leak(w.anyPod())
		return nil
	case n < 530 || len(w.leaked) >= 200:
		return w.collect()
	case n < 590:
		w.task = w.rollout(w.works[w.r.IntN(len(w.works))])
		return nil
	case n < 593:
		w.task = w.drain(min(len(w.pods)*(5+w.r.IntN(25))/100, 500), false)
		return nil
	case n < 600:
		w.task = w.scaleUp(w.works[w.r.IntN(len(w.works))], 10+w.r.IntN(50))
		return nil
	}
	return w.churn()
}

// startNew is the ADD of a new pod; a store is made for the first one.
func (w *world) startNew() error {
	_, err := w.start(w.newPod(w.anyWork(), nil), 1)
	return err
}

// converge goes straight for the number of attachments that is wanted.
func (w *world) converge() error {
	switch held := w.held(); {
	case held < w.p.attachments:
		return w.startNew()
	case len(w.pods) > 0:
		return w.stop(w.anyPod(), 1)
	}
	return w.endLeak(w.leaked[len(w.leaked)-1])
}

// churn starts or stops a pod, whichever brings their number nearer to where it is drawn to: what is wanted,
// more by day and less by night.
func (w *world) churn() error {
	wave := 1 + 0.06*math.Sin(2*math.Pi*float64(w.clock.now%int64(24*time.Hour))/float64(24*time.Hour))
	target := wave * float64(max(w.p.attachments, min(w.p.capacity, 8)))
	target = min(target, float64(w.p.capacity)+0.5) // a full network refuses some
	up := 0.5 + 4*(target-float64(w.held()))/target
	if w.r.Float64() < min(max(up, 0.03), 0.97) {
		if !w.afford(1, 1) {
			return w.stray()
		}
		_, err := w.start(w.newPod(w.anyWork(), nil), 1.2)
		return err
	}
	if len(w.pods) == 0 || !w.afford(1, -1) {
		return nil
	}
	return w.stop(w.anyPod(), 1.2)
}

func (w *world) anyPod() *pod       { return w.pods[w.r.IntN(len(w.pods))] }
func (w *world) anyWork() *workload { return w.works[w.r.IntN(len(w.works))] }

// newPod makes a pod that has not started. before is the one that it replaces, if any.
func (w *world) newPod(work *workload, before *pod) *pod {
	w.numbers++
	p := w.names.newPod(w.numbers, work, before, w.clock.now/int64(time.Minute))
	p.sandbox = w.numbers
	return p
}

// sender returns who asks for the pod; one call in four comes with a trace context.
func (w *world) sender(p *pod) sender {
	owner, netns := w.names.container(p.sandbox)
	c := sender{owner: owner, netns: netns, pod: w.names.identity(p)}
	if w.r.IntN(4) == 0 {
		c.trace = traceParent(w.r)
	}
	return c
}

// start is the ADD of a pod. It runs unless the network is full.
func (w *world) start(p *pod, pace float64) (ok bool, err error) {
	refusal, _, err := w.add(w.sender(p), w.pass(pace))
	if refusal != nil || err != nil {
		return false, err
	}
	w.started(p)
	return true, nil
}

// started counts the pod among those that run.
func (w *world) started(p *pod) {
	p.place, p.inWork = len(w.pods), len(p.work.pods)
	w.pods, p.work.pods = append(w.pods, p), append(p.work.pods, p)
}

// drop takes the pod from those that run.
func (w *world) drop(p *pod) {
	last := w.pods[len(w.pods)-1]
	w.pods[p.place], last.place = last, p.place
	w.pods = w.pods[:len(w.pods)-1]
	of := p.work.pods
	last = of[len(of)-1]
	of[p.inWork], last.inWork = last, p.inWork
	p.work.pods = of[:len(of)-1]
}

// stop is the DEL of a pod.
func (w *world) stop(p *pod, pace float64) error {
	w.drop(p)
	return w.ended(w.sender(p), pace)
}

// ended makes a DEL and remembers it for a while: runtimes repeat them.
func (w *world) ended(c sender, pace float64) error {
	if err := w.del(c, w.pass(pace)); err != nil {
		return err
	}
	const remembered = 64
	g := gone{c, w.b.Last()}
	if len(w.gone) < remembered {
		w.gone = append(w.gone, g)
	} else if w.r.IntN(8) == 0 {
		w.gone[w.r.IntN(remembered)] = g
	}
	return nil
}

// restart gives a running pod a new sandbox.
func (w *world) restart(p *pod, pace float64) error {
	if !w.afford(2, 0) || !w.afford(1, -1) {
		return nil
	}
	if err := w.stop(p, pace); err != nil {
		return err
	}
	w.numbers++
	p.sandbox = w.numbers
	_, err := w.start(p, pace/20)
	return err
}

// stray is the DEL of a sandbox that never got an address. It is always recorded.
func (w *world) stray() error {
	return w.del(w.sender(w.newPod(w.anyWork(), nil)), w.pass(1))
}

// repeatDel is a late second DEL. It is recorded only if a snapshot lies between the two.
func (w *world) repeatDel() error {
	if len(w.gone) == 0 {
		return w.stray()
	}
	g := &w.gone[w.r.IntN(len(w.gone))]
	if g.seq > w.base {
		return nil
	}
	err := w.del(g.sender, w.pass(1))
	g.seq = w.b.Last()
	return err
}

// duplicate is a second ADD of a running pod, which is refused.
func (w *world) duplicate() error {
	_, _, err := w.add(w.sender(w.anyPod()), w.pass(0.3))
	return err
}

// request is an ADD with a requested address: a free one, or one that is held, after which the runtime
// sends the DEL of what it did not get.
func (w *world) request(free bool) error {
	if !w.afford(3, 0) || !w.afford(2, 1) {
		return nil
	}
	r := w.p.sets[0][0]
	ip := addOffset(r.Start, w.r.Uint64N(uint64(room(r))))
	if !free {
		owner, _ := w.names.container(w.anyPod().sandbox)
		held, err := w.st.Held(owner)
		if err != nil {
			return err
		}
		ip = held[0].IP
	}
	p := w.newPod(w.anyWork(), nil)
	c := w.sender(p)
	refusal, _, err := w.add(c, w.pass(1), ip)
	switch {
	case err != nil:
		return err
	case refusal == nil:
		w.started(p)
		return nil
	}
	return w.ended(c, 0.1)
}

// leak loses a pod without a DEL.
func (w *world) leak(p *pod) {
	w.drop(p)
	p.place = len(w.leaked)
	w.leaked = append(w.leaked, p)
}

// endLeak is the DEL of a lost pod, which comes after all.
func (w *world) endLeak(p *pod) error {
	last := w.leaked[len(w.leaked)-1]
	w.leaked[p.place], last.place = last, p.place
	w.leaked = w.leaked[:len(w.leaked)-1]
	return w.ended(w.sender(p), 1)
}

// collect is a GC: it ends all leases of lost pods, in order of their addresses.
func (w *world) collect() error {
	n := len(w.leaked)
	if n == 0 || !w.afford(n, -n) {
		return nil
	}
	type found struct {
		sender
		ip [16]byte
	}
	var stale []found
	for _, p := range w.leaked {
		owner, netns := w.names.container(p.sandbox)
		held, err := w.st.Held(owner)
		if err != nil {
			return err
		}
		stale = append(stale, found{sender: sender{owner: owner, netns: netns, pod: held[0].Pod}, ip: held[0].IP.As16()})
	}
	slices.SortFunc(stale, func(a, b found) int { return slices.Compare(a.ip[:], b.ip[:]) })
	var senders []sender
	for _, f := range stale {
		senders = append(senders, f.sender)
	}
	w.leaked = w.leaked[:0]
	w.clock.pass(w.left(), 1)
	return w.gc(senders, func() journal.Clock { return w.pass(0.01) })
}

// rollout replaces the pods of a workload one by one, within a short time.
func (w *world) rollout(work *workload) func() (bool, error) {
	w.names.revise(work)
	old := slices.Clone(work.pods)
	slices.SortFunc(old, func(a, b *pod) int { return cmp.Compare(a.number, b.number) })
	return func() (bool, error) {
		if len(old) == 0 || !w.afford(3, 0) || !w.afford(2, 1) {
			return false, nil
		}
		p := old[0]
		old = old[1:]
		ok, err := w.start(w.newPod(work, p), 0.15)
		if !ok || err != nil {
			return false, err
		}
		return true, w.stop(p, 0.15)
	}
}

// scaleUp starts pods of a workload all at once.
func (w *world) scaleUp(work *workload, n int) func() (bool, error) {
	return func() (bool, error) {
		if n--; n < 0 || !w.afford(2, 1) {
			return false, nil
		}
		return w.start(w.newPod(work, nil), 0.02)
	}
}

// drain stops pods all at once: so many, or all that daemon sets don't keep.
func (w *world) drain(n int, all bool) func() (bool, error) {
	victims := slices.Clone(w.pods)
	w.r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	victims = slices.DeleteFunc(victims, func(p *pod) bool { return p.work.kind == daemonSet })
	if !all {
		victims = victims[:min(n, len(victims))]
	}
	return func() (bool, error) {
		if len(victims) == 0 || !w.afford(1, -1) {
			return false, nil
		}
		p := victims[0]
		victims = victims[1:]
		return true, w.stop(p, 0.02)
	}
}

// reboot has the node go down, drained or not, and come up again: what ran gets new sandboxes, some is lost, GC follows.
func (w *world) reboot() func() (bool, error) {
	drain := func() (bool, error) { return false, nil }
	if w.r.IntN(5) < 3 {
		drain = w.drain(0, true)
	}
	up := false
	var rest []*pod
	return func() (bool, error) {
		if drain != nil {
			more, err := drain()
			if !more {
				drain = nil
			}
			return true, err
		}
		if !up {
			up, rest = true, slices.Clone(w.pods)
			w.clock.reboot(40*time.Second + time.Duration(w.r.Int64N(int64(4*time.Minute))))
		}
		if len(rest) == 0 {
			return false, w.collect()
		}
		p := rest[0]
		rest = rest[1:]
		if w.r.IntN(100) == 0 {
			w.leak(p)
			return true, nil
		}
		return true, w.restart(p, 0.05)
	}
}
