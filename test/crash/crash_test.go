package crash

import (
	"flag"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/trace"
)

// TestPowerLoss cuts the power at every point of every scenario.
func TestPowerLoss(t *testing.T) {
	trace.Need(t)
	total, tried := 0, 0
	for _, s := range slices.Concat(scenarios, moves) {
		t.Run(s.name, func(t *testing.T) {
			if sampled() {
				s.limits = limits{exhaustive: 4, single: 1, random: 3}
			}
			switch l := &s.limits; {
			case *full:
				*l = limits{exhaustive: 2 * l.exhaustive, single: 2 * l.single, random: 2 * l.random}
			case !sampled(): // for the time that all tests may take
				*l = limits{exhaustive: max(l.exhaustive/10, 1), single: max(l.single/10, 1), random: max(l.random/10, 1)}
			}
			images, trials := s.explore(t, newInProcess)
			total += images
			tried += trials
		})
	}
	t.Logf("%d distinct images, %d trials, seed %d", total, tried, *seed)
	all := flag.Lookup("test.run").Value.String() == "" || flag.Lookup("test.run").Value.String() == "TestPowerLoss"
	switch {
	case sampled():
		t.Log("a sample: all of them are tried without -short and the race detector")
	case all && total < wanted:
		t.Errorf("%d distinct images, want %d", total, wanted)
	}
}

// explore records the scenario and tries its crashes, with the calls after the crash made in some way.
func (s *scenario) explore(t *testing.T, how func(rec *recording, root string) calls) (images, trials int) {
	t.Helper()
	begun := time.Now()
	rec := s.record(t)
	recorded := time.Now()
	e := &explorer{rec: rec, base: base, limits: s.limits, seed: *seed, copied: s.copied, aside: s.aside, calls: how}
	if *keep != "" {
		e.keep = filepath.Join(*keep, s.name)
	}
	if err := e.explore(); err != nil {
		t.Fatal(err)
	}
	for _, text := range e.found {
		t.Errorf("%s: %s", s.name, text)
	}
	t.Logf("%d operations recorded in %.1f s; %d crash points, %d of them sampled; %d distinct images, %d trials in %.1f s",
		len(rec.ops), recorded.Sub(begun).Seconds(), e.points, e.partial, len(e.images), len(e.tried), time.Since(recorded).Seconds())
	return len(e.images), len(e.tried)
}

// wanted is how many distinct images the full run has to try.
const wanted = 10_000

// sampled reports whether a few images of each crash point have to do.
func sampled() bool { return raceDetector || testing.Short() }
