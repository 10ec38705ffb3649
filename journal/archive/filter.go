package archive

import (
	"encoding/binary"

	"github.com/leaselog/leaselog/journal"
)

// A filter tells the blocks of identities in which a container or pod can't be: a Bloom filter over
// blocksPerFilter blocks with filterBits bits for each key, filterHashes of which are set. The first byte is the number
// of hashes.
const (
	blocksPerFilter = 16
	filterBits      = 8
	filterHashes    = 5
)

// containerKey is how much of a container ID is its key: what people copy from the tools that shorten it.
const containerKey = 12

// What a key is of.
const (
	keyContainer = 'c'
	keyPod       = 'p'
	keyUID       = 'u'
)

// filterWriter collects the keys of the blocks of one filter.
type filterWriter struct {
	keys []uint64
	from uint32 // the first block
	rows []byte
}

// What the hashes of keys are made with: FNV-1a of 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hashKey returns the 64-bit FNV-1a hash of a key, whose bits are mixed once more: a filter takes all its hashes from
// it.
func hashKey(what byte, parts ...[]byte) uint64 {
	h := (uint64(fnvOffset) ^ uint64(what)) * fnvPrime
	for i, p := range parts {
		if i > 0 {
			h = (h ^ '/') * fnvPrime
		}
		for _, c := range p {
			h = (h ^ uint64(c)) * fnvPrime
		}
	}
	return mixKey(h)
}

func mixKey(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// hashPod is hashKey of a pod's name and of its UID. Each step of a hash has to wait for the one before; those of two don't wait for each other.
func hashPod(namespace, name, uid []byte) (pod, id uint64) {
	pod, id = fnvOffset, fnvOffset
	pod, id = (pod^keyPod)*fnvPrime, (id^keyUID)*fnvPrime
	for _, c := range namespace {
		pod = (pod ^ uint64(c)) * fnvPrime
	}
	pod = (pod ^ '/') * fnvPrime
	n := min(len(name), len(uid))
	for i, c := range name[:n] {
		pod = (pod ^ uint64(c)) * fnvPrime
		id = (id ^ uint64(uid[i])) * fnvPrime
	}
	for _, c := range name[n:] {
		pod = (pod ^ uint64(c)) * fnvPrime
	}
	for _, c := range uid[n:] {
		id = (id ^ uint64(c)) * fnvPrime
	}
	return mixKey(pod), mixKey(id)
}

func (w *filterWriter) add(key uint64) { w.keys = append(w.keys, key) }

func (w *filterWriter) encode() []byte {
	b := make([]byte, 1+(len(w.keys)*filterBits+7)/8+1)
	b[0] = filterHashes
	for _, k := range w.keys {
		eachBit(k, filterHashes, b[1:], func(byteAt int, bit byte) bool { b[1+byteAt] |= bit; return true })
	}
	return b
}

// eachBit calls fn with the places of a key's bits until it returns false.
func eachBit(key uint64, hashes int, bits []byte, fn func(byteAt int, bit byte) bool) {
	a, step := uint32(key), uint32(key>>32)|1
	for range hashes {
		at := uint64(a) * uint64(len(bits)*8) >> 32
		if !fn(int(at/8), 1<<(at%8)) {
			return
		}
		a += step
	}
}

// mayHold reports whether a filter's blocks may have a key.
func mayHold(filter []byte, key uint64) bool {
	if len(filter) < 2 {
		return true
	}
	found := true
	eachBit(key, int(filter[0]), filter[1:], func(byteAt int, bit byte) bool {
		found = filter[1+byteAt]&bit != 0
		return found
	})
	return found
}

// filterKeys adds the keys of an identity: its strings as they are in the record.
func (w *filterWriter) identity(container, namespace, name, uid []byte) {
	if len(container) > 0 {
		w.add(hashKey(keyContainer, container[:min(len(container), containerKey)]))
	}
	if len(namespace)+len(name)+len(uid) == 0 {
		return
	}
	pod, id := hashPod(namespace, name, uid)
	if len(namespace)+len(name) > 0 {
		w.add(pod)
	}
	if len(uid) > 0 {
		w.add(id)
	}
}

// splitPod returns the strings of a pod as it stands in a record.
func splitPod(b []byte) (namespace, name, uid []byte) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	b = b[1:]
	var parts [3][]byte
	for i := range parts {
		head, s := splitString(b)
		parts[i], b = s, b[len(head)+len(s):]
	}
	return parts[0], parts[1], parts[2]
}

// identityFields finds container ID and pod in the first half of an identity's fields.
func identityFields(b []byte) (container, pod []byte) {
	for len(b) > 1 {
		end := journal.SkipValue(b, 1)
		if end < 0 {
			return container, pod
		}
		switch b[0] {
		case 1:
			_, container = splitString(b[1:end])
		case 4:
			pod = b[1:end]
		}
		b = b[end:]
	}
	return container, pod
}

// firstOf reads the number that a row begins with.
func firstOf(row []byte) uint32 { return binary.BigEndian.Uint32(row) }
