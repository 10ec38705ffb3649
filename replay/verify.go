package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

const (
	doRepair = "leasectl repair --dry-run, then --apply"
	doBackup = "restore the file from a backup; leasectl repair can't bring it back"
	doCopy   = "take another copy of the file"
	doNext   = "nothing: the next call that writes does it"
)

// Verify checks everything in the store in dir: META, marker, every record of every segment in use or
// archived and of every packed file, their chain, the index and the keyframes of packed files, whether each event can have happened, and every block of every snapshot, held
// against what the events lead to. folder is the network's folder in the dataDir, "" if that is not
// known. All findings are reported, not the first alone.
//
// It takes no lock and writes nothing, and calls may go on meanwhile: what it finds on a store in use
// counts only if a second look finds it too. The error says that the store could not be looked at.
func Verify(dir, folder string) (*Verified, error) {
	return confirm(func() (*Verified, error) { return verifyOnce(dir, folder) })
}

// verifier is one look at a store.
type verifier struct {
	Verified
	dir, folder string
	meta        journal.Meta
	snapshots   []*state.Snapshot  // that can be opened, oldest first
	newest      journal.Seq        // that a whole snapshot covers
	keyframes   []archive.Keyframe // of packed files that can be opened, in order of their events

	past   *archive.Reader // nil before events are read
	bare   bool            // an archive by itself, on which no call depends
	st     *state.State    // nil while it isn't known what is held, because events are lost
	clocks Clocks
	prev   journal.Seq // last event read and its record's hash
	head   journal.Hash
	last   mark
	first  mark
	file   string // that the last record was in
}

func (v *verifier) find(f Finding) {
	if v.bare && f.Severity == SeverityDamage {
		f.Severity = SeverityHistory
	}
	v.Findings = append(v.Findings, f)
}

func (v *verifier) note(file string, seq journal.Seq, format string, args ...any) {
	v.find(Finding{Severity: SeverityNote, File: file, Offset: -1, First: seq, Last: seq, What: fmt.Sprintf(format, args...)})
}

// damage reports a *journal.CorruptionError and returns every other error.
func (v *verifier) damage(err error, f Finding) error {
	d, ok := errors.AsType[*journal.CorruptionError](err)
	if !ok {
		return err
	}
	f.File, f.Offset, f.What = v.below(d.File), d.Offset, d.Cause.Error()
	if f.First == 0 {
		f.First, f.Last = d.Seq, d.Seq
	}
	v.find(f)
	return nil
}

// below returns a path as seen from the store's folder.
func (v *verifier) below(path string) string {
	if rel, err := filepath.Rel(v.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

func verifyOnce(dir, folder string) (*Verified, error) {
	v := &verifier{dir: dir, folder: folder, st: state.New()}
	if known, err := v.identify(); err != nil || !known {
		return &v.Verified, err
	}
	// Snapshots before events: what they cover is durable by then.
	if err := v.openSnapshots(); err != nil {
		return nil, err
	}
	defer v.closePast()
	defer func(opened []*state.Snapshot) { // what is held may be looked up in one of them until the end
		for _, s := range opened {
			_ = s.Close()
		}
	}(v.snapshots)
	for _, step := range []func() error{v.lock, v.events, v.unreached, v.tail, v.others, v.claim} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	v.times()
	return &v.Verified, nil
}

// identify finds out what store it is. It is not known if nothing in the store tells.
func (v *verifier) identify() (known bool, err error) {
	v.meta, err = journal.ReadMeta(v.dir)
	if err == nil {
		err = journal.CheckMeta(v.dir, v.meta, state.SnapshotIDs(filepath.Join(v.dir, "snap"))...)
	}
	if err != nil {
		if err := v.damage(err, Finding{Severity: SeverityDamage, Affects: "every call is refused", Do: doRepair}); err != nil {
			return false, err
		}
		if v.meta, err = journal.Identify(v.dir, state.SnapshotIDs(filepath.Join(v.dir, "snap"))...); err != nil {
			return false, v.damage(err, Finding{Severity: SeverityDamage, Affects: "every call is refused, and no event can be checked",
				Do: "restore META from a backup"})
		}
	}
	v.Journal = v.meta.ID
	if err := journal.CanWrite(v.meta); err != nil {
		v.find(Finding{Severity: SeverityDamage, File: "META", Offset: -1, What: err.Error(), Affects: "every call that writes is refused",
			Do: "use the version of leaselog that wrote it"})
	}
	return true, nil
}

// openSnapshots opens all snapshots and checks each by itself.
func (v *verifier) openSnapshots() error {
	entries, err := os.ReadDir(filepath.Join(v.dir, "snap"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".snap") || e.IsDir() { // calls pass over both
			continue
		}
		path := filepath.Join(v.dir, "snap", e.Name())
		snap, err := state.OpenSnapshot(path, v.meta.ID)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(path); err != nil {
				continue // an older one that was removed meanwhile
			}
			err = &journal.CorruptionError{File: path, Offset: -1, Cause: fs.ErrNotExist}
		}
		if err == nil {
			v.Snapshots++
			err = snap.Verify()
		}
		if err != nil {
			affects := "no lease: an older snapshot or the journal tells the same"
			if err := v.damage(err, Finding{Severity: SeverityHistory, Affects: affects, Do: doNext}); err != nil {
				return err
			}
			continue
		}
		v.snapshots = append(v.snapshots, snap)
		v.newest = max(v.newest, snap.Seq())
	}
	return nil
}

// lock looks at the lock file and its marker.
func (v *verifier) lock() error {
	if !journal.HasLock(v.dir) {
		v.find(Finding{Severity: SeverityDamage, File: "lock", Offset: -1, What: "missing, or not a file",
			Affects: "every call that writes is refused, and nothing witnesses the last event", Do: doRepair})
		return nil
	}
	m, err := journal.InspectMarker(v.dir)
	if err != nil {
		return v.damage(err, Finding{Severity: SeverityHistory, Affects: "nothing witnesses the last event", Do: doNext})
	}
	switch {
	case m.ID != v.meta.ID:
		v.find(Finding{Severity: SeverityHistory, File: "lock", Offset: -1, What: fmt.Sprintf("its marker is of journal %s", m.ID),
			Affects: "nothing witnesses the last event", Do: doNext})
	case m.Fenced:
		v.find(Finding{Severity: SeverityDamage, File: "lock", Offset: -1, First: m.Durable + 1, Last: m.Durable,
			What: "the disk refused a write and its undoing: the store is fenced", Affects: "every call that writes is refused",
			Do: "mend the disk; the next call that writes then heals the store"})
	}
	v.Live = m.Live
	return nil
}

// events reads all that can be read of the history, in use, archived and packed.
func (v *verifier) events() error {
	j, err := journal.OpenSalvage(v.dir, v.meta)
	if err != nil {
		return err
	}
	past, err := archive.Over(v.dir, j)
	if err != nil {
		return err
	}
	v.past = past // what is held may be looked up in one of its keyframes until the end
	return v.history()
}

// lost reports a loss. What a whole snapshot covers is lost to history alone.
func (v *verifier) lost(l *journal.Loss) {
	d := l.Error(v.dir)
	f := Finding{Severity: SeverityDamage, File: l.File, Offset: l.Offset, First: l.First, Last: l.Last, What: d.Cause.Error(),
		Affects: "calls that need these events are refused; who held what in their time is unknown", Do: doRepair}
	if v.bare {
		f.Severity, f.Affects, f.Do = SeverityHistory, "who held what in their time is unknown", doCopy
	} else if v.kept() {
		f.Severity, f.Do = SeverityHistory, ""
		f.Affects = "no lease: the journal has a successor; who held what in their time is unknown"
	} else if last := max(l.First, l.Last); last <= v.newest && !l.Open {
		f.Severity, f.Do = SeverityHistory, doBackup
		f.Affects = fmt.Sprintf("no lease: a snapshot covers event %d; who held what in their time is unknown", v.newest)
	} else if isPacked(l.File) {
		f.Do = doBackup
	}
	if l.Disk {
		f.Do = "mend the disk, or copy the store to another one"
	}
	v.find(f)
	if l.Last >= l.First || l.Open {
		v.st = nil
	}
}

// kept reports whether the store is one that its successor keeps in archive/: no call uses it.
func (v *verifier) kept() bool {
	real, err := filepath.EvalSymlinks(v.dir)
	return err == nil && filepath.Base(real) == v.meta.ID.String() && filepath.Base(filepath.Dir(real)) == "archive"
}

func (v *verifier) record(rec *journal.Record) error {
	ev := &rec.Event
	v.Events++
	if rec.File != v.file {
		v.file = rec.File
		if isPacked(rec.File) {
			v.Packed++
		} else {
			v.Segments++
		}
	}
	bad := Finding{Severity: SeverityDamage, File: rec.File, Offset: rec.Offset, First: ev.Seq, Last: ev.Seq,
		Affects: "who held what since then may not be what is told", Do: "look at what happened to the store's files: each event is whole, but not all are of one course of events"}
	if v.prev+1 == ev.Seq && ev.Prev != v.head {
		f := bad
		f.What = errChain.Error()
		v.find(f)
	}
	v.prev, v.head = ev.Seq, rec.Head()
	if !ev.Understood() {
		return fmt.Errorf("%s: event %d: %w", filepath.Join(v.dir, rec.File), ev.Seq, journal.ErrNewer)
	}
	if v.st != nil {
		if err := v.st.Apply(ev); err != nil {
			if err := v.damage(located(err, rec), bad); err != nil {
				return err
			}
			v.st = nil
		} else {
			v.st.SetHead(v.head)
		}
	}
	v.clocks.Add(ev)
	v.last = mark{ev.Seq, ev.Clock}
	if v.first.seq == 0 {
		v.first = v.last
	}
	if ev.Kind == journal.KindRepair {
		v.note(rec.File, ev.Seq, "tells of a repair: %s", repairText(ev))
	}
	v.succeeded(rec.File, ev)
	return v.compare()
}

// repairText says what a repair event tells.
func repairText(ev *journal.Event) string {
	text := ev.Text
	if ev.Cut.Bytes > 0 {
		text += fmt.Sprintf("; %d bytes of %s from byte %d on", ev.Cut.Bytes, ev.Cut.File, ev.Cut.Offset)
	}
	if ev.Cut.Quarantine != "" {
		text += "; kept in quarantine/" + ev.Cut.Quarantine
	}
	return strings.TrimPrefix(text, "; ")
}

// compare holds the snapshots that cover the last event against it. Where what is held isn't known, it
// is known again from a snapshot on.
func (v *verifier) compare() error {
	for len(v.snapshots) > 0 && v.snapshots[0].Seq() <= v.prev {
		snap := v.snapshots[0]
		v.snapshots = v.snapshots[1:]
		err := v.same(snap, Finding{Severity: SeverityDamage, File: v.below(snap.Path()),
			Affects: "leases that calls take from it", Do: "move the snapshot out of snap/: the journal tells the same"})
		if err != nil {
			return err
		}
	}
	for len(v.keyframes) > 0 && v.keyframes[0].Snapshot.Seq() <= v.prev {
		k := v.keyframes[0]
		v.keyframes = v.keyframes[1:]
		if err := v.same(k.Snapshot, ofKeyframe(k.File)); err != nil {
			return err
		}
	}
	return nil
}

// same holds a snapshot against the events, if its own was just read. bad is what is found if it differs.
func (v *verifier) same(snap *state.Snapshot, bad Finding) error {
	if snap.Seq() < v.prev {
		return nil // its event is lost, which is reported
	}
	bad.Offset, bad.First, bad.Last = -1, v.prev, v.prev
	if snap.Head() != v.head {
		bad.What = "covers another event of this number than the journal holds"
		v.find(bad)
	}
	if v.st == nil {
		v.st = state.Over(snap)
		return nil
	}
	err := snap.Matches(v.st)
	if d, ok := errors.AsType[*journal.CorruptionError](err); ok {
		bad.Offset, bad.What = d.Offset, "is not what the events lead to: "+d.Cause.Error()
		v.find(bad)
		err = nil
	}
	return err
}

// unreached reports snapshots of events that the journal doesn't have.
func (v *verifier) unreached() error {
	for _, snap := range v.snapshots {
		v.find(Finding{Severity: SeverityDamage, File: "journal", Offset: -1, First: v.prev + 1, Last: snap.Seq(),
			What:    fmt.Sprintf("the journal ends at event %d, but a snapshot covers event %d", v.prev, snap.Seq()),
			Affects: "calls are refused; who held what in the time of these events is unknown", Do: doRepair})
	}
	return nil
}

// tail looks at what follows the last durable event.
func (v *verifier) tail() error {
	r, err := journal.OpenReaderAs(v.dir, v.meta)
	if err != nil {
		return v.damage(err, Finding{Severity: SeverityDamage, Affects: "calls are refused", Do: doRepair})
	}
	if torn := r.Coverage().Torn; torn > 0 {
		v.note("journal", 0, "%d bytes of an unfinished append follow event %d: the next call that writes cuts and keeps them", torn, r.Coverage().Durable)
	}
	if v.kept() {
		return nil // no call uses it
	}
	return v.refused(r)
}

// refused adds why the next call would refuse the store, if nothing that was found so far says it.
func (v *verifier) refused(r *journal.Reader) error {
	var refusal error
	for _, err := range r.Records(v.newest) {
		if err != nil {
			refusal = err
		}
	}
	if refusal == nil {
		refusal = r.CheckTail()
	}
	d, ok := errors.AsType[*journal.CorruptionError](refusal)
	if !ok {
		return refusal
	}
	told := func(f Finding) bool {
		return f.Severity == SeverityDamage && f.First <= d.Seq && d.Seq <= max(f.First, f.Last)
	}
	if slices.ContainsFunc(v.Findings, told) {
		return nil
	}
	return v.damage(refusal, Finding{Severity: SeverityDamage, Affects: "calls are refused", Do: doRepair})
}

// others looks at what stands beside the events.
func (v *verifier) others() error {
	strays, err := journal.Strays(v.dir)
	if err != nil {
		return err
	}
	for _, path := range strays {
		v.find(Finding{Severity: SeverityDamage, File: v.below(path), Offset: -1, What: "not a segment; nothing else belongs in this folder",
			Affects: "every call is refused", Do: doRepair})
	}
	if err := v.twice(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(v.dir, "archive"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		switch _, err := journal.ParseID(e.Name()); {
		case journal.IsSegmentName(e.Name()), archive.IsName(e.Name()):
		case err == nil && e.IsDir():
			v.note(filepath.Join("archive", e.Name()), 0, "holds the journal that this one has succeeded; verify it by itself")
		case strings.HasSuffix(e.Name(), ".llz"):
			v.note(filepath.Join("archive", e.Name()), 0, "a packed file in the making, or what is left of one; passed over")
		default:
			v.note(filepath.Join("archive", e.Name()), 0, "not a segment; passed over")
		}
	}
	return nil
}

// maxCompared bounds what is read into memory to be compared; no segment is larger.
const maxCompared = 64 << 20

// twice compares segments that are both in use and archived, as a move leaves them for a moment.
func (v *verifier) twice() error {
	entries, err := os.ReadDir(filepath.Join(v.dir, "journal"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !journal.IsSegmentName(e.Name()) {
			continue
		}
		there := filepath.Join(v.dir, "archive", e.Name())
		if _, err := os.Lstat(there); err != nil {
			continue
		}
		for _, path := range []string{filepath.Join(v.dir, "journal", e.Name()), there} {
			if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() || st.Size() > maxCompared {
				return nil // not a segment, or gone meanwhile; events says so
			}
		}
		one, err := os.ReadFile(filepath.Join(v.dir, "journal", e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the move is done
		}
		other, otherErr := os.ReadFile(there)
		if err := errors.Join(err, otherErr); err != nil {
			return err
		}
		if !bytes.Equal(one, other) {
			n, _ := strconv.ParseUint(e.Name(), 10, 64)
			v.find(Finding{Severity: SeverityDamage, File: filepath.Join("archive", e.Name()), Offset: -1, First: journal.Seq(n), Last: journal.Seq(n),
				What: "differs from the segment of this number in journal/", Affects: "no segment can be archived any more",
				Do: "find out which of the two is damaged and move it away"})
		}
	}
	return nil
}

// claim looks at what ties the data folder to the store.
func (v *verifier) claim() error {
	if v.folder == "" {
		return nil
	}
	id, elsewhere, err := journal.ReadClaim(v.folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.note(filepath.Join(v.folder, journal.ClaimName), 0, "missing: every lease has ended, and the next call that writes records it")
		return nil
	case err != nil:
		return v.damage(err, Finding{Severity: SeverityDamage, Affects: "every call is refused", Do: doRepair})
	case id != v.meta.ID && elsewhere == v.dir && journal.Succeeds(v.dir, id):
		v.note(filepath.Join(v.folder, journal.ClaimName), 0, "names journal %s, which this one has succeeded: the next call that writes renews it", id)
	case id != v.meta.ID:
		v.find(Finding{Severity: SeverityDamage, File: filepath.Join(v.folder, journal.ClaimName), Offset: -1,
			What: fmt.Sprintf("ties the folder to journal %s in %s", id, elsewhere), Affects: "every call is refused",
			Do: "set ipam.historyDir to where that journal is"})
	}
	return nil
}
