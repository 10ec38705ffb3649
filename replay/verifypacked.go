package replay

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// VerifyArchive is Verify for an archive by itself: there is neither META nor marker nor snapshot to hold it against, and no
// call depends on it.
func VerifyArchive(past *archive.Reader, dir string) (*Verified, error) {
	v := &verifier{dir: dir, meta: past.Meta(), st: state.New(), past: past, bare: true}
	v.Journal = v.meta.ID
	if err := v.history(); err != nil {
		return nil, err
	}
	v.times()
	v.note("", v.last.seq, "this is an archive by itself: there is neither snapshot nor marker to hold it against, and what followed is not in it")
	return &v.Verified, nil
}

// times notes what the clocks showed.
func (v *verifier) times() {
	for _, s := range v.clocks.Steps() {
		v.note("", s.Seq, "%s", s.Doubt())
	}
	if v.first.seq != 0 {
		v.First, v.Last = v.clocks.point(v.first), v.clocks.point(v.last)
	}
}

func (v *verifier) closePast() {
	if v.past != nil {
		_ = v.past.Close()
	}
}

// history goes through all events, and through all that is said about them in packed files.
func (v *verifier) history() error {
	if err := v.openKeyframes(); err != nil {
		return err
	}
	var loss *journal.Loss // the newest, until it is known that it doesn't go on: one place costs many frames
	tell := func() {
		if loss != nil {
			v.lost(loss)
		}
		loss = nil
	}
	for p, err := range v.past.Audit(0, v.flaw) {
		if err != nil {
			return err
		}
		if l := p.Loss; l != nil {
			if l.Pruned() != nil {
				tell()
				if err := v.pruned(l); err != nil {
					return err
				}
				continue
			}
			if loss != nil && isPacked(l.File) && l.File == loss.File && l.Offset == loss.Offset && loss.Last+1 == l.First {
				loss.Last = l.Last
				continue
			}
			tell()
			loss = l
			continue
		}
		tell()
		if err := v.record(&p.Record); err != nil {
			return err
		}
	}
	tell()
	return v.unfinished()
}

// pruned goes on behind events that were pruned, with what the keyframe says that they led to. They are no finding; that the chain
// goes on from the last of them is looked at with the next record.
func (v *verifier) pruned(l *journal.Loss) error {
	p := l.Pruned()
	said := p.Pruned
	v.note("", p.Tombstone.Seq, "events %d to %d were %v", l.First, l.Last, p)
	for ev := range p.Earlier.All() {
		v.succeeded("", ev)
	}
	v.clocks.Pruned(p.Earlier)
	v.prev, v.head, v.st = l.Last, said.Head, nil
	for len(v.snapshots) > 0 && v.snapshots[0].Seq() < l.Last {
		v.snapshots = v.snapshots[1:] // of the time that was pruned
	}
	if p.Earlier.Len() == 0 {
		v.find(Finding{Severity: SeverityHistory, File: "archive", Offset: -1, First: l.Last + 1, Last: l.Last + 1,
			What:    fmt.Sprintf("the packed file that begins with event %d does not tell what is to be known of those before it", l.Last+1),
			Affects: "no lease; what is answered about the past from there on may be less certain than it was", Do: v.instead()})
	}
	if err := v.compare(); err != nil {
		return err
	}
	if v.st == nil {
		v.find(Finding{Severity: SeverityHistory, File: "archive", Offset: -1, First: l.Last, Last: l.Last,
			What:    fmt.Sprintf("no keyframe tells what was held after event %d, the last one that was pruned", l.Last),
			Affects: "no lease that a snapshot covers; what was held from there on is unknown until events tell", Do: v.instead()})
	}
	return nil
}

// succeeded notes a journal that was pruned as a whole: where it stood there is nothing left to look at.
func (v *verifier) succeeded(file string, ev *journal.Event) {
	if ev.Kind != journal.KindPrune {
		return
	}
	if p, ok := ev.Pruned(); ok && p.Journal != (journal.ID{}) && p.Journal != v.past.Meta().ID {
		v.note(file, ev.Seq, "journal %s, which was succeeded, was %v", p.Journal, &journal.Pruning{Tombstone: *ev, Pruned: p})
	}
}

// unfinished notes files of events that were to be pruned.
func (v *verifier) unfinished() error {
	last, by, err := v.past.Unfinished()
	if err == nil && last != 0 {
		v.note("archive", by, "a prune of the events up to %d did not come to its end: the next one, or compact, removes what is left of them", last)
	}
	return err
}

// isPacked reports whether a file of the store is a packed one.
func isPacked(file string) bool { return archive.IsName(filepath.Base(file)) }

// flaw reports what is wrong and costs no event.
func (v *verifier) flaw(f archive.Flaw) {
	v.find(Finding{Severity: SeverityHistory, File: f.File, Offset: f.Offset, First: f.First, Last: f.Last, What: f.Cause.Error(),
		Affects: "no lease, and no event is lost; what is answered about the past from this file alone may be wrong", Do: v.instead()})
}

// instead is what to do about a file of the archive.
func (v *verifier) instead() string {
	if v.bare {
		return doCopy
	}
	return doBackup
}

// ofKeyframe is the finding that a keyframe is wrong.
func ofKeyframe(file string) Finding {
	return Finding{Severity: SeverityHistory, File: file, Offset: -1,
		Affects: "no lease, and no event: a keyframe spares reading of the events before it", Do: doBackup}
}

// openKeyframes opens the keyframes of all packed files and checks each by itself.
func (v *verifier) openKeyframes() error {
	for k, err := range v.past.Keyframes() {
		if err == nil {
			err = k.Snapshot.Verify()
		}
		if err != nil {
			f := ofKeyframe(k.File)
			d, ok := errors.AsType[*journal.CorruptionError](err)
			if !ok {
				return err
			}
			f.Offset, f.First, f.Last, f.What = d.Offset, k.Seq, k.Seq, fmt.Sprintf("keyframe: %v", d.Cause)
			v.find(f)
			continue
		}
		v.keyframes = append(v.keyframes, k)
	}
	slices.SortStableFunc(v.keyframes, func(a, b archive.Keyframe) int { return cmp.Compare(a.Snapshot.Seq(), b.Snapshot.Seq()) })
	return nil
}
