package rot_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// FuzzFiles puts any bytes in the place of META, the marker or the claim. Every answer is the right one, or names
// what is wrong.
func FuzzFiles(f *testing.F) {
	fix := newFixture(f)
	w := newWorker(f, fix, newModel(f, fix), filepath.Join(tempRoot(f), "w"))
	files := []string{metaFile, lockFile, claimFile}
	for i, name := range files {
		content := w.content(name, modeLive)
		f.Add(uint8(i), content)
		f.Add(uint8(i), content[:len(content)/2])
		f.Add(uint8(i), append(slices.Clone(content), "\n "...))
		f.Add(uint8(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		j := job{file: files[int(which)%len(files)], damage: damage{kind: cut}}
		if err := errors.Join(w.put(lockFile, w.lock[modeLive]), w.put(j.file, content)); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.check(j) {
			if want := w.m.held[lastEvent][c.who]; c.err == nil && !slices.Equal(c.held, want) {
				t.Errorf("CHECK of %s: %v, want %v", asked[c.who].ContainerID, c.held, want)
			} else if c.err != nil && !named(c.err) {
				t.Errorf("CHECK of %s: %v", asked[c.who].ContainerID, c.err)
			}
		}
		c := w.call(scripts[0])
		for _, err := range []error{c.addErr, c.delErr} {
			if err != nil && !named(err) {
				t.Error(err)
			}
		}
		if want := w.m.after[lastEvent][0].choice; c.addErr == nil && !slices.Equal(c.choice.Addresses, want.Addresses) {
			t.Errorf("ADD got %v, want %v", c.choice, want)
		}
		if err := w.heal(t, j); err != nil {
			t.Fatal(err)
		}
	})
}

// named reports whether an error says what is wrong with the store.
func named(err error) bool {
	var d *journal.CorruptionError
	return errors.As(err, &d) || errors.Is(err, journal.ErrNewer) || errors.Is(err, allocator.ErrElsewhere)
}
