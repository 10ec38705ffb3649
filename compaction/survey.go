package compaction

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// Hold is a hold event, and how it ended if it did.
type Hold struct {
	Seq          journal.Seq // the hold event
	Journal      journal.ID  // whose event that is
	Succeeded    bool        // that journal is one that the store's has succeeded
	Clock        journal.Clock
	Since, Until int64 // wall clock, UTC nanoseconds; 0 = from the beginning, without end
	Note, By     string

	Released     journal.Seq   // the event that ended it, of the store's own journal or the hold's; 0 while it is active
	ReleaseClock journal.Clock // of that event
	ReleaseNote  string
	ReleaseBy    string
}

// Active reports whether the hold still blocks pruning. That the time which it names is over does not end it.
func (h *Hold) Active() bool { return h.Released == 0 }

// Holds returns all holds of the store in dir that are still in its history, and those of the journals that it has succeeded: oldest
// first. doubts say why there may be others, which are lost. Where events of the store itself are lost, the error says so and the holds are
// those of the rest. It takes no lock.
func Holds(dir string) (holds []Hold, doubts []string, err error) {
	r, err := archive.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := surveyOf(r)
	if damage := new(journal.CorruptionError); errors.As(err, &damage) {
		rest, failed := surveyRest(r)
		if failed != nil {
			return nil, nil, errors.Join(err, r.Close())
		}
		for _, text := range rest.losses {
			rest.lost = append(rest.lost, text+": a hold may have been among them")
		}
		s = rest
	} else if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	parents, failed := parentsOf(dir, s)
	s.inherit(parents)
	return s.holds, s.lost, errors.Join(err, failed, r.Close())
}

// survey is what the landmarks of a journal say: holds, prunes, clocks.
type survey struct {
	id      journal.ID
	clocks  clocks
	all     *clocks // with those of the journals that were succeeded; nil: there are none
	holds   []Hold
	unholds []journal.Event // of holds that other journals have
	durable journal.Seq     // of the events that were looked at the newest
	counted journal.Seq     // the newest that is no prune: each run would prune one more otherwise, because of the tombstone of the one before
	pruned  journal.Pruned  // by the newest prune of the journal's own events; zero if there was none
	gone    []journal.ID    // succeeded journals that prunes tell of
	genesis journal.Event
	losses  []string // of its own events, in words
	lost    []string // what may have cost holds, of all of the history, in words
}

// surveyOf reads the landmarks. Damage is an error.
func surveyOf(r *archive.Reader) (*survey, error) {
	s := newSurvey(r)
	for p, err := range r.Sparse(nil, 0) {
		if err != nil {
			return nil, err
		}
		if err := s.piece(r, p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// surveyLeft is surveyOf that goes on behind damage.
func surveyLeft(r *archive.Reader) (*survey, error) {
	s, err := surveyOf(r)
	if damage := new(journal.CorruptionError); errors.As(err, &damage) {
		return surveyRest(r)
	}
	return s, err
}

// surveyRest is surveyOf for a journal that has lost events.
func surveyRest(r *archive.Reader) (*survey, error) {
	s := newSurvey(r)
	for p, err := range r.Pieces(0) {
		if err != nil {
			return nil, err
		}
		if p.Loss != nil && p.Loss.Pruned() == nil {
			s.lose(p.Loss)
			continue
		}
		if err := s.piece(r, p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// lose takes in that events are lost. What was torn off was never promised to anybody.
func (s *survey) lose(l *journal.Loss) {
	switch {
	case l.Events() == 0 || l.Open && errors.Is(l.Cause, journal.ErrTorn):
	case l.Open:
		s.losses = append(s.losses, fmt.Sprintf("events from %d on are lost", l.First))
	case l.Last > l.First:
		s.losses = append(s.losses, fmt.Sprintf("events %d to %d are lost", l.First, l.Last))
	default:
		s.losses = append(s.losses, fmt.Sprintf("event %d is lost", l.First))
	}
}

func newSurvey(r *archive.Reader) *survey {
	return &survey{id: r.Meta().ID, clocks: clocks{boots: make(map[journal.BootID]*bootTimes)}}
}

func (s *survey) piece(r *archive.Reader, p journal.Piece) error {
	if p.Loss == nil {
		s.event(&p.Event)
		return nil
	}
	gone := p.Loss.Pruned()
	if gone == nil {
		return p.Loss.Error(filepath.Clean(r.Journal().ArchiveDir()))
	}
	for ev := range gone.Earlier.All() {
		s.event(ev)
	}
	return nil
}

// event takes in the next event, perhaps a light one.
func (s *survey) event(ev *journal.Event) {
	s.clocks.add(ev.Clock)
	s.durable = max(s.durable, ev.Seq)
	if ev.Kind != journal.KindPrune {
		s.counted = max(s.counted, ev.Seq)
	}
	if ev.Seq == 1 {
		s.genesis = *ev
	}
	switch ev.Kind {
	case journal.KindHold:
		h, ok := ev.Hold()
		if !ok {
			h = journal.Hold{} // in a form of a later version: it may be from the beginning
		}
		s.holds = append(s.holds, Hold{Seq: ev.Seq, Journal: s.id, Clock: ev.Clock, Since: h.Since, Until: h.Until,
			Note: ev.Text, By: attribute(ev, journal.AttributeBy)})
	case journal.KindUnhold:
		if h, ok := ev.Hold(); ok && !release(s.holds, s.id, ev, h) {
			s.unholds = append(s.unholds, *ev)
		}
	case journal.KindPrune:
		p, ok := ev.Pruned()
		switch {
		case !ok:
			s.lost = append(s.lost, fmt.Sprintf("prune event %d is in a form of a later version: what went is not known", ev.Seq))
		case p.Journal != journal.ID{} && p.Journal != s.id:
			s.gone = append(s.gone, p.Journal)
		case p.Last >= ev.Seq:
			s.lost = append(s.lost, fmt.Sprintf("prune event %d tells of events up to %d, itself among them: what went is not known", ev.Seq, p.Last))
		case p.Last > s.pruned.Last:
			s.pruned = p
		}
	}
}

// release ends the hold that an unhold event names, and reports whether it is among these.
func release(holds []Hold, id journal.ID, ev *journal.Event, h journal.Hold) bool {
	if h.Journal != (journal.ID{}) {
		id = h.Journal
	}
	for i := range holds {
		if holds[i].Seq == h.Of && holds[i].Journal == id {
			if holds[i].Active() {
				holds[i].Released, holds[i].ReleaseClock, holds[i].ReleaseNote = ev.Seq, ev.Clock, ev.Text
				holds[i].ReleaseBy = attribute(ev, journal.AttributeBy)
			}
			return true
		}
	}
	return false
}

// inherit takes over the holds of all journals that this one has succeeded, of which the newest come first.
func (s *survey) inherit(parents []*parent) {
	chain := []*survey{s}
	for _, p := range parents {
		chain = append(chain, p.survey)
	}
	for i := len(chain) - 1; i > 0; i-- {
		chain[i-1].adopt(chain[i])
	}
	s.all = &clocks{boots: make(map[journal.BootID]*bootTimes)}
	for _, next := range slices.Backward(chain) {
		s.all.follow(&next.clocks)
	}
}

// timeline returns the clocks of all of the history.
func (s *survey) timeline() *clocks {
	if s.all != nil {
		return s.all
	}
	return &s.clocks
}

// adopt takes over the holds of the journal that this one has succeeded: they go on until an event of either ends them.
func (s *survey) adopt(parent *survey) {
	holds := slices.Clone(parent.holds)
	for i := range holds {
		holds[i].Succeeded = true
	}
	for i := range s.unholds {
		if h, ok := s.unholds[i].Hold(); ok {
			release(holds, s.id, &s.unholds[i], h)
		}
	}
	s.holds = append(holds, s.holds...)
}

// active returns the holds that have not ended.
func (s *survey) active() []Hold {
	return slices.DeleteFunc(slices.Clone(s.holds), func(h Hold) bool { return !h.Active() })
}

func attribute(ev *journal.Event, key string) string {
	for _, a := range ev.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}
