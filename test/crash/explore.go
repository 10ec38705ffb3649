package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// explorer goes through the crashes of one recording.
type explorer struct {
	rec    *recording
	base   string // where images are written; as long as the recording's
	limits limits
	seed   uint64
	copied bool
	aside  bool
	keep   string // where images that break the promise are kept; "" if they are not
	calls  func(rec *recording, root string) calls
	judge  func(root string, j *job) error // looks at an image that was written at root; nil is a trial

	images  map[[16]byte]bool
	tried   map[trialKey]bool
	jobs    chan job
	group   sync.WaitGroup
	lock    sync.Mutex
	found   []string // what broke the promise
	broken  atomic.Int64
	points  int
	partial int // crash points that were sampled
}

// trialKey is an image together with what was promised when the power went.
type trialKey struct {
	image [16]byte
	phase int
}

type job struct {
	img     image
	promise *promise
	point   int
	round   int
	pick    []int
	slots   []slot
	paths   map[*inode]string
}

// enough is how many violations end the exploration.
const enough = 5

// explore tries every crash point. It returns an error only if the recording can't be followed; violations are
// in found.
func (e *explorer) explore() error {
	e.images, e.tried, e.jobs = map[[16]byte]bool{}, map[trialKey]bool{}, make(chan job, 64)
	if e.rec.inPlace {
		if err := os.RemoveAll(e.rec.root); err != nil {
			return err
		}
		e.group.Go(func() { e.work(e.rec.root) })
	} else {
		for w := range runtime.GOMAXPROCS(0) {
			e.group.Go(func() { e.work(fmt.Sprintf("%s/w%03d", e.base, w)) })
		}
	}
	err := e.follow()
	close(e.jobs)
	e.group.Wait()
	return err
}

// follow follows the recording and crashes before the first operation and after each.
func (e *explorer) follow() error {
	d := e.rec.before.clone()
	status := make([]callStatus, len(e.rec.calls))
	for i, c := range e.rec.calls {
		status[i] = c.status
	}
	phase, p := 0, e.rec.promiseOf(status)
	for k := 0; ; k++ {
		if k == 0 || matters(e.rec.ops[k-1].kind) {
			e.crash(d, k, phase, p)
		}
		if k == len(e.rec.ops) || e.broken.Load() >= enough {
			return nil
		}
		o := &e.rec.ops[k]
		if err := d.step(o); err != nil {
			return err
		}
		if e.rec.advance(status, o) {
			phase, p = phase+1, e.rec.promiseOf(status)
		}
	}
}

// matters reports whether an operation can change what a crash leaves, or what was promised.
func matters(k kind) bool { return k != opClose && k != opSeek && k != opDup }

// advance notes what an operation means for its call.
func (r *recording) advance(status []callStatus, o *op) bool {
	c := r.calls[o.call]
	was := status[o.call]
	switch {
	case o.kind == opStart:
		status[o.call] = underWay
	case o.kind == opAnswer && c.verb == "ADD" && c.done(), o.kind == opExit && c.verb != "ADD" && o.code == 0:
		status[o.call] = acknowledged
	case o.kind == opExit && was != acknowledged:
		status[o.call] = broken
	default:
		return false
	}
	return status[o.call] != was
}

// crash tries what a crash at this point could leave.
func (e *explorer) crash(d *disk, point, phase int, p *promise) {
	e.points++
	slots := d.slots()
	m := newImager(d, slots)
	paths := d.paths()
	random := rand.New(rand.NewPCG(e.seed, uint64(point)))
	exhaustive := combinations(slots, e.limits, random, func(pick []int) {
		if e.broken.Load() >= enough {
			return
		}
		img := m.image(pick)
		key := trialKey{img.hash, phase}
		if e.tried[key] {
			return
		}
		e.tried[key], e.images[img.hash] = true, true
		e.jobs <- job{img: img, promise: p, point: point, round: len(e.tried), pick: slices.Clone(pick), slots: slots, paths: paths}
	})
	if !exhaustive {
		e.partial++
	}
}

// paths names each inode that is or was in the tree.
func (d *disk) paths() map[*inode]string {
	out := map[*inode]string{}
	var walk func(n *inode, p string)
	walk = func(n *inode, p string) {
		if _, ok := out[n]; ok {
			return
		}
		out[n] = strings.TrimPrefix(p, "/")
		for name, child := range n.live {
			walk(child, p+"/"+name)
		}
		for _, c := range n.renames {
			walk(c.node, p+"/"+c.name)
			if c.other != nil {
				walk(c.other, p+"/"+c.to)
			}
		}
		for name, child := range n.names {
			walk(child, p+"/"+name)
		}
	}
	walk(d.root, "")
	return out
}

// work tries images until there are no more.
func (e *explorer) work(root string) {
	for j := range e.jobs {
		err := e.try(root, &j)
		if err != nil {
			e.report(root, &j, err)
		}
		if err := os.RemoveAll(root); err != nil {
			e.report(root, &j, err)
			return
		}
	}
}

func (e *explorer) try(root string, j *job) error {
	if err := e.rec.transplant(root, e.copied).write(&j.img); err != nil {
		return err
	}
	if e.judge != nil {
		return e.judge(root, j)
	}
	tr := &trial{rec: e.rec, promise: j.promise, img: &j.img, root: root, aside: e.aside, round: j.round, calls: e.calls(e.rec, root)}
	return tr.run()
}

// report notes a violation with all that it takes to repeat it.
func (e *explorer) report(root string, j *job, cause error) {
	n := e.broken.Add(1)
	if n > enough {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n  crash point %d", cause, j.point)
	if j.point > 0 {
		fmt.Fprintf(&b, ", after %s", e.rec.ops[j.point-1].words)
	}
	fmt.Fprintf(&b, "\n  seed %d, promised up to event %d\n  what reached the disk:", e.seed, j.promise.required)
	for i := range j.slots {
		fmt.Fprintf(&b, "\n    %s", j.slots[i].words(j.pick[i], j.paths))
	}
	if e.keep != "" {
		// What is at root has been through recovery; the image as it was is written beside it.
		kept := filepath.Join(e.keep, fmt.Sprintf("point-%d-%x", j.point, j.img.hash[:4]))
		err := errors.Join(os.RemoveAll(kept), os.MkdirAll(e.keep, 0o755),
			e.rec.transplant(kept, e.copied).write(&j.img))
		fmt.Fprintf(&b, "\n  the image is in %s (%v)", kept, err)
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	e.found = append(e.found, b.String())
}
