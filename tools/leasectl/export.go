package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// exportAsked is what export host-local was told to do.
type exportAsked struct {
	DataDir string `json:"data_dir"`
	Network string `json:"network"`
	Dir     string `json:"dir"`
	DryRun  bool   `json:"dry_run"`
	At      string `json:"at"`
}

// exportedFile is a file of host-local that an export writes, leaves as it is, or removes.
type exportedFile struct {
	Schema      string `json:"schema"`
	Network     string `json:"network"`
	Action      string `json:"action"` // write, keep, remove
	File        string `json:"file"`   // its name
	ContainerID string `json:"container_id"`
	IfName      string `json:"ifname"`
	Blocked     bool   `json:"blocked"`
	Cursor      string `json:"cursor"` // the address that a cursor holds
	Time        string `json:"time"`   // the file's
}

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "What is held, or was, in the form of another program",
		Args:  noArgument,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var dry bool
	hostLocal := &cobra.Command{
		Use:   "host-local DIR",
		Short: "The files that host-local would have, so that it can go on with a network",
		Long: `Writes the files that host-local would have for what one network holds: leases with their times,
blocked addresses, cursors and its lock. host-local then goes on with the same leases, and gives
the address next that leaselog would have given.

DIR must not exist or be empty: it is built beside it and appears whole or not at all, as of the
newest event. Or DIR is the network's own folder in the dataDir: then it is handed over to
host-local, under the locks of both. Files are made right and synced, and last the claim goes; if
that is cut short, do it again. Do it while no call runs, and exchange the plugin: the next call of
leaselog takes the folder over again. The history stays. Where DIR holds other files, or a lease
that leaselog never knew, nothing is changed.

A store that is damaged or a copy, or whose leases are not certain, is not exported. Where the folder
was deleted there is no lease to export.

Exit codes: 0 done; 3 not certain or damaged; 4 error; 64 usage.`,
		Example: "  leasectl export host-local /var/lib/cni/networks/pods --network pods",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.exportHostLocal(args[0], dry) },
	}
	hostLocal.Flags().BoolVar(&dry, "dry-run", false, "say what would be written, change nothing")
	cmd.AddCommand(changes(hostLocal), a.exportEventsCommand(), a.exportLeasesCommand())
	return cmd
}

func (a *app) exportHostLocal(dir string, dry bool) error {
	if dir == "" {
		return usagef("DIR is empty")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s, err := a.storeFor(dir)
	if err != nil || s == nil {
		return err
	}
	doubt, err := s.uncertain()
	if err != nil {
		return err
	}
	if doubt != "" {
		a.say("%s: %s: nothing is exported", s.title(), doubt)
		a.code = exitUnknown
		return nil
	}
	o, err := s.changing()
	if err != nil {
		return err
	}
	o.Warn = func(text string) { a.say("%s: %s", s.title(), text) }
	inPlace := samePlace(dir, s.folder)
	var e *allocator.Exported
	switch store := allocator.NewStore(o); {
	case inPlace && dry:
		if err = hostlocal.NoStrangers(dir); err == nil {
			e, err = store.Export()
		}
	case inPlace:
		e, err = store.HandOver()
	default:
		e, err = export(store, dir, dry)
	}
	if err != nil {
		return a.refused(fmt.Errorf("%s: %w", s.title(), err))
	}
	if e.Wiped {
		a.say("%s: %s was deleted, or is not leaselog's any more: there is no lease to export", s.title(), s.folder)
	}
	did, where := "exported", "to "+dir
	switch {
	case dry && inPlace:
		did, where = "would export", "in place: "+dir+" would be host-local's"
	case dry:
		did = "would export"
	case inPlace:
		where = "in place: " + dir + " is host-local's now"
	}
	a.say("%s: %s %s and %s as of event %d%s, %s", s.title(), did, count(len(e.Leases), "lease"),
		count(len(e.Cursors), "cursor"), e.Seq, ofTime(e.Time), where)
	if !dry && a.output == "table" {
		return nil
	}
	ans := newAnswer("export", exportAsked{a.dataDirs[0], s.network, dir, dry, stamp(a.now)})
	return show(a, ans, each(exportedFiles(s.network, e, inPlace)), layout[exportedFile]{"files", exportTable, exportCSV})
}

// ofTime is the time of an event in brackets, if it is known.
func ofTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " (" + stamp(t) + ")"
}

// storeFor returns the store to export: that of the network whose folder dir is, or the one that is meant.
func (a *app) storeFor(dir string) (*store, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	for _, s := range stores {
		if samePlace(dir, s.folder) {
			return s, nil
		}
	}
	return a.oneOf(stores)
}

// oneOf returns the store of the one network that is meant; nil if what is wrong was told.
func (a *app) oneOf(stores []*store) (*store, error) {
	switch {
	case len(stores) > 1:
		return nil, usagef("there are %d networks: say which by --network", len(stores))
	case len(stores) == 0 && !a.failed:
		return nil, a.noStore()
	case len(stores) == 0 || a.failed:
		return nil, nil
	}
	return stores[0], nil
}

// uncertain says in words why what the store holds may not be the whole truth; "" if it is.
func (s *store) uncertain() (string, error) {
	if s.broken != nil {
		return s.broken.Error(), nil
	}
	cov := s.reader.Coverage()
	switch {
	case s.claimDamage != nil:
		return s.claimDamage.Error(), nil
	case s.torn:
		return s.folder + " belongs to another store", nil
	case cov.Copy:
		return fmt.Sprintf("%s is a copy of a store: what was given after event %d is not in it", s.dir, cov.Durable), nil
	case !cov.Here:
		return "nothing witnesses the last event: " + filepath.Join(s.dir, "lock") + " is missing or unreadable", nil
	case cov.Fenced:
		return "the disk refused a write that was not undone", nil
	}
	past, err := s.past()
	if err != nil {
		return "", err
	}
	genesis, err := past.Genesis()
	damage := new(journal.CorruptionError)
	if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
		return "", nil // history alone; the leases are those of the newest snapshot, as for the plugin
	}
	if err != nil || !succeedsWithLoss(&genesis) {
		return "", err
	}
	h, err := replay.Read(s.records(0), replay.Options{HeldOnly: true, Wiped: s.wiped})
	if err != nil {
		return "", err
	}
	if s.wiped {
		return "", nil
	}
	return h.Unsettled(h.Last.Effective), nil
}

// succeedsWithLoss reports whether a journal begins with what was left of another one, of which events are lost.
func succeedsWithLoss(genesis *journal.Event) bool {
	for _, at := range genesis.Attributes {
		if at.Key == journal.AttributeLost {
			return at.Value != "0"
		}
	}
	return false
}

// refused tells of damage by the exit code, and returns any other error.
func (a *app) refused(err error) error {
	damage := new(journal.CorruptionError)
	if !errors.As(err, &damage) && !errors.Is(err, journal.ErrNewer) {
		return err
	}
	a.say("%v", err)
	a.code = exitUnknown
	return nil
}

// samePlace reports whether two paths lead to the same folder, be it one that is not there.
func samePlace(a, b string) bool {
	if x, err := os.Stat(a); err == nil {
		y, err := os.Stat(b)
		return err == nil && os.SameFile(x, y)
	}
	x, errX := filepath.EvalSymlinks(filepath.Dir(a))
	y, errY := filepath.EvalSymlinks(filepath.Dir(b))
	return errX == nil && errY == nil && x == y && filepath.Base(a) == filepath.Base(b)
}

// export builds a folder of its own.
func export(s *allocator.Store, dir string, dry bool) (*allocator.Exported, error) {
	dir, err := vacant(dir)
	if err == nil {
		err = outsideStores(dir)
	}
	if err != nil {
		return nil, err
	}
	e, err := s.Export()
	if err != nil || dry {
		return e, err
	}
	return e, buildFolder(dir, e)
}

// vacant checks that a folder can be put where dir is, and returns where that is.
func vacant(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err == nil {
			return "", fmt.Errorf("%s: leads nowhere", dir)
		}
		_, err := os.Stat(filepath.Dir(dir))
		return dir, err
	}
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty: it holds %s", dir, entries[0].Name())
	}
	return filepath.EvalSymlinks(dir)
}

// outsideStores returns an error for a folder among the files of stores: in one of theirs, every call would meet it as
// damage, beside one it would be in the way of a network of its name, and in a network's data folder it is a stranger
// in which host-local looks for leases.
func outsideStores(dir string) error {
	above, err := filepath.EvalSymlinks(filepath.Dir(dir))
	for ; err == nil; above = filepath.Dir(above) {
		_, noStore := journal.ReadMeta(above)
		_, _, noClaim := journal.ReadClaim(above)
		if filepath.Base(above) == historyName || noStore == nil || noClaim == nil {
			return fmt.Errorf("%s: is in %s, which belongs to leaselog", dir, above)
		}
		if above == filepath.Dir(above) {
			return nil
		}
	}
	return err
}

// buildFolder makes the folder under another name beside dir and syncs it, renames it, and syncs the name.
func buildFolder(dir string, e *allocator.Exported) (err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	lock, err := hostlocal.Lock(tmp, time.Now().Add(time.Minute))
	if err != nil {
		return err
	}
	defer lock.Close() // until the folder is whole, at its place
	for _, l := range e.Leases {
		if err := hostlocal.Put(tmp, l); err != nil {
			return err
		}
	}
	for _, c := range e.Cursors {
		if err := hostlocal.SetCursor(tmp, c); err != nil {
			return err
		}
	}
	if err := hostlocal.Sync(tmp); err != nil {
		return err
	}
	if err := unix.Rename(tmp, dir); err != nil { // os.Rename refuses an empty folder
		return &os.LinkError{Op: "rename", Old: tmp, New: dir, Err: err}
	}
	return journal.SyncDir(filepath.Dir(dir))
}

// exportedFiles lists what is written, left and removed.
func exportedFiles(network string, e *allocator.Exported, inPlace bool) []exportedFile {
	missing := make(map[string]bool)
	for _, l := range e.Missing {
		missing[l.IP.String()] = true
	}
	var items []exportedFile
	add := func(it exportedFile) {
		it.Schema, it.Network = "leaselog.export_file/1", network
		items = append(items, it)
	}
	for _, l := range e.Leases {
		it := exportedFile{Action: "write", File: l.IP.String(), ContainerID: l.ContainerID, IfName: l.IfName, Blocked: l.ContainerID == ""}
		if inPlace && !missing[it.File] {
			it.Action = "keep"
		}
		if !l.Time.IsZero() {
			it.Time = stamp(l.Time)
		}
		add(it)
	}
	for _, c := range e.Cursors {
		add(exportedFile{Action: "write", File: fmt.Sprintf("last_reserved_ip.%d", c.Set), Cursor: c.IP.String()})
	}
	if inPlace {
		for _, name := range e.Stale {
			add(exportedFile{Action: "remove", File: name})
		}
		if !e.Wiped {
			add(exportedFile{Action: "remove", File: journal.ClaimName})
		}
	}
	return items
}

var exportTable = []column[exportedFile]{
	{"action", func(it *exportedFile) string { return it.Action }},
	{"file", func(it *exportedFile) string { return it.File }},
	{"container", func(it *exportedFile) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *exportedFile) string { return it.IfName }},
	{"cursor", func(it *exportedFile) string { return it.Cursor }},
	{"time", func(it *exportedFile) string { return it.Time }},
}

// exportCSV are the columns of exported files; their order is fixed, new ones come last.
var exportCSV = []column[exportedFile]{
	{"network", func(it *exportedFile) string { return it.Network }},
	{"action", func(it *exportedFile) string { return it.Action }},
	{"file", func(it *exportedFile) string { return it.File }},
	{"container_id", func(it *exportedFile) string { return it.ContainerID }},
	{"ifname", func(it *exportedFile) string { return it.IfName }},
	{"blocked", func(it *exportedFile) string { return fmt.Sprint(it.Blocked) }},
	{"cursor", func(it *exportedFile) string { return it.Cursor }},
	{"time", func(it *exportedFile) string { return it.Time }},
}
