package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// What is measured of a whole cycle from one snapshot to the next.
const (
	cyclePoint  = "ADD after so many events" // the round is the number of events
	cycleWhat   = "ADD, mean over a snapshot cycle"
	cycleLength = "calls in a snapshot cycle"
	cycleLast   = "the ADD that takes the snapshot"

	// longestCycle is more events than any cycle may have.
	longestCycle = 10_000
)

// The two ends that have to cost the same.
var flatSizes = []int{0, 250_000}

// pair makes the two worlds of flatSizes, has them measured side by side and removes them.
func (b *bench) pair(ctx context.Context, p *place, name string, measure func(context.Context, []*world) error) (err error) {
	var worlds []*world
	defer func() {
		for _, w := range worlds {
			err = errors.Join(err, os.RemoveAll(w.home))
		}
		err = errors.Join(err, p.settle())
	}()
	for _, n := range flatSizes {
		s := leasesScene(n, false)
		s.name = name
		w, err := newWorld(ctx, b, p, s, false)
		if err != nil {
			return err
		}
		worlds = append(worlds, w)
	}
	return measure(ctx, worlds)
}

// flat times ADD and DEL in the worlds by turns, with short tails.
func (b *bench) flat(ctx context.Context, worlds []*world) error {
	for round := -warmUps; round < b.options.rounds; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range worlds {
			w := worlds[(i+round+warmUps)%len(worlds)]
			if round == -warmUps || round%roundsPerStore == 0 {
				if err := w.restore(); err != nil {
					return err
				}
			}
		}
		id := worlds[0].newID()
		for _, verb := range []string{"ADD", "DEL"} {
			for i := range worlds {
				w := worlds[(i+round+warmUps)%len(worlds)]
				took, _, err := w.timed(leaselog, verb, attachment{id: id})
				if err != nil {
					return err
				}
				if round >= 0 {
					b.add(sample{row{w.place.name, w.scene, verb, leaselog}, round, milliseconds(took)})
				}
			}
		}
	}
	return nil
}

// cycles runs snapshot cycles in the worlds, call by call in turns. A cycle is shorter where there are few leases, and begins
// anew until the other one's are done.
func (b *bench) cycles(ctx context.Context, worlds []*world) error {
	runs := make([]cycleRun, len(worlds))
	done := func() bool {
		return !slices.ContainsFunc(runs, func(r cycleRun) bool { return r.round < b.options.cycles })
	}
	for turn := 0; !done(); turn++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range worlds {
			at := (i + turn) % len(worlds)
			if err := b.cycleStep(worlds[at], &runs[at]); err != nil {
				return fmt.Errorf("%s, call %d of a cycle: %w", worlds[at].scene, runs[at].calls, err)
			}
		}
	}
	return nil
}

// cycleRun is how far a world's cycle has come.
type cycleRun struct {
	round, calls int
	sum          float64
	snapshot     string // the newest one when the cycle began
}

// cycleStep makes one ADD. The call that takes the next snapshot ends the cycle, so what that costs is in the mean.
func (b *bench) cycleStep(w *world, r *cycleRun) (err error) {
	if r.calls == 0 {
		if err := w.restore(); err != nil {
			return err
		}
		if r.snapshot, err = w.newestSnapshot(); err != nil {
			return err
		}
	}
	took, _, err := w.timed(leaselog, "ADD", attachment{id: w.newID()})
	if err != nil {
		return err
	}
	r.calls++
	r.sum += milliseconds(took)
	add := func(what string, round int, value float64) {
		b.add(sample{row{w.place.name, w.scene, what, leaselog}, round, value})
	}
	add(cyclePoint, r.calls, milliseconds(took))
	newest, err := w.newestSnapshot()
	if err != nil {
		return err
	}
	switch {
	case newest != r.snapshot:
		add(cycleWhat, r.round, r.sum/float64(r.calls))
		add(cycleLength, r.round, float64(r.calls))
		add(cycleLast, r.round, milliseconds(took))
		*r = cycleRun{round: r.round + 1}
	case r.calls == longestCycle:
		return errors.New("no snapshot was taken")
	}
	return nil
}

// newestSnapshot returns the newest snapshot's name; it has the number of the event that it covers.
func (w *world) newestSnapshot() (string, error) {
	paths, err := filepath.Glob(filepath.Join(w.dataDir, ".leaselog", network, "snap", "*.snap"))
	if err != nil || len(paths) == 0 {
		return "", fmt.Errorf("%s: no snapshot: %w", w.dataDir, err)
	}
	return slices.Max(paths), nil
}
