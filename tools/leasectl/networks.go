package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// networkItem is a network that has a store.
type networkItem struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	Node      string   `json:"node"`
	StoreID   string   `json:"store_id"`
	Dir       string   `json:"dir"`
	DataDir   string   `json:"data_dir"` // that it was created for
	Format    int      `json:"format"`
	Created   string   `json:"created"`
	Leases    *int     `json:"leases"` // held now; null if that is unknown
	LastSeq   uint64   `json:"last_seq"`
	LastTime  string   `json:"last_time"`
	Live      bool     `json:"live"`
	Wiped     bool     `json:"wiped"`
	Certainty string   `json:"certainty"`
	Doubts    []string `json:"doubts"`
	FoundIn   string   `json:"found_in"` // the data folder that was asked
	origin
}

func (a *app) networksCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "networks",
		Short: "What networks there are",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.networks() },
	}
}

func (a *app) networks() error {
	a.copies = true
	stores, err := a.stores()
	if err != nil {
		return err
	}
	ans := newAnswer("networks", leasesAsked{a.scope(), stamp(a.now)})
	var items []networkItem
	for _, s := range stores {
		own := newAnswer("", nil) // what is said about this network alone
		h, err := s.held(own)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		ans.worst = max(ans.worst, own.worst)
		ans.Doubts = append(ans.Doubts, own.Doubts...)
		ans.Stores = append(ans.Stores, own.Stores...)
		items = append(items, s.networkItem(h, own))
	}
	if len(stores) == 0 && !a.failed {
		a.say("%v", a.noStore())
	}
	a.exit(ans.worst, true)
	return show(a, ans, each(items), layout[networkItem]{"networks", networksTable, networksCSV})
}

// networkItem describes the store; nil history is unknown.
func (s *store) networkItem(h *replay.History, own *answer) networkItem {
	st := own.Stores[0]
	it := networkItem{
		Schema: "leaselog.network/1", Network: s.network, Node: s.meta.Node, StoreID: st.StoreID, Dir: s.dir,
		DataDir: s.meta.DataDir, Format: s.meta.Format, Live: st.Live, Wiped: s.wiped,
		Certainty: own.worst.String(), Doubts: own.Doubts, FoundIn: s.foundIn, origin: s.origin,
	}
	if s.meta.ID != (journal.ID{}) {
		it.Created = stamp(s.meta.Created)
	}
	if h != nil {
		it.Leases, it.LastSeq, it.LastTime = &h.Held, st.LastSeq, st.LastTime
	}
	return it
}

// leasesText is the number of leases, or "unknown".
func (it *networkItem) leasesText() string {
	if it.Leases == nil {
		return replay.Unknown.String()
	}
	return strconv.Itoa(*it.Leases)
}

var networksTable = []column[networkItem]{
	{"network", func(it *networkItem) string { return it.Network }},
	{"leases", (*networkItem).leasesText},
	{"last", func(it *networkItem) string { return number(it.LastSeq) }},
	{"last time", func(it *networkItem) string { return it.LastTime }},
	{"live", func(it *networkItem) string { return strconv.FormatBool(it.Live) }},
	{"wiped", func(it *networkItem) string { return strconv.FormatBool(it.Wiped) }},
	{"folder", func(it *networkItem) string { return it.Dir }},
}

// networksCSV are the columns of a network; their order is fixed, new ones come last.
var networksCSV = []column[networkItem]{
	{"network", func(it *networkItem) string { return it.Network }},
	{"node", func(it *networkItem) string { return it.Node }},
	{"store_id", func(it *networkItem) string { return it.StoreID }},
	{"dir", func(it *networkItem) string { return it.Dir }},
	{"data_dir", func(it *networkItem) string { return it.DataDir }},
	{"format", func(it *networkItem) string { return strconv.Itoa(it.Format) }},
	{"created", func(it *networkItem) string { return it.Created }},
	{"leases", (*networkItem).leasesText},
	{"last_seq", func(it *networkItem) string { return number(it.LastSeq) }},
	{"last_time", func(it *networkItem) string { return it.LastTime }},
	{"live", func(it *networkItem) string { return strconv.FormatBool(it.Live) }},
	{"wiped", func(it *networkItem) string { return strconv.FormatBool(it.Wiped) }},
	{"certainty", func(it *networkItem) string { return it.Certainty }},
	{"doubts", func(it *networkItem) string { return strings.Join(it.Doubts, "; ") }},
	{"found_in", func(it *networkItem) string { return it.FoundIn }},
}
