package compaction

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// ErrNoSpace is returned where the disk has not the room for what is about to be written. Nothing was written of it.
var ErrNoSpace = errors.New("not enough space")

// spare is what a run leaves free: the plugin goes on writing meanwhile.
const spare = 4 << 20

// compact packs what is in archive/, and removes what is packed then.
func (w *work) compact(ctx context.Context) error {
	r, err := w.open()
	if err != nil {
		return err
	}
	err = w.compactIn(ctx, r)
	return errors.Join(err, r.Close())
}

func (w *work) compactIn(ctx context.Context, r *archive.Reader) error {
	p, err := w.plan(r, 0)
	if err != nil {
		return err
	}
	w.report.Loose = p.loose
	if len(p.packed) == 0 && len(p.double) == 0 && p.first > p.last && len(p.remove) == 0 {
		return nil
	}
	// Whoever moved segments to archive/ may have died before the names in journal/ were gone for good. They must not come back
	// once those in archive/ are gone or, of the first, hold less.
	if err := journal.SyncDir(filepath.Join(w.dir, "journal")); err != nil {
		return err
	}
	if err := p.removeDoubles(ctx); err != nil {
		return err
	}
	if err := p.pack(ctx, r); err != nil {
		return err
	}
	if p.newest != nil {
		if err := w.removePacked([]archive.Head{*p.newest}); err != nil {
			return err
		}
	}
	return w.removeSegments(p.remove)
}

// pack makes the packed files.
func (p *plan) pack(ctx context.Context, r *archive.Reader) (err error) {
	k, err := p.w.newKeyframes(r, p.stay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	n := len(p.stay)
	needed := p.first > 1 && (n == 0 || p.stay[n-1].Last+1 < p.first) // what is before was pruned
	for first, last := range p.files() {
		f, err := p.w.packFile(ctx, r, k, order{first: first, last: last, needed: needed})
		if err != nil {
			return err
		}
		if f.Source, _, err = p.source(first, last); err != nil {
			return err
		}
		p.w.report.Packed = append(p.w.report.Packed, f)
		needed = false
	}
	return nil
}

// order is for one packed file.
type order struct {
	first, last journal.Seq
	needed      bool            // it needs the keyframe of the event before the first, because no events are kept before it
	before      *archive.Reader // of the events before the first, if they are about to be pruned
}

// packFile makes one packed file, with the keyframes that are due in it, or that it needs.
func (w *work) packFile(ctx context.Context, r *archive.Reader, k *keyframes, o order) (File, error) {
	first, last := o.first, o.last
	if err := w.room(int64(last+1-first) * eventBytes); err != nil {
		return File{}, err
	}
	paths, err := k.upTo(first, last, o.needed)
	if err != nil {
		return File{}, fmt.Errorf("keyframes of events %d to %d: %w", first, last, err)
	}
	bytes := int64(last+1-first) * eventBytes
	for _, path := range paths {
		n, err := fileSize(path)
		if err != nil {
			return File{}, err
		}
		bytes += n
	}
	if err := errors.Join(w.room(bytes), w.stillOurs()); err != nil {
		return File{}, err
	}
	made, err := archive.Pack(w.archive(), w.meta, first, last, w.counted(ctx, r, first, last), archive.Options{Keyframes: paths, Before: o.before})
	if err != nil {
		return File{}, err
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return File{}, err
		}
	}
	f := File{Name: filepath.Join(archiveName, filepath.Base(made.Path)), First: made.First, Last: made.Last, Bytes: made.Bytes, Keyframes: k.written}
	k.written = nil
	return f, nil
}

// counted is what a file is made of, told of while it is read: once to be packed, once more to be compared.
func (w *work) counted(ctx context.Context, r *archive.Reader, first, last journal.Seq) archive.Source {
	step := "packing"
	return func(after journal.Seq) iter.Seq2[journal.Record, error] {
		records, what := r.Raw(after), fmt.Sprintf("%s events %d to %d", step, first, last)
		step = "reading back"
		return func(yield func(journal.Record, error) bool) {
			for rec, err := range records {
				if done := rec.Event.Seq - first; done%progressStep == 0 {
					if err == nil {
						err = ctx.Err()
					}
					w.job.Progress(what, uint64(done), uint64(last+1-first))
				}
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}
}

// room returns ErrNoSpace if the disk can't take so many bytes.
func (w *work) room(bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(w.dir, &st); err != nil {
		return fmt.Errorf("%s: %w", w.dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if st.Blocks > 0 && free < bytes+spare {
		return fmt.Errorf("%s: %w: %d bytes free, about %d needed", w.archive(), ErrNoSpace, free, bytes+spare)
	}
	return nil
}

// removeDoubles removes what a run that died has packed and not removed: it is compared once more before.
func (p *plan) removeDoubles(ctx context.Context) error {
	c := &cursor{w: p.w, files: p.sources()}
	defer c.close()
	for _, first := range p.packed {
		path := filepath.Join(p.w.archive(), journal.SegmentName(first))
		if err := c.compare(ctx, path, journal.ScanFile(path, p.w.meta.ID)); err != nil {
			return err
		}
	}
	for _, h := range p.double {
		path := filepath.Join(p.w.dir, h.File)
		r, err := archive.OpenFile(path, p.w.meta.ID)
		if err != nil {
			return err
		}
		if err := errors.Join(c.compare(ctx, path, r.Raw(h.First-1)), r.Close()); err != nil {
			return err
		}
	}
	if err := p.w.removePacked(p.double); err != nil {
		return err
	}
	return p.w.removeSegments(p.packed)
}

// removePacked removes packed files whose events others have.
func (w *work) removePacked(files []archive.Head) error {
	if len(files) == 0 {
		return nil
	}
	if err := w.stillOurs(); err != nil {
		return err
	}
	for _, h := range files {
		w.job.Progress("removing "+h.File, 0, 0)
		if err := os.Remove(filepath.Join(w.dir, h.File)); err != nil {
			return err
		}
		w.report.Merged = append(w.report.Merged, h.File)
	}
	return journal.SyncDir(w.archive())
}

// removeSegments removes segments of archive/ whose events are packed. Of the first one a file with the first event stays.
func (w *work) removeSegments(segments []journal.Seq) error {
	if len(segments) == 0 {
		return nil
	}
	if err := w.stillOurs(); err != nil {
		return err
	}
	w.job.Progress("removing segments", 0, 0)
	if slices.Contains(segments, 1) {
		if err := w.leaveGenesis(); err != nil {
			return err
		}
	}
	for _, first := range segments {
		if first != 1 {
			if err := os.Remove(filepath.Join(w.archive(), journal.SegmentName(first))); err != nil {
				return err
			}
		}
		w.report.Removed++
	}
	return journal.SyncDir(w.archive())
}
