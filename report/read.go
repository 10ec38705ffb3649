package report

import (
	"iter"
	"sync"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// Read folds the pieces of a journal into its history, as replay.ReadPieces does, and collects their events. Of leases it has what a page
// shows. It reads ahead: what comes next is read while what came before is folded.
func Read(pieces iter.Seq2[journal.Piece, error], o replay.Options) (*replay.History, *Events, error) {
	var events Events
	o.Brief = true
	h, err := replay.ReadPieces(events.of(ahead(pieces)), o)
	if err != nil {
		return nil, nil, err
	}
	return h, &events, nil
}

const (
	batchPieces  = 256
	batchesAhead = 4
	batches      = batchesAhead + 2 // one is read, one is folded
)

// batch is a row of pieces, and the error behind them that ends the reading.
type batch struct {
	pieces []journal.Piece
	err    error
}

// ahead yields the pieces while the next ones are read on another goroutine. That has ended when the walk is over.
func ahead(pieces iter.Seq2[journal.Piece, error]) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		full, free, done := make(chan *batch, batchesAhead), make(chan *batch, batches), make(chan struct{})
		for range batches {
			free <- &batch{}
		}
		var running sync.WaitGroup
		running.Go(func() { fill(pieces, full, free, done) })
		defer running.Wait()
		defer close(done)
		for b := range full {
			for i := range b.pieces {
				if !yield(b.pieces[i], nil) {
					return
				}
			}
			if b.err != nil {
				yield(journal.Piece{}, b.err)
				return
			}
			free <- b
		}
	}
}

// fill reads pieces into free batches until there are no more, or it is told that nobody wants them. Behind a gap nothing is read ahead:
// there the fold may read snapshots of the same files.
func fill(pieces iter.Seq2[journal.Piece, error], full chan<- *batch, free chan *batch, done <-chan struct{}) {
	defer close(full)
	var b *batch
	hand := func() bool {
		select {
		case full <- b:
			b = nil
			return true
		case <-done:
			return false
		}
	}
	lost := false
	for p, err := range pieces {
		lost = lost || err == nil && p.Loss != nil
		if b == nil {
			select {
			case b = <-free:
				clear(b.pieces) // what they refer to is not kept for that
				b.pieces = b.pieces[:0]
			case <-done:
				return
			}
		}
		if b.err = err; err == nil {
			b.pieces = append(b.pieces, p)
		}
		if err != nil || len(b.pieces) == batchPieces {
			if !hand() || err != nil || lost && !folded(free, done) {
				return
			}
		}
	}
	if b != nil {
		hand()
	}
}

// folded waits until all batches are free, and returns false if nobody wants any.
func folded(free chan *batch, done <-chan struct{}) bool {
	var all [batches]*batch
	for i := range all {
		select {
		case all[i] = <-free:
		case <-done:
			return false
		}
	}
	for _, b := range all {
		free <- b
	}
	return true
}
