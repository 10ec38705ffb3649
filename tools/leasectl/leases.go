package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// leasesAsked is the question of leases and networks as understood.
type leasesAsked struct {
	scope
	At string `json:"at"`
}

func (a *app) leasesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "leases",
		Short: "What is held now",
		Long: `What is held now, by network and address: of a copy, as of its last event.
A network whose data folder was deleted holds nothing, whatever its journal says.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.leases() },
	}
}

func (a *app) leases() error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	ans := newAnswer("leases", leasesAsked{a.scope(), stamp(a.now)})
	var items []leaseItem
	for _, s := range stores {
		h, err := s.held(ans)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		if h == nil {
			continue
		}
		slices.SortFunc(h.Intervals, func(x, y replay.Interval) int { return x.Lease.IP.Compare(y.Lease.IP) })
		for i := range h.Intervals {
			items = append(items, s.lease(&h.Intervals[i]))
		}
	}
	if len(stores) == 0 && !a.failed {
		a.say("%v", a.noStore())
		a.sayHostLocal()
	}
	a.exit(ans.worst, true)
	return show(a, ans, each(items), layout[leaseItem]{"leases", leasesTable, leaseCSV})
}

// sayHostLocal names the networks that host-local has leases of, and leaselog none.
func (a *app) sayHostLocal() {
	for _, dataDir := range a.dataDirs {
		names, err := folders(dataDir)
		if err != nil {
			continue
		}
		for _, name := range names {
			folder := filepath.Join(dataDir, name)
			if files, err := hostlocal.List(folder); err == nil && len(files) > 0 {
				a.say("host-local has %s in %s: see leasectl import host-local --dry-run", count(len(files), "lease"), folder)
			}
		}
	}
}

// held reads what the store's network holds now and takes the store into the answer. If
// that is unknown it returns nil: the answer says so, and must not look like an empty one.
func (s *store) held(ans *answer) (*replay.History, error) {
	if s.broken != nil {
		ans.take(s, replay.Point{}, replay.Point{})
		ans.worst = replay.Unknown
		return nil, nil
	}
	h, err := s.readLeft(replay.Options{HeldOnly: true, Wiped: s.wiped})
	if err != nil {
		return nil, err
	}
	if h.Stopped != nil {
		s.doubts = append(s.doubts, h.Stopped.Error())
		if h, err = s.sinceSnapshot(); err != nil {
			return nil, err
		}
	}
	if h == nil {
		ans.take(s, replay.Point{}, replay.Point{})
		ans.doubt(replay.Unknown, "%s: what is held is unknown", s.title())
		return nil, nil
	}
	ans.take(s, h.First, h.Last)
	if doubt := h.Unsettled(h.Last.Effective); doubt != "" && !s.wiped {
		ans.doubt(replay.Uncertain, "%s: %s", s.title(), doubt)
	}
	switch {
	case s.foreign:
		ans.doubt(replay.Unknown, "%s: host-local has files in %s: what is held is what they say, and the next call "+
			"takes them over", s.title(), s.folder)
		return nil, nil
	case s.wiped:
		ans.doubt(replay.Certain, "%s: %s was deleted: no lease is held, though %d had not been released",
			s.title(), s.folder, h.Held)
		h.Intervals, h.Held = nil, 0
	case s.torn:
		ans.worst = max(ans.worst, replay.Uncertain)
	case s.bare:
		ans.doubt(replay.Uncertain, "%s: what was held after event %d is not in the archive", s.title(), h.Last.Seq)
	case s.folder != "" && allocator.ViewChanged(s.dir, s.folder):
		ans.doubt(replay.Uncertain, "%s: files in %s have changed since the last call: host-local or others may have "+
			"given and released addresses, as the next call will record", s.title(), s.folder)
	}
	return h, nil
}

// readLeft reads all events that are left after a prune, up to damage.
func (s *store) readLeft(o replay.Options) (*replay.History, error) {
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	durable := uint64(past.Coverage().Durable)
	return replay.ReadLeft(past, along(s.bar, "reading "+s.title(), durable, past.Left(0)), o)
}

// sinceSnapshot reads what is held from the newest snapshot that can be read to the end
// from there on, as the plugin does. It returns nil if there is none.
func (s *store) sinceSnapshot() (*replay.History, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "snap"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	slices.SortFunc(entries, func(x, y os.DirEntry) int { return cmp.Compare(y.Name(), x.Name()) })
	for _, e := range entries {
		file := filepath.Join("snap", e.Name())
		if !strings.HasSuffix(file, snapshotSuffix) {
			continue
		}
		h, err := s.readSince(file)
		var damage *journal.CorruptionError
		switch {
		case errors.As(err, &damage), errors.Is(err, journal.ErrNewer):
			s.doubts = append(s.doubts, err.Error())
		case err != nil:
			return nil, err
		case h.Stopped == nil:
			s.doubts = append(s.doubts, fmt.Sprintf("events before the snapshot %s could not all be read; what is held is taken from there on", file))
			s.torn = true
			return h, nil
		}
	}
	return nil, nil
}

func (s *store) readSince(file string) (*replay.History, error) {
	snap, err := state.OpenSnapshot(filepath.Join(s.dir, file), s.meta.ID)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	return replay.Read(s.records(snap.Seq()), replay.Options{HeldOnly: true, Wiped: s.wiped, Base: snap, BaseFile: file})
}

var leasesTable = []column[leaseItem]{
	{"network", func(it *leaseItem) string { return it.Network }},
	{"address", func(it *leaseItem) string { return it.IP + "/" + strconv.Itoa(it.Prefix) }},
	{"container", func(it *leaseItem) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *leaseItem) string { return it.IfName }},
	{"pod", func(it *leaseItem) string { return it.Pod.String() }},
	{"since", func(it *leaseItem) string { return it.Start.Effective }},
	{"certainty", func(it *leaseItem) string { return it.Certainty }},
	{"doubts", func(it *leaseItem) string { return strings.Join(it.Doubts, "; ") }},
}
