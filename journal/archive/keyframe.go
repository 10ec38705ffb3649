package archive

import (
	"errors"
	"io"
	"io/fs"
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
		file := r.newestPacked(below)
		seq := journal.Seq(0)
		if file != nil {
			seq = file.keyframe
		}
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
			k.Snapshot, err = file.openKeyframe()
		default:
			k.File = ""
			return k, nil
		}
		if err == nil {
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

// newestPacked returns the packed file with the newest keyframe before an event, nil if there is none.
func (r *Reader) newestPacked(below journal.Seq) *file {
	var best *file
	for _, f := range r.files {
		if f.keyframe > 0 && f.keyframe < below && (best == nil || f.keyframe > best.keyframe) {
			best = f
		}
	}
	return best
}

// keyframeReader reads a keyframe out of a packed file.
type keyframeReader struct {
	f      *file
	rows   []byte
	number int // of the chunk in b, from 1 on
	b      []byte
}

// openKeyframe opens the keyframe of a file. It is good until the file is closed.
func (f *file) openKeyframe() (*state.Snapshot, error) {
	rows, err := f.table(sectionKeyframe, keyframeRow)
	if err != nil {
		return nil, err
	}
	return state.OpenSnapshotAt(&keyframeReader{f: f, rows: rows}, f.head.keyframeBytes, f.path, f.head.id)
}

// ReadAt reads from the chunks that hold what is asked for.
func (r *keyframeReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= r.f.head.keyframeBytes {
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
	b, err := r.f.unpack(readChunk(r.rows[number*keyframeRow+4:]))
	if err != nil {
		return err
	}
	r.number, r.b = number+1, b
	return nil
}
