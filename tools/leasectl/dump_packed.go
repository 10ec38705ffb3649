package main

import (
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// dumpPacked shows a packed file: what it is on stderr, then its events. It is read twice, so that what is damaged is known
// before the first event is shown, however many there are.
func (a *app) dumpPacked(path string, id journal.ID) error {
	past, err := archive.OpenFile(path, id)
	if err != nil {
		return err
	}
	defer past.Close()
	head := past.Heads()[0]
	ans := newAnswer("dump", dumpAsked{path, head.Journal.String()})
	a.sayPacked(&head)
	for p, err := range past.Audit(head.First-1, func(f archive.Flaw) {
		ans.doubt(replay.Unknown, "%s: byte %d: %v", path, f.Offset, f.Cause)
		a.failed = true
	}) {
		if err != nil {
			return err
		}
		if p.Loss != nil {
			ans.doubt(replay.Unknown, "%v", p.Loss.Error(filepath.Dir(path)))
			a.failed = true
		}
	}
	for k, err := range past.Keyframes() {
		if err == nil {
			err = k.Snapshot.Verify()
		}
		if err != nil {
			ans.doubt(replay.Unknown, "keyframe: %v", err)
			a.failed = true
		}
	}
	return show(a, ans, packedItems(past, &head), layout[dumpItem]{"records", dumpTable(), dumpCSV()})
}

// packedItems are a packed file's events, and what is lost between them.
func packedItems(past *archive.Reader, head *archive.Head) iter.Seq2[*dumpItem, error] {
	return func(yield func(*dumpItem, error) bool) {
		for p, err := range past.Pieces(head.First - 1) {
			if err != nil {
				yield(nil, err)
				return
			}
			item := &dumpItem{Schema: recordSchema}
			if l := p.Loss; l != nil {
				item.Offset, item.Seq = max(l.Offset, 0), uint64(l.First)
				item.Checksum = fmt.Sprintf("%v; events %d to %d are lost", l.Cause, l.First, l.Last)
			} else {
				ev := newEvent(&p.Record)
				ev.Evidence.StoreID = head.Journal.String()
				item.Offset, item.Length, item.Seq, item.Checksum, item.Event = p.Offset, len(p.Raw), ev.Seq, "ok", &ev
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// sayPacked tells on stderr what a packed file is.
func (a *app) sayPacked(h *archive.Head) {
	a.say("packed file of journal %s, network %s, node %s: events %d to %d, %s to %s, %s", h.Journal, h.Network, h.Node,
		h.First, h.Last, stamp(h.FirstClock.Time()), stamp(h.LastClock.Time()), count(len(h.Boots), "boot"))
	a.say("record before event %d: SHA-256 %s; of event %d: %s", h.First, h.Before, h.Last, h.After)
	a.say("content: SHA-256 %s; of the packed file before: %s", h.Content, h.Previous)
	frames := make([]string, len(h.Keyframes))
	for i, seq := range h.Keyframes {
		frames[i] = fmt.Sprint(seq)
	}
	if len(frames) > 0 {
		a.say("keyframes after events %s", strings.Join(frames, ", "))
	}
}
