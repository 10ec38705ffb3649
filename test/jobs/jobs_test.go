package jobs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
)

// job is a command that is broken.
type job struct {
	name    string
	least   int // system calls that it makes on files at least
	prepare func(w *world)
	args    func(w *world) []string
	again   func(w *world) []string // the next run; nil is args once more
	refuses func(out string) bool   // whether the next run may fail so; nil is that it may not
	between func(w *world, before *told, succeeded bool) error
	done    func(w *world, before *told) error // after the next run
}

// pods is how many come and go in a store: some five segments.
const pods = 520

var jobs = []job{
	{
		name: "compact", least: 60,
		prepare: func(w *world) { w.fill(pods) },
		args:    func(*world) []string { return []string{"compact"} },
		between: compactLeft, done: compacted,
	},
	{
		name: "compact again", least: 60,
		prepare: func(w *world) { w.fill(pods); w.must("compact"); w.fill(pods) },
		args:    func(*world) []string { return []string{"compact"} },
		between: compactLeft, done: compacted,
	},
	{
		name: "compact out", least: 60,
		prepare: func(w *world) { w.fill(pods / 3) },
		args:    func(w *world) []string { return []string{"compact", "--out", w.elsewhere("copies")} },
		refuses: func(out string) bool { return strings.Contains(out, "file exists") }, // and is whole, as done shows
		between: copyLeft, done: copied,
	},
	{
		name: "prune", least: 100,
		prepare: func(w *world) { w.fill(pods); w.must("compact"); w.fill(pods) },
		args:    func(*world) []string { return []string{"prune", "--keep-events", "700", "--why", "a test"} },
		between: compactLeft, done: pruned,
	},
	{
		name: "prune again", least: 100,
		prepare: func(w *world) { w.fill(pods); w.must("prune", "--keep-events", "700"); w.fill(pods) },
		args:    func(*world) []string { return []string{"prune", "--keep-events", "700", "--why", "a test"} },
		between: compactLeft, done: pruned,
	},
	{
		name: "hold", least: 8,
		prepare: func(w *world) { w.fill(pods) },
		args: func(*world) []string {
			return []string{"hold", "add", "--since", "2026-01-01T00:00:00Z", "--note", "case 17"}
		},
		between: func(w *world, before *told, _ bool) error { return w.unchanged(before) },
		done: func(w *world, before *told) error {
			if out, exit := w.tool("hold", "list"); exit != 0 || !strings.Contains(out, "case 17") {
				return fmt.Errorf("hold list: exit %d: %s", exit, out)
			}
			return w.unchanged(before)
		},
	},
	{
		name: "backup", least: 30,
		prepare: func(w *world) { w.fill(pods); w.must("compact"); w.fill(pods / 4) },
		args:    func(w *world) []string { return []string{"backup", "-o", w.elsewhere("backup")} },
		again: func(w *world) []string { // what is there, is whole, as done shows
			if _, err := os.Stat(w.elsewhere("backup")); err == nil {
				return []string{"backup", "-o", w.elsewhere("another")}
			}
			return []string{"backup", "-o", w.elsewhere("backup")}
		},
		between: func(w *world, before *told, _ bool) error { return w.unchanged(before) },
		done:    backedUp,
	},
	{
		name: "restore", least: 60,
		prepare: func(w *world) {
			w.fill(pods)
			w.must("compact")
			w.fill(pods / 4)
			w.must("backup", "-o", w.elsewhere("backup"))
			if err := os.RemoveAll(w.net.DataDir); err != nil {
				w.t.Fatal(err)
			}
		},
		args:    func(w *world) []string { return []string{"restore", w.elsewhere("backup")} },
		refuses: func(out string) bool { return strings.Contains(out, "is there already") }, // and is whole, as done shows
		between: func(*world, *told, bool) error { return nil },
		done:    restored,
	},
}

// readIf is read where there is a store.
func (w *world) readIf() *told {
	w.t.Helper()
	if _, err := os.Stat(w.net.StoreDir()); err != nil {
		return nil
	}
	return w.read()
}

// unchanged fails unless all events are there and the plugin works.
func (w *world) unchanged(before *told) error {
	h, err := readStore(w.net.StoreDir())
	if err != nil {
		return err
	}
	return errors.Join(h.keeps(before), w.works(h, before), w.sound())
}

// compactLeft judges what a broken compaction left.
func compactLeft(w *world, before *told, succeeded bool) error {
	if err := w.unchanged(before); err != nil || !succeeded {
		return err
	}
	return compacted(w, before)
}

// compacted judges a store that was compacted: all is there, in a packed file, and nothing else is.
func compacted(w *world, before *told) error {
	if err := w.unchanged(before); err != nil {
		return err
	}
	packed := 0
	if _, err := os.Stat(filepath.Join(w.net.StoreDir(), "archive", journal.SegmentName(1))); err != nil {
		return fmt.Errorf("the first event: %w", err)
	}
	for _, name := range names(w.t, filepath.Join(w.net.StoreDir(), "archive")) {
		switch {
		case strings.HasSuffix(name, ".llz"):
			packed++
		case name != journal.SegmentName(1):
			return fmt.Errorf("archive/%s is left", name)
		}
	}
	if packed != 1 {
		return fmt.Errorf("%d packed files, want 1", packed)
	}
	if live, err := journal.Segments(w.net.StoreDir()); err != nil || len(live) != 1 {
		return fmt.Errorf("segments %v are in journal/, %v, want one", live, err)
	}
	for _, folder := range []string{"snap", "."} {
		for _, name := range names(w.t, filepath.Join(w.net.StoreDir(), folder)) {
			if strings.Contains(name, "tmp.") {
				return fmt.Errorf("%s is left", name)
			}
		}
	}
	return nil
}

// copyLeft judges what is left of a compacted copy in the making: there is none, or it is whole.
func copyLeft(w *world, before *told, succeeded bool) error {
	if _, err := os.Stat(w.elsewhere("copies/" + network)); err == nil || succeeded {
		return errors.Join(w.unchanged(before), copyWhole(w, before))
	}
	return w.unchanged(before)
}

// copied judges a compacted copy: the store is as it was, the copy is whole, and nothing is beside it.
func copied(w *world, before *told) error {
	if err := errors.Join(w.unchanged(before), copyWhole(w, before)); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.elsewhere("copies"))
	if err != nil || len(entries) != 1 {
		return fmt.Errorf("%v are in the copy's folder, %v, want one", entries, err)
	}
	return nil
}

// copyWhole fails unless the copy has all events that the store had.
func copyWhole(w *world, before *told) error {
	h, err := readStore(w.elsewhere("copies/" + network))
	if err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	return h.keeps(before)
}

// pruned judges a store that was pruned: a tombstone tells what is gone, that is gone, and the rest is as it was.
func pruned(w *world, before *told) error {
	if err := compacted(w, before); err != nil {
		return err
	}
	h, err := readStore(w.net.StoreDir())
	if err != nil {
		return err
	}
	if h.pruned <= before.pruned || before.last-h.pruned > 700 {
		return fmt.Errorf("pruned up to event %d of %d, before up to %d", h.pruned, before.last, before.pruned)
	}
	for seq := range h.raw {
		if seq > 1 && seq <= h.pruned {
			return fmt.Errorf("event %d is there, and told to be pruned", seq)
		}
	}
	return nil
}

// backedUp judges the backup: it can be restored, and then tells the same.
func backedUp(w *world, before *told) error {
	if err := w.unchanged(before); err != nil {
		return err
	}
	got := slices.DeleteFunc(names(w.t, w.elsewhere("")), func(name string) bool { return name == "another" })
	if !slices.Equal(got, []string{"backup"}) {
		return fmt.Errorf("%q are beside the backup", got)
	}
	if out, exit := exited(w.t, commandOf("restore", w.elsewhere("backup"), "--data-dir", filepath.Join(w.t.TempDir(), "again"), "--dry-run")); exit != 1 {
		return fmt.Errorf("the backup is not good: exit %d: %s", exit, out)
	}
	return nil
}

// restored judges a restored store: the events are in that of its parent, and nothing is left of the work.
func restored(w *world, _ *told) error {
	h, err := readStore(w.net.StoreDir())
	if err != nil {
		return err
	}
	if err := errors.Join(w.works(h), w.sound()); err != nil {
		return err
	}
	if held := len(h.held); held < pods/10 {
		return fmt.Errorf("%d leases are held, want %d", held, pods/10)
	}
	parents, err := filepath.Glob(filepath.Join(w.net.StoreDir(), "archive", "*", "META"))
	if err != nil || len(parents) != 1 {
		return fmt.Errorf("parents: %q, %v", parents, err)
	}
	parent, err := readStore(filepath.Dir(parents[0]))
	if err != nil {
		return fmt.Errorf("the parent: %w", err)
	}
	if parent.last < 2*pods {
		return fmt.Errorf("the parent has %d events", parent.last)
	}
	for _, name := range names(w.t, filepath.Dir(w.net.StoreDir())) {
		if strings.HasPrefix(name, ".restore-") || strings.HasPrefix(name, ".new-") {
			return fmt.Errorf("%s is left", name)
		}
	}
	return nil
}
