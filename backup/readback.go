package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// contents is what was found in a copy by reading all of it.
type contents struct {
	First, Last         journal.Seq
	Head                journal.Hash // of the last event's record
	FirstTime, LastTime time.Time    // as recorded
	Events              uint64
	damage              []string // in words
}

// readBack reads the store in dir whole: each record, that each continues the one before, and the snapshots. What it finds wrong is in
// the contents; the error is that of reading.
func readBack(dir string, meta journal.Meta) (contents, error) {
	c := contents{}
	heads, err := c.snapshots(dir, meta.ID)
	if err != nil {
		return c, err
	}
	for p, err := range archive.Salvage(dir, meta) {
		if damage, ok := errors.AsType[*journal.CorruptionError](err); ok {
			c.damage = append(c.damage, damage.Error())
			break
		}
		if err != nil {
			return c, err
		}
		if gone := pruned(p.Loss); gone != nil {
			c.Last, c.Head = p.Loss.Last, gone.Pruned.Head
			continue
		}
		if p.Loss != nil {
			c.damage = append(c.damage, p.Loss.Error("").Error())
			continue
		}
		c.take(&p.Record, heads)
	}
	return c, nil
}

// pruned returns what says that a loss was meant, nil if it was not.
func pruned(l *journal.Loss) *journal.Pruning {
	if l == nil {
		return nil
	}
	return l.Pruned()
}

// take takes in the next record.
func (c *contents) take(rec *journal.Record, heads map[journal.Seq]journal.Hash) {
	ev := &rec.Event
	if c.Last+1 == ev.Seq && ev.Prev != c.Head {
		c.damage = append(c.damage, fmt.Sprintf("%s: event %d does not continue the event before", rec.File, ev.Seq))
	}
	if c.First == 0 {
		c.First, c.FirstTime = ev.Seq, ev.Time()
	}
	c.Events++
	c.Last, c.LastTime, c.Head = ev.Seq, ev.Time(), journal.RecordHash(rec.Raw)
	if head, ok := heads[ev.Seq]; ok && head != c.Head {
		c.damage = append(c.damage, fmt.Sprintf("snap/%s: is of another course of the journal", state.SnapshotName(ev.Seq)))
	}
}

// snapshots checks the snapshots, and returns the hash of the last record that each covers.
func (c *contents) snapshots(dir string, id journal.ID) (map[journal.Seq]journal.Hash, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "snap", "*.snap"))
	if err != nil {
		return nil, err
	}
	heads := make(map[journal.Seq]journal.Hash)
	for _, path := range paths {
		snap, err := state.OpenSnapshot(path, id)
		if err == nil {
			heads[snap.Seq()] = snap.Head()
			err = errors.Join(snap.Verify(), snap.Close())
		}
		damage, damaged := errors.AsType[*journal.CorruptionError](err)
		switch {
		case damaged:
			c.damage = append(c.damage, (&journal.CorruptionError{File: filepath.Join("snap", filepath.Base(path)), Seq: damage.Seq,
				Offset: damage.Offset, Cause: damage.Cause}).Error())
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		}
	}
	return heads, nil
}
