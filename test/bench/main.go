package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	root    string
	dir     string
	out     string
	quick   bool
	partial bool // not all that belongs into docs
	rounds  int
	batches int
	cycles  int
	history int
	sizes   []int
	places  []string
	only    *regexp.Regexp
	seed    uint64
}

// bench is a run.
type bench struct {
	options options
	dir     string // temporary
	tools   tools
	netns   string
	rng     *rand.Rand
	started time.Time
	samples samples
	notes   []string // what was left out, and why
}

func (b *bench) add(s sample) { b.samples = append(b.samples, s) }

// note keeps words for the report and tells them at once.
func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
	b.say(format, args...)
}

func (b *bench) say(format string, args ...any) {
	fmt.Printf("%6.0fs  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start runs the benchmark in a mount namespace of its own, where it may have one.
func start() error {
	const inside = "LEASELOG_BENCH_INSIDE"
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		o, err := parse(os.Args[1:])
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		if err != nil {
			return err
		}
		return run(ctx, o)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The kernel kills the child with the thread that started it.
	runtime.LockOSThread()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start in a mount namespace: %w", err)
	}
	go func() {
		for s := range signals {
			// The child ends by it and cleans up; one that has ended needs no signal.
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		os.Exit(1) // it has said why
	}
	return err
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	var sizes, places, only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the module's folder; its bin/ holds the plugin, leasegen and test/host-local")
	f.StringVar(&o.dir, "dir", "", "folder on the disk to measure on (default bin)")
	f.StringVar(&o.out, "out", "", "folder for BENCHMARKS.md and bench/*.svg (default docs; with -quick, -only, -fs or -sizes bin/bench)")
	f.BoolVar(&o.quick, "quick", false, "a few minutes: this disk and tmpfs, few sizes and rounds")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of each row (default 60, quick 40)")
	f.IntVar(&o.batches, "batches", 0, "rounds of many callers at once (default 11, quick 5)")
	f.IntVar(&o.cycles, "cycles", 0, "snapshot cycles (default 3, quick 1)")
	f.IntVar(&o.history, "history", -1, "events of the long history, 0 for none (default 10000000, quick 0)")
	f.StringVar(&sizes, "sizes", "", "leases, with commas between (default 0,250,1000,10000,65000,250000; quick 0,250,65000,250000)")
	f.StringVar(&places, "fs", "", "file systems, with commas between: disk, ext4, xfs, btrfs, tmpfs (default disk,ext4,xfs,btrfs,tmpfs; quick disk,tmpfs)")
	f.StringVar(&only, "only", "", "regular expression: only such parts as its listing names, for instance 'disk: leases, single'")
	f.Uint64Var(&o.seed, "seed", 1, "seed of stores and container IDs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q: there are only flags", f.Arg(0))
	}
	return o, o.complete(sizes, places, only)
}

// complete fills in what the command line leaves open.
func (o *options) complete(sizes, places, only string) (err error) {
	o.partial = o.quick || sizes != "" || places != "" || only != ""
	pick := func(value *int, unset, full, quick int) {
		if *value == unset {
			*value = full
			if o.quick {
				*value = quick
			}
		}
	}
	pick(&o.rounds, 0, 60, 40)
	pick(&o.batches, 0, 11, 5)
	pick(&o.cycles, 0, 3, 1)
	pick(&o.history, -1, 10_000_000, 0)
	if sizes == "" {
		sizes = "0,250,1000,10000,65000,250000"
		if o.quick {
			sizes = "0,250,65000,250000"
		}
	}
	if places == "" {
		places = "disk,ext4,xfs,btrfs,tmpfs"
		if o.quick {
			places = "disk,tmpfs"
		}
	}
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n%2 != 0 || n > 1_000_000 {
			return fmt.Errorf("-sizes %q: want even numbers to 1000000", text)
		}
		o.sizes = append(o.sizes, n)
	}
	o.places = strings.Split(places, ",")
	if o.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = filepath.Join(o.root, "bin")
	}
	if o.out == "" {
		o.out = filepath.Join(o.root, "docs")
		if o.partial {
			o.out = filepath.Join(o.root, "bin", "bench")
		}
	}
	return nil
}
