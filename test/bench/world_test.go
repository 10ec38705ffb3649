package main

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// TestScenery measures a small scene with the real programs and wants a sample of each row, every lease
// as it was, and a short tail.
func TestScenery(t *testing.T) {
	const rounds = 3
	dir := t.TempDir()
	b := &bench{options: options{rounds: rounds, seed: 1}, started: time.Now(), dir: dir, netns: "/no/such/netns", rng: rand.New(rand.NewPCG(1, 0))}
	for name, path := range map[string]*string{"floor": &b.tools.floor, "rss": &b.tools.rss} {
		*path = filepath.Join(dir, name+"-bin")
		if err := build(context.Background(), "../..", *path, "./test/bench/"+name); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if b.tools.leaselog, err = caller.Build("../..", dir); err != nil {
		t.Fatal(err)
	}
	if b.tools.leasegen, err = caller.BuildTool("../..", dir, "leasegen"); err != nil {
		t.Fatal(err)
	}
	subjects := []subject{leaselog, hostLocal, floor}
	b.tools.hostLocal = "../../bin/test/host-local"
	if _, err := os.Stat(b.tools.hostLocal); err != nil {
		t.Log("host-local is not here, make refs makes it: measured without it")
		subjects = []subject{leaselog, floor}
	}
	p, err := openPlace(context.Background(), dir, "disk")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	s := leasesScene(20, true)
	w, err := newWorld(context.Background(), b, p, s, len(subjects) == 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(subjects) < 3 {
		w.scene.leases = 1_000_000 // host-local can't be waited for
	}
	s = w.scene
	if err := b.series(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	if err := b.costs(context.Background(), w, len(subjects) == 3); err != nil {
		t.Fatal(err)
	}
	for _, who := range subjects {
		for _, verb := range verbs {
			if n := len(b.samples.of(row{"disk", s, verb, who})); n != rounds {
				t.Errorf("%s %s: %d samples, want %d", who, verb, n, rounds)
			}
		}
		if n := len(b.samples.of(row{"disk", s, memoryWhat, who})); n != memoryCalls {
			t.Errorf("%s: %d samples of memory, want %d", who, n, memoryCalls)
		}
	}
	wantSteady(t, w, len(subjects) == 3)
}

// wantSteady wants the leases that the world began with, in both stores.
func wantSteady(t *testing.T, w *world, withHostLocal bool) {
	t.Helper()
	before := w.held
	again := *w
	again.scene.leases, again.held, again.leases = len(before), map[netip.Addr]bool{}, nil
	if err := again.read(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(again.held, before) {
		t.Errorf("held now: %v, before: %v", again.held, before)
	}
	if !withHostLocal {
		return
	}
	entries, err := os.ReadDir(filepath.Join(w.hostLocalDir, network))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(entries), len(before)+len(w.cursors)+1; got != want {
		t.Errorf("host-local has %d files, want %d: leases, cursors, lock", got, want)
	}
}
