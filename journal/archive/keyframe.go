package archive

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// snapFolder is the folder of a store that its snapshots are in.
const snapFolder = "snap"

// Keyframe is the state after some event, in whatever file it stands.
type Keyframe struct {
	Snapshot *state.Snapshot // nil if there is none
	Seq      journal.Seq     // of that event
	File     string          // below the store's folder
	Skipped  []error         // why newer ones could not be used
}

// Close closes the snapshot, if there is one.
func (k Keyframe) Close() error {
	if k.Snapshot == nil {
		return nil
	}
	return k.Snapshot.Close()
}

// Keyframe returns the newest snapshot of the store, or keyframe of its packed files, that covers no event after
// before. That there is none is no error.
func (r *Reader) Keyframe(before journal.Seq) (Keyframe, error) {
	var k Keyframe
	below := before + 1
	for {
		file, seq := r.newestPacked(below)
		snap, err := r.newestSnap(below, seq)
		switch {
		case err != nil:
			return k, err
		case snap > seq:
			seq = snap
			k.File = filepath.Join(snapFolder, state.SnapshotName(snap))
			k.Snapshot, err = state.OpenSnapshot(filepath.Join(r.dir, k.File), r.meta.ID)
		case file != nil:
			k.File = r.nameOf(file)
			k.Snapshot, err = file.openKeyframe(seq)
		default:
			k.File = ""
			return k, nil
		}
		if err == nil {
			k.Seq = seq
			return k, nil
		}
		if below = seq; !errors.Is(err, fs.ErrNotExist) { // replaced by a newer one meanwhile
			k.Skipped = append(k.Skipped, err)
		}
		k.Snapshot = nil
	}
}

// newestSnap returns the newest snapshot of the store's own between two events; 0 if there is none.
func (r *Reader) newestSnap(below, above journal.Seq) (journal.Seq, error) {
	if r.j == nil {
		return 0, nil
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, snapFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	newest := journal.Seq(0)
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name()[:min(nameDigits, len(e.Name()))], 10, 64)
		if seq := journal.Seq(n); err == nil && state.SnapshotName(seq) == e.Name() && seq > above && seq < below {
			newest = max(newest, seq)
		}
	}
	return newest, nil
}

// newestPacked returns the newest keyframe before an event, and the packed file that has it, nil if there is none.
func (r *Reader) newestPacked(below journal.Seq) (best *file, newest journal.Seq) {
	for _, f := range r.files {
		for _, k := range f.head.keyframes {
			if k.seq < below && k.seq > newest {
				best, newest = f, k.seq
			}
		}
	}
	return best, newest
}

// Keyframes opens the keyframes of all packed files, file by file. The error is why one can't be opened, and where it is
// damage the next one follows.
func (r *Reader) Keyframes() iter.Seq2[Keyframe, error] {
	return func(yield func(Keyframe, error) bool) {
		for _, f := range r.files {
			for _, k := range f.head.keyframes {
				snap, err := f.openKeyframe(k.seq)
				if !yield(Keyframe{Snapshot: snap, Seq: k.seq, File: r.nameOf(f)}, err) {
					return
				}
			}
		}
	}
}

// SalvageKeyframe opens the newest keyframe that is whole in the packed files of the store in dir, whatever state it is in: the caller says
// what it is. It is nil if there is none, and good until close is called.
func SalvageKeyframe(dir string, meta journal.Meta) (snap *state.Snapshot, close func() error, err error) {
	r, err := openSalvage(dir, meta)
	if err != nil {
		return nil, nil, err
	}
	for below := journal.Seq(math.MaxUint64); ; {
		f, seq := r.newestPacked(below)
		if f == nil {
			return nil, r.Close, nil
		}
		snap, err := f.openKeyframe(seq)
		if err == nil {
			err = snap.Verify()
		}
		if err == nil {
			return snap, r.Close, nil
		}
		if !isDamage(err) {
			return nil, nil, errors.Join(err, r.Close())
		}
		below = seq
	}
}

// keyframeReader reads a keyframe out of a packed file.
type keyframeReader struct {
	f      *file
	rows   []byte // of this keyframe
	size   int64
	number int // of the chunk in b, from 1 on
	b      []byte
}

// openKeyframe opens a keyframe of a file. It is good until the file is closed.
func (f *file) openKeyframe(seq journal.Seq) (*state.Snapshot, error) {
	rows, err := f.keyframeRows(seq)
	if err != nil {
		return nil, err
	}
	r := &keyframeReader{f: f, rows: rows}
	for _, k := range f.head.keyframes {
		if k.seq == seq {
			r.size = k.bytes
		}
	}
	return state.OpenSnapshotAt(r, r.size, f.path, f.head.id)
}

// keyframeRows returns the rows of a keyframe, and those behind.
func (f *file) keyframeRows(seq journal.Seq) ([]byte, error) {
	rows, err := f.table(sectionKeyframes, keyframeRow)
	if err != nil {
		return nil, err
	}
	for len(rows) > 0 && seqOf(rows) < seq {
		rows = rows[keyframeRow:]
	}
	return rows, nil
}

// ReadAt reads from the chunks that hold what is asked for.
func (r *keyframeReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		if err := r.load(int(at / keyframeChunk)); err != nil {
			return n, err
		}
		from := int(at % keyframeChunk)
		if from >= len(r.b) {
			return n, io.ErrUnexpectedEOF
		}
		n += copy(p[n:], r.b[from:])
	}
	return n, nil
}

func (r *keyframeReader) load(number int) error {
	if r.number == number+1 {
		return nil
	}
	if (number+1)*keyframeRow > len(r.rows) {
		return io.ErrUnexpectedEOF
	}
	b, err := r.f.unpack(readChunk(r.rows[number*keyframeRow+12:]))
	if err != nil {
		return err
	}
	r.number, r.b = number+1, b
	return nil
}
