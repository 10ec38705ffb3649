package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// world is a network that is worked on, with what is known of it.
type world struct {
	plugin  string
	network caller.Network
	seed    uint64
	clock   fakeClock

	m     *model
	facts []fact // of each event
	disk  *disk

	exists  bool            // there is a store
	wiped   bool            // its data folder was deleted, and no call has seen that yet
	torn    []byte          // what a power cut left behind the last whole event
	mayTear bool            // a killed process may have left such, too
	clocks  []journal.Clock // what the clocks showed in this step

	made  int           // calls so far
	base  journal.Seq   // what the newest snapshot covered at the last look
	quick time.Duration // how long a process takes at least, 0 if not known
	stats map[string]int

	archived int // segments in archive/ at the last look
}

func newWorld(dir, plugin string, seed uint64) (*world, error) {
	network := caller.Network{Name: "pods", DataDir: filepath.Join(dir, "networks")}
	w := &world{plugin: plugin, network: network, seed: seed, m: newModel(), disk: newDisk(network.StoreDir()),
		clock: fakeClock{path: filepath.Join(dir, "clock")}, stats: map[string]int{}}
	if err := os.Setenv(clockVariable, w.clock.path); err != nil {
		return nil, err
	}
	w.clock.now.Wall = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	if err := w.clock.reboot(rand.New(rand.NewPCG(seed, 0))); err != nil {
		return nil, err
	}
	if got := journal.ReadClock(); got != w.clock.now {
		return nil, fmt.Errorf("the clock shows %v, not what it was set to: build with -overlay", got.Time())
	}
	return w, nil
}

// step does one step and looks at what it left. The words say what was done.
func (w *world) step(n int) (words string, err error) {
	r := rand.New(rand.NewPCG(w.seed, uint64(n)))
	if err := w.clock.pass(r); err != nil {
		return "", err
	}
	w.clocks = []journal.Clock{w.clock.now}
	name, do := choose(r, w.plugin != "")
	w.stats[name]++
	did, err := do(w, r)
	words = name + ": " + did
	return words, err
}

// look has the oracle read the disk and accounts for what it finds there by the calls.
func (w *world) look(calls ...*call) error { return w.lookAfter(nil, calls) }

// lookAfter is look where the first of the new events have been read already.
func (w *world) lookAfter(events []journal.Event, calls []*call) error {
	s, err := w.disk.look()
	if err != nil {
		return err
	}
	events = append(events, s.events...)
	if err := w.settle(calls, events); err != nil {
		return err
	}
	w.stats["events"] += len(events)
	for _, c := range calls {
		w.stats[c.verb]++
	}
	if s.exists != w.exists {
		return fmt.Errorf("there is a store: %v, want %v", s.exists, w.exists)
	}
	if !s.exists {
		return nil
	}
	if err := w.sameShape(s); err != nil {
		return err
	}
	w.countFiles()
	if due, err := w.disk.due(); !due || err != nil {
		return err
	}
	w.stats["full readings"]++
	return w.disk.readAll(w.m)
}

// sameShape checks what is beside the events: the claim, and the unfinished append.
func (w *world) sameShape(s sight) error {
	id, dir, err := journal.ReadClaim(w.network.Folder())
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !gone:
		return err
	case gone && !w.wiped:
		return errors.New("the claim is missing")
	case !gone && (id != s.id || dir != w.disk.dir || w.wiped):
		return fmt.Errorf("the claim names journal %s in %s; wiped is %v", id, dir, w.wiped)
	}
	if !s.coverage.Live && s.coverage.Torn != int64(len(w.torn)) {
		return fmt.Errorf("%d bytes of an unfinished append are seen, want %d", s.coverage.Torn, len(w.torn))
	}
	if s.coverage.Fenced || s.coverage.Copy || !s.coverage.Here {
		return fmt.Errorf("coverage %+v", s.coverage)
	}
	return nil
}

// countFiles notes that a snapshot was taken or a segment archived since the last look.
func (w *world) countFiles() {
	if base, err := w.disk.base(); err == nil && base != w.base {
		w.base = base
		w.stats["snapshots"]++
	}
	if n := w.disk.archived; n > w.archived {
		w.stats["archived"] += n - w.archived
		w.archived = n
	}
}

// run makes a call in this process or as a process of its own, with nothing beside it.
func (w *world) run(r *rand.Rand, c *call) error {
	base, err := w.disk.base()
	if err != nil {
		return err
	}
	c.base, c.exact, c.clock = base, true, w.clock.now
	if w.plugin == "" || r.IntN(40) > 0 {
		return c.inProcess(w.network)
	}
	c.asProcess()
	w.stats["processes"]++
	_, err = w.sideBySide([]job{{call: c}})
	return err
}

// forget begins anew after everything was deleted.
func (w *world) forget() {
	w.m, w.facts, w.disk = newModel(), nil, newDisk(w.disk.dir)
	w.exists, w.wiped, w.torn, w.mayTear = false, false, nil, false
	w.base, w.archived = 0, 0
}
