package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
)

// pruneAsked is what prune was told to do.
type pruneAsked struct {
	scope
	Policy string `json:"policy"`
	Why    string `json:"why,omitempty"`
	DryRun bool   `json:"dry_run"`
	At     string `json:"at"`
}

// pruneFlags are the flags of prune.
type pruneFlags struct {
	keep, keepBytes string
	keepEvents      uint64
	why             string
	dryRun          bool
	despiteLost     bool
	lockTimeout     time.Duration

	policy journal.Retention
}

func (a *app) pruneCommand() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune --keep AGE | --keep-events N | --keep-bytes SIZE",
		Short: "Remove the oldest history",
		Long: `Removes the oldest events of the history, for ever. Of several bounds each counts: what exceeds any
of them goes. An event goes by its age only if it is older by both clocks, as recorded and as corrected, with
every event before it; so a clock that was wrong keeps too much, and never too little.

First the store is compacted, since only packed events go: what the plugin needs is never touched.
A prune event is recorded that says which events went, by whom, when and why, with their digest. Questions
about them are answered "unknown: pruned" from then on, and the chain of hashes is checked across them.
Holds (leasectl hold) keep what they cover. A journal that this one has succeeded in a repair goes as a
whole when all of it may go. Backups are not touched.

Where events are lost, of this journal or of one that it has succeeded, a hold may be lost with them; so it may after a
restore, and where a succeeded journal is missing or can't be read. Nothing goes then, and it is said why, unless
you know that there was no other hold: --despite-lost, which the prune event records. Once a succeeded journal was pruned so, it
stands in the way no more.

Ages: 180d, 26w, 72h. Sizes: 500MB, 10GiB. The plugin may run meanwhile. A run that was killed is finished by the
next one, or by leasectl compact.

Exit codes: 0 done, or nothing to do; 1 there is something to do (--dry-run); 4 error; 64 usage.`,
		Example: "  leasectl prune --keep 180d --dry-run\n  leasectl prune --keep 180d --network pods --why 'data protection, rule 7'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.understand(cmd.Flags().Changed); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.prune(ctx, &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.keep, "keep", "", "keep events younger than this `age`")
	flags.Uint64Var(&f.keepEvents, "keep-events", 0, "keep this `number` of the newest events")
	flags.StringVar(&f.keepBytes, "keep-bytes", "", "keep as many of the newest events as take this `size` on the disk")
	flags.StringVar(&f.why, "why", "", "why, recorded as `text`")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be removed, change nothing")
	flags.BoolVar(&f.despiteLost, "despite-lost", false, "prune though events are lost, and perhaps a hold with them")
	flags.DurationVar(&f.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
	return cmd
}

// understand checks the flags.
func (f *pruneFlags) understand(given func(string) bool) error {
	var err error
	switch {
	case !given("keep") && !given("keep-events") && !given("keep-bytes"):
		return usagef("prune what? give --keep, --keep-events or --keep-bytes")
	case given("keep-events") && f.keepEvents == 0:
		return usagef("--keep-events 0: want a number above 0")
	case f.lockTimeout <= 0:
		return usagef("--lock-timeout %s: want more than 0", f.lockTimeout)
	}
	f.policy.Events = f.keepEvents
	if given("keep") {
		if f.policy.Keep, err = journal.ParseAge(f.keep); err != nil {
			return usagef("--keep %w", err)
		}
	}
	if given("keep-bytes") {
		if f.policy.Bytes, err = journal.ParseSize(f.keepBytes); err != nil {
			return usagef("--keep-bytes %w", err)
		}
	}
	return checkText("why", f.why)
}

// checkText refuses what should not stand in an event.
func checkText(flag, text string) error {
	switch {
	case len(text) > maxReasonText:
		return usagef("--%s has %d bytes, at most %d", flag, len(text), maxReasonText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return usagef("--%s %q: want text without control characters", flag, text)
	}
	return nil
}

func (a *app) prune(ctx context.Context, f *pruneFlags) error {
	a.copies = true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	ans := newAnswer("prune", pruneAsked{a.scope(), f.policy.String(), f.why, f.dryRun, stamp(a.now)})
	var items []pruningItem
	for _, s := range stores {
		if ctx.Err() != nil {
			a.fail(fmt.Errorf("%s: interrupted: nothing was done to it", s.title()))
			continue
		}
		rep, err := s.prune(ctx, a, f)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		}
		if rep == nil || rep.Pruned == nil {
			continue
		}
		it := s.pruning(rep, f.dryRun)
		if err != nil {
			it.Done, it.Error = false, err.Error()
		}
		if it.Needed && f.dryRun {
			a.code = exitNobody
		}
		a.sayPruned(s, rep.Pruned)
		items = append(items, it)
	}
	return show(a, ans, each(items), layout[pruningItem]{"networks", pruningTable, pruningCSV})
}

// prune prunes the store, or says what that would do.
func (s *store) prune(ctx context.Context, a *app, f *pruneFlags) (*compaction.Report, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	o, err := s.changing()
	if err != nil {
		return nil, err
	}
	o.LockTimeout = f.lockTimeout
	job := compaction.Job{Store: o, Retain: &compaction.Retain{Limits: []journal.Retention{f.policy}, Why: f.why, By: whoRuns(), DespiteLost: f.despiteLost},
		Progress: func(step string, done, total uint64) { a.bar.tell(s.title()+": "+step, done, total) }}
	if f.dryRun {
		return compaction.Plan(job)
	}
	return compaction.Run(ctx, job)
}

// sayPruned tells what keeps more than was asked for.
func (a *app) sayPruned(s *store, p *compaction.Pruned) {
	for _, text := range p.Doubts {
		a.say("%s: %s", s.title(), text)
	}
	for _, h := range p.Held {
		a.say("%s: hold of event %d keeps events that would go without it: %s", s.title(), h.Seq, newLegalHold(journal.Hold{Since: h.Since, Until: h.Until}))
	}
	if p.Waiting > 0 {
		a.say("%s: %s that exceed the retention stay for now: they are in journal/, or the last that is packed, and go once later events have moved them on",
			s.title(), count(int(p.Waiting), "event"))
	}
	for _, parent := range p.Parents {
		if parent.Why != "" {
			a.say("%s: succeeded journal %s stays: %s", s.title(), parent.Journal, parent.Why)
		}
	}
}

// whoRuns says who runs this, for the record: names can be given again, numbers and nodes are what is sure.
func whoRuns() string {
	text := "user " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		text = fmt.Sprintf("%s (%s)", u.Username, u.Uid)
	}
	if name := os.Getenv("SUDO_USER"); name != "" {
		text += fmt.Sprintf(", by sudo of %s (%s)", name, os.Getenv("SUDO_UID"))
	}
	if host, err := os.Hostname(); err == nil {
		text += " on " + host
	}
	return clean(text)
}

// clean makes one line of text that comes from the environment, of a length that a record holds.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	for len(text) > maxReasonText/2 {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

// errNotPruned is told where a configuration can't be read: what it says may keep what others let go.
var errNotPruned = errors.New("nothing is pruned by configured retentions: what can't be read may ask to keep more")
