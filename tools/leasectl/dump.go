package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// snapshotSuffix ends the names of snapshots, snapshotMagic begins their bytes: no segment's
// third byte is like that.
const snapshotSuffix = ".snap"

var snapshotMagic = []byte{0xc5, 0x0f, 0xf8}

// dumpAsked is the question of dump as understood.
type dumpAsked struct {
	File    string `json:"file"`
	StoreID string `json:"store_id,omitempty"`
}

// dumpItem is an entry of a segment: an event, or what is wrong there.
type dumpItem struct {
	Schema   string     `json:"schema"`
	Offset   int64      `json:"offset"`
	Length   int        `json:"length"`
	Seq      uint64     `json:"seq"`
	Checksum string     `json:"checksum"` // "ok", or what is wrong
	Event    *eventItem `json:"event"`    // null if it can't be read
}

const recordSchema = "leaselog.record/1"

// snapshotHead is what a snapshot says beside its leases.
type snapshotHead struct {
	Network string       `json:"network"`
	StoreID string       `json:"store_id"`
	Seq     uint64       `json:"seq"`
	Head    string       `json:"head"` // SHA-256 of the record of event seq
	Time    string       `json:"time"`
	Clock   clockItem    `json:"clock"`
	Leases  int          `json:"leases"`
	Cursors []cursorItem `json:"cursors"`
}

func (a *app) dumpCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "dump FILE",
		Short: "A segment, packed file or snapshot as text",
		Long: `A segment, packed file or snapshot as text. A segment is read by the ID of its journal, which is
taken from META in the folder above the file's own unless --journal-id gives it. Of a packed file it
is said first what it holds and where it ends; the offset of an event is that of its frame. The exit
code is 4 for a file that is damaged: what can be read of it is shown.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.dump(args[0], id) },
	}
	cmd.Flags().StringVar(&id, "journal-id", "", "`ID` of the journal, 32 hex digits")
	return cmd
}

func (a *app) dump(path, idText string) error {
	var id journal.ID
	if idText != "" {
		var err error
		if id, err = journal.ParseID(idText); err != nil {
			return &usageError{err}
		}
	}
	snapshot, err := isSnapshot(path)
	if err != nil {
		return err
	}
	if snapshot {
		return a.dumpSnapshot(path, id)
	}
	if archive.IsName(filepath.Base(path)) {
		return a.dumpPacked(path, id)
	}
	if !journal.IsSegmentName(filepath.Base(path)) {
		return fmt.Errorf("%s: neither a snapshot nor named like a segment, by its first event in 20 decimal digits, nor like a packed file, FIRST-LAST.llz", path)
	}
	if idText == "" {
		if id, err = idAbove(path); err != nil {
			return err
		}
	}
	return a.dumpSegment(path, id)
}

// isSnapshot tells a snapshot from a segment, also where its name or its start is damaged.
func isSnapshot(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s: not a file: want a segment or a snapshot", path)
	}
	start := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(f, start); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return strings.HasSuffix(path, snapshotSuffix) || bytes.Equal(start, snapshotMagic), nil
}

// idAbove reads the journal's ID from META in the folder above the file's own.
func idAbove(path string) (journal.ID, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return journal.ID{}, err
	}
	meta, err := journal.ReadMeta(filepath.Dir(filepath.Dir(path)))
	if errors.Is(err, journal.ErrNoStore) || errors.Is(err, fs.ErrNotExist) {
		return journal.ID{}, fmt.Errorf("%s: there is no META above it to tell the journal's ID; give --journal-id", path)
	}
	return meta.ID, err
}

func (a *app) dumpSegment(path string, id journal.ID) error {
	ans := newAnswer("dump", dumpAsked{path, id.String()})
	items := []dumpItem{}
	for rec, err := range journal.ScanFile(path, id) {
		var damage *journal.CorruptionError
		if errors.As(err, &damage) {
			ans.doubt(replay.Unknown, "%v; reading stopped there", err)
			if len(items) == 0 {
				ans.doubt(replay.Unknown, "or the segment is not one of journal %s", id)
			}
			items = append(items, dumpItem{Schema: recordSchema, Offset: damage.Offset, Seq: uint64(damage.Seq), Checksum: damage.Cause.Error()})
			a.failed = true
			break
		}
		if err != nil {
			return err
		}
		ev := newEvent(&rec)
		ev.Evidence.StoreID = id.String()
		items = append(items, dumpItem{recordSchema, rec.Offset, len(rec.Raw), ev.Seq, "ok", &ev})
	}
	return show(a, ans, each(items), layout[dumpItem]{"records", dumpTable(), dumpCSV()})
}

// onEvent are columns of an event as columns of an entry, which may have none.
func onEvent(columns []column[eventItem]) []column[dumpItem] {
	out := make([]column[dumpItem], len(columns))
	for i, c := range columns {
		out[i] = column[dumpItem]{c.name, func(it *dumpItem) string {
			if it.Event == nil {
				return ""
			}
			return c.cell(it.Event)
		}}
	}
	return out
}

func entryColumns() []column[dumpItem] {
	return []column[dumpItem]{
		{"offset", func(it *dumpItem) string { return strconv.FormatInt(it.Offset, 10) }},
		{"length", func(it *dumpItem) string { return strconv.Itoa(it.Length) }},
		{"seq", func(it *dumpItem) string { return number(it.Seq) }},
		{"checksum", func(it *dumpItem) string { return it.Checksum }},
	}
}

// eventColumnsFrom is how many columns of an event dump leaves out: network and seq.
const eventColumnsFrom = 2

func dumpTable() []column[dumpItem] {
	return append(entryColumns(), onEvent(eventTable[eventColumnsFrom:])...)
}

func dumpCSV() []column[dumpItem] {
	columns := entryColumns()
	for _, c := range onEvent(eventCSV[eventColumnsFrom:]) {
		if !slices.ContainsFunc(columns, func(own column[dumpItem]) bool { return own.name == c.name }) {
			columns = append(columns, c)
		}
	}
	return columns
}

func (a *app) dumpSnapshot(path string, id journal.ID) error {
	snap, err := state.OpenSnapshot(path, id)
	if err != nil {
		return err
	}
	defer snap.Close()
	st := state.Over(snap)
	clock := st.LastClock()
	head := snapshotHead{
		Network: snap.Network(), StoreID: snap.ID().String(), Seq: uint64(snap.Seq()), Head: snap.Head().String(),
		Time: stamp(clock.Time()), Clock: newClock(clock), Leases: snap.Len(), Cursors: []cursorItem{},
	}
	for _, c := range st.Cursors() {
		head.Cursors = append(head.Cursors, cursorItem{c.Set, addrText(c.IP)})
	}
	ans := newAnswer("dump", dumpAsked{path, head.StoreID})
	ans.Header = head
	if err := snap.Verify(); err != nil {
		ans.doubt(replay.Unknown, "%v", err)
		a.failed = true
	}
	if a.output != "json" {
		a.sayHead(&head)
	}
	s := &store{network: head.Network, meta: journal.Meta{ID: snap.ID()}}
	items, err := s.snapshotLeases(st, filepath.Base(path))
	if err != nil {
		ans.doubt(replay.Unknown, "%v; reading stopped there", err)
		a.failed = true
	}
	return show(a, ans, each(items), layout[leaseItem]{"leases", leasesTable, leaseCSV})
}

// snapshotLeases returns the leases up to the first that can't be read.
func (s *store) snapshotLeases(st *state.State, file string) ([]leaseItem, error) {
	var items []leaseItem
	for l, err := range st.Leases() {
		if err != nil {
			return items, err
		}
		start := replay.Point{Seq: l.Start, Time: l.Clock.Time(), Effective: l.Clock.Time()}
		items = append(items, s.lease(&replay.Interval{Lease: &l, Start: start, File: file, LastSeq: st.Seq(), Doubts: []string{}}))
	}
	return items, nil
}

// sayHead tells on stderr what a snapshot is, where the output has items alone.
func (a *app) sayHead(h *snapshotHead) {
	a.say("snapshot of journal %s, network %s, after event %d (%s), %d leases", h.StoreID, h.Network, h.Seq, h.Time, h.Leases)
	a.say("record of event %d: SHA-256 %s; boot %s", h.Seq, h.Head, h.Clock.BootID)
	for _, c := range h.Cursors {
		a.say("range set %d goes on after %s", c.RangeSet, c.IP)
	}
}
