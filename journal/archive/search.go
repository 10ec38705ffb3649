package archive

import (
	"bytes"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// key returns what filters know of a query; false if it is too short for them, and all identities have to be looked at.
func (q *Query) key() (uint64, bool) {
	switch {
	case len(q.Container) >= containerKey:
		return hashKey(keyContainer, []byte(q.Container[:containerKey])), true
	case q.UID != "":
		return hashKey(keyUID, []byte(q.UID)), true
	case q.Pod != "" && q.Container == "":
		return hashKey(keyPod, []byte(q.Pod)), true
	}
	return 0, false
}

// matches reports whether the names of an identity are what is looked for.
func (q *Query) matches(names []byte) bool {
	container, pod := identityFields(names)
	namespace, name, uid := splitPod(pod)
	return bytes.HasPrefix(container, []byte(q.Container)) &&
		(q.UID == "" || q.UID == string(uid)) &&
		(q.Pod == "" || q.Pod == string(namespace)+"/"+string(name))
}

// find yields an event for each identity that fits, and all that stand in frames as they are.
func (f *file) find(q *Query, after journal.Seq, yield func(journal.Record) error) error {
	defer f.forget()
	frames, err := f.wholeFrames()
	if err != nil {
		return err
	}
	blocks, err := f.mayMatch(q)
	if err != nil {
		return err
	}
	rows, err := f.table(sectionIdentities, identityRow)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		found, err := f.matching(q, rows, b)
		if err != nil {
			return err
		}
		for _, number := range found {
			frame, err := f.frameOf(number)
			if err != nil {
				return err
			}
			frames = append(frames, frame)
		}
	}
	slices.Sort(frames)
	for _, frame := range slices.Compact(frames) {
		if err := f.findIn(q, frame, after, yield); err != nil {
			return err
		}
	}
	return nil
}

// findIn yields the events of a frame that fit.
func (f *file) findIn(q *Query, frame int, after journal.Seq, yield func(journal.Record) error) error {
	first := f.head.first + journal.Seq(frame*frameEvents)
	last := min(first+frameEvents-1, f.head.last)
	texts := q.texts()
	for w := f.walk(first - 1); w.seq <= last; {
		seq := w.seq
		raw, _, err := w.next()
		if err != nil {
			return err
		}
		if seq <= after || len(texts) > 0 && !bytes.Contains(raw, []byte(texts[0])) {
			continue
		}
		var rec journal.Record
		if err := w.decode(&rec, seq, raw); err != nil {
			return err
		}
		if !q.Match(&rec.Event) {
			continue
		}
		if err := yield(rec); err != nil {
			return err
		}
	}
	return nil
}

// wholeFrames returns the frames in which records stand as they are: those have no identities.
func (f *file) wholeFrames() ([]int, error) {
	var frames []int
	for i := range f.head.frames {
		info, err := f.info(i)
		if err != nil {
			return nil, err
		}
		if info.whole {
			frames = append(frames, i)
		}
	}
	return frames, nil
}

// mayMatch returns the blocks of identities that filters don't rule out.
func (f *file) mayMatch(q *Query) ([]int, error) {
	rows, err := f.table(sectionFilters, filterRow)
	if err != nil {
		return nil, err
	}
	identities, err := f.table(sectionIdentities, identityRow)
	if err != nil {
		return nil, err
	}
	key, filtered := q.key()
	var blocks []int
	for i := 0; i < len(rows); i += filterRow {
		from, until := int(firstOf(rows[i:])), len(identities)/identityRow
		if i+filterRow < len(rows) {
			until = int(firstOf(rows[i+filterRow:]))
		}
		if from > until || until > len(identities)/identityRow {
			return nil, f.damaged(f.head.sections[sectionFilters].offset, f.head.first, errShape)
		}
		if filtered {
			b, err := f.read(readChunk(rows[i+4:]), maxChunk, nil)
			if err != nil {
				return nil, err
			}
			if !mayHold(b, key) {
				continue
			}
		}
		for b := from; b < until; b++ {
			blocks = append(blocks, b)
		}
	}
	return blocks, nil
}

// matching returns the identities of a block that fit.
func (f *file) matching(q *Query, rows []byte, number int) ([]uint64, error) {
	block, err := f.block(rows, number)
	if err != nil {
		return nil, err
	}
	var found []uint64
	var names []byte
	r := numbers{b: block.bytes}
	place := readChunk(rows[number*identityRow+4:]).offset
	for id := uint64(firstOf(rows[number*identityRow:])); len(r.b) > 0; id++ {
		t, vars, err := f.entry(&r)
		if err == nil {
			names, _, _, err = new(filler).fill(names[:0], t.first, vars, nil)
		}
		if err != nil {
			return nil, f.damaged(place, f.head.first, err)
		}
		if q.matches(names) {
			found = append(found, id)
		}
	}
	return found, nil
}

// frameOf returns the frame in which an identity is new.
func (f *file) frameOf(identity uint64) (int, error) {
	lo, hi := 0, f.head.frames
	for lo+1 < hi {
		mid := (lo + hi) / 2
		info, err := f.info(mid)
		if err != nil {
			return 0, err
		}
		if uint64(info.identity) <= identity {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}
