package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// census is what one look at a store counts. What the look could not find out is nil, never zero.
type census struct {
	store  *store
	damage []string // what the look met, in words

	counts *replay.Counts // of the whole journal
	st     *state.State   // leases as of the newest durable event
	free   []*big.Int     // by range set

	capacity []*big.Int // by range set, whoever holds what

	held, stale, blocked int // of st

	journalBytes  int64 // segments, in use and archived, and what the archive keeps of stores before this one
	snapshots     int
	setAside      int // files in quarantine
	setAsideBytes int64
	unlisted      error // why the files above could not all be counted
	lastAdd       journal.Seq

	question func(*state.State) error // asked of the leases instead of counting them; again after damage in a snapshot
}

// maxCensusLooks bounds how often a store in use is looked at again: what a look meets there may be a store that
// was deleted, repaired or made anew under it.
const maxCensusLooks = 3

// census counts the store. It goes on from before, counts of an earlier run; see [replay.Count].
func (s *store) census(before replay.Counts) (*census, error) {
	var c *census
	for range maxCensusLooks {
		c = &census{store: s}
		if err := c.look(before); err != nil {
			return nil, err
		}
		if len(c.damage) == 0 || s.broken == nil && !s.reader.Coverage().Live {
			break
		}
		again := &store{dir: s.dir, network: s.network, folder: s.folder, byClaim: s.byClaim, foundIn: s.foundIn, origin: s.origin}
		if err := again.open(); err != nil {
			return nil, err
		}
		defer again.close()
		s = again
	}
	return c, nil
}

// known reports whether it is known what the network holds.
func (c *census) known() bool { return c.st != nil }

// met takes in damage and returns any other error.
func (c *census) met(err error) error {
	var damage *journal.CorruptionError
	if err == nil || !errors.As(err, &damage) && !errors.Is(err, journal.ErrNewer) {
		return err
	}
	if text := err.Error(); !slices.Contains(c.damage, text) {
		c.damage = append(c.damage, text)
	}
	return nil
}

func (c *census) look(before replay.Counts) error {
	s := c.store
	c.files()
	if s.broken != nil {
		return c.met(s.broken)
	}
	if s.claimDamage != nil {
		c.damage = append(c.damage, s.claimDamage.Error())
	}
	if !s.bare && !journal.HasLock(s.dir) {
		c.damage = append(c.damage, fmt.Sprintf("%s: missing, or not a file", filepath.Join(s.dir, "lock")))
	}
	counts, err := replay.Count(s, before)
	if err == nil {
		c.counts, c.lastAdd = &counts, counts.LastAdd
	} else if err := c.met(err); err != nil {
		return err
	}
	if err := c.stand(); err != nil {
		return err
	}
	if s.reader.Coverage().Live {
		if err := c.met(s.reader.CheckTail()); err != nil {
			return err
		}
	}
	if c.counts == nil || c.st == nil || c.counts.Held == uint64(c.st.Len()) {
		return nil
	}
	c.damage = append(c.damage, fmt.Sprintf("%s: events lead to %d leases, but the newest snapshot and the events after it to %d",
		s.dir, c.counts.Held, c.st.Len()))
	c.counts, c.st = nil, nil
	return nil
}

// stand finds out what is held as the plugin does: from the newest snapshot that can be read, and the events after it.
func (c *census) stand() error {
	for _, path := range c.snapshotPaths() {
		snap, err := state.OpenSnapshot(path, c.store.meta.ID)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since it was listed: a newer one is there, or what follows in the journal
		}
		if err == nil {
			err = c.standOn(snap)
			err = errors.Join(err, snap.Close())
		}
		var damage *journal.CorruptionError
		if err == nil || errors.As(err, &damage) && damage.File != path {
			return c.met(err)
		}
		if err := c.met(err); err != nil {
			return err
		}
	}
	return c.met(c.standOn(nil))
}

// snapshotPaths lists the snapshots that the reader's events may follow, newest first.
func (c *census) snapshotPaths() []string {
	entries, _ := os.ReadDir(filepath.Join(c.store.dir, "snap")) // without one, the events tell it all
	var paths []string
	for _, e := range slices.Backward(entries) {
		seq, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), snapshotSuffix), 10, 64)
		if strings.HasSuffix(e.Name(), snapshotSuffix) && err == nil && journal.Seq(seq) <= c.store.reader.Coverage().Durable {
			paths = append(paths, filepath.Join(c.store.dir, "snap", e.Name()))
		}
	}
	return paths
}

// standOn counts the leases of a snapshot, nil for none, and the events after it.
func (c *census) standOn(snap *state.Snapshot) error {
	st := state.New()
	if snap != nil {
		st = state.OverTrusting(snap)
	}
	err := c.store.events(st.Seq(), st.Head(), func(ev *journal.Event) error {
		if ev.Kind == journal.KindAdd {
			c.lastAdd = max(c.lastAdd, ev.Seq)
		}
		return st.Apply(ev)
	})
	if err != nil {
		return err
	}
	if c.question != nil {
		return c.question(st)
	}
	sets, err := c.ranges()
	if err := c.met(err); err != nil {
		return err
	}
	return c.number(st, sets)
}

// number counts the leases of st and, where the range sets are known, the addresses that are free.
func (c *census) number(st *state.State, sets [][]journal.Range) error {
	boot := st.LastClock().Boot
	if c.store.reader.Coverage().Here {
		boot = journal.CurrentBoot()
	}
	if c.store.foreign {
		return nil // what host-local's files say is held, and that is not counted here
	}
	room := newRoom(sets)
	held, stale, blocked := 0, 0, 0
	for l, err := range st.Leases() {
		if err != nil {
			return err
		}
		if c.store.wiped {
			continue // nothing is held, but that the leases can be read is of interest
		}
		room.take(l.IP)
		switch {
		case l.Blocked:
			blocked++
		case l.Clock.Boot != boot && l.Clock.Boot != (journal.BootID{}) && boot != (journal.BootID{}):
			stale++
			fallthrough
		default:
			held++
		}
	}
	c.st, c.free, c.capacity = st, room.free, newRoom(sets).free
	c.held, c.stale, c.blocked = held, stale, blocked
	return nil
}

// ranges returns the range sets of the newest ADD: those that came with the call, then those of its configuration. They are
// nil if there was no ADD or if they were not recorded.
func (c *census) ranges() ([][]journal.Range, error) {
	add, ok, err := c.store.known(c.lastAdd)
	if !ok || err != nil || slices.Contains(add.Dropped, "ranges") {
		return nil, err
	}
	sets := add.Ranges
	if add.Config == 0 {
		return sets, nil
	}
	config, ok, err := c.store.known(add.Config)
	if !ok || err != nil || slices.Contains(config.Dropped, "ranges") {
		return nil, err
	}
	return append(slices.Clip(sets), config.Ranges...), nil
}

// eventAt reads one event; there is none with number 0.
func eventAt(r replay.Recorder, seq journal.Seq) (ev journal.Event, ok bool, err error) {
	if seq == 0 {
		return ev, false, nil
	}
	for rec, err := range r.Records(seq - 1) {
		return rec.Event, err == nil, err
	}
	return ev, false, nil
}

// files counts files and bytes. What moves or goes meanwhile is counted where it is met, if at all.
func (c *census) files() {
	folders := []string{"journal", "archive"}
	if r := c.store.reader; r != nil && r.ArchiveDir() == c.store.dir {
		folders = []string{""} // an archive's own folder
	}
	for _, folder := range folders {
		_, n, err := weigh(filepath.Join(c.store.dir, folder))
		c.journalBytes += n
		c.unlisted = errors.Join(c.unlisted, err)
	}
	var err error
	c.setAside, c.setAsideBytes, err = weigh(filepath.Join(c.store.dir, "quarantine"))
	c.unlisted = errors.Join(c.unlisted, err)
	entries, err := os.ReadDir(filepath.Join(c.store.dir, "snap"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.unlisted = errors.Join(c.unlisted, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), snapshotSuffix) {
			c.snapshots++
		}
	}
}

// weigh counts the files below a folder and their bytes.
func weigh(folder string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				files++
				bytes += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return files, bytes, err
}

// last returns the number and the time of the newest event, zero if that is not known.
func (c *census) last() (journal.Seq, time.Time) {
	if c.st == nil || c.st.Seq() == 0 {
		return 0, time.Time{}
	}
	return c.st.Seq(), c.st.LastClock().Time()
}

// room counts the addresses that range sets have left.
type room struct {
	sets [][]journal.Range
	free []*big.Int // by range set; nil if the sets are not known
}

// newRoom counts range sets of which nothing is held. A range never gives its own gateway and no IPv4-mapped address; its
// size is a subtraction, not a walk.
func newRoom(sets [][]journal.Range) *room {
	w := &room{sets: sets}
	for _, set := range sets {
		free := new(big.Int)
		for _, r := range set {
			free.Add(free, addresses(r.Start, r.End))
			first, last := mappedRange()
			if r.Start.Is6() {
				free.Sub(free, addresses(later(r.Start, first), earlier(r.End, last)))
			}
			if within(r, r.Gateway) && !r.Gateway.Is4In6() {
				free.Sub(free, big.NewInt(1))
			}
		}
		w.free = append(w.free, free)
	}
	return w
}

// take counts an address that is held. No two ranges have one in common.
func (w *room) take(ip netip.Addr) {
	for i, set := range w.sets {
		for _, r := range set {
			if within(r, ip) && ip != r.Gateway {
				w.free[i].Sub(w.free[i], big.NewInt(1))
				return
			}
		}
	}
}

func within(r journal.Range, ip netip.Addr) bool {
	return ip.BitLen() == r.Start.BitLen() && r.Start.Compare(ip) <= 0 && ip.Compare(r.End) <= 0
}

// addresses returns how many there are from first to last, 0 if last comes before first.
func addresses(first, last netip.Addr) *big.Int {
	a, b := new(big.Int).SetBytes(first.AsSlice()), new(big.Int).SetBytes(last.AsSlice())
	if b.Cmp(a) < 0 {
		return new(big.Int)
	}
	return b.Sub(b, a).Add(b, big.NewInt(1))
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}

// mappedRange returns the first and the last of the IPv4-mapped IPv6 addresses.
func mappedRange() (first, last netip.Addr) {
	return netip.MustParseAddr("::ffff:0.0.0.0"), netip.MustParseAddr("::ffff:255.255.255.255")
}
