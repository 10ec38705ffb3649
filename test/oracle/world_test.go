package oracle_test

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/oracle"
)

// world is a case as both answerers see it.
type world struct {
	c       *oracle.Case
	s       *oracle.Store
	past    *oracle.Past
	read    *replay.History
	options replay.Options
	times   []int64 // at which answers may change
}

// newWorld has a case read by package replay. Nil is a case of which an event can't have happened.
func newWorld(t *testing.T, dir string, c *oracle.Case) *world {
	t.Helper()
	w := &world{c: c, s: c.Store()}
	w.past = oracle.NewPast(w.s)
	w.times = w.past.Times()
	w.options.Wiped = c.Wiped
	st := state.New()
	for i := range c.Whole {
		if st.Apply(&c.Whole[i]) != nil {
			return nil
		}
		for _, seq := range c.Snapshots {
			if seq == c.Whole[i].Seq {
				w.options.Snapshots = append(w.options.Snapshots, snapshotOf(t, dir, st))
			}
		}
	}
	w.read = w.readBy(t, w.options)
	return w
}

// close gives the snapshots back.
func (w *world) close(t *testing.T) {
	t.Helper()
	for _, snap := range w.options.Snapshots {
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// snapshotOf returns a snapshot of the state; its file is gone already.
func snapshotOf(t *testing.T, dir string, st *state.State) replay.Snapshot {
	t.Helper()
	path, err := state.WriteSnapshot(dir, journal.ID{1}, "net0", st)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := state.OpenSnapshot(path, journal.ID{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return replay.Snapshot{Snapshot: snap, File: "snap/" + state.SnapshotName(st.Seq())}
}

// readBy reads the case.
func (w *world) readBy(t *testing.T, o replay.Options) *replay.History {
	t.Helper()
	h, err := replay.ReadPieces(pieces(w.c), o)
	if err == nil {
		err = h.Stopped
	}
	if err != nil {
		t.Fatalf("%s: read: %v\n%s", w.c.Name, err, w.s)
	}
	return h
}

var errMade = errors.New("made unreadable")

// pieces hands out the events of a case that can be read, and tells of the others.
func pieces(c *oracle.Case) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		for i := 0; i < len(c.Whole); i++ {
			p := journal.Piece{Record: journal.Record{Event: c.Whole[i], File: "journal/1", Offset: int64(i)}}
			if c.Lost[i] {
				p = journal.Piece{Loss: &journal.Loss{File: "journal/1", First: journal.Seq(i + 1), Cause: errMade}}
				for i+1 < len(c.Lost) && c.Lost[i+1] {
					i++
				}
				p.Loss.Last = journal.Seq(i + 1)
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// instant is a time of the oracle.
func instant(t int64) time.Time {
	if t == oracle.Far || t == -oracle.Far {
		return time.Time{}
	}
	return time.Unix(0, t).UTC()
}

func (w *world) covered() time.Time {
	if w.c.Live {
		return instant(w.c.Now)
	}
	return time.Time{}
}

// asked is a question for package replay.
func (w *world) asked(q oracle.Question) replay.Asked {
	if q.Now {
		q.Skew = 0
	}
	return replay.Asked{From: instant(q.At - q.Skew), To: instant(q.At + q.Skew), Now: q.Now, Covered: w.covered()}
}

// addresses are those to ask about: of leases, of gateways, and such that nobody ever had.
func (w *world) addresses() []netip.Addr {
	all := w.s.Addresses()
	for _, a := range []string{"10.0.0.1", "10.0.0.5", "10.0.0.7", "10.0.1.1", "10.0.1.6", "fd00::1", "192.0.2.1"} {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// after prints an instant as the store's events are printed.
func (w *world) after(t int64) string { return fmt.Sprintf("%+d", t-w.s.Events[0].Wall) }
