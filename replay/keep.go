package replay

import (
	"strings"

	"github.com/leaselog/leaselog/state"
)

// detached returns the lease with strings of its own, all in one piece of memory. Those of a record keep the whole segment
// that it stands in, and the leases that are held after a long history come from nearly as many segments.
func detached(from *state.Lease) *state.Lease {
	l := new(state.Lease)
	*l = *from
	parts := [...]*string{&l.ContainerID, &l.IfName, &l.NetNS, &l.Pod.Namespace, &l.Pod.Name, &l.Pod.UID}
	n := 0
	for _, s := range parts {
		n += len(*s)
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range parts {
		b.WriteString(*s)
	}
	all := b.String()
	for _, s := range parts {
		*s, all = all[:len(*s)], all[len(*s):]
	}
	return l
}
