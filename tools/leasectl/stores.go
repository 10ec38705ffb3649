package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// historyName is the historyDir within a dataDir, unless the configuration names another.
const historyName = ".leaselog"

// store is a network's store, found and perhaps opened.
type store struct {
	dir       string
	network   string // by META, else by the folder's name
	folder    string // the dataDir's folder of the network; "" if there is no dataDir to look at
	meta      journal.Meta
	reader    *journal.Reader // of the segments
	whole     *archive.Reader // of packed files, too; nil before it is needed, see past
	broken    error           // damage, or a newer format: the store is there and can't be read
	wiped     bool            // the folder, or the claim in it, is gone
	foreign   bool            // and host-local's files are there instead
	doubts    []string        // words about the store that are part of every answer
	spares    []*store        // copies of the same journal that don't tell more
	parted    bool            // another store of the same journal says something else
	torn      bool            // what the folder says about the store is not to be relied on
	byClaim   bool            // it was found where the claim in folder leads, outside of the dataDir
	takenFrom bool            // folder is one of host-local, whose leases this store has taken over
	gone      bool            // the claim in folder leads here, and there is no store, or can't be read (broken)

	foundIn string   // the --data-dir that led to it
	bare    bool     // an archive by itself
	kept    bool     // in the archive of a store that has succeeded it
	heir    *store   // the newest of those that have, if it led here; it has this one among its parents
	parents []*store // that it has succeeded, newest first, not opened; see ask
	bar     *progress
	origin

	about map[netip.Addr]*replay.History // what was read about one address, or about none, the zero one; see readAbout

	claimDamage error // of the claim in folder: it is damaged, or is another journal's
	unopened    error // why the store could not be looked at; see app.unopened
}

// findStores lists the stores below dir, whichever of the three kinds of folder it is.
func findStores(dir string) ([]*store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	bare, err := journal.IsArchive(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if bare || holdsStore(dir) {
		return []*store{{dir: dir, network: filepath.Base(dir), bare: bare}}, nil
	}
	if _, elsewhere, err := journal.ReadClaim(dir); err == nil && holdsStore(elsewhere) {
		usual := filepath.Join(filepath.Dir(dir), historyName)
		return []*store{{dir: elsewhere, network: filepath.Base(dir), folder: dir, byClaim: filepath.Dir(elsewhere) != usual}}, nil // a network's folder in a dataDir
	}
	var found []*store
	history := filepath.Join(dir, historyName)
	names, err := folders(history)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		if d := filepath.Join(history, name); holdsStore(d) {
			found = append(found, &store{dir: d, network: name, folder: filepath.Join(dir, name)})
		}
	}
	if names, err = folders(dir); err != nil {
		return nil, err
	}
	for _, name := range names {
		folder := filepath.Join(dir, name)
		id, elsewhere, err := journal.ReadClaim(folder)
		// In its own place a store that has lost all but its archive is damaged, and no archive by itself.
		if bare := errors.Is(err, fs.ErrNotExist) && filepath.Base(dir) != historyName && isArchive(folder); bare || holdsStore(folder) {
			found = append(found, &store{dir: folder, network: name, bare: bare}) // dir is a historyDir
			continue
		}
		own := slices.ContainsFunc(found, func(s *store) bool { return s.folder == folder })
		switch {
		case err != nil && !own && isDamage(err):
			found = append(found, &store{dir: folder, network: name, folder: folder, gone: true, broken: err})
		case err != nil, filepath.Dir(elsewhere) == history && own:
		case !own && !holdsStore(elsewhere):
			found = append(found, &store{dir: elsewhere, network: name, folder: folder, gone: true, meta: journal.Meta{ID: id}})
		case !own && takenFrom(folder, elsewhere, dir):
			found = append(found, &store{dir: elsewhere, network: name, folder: folder, takenFrom: true})
		case holdsStore(elsewhere) && !(own && madeForAnother(elsewhere, dir)):
			found = append(found, &store{dir: elsewhere, network: name, folder: folder, byClaim: true})
		}
	}
	return found, nil
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*journal.CorruptionError](err)
	return ok
}

// goneError says that a network's claim leads to no store: what was held there is unknown, not nothing.
func (s *store) goneError() error {
	if s.broken != nil {
		return fmt.Errorf("%s: %w", s.title(), s.broken)
	}
	return fmt.Errorf("%s: the claim in %s names journal %s in %s, where there is none", s.title(), s.folder, s.meta.ID, s.dir)
}

// madeForAnother reports whether a store says that it was made for another dataDir: then what leads to it from
// this one is the claim of a copy.
func madeForAnother(dir, dataDir string) bool {
	meta, err := journal.ReadMeta(dir)
	return err == nil && meta.DataDir != dataDir
}

// takenFrom reports whether the claim in host-local's folder is the mark of a store that has taken over its leases for
// another dataDir.
func takenFrom(folder, dir, dataDir string) bool {
	present, err := hostlocal.Present(folder)
	return err == nil && present && holdsStore(dir) && madeForAnother(dir, dataDir)
}

// sayTakenFrom says where to ask about leases that were taken over from a folder.
func (a *app) sayTakenFrom(s *store) {
	meta, err := journal.ReadMeta(s.dir)
	if err != nil || a.network != "" && a.network != s.network {
		return
	}
	a.say("%s was taken over by the store in %s: for its leases, give --data-dir %s", s.folder, s.dir, meta.DataDir)
}

// folders lists the folders in dir that may be a network's: names with a dot in front
// are ours, or of a store that is being made.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// isArchive reports whether dir is the archive of a store by itself, as far as it can be read.
func isArchive(dir string) bool {
	ok, err := journal.IsArchive(dir)
	return err == nil && ok
}

// holdsStore reports whether dir is a store's folder, also one that can't be read.
func holdsStore(dir string) bool {
	if !filepath.IsAbs(dir) {
		return false
	}
	_, err := journal.ReadMeta(dir)
	return !errors.Is(err, journal.ErrNoStore) && !errors.Is(err, fs.ErrNotExist)
}

// open opens the store for reading. What is wrong with its bytes is kept in broken; the
// error is anything else.
func (s *store) open() error {
	if err := s.openReader(); err != nil {
		var damage *journal.CorruptionError
		if !errors.As(err, &damage) && !errors.Is(err, journal.ErrNewer) {
			return err
		}
		s.broken = err
		return nil
	}
	cov := s.reader.Coverage()
	s.doubts = slices.Clone(cov.Doubts)
	if s.folder == "" && cov.Here {
		s.folder = s.dataFolder()
	}
	if s.byClaim && s.meta.DataDir != "" && !samePlace(s.meta.DataDir, filepath.Dir(s.folder)) {
		s.parted = true
		s.doubts = append(s.doubts, fmt.Sprintf("the claim in %s leads to %s, a store that was made for %s: the folder may be a copy that "+
			"lacks its own history", s.folder, s.dir, s.meta.DataDir))
	}
	switch {
	case s.bare:
		s.doubts = append(s.doubts, fmt.Sprintf("this is an archive by itself: it tells nothing after event %d", cov.Durable))
	case s.kept:
		s.doubts = append(s.doubts, fmt.Sprintf("this is a store that another has succeeded: it tells nothing after event %d", cov.Durable))
	case cov.Copy:
		s.doubts = append(s.doubts, fmt.Sprintf("this is a copy of a store: it tells nothing after event %d", cov.Durable))
	case cov.Fenced:
		s.doubts = append(s.doubts, "the disk refused a write that was not undone: the plugin refuses to work until that is repaired")
	case !cov.Live:
		s.doubts = append(s.doubts, fmt.Sprintf("no call of this boot of this node has used it: it tells nothing after event %d", cov.Durable))
	}
	return s.readClaim()
}

// openReader opens the reader and takes in what META, or the first event, says.
func (s *store) openReader() (err error) {
	if s.bare {
		if s.whole, err = archive.OpenArchive(s.dir); err == nil {
			s.reader = s.whole.Journal()
		}
	} else if s.meta, err = journal.ReadMeta(s.dir); err == nil {
		s.reader, err = journal.OpenReader(s.dir)
	}
	if s.reader != nil {
		s.meta = s.reader.Meta()
	}
	if s.whole != nil {
		s.meta = s.whole.Meta()
	}
	if s.meta.Network != "" {
		s.network = s.meta.Network
	}
	return err
}

// past is what reads the store's whole history, up to the same event as reader. It is not for two readings at once.
func (s *store) past() (*archive.Reader, error) {
	if s.whole == nil {
		var err error
		if s.whole, err = archive.Over(s.dir, s.reader); err != nil {
			return nil, err
		}
	}
	return s.whole, nil
}

// pruned returns what was pruned of the store's history, nil if nothing was, or it can't be told.
func (s *store) pruned() *journal.Loss {
	if s.reader == nil && s.whole == nil {
		return nil
	}
	past, err := s.past()
	if err != nil {
		return nil
	}
	gone, err := past.Pruned()
	if err != nil {
		return nil
	}
	return gone
}

// close closes what past has opened, of the stores before this one too.
func (s *store) close() {
	if s.whole != nil {
		_ = s.whole.Close()
		s.whole = nil
	}
	for _, p := range s.parents {
		p.close()
	}
}

// dataFolder returns the network's folder in the dataDir of a store in use that was not found
// by way of it, so that a wipe shows.
func (s *store) dataFolder() string {
	history := filepath.Dir(s.dir)
	if filepath.Base(history) == historyName {
		return filepath.Join(filepath.Dir(history), filepath.Base(s.dir))
	}
	if s.meta.DataDir == "" {
		return ""
	}
	return filepath.Join(s.meta.DataDir, filepath.Base(s.dir))
}

// readClaim looks whether the dataDir still ties its folder to the store.
func (s *store) readClaim() error {
	if s.folder == "" {
		return nil
	}
	id, elsewhere, err := journal.ReadClaim(s.folder)
	var damage *journal.CorruptionError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.wiped = true
		s.foreign, _ = hostlocal.Present(s.folder)
	case errors.As(err, &damage):
		s.torn, s.claimDamage = true, err
		s.doubts = append(s.doubts, err.Error())
	case err != nil:
		return err
	case id != s.meta.ID:
		s.torn = true
		s.doubts = append(s.doubts, fmt.Sprintf("%s belongs to journal %s in %s, not to this one", s.folder, id, elsewhere))
		// Another store may have the network now, and the claim of a parent is renewed by the next call.
		meta, err := journal.ReadMeta(elsewhere)
		moved := err == nil && meta.ID == id
		if !moved && (elsewhere != s.dir || !journal.Succeeds(s.dir, id)) {
			s.claimDamage = &journal.CorruptionError{File: filepath.Join(s.folder, journal.ClaimName), Offset: -1,
				Cause: fmt.Errorf("belongs to journal %s in %s, not to this one", id, elsewhere)}
		}
	}
	return nil
}

// covered returns the time up to which the store tells all; zero for its last event.
func (s *store) covered(now time.Time) time.Time {
	if s.reader != nil && s.reader.Coverage().Live {
		return now
	}
	return time.Time{}
}

// storeItem is a store that an answer rests on.
type storeItem struct {
	Network   string `json:"network"`
	Node      string `json:"node"`
	StoreID   string `json:"store_id"`
	Dir       string `json:"dir"`
	FoundIn   string `json:"found_in"` // the data folder that was asked
	Live      bool   `json:"live"`
	FirstSeq  uint64 `json:"first_seq"`
	LastSeq   uint64 `json:"last_seq"`
	FirstTime string `json:"first_time"`
	LastTime  string `json:"last_time"`
}

// item describes the store with what was read of it; nil history is none.
func (s *store) item(first, last replay.Point) storeItem {
	it := storeItem{Network: s.network, Node: s.meta.Node, StoreID: s.idText(), Dir: s.dir, FoundIn: s.foundIn}
	if s.reader != nil {
		it.Live = s.reader.Coverage().Live
	}
	if first.Seq != 0 {
		it.FirstSeq, it.FirstTime = uint64(first.Seq), stamp(first.Effective)
	}
	if last.Seq != 0 {
		it.LastSeq, it.LastTime = uint64(last.Seq), stamp(last.Effective)
	}
	return it
}

// idText is the journal's ID, "" if it is not known.
func (s *store) idText() string {
	if s.meta.ID == (journal.ID{}) {
		return ""
	}
	return s.meta.ID.String()
}

// take adds the store and what is to be said about it to an answer.
func (ans *answer) take(s *store, first, last replay.Point) {
	ans.Stores = append(ans.Stores, s.item(first, last))
	if s.parted {
		ans.worst = max(ans.worst, replay.Uncertain)
	}
	for _, d := range s.doubts {
		ans.doubt(replay.Certain, "%s: %s", s.title(), d)
	}
	if s.broken != nil {
		ans.doubt(replay.Certain, "%s: %v", s.title(), s.broken)
	}
}
