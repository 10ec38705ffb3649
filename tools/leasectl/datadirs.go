package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// scope is where a question was asked, as understood: the head of what is asked.
type scope struct {
	DataDir  string   `json:"data_dir,omitempty"`  // where one was asked
	DataDirs []string `json:"data_dirs,omitempty"` // where several were
	Network  string   `json:"network,omitempty"`
}

func (a *app) scope() scope {
	if len(a.dataDirs) == 1 {
		return scope{DataDir: a.dataDirs[0], Network: a.network}
	}
	return scope{DataDirs: a.dataDirs, Network: a.network}
}

// noStore is the error for data folders without a store.
func (a *app) noStore() error {
	var quoted []string
	for _, dir := range a.dataDirs {
		quoted = append(quoted, strconv.Quote(dir))
	}
	return fmt.Errorf("no network has a store in %s", strings.Join(quoted, ", "))
}

// changing marks commands that change a store, which take one data folder.
const changing = "changes"

func changes(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{changing: ""}
	return cmd
}

// checkOne refuses several data folders to commands that change what is in them.
func (a *app) checkOne(cmd *cobra.Command) error {
	if len(a.dataDirs) == 1 {
		return nil
	}
	for c := cmd; c != nil; c = c.Parent() {
		if _, ok := c.Annotations[changing]; ok {
			return fmt.Errorf("%s changes stores, of one data folder at a time: --data-dir is given %d times", strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" "), len(a.dataDirs))
		}
	}
	return nil
}

// origin is where an item comes from, in words for people; empty if all comes from one node and data folder.
type origin struct{ place string }

func (o *origin) from() string { return o.place }

// title names the store in words about it.
func (s *store) title() string {
	if s.place == "" {
		return fmt.Sprintf("network %q", s.network)
	}
	return fmt.Sprintf("network %q of %s", s.network, s.place)
}

// onNode names the store above a picture.
func (s *store) onNode() string {
	if s.meta.Node == "" {
		return printable.Text(s.network)
	}
	return printable.Text(s.network) + " on " + printable.Text(s.meta.Node)
}

// stores finds the stores that the flags mean, ordered by network, node and folder, and opens them. What
// goes wrong with one store, or with one of several data folders, is reported and leaves the others.
func (a *app) stores() ([]*store, error) {
	var open []*store
	for _, dir := range a.dataDirs {
		found, err := findStores(dir)
		if err != nil && len(a.dataDirs) == 1 {
			return nil, err
		}
		if err == nil && len(found) == 0 && len(a.dataDirs) > 1 {
			err = fmt.Errorf("no network has a store in %q", dir)
		}
		if err != nil {
			a.fail(err)
		}
		for _, s := range found {
			s.foundIn = dir
			if len(a.dataDirs) > 1 {
				s.place = dir // until its node is known
			}
			if a.admit(s) && !slices.ContainsFunc(open, s.same) {
				open = append(open, s)
			}
		}
	}
	if len(a.dataDirs) > 1 && !a.copies {
		open = a.distinct(open)
	}
	slices.SortStableFunc(open, func(x, y *store) int {
		return cmp.Or(cmp.Compare(x.network, y.network), cmp.Compare(x.meta.Node, y.meta.Node), cmp.Compare(x.dir, y.dir))
	})
	named := slices.DeleteFunc(slices.Clone(open), func(s *store) bool { return !a.means(s) })
	if a.network != "" && len(named) == 0 && !a.failed {
		return nil, noNetwork(a.network, open)
	}
	a.setPlaces(named)
	for _, s := range named {
		s.bar = a.bar
		s.findParents()
	}
	return named, nil
}

// means reports whether the store is of the network that is asked about, by what names it until now.
func (a *app) means(s *store) bool {
	return a.network == "" || s.network == a.network || filepath.Base(s.dir) == a.network
}

// admit opens the store and reports whether it is among those that the command looks at.
func (a *app) admit(s *store) bool {
	switch {
	case s.takenFrom:
		a.sayTakenFrom(s)
		return false
	case s.gone && !a.means(s):
		return false
	case s.gone && !a.gone:
		a.fail(s.goneError())
		return false
	case s.gone:
		return true
	}
	if err := s.open(); err != nil {
		a.fail(fmt.Errorf("%s: %w", s.title(), err))
		s.unopened = err
		return a.unopened
	}
	a.opened = append(a.opened, s)
	return true
}

// same reports whether both are one folder, found twice.
func (s *store) same(other *store) bool { return s.gone == other.gone && samePlace(s.dir, other.dir) }

// distinct leaves out copies of a journal that another store has all of: an address would seem to be held twice.
func (a *app) distinct(stores []*store) []*store {
	slices.SortStableFunc(stores, func(x, y *store) int { return cmp.Compare(y.reach(), x.reach()) })
	var kept []*store
	for _, s := range stores {
		i := slices.IndexFunc(kept, func(k *store) bool {
			return s.reader != nil && k.reader != nil && s.meta.ID == k.meta.ID
		})
		switch {
		case i < 0:
			kept = append(kept, s)
		case kept[i].holds(s):
			a.say("%s is a copy of journal %s, of which %s tells as far or further: it is asked only if something is damaged there", s.dir, s.meta.ID, kept[i].dir)
			kept[i].spares = append(kept[i].spares, s)
		default:
			text := fmt.Sprintf("%s and %s are of the same journal and can't be told to agree: both are asked", kept[i].dir, s.dir)
			kept[i].doubts, s.doubts = append(kept[i].doubts, text), append(s.doubts, text)
			kept[i].parted, s.parted = true, true
			kept = append(kept, s)
		}
	}
	return kept
}

// reach orders copies of a journal by how far they tell, the store itself first.
func (s *store) reach() uint64 {
	if s.reader == nil {
		return 0
	}
	n := 2 * uint64(s.reader.Coverage().Durable)
	if s.reader.Coverage().Live {
		n++
	}
	return n
}

// holds reports whether the store has the last event of a copy, and so all that is before it: events are chained.
func (s *store) holds(older *store) bool {
	last := older.reader.Coverage().Durable
	mine, ok := hashAt(s, last)
	theirs, okToo := hashAt(older, last)
	return ok && okToo && mine == theirs
}

// hashAt returns the hash of an event's record.
func hashAt(r replay.Recorder, seq journal.Seq) (journal.Hash, bool) {
	for rec, err := range r.Records(max(seq, 1) - 1) {
		return journal.RecordHash(rec.Raw), err == nil && rec.Event.Seq == seq
	}
	return journal.Hash{}, false
}

// setPlaces names where each store's answers come from: by its node, and by its data folder too where several
// have stores of one node.
func (a *app) setPlaces(stores []*store) {
	dirs := map[string][]string{} // by node
	for _, s := range stores {
		if node := s.meta.Node; node == "" {
			continue
		}
		if node := s.meta.Node; !slices.Contains(dirs[node], s.foundIn) {
			dirs[node] = append(dirs[node], s.foundIn)
		}
	}
	a.places = len(a.dataDirs) > 1 || len(dirs) > 1
	for _, s := range stores {
		node := s.meta.Node
		switch {
		case !a.places:
			s.place = ""
		case node == "":
			s.place = s.foundIn
		case len(dirs[node]) > 1:
			s.place = node + ":" + s.foundIn
		default:
			s.place = node
		}
	}
}

// findParents names the stores that this one has succeeded. They are opened when they are asked.
func (s *store) findParents() {
	if s.reader == nil || s.kept {
		return
	}
	var dirs []string
	past, err := s.past()
	if err == nil {
		dirs, err = past.Parents()
	}
	if err != nil {
		dirs = s.keptStores() // the first event is lost, and with it who was before
	}
	for _, dir := range dirs {
		s.parents = append(s.parents, &store{dir: dir, network: s.network, foundIn: s.foundIn, kept: true, heir: s, bar: s.bar, origin: s.origin,
			meta: journal.Meta{Network: s.network, Node: s.meta.Node}})
	}
}

// keptStores lists the stores in the archive, the one that was made last first.
func (s *store) keptStores() []string {
	dir := s.reader.ArchiveDir()
	names, err := folders(dir)
	if err != nil {
		return nil
	}
	created := map[string]int64{}
	var dirs []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := journal.ParseID(name); err != nil || !holdsStore(path) {
			continue
		}
		meta, _ := journal.ReadMeta(path) // a damaged one sorts last
		created[path] = meta.Created.UnixNano()
		dirs = append(dirs, path)
	}
	slices.SortFunc(dirs, func(x, y string) int { return cmp.Compare(created[y], created[x]) })
	return dirs
}

// ask opens a parent. It may be gone, or not be readable (broken), which leaves unknown what it would tell.
func (s *store) ask() error {
	if s.reader != nil || s.broken != nil {
		return nil
	}
	err := s.open()
	if errors.Is(err, journal.ErrNoStore) {
		p, err := s.prunedWhole()
		if p == nil && err == nil {
			err = fmt.Errorf("%s: the store that was succeeded is not there", s.dir)
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("what was before is unknown: journal %s, with its events up to %d, the last of %s, was %w", p.Pruned.Journal, p.Pruned.Last,
			stamp(time.Unix(0, p.Pruned.LastWall)), p)
	}
	return err
}

// prunedWhole looks for the event that says that a parent which is not there was pruned as a whole: in the store that is asked, and in those
// of its parents that were opened, since one of these may have been in use then. Damage there tells nothing.
func (s *store) prunedWhole() (*journal.Pruning, error) {
	id, err := journal.ParseID(filepath.Base(s.dir))
	if err != nil || s.heir == nil {
		return nil, nil
	}
	for _, heir := range append([]*store{s.heir}, s.heir.parents...) {
		if heir.reader == nil {
			continue
		}
		past, err := heir.past()
		if err != nil {
			return nil, err
		}
		if p, err := tombstoneOf(past, id); p != nil || err != nil && !unreadable(err) {
			return p, err
		}
	}
	return nil, nil
}

// tombstoneOf returns what a store says of a journal that was pruned as a whole; nil if nothing.
func tombstoneOf(past *archive.Reader, id journal.ID) (*journal.Pruning, error) {
	for p, err := range past.Sparse(nil, 0) {
		if err != nil {
			return nil, err
		}
		told := func(ev *journal.Event) *journal.Pruning {
			if said, ok := ev.Pruned(); ok && ev.Kind == journal.KindPrune && said.Journal == id {
				return &journal.Pruning{Tombstone: *ev, Pruned: said}
			}
			return nil
		}
		if gone := p.Loss; gone != nil && gone.Pruned() != nil {
			for ev := range gone.Pruned().Earlier.All() {
				if t := told(ev); t != nil {
					return t, nil
				}
			}
			continue
		}
		if t := told(&p.Event); t != nil {
			return t, nil
		}
	}
	return nil, nil
}
