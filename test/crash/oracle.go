package crash

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// held is who holds what, as plain as can be.
type held map[state.Attachment][]netip.Addr

// promise is what must hold after a crash at some moment, by the calls that were made until then and nothing else.
type promise struct {
	required journal.Seq                         // the newest event that an acknowledged call has written
	allowed  map[state.Attachment][][]netip.Addr // what each may hold, nothing included where that is allowed
	pending  []state.Attachment                  // of calls that were not acknowledged: their runtime follows up with DEL
	wiped    bool                                // the folder was deleted, and no call since was acknowledged
	stored   bool                                // some call was acknowledged, so there is a store
	untaken  bool                                // host-local's files may be what counts: no call since they did was acknowledged
	handed   bool                                // and they do: the network was given back to host-local, and nobody was called since
}

// promiseOf folds the calls, in the order in which they began, into what must hold.
func (r *recording) promiseOf(status []callStatus) *promise {
	p := &promise{allowed: map[state.Attachment][][]netip.Addr{}}
	last, files := -1, -1 // acknowledged, and what may have left host-local's files
	for i, s := range status {
		verb := r.calls[i].verb
		if s == acknowledged && verb != "WIPE" && verb != "FILES" {
			last = i
		}
		if s != notBegun && (verb == "FILES" || verb == "EXPORT") {
			files = i
		}
		if s != notBegun {
			p.handed = s == acknowledged && verb == "EXPORT"
		}
	}
	p.untaken = files >= max(last, 0)
	for i, c := range r.calls {
		s := status[i]
		if c.verb == "WIPE" && s != notBegun {
			p.wiped = last < i
			if s = underWay; last > i || c.status == acknowledged {
				s = acknowledged
			}
		}
		if s == acknowledged && c.verb != "WIPE" && c.verb != "FILES" {
			p.stored = true
			for _, ev := range c.wrote {
				p.required = max(p.required, ev.Seq)
			}
		}
		if s != notBegun {
			p.fold(c, s == acknowledged)
		}
	}
	return p
}

// fold applies a call: for certain, or as one more thing that may have happened.
func (p *promise) fold(c *recordedCall, certain bool) {
	if !certain && c.owner != (state.Attachment{}) {
		p.pending = append(p.pending, c.owner)
	}
	switch c.verb {
	case "ADD", "FILES":
		ips := c.given()
		if certain && !c.answer.OK() || len(ips) == 0 {
			return // refused, or it never came to writing
		}
		before := p.of(c.owner)
		p.allowed[c.owner] = nil
		for _, ips0 := range before {
			if !certain {
				p.allowed[c.owner] = append(p.allowed[c.owner], ips0)
			}
			p.allowed[c.owner] = append(p.allowed[c.owner], slices.Concat(ips0, ips))
		}
	case "DEL":
		p.end(c.owner, certain)
	case "EXPORT":
	default: // GC, WIPE
		for owner := range p.allowed {
			if !c.keep[owner] {
				p.end(owner, certain)
			}
		}
	}
}

func (p *promise) of(owner state.Attachment) [][]netip.Addr {
	if a, ok := p.allowed[owner]; ok {
		return a
	}
	return [][]netip.Addr{nil}
}

func (p *promise) end(owner state.Attachment, certain bool) {
	if certain {
		p.allowed[owner] = [][]netip.Addr{nil}
	} else {
		p.allowed[owner] = append(p.of(owner), nil)
	}
}

// allows checks who holds what.
func (p *promise) allows(h held) error {
	owners := maps.Clone(p.allowed)
	for owner := range h {
		owners[owner] = p.of(owner)
	}
	for owner, allowed := range owners {
		got := sorted(h[owner])
		if !slices.ContainsFunc(allowed, func(want []netip.Addr) bool { return slices.Equal(got, sorted(want)) }) {
			return fmt.Errorf("%q holds %v; allowed is any of %v", owner.ContainerID, got, allowed)
		}
	}
	return nil
}

func sorted(ips []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
}

// give and take are the fold of the events' addresses.
func (h held) fold(ev *journal.Event, owners map[netip.Addr]state.Attachment) error {
	owner := state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		if len(ev.Addresses) > 0 && ev.Blocked != (owner == state.Attachment{}) {
			return fmt.Errorf("event %d: %v of %q, blocked %t", ev.Seq, ev.Addresses, ev.ContainerID, ev.Blocked)
		}
		for _, a := range ev.Addresses {
			if other, taken := owners[a.IP]; taken {
				return fmt.Errorf("event %d gives %s to %s, but %s holds it", ev.Seq, a.IP, owner.ContainerID, other.ContainerID)
			}
			owners[a.IP] = owner
			h[owner] = append(h[owner], a.IP)
		}
	case journal.KindDel:
		for _, a := range ev.Addresses {
			if owners[a.IP] != owner {
				return fmt.Errorf("event %d takes %s from %s, which doesn't hold it", ev.Seq, a.IP, owner.ContainerID)
			}
			delete(owners, a.IP)
			h[owner] = slices.DeleteFunc(slices.Clone(h[owner]), func(ip netip.Addr) bool { return ip == a.IP })
		}
	case journal.KindReset:
		clear(h)
		clear(owners)
	case journal.KindConfig, journal.KindRefuse, journal.KindGenesis, journal.KindRepair:
	default:
		return fmt.Errorf("event %d is of a kind that nobody asked for: %s", ev.Seq, ev.Kind)
	}
	return nil
}

// newcomer is the container that the first ADD after the crash is for.
const newcomer = "after-the-crash"

// trial is the life of one image after the crash: recovery, the next ADD, and what follows.
type trial struct {
	rec     *recording
	promise *promise
	img     *image
	root    string // where it was written
	aside   bool   // a damaged snapshot may be set aside
	round   int    // varies what is looked at where not everything is
	calls   calls
	given   []netip.Addr // to the newcomer
	between netip.Addr   // what host-local gave after the crash and before any call; invalid if nothing
	to      state.Attachment
}

// calls are the calls after the crash: in this process, or of the built plugin.
type calls interface {
	add(id string) ([]netip.Addr, error) // with the upkeep that is due
	del(owner state.Attachment) error
	check(owner state.Attachment, want []netip.Addr) error
	warned() string // what was said apart from answers
}

// run returns what the promise was broken by, nil if it holds.
func (tr *trial) run() (err error) {
	if tr.rec.keeps && tr.promise.stored && !tr.promise.untaken && tr.round%4 == 2 {
		if err := tr.hostLocalFirst(); err != nil {
			return err
		}
	}
	if err := tr.readersFirst(); err != nil {
		return fmt.Errorf("before recovery: %w", err)
	}
	if tr.given, err = tr.calls.add(newcomer); err != nil {
		return fmt.Errorf("the next ADD: %w", err)
	}
	for _, owner := range tr.promise.pending {
		if err := tr.calls.del(owner); err != nil {
			return fmt.Errorf("the DEL of %s: %w", owner.ContainerID, err)
		}
	}
	for text := range strings.Lines(tr.calls.warned()) {
		if !tr.aside && !tr.expectedWarning(strings.TrimSpace(text)) {
			return fmt.Errorf("a warning: %s", text)
		}
	}
	now, repairs, err := tr.history()
	if err != nil {
		return err
	}
	if err := errors.Join(tr.check(now), tr.files(now)); err != nil {
		return err
	}
	return tr.nothingCutSilently(repairs)
}

func ipsOf(addresses []journal.Address) []netip.Addr {
	var ips []netip.Addr
	for _, a := range addresses {
		ips = append(ips, a.IP)
	}
	return ips
}

// some returns a few of those that hold something for certain, or for certain nothing; which ones varies.
func (tr *trial) some(n int, something bool) []state.Attachment {
	var sure []state.Attachment
	for owner, allowed := range tr.promise.allowed {
		if len(allowed) == 1 && len(allowed[0]) > 0 == something && owner != (state.Attachment{}) && owner != tr.to {
			sure = append(sure, owner)
		}
	}
	slices.SortFunc(sure, func(a, b state.Attachment) int { return strings.Compare(a.ContainerID, b.ContainerID) })
	if len(sure) > n {
		at := tr.round % (len(sure) - n + 1)
		sure = sure[at : at+n]
	}
	return sure
}

// readersFirst asks before anybody has repaired anything.
func (tr *trial) readersFirst() error {
	if tr.promise.handed {
		if err := tr.handedOver(); err != nil {
			return err
		}
	}
	if !tr.promise.untaken && (tr.promise.wiped || tr.round%4 != 0 && !tr.between.IsValid()) {
		return nil
	}
	if tr.between.IsValid() {
		if err := tr.calls.check(tr.to, []netip.Addr{tr.between}); err != nil {
			return err
		}
	}
	for _, owner := range append(tr.some(1, true), tr.some(1, false)...) {
		if err := tr.calls.check(owner, tr.promise.allowed[owner][0]); err != nil {
			return err
		}
	}
	return nil
}

// check asks after everything was repaired. The history has told who holds what already; that
// CHECK says the same is tried on one kind of owner for each image, and on all for some.
func (tr *trial) check(now held) error {
	var owners []state.Attachment
	if tr.round%4 <= 1 {
		owners = append(slices.Clone(tr.promise.pending), ownerOf(newcomer))
	}
	if tr.round%4 != 1 {
		owners = append(owners, tr.some(1, true)...)
	}
	for _, owner := range owners {
		if err := tr.calls.check(owner, now[owner]); err != nil {
			return err
		}
	}
	return nil
}

// history reads everything back, holds it against what was recorded, and returns who holds what in the end and
// what was repaired.
func (tr *trial) history() (held, []*journal.Event, error) {
	dir := moved(tr.rec.storeDir(), tr.rec.root, tr.root)
	reader, err := journal.OpenReader(dir)
	if err != nil {
		return nil, nil, err
	}
	defer reader.Close()
	h, owners := held{}, map[netip.Addr]state.Attachment{}
	var prev journal.Hash
	var repairs []*journal.Event
	var next journal.Seq = 1
	after := tail{trial: tr}
	for rec, err := range reader.Records(0) {
		if err != nil {
			return nil, nil, fmt.Errorf("history: %w", err)
		}
		ev, hash := &rec.Event, journal.RecordHash(rec.Raw)
		if ev.Seq != next || ev.Prev != prev {
			return nil, nil, fmt.Errorf("history: event %d does not follow %d", ev.Seq, next-1)
		}
		next, prev = next+1, hash
		switch {
		case ev.Seq <= tr.promise.required:
			if hash != tr.rec.history[ev.Seq-1] {
				return nil, nil, fmt.Errorf("history: event %d is not the acknowledged one", ev.Seq)
			}
		case !after.begun && tr.rec.written[hash]: // not acknowledged, there whole
		default:
			if err := after.next(ev, h); err != nil {
				return nil, nil, err
			}
		}
		if err := h.fold(ev, owners); err != nil {
			return nil, nil, fmt.Errorf("history: %w", err)
		}
		if ev.Kind == journal.KindRepair {
			repairs = append(repairs, ev)
		}
	}
	if next <= tr.promise.required {
		return nil, nil, fmt.Errorf("history: it ends at event %d, but %d was acknowledged", next-1, tr.promise.required)
	}
	if !after.added {
		return nil, nil, errors.New("history: the next ADD is not in it")
	}
	return h, repairs, nil
}

// tail is what recovery and the calls after it wrote: nothing but what they have to.
type tail struct {
	*trial
	begun, judged, added bool
}

// next checks one event of it; h is who holds what before.
func (t *tail) next(ev *journal.Event, h held) error {
	t.begun = true
	if !t.judged && !(t.promise.untaken && takesOver(ev.Kind)) {
		t.judged = true
		if err := t.promise.allows(h); err != nil {
			return fmt.Errorf("after the crash: %w", err)
		}
	}
	mine := ev.ContainerID == newcomer
	switch {
	case ev.Kind == journal.KindGenesis && !t.promise.stored, ev.Kind == journal.KindConfig && !t.added:
		return nil
	case ev.Kind == journal.KindReset && (t.promise.wiped || t.promise.untaken) && !t.added:
		return nil
	case ev.Kind == journal.KindImport && t.promise.untaken && !t.added:
		return nil
	case ev.Kind == journal.KindImport && t.between.IsValid() && ev.ContainerID == t.to.ContainerID && !t.added:
		return nil
	case ev.Kind == journal.KindRepair && (t.aside || journal.IsSegmentName(ev.Cut.File)):
		return nil
	case ev.Kind == journal.KindAdd && mine && !t.added:
		t.added = true
		if len(ev.Addresses) != len(t.rec.sets) || !slices.Equal(ipsOf(ev.Addresses), t.given) {
			return fmt.Errorf("the next ADD was answered with %v, its event says %v", t.given, ev.Addresses)
		}
		return nil
	case ev.Kind == journal.KindDel && t.added && slices.Contains(t.promise.pending, state.Attachment{ContainerID: ev.ContainerID, IfName: ev.IfName}):
		return nil
	}
	return fmt.Errorf("recovery wrote event %d, %s %s, which nobody asked for", ev.Seq, ev.Kind, ev.ContainerID)
}

// takesOver reports whether an event may come before host-local's leases are taken over, or is one of that: who holds what is
// right after it.
func takesOver(k journal.Kind) bool {
	return k == journal.KindGenesis || k == journal.KindRepair || k == journal.KindReset || k == journal.KindImport
}

// nothingCutSilently checks that each byte of a segment is still there, or in quarantine and told; so, too, the
// torn tail that the recording began with.
func (tr *trial) nothingCutSilently(repairs []*journal.Event) error {
	dir := moved(tr.rec.storeDir(), tr.rec.root, "")
	if name, was := tr.rec.tornSegment, tr.rec.torn; name != "" {
		now, err := os.ReadFile(filepath.Join(tr.root, dir, "journal", name))
		if err == nil {
			err = tr.told(was, now, name, dir, repairs)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range tr.img.entries {
		rel, ok := strings.CutPrefix("/"+e.path, dir+"/journal/")
		if !ok || e.dir {
			continue
		}
		now, err := os.ReadFile(filepath.Join(tr.root, dir, "journal", rel))
		if errors.Is(err, os.ErrNotExist) {
			now, err = os.ReadFile(filepath.Join(tr.root, dir, "archive", rel))
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(now, e.data) {
			continue
		}
		if err := tr.told(e.data, now, rel, dir, repairs); err != nil {
			return err
		}
	}
	return nil
}

// told finds the repair event for what is no longer in a segment.
func (tr *trial) told(was, now []byte, segment, dir string, repairs []*journal.Event) error {
	for _, ev := range repairs {
		c := ev.Cut
		if c.File != segment || c.Offset > int64(len(was)) || !bytes.HasPrefix(now, was[:c.Offset]) {
			continue
		}
		kept := c.Data
		if c.Quarantine != "" {
			var err error
			if kept, err = os.ReadFile(filepath.Join(tr.root, dir, "quarantine", c.Quarantine)); err != nil {
				return err
			}
		}
		if bytes.Equal(kept, was[c.Offset:]) && c.Bytes == int64(len(kept)) {
			return nil
		}
	}
	return fmt.Errorf("segment %s lost bytes (%d before recovery, %d now) and no event tells of them", segment, len(was), len(now))
}
