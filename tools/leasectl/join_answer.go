package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leaselog/leaselog/replay"
)

// joinHolder is who held an address, in one store.
type joinHolder struct {
	ContainerID string  `json:"container_id"`
	IfName      string  `json:"ifname"`
	Pod         podItem `json:"pod"`
	NetNS       string  `json:"netns"`
	Network     string  `json:"network"`
	Node        string  `json:"node"`
	Since       string  `json:"since"`
	Until       string  `json:"until"` // "" while it is held
	Seq         uint64  `json:"seq"`
}

// joinAnswer is what is said of one address of a row. It is shared by all rows of which the same is to be said.
type joinAnswer struct {
	State     string       `json:"state"`
	Certainty string       `json:"certainty"`
	Holders   []joinHolder `json:"holders"`
	Doubts    []string     `json:"doubts"`

	worst   replay.Certainty
	counted bool // some store that may have held the address has answered
	holding int  // stores that had it held
	states  uint // that stores said, as bits
	depends bool // whether the store counts that said this last depends on the address: may says how it was
	may     bool

	code  int    // of the answer by itself, as an exit code
	cells []byte // as the table shows it; nil as long as no row had it
	text  []byte // as JSON
}

// joinCell is one of the cells that are added for an address.
type joinCell struct {
	name string
	text func(*joinAnswer) []string // one for each holder
}

// joinCells are added for each address, in this order.
var joinCells = []joinCell{
	{"state", func(ans *joinAnswer) []string { return []string{ans.State} }},
	{"container", held(func(h *joinHolder) string { return h.ContainerID })},
	{"pod", held(func(h *joinHolder) string { return h.Pod.String() })},
	{"netns", held(func(h *joinHolder) string { return h.NetNS })},
	{"network", held(func(h *joinHolder) string { return h.Network })},
	{"node", held(func(h *joinHolder) string { return h.Node })},
	{"since", held(func(h *joinHolder) string { return h.Since })},
	{"until", held(func(h *joinHolder) string { return h.Until })},
	{"seq", held(func(h *joinHolder) string { return strconv.FormatUint(h.Seq, 10) })},
	{"certainty", func(ans *joinAnswer) []string { return []string{ans.Certainty} }},
	{"doubt", func(ans *joinAnswer) []string { return []string{strings.Join(ans.Doubts, "; ")} }},
}

// held makes the text of a cell from all holders, in the same order in every cell.
func held(text func(*joinHolder) string) func(*joinAnswer) []string {
	return func(ans *joinAnswer) []string {
		parts := make([]string, len(ans.Holders))
		for i := range ans.Holders {
			parts[i] = text(&ans.Holders[i])
		}
		return parts
	}
}

// cell makes one text of those of all holders, with ; between: where that stands in a text it is escaped.
func (c *joinCell) cell(ans *joinAnswer, escape func(string) string) string {
	parts := c.text(ans)
	for i := range parts {
		if parts[i] = escape(parts[i]); len(parts) > 1 {
			parts[i] = strings.ReplaceAll(parts[i], ";", `\x3b`)
		}
	}
	return strings.Join(parts, ";")
}

// forget drops what was put into cells or text: answers are kept, and are many.
func (ans *joinAnswer) forget() { ans.Holders, ans.Doubts = nil, nil }

// json returns the answer as one object.
func (ans *joinAnswer) json() []byte {
	if ans.text == nil {
		if ans.Holders == nil {
			ans.Holders = []joinHolder{}
		}
		if ans.Doubts == nil {
			ans.Doubts = []string{}
		}
		b, err := marshal(ans)
		if err != nil {
			panic("leasectl: answer of join: " + err.Error()) // strings, numbers and lists of them always are JSON
		}
		ans.text = b
		ans.forget()
	}
	return ans.text
}

// appendJSON appends a string as JSON.
func appendJSON(dst []byte, s string) []byte {
	b, err := marshal(s)
	if err != nil {
		panic("leasectl: string as JSON: " + err.Error()) // there is none that isn't
	}
	return append(dst, b...)
}

// unquoteJSON returns what a string that was scanned stands for.
func unquoteJSON(raw []byte) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}

// topKeys adds the keys of an object to those known.
func topKeys(line []byte, keys []string) []string {
	var object map[string]json.RawMessage
	if json.Unmarshal(line, &object) != nil {
		return keys
	}
	for k := range object {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// joinColumns are the columns asked for, and the names of those added.
type joinColumns struct {
	when   string
	ips    []string
	prefix string
	names  []string // of the address columns, as the file calls them
}

// added returns the names of the columns that are added.
func (c *joinColumns) added() []string {
	var names []string
	for _, column := range c.names {
		for i := range joinCells {
			names = append(names, c.prefix+column+"_"+joinCells[i].name)
		}
	}
	return append(names, c.prefix+"leaselog_reason")
}

// key is the member that is added to JSON objects.
func (c *joinColumns) key() string { return c.prefix + "leaselog" }

// find returns the place of the column with this name.
func (c *joinColumns) find(name string, names []string) (int, error) {
	i := slices.Index(names, name)
	switch {
	case i >= 0 && slices.Contains(names[i+1:], name):
		return 0, fmt.Errorf("column %q is there twice: give its number", name)
	case i >= 0:
		return i, nil
	}
	return 0, noSuch("column", name, names)
}

// unused returns an error if the file has a column already that is to be added.
func (c *joinColumns) unused(names []string) error {
	for _, name := range c.added() {
		if slices.Contains(names, name) {
			return fmt.Errorf("column %q is there already: --prefix says how the names of added columns begin", name)
		}
	}
	return nil
}

// looksLikeData reports whether a first row is one like the others, and not a header.
func (c *joinColumns) looksLikeData(when, ip string) bool {
	if _, err := cellAddr([]byte(ip)); err != nil {
		return false
	}
	return unitOf([]byte(when)) != ""
}

func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}
