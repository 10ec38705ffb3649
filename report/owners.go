package report

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"math/bits"
	"sync"

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
	ids, pods int // that stand there

	spaces []string // namespaces
	space  []int32  // that of each pod

	id, pod, form, raw, text, name, names column
}

// digitsOf returns the first digits of an ID of 64 lower-case hex digits, as runtimes make them, and false for another one.
func digitsOf(id string) (begin uint64, ok bool) {
	if len(id) != hashDigits {
		return 0, false
	}
	for i := range len(id) {
		c := id[i]
		digit := c - '0'
		if c >= 'a' {
			digit = c - 'a' + 10
		}
		if c > 'f' || c < 'a' && digit > 9 {
			return 0, false
		}
		if i < shortDigits {
			begin = begin<<4 | uint64(digit)
		}
	}
	return begin, true
}

// identities say of each lease whose container ID it has.
type identities struct {
	before []int32  // which lease before it has the same; -1 if none has
	begin  []uint64 // the first digits of an ID of 64 digits
	hash   []bool   // it is one
	short  bool     // these may be shortened: there are many, and no other ID begins with the digits that are left
}

// identitiesOf finds them. hashes are by the first digits, which are mostly enough.
func identitiesOf(leases []leaseRef, hashes map[uint64]int32) *identities {
	n := len(leases)
	x := &identities{make([]int32, n), make([]uint64, n), make([]bool, n), n > shortenAbove}
	others := map[string]int32{}
	for i := range leases {
		id := leases[i].Lease.ContainerID
		begin, ok := digitsOf(id)
		x.begin[i], x.hash[i] = begin, ok
		last, known := hashes[begin]
		if ok && (!known || leases[last].Lease.ContainerID == id) {
			hashes[begin] = int32(i)
		} else {
			x.short = x.short && !ok
			last, known = others[id]
			others[id] = int32(i)
		}
		if x.before[i] = last; !known {
			x.before[i] = -1
		}
	}
	for id := range others {
		if len(id) >= shortDigits && x.short {
			var b [shortDigits / 2]byte
			if _, err := hex.Decode(b[:], []byte(id[:shortDigits])); err == nil {
				_, taken := hashes[binary.BigEndian.Uint64(b[:])]
				x.short = !taken
			}
		}
	}
	return x
}

// ownersOf makes the columns.
func ownersOf(leases []leaseRef) *owners {
	o := &owners{}
	hashes := make(map[uint64]int32, len(leases)) // one for both, as it is large
	x := identitiesOf(leases, hashes)
	var making sync.WaitGroup
	making.Go(func() { o.addIDs(leases, x) })
	clear(hashes)
	o.addPods(&lastPods{leases, maphash.MakeSeed(), hashes, map[journal.Pod]int32{}}, x.before)
	making.Wait()
	return o
}

func (o *owners) addIDs(leases []leaseRef, x *identities) {
	uniform := true
	for i := range leases {
		if before := int(x.before[i]); before >= 0 {
			o.id.uvarint(uint64(i - before))
			continue
		}
		o.id.uvarint(0)
		form := byte(formText)
		switch id := leases[i].Lease.ContainerID; {
		case !x.hash[i]:
			id = valid(id)
			o.text.uvarint(uint64(len(id)))
			o.text = append(o.text, id...)
		case x.short:
			o.raw.room(shortDigits / 2)
			form, o.raw = formShort, binary.BigEndian.AppendUint64(o.raw, x.begin[i])
		default:
			form = formHash
			var err error
			if o.raw, err = hex.AppendDecode(o.raw, []byte(id)); err != nil {
				panic("report: hex digits that are none: " + err.Error())
			}
		}
		uniform = uniform && (o.ids == 0 || o.form[0] == form)
		o.form.byte(form)
		o.ids++
	}
	if uniform && o.ids > 0 {
		o.form = o.form[:1] // once is enough
	}
}

// lastPods are the leases that had a pod last, by the hash of its name: a map of names themselves would take more memory than they do.
type lastPods struct {
	leases []leaseRef
	seed   maphash.Seed
	hashes map[uint64]int32
	others map[journal.Pod]int32 // those whose hash another pod has
}

// swap returns the lease before that had the pod of a lease, -1 if none had.
func (p *lastPods) swap(i int32) (last int32) {
	pod := p.leases[i].Lease.Pod
	hash := maphash.String(p.seed, pod.Name) + bits.RotateLeft64(maphash.String(p.seed, pod.Namespace), 1)
	last, known := p.hashes[hash]
	if !known {
		p.hashes[hash] = i
		return -1
	}
	if of := &p.leases[last].Lease.Pod; of.Name == pod.Name && of.Namespace == pod.Namespace {
		p.hashes[hash] = i
		return last
	}
	pod.UID = ""
	if last, known = p.others[pod]; !known {
		last = -1
	}
	p.others[pod] = i
	return last
}

func (o *owners) addPods(pods *lastPods, before []int32) {
	numbers := map[string]int32{}
	for i := range pods.leases {
		pod := &pods.leases[i].Lease.Pod
		if pod.Namespace == "" && pod.Name == "" {
			o.pod.uvarint(0)
			continue
		}
		switch last := pods.swap(int32(i)); {
		case last < 0:
			o.pod.uvarint(1)
			n, ok := numbers[pod.Namespace]
			if !ok {
				n = int32(len(o.spaces))
				numbers[pod.Namespace], o.spaces = n, append(o.spaces, pod.Namespace)
			}
			o.space = append(o.space, n)
			o.names.text(&o.name, valid(pod.Name))
			o.pods++
		case last == before[i]:
			o.pod.uvarint(2)
		default:
			o.pod.uvarint(uint64(i-int(last)) + 2)
		}
	}
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
