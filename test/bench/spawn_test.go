package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hungry has the test binary take memory and tell its own peak.
const hungry = "BENCH_TEST_HUNGRY"

func eat() {
	b := make([]byte, 48<<20)
	for i := range b {
		b[i] = byte(i)
	}
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	_, _ = fmt.Sscan(rest, &kib)
	fmt.Println(kib, b[1])
}

func TestRun(t *testing.T) {
	c := &command{path: "/bin/sh", args: []string{"-c", `cat; echo "$A" >&2; exit 3`}, env: []string{"A=b", "PATH=/bin:/usr/bin"}, input: []byte("in")}
	got, err := c.run()
	if err != nil || got.exit != 3 || string(got.stdout) != "in" || string(got.stderr) != "b" || got.took <= 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	c = &command{path: "/bin/sh", args: []string{"-c", "kill -9 $$"}}
	if got, err := c.run(); err != nil || got.exit != -1 {
		t.Errorf("killed: got %+v, %v, want exit -1", got, err)
	}
	c = &command{path: "/no/such/program"}
	if _, err := c.run(); err == nil {
		t.Error("a program that isn't there runs")
	}
	c = &command{path: "/bin/true", input: make([]byte, pipeBytes+1)}
	if _, err := c.run(); err == nil {
		t.Error("more input than a pipe takes")
	}
}

// TestPeak compares with what the process itself says: the measured peak must be its own, and not that of this test, which is made larger before.
func TestPeak(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: t.TempDir()}
	b.tools.rss = filepath.Join(b.dir, "rss")
	if err := build(context.Background(), "../..", b.tools.rss, "./test/bench/rss"); err != nil {
		t.Fatal(err)
	}
	ballast := make([]byte, 200<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	var said int
	peak, err := b.peak(&command{path: self, env: []string{hungry + "=1"}}, func(c *command) error {
		got, err := c.run()
		if err != nil || got.exit != 0 {
			return fmt.Errorf("%+v, %w", got, err)
		}
		_, err = fmt.Sscan(string(got.stdout), &said)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if said < 48<<10 || peak < said-512 || peak > said+8<<10 {
		t.Errorf("measured %d KiB, the process says %d", peak, said)
	}
	if ballast[len(ballast)-1] != 1 {
		t.Error("no ballast")
	}
	if peak, err := b.peak(&command{path: "/bin/true"}, func(c *command) error { _, err := c.run(); return err }); err == nil && peak < 1 {
		t.Errorf("a process of %d KiB", peak)
	}
}

func TestReadTrace(t *testing.T) {
	const text = `12 execve("/x", ["x"], 0x1 /* 3 vars */) = 0
12 write(5</d/a/log>, ""..., 200) = 200
12 write(1<pipe:[9]>, ""..., 70) = 70
12 pwrite64(6</d/a/lock>, ""..., 137, 0 <unfinished ...>
13 fsync(5</d/a/log> <unfinished ...>
12 <... pwrite64 resumed>) = 137
13 <... fsync resumed>) = 0
12 write(5</d/ab/log>, ""..., 9) = 9
12 write(5</d/a/log>, ""..., 9) = -1 ENOSPC (No space left on device)
12 fdatasync(5</d/a/log>) = 0
13 --- SIGURG {si_signo=SIGURG} ---
12 exit_group(0) = ?
13 +++ exited with 0 +++
`
	if got, want := readTrace(text, "/d/a"), (trace{calls: 9, syncs: 2, bytes: 337}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestCheck has every wrong answer noticed: a benchmark of calls that fail would be fast.
func TestCheck(t *testing.T) {
	taken := netip.MustParseAddr("10.0.0.9")
	w := &world{scene: leasesScene(2, false), held: map[netip.Addr]bool{taken: true}}
	dual := &world{scene: leasesScene(2, true), held: w.held}
	result := func(ips ...string) []byte {
		var list []string
		for _, ip := range ips {
			list = append(list, fmt.Sprintf(`{"address":%q}`, ip))
		}
		return []byte(`{"ips":[` + strings.Join(list, ",") + `]}`)
	}
	for _, test := range []struct {
		name    string
		w       *world
		subject subject
		verb    string
		answer  answer
		ok      bool
	}{
		{"ADD", w, leaselog, "ADD", answer{stdout: result("10.0.0.8/12")}, true},
		{"dual ADD", dual, hostLocal, "ADD", answer{stdout: result("10.0.0.8/12", "fd00:10::8/64")}, true},
		{"DEL", w, hostLocal, "DEL", answer{}, true},
		{"floor's CHECK", w, floor, "CHECK", answer{stdout: result("10.0.0.8/12")}, true},
		{"silent CHECK", w, silent, "CHECK", answer{}, true},
		{"exit 1", w, leaselog, "DEL", answer{exit: 1}, false},
		{"killed", w, leaselog, "DEL", answer{exit: -1}, false},
		{"a warning", w, leaselog, "ADD", answer{stdout: result("10.0.0.8/12"), stderr: []byte("x")}, false},
		{"held address", w, leaselog, "ADD", answer{stdout: result("10.0.0.9/12")}, false},
		{"held address of host-local", w, hostLocal, "ADD", answer{stdout: result("10.0.0.9/12")}, false},
		{"outside", w, leaselog, "ADD", answer{stdout: result("10.16.0.8/12")}, false},
		{"nothing", w, leaselog, "ADD", answer{}, false},
		{"no address", w, leaselog, "ADD", answer{stdout: result()}, false},
		{"one of two", dual, leaselog, "ADD", answer{stdout: result("10.0.0.8/12")}, false},
		{"two of one", w, leaselog, "ADD", answer{stdout: result("10.0.0.8/12", "10.0.0.10/12")}, false},
		{"DEL that prints", w, leaselog, "DEL", answer{stdout: []byte("{}")}, false},
		{"silent that prints", w, silent, "STATUS", answer{stdout: result("10.0.0.8/12")}, false},
		{"floor that prints nothing", w, floor, "STATUS", answer{}, false},
		{"floor without an address", w, floor, "STATUS", answer{stdout: result()}, false},
		{"bare that prints nothing", w, bare, "ADD", answer{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := test.w.check(test.subject, test.verb, test.answer); (err == nil) != test.ok {
				t.Errorf("got %v, want it to pass: %v", err, test.ok)
			}
		})
	}
}
