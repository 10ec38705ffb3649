package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// run measures and reports.
func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, started: time.Now(), rng: rand.New(rand.NewPCG(o.seed, 0)), netns: netNS()}
	if b.dir, err = os.MkdirTemp(o.dir, "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, name := range o.places {
		if err := b.measure(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(b.samples) == 0 {
		return errors.New("nothing was measured")
	}
	csv := filepath.Join(o.root, "bin", "bench", "samples.csv")
	if err := b.samples.write(csv); err != nil {
		return err
	}
	return b.report(ctx)
}

// prepare builds what is measured besides bin/.
func (b *bench) prepare(ctx context.Context) error {
	bin := filepath.Join(b.options.root, "bin")
	b.tools = tools{leaselog: filepath.Join(bin, "leaselog"), hostLocal: filepath.Join(bin, "test", "host-local"), leasegen: filepath.Join(bin, "leasegen"),
		floor: filepath.Join(b.dir, "floor-bin"), rss: filepath.Join(b.dir, "rss-bin")}
	for _, path := range []string{b.tools.leaselog, b.tools.hostLocal, b.tools.leasegen} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w; make build refs makes it", err)
		}
	}
	b.tools.strace, _ = exec.LookPath("strace")
	if b.tools.strace == "" {
		b.note("strace is not here: no system calls and bytes per call.")
	}
	for path, what := range map[string]string{b.tools.floor: "./test/bench/floor", b.tools.rss: "./test/bench/rss"} {
		if err := build(ctx, b.options.root, path, what); err != nil {
			return err
		}
	}
	return sameBuild(b.tools.leaselog, b.tools.floor)
}

// build builds a program as make build builds the plugin.
func build(ctx context.Context, root, path, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, what)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", what, err, out)
	}
	return nil
}

// sameBuild wants two programs built alike: a setting that only one of them has, such as a go:debug line,
// would be measured as if it were work.
func sameBuild(a, b string) error {
	var settings [2]string
	for i, path := range []string{a, b} {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err
		}
		settings[i] = info.GoVersion
		for _, s := range info.Settings {
			if s.Key != "-ldflags" && !strings.HasPrefix(s.Key, "vcs") {
				settings[i] += " " + s.Key + "=" + s.Value
			}
		}
	}
	if settings[0] != settings[1] {
		return fmt.Errorf("built differently:\n%s: %s\n%s: %s", a, settings[0], b, settings[1])
	}
	return nil
}

// measure measures all there is on one file system.
func (b *bench) measure(ctx context.Context, name string) (err error) {
	p, err := openPlace(ctx, b.dir, name)
	if errors.Is(err, errUnavailable) {
		b.note("%s: left out: %v", name, err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, part := range b.parts(p) {
		if !b.options.only.MatchString(p.name + ": " + part.name) {
			continue
		}
		b.say("%s: %s", p.name, part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// part is what can be measured by itself.
type part struct {
	name string
	do   func(context.Context) error
}

// parts lists what is measured on a file system. What doesn't depend on it is measured on the disk alone.
func (b *bench) parts(p *place) []part {
	var parts []part
	for _, dual := range []bool{false, true} {
		for _, n := range b.options.sizes {
			s := leasesScene(n, dual)
			parts = append(parts, part{s.String(), func(ctx context.Context) error {
				return b.with(ctx, p, s, s.hostLocalRounds(b.options.rounds) > 0, b.scenery)
			}})
		}
	}
	callers := leasesScene(250, false)
	parts = append(parts, part{"callers", func(ctx context.Context) error { return b.with(ctx, p, callers, true, b.callers) }})
	if p.name != "disk" {
		return parts
	}
	full := fullScene()
	parts = append(parts,
		part{full.String(), func(ctx context.Context) error { return b.with(ctx, p, full, true, b.scenery) }},
		part{"flat", func(ctx context.Context) error { return b.pair(ctx, p, "flat", b.flat) }},
		part{"snapshot cycle", func(ctx context.Context) error { return b.pair(ctx, p, "cycle", b.cycles) }})
	if b.options.history > 0 {
		long := scene{name: "history of " + grouped(b.options.history) + " events", leases: 250, events: b.options.history}
		parts = append(parts, part{long.String(), func(ctx context.Context) error { return b.with(ctx, p, long, true, b.scenery) }})
	}
	return parts
}

// with makes a world, has it measured and removes it.
func (b *bench) with(ctx context.Context, p *place, s scene, withHostLocal bool, measure func(context.Context, *world) error) (err error) {
	w, err := newWorld(ctx, b, p, s, withHostLocal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.home), p.settle()) }()
	return measure(ctx, w)
}

// scenery measures a scene: times, then what doesn't depend on speed.
func (b *bench) scenery(ctx context.Context, w *world) error {
	if err := b.series(ctx, w); err != nil {
		return err
	}
	return b.costs(ctx, w, w.scene.leases <= 10_000)
}

// lockedThread runs f on a thread of its own, which ends with it.
func lockedThread(f func()) {
	runtime.LockOSThread()
	f()
}
