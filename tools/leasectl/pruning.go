package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/compaction"
)

// pruningItem is what prune did to one store, or would do.
type pruningItem struct {
	Schema  string `json:"schema"`
	Network string `json:"network"`
	Node    string `json:"node"`
	Dir     string `json:"dir"`
	StoreID string `json:"store_id"`
	Needed  bool   `json:"needed"` // there was, or is, something to prune
	Done    bool   `json:"done"`
	pruningPart
	Error string `json:"error,omitempty"` // what ended it early
	origin
}

// pruningPart is what went, wherever it is told.
type pruningPart struct {
	FirstSeq  uint64            `json:"first_seq,omitempty"` // absent if no event of the journal's own went
	LastSeq   uint64            `json:"last_seq,omitempty"`
	FirstTime string            `json:"first_time,omitempty"`
	LastTime  string            `json:"last_time,omitempty"`
	Kinds     map[string]uint64 `json:"kinds,omitempty"`     // of what went, once it did
	Tombstone uint64            `json:"tombstone,omitempty"` // the event that tells
	Freed     int64             `json:"freed_bytes"`         // an estimate if it was not done
	Files     []string          `json:"files"`               // that were removed
	Finished  []string          `json:"finished"`            // that an earlier prune had left
	Waiting   uint64            `json:"waiting,omitempty"`   // events that exceed the retention and stay: the plugin may need them
	Held      []uint64          `json:"held_by"`             // holds that keep what would go without, by their events
	Parents   []succeededItem   `json:"succeeded"`           // journals that this one has succeeded
	Doubts    []string          `json:"doubts"`
}

// succeededItem is a journal that a store's has succeeded.
type succeededItem struct {
	StoreID   string `json:"store_id"`
	Events    uint64 `json:"events"`
	Bytes     int64  `json:"bytes"`
	LastTime  string `json:"last_time"`
	Gone      bool   `json:"gone"`                // it was pruned as a whole, or would be
	Tombstone uint64 `json:"tombstone,omitempty"` // the event that tells
	Why       string `json:"why,omitempty"`       // why it stays
}

// pruning describes a report.
func (s *store) pruning(r *compaction.Report, dryRun bool) pruningItem {
	needed := !r.Pruned.Nothing()
	return pruningItem{Schema: "leaselog.pruning/1", Network: s.network, Node: s.meta.Node, Dir: s.dir, StoreID: r.Journal.String(),
		Needed: needed, Done: needed && !dryRun, pruningPart: newPruning(r.Pruned), origin: s.origin}
}

func newPruning(p *compaction.Pruned) pruningPart {
	it := pruningPart{Freed: p.Bytes, Waiting: p.Waiting, Tombstone: uint64(p.Tombstone), Files: append([]string{}, p.Files...), Finished: append([]string{}, p.Finished...),
		Held: []uint64{}, Parents: []succeededItem{}, Doubts: append([]string{}, p.Doubts...)}
	if p.Gone.First != 0 {
		gone := newPruned(&p.Gone)
		it.FirstSeq, it.LastSeq, it.FirstTime, it.LastTime = gone.FirstSeq, gone.LastSeq, gone.FirstTime, gone.LastTime
		if len(gone.Kinds) > 0 {
			it.Kinds = gone.Kinds
		}
	}
	for _, h := range p.Held {
		it.Held = append(it.Held, uint64(h.Seq))
	}
	for _, parent := range p.Parents {
		it.Parents = append(it.Parents, succeededItem{parent.Journal.String(), parent.Events, parent.Bytes, stamp(time.Unix(0, parent.Last)), parent.Gone,
			uint64(parent.Tombstone), parent.Why})
	}
	return it
}

func (it *pruningPart) events() string {
	if it.FirstSeq == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d", it.FirstSeq, it.LastSeq)
}

// eventsText are the events that went, of the journal's own and of those that it has succeeded.
func (it *pruningPart) eventsText() string {
	var texts []string
	for _, p := range it.Parents {
		if p.Gone {
			texts = append(texts, fmt.Sprintf("1-%d of %.8s", p.Events, p.StoreID))
		}
	}
	if own := it.events(); own != "" {
		texts = append(texts, own)
	}
	return strings.Join(texts, ", ")
}

// freedText is what was freed, journals that went as a whole included; "" where nothing went.
func (it *pruningPart) freedText() string {
	n, gone := it.Freed, it.FirstSeq != 0 || len(it.Finished) > 0
	for _, p := range it.Parents {
		if p.Gone {
			n, gone = n+p.Bytes, true
		}
	}
	if !gone {
		return ""
	}
	return bytesText(n)
}

// tombstones are the events that tell what went.
func (it *pruningPart) tombstones() string {
	var list []uint64
	for _, p := range it.Parents {
		if p.Gone && p.Tombstone != 0 {
			list = append(list, p.Tombstone)
		}
	}
	if it.Tombstone != 0 {
		list = append(list, it.Tombstone)
	}
	return seqTexts(list)
}

// journals are the succeeded ones that went.
func (it *pruningPart) journals() string {
	var gone []string
	for _, p := range it.Parents {
		if p.Gone {
			gone = append(gone, p.StoreID)
		}
	}
	return strings.Join(gone, " ")
}

// outcome says in a word what came of it.
func (it *pruningItem) outcome() string {
	switch {
	case it.Error != "":
		return "stopped"
	case !it.Needed:
		return "nothing to prune"
	case it.Done:
		return "pruned"
	default:
		return "would be pruned"
	}
}

func seqTexts(list []uint64) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(texts, " ")
}

var pruningTable = []column[pruningItem]{
	{"network", func(it *pruningItem) string { return it.Network }},
	{"outcome", (*pruningItem).outcome},
	{"events", func(it *pruningItem) string { return it.eventsText() }},
	{"from", func(it *pruningItem) string { return it.FirstTime }},
	{"to", func(it *pruningItem) string { return it.LastTime }},
	{"freed", func(it *pruningItem) string { return it.freedText() }},
	{"tombstone", func(it *pruningItem) string { return it.tombstones() }},
	{"held by", func(it *pruningItem) string { return seqTexts(it.Held) }},
	{"journals", func(it *pruningItem) string { return it.journals() }},
}

// pruningCSV are the columns of a pruning; their order is fixed, new ones come last.
var pruningCSV = []column[pruningItem]{
	{"network", func(it *pruningItem) string { return it.Network }},
	{"node", func(it *pruningItem) string { return it.Node }},
	{"store_id", func(it *pruningItem) string { return it.StoreID }},
	{"dir", func(it *pruningItem) string { return it.Dir }},
	{"needed", func(it *pruningItem) string { return strconv.FormatBool(it.Needed) }},
	{"done", func(it *pruningItem) string { return strconv.FormatBool(it.Done) }},
	{"first_seq", func(it *pruningItem) string { return number(it.FirstSeq) }},
	{"last_seq", func(it *pruningItem) string { return number(it.LastSeq) }},
	{"first_time", func(it *pruningItem) string { return it.FirstTime }},
	{"last_time", func(it *pruningItem) string { return it.LastTime }},
	{"freed_bytes", func(it *pruningItem) string { return strconv.FormatInt(it.Freed, 10) }},
	{"tombstone", func(it *pruningItem) string { return number(it.Tombstone) }},
	{"files", func(it *pruningItem) string { return strings.Join(it.Files, " ") }},
	{"held_by", func(it *pruningItem) string { return seqTexts(it.Held) }},
	{"succeeded", func(it *pruningItem) string { return it.journals() }},
	{"doubts", func(it *pruningItem) string { return strings.Join(it.Doubts, "; ") }},
	{"error", func(it *pruningItem) string { return it.Error }},
}
