package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// order is one run of release: its flags, and what is meant.
type order struct {
	ip          netip.Addr // zero if a container is meant
	id          string     // of the container, or how it begins
	text        string
	dryRun      bool
	lockTimeout time.Duration
}

// releaseAsked is what release was told to do.
type releaseAsked struct {
	scope
	IP        string `json:"ip,omitempty"`
	Container string `json:"container,omitempty"`
	Reason    string `json:"reason,omitempty"`
	DryRun    bool   `json:"dry_run"`
	At        string `json:"at"`
}

// Bounds of the command line's texts.
const (
	minPrefix     = 4       // of a container ID, in bytes
	maxReasonText = 1 << 10 // bytes
)

func (a *app) releaseCommand() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "release ADDRESS|CONTAINER",
		Short: "Release one address, or all that one container holds",
		Long: `Releases one address, or all that one container holds in its network, whether its owner is alive or not:
that is for you to know. The container is named by its ID, or by 4 or more bytes that it begins
with and no other's does. Where several containers or networks are meant, nothing is done.

It is recorded with reason force and the text of --reason, which history shows. The plugin may run
meanwhile: what changes hands before the release is left alone.

Exit codes: 0 released (--dry-run: it would be); 1 nothing is held; 4 error; 64 usage.`,
		Example:           "  leasectl release 10.88.0.17 --reason 'host was replaced'\n  leasectl release 3f2a9c --network podman",
		ValidArgsFunction: a.completeFirst(knownHolders),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("release what? give one address or container ID")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.understand(args[0]); err != nil {
				return err
			}
			return a.release(&o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.text, "reason", "", "why, recorded as `text`")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be released, change nothing")
	flags.DurationVar(&o.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
	return cmd
}

// understand tells what is meant and checks the flags.
func (o *order) understand(what string) error {
	switch {
	case len(o.text) > maxReasonText:
		return usagef("--reason has %d bytes, at most %d", len(o.text), maxReasonText)
	case !utf8.ValidString(o.text) || strings.ContainsFunc(o.text, unicode.IsControl):
		return usagef("--reason %q: want text without control characters", o.text)
	case o.lockTimeout <= 0:
		return usagef("--lock-timeout %s: want more than 0", o.lockTimeout)
	}
	if ip, err := netip.ParseAddr(what); err == nil {
		if ip.Zone() != "" {
			return usagef("address %q: want one such as 10.88.0.17 or fd00::17", what)
		}
		o.ip = ip.Unmap()
		return nil
	}
	if what == "" {
		return usagef("release what? give one address or container ID")
	}
	o.id = what
	return nil
}

func (a *app) release(o *order) error {
	ans := newAnswer("release", releaseAsked{a.scope(), addrText(o.ip), o.id, o.text, o.dryRun, stamp(a.now)})
	all, err := a.toJudge(ans)
	if err != nil {
		return err
	}
	switch {
	case a.failed && a.network == "":
		return errors.New("whether something else is meant, too, can't be told: name the network by --network")
	case a.failed:
		return errors.New("nothing was released")
	}
	meant, err := o.among(all)
	if err != nil {
		return err
	}
	if len(meant) == 0 {
		a.say("%s", o.nothing())
		a.code = exitNobody
	} else if !o.dryRun {
		a.carryOut(o, meant)
	}
	items := make([]judgedItem, len(meant))
	for i, j := range meant {
		items[i] = j.item()
	}
	return show(a, ans, each(items), layout[judgedItem]{"leases", judgedTable, judgedCSV})
}

// nothing says that nothing is released.
func (o *order) nothing() string {
	if o.ip.IsValid() {
		return fmt.Sprintf("nobody holds %s", o.ip)
	}
	if len(o.id) < minPrefix {
		return fmt.Sprintf("no container of the ID %q holds an address; the beginning of one needs %d bytes", o.id, minPrefix)
	}
	return fmt.Sprintf("no container whose ID is, or begins with, %q holds an address", o.id)
}

// among returns the leases that are meant, condemned: of one container in one network.
func (o *order) among(all []*judged) ([]*judged, error) {
	var meant []*judged
	exact := false
	for _, j := range all {
		whole, part := o.means(j)
		switch {
		case whole && !exact:
			exact, meant = true, []*judged{j} // a whole ID is not the beginning of another
		case whole, part && !exact:
			meant = append(meant, j)
		}
	}
	var candidates []string
	for _, j := range meant {
		name := fmt.Sprintf("container %s in network %s", j.lease.ContainerID, j.s.network)
		if o.ip.IsValid() {
			name = fmt.Sprintf("%s in network %s, held by %s", j.lease.IP, j.s.network, j.lease.ContainerID)
		}
		if !slices.Contains(candidates, name) {
			candidates = append(candidates, name)
		}
		j.verdict = verdictCondemned
	}
	if len(candidates) > 1 {
		return nil, fmt.Errorf("nothing was released, as several are meant:\n  %s\ngive more of the ID, or --network", strings.Join(candidates, "\n  "))
	}
	return meant, nil
}

// means reports whether the lease is of the address or of the container with this ID, or else whether the ID only begins so.
func (o *order) means(j *judged) (whole, part bool) {
	if o.ip.IsValid() {
		return j.lease.IP == o.ip, false
	}
	return j.lease.ContainerID == o.id, len(o.id) >= minPrefix && strings.HasPrefix(j.lease.ContainerID, o.id)
}

// carryOut releases what is meant: one address alone, or each attachment's all.
func (a *app) carryOut(o *order, meant []*judged) {
	list, of := condemn(meant)
	for i := range list {
		list[i].Text = o.text
		if o.ip.IsValid() {
			list[i].Owner, list[i].IP = meant[0].lease.Attachment, o.ip
		}
	}
	s := meant[0].s
	if err := s.release(a, o.lockTimeout, list, of, allocator.Why{Reason: journal.ReasonForce}); err != nil {
		a.fail(fmt.Errorf("%s: %w", s.title(), err))
	}
	if n := with(meant, verdictChanged); n > 0 {
		a.fail(fmt.Errorf("%s: %s changed hands meanwhile and was left alone", s.title(), count(n, "lease")))
	}
}
