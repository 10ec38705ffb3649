package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// names gives everything its name as a function of its number, so that nothing has to be
// remembered. Names look as Kubernetes and containerd make them.
type names struct{ key uint64 }

// What names are drawn for; part of what they are drawn from.
const (
	ofPod = iota + 1
	ofSandbox
	ofWorkload
	ofRevision
)

// draw returns a source of randomness for one thing.
func (n names) draw(what, number uint64) (p rand.PCG) {
	p.Seed(n.key^what<<56, number)
	return p
}

// fill fills b, whose length is a multiple of 8.
func fill(b []byte, src rand.Source) {
	for ; len(b) > 0; b = b[8:] {
		binary.BigEndian.PutUint64(b, src.Uint64())
	}
}

// uuidBytes draws a random UUID, of version 4.
func uuidBytes(src rand.Source) (b [16]byte) {
	fill(b[:], src)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b
}

// uuidText writes 16 bytes in the form 8-4-4-4-12.
func uuidText(dst []byte, b [16]byte) []byte {
	at := 0
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[at:at+n])
		at += n
	}
	return dst
}

// suffix draws n letters as Kubernetes does for generated names: no vowels, nothing mistaken for another.
func suffix(dst []byte, n int, src rand.Source) []byte {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	for v := src.Uint64(); n > 0; n-- {
		dst = append(dst, letters[v%uint64(len(letters))])
		v /= uint64(len(letters))
	}
	return dst
}

// workloadKind is what keeps pods running.
type workloadKind int

const (
	deployment workloadKind = iota
	statefulSet
	daemonSet
	cronJob
)

// workload is what pods belong to.
type workload struct {
	number          uint64
	kind            workloadKind
	namespace, name string
	revision        uint64
	hash            string // of the revision's pod template
	ordinals        uint64 // of a stateful set: given so far
	pods            []*pod // running
}

var (
	namespaces = []string{"default", "kube-system", "monitoring", "ingress", "payments", "shop", "search", "data-platform",
		"ml-serving", "team-atlas", "team-borealis", "ci-runners", "logging", "identity", "edge-cache", "batch"}
	purposes = []string{"checkout", "catalog", "session", "invoice", "ledger", "gateway", "profile", "recommend", "metrics", "audit",
		"mailer", "thumbnail", "geo", "stock", "pricing", "webhook", "export", "token", "feed", "chat"}
	parts = []string{"api", "worker", "frontend", "cache", "proxy", "consumer", "scheduler", "db", "exporter", "sync"}
)

func (n names) workload(number uint64) *workload {
	src := n.draw(ofWorkload, number)
	v := src.Uint64()
	w := &workload{number: number}
	switch k := v % 20; {
	case k < 13:
		w.kind = deployment
	case k < 15:
		w.kind = statefulSet
	case k < 17:
		w.kind = daemonSet
	default:
		w.kind = cronJob
	}
	v /= 20
	pick := func(from []string) string {
		s := from[v%uint64(len(from))]
		v /= uint64(len(from))
		return s
	}
	w.namespace = pick(namespaces)
	w.name = pick(purposes) + "-" + pick(parts)
	if number >= uint64(len(purposes)) { // so many that names would repeat
		w.name += "-" + strconv.FormatUint(number, 36)
	}
	n.revise(w)
	return w
}

// revise gives the workload a new pod template.
func (n names) revise(w *workload) {
	w.revision++
	src := n.draw(ofRevision, w.number<<20|w.revision&(1<<20-1))
	w.hash = string(suffix(nil, 8+int(src.Uint64()%3), &src))
}

// pod is a pod that has, or is about to have, a sandbox.
type pod struct {
	number  uint64
	sandbox uint64
	name    string
	work    *workload
	place   int // in world.pods or world.leaked
	inWork  int // in work.pods
}

// newPod names a pod of a workload. A pod of a stateful set has its predecessor's name.
func (n names) newPod(number uint64, w *workload, before *pod, minute int64) *pod {
	p := &pod{number: number, work: w}
	src := n.draw(ofPod, number)
	b := append(make([]byte, 0, len(w.name)+20), w.name...)
	switch {
	case w.kind == statefulSet && before != nil:
		p.name = before.name
		return p
	case w.kind == statefulSet:
		p.name = string(strconv.AppendUint(append(b, '-'), w.ordinals, 10))
		w.ordinals++
		return p
	case w.kind == deployment:
		b = append(append(b, '-'), w.hash...)
	case w.kind == cronJob:
		b = strconv.AppendInt(append(b, '-'), minute, 10)
	}
	p.name = string(suffix(append(b, '-'), 5, &src))
	return p
}

// identity returns the pod as the runtime names it.
func (n names) identity(p *pod) journal.Pod {
	src := n.draw(ofPod, p.number)
	src.Uint64() // the name's
	return journal.Pod{Namespace: p.work.namespace, Name: p.name, UID: string(uuidText(make([]byte, 0, 36), uuidBytes(&src)))}
}

// container returns who the sandbox is to the plugin, and its network namespace.
func (n names) container(sandbox uint64) (owner state.Attachment, netns string) {
	src := n.draw(ofSandbox, sandbox)
	var id [32]byte
	fill(id[:], &src)
	var ns [16]byte
	fill(ns[:], &src)
	return state.Attachment{ContainerID: hex.EncodeToString(id[:]), IfName: "eth0"},
		string(uuidText(append(make([]byte, 0, 64), "/var/run/netns/cni-"...), ns))
}

// traceParent draws a W3C trace context.
func traceParent(src rand.Source) string {
	var b [24]byte
	fill(b[:], src)
	return fmt.Sprintf("00-%x-%x-01", b[:16], b[16:])
}
