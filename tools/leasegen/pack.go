package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// pack packs the archived segments of the store that was made, and removes them.
func pack(ctx context.Context, p plan) (err error) {
	dir := filepath.Join(p.dataDir, ".leaselog", p.network)
	r, err := journal.OpenReader(dir)
	if err != nil {
		return err
	}
	live, err := segmentsIn(filepath.Join(dir, "journal"))
	if err != nil || len(live) == 0 {
		return err
	}
	folder := filepath.Join(dir, "archive")
	k := keyframes{every: p.keyframes, network: p.network, id: r.Meta().ID, st: state.New(), folder: filepath.Join(folder, "tmp.keyframes")}
	if err := os.Mkdir(k.folder, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(k.folder)) }()
	archived := live[0] - 1
	for first := journal.Seq(1); first <= archived; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		last := min(archived, first+archive.MaxEvents-1)
		paths, err := k.upTo(r, last)
		if err != nil {
			return err
		}
		if _, err := archive.Pack(folder, r.Meta(), first, last, r.Raw, archive.Options{Keyframes: paths}); err != nil {
			return err
		}
		first = last + 1
	}
	loose, err := segmentsIn(folder)
	if err != nil {
		return err
	}
	for _, first := range loose {
		if err := os.Remove(filepath.Join(folder, segmentName(first))); err != nil {
			return err
		}
	}
	return journal.SyncDir(folder)
}

// keyframes follows the events and writes a snapshot every so many of them.
type keyframes struct {
	every   journal.Seq
	network string
	id      journal.ID
	st      *state.State
	folder  string
}

// upTo writes those that are due before an event and up to it, and returns their paths.
func (k *keyframes) upTo(r *journal.Reader, last journal.Seq) (paths []string, err error) {
	if k.every == 0 {
		return nil, nil
	}
	for rec, err := range r.Records(k.st.Seq()) {
		if err != nil {
			return nil, err
		}
		if rec.Event.Seq > last {
			break
		}
		if err := k.st.Apply(&rec.Event); err != nil {
			return nil, err
		}
		if rec.Event.Seq%k.every != 0 {
			continue
		}
		k.st.SetHead(journal.RecordHash(rec.Raw))
		path, err := state.WriteSnapshot(k.folder, k.id, k.network, k.st)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// segmentsIn returns the first events of the segments in a folder, ascending.
func segmentsIn(folder string) ([]journal.Seq, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var segments []journal.Seq
	for _, e := range entries {
		if journal.IsSegmentName(e.Name()) {
			n, err := strconv.ParseUint(e.Name(), 10, 64)
			if err != nil {
				return nil, err
			}
			segments = append(segments, journal.Seq(n))
		}
	}
	return segments, nil
}

func segmentName(first journal.Seq) string { return fmt.Sprintf("%020d", uint64(first)) }
