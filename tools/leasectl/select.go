package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// selection says whose leases are meant: one of its fields is set.
type selection struct {
	IP        string `json:"ip,omitempty"`
	CIDR      string `json:"cidr,omitempty"`
	Container string `json:"container,omitempty"` // ID, or its beginning
	Pod       string `json:"pod,omitempty"`       // namespace/name

	addr   netip.Addr
	prefix netip.Prefix
	all    bool // whoever's leases
}

func (of *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&of.IP, "ip", "", "the `address` asked about")
	cmd.Flags().StringVar(&of.CIDR, "cidr", "", "all addresses of this `prefix`, such as 10.88.0.0/24")
	cmd.Flags().StringVar(&of.Container, "container", "", "what the container of this `ID` held; its beginning will do if no other begins so")
	cmd.Flags().StringVar(&of.Pod, "pod", "", "what this pod held, `namespace/name`")
}

// parse understands the selection.
func (of *selection) parse() (err error) {
	n := 0
	for _, text := range []string{of.IP, of.CIDR, of.Container, of.Pod} {
		if text != "" {
			n++
		}
	}
	switch {
	case n == 0:
		return usagef("history of what? give --ip ADDRESS, --cidr CIDR, --container ID or --pod NS/NAME")
	case n > 1:
		return usagef("--ip, --cidr, --container and --pod exclude one another")
	case of.IP != "":
		of.addr, err = parseAddr(of.IP)
		of.IP = of.addr.String()
	case of.CIDR != "":
		if of.prefix, err = parsePrefix(of.CIDR); err != nil {
			return err
		}
		of.CIDR = of.prefix.String()
	case of.Pod != "":
		if ns, name, ok := strings.Cut(of.Pod, "/"); !ok || ns == "" || name == "" || strings.Contains(name, "/") {
			return usagef("pod %q: want its namespace and name, such as default/web-0", of.Pod)
		}
	}
	return err
}

// mayBeOf reports whether what is asked about may have been the store's to give.
func (of *selection) mayBeOf(h *replay.History) bool { return !of.addr.IsValid() || h.MayHold(of.addr) }

// selected reads what is selected of a store and those that it has succeeded, and returns what tells the leases.
func (s *store) selected(ans *answer, of *selection, from time.Time) ([]era, func(*state.Lease) bool, error) {
	var matches func(*state.Lease) bool
	var r reading
	switch {
	case of.addr.IsValid():
		matches = func(l *state.Lease) bool { return l.IP == of.addr }
		r.addrs = []netip.Addr{of.addr}
	case of.prefix.IsValid():
		matches = func(l *state.Lease) bool { return of.prefix.Contains(l.IP) }
		r.keep = matches
	case !of.all:
		return s.named(ans, of, from)
	}
	eras, err := s.eras(ans, r, from)
	return eras, matches, err
}

// named reads the leases of a container or pod. Which addresses they had is looked for first: what a lease is known to
// be of may have been added later.
func (s *store) named(ans *answer, of *selection, from time.Time) ([]era, func(*state.Lease) bool, error) {
	id := of.Container
	matches := func(l *state.Lease) bool {
		if of.Pod != "" {
			return l.Pod.Namespace+"/"+l.Pod.Name == of.Pod
		}
		return l.ContainerID == id
	}
	find := func(e *store) ([]netip.Addr, error) {
		found, err := e.find(archive.Query{Container: of.Container, Pod: of.Pod})
		if err != nil || of.Pod != "" || len(found.Containers) == 0 {
			return found.Addresses, err
		}
		if len(found.Containers) > 1 || id != of.Container && id != found.Containers[0] {
			return nil, fmt.Errorf("container ID %q is the beginning of several: %s", of.Container, alternatives(of.Container, found.Containers))
		}
		id = found.Containers[0]
		return found.Addresses, nil
	}
	eras, err := s.eras(ans, reading{find: find}, from)
	if err != nil || of.Container == "" {
		return eras, matches, err
	}
	// Where something is damaged, the whole store was read instead of looked through.
	ids := containersIn(eras, of.Container)
	switch {
	case slices.Contains(ids, of.Container):
		id = of.Container
	case len(ids) > 1:
		return nil, nil, fmt.Errorf("container ID %q is the beginning of several: %s", of.Container, alternatives(of.Container, ids))
	case len(ids) == 1:
		id = ids[0]
	default:
		ans.doubt(replay.Certain, "%s: no event that was read names a container %q", s.title(), of.Container)
	}
	return eras, matches, nil
}

// containersIn returns the container IDs with this beginning, ascending.
func containersIn(eras []era, beginning string) []string {
	ids := map[string]bool{}
	for i := range eras {
		if eras[i].h == nil {
			continue
		}
		for j := range eras[i].h.Intervals {
			if id := eras[i].h.Intervals[j].Lease.ContainerID; strings.HasPrefix(id, beginning) {
				ids[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// find looks for the addresses of a container or pod.
func (s *store) find(q archive.Query) (archive.Found, error) {
	past, err := s.past()
	if err != nil {
		return archive.Found{}, err
	}
	return past.Find(q)
}

// unreadable reports whether an error is about what is in a journal: then the rest of it can still be asked.
func unreadable(err error) bool { return isDamage(err) || errors.Is(err, journal.ErrNewer) }
