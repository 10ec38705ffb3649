package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// The parts of a store.
const (
	partJournal    = "journal"    // segments in journal/
	partLoose      = "loose"      // segments in archive/
	partPacked     = "packed"     // one packed file
	partSnapshot   = "snapshot"   // one snapshot
	partQuarantine = "quarantine" // what repairs set aside
	partSucceeded  = "succeeded"  // a store that this one has succeeded
	partOther      = "other"      // META, locks, what is kept back for a full disk
	partPruned     = "pruned"     // events that are gone by a prune
	partHold       = "hold"       // what keeps events from being pruned
)

// partItem is a part of a store: files of one kind, or one file.
type partItem struct {
	Schema     string   `json:"schema"`
	Network    string   `json:"network"`
	Node       string   `json:"node"`
	StoreID    string   `json:"store_id"`
	Dir        string   `json:"dir"`
	Part       string   `json:"part"`
	Name       string   `json:"name"` // below the store's folder; of a prune or hold the event that says so
	Files      int      `json:"files"`
	Bytes      int64    `json:"bytes"`
	DiskBytes  int64    `json:"disk_bytes"` // that the file system has given to them
	FirstSeq   uint64   `json:"first_seq"`
	LastSeq    uint64   `json:"last_seq"`
	FirstTime  string   `json:"first_time"` // as recorded; of a hold what it covers
	LastTime   string   `json:"last_time"`
	Keyframes  []uint64 `json:"keyframes"` // of a packed file: the states in it, by the last event that each covers
	Unreadable string   `json:"unreadable,omitempty"`
	origin
}

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect",
		Short: "What a store consists of: files, bytes, ranges, keyframes, what compact would do",
		Long: `Lists the parts of each store: the segments in journal/ and those in archive/ that are not packed, each
packed file and snapshot, quarantine/, stores that this one has succeeded, what was pruned and what holds keep from
that; with bytes, as files and on the disk, and the events and times that they cover. Then what compact would do.

Of events it reads the first and the last of each part; leasectl verify reads all. It takes no lock
and changes nothing.

Exit codes: 0 told; 3 something can't be read; 4 error.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.inspect() },
	}
}

func (a *app) inspect() error {
	a.copies = true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("inspect", leasesAsked{a.scope(), stamp(a.now)})
	var items []partItem
	for _, s := range stores {
		parts, err := s.parts()
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		}
		items = append(items, parts...)
		if s.broken != nil {
			a.say("%s: %v", s.title(), s.broken)
			a.code = exitUnknown
		}
		for _, p := range parts {
			if p.Unreadable != "" {
				a.say("%s: %s", s.title(), p.Unreadable)
				a.code = exitUnknown
			}
		}
		a.sayParts(s, parts)
		if it, ok := a.wouldCompact(s); ok {
			ans.Would = append(ans.Would, it)
		}
	}
	return show(a, ans, each(items), layout[partItem]{"parts", partTable, partCSV})
}

// sayParts sums up.
func (a *app) sayParts(s *store, parts []partItem) {
	var bytes, packed int64
	var events uint64
	for _, p := range parts {
		bytes += p.Bytes
		if p.Part == partPacked && p.LastSeq > 0 {
			packed += p.Bytes
			events += p.LastSeq + 1 - p.FirstSeq
		}
	}
	text := bytesText(bytes)
	if events > 0 {
		text += fmt.Sprintf("; %d packed events take %.1f bytes each", events, float64(packed)/float64(events))
	}
	a.say("%s: %s", s.title(), text)
}

// wouldCompact says what a compaction would do, if the store is one that is compacted.
func (a *app) wouldCompact(s *store) (compactionItem, bool) {
	if s.broken != nil || s.bare || s.inArchive() {
		return compactionItem{}, false
	}
	o, err := s.options()
	if err != nil {
		a.say("%s: compact would not touch it: %v", s.title(), err)
		return compactionItem{}, false
	}
	rep, err := compaction.Plan(compaction.Job{Store: o})
	if err != nil {
		a.say("%s: compact would stop: %v", s.title(), err)
		return compactionItem{}, false
	}
	it := s.compaction(rep, true)
	if !it.Needed {
		a.say("%s: compact has nothing to do", s.title())
	} else {
		a.say("%s: compact would archive %s, pack %s into %s and remove %s: from %s to about %s", s.title(), count(it.Archived, "segment"),
			count(int(it.events()), "event"), count(len(it.Packed), "file"), count(it.Removed+len(it.Merged), "file"), bytesText(it.Before.total()), bytesText(it.After.total()))
	}
	return it, true
}

// parts lists what the store consists of.
func (s *store) parts() ([]partItem, error) {
	folder := func(name string) string { return filepath.Join(s.dir, name) }
	if s.reader != nil && s.reader.ArchiveDir() == s.dir { // an archive's own folder
		return s.archived(s.dir, "")
	}
	var parts []partItem
	live, err := s.segments(folder("journal"), partJournal, "journal")
	all := []error{err}
	if live.Files > 0 {
		parts = append(parts, live)
	}
	archived, err := s.archived(folder("archive"), "archive")
	parts, all = append(parts, archived...), append(all, err)
	snapshots, err := s.snapshotParts(folder("snap"))
	parts, all = append(parts, snapshots...), append(all, err)
	aside := s.part(partQuarantine, "quarantine")
	all = append(all, aside.weigh(folder("quarantine")))
	if aside.Files > 0 {
		parts = append(parts, aside)
	}
	other, err := s.other()
	all = append(all, err)
	parts = append(parts, other)
	marks, err := s.retained()
	return append(parts, marks...), errors.Join(append(all, err)...)
}

func (s *store) part(part, name string) partItem {
	return partItem{Schema: "leaselog.part/1", Network: s.network, Node: s.meta.Node, StoreID: s.idText(), Dir: s.dir,
		Part: part, Name: name, Keyframes: []uint64{}, origin: s.origin}
}

// add counts a file.
func (p *partItem) add(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it moved, or went: compaction and upkeep may be at work
	}
	if err != nil {
		return err
	}
	p.Files++
	p.Bytes += st.Size()
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		p.DiskBytes += sys.Blocks * 512
	}
	return nil
}

// weigh counts what is below a folder.
func (p *partItem) weigh(folder string) error {
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			return p.add(path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// segments is the part that the segments of a folder are.
func (s *store) segments(folder, part, name string) (partItem, error) {
	p := s.part(part, name)
	names, err := namesOf(folder, journal.IsSegmentName)
	if err != nil || len(names) == 0 {
		return p, err
	}
	for _, name := range names {
		if err := p.add(filepath.Join(folder, name)); err != nil {
			return p, err
		}
	}
	if s.meta.ID == (journal.ID{}) {
		return p, nil
	}
	for rec, err := range journal.ScanFile(filepath.Join(folder, names[0]), s.meta.ID) {
		p.meet(&rec, err)
		break
	}
	for _, name := range slices.Backward(names) { // the newest may have no event yet
		for rec, err := range journal.ScanFile(filepath.Join(folder, name), s.meta.ID) {
			p.meet(&rec, err)
		}
		if p.LastSeq > p.FirstSeq {
			break
		}
	}
	return p, nil
}

// meet takes in a record, in no order.
func (p *partItem) meet(rec *journal.Record, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		p.Unreadable = err.Error()
		return
	}
	seq, at := uint64(rec.Event.Seq), stamp(rec.Event.Time())
	if p.FirstSeq == 0 || seq < p.FirstSeq {
		p.FirstSeq, p.FirstTime = seq, at
	}
	if seq >= p.LastSeq {
		p.LastSeq, p.LastTime = seq, at
	}
}

// namesOf lists the files of a folder that are named in some way.
func namesOf(folder string, is func(string) bool) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if is(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// archived lists the parts of an archive: its segments, each packed file, each store that was succeeded, and unfinished files.
func (s *store) archived(folder, name string) ([]partItem, error) {
	var parts []partItem
	loose, err := s.segments(folder, partLoose, name)
	if loose.Files > 0 {
		parts = append(parts, loose)
	}
	all := []error{err}
	names, err := namesOf(folder, archive.IsName)
	all = append(all, err)
	for _, file := range names {
		p, err := s.packedPart(filepath.Join(folder, file), filepath.Join(name, file))
		parts, all = append(parts, p), append(all, err)
	}
	others, err := namesOf(folder, func(name string) bool { return !archive.IsName(name) && !journal.IsSegmentName(name) })
	all = append(all, err)
	for _, other := range others {
		p := s.part(partOther, filepath.Join(name, other))
		if _, err := journal.ParseID(other); err == nil {
			p.Part = partSucceeded
		}
		all = append(all, p.weigh(filepath.Join(folder, other)))
		parts = append(parts, p)
	}
	return parts, errors.Join(all...)
}

// packedPart is what a packed file says of itself.
func (s *store) packedPart(path, name string) (partItem, error) {
	p := s.part(partPacked, name)
	if err := p.add(path); err != nil {
		return p, err
	}
	r, err := archive.OpenFile(path, s.meta.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		p.Unreadable = err.Error()
		return p, nil
	}
	h := r.Heads()[0]
	p.FirstSeq, p.LastSeq, p.Keyframes = uint64(h.First), uint64(h.Last), seqNumbers(h.Keyframes)
	p.FirstTime, p.LastTime = stamp(h.FirstClock.Time()), stamp(h.LastClock.Time())
	return p, r.Close()
}

// snapshotParts lists the snapshots.
func (s *store) snapshotParts(folder string) ([]partItem, error) {
	names, err := namesOf(folder, func(name string) bool { return strings.HasSuffix(name, snapshotSuffix) })
	all := []error{err}
	var parts []partItem
	for _, name := range names {
		p, path := s.part(partSnapshot, filepath.Join("snap", name)), filepath.Join(folder, name)
		all = append(all, p.add(path))
		snap, err := state.OpenSnapshot(path, s.meta.ID)
		switch {
		case err == nil:
			at := state.Over(snap).LastClock().Time()
			p.LastSeq, p.LastTime = uint64(snap.Seq()), stamp(at)
			all = append(all, snap.Close())
		case !errors.Is(err, fs.ErrNotExist):
			p.Unreadable = err.Error()
		}
		parts = append(parts, p)
	}
	return parts, errors.Join(all...)
}

// other counts the files beside the folders.
func (s *store) other() (partItem, error) {
	p := s.part(partOther, "")
	entries, err := os.ReadDir(s.dir)
	all := []error{err}
	for _, e := range entries {
		if !e.IsDir() {
			all = append(all, p.add(filepath.Join(s.dir, e.Name())))
		}
	}
	return p, errors.Join(all...)
}

// retained lists what was pruned, and the holds that have not ended.
func (s *store) retained() (parts []partItem, err error) {
	if s.broken != nil {
		return nil, nil
	}
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	ended := map[string]bool{}
	take := func(ev *journal.Event) {
		if p, ok := s.retainedPart(ev); ok {
			parts = append(parts, p)
		}
		if h, ok := ev.Hold(); ok && ev.Kind == journal.KindUnhold && h.Journal == (journal.ID{}) {
			ended[eventName(h.Of)] = true
		}
	}
	for piece, err := range past.Sparse(nil, 0) {
		if err == nil && piece.Loss == nil {
			take(&piece.Event)
			continue
		}
		if err == nil {
			if gone := piece.Loss.Pruned(); gone != nil {
				for ev := range gone.Earlier.All() {
					take(ev)
				}
				continue
			}
			err = piece.Loss.Error(s.dir)
		}
		p := s.part(partOther, "archive")
		p.Unreadable = err.Error()
		parts = append(parts, p)
		break
	}
	return slices.DeleteFunc(parts, func(p partItem) bool { return p.Part == partHold && ended[p.Name] }), nil
}

func eventName(seq journal.Seq) string { return fmt.Sprintf("event %d", seq) }

// retainedPart is what a prune or a hold says; false for other events.
func (s *store) retainedPart(ev *journal.Event) (p partItem, ok bool) {
	switch ev.Kind {
	case journal.KindPrune:
		gone, ok := ev.Pruned()
		p = s.part(partPruned, eventName(ev.Seq))
		p.FirstSeq, p.LastSeq = uint64(gone.First), uint64(gone.Last)
		p.FirstTime, p.LastTime = wallText(gone.FirstWall), wallText(gone.LastWall)
		return p, ok
	case journal.KindHold:
		h, ok := ev.Hold()
		p = s.part(partHold, eventName(ev.Seq))
		p.FirstTime, p.LastTime = wallText(h.Since), wallText(h.Until)
		return p, ok
	}
	return p, false
}

// wallText is a time of the wall clock, "" for none.
func wallText(ns int64) string {
	if ns == 0 {
		return ""
	}
	return stamp(time.Unix(0, ns))
}

// events is how many events the part holds, 0 if that is not said.
func (p *partItem) events() uint64 {
	if p.FirstSeq == 0 || p.LastSeq < p.FirstSeq {
		return 0
	}
	return p.LastSeq + 1 - p.FirstSeq
}

// perEvent is how many bytes an event takes.
func (p *partItem) perEvent() string {
	if n := p.events(); n > 0 && p.Files > 0 {
		return fmt.Sprintf("%.1f", float64(p.Bytes)/float64(n))
	}
	return ""
}

var partTable = []column[partItem]{
	{"network", func(p *partItem) string { return p.Network }},
	{"part", func(p *partItem) string { return p.Part }},
	{"files", func(p *partItem) string { return number(uint64(p.Files)) }},
	{"bytes", func(p *partItem) string { return strconv.FormatInt(p.Bytes, 10) }},
	{"on disk", func(p *partItem) string { return strconv.FormatInt(p.DiskBytes, 10) }},
	{"first", func(p *partItem) string { return number(p.FirstSeq) }},
	{"last", func(p *partItem) string { return number(p.LastSeq) }},
	{"from", func(p *partItem) string { return p.FirstTime }},
	{"to", func(p *partItem) string { return p.LastTime }},
	{"B/event", (*partItem).perEvent},
	{"keyframes", func(p *partItem) string { return number(uint64(len(p.Keyframes))) }},
	{"name", func(p *partItem) string { return p.Name }},
}

// partCSV are the columns of a part; their order is fixed, new ones come last.
var partCSV = []column[partItem]{
	{"network", func(p *partItem) string { return p.Network }},
	{"node", func(p *partItem) string { return p.Node }},
	{"store_id", func(p *partItem) string { return p.StoreID }},
	{"dir", func(p *partItem) string { return p.Dir }},
	{"part", func(p *partItem) string { return p.Part }},
	{"name", func(p *partItem) string { return p.Name }},
	{"files", func(p *partItem) string { return strconv.Itoa(p.Files) }},
	{"bytes", func(p *partItem) string { return strconv.FormatInt(p.Bytes, 10) }},
	{"disk_bytes", func(p *partItem) string { return strconv.FormatInt(p.DiskBytes, 10) }},
	{"first_seq", func(p *partItem) string { return number(p.FirstSeq) }},
	{"last_seq", func(p *partItem) string { return number(p.LastSeq) }},
	{"first_time", func(p *partItem) string { return p.FirstTime }},
	{"last_time", func(p *partItem) string { return p.LastTime }},
	{"keyframes", func(p *partItem) string {
		var all []string
		for _, seq := range p.Keyframes {
			all = append(all, strconv.FormatUint(seq, 10))
		}
		return strings.Join(all, " ")
	}},
	{"unreadable", func(p *partItem) string { return p.Unreadable }},
}
