package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// streams are the values of -o for exports to other systems, the first if none is given.
var streams = []string{"jsonl", "csv"}

func (a *app) exportEventsCommand() *cobra.Command {
	f := eventFilter{chain: true}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "All events, for other systems",
		Long: `All events as JSON Lines (-o jsonl, the default) or CSV (-o csv), as leasectl events has them: docs/schemas/event.json is
their schema. They come network by network; where a store has succeeded another, by a repair or a restore, the older one's events
come first, and store_id says whose each is. Events that are lost or were pruned are said on standard error, and the
exit code is 3; all others are there.

` + timesHelp + `

Exit codes: 0 all there is; 3 something of it is unknown; 4 error; 64 usage.`,
		Example: "  leasectl export events --since -1d > events.jsonl",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.window.parse(a); err != nil {
				return err
			}
			return a.exportRows(cmd, func() error { return a.events(&f) })
		},
	}
	f.window.flags(cmd, "`time`")
	return cmd
}

func (a *app) exportLeasesCommand() *cobra.Command {
	var w window
	cmd := &cobra.Command{
		Use:   "leases",
		Short: "All leases with their ends, for other systems",
		Long: `All leases that were held in a time, or ever, with when and why they ended, as JSON Lines (-o jsonl, the default) or CSV (-o csv), as
leasectl history has them: docs/schemas/interval.json is their schema. They come in order of their beginnings. A lease that is still held has
no end, nor has one of which nobody knows when it ended: it is uncertain or unknown, and doubts say why. So a lease that was held when
a backup was made has two rows in the store that was restored from it, one up to the backup and one from the restore on. What makes any of it less than certain is said on standard error and by the exit code.

` + timesHelp + `

Exit codes: 0 certain; 2 something is uncertain; 3 something is unknown; 4 error; 64 usage.`,
		Example: "  leasectl export leases --since -30d -o csv > leases.csv",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.parse(a); err != nil {
				return err
			}
			return a.exportRows(cmd, func() error { return a.history(&selection{all: true}, w) })
		},
	}
	w.flags(cmd, "`time`")
	return cmd
}

// exportRows has a question answered as rows, of which there may be none.
func (a *app) exportRows(cmd *cobra.Command, ask func() error) error {
	if !cmd.Flags().Changed("output") {
		a.output = streams[0]
	}
	if !slices.Contains(streams, a.output) {
		return usagef("%w", noSuch("format of an export", a.output, streams))
	}
	err := ask()
	if a.code == exitNobody {
		a.code = exitFound
	}
	return err
}
