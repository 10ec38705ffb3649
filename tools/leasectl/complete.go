package main

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// completeWithin bounds what a key costs: what is known by then is offered.
const completeWithin = 500 * time.Millisecond

// known are names in stores that a word of the command line may be.
type known struct {
	networks, addresses, pods, containers map[string]bool
}

// Which names a word is one of.
func knownNetworks(k *known) map[string]bool   { return k.networks }
func knownAddresses(k *known) map[string]bool  { return k.addresses }
func knownPods(k *known) map[string]bool       { return k.pods }
func knownContainers(k *known) map[string]bool { return k.containers }
func knownHolders(k *known) map[string]bool {
	all := maps.Clone(k.addresses)
	maps.Copy(all, k.containers)
	return all
}

// complete offers names from the stores that the flags mean: of what is held, and of what the newest events tell.
// Whatever goes wrong, it offers less and says nothing.
func (a *app) complete(of func(*known) map[string]bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, stop := context.WithTimeout(context.Background(), completeWithin)
		defer stop()
		found := make(chan *known, 1)
		go func() { found <- a.quiet().known(ctx) }()
		select {
		case k := <-found:
			return offered(of(k), begun), cobra.ShellCompDirectiveNoFileComp
		case <-time.After(2 * completeWithin): // a file system that hangs
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// quiet is a run with the same flags that says nothing.
func (a *app) quiet() *app {
	return &app{stdout: io.Discard, stderr: io.Discard, now: a.now, dataDirs: a.dataDirs, network: a.network}
}

// completeFirst is complete for a command with one argument.
func (a *app) completeFirst(of func(*known) map[string]bool) cobra.CompletionFunc {
	offer := a.complete(of)
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(cmd, args, begun)
	}
}

// offered are the names that begin like the word. A name that a shell can't be told of as it is, is left out.
func offered(names map[string]bool, begun string) []cobra.Completion {
	var list []cobra.Completion
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if strings.HasPrefix(name, begun) && printable.Text(name) == name && !strings.ContainsAny(name, " '\"$`") {
			list = append(list, name)
		}
	}
	return list
}

// known looks into the stores until ctx ends.
func (a *app) known(ctx context.Context) *known {
	k := &known{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	asked := a.network
	a.network = ""
	stores, err := a.stores()
	if err != nil {
		return k
	}
	for _, s := range stores {
		k.networks[s.network] = true
		if s.reader != nil && (asked == "" || asked == s.network) {
			k.read(ctx, s)
		}
	}
	return k
}

// read takes in what the newest snapshot holds and the events after it tell.
func (k *known) read(ctx context.Context, s *store) {
	after := journal.Seq(0)
	if snap := s.newestSnapshot(); snap != nil {
		defer snap.Close()
		after = snap.Seq()
		for l, err := range state.Over(snap).Leases() {
			if err != nil || ctx.Err() != nil {
				break
			}
			k.take(l.ContainerID, l.Pod, l.Address)
		}
	}
	for rec, err := range s.records(after) {
		if err != nil || ctx.Err() != nil {
			return
		}
		k.take(rec.Event.ContainerID, rec.Event.Pod, rec.Event.Addresses...)
	}
}

func (k *known) take(containerID string, pod journal.Pod, addresses ...journal.Address) {
	if containerID != "" {
		k.containers[containerID] = true
	}
	if pod.Namespace != "" && pod.Name != "" {
		k.pods[pod.Namespace+"/"+pod.Name] = true
	}
	for _, a := range addresses {
		k.addresses[a.IP.String()] = true
	}
}

// newestSnapshot opens the newest snapshot that can be, nil if there is none.
func (s *store) newestSnapshot() *state.Snapshot {
	entries, _ := os.ReadDir(filepath.Join(s.dir, "snap")) // without one the events tell it all
	for _, e := range slices.Backward(entries) {
		if strings.HasSuffix(e.Name(), snapshotSuffix) {
			if snap, err := state.OpenSnapshot(filepath.Join(s.dir, "snap", e.Name()), s.meta.ID); err == nil {
				return snap
			}
		}
	}
	return nil
}

// completions say what the words of commands may be. A flag that a command has not is passed over.
func (a *app) completions(root *cobra.Command) error {
	if err := root.MarkPersistentFlagDirname("data-dir"); err != nil {
		return err
	}
	fixed := func(names ...string) cobra.CompletionFunc {
		return func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, begun) }),
				cobra.ShellCompDirectiveNoFileComp
		}
	}
	offers := map[string]cobra.CompletionFunc{
		"network": a.complete(knownNetworks), "ip": a.complete(knownAddresses), "pod": a.complete(knownPods),
		"container": a.complete(knownContainers), "output": fixed(formats...), "color": fixed(colourModes...), "kind": fixed(kindNames()...),
	}
	for _, cmd := range append(root.Commands(), root) {
		for name, offer := range offers {
			flag := cmd.PersistentFlags().Lookup(name)
			if flag == nil {
				flag = cmd.Flags().Lookup(name)
			}
			if flag == nil || flag.Annotations[cobra.BashCompFilenameExt] != nil {
				continue
			}
			if err := cmd.RegisterFlagCompletionFunc(name, offer); err != nil {
				return err
			}
		}
	}
	return nil
}
