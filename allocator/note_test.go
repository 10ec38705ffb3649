package allocator_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// TestNote records events that change no lease, among others.
func TestNote(t *testing.T) {
	s := newStore(t)
	ev := &journal.Event{Kind: journal.KindHold, Text: "case 17"}
	ev.SetHold(journal.Hold{Since: 5})
	if err := s.Note(ev); !errors.Is(err, journal.ErrNoStore) {
		t.Errorf("without a store: %v", err)
	}
	ip := add(t, s, 1)
	if err := s.Note(ev); err != nil {
		t.Fatal(err)
	}
	if ev.Seq != 4 || ev.Wall == 0 || ev.Version != "test" {
		t.Errorf("recorded as %+v", ev)
	}
	release(t, s, 1)
	if again := add(t, s, 2); again == ip {
		t.Errorf("%s was given again at once: the cursor is lost", again)
	}
	if got, want := kinds(t, s), "genesis config add hold del add "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if h, ok := events(t, s)[3].Hold(); !ok || h.Since != 5 {
		t.Errorf("read as %+v, %v", h, ok)
	}
	for _, bad := range []*journal.Event{{Kind: journal.KindReset}, {Kind: journal.KindHold, Text: strings.Repeat("x", journal.MaxRecord)}} {
		if err := s.Note(bad); err == nil {
			t.Errorf("%s was recorded", bad.Kind)
		}
	}
}

// TestNoteAfter shows what came since, and records nothing against what it says.
func TestNoteAfter(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	add(t, s, 2)
	errVeto := errors.New("no")
	var seen []journal.Seq
	err := s.NoteAfter(2, &journal.Event{Kind: journal.KindPrune}, func(ev *journal.Event) error {
		if seen = append(seen, ev.Seq); ev.Seq == 4 {
			return errVeto
		}
		return nil
	})
	if !errors.Is(err, errVeto) || !slices.Equal(seen, []journal.Seq{3, 4}) {
		t.Errorf("got %v after events %v", err, seen)
	}
	if err := s.NoteAfter(4, &journal.Event{Kind: journal.KindPrune}, func(*journal.Event) error { return errVeto }); err != nil {
		t.Errorf("with nothing new: %v", err)
	}
	if got, want := kinds(t, s), "genesis config add add prune "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// TestNoteAfterMany looks at all that came since, once and in order, and holds the lock for what came last alone.
func TestNoteAfterMany(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	const n = allocator.FewEvents + 40
	for range n / 2 {
		add(t, s, 2)
		release(t, s, 2)
	}
	last := journal.Seq(len(events(t, s)))
	seen := journal.Seq(3)
	err := s.NoteAfter(seen, &journal.Event{Kind: journal.KindPrune}, func(ev *journal.Event) error {
		if seen++; ev.Seq != seen {
			t.Errorf("event %d is shown, want %d", ev.Seq, seen)
		}
		lock, free, err := journal.TryLock(filepath.Join(s.Dir(), "lock"))
		if err != nil {
			return err
		}
		if free {
			err = lock.Close()
		}
		if free != (ev.Seq < last+2) {
			t.Errorf("event %d is shown, and the lock is free: %t", ev.Seq, free)
		}
		if free && ev.Seq >= last {
			add(t, s, int(ev.Seq))
		}
		return err
	})
	if err != nil || seen != last+2 {
		t.Errorf("got %v after event %d, want event %d", err, seen, last+2)
	}
	if got := events(t, s); got[len(got)-1].Kind != journal.KindPrune || len(got) != int(last)+3 {
		t.Errorf("%d events, want %d; the last is %s", len(got), last+3, got[len(got)-1].Kind)
	}
}

// TestNoteInCopy: a copy is evidence, and stays as it is.
func TestNoteInCopy(t *testing.T) {
	s := newStore(t)
	add(t, s, 1)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, ".leaselog", "net"), os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	dup := allocator.NewStore(allocator.Options{Network: "net", DataDir: dir, Version: "test"})
	if err := dup.Note(&journal.Event{Kind: journal.KindHold}); !errors.Is(err, allocator.ErrCopy) {
		t.Errorf("got %v, want ErrCopy", err)
	}
}
