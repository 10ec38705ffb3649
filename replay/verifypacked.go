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
		v.note("", s.Seq, "the clock was set by %s before event %d", s.By, s.Seq)
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
	return nil
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
