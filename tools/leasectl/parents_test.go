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

// TestParentPruned: of the time of a succeeded journal that was pruned as a whole, the answer is who pruned it, when and why, and verify notes
// it.
func TestParentPruned(t *testing.T) {
	dataDir := t.TempDir()
	dir := repaired(t, dataDir, 2)
	if _, words, code := leasectl("prune", "--keep-events", "1", "--why", "rule 7", "--despite-lost", "--data-dir", dataDir); code != exitFound {
		t.Fatalf("prune: exit code %d, %s", code, words)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "archive", strings.Repeat("[0-9a-f]", 32))); len(left) > 0 || err != nil {
		t.Fatalf("journals left: %v, %v", left, err)
	}
	before := stamp(epoch.Add(-time.Hour))
	for _, q := range [][]string{{"who", "10.0.0.3", "--at", before}, {"at", before}, {"history", "--ip", "10.0.0.3", "--since", before},
		{"history", "--ip", "10.0.0.3"}, {"diff", before, "now"}} {
		out, words, code := leasectl(append(q, "--data-dir", dataDir)...)
		if text := out + words; code != exitUnknown || !strings.Contains(text, "was pruned at 2") || !strings.Contains(text, ": rule 7") ||
			strings.Contains(text, "is not there") {
			t.Errorf("%q: exit code %d, want 3: %s", q, code, text)
		}
	}
	out, words, code := leasectl("verify", "--data-dir", dataDir)
	if n := strings.Count(out, "which was succeeded, was pruned at "); code != exitFound || n != 2 {
		t.Errorf("verify notes %d pruned journals, want 2; exit code %d: %s%s", n, code, out, words)
	}
}
