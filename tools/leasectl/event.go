package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// eventItem is an event in JSON. Fields that an interval has too are named alike.
type eventItem struct {
	Schema      string `json:"schema"`
	Network     string `json:"network"`
	Seq         uint64 `json:"seq"`
	Time        string `json:"time"`
	Effective   string `json:"effective,omitempty"` // absent where the rest of the boot was not read
	Kind        string `json:"kind"`
	ContainerID string `json:"container_id"`
	IfName      string `json:"ifname"`
	NetNS       string `json:"netns"`
	netnsItem
	Pod         podItem           `json:"pod"`
	Addresses   []addressItem     `json:"addresses"`
	Cursors     []cursorItem      `json:"cursors,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Code        int               `json:"code,omitempty"`
	Text        string            `json:"text,omitempty"`
	Requested   []netip.Addr      `json:"requested,omitempty"`
	Config      uint64            `json:"config,omitempty"`
	Digest      string            `json:"digest,omitempty"`
	Ranges      [][]rangeItem     `json:"ranges,omitempty"`
	Claimed     string            `json:"claimed,omitempty"`
	Blocked     bool              `json:"blocked,omitempty"`
	Cut         *cutItem          `json:"cut,omitempty"`
	Genesis     *originItem       `json:"genesis,omitempty"`
	Pruned      *prunedItem       `json:"pruned,omitempty"`
	Hold        *legalHoldItem    `json:"hold,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	TraceParent string            `json:"traceparent,omitempty"`
	Version     string            `json:"version,omitempty"`
	Dropped     []string          `json:"dropped,omitempty"`
	Understood  bool              `json:"understood"`
	Synced      uint64            `json:"synced"`
	Prev        string            `json:"prev"`
	Clock       clockItem         `json:"clock"`
	Evidence    recordItem        `json:"evidence"`
	origin
}

type addressItem struct {
	IP       string `json:"ip"`
	Prefix   int    `json:"prefix"`
	Gateway  string `json:"gateway"`
	RangeSet int    `json:"range_set"`
}

type cursorItem struct {
	RangeSet int    `json:"range_set"`
	IP       string `json:"ip"`
}

type rangeItem struct {
	Subnet  string `json:"subnet"`
	Start   string `json:"start"`
	End     string `json:"end"`
	Gateway string `json:"gateway"`
}

type cutItem struct {
	File       string `json:"file"`
	Offset     int64  `json:"offset"`
	Bytes      int64  `json:"bytes"`
	Quarantine string `json:"quarantine"`
	Data       []byte `json:"data"`
}

type originItem struct {
	Network    string `json:"network"`
	Node       string `json:"node"`
	StoreID    string `json:"store_id"`
	Parent     string `json:"parent,omitempty"`
	ParentSeq  uint64 `json:"parent_seq,omitempty"`
	ParentHash string `json:"parent_hash,omitempty"`
}

type clockItem struct {
	BootID       string `json:"boot_id"`
	BootTime     int64  `json:"boottime_ns"`
	Synchronised bool   `json:"synchronised"`
	MaxError     int64  `json:"max_error_ns"`
}

// recordItem is where an event stands, and its record's digest: the next event's prev.
type recordItem struct {
	Node    string `json:"node"`
	StoreID string `json:"store_id"`
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Length  int    `json:"length"`
	SHA256  string `json:"sha256"`
}

func newClock(c journal.Clock) clockItem {
	return clockItem{c.Boot.String(), c.BootTime, c.Synchronised, int64(c.MaxError)}
}

// newEvent describes a record without its network, effective time, node and store.
func newEvent(rec *journal.Record) eventItem {
	ev := &rec.Event
	it := eventItem{
		Schema: "leaselog.event/1", Seq: uint64(ev.Seq), Time: stamp(ev.Clock.Time()), Kind: ev.Kind.String(),
		ContainerID: ev.ContainerID, IfName: ev.IfName, NetNS: ev.NetNS, netnsItem: newNetNS(ev.NetNSID), Pod: podItem(ev.Pod),
		Addresses: []addressItem{}, Code: ev.Code, Text: ev.Text, Requested: ev.Requested, Config: uint64(ev.Config),
		Blocked: ev.Blocked, TraceParent: ev.TraceParent, Version: ev.Version, Dropped: ev.Dropped,
		Understood: ev.Understood(), Synced: uint64(ev.Synced), Prev: ev.Prev.String(),
		Clock:    newClock(ev.Clock),
		Evidence: recordItem{File: rec.File, Offset: rec.Offset, Length: len(rec.Raw), SHA256: journal.RecordHash(rec.Raw).String()},
	}
	for _, a := range ev.Addresses {
		it.Addresses = append(it.Addresses, addressItem{addrText(a.IP), a.Bits, addrText(a.Gateway), a.Set})
	}
	for _, c := range ev.Cursors {
		it.Cursors = append(it.Cursors, cursorItem{c.Set, addrText(c.IP)})
	}
	if ev.Reason != 0 {
		it.Reason = ev.Reason.String()
	}
	for _, at := range ev.Attributes {
		if it.Attributes == nil {
			it.Attributes = make(map[string]string)
		}
		it.Attributes[at.Key] = at.Value
	}
	it.rare(ev)
	it.retained(ev)
	return it
}

// rare fills in the fields of configs, imports, repairs and genesis.
func (it *eventItem) rare(ev *journal.Event) {
	if ev.Digest != (journal.Hash{}) {
		it.Digest = ev.Digest.String()
	}
	for _, set := range ev.Ranges {
		ranges := make([]rangeItem, 0, len(set))
		for _, g := range set {
			ranges = append(ranges, rangeItem{g.Subnet.String(), addrText(g.Start), addrText(g.End), addrText(g.Gateway)})
		}
		it.Ranges = append(it.Ranges, ranges)
	}
	if ev.Claimed != 0 {
		it.Claimed = stamp(time.Unix(0, ev.Claimed))
	}
	if ev.Cut.File != "" {
		c := cutItem(ev.Cut)
		it.Cut = &c
	}
	if o := ev.Origin; o != (journal.Origin{}) {
		it.Genesis = &originItem{Network: o.Network, Node: o.Node, StoreID: o.Journal.String()}
		if o.Parent != (journal.ID{}) {
			it.Genesis.Parent, it.Genesis.ParentSeq = o.Parent.String(), uint64(o.ParentSeq)
			it.Genesis.ParentHash = o.ParentHash.String()
		}
	}
}

// retained fills in the fields of prunes and holds.
func (it *eventItem) retained(ev *journal.Event) {
	if p, ok := ev.Pruned(); ok {
		it.Pruned = newPruned(&p)
	}
	if h, ok := ev.Hold(); ok {
		it.Hold = newLegalHold(h)
	}
}

func (it *eventItem) addresses() string {
	texts := make([]string, len(it.Addresses))
	for i, a := range it.Addresses {
		texts[i] = a.IP + "/" + strconv.Itoa(a.Prefix)
	}
	return strings.Join(texts, " ")
}

func (it *eventItem) cursors() string {
	texts := make([]string, len(it.Cursors))
	for i, c := range it.Cursors {
		texts[i] = strconv.Itoa(c.RangeSet) + ":" + c.IP
	}
	return strings.Join(texts, " ")
}

func (it *eventItem) requested() string {
	texts := make([]string, len(it.Requested))
	for i, a := range it.Requested {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

// detail is what the other columns of a table don't show.
func (it *eventItem) detail() string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if it.Reason != "" {
		say("%s", it.Reason)
	}
	if it.Code != 0 {
		say("code %d", it.Code)
	}
	if it.Text != "" {
		say("%s", it.Text)
	}
	if len(it.Requested) > 0 {
		say("requested %s", it.requested())
	}
	for i, set := range it.Ranges {
		for _, g := range set {
			say("range set %d: %s-%s", i, g.Start, g.End)
		}
	}
	if it.Kind == journal.KindAnnotate.String() {
		if it.NetNS != "" {
			say("netns %s", it.NetNS)
		}
		if source := it.Attributes[journal.AttributeSource]; source != "" {
			say("from %s", source)
		}
	}
	if it.Claimed != "" {
		say("claimed %s", it.Claimed)
	}
	if it.Blocked {
		say("blocked")
	}
	if c := it.Cut; c != nil {
		say("cut %d bytes of %s at byte %d", c.Bytes, c.File, c.Offset)
	}
	if g := it.Genesis; g != nil {
		say("journal %s of %s", g.StoreID, g.Network)
		if g.Parent != "" {
			say("continues %s after event %d", g.Parent, g.ParentSeq)
		}
	}
	if it.Pruned != nil {
		say("%s", it.Pruned)
	}
	if it.Hold != nil {
		say("%s", it.Hold)
	}
	if by := it.Attributes[journal.AttributeBy]; by != "" {
		say("by %s", by)
	}
	if len(it.Dropped) > 0 {
		say("dropped %s", strings.Join(it.Dropped, " "))
	}
	if !it.Understood {
		say("written by a newer version")
	}
	return strings.Join(parts, ", ")
}

var eventTable = []column[eventItem]{
	{"network", func(it *eventItem) string { return it.Network }},
	{"seq", func(it *eventItem) string { return number(it.Seq) }},
	{"time", func(it *eventItem) string { return it.Time }},
	{"kind", func(it *eventItem) string { return it.Kind }},
	{"addresses", (*eventItem).addresses},
	{"container", func(it *eventItem) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *eventItem) string { return it.IfName }},
	{"pod", func(it *eventItem) string { return it.Pod.String() }},
	{"detail", (*eventItem).detail},
}

// eventCSV are the columns of an event; their order is fixed, new ones come last. What
// has no column is in the other formats.
var eventCSV = []column[eventItem]{
	{"network", func(it *eventItem) string { return it.Network }},
	{"seq", func(it *eventItem) string { return number(it.Seq) }},
	{"time", func(it *eventItem) string { return it.Time }},
	{"effective", func(it *eventItem) string { return it.Effective }},
	{"kind", func(it *eventItem) string { return it.Kind }},
	{"container_id", func(it *eventItem) string { return it.ContainerID }},
	{"ifname", func(it *eventItem) string { return it.IfName }},
	{"netns", func(it *eventItem) string { return it.NetNS }},
	{"pod_namespace", func(it *eventItem) string { return it.Pod.Namespace }},
	{"pod_name", func(it *eventItem) string { return it.Pod.Name }},
	{"pod_uid", func(it *eventItem) string { return it.Pod.UID }},
	{"addresses", (*eventItem).addresses},
	{"cursors", (*eventItem).cursors},
	{"reason", func(it *eventItem) string { return it.Reason }},
	{"code", func(it *eventItem) string { return number(uint64(it.Code)) }},
	{"text", func(it *eventItem) string { return it.Text }},
	{"requested", (*eventItem).requested},
	{"config", func(it *eventItem) string { return number(it.Config) }},
	{"traceparent", func(it *eventItem) string { return it.TraceParent }},
	{"version", func(it *eventItem) string { return it.Version }},
	{"detail", (*eventItem).detail},
	{"boot_id", func(it *eventItem) string { return it.Clock.BootID }},
	{"boottime_ns", func(it *eventItem) string { return strconv.FormatInt(it.Clock.BootTime, 10) }},
	{"synchronised", func(it *eventItem) string { return strconv.FormatBool(it.Clock.Synchronised) }},
	{"max_error_ns", func(it *eventItem) string { return strconv.FormatInt(it.Clock.MaxError, 10) }},
	{"node", func(it *eventItem) string { return it.Evidence.Node }},
	{"store_id", func(it *eventItem) string { return it.Evidence.StoreID }},
	{"file", func(it *eventItem) string { return it.Evidence.File }},
	{"offset", func(it *eventItem) string { return strconv.FormatInt(it.Evidence.Offset, 10) }},
	{"length", func(it *eventItem) string { return strconv.Itoa(it.Evidence.Length) }},
	{"sha256", func(it *eventItem) string { return it.Evidence.SHA256 }},
	{"netns_inode", func(it *eventItem) string { return number(it.Inode) }},
	{"netns_made", func(it *eventItem) string { return it.Made }},
}
