package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Mending says what is wrong with a store, and what Repair did about it or would do.
type Mending struct {
	Journal   journal.ID
	Successor journal.ID    // the journal that took its place; zero if there is none, or not yet
	Steps     []string      // what is done, in words and in order; empty if the store needs no repair
	Notes     []string      // what else is to be known, in words
	Losses    []Lost        // what can't be read any more, history that no lease depends on included
	ParentSeq journal.Seq   // with a successor: the last event before the first loss that leases depend on
	Events    journal.Seq   // with a successor: how many events are lost from there on, at most unless Endless
	Endless   bool          // with a successor: the end of the journal is missing, and nothing tells how much of it
	Kept      int           // with a successor: leases that are carried over
	Uncertain int           // of these, those that a lost event may have ended
	Doubtful  []state.Lease // these, by address
	Archive   string        // with a successor: where the old store's bytes are, below the store's folder
	succeeds  bool
}

// Lost is a loss with the clocks of the events before and after it; zero where there is none.
type Lost struct {
	journal.Loss
	After, Before time.Time
}

// Needed reports whether there is something to repair.
func (m *Mending) Needed() bool { return len(m.Steps) > 0 }

// Succeeds reports whether a new journal takes, or would take, the place of the old one.
func (m *Mending) Succeeds() bool { return m.succeeds }

func (m *Mending) step(format string, args ...any) {
	m.Steps = append(m.Steps, fmt.Sprintf(format, args...))
}

// Repair mends what stops the store's calls, or only says what it would do if apply is false: then it
// takes no lock and changes nothing. Of a store whose DataDir is not known, "", the claim is let alone.
//
// What loses nothing is put right in place: META and the lock file are made anew, strange files and damaged snapshots moved to quarantine/, a torn tail cut, the claim
// rewritten if it leads to this store, or leads nowhere and claim is true. Where events that leases depend on are
// lost, a successor takes the journal's place: it holds the leases and cursors as far as the rest tells them, names
// its parent, and keeps the old bytes in archive/. Damage to history alone is told and left as it is.
//
// It returns journal.ErrNoStore if there is no store, journal.ErrFenced if the disk still refuses
// writes, journal.ErrLocked if another process keeps a lock, and a *journal.CorruptionError for what can't be
// repaired. When it returns nil with apply, all it did is durable. A Mending that comes with an error says what had
// been done by then.
func (s *Store) Repair(apply, claim bool) (*Mending, error) {
	r := &repair{store: s, apply: apply, deadline: time.Now().Add(s.o.LockTimeout), m: &Mending{}}
	defer r.close()
	if _, err := journal.ReadMeta(s.dir); apply && !errors.Is(err, journal.ErrNoStore) {
		// Repairs come one after the other, and no store is made meanwhile.
		lock, err := journal.LockCreation(s.o.HistoryDir, r.deadline)
		if err != nil {
			return nil, err
		}
		defer lock.Close()
	}
	return r.m, r.run(claim)
}

// repair is one Repair.
type repair struct {
	store    *Store
	apply    bool
	deadline time.Time
	meta     journal.Meta
	base     *state.Snapshot // the newest snapshot that is whole, or keyframe of a packed file; nil if there is none
	packed   func() error    // closes what a keyframe is read from; nil if there is none
	doubt    string          // why leases are uncertain; "" if because of what is lost
	m        *Mending
}

// Packed reads the history of a store of which some may be packed, which this package can't. The store may have no META, so what
// it is comes along. The zero value stands for segments alone.
type Packed struct {
	// Pieces returns everything that can be read, as journal.Salvage does.
	Pieces func(dir string, meta journal.Meta) iter.Seq2[journal.Piece, error]
	// Keyframe opens the newest keyframe that is whole, nil if there is none. It is good until close is called.
	Keyframe func(dir string, meta journal.Meta) (snap *state.Snapshot, close func() error, err error)
}

// pieces reads the whole history.
func (r *repair) pieces() iter.Seq2[journal.Piece, error] {
	if pieces := r.store.o.Packed.Pieces; pieces != nil {
		return pieces(r.store.dir, r.meta)
	}
	return journal.Salvage(r.store.dir, r.meta, 0)
}

func (r *repair) close() {
	if r.base != nil {
		_ = r.base.Close()
		r.base = nil
	}
	if r.packed != nil {
		_ = r.packed()
		r.packed = nil
	}
}

func (r *repair) run(claim bool) error {
	if err := r.identify(); err != nil {
		return err
	}
	r.m.Journal = r.meta.ID
	work := r.judge
	if r.apply {
		work = r.mend
	}
	if err := work(); err != nil {
		return err
	}
	return r.claim(claim)
}

// identify makes META and the lock file anew if need be.
func (r *repair) identify() error {
	dir := r.store.dir
	var err error
	r.meta, err = journal.ReadMeta(dir)
	if err == nil {
		err = journal.CheckMeta(dir, r.meta, state.SnapshotIDs(filepath.Join(dir, "snap"))...)
	}
	damage, damaged := errors.AsType[*journal.CorruptionError](err)
	if err != nil && !damaged {
		return err
	}
	if damaged {
		if r.meta, err = journal.Identify(dir, state.SnapshotIDs(filepath.Join(dir, "snap"))...); err != nil {
			return errors.Join(damage, err)
		}
		if r.meta.DataDir == "" {
			r.meta.DataDir = r.store.o.DataDir
		}
		r.m.step("make META anew, of journal %s: %v", r.meta.ID, damage)
		if r.apply {
			if err := journal.WriteMeta(dir, r.meta); err != nil {
				return err
			}
		}
	}
	if err := journal.CanWrite(r.meta); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if journal.HasLock(dir) {
		return nil
	}
	r.m.step("make the lock file anew: it is missing or not a file, so nothing witnesses the last event")
	if !r.apply {
		return nil
	}
	return journal.RestoreLock(dir)
}

// findLosses reads the whole history for what is lost in it.
func (r *repair) findLosses() error {
	var last time.Time
	open := 0 // losses whose next event hasn't come yet
	for p, err := range r.pieces() {
		if err != nil {
			return err
		}
		if p.Loss != nil && p.Loss.Disk {
			return unreadable(p.Loss)
		}
		if p.Loss != nil && p.Loss.Pruned() != nil {
			continue // that was meant
		}
		if p.Loss != nil {
			r.m.Losses = append(r.m.Losses, Lost{Loss: *p.Loss, After: last})
			open++
			continue
		}
		last = p.Event.Time()
		for ; open > 0; open-- {
			r.m.Losses[len(r.m.Losses)-open].Before = last
		}
	}
	return nil
}

// unreadable returns the error for what the disk refuses to read: it may be whole, so that giving it up
// would give leases away that are held.
func unreadable(l *journal.Loss) error {
	return fmt.Errorf("%s: %w: nothing is repaired while the disk refuses to read; mend it, or copy the store to another and repair that", l.File, l.Cause)
}

// openSnapshots finds the newest snapshot that is whole and returns the damage of the others.
func (r *repair) openSnapshots() ([]*journal.CorruptionError, error) {
	paths, err := snapshots(r.store.dir)
	if err != nil {
		return nil, err
	}
	var damage []*journal.CorruptionError
	for _, path := range paths {
		snap, err := state.OpenSnapshot(path, r.meta.ID)
		if err == nil {
			err = snap.Verify()
		}
		if errors.Is(err, fs.ErrNotExist) && r.apply { // a link to nowhere: who unlinks snapshots holds a lock that is ours
			err = &journal.CorruptionError{File: path, Offset: -1, Cause: err}
		}
		if d, ok := errors.AsType[*journal.CorruptionError](err); ok {
			damage = append(damage, d)
			r.m.step("move a damaged snapshot to quarantine/: %v", d)
			if snap != nil {
				_ = snap.Close()
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		r.close() // an older one
		r.base = snap
	}
	return damage, nil
}

// strays moves what is in journal/ and is not a segment, with what to do with each.
func (r *repair) strays(setAside func(path string, cause error) error) error {
	strays, err := journal.Strays(r.store.dir)
	for _, path := range strays {
		r.m.step("move %s to quarantine/: nothing but segments belongs there", path)
		if setAside != nil && err == nil {
			err = setAside(path, errStray)
		}
	}
	return err
}

var errStray = errors.New("not a segment")

// judge says what mend would do.
func (r *repair) judge() error {
	if err := r.findLosses(); err != nil {
		return err
	}
	if err := r.strays(nil); err != nil {
		return err
	}
	if _, err := r.openSnapshots(); err != nil {
		return err
	}
	damage, err := r.damage()
	if err != nil || damage == nil {
		return err
	}
	if rebuilt, err := r.rebuild(damage); err != nil || rebuilt {
		return err
	}
	f, err := r.fold()
	if err != nil {
		return err
	}
	r.succession(f, damage)
	return nil
}

// damage returns why the next call would refuse the journal, nil if it would not.
func (r *repair) damage() (*journal.CorruptionError, error) {
	reader, err := journal.OpenReaderAs(r.store.dir, r.meta)
	if err == nil {
		if torn := reader.Coverage().Torn; torn > 0 {
			r.m.step("cut %d bytes that an unfinished append left, and keep them in quarantine/", torn)
		}
		err = r.follows(reader)
	}
	if err == nil {
		err = reader.CheckTail()
	}
	if d, ok := errors.AsType[*journal.CorruptionError](err); ok {
		return d, nil
	}
	return nil, err
}

// follows reads what follows the snapshot as a call would.
func (r *repair) follows(reader *journal.Reader) error {
	if last := reader.Coverage().Durable; last < r.baseSeq() {
		return &journal.CorruptionError{File: filepath.Join(r.store.dir, "journal"), Seq: last + 1, Offset: -1,
			Cause: fmt.Errorf("the journal ends here, but a snapshot covers event %d", r.baseSeq())}
	}
	for rec, err := range reader.Records(r.baseSeq()) {
		if err == nil && r.base != nil && rec.Event.Seq == r.baseSeq()+1 && rec.Event.Prev != r.base.Head() {
			err = &journal.CorruptionError{File: filepath.Join(r.store.dir, rec.File), Seq: rec.Event.Seq, Offset: rec.Offset,
				Cause: errors.New("does not continue the event before it")}
		}
		if err != nil {
			return err
		}
		break
	}
	return follow(r.over(), reader)
}

// baseSeq returns the last event that the snapshot covers, 0 if there is none.
func (r *repair) baseSeq() journal.Seq {
	if r.base == nil {
		return 0
	}
	return r.base.Seq()
}

// over returns the state that the events after the snapshot are folded onto.
func (r *repair) over() *state.State {
	if r.base == nil {
		return state.New()
	}
	return state.Over(r.base)
}

// mend does what judge says, under the store's lock.
func (r *repair) mend() error {
	// A compaction goes by names for longer than it holds any other lock.
	compaction, ok, err := journal.TryLock(filepath.Join(r.store.dir, journal.CompactLock))
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w: a compaction is under way; try again", r.store.dir, journal.ErrLocked)
	}
	if err != nil {
		return err
	}
	defer compaction.Close()
	// Upkeep holds this for long and the lock for moments, in this order.
	upkeep, ok, err := journal.TryLock(filepath.Join(r.store.dir, "snap.lock"))
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w: a snapshot is being taken; try again", r.store.dir, journal.ErrLocked)
	}
	if err != nil {
		return err
	}
	defer upkeep.Close()
	j, err := journal.Open(r.store.dir, r.deadline)
	if err != nil {
		return err
	}
	defer j.Close()
	if err := r.findLosses(); err != nil {
		return err
	}
	if err := r.strays(j.SetAside); err != nil {
		return err
	}
	aside, err := r.openSnapshots()
	if err != nil {
		return err
	}
	for _, d := range aside {
		if err := j.SetAside(d.File, d); err != nil {
			return err
		}
	}
	err = r.load(j)
	damage, damaged := errors.AsType[*journal.CorruptionError](err)
	if damaged {
		rebuilt, rebuildErr := r.rebuild(damage)
		if rebuildErr != nil {
			return rebuildErr
		}
		if rebuilt { // and what follows it is judged once more
			err = r.load(j)
			damage, damaged = errors.AsType[*journal.CorruptionError](err)
		}
	}
	for _, c := range j.Cuts() {
		r.m.step("cut %d bytes that an unfinished append left in %s at byte %d, kept in quarantine/%s", c.Bytes, c.File, c.Offset, c.Quarantine)
	}
	if damaged && !errors.Is(err, journal.ErrNewer) {
		return r.succeed(j, damage)
	}
	return err
}

// load loads the journal as a call would.
func (r *repair) load(j *journal.Journal) error {
	var head journal.Hash
	if r.base != nil {
		head = r.base.Head()
	}
	return j.Load(r.baseSeq(), head, r.over().Apply)
}

// succeed puts a successor in the journal's place.
func (r *repair) succeed(j *journal.Journal, damage *journal.CorruptionError) error {
	f, err := r.fold()
	if err != nil {
		return err
	}
	r.succession(f, damage)
	events, err := r.successorEvents(f)
	if err != nil {
		return err
	}
	view := r.store.hasView()
	meta, err := j.Succeed(journal.Successor{Version: r.store.o.Version, DataDir: r.store.o.DataDir, ParentSeq: f.good, ParentHash: f.goodHash,
		Attributes: []journal.Attribute{{Key: journal.AttributeLost, Value: f.lostText()}},
		Write:      func(next *journal.Journal) error { return appendAll(next, events) }}, r.deadline)
	if meta.ID != (journal.ID{}) { // from here on it is in place
		r.meta, r.m.Successor = meta, meta.ID
		if view { // a lease that was lost may still have its file, and is imported by the next call
			err = errors.Join(err, r.store.keepView())
		}
	}
	return err
}

// appendAll appends events in as few batches as they fit.
func appendAll(j *journal.Journal, events []*journal.Event) error {
	for len(events) > 0 {
		n := batchLen(events)
		if err := j.Append(events[:n]...); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// succession tells what a successor means.
func (r *repair) succession(f *fold, damage *journal.CorruptionError) {
	m := r.m
	m.succeeds, m.ParentSeq, m.Events, m.Endless = true, f.good, f.lost, f.endless
	m.Kept, m.Archive = len(f.leases), filepath.Join("archive", r.meta.ID.String())
	for _, l := range f.leases {
		if l.uncertain {
			m.Uncertain++
			m.Doubtful = append(m.Doubtful, l.Lease)
		}
	}
	slices.SortFunc(m.Doubtful, func(a, b state.Lease) int { return a.IP.Compare(b.IP) })
	m.step("begin a new journal in place of %s, which can't be built on: %v", r.meta.ID, damage)
	m.step("carry over %d leases, %d of them uncertain, and the cursors, moved on by the events that are lost (%s)", m.Kept, m.Uncertain, f.bound())
	if f.lost > 0 && len(f.cursors) == 0 {
		m.step("begin with the first address of each range, since no cursor is known any more: running containers may hold it, so drain the node or start its pods anew")
	}
	m.step("keep all bytes of the old store in %s, its quarantine/ with them", m.Archive)
}

// claim ties the data folder to the store again where its claim leads here and names another journal, or is known to be
// this store's and can't be read or leads nowhere.
func (r *repair) claim(ours bool) error {
	s := r.store
	if s.o.DataDir == "" {
		return nil // nobody knows where it would be
	}
	if r.apply { // calls that renew it, too, hold the store's lock
		j, err := journal.Open(s.dir, r.deadline)
		if err != nil {
			return err
		}
		defer j.Close()
	}
	id, historyDir, err := journal.ReadClaim(s.folder)
	if damage, damaged := errors.AsType[*journal.CorruptionError](err); damaged && ours {
		return r.replaceClaim(damage.Error())
	}
	switch {
	case err != nil || id == r.meta.ID:
		return nil // missing is a wipe, which the next call records
	case s.leadsHere(historyDir) && journal.Succeeds(s.dir, id):
		if r.m.Successor == (journal.ID{}) { // otherwise it is a matter of course
			r.m.step("renew the claim: it names journal %s, which this one has succeeded", id)
		}
		if !r.apply {
			return nil
		}
		if err := journal.SyncDir(filepath.Dir(s.dir)); err != nil { // who exchanged the stores may have died before
			return err
		}
		return journal.RenewClaim(s.folder, r.meta.ID, s.dir)
	case historyDir == s.dir:
		return r.replaceClaim(fmt.Sprintf("%s: names journal %s, which is not in %s", s.folder, id, s.dir))
	}
	if _, err := journal.ReadMeta(historyDir); ours && errors.Is(err, journal.ErrNoStore) {
		return r.replaceClaim(fmt.Sprintf("%s: leads to %s, where there is no store", s.folder, historyDir))
	}
	r.m.Notes = append(r.m.Notes, fmt.Sprintf("the claim in %s leads to journal %s in %s and is let alone: this store is a copy, or out of use", s.folder, id, historyDir))
	return nil
}

// replaceClaim writes a claim in place of one that can't be right, which is kept beside it.
func (r *repair) replaceClaim(why string) error {
	r.m.step("write the claim anew: %s", why)
	if !r.apply {
		return nil
	}
	return journal.ReplaceClaim(r.store.folder, r.meta.ID, r.store.dir)
}
