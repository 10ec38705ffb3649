package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/report"
)

// reportAsked is what report was told to do.
type reportAsked struct {
	scope
	File  string `json:"file"`
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	At    string `json:"at"`
}

// reportedItem is what a page shows of one network on one node.
type reportedItem struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	Node      string   `json:"node"`
	StoreID   string   `json:"store_id"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Events    int      `json:"events"`
	Leases    int      `json:"leases"`
	Addresses int      `json:"addresses"`
	Certainty string   `json:"certainty"`
	Doubts    []string `json:"doubts"`

	place string // as origin has it; the table always has the node
}

// reportRun is one run of the command: its flags.
type reportRun struct {
	file, format string
	window
}

func (a *app) reportCommand() *cobra.Command {
	var r reportRun
	cmd := &cobra.Command{
		Use:   "report -o FILE.html",
		Short: "Write a page that shows the addresses moving through time",
		Long: `Writes one HTML file that shows who held which address when, for all of the history or for the time between
--since and --until: the addresses as a grid, a slider through time, the leases of an address, a container or a pod,
and how much was given out and refused. It opens in a browser from the disk and loads nothing from anywhere. At any
instant it shows what "leasectl at" and "leasectl who" answer, with the same certainty.

FILE must not exist; it appears whole or not at all. FILE - is standard output. Without --network, the page has all
networks. It is as certain as its least certain network: see the exit codes.

` + timesHelp,
		Example: `  leasectl report -o monday.html --since "2026-11-02 00:00" --until "2026-11-03 00:00" --tz Europe/Vienna
  leasectl report -o all.html --data-dir /evidence/worker-3 --data-dir /evidence/worker-4`,
		Args: noArgument,
		RunE: func(*cobra.Command, []string) error {
			a.output = r.format
			if !slices.Contains(formats, r.format) {
				return usagef("%w", noSuch("output format", r.format, formats))
			}
			if r.file == "" {
				return usagef("say where to: -o FILE.html")
			}
			if r.file == "-" && isTerminal(a.stdout) {
				return usagef("standard output is a terminal: write to a file")
			}
			if err := r.parse(a); err != nil {
				return err
			}
			return a.report(&r)
		},
	}
	cmd.Flags().StringVarP(&r.file, "output", "o", "", "the `file` to write, - for standard output")
	cmd.Flags().StringVar(&r.format, "format", "table", "`format` of what is said of it: "+strings.Join(formats, ", "))
	r.flags(cmd, "`time`")
	_ = cmd.MarkFlagFilename("output", "html") // there is one
	return cmd
}

func (a *app) report(r *reportRun) error {
	stores, err := a.stores()
	if err != nil {
		return err
	}
	switch {
	case a.failed:
		return errors.New("not all stores can be read: no page was written")
	case len(stores) == 0:
		return a.noStore()
	}
	out, err := r.create(a)
	if err != nil {
		return err
	}
	defer out.discardOnSignal()()
	defer out.discard()
	roomForHistory()
	asked := reportAsked{a.scope(), cmp.Or(out.path, "-"), bound(r.since), bound(r.until), stamp(a.now)}
	ans := newAnswer("report", asked)
	dirs := strings.Join(a.dataDirs, ", ")
	page := report.New(report.Asked{DataDir: dirs, Network: a.network, Since: asked.Since, Until: asked.Until}, version, a.now)
	var items []reportedItem
	for _, s := range stores {
		it, err := a.reported(page, ans, s, r.window)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title(), err)
		}
		items = append(items, it)
	}
	a.exit(ans.worst, true)
	if err := a.bar.during("packing the page", func() error { return page.Page(out.w) }); err != nil {
		return fmt.Errorf("write %s: %w", asked.File, err)
	}
	if err := out.finish(); err != nil {
		return fmt.Errorf("write %s: %w", asked.File, err)
	}
	if out.file == nil { // there is no room for an answer beside it
		for _, d := range ans.Doubts {
			a.say("%s", d)
		}
		return nil
	}
	return show(a, ans, each(items), layout[reportedItem]{"networks", reportedTable, reportedCSV})
}

// create makes the file to write, before anything is read that takes long.
func (r *reportRun) create(a *app) (*newFile, error) {
	if r.file == "-" {
		return a.createFile("")
	}
	file, err := filepath.Abs(r.file)
	if err != nil {
		return nil, err
	}
	return a.createFile(file)
}

// roomForHistory lets a page take the memory that its history needs: it has all leases at once, and the collector would do nothing
// else but look for what is not there. GOMEMLIMIT and GOGC are obeyed instead if they are set.
func roomForHistory() {
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
	}
}

// reported adds to the page what one store and those that it has succeeded tell.
func (a *app) reported(page *report.Report, ans *answer, s *store, w window) (reportedItem, error) {
	own := newAnswer("", nil) // what is said of this store
	r := reading{events: map[*replay.History]*report.Events{}}
	eras, err := s.eras(own, r, w.since)
	if err != nil {
		return reportedItem{}, err
	}
	v := report.View{Network: s.network, Node: s.meta.Node, Title: s.title(), Since: w.since, Until: w.until, Certainty: own.worst, Doubts: own.Doubts}
	for i := range eras {
		v.Parts = append(v.Parts, eras[i].part(a, &r, w, i+1 == len(eras)))
	}
	if len(v.Parts) == 0 {
		return reportedItem{}, errors.New("no journal can be read")
	}
	slices.Reverse(v.Parts)
	runtime.GC() // what reading took is not needed any more: without it a long history has half as much memory besides
	var sum report.Summary
	err = a.bar.during("working out what addresses were, "+s.title(), func() (err error) {
		sum, err = page.Add(&v)
		return err
	})
	if err != nil {
		return reportedItem{}, err
	}
	ans.Stores, ans.worst = append(ans.Stores, own.Stores...), max(ans.worst, sum.Certainty)
	for _, d := range sum.Doubts {
		ans.doubt(replay.Certain, "%s", d)
	}
	return reportedItem{Schema: "leaselog.reported/1", Network: s.network, Node: s.meta.Node, StoreID: s.idText(), From: stamp(sum.From), To: stamp(sum.To),
		Events: sum.Events, Leases: sum.Leases, Addresses: sum.Addresses, Certainty: sum.Certainty.String(), Doubts: sum.Doubts, place: s.place}, nil
}

// part is the era as a page takes it.
func (e *era) part(a *app, r *reading, w window, oldest bool) report.Part {
	p := report.Part{ID: e.idText(), Dir: e.dir, Torn: e.torn}
	if e.reader != nil {
		p.Live = e.reader.Coverage().Live
	}
	if e.h == nil {
		p.Unread = fmt.Sprintf("%s: %v", e.title(), e.broken)
		return p
	}
	p.History, p.Events, p.Covered = e.h, r.events[e.h], e.covered(a.now)
	if since, until, ok := e.within(w, oldest); ok {
		p.Between = &report.Between{Since: since, Until: until}
	}
	if !e.until.IsZero() {
		p.Held, p.HeldCertainty = e.until.stillHeld(), e.held(w)
	}
	return p
}

var reportedTable = []column[reportedItem]{
	{"network", func(it *reportedItem) string { return it.Network }},
	{"node", func(it *reportedItem) string { return cmp.Or(it.place, it.Node) }},
	{"from", func(it *reportedItem) string { return it.From }},
	{"to", func(it *reportedItem) string { return it.To }},
	{"events", func(it *reportedItem) string { return strconv.Itoa(it.Events) }},
	{"leases", func(it *reportedItem) string { return strconv.Itoa(it.Leases) }},
	{"addresses", func(it *reportedItem) string { return strconv.Itoa(it.Addresses) }},
	{"certainty", func(it *reportedItem) string { return it.Certainty }},
}

// reportedCSV are the columns of networks on a page; their order is fixed, new ones come last.
var reportedCSV = []column[reportedItem]{
	{"network", func(it *reportedItem) string { return it.Network }},
	{"node", func(it *reportedItem) string { return it.Node }},
	{"store_id", func(it *reportedItem) string { return it.StoreID }},
	{"from", func(it *reportedItem) string { return it.From }},
	{"to", func(it *reportedItem) string { return it.To }},
	{"events", func(it *reportedItem) string { return strconv.Itoa(it.Events) }},
	{"leases", func(it *reportedItem) string { return strconv.Itoa(it.Leases) }},
	{"addresses", func(it *reportedItem) string { return strconv.Itoa(it.Addresses) }},
	{"certainty", func(it *reportedItem) string { return it.Certainty }},
	{"doubts", func(it *reportedItem) string { return strings.Join(it.Doubts, "; ") }},
}
