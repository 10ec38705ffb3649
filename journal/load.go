package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Load reads the events after base, whose record has the hash head, and hands them to
// apply in order, each good during that call alone. A torn tail is cut, kept in quarantine and told by a repair event, which is
// durable and applied when Load returns. Damage is a *CorruptionError, and so is a journal that ends before what
// its marker or base witness. Load may be repeated with an older base.
func (j *Journal) Load(base Seq, head Hash, apply func(*Event) error) error {
	if j.closed {
		return ErrClosed
	}
	segments, err := listSegments(filepath.Join(j.dir, journalName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(segments) == 0 {
		return &CorruptionError{File: filepath.Join(j.dir, journalName), Offset: -1, Cause: errors.New("holds no segment")}
	}
	j.segment = segments[len(segments)-1]
	if err := j.openActive(); err != nil {
		return err
	}
	if j.adopt {
		if err := j.syncUnacknowledged(); err != nil {
			return err
		}
	}
	paths, err := j.segmentPaths(segments, base)
	if err != nil {
		return err
	}
	r := run{id: j.meta.ID, base: base, last: base, head: head, apply: apply,
		durable: j.marker.durable, durableHash: j.marker.hash}
	for i, p := range paths {
		if i > 0 && p.first != r.last+1 && p.first > base+1 {
			return &CorruptionError{File: paths[i-1].path, Seq: r.last + 1, Offset: -1,
				Cause: fmt.Errorf("ends with event %d, but the next segment begins with event %d", r.last, p.first)}
		}
		if err := j.loadSegment(&r, p, i == len(paths)-1); err != nil {
			return err
		}
	}
	if err := r.finish(paths[len(paths)-1].path); err != nil {
		return err
	}
	j.last, j.head, j.loaded = r.last, r.head, true
	if err := j.syncNames(); err != nil {
		return err
	}
	if j.stale {
		if err := j.findUntold(); err != nil {
			return err
		}
	}
	// With a repair pending the marker stays stale until that is recorded, so that a crash in between is noticed.
	if len(j.pending) == 0 && (j.stale || j.marker.durable != j.last) {
		j.marker.durable, j.marker.hash = j.last, j.head
		if err := j.setMarker(stateIdle); err != nil {
			return err
		}
		j.stale = false
	}
	return j.recordRepairs(apply)
}

// syncNames makes the names durable that whoever made them may have died before syncing, or have
// been told by the disk that it could not: that of a segment which nothing was appended to, and that
// of a store which only has its first event.
func (j *Journal) syncNames() error {
	if j.size == 0 {
		if err := SyncDir(filepath.Join(j.dir, journalName)); err != nil {
			return err
		}
	}
	if j.last == 1 {
		return SyncDir(filepath.Dir(j.dir))
	}
	return nil
}

// findUntold looks for tails of the newest segment that were cut by processes that died before
// they could record the repair. One of them may have died while it did so: then its event is torn itself, this
// Load has cut it at the same place, and both are to be told.
func (j *Journal) findUntold() error {
	entries, err := os.ReadDir(filepath.Join(j.dir, quarantineName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	segment := segmentName(j.segment)
	for _, e := range entries {
		told := func(ev *Event) bool { return ev.Cut.Quarantine == e.Name() }
		if !strings.HasSuffix(e.Name(), fmt.Sprintf("-%s-%d", segment, j.size)) || slices.ContainsFunc(j.pending, told) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		j.pending = append(j.pending, &Event{Kind: KindRepair, Text: ErrTorn.Error(),
			Cut: Cut{File: segment, Offset: j.size, Bytes: info.Size(), Quarantine: e.Name()}})
	}
	return nil
}

// recordRepairs appends what this Load and SetAside repaired, as a batch of its own.
func (j *Journal) recordRepairs(apply func(*Event) error) error {
	if len(j.pending) == 0 {
		return nil
	}
	if err := j.Append(j.pending...); err != nil {
		return err
	}
	for _, ev := range j.pending {
		if ev.Cut.Bytes > 0 {
			j.cuts = append(j.cuts, ev.Cut)
		}
		if err := apply(ev); err != nil {
			return err
		}
	}
	j.pending, j.stale = nil, false
	return nil
}

func (j *Journal) openActive() error {
	if j.active != nil {
		j.active.Close()
		j.active = nil
	}
	f, err := os.OpenFile(filepath.Join(j.dir, journalName, segmentName(j.segment)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	j.active = f
	return checkSegment(f)
}

// syncUnacknowledged makes durable what a process left that died between its write and its
// sync. If the disk refuses, that append is undone.
func (j *Journal) syncUnacknowledged() error {
	known := j.marker.state == stateWriting && j.marker.segment == j.segment
	var err error
	if known {
		err = rewrite(j.active, j.marker.size)
	}
	if err == nil {
		err = j.active.Sync()
	}
	if err == nil {
		j.adopt = false
		return nil
	}
	if !known {
		return err // where the good part ends is not known: nothing is cut
	}
	j.size = j.marker.size
	return j.undo(err)
}

// rewrite writes what the file holds from an offset on once more. If a sync failed before its process
// died, the page cache holds it as clean, and another sync alone would succeed without
// having written it.
func rewrite(f *os.File, from int64) error {
	data, err := readAll(f)
	if err != nil || int64(len(data)) <= from {
		return err
	}
	_, err = f.WriteAt(data[from:], from)
	return err
}

// segmentPath is a segment's first event and its file.
type segmentPath struct {
	first Seq
	path  string
}

// segmentPaths returns where the events after base are: in journal/, and where that begins too late
// (both snapshots damaged), in the loose segments of archive/ before it.
func (j *Journal) segmentPaths(segments []Seq, base Seq) ([]segmentPath, error) {
	need := covering(segments, base)
	var paths []segmentPath
	if need[0] > base+1 {
		archived, err := looseArchive(j.dir)
		if err != nil {
			return nil, err
		}
		for _, first := range covering(archived, base) {
			if first < need[0] {
				paths = append(paths, segmentPath{first, filepath.Join(j.dir, archiveName, segmentName(first))})
			}
		}
	}
	for _, first := range need {
		paths = append(paths, segmentPath{first, filepath.Join(j.dir, journalName, segmentName(first))})
	}
	if first := paths[0].first; first > base+1 {
		return nil, &CorruptionError{File: filepath.Join(j.dir, journalName), Seq: base + 1, Offset: -1,
			Cause: fmt.Errorf("events %d to %d are missing", base+1, first-1)}
	}
	return paths, nil
}

// looseArchive lists the archived segments that are not packed.
func looseArchive(dir string) ([]Seq, error) {
	segments, err := segmentsIn(filepath.Join(dir, archiveName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return segments, err
}

// run is a walk through consecutive segments.
type run struct {
	id          ID
	base        Seq  // events up to here are passed over
	last        Seq  // newest valid event so far
	head        Hash // of its record
	durable     Seq  // the marker's newest event and its hash, zero if there is no marker
	durableHash Hash
	apply       func(*Event) error

	event Event  // the one that apply is given
	data  []byte // of the segment, read over by the next one
}

// segment reads one segment's events. It returns the scanner where it stopped: at the end, or before
// the first entry that is not valid, with the reason in bad. err is what apply said, or a
// chain that doesn't fit.
func (r *run) segment(p segmentPath, data []byte) (s *scanner, bad, err error) {
	s = newScanner(r.id, p.first, data)
	ev := &r.event
	var newest []byte
	for !s.done() && bad == nil {
		if s.next <= r.base {
			bad = s.skip()
			continue
		}
		at := s.off
		record, err := s.readInto(ev)
		if err != nil {
			bad = err
			break
		}
		if err := r.check(ev, record); err != nil {
			return s, nil, ev.refused(err, p.path, int64(at))
		}
		if err := r.apply(ev); err != nil {
			return s, nil, located(err, p.path, at)
		}
		r.last, newest = ev.Seq, record
	}
	if newest != nil {
		r.head = RecordHash(newest)
	}
	return s, bad, nil
}

// check holds an event against what is known from elsewhere: the hash chain at the seam of
// snapshot and journal, and the marker's newest event. The rest of the chain is verify's: the
// checksums are bound to journal and place already.
func (r *run) check(ev *Event, record []byte) error {
	if ev.Seq == r.durable && RecordHash(record) != r.durableHash {
		return errNotAcknowledged
	}
	return ev.follows(r.base, r.head)
}

// follows returns why an event can't be applied to the leases as of event base, whose record has the hash head.
func (ev *Event) follows(base Seq, head Hash) error {
	if ev.Seq == base+1 && ev.Prev != head {
		return errors.New("does not continue the event before it")
	}
	if !ev.Understood() {
		return fmt.Errorf("kind %s: %w", ev.Kind, ErrNewer)
	}
	return nil
}

// refused returns what check or follows says of an event as an error that names its place: damage, unless it is ErrNewer.
func (ev *Event) refused(cause error, file string, offset int64) error {
	if errors.Is(cause, ErrNewer) {
		return fmt.Errorf("%s: event %d: %w", file, ev.Seq, cause)
	}
	return &CorruptionError{File: file, Seq: ev.Seq, Offset: offset, Cause: cause}
}

// finish checks that nothing is missing at the end.
func (r *run) finish(path string) error {
	if r.last < r.durable {
		return &CorruptionError{File: path, Seq: r.last + 1, Offset: -1,
			Cause: fmt.Errorf("the journal ends at event %d, but event %d was acknowledged", r.last, r.durable)}
	}
	if r.last == r.base && r.base == r.durable && r.base > 0 && r.head != r.durableHash {
		return &CorruptionError{File: path, Seq: r.last, Offset: -1,
			Cause: errNotAcknowledged}
	}
	return nil
}

// located fills in where an impossible event stands.
func located(err error, path string, at int) error {
	var c *CorruptionError
	if errors.As(err, &c) && c.File == "" {
		c.File, c.Offset = path, int64(at)
	}
	return err
}

func (j *Journal) loadSegment(r *run, p segmentPath, newest bool) error {
	var err error
	if newest {
		r.data, err = readOver(r.data, j.active)
	} else {
		r.data, err = readSegmentOver(r.data, p.path)
	}
	if err != nil {
		return err
	}
	s, bad, err := r.segment(p, r.data)
	if err != nil {
		return err
	}
	if p.first <= r.base && (bad != nil || newest && r.last == r.base && !s.endsWith(r.base)) {
		if err := s.blame(p.path, p.first); err != nil {
			return err
		}
	}
	if newest {
		j.size = int64(s.off)
		if s.next <= r.base { // the journal ends before its own snapshot
			return &CorruptionError{File: p.path, Seq: s.next, Offset: int64(s.off),
				Cause: fmt.Errorf("the journal ends here, but a snapshot covers event %d", r.base)}
		}
	}
	if bad == nil {
		return nil
	}
	if errors.Is(bad, ErrNewer) {
		return fmt.Errorf("%s: event %d: %w", p.path, s.next, bad)
	}
	if !newest {
		return &CorruptionError{File: p.path, Seq: s.next, Offset: int64(s.off), Cause: bad}
	}
	return j.cutTail(s, bad)
}

// cutTail ends the newest segment before the entry that is not valid, if an append
// cut short explains it.
func (j *Journal) cutTail(s *scanner, bad error) error {
	t := tail{data: s.data, from: s.off, expected: s.next, id: s.id, durable: j.marker.durable, good: -1, cause: bad}
	if j.marker.state == stateWriting && j.marker.segment == j.segment {
		t.good = j.marker.size
	}
	if cause := t.classify(); cause != nil {
		return &CorruptionError{File: j.active.Name(), Seq: s.next, Offset: int64(s.off), Cause: cause}
	}
	cut := Cut{File: filepath.Base(j.active.Name()), Offset: int64(s.off), Bytes: int64(len(s.data) - s.off)}
	rest := s.data[s.off:]
	name, err := j.quarantine(fmt.Sprintf("%s-%d", cut.File, cut.Offset), rest)
	if err != nil && noSpace(err) && len(rest) > maxInline {
		if err = j.giveUpReserve(); err == nil {
			name, err = j.quarantine(fmt.Sprintf("%s-%d", cut.File, cut.Offset), rest)
		}
	}
	switch {
	case err == nil:
		cut.Quarantine = name
	case noSpace(err) && len(rest) <= maxInline:
		cut.Data = bytes.Clone(rest)
	default:
		return fmt.Errorf("keep the torn tail of %s: %w", j.active.Name(), err)
	}
	if err := cutBack(j.active, int64(s.off)); err != nil {
		return fmt.Errorf("cut the torn tail of %s: %w", j.active.Name(), err)
	}
	j.pending = append(j.pending, &Event{Kind: KindRepair, Cut: cut, Text: ErrTorn.Error()})
	return nil
}

// maxInline is how much of a torn tail a repair event takes when there is no room for a file.
const maxInline = 2 << 10

// quarantine keeps bytes in a new file of quarantine/ and returns its name, durable.
func (j *Journal) quarantine(what string, content []byte) (string, error) {
	if err := requireAt(j.lock, j.lockPath, j.dir); err != nil {
		return "", err
	}
	dir := filepath.Join(j.dir, quarantineName)
	name := fmt.Sprintf("%d-%s", time.Now().UnixNano(), what)
	if err := EnsureDir(dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if err := writeNew(path, content); err != nil {
		return "", err
	}
	if err := SyncDir(dir); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return name, nil
}

// SetAside moves a damaged snapshot to quarantine/ and has the next Load record that.
func (j *Journal) SetAside(path string, cause error) error {
	name := fmt.Sprintf("%d-%s", time.Now().UnixNano(), filepath.Base(path))
	if err := EnsureDir(filepath.Join(j.dir, quarantineName)); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(j.dir, quarantineName, name)); err != nil {
		return err
	}
	if err := errors.Join(SyncDir(filepath.Join(j.dir, quarantineName)), SyncDir(filepath.Dir(path))); err != nil {
		return err
	}
	text := cause.Error()
	j.pending = append(j.pending, &Event{Kind: KindRepair, Text: text[:min(len(text), 512)],
		Cut: Cut{File: filepath.Base(path), Quarantine: name}})
	return nil
}
