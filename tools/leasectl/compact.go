package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
)

// compactAsked is what compact was told to do.
type compactAsked struct {
	scope
	DryRun bool   `json:"dry_run"`
	Out    string `json:"out,omitempty"`
	At     string `json:"at"`
}

// compactionItem is what compact did to one store, or would do.
type compactionItem struct {
	Schema    string       `json:"schema"`
	Network   string       `json:"network"`
	Node      string       `json:"node"`
	Dir       string       `json:"dir"`
	StoreID   string       `json:"store_id"`
	Needed    bool         `json:"needed"` // there was, or is, something to do
	Done      bool         `json:"done"`
	Snapshots []uint64     `json:"snapshots"` // that were taken, by the last event that they cover
	Archived  int          `json:"archived_segments"`
	Kept      int          `json:"kept_segments"` // sealed ones that stay in journal/
	Packed    []packedItem `json:"packed"`
	Merged    []string     `json:"merged"` // packed files that were packed anew, or were there twice
	Removed   int          `json:"removed_segments"`
	Leftovers []string     `json:"leftovers"` // of runs that died
	Loose     []looseItem  `json:"loose"`     // segments that stay in archive/
	Before    sizesItem    `json:"before"`
	After     sizesItem    `json:"after"`
	Pruned    *pruningPart `json:"pruned,omitempty"` // by the configured retention; absent if nothing was, or would be
	Error     string       `json:"error,omitempty"`  // what ended it early
	origin
}

// packedItem is a packed file that was made, or would be.
type packedItem struct {
	File        string   `json:"file"`
	FirstSeq    uint64   `json:"first_seq"`
	LastSeq     uint64   `json:"last_seq"`
	SourceBytes int64    `json:"source_bytes"`
	Bytes       int64    `json:"bytes"` // an estimate if it was not made
	Keyframes   []uint64 `json:"keyframes"`
}

// looseItem are segments that stay as they are.
type looseItem struct {
	FirstSeq uint64 `json:"first_seq"`
	Segments int    `json:"segments"`
	Why      string `json:"why"`
}

// sizesItem is what a store takes, in bytes of files.
type sizesItem struct {
	Journal   int64 `json:"journal_bytes"`
	Archive   int64 `json:"archive_bytes"`
	Snapshots int64 `json:"snapshot_bytes"`
}

// compactFlags are the flags of compact.
type compactFlags struct {
	dryRun      bool
	out         string // the folder that copies are made in; "" is none: the stores themselves are compacted
	confDir     string
	lockTimeout time.Duration

	confs *confs // nil if no retention counts
}

func (a *app) compactCommand() *cobra.Command {
	var f compactFlags
	cmd := &cobra.Command{
		Use:   "compact [--dry-run] [--out DIR]",
		Short: "Move history out of the plugin's way and pack it",
		Long: `Takes a snapshot, moves sealed segments to the archive and packs what is there: some 60 bytes an
event, indexed, with the state of the leases now and then. Nothing is lost by it. Each file is read
back and compared, record by record, before what it was made of is removed.

The plugin may run meanwhile: its lock is held for moments. A run that was killed is finished by the
next one. Of two runs on one store the second says who is at work and leaves it. A copy of a store is
compacted as well; nothing is ever written into its journal.

Damage in the way ends the work on that store, before anything is removed: leasectl verify tells what
it is, and leasectl repair mends what can be mended. The other stores are still done.

Where the configuration of a network states a retention ("retention" in the part named ipam), what exceeds
it is pruned then, as by leasectl prune. Configurations are read from --conf-dir; one that can't be read is told,
and nothing is pruned. Copies are not pruned.

--out DIR makes a compacted copy of each store, DIR/NETWORK, and changes nothing where it was: for evidence, and for
what is on a read-only file system. It must not exist, and appears whole or not at all. leasectl reads it with
--data-dir DIR.

--dry-run says what would be done; sizes are estimates then, without the states in between.

Exit codes: 0 done, or nothing to do; 1 there is something to do (--dry-run); 4 error, among them a store that
another run is at, that is damaged, fenced, or of a newer version; 64 usage.`,
		Example: "  leasectl compact --dry-run\n  leasectl compact --network pods",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.lockTimeout <= 0 {
				return usagef("--lock-timeout %s: want more than 0", f.lockTimeout)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.compact(ctx, f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be done, change nothing")
	flags.StringVar(&f.out, "out", "", "`folder` to make compacted copies in; nothing else is changed")
	flags.StringVar(&f.confDir, "conf-dir", defaultConfDir, "`folder` of the configurations of networks, which may state a retention")
	flags.DurationVar(&f.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
	return cmd
}

func (a *app) compact(ctx context.Context, f compactFlags) error {
	a.copies = true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	if err := a.readRetentions(&f); err != nil {
		return err
	}
	ans := newAnswer("compact", compactAsked{a.scope(), f.dryRun, f.out, stamp(a.now)})
	var items []compactionItem
	for _, s := range stores {
		if ctx.Err() != nil {
			a.fail(fmt.Errorf("%s: interrupted: nothing was done to it", s.title()))
			continue
		}
		rep, err := s.compact(ctx, a, f)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		}
		if rep == nil || rep.Journal == (journal.ID{}) {
			continue
		}
		it := s.compaction(rep, f.dryRun)
		if err != nil {
			it.Done, it.Error = false, err.Error()
		}
		if it.Needed && f.dryRun {
			a.code = exitNobody
		}
		if rep.Pruned != nil {
			a.sayPruned(s, rep.Pruned)
		}
		for _, l := range rep.Loose {
			a.say("%s: %s from event %d on stay in archive/: %s", s.title(), count(l.Count, "segment"), l.First, l.Why)
		}
		items = append(items, it)
	}
	return show(a, ans, each(items), layout[compactionItem]{"networks", compactionTable, compactionCSV})
}

// compact compacts the store, or says what that would do. The report is nil where nothing was looked at.
func (s *store) compact(ctx context.Context, a *app, f compactFlags) (*compaction.Report, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	o.LockTimeout = f.lockTimeout
	job := compaction.Job{Store: o, Progress: func(step string, done, total uint64) {
		a.bar.tell(s.title()+": "+step, done, total)
	}}
	if f.confs != nil && o.DataDir != "" && !s.reader.Coverage().Copy {
		if limits := f.confs.limits(a, s); len(limits) > 0 {
			job.Retain = &compaction.Retain{Limits: limits, Why: "retention of the configuration", By: whoRuns()}
		}
	}
	if f.dryRun {
		return compaction.Plan(job)
	}
	if f.out != "" {
		return s.compactCopy(ctx, job, f.out)
	}
	return compaction.Run(ctx, job)
}

// compactCopy makes a copy of the store and compacts that.
func (s *store) compactCopy(ctx context.Context, job compaction.Job, out string) (rep *compaction.Report, err error) {
	if out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	to := filepath.Join(out, filepath.Base(s.dir))
	err = backup.Build(to, func(dir string) error {
		if _, err := backup.Copy(s.dir, dir, backup.CopyOptions{}); err != nil {
			return err
		}
		job.Retain, job.Store.DataDir, job.Store.HistoryDir = nil, "", filepath.Dir(dir)
		rep, err = compaction.Run(ctx, job)
		return err
	})
	if err != nil {
		return nil, err
	}
	rep.Dir = to
	return rep, nil
}

// readRetentions reads what configurations say. What can't be read may ask to keep more than what can.
func (a *app) readRetentions(f *compactFlags) error {
	c, err := readConfs(f.confDir)
	if err != nil {
		return err
	}
	if len(c.errs) == 0 {
		f.confs = c
		return nil
	}
	for _, err := range c.errs {
		a.fail(err)
	}
	a.fail(errNotPruned)
	return nil
}

// compaction describes a report.
func (s *store) compaction(r *compaction.Report, dryRun bool) compactionItem {
	it := compactionItem{Schema: "leaselog.compaction/1", Network: s.network, Node: s.meta.Node, Dir: r.Dir, StoreID: r.Journal.String(),
		Needed: !r.Nothing(), Done: !dryRun && !r.Nothing(), Snapshots: seqNumbers(r.Settled.Snapshots), Archived: r.Settled.Archived,
		Kept: r.Settled.Left, Packed: []packedItem{}, Merged: append([]string{}, r.Merged...), Removed: r.Removed,
		Leftovers: append([]string{}, r.Leftover...), Loose: []looseItem{}, Before: sizesItem(r.Before), After: sizesItem(r.After), origin: s.origin}
	for _, f := range r.Packed {
		it.Packed = append(it.Packed, packedItem{f.Name, uint64(f.First), uint64(f.Last), f.Source, f.Bytes, seqNumbers(f.Keyframes)})
	}
	if !r.Pruned.Nothing() {
		part := newPruning(r.Pruned)
		it.Pruned = &part
	}
	for _, l := range r.Loose {
		it.Loose = append(it.Loose, looseItem{uint64(l.First), l.Count, l.Why})
	}
	return it
}

func seqNumbers(list []journal.Seq) []uint64 {
	out := []uint64{}
	for _, seq := range list {
		out = append(out, uint64(seq))
	}
	return out
}

// events counts the packed ones.
func (it *compactionItem) events() (n uint64) {
	for _, f := range it.Packed {
		n += f.LastSeq + 1 - f.FirstSeq
	}
	return n
}

// pruned are the events that went.
func (it *compactionItem) pruned() string {
	if it.Pruned == nil {
		return ""
	}
	return it.Pruned.events()
}

// total is all that the store takes.
func (s sizesItem) total() int64 { return s.Journal + s.Archive + s.Snapshots }

// outcome says in a word what came of it.
func (it *compactionItem) outcome() string {
	switch {
	case it.Error != "":
		return "stopped"
	case !it.Needed:
		return "nothing to do"
	case it.Done:
		return "done"
	default:
		return "would be done"
	}
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), 0
	for ; f >= 1<<10 && unit+1 < len(units); unit++ {
		f /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}

var compactionTable = []column[compactionItem]{
	{"network", func(it *compactionItem) string { return it.Network }},
	{"outcome", (*compactionItem).outcome},
	{"snapshots", func(it *compactionItem) string { return strconv.Itoa(len(it.Snapshots)) }},
	{"archived", func(it *compactionItem) string { return strconv.Itoa(it.Archived) }},
	{"packed", func(it *compactionItem) string { return strconv.Itoa(len(it.Packed)) }},
	{"events", func(it *compactionItem) string { return number(it.events()) }},
	{"merged", func(it *compactionItem) string { return strconv.Itoa(len(it.Merged)) }},
	{"removed", func(it *compactionItem) string { return strconv.Itoa(it.Removed) }},
	{"before", func(it *compactionItem) string { return bytesText(it.Before.total()) }},
	{"after", func(it *compactionItem) string { return bytesText(it.After.total()) }},
	{"pruned", func(it *compactionItem) string { return it.pruned() }},
}

// compactionCSV are the columns of a compaction; their order is fixed, new ones come last.
var compactionCSV = []column[compactionItem]{
	{"network", func(it *compactionItem) string { return it.Network }},
	{"node", func(it *compactionItem) string { return it.Node }},
	{"store_id", func(it *compactionItem) string { return it.StoreID }},
	{"dir", func(it *compactionItem) string { return it.Dir }},
	{"needed", func(it *compactionItem) string { return strconv.FormatBool(it.Needed) }},
	{"done", func(it *compactionItem) string { return strconv.FormatBool(it.Done) }},
	{"snapshots", func(it *compactionItem) string { return strconv.Itoa(len(it.Snapshots)) }},
	{"archived_segments", func(it *compactionItem) string { return strconv.Itoa(it.Archived) }},
	{"kept_segments", func(it *compactionItem) string { return strconv.Itoa(it.Kept) }},
	{"packed_files", func(it *compactionItem) string { return strconv.Itoa(len(it.Packed)) }},
	{"packed_events", func(it *compactionItem) string { return number(it.events()) }},
	{"merged_files", func(it *compactionItem) string { return strings.Join(it.Merged, " ") }},
	{"removed_segments", func(it *compactionItem) string { return strconv.Itoa(it.Removed) }},
	{"leftovers", func(it *compactionItem) string { return strings.Join(it.Leftovers, " ") }},
	{"before_bytes", func(it *compactionItem) string { return fmt.Sprint(it.Before.total()) }},
	{"after_bytes", func(it *compactionItem) string { return fmt.Sprint(it.After.total()) }},
	{"error", func(it *compactionItem) string { return it.Error }},
	{"pruned", func(it *compactionItem) string { return it.pruned() }},
}
