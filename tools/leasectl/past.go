package main

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/report"
	"github.com/leaselog/leaselog/state"
)

// era is the time in which one store tells what its network did: a store itself, or one that it has succeeded.
type era struct {
	*store
	h     *replay.History
	parts []*replay.History // for each time that is asked about, where not all was read: h is one of them
	until handover          // zero if it has no successor
}

// handover is where one store's word ends and its successor's begins.
type handover struct {
	time.Time             // when the successor begins
	backup    time.Time   // when the backup was made that the successor was restored from; zero if it was not
	told      time.Time   // up to when the store tells all, if there was a backup; zero if to its last event
	last      journal.Seq // the newest event of the store that the successor knew of
	short     bool        // the store has not got that event any more
}

// of returns what is so of a store as it is left. One that has no successor stays without.
func (h handover) of(s *store) handover {
	h.short = s.reader != nil && s.reader.Coverage().Durable < h.last
	return h
}

// gap reports whether nothing tells what happened between the store's last word and the successor's first.
func (h handover) gap() bool { return h.short || !h.backup.IsZero() }

// covered is the time up to which a store tells all that has a successor; zero for its last event. What a backup was made
// of went on until something happened to it, and nothing tells of that.
func (h handover) covered() time.Time {
	switch {
	case h.short:
		return time.Time{}
	case !h.backup.IsZero():
		return h.told
	}
	return h.Time
}

// ending says what is missing at the end of a store that has a successor, "" for nothing.
func (h handover) ending(s *store) string {
	if !h.short {
		return ""
	}
	return fmt.Sprintf("%s: journal %s went on to event %d at least, as its successor says: what came after event %d is lost",
		s.title(), s.idText(), h.last, s.reader.Coverage().Durable)
}

// stillHeld is said of a lease that a store knows no end of, and that its successor begins with.
func (h handover) stillHeld() string {
	switch {
	case h.short:
		return "it was still held at the last event that is left of its journal, which another one has succeeded: when it ended since is unknown"
	case !h.backup.IsZero():
		return "it was still held when the backup was made that another journal was restored from: when it ended since is unknown"
	}
	return "it was still held when another journal succeeded this one, which tells the rest"
}

// handedOver reads what the successor's first event says of the store before.
func (s *store) handedOver(begins time.Time) (handover, error) {
	h := handover{Time: begins}
	past, err := s.past()
	if err != nil {
		return h, err
	}
	genesis, err := past.Genesis()
	if unreadable(err) || errors.Is(err, fs.ErrNotExist) {
		return h, nil // whose parent is a guess, then, too
	}
	h.last = genesis.Origin.ParentSeq
	for _, at := range genesis.Attributes {
		switch t, timeErr := time.Parse(time.RFC3339Nano, at.Value); {
		case timeErr != nil:
		case at.Key == journal.AttributeBackup:
			h.backup = t
		case at.Key == journal.AttributeCovered:
			h.told = t
		}
	}
	if h.told.After(begins) { // a clock was wrong, and what came after the parent's last event is no more known for that
		h.told = time.Time{}
	}
	return h, err
}

// reading says what is to be read of a store.
type reading struct {
	addrs []netip.Addr                       // nil for all that is kept
	find  func(*store) ([]netip.Addr, error) // looks for the addresses
	keep  func(*state.Lease) bool
	asked []replay.Asked // nil if no question bounds what is kept
	free  bool           // what addresses were that nobody held is asked, too
	// events, unless nil, gets the events that each history was read from.
	events map[*replay.History]*report.Events
}

// pieces folds pieces of a store's journal, and keeps their events where these are of interest.
func (r *reading) pieces(s *store, pieces iter.Seq2[journal.Piece, error], o replay.Options) (*replay.History, error) {
	if r.events == nil {
		return replay.ReadPieces(pieces, o)
	}
	h, events, err := report.Read(along(s.bar, "reading "+s.title(), uint64(s.reader.Coverage().Durable), pieces), o)
	if err == nil {
		r.events[h] = events
	}
	return h, err
}

// eras reads the store, and those that it has succeeded as long as the question reaches before what was read. What can't be
// read leaves unknown what it would tell: the answer says so.
func (s *store) eras(ans *answer, r reading, from time.Time) ([]era, error) {
	var all []era
	var until handover
	for i := -1; i < len(s.parents); i++ {
		e := era{store: s, until: until}
		if i >= 0 {
			e.store = s.parents[i]
			if err := e.store.ask(); err != nil {
				ans.doubt(replay.Unknown, "%s: %v", s.title(), err)
				return all, nil
			}
		}
		if e.broken != nil {
			ans.take(e.store, replay.Point{}, replay.Point{})
			return append(all, e), nil
		}
		e.until = e.until.of(e.store)
		var err error
		if e.h, e.parts, err = e.readFor(r, e.until); err != nil {
			return nil, err
		}
		if !e.h.Whole() {
			if err := e.askSpares(ans, r, from); err != nil {
				return nil, err
			}
		}
		if text := e.until.ending(e.store); text != "" {
			ans.doubt(replay.Certain, "%s", text)
		}
		ans.take(e.store, e.h.First, e.h.Last)
		all = append(all, e)
		begins := e.h.First.Effective
		if e.h.First.Seq == 0 || !from.IsZero() && !from.Before(begins) {
			break
		}
		if until, err = e.handedOver(begins); err != nil {
			return nil, err
		}
		if !until.backup.IsZero() && i+1 < len(s.parents) {
			ans.doubt(replay.Certain, "%s: journal %s was restored at %s from a backup of %s: what happened in between is unknown",
				s.title(), e.idText(), stamp(begins), stamp(until.backup))
		}
	}
	return all, nil
}

// askSpares asks copies of a journal of which events are lost, if one of them has all of it. Of events that were pruned it takes
// a copy that has them, though the copy may end soon after: the store tells the rest.
func (e *era) askSpares(ans *answer, r reading, from time.Time) error {
	for _, spare := range e.spares {
		if spare.reader == nil {
			continue
		}
		shorter := spare.reader.Coverage().Durable < e.reader.Coverage().Durable
		if shorter && e.h.Pruned() != "" {
			if !e.h.MeansPruned(from) {
				continue
			}
			if done, err := e.splice(ans, spare, r); err != nil || done {
				return err
			}
			continue
		}
		if shorter {
			ans.doubt(replay.Certain, "%s: events are %s in %s; the copy in %s ends earlier and was not asked", e.title(), e.missing(), e.dir, spare.dir)
			continue
		}
		h, parts, err := spare.readFor(r, e.until)
		if err != nil {
			return err
		}
		if h.Whole() {
			ans.doubt(replay.Certain, "%s: events are %s in %s: the copy in %s was asked, which has them", e.title(), e.missing(), e.dir, spare.dir)
			e.h, e.parts = h, parts
			return nil
		}
	}
	return nil
}

// missing says why the era's store does not have all events.
func (e *era) missing() string {
	if e.h.Pruned() != "" {
		return "pruned"
	}
	return "lost"
}

// told is the time up to which a store that another has succeeded tells all.
func (e *era) told() time.Time {
	if t := e.until.covered(); !t.IsZero() {
		return t
	}
	return e.h.Last.Effective
}

// covered is the time up to which the era's store tells all.
func (e *era) covered(now time.Time) time.Time {
	if !e.until.IsZero() {
		return e.until.covered()
	}
	return e.store.covered(now)
}

// read reads what is asked of one store, if that is not bounded by times.
func (s *store) read(r reading, until handover) (*replay.History, error) {
	h, _, err := s.readFor(r, until)
	return h, err
}

// readFor reads what is asked of one store. Where events are lost it goes on behind them.
func (s *store) readFor(r reading, until handover) (*replay.History, []*replay.History, error) {
	past, err := s.past()
	if err != nil {
		return nil, nil, err
	}
	o := replay.Options{Keep: r.keep, Wiped: s.wiped, Unheld: r.free}
	if r.find != nil {
		r.addrs, err = r.find(s)
		if err != nil && !unreadable(err) {
			return nil, nil, err
		}
		if err == nil && r.addrs == nil {
			r.addrs = []netip.Addr{}
		}
	}
	if r.addrs != nil {
		wanted := make(map[netip.Addr]bool, len(r.addrs))
		for _, ip := range r.addrs {
			wanted[ip] = true
		}
		h, err := s.readAbout(past, r.addrs)
		if err != nil || h.Stopped == nil {
			return h, nil, err
		}
		o.Keep = func(l *state.Lease) bool { return wanted[l.IP] } // what is damaged is read in whole: all of it judges what is behind
	}
	whole := false
	if r.asked != nil {
		o.Asked = slices.Clone(r.asked)
		for i := range o.Asked {
			if !until.IsZero() {
				o.Asked[i].Covered = until.covered() // a successor tells the rest
			}
		}
		if o.Clocks, whole, err = s.clocks(past, r.free); err != nil {
			return nil, nil, err
		}
		if whole { // else the answer has to name what is wrong
			if parts, err := readParts(past, o); err != nil || len(parts) > 0 {
				return first(parts), parts, err
			}
		}
	}
	snapshots, err := s.snapshots(past)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		for _, snap := range snapshots {
			snap.Close()
		}
	}()
	o.Snapshots = snapshots
	h, err := r.pieces(s, past.Pieces(0), o)
	if err == nil && whole && h.Lossy() { // what tells the clocks of packed events does not meet damage in them
		if o.Clocks, err = clocksAround(past); err != nil {
			return nil, nil, err
		}
		h, err = r.pieces(s, past.Pieces(0), o)
	}
	if err == nil && h.Stopped != nil && o.Clocks != nil {
		o.Clocks, o.Asked = nil, nil // they tell of events that could not be taken in
		h, err = r.pieces(s, past.Pieces(0), o)
	}
	return h, nil, err
}

// readAbout reads what the store tells of some addresses. One command may ask more than once about one of them, or about none: segments are
// read to their end each time.
func (s *store) readAbout(past *archive.Reader, addrs []netip.Addr) (*replay.History, error) {
	o := replay.Options{Wiped: s.wiped}
	if len(addrs) > 1 {
		return replay.ReadAbout(past, addrs, o)
	}
	var ip netip.Addr
	if len(addrs) == 1 {
		ip = addrs[0]
	}
	if h := s.about[ip]; h != nil {
		return h, nil
	}
	h, err := replay.ReadAbout(past, addrs, o)
	if err != nil {
		return nil, err
	}
	if s.about == nil {
		s.about = make(map[netip.Addr]*replay.History)
	}
	s.about[ip] = h
	return h, nil
}

// clocks returns what the clocks of all events showed, and whether all can be read. Whoever asks what addresses were that nobody held reads
// about none of them, too.
func (s *store) clocks(past *archive.Reader, free bool) (c *replay.Clocks, whole bool, err error) {
	if free {
		h, err := s.readAbout(past, []netip.Addr{})
		if err != nil {
			return nil, false, err
		}
		if h.Stopped == nil {
			return &h.Clocks, true, nil
		}
	}
	if c, err = replay.ClocksOf(past); unreadable(err) {
		c, err = clocksAround(past)
		return c, false, err
	}
	return c, true, err
}

// clocksAround returns the clocks of the events that can be read where others are lost, so that what is not asked about need not
// be kept.
func clocksAround(past *archive.Reader) (*replay.Clocks, error) {
	c, lost, begun := &replay.Clocks{}, false, false
	for p, err := range past.Pieces(0) {
		switch {
		case unreadable(err):
			return c, nil // the reading ends there, too
		case err != nil:
			return nil, err
		case p.Loss != nil && p.Loss.Pruned() != nil:
			c.Pruned(p.Loss.Pruned().Earlier)
			begun = true
			continue
		case p.Loss != nil:
			lost = lost || p.Loss.Open || p.Loss.Last >= p.Loss.First
			continue
		}
		if !p.Event.Understood() {
			return c, nil
		}
		if lost || !begun && p.Event.Seq > 1 {
			c.Lost()
		}
		lost, begun = false, true
		c.Add(&p.Event)
	}
	return c, nil
}

// readParts reads what is needed for each time that is asked about; nil if that must be all for one of them.
func readParts(past *archive.Reader, o replay.Options) ([]*replay.History, error) {
	parts := make([]*replay.History, len(o.Asked))
	for i, q := range o.Asked {
		part := o
		part.Asked = []replay.Asked{q}
		h, err := replay.ReadPart(past, part)
		if err != nil || h == nil {
			return nil, err
		}
		parts[i] = h
	}
	return parts, nil
}

func first(parts []*replay.History) *replay.History {
	if len(parts) == 0 {
		return nil
	}
	return parts[0]
}

// snapshots opens the store's snapshots, for what is held where events are lost, and the keyframe behind those that were pruned.
// What is wrong with them is verify's to say.
func (s *store) snapshots(past *archive.Reader) ([]replay.Snapshot, error) {
	var all []replay.Snapshot
	k, err := past.Boundary()
	if err != nil {
		return nil, err
	}
	for _, err := range k.Skipped {
		s.doubts = append(s.doubts, fmt.Sprintf("a keyframe is of no use: %v", err))
	}
	if k.Snapshot != nil {
		all = append(all, replay.Snapshot{Snapshot: k.Snapshot, File: k.File})
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "snap"))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		file := filepath.Join("snap", e.Name())
		if !strings.HasSuffix(file, snapshotSuffix) {
			continue
		}
		snap, err := state.OpenSnapshot(filepath.Join(s.dir, file), s.meta.ID)
		switch {
		case err == nil:
			all = append(all, replay.Snapshot{Snapshot: snap, File: file})
		case isDamage(err), errors.Is(err, journal.ErrNewer), errors.Is(err, fs.ErrNotExist):
			s.doubts = append(s.doubts, fmt.Sprintf("a snapshot is of no use: %v", err))
		default:
			for _, opened := range all {
				opened.Close()
			}
			return nil, err
		}
	}
	return all, nil
}
