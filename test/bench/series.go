package main

import (
	"context"
	"time"
)

// The short tail: after so many rounds of an ADD and a DEL the store is put back, so that no call reads more than
// about 40 events.
const roundsPerStore = 20

// warmUps are the rounds that are thrown away.
const warmUps = 3

// series times every verb with every subject, round by round. Within a verb the subjects take turns, and the
// order moves on with each round.
func (b *bench) series(ctx context.Context, w *world) error {
	rounds := b.options.rounds
	turns := w.scene.hostLocalRounds(rounds)
	for round := -warmUps; round < rounds; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if round == -warmUps || round%roundsPerStore == 0 {
			if err := w.restore(); err != nil {
				return err
			}
		}
		with := turns == rounds || turns > 0 && round == -1 || turns > 0 && round >= 0 && takesPart(round, turns, rounds)
		if err := b.round(w, round, with); err != nil {
			return err
		}
	}
	return nil
}

// round makes one call of each verb with each subject.
func (b *bench) round(w *world, round int, withHostLocal bool) error {
	fresh := attachment{id: w.newID()}
	got := map[subject]attachment{}
	for _, verb := range verbs {
		subjects := subjectsOf(verb)
		for i := range subjects {
			s := subjects[(i+round+warmUps)%len(subjects)]
			if s == hostLocal && !withHostLocal {
				continue
			}
			a := fresh
			switch {
			case verb == "STATUS":
				a = attachment{}
			case verb == "CHECK" && w.old.id != "":
				a = w.old
			case verb != "ADD":
				a = got[s]
				a.id = fresh.id
			}
			took, answered, err := w.timed(s, verb, a)
			if err != nil {
				return err
			}
			if verb == "ADD" {
				got[s] = attachment{id: fresh.id, ips: answered.ips}
			}
			if round >= 0 {
				b.add(sample{row{w.place.name, w.scene, verb, s}, round, milliseconds(took)})
			}
		}
	}
	return nil
}

// timed makes a call on a settled file system and checks its answer.
func (w *world) timed(s subject, verb string, a attachment) (time.Duration, attachment, error) {
	c := w.call(s, verb, a)
	if err := w.place.settle(); err != nil {
		return 0, attachment{}, err
	}
	answered, err := c.run()
	if err != nil {
		return 0, attachment{}, err
	}
	ips, err := w.check(s, verb, answered)
	return answered.took, attachment{id: a.id, ips: ips}, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
