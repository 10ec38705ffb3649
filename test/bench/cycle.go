package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
)

const (
	cycleWhat = "ADD, mean over a snapshot cycle"

	// longestCycle is more events than any cycle may have.
	longestCycle = 10_000
)

// oneCycle makes ADDs from a fresh snapshot until one of them has taken the next, and reports their mean. So what the
// snapshot costs is in the mean, and the calls after ever longer tails, too.
func (b *bench) oneCycle(ctx context.Context, w *world, round int) error {
	if err := w.restore(); err != nil {
		return err
	}
	before, err := w.newestSnapshot()
	if err != nil {
		return err
	}
	sum := 0.0
	for n := 1; n < longestCycle; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		took, _, err := w.timed(leaselog, "ADD", attachment{id: w.newID()})
		if err != nil {
			return fmt.Errorf("call %d of a cycle: %w", n, err)
		}
		sum += milliseconds(took)
		b.add(sample{row{w.place.name, w.scene, cyclePoint, leaselog}, n, milliseconds(took)})
		after, err := w.newestSnapshot()
		if err != nil {
			return err
		}
		if after != before {
			b.add(sample{row{w.place.name, w.scene, cycleWhat, leaselog}, round, sum / float64(n)})
			b.add(sample{row{w.place.name, w.scene, cycleLength, leaselog}, round, float64(n)})
			b.add(sample{row{w.place.name, w.scene, cycleLast, leaselog}, round, milliseconds(took)})
			return nil
		}
	}
	return fmt.Errorf("no snapshot after %d calls", longestCycle)
}

const (
	cyclePoint  = "ADD within a snapshot cycle"
	cycleLength = "calls in a snapshot cycle"
	cycleLast   = "the ADD that takes the snapshot"
)

// newestSnapshot returns the newest snapshot's name; it has the number of the event that it covers.
func (w *world) newestSnapshot() (string, error) {
	paths, err := filepath.Glob(filepath.Join(w.dataDir, ".leaselog", network, "snap", "*.snap"))
	if err != nil || len(paths) == 0 {
		return "", fmt.Errorf("%s: no snapshot: %w", w.dataDir, err)
	}
	return slices.Max(paths), nil
}
