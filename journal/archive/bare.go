package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// OpenArchive opens an archive by itself, which journal.IsArchive tells from a store: packed files, segments, or both.
func OpenArchive(dir string) (*Reader, error) {
	for _, folder := range []string{filepath.Join(dir, folderName), dir} {
		if names, err := packedNames(folder); err == nil && len(names) > 0 {
			return openBare(dir, folder)
		}
	}
	j, err := journal.OpenArchive(dir)
	if err != nil {
		return nil, err
	}
	return Over(dir, j)
}

// openBare opens packed files that no journal is beside of, and the segments in the same archive.
func openBare(dir, folder string) (*Reader, error) {
	r := &Reader{dir: dir, folder: folder}
	if err := r.list(); err != nil {
		return nil, err
	}
	if len(r.files) == 0 {
		return nil, r.broken[0].err
	}
	last := journal.Seq(0)
	for _, f := range r.files {
		last = max(last, f.head.last)
	}
	for _, b := range r.broken {
		last = max(last, b.last) // so that whoever reads so far is told what is the matter
	}
	h := &r.files[len(r.files)-1].head
	r.meta = journal.Meta{Format: formatVersion, MinReader: formatVersion, MinWriter: formatVersion, ID: h.id, Network: h.network, Node: h.node}
	r.cov = journal.Coverage{Copy: true, Durable: last}
	j, err := journal.OpenArchiveAs(dir, r.meta, last)
	if err == nil {
		r.j, r.cov = j, j.Coverage()
	} else if !errors.Is(err, journal.ErrNoStore) { // where META is damaged it is no archive by itself
		return nil, errors.Join(err, r.Close())
	}
	r.cov.Doubts = append(r.cov.Doubts,
		fmt.Sprintf("there is no journal beside the archive: nothing tells what followed event %d", r.cov.Durable))
	if genesis, err := r.Genesis(); err == nil && genesis.Kind == journal.KindGenesis {
		r.meta.Created = genesis.Time()
	}
	return r, nil
}

// Genesis returns the journal's first event, wherever it stands.
func (r *Reader) Genesis() (journal.Event, error) {
	if r.j != nil && !r.Packed(0) {
		return r.j.Genesis()
	}
	for p, err := range r.Left(0) {
		if err == nil && p.Loss != nil { // segments are not beside: the first packed file has it
			if gone := p.Loss.Pruned(); gone != nil {
				if ev := gone.Earlier.Find(1); ev.Seq == 1 {
					return ev, nil
				}
			}
			break
		}
		return p.Event, err
	}
	return journal.Event{}, r.missing(1, 1)
}

// Parents is journal.Reader.Parents where first events may be packed.
func (r *Reader) Parents() ([]string, error) {
	if r.j == nil {
		return nil, nil
	}
	return r.j.ParentsBy(r.Genesis, func(dir string) (journal.Event, error) {
		past, err := Open(dir)
		if err != nil {
			return journal.ReadGenesis(dir) // META may be damaged
		}
		genesis, err := past.Genesis()
		return genesis, errors.Join(err, past.Close())
	})
}

// Packed reports whether events after a given one are, or should be, in packed files.
func (r *Reader) Packed(after journal.Seq) bool {
	return slices.ContainsFunc(r.files, func(f *file) bool { return f.head.last > after }) ||
		slices.ContainsFunc(r.broken, func(b broken) bool { return b.last > after })
}
