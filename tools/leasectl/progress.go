package main

import (
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/leaselog/leaselog/journal"
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
		fmt.Fprintf(p.w, "%s%s: %d", wipeLine, escape(what), done)
		return
	}
	fmt.Fprintf(p.w, "%s%s: %d of %d (%d%%)", wipeLine, escape(what), done, total, done*100/max(total, 1))
}

// hide wipes the line away before something else is said.
func (p *progress) hide() {
	if p != nil && p.shown {
		fmt.Fprint(p.w, wipeLine)
		p.shown = false
	}
}

// counted is a store's records after an event, told of while they are read.
func (p *progress) counted(s *store, after journal.Seq) iter.Seq2[journal.Record, error] {
	durable := s.reader.Coverage().Durable
	return p.along("reading "+s.title(), uint64(durable-min(after, durable)), s.reader.Records(after))
}

// along is records, told of while they are read.
func (p *progress) along(what string, total uint64, records iter.Seq2[journal.Record, error]) iter.Seq2[journal.Record, error] {
	if p == nil {
		return records
	}
	return func(yield func(journal.Record, error) bool) {
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

// records are the store's events after one, as its reader has them, with progress where that is told.
func (s *store) records(after journal.Seq) iter.Seq2[journal.Record, error] {
	return s.bar.counted(s, after)
}
