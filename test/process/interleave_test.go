package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/trace"
)

// stopping are the system calls after which a process is stopped. All of an ADD's stand before its
// last look at the data folder, but for those of descriptors that concern no file.
var stopping = []string{"openat", "getdents64", "flock", "pwrite64", "fsync", "mkdirat", "fallocate"}

// stopAt starts a call that stops after its i-th system call of this name, waits until it does, and
// returns it. The result is nil if the call ended before, successful or not.
func stopAt(t *testing.T, c call, name string, i int) *process {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	// -D: the tracer is a grandchild, so that the process that we see is the plugin.
	c.under = []string{"strace", "-D", "-f", "-qq", "-o", trace, "-e", "trace=" + name,
		"-e", fmt.Sprintf("inject=%s:signal=STOP:when=%d", name, i)}
	p := start(t, c)
	if p == nil {
		t.FailNow()
	}
	p.release()
	for deadline := time.Now().Add(callLimit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, _ := os.ReadFile(trace); strings.Contains(string(text), "--- stopped by SIGSTOP ---") {
			return p
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
	}
	p.wait()
	return nil
}

// resume lets a stopped call go on, and returns its answer. strace counts by thread, so that the
// call may stop once more; therefore it is woken again and again.
func (p *process) resume() answer {
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Millisecond):
				_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended
			}
		}
	}()
	defer close(ended)
	return p.wait()
}

// atEachStop runs a trial for each place where a call can be stopped, each on a network of its own.
func atEachStop(t *testing.T, prepare func(n network) call, trial func(t *testing.T, n network, p *process)) {
	t.Helper()
	trace.Need(t)
	if testing.Short() {
		t.Skip("some hundred processes under strace")
	}
	stops := 0
	n := newNetwork(t)
	for _, name := range stopping {
		for i := 1; ; i++ {
			n.name = fmt.Sprintf("%s-%d", name, i)
			p := stopAt(t, prepare(n), name, i)
			if p == nil {
				break
			}
			stops++
			trial(t, n, p)
			if t.Failed() {
				t.Fatalf("stopped after %s %d", name, i)
			}
		}
	}
	if stops < 10 {
		t.Errorf("stopped %d times, so this test shows less than it means to", stops)
	}
}

// TestStoppedWhileMaking has a network made by another call while one stands still in doing so.
func TestStoppedWhileMaking(t *testing.T) {
	atEachStop(t, func(n network) call { return n.add("stopped") }, func(t *testing.T, n network, p *process) {
		t.Helper()
		other := start(t, n.add("other"))
		if other == nil {
			t.FailNow()
		}
		done := make(chan answer, 1)
		go func() {
			other.release()
			done <- other.wait()
		}()
		var answers []answer
		select {
		case a := <-done:
			answers = append(answers, a, p.resume())
		case <-time.After(100 * time.Millisecond): // the stopped one holds a lock
			answers = append(answers, p.resume(), <-done)
		}
		for _, a := range answers {
			if !a.ok() {
				t.Errorf("%v: want success", a)
			}
		}
		distinct(t, answers)
		h := readHistory(t, n)
		if len(h.leases) != 2 || h.count(journal.KindGenesis) != 1 || h.count(journal.KindReset) != 0 {
			t.Errorf("got leases %v, %d genesis events and %d resets, want 2, 1 and 0",
				h.leases, h.count(journal.KindGenesis), h.count(journal.KindReset))
		}
	})
}

// TestStoppedBeforeWipe has the data folder deleted while a call stands still, for the first time or
// again before any call noticed.
func TestStoppedBeforeWipe(t *testing.T) {
	for _, test := range []struct {
		name, verb string
		wiped      bool // once already
	}{
		{"ADD", "ADD", false},
		{"DEL", "DEL", false},
		{"ADD after a wipe", "ADD", true},
		{"DEL after a wipe", "DEL", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			prepare := func(n network) call {
				must(t, n.add("old"))
				must(t, n.add("stopped-DEL"))
				if test.wiped {
					removeFolder(t, n)
				}
				return call{verb: test.verb, id: "stopped-" + test.verb, conf: n.conf()}
			}
			atEachStop(t, prepare, func(t *testing.T, n network, p *process) {
				t.Helper()
				removeFolder(t, n)
				a := p.resume()
				if !a.ok() && a.code != codeTryAgain {
					t.Errorf("%v: want success or code %d", a, codeTryAgain)
				}
				after := must(t, n.add("after"))
				h := readHistory(t, n)
				if test.verb == "ADD" && a.ok() && !slices.Equal(h.leases[p.call.id], a.ips) {
					t.Errorf("%s was given %v after a wipe, and holds %v", p.call.id, a.ips, h.leases[p.call.id])
				}
				if !slices.Equal(h.leases["after"], after.ips) || len(h.leases["old"]) > 0 {
					t.Errorf("got leases %v, want that of after, %v, and none of old", h.leases, after.ips)
				}
				// A wipe that ends no lease need not be recorded.
				if got := h.count(journal.KindReset); got != 1 && !(test.wiped && got == 2) {
					t.Errorf("got %d resets, want one a wipe", got)
				}
				must(t, n.check("after"))
			})
		})
	}
}

func removeFolder(t *testing.T, n network) {
	t.Helper()
	if _, err := removeTree(n.folder()); err != nil {
		t.Fatal(err)
	}
}

// TestStoppedBeforeLoss has the whole store deleted while a call stands still, and another made
// before it goes on or not.
func TestStoppedBeforeLoss(t *testing.T) {
	for _, loss := range losses {
		for _, remade := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, remade %t", loss.name, remade), func(t *testing.T) {
				t.Parallel()
				prepare := func(n network) call {
					must(t, n.add("old"))
					return n.add("stopped")
				}
				atEachStop(t, prepare, func(t *testing.T, n network, p *process) {
					t.Helper()
					if err := loss.run(n); err != nil {
						t.Fatal(err)
					}
					var given []answer
					if remade {
						given = append(given, must(t, n.add("new")))
					}
					if a := p.resume(); !a.ok() && a.code != codeTryAgain && a.code != codeStorage {
						t.Errorf("%v: want success, code %d or %d", a, codeTryAgain, codeStorage)
					}
					given = append(given, must(t, n.add("after")))
					h := readHistory(t, n)
					for _, a := range given {
						if !slices.Equal(h.leases[a.call.id], a.ips) {
							t.Errorf("%s was given %v, and holds %v", a.call.id, a.ips, h.leases[a.call.id])
						}
					}
					if len(h.leases["old"]) > 0 {
						t.Errorf("old holds %v in a new journal", h.leases["old"])
					}
				})
			})
		}
	}
}
