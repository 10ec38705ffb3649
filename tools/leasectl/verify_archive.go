package main

import (
	"errors"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// verifyArchive checks an archive by itself: each record, the chain of their hashes, and whether each event can have
// happened. Without packed files it ends with the first damage: there is neither snapshot nor marker to go on from.
func (s *store) verifyArchive() (*replay.Verified, error) {
	v := &replay.Verified{Journal: s.meta.ID}
	if s.broken != nil {
		v.Findings = append(v.Findings, damageIn(s.broken))
		return v, nil
	}
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	if past.Packed(0) {
		return replay.VerifyArchive(past, s.dir)
	}
	var clocks replay.Clocks
	var first, last journal.Event
	file := ""
	st := state.New()
	for rec, err := range s.records(0) {
		if err == nil {
			err = chained(&rec, st)
		}
		if damage := new(journal.CorruptionError); errors.As(err, &damage) {
			v.Findings = append(v.Findings, damageIn(err))
			break
		}
		if err != nil {
			return nil, err
		}
		clocks.Add(&rec.Event)
		if last = rec.Event; first.Seq == 0 {
			first = last
		}
		if rec.File != file {
			file = rec.File
			v.Segments++
		}
		v.Events++
	}
	if last.Seq != 0 {
		v.First, v.Last = clocks.Point(first.Seq, first.Clock), clocks.Point(last.Seq, last.Clock)
	}
	v.Findings = append(v.Findings, replay.Finding{Severity: replay.SeverityNote, Offset: -1, First: last.Seq, Last: last.Seq,
		What: "this is an archive by itself: there is neither snapshot nor marker to hold it against, and what followed is not in it"})
	return v, nil
}

// chained applies a record, which must continue the one before.
func chained(rec *journal.Record, st *state.State) error {
	ev := &rec.Event
	cause := st.Apply(ev)
	if ev.Prev != st.Head() {
		cause = errors.New("its hash of the event before is not that event's")
	}
	if cause != nil {
		return &journal.CorruptionError{File: rec.File, Seq: ev.Seq, Offset: rec.Offset, Cause: cause}
	}
	st.SetHead(journal.RecordHash(rec.Raw))
	return nil
}

// damageIn is the finding of damage to an archive, on which no call depends.
func damageIn(err error) replay.Finding {
	f := replay.Finding{Severity: replay.SeverityHistory, Offset: -1, What: err.Error(),
		Affects: "what comes after it was not looked at, and who held what from then on is unknown", Do: "take another copy of the file"}
	if damage, ok := errors.AsType[*journal.CorruptionError](err); ok {
		f.File, f.Offset, f.First, f.Last, f.What = damage.File, damage.Offset, damage.Seq, damage.Seq, damage.Cause.Error()
	}
	return f
}
