package crash

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// scenario is a real run that the power is cut in.
type scenario struct {
	name   string
	nets   []string // subnets, one for each range set
	limits limits
	copied bool
	aside  bool
	run    func(r *recorder)
}

// usual is what small scenarios are explored with.
var usual = limits{exhaustive: 4096, single: 512, random: 1500}

var scenarios = []scenario{
	{name: "create", nets: []string{"10.1.0.0/24"}, limits: usual, run: func(r *recorder) {
		r.begin()
		r.must(r.add("c1"))
	}},
	{name: "calls", nets: []string{"10.1.0.0/24"}, limits: usual, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.must(r.add("c3"), r.del("c1"), r.add("c4"))
	}},
}

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
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			r := newRecorder(t, plugin, filepath.Join(shm, fmt.Sprintf("r%03d", i)), s.nets...)
			begun := time.Now()
			s.run(r)
			rec := r.end()
			recorded := time.Since(begun)
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
				len(rec.ops), recorded.Seconds(), e.points, e.partial, len(e.images), len(e.tried), (time.Since(begun) - recorded).Seconds())
			total += len(e.images)
			tried += len(e.tried)
		})
	}
	t.Logf("%d distinct images, %d trials, seed %d", total, tried, *seed)
}
