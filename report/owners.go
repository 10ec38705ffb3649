package report

import (
	"encoding/hex"

	"github.com/leaselog/leaselog/journal"
)

// Forms of container IDs.
const (
	formText  = 0
	formHash  = 1 // 64 hex digits
	formShort = 2 // of these, the first 16

	hashDigits  = 64
	shortDigits = 16
	// shortenAbove is how many leases a view has before its IDs are shortened: half of its page would be their digits.
	shortenAbove = 8192
)

// owners are the columns that say whose leases they are. An ID or a pod stands there once; after that it is told by how many leases
// before it stood last.
type owners struct {
	short bool
	ids   map[string]int // the lease that has it, the newest so far
	pods  map[journal.Pod]int

	id, pod, form, raw, text, ns, name, names column
	podOf                                     []bool // whether a lease has one
	uniform                                   bool   // all IDs so far are of one form
}

func newOwners(leases []leaseRef) *owners {
	return &owners{short: shortens(leases), ids: map[string]int{}, pods: map[journal.Pod]int{}, podOf: make([]bool, len(leases))}
}

// isHash reports whether an ID is of 64 lower-case hex digits, as runtimes make them.
func isHash(id string) bool {
	if len(id) != hashDigits {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// shortens reports whether IDs are shortened: there are many, and those with the same first digits are the same.
func shortens(leases []leaseRef) bool {
	if len(leases) <= shortenAbove {
		return false
	}
	begins := make(map[string]string, len(leases))
	for i := range leases {
		id := leases[i].Lease.ContainerID
		if len(id) < shortDigits {
			continue
		}
		if other, ok := begins[id[:shortDigits]]; ok && other != id {
			return false
		}
		begins[id[:shortDigits]] = id
	}
	return true
}

// add takes the owner of lease i.
func (o *owners) add(e *encoding, i int, l *leaseRef) {
	id := l.Lease.ContainerID
	before, known := o.ids[id]
	if known {
		o.id.uvarint(uint64(i - before))
	} else {
		o.id.uvarint(0)
		o.addID(id)
		e.IDs++
	}
	o.ids[id] = i
	pod := journal.Pod{Namespace: l.Lease.Pod.Namespace, Name: l.Lease.Pod.Name}
	if pod == (journal.Pod{}) {
		o.pod.uvarint(0)
		return
	}
	last, again := o.pods[pod]
	switch {
	case !again:
		o.pod.uvarint(1)
		o.ns.uvarint(uint64(e.texts.number(pod.Namespace)))
		o.names.text(&o.name, valid(pod.Name))
		e.Pods++
	case known && last == before:
		o.pod.uvarint(2)
	default:
		o.pod.uvarint(uint64(i-last) + 2)
	}
	o.pods[pod] = i
}

func (o *owners) addID(id string) {
	form := byte(formText)
	if isHash(id) {
		form = formHash
		if o.short {
			form = formShort
		}
	}
	switch form {
	case formText:
		id = valid(id)
		o.text.uvarint(uint64(len(id)))
		o.text = append(o.text, id...)
	case formShort:
		id = id[:shortDigits]
		fallthrough
	case formHash:
		b, _ := hex.DecodeString(id) // isHash
		o.raw = append(o.raw, b...)
	}
	o.uniform = len(o.form) == 0 || o.uniform && o.form[0] == form
	o.form.byte(form)
}

// columns hands them over. Forms that are all the same stand there once.
func (o *owners) columns(e *encoding) {
	if o.uniform {
		o.form = o.form[:1]
	}
	e.column("l.id", o.id)
	e.column("l.pod", o.pod)
	e.column("i.form", o.form)
	e.column("i.bytes", o.raw)
	e.column("i.text", o.text)
	e.column("p.ns", o.ns)
	e.column("p.name", o.name)
	e.column("p.bytes", o.names)
}
