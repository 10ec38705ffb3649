package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
)

// The journal's measures that a power cut depends on.
const (
	sector        = 512
	segmentTarget = 64 << 10
)

// powerCut leaves what an ADD may leave that was never answered because the power went: its bytes
// up to anywhere, or with sectors of zeros, or all of them, and another boot after it. What is
// there whole of it counts; the rest is a torn tail, which the next call has to tell.
func (w *world) powerCut(r *rand.Rand) (string, error) {
	if !w.exists || w.wiped || w.torn != nil {
		return w.reboot(r)
	}
	c := w.newCall(r)
	for c.verb != "ADD" {
		c = w.newCall(r)
	}
	c.version, c.clock, c.exact = versionHere, w.clock.now, true
	records, err := w.unanswered(c)
	if err != nil {
		return c.String(), err
	}
	at := w.disk.tail()
	whole := 0
	for _, rec := range records {
		whole += len(rec)
	}
	if whole == 0 || at+int64(whole) > segmentTarget {
		return w.reboot(r)
	}
	left := tear(r, bytes.Join(records, nil), at)
	good := 0
	for _, rec := range records {
		if len(left) < good+len(rec) || !bytes.Equal(left[good:good+len(rec)], rec) {
			break
		}
		good += len(rec)
	}
	if err := appendTo(w.disk.newest, at, left); err != nil {
		return c.String(), err
	}
	if good < len(left) {
		w.torn = left[good:]
		w.stats["torn"]++
	}
	words := fmt.Sprintf("%v, %d of %d bytes, %d of them good", c, len(left), whole, good)
	if err := w.clock.reboot(r); err != nil {
		return words, err
	}
	return words, w.look(c)
}

// cutUnanswered has the power go after processes were killed: of rest, which the last of them wrote to
// path and did not acknowledge, some may not have reached the disk.
func (w *world) cutUnanswered(r *rand.Rand, path string, rest []byte) error {
	if len(rest) > 0 && w.torn == nil {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		at := st.Size() - int64(len(rest))
		if err := os.Truncate(path, at); err != nil {
			return err
		}
		left := tear(r, rest, at)
		if err := appendTo(path, at, left[:min(len(left), len(rest))]); err != nil {
			return err
		}
		w.stats["torn by kills"]++
	}
	if err := w.clock.reboot(r); err != nil {
		return err
	}
	w.clocks = append(w.clocks, w.clock.now)
	return nil
}

// unanswered returns the entries of the batch that the ADD would write, none if it is refused.
func (w *world) unanswered(c *call) ([][]byte, error) {
	given, code := w.m.choose(c.plan, c.who, c.wanted)
	if code != 0 {
		return nil, nil
	}
	meta, err := journal.ReadMeta(w.disk.dir)
	if err != nil {
		return nil, err
	}
	add := &journal.Event{Kind: journal.KindAdd, ContainerID: c.who.id, IfName: c.who.ifName, NetNS: c.netns, Pod: c.pod,
		Version: c.version, Addresses: given, Config: w.m.config(c.plan.static()), Ranges: toRanges(c.plan.sets[:c.plan.own])}
	for _, a := range given {
		add.Cursors = append(add.Cursors, journal.Cursor{Set: a.Set, IP: a.IP})
	}
	events := []*journal.Event{add}
	if static := toRanges(c.plan.static()); len(static) > 0 && add.Config == 0 {
		add.Config = w.disk.last() + 1
		events = []*journal.Event{{Kind: journal.KindConfig, Digest: digest(static), Ranges: static, Version: c.version}, add}
	}
	var entries [][]byte
	last := w.disk.last()
	prev := w.disk.hashes[last-1]
	for i, ev := range events {
		ev.Seq, ev.Synced, ev.Prev, ev.Clock = last+journal.Seq(i)+1, last, prev, c.clock
		record, err := journal.AppendRecord(nil, meta.ID, ev)
		if err != nil {
			return nil, err
		}
		prev = journal.RecordHash(record)
		entries = append(entries, append(binary.AppendUvarint(nil, uint64(len(record))), record...))
	}
	return entries, nil
}

// tear returns what is on the disk of an append at an offset whose sync was cut short.
func tear(r *rand.Rand, b []byte, at int64) []byte {
	switch r.IntN(4) {
	case 0: // the file's length got there first
		return make([]byte, 1+r.IntN(2*len(b)))
	case 1: // all but a sector or two
		b = bytes.Clone(b)
		for range 1 + r.IntN(2) {
			from := r.IntN(len(b))
			from -= int((at + int64(from)) % sector)
			for i := max(from, 0); i < min(from+sector, len(b)); i++ {
				b[i] = 0
			}
		}
		return b
	case 2:
		return b
	default:
		return b[:1+r.IntN(len(b))]
	}
}

func appendTo(path string, at int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != at {
		return fmt.Errorf("%s: %d bytes, want the %d that are durable: %w", path, st.Size(), at, err)
	}
	_, err = f.WriteAt(b, at)
	return err
}

// repaired checks the event that tells of a torn tail: where it was, and that its bytes are kept.
func (w *world) repaired(ev *journal.Event) error {
	if w.torn == nil {
		if w.mayTear {
			return nil
		}
		return fmt.Errorf("event %d: repair %q of %+v, want none", ev.Seq, ev.Text, ev.Cut)
	}
	kept, err := os.ReadFile(filepath.Join(w.disk.dir, "quarantine", ev.Cut.Quarantine))
	if err != nil {
		return fmt.Errorf("event %d: repair %+v: %w", ev.Seq, ev.Cut, err)
	}
	if !bytes.Equal(kept, w.torn) || ev.Cut.Bytes != int64(len(w.torn)) || ev.Text != journal.ErrTorn.Error() {
		return fmt.Errorf("event %d: repair %q of %+v, want one of %d bytes", ev.Seq, ev.Text, ev.Cut, len(w.torn))
	}
	w.torn = nil
	return nil
}
