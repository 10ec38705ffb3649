package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// changing are the system calls of which one after the other is the last, or fails: those that change a file or a name or
// make that durable, and those without which none of that comes about.
var changing = []string{"openat", "mkdirat", "write", "pwrite64", "fsync", "syncfs", "flock", "fallocate", "ftruncate",
	"fchmod", "fchmodat", "utimensat", "renameat", "renameat2", "unlinkat", "linkat", "copy_file_range"}

// takesSpace are those that may fail for want of space.
var takesSpace = map[string]bool{"mkdirat": true, "write": true, "pwrite64": true, "fsync": true, "syncfs": true, "fallocate": true,
	"renameat": true, "renameat2": true, "linkat": true, "copy_file_range": true}

// faults are what happens at such a call.
var faults = []struct {
	name   string
	inject string
	says   string // what the job has to say
	part   int    // one of so many places is tried by default
}{
	{"killed", "signal=KILL", "", 8},
	{"EIO", "error=EIO", "input/output error", 20},
	{"ENOSPC", "error=ENOSPC", "no space left on device", 20},
}

// place is a system call of a job.
type place struct {
	name    string
	ordinal int // among the calls of this name
	what    string
}

func (p place) String() string { return fmt.Sprintf("%s %d, %s", p.name, p.ordinal, p.what) }

// places runs a job and lists its system calls on files of the world.
func (w *world) places(j job) []place {
	w.t.Helper()
	log := filepath.Join(w.t.TempDir(), "trace")
	argv := append(trace.Command(log, "-e", "trace="+strings.Join(changing, ",")), pinned)
	argv = append(argv, w.args(j.args(w))...)
	out, exit := exited(w.t, exec.Command(argv[0], argv[1:]...))
	if exit != 0 {
		w.t.Fatalf("exit %d: %s", exit, out)
	}
	calls, err := trace.Read(log)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []place
	for _, c := range calls {
		if c.Thread != calls[0].Thread || !strings.HasPrefix(c.Path, w.root) && !strings.HasPrefix(c.To, w.root) {
			continue
		}
		list = append(list, place{c.Name, c.Ordinal, strings.ReplaceAll(c.String()[len(c.Name)+1:], w.root+"/", "")})
	}
	return list
}

// TestInterrupted breaks each job at its system calls.
func TestInterrupted(t *testing.T) {
	trace.Need(t)
	for _, j := range jobs {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			j.prepare(w)
			before, im := w.readIf(), w.save()
			all := w.places(j)
			if err := j.done(w, before); err != nil {
				t.Fatalf("undisturbed: %v", err)
			}
			if len(all) < j.least {
				t.Fatalf("%d places, want %d at least", len(all), j.least)
			}
			r := rand.New(rand.NewPCG(*seed, 0))
			for _, f := range faults {
				if *only != "" && f.name != *only {
					continue
				}
				tried, hit := 0, 0
				skip := r.IntN(f.part)
				for i, p := range all {
					if !*full && i%f.part != skip || f.name == "ENOSPC" && !takesSpace[p.name] {
						continue
					}
					if err := im.restore(); err != nil {
						t.Fatal(err)
					}
					tried++
					it := interruption{w: w, job: j, at: p, inject: f.inject, says: f.says, before: before}
					was, err := it.try()
					if err != nil {
						t.Errorf("%s at %s: %v\n(-seed %d)", f.name, p, err, *seed)
					}
					if was {
						hit++
					}
				}
				t.Logf("%s: %d places of %d, %d of them met", f.name, tried, len(all), hit)
				if hit < tried*3/4 {
					t.Errorf("%s: %d of %d places were met: this test shows less than it means to", f.name, hit, tried)
				}
			}
		})
	}
}

// interruption is one run of a job that is broken.
type interruption struct {
	w      *world
	job    job
	at     place
	inject string
	says   string
	before *told
}

// try breaks the job, looks at what it left, has the plugin go on and the job run once more. It reports whether the system call was met.
func (it *interruption) try() (met bool, err error) {
	w := it.w
	log := filepath.Join(w.t.TempDir(), "log")
	defer os.Remove(log)
	argv := []string{"strace", "-f", "-qq", "-o", log, "-e", "trace=" + it.at.name,
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", it.at.name, it.inject, it.at.ordinal)}
	if strings.HasPrefix(it.inject, "error=") { // strace does not send signals that way
		argv = append(argv, "--seccomp-bpf")
	}
	argv = append(argv, pinned)
	argv = append(argv, w.args(it.job.args(w))...)
	out, exit := exited(w.t, exec.Command(argv[0], argv[1:]...))
	text, err := os.ReadFile(log)
	if err != nil {
		w.t.Fatal(err)
	}
	met = strings.Contains(string(text), "(INJECTED)") || strings.Contains(string(text), "killed by SIGKILL")
	if met && it.says != "" && !it.passedOver(exit) {
		if exit != 4 || !strings.Contains(out, it.says) {
			return met, fmt.Errorf("exit %d, want 4 and %q: %s", exit, it.says, out)
		}
	}
	if strings.Contains(out, "panic:") || strings.Contains(out, "goroutine ") {
		return met, fmt.Errorf("a panic: %s", out)
	}
	if err := it.job.between(w, it.before, exit == 0); err != nil {
		return met, fmt.Errorf("left behind: %w\n%s", err, out)
	}
	args := it.job.args(w)
	if it.job.again != nil {
		args = it.job.again(w)
	}
	if out, exit := w.tool(args...); exit != 0 && (it.job.refuses == nil || !it.job.refuses(out)) {
		return met, fmt.Errorf("once more: exit %d: %s", exit, out)
	}
	if err := it.job.done(w, it.before); err != nil {
		return met, fmt.Errorf("once more: %w", err)
	}
	return met, nil
}

// passedOver reports whether a job may end so where a call failed: because it has another way. What it says that it did is judged all the same.
func (it *interruption) passedOver(exit int) bool {
	switch it.at.name {
	case "openat", "flock":
		return exit == 0 || exit == 4 // readers look again; of a folder that can't be looked into it is said that no store is there
	case "unlinkat":
		return exit == 0 // what was to go may be a folder, or be gone; names that have to be gone are asked for
	case "linkat", "copy_file_range":
		return exit == 0 // it is copied in another way
	case "fallocate":
		return exit == 0 // not every file system can
	case "pwrite64", "write", "fsync":
		return exit == 0 && strings.HasPrefix(it.says, "no space") // the reserve is used
	}
	return false
}
