package report

import (
	"errors"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestAheadOfGap: behind a gap the reader and the fold take turns, for both may read the same file. The race detector tells.
func TestAheadOfGap(t *testing.T) {
	const lost, all = 2 * batchPieces, 20 * batchPieces
	file, read, folded := 0, 0, 0
	pieces := func(yield func(journal.Piece, error) bool) {
		for ; read < all; read++ {
			p := journal.Piece{}
			switch {
			case read == lost:
				p.Loss = &journal.Loss{Cause: errors.New("bad sector")}
			case read > lost:
				file++
			}
			if !yield(p, nil) {
				return
			}
		}
	}
	behind := false
	for p, err := range ahead(pieces) {
		if err != nil {
			t.Fatal(err)
		}
		if behind = behind || p.Loss != nil; behind {
			file++
		}
		folded++
	}
	if folded != all {
		t.Errorf("%d pieces, want %d", folded, all)
	}
}
