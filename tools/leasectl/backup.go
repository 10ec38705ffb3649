package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/backup"
)

// backupAsked is what backup was told to do.
type backupAsked struct {
	scope
	File     string   `json:"file"`
	Networks []string `json:"networks"` // empty for all
	Link     bool     `json:"link"`
	Damaged  bool     `json:"damaged"`
	At       string   `json:"at"`
}

// backedUpItem is a store in a backup.
type backedUpItem struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	Node      string   `json:"node"`
	StoreID   string   `json:"store_id"`
	Time      string   `json:"time"`              // when it was copied
	Live      bool     `json:"live"`              // it was in use then: the backup tells all up to that time
	Covered   string   `json:"covered,omitempty"` // or, less the error of the clock, to this one; absent if up to its last event
	FirstSeq  uint64   `json:"first_seq"`
	LastSeq   uint64   `json:"last_seq"`
	FirstTime string   `json:"first_time"`
	LastTime  string   `json:"last_time"`
	Events    uint64   `json:"events"`
	Files     int      `json:"files"`
	Bytes     int64    `json:"bytes"`  // of the files, before they are packed
	SHA256    string   `json:"sha256"` // of the last event's record
	Damage    []string `json:"damage"`
	LeftOut   []string `json:"left_out"`
}

// backupRun is one run of the command: its flags.
type backupRun struct {
	file, format  string
	networks      []string
	link, damaged bool
}

func (a *app) backupCommand() *cobra.Command {
	var b backupRun
	cmd := &cobra.Command{
		Use:   "backup -o FILE",
		Short: "Write stores to a backup file",
		Long: `Writes the stores of all networks, or of those that --network names, to one file: all of their history up to
now. No lock is taken, the plugin may run meanwhile. FILE must not exist; it appears whole, read back and
checked, or not at all. It takes as much room again beside it while it is made, less with --link.

FILE - is standard output, which can't be read back; then the room is in TMPDIR. A backup is a tar file in
zstd: tar --zstd -tf FILE lists it, and manifest.json in it says what it holds.

A store in which something is damaged is not backed up, because a backup is to be relied on: see leasectl
verify and leasectl repair. Damage to history alone stays for ever: --damaged keeps the rest, and says in the
manifest what is damaged.

Exit codes: 0 done; 4 error; 64 usage.`,
		Example: "  leasectl backup -o /backup/$(hostname)-$(date +%F).leaselog",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.output = b.format
			if !slices.Contains(formats, b.format) {
				return usagef("%w", noSuch("output format", b.format, formats))
			}
			if b.file == "" {
				return usagef("say where to: -o FILE")
			}
			return a.backup(&b)
		},
	}
	cmd.Flags().StringVarP(&b.file, "output", "o", "", "the `file` to write, - for standard output")
	cmd.Flags().StringVar(&b.format, "format", "table", "`format` of what is said of it: "+strings.Join(formats, ", "))
	cmd.Flags().StringArrayVar(&b.networks, "network", nil, "only the network of this `name`; several if given more than once")
	cmd.Flags().BoolVar(&b.link, "link", false, "while FILE is made, share the archived files of stores on the same file system")
	cmd.Flags().BoolVar(&b.damaged, "damaged", false, "back up stores in which something is damaged, too")
	_ = cmd.MarkFlagFilename("output") // there is one
	return cmd
}

func (a *app) backup(b *backupRun) error {
	dirs, err := a.toBackUp(b.networks)
	if err != nil {
		return err
	}
	o := backup.Options{CopyOptions: backup.CopyOptions{Link: b.link, Damaged: b.damaged}, Version: version}
	var m *backup.Manifest
	file := b.file
	if file == "-" {
		if isTerminal(a.stdout) {
			return usagef("standard output is a terminal: write to a file")
		}
		m, err = backup.Stream(a.stdout, os.TempDir(), dirs, o)
	} else {
		if file, err = filepath.Abs(file); err == nil {
			err = a.keepOut(file)
		}
		if err == nil {
			m, err = backup.Write(file, dirs, o)
		}
	}
	if errors.Is(err, backup.ErrDamaged) {
		err = fmt.Errorf("%w; see leasectl verify and leasectl repair, and --damaged", err)
	}
	if err != nil {
		return err
	}
	items := make([]backedUpItem, len(m.Stores))
	for i := range m.Stores {
		items[i] = newBackedUp(&m.Stores[i])
		a.sayBackedUp(&m.Stores[i])
	}
	if b.file == "-" {
		return nil
	}
	asked := backupAsked{a.scope(), file, append([]string{}, b.networks...), b.link, b.damaged, stamp(a.now)}
	return show(a, newAnswer("backup", asked), each(items), layout[backedUpItem]{"networks", backedUpTable, backedUpCSV})
}

// toBackUp finds the stores' folders. If one of them can't be read, nothing is backed up: a backup that lacks it would look complete.
func (a *app) toBackUp(networks []string) ([]string, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	var dirs, found []string
	for _, s := range stores {
		if len(networks) > 0 && !slices.Contains(networks, s.network) {
			continue
		}
		if s.broken != nil {
			return nil, fmt.Errorf("%s: %w; see leasectl repair", s.title(), s.broken)
		}
		if s.bare {
			return nil, fmt.Errorf("%s: an archive by itself is not backed up: copy it", s.dir)
		}
		dirs, found = append(dirs, s.dir), append(found, s.network)
	}
	switch {
	case a.failed:
		return nil, errors.New("not all stores can be read: nothing was backed up")
	case len(stores) == 0:
		return nil, a.noStore()
	}
	for _, n := range networks {
		if !slices.Contains(found, n) {
			return nil, noNetwork(n, stores)
		}
	}
	return dirs, nil
}

// sayBackedUp says what of a store the backup has not, or has damaged.
func (a *app) sayBackedUp(s *backup.Stored) {
	for _, d := range s.Damage {
		a.say("network %q: damaged in the backup as in the store: %s", s.Network, d)
	}
	for _, name := range s.Left {
		a.say("network %q: left out, since nothing in a store is called so: %s", s.Network, name)
	}
}

func newBackedUp(s *backup.Stored) backedUpItem {
	return backedUpItem{Schema: "leaselog.backed_up/1", Network: s.Network, Node: s.Node, StoreID: s.Journal, Time: stamp(s.Taken), Live: s.Live, Covered: coveredText(s),
		FirstSeq: s.FirstSeq, LastSeq: s.LastSeq, FirstTime: stamp(s.FirstTime), LastTime: stamp(s.LastTime), Events: s.Events,
		Files: len(s.Files), Bytes: s.Bytes(), SHA256: s.Head, Damage: append([]string{}, s.Damage...), LeftOut: append([]string{}, s.Left...)}
}

// coveredText is the time up to which a backup tells all; "" if up to its last event.
func coveredText(s *backup.Stored) string {
	if t := s.Covered(); !t.IsZero() {
		return stamp(t)
	}
	return ""
}

var backedUpTable = []column[backedUpItem]{
	{"network", func(it *backedUpItem) string { return it.Network }},
	{"node", func(it *backedUpItem) string { return it.Node }},
	{"events", func(it *backedUpItem) string { return number(it.FirstSeq) + "-" + number(it.LastSeq) }},
	{"last", func(it *backedUpItem) string { return it.LastTime }},
	{"files", func(it *backedUpItem) string { return strconv.Itoa(it.Files) }},
	{"bytes", func(it *backedUpItem) string { return strconv.FormatInt(it.Bytes, 10) }},
	{"sha256", func(it *backedUpItem) string { return it.SHA256 }},
}

// backedUpCSV are the columns of stores in a backup; their order is fixed, new ones come last.
var backedUpCSV = []column[backedUpItem]{
	{"network", func(it *backedUpItem) string { return it.Network }},
	{"node", func(it *backedUpItem) string { return it.Node }},
	{"store_id", func(it *backedUpItem) string { return it.StoreID }},
	{"time", func(it *backedUpItem) string { return it.Time }},
	{"live", func(it *backedUpItem) string { return strconv.FormatBool(it.Live) }},
	{"first_seq", func(it *backedUpItem) string { return number(it.FirstSeq) }},
	{"last_seq", func(it *backedUpItem) string { return number(it.LastSeq) }},
	{"first_time", func(it *backedUpItem) string { return it.FirstTime }},
	{"last_time", func(it *backedUpItem) string { return it.LastTime }},
	{"events", func(it *backedUpItem) string { return strconv.FormatUint(it.Events, 10) }},
	{"files", func(it *backedUpItem) string { return strconv.Itoa(it.Files) }},
	{"bytes", func(it *backedUpItem) string { return strconv.FormatInt(it.Bytes, 10) }},
	{"sha256", func(it *backedUpItem) string { return it.SHA256 }},
	{"damage", func(it *backedUpItem) string { return strings.Join(it.Damage, "; ") }},
	{"left_out", func(it *backedUpItem) string { return strings.Join(it.LeftOut, "; ") }},
	{"covered", func(it *backedUpItem) string { return it.Covered }},
}
