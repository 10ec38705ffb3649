package archive

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Query says whose addresses Find looks for: those of a container, of a pod, or of a pod by its UID. Where more than one
// is given, all of them have to fit.
type Query struct {
	Container string // container ID, or what it begins with
	Pod       string // "namespace/name"
	UID       string // of a pod
}

// Match reports whether an event is about what is looked for.
func (q *Query) Match(ev *journal.Event) bool {
	return strings.HasPrefix(ev.ContainerID, q.Container) &&
		(q.Pod == "" || q.Pod == ev.Pod.Namespace+"/"+ev.Pod.Name) &&
		(q.UID == "" || q.UID == ev.Pod.UID) && (q.Container != "" || ev.Pod != journal.Pod{})
}

// Found is what events about a container or pod name.
type Found struct {
	Addresses  []netip.Addr // that they got, gave back or were known to have; ascending
	Containers []string     // container IDs, ascending: more than one if a prefix isn't unique, or a pod had several sandboxes
	First      journal.Seq  // the first of these events; 0 if there is none
}

// Find looks for the addresses that events about a container or a pod name. A container ID that is there as given counts as itself,
// also where others begin with it.
func (r *Reader) Find(q Query) (Found, error) {
	var c finding
	for rec, err := range r.Events(q) {
		if err != nil {
			return Found{}, err
		}
		c.add(&rec.Event)
	}
	if err := r.findHeld(&q, &c); err != nil {
		return Found{}, err
	}
	return c.found(q.Container), nil
}

// findHeld looks among the leases that were held after the last event that was pruned: the events that gave them are gone.
func (r *Reader) findHeld(q *Query, c *finding) error {
	k, err := r.Boundary()
	if k.Snapshot == nil || err != nil {
		return err
	}
	defer k.Close()
	for l, err := range state.Over(k.Snapshot).Leases() {
		if err != nil {
			return err
		}
		ev := journal.Event{Seq: l.Start, ContainerID: l.ContainerID, Pod: l.Pod, Addresses: []journal.Address{l.Address}}
		if q.Match(&ev) {
			c.add(&ev)
		}
	}
	return nil
}

// texts returns what stands in every record that matches.
func (q *Query) texts() []string {
	var texts []string
	switch {
	case q.Container != "":
		texts = append(texts, q.Container)
	case q.UID != "":
		texts = append(texts, q.UID)
	case q.Pod != "":
		_, name, _ := strings.Cut(q.Pod, "/")
		texts = append(texts, name)
	}
	return texts
}

// finding collects what Find returns, by container.
type finding struct {
	by map[string]*Found
}

func (c *finding) add(ev *journal.Event) {
	if c.by == nil {
		c.by = make(map[string]*Found)
	}
	f := c.by[ev.ContainerID]
	if f != nil {
		f.First = min(f.First, ev.Seq)
	}
	if f == nil {
		f = &Found{First: ev.Seq}
		c.by[strings.Clone(ev.ContainerID)] = f
	}
	for _, a := range ev.Addresses {
		if !slices.Contains(f.Addresses, a.IP) {
			f.Addresses = append(f.Addresses, a.IP)
		}
	}
}

// found puts together what there is of all containers, or of the one that has this ID.
func (c *finding) found(exact string) Found {
	if f := c.by[exact]; f != nil && exact != "" {
		c.by = map[string]*Found{exact: f}
	}
	var all Found
	for id, f := range c.by {
		all.Containers = append(all.Containers, id)
		all.Addresses = append(all.Addresses, f.Addresses...)
		if all.First == 0 || f.First < all.First {
			all.First = f.First
		}
	}
	slices.Sort(all.Containers)
	slices.SortFunc(all.Addresses, netip.Addr.Compare)
	all.Addresses = slices.Compact(all.Addresses)
	return all
}
