package compaction

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

func (w *work) firstSegment() string { return filepath.Join(w.archive(), journal.SegmentName(1)) }

// genesis returns where the first event ends in the first segment of archive/, and whether nothing follows it.
func (w *work) genesis() (end int64, alone bool, err error) {
	for rec, err := range journal.ScanFile(w.firstSegment(), w.meta.ID) {
		switch {
		case err != nil:
			return 0, false, err
		case end != 0:
			return end, false, nil
		}
		end = rec.Offset + int64(len(rec.Raw))
	}
	return end, true, nil
}

// isStub reports whether the first segment of archive/ holds the first event alone.
func (w *work) isStub() (bool, error) {
	_, alone, err := w.genesis()
	return alone, err
}

// leaveGenesis puts a segment with the first event alone in the place of the first segment of archive/. The event says whose
// journal this is where META is lost, and which journal it has succeeded.
func (w *work) leaveGenesis() error {
	end, alone, err := w.genesis()
	if err != nil || alone {
		return err
	}
	content, err := os.ReadFile(w.firstSegment())
	if err != nil {
		return err
	}
	tmp := filepath.Join(w.archive(), tmpPrefix+journal.SegmentName(1))
	if err := writeSynced(tmp, content[:end]); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	if err := os.Rename(tmp, w.firstSegment()); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600) // whatever the umask took away
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// cursor reads records out of packed files, and nowhere else.
type cursor struct {
	w     *work
	files []archive.Head // in order
	r     *archive.Reader
	next  func() (journal.Record, error, bool)
	stop  func()
	seq   journal.Seq // of the next record
	last  journal.Seq // of the file that is open
}

func (c *cursor) close() {
	if c.r != nil {
		c.stop()
		_ = c.r.Close() // nothing was written
		c.r = nil
	}
}

// at returns the bytes of an event, good until the next call.
func (c *cursor) at(seq journal.Seq) ([]byte, error) {
	if c.r == nil || c.seq != seq || seq > c.last {
		if err := c.open(seq); err != nil {
			return nil, err
		}
	}
	rec, err, ok := c.next()
	if err == nil && (!ok || rec.Event.Seq != seq) {
		err = c.missing(seq)
	}
	c.seq = seq + 1
	return rec.Raw, err
}

func (c *cursor) open(seq journal.Seq) error {
	c.close()
	for _, h := range c.files {
		if seq < h.First || seq > h.Last {
			continue
		}
		r, err := archive.OpenFile(filepath.Join(c.w.dir, h.File), c.w.meta.ID)
		if err != nil {
			return err
		}
		c.r, c.seq, c.last = r, seq, h.Last
		c.next, c.stop = iter.Pull2(r.Raw(seq - 1))
		return nil
	}
	return c.missing(seq)
}

func (c *cursor) missing(seq journal.Seq) error {
	return &journal.CorruptionError{File: c.w.archive(), Seq: seq, Offset: -1, Cause: errors.New("no packed file has the event")}
}

// compare returns a *journal.CorruptionError unless packed files have the same records.
func (c *cursor) compare(ctx context.Context, path string, records iter.Seq2[journal.Record, error]) error {
	for rec, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		raw, err := c.at(rec.Event.Seq)
		if err != nil {
			return err
		}
		if !bytes.Equal(raw, rec.Raw) {
			return &journal.CorruptionError{File: path, Seq: rec.Event.Seq, Offset: rec.Offset,
				Cause: errors.New("is another event than the packed one of this number")}
		}
	}
	return nil
}
