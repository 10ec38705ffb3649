package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// repaired makes a store that has succeeded another so many times, and returns its folder.
func repaired(t *testing.T, dataDir string, times int) string {
	t.Helper()
	dir := filepath.Join(dataDir, historyName, "net")
	for i := range times {
		events, err := parseEvents("1 add id=lost ip=10.0.0.2/24\n2 add id=kept ip=10.0.0.3/24")
		if err != nil {
			t.Fatal(err)
		}
		for n := range events {
			events[n].ContainerID += strings.Repeat("x", i+1)
			events[n].Addresses[0].IP = events[n].Addresses[0].IP.Next()
			for range i * 2 {
				events[n].Addresses[0].IP = events[n].Addresses[0].IP.Next()
			}
		}
		if err := liveStore(dataDir, "net", events); err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(dir, firstSegment), "lost"+strings.Repeat("x", i+1))
		if _, words, code := leasectl("repair", "--apply", "--data-dir", dataDir); code != exitFound {
			t.Fatalf("repair: exit code %d, %s", code, words)
		}
	}
	return dir
}

func flip(t *testing.T, path, text string) {
	t.Helper()
	if err := flipBit(path, text); err != nil {
		t.Fatal(err)
	}
}

// TestParents: a store leads to those that it has succeeded, newest first, and each tells up to its damage.
func TestParents(t *testing.T) {
	dataDir := t.TempDir()
	dir := repaired(t, dataDir, 2)
	find := func(dataDir string) []*store {
		t.Helper()
		var words bytes.Buffer
		a := &app{stdout: &words, stderr: &words, now: time.Now(), dataDirs: []string{dataDir}}
		stores, err := a.stores()
		if err != nil || len(stores) != 1 {
			t.Fatalf("%d stores, %v, %s", len(stores), err, words.String())
		}
		return stores[0].parents
	}
	parents := find(dataDir)
	if len(parents) != 2 {
		t.Fatalf("%d parents, want 2", len(parents))
	}
	for i, p := range parents {
		if p.reader != nil {
			t.Errorf("parent %d was opened before it was asked", i)
		}
		if err := p.ask(); err != nil || p.broken != nil {
			t.Fatalf("parent %d: %v, %v", i, err, p.broken)
		}
		if cov := p.reader.Coverage(); !cov.Copy || p.network != "net" {
			t.Errorf("parent %d: coverage %+v of network %q, want a copy's of net", i, cov, p.network)
		}
	}
	first, err := parents[1].reader.Genesis()
	if err != nil || first.Origin.Parent != (journal.ID{}) {
		t.Errorf("the oldest names parent %s, %v; want none", first.Origin.Parent, err)
	}
	if second, err := parents[0].reader.Genesis(); err != nil || second.Origin.Parent != parents[1].meta.ID {
		t.Errorf("the newer parent has succeeded %s, %v; want %s", second.Origin.Parent, err, parents[1].meta.ID)
	}

	// Without the first event what the archive keeps is taken, by age.
	flip(t, filepath.Join(dir, firstSegment), "net")
	again := find(dir)
	if len(again) != 2 || again[0].dir != parents[0].dir || again[1].dir != parents[1].dir {
		t.Errorf("without its first event: %d parents, want the same two", len(again))
	}

	// Asked by itself, a kept store finds its own parent beside it.
	if beside := find(parents[0].dir); len(beside) != 1 || beside[0].dir != parents[1].dir {
		t.Errorf("the newer parent by itself: %d parents, want the older one", len(beside))
	}

	// One that is gone is said to be.
	if err := os.RemoveAll(parents[1].dir); err != nil {
		t.Fatal(err)
	}
	if gone := find(parents[0].dir); len(gone) != 1 {
		t.Errorf("%d parents, want the one that is gone", len(gone))
	} else if err := gone[0].ask(); err == nil || !strings.Contains(err.Error(), "the store that was succeeded is not there") {
		t.Errorf("a parent that is gone: %v", err)
	}
}
