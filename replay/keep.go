package replay

import (
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// detached returns the lease with strings of its own, all in one piece of memory. Those of a record keep the whole segment
// that it stands in, and the leases that are held after a long history come from nearly as many segments.
func detached(from *state.Lease) *state.Lease {
	l := new(state.Lease)
	*l = *from
	var b strings.Builder
	b.Grow(lengthOf(l))
	own(l, &b)
	return l
}

// texts are the strings of a lease.
func texts(l *state.Lease) [6]*string {
	return [...]*string{&l.ContainerID, &l.IfName, &l.NetNS, &l.Pod.Namespace, &l.Pod.Name, &l.Pod.UID}
}

func lengthOf(l *state.Lease) (n int) {
	for _, s := range texts(l) {
		n += len(*s)
	}
	return n
}

// own moves the strings of a lease to a builder that has room for them.
func own(l *state.Lease, b *strings.Builder) {
	n := b.Len()
	for _, s := range texts(l) {
		b.WriteString(*s)
	}
	all := b.String()[n:]
	for _, s := range texts(l) {
		*s, all = all[:len(*s)], all[len(*s):]
	}
}

// together is memory for what a history that forgets nothing keeps: pieces for many leases each, which the collector has less to do with.
type together struct {
	leases []state.Lease
	drafts []draft
	texts  strings.Builder
}

const (
	keptAtOnce = 64
	textAtOnce = 16 << 10
)

// brief keeps what a page shows of a lease.
func (t *together) brief(from *state.Lease) *state.Lease {
	if len(t.leases) == 0 {
		t.leases = make([]state.Lease, keptAtOnce)
	}
	l := &t.leases[0]
	t.leases = t.leases[1:]
	*l = *from
	l.NetNS, l.NetNSID, l.Pod.UID = "", journal.NetNSID{}, ""
	if n := lengthOf(l); t.texts.Cap()-t.texts.Len() < n {
		t.texts.Reset()
		t.texts.Grow(max(n, textAtOnce))
	}
	own(l, &t.texts)
	return l
}

func (t *together) draft() *draft {
	if len(t.drafts) == 0 {
		t.drafts = make([]draft, keptAtOnce)
	}
	d := &t.drafts[0]
	t.drafts = t.drafts[1:]
	return d
}
