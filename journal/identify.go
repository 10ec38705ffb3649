package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Identify says what store is in dir where META is lost or damaged. The journal's first event repeats
// what META says; where that event can't be read either, the marker and others whom the caller knows,
// such as snapshots, may know the journal's ID. An ID counts only if some record in the store
// has been written under it. DataDir is not known then. It changes nothing.
func Identify(dir string, others ...ID) (Meta, error) {
	if genesis, err := ReadGenesis(dir); err == nil {
		return MetaOf(genesis), nil
	}
	if f, err := openToRead(filepath.Join(dir, lockName)); err == nil {
		if m, err := readMarker(f); err == nil {
			others = append(others, m.id)
		}
		f.Close()
	}
	for _, id := range others {
		meta := Meta{Format: formatVersion, MinReader: formatVersion, MinWriter: formatVersion, ID: id, Network: filepath.Base(dir)}
		for piece, err := range Salvage(dir, meta, 0) {
			if err != nil {
				return Meta{}, err
			}
			if piece.Loss == nil {
				return meta, nil
			}
		}
	}
	return Meta{}, &CorruptionError{File: filepath.Join(dir, metaName), Offset: -1,
		Cause: errors.New("damaged or missing, and nothing else in the store tells the journal's ID")}
}

// CheckMeta returns a *CorruptionError if what META says is whole, and yet of another journal than the store's events.
func CheckMeta(dir string, m Meta, others ...ID) error {
	if genesis, err := ReadGenesis(dir); err == nil && genesis.Origin.Journal == m.ID {
		return nil
	}
	found, err := Identify(dir, append([]ID{m.ID}, others...)...)
	if err != nil || found.ID == m.ID {
		return nil // nothing speaks against it
	}
	return &CorruptionError{File: filepath.Join(dir, metaName), Offset: -1,
		Cause: fmt.Errorf("names journal %s, but the events are of journal %s", m.ID, found.ID)}
}

// MetaOf returns META as it was when the journal began.
func MetaOf(genesis Event) Meta {
	o := genesis.Origin
	return Meta{Format: formatVersion, MinReader: formatVersion, MinWriter: formatVersion, ID: o.Journal,
		Network: o.Network, Created: genesis.Time(), Node: o.Node}
}

// ReadGenesis returns the first event of the journal in dir, whose ID need not be known: the event
// itself names it. It returns an error if the event isn't there or isn't whole.
func ReadGenesis(dir string) (Event, error) {
	var data []byte
	var path string
	err := fs.ErrNotExist
	for _, folder := range []string{archiveName, journalName, archiveName} { // it may be moved meanwhile
		path = filepath.Join(dir, folder, segmentName(1))
		if data, err = readSegment(path); err == nil {
			break
		}
	}
	if err != nil {
		return Event{}, err
	}
	return genesisIn(path, data)
}

// genesisIn decodes the first event of a journal from the bytes of its first segment. What is damaged is a *CorruptionError.
func genesisIn(path string, data []byte) (Event, error) {
	ev, err := decodeGenesis(data)
	if err != nil && !errors.Is(err, ErrNewer) {
		err = &CorruptionError{File: path, Seq: 1, Offset: 0, Cause: err}
	}
	return ev, err
}

func decodeGenesis(data []byte) (Event, error) {
	start, end, err := newScanner(ID{}, 1, data).frame(0)
	if err != nil {
		return Event{}, err
	}
	record := data[start:end]
	body := record[:len(record)-trailerBytes]
	d := newDecoder(body, string(body))
	var claimed Event
	d.event(&claimed, len(record))
	if err := d.failure(); err != nil {
		return Event{}, err
	}
	// Until here it is somebody's word; the checksum is bound to the ID that it names.
	ev, err := DecodeRecord(claimed.Origin.Journal, 1, record)
	if err == nil && ev.Kind != KindGenesis {
		err = fmt.Errorf("the first event is %s, not %s", ev.Kind, KindGenesis)
	}
	return ev, err
}

// maxParents bounds the walk from a journal to those that it has succeeded.
const maxParents = 64

// Succeeds reports whether the journal in dir has succeeded the one with this ID, by one repair or several.
func Succeeds(dir string, id ID) bool {
	at := dir
	for range maxParents {
		genesis, err := ReadGenesis(at)
		if err != nil || genesis.Origin.Parent == (ID{}) {
			return false
		}
		if genesis.Origin.Parent == id {
			return true
		}
		at = filepath.Join(dir, archiveName, genesis.Origin.Parent.String())
	}
	return false
}

// WriteMeta puts META back in place of a lost or damaged one, which is kept in quarantine/. It is
// durable when this returns. The caller holds the store's lock, unless the store can't be opened.
func WriteMeta(dir string, m Meta) error {
	path := filepath.Join(dir, metaName)
	if _, err := os.Lstat(path); err == nil {
		if err := keepLink(dir, path); err != nil {
			return err
		}
	}
	if err := writeRenamed(path, m.encode()); err != nil {
		return err
	}
	return SyncDir(dir)
}

// keepLink gives a file that is about to be replaced a second name in quarantine/.
func keepLink(dir, path string) error {
	folder := filepath.Join(dir, quarantineName)
	if err := EnsureDir(folder); err != nil {
		return err
	}
	name := fmt.Sprintf("%d-%s", time.Now().UnixNano(), filepath.Base(path))
	if err := os.Link(path, filepath.Join(folder, name)); err != nil {
		return err
	}
	return SyncDir(folder)
}

// RestoreLock puts an empty lock file in place of a lost one: nothing witnesses the last event then, and the next
// call makes durable what it finds. What is in the way, and is not a file, is moved to quarantine/.
func RestoreLock(dir string) error {
	path := filepath.Join(dir, lockName)
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		if err := EnsureDir(filepath.Join(dir, quarantineName)); err != nil {
			return err
		}
		if err := os.Rename(path, filepath.Join(dir, quarantineName, fmt.Sprintf("%d-%s", time.Now().UnixNano(), lockName))); err != nil {
			return err
		}
	}
	f, err := createFile(path)
	if errors.Is(err, fs.ErrExist) {
		return nil // there it is, or another repair was quicker
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), SyncDir(dir))
}

// HasLock reports whether the store in dir has a lock file.
func HasLock(dir string) bool {
	st, err := os.Stat(filepath.Join(dir, lockName))
	return err == nil && st.Mode().IsRegular()
}

// Strays lists what is in journal/ and is not a segment: nothing is written while it is there,
// because the appender goes by names.
func Strays(dir string) ([]string, error) {
	folder := filepath.Join(dir, journalName)
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var strays []string
	for _, e := range entries {
		if !IsSegmentName(e.Name()) {
			strays = append(strays, filepath.Join(folder, e.Name()))
		}
	}
	slices.Sort(strays)
	return strays, nil
}
