package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// disk is what the oracle has read of a store so far.
type disk struct {
	dir      string
	durable  map[string][]byte // what each segment held that was durable
	hashes   []journal.Hash    // of each record
	synced   journal.Seq       // of the newest event
	listing  []string          // of all folders, at the last full reading
	waited   int               // looks since then
	archived int               // segments seen in archive/
	newest   string            // the newest segment's path
}

// sight is what one look finds.
type sight struct {
	exists   bool
	events   []journal.Event // the new ones
	coverage journal.Coverage
	id       journal.ID
}

func newDisk(dir string) *disk { return &disk{dir: dir, durable: map[string][]byte{}} }

// last returns the newest event read so far.
func (d *disk) last() journal.Seq { return journal.Seq(len(d.hashes)) }

// look reads the store: all bytes, which must begin as they did before, and the new events.
func (d *disk) look() (sight, error) {
	r, err := journal.OpenReader(d.dir)
	if errors.Is(err, journal.ErrNoStore) {
		if d.last() > 0 {
			return sight{}, fmt.Errorf("the store with %d events is gone", d.last())
		}
		return sight{}, nil
	}
	if err != nil {
		return sight{}, err
	}
	files, err := d.segments()
	if err != nil {
		return sight{}, err
	}
	if err := d.unchanged(files); err != nil {
		return sight{}, err
	}
	s := sight{exists: true, coverage: r.Coverage(), id: r.Meta().ID}
	for rec, err := range r.Records(d.last()) {
		if err != nil {
			return s, err
		}
		if err := d.follow(&rec); err != nil {
			return s, err
		}
		name := filepath.Base(rec.File)
		d.durable[name] = files[name][:rec.Offset+int64(len(rec.Raw))]
		s.events = append(s.events, rec.Event)
	}
	if s.coverage.Durable != d.last() {
		return s, fmt.Errorf("%d events are said to be durable, %d are there", s.coverage.Durable, d.last())
	}
	return s, nil
}

// follow checks that a record continues the one before it.
func (d *disk) follow(rec *journal.Record) error {
	ev := &rec.Event
	var prev journal.Hash
	if n := d.last(); n > 0 {
		prev = d.hashes[n-1]
	}
	sameBatch := ev.Synced == d.synced && ev.Seq > 2
	if ev.Seq != d.last()+1 || ev.Prev != prev || ev.Synced != ev.Seq-1 && !sameBatch {
		return fmt.Errorf("%s, byte %d: event %d (synced %d) does not continue event %d (synced %d)",
			rec.File, rec.Offset, ev.Seq, ev.Synced, d.last(), d.synced)
	}
	d.hashes, d.synced = append(d.hashes, journal.RecordHash(rec.Raw)), ev.Synced
	return nil
}

// segments reads every segment. One that is in both folders must be the same in both.
func (d *disk) segments() (map[string][]byte, error) {
	files := map[string][]byte{}
	d.newest, d.archived = "", 0
	for _, folder := range []string{"archive", "journal"} {
		entries, err := os.ReadDir(filepath.Join(d.dir, folder))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(d.dir, folder, e.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			if twin, ok := files[e.Name()]; ok && !bytes.Equal(twin, b) {
				return nil, fmt.Errorf("%s differs between archive and journal", e.Name())
			}
			files[e.Name()] = b
			if folder == "archive" {
				d.archived++
			} else {
				d.newest = path
			}
		}
	}
	return files, nil
}

func (d *disk) unchanged(files map[string][]byte) error {
	for name, was := range d.durable {
		if b, ok := files[name]; !ok || !bytes.HasPrefix(b, was) {
			return fmt.Errorf("segment %s: its %d durable bytes are not there any more; it has %d bytes", name, len(was), len(b))
		}
	}
	return nil
}

// tail returns how long the durable part of the newest segment is.
func (d *disk) tail() int64 { return int64(len(d.durable[filepath.Base(d.newest)])) }

// The marker's bytes, by docs/FORMAT.md: where it says which event was acknowledged last.
const (
	markerBytes   = 137
	markerDurable = 22
)

// unacknowledged returns what follows the last acknowledged event in the newest segment: by the
// marker, and not by a reader, whose word this is to test.
func (d *disk) unacknowledged() (path string, rest []byte, err error) {
	meta, err := journal.ReadMeta(d.dir)
	if errors.Is(err, journal.ErrNoStore) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	marker, err := os.ReadFile(filepath.Join(d.dir, "lock"))
	if err != nil || len(marker) != markerBytes {
		return "", nil, fmt.Errorf("marker of %d bytes: %w", len(marker), err)
	}
	durable := journal.Seq(binary.BigEndian.Uint64(marker[markerDurable:]))
	files, err := d.segments()
	if err != nil {
		return "", nil, err
	}
	name := filepath.Base(d.newest)
	good := len(d.durable[name])
	for rec, err := range journal.ScanFile(d.newest, meta.ID) {
		if err != nil || rec.Event.Seq > durable {
			break // torn bytes are what this is after
		}
		good = max(good, int(rec.Offset)+len(rec.Raw))
	}
	return d.newest, files[name][good:], nil
}

// eventsPerLook is the number of events for which a full reading is worth one more look to wait.
const eventsPerLook = 1500

// due reports whether a full reading should follow: where files have moved, and the more seldom
// the more there is to read.
func (d *disk) due() (bool, error) {
	var listing []string
	for _, folder := range []string{"journal", "archive", "snap"} {
		entries, err := os.ReadDir(filepath.Join(d.dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		for _, e := range entries {
			listing = append(listing, folder+"/"+e.Name())
		}
	}
	d.waited++
	if d.waited <= len(d.hashes)/eventsPerLook && slices.Equal(listing, d.listing) {
		return false, nil
	}
	d.listing, d.waited = listing, 0
	return true, nil
}

// readAll reads all events from the first one on. They must be those that were read one by
// one; folded anew, by plain maps and by package state, alone and over the newest snapshot, they
// must come to what the model says.
func (d *disk) readAll(m *model) error {
	r, err := journal.OpenReader(d.dir)
	if err != nil {
		return err
	}
	again, whole := newModel(), state.New()
	var seq journal.Seq
	var prev journal.Hash
	for rec, err := range r.Records(0) {
		if err != nil {
			return err
		}
		seq++
		hash := journal.RecordHash(rec.Raw)
		if rec.Event.Seq != seq || rec.Event.Prev != prev || seq > d.last() || hash != d.hashes[seq-1] {
			return fmt.Errorf("%s, byte %d: event %d is not the one that was read before", rec.File, rec.Offset, rec.Event.Seq)
		}
		prev = hash
		if err := errors.Join(again.apply(&rec.Event), whole.Apply(&rec.Event)); err != nil {
			return err
		}
	}
	if seq != d.last() {
		return fmt.Errorf("all events are %d, but %d were read one by one", seq, d.last())
	}
	if err := m.equal(again); err != nil {
		return fmt.Errorf("all events folded by maps: %w", err)
	}
	if err := m.sameState(whole); err != nil {
		return fmt.Errorf("all events folded: %w", err)
	}
	return d.readSnapshots(r, m)
}

// readSnapshots checks every snapshot against the journal, and the newest one with what follows.
func (d *disk) readSnapshots(r *journal.Reader, m *model) error {
	entries, err := os.ReadDir(filepath.Join(d.dir, "snap"))
	if err != nil {
		return err
	}
	var over *state.State
	for _, e := range entries { // sorted, oldest first
		if !strings.HasSuffix(e.Name(), ".snap") {
			continue
		}
		snap, err := state.OpenSnapshot(filepath.Join(d.dir, "snap", e.Name()), r.Meta().ID)
		if err != nil {
			return err
		}
		defer snap.Close()
		if snap.Seq() > d.last() || snap.Seq() == 0 || snap.Head() != d.hashes[snap.Seq()-1] {
			return fmt.Errorf("snapshot %s is not of this journal of %d events", e.Name(), d.last())
		}
		over = state.Over(snap)
	}
	if over == nil {
		return nil
	}
	for rec, err := range r.Records(over.Seq()) {
		if err != nil {
			return err
		}
		if err := over.Apply(&rec.Event); err != nil {
			return err
		}
	}
	if err := m.sameState(over); err != nil {
		return fmt.Errorf("newest snapshot and the events after it: %w", err)
	}
	return nil
}

// base returns what the newest snapshot covers, by its name.
func (d *disk) base() (journal.Seq, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, "snap"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var newest journal.Seq
	for _, e := range entries {
		var seq journal.Seq
		if _, err := fmt.Sscanf(e.Name(), "%d.snap", &seq); err == nil {
			newest = max(newest, seq)
		}
	}
	return newest, nil
}
