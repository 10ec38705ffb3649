package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// verifyAsked is the question of verify as understood.
type verifyAsked struct {
	scope
	At string `json:"at"`
}

// findingItem is something that verify found.
type findingItem struct {
	Schema   string `json:"schema"`
	Network  string `json:"network"`
	StoreID  string `json:"store_id"`
	Severity string `json:"severity"`
	File     string `json:"file"`
	Offset   *int64 `json:"offset"` // null if no byte is meant
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"` // below first_seq if no event is affected
	What     string `json:"what"`
	Affects  string `json:"affects"`
	Do       string `json:"do"`
	Node     string `json:"node"`
	Dir      string `json:"dir"`
	FoundIn  string `json:"found_in"` // the data folder that was asked
	origin
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Whether everything that is stored is as it was written",
		Long: `Checks everything that is stored: each record of each segment in use or archived and of each
packed file, the chain of their hashes, whether each event can have happened, and every block of
every snapshot and keyframe, held against what the events lead to; the index of packed files, and
what they have in common with segments. All findings are given, then one line with the verdict.

Severity: damage stops calls or puts leases in doubt, history touches what was and no lease,
note is nothing wrong but something that answers take into account. Exit code 1 with any
damage or history, 0 without. The store may be in use meanwhile.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.verify() },
	}
}

func (a *app) verify() error {
	a.gone, a.copies = true, true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("verify", verifyAsked{a.scope(), stamp(a.now)})
	var items []findingItem
	var sum tally
	for _, s := range stores {
		v, err := s.verify()
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		ans.Stores = append(ans.Stores, s.item(v.First, v.Last))
		sum.add(v)
		for _, f := range v.Findings {
			items = append(items, findingOf(s, v, f))
		}
	}
	ans.Verdict = sum.String()
	if a.failed {
		ans.worst = replay.Unknown
		ans.Verdict = "unknown: not everything could be looked at; the rest is " + ans.Verdict
	}
	if sum.bad() > 0 {
		a.code = exitNobody
	}
	if a.output != "table" {
		if a.output != "json" {
			a.say("%s", ans.Verdict)
		}
		return show(a, ans, each(items), layout[findingItem]{"findings", findingTable, findingCSV})
	}
	if len(items) > 0 {
		if err := show(a, ans, each(items), layout[findingItem]{"findings", findingTable, findingCSV}); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.stdout, ans.Verdict)
	return err
}

// verify verifies the store, or says that it is gone.
func (s *store) verify() (*replay.Verified, error) {
	if s.bare {
		return s.verifyArchive()
	}
	if !s.gone {
		folder := s.folder
		if history := filepath.Dir(s.dir); folder == "" && filepath.Base(history) == historyName {
			folder = filepath.Join(filepath.Dir(history), filepath.Base(s.dir))
		}
		return replay.Verify(s.dir, folder)
	}
	if s.broken != nil {
		return &replay.Verified{Findings: []replay.Finding{{Severity: replay.SeverityDamage,
			File: filepath.Join(s.folder, journal.ClaimName), Offset: -1, What: s.broken.Error(),
			Affects: "every call is refused, and where the store is can't be told", Do: "give --data-dir the historyDir of the network to repair"}}}, nil
	}
	return &replay.Verified{Journal: s.meta.ID, Findings: []replay.Finding{{Severity: replay.SeverityDamage,
		File: filepath.Join(s.folder, journal.ClaimName), Offset: -1,
		What:    fmt.Sprintf("names journal %s in %s, where there is none", s.meta.ID, s.dir),
		Affects: "every lease: the next ADD begins a new journal and gives addresses that may be in use",
		Do:      "put the store back, or remove the claim if the history was deleted on purpose"}}}, nil
}

func findingOf(s *store, v *replay.Verified, f replay.Finding) findingItem {
	it := findingItem{Schema: "leaselog.finding/1", Network: s.network, StoreID: v.Journal.String(), Severity: f.Severity.String(),
		File: f.File, FirstSeq: uint64(f.First), LastSeq: uint64(f.Last), What: f.What, Affects: f.Affects, Do: f.Do,
		Node: s.meta.Node, Dir: s.dir, FoundIn: s.foundIn, origin: s.origin}
	if f.Offset >= 0 {
		it.Offset = &f.Offset
	}
	return it
}

// tally adds up what was verified.
type tally struct {
	networks, events, segments, packed, snapshots int
	found                                         [3]int // by severity
}

func (t *tally) add(v *replay.Verified) {
	t.networks++
	t.events += v.Events
	t.segments += v.Segments
	t.packed += v.Packed
	t.snapshots += v.Snapshots
	for _, f := range v.Findings {
		t.found[f.Severity]++
	}
}

// bad returns how many findings are more than notes.
func (t *tally) bad() int { return t.found[replay.SeverityDamage] + t.found[replay.SeverityHistory] }

// String returns the verdict.
func (t *tally) String() string {
	packed := ""
	if t.packed > 0 {
		packed = count(t.packed, "packed file") + ", "
	}
	looked := fmt.Sprintf("%s, %s, %s, %s%s", count(t.networks, "network"), count(t.events, "event"),
		count(t.segments, "segment"), packed, count(t.snapshots, "snapshot"))
	if t.bad() == 0 {
		return fmt.Sprintf("clean: %s; %s", looked, count(t.found[replay.SeverityNote], "note"))
	}
	return fmt.Sprintf("damaged: %s that calls or leases depend on, %d of history alone, %s; looked at %s",
		count(t.found[replay.SeverityDamage], "finding"), t.found[replay.SeverityHistory], count(t.found[replay.SeverityNote], "note"), looked)
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// events says which events a finding is about.
func (it *findingItem) events() string {
	switch {
	case it.FirstSeq == 0:
		return ""
	case it.LastSeq <= it.FirstSeq:
		return number(it.FirstSeq)
	}
	return number(it.FirstSeq) + "-" + number(it.LastSeq)
}

func (it *findingItem) offset() string {
	if it.Offset == nil {
		return ""
	}
	return strconv.FormatInt(*it.Offset, 10)
}

var findingTable = []column[findingItem]{
	{"severity", func(it *findingItem) string { return it.Severity }},
	{"network", func(it *findingItem) string { return it.Network }},
	{"file", func(it *findingItem) string { return it.File }},
	{"byte", (*findingItem).offset},
	{"events", (*findingItem).events},
	{"what", func(it *findingItem) string { return it.What }},
	{"affects", func(it *findingItem) string { return it.Affects }},
	{"do", func(it *findingItem) string { return it.Do }},
}

var findingCSV = slices.Concat([]column[findingItem]{
	{"severity", func(it *findingItem) string { return it.Severity }},
	{"network", func(it *findingItem) string { return it.Network }},
	{"store_id", func(it *findingItem) string { return it.StoreID }},
	{"file", func(it *findingItem) string { return it.File }},
	{"offset", (*findingItem).offset},
	{"first_seq", func(it *findingItem) string { return number(it.FirstSeq) }},
	{"last_seq", func(it *findingItem) string { return number(it.LastSeq) }},
}, findingTable[5:], []column[findingItem]{
	{"node", func(it *findingItem) string { return it.Node }},
	{"dir", func(it *findingItem) string { return it.Dir }},
	{"found_in", func(it *findingItem) string { return it.FoundIn }},
})
