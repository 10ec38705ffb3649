package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// statsAsked is the question of stats as understood.
type statsAsked struct {
	scope
	At    string `json:"at"`
	Since string `json:"since,omitempty"` // with a window
	Until string `json:"until,omitempty"`
}

// statsItem is what can be counted of a network. What is not known is null.
type statsItem struct {
	Schema          string            `json:"schema"`
	Network         string            `json:"network"`
	StoreID         string            `json:"store_id"`
	Dir             string            `json:"dir"`
	Up              bool              `json:"up"` // it is known what is held
	Live            bool              `json:"live"`
	Wiped           bool              `json:"wiped"`
	Fenced          bool              `json:"fenced"`
	Held            *int              `json:"held"`
	Stale           *int              `json:"stale"` // of those held
	Blocked         *int              `json:"blocked"`
	Free            []json.Number     `json:"free"` // by range set
	Adds            *uint64           `json:"adds"`
	Dels            *uint64           `json:"dels"`
	Imports         *uint64           `json:"imports"`
	Released        map[string]uint64 `json:"released"`
	Refused         map[string]uint64 `json:"refused"`
	JournalBytes    *int64            `json:"journal_bytes"`
	Snapshots       *int              `json:"snapshots"`
	QuarantineFiles *int              `json:"quarantine_files"`
	QuarantineBytes *int64            `json:"quarantine_bytes"`
	Created         string            `json:"created"`
	LastSeq         *uint64           `json:"last_seq"`
	LastTime        string            `json:"last_time"`
	Damage          []string          `json:"damage"`
	Node            string            `json:"node"`
	FoundIn         string            `json:"found_in"` // the data folder that was asked
	Capacity        []json.Number     `json:"capacity"` // addresses that can be given, by range set
	Cooling         *int              `json:"cooling"`  // of these three this version has none: it gives whatever is free
	Reserved        *int              `json:"reserved"`
	Excluded        *int              `json:"excluded"`
	Use             *useItem          `json:"window,omitempty"`
	origin

	created, lastTime int64 // UTC nanoseconds; 0 if not known
}

// statsFlags are the flags of stats.
type statsFlags struct {
	prometheus string
	state      string
	window     useWindow
}

func (a *app) statsCommand() *cobra.Command {
	var f statsFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "How many leases, free addresses, calls and bytes there are",
		Long: `Counts by network: what is held, stale (leases of an earlier boot), blocked and free, which calls the
journal tells of, bytes on disk, damage. What can't be counted is left out, never shown as 0.

--prometheus writes a text file for node-exporter instead of the table: whole, or not at all. It has
counts alone, no container, pod, address or path. Counters cover all that the journal tells, so they
only grow; a repair that begins a new journal, and a backup put back, begin them anew, as
leaselog_store_created_timestamp_seconds may show. Numbers of calls are "at least": repeated DELs
and refusals are not all recorded.

--window, or --since and --until, also tells how addresses were used in that time: most leases held at once, ADDs and
DELs and how many an hour, how soon addresses were given again (median, shortest), the lease that was held longest.
An event is of the window by its effective time. Reuse is measured from the end of a lease to the ADD that gives the
address next: within a boot by the boot-time clock, else by the effective one; what is negative, or less than the error
of the clocks, is left out and said. Figures are of the part of the window that the journal covers.

This version cools down, reserves and excludes no address: those counts are 0. Capacity is of the newest ADD's ranges.

Counting reads the whole journal. With --state, a run keeps what it counted and the next one goes on
from there, if the journal still has the event up to which it was counted, by the hash that stands
for all events before it; otherwise it counts anew. Losing the file costs time alone.

Exit codes: 0 counted; 2 a window that the journal covers in part; 3 damage was met, or a store is not there, or
nothing is known of the window; 4 error. The text file is written in
all cases but those where the data folder or the file itself is the error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.prometheus != "" && changed(cmd.Flags(), "output") {
				return usagef("--prometheus has a format of its own: leave out --output")
			}
			if f.prometheus != "" && len(a.dataDirs) > 1 {
				return usagef("--prometheus tells of one node: --data-dir is given %d times", len(a.dataDirs))
			}
			if err := f.window.parse(a); err != nil {
				return err
			}
			if f.prometheus != "" && f.window.asked() {
				return usagef("--prometheus has counters, of which the server makes windows: leave out --window, --since and --until")
			}
			return a.stats(f)
		},
	}
	cmd.Flags().StringVar(&f.prometheus, "prometheus", "", "write a text file for node-exporter to `file`, - for standard output")
	cmd.Flags().StringVar(&f.state, "state", "", "keep counts in `file`, and go on from those that are there")
	f.window.flags(cmd)
	return cmd
}

func changed(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && f.Changed
}

func (a *app) stats(f statsFlags) error {
	a.gone, a.unopened, a.copies = true, true, true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	for _, file := range []string{f.prometheus, f.state} {
		if file != "" && file != "-" {
			if err := a.keepOut(file); err != nil {
				return err
			}
		}
	}
	tally := a.readCounters(f.state)
	ans := newAnswer("stats", statsAsked{a.scope(), stamp(a.now), bound(f.window.since), bound(f.window.until)})
	var items []statsItem
	for _, s := range stores {
		it := a.count(s, ans, tally)
		if f.window.asked() {
			if it.Use, err = a.measure(s, ans, &f.window); err != nil {
				a.fail(fmt.Errorf("%s: %w", s.title(), err))
				it.Use, ans.worst = &useItem{Since: stamp(f.window.since), Until: stamp(f.window.until)}, replay.Unknown
			}
		}
		items = append(items, it)
	}
	if len(stores) == 0 && !a.failed {
		a.say("%v", a.noStore())
	}
	a.exit(ans.worst, true)
	if f.prometheus != "" {
		for _, d := range ans.Doubts {
			a.say("%s", d)
		}
		err = a.writeMetrics(f.prometheus, exposed(items, stores), ans.worst == replay.Certain && !a.failed)
	} else {
		l := layout[statsItem]{"networks", statsTable, statsCSV}
		if f.window.asked() {
			l.table, l.csv = useTable, slices.Concat(statsCSV, useColumns())
		}
		err = show(a, ans, each(items), l)
	}
	if err != nil || f.state == "" {
		return err
	}
	return tally.write(f.state, a.network != "" || a.failed)
}

// count looks at one store and takes what is to be said of it into the answer.
func (a *app) count(s *store, ans *answer, tally *counters) statsItem {
	it := statsItem{Schema: "leaselog.network_stats/1", Network: s.network, Dir: s.dir, Damage: []string{},
		Node: s.meta.Node, FoundIn: s.foundIn, origin: s.origin}
	if s.meta.ID != (journal.ID{}) {
		it.StoreID = s.meta.ID.String()
	}
	unknown := func(err error) statsItem {
		it.Damage = append(it.Damage, err.Error())
		ans.take(s, replay.Point{}, replay.Point{})
		ans.doubt(replay.Unknown, "%v", err)
		return it
	}
	switch {
	case s.unopened != nil:
		ans.worst = replay.Unknown // the error was told
		return it
	case s.gone:
		return unknown(s.goneError())
	}
	c, err := s.census(tally.of(s.meta.ID))
	if err != nil {
		a.fail(fmt.Errorf("%s: %w", s.title(), err))
		ans.worst = replay.Unknown
		return it
	}
	c.describe(&it)
	if c.counts != nil {
		tally.keep(s.meta.ID, *c.counts)
	}
	if c.unlisted != nil {
		a.fail(fmt.Errorf("%s: %w", s.title(), c.unlisted))
	}
	said := *c.store // the look that counts
	said.broken = nil
	said.doubts = slices.DeleteFunc(slices.Clone(said.doubts), func(d string) bool { return slices.Contains(it.Damage, d) })
	ans.take(&said, replay.Point{}, c.lastPoint())
	for _, d := range it.Damage {
		ans.doubt(replay.Unknown, "%s: %s", s.title(), d)
	}
	if gone := s.pruned(); gone != nil && tally.of(s.meta.ID).Seq == 0 {
		ans.doubt(replay.Certain, "%s: adds, dels, releases and refusals are counted from event %d on: events %d to %d were %v", s.title(),
			gone.Last+1, gone.First, gone.Last, gone.Cause)
	}
	if it.Fenced {
		ans.worst = replay.Unknown
	}
	return it
}

// lastPoint is the newest event's place. Its time is as recorded: correcting it takes the events of its whole boot.
func (c *census) lastPoint() replay.Point {
	seq, t := c.last()
	return replay.Point{Seq: seq, Time: t, Effective: t}
}

// describe fills in what the census counted.
func (c *census) describe(it *statsItem) {
	s := c.store
	it.Wiped, it.Up = s.wiped, c.known()
	it.Damage = append(it.Damage, c.damage...)
	if s.reader != nil {
		cov := s.reader.Coverage()
		it.Live, it.Fenced = cov.Live, cov.Fenced
	}
	if s.broken == nil && s.meta.ID != (journal.ID{}) {
		it.Created, it.created = stamp(s.meta.Created), s.meta.Created.UnixNano()
	}
	if c.unlisted == nil {
		it.JournalBytes, it.Snapshots = &c.journalBytes, &c.snapshots
		it.QuarantineFiles, it.QuarantineBytes = &c.setAside, &c.setAsideBytes
	}
	if c.st != nil {
		it.Held, it.Stale, it.Blocked = &c.held, &c.stale, &c.blocked
		for i, n := range c.free {
			it.Free = append(it.Free, json.Number(n.String()))
			it.Capacity = append(it.Capacity, json.Number(c.capacity[i].String()))
		}
		none := 0
		it.Cooling, it.Reserved, it.Excluded = &none, &none, &none
		seq, t := c.last()
		n := uint64(seq)
		it.LastSeq = &n
		if seq != 0 {
			it.LastTime, it.lastTime = stamp(t), t.UnixNano()
		}
	}
	if c.counts == nil {
		return
	}
	it.Adds, it.Dels, it.Imports = &c.counts.Adds, &c.counts.Dels, &c.counts.Imports
	it.Released, it.Refused = byReason(c.counts.Released), byCause(c.counts.Refused)
}

// otherwise is the name of what this version has no name for.
const otherwise = "other"

// byReason names the reasons. Those that there are have a number, be it 0.
func byReason(counted map[journal.Reason]uint64) map[string]uint64 {
	named := make(map[string]uint64)
	for r := journal.ReasonDel; r <= journal.ReasonWiped; r++ {
		named[r.String()] = counted[r]
	}
	for r, n := range counted {
		if r < journal.ReasonDel || r > journal.ReasonWiped {
			named[otherwise] += n
		}
	}
	return named
}

// causes are the names of the codes that an ADD is refused with.
var causes = map[int]string{
	allocator.CodeExhausted:    "exhausted",
	allocator.CodeDuplicate:    "duplicate",
	allocator.CodeNotAvailable: "not_available",
}

func byCause(counted map[int]uint64) map[string]uint64 {
	named := make(map[string]uint64)
	for code, cause := range causes {
		named[cause] = counted[code]
	}
	for code, n := range counted {
		if causes[code] == "" {
			named[otherwise] += n
		}
	}
	return named
}

// exposed picks the stores that are told of by network alone: of several that are called the same, the one that the
// network's folder is claimed by. If that does not tell them apart the network is down.
func exposed(items []statsItem, stores []*store) []statsItem {
	claimed := func(i int) bool {
		s := stores[i]
		return s.folder != "" && !s.torn && !s.wiped && !s.gone && s.broken == nil && s.unopened == nil
	}
	byName := make(map[string][]int)
	for i := range items {
		name := labelText(items[i].Network)
		byName[name] = append(byName[name], i)
	}
	var picked []statsItem
	for name, same := range byName {
		if len(same) > 1 {
			same = slices.DeleteFunc(same, func(i int) bool { return !claimed(i) })
		}
		if len(same) != 1 {
			picked = append(picked, statsItem{Network: name})
			continue
		}
		picked = append(picked, items[same[0]])
	}
	slices.SortFunc(picked, func(x, y statsItem) int { return cmp.Compare(x.Network, y.Network) })
	return picked
}

// unknownText is the text of a count, "unknown" for nil.
func unknownText[N int | int64 | uint64](n *N) string {
	if n == nil {
		return replay.Unknown.String()
	}
	return fmt.Sprint(*n)
}

func (it *statsItem) freeText() string { return sumText(it.Free) }

// sumText is the text of numbers by range set.
func sumText(numbers []json.Number) string {
	if numbers == nil {
		return replay.Unknown.String()
	}
	var texts []string
	for _, n := range numbers {
		texts = append(texts, n.String())
	}
	return strings.Join(texts, "+")
}

// sum adds up counts by name.
func sum(counted map[string]uint64) string {
	if counted == nil {
		return replay.Unknown.String()
	}
	n := new(big.Int)
	for _, m := range counted {
		n.Add(n, new(big.Int).SetUint64(m))
	}
	return n.String()
}

// named is the text of one of the counts by name.
func named(counted map[string]uint64, name string) string {
	if counted == nil {
		return replay.Unknown.String()
	}
	return strconv.FormatUint(counted[name], 10)
}

var statsTable = []column[statsItem]{
	{"network", func(it *statsItem) string { return it.Network }},
	{"held", func(it *statsItem) string { return unknownText(it.Held) }},
	{"stale", func(it *statsItem) string { return unknownText(it.Stale) }},
	{"blocked", func(it *statsItem) string { return unknownText(it.Blocked) }},
	{"free", (*statsItem).freeText},
	{"adds", func(it *statsItem) string { return unknownText(it.Adds) }},
	{"dels", func(it *statsItem) string { return unknownText(it.Dels) }},
	{"refused", func(it *statsItem) string { return sum(it.Refused) }},
	{"events", func(it *statsItem) string { return unknownText(it.LastSeq) }},
	{"bytes", func(it *statsItem) string { return unknownText(it.JournalBytes) }},
	{"damage", func(it *statsItem) string { return strconv.Itoa(len(it.Damage)) }},
}

// statsCSV are the columns of a network's counts; their order is fixed, new ones come last.
var statsCSV = statsColumns()

func statsColumns() []column[statsItem] {
	columns := []column[statsItem]{
		{"network", func(it *statsItem) string { return it.Network }},
		{"store_id", func(it *statsItem) string { return it.StoreID }},
		{"dir", func(it *statsItem) string { return it.Dir }},
		{"up", func(it *statsItem) string { return strconv.FormatBool(it.Up) }},
		{"live", func(it *statsItem) string { return strconv.FormatBool(it.Live) }},
		{"wiped", func(it *statsItem) string { return strconv.FormatBool(it.Wiped) }},
		{"fenced", func(it *statsItem) string { return strconv.FormatBool(it.Fenced) }},
		{"held", func(it *statsItem) string { return unknownText(it.Held) }},
		{"stale", func(it *statsItem) string { return unknownText(it.Stale) }},
		{"blocked", func(it *statsItem) string { return unknownText(it.Blocked) }},
		{"free", (*statsItem).freeText},
		{"adds", func(it *statsItem) string { return unknownText(it.Adds) }},
		{"dels", func(it *statsItem) string { return unknownText(it.Dels) }},
		{"imports", func(it *statsItem) string { return unknownText(it.Imports) }},
	}
	for r := journal.ReasonDel; r <= journal.ReasonWiped; r++ {
		columns = append(columns, column[statsItem]{"released_" + r.String(), func(it *statsItem) string { return named(it.Released, r.String()) }})
	}
	for code := allocator.CodeExhausted; code <= allocator.CodeNotAvailable; code++ {
		columns = append(columns, column[statsItem]{"refused_" + causes[code], func(it *statsItem) string { return named(it.Refused, causes[code]) }})
	}
	return append(columns,
		column[statsItem]{"journal_bytes", func(it *statsItem) string { return unknownText(it.JournalBytes) }},
		column[statsItem]{"snapshots", func(it *statsItem) string { return unknownText(it.Snapshots) }},
		column[statsItem]{"quarantine_files", func(it *statsItem) string { return unknownText(it.QuarantineFiles) }},
		column[statsItem]{"quarantine_bytes", func(it *statsItem) string { return unknownText(it.QuarantineBytes) }},
		column[statsItem]{"created", func(it *statsItem) string { return it.Created }},
		column[statsItem]{"last_seq", func(it *statsItem) string { return unknownText(it.LastSeq) }},
		column[statsItem]{"last_time", func(it *statsItem) string { return it.LastTime }},
		column[statsItem]{"damage", func(it *statsItem) string { return strings.Join(it.Damage, "; ") }},
		column[statsItem]{"node", func(it *statsItem) string { return it.Node }},
		column[statsItem]{"found_in", func(it *statsItem) string { return it.FoundIn }},
		column[statsItem]{"capacity", func(it *statsItem) string { return sumText(it.Capacity) }},
		column[statsItem]{"cooling", func(it *statsItem) string { return unknownText(it.Cooling) }},
		column[statsItem]{"reserved", func(it *statsItem) string { return unknownText(it.Reserved) }},
		column[statsItem]{"excluded", func(it *statsItem) string { return unknownText(it.Excluded) }},
	)
}
