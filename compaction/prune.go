package compaction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// Retain says what of the history may go. The steps of a prune, and what is there if power fails or the process is killed after each:
//
//  1. All is packed: Run. Events in journal/ are never pruned.
//  2. The packed file that the first event to stay is in is packed anew from that event on, with the leases as they were before it.
//     Now its events are there twice; the next run takes one of the files for the leftover that it is.
//  3. A prune event, the tombstone, says what goes. From when it is durable that is gone, and the next run removes what is not.
//  4. The files before that event are removed.
type Retain struct {
	Limits []journal.Retention // an event goes only if each of them lets it go; none of them lets nothing go
	Why    string              // in words, recorded
	By     string              // who prunes, recorded
	Clock  journal.Clock       // that it is now; zero: the clocks are read

	DespiteLost bool // something goes also where events are lost that holds may have been among; recorded
}

func (r *Retain) clock() journal.Clock {
	if r.Clock == (journal.Clock{}) {
		return journal.ReadClock()
	}
	return r.Clock
}

// policy is what was asked for, in words.
func (r *Retain) policy() string {
	var texts []string
	for _, l := range r.Limits {
		if text := l.String(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	text := strings.Join(texts, "; and ")
	if r.DespiteLost {
		text += ", though a hold may be lost"
	}
	return text
}

// Pruned says what a prune did, or would do.
type Pruned struct {
	Gone      journal.Pruned // the events that went; First is 0 if none did. Of a plan without Digest and Kinds
	Tombstone journal.Seq    // the event that tells
	Made      []File         // files that were packed anew, from the first event on that stays
	Files     []string       // files that were removed, below the store's folder
	Bytes     int64          // their sizes, less those of Made
	Finished  []string       // files that an earlier prune, which died, had left, below the store's folder
	Waiting   uint64         // events that exceed the retention, and stay because the plugin may need them: they are in journal/, or next to it
	Held      []Hold         // active holds that keep events which would go without
	Parents   []Parent       // succeeded journals that are there, newest first
	Doubts    []string       // what is odd about the clocks, and which holds may be lost
}

// Nothing reports whether nothing was pruned, and nothing would be.
func (p *Pruned) Nothing() bool {
	return p == nil || p.Gone.First == 0 && len(p.Finished) == 0 && !slices.ContainsFunc(p.Parents, func(p Parent) bool { return p.Gone })
}

// errHeld ends a prune because a hold came that covers what was about to go.
var errHeld = errors.New("a hold was added meanwhile")

// pruning is a prune under way.
type pruning struct {
	*bounds
	r       *archive.Reader
	parents []*parent
	retain  *Retain
	report  *Pruned
}

// weighUp decides what goes, of what is packed and of what will be.
func (w *work) weighUp(ctx context.Context, r *archive.Reader, files []span, live int64) (*pruning, error) {
	s, err := surveyOf(r)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	p := &pruning{r: r, retain: w.job.Retain, report: &Pruned{}}
	if p.parents, err = parentsOf(w.dir, s); err != nil {
		return nil, err
	}
	s.inherit(p.parents)
	p.bounds = newBounds(s, files, live, p.retain)
	if err := p.walk(ctx, r); err != nil {
		return nil, err
	}
	p.ageless()
	all := live
	for _, f := range files {
		all += f.bytes
	}
	p.judge(p.parents, s, all)
	p.report.Held, p.report.Doubts = p.held(), p.doubts
	p.report.Waiting, err = p.waiting(ctx, r)
	return p, err
}

// prune removes what the retention lets go. All is packed, and the caller holds compact.lock.
func (w *work) prune(ctx context.Context) error {
	if w.job.Retain == nil {
		return nil
	}
	w.job.Progress("looking what may go", 0, 0)
	r, err := w.open()
	if err != nil {
		return err
	}
	if r.Coverage().Copy {
		err = fmt.Errorf("prune %s: %w", w.dir, allocator.ErrCopy)
	} else {
		err = w.pruneIn(ctx, r)
	}
	return errors.Join(err, r.Close())
}

func (w *work) pruneIn(ctx context.Context, r *archive.Reader) error {
	var files []span
	for _, h := range r.Heads() {
		n, err := fileSize(filepath.Join(w.dir, h.File))
		if err != nil {
			return err
		}
		files = append(files, span{h.First, h.Last, n})
	}
	size, err := sizeOf(w.dir)
	if err != nil {
		return err
	}
	p, err := w.weighUp(ctx, r, files, size.Journal)
	if err != nil {
		return err
	}
	done := w.pruned()
	done.Held, done.Doubts, done.Waiting = p.report.Held, p.report.Doubts, p.report.Waiting
	p.report = done
	defer func() {
		for _, parent := range p.parents {
			done.Parents = append(done.Parents, parent.Parent)
		}
	}()
	if err := w.pruneParents(p.parents, p); err != nil {
		return err
	}
	stays := p.stays()
	if stays <= p.first {
		return nil
	}
	return w.cut(ctx, p, stays)
}

// pruned returns the report's part about pruning.
func (w *work) pruned() *Pruned {
	if w.report.Pruned == nil {
		w.report.Pruned = &Pruned{}
	}
	return w.report.Pruned
}

// cut removes all events before one.
func (w *work) cut(ctx context.Context, p *pruning, stays journal.Seq) error {
	gone, err := w.read(ctx, p.r, p.first, stays)
	if err != nil {
		return err
	}
	made, err := w.packBoundary(ctx, p.r, stays)
	if err != nil {
		return err
	}
	ev, err := w.entomb(p, &gone)
	if err != nil {
		if errors.Is(err, errHeld) {
			err = errors.Join(err, removeUnless(filepath.Join(w.dir, made.Name), p.r))
		}
		return err
	}
	files, bytes, err := w.removeBefore(p.r, stays)
	rep := p.report
	rep.Gone, rep.Tombstone, rep.Made = gone, ev.Seq, []File{made}
	rep.Files, rep.Bytes = files, bytes-made.Bytes
	return err
}

// removeUnless removes a file that was made, unless it has the place of one that was there.
func removeUnless(path string, r *archive.Reader) error {
	for _, h := range r.Heads() {
		if filepath.Base(h.File) == filepath.Base(path) {
			return nil
		}
	}
	return os.Remove(path)
}

// read counts and digests the records that are about to go.
func (w *work) read(ctx context.Context, r *archive.Reader, first, stays journal.Seq) (journal.Pruned, error) {
	t := newTally()
	for rec, err := range dated(r, first-1) {
		if err != nil {
			return journal.Pruned{}, err
		}
		seq := rec.Event.Seq
		if seq >= stays {
			break
		}
		if seq%progressStep == 0 {
			if err := ctx.Err(); err != nil {
				return journal.Pruned{}, err
			}
			w.job.Progress("reading what goes", uint64(seq-first), uint64(stays-first))
		}
		t.add(&rec)
	}
	if t.said.Last != stays-1 {
		return journal.Pruned{}, &journal.CorruptionError{File: w.archive(), Seq: t.said.Last + 1, Offset: -1, Cause: errors.New("missing")}
	}
	return t.done(), nil
}

// packBoundary packs the file that an event is in anew, from that event on: with the leases before it, and what answers about later
// events need of earlier ones. It has the old file's name if it begins where that does.
func (w *work) packBoundary(ctx context.Context, r *archive.Reader, stays journal.Seq) (File, error) {
	var of archive.Head
	for _, h := range r.Heads() {
		if h.First <= stays && stays <= h.Last && h.Last > of.Last {
			of = h
		}
	}
	if of.Last == 0 {
		return File{}, &journal.CorruptionError{File: w.archive(), Seq: stays, Offset: -1, Cause: errors.New("no packed file has the event")}
	}
	k, err := w.newKeyframes(r, nil)
	if err != nil {
		return File{}, err
	}
	f, err := w.packFile(ctx, r, k, order{first: stays, last: of.Last, needed: true, before: r})
	return f, errors.Join(err, k.close())
}

// entomb records a prune event, unless a hold came since everything was looked at.
func (w *work) entomb(p *pruning, gone *journal.Pruned) (*journal.Event, error) {
	if err := w.stillOurs(); err != nil {
		return nil, err
	}
	w.job.Progress("recording what goes", 0, 0)
	ev := &journal.Event{Kind: journal.KindPrune, Text: p.retain.Why}
	if p.retain.By != "" {
		ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributeBy, Value: p.retain.By})
	}
	ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributePolicy, Value: p.retain.policy()})
	ev.SetPruned(gone)
	return ev, w.store.NoteAfter(p.s.durable, ev, func(since *journal.Event) error {
		if since.Kind == journal.KindHold {
			return fmt.Errorf("prune events %d to %d: %w: event %d", gone.First, gone.Last, errHeld, since.Seq)
		}
		return nil
	})
}

// removeBefore removes the files of events before one. The stub of genesis stays, and so do files that reach further, if
// another begins with that event: then their rest is in that. What comes with an error went.
func (w *work) removeBefore(r *archive.Reader, stays journal.Seq) (names []string, bytes int64, err error) {
	if err := w.stillOurs(); err != nil {
		return nil, 0, err
	}
	var doomed []string
	for _, h := range r.Heads() {
		if h.First < stays {
			doomed = append(doomed, h.File)
		}
	}
	loose, err := journal.Loose(w.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, first := range loose {
		if first > 1 && first < stays {
			doomed = append(doomed, filepath.Join(archiveName, journal.SegmentName(first)))
		}
	}
	for _, name := range doomed {
		path := filepath.Join(w.dir, name)
		w.job.Progress("removing "+name, 0, 0)
		n, err := fileSize(path)
		if err == nil {
			err = removeIfThere(path)
		}
		if err != nil {
			return names, bytes, err
		}
		names, bytes = append(names, name), bytes+n
	}
	return names, bytes, journal.SyncDir(w.archive())
}

// finishPrune ends what a prune that died had begun: what its tombstone says is gone goes. Events that are lost elsewhere are in the way
// of the next prune, and neither of this nor of what is packed after it.
func (w *work) finishPrune(ctx context.Context) error {
	r, err := w.open()
	if err != nil {
		return err
	}
	return errors.Join(w.finishIn(ctx, r), r.Close())
}

func (w *work) finishIn(ctx context.Context, r *archive.Reader) error {
	s, err := surveyLeft(r)
	if err != nil {
		return err
	}
	for _, id := range s.gone {
		_, err := os.Stat(filepath.Join(w.archive(), id.String()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = w.removeParent(id)
		}
		if err != nil {
			return err
		}
		w.pruned().Finished = append(w.pruned().Finished, filepath.Join(archiveName, id.String()))
	}
	stays := s.pruned.Last + 1
	if s.pruned.Last == 0 {
		return nil
	}
	if left, err := w.leftBefore(r, stays); err != nil || !left {
		return err
	}
	if err := w.agrees(r, &s.pruned); err != nil {
		return err
	}
	if !begins(r, stays) { // it is made before the tombstone; but what was damaged may have been put back since
		if _, err := w.packBoundary(ctx, r, stays); err != nil {
			return err
		}
	}
	files, _, err := w.removeBefore(r, stays)
	w.pruned().Finished = append(w.pruned().Finished, files...)
	return err
}

// agrees returns a *journal.CorruptionError unless the first event that is to stay continues the last one that a prune event tells of:
// on the word of another journal's history nothing goes.
func (w *work) agrees(r *archive.Reader, said *journal.Pruned) error {
	for rec, err := range r.Raw(said.Last) {
		if err != nil {
			return err
		}
		ev, err := journal.DecodeRecord(w.meta.ID, rec.Event.Seq, rec.Raw)
		if err == nil && (ev.Seq != said.Last+1 || ev.Prev != said.Head) {
			err = &journal.CorruptionError{File: filepath.Join(w.dir, rec.File), Seq: rec.Event.Seq, Offset: rec.Offset,
				Cause: fmt.Errorf("a prune event tells of events up to %d as gone, but of another event %d than the one that is there", said.Last, said.Last)}
		}
		return err
	}
	return &journal.CorruptionError{File: w.archive(), Seq: said.Last + 1, Offset: -1, Cause: errors.New("missing behind what was pruned")}
}

// leftBefore reports whether files in archive/ still have events before one, but for the stub of genesis.
func (w *work) leftBefore(r *archive.Reader, stays journal.Seq) (bool, error) {
	loose, err := journal.Loose(w.dir)
	return slices.ContainsFunc(r.Heads(), func(h archive.Head) bool { return h.First < stays }) ||
		slices.ContainsFunc(loose, func(first journal.Seq) bool { return first > 1 && first < stays }), err
}

// begins reports whether there is a file that begins with an event, after which no file reaches further that begins before.
func begins(r *archive.Reader, stays journal.Seq) bool {
	var from, over journal.Seq
	for _, h := range r.Heads() {
		switch {
		case h.First == stays && len(h.Keyframes) > 0 && h.Keyframes[0] == stays-1:
			from = max(from, h.Last)
		case h.First < stays:
			over = max(over, h.Last)
		}
	}
	return from >= over && from > 0
}

// planPrune says what prune would do when all that is planned is packed.
func (w *work) planPrune(ctx context.Context, r *archive.Reader, plan *plan) error {
	rep := w.report
	s, err := surveyLeft(r)
	if err != nil {
		return err
	}
	for _, h := range r.Heads() {
		if h.First <= s.pruned.Last {
			w.pruned().Finished = append(w.pruned().Finished, h.File)
		}
	}
	if w.job.Retain == nil {
		return nil
	}
	var files []span
	for _, h := range plan.stay {
		n, err := fileSize(filepath.Join(w.dir, h.File))
		if err != nil {
			return err
		}
		files = append(files, span{h.First, h.Last, n})
	}
	if plan.newest != nil && len(rep.Packed) == 0 {
		files = append(files, span{plan.newest.First, plan.newest.Last, 0})
	}
	for _, f := range rep.Packed {
		files = append(files, span{f.First, f.Last, f.Bytes})
	}
	p, err := w.weighUp(ctx, r, files, rep.After.Journal)
	if err != nil {
		return err
	}
	done := w.pruned()
	done.Held, done.Doubts, done.Waiting = p.report.Held, p.report.Doubts, p.report.Waiting
	for _, parent := range p.parents {
		done.Parents = append(done.Parents, parent.Parent)
	}
	stays := p.stays()
	if stays <= p.first {
		return nil
	}
	done.Gone.First, done.Gone.Last = p.first, stays-1
	if done.Gone.FirstWall, err = wallOf(r, p.first); err == nil {
		done.Gone.LastWall, err = wallOf(r, stays-1)
	}
	for _, f := range files {
		switch {
		case f.last < stays:
			done.Bytes += f.bytes
		case f.first < stays:
			done.Bytes += int64(float64(f.bytes) * float64(stays-f.first) / float64(f.last-f.first+1))
		}
	}
	return err
}

// wallOf returns when an event was recorded.
func wallOf(r *archive.Reader, seq journal.Seq) (int64, error) {
	for rec, err := range dated(r, seq-1) {
		return rec.Event.Wall, err
	}
	return 0, nil
}
