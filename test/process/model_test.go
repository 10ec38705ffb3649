package process_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leaselog/leaselog/journal"
)

// modelBits is the size of a network that the model can hold: a /24.
const modelBits = 8

// model is a network's lease map as host-local keeps it, for one range in a /24. It is a
// value: copying it copies all, and == compares all.
type model struct {
	holder [1 << modelBits]uint16 // container by last byte of the address, 0 is free
	cursor uint8                  // last byte of the address given last, 0 is none
}

// bounds is the range: the last bytes of its ends and of the gateway.
type bounds struct{ start, end, gateway uint8 }

// outcome is what the caller of an ADD or DEL sees: an address, a code, or neither.
type outcome struct {
	code int
	host uint8 // last byte of the address
}

// operation is a call as the model sees it.
type operation struct {
	del   bool
	owner uint16 // 1 on
	want  uint8  // last byte of the requested address, 0 if none
	place int    // among the calls that the journal holds, 1 on; 0 if it doesn't or that isn't to count
}

// step returns what the operation does and answers. The order of questions is host-local's.
func (m model) step(b bounds, op operation) (outcome, model) {
	if op.del {
		for i, owner := range m.holder {
			if owner == op.owner {
				m.holder[i] = 0
			}
		}
		return outcome{}, m
	}
	if op.want != 0 {
		if op.want == b.gateway || m.holder[op.want] != 0 {
			return outcome{code: codeNotAvailable}, m
		}
		return outcome{host: op.want}, m.give(op.want, op.owner)
	}
	if slices.Contains(m.holder[:], op.owner) {
		return outcome{code: codeDuplicate}, m
	}
	size := int(b.end) - int(b.start) + 1
	from := 0
	if m.cursor >= b.start && m.cursor <= b.end {
		from = int(m.cursor-b.start) + 1
	}
	for i := range size {
		host := b.start + uint8((from+i)%size)
		if host != b.gateway && m.holder[host] == 0 {
			return outcome{host: host}, m.give(host, op.owner)
		}
	}
	return outcome{code: codeExhausted}, m
}

func (m model) give(host uint8, owner uint16) model {
	m.holder[host], m.cursor = owner, host
	return m
}

// trial is a set of answers that the model is held against.
type trial struct {
	bounds  bounds
	answers []answer
	owners  map[string]uint16
}

func newTrial(b bounds, answers []answer) *trial {
	tr := &trial{bounds: b, answers: answers, owners: map[string]uint16{}}
	for _, a := range answers {
		if tr.owners[a.call.id] == 0 {
			tr.owners[a.call.id] = uint16(len(tr.owners) + 1)
		}
	}
	return tr
}

func lastByte(ip netip.Addr) uint8 { return ip.As4()[3] }

func (tr *trial) operation(a answer) operation {
	op := operation{del: a.call.verb == "DEL", owner: tr.owners[a.call.id]}
	if a.call.ip != "" {
		op.want = lastByte(netip.MustParseAddr(a.call.ip))
	}
	return op
}

func outcomeOf(a answer) outcome {
	o := outcome{code: a.code}
	if len(a.ips) > 0 {
		o.host = lastByte(a.ips[0])
	}
	return o
}

// linearizable fails the test unless some order of the calls, none before it was made or after it
// had returned, explains every answer. The journal says which order to try: calls that it holds
// are taken in its order, and what is found so is an order for all the same. Without that
// hint, 32 processes at a time are more than a checker can search.
func (tr *trial) linearizable(t *testing.T, h history) {
	t.Helper()
	if tr.check(tr.operations(h)) == porcupine.Ok {
		return
	}
	t.Errorf("the journal's order does not explain the answers of %d calls; that some order does is %s",
		len(tr.answers), tr.check(tr.operations(history{})))
	for _, a := range tr.answers {
		t.Logf("%v to %v: %s %s %s: %+v", a.called, a.returned, a.call.verb, a.call.id, a.call.ip, outcomeOf(a))
	}
}

// operations returns the calls for the checker, those in the journal with their place there.
func (tr *trial) operations(h history) []porcupine.Operation {
	place := map[string]int{}
	for i := range h.events {
		if netns := h.events[i].NetNS; netns != "" {
			place[netns] = len(place) + 1
		}
	}
	operations := make([]porcupine.Operation, len(tr.answers))
	for i, a := range tr.answers {
		op := tr.operation(a)
		op.place = place[a.call.netns]
		operations[i] = porcupine.Operation{ClientId: i, Input: op, Output: outcomeOf(a),
			Call: int64(a.called), Return: int64(a.returned)}
	}
	return operations
}

// placed is the model with the place in the journal that it has come to.
type placed struct {
	model
	place int
}

func (tr *trial) check(operations []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(porcupine.Model{
		Init: func() any { return placed{} },
		Step: func(state, input, output any) (bool, any) {
			s, op := state.(placed), input.(operation)
			if op.place > 0 {
				if op.place != s.place+1 {
					return false, s
				}
				s.place = op.place
			}
			var want outcome
			want, s.model = s.step(tr.bounds, op)
			return want == output.(outcome), s
		},
	}, operations, 10*time.Second)
}

// witnessed fails the test unless the journal tells the same story as the callers, in an order that
// they can't contradict. Calls and events are matched by the namespace, which is each call's own.
func (tr *trial) witnessed(t *testing.T, h history) {
	t.Helper()
	byNetNS := map[string]answer{}
	for _, a := range tr.answers {
		byNetNS[a.call.netns] = a
	}
	seqs := map[string]journal.Seq{}
	var m model
	var latest time.Duration // call time of the latest begun call so far
	for i := range h.events {
		ev := &h.events[i]
		if ev.Kind == journal.KindGenesis || ev.Kind == journal.KindConfig {
			continue
		}
		a, ok := byNetNS[ev.NetNS]
		if !ok || seqs[ev.NetNS] != 0 {
			t.Errorf("event %d, %s for %s: not one call's own", ev.Seq, ev.Kind, ev.NetNS)
			continue
		}
		seqs[ev.NetNS] = ev.Seq
		// Whatever returned before another call began stands before it.
		if a.returned < latest {
			t.Errorf("event %d of %s %s, which ended at %s: an event before it is of a call made at %s",
				ev.Seq, a.call.verb, a.call.id, a.returned, latest)
		}
		latest = max(latest, a.called)
		want, next := m.step(tr.bounds, tr.operation(a))
		if got := outcomeOf(a); got != want {
			t.Errorf("event %d: %s %s %s was answered with %+v, in the order of the journal it is %+v",
				ev.Seq, a.call.verb, a.call.id, a.call.ip, got, want)
		}
		if err := sameAs(ev, a); err != nil {
			t.Errorf("event %d: %v", ev.Seq, err)
		}
		m = next
	}
	for _, a := range tr.answers {
		// An empty DEL after a DEL and a repeated refusal need not be recorded.
		if a.call.verb == "ADD" && a.ok() && seqs[a.call.netns] == 0 {
			t.Errorf("%v: acknowledged, but not in the journal", a)
		}
	}
	tr.sameLeases(t, m, h)
}

// sameAs says how an event differs from what its caller was told.
func sameAs(ev *journal.Event, a answer) error {
	kind := journal.KindDel
	switch {
	case a.call.verb == "ADD" && a.ok():
		kind = journal.KindAdd
	case a.call.verb == "ADD":
		kind = journal.KindRefuse
	}
	var ips []netip.Addr
	if kind == journal.KindAdd {
		for _, address := range ev.Addresses {
			ips = append(ips, address.IP)
		}
	}
	if ev.Kind != kind || ev.ContainerID != a.call.id || ev.Code != a.code || !slices.Equal(ips, a.ips) {
		return fmt.Errorf("%s of %s, code %d, %v, but the caller saw %v", ev.Kind, ev.ContainerID, ev.Code, ips, a)
	}
	return nil
}

// sameLeases compares the journal's leases with the model's.
func (tr *trial) sameLeases(t *testing.T, m model, h history) {
	t.Helper()
	for id, owner := range tr.owners {
		var want []uint8
		for host, holder := range m.holder {
			if holder == owner {
				want = append(want, uint8(host))
			}
		}
		var got []uint8
		for _, ip := range h.leases[id] {
			got = append(got, lastByte(ip))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the journal says it holds %v, its callers say %v", id, got, want)
		}
	}
	for id := range h.leases {
		if tr.owners[id] == 0 {
			t.Errorf("%s: holds a lease that nobody asked for", id)
		}
	}
}
