package main

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// sweepers are the stores that join asks.
type sweepers struct {
	networks []*sweptNetwork
	answers  map[answerKey]*joinAnswer
	holdings []*replay.Holding // of one question, by network
}

// sweptNetwork is a store with those that it has succeeded, newest first.
type sweptNetwork struct{ eras []*sweptEra }

// sweptEra is one store, in the time that it tells of.
type sweptEra struct {
	*store
	sweep   *replay.Sweep // nil if it can't be read
	past    *archive.Reader
	begin   int64           // of what it tells
	unknown *replay.Holding // what it says if it can't be read
	late    []replay.Question
	places  []place // of late ones: which question, and which network's answer to it
}

// place is where an answer that comes late belongs.
type place struct{ question, network int }

// answerKey is what an answer was made of: what all networks before one said, and what it says.
type answerKey struct {
	before *joinAnswer
	says   *replay.Holding
	era    *sweptEra
}

// keptAnswers bounds how many answers are kept for rows of which the same is to be said.
const keptAnswers = 100_000

func (a *app) newJoinLookup(q *joinAsked) (*sweepers, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	if len(stores) == 0 || a.failed { // what one of them would tell would be missing, and every row look answered
		if a.failed {
			return nil, errors.New("not all stores can be read: nothing was joined")
		}
		return nil, a.noStore()
	}
	l := &sweepers{answers: map[answerKey]*joinAnswer{}, holdings: make([]*replay.Holding, len(stores))}
	for _, s := range stores {
		n, err := a.sweepNetwork(s, q.window)
		l.networks = append(l.networks, n)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", s.title(), err), l.close())
		}
	}
	return l, nil
}

// sweepNetwork reads a store, and those that it has succeeded, a first time.
func (a *app) sweepNetwork(s *store, window time.Duration) (*sweptNetwork, error) {
	n := &sweptNetwork{}
	var until handover
	for i := -1; i < len(s.parents); i++ {
		e := &sweptEra{store: s}
		n.eras = append(n.eras, e)
		if i >= 0 {
			e.store = s.parents[i]
			if err := e.ask(); err != nil {
				e.broken = err
			}
		}
		for _, d := range e.doubts {
			a.say("%s: %s", e.title(), d)
		}
		if e.broken != nil {
			a.say("%s: %v", e.title(), e.broken)
			e.unknown = &replay.Holding{Certainty: replay.Unknown, Doubts: []string{"what it tells can't be read"}}
			return n, nil
		}
		until = until.of(e.store)
		if text := until.ending(e.store); text != "" {
			a.say("%s", text)
		}
		if err := e.open(a, until, window); err != nil {
			return n, err
		}
		first := e.sweep.First()
		if first.Seq == 0 {
			break
		}
		e.begin = first.Effective.UnixNano()
		var err error
		if until, err = e.handedOver(first.Effective); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (e *sweptEra) open(a *app, until handover, window time.Duration) (err error) {
	if e.past, err = archive.Over(e.dir, e.reader); err != nil {
		return err
	}
	covered := until.covered()
	if until.IsZero() {
		covered = e.covered(a.now)
	}
	surveyed := false
	e.sweep, err = replay.NewSweep(replay.SweepOptions{
		Records: func() iter.Seq2[journal.Record, error] {
			records := e.past.Records(0)
			if surveyed { // it is read beside the rows, which tell how far the work is
				return records
			}
			surveyed = true
			return e.bar.along("reading "+e.title(), uint64(e.reader.Coverage().Durable), records)
		},
		Whole: func(addrs []netip.Addr) (*replay.History, error) {
			return e.read(reading{addrs: addrs}, until)
		},
		Wiped: e.wiped, Covered: covered, Window: window,
	})
	if err == nil && !e.sweep.Plain() && e.pruned() != nil {
		a.say("%s: events were pruned: what is left is read again for every %d addresses", e.title(), replay.SettledAtOnce)
	} else if err == nil && !e.sweep.Plain() {
		a.say("%s: events are lost or damaged (see leasectl verify): it is read again for every %d addresses, which is slow", e.title(), replay.SettledAtOnce)
	}
	return err
}

func (l *sweepers) close() error {
	var errs []error
	for _, n := range l.networks {
		for _, e := range n.eras {
			if e.sweep != nil {
				e.sweep.Close()
			}
			if e.past != nil {
				errs = append(errs, e.past.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// at returns the store that tells of an instant.
func (n *sweptNetwork) at(at int64) *sweptEra {
	for _, e := range n.eras[:len(n.eras)-1] {
		if e.sweep != nil && at >= e.begin {
			return e
		}
	}
	return n.eras[len(n.eras)-1]
}

func (l *sweepers) who(ip netip.Addr, at int64) (*joinAnswer, error) {
	for i, n := range l.networks {
		e := n.at(at)
		if l.holdings[i] = e.unknown; e.sweep == nil {
			continue
		}
		var err error
		if l.holdings[i], err = e.sweep.Who(ip, at); err != nil || l.holdings[i] == nil {
			return nil, err
		}
	}
	return l.answer(ip, at), nil
}

func (l *sweepers) settle(questions []joinQuestion) error {
	all := make([]*replay.Holding, len(questions)*len(l.networks))
	for i := range questions {
		q := &questions[i]
		for j, n := range l.networks {
			e := n.at(q.at)
			if e.sweep == nil {
				all[i*len(l.networks)+j] = e.unknown
				continue
			}
			e.late = append(e.late, replay.Question{IP: q.ip, At: q.at})
			e.places = append(e.places, place{i, j})
		}
	}
	for _, n := range l.networks {
		for _, e := range n.eras {
			if len(e.late) == 0 {
				continue
			}
			if err := e.sweep.Settle(e.late); err != nil {
				return fmt.Errorf("%s: %w", e.title(), err)
			}
			for i, p := range e.places {
				all[p.question*len(l.networks)+p.network] = e.late[i].Holding
			}
			e.late, e.places = nil, nil
		}
	}
	for i := range questions {
		copy(l.holdings, all[i*len(l.networks):])
		questions[i].ans = l.answer(questions[i].ip, questions[i].at)
	}
	return nil
}

// answer makes one answer of those of all networks, or finds the one made before of the same ones.
func (l *sweepers) answer(ip netip.Addr, at int64) *joinAnswer {
	var ans *joinAnswer
	kept := true
	for i, n := range l.networks {
		key := answerKey{ans, l.holdings[i], n.at(at)}
		var next *joinAnswer
		if kept = kept && l.holdings[i].Shared(); kept {
			next = l.answers[key]
		}
		if next == nil || !key.era.same(ip, next) {
			if len(l.answers) >= keptAnswers {
				clear(l.answers)
			}
			next = key.era.with(ans, l.holdings[i], key.era.may(ip), len(l.networks) == 1)
			if i+1 == len(l.networks) {
				next.conclude()
			}
			if kept {
				l.answers[key] = next
			}
		}
		ans = next
	}
	return ans
}

// may reports whether the address may have been the store's to give.
func (e *sweptEra) may(ip netip.Addr) bool { return e.sweep == nil || e.sweep.MayHold(ip) }

// same reports whether an answer kept for one address is that for another: whether a store that knows nothing counts depends
// on the address.
func (e *sweptEra) same(ip netip.Addr, ans *joinAnswer) bool {
	return !ans.depends || ans.may == e.may(ip)
}

// with adds what a store says to an answer.
func (e *sweptEra) with(before *joinAnswer, says *replay.Holding, may, only bool) *joinAnswer {
	ans := &joinAnswer{}
	if before != nil {
		*ans = joinAnswer{worst: before.worst, counted: before.counted, holding: before.holding, states: before.states,
			Holders: slices.Clone(before.Holders), Doubts: slices.Clone(before.Doubts)}
	}
	c := says.Certainty
	if e.parted {
		c = max(c, replay.Uncertain)
	}
	for i := range says.Holders {
		h := &says.Holders[i]
		if e.torn && h.End == nil {
			c = max(c, replay.Uncertain)
		}
		ans.Holders = append(ans.Holders, e.joined(h))
		for _, d := range h.Doubts {
			ans.doubt(d)
		}
	}
	for _, d := range says.Doubts {
		if !only {
			d = e.title() + ": " + d
		}
		ans.doubt(d)
	}
	if says.State == replay.StateHeld || len(says.Holders) > 0 {
		ans.holding++
	}
	ans.depends, ans.may = says.Certainty == replay.Unknown && !only, may
	if only || c != replay.Unknown || may || len(says.Holders) > 0 {
		ans.worst, ans.counted = max(ans.worst, c), true
	}
	if c != replay.Unknown {
		ans.states |= 1 << says.State
	}
	return ans
}

// joined describes a holder.
func (e *sweptEra) joined(h *replay.Holder) joinHolder {
	l := h.Lease
	j := joinHolder{ContainerID: l.ContainerID, IfName: l.IfName, Pod: podItem{l.Pod.Namespace, l.Pod.Name, l.Pod.UID}, NetNS: l.NetNS,
		Network: e.network, Node: e.meta.Node, Since: stamp(h.Start.Effective), Seq: uint64(h.Start.Seq)}
	if h.End != nil {
		j.Until = stamp(h.End.Effective)
	}
	return j
}

func (ans *joinAnswer) doubt(text string) {
	if !slices.Contains(ans.Doubts, text) {
		ans.Doubts = append(ans.Doubts, text)
	}
}

// conclude is concludeWho.
func (ans *joinAnswer) conclude() {
	if !ans.counted {
		ans.worst = replay.Unknown
	}
	state := replay.StateUnknown
	switch {
	case ans.worst == replay.Unknown:
	case len(ans.Holders) > 0:
		state = replay.StateHeld
	default:
		for _, s := range []replay.State{replay.StateNotOurs, replay.StateFree, replay.StateGateway} {
			if ans.states&(1<<s) != 0 {
				state = s
			}
		}
	}
	if ans.worst < replay.Uncertain && ans.holding > 1 {
		ans.worst = replay.Uncertain
		ans.doubt("several networks or nodes had it held")
	}
	ans.State, ans.Certainty = state.String(), ans.worst.String()
	switch {
	case ans.worst == replay.Unknown:
		ans.code = exitUnknown
	case ans.worst == replay.Uncertain:
		ans.code = exitUncertain
	case len(ans.Holders) == 0:
		ans.code = exitNobody
	}
}
