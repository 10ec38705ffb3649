package compaction

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// Parent is a journal that the store's has succeeded. It is kept or pruned as a whole.
type Parent struct {
	Journal journal.ID
	Events  uint64 // the number of its last event
	Bytes   int64  // of its files
	Last    int64  // the latest time of any of its events, UTC nanoseconds

	Gone      bool        // it was pruned, or would be
	Tombstone journal.Seq // the event that tells
	Why       string      // why it stays, else ""
}

// parent is one while it is judged.
type parent struct {
	Parent
	*survey
	dir    string
	unread error // why it can't be read at all
}

// maxParents bounds the walk from parent to parent.
const maxParents = 64

// parentsOf looks at the journals that one, of the store in dir, has succeeded, newest first. Damage in them is no error: what it may have cost
// is told to the survey, as is a journal of which nobody knows where it is.
func parentsOf(dir string, s *survey) ([]*parent, error) {
	var all []*parent
	child, gone := s, slices.Clone(s.gone)
	for id := s.genesis.Origin.Parent; id != (journal.ID{}) && len(all) < maxParents; {
		if slices.Contains(gone, id) {
			break // pruned, with all before it
		}
		p := &parent{Parent: Parent{Journal: id}, dir: filepath.Join(dir, archiveName, id.String())}
		err := p.look()
		if damage := new(journal.CorruptionError); errors.As(err, &damage) || errors.Is(err, journal.ErrNoStore) || errors.Is(err, fs.ErrNotExist) {
			p.survey, p.unread = &survey{id: id}, err
			p.genesis, _ = journal.ReadGenesis(p.dir)
		} else if err != nil {
			return all, fmt.Errorf("succeeded journal %s: %w", id, err)
		}
		s.lost = append(s.lost, p.missing(child)...)
		if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
			break
		}
		all = append(all, p)
		gone = append(gone, p.gone...)
		child, id = p.survey, p.genesis.Origin.Parent
	}
	return all, nil
}

// missing says which holds of a succeeded journal may not be known, child being the one that succeeded it: no more than one reason.
func (p *parent) missing(child *survey) []string {
	backup, lost := attribute(&child.genesis, journal.AttributeBackup), attribute(&child.genesis, journal.AttributeLost)
	switch {
	case p.unread != nil && errors.Is(p.unread, fs.ErrNotExist):
		return []string{fmt.Sprintf("succeeded journal %s is not there, and no prune event tells of it: its holds are not known", p.Journal)}
	case p.unread != nil:
		return []string{fmt.Sprintf("succeeded journal %s can't be read (%v): its holds are not known", p.Journal, p.unread)}
	case len(p.losses) > 0:
		text := p.losses[0]
		if n := len(p.losses) - 1; n > 0 {
			text += fmt.Sprintf(", and more in %d places", n)
		}
		return []string{fmt.Sprintf("in succeeded journal %s %s: a hold may have been among them", p.Journal, text)}
	case p.durable < child.genesis.Origin.ParentSeq:
		return []string{fmt.Sprintf("events of succeeded journal %s after %d are lost: a hold may have been among them", p.Journal, p.durable)}
	case backup != "":
		return []string{fmt.Sprintf("the store was restored from a backup of %s: what journal %s recorded later is lost, and a hold may have been among it", backup, p.Journal)}
	case lost != "" && lost != "0":
		return []string{fmt.Sprintf("events of succeeded journal %s were lost before it was succeeded: a hold may have been among them", p.Journal)}
	}
	return nil
}

func (p *parent) look() error {
	if _, err := os.Stat(p.dir); err != nil {
		return err
	}
	r, err := archive.Open(p.dir)
	if err != nil {
		return err
	}
	p.survey, err = surveyLeft(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if p.genesis.Seq == 0 { // lost; it is where it is looked for when it is whole
		p.genesis, _ = journal.ReadGenesis(p.dir)
	}
	if p.durable == 0 {
		return &journal.CorruptionError{File: p.dir, Seq: 1, Offset: -1, Cause: errors.New("no event is there")}
	}
	p.Events, p.Last = uint64(p.durable), p.clocks.newest()
	p.Bytes, err = weigh(p.dir)
	return err
}

// weigh adds up the files below a folder.
func weigh(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	return n, err
}

// judge decides which succeeded journals go. Each goes only if all before it do, since what is left is the end of the history.
func (b *bounds) judge(parents []*parent, own *survey, ownBytes int64) {
	newer, bytes, child := uint64(own.durable), ownBytes, own
	until := int64(math.MaxInt64) // when it was over at the latest
	for _, p := range parents {
		bytes += p.Bytes
		if t := child.clocks.firstSynced(); t != 0 {
			until = t
		}
		p.Why = b.keeps(p, child, until, newer, bytes)
		newer, child = newer+p.Events, p.survey
	}
	for i, p := range slices.Backward(parents) {
		if i+1 < len(parents) && p.Why == "" && parents[i+1].Why != "" {
			p.Why = "a journal before it stays"
		}
		p.Gone = p.Why == ""
	}
}

// keeps says why a succeeded journal stays, "" if it does not. All that is in it happened before the journal began that
// has succeeded it, the child: so what is lost of it makes it no younger. But a hold may be lost.
// How old it is says the first clock since that was synchronised, unless none ever was.
func (b *bounds) keeps(p *parent, child *survey, until int64, newer uint64, bytes int64) string {
	switch {
	case len(b.limits) == 0:
		return "no retention is stated"
	case p.unread != nil:
		return p.unread.Error()
	}
	latest := max(p.Last, child.clocks.latest(child.genesis.Clock))
	for _, h := range b.holds {
		if !(h.Journal != p.Journal && h.Since > p.Last && h.Since != 0) {
			return fmt.Sprintf("hold of event %d of journal %s: %s", h.Seq, h.Journal, h.Note)
		}
	}
	for _, l := range b.limits {
		old := l.policy.Keep > 0 && b.over(latest, until) < l.before
		many := l.policy.Events > 0 && newer >= l.policy.Events
		large := l.policy.Bytes > 0 && bytes > l.policy.Bytes
		if !old && !many && !large {
			if b.set && until == math.MaxInt64 {
				return fmt.Sprintf("the retention is %s: how old it is is not known, since no clock was synchronised later; %d events came since", l.policy, newer)
			}
			return fmt.Sprintf("the retention is %s: its last event may be of %s, %d events came since", l.policy, stamp(b.over(latest, until)), newer)
		}
	}
	if b.blocked {
		return "a hold may be lost that keeps it"
	}
	return ""
}

// over returns when a journal was over at the latest.
func (b *bounds) over(latest, until int64) int64 {
	if b.set {
		return max(latest, until)
	}
	return latest
}

// pruneParents removes the journals that are to go, oldest first: tombstone, rename out of sight of readers, removal.
func (w *work) pruneParents(parents []*parent, p *pruning) error {
	for _, parent := range slices.Backward(parents) {
		if !parent.Gone {
			continue
		}
		said, err := parent.whole()
		if err != nil {
			return fmt.Errorf("succeeded journal %s: %w", parent.Journal, err)
		}
		ev, err := w.entomb(p, &said)
		if err != nil {
			return err
		}
		parent.Tombstone = ev.Seq
		if err := w.removeParent(parent.Journal); err != nil {
			return err
		}
	}
	return nil
}

// removeParent removes what is left of a journal that a prune event tells of.
func (w *work) removeParent(id journal.ID) error {
	if err := w.stillOurs(); err != nil {
		return err
	}
	w.job.Progress("removing journal "+id.String(), 0, 0)
	out := filepath.Join(w.archive(), tmpPrefix+id.String()) // whatever dies from here on, the next run clears it away
	err := os.Rename(filepath.Join(w.archive(), id.String()), out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = journal.SyncDir(w.archive())
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(out), journal.SyncDir(w.archive()))
}

// whole reads a succeeded journal and says what is in it.
func (p *parent) whole() (journal.Pruned, error) {
	r, err := archive.Open(p.dir)
	if err != nil {
		return journal.Pruned{}, err
	}
	t := newTally()
	for piece, err := range r.Pieces(0) {
		if err != nil {
			return journal.Pruned{}, errors.Join(err, r.Close())
		}
		if piece.Loss != nil {
			t.incomplete = t.incomplete || piece.Loss.Pruned() == nil
			continue
		}
		t.add(&piece.Record)
	}
	t.said.Journal = p.Journal
	return t.done(), r.Close()
}

// tally counts and digests the records that go.
type tally struct {
	said       journal.Pruned
	kinds      map[journal.Kind]uint64
	digest     hash.Hash
	incomplete bool
}

func newTally() *tally { return &tally{kinds: make(map[journal.Kind]uint64), digest: sha256.New()} }

// add takes in the next record, which has its bytes.
func (t *tally) add(rec *journal.Record) {
	ev := &rec.Event
	if t.said.First == 0 {
		t.said.First, t.said.FirstWall = ev.Seq, ev.Wall
	}
	t.said.Last, t.said.LastWall = ev.Seq, ev.Wall
	t.said.Head = journal.RecordHash(rec.Raw)
	t.kinds[ev.Kind]++
	t.digest.Write(rec.Raw)
}

func (t *tally) done() journal.Pruned {
	p := t.said
	for k, n := range t.kinds {
		p.Kinds = append(p.Kinds, journal.KindCount{Kind: k, Events: n})
	}
	slices.SortFunc(p.Kinds, func(a, b journal.KindCount) int { return int(a.Kind) - int(b.Kind) })
	if !t.incomplete {
		t.digest.Sum(p.Digest[:0])
	}
	return p
}
