package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// verdict is what becomes of a lease.
type verdict string

const (
	verdictKept      verdict = "kept"
	verdictCondemned verdict = "condemned" // it is to be released
	verdictReleased  verdict = "released"
	verdictChanged   verdict = "changed" // when it was to be released, it was not held as before any more
	verdictFailed    verdict = "failed"  // an error came before it was released, or before that was certain
)

// judged is a lease, with what is to become of it and why.
type judged struct {
	s       *store
	lease   state.Lease
	start   replay.Point
	grounds []groundItem
	verdict verdict
	why     string // where the grounds don't say it
}

// heldAs tells a lease from others, also from those of the same address before and after.
type heldAs struct {
	store journal.ID
	ip    netip.Addr
	owner state.Attachment
	start journal.Seq
}

func (j *judged) as() heldAs {
	return heldAs{j.s.meta.ID, j.lease.IP, j.lease.Attachment, j.lease.Start}
}

func (j *judged) keep(why string) { j.verdict, j.why = verdictKept, why }

// judge asks all the evidence. Each has to find the owner dead.
func (j *judged) judge(all []evidence) {
	j.verdict = verdictCondemned
	for _, e := range all {
		f, why := e.judge(j.s.network, &j.lease)
		j.grounds = append(j.grounds, groundItem{e.name(), f.String(), why})
		if f != dead {
			j.verdict = verdictKept
		}
	}
}

// spareCompanions keeps what belongs to an attachment of which another lease is kept.
func spareCompanions(all []*judged) {
	kept := map[attachmentIn]*judged{}
	for _, j := range all {
		if j.verdict == verdictKept && !j.lease.Blocked {
			kept[j.attachment()] = j
		}
	}
	for _, j := range all {
		if other := kept[j.attachment()]; other != nil && j.verdict == verdictCondemned {
			j.keep(fmt.Sprintf("%s of the same attachment is kept", other.lease.IP))
		}
	}
}

// attachmentIn is an attachment of one store.
type attachmentIn struct {
	dir   string
	owner state.Attachment
}

func (j *judged) attachment() attachmentIn { return attachmentIn{j.s.dir, j.lease.Attachment} }

// with counts the leases of a verdict.
func with(all []*judged, v verdict) int {
	n := 0
	for _, j := range all {
		if j.verdict == v {
			n++
		}
	}
	return n
}

// maxReason bounds the words that are recorded of why a lease was released, in bytes.
const maxReason = 512

// words returns why the lease is condemned, as it is recorded.
func (j *judged) words() string {
	var parts []string
	for _, g := range j.grounds {
		parts = append(parts, g.Evidence+": "+g.Why)
	}
	text := strings.ToValidUTF8(strings.Join(parts, "; "), "�")
	if len(text) <= maxReason {
		return text
	}
	cut := maxReason
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// condemn returns what of a store is condemned, attachment by attachment, and the leases that each stands for.
func condemn(all []*judged) (list []allocator.Condemned, of [][]*judged) {
	place := map[state.Attachment]int{}
	for _, j := range all {
		if j.verdict != verdictCondemned {
			continue
		}
		i, seen := place[j.lease.Attachment]
		switch {
		case j.lease.Blocked:
			list = append(list, allocator.Condemned{IP: j.lease.IP, Start: j.lease.Start, Text: j.words()})
			of = append(of, []*judged{j})
			continue
		case !seen:
			i = len(list)
			place[j.lease.Attachment] = i
			list = append(list, allocator.Condemned{Owner: j.lease.Attachment})
			of = append(of, nil)
		}
		if j.lease.Start > list[i].Start {
			list[i].Start, list[i].Text = j.lease.Start, j.words()
		}
		of[i] = append(of[i], j)
	}
	return list, of
}

// release releases what is listed of the store, and says so in the verdicts.
func (s *store) release(a *app, lockTimeout time.Duration, list []allocator.Condemned, of [][]*judged, why allocator.Why) error {
	o, err := s.changing()
	if err != nil {
		return err
	}
	o.LockTimeout = lockTimeout
	o.Warn = func(text string) { a.say("%s: %s", s.title(), text) }
	st := allocator.NewStore(o)
	released, err := st.Release(list, why)
	st.Maintain()
	for i, c := range list {
		v := verdictChanged
		switch {
		case len(released) > 0 && released[0] == c: // they are in the order of the list
			v, released = verdictReleased, released[1:]
		case err != nil:
			v = verdictFailed
		}
		for _, j := range of[i] {
			j.verdict = v
		}
	}
	return err
}

// toJudge returns what is held in the stores that the flags mean, store by store. Those of which nothing is to be released are
// told and passed over.
func (a *app) toJudge(ans *answer) ([]*judged, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	if len(stores) == 0 && !a.failed {
		return nil, a.noStore()
	}
	var all []*judged
	for _, s := range stores {
		leases, err := s.toJudge(ans)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
			continue
		}
		all = append(all, leases...)
	}
	return all, nil
}

// toJudge returns what the store's network holds now, by address, or an error if nothing of it is to be released.
func (s *store) toJudge(ans *answer) ([]*judged, error) {
	if err := s.changeable(); err != nil {
		return nil, err
	}
	h, err := replay.Read(s.records(0), replay.Options{HeldOnly: true})
	if err == nil {
		err = h.Stopped
	}
	if err != nil {
		return nil, err
	}
	if ans != nil {
		ans.take(s, h.First, h.Last)
	}
	all := make([]*judged, len(h.Intervals))
	for i := range h.Intervals {
		iv := &h.Intervals[i]
		all[i] = &judged{s: s, lease: *iv.Lease, start: iv.Start, verdict: verdictKept}
	}
	slices.SortFunc(all, func(x, y *judged) int { return x.lease.IP.Compare(y.lease.IP) })
	return all, nil
}

// changeable returns why leases of the store must not be released, nil if they may be.
func (s *store) changeable() error {
	if s.broken != nil {
		return s.broken
	}
	cov := s.reader.Coverage()
	switch {
	case s.foreign:
		return fmt.Errorf("host-local has files in %s: what is held is what they say, and the plugin's next call takes them over", s.folder)
	case s.wiped:
		return fmt.Errorf("%s was deleted: no lease is held, as the plugin's next call will record", s.folder)
	case cov.Copy:
		return fmt.Errorf("%s is a copy of a store: nothing is released there", s.dir)
	case cov.Fenced:
		return fmt.Errorf("%s: %w", s.dir, journal.ErrFenced)
	case s.torn:
		return fmt.Errorf("%s", s.doubts[len(s.doubts)-1])
	}
	_, err := s.changing()
	return err
}

// groundItem is what one kind of evidence says of a lease.
type groundItem struct {
	Evidence string `json:"evidence"`
	Finding  string `json:"finding"` // dead, alive or unknown
	Why      string `json:"why"`
}

// judgedItem is a lease that was judged, in JSON.
type judgedItem struct {
	Schema      string       `json:"schema"`
	Network     string       `json:"network"`
	IP          string       `json:"ip"`
	Prefix      int          `json:"prefix"`
	ContainerID string       `json:"container_id"`
	IfName      string       `json:"ifname"`
	NetNS       string       `json:"netns"`
	Pod         podItem      `json:"pod"`
	Start       pointItem    `json:"start"`
	Origin      string       `json:"origin"`
	Blocked     bool         `json:"blocked"`
	Verdict     string       `json:"verdict"`
	Why         string       `json:"why"`
	Grounds     []groundItem `json:"grounds"`
	StoreID     string       `json:"store_id"`
}

func (j *judged) item() judgedItem {
	l := &j.lease
	it := judgedItem{Schema: "leaselog.judged/1", Network: j.s.network, IP: l.IP.String(), Prefix: l.Bits, ContainerID: l.ContainerID,
		IfName: l.IfName, NetNS: l.NetNS, Pod: podItem(l.Pod), Start: newPoint(j.start), Origin: "cni", Blocked: l.Blocked,
		Verdict: string(j.verdict), Why: j.why, Grounds: append([]groundItem{}, j.grounds...), StoreID: j.s.meta.ID.String()}
	if l.Import {
		it.Origin = "import"
	}
	return it
}

// reasons says in one line why the lease was judged as it was.
func (it *judgedItem) reasons() string {
	var parts []string
	for _, g := range it.Grounds {
		parts = append(parts, fmt.Sprintf("%s: %s: %s", g.Evidence, g.Finding, g.Why))
	}
	if it.Why != "" {
		parts = append(parts, it.Why)
	}
	return strings.Join(parts, "; ")
}

// owner names who holds the address, in a table.
func (it *judgedItem) owner() string {
	if it.Blocked {
		return "(blocked)"
	}
	return shortID(it.ContainerID)
}

var judgedTable = []column[judgedItem]{
	{"network", func(it *judgedItem) string { return it.Network }},
	{"address", func(it *judgedItem) string { return it.IP + "/" + strconv.Itoa(it.Prefix) }},
	{"container", (*judgedItem).owner},
	{"ifname", func(it *judgedItem) string { return it.IfName }},
	{"pod", func(it *judgedItem) string { return it.Pod.String() }},
	{"since", func(it *judgedItem) string { return it.Start.Effective }},
	{"verdict", func(it *judgedItem) string { return it.Verdict }},
	{"why", (*judgedItem).reasons},
}

var judgedCSV = []column[judgedItem]{
	{"network", func(it *judgedItem) string { return it.Network }},
	{"ip", func(it *judgedItem) string { return it.IP }},
	{"prefix", func(it *judgedItem) string { return strconv.Itoa(it.Prefix) }},
	{"container_id", func(it *judgedItem) string { return it.ContainerID }},
	{"ifname", func(it *judgedItem) string { return it.IfName }},
	{"netns", func(it *judgedItem) string { return it.NetNS }},
	{"pod_namespace", func(it *judgedItem) string { return it.Pod.Namespace }},
	{"pod_name", func(it *judgedItem) string { return it.Pod.Name }},
	{"pod_uid", func(it *judgedItem) string { return it.Pod.UID }},
	{"start_seq", func(it *judgedItem) string { return number(it.Start.Seq) }},
	{"start_time", func(it *judgedItem) string { return it.Start.Time }},
	{"start_effective", func(it *judgedItem) string { return it.Start.Effective }},
	{"origin", func(it *judgedItem) string { return it.Origin }},
	{"blocked", func(it *judgedItem) string { return strconv.FormatBool(it.Blocked) }},
	{"verdict", func(it *judgedItem) string { return it.Verdict }},
	{"why", (*judgedItem).reasons},
	{"store_id", func(it *judgedItem) string { return it.StoreID }},
}
