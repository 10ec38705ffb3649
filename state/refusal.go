package state

import (
	"crypto/sha256"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// A runtime repeats a refused ADD for as long as the pod is wanted. Within this window
// a refusal is recorded once per pod and code, and at most so many in all.
const (
	refusalWindow = int64(time.Minute)
	maxRefusals   = 60
)

// refusals is a ring of the last maxRefusals refusals. Older ones never matter: if
// the oldest in a full ring is in the window then that decides already.
type refusals struct {
	ring []refusal
	next int
}

type refusal struct {
	boot     journal.BootID
	bootTime int64
	code     int
	pod      [16]byte
}

func (r *refusals) add(ev *journal.Event) {
	v := refusal{boot: ev.Boot, bootTime: ev.BootTime, code: ev.Code, pod: podKey(ev)}
	if len(r.ring) < maxRefusals {
		r.ring = append(r.ring, v)
		return
	}
	r.ring[r.next] = v
	r.next = (r.next + 1) % maxRefusals
}

// podKey stands for who was refused: the pod by UID, else by name, else the
// attachment. The first byte keeps the three apart.
func podKey(ev *journal.Event) [16]byte {
	var room [256]byte
	b := room[:0]
	switch {
	case ev.Pod.UID != "":
		b = append(append(b, 1), ev.Pod.UID...)
	case ev.Pod.Name != "":
		b = append(append(b, 2), ev.Pod.Namespace...)
		b = append(append(b, 0), ev.Pod.Name...)
	default:
		b = append(append(b, 3), ev.ContainerID...)
		b = append(append(b, 0), ev.IfName...)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// RefusedLately reports whether a refusal like ev need not be recorded: the overlay has
// one for the same pod and code, or 60 of any kind, of the same boot and at most 60
// seconds of boot time before. ev is the refusal to be recorded; its Seq is not looked at.
func (st *State) RefusedLately(ev *journal.Event) bool {
	if len(st.refusals.ring) == 0 {
		return false
	}
	pod, n := podKey(ev), 0
	for i := range st.refusals.ring {
		r := &st.refusals.ring[i]
		age := ev.BootTime - r.bootTime
		if r.boot != ev.Boot || age < 0 || age > refusalWindow {
			continue
		}
		if n++; n == maxRefusals || r.code == ev.Code && r.pod == pod {
			return true
		}
	}
	return false
}
