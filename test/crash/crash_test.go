package crash

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func needStrace(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skipf("runs are recorded: %v", err)
	}
	if out, err := exec.Command(path, "-f", "-qq", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("runs are recorded: strace: %v: %s", err, out)
	}
}

// TestPowerLoss cuts the power at every point of every scenario.
func TestPowerLoss(t *testing.T) {
	needStrace(t)
	total, tried := 0, 0
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			begun := time.Now()
			rec := s.record(t)
			recorded := time.Now()
			e := &explorer{rec: rec, base: shm, limits: s.limits, seed: *seed, copied: s.copied, aside: s.aside, run: (*trial).run}
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
			total += len(e.images)
			tried += len(e.tried)
		})
	}
	t.Logf("%d distinct images, %d trials, seed %d", total, tried, *seed)
}
