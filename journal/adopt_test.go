package journal_test

import (
	"os"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// TestAdoptionWritesAgain: an append whose process died may have met a failed sync before, after which
// the page cache calls clean what the disk never got. A sync alone would then adopt nothing.
func TestAdoptionWritesAgain(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	path := segmentPath(dir, 1)
	size := int64(boundaries(t, read(t, path))[3])
	before := read(t, path)
	old := time.Now().Add(-time.Hour).Truncate(time.Second)

	for _, test := range []struct {
		name    string
		state   byte
		durable journal.Seq
		again   bool
	}{
		{"idle", journal.StateIdle, 4, false},
		{"writing", journal.StateWriting, 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			setMarker(t, dir, test.state, test.durable, 1, size, nil)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			j, events := open(t, dir)
			defer j.Close()
			st, err := os.Stat(path)
			if err != nil || len(events) != 4 || string(read(t, path)) != string(before) {
				t.Fatalf("%d events, %v, want the 4 that were there", len(events), err)
			}
			if got := !st.ModTime().Equal(old); got != test.again {
				t.Errorf("written again: %t, want %t", got, test.again)
			}
		})
	}
}
