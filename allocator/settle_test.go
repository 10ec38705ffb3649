package allocator_test

import (
	"slices"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// TestSettling shows which snapshots are taken and which segments move, by what is there: two snapshots have to cover what moves,
// and none is taken for nothing.
func TestSettling(t *testing.T) {
	type seqs = []journal.Seq
	for _, c := range []struct {
		name           string
		segments, have seqs
		durable        journal.Seq
		take           seqs
		archived, left int
	}{
		{"one segment", seqs{1}, nil, 90, nil, 0, 0},
		{"no snapshot", seqs{1, 101, 201}, nil, 250, seqs{200, 250}, 2, 0},
		{"newest segment is empty, no snapshot", seqs{1, 101, 201}, nil, 200, nil, 0, 2},
		{"newest segment is empty", seqs{1, 101, 201}, seqs{50, 120}, 200, seqs{200}, 1, 1},
		{"both snapshots are old", seqs{101, 201, 301}, seqs{90, 190}, 305, seqs{300, 305}, 2, 0},
		{"the newer one covers all that is sealed", seqs{101, 201, 301}, seqs{90, 302}, 305, seqs{305}, 2, 0},
		{"the newer one is of the newest event", seqs{101, 201, 301}, seqs{90, 305}, 305, nil, 0, 2},
		{"it was taken, and nothing moved", seqs{101, 201, 301}, seqs{300, 305}, 305, nil, 2, 0},
		{"nothing is sealed", seqs{301}, seqs{90, 190}, 305, nil, 0, 0},
		{"the older one covers a part", seqs{101, 201, 301}, seqs{250, 305}, 305, nil, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := allocator.Settling(c.segments, c.have, c.durable)
			if !slices.Equal(p.Snapshots, c.take) || p.Archived != c.archived || p.Left != c.left || p.First != c.segments[c.archived] {
				t.Errorf("got %+v, want snapshots %v, %d archived, %d left", p, c.take, c.archived, c.left)
			}
		})
	}
}
