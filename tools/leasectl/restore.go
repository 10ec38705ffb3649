package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
)

// restoreAsked is what restore was told to do.
type restoreAsked struct {
	DataDir    string   `json:"data_dir"`
	HistoryDir string   `json:"history_dir"`
	File       string   `json:"file"`
	Networks   []string `json:"networks"` // empty for all
	DryRun     bool     `json:"dry_run"`
	At         string   `json:"at"`
}

// restoredItem is a network that was restored, or would be.
type restoredItem struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	Node      string   `json:"node"` // whose store was backed up
	Done      bool     `json:"done"`
	Dir       string   `json:"dir"`
	StoreID   string   `json:"store_id"` // of the new journal; "" if there is none
	Parent    string   `json:"parent"`   // of the journal in the backup
	ParentSeq uint64   `json:"parent_seq"`
	Backup    string   `json:"backup"` // when the backup was made
	Live      bool     `json:"live"`   // the store was in use then
	FirstSeq  uint64   `json:"first_seq"`
	LastTime  string   `json:"last_time"`
	Bytes     int64    `json:"bytes"`
	Kept      int      `json:"kept_leases"` // of the new journal, all uncertain
	Archive   string   `json:"archive"`     // where the backup's bytes are, below dir
	Damage    []string `json:"damage"`
}

func (a *app) restoreCommand() *cobra.Command {
	var o backup.RestoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make stores of those in a backup file",
		Long: `Makes the stores of all networks in a backup file, or of those that --network names, below --data-dir. Nothing that is there is
touched: a network that has a store, or anything in its data folder, is refused, and then no other is restored either. All of
the file is checked before anything is made.

What is made is a new journal for each network. It names the one in the backup as its parent, whose bytes it
keeps in archive/JOURNAL-ID: questions about the time before the backup have the answers that they had. What
happened between the backup and the restore is unknown. The leases that were held are held again, but
uncertain: their containers may be gone, and addresses that were given after the backup may be in use. Drain the node
before, or see leasectl gc after. Cursors move on, so that such addresses come back late.

Exit codes: 0 done; 1 there is something to restore (--dry-run); 4 error; 64 usage.`,
		Example: "  leasectl restore /backup/worker-3.leaselog --data-dir /var/lib/cni/networks --dry-run",
		Args:    oneArg("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("FILE is empty")
			}
			return a.restore(args[0], o)
		},
	}
	cmd.Flags().StringArrayVar(&o.Networks, "network", nil, "only the network of this `name`; several if given more than once")
	cmd.Flags().StringVar(&o.HistoryDir, "history-dir", "", "the `folder` of the stores, if the configuration names another than that of the data folder")
	cmd.Flags().BoolVar(&o.AllowNetworkFS, "allow-network-fs", false, "restore to a network file system, too")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "check the file and the folders, make nothing")
	return cmd
}

func (a *app) restore(file string, o backup.RestoreOptions) (err error) {
	if o.DataDir, err = filepath.Abs(a.dataDirs[0]); err != nil {
		return err
	}
	if o.HistoryDir == "" {
		o.HistoryDir = filepath.Join(o.DataDir, historyName)
	}
	if o.HistoryDir, err = filepath.Abs(o.HistoryDir); err != nil {
		return err
	}
	o.Version = version
	restored, err := backup.Restore(file, o)
	if errors.Is(err, allocator.ErrInTheWay) {
		err = fmt.Errorf("%w; move it away, or choose networks by --network", err)
	}
	if err != nil {
		if len(restored) == 0 {
			return err
		}
		a.fail(err) // and what was restored is told
	}
	var items []restoredItem
	for i := range restored {
		items = append(items, newRestored(&restored[i]))
		for _, d := range restored[i].Damage {
			a.say("network %q: damaged as it was when it was backed up: %s", restored[i].Network, d)
		}
	}
	if o.DryRun {
		a.code = exitNobody
	}
	asked := restoreAsked{o.DataDir, o.HistoryDir, file, append([]string{}, o.Networks...), o.DryRun, stamp(a.now)}
	return show(a, newAnswer("restore", asked), each(items), layout[restoredItem]{"networks", restoredTable, restoredCSV})
}

func newRestored(r *backup.Restored) restoredItem {
	it := restoredItem{Schema: "leaselog.restored/1", Network: r.Network, Node: r.Node, Dir: r.Store, Parent: r.Stored.Journal,
		ParentSeq: r.LastSeq, Backup: stamp(r.Taken), Live: r.Live, FirstSeq: r.FirstSeq, LastTime: stamp(r.LastTime), Bytes: r.Bytes(),
		Kept: r.Kept, Archive: "archive/" + r.Stored.Journal, Damage: append([]string{}, r.Damage...)}
	if r.Restored.Journal != (journal.ID{}) {
		it.Done, it.StoreID = true, r.Restored.Journal.String()
	}
	return it
}

var restoredTable = []column[restoredItem]{
	{"network", func(it *restoredItem) string { return it.Network }},
	{"node", func(it *restoredItem) string { return it.Node }},
	{"backup", func(it *restoredItem) string { return it.Backup }},
	{"events", func(it *restoredItem) string { return number(it.FirstSeq) + "-" + number(it.ParentSeq) }},
	{"leases", func(it *restoredItem) string { return it.kept() }},
	{"journal", func(it *restoredItem) string { return it.StoreID }},
	{"dir", func(it *restoredItem) string { return it.Dir }},
}

// kept is how many leases are held, which a dry run doesn't find out.
func (it *restoredItem) kept() string {
	if !it.Done {
		return ""
	}
	return strconv.Itoa(it.Kept)
}

// restoredCSV are the columns of restored networks; their order is fixed, new ones come last.
var restoredCSV = []column[restoredItem]{
	{"network", func(it *restoredItem) string { return it.Network }},
	{"node", func(it *restoredItem) string { return it.Node }},
	{"done", func(it *restoredItem) string { return strconv.FormatBool(it.Done) }},
	{"dir", func(it *restoredItem) string { return it.Dir }},
	{"store_id", func(it *restoredItem) string { return it.StoreID }},
	{"parent", func(it *restoredItem) string { return it.Parent }},
	{"parent_seq", func(it *restoredItem) string { return number(it.ParentSeq) }},
	{"backup", func(it *restoredItem) string { return it.Backup }},
	{"live", func(it *restoredItem) string { return strconv.FormatBool(it.Live) }},
	{"first_seq", func(it *restoredItem) string { return number(it.FirstSeq) }},
	{"last_time", func(it *restoredItem) string { return it.LastTime }},
	{"bytes", func(it *restoredItem) string { return strconv.FormatInt(it.Bytes, 10) }},
	{"kept_leases", func(it *restoredItem) string { return it.kept() }},
	{"archive", func(it *restoredItem) string { return it.Archive }},
	{"damage", func(it *restoredItem) string { return strings.Join(it.Damage, "; ") }},
}
