package main

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// leaseItem is a lease interval in JSON. The names are fixed.
type leaseItem struct {
	Schema      string `json:"schema"`
	Network     string `json:"network"`
	IP          string `json:"ip"`
	Prefix      int    `json:"prefix"`
	Gateway     string `json:"gateway"`
	RangeSet    int    `json:"range_set"`
	ContainerID string `json:"container_id"`
	IfName      string `json:"ifname"`
	NetNS       string `json:"netns"`
	netnsItem
	Pod       podItem      `json:"pod"`
	Start     pointItem    `json:"start"`
	End       *endItem     `json:"end"`
	Origin    string       `json:"origin"`
	Certainty string       `json:"certainty"`
	Doubts    []string     `json:"doubts"`
	Evidence  evidenceItem `json:"evidence"`
	origin

	lost bool // its end is not known
}

type podItem struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// netnsItem tells a network namespace from others at its path; what is not known is absent.
type netnsItem struct {
	Inode uint64 `json:"netns_inode,omitempty"`
	Made  string `json:"netns_made,omitempty"` // when it was mounted at its path
}

func newNetNS(id journal.NetNSID) netnsItem {
	it := netnsItem{Inode: id.Inode}
	if id.Made != 0 {
		it.Made = stamp(time.Unix(0, id.Made))
	}
	return it
}

type pointItem struct {
	Seq       uint64 `json:"seq"`
	Time      string `json:"time"`
	Effective string `json:"effective"`
}

type endItem struct {
	pointItem
	Reason      string `json:"reason"`
	Text        string `json:"text,omitempty"` // of who released it
	WindowStart string `json:"window_start"`
}

type evidenceItem struct {
	Node     string `json:"node"`
	StoreID  string `json:"store_id"`
	File     string `json:"file"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
}

func newPoint(p replay.Point) pointItem {
	return pointItem{Seq: uint64(p.Seq), Time: stamp(p.Time), Effective: stamp(p.Effective)}
}

// addrText is String, but empty for the zero Addr.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (s *store) lease(iv *replay.Interval) leaseItem {
	l := iv.Lease
	it := leaseItem{
		Schema: "leaselog.interval/1", Network: s.network,
		IP: addrText(l.IP), Prefix: l.Bits, Gateway: addrText(l.Gateway), RangeSet: l.Set,
		ContainerID: l.ContainerID, IfName: l.IfName, NetNS: l.NetNS, netnsItem: newNetNS(l.NetNSID), Pod: podItem(l.Pod),
		Start: newPoint(iv.Start), Origin: "cni", Certainty: iv.Certainty.String(), Doubts: iv.Doubts,
		Evidence: evidenceItem{Node: s.meta.Node, StoreID: s.meta.ID.String(), File: iv.File,
			FirstSeq: uint64(iv.Start.Seq), LastSeq: uint64(iv.LastSeq)},
		origin: s.origin,
	}
	it.lost = iv.Lost()
	if l.Import {
		it.Origin = "import"
	}
	if e := iv.End; e != nil {
		it.End = &endItem{newPoint(e.Point), e.Reason.String(), e.Text, stamp(e.Window.Effective)}
	}
	return it
}

// end returns the interval's end, and zero values while it is held.
func (it *leaseItem) end() endItem {
	if it.End == nil {
		return endItem{}
	}
	return *it.End
}

// endText says how the interval ended, in a table.
func (it *leaseItem) endText() string {
	switch {
	case it.End != nil:
		return it.End.Effective
	case it.lost || it.Certainty == replay.Unknown.String():
		return "unknown"
	}
	return "still held"
}

// reasonText says why the interval ended, in a table.
func (it *leaseItem) reasonText() string {
	e := it.end()
	if e.Text == "" {
		return e.Reason
	}
	return e.Reason + ", " + e.Text
}

// number formats a sequence number; 0 is none.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// shortID shortens the 64 hex digits that runtimes use. The other formats have them all.
func shortID(id string) string {
	const digits, shown = 64, 13
	if len(id) == digits && strings.Trim(id, "0123456789abcdef") == "" {
		return id[:shown] + "…"
	}
	return id
}

func (p podItem) String() string {
	if p.Namespace == "" && p.Name == "" {
		return p.UID
	}
	return p.Namespace + "/" + p.Name
}

// leaseCSV are the columns of an interval; their order is fixed, new ones come last.
var leaseCSV = []column[leaseItem]{
	{"network", func(it *leaseItem) string { return it.Network }},
	{"ip", func(it *leaseItem) string { return it.IP }},
	{"prefix", func(it *leaseItem) string { return strconv.Itoa(it.Prefix) }},
	{"gateway", func(it *leaseItem) string { return it.Gateway }},
	{"range_set", func(it *leaseItem) string { return strconv.Itoa(it.RangeSet) }},
	{"container_id", func(it *leaseItem) string { return it.ContainerID }},
	{"ifname", func(it *leaseItem) string { return it.IfName }},
	{"netns", func(it *leaseItem) string { return it.NetNS }},
	{"pod_namespace", func(it *leaseItem) string { return it.Pod.Namespace }},
	{"pod_name", func(it *leaseItem) string { return it.Pod.Name }},
	{"pod_uid", func(it *leaseItem) string { return it.Pod.UID }},
	{"start_seq", func(it *leaseItem) string { return number(it.Start.Seq) }},
	{"start_time", func(it *leaseItem) string { return it.Start.Time }},
	{"start_effective", func(it *leaseItem) string { return it.Start.Effective }},
	{"end_seq", func(it *leaseItem) string { return number(it.end().Seq) }},
	{"end_time", func(it *leaseItem) string { return it.end().Time }},
	{"end_effective", func(it *leaseItem) string { return it.end().Effective }},
	{"end_reason", func(it *leaseItem) string { return it.end().Reason }},
	{"window_start", func(it *leaseItem) string { return it.end().WindowStart }},
	{"origin", func(it *leaseItem) string { return it.Origin }},
	{"certainty", func(it *leaseItem) string { return it.Certainty }},
	{"doubts", func(it *leaseItem) string { return strings.Join(it.Doubts, "; ") }},
	{"node", func(it *leaseItem) string { return it.Evidence.Node }},
	{"store_id", func(it *leaseItem) string { return it.Evidence.StoreID }},
	{"file", func(it *leaseItem) string { return it.Evidence.File }},
	{"first_seq", func(it *leaseItem) string { return number(it.Evidence.FirstSeq) }},
	{"last_seq", func(it *leaseItem) string { return number(it.Evidence.LastSeq) }},
	{"netns_inode", func(it *leaseItem) string { return number(it.Inode) }},
	{"netns_made", func(it *leaseItem) string { return it.Made }},
	{"end_text", func(it *leaseItem) string { return it.end().Text }},
}
