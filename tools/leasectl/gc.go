package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

const (
	defaultGrace    = time.Minute
	defaultCacheDir = "/var/lib/cni"
)

// gc is one run of the command: its flags, and what it rests on.
type gc struct {
	live                 string // a file, or "-"
	cacheDir             string // "" is none
	netns, boot          bool
	allowEmpty           bool
	grace                time.Duration
	now, dryRun, explain bool
	lockTimeout          time.Duration
	evidence             []evidence
	pause                func(a *app, leases int) error // between the two looks: wait, unless a test has another
	listed               *liveEvidence                  // among evidence; nil if there is no list
	begun                journal.Clock
}

// gcAsked is what gc was told to do.
type gcAsked struct {
	scope
	Evidence []string `json:"evidence"`
	Live     string   `json:"live,omitempty"`
	CNICache string   `json:"cni_cache,omitempty"`
	Empty    bool     `json:"allow_empty"`
	Grace    string   `json:"grace"`
	Now      bool     `json:"now"`
	DryRun   bool     `json:"dry_run"`
	At       string   `json:"at"`
}

func (a *app) gcCommand() *cobra.Command {
	g := &gc{}
	g.pause = g.wait
	cmd := &cobra.Command{
		Use:   "gc (--live FILE|-) (--netns) (--cni-cache [DIR]) (--boot)",
		Short: "Release what has no living owner",
		Long: `Releases the leases whose owner is dead, for runtimes that never sent DEL. What is dead is said
by evidence; at least one kind has to be chosen, and of several all must agree. What can't be
judged is kept.

  --live FILE    not in a list of living containers: IDs, one a line (blank lines and # lines
                 are passed over), or JSON as crictl, docker, podman and nerdctl print it; - is
                 standard input. A short ID of 12 digits or more means all that begin with it. With
                 Kubernetes, list pods and not only containers: crictl pods -q
  --netns        the network namespace that its ADD named is gone, or another one is in its place
  --cni-cache    the CNI library keeps no result of it any more, below /var/lib/cni or DIR
  --boot         it was given in an earlier boot of the node. Only this can tell of blocked
                 addresses, which have no owner. An imported lease counts by the time that its
                 source claims: where a node sets its clock only after containers have started, add
                 --netns

A lease goes only if its owner was found dead twice, at least --grace apart, and it is still held by
the same owner since the same event; --now is satisfied with once. The plugin may run meanwhile:
what began after the first look is not touched, nor what began less than --grace before the list was
written or, from standard input, read. Each release is an event of its own, with reason gc.

Run it where the runtime runs: in a container of its own, namespaces that are there may not be
seen. --dry-run looks once and changes nothing. --explain lists every lease, and why or why not.

Exit codes: 0 done, or nothing to do; 1 there is something to release (--dry-run); 4 error, among
them a store that is damaged, deleted or a copy, while the others are still dealt with; 64 usage.`,
		Example: "  leasectl gc --netns --dry-run --explain\n  crictl pods -q | leasectl gc --live - --netns",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.begun = journal.ReadClock()
			if err := g.understand(cmd, args); err != nil {
				return err
			}
			return a.gc(g)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&g.live, "live", "", "who is not listed in this `file` is dead")
	flags.BoolVar(&g.netns, "netns", false, "whose network namespace is gone is dead")
	flags.StringVar(&g.cacheDir, "cni-cache", "", "who has no result in the CNI library's cache in `DIR` is dead")
	flags.Lookup("cni-cache").NoOptDefVal = defaultCacheDir
	flags.BoolVar(&g.boot, "boot", false, "who is of an earlier boot is dead")
	flags.BoolVar(&g.allowEmpty, "allow-empty", false, "believe an empty list or cache, and a list that is all there is and has no container that holds a lease")
	flags.DurationVar(&g.grace, "grace", defaultGrace, "look twice, so far apart")
	flags.BoolVar(&g.now, "now", false, "look only once")
	flags.BoolVar(&g.dryRun, "dry-run", false, "look once and change nothing")
	flags.BoolVar(&g.explain, "explain", false, "list every lease, and why or why not")
	flags.DurationVar(&g.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
	return cmd
}

// understand checks the flags and makes the evidence.
func (g *gc) understand(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	switch {
	case len(args) == 1 && (!changed("cni-cache") || g.cacheDir != defaultCacheDir):
		return usagef("%q is no argument of gc", args[0])
	case len(args) == 1 && args[0] == "":
		return usagef("--cni-cache is empty")
	case len(args) == 1:
		g.cacheDir = args[0]
	}
	switch {
	case g.grace < 0:
		return usagef("--grace %s is negative", g.grace)
	case g.lockTimeout <= 0:
		return usagef("--lock-timeout %s: want more than 0", g.lockTimeout)
	case g.now && changed("grace"):
		return usagef("give either --now or --grace")
	case g.now:
		g.grace = 0
	}
	if g.live != "" {
		g.listed = &liveEvidence{allowEmpty: g.allowEmpty, once: g.live == "-", grace: g.grace,
			open: func() (*liveList, error) { return readLiveList(g.live, os.Stdin) }}
		g.evidence = append(g.evidence, g.listed)
	}
	if g.netns {
		g.evidence = append(g.evidence, newNetNSEvidence())
	}
	if g.cacheDir != "" {
		g.evidence = append(g.evidence, &cacheEvidence{dir: g.cacheDir, allowEmpty: g.allowEmpty})
	}
	if g.boot {
		g.evidence = append(g.evidence, &bootEvidence{})
	}
	if len(g.evidence) == 0 {
		return usagef("by which evidence? give --live, --netns, --cni-cache or --boot, or several")
	}
	return nil
}

// names returns the kinds of evidence.
func (g *gc) names() []string {
	var names []string
	for _, e := range g.evidence {
		names = append(names, e.name())
	}
	return names
}

func (a *app) gc(g *gc) error {
	ans := newAnswer("gc", gcAsked{a.scope(), g.names(), g.live, g.cacheDir, g.allowEmpty, g.grace.String(), g.now, g.dryRun, stamp(a.now)})
	seen, err := g.look(a, ans)
	if err != nil {
		return err
	}
	if g.listed != nil && len(g.listed.list.ids) > 0 && len(seen) > 0 && !g.listed.matches(seen) {
		unlike := fmt.Sprintf("none of the %d listed IDs is a container that holds a lease; are they of the right kind?", len(g.listed.list.ids))
		if len(g.evidence) == 1 && !g.allowEmpty && !g.dryRun {
			return fmt.Errorf("%s Nothing was released; --allow-empty releases all that are not listed", unlike)
		}
		a.say("warning: %s", unlike)
	}
	if n := with(seen, verdictCondemned); n > 0 && !g.dryRun {
		if !g.now {
			if seen, err = g.lookAgain(a, seen); err != nil {
				return err
			}
		}
		g.release(a, seen)
	}
	return g.tell(a, ans, seen)
}

// look observes the world once and judges the leases of each store that can be changed. Leases are read before
// the evidence: what is held then has begun.
func (g *gc) look(a *app, ans *answer) ([]*judged, error) {
	all, err := a.toJudge(ans)
	if err != nil {
		return nil, err
	}
	o := &observation{clock: journal.ReadClock(), begun: g.begun}
	for _, e := range g.evidence {
		if err := e.observe(o); err != nil {
			return nil, err
		}
	}
	for _, j := range all {
		j.judge(g.evidence)
	}
	spareCompanions(all)
	return all, nil
}

// lookAgain waits and looks a second time. Of what it returns, only what was condemned by the first look still is.
func (g *gc) lookAgain(a *app, first []*judged) ([]*judged, error) {
	before := map[heldAs]bool{}
	for _, j := range first {
		before[j.as()] = j.verdict == verdictCondemned
	}
	if err := g.pause(a, with(first, verdictCondemned)); err != nil {
		return nil, err
	}
	second, err := g.look(a, nil)
	if err != nil {
		return nil, err
	}
	for _, j := range second {
		dead, known := before[j.as()]
		switch {
		case j.verdict != verdictCondemned || dead:
		case known:
			j.keep("not dead at the first look")
		default:
			j.keep("began after the first look")
		}
	}
	spareCompanions(second)
	return second, nil
}

// wait lets the grace pass, or returns an error when it is interrupted.
func (g *gc) wait(a *app, leases int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a.say("%s of dead owners; looking again in %s", count(leases, "lease"), g.grace)
	timer := time.NewTimer(g.grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("interrupted before the second look: nothing was released")
	}
}

// release releases what is condemned, store by store.
func (g *gc) release(a *app, all []*judged) {
	why := allocator.Why{Reason: journal.ReasonGC,
		Attributes: []journal.Attribute{{Key: "evidence", Value: strings.Join(g.names(), ",")}}}
	for len(all) > 0 {
		s := all[0].s
		n := slices.IndexFunc(all, func(j *judged) bool { return j.s != s })
		if n < 0 {
			n = len(all)
		}
		list, of := condemn(all[:n])
		all = all[n:]
		if err := s.release(a, g.lockTimeout, list, of, why); err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		}
	}
}

// tell shows what was done or would be.
func (g *gc) tell(a *app, ans *answer, all []*judged) error {
	var items []judgedItem
	for _, j := range all {
		if j.verdict != verdictKept || g.explain {
			items = append(items, j.item())
		}
	}
	n := with(all, verdictCondemned)
	if !g.dryRun {
		a.say("%s of %d released", count(with(all, verdictReleased), "lease"), len(all))
	} else {
		a.say("%s of %d would be released", count(n, "lease"), len(all))
	}
	if n > 0 {
		a.code = exitNobody
	}
	return show(a, ans, each(items), layout[judgedItem]{"leases", judgedTable, judgedCSV})
}
