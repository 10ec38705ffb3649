package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// options are what the command line says.
type options struct {
	seed      uint64
	span      time.Duration
	steps     int
	least     int
	root      string
	dir       string
	processes bool
	verbose   bool
}

// remembered is how many of the last steps are told of a violation.
const remembered = 20

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of all choices")
	flag.DurationVar(&o.span, "for", time.Minute, "how long to go on")
	flag.IntVar(&o.steps, "steps", 0, "how many steps to do instead")
	flag.IntVar(&o.least, "least", 0, "how many steps to do at least, also if that takes longer")
	flag.StringVar(&o.root, "root", ".", "the module's folder")
	flag.StringVar(&o.dir, "dir", "", "folder to work in, which must be empty; default a temporary one")
	flag.BoolVar(&o.processes, "processes", true, "do steps that run the plugin as processes")
	flag.BoolVar(&o.verbose, "v", false, "tell every step")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	fmt.Printf("seed %d\n", o.seed)
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp(o.dir, "leaselog-soak-"); err != nil {
		return err
	}
	plugin := ""
	if o.processes {
		if plugin, err = build(o.root, o.dir); err != nil {
			return err
		}
	}
	w, err := newWorld(o.dir, plugin, o.seed)
	if err != nil {
		return err
	}
	if err := w.work(o); err != nil {
		return fmt.Errorf("%w\nthe store is left in %s", err, o.dir)
	}
	w.tell()
	return os.RemoveAll(o.dir)
}

// build makes the plugin with the clock of this program.
func build(root, dir string) (string, error) {
	overlay, err := writeOverlay(root, dir)
	if err != nil {
		return "", err
	}
	return caller.Build(root, dir, "-overlay", overlay)
}

// work does steps until time is up, somebody interrupts it or a violation is found.
func (w *world) work(o options) error {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	start := time.Now()
	var last []string
	more := func(n int) bool {
		if o.steps > 0 {
			return n <= o.steps
		}
		return n <= o.least || time.Since(start) < o.span
	}
	for n := 1; more(n) && stop.Err() == nil; n++ {
		words, err := w.step(n)
		last = append(last, fmt.Sprintf("%d %s", n, words))
		if o.verbose {
			fmt.Println(last[len(last)-1])
		}
		if err != nil {
			return w.violation(o, n, last, err)
		}
		last = last[max(0, len(last)-remembered):]
		w.stats["steps"]++
	}
	return nil
}

// violation tells what is wrong and how to see it again.
func (w *world) violation(o options, n int, last []string, err error) error {
	fmt.Println("the last steps:")
	for i, words := range last[max(0, len(last)-remembered):] {
		if first, rest, many := strings.Cut(words, "\n"); many && i < remembered-1 {
			words = fmt.Sprintf("%s and %d more", first, strings.Count(rest, "\n")+1)
		}
		fmt.Println(words)
	}
	again := fmt.Sprintf("-seed %d -steps %d", o.seed, n)
	if !o.processes {
		again += " -processes=false"
	}
	return fmt.Errorf("violation in step %d, clock %v, after %d events; repeat with %s\n%w", n, w.clock.now.Time(), len(w.facts), again, err)
}

// tell prints how often what was done.
func (w *world) tell() {
	for _, name := range slices.Sorted(maps.Keys(w.stats)) {
		fmt.Printf("%-14s %8d\n", name, w.stats[name])
	}
}
