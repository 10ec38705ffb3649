package compaction

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

const (
	// maxEvents is how many events a packed file holds at most. It bounds the memory that packing takes, and how much a
	// damaged table costs.
	maxEvents = 1 << 19
	// mergeBelow is how many events the newest packed file needs to be left as it is. Below that it is packed anew with those that
	// have come since, so that a job that runs daily makes a file a few days and not a file a day.
	mergeBelow = 1 << 17
	// progressStep is how many events come between two calls of Progress.
	progressStep = 1 << 14
)

// Plan says what Run would do. It takes no lock and changes nothing. What the plugin or another run does meanwhile may
// make it wrong.
func Plan(job Job) (*Report, error) {
	w, err := look(job)
	if err != nil {
		return w.report, err
	}
	rep := w.report
	if rep.Before, err = sizeOf(w.dir); err != nil {
		return rep, err
	}
	if rep.Leftover, err = unfinished(w.dir); err != nil {
		return rep, err
	}
	if rep.Settled, err = w.store.SettlePlan(); err != nil {
		return rep, err
	}
	return rep, w.planRest()
}

// planRest plans what comes after the segments are moved. That may have been done meanwhile, by a call or another run.
func (w *work) planRest() error {
	rep := w.report
	r, err := w.open()
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := w.plan(r, rep.Settled.First)
	if err != nil {
		return err
	}
	for first, last := range p.files() {
		f := File{First: first, Last: last, Name: filepath.Join(archiveName, archive.Name(first, last))}
		if f.Source, f.Bytes, err = p.source(first, last); err != nil {
			return err
		}
		rep.Packed = append(rep.Packed, f)
	}
	rep.Merged, rep.Loose = p.merged(), p.loose
	rep.Removed = len(p.packed) + len(p.remove) + rep.Settled.Archived
	if rep.After, err = p.after(rep); err != nil {
		return err
	}
	return w.planPrune(context.Background(), r, p)
}

// after says how large the store would be.
func (p *plan) after(rep *Report) (Size, error) {
	s := rep.Before
	live, err := journal.Segments(p.w.dir)
	if err != nil {
		return s, err
	}
	for _, first := range live {
		if first >= rep.Settled.First { // not by their number: some may have been moved since that was counted
			break
		}
		n, err := fileSize(filepath.Join(p.w.dir, "journal", journal.SegmentName(first)))
		if err != nil {
			return s, err
		}
		s.Journal -= n
	}
	gone := rep.Merged
	for _, first := range slices.Concat(p.packed, p.remove) {
		gone = append(slices.Clip(gone), filepath.Join(archiveName, journal.SegmentName(first)))
	}
	for _, name := range gone {
		n, err := fileSize(filepath.Join(p.w.dir, name))
		if err != nil {
			return s, err
		}
		s.Archive -= n
	}
	for _, f := range rep.Packed {
		s.Archive += f.Bytes
	}
	s.Snapshots, err = p.snapshotsAfter(len(rep.Settled.Snapshots))
	return s, err
}

// snapshotsAfter says what the two newest snapshots take once so many have been taken: as much each as the newest one that is there.
// How large a first one will be is not known, and not counted.
func (p *plan) snapshotsAfter(taken int) (bytes int64, err error) {
	paths, err := filepath.Glob(filepath.Join(p.w.dir, "snap", "*.snap")) // in order of their events
	if err != nil || len(paths) == 0 {
		return 0, err
	}
	if taken > 0 {
		paths = slices.Concat(paths, slices.Repeat(paths[len(paths)-1:], taken))
		paths = paths[max(0, len(paths)-2):]
	}
	for _, path := range paths {
		n, err := fileSize(path)
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}

// open opens the history. A packed file that can't be read is in the way: nobody knows what of it is elsewhere.
func (w *work) open() (*archive.Reader, error) {
	j, err := journal.OpenReader(w.dir)
	if err != nil {
		return nil, err
	}
	r, err := archive.Over(w.dir, j)
	if err != nil {
		return nil, err
	}
	if err := r.Broken(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// plan is what is to be packed, and what goes then.
type plan struct {
	w           *work
	first, last journal.Seq    // the events that are packed; none if last is less
	newest      *archive.Head  // the packed file that is packed anew with them; nil if there is none
	stay        []archive.Head // the other packed files that are needed
	double      []archive.Head // packed files whose events others have, too: of a run that died before it removed them
	remove      []journal.Seq  // segments of archive/ whose events are packed then
	packed      []journal.Seq  // those whose events are packed now: of a run that died before it removed them
	loose       []Loose
}

// plan looks what there is to pack among the events before first, which is the first one of journal/.
func (w *work) plan(r *archive.Reader, first journal.Seq) (*plan, error) {
	loose, err := journal.Loose(w.dir)
	if err != nil {
		return nil, err
	}
	live, err := journal.Segments(w.dir)
	if err != nil {
		return nil, err
	}
	p := &plan{w: w, first: 1}
	if first == 0 && len(live) > 0 {
		first = live[0]
	}
	if first > 0 {
		p.last = first - 1
	}
	for _, h := range r.Heads() { // in order of their first events; of those that begin alike the longest is last
		for n := len(p.stay); n > 0 && h.First <= p.stay[n-1].First && h.Last >= p.stay[n-1].Last; n = len(p.stay) {
			p.double = append(p.double, p.stay[n-1])
			p.stay = p.stay[:n-1]
		}
		if n := len(p.stay); n > 0 && h.Last <= p.stay[n-1].Last {
			p.double = append(p.double, h)
			continue
		}
		p.stay = append(p.stay, h)
	}
	if n := len(p.stay); n > 0 {
		h := p.stay[n-1]
		p.first = h.Last + 1
		// A full file would be packed anew under its own name, and be removed as the one that was replaced.
		if p.first <= p.last && h.Last-h.First+1 < min(p.w.job.Limits.MergeBelow, p.w.job.Limits.MaxEvents) {
			p.newest, p.first, p.stay = &h, h.First, p.stay[:n-1]
		}
	}
	return p, p.sortOut(loose, live)
}

// sortOut decides about the segments of archive/: those whose events are packed go. Those that are in journal/, too, are let alone:
// who moves them has not ended.
func (p *plan) sortOut(loose, live []journal.Seq) error {
	after := append(slices.Clip(p.sources()), archive.Head{First: p.first, Last: p.last})
	for i, first := range loose {
		last := p.last
		if i+1 < len(loose) {
			last = loose[i+1] - 1 // where segments between are gone it is said too high, and the segment stays
		}
		if first == 1 {
			stub, err := p.w.isStub()
			if err != nil {
				return err
			}
			if stub {
				continue
			}
		}
		switch {
		case len(live) > 0 && first >= live[0]:
			p.leave(first, "it is in journal/, too")
		case has(p.sources(), first, last):
			p.packed = append(p.packed, first)
		case has(after, first, last):
			p.remove = append(p.remove, first)
		default:
			p.leave(first, "packed files have not all of its events")
		}
	}
	return nil
}

// sources are the packed files that are there and needed now, in order.
func (p *plan) sources() []archive.Head {
	if p.newest == nil {
		return p.stay
	}
	return append(slices.Clip(p.stay), *p.newest)
}

// has reports whether files, in order, hold all events from first to last.
func has(files []archive.Head, first, last journal.Seq) bool {
	for _, h := range files {
		if h.First <= first && first <= h.Last {
			first = h.Last + 1
		}
	}
	return first > last
}

func (p *plan) leave(first journal.Seq, why string) {
	if n := len(p.loose); n > 0 && p.loose[n-1].Why == why {
		p.loose[n-1].Count++
		return
	}
	p.loose = append(p.loose, Loose{First: first, Count: 1, Why: why})
}

// files yields the first and the last event of each file to be made.
func (p *plan) files() iter.Seq2[journal.Seq, journal.Seq] {
	return func(yield func(first, last journal.Seq) bool) {
		for first := p.first; first <= p.last; {
			last := min(p.last, first+p.w.job.Limits.MaxEvents-1)
			if !yield(first, last) {
				return
			}
			first = last + 1
		}
	}
}

// merged names the packed files that go.
func (p *plan) merged() []string {
	var names []string
	for _, h := range p.double {
		names = append(names, h.File)
	}
	if p.newest != nil {
		names = append(names, p.newest.File)
	}
	return names
}

// eventBytes is what a packed event takes, about. Names that repeat, as those of StatefulSets, take less.
const eventBytes = 60

// source weighs what a file is made of, segments, wherever they are now, and the packed file that is packed anew; and says how
// large the file will be, about, without keyframes.
func (p *plan) source(first, last journal.Seq) (bytes, packed int64, err error) {
	if p.newest != nil && p.newest.First == first {
		if bytes, err = fileSize(filepath.Join(p.w.dir, p.newest.File)); err != nil {
			return 0, 0, err
		}
		packed, first = bytes, p.newest.Last+1
	}
	packed += int64(last+1-first) * eventBytes
	segments, err := journal.Segments(p.w.dir)
	if err != nil {
		return 0, 0, err
	}
	loose, err := journal.Loose(p.w.dir)
	if err != nil {
		return 0, 0, err
	}
	for folder, list := range map[string][]journal.Seq{"journal": segments, archiveName: loose} {
		for _, at := range list {
			if at < first || at > last {
				continue
			}
			n, err := fileSize(filepath.Join(p.w.dir, folder, journal.SegmentName(at)))
			if err != nil {
				return 0, 0, err
			}
			bytes += n
		}
	}
	return bytes, packed, nil
}

// fileSize returns a file's size, 0 if it is gone.
func fileSize(path string) (int64, error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
