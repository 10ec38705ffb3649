// Leasectl answers questions about the leases that leaselog gives out.
//
//	leasectl leases                        what is held now
//	leasectl networks                      what networks there are
//	leasectl who ADDRESS                   who held an address at a time
//	leasectl at TIME                       all leases as of a time
//	leasectl diff TIME TIME                what changed between two times
//	leasectl history --ip ADDRESS          who held an address, and when
//	leasectl join FILE --ip C --time C     a flow log with who held its addresses
//	leasectl events                        the journal itself, with --follow as it grows
//	leasectl map                           a network's addresses as a picture, with --watch as they change
//	leasectl timeline ADDRESS              an address through time as a picture
//	leasectl explain ADDRESS               why an address is, or is not, available
//	leasectl stats                         how much of everything, also for Prometheus
//	leasectl dump FILE                     a segment or snapshot as text
//	leasectl verify                        whether all that is stored is as it was written
//	leasectl repair --dry-run|--apply      mend a store whose calls are refused
//	leasectl inspect                       what a store consists of, and what compact would do
//	leasectl compact [--dry-run]           move history out of the plugin's way and pack it
//	leasectl gc --netns ...                release what has no living owner
//	leasectl release ADDRESS|CONTAINER     release what you name
//	leasectl import cni-cache [DIR]        add pods and namespaces that the CNI library knows of
//	leasectl export host-local DIR         the files that host-local would have, to go back to it
//
// Where to look is said by --data-dir (default /var/lib/cni/networks): the dataDir of a
// network configuration, a historyDir, the folder of one store or its archive by itself, and several
// of them if it is given more than once; and by --network, without which all networks are meant. A store in use says itself where its dataDir is, so
// that a wipe shows; in a copy there is nothing that tells.
//
// Most of it changes nothing: it takes no lock, makes no file and repairs nothing, so the plugin may run
// meanwhile, and a copy or a read-only file system will do. The exceptions, repair, compact, gc, release, import and export in place, work
// under the plugin's lock; stats, join and export write the files that they are told to.
//
// Data goes to stdout in the form that -o names: table (the default, also when stdout is
// not a terminal), json (one object), jsonl (an item a line) or csv (an item a row, columns
// in fixed order). Words go to stderr. Text from outside is shown escaped in tables and CSV.
// Times are RFC 3339 in UTC with nanoseconds.
//
// Exit codes: 0 answered with certainty and found; 1 nothing found, for certain; 2 uncertain;
// 3 unknown: damaged, or outside of what the journals cover; 4 error; 64 usage. An empty
// list of leases or networks is an answer too: 0.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/replay"
)

// Exit codes.
const (
	exitFound     = 0
	exitNobody    = 1
	exitUncertain = 2
	exitUnknown   = 3
	exitError     = 4
	exitUsage     = 64
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

const defaultDataDir = "/var/lib/cni/networks"

// memoryLimit is what the garbage collector keeps the process below where it can without stopping all else: a long history
// makes much garbage, and a node has better uses for memory. GOMEMLIMIT and GOGC are obeyed instead if they are set.
const memoryLimit = 96 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, time.Now))
}

// app is one run of the command.
type app struct {
	stdout, stderr io.Writer
	now            time.Time // the same throughout the run

	dataDirs        []string
	network, output string
	tz              string    // of times without a zone
	color           string    // of colourModes
	bar             *progress // nil where none is shown
	places          bool      // answers are of more than one node or data folder
	copies          bool      // every copy of a journal is of interest

	started bool // the command line was understood
	code    int
	failed  bool     // an error was reported, and the rest was answered
	faults  []string // these errors: a second look meets them again
	gone    bool     // claims that lead to no store are of interest, too

	opened []*store // to be closed at the end

	unopened bool // and so are stores that can't be looked at

	clock   func() time.Time
	ascii   bool    // pictures are drawn with ASCII alone
	drawnOn *screen // where a picture is shown that is drawn anew; nil for stdout
}

// run runs the command and returns its exit code.
func run(args []string, stdout, stderr io.Writer, now func() time.Time) int {
	a := &app{stdout: stdout, stderr: stderr, now: now().UTC(), clock: now}
	root := a.root()
	root.SetArgs(agoArgs(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	for _, s := range a.opened {
		s.close()
	}
	switch {
	case err == nil && a.failed:
		return exitError
	case err == nil:
		return a.code
	}
	a.say("%v", err)
	var usage *usageError
	if !a.started || errors.As(err, &usage) {
		fmt.Fprintln(stderr, "see: leasectl --help")
		return exitUsage
	}
	return exitError
}

// agoArgs lets a time such as -2h be an argument: behind a dash, only flags are expected.
func agoArgs(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if len(arg) > 1 && arg[0] == '-' && '0' <= arg[1] && arg[1] <= '9' && (i == 0 || !strings.HasPrefix(args[i-1], "-")) {
			args[i] = "now" + arg
		}
	}
	return args
}

// usageError is a mistake on the command line that is found after it was parsed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "leasectl",
		Short:         "Questions about leases: what is held, by whom, and who held what when",
		Long:          longHelp,
		Args:          noArgument,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			var empty error
			cmd.Flags().Visit(func(f *pflag.Flag) {
				several, ok := f.Value.(pflag.SliceValue)
				if f.Value.String() == "" || ok && slices.Contains(several.GetSlice(), "") {
					empty = fmt.Errorf("--%s is empty", f.Name)
				}
			})
			if empty != nil {
				return empty
			}
			if err := a.checkOne(cmd); err != nil {
				return err
			}
			if _, err := parseZone(a.tz); err != nil {
				return err
			}
			if !slices.Contains(formats, a.output) {
				return noSuch("output format", a.output, formats)
			}
			if !slices.Contains(colourModes, a.color) {
				return noSuch("mode of colours", a.color, colourModes)
			}
			a.startProgress()
			a.started = true
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringArrayVar(&a.dataDirs, "data-dir", []string{defaultDataDir},
		"`folder` of a dataDir, a historyDir, one store, or its archive alone; several if given more than once")
	flags.StringVar(&a.network, "network", "", "only the network of this `name`")
	flags.StringVar(&a.color, "color", "auto", "colours in tables, `when`: "+strings.Join(colourModes, ", "))
	flags.StringVar(&a.tz, "tz", "UTC", "`zone` of times without one: a name such as Europe/Vienna, or an offset such as +02:00")
	flags.StringVarP(&a.output, "output", "o", "table", "output `format`: "+strings.Join(formats, ", "))
	root.AddCommand(a.leasesCommand(), a.networksCommand(), a.whoCommand(), a.atCommand(), a.diffCommand(), a.historyCommand(), a.explainCommand(), a.eventsCommand(), a.statsCommand(),
		a.joinCommand(), a.mapCommand(), a.timelineCommand(), a.dumpCommand(), a.verifyCommand(), a.inspectCommand())
	root.AddCommand(changes(a.repairCommand()), changes(a.compactCommand()), changes(a.pruneCommand()), a.holdCommand(), changes(a.gcCommand()), changes(a.releaseCommand()),
		changes(a.importCommand()), a.exportCommand(), a.reportCommand(), a.backupCommand(), changes(a.restoreCommand()))
	if err := a.completions(root); err != nil {
		panic("main: a command has another completion for a flag: " + err.Error())
	}
	return root
}

const longHelp = `Questions about the leases that leaselog gives out, and the jobs of an operator. Only repair, compact,
prune, hold, gc, release, import, export and restore change anything, under the plugin's lock, and all but hold can say
first what they would do (--dry-run). The plugin may run meanwhile.

Give --data-dir several times for the stores of several nodes. leasectl completion bash (zsh, fish) writes
completions for a shell.

Exit codes: 0 found, for certain; 1 nothing found, for certain; 2 uncertain;
3 unknown (damaged, or outside of what the journals cover); 4 error; 64 usage.
An empty list of leases or networks is 0 too. verify: 0 clean, 1 damaged. repair: 0 done or
nothing to do, 1 there is something to repair (--dry-run). compact, prune, gc: likewise.`

// say prints words, escaped: they may quote what came from outside.
func (a *app) say(format string, args ...any) {
	a.bar.hide()
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintf(a.stderr, "leasectl: %s\n", printable.Text(line))
	}
}

// fail reports an error and lets the command go on with the rest.
func (a *app) fail(err error) {
	a.failed = true
	if text := err.Error(); !slices.Contains(a.faults, text) {
		a.faults = append(a.faults, text)
		a.say("%s", text)
	}
}

// exit sets the exit code for an answer. Worse certainty comes before what was found.
func (a *app) exit(c replay.Certainty, found bool) {
	switch {
	case c == replay.Unknown:
		a.code = exitUnknown
	case c == replay.Uncertain:
		a.code = exitUncertain
	case !found:
		a.code = exitNobody
	default:
		a.code = exitFound
	}
}
