package allocator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
)

// The universal reset: whoever deletes <dataDir>/<network> or what is in it means that
// no lease is held any more. The file journal.ClaimName in there is how we notice.

// claim ties the data folder to a new journal, durable before the journal can be seen: a store
// whose claim was lost would read as wiped. A folder with leases of host-local is claimed only once they are taken
// over, and until then no call is served.
func (s *Store) claim(id journal.ID) (undo func(), err error) {
	if err := s.notElsewhere(); err != nil {
		return nil, err
	}
	takeOver, err := s.importable()
	if err != nil {
		return nil, err
	}
	if takeOver {
		return func() {}, journal.DropClaim(s.folder) // of a store that is gone
	}
	return journal.WriteClaim(s.folder, id, s.dir)
}

// notElsewhere returns ErrElsewhere if the data folder is tied to a store in another history
// folder that is still there: the setting was changed, and its leases are held.
func (s *Store) notElsewhere() error {
	id, dir, err := journal.ReadClaim(s.folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && dir == s.dir:
		return nil
	case err != nil:
		return err
	}
	meta, err := journal.ReadMeta(dir)
	if errors.Is(err, journal.ErrNoStore) || err == nil && meta.ID != id {
		return nil
	}
	if err != nil { // there is something that can't be told from the store
		return fmt.Errorf("%s: %w: journal %s in %s: %w", s.folder, ErrElsewhere, id, dir, err)
	}
	return fmt.Errorf("%s: %w: journal %s in %s; set ipam.historyDir to %s", s.folder, ErrElsewhere, id, dir, filepath.Dir(dir))
}

// noneElsewhere is notElsewhere for calls that need no claim: one that can't be read is no reason to
// fail where no store is in sight.
func (s *Store) noneElsewhere() error {
	if err := s.notElsewhere(); errors.Is(err, ErrElsewhere) {
		return err
	}
	return nil
}

// noForeignFiles returns ErrForeign if the data folder holds files that nobody can make sense of.
func (s *Store) noForeignFiles() error {
	_, err := hostlocal.Present(s.folder)
	return err
}

// claimed reports whether the data folder is still tied to the journal, and if so whether to one that
// the journal has succeeded: then a repair ended before it could write the claim.
func (s *Store) claimed(id journal.ID) (ok, outdated bool, err error) {
	found, historyDir, err := journal.ReadClaim(s.folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, false, nil
	case err != nil:
		return false, false, err
	case found == id:
		return true, false, nil
	case s.leadsHere(historyDir) && journal.Succeeds(s.dir, found):
		return true, true, nil
	}
	return false, false, fmt.Errorf("%s: %w: journal %s in %s, not %s in %s",
		filepath.Join(s.folder, journal.ClaimName), ErrElsewhere, found, historyDir, id, s.dir)
}

// leadsHere reports whether a claim that names this folder may be about the store: it does, or both are in a copy of a
// dataDir, whose claims still name the original's folders.
func (s *Store) leadsHere(historyDir string) bool {
	if historyDir == s.dir || s.o.HistoryDir != filepath.Join(s.o.DataDir, ".leaselog") {
		return historyDir == s.dir
	}
	meta, err := journal.ReadMeta(historyDir)
	return errors.Is(err, journal.ErrNoStore) || err == nil && meta.DataDir != s.o.DataDir
}

// honourWipe records one reset if the data folder was wiped, and ties it to the journal again. The
// reset is durable before the claim is back: a crash in between repeats the claim alone. Leases that host-local
// has in the folder are taken over.
func (t *transaction) honourWipe() error {
	s, meta := t.store, t.journal.Meta()
	ok, outdated, err := s.claimed(meta.ID)
	if err != nil {
		return err
	}
	if outdated { // whoever repaired the store may have died before it synced the store's name
		if err := journal.SyncDir(filepath.Dir(s.dir)); err != nil {
			return err
		}
		return journal.RenewClaim(s.folder, meta.ID, s.dir)
	}
	if ok {
		if t.newest == journal.KindReset || t.sealed != "" { // whoever recorded it may have died before it synced the claim
			err = errors.Join(journal.SyncClaim(s.folder), t.markSource())
		}
		return err
	}
	if err := journal.SyncDir(filepath.Dir(s.dir)); err != nil { // as above, and wiped since
		return err
	}
	// One history folder for several data folders would make each of them wipe the others' leases.
	shared := s.o.HistoryDir != filepath.Join(s.o.DataDir, ".leaselog")
	if shared && meta.DataDir != s.o.DataDir && meta.DataDir != "" {
		return fmt.Errorf("%s: %w: %s was made for %s; give each dataDir a historyDir of its own",
			s.folder, ErrElsewhere, s.dir, filepath.Join(meta.DataDir, s.o.Network))
	}
	t.foreign = s.noForeignFiles()
	if t.foreign == nil {
		return t.takeOver()
	}
	// Pods can be torn down beside another program's files, but the folder is not ours to claim.
	if !errors.Is(t.foreign, ErrForeign) {
		return t.foreign
	}
	if t.newest == journal.KindReset || t.state.Len() == 0 {
		return nil
	}
	return t.reset()
}

// reset records that every lease has ended because the data folder was deleted.
func (t *transaction) reset() error {
	return t.append(&journal.Event{Kind: journal.KindReset, Reason: journal.ReasonWiped, Version: t.store.o.Version})
}

// notWiped returns journal.ErrReplaced if the data folder was wiped during the call: the lease just
// given ends with the reset that the next call records, so it must not be acknowledged.
func (t *transaction) notWiped() error {
	// Whoever ties the folder to a journal again holds our lock, so it is enough that the file is there.
	_, err := os.Lstat(filepath.Join(t.store.folder, journal.ClaimName))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", t.store.folder, journal.ErrReplaced)
	}
	return err
}
