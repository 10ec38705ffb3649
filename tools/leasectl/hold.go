package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
)

// holdAsked is what hold was told to do.
type holdAsked struct {
	scope
	Since   string `json:"since,omitempty"`
	Until   string `json:"until,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	StoreID string `json:"store_id,omitempty"`
	Note    string `json:"note,omitempty"`
	At      string `json:"at"`
}

// keptItem is a hold.
type keptItem struct {
	Schema    string        `json:"schema"`
	Network   string        `json:"network"`
	Node      string        `json:"node"`
	StoreID   string        `json:"store_id"` // whose event it is
	Seq       uint64        `json:"seq"`
	Time      string        `json:"time"`
	Since     string        `json:"since,omitempty"`
	Until     string        `json:"until,omitempty"`
	Note      string        `json:"note"`
	By        string        `json:"by"`
	Active    bool          `json:"active"`
	Succeeded bool          `json:"succeeded"` // it is an event of a journal that the store's has succeeded
	Released  *releasedItem `json:"released,omitempty"`
	origin
}

// releasedItem is how a hold ended.
type releasedItem struct {
	Seq  uint64 `json:"seq"`
	Time string `json:"time"`
	Note string `json:"note"`
	By   string `json:"by"`
}

// holdFlags are the flags of hold's commands.
type holdFlags struct {
	since, until, note string
	all                bool
	id                 string
	lockTimeout        time.Duration
}

func (a *app) holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep a part of the history from being pruned",
		Long: `A hold keeps all events from a time on from being pruned, whatever the retention, until it is
released. It is an event of the journal, and so are its release, who did it and why. A hold goes on in the
journal that a repair begins.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(changes(a.holdAddCommand()), a.holdListCommand(), changes(a.holdReleaseCommand()))
	return cmd
}

func (a *app) holdAddCommand() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "add --since TIME --note TEXT",
		Short: "Keep all events from a time on",
		Long: `Keeps all events that may be of a time, or later, from being pruned: in one network or in all of them.
--until says which time is meant; the hold does not end with it, and later events stay, too, because what goes
is always a beginning of the history.

` + timesHelp + `

Exit codes: 0 recorded; 4 error; 64 usage.`,
		Example: "  leasectl hold add --since 2026-11-01T00:00:00Z --until 2026-11-08T00:00:00Z --note 'case 17' --network pods",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if f.since == "" {
				return usagef("hold what? give --since")
			}
			return a.holdAdd(&f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "keep events from this `time` on")
	flags.StringVar(&f.until, "until", "", "`time` up to which events are of interest")
	f.common(cmd)
	return cmd
}

// common are the flags of the commands that record an event.
func (f *holdFlags) common(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.note, "note", "", "why, recorded as `text`")
	cmd.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
}

// understand checks what the commands that record an event have in common.
func (f *holdFlags) understand() error {
	switch {
	case f.note == "":
		return usagef("why? give --note")
	case f.lockTimeout <= 0:
		return usagef("--lock-timeout %s: want more than 0", f.lockTimeout)
	}
	return checkText("note", f.note)
}

func (a *app) holdListCommand() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The holds that there are",
		Long: `Lists the holds that keep events from being pruned; with --all also those that were released, as far as the
history goes. Where events are lost, or a journal that was succeeded, a hold may be missing, and that is said on
stderr; nothing is pruned then, unless by leasectl prune --despite-lost. Takes no lock.

Exit codes: 0 also if there are none; 4 error; 64 usage.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.holdList(&f) },
	}
	cmd.Flags().BoolVar(&f.all, "all", false, "also those that were released")
	return cmd
}

func (a *app) holdReleaseCommand() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "release SEQ --note TEXT",
		Short: "End a hold",
		Long: `Ends the hold that is the event of this number. Where several networks have one, --network says which is
meant, and --store-id where a journal and one that it has succeeded both have.

Exit codes: 0 released; 1 there is no such hold, or it has ended already; 4 error; 64 usage.`,
		Example: "  leasectl hold release 40312 --note 'case 17 is closed' --network pods",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("release what? give the number of a hold, which hold list has")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || seq == 0 {
				return usagef("hold %q: want its number, which hold list has", args[0])
			}
			return a.holdRelease(&f, journal.Seq(seq))
		},
	}
	cmd.Flags().StringVar(&f.id, "store-id", "", "the journal whose event it is, by its `ID`")
	f.common(cmd)
	return cmd
}

func (a *app) holdAdd(f *holdFlags) error {
	if err := f.understand(); err != nil {
		return err
	}
	since, err := a.instant("since", f.since)
	if err != nil {
		return err
	}
	h := journal.Hold{Since: since.UnixNano()}
	asked := holdAsked{scope: a.scope(), Since: stamp(since), Note: f.note, At: stamp(a.now)}
	if f.until != "" {
		until, err := a.instant("until", f.until)
		if err != nil {
			return err
		}
		if until.Before(since) {
			return usagef("--until is before --since")
		}
		h.Until, asked.Until = until.UnixNano(), stamp(until)
	}
	stores, err := a.held()
	if err != nil {
		return err
	}
	var items []keptItem
	for _, s := range stores {
		ev := &journal.Event{Kind: journal.KindHold, Text: f.note}
		ev.SetHold(h)
		if err := s.record(a, f, ev); err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		items = append(items, s.keptBy(&compaction.Hold{Seq: ev.Seq, Journal: s.meta.ID, Clock: ev.Clock, Since: h.Since, Until: h.Until, Note: ev.Text, By: whoRuns()}))
	}
	return show(a, newAnswer("hold", asked), each(items), layout[keptItem]{"holds", keptTable, keptCSV})
}

// held returns the stores that are meant.
func (a *app) held() ([]*store, error) {
	a.copies = true
	stores, err := a.stores()
	if err == nil && len(stores) == 0 && !a.failed {
		err = a.noStore()
	}
	return stores, err
}

// record records an event about a hold.
func (s *store) record(a *app, f *holdFlags, ev *journal.Event) error {
	if s.broken != nil {
		return s.broken
	}
	o, err := s.changing()
	if err != nil {
		return err
	}
	o.LockTimeout = f.lockTimeout
	o.Warn = func(text string) { a.say("%s: %s", s.title(), text) }
	ev.Attributes = []journal.Attribute{{Key: journal.AttributeBy, Value: whoRuns()}}
	st := allocator.NewStore(o)
	if err := st.Note(ev); err != nil {
		return err
	}
	st.Maintain()
	return nil
}

func (a *app) holdList(f *holdFlags) error {
	stores, err := a.held()
	if err != nil {
		return err
	}
	var items []keptItem
	for _, s := range stores {
		for _, h := range a.holds(s) {
			if f.all || h.Active() {
				items = append(items, s.keptBy(&h))
			}
		}
	}
	return show(a, newAnswer("hold", holdAsked{scope: a.scope(), At: stamp(a.now)}), each(items), layout[keptItem]{"holds", keptTable, keptCSV})
}

// holds returns the holds of a store. What goes wrong is reported.
func (a *app) holds(s *store) []compaction.Hold {
	err := s.broken
	var holds []compaction.Hold
	var doubts []string
	if err == nil {
		holds, doubts, err = compaction.Holds(s.dir)
	}
	for _, text := range doubts {
		a.say("%s: %s", s.title(), text)
	}
	if err != nil {
		a.fail(fmt.Errorf("%s: %w", s.title(), err))
	}
	return holds
}

func (a *app) holdRelease(f *holdFlags, seq journal.Seq) error {
	if err := f.understand(); err != nil {
		return err
	}
	var id journal.ID
	if f.id != "" {
		var err error
		if id, err = journal.ParseID(f.id); err != nil {
			return usagef("--store-id: %w", err)
		}
	}
	stores, err := a.held()
	if err != nil {
		return err
	}
	type found struct {
		s *store
		h compaction.Hold
	}
	var meant []found
	for _, s := range stores {
		for _, h := range a.holds(s) {
			if h.Seq == seq && (id == journal.ID{} || id == h.Journal) {
				meant = append(meant, found{s, h})
			}
		}
	}
	ended := len(meant)
	meant = slices.DeleteFunc(meant, func(m found) bool { return !m.h.Active() })
	ans := newAnswer("hold", holdAsked{scope: a.scope(), Seq: uint64(seq), StoreID: f.id, Note: f.note, At: stamp(a.now)})
	var items []keptItem
	switch {
	case a.failed:
		return errors.New("whether another hold is meant, too, can't be told: nothing was released")
	case len(meant) > 1:
		return fmt.Errorf("%d holds are events of number %d: give --network, or --store-id", len(meant), seq)
	case len(meant) == 1:
		s, h := meant[0].s, meant[0].h
		if err := s.releaseHold(a, f, &h); err != nil {
			return fmt.Errorf("%s: %w", s.title(), err)
		}
		items = append(items, s.keptBy(&h))
	case ended > 0:
		a.say("the hold of event %d has ended already", seq)
		a.code = exitNobody
	default:
		a.say("no hold is event %d", seq)
		a.code = exitNobody
	}
	return show(a, ans, each(items), layout[keptItem]{"holds", keptTable, keptCSV})
}

// releaseHold ends a hold.
func (s *store) releaseHold(a *app, f *holdFlags, h *compaction.Hold) error {
	ev := &journal.Event{Kind: journal.KindUnhold, Text: f.note}
	of := journal.Hold{Of: h.Seq}
	if h.Succeeded {
		of.Journal = h.Journal
	}
	ev.SetHold(of)
	if err := s.record(a, f, ev); err != nil {
		return err
	}
	h.Released, h.ReleaseClock, h.ReleaseNote, h.ReleaseBy = ev.Seq, ev.Clock, ev.Text, whoRuns()
	return nil
}

// keptBy describes a hold.
func (s *store) keptBy(h *compaction.Hold) keptItem {
	times := newLegalHold(journal.Hold{Since: h.Since, Until: h.Until})
	it := keptItem{Schema: "leaselog.kept/1", Network: s.network, Node: s.meta.Node, StoreID: h.Journal.String(), Seq: uint64(h.Seq), Time: stamp(h.Clock.Time()),
		Since: times.Since, Until: times.Until, Note: h.Note, By: h.By, Active: h.Active(), Succeeded: h.Succeeded, origin: s.origin}
	if !h.Active() {
		it.Released = &releasedItem{uint64(h.Released), stamp(h.ReleaseClock.Time()), h.ReleaseNote, h.ReleaseBy}
	}
	return it
}

// released are cells about how a hold ended.
func (it *keptItem) released(cell func(*releasedItem) string) string {
	if it.Released == nil {
		return ""
	}
	return cell(it.Released)
}

var keptTable = []column[keptItem]{
	{"network", func(it *keptItem) string { return it.Network }},
	{"seq", func(it *keptItem) string { return number(it.Seq) }},
	{"since", func(it *keptItem) string { return it.Since }},
	{"until", func(it *keptItem) string { return it.Until }},
	{"note", func(it *keptItem) string { return it.Note }},
	{"by", func(it *keptItem) string { return it.By }},
	{"released", func(it *keptItem) string { return it.released(func(r *releasedItem) string { return r.Time }) }},
}

// keptCSV are the columns of a hold; their order is fixed, new ones come last.
var keptCSV = []column[keptItem]{
	{"network", func(it *keptItem) string { return it.Network }},
	{"node", func(it *keptItem) string { return it.Node }},
	{"store_id", func(it *keptItem) string { return it.StoreID }},
	{"seq", func(it *keptItem) string { return number(it.Seq) }},
	{"time", func(it *keptItem) string { return it.Time }},
	{"since", func(it *keptItem) string { return it.Since }},
	{"until", func(it *keptItem) string { return it.Until }},
	{"note", func(it *keptItem) string { return it.Note }},
	{"by", func(it *keptItem) string { return it.By }},
	{"active", func(it *keptItem) string { return strconv.FormatBool(it.Active) }},
	{"succeeded", func(it *keptItem) string { return strconv.FormatBool(it.Succeeded) }},
	{"released_seq", func(it *keptItem) string { return it.released(func(r *releasedItem) string { return number(r.Seq) }) }},
	{"released_time", func(it *keptItem) string { return it.released(func(r *releasedItem) string { return r.Time }) }},
	{"released_note", func(it *keptItem) string { return it.released(func(r *releasedItem) string { return r.Note }) }},
	{"released_by", func(it *keptItem) string { return it.released(func(r *releasedItem) string { return r.By }) }},
}
