package report

import (
	"iter"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// Read folds the pieces of a journal into its history, as replay.ReadPieces does, and collects their events. It reads ahead: what
// comes next is read while what came before is folded.
func Read(pieces iter.Seq2[journal.Piece, error], o replay.Options) (*replay.History, *Events, error) {
	var events Events
	h, err := replay.ReadPieces(events.of(pieces), o)
	if err != nil {
		return nil, nil, err
	}
	return h, &events, nil
}
