package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// IsArchive reports whether dir holds the archive of a store and neither META, marker, journal nor snapshots: archive/ by
// itself, or segments, as the archive's own folder does. ReadMeta calls that damaged, or no store.
func IsArchive(dir string) (bool, error) {
	_, ok, err := archiveIn(dir)
	return ok, err
}

// archiveIn looks whether dir is flat, an archive's own folder, or holds archive/ without the rest of a store.
func archiveIn(dir string) (flat, ok bool, err error) {
	names, err := namesIn(dir)
	if err != nil || filepath.Base(dir) == journalName {
		return false, false, err
	}
	for _, name := range []string{metaName, lockName, journalName, snapName} {
		if slices.Contains(names, name) {
			return false, false, nil
		}
	}
	if slices.ContainsFunc(names, isArchived) {
		return true, true, nil
	}
	if !slices.Contains(names, archiveName) {
		return false, false, nil
	}
	names, err = namesIn(filepath.Join(dir, archiveName))
	if errors.Is(err, unix.ENOTDIR) {
		return false, false, nil
	}
	return false, slices.ContainsFunc(names, isArchived), err
}

// isArchived reports whether a file in an archive is named like one that holds events.
func isArchived(name string) bool {
	return IsSegmentName(name) || strings.HasSuffix(name, packedSuffix)
}

// packedSuffix ends the names of packed segments.
const packedSuffix = ".llz"

// namesIn lists a folder in no order.
func namesIn(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// OpenArchive opens the archived segments of a store by themselves; see IsArchive. What store it is the first event says. Without that
// event nobody knows what the checksums of the others are bound to: that is a *CorruptionError. Coverage is a copy's, and ends
// with the last event that is archived.
func OpenArchive(dir string) (*Reader, error) {
	flat, ok, err := archiveIn(dir)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoStore)
	}
	r := &Reader{dir: dir, flat: flat, strays: true, cov: Coverage{Copy: true}}
	path, data, err := r.readSegment(1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptionError{File: path, Seq: 1, Offset: -1,
			Cause: errors.New("missing: the first event is what tells whose archive this is")}
	}
	if err != nil {
		return nil, err
	}
	genesis, err := genesisIn(path, data)
	if err != nil {
		return nil, err
	}
	r.meta = MetaOf(genesis)
	return r, r.findEnd()
}

// OpenArchiveAs is OpenArchive where the caller knows whose archive it is, and that events up to last are there in
// another form, packed. Of the segments some or all may be missing: Records says so where it comes to one.
func OpenArchiveAs(dir string, meta Meta, last Seq) (*Reader, error) {
	flat, ok, err := archiveIn(dir)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoStore)
	}
	r := &Reader{dir: dir, meta: meta, flat: flat, strays: true, cov: Coverage{Copy: true}}
	segments, err := r.archived()
	if err == nil && len(segments) > 0 {
		err = r.findEnd()
	}
	if err != nil {
		return nil, err
	}
	r.cov.Durable = max(r.cov.Durable, last)
	return r, nil
}

// ArchiveDir returns the folder of archived segments, which need not be there.
func (r *Reader) ArchiveDir() string {
	if r.flat {
		return r.dir
	}
	return filepath.Join(r.dir, archiveName)
}

// archived returns the first events of the segments in the archive.
func (r *Reader) archived() ([]Seq, error) {
	if r.flat {
		return segmentsIn(r.dir)
	}
	return looseArchive(r.dir)
}

// Genesis returns the journal's first event; see ReadGenesis.
func (r *Reader) Genesis() (Event, error) {
	if !r.flat {
		return ReadGenesis(r.dir)
	}
	path, data, err := r.readSegment(1)
	if err != nil {
		return Event{}, err
	}
	return genesisIn(path, data)
}

// Parents returns the folders of the stores that the journal has succeeded, one by one, newest first, as its archive keeps
// them. The last one may not be there: whoever opens it finds out. The error says why the first event, which names the
// parent, can't be read.
func (r *Reader) Parents() ([]string, error) { return r.ParentsBy(r.Genesis, ReadGenesis) }

// ParentsBy is Parents with other ways to read first events: own of this journal, of of the store in a folder.
func (r *Reader) ParentsBy(own func() (Event, error), of func(dir string) (Event, error)) ([]string, error) {
	folder := r.ArchiveDir()
	if real, err := filepath.EvalSymlinks(r.dir); err == nil && isIDName(filepath.Base(real)) {
		folder = filepath.Dir(real) // a kept store, which has its own parents beside it
	}
	var dirs []string
	genesis, err := own()
	for err == nil && genesis.Origin.Parent != (ID{}) && len(dirs) < maxParents {
		dirs = append(dirs, filepath.Join(folder, genesis.Origin.Parent.String()))
		genesis, err = of(dirs[len(dirs)-1])
	}
	if len(dirs) > 0 {
		return dirs, nil
	}
	return nil, err
}
