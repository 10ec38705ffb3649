package allocator

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// transaction is a store under its lock, with its leases in memory.
type transaction struct {
	store   *Store
	journal *journal.Journal
	state   *state.State
	base    *state.Snapshot // below state; nil if all comes from the journal
	newest  journal.Kind    // of the newest event in the overlay, 0 if there is none
	foreign error           // why the wiped data folder can't be claimed again, so that no ADD may be served

	deadline time.Time
	locks    map[string]io.Closer // host-local's, by folder, held until the end
	imported []Imported
	sealed   string // the folder that was taken over, if the newest event in the overlay says so
	view     *hostLocalView
}

// beginOrCreate is begin, but makes a store where there is none.
func (s *Store) beginOrCreate() (*transaction, error) {
	deadline := time.Now().Add(s.o.LockTimeout)
	for made := false; ; made = true {
		t, err := s.beginUntil(deadline)
		if !errors.Is(err, journal.ErrNoStore) {
			return t, err
		}
		if made && time.Now().After(deadline) { // making it alone may take that long
			return nil, fmt.Errorf("%s is made and deleted over and over: %w", s.dir, journal.ErrLocked)
		}
		err = journal.Create(s.o.HistoryDir, journal.NewStore{Network: s.o.Network, DataDir: s.o.DataDir,
			Version: s.o.Version, AllowNetworkFS: s.o.AllowNetworkFS, Claim: s.claim}, deadline)
		if err != nil {
			return nil, err
		}
	}
}

// begin takes the lock and loads the leases. It returns journal.ErrNoStore if there is no store.
func (s *Store) begin() (*transaction, error) {
	return s.beginUntil(time.Now().Add(s.o.LockTimeout))
}

func (s *Store) beginUntil(deadline time.Time) (*transaction, error) {
	j, err := journal.Open(s.dir, deadline)
	if err != nil {
		return nil, err
	}
	t := &transaction{store: s, journal: j, deadline: deadline}
	if err = t.openView(); err == nil {
		err = t.load()
	}
	if err == nil {
		err = t.honourWipe()
	}
	if err == nil {
		err = t.followView()
	}
	if err == nil {
		err = t.takeLate()
	}
	if err != nil {
		err = j.Explain(err)
		t.end()
		return nil, err
	}
	return t, nil
}

// end gives up the lock. The snapshot below the state stays open for the upkeep.
func (t *transaction) end() {
	for _, lock := range t.locks {
		_ = lock.Close() // nothing is written through it
	}
	if err := t.journal.Close(); err != nil {
		t.store.o.Warn(fmt.Sprintf("close %s: %v", t.store.dir, err))
	}
}

// load reads the newest snapshot and the events after it. A damaged snapshot is set aside, told
// by a repair event, and the one before it is used.
func (t *transaction) load() error {
	for {
		snap, damage, err := openNewest(t.store.dir, t.journal.Meta().ID)
		if err != nil {
			return err
		}
		for _, d := range damage {
			if err := t.setAside(d); err != nil {
				return err
			}
		}
		err = t.loadOver(snap)
		if d := damageIn(err, snap); d != nil {
			if err := t.setAside(d); err != nil {
				return err
			}
			continue
		}
		return err
	}
}

func (t *transaction) loadOver(snap *state.Snapshot) error {
	t.base, t.state, t.newest, t.sealed = snap, state.New(), 0, ""
	var base journal.Seq
	var head journal.Hash
	if snap != nil {
		t.state, base, head = state.OverTrusting(snap), snap.Seq(), snap.Head()
	}
	t.state.Expect(min(int(t.journal.Acknowledged()-base), 2*snapshotEvents))
	err := t.journal.Load(base, head, func(ev *journal.Event) error {
		t.noteNewest(ev)
		t.view.ended(ev)
		return t.state.Apply(ev)
	})
	t.state.SetHead(t.journal.Head())
	return err
}

// setAside moves a damaged snapshot out of the way.
func (t *transaction) setAside(d *journal.CorruptionError) error {
	t.store.o.Warn(fmt.Sprintf("%v; using the snapshot before it", d))
	return t.journal.SetAside(d.File, d)
}

// decide runs a decision on the leases. If it meets damage in the snapshot, the one before
// is loaded and the decision made again.
func (t *transaction) decide(decision func() error) error {
	for {
		err := decision()
		d := damageIn(err, t.base)
		if d == nil {
			return err
		}
		if err := t.setAside(d); err != nil {
			return err
		}
		if err := t.load(); err != nil {
			return err
		}
	}
}

// damageIn returns the damage in err if it lies in the snapshot.
func damageIn(err error, snap *state.Snapshot) *journal.CorruptionError {
	var d *journal.CorruptionError
	if snap != nil && errors.As(err, &d) && d.File == snap.Path() {
		return d
	}
	return nil
}

// openNewest opens the newest snapshot of a store that can be opened, nil if there is none. It
// returns the damage of those that can't.
func openNewest(dir string, id journal.ID) (*state.Snapshot, []*journal.CorruptionError, error) {
	paths, err := snapshots(dir)
	if err != nil {
		return nil, nil, err
	}
	var damage []*journal.CorruptionError
	for _, path := range slices.Backward(paths) {
		snap, err := state.OpenSnapshot(path, id)
		var d *journal.CorruptionError
		switch {
		case err == nil:
			return snap, damage, nil
		case errors.Is(err, fs.ErrNotExist): // a link to nowhere: who unlinks snapshots holds the lock
			damage = append(damage, &journal.CorruptionError{File: path, Offset: -1, Cause: err})
		case errors.As(err, &d):
			damage = append(damage, d)
		default:
			return nil, nil, err
		}
	}
	return nil, damage, nil
}

// snapshots lists the store's snapshots, oldest first.
func snapshots(dir string) ([]string, error) {
	folder := filepath.Join(dir, "snap")
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries { // sorted by name, and the name begins with the sequence number
		if _, ok := snapshotSeq(e.Name()); ok && !e.IsDir() {
			paths = append(paths, filepath.Join(folder, e.Name()))
		}
	}
	return paths, nil
}

// snapshotSeq returns the event that the snapshot called name covers, or false for another name.
func snapshotSeq(name string) (journal.Seq, bool) {
	digits, ok := strings.CutSuffix(name, ".snap")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	var seq journal.Seq
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + journal.Seq(c-'0')
	}
	return seq, true
}

// append makes events durable and applies them, in as many batches as it takes: an add and its
// configuration always fit one.
func (t *transaction) append(events ...*journal.Event) error {
	for len(events) > 0 {
		n := batchLen(events)
		if err := t.appendBatch(events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// batchLen returns how many of the events fit one batch, at least one: Append says what is
// wrong with an event that is too large by itself.
func batchLen(events []*journal.Event) int {
	if len(events) == 1 {
		return 1
	}
	bytes := 0
	for i, ev := range events {
		n, err := journal.EventBytes(ev)
		if bytes += n; err != nil || bytes > journal.MaxBatch {
			return max(i, 1)
		}
	}
	return len(events)
}

func (t *transaction) appendBatch(events []*journal.Event) error {
	if err := t.journal.Append(events...); err != nil {
		return err
	}
	if err := t.apply(events); err != nil {
		return err
	}
	t.state.SetHead(t.journal.Head())
	t.view.show(t, events)
	t.store.upkeep = upkeep{state: t.state, meta: t.journal.Meta()}
	return nil
}

// apply makes appended events part of the state. They are durable, so damage that only this meets in the snapshot is
// no reason to fail: the one before it is loaded, and with it the events.
func (t *transaction) apply(events []*journal.Event) error {
	for _, ev := range events {
		err := t.state.Apply(ev)
		if d := damageIn(err, t.base); d != nil {
			if err := t.setAside(d); err != nil {
				return err
			}
			return t.load()
		}
		if err != nil {
			return err
		}
		t.noteNewest(ev)
	}
	return nil
}

// noteNewest remembers of the newest event what the next call may have to finish.
func (t *transaction) noteNewest(ev *journal.Event) {
	t.newest, t.sealed = ev.Kind, ""
	if ev.Kind != journal.KindImport {
		return
	}
	for _, a := range ev.Attributes {
		if a.Key == journal.AttributeSource {
			t.sealed = strings.Clone(a.Value)
		}
	}
}

// appendAdd appends an add, and before it in the same batch the ends of leases that it replaces and its configuration
// if the journal does not have it yet.
func (t *transaction) appendAdd(add *journal.Event, static [][]journal.Range, replaced []*journal.Event) error {
	var events []*journal.Event
	if len(static) > 0 {
		digest := digestOf(static)
		seq, ok := t.state.Config(digest)
		if !ok {
			seq = t.journal.Last() + 1
			events = append(events, &journal.Event{Kind: journal.KindConfig, Digest: digest, Ranges: static, Version: t.store.o.Version})
		}
		add.Config = seq
	}
	return t.append(append(append(events, replaced...), add)...)
}

// refuse records a refused ADD, unless the same was recorded just before.
func (t *transaction) refuse(r AddRequest, refusal *Refusal) error {
	ev := t.store.addEvent(r)
	ev.Kind, ev.Code, ev.Text, ev.Requested = journal.KindRefuse, refusal.Code(), refusal.Error(), r.IPs
	if seq, ok := t.state.Config(digestOf(toEvent(r.Sets[r.CallSets:]))); ok {
		ev.Config = seq
	}
	ev.Clock = journal.ReadClock()
	if t.state.RefusedLately(ev) {
		return nil
	}
	return t.append(ev)
}
