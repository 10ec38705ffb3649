// Leasegen makes a store with a history, for benchmarks and tests.
//
//	leasegen --out DIR --network NAME [--leases N] [--events M] [--seed S] [--pack [--keyframes K]]
//
// It writes the data folder DIR/NAME and the store DIR/.leaselog/NAME, as the calls of the plugin
// with dataDir DIR would have left them, and both the plugin and leasectl go on with it. N leases
// (addresses; with --dual an attachment holds two) are held at the end of exactly M events: pods that come and
// go, rollouts, drains, reboots, refusals, lost and repeated DELs, GC. Addresses are chosen by the plugin's own
// chooser. Identifiers are random and never sequential, so that nothing compresses better than in life.
//
// The same flags give the same bytes, the journal's ID included, if --until is given, which
// otherwise is now; except for what names this host's files: the path in META (data_dir) and in the claim, and
// the lock file's own device and inode in its marker. Events say version "leasegen": nobody
// takes them for evidence.
//
// At least N+2 events are needed for N attachments (the first event, the configuration, an ADD for each),
// one if none is held. Reboots and all else happen as far as there are events left for them.
//
// It writes into no network that has a store or a data folder with something in it. Until the
// store is complete and synced nobody can see it, and a run that fails or is interrupted leaves nothing. The
// plugin may work on other networks meanwhile, but can create none in DIR.
//
// With --pack the store's archived segments are packed once it is there, and removed. A run that fails or is interrupted
// then leaves the store, and the segments that are not packed yet.
//
// Exit codes: 0 made; 4 error; 64 usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes, as leasectl's.
const (
	exitError = 4
	exitUsage = 64
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, time.Now)) }

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run runs the command and returns its exit code.
func run(args []string, stdout, stderr io.Writer, now func() time.Time) int {
	started := false
	root := command(stdout, now, &started)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "leasegen: %v\n", err)
	var usage *usageError
	if !started || errors.As(err, &usage) {
		fmt.Fprintln(stderr, "see: leasegen --help")
		return exitUsage
	}
	return exitError
}

func command(stdout io.Writer, now func() time.Time, started *bool) *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "leasegen --out DIR --network NAME",
		Short: "Makes a store with a history, for benchmarks and tests",
		Long: `Writes the data folder DIR/NAME and the store DIR/.leaselog/NAME as the plugin's calls would
have left them: N leases held at the end of M events. The same flags give the same bytes, if
--until is given. At least N+2 events are needed (N/2+2 with --dual), one if N is 0.

Exit codes: 0 made; 4 error; 64 usage.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			*started = true
			p, err := f.plan(now().UTC())
			if err != nil {
				return err
			}
			sum, err := generate(cmd.Context(), p)
			if err != nil {
				return err
			}
			if p.pack {
				if err := pack(cmd.Context(), p); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintln(stdout, sum)
			return err
		},
	}
	f.register(root.Flags())
	return root
}
