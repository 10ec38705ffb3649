package main

import (
	"iter"
	"net/netip"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// splice reads what was pruned of the era's store from a copy that has it, and what came after from the store. Both are of one chain if
// the hash that the tombstone has of the last event that went is that of the copy's. It returns false, and says why, if the copy
// does not have all of it.
func (e *era) splice(ans *answer, spare *store, r reading) (bool, error) {
	gone := e.pruned()
	if gone == nil {
		return false, nil
	}
	if spare.reader.Coverage().Durable < gone.Last {
		ans.doubt(replay.Certain, "%s: events are pruned in %s; the copy in %s ends before event %d, the last one that was pruned: ask it by itself about its time",
			e.title(), e.dir, spare.dir, gone.Last)
		return false, nil
	}
	old, err := spare.past()
	if err != nil {
		return false, err
	}
	head, err := recordHash(old, gone.Last)
	if unreadable(err) {
		return false, nil // what is wrong with a copy is verify's to say
	}
	if err != nil {
		return false, err
	}
	if head != gone.Pruned().Pruned.Head {
		ans.doubt(replay.Uncertain, "%s: events are pruned in %s; the copy in %s has another event %d than was pruned: it was not asked",
			e.title(), e.dir, spare.dir, gone.Last)
		return false, nil
	}
	past, err := e.past()
	if err != nil {
		return false, err
	}
	h, err := e.readSpliced(spare, spliced(old, past, gone.Last), r)
	if err != nil || !h.Whole() {
		return false, err
	}
	ans.doubt(replay.Certain, "%s: events are pruned in %s: the copy in %s was asked, which has them", e.title(), e.dir, spare.dir)
	e.h, e.parts = h, nil
	return true, nil
}

// recordHash returns the hash of an event's record.
func recordHash(past *archive.Reader, seq journal.Seq) (head journal.Hash, err error) {
	for rec, err := range past.Records(seq - 1) {
		if err != nil || rec.Event.Seq != seq {
			return head, err
		}
		return journal.RecordHash(rec.Raw), nil
	}
	return head, nil
}

// spliced are the pieces of one reader up to an event, and those of another behind it.
func spliced(old, past *archive.Reader, last journal.Seq) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		for p, err := range old.Pieces(0) {
			if err == nil && (p.Loss == nil && p.Event.Seq > last || p.Loss != nil && p.Loss.First > last) {
				break
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
		for p, err := range past.Pieces(last) {
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// readSpliced is readFor of pieces that no one reader has: all of them are read.
func (e *era) readSpliced(spare *store, pieces iter.Seq2[journal.Piece, error], r reading) (*replay.History, error) {
	o := replay.Options{Keep: r.keep, Wiped: e.wiped}
	addrs := r.addrs
	if r.find != nil { // each knows the names of its own events
		addrs = []netip.Addr{}
		for _, of := range []*store{spare, e.store} {
			found, err := r.find(of)
			if err != nil {
				return nil, err
			}
			addrs = append(addrs, found...)
		}
	}
	if addrs != nil {
		wanted := make(map[netip.Addr]bool, len(addrs))
		for _, ip := range addrs {
			wanted[ip] = true
		}
		o.Keep = func(l *state.Lease) bool { return wanted[l.IP] }
	}
	return r.pieces(e.store, pieces, o)
}
