package report

import (
	"encoding/binary"
	"encoding/hex"
	"sync"
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
	ids, pods int // that stand there

	spaces []string // namespaces
	space  []int32  // that of each pod

	id, pod, form, raw, text, name, names column
}

// podName is what a page has of a pod.
type podName struct{ namespace, name string }

// digitsOf returns the first digits of an ID of 64 lower-case hex digits, as runtimes make them, and false for another one.
func digitsOf(id string) (begin uint64, ok bool) {
	var b [hashDigits / 2]byte
	if len(id) != hashDigits {
		return 0, false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, false
		}
	}
	_, _ = hex.Decode(b[:], []byte(id))
	return binary.BigEndian.Uint64(b[:]), true
}

// lastSeen says, of each lease, which one before it has the same container ID; -1 if none has. short reports whether the IDs of 64 digits
// may be shortened: there are many, and no other ID begins with the digits that are left.
func lastSeen(leases []leaseRef) (before []int32, short bool) {
	before, short = make([]int32, len(leases)), len(leases) > shortenAbove
	hashes := make(map[uint64]int32, len(leases)) // by their first digits, which are mostly enough
	others := map[string]int32{}
	for i := range leases {
		id := leases[i].Lease.ContainerID
		begin, ok := digitsOf(id)
		last, known := hashes[begin]
		if ok && (!known || leases[last].Lease.ContainerID == id) {
			hashes[begin] = int32(i)
		} else {
			short = short && !ok
			last, known = others[id]
			others[id] = int32(i)
		}
		if before[i] = last; !known {
			before[i] = -1
		}
	}
	for id := range others {
		if len(id) >= shortDigits && short {
			var b [shortDigits / 2]byte
			if _, err := hex.Decode(b[:], []byte(id[:shortDigits])); err == nil {
				_, taken := hashes[binary.BigEndian.Uint64(b[:])]
				short = !taken
			}
		}
	}
	return before, short
}

// ownersOf makes the columns.
func ownersOf(leases []leaseRef) *owners {
	o := &owners{}
	before, short := lastSeen(leases)
	var making sync.WaitGroup
	making.Go(func() { o.addIDs(leases, before, short) })
	o.addPods(leases, before)
	making.Wait()
	return o
}

func (o *owners) addIDs(leases []leaseRef, before []int32, short bool) {
	uniform := true
	for i := range leases {
		if before[i] >= 0 {
			o.id.uvarint(uint64(i - int(before[i])))
			continue
		}
		o.id.uvarint(0)
		form := o.addID(leases[i].Lease.ContainerID, short)
		uniform = uniform && (o.ids == 0 || o.form[0] == form)
		o.form.byte(form)
		o.ids++
	}
	if uniform && o.ids > 0 {
		o.form = o.form[:1] // once is enough
	}
}

func (o *owners) addPods(leases []leaseRef, before []int32) {
	pods := make(map[podName]int32, len(leases))
	numbers := map[string]int32{}
	for i := range leases {
		pod := podName{leases[i].Lease.Pod.Namespace, leases[i].Lease.Pod.Name}
		if pod == (podName{}) {
			o.pod.uvarint(0)
			continue
		}
		last, known := pods[pod]
		switch {
		case !known:
			o.pod.uvarint(1)
			n, ok := numbers[pod.namespace]
			if !ok {
				n = int32(len(o.spaces))
				numbers[pod.namespace], o.spaces = n, append(o.spaces, pod.namespace)
			}
			o.space = append(o.space, n)
			o.names.text(&o.name, valid(pod.name))
			o.pods++
		case last == before[i]:
			o.pod.uvarint(2)
		default:
			o.pod.uvarint(uint64(i-int(last)) + 2)
		}
		pods[pod] = int32(i)
	}
}

// addID adds a container ID that was not there before and returns its form.
func (o *owners) addID(id string, short bool) byte {
	_, hash := digitsOf(id)
	if !hash {
		id = valid(id)
		o.text.uvarint(uint64(len(id)))
		o.text = append(o.text, id...)
		return formText
	}
	form := byte(formHash)
	if short {
		form, id = formShort, id[:shortDigits]
	}
	var err error
	if o.raw, err = hex.AppendDecode(o.raw, []byte(id)); err != nil {
		panic("report: hex digits that are none: " + err.Error())
	}
	return form
}

// takeOwners takes the columns over.
func (e *encoding) takeOwners(o *owners) {
	e.IDs, e.Pods = o.ids, o.pods
	var ns column
	for _, n := range o.space {
		ns.uvarint(uint64(e.texts.number(o.spaces[n])))
	}
	e.column("l.id", o.id)
	e.column("l.pod", o.pod)
	e.column("i.form", o.form)
	e.column("i.bytes", o.raw)
	e.column("i.text", o.text)
	e.column("p.ns", ns)
	e.column("p.name", o.name)
	e.column("p.bytes", o.names)
}
