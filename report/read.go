package report

import (
	"iter"
	"sync"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// Read folds the pieces of a journal into its history, as replay.ReadPieces does, and collects their events. It reads ahead: what
// comes next is read while what came before is folded.
func Read(pieces iter.Seq2[journal.Piece, error], o replay.Options) (*replay.History, *Events, error) {
	var events Events
	h, err := replay.ReadPieces(events.of(ahead(pieces)), o)
	if err != nil {
		return nil, nil, err
	}
	return h, &events, nil
}

const (
	batchPieces  = 256
	batchesAhead = 4
)

// batch is a row of pieces, and the error behind them that ends the reading.
type batch struct {
	pieces []journal.Piece
	err    error
}

// ahead yields the pieces while the next ones are read on another goroutine. That has ended when the walk is over.
func ahead(pieces iter.Seq2[journal.Piece, error]) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		full, free, done := make(chan *batch, batchesAhead), make(chan *batch, batchesAhead+2), make(chan struct{})
		for range batchesAhead + 2 {
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

// fill reads pieces into free batches until there are no more, or it is told that nobody wants them.
func fill(pieces iter.Seq2[journal.Piece, error], full chan<- *batch, free <-chan *batch, done <-chan struct{}) {
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
	for p, err := range pieces {
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
			if !hand() || err != nil {
				return
			}
		}
	}
	if b != nil {
		hand()
	}
}
