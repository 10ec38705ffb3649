package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// progress tells on a terminal how far a long work is. A nil one tells nothing.
type progress struct {
	w     io.Writer
	now   func() time.Time
	begun time.Time
	told  time.Time
	shown bool // there is a line to be wiped away
}

const (
	progressAfter = time.Second // shorter work is told of by its end
	progressEvery = 200 * time.Millisecond
	progressStep  = 4096 // events between two looks at the clock
	wipeLine      = "\r\x1b[K"
)

// startProgress begins to tell if stderr is a terminal.
func (a *app) startProgress() {
	if isTerminal(a.stderr) && os.Getenv("TERM") != "dumb" {
		a.bar = &progress{w: a.stderr, now: time.Now, begun: time.Now()}
	}
}

// tell says how far the work is, at most every now and then. A total of 0 is not known.
func (p *progress) tell(what string, done, total uint64) {
	if p == nil {
		return
	}
	now := p.now()
	if now.Sub(p.begun) < progressAfter || now.Sub(p.told) < progressEvery {
		return
	}
	p.told, p.shown = now, true
	if total == 0 {
		fmt.Fprintf(p.w, "%s%s: %d", wipeLine, printable.Text(what), done)
		return
	}
	fmt.Fprintf(p.w, "%s%s: %d of %d (%d%%)", wipeLine, printable.Text(what), done, total, done*100/max(total, 1))
}

// hide wipes the line away before something else is said.
func (p *progress) hide() {
	if p != nil && p.shown {
		fmt.Fprint(p.w, wipeLine)
		p.shown = false
	}
}

// during tells of a work that does not say itself how far it is: for how long it has been done.
func (p *progress) during(what string, work func() error) error {
	if p == nil {
		return work()
	}
	begun, done, told := p.now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				p.tell(what+", seconds", uint64(p.now().Sub(begun)/time.Second), 0)
			}
		}
	}()
	defer func() {
		close(done)
		<-told
		p.hide()
	}()
	return work()
}

// counted tells of a store's records after an event while they are read.
func (p *progress) counted(s *store, after journal.Seq, records iter.Seq2[journal.Record, error]) iter.Seq2[journal.Record, error] {
	if p == nil {
		return records
	}
	durable := s.reader.Coverage().Durable
	return p.along("reading "+s.title(), uint64(durable-min(after, durable)), records)
}

// along is records, told of while they are read.
func (p *progress) along(what string, total uint64, records iter.Seq2[journal.Record, error]) iter.Seq2[journal.Record, error] {
	return along(p, what, total, records)
}

func along[T any](p *progress, what string, total uint64, records iter.Seq2[T, error]) iter.Seq2[T, error] {
	if p == nil {
		return records
	}
	return func(yield func(T, error) bool) {
		done := uint64(0)
		for rec, err := range records {
			if done++; done%progressStep == 0 {
				p.tell(what, done, total)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// records are the store's events after one, packed ones too, with progress where that is told.
func (s *store) records(after journal.Seq) iter.Seq2[journal.Record, error] {
	past, err := s.past()
	if err != nil {
		return func(yield func(journal.Record, error) bool) { yield(journal.Record{}, err) }
	}
	return s.bar.counted(s, after, past.Records(after))
}

// Records makes the store one that counts are taken of.
func (s *store) Records(after journal.Seq) iter.Seq2[journal.Record, error] { return s.records(after) }

// Left is what is counted on from where events were pruned.
func (s *store) Left() (replay.Counts, error) {
	past, err := s.past()
	if err != nil {
		return replay.Counts{}, err
	}
	return replay.CountsLeft(past)
}

// known reads one event, or what is still known of one that was pruned: of an add the ranges alone.
func (s *store) known(seq journal.Seq) (journal.Event, bool, error) {
	if gone := s.pruned(); gone != nil && seq >= gone.First && seq <= gone.Last {
		ev := gone.Pruned().Earlier.Find(seq)
		return ev, ev.Seq != 0 && ev.Kind != journal.KindRefuse, nil
	}
	return eventAt(s, seq)
}

// events hands the events after base, whose record has the hash head, to apply, as journal.Reader.Events does.
func (s *store) events(base journal.Seq, head journal.Hash, apply func(*journal.Event) error) error {
	past, err := s.past()
	if err != nil {
		return err
	}
	if !past.Packed(base) {
		return s.reader.Events(base, head, apply)
	}
	for rec, err := range s.records(base) {
		if err != nil {
			return err
		}
		ev := &rec.Event
		if !ev.Understood() {
			return fmt.Errorf("%s: event %d: %w", rec.File, ev.Seq, journal.ErrNewer)
		}
		if ev.Prev != head {
			return &journal.CorruptionError{File: filepath.Join(s.dir, rec.File), Seq: ev.Seq, Offset: rec.Offset,
				Cause: errors.New("does not continue the event before: another hash")}
		}
		head = journal.RecordHash(rec.Raw)
		if err := apply(ev); err != nil {
			return err
		}
	}
	return nil
}
