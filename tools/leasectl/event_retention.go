package main

import (
	"fmt"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// prunedItem is what a prune event removed.
type prunedItem struct {
	FirstSeq  uint64            `json:"first_seq"`
	LastSeq   uint64            `json:"last_seq"`
	FirstTime string            `json:"first_time"`
	LastTime  string            `json:"last_time"`
	Kinds     map[string]uint64 `json:"kinds"`
	SHA256    string            `json:"sha256,omitempty"`
	Head      string            `json:"head"`
	StoreID   string            `json:"store_id,omitempty"`
}

// legalHoldItem is what a hold event keeps from being pruned, or the hold that an unhold event ended.
type legalHoldItem struct {
	Since   string `json:"since,omitempty"`
	Until   string `json:"until,omitempty"`
	Of      uint64 `json:"of,omitempty"`
	StoreID string `json:"store_id,omitempty"`
}

func newPruned(p *journal.Pruned) *prunedItem {
	it := &prunedItem{FirstSeq: uint64(p.First), LastSeq: uint64(p.Last), FirstTime: stamp(time.Unix(0, p.FirstWall)),
		LastTime: stamp(time.Unix(0, p.LastWall)), Kinds: map[string]uint64{}, Head: p.Head.String()}
	for _, k := range p.Kinds {
		it.Kinds[k.Kind.String()] += k.Events
	}
	if p.Digest != (journal.Hash{}) {
		it.SHA256 = p.Digest.String()
	}
	if p.Journal != (journal.ID{}) {
		it.StoreID = p.Journal.String()
	}
	return it
}

func (it *prunedItem) String() string {
	text := fmt.Sprintf("events %d to %d", it.FirstSeq, it.LastSeq)
	if it.StoreID != "" {
		text += " of journal " + it.StoreID
	}
	return fmt.Sprintf("%s, %s to %s", text, it.FirstTime, it.LastTime)
}

func newLegalHold(h journal.Hold) *legalHoldItem {
	it := &legalHoldItem{Of: uint64(h.Of)}
	if h.Since != 0 {
		it.Since = stamp(time.Unix(0, h.Since))
	}
	if h.Until != 0 {
		it.Until = stamp(time.Unix(0, h.Until))
	}
	if h.Journal != (journal.ID{}) {
		it.StoreID = h.Journal.String()
	}
	return it
}

func (it *legalHoldItem) String() string {
	if it.Of != 0 {
		text := fmt.Sprintf("of event %d", it.Of)
		if it.StoreID != "" {
			text += " of journal " + it.StoreID
		}
		return text
	}
	since, until := it.Since, it.Until
	if since == "" {
		since = "the beginning"
	}
	if until == "" {
		until = "now and later"
	}
	return fmt.Sprintf("from %s to %s", since, until)
}
