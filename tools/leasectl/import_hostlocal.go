package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
)

// takeover is one run of import host-local.
type takeover struct {
	folder      string // of host-local, absolute
	historyDir  string
	dryRun      bool
	lockTimeout time.Duration
}

// takeoverAsked is what import host-local was told to do.
type takeoverAsked struct {
	Folder     string `json:"folder"`
	DataDir    string `json:"data_dir"`
	HistoryDir string `json:"history_dir,omitempty"`
	Network    string `json:"network"`
	DryRun     bool   `json:"dry_run"`
	At         string `json:"at"`
}

// takenItem is a lease of host-local, and what becomes of it.
type takenItem struct {
	Schema      string `json:"schema"`
	Network     string `json:"network"`
	IP          string `json:"ip"`
	ContainerID string `json:"container_id"`
	IfName      string `json:"ifname"`
	Claimed     string `json:"claimed"` // when it began by the file's time
	Outcome     string `json:"outcome"` // imported, blocked, held or conflict
	Why         string `json:"why,omitempty"`
}

// The outcomes of an import.
const (
	outcomeImported = "imported"
	outcomeBlocked  = "blocked"  // imported without an owner
	outcomeHeld     = "held"     // by the same owner already
	outcomeConflict = "conflict" // held by another owner
)

func (a *app) importHostLocalCommand() *cobra.Command {
	var o takeover
	cmd := &cobra.Command{
		Use:   "host-local FOLDER",
		Short: "Take over the leases of host-local",
		Long: `Takes over the leases, blocked addresses and cursors that host-local keeps in FOLDER, one folder of a network,
as the plugin does by itself at its first call where it finds them in its dataDir. Each becomes an import
event with the file's time as the claimed start. The folder is marked, so that it is not taken over twice.

The network is the one that --network names, by default the folder's name; its dataDir is --data-dir, by
default the folder above FOLDER: then the leases are taken over where they are. A network without a store
gets one. host-local's lock is held meanwhile, and calls of the plugin may run.

Nothing is taken over if an address is held by another container already, if the folder holds something
else, or while somebody writes into it without the lock.

Exit codes: 0 done, or nothing to do; 4 error, nothing was taken over; 64 usage.`,
		Example: "  leasectl import host-local /var/lib/cni/networks/podman --dry-run",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("import what? give one folder of host-local, such as /var/lib/cni/networks/NETWORK")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.lockTimeout <= 0 {
				return usagef("--lock-timeout %s: want more than 0", o.lockTimeout)
			}
			if o.folder, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if a.network == "" {
				a.network = filepath.Base(o.folder)
			}
			if !networkName(a.network) {
				return usagef("network %q: want a letter or digit, then letters, digits, and _ . -; name it by --network", a.network)
			}
			if !cmd.Flags().Changed("data-dir") {
				a.dataDirs = []string{filepath.Dir(o.folder)}
			}
			return a.takeOver(&o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.historyDir, "history-dir", "", "`folder` that the configuration names as historyDir")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be taken over, change nothing")
	flags.DurationVar(&o.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for host-local and for calls of the plugin")
	return cmd
}

// networkName reports whether a configuration can name a network so.
func networkName(name string) bool {
	for i, r := range name {
		alphanumeric := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("_.-", r)) {
			return false
		}
	}
	return name != "" && len(name) <= 255
}

func (a *app) takeOver(o *takeover) error {
	dataDir, err := filepath.Abs(a.dataDirs[0])
	if err != nil {
		return err
	}
	if o.historyDir != "" {
		if o.historyDir, err = filepath.Abs(o.historyDir); err != nil {
			return err
		}
	}
	if st, err := os.Stat(o.folder); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s: not a folder", o.folder)
	}
	store := allocator.NewStore(allocator.Options{Network: a.network, DataDir: dataDir, HistoryDir: o.historyDir,
		LockTimeout: o.lockTimeout, Version: version, Warn: func(string) {}})
	do := store.Import
	if o.dryRun {
		do = store.PlanImport
	}
	im, err := do(o.folder)
	if err != nil && len(im.Conflicts) == 0 {
		return err
	}
	switch {
	case err != nil:
		a.fail(err)
	case len(im.Conflicts) > 0 && o.dryRun:
		a.fail(fmt.Errorf("nothing would be taken over: %s", im.Conflicts[0]))
	default:
		store.Maintain()
		a.tellTaken(o, &im)
	}
	ans := newAnswer("import-host-local", takeoverAsked{o.folder, dataDir, o.historyDir, a.network, o.dryRun, stamp(a.now)})
	return show(a, ans, each(takenItems(a.network, &im)), layout[takenItem]{"leases", takenColumns, takenColumns})
}

// tellTaken says in words what was done.
func (a *app) tellTaken(o *takeover, im *allocator.Imported) {
	for _, w := range im.Warnings {
		a.say("%s", w)
	}
	would := ""
	if o.dryRun {
		would = "would be "
	}
	switch {
	case len(im.Leases)+len(im.Held)+len(im.Cursors)+len(im.Conflicts) == 0:
		a.say("nothing to take over from %s", o.folder)
	default:
		a.say("network %q: %s and %s %staken over from %s", a.network, count(len(im.Leases), "lease"), count(len(im.Cursors), "cursor"), would, o.folder)
	}
}

// takenItems lists what an import has met, by address within each outcome.
func takenItems(network string, im *allocator.Imported) []takenItem {
	var items []takenItem
	add := func(l *hostlocal.Lease, outcome, why string) {
		it := takenItem{Schema: "leaselog.taken/1", Network: network, IP: l.IP.String(), ContainerID: l.ContainerID, IfName: l.IfName,
			Outcome: outcome, Why: why}
		if !l.Time.IsZero() {
			it.Claimed = stamp(l.Time)
		}
		items = append(items, it)
	}
	for i := range im.Conflicts {
		c := &im.Conflicts[i]
		add(&c.Lease, outcomeConflict, fmt.Sprintf("held by %s/%s", c.Holder.ContainerID, c.Holder.IfName))
	}
	for i := range im.Leases {
		if l := &im.Leases[i]; l.Blocked != "" {
			add(l, outcomeBlocked, l.Blocked)
		} else {
			add(l, outcomeImported, "")
		}
	}
	for i := range im.Held {
		add(&im.Held[i], outcomeHeld, "")
	}
	return items
}

var takenColumns = []column[takenItem]{
	{"network", func(it *takenItem) string { return it.Network }},
	{"address", func(it *takenItem) string { return it.IP }},
	{"container", func(it *takenItem) string { return it.ContainerID }},
	{"ifname", func(it *takenItem) string { return it.IfName }},
	{"claimed", func(it *takenItem) string { return it.Claimed }},
	{"outcome", func(it *takenItem) string { return it.Outcome }},
	{"why", func(it *takenItem) string { return it.Why }},
}
