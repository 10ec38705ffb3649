package main

import (
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// explainOwner explains why ADDs of a container or a pod were refused.
func (a *app) explainOwner(q archive.Query) error {
	asked := explainAsked{scope: a.scope(), Container: q.Container, Pod: q.Pod, At: stamp(a.now)}
	ans := newAnswer("explain", asked)
	all, err := a.explain(func(s *store) (*explained, error) { return s.explainOwner(a, ans, q) })
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(all, func(x *explained) bool { return x.about > 0 })
	var refusals uint64
	for _, x := range all {
		if known && x.about == 0 {
			x.said, x.evidence = nil, nil // it is about another network
			continue
		}
		ans.worst = max(ans.worst, x.certainty)
		refusals += x.refusals
	}
	if len(all) == 0 {
		ans.worst = replay.Unknown
	}
	a.exit(ans.worst, refusals > 0)
	return a.showExplained(ans, all)
}

// explainOwner answers for one store.
func (s *store) explainOwner(a *app, ans *answer, q archive.Query) (*explained, error) {
	x := &explained{s: s}
	if s.broken != nil {
		ans.take(s, replay.Point{}, replay.Point{})
		x.certainty = replay.Unknown
		x.say("The store can't be read: %v.", s.broken)
		return x, nil
	}
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	refused, who, err := refusalsOf(past, q)
	if err != nil {
		return nil, err
	}
	x.about, x.refusals = refused.Events, refused.Refusals
	err = x.explain(past, refused.Addresses(), func(e *replay.Explainer) ([]replay.Sentence, error) { return e.Owner(who, refused) })
	if err != nil {
		return nil, err
	}
	ans.take(s, x.h.First, x.h.Last)
	c, doubts := x.h.Told(replay.Asked{To: a.now, Covered: s.covered(a.now)})
	x.certainty = max(x.certainty, c)
	for _, d := range doubts {
		ans.Doubts = append(ans.Doubts, s.title()+": "+d)
	}
	return x, nil
}

// refusalsOf collects the refusals of a container or a pod, and says who that is.
func refusalsOf(past *archive.Reader, q archive.Query) (*replay.Refused, string, error) {
	exact, begins, other := &replay.Refused{}, &replay.Refused{}, ""
	var more []string // other containers whose ID begins so
	for rec, err := range past.Events(q) {
		if err != nil && !unreadable(err) {
			return nil, "", err
		}
		if err != nil {
			break // the history says what is lost
		}
		switch id := rec.Event.ContainerID; {
		case q.Container == "" || id == q.Container:
			exact.Take(&rec.Event)
		case other == "" || id == other:
			other = strings.Clone(id)
			begins.Take(&rec.Event)
		case len(more) < 3 && !slices.Contains(more, id):
			more = append(more, strings.Clone(id))
		}
	}
	switch {
	case q.Container == "":
		return exact, "pod " + q.Pod, nil
	case exact.Events > 0 || other == "":
		return exact, "container " + q.Container, nil
	case len(more) > 0:
		return nil, "", usagef("several containers have an ID that begins with %q, such as %q and %q", q.Container, other, more[0])
	}
	return begins, "container " + other, nil
}
