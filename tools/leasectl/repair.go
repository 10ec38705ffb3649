package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/journal"
)

// repairAsked is what repair was told to do.
type repairAsked struct {
	scope
	Apply bool   `json:"apply"`
	At    string `json:"at"`
}

// mendingItem is what repair did to one store, or would do.
type mendingItem struct {
	Schema    string     `json:"schema"`
	Network   string     `json:"network"`
	Dir       string     `json:"dir"`
	StoreID   string     `json:"store_id"`
	Needed    bool       `json:"needed"`
	Done      bool       `json:"done"`
	Steps     []string   `json:"steps"`
	Notes     []string   `json:"notes"`
	Losses    []lossItem `json:"losses"`
	Succeeds  bool       `json:"succeeds"`            // a new journal takes the old one's place
	Successor string     `json:"successor,omitempty"` // its ID, once it is there
	ParentSeq uint64     `json:"parent_seq"`
	Lost      *uint64    `json:"lost_events"` // that leases depend on, at most; null if nobody knows
	Doubtful  []string   `json:"uncertain"`   // the leases that a lost event may have ended: address, container, interface
	Kept      int        `json:"kept_leases"`
	Uncertain int        `json:"uncertain_leases"`
	Archive   string     `json:"archive,omitempty"`
}

// lossItem is a stretch of the journal that can't be read.
type lossItem struct {
	File     string `json:"file"`
	Offset   int64  `json:"offset"` // -1 if a whole file is missing
	Bytes    int64  `json:"bytes"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	Open     bool   `json:"open"`   // more than up to last_seq may be lost
	After    string `json:"after"`  // time of the event before, "" if there is none
	Before   string `json:"before"` // time of the event that follows, "" if there is none
	Cause    string `json:"cause"`
}

func (a *app) repairCommand() *cobra.Command {
	var dry, apply bool
	cmd := &cobra.Command{
		Use:   "repair --dry-run|--apply",
		Short: "Mend a store whose calls are refused because of damage",
		Long: `Mends what verify calls damage. --dry-run says what would be done and changes nothing; --apply
does it, under the plugin's lock, so that calls may go on meanwhile.

What loses nothing is put right in place: META, the lock file or the claim made anew, strange
files and damaged snapshots moved to quarantine/, an unfinished append cut and kept.

Where the journal can't be built on any more, because events that leases depend on are lost or their
place is in doubt, a new one takes its place. It has an ID of its own, names its parent, and holds the leases as far as snapshot and remaining events tell
them; those that a lost event may have ended are marked uncertain. Cursors move on by the number
of lost events, so that addresses given in them come back late. A lease that began in the
lost part is not known any more: look for such containers, CHECK fails for them. All bytes of
the old store are kept in archive/JOURNAL-ID, which leasectl reads like a store.

Exit codes: 0 nothing to repair, or all done; 1 there is something to repair (--dry-run);
4 error, among them damage that can't be repaired; 64 usage.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dry == apply {
				return usagef("give either --dry-run or --apply")
			}
			return a.repair(apply)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, change nothing")
	cmd.Flags().BoolVar(&apply, "apply", false, "do it")
	return cmd
}

func (a *app) repair(apply bool) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("repair", repairAsked{a.scope(), apply, stamp(a.now)})
	var items []mendingItem
	for _, s := range stores {
		m, err := s.repair(apply)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			if m == nil || m.Successor == (journal.ID{}) {
				continue // nothing, or nothing that isn't said again when it is repeated
			}
		}
		if m.Needed() && !apply {
			a.code = exitNobody
		}
		it := s.mending(m, apply)
		items = append(items, it)
		if a.output == "table" {
			a.tell(&it)
		}
	}
	if a.output == "table" {
		return nil
	}
	return show(a, ans, each(items), layout[mendingItem]{"networks", nil, mendingCSV})
}

// repair repairs the store through the one way to change it.
func (s *store) repair(apply bool) (*allocator.Mending, error) {
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	o.Packed = backup.Packed()
	return allocator.NewStore(o).Repair(apply, true)
}

// options say how to change the store. A copy of a store, or of a dataDir, is changed by itself: what its files say
// of the original's place is not followed. DataDir is "" if it is not known.
func (s *store) options() (allocator.Options, error) {
	o := allocator.Options{Network: filepath.Base(s.dir), HistoryDir: filepath.Dir(s.dir), Version: version}
	if s.bare {
		return o, fmt.Errorf("%s: an archive by itself is not changed", s.dir)
	}
	if s.inArchive() {
		return o, fmt.Errorf("%s is kept as evidence of another store and is not changed", s.dir)
	}
	usual := filepath.Base(o.HistoryDir) == historyName
	switch {
	case s.byClaim && (s.broken != nil || s.meta.DataDir != filepath.Dir(s.folder)):
		return o, fmt.Errorf("the claim in %s leads to %s, which may be another dataDir's: give --data-dir that folder", s.folder, s.dir)
	case s.folder != "":
		o.DataDir = filepath.Dir(s.folder)
	case usual:
		o.DataDir = filepath.Dir(o.HistoryDir)
	default: // a store by itself: whose network it is, is not for its files to say
	}
	return o, nil
}

// changing is options for a change of leases, which the network's data folder has a part in.
func (s *store) changing() (allocator.Options, error) {
	o, err := s.options()
	if err == nil && o.DataDir == "" {
		err = fmt.Errorf("the dataDir that %s belongs to is not known: give --data-dir that folder", s.dir)
	}
	return o, err
}

// inArchive reports whether the store is the kept parent of another one.
func (s *store) inArchive() bool {
	real, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		return false
	}
	_, err = journal.ParseID(filepath.Base(real))
	return err == nil && filepath.Base(filepath.Dir(real)) == "archive"
}

func (s *store) mending(m *allocator.Mending, apply bool) mendingItem {
	it := mendingItem{Schema: "leaselog.mending/1", Network: s.network, Dir: s.dir, StoreID: m.Journal.String(), Needed: m.Needed(),
		Done: apply && m.Needed(), Steps: m.Steps, Losses: []lossItem{}, Succeeds: m.Succeeds(), ParentSeq: uint64(m.ParentSeq),
		Kept: m.Kept, Uncertain: m.Uncertain, Archive: m.Archive}
	if n := uint64(m.Events); !m.Endless {
		it.Lost = &n
	}
	if it.Steps == nil {
		it.Steps = []string{}
	}
	it.Notes = append([]string{}, m.Notes...)
	it.Doubtful = []string{}
	for _, l := range m.Doubtful {
		it.Doubtful = append(it.Doubtful, fmt.Sprintf("%s %s %s", l.IP, l.ContainerID, l.IfName))
	}
	if m.Successor != (journal.ID{}) {
		it.Successor = m.Successor.String()
	}
	for _, l := range m.Losses {
		it.Losses = append(it.Losses, lossItem{File: l.File, Offset: l.Offset, Bytes: l.Bytes, FirstSeq: uint64(l.First),
			LastSeq: uint64(l.Last), Open: l.Open, After: eventTime(l.After), Before: eventTime(l.Before), Cause: l.Error("").Cause.Error()})
	}
	return it
}

func eventTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// tell prints what was done, or would be, for people.
func (a *app) tell(it *mendingItem) {
	line := func(format string, args ...any) { fmt.Fprintln(a.stdout, printable.Text(fmt.Sprintf(format, args...))) }
	switch {
	case !it.Needed && len(it.Losses) == 0:
		line("network %s in %s: nothing to repair", it.Network, it.Dir)
	case !it.Needed:
		line("network %s in %s: nothing to repair: no lease depends on what is lost, and nothing brings it back", it.Network, it.Dir)
	case it.Done:
		line("network %s in %s: repaired", it.Network, it.Dir)
	default:
		line("network %s in %s: would be repaired", it.Network, it.Dir)
	}
	for _, step := range it.Steps {
		line("  %s", step)
	}
	for _, lease := range it.Doubtful {
		line("  uncertain: %s", lease)
	}
	for _, note := range it.Notes {
		line("  note: %s", note)
	}
	for _, l := range it.Losses {
		line("  lost: %s", l.String())
	}
	if !it.Succeeds {
		return
	}
	if it.Lost == nil || *it.Lost > 0 {
		line("  containers that were given an address in the lost part are not known: CHECK fails for them")
	}
	if it.Successor != "" {
		line("  the new journal is %s", it.Successor)
	}
}

// String says what is lost, where it stood, and between which times.
func (l lossItem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", l.File)
	if l.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d, %d bytes", l.Offset, l.Bytes)
	}
	fmt.Fprintf(&b, ": %s", l.Cause)
	if l.After != "" {
		fmt.Fprintf(&b, "; after %s", l.After)
	}
	if l.Before != "" {
		fmt.Fprintf(&b, "; before %s", l.Before)
	}
	return b.String()
}

func (it *mendingItem) lost() string {
	if it.Lost == nil {
		return "unknown"
	}
	return fmt.Sprint(*it.Lost)
}

var mendingCSV = []column[mendingItem]{
	{"network", func(it *mendingItem) string { return it.Network }},
	{"store_id", func(it *mendingItem) string { return it.StoreID }},
	{"needed", func(it *mendingItem) string { return fmt.Sprint(it.Needed) }},
	{"done", func(it *mendingItem) string { return fmt.Sprint(it.Done) }},
	{"successor", func(it *mendingItem) string { return it.Successor }},
	{"parent_seq", func(it *mendingItem) string { return number(it.ParentSeq) }},
	{"lost_events", func(it *mendingItem) string { return it.lost() }},
	{"kept_leases", func(it *mendingItem) string { return fmt.Sprint(it.Kept) }},
	{"uncertain_leases", func(it *mendingItem) string { return fmt.Sprint(it.Uncertain) }},
	{"archive", func(it *mendingItem) string { return it.Archive }},
	{"steps", func(it *mendingItem) string { return strings.Join(it.Steps, "; ") }},
}
