package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shownAlternatives is how many of what there is an error names.
const shownAlternatives = 12

// noSuch is the error for a name that is none of those that there are: it lists them, those most like it first.
func noSuch(what, name string, there []string) error {
	if len(there) == 0 {
		return fmt.Errorf("no %s %q, and no other", what, name)
	}
	return fmt.Errorf("no %s %q; there are: %s", what, name, alternatives(name, there))
}

// alternatives lists names, those most like the given one first.
func alternatives(name string, there []string) string {
	names := slices.Clone(there)
	slices.Sort(names)
	names = slices.Compact(names)
	// Of a long ID one gives the beginning: what begins alike is near.
	far := func(x string) int { return min(distance(x, name), 1+distance(x[:min(len(x), len(name))], name)) }
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(far(x), far(y)) })
	more := ""
	if len(names) > shownAlternatives {
		more = fmt.Sprintf(" and %d more", len(names)-shownAlternatives)
		names = names[:shownAlternatives]
	}
	return strings.Join(names, ", ") + more
}

// noArgument is for commands that take no argument: where there are subcommands, one that there is not was meant.
func noArgument(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s takes no argument, and %q is one; a network is named by --network", cmd.Name(), args[0])
	}
	return noSuch("command", args[0], names)
}

// flagError names the flags that there are where one was given that is not.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	name := "--" + unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		name = "-" + unknown.GetSpecifiedName()
	}
	return noSuch("flag", name, names)
}

// noKnown is noSuch for a name that stores may know: of what is held and of the newest events, as far as they are
// read in short time.
func (a *app) noKnown(what, name string, of func(*known) map[string]bool) error {
	ctx, stop := context.WithTimeout(context.Background(), completeWithin)
	defer stop()
	there := of(a.quiet().known(ctx))
	return noSuch(what, name, slices.Collect(maps.Keys(there)))
}

func noNetwork(name string, stores []*store) error {
	var names []string
	for _, s := range stores {
		names = append(names, s.network)
	}
	return noSuch("network", name, names)
}

// distance is how many bytes must be added, removed or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
