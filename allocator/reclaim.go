package allocator

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Nothing outlives the boot of its node, so a lease of an earlier boot has no user, and yet no DEL comes for it: the
// runtime that would send it has forgotten, too. It is released by the first call that may, unless its network
// namespace is there: then the boot ID does not mean what it should, as where it was restored with a machine.
//
// A node that is a container keeps the boot ID when it starts again, but its first process is a new one. A lease from
// before that is released as well, by the first ADD: if its namespace is seen to be gone from where the ADD's own is seen.
//
// Within all that, only the namespace speaks, and only for the addresses that an ADD wants: those of its own attachment
// and those it requests.

// bootName is the file in the store's folder that says for which start of the node the leases from before were looked at:
// the boot ID, and when its first process began.
const bootName = "boot"

// reclaimed is at most how many attachments one call releases: some hundred kilobytes of events. The next goes on.
const reclaimed = 2048

// reclaim releases the leases of earlier boots whose namespace is gone or can't be seen, once a boot; an ADD, which is r,
// also those from before the node's first process began. Those that spare is true for are left to the caller; then the next
// call looks again.
func (t *transaction) reclaim(r *AddRequest, spare func(*state.Lease) bool) error {
	now := start{boot: journal.CurrentBoot()}
	if !t.store.o.ReclaimOnBoot || now.boot == (journal.BootID{}) || t.foreign != nil {
		return nil
	}
	path := filepath.Join(t.store.dir, bootName)
	b, _ := readShort(path) // who can't read it looks once more
	was := parseStart(b)
	if r != nil && r.NetNSID == (journal.NetNSID{}) {
		r = nil // it can't see its own namespace, and so no other either
	}
	if r != nil {
		now.first = firstProcess()
	} else if was.boot == now.boot {
		now.first = was.first
	}
	if was == now {
		return nil
	}
	var stale []*attachmentLeases
	all := true
	err := t.decide(func() (err error) {
		stale, all, err = now.before(t.state, r, spare)
		return err
	})
	if err != nil {
		return err
	}
	if len(stale) > reclaimed {
		stale, all = stale[:reclaimed], false
	}
	events, err := t.releases(stale, journal.ReasonReboot)
	if err != nil {
		return err
	}
	if err := t.append(events...); err != nil || !all {
		return err
	}
	// Not synced, and no reason to fail: who doesn't find it looks once more.
	if err := writeShort(path, now.String()); err != nil {
		t.store.o.Warn(fmt.Sprintf("%v: each call looks for leases of earlier boots", err))
	}
	return nil
}

// start is a start of the node: its boot, and when in that its first process began, nanoseconds on the boot clock;
// 0 if that is not known, or not looked at.
type start struct {
	boot  journal.BootID
	first int64
}

// String returns the start as its file has it.
func (s start) String() string { return fmt.Sprintf("%s %d\n", s.boot, s.first) }

// parseStart reads a start of this boot; any other text is the zero start.
func parseStart(b []byte) start {
	line, _, _ := strings.Cut(string(b), "\n")
	boot, first, _ := strings.Cut(line, " ")
	if boot != journal.CurrentBoot().String() {
		return start{}
	}
	n, _ := strconv.ParseInt(first, 10, 64) // 0 if it is none
	return start{journal.CurrentBoot(), n}
}

// firstProcess returns when the first process of this PID namespace began, 0 if that can't be told.
func firstProcess() int64 {
	b, err := readShort("/proc/1/stat")
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold anything; proc(5) numbers what follows it from 3 on, and 22 is the start.
	words := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(words) < 20 {
		return 0
	}
	ticks, err := strconv.ParseInt(words[19], 10, 64)
	if err != nil {
		return 0
	}
	return ticks * (1e9 / ticksPerSecond)
}

// ticksPerSecond is the unit of times in /proc on every architecture that Go runs on.
const ticksPerSecond = 100

// readShort reads a file of a line, of which each call reads some: with no more system calls than that takes.
func readShort(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 512)
	n, err := unix.Read(fd, b)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return b[:n], nil
}

// writeShort writes such a file in place, not synced. What it held before is gone only where it was longer than what it
// holds now: a reader goes by the first line. The mode is ours whatever the umask.
func writeShort(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Chmod(0o600)
	}
	return errors.Join(err, f.Close())
}

// reclaimAfter is reclaim for a call that has done what it was asked for, and is not to fail any more.
func (t *transaction) reclaimAfter(spare func(*state.Lease) bool) {
	if err := t.reclaim(nil, spare); err != nil {
		t.store.o.Warn(fmt.Sprintf("release leases of earlier boots: %v", err))
	}
}

// attachmentLeases are leases of one attachment that end together.
type attachmentLeases struct {
	owner    state.Attachment
	leases   []state.Lease
	evidence string // of their end, in words
}

// before finds the stale leases from before the start. all is false if some were spared.
func (s start) before(st *state.State, r *AddRequest, spare func(*state.Lease) bool) (stale []*attachmentLeases, all bool, err error) {
	all = true
	place := map[state.Attachment]int{}
	for l, err := range st.Leases() {
		if err != nil {
			return nil, false, err
		}
		evidence, ok := s.stale(&l, r)
		if !ok {
			continue
		}
		if spare != nil && spare(&l) {
			all = false
			continue
		}
		i, seen := place[l.Attachment]
		if !seen {
			i = len(stale)
			place[l.Attachment] = i
			stale = append(stale, &attachmentLeases{owner: l.Attachment, evidence: evidence})
		}
		stale[i].leases = append(stale[i].leases, l)
	}
	return stale, all, nil
}

// stale reports whether a lease is from before the start and has no living owner, and how that is known.
func (s start) stale(l *state.Lease, r *AddRequest) (string, bool) {
	switch {
	case earlier(l, s.boot):
		sight, why := netns.Look(l.NetNS, l.NetNSID)
		return "boot " + l.Clock.Boot.String() + "; " + why, sight != netns.Alive
	case r == nil || l.Clock.Boot != s.boot || l.Clock.BootTime >= s.first:
		return "", false
	}
	why, gone := r.sees(l)
	return "given before the node's first process began; " + why, gone
}

// earlier reports whether a lease is known to be of another boot than this one.
func earlier(l *state.Lease, boot journal.BootID) bool {
	return l.Clock.Boot != boot && l.Clock.Boot != (journal.BootID{}) && boot != (journal.BootID{})
}

// releases returns the events that release the leases by rule.
func (t *transaction) releases(stale []*attachmentLeases, reason journal.Reason) ([]*journal.Event, error) {
	var events []*journal.Event
	for _, a := range stale {
		first := a.leases[0]
		some, err := releaseEvents(journal.Event{Kind: journal.KindRelease, Reason: reason, ContainerID: a.owner.ContainerID,
			IfName: a.owner.IfName, NetNS: first.NetNS, NetNSID: first.NetNSID, Pod: first.Pod, Version: t.store.o.Version,
			Attributes: []journal.Attribute{{Key: "evidence", Value: a.evidence}}}, a.leases)
		if err != nil {
			return nil, err
		}
		events = append(events, some...)
	}
	return events, nil
}

// replaceable finds the stale attachments whose leases stand in the way of an ADD: its own, and the holders of addresses that
// it requests. An attachment with a single lease that may be alive is none.
func (t *transaction) replaceable(r *AddRequest) ([]*attachmentLeases, error) {
	if !t.store.o.ReclaimOnBoot {
		return nil, nil
	}
	owners := []state.Attachment{r.Owner, {ContainerID: r.Owner.ContainerID}}
	var blocked []state.Lease
	for _, ip := range distinct(r.IPs) {
		l, held, err := t.state.Lease(ip)
		switch {
		case err != nil:
			return nil, err
		case held && l.Blocked:
			blocked = append(blocked, l)
		case held && !slices.Contains(owners, l.Attachment):
			owners = append(owners, l.Attachment)
		}
	}
	var stale []*attachmentLeases
	for _, owner := range owners {
		held, err := t.state.Held(owner)
		if err != nil {
			return nil, err
		}
		stale = r.appendStale(stale, owner, held)
	}
	for i := range blocked {
		stale = r.appendStale(stale, state.Attachment{}, blocked[i:i+1])
	}
	return stale, nil
}

// appendStale appends the leases of an attachment if each of them is stale.
func (r *AddRequest) appendStale(stale []*attachmentLeases, owner state.Attachment, held []state.Lease) []*attachmentLeases {
	if len(held) == 0 {
		return stale
	}
	evidence := ""
	for i := range held {
		why, ok := r.stale(&held[i])
		if !ok {
			return stale
		}
		evidence = why
	}
	return append(stale, &attachmentLeases{owner: owner, leases: held, evidence: evidence})
}

// stale reports whether a lease that is in the way has no living owner, and how that is known.
func (r *AddRequest) stale(l *state.Lease) (string, bool) {
	if earlier(l, journal.CurrentBoot()) {
		sight, why := netns.Look(l.NetNS, l.NetNSID)
		return "boot " + l.Clock.Boot.String() + "; " + why, sight != netns.Alive
	}
	return r.sees(l)
}

// sees reports whether a lease's namespace is gone, as seen from where the ADD's own is seen: a process in another
// view of the file system would miss all of them.
func (r *AddRequest) sees(l *state.Lease) (why string, gone bool) {
	sight, why := netns.Look(l.NetNS, l.NetNSID)
	return why, sight == netns.Gone && r.NetNSID != (journal.NetNSID{}) && sameView(l.NetNS, r.NetNS)
}

// sameView reports whether two namespaces are named in the same place.
func sameView(a, b string) bool {
	proc := func(path string) bool { return strings.HasPrefix(path, "/proc/") }
	return filepath.Dir(a) == filepath.Dir(b) || proc(a) && proc(b)
}

// without is the leases as they are once some have ended.
type without struct {
	*state.State
	ended map[netip.Addr]bool
}

func withoutStale(st *state.State, stale []*attachmentLeases) without {
	w := without{st, map[netip.Addr]bool{}}
	for _, a := range stale {
		for _, l := range a.leases {
			w.ended[l.IP] = true
		}
	}
	return w
}

// Lease returns the lease on ip unless it has ended.
func (w without) Lease(ip netip.Addr) (state.Lease, bool, error) {
	if w.ended[ip] {
		return state.Lease{}, false, nil
	}
	return w.State.Lease(ip)
}

// Held returns the attachment's leases that have not ended.
func (w without) Held(a state.Attachment) ([]state.Lease, error) {
	held, err := w.State.Held(a)
	return slices.DeleteFunc(held, func(l state.Lease) bool { return w.ended[l.IP] }), err
}

// NextFree returns the lowest address that is free, or that a lease which has ended had.
func (w without) NextFree(from, to netip.Addr) (netip.Addr, bool, error) {
	ip, ok, err := w.State.NextFree(from, to)
	if err != nil {
		return ip, ok, err
	}
	for ended := range w.ended {
		if ended.BitLen() == from.BitLen() && from.Compare(ended) <= 0 && ended.Compare(to) <= 0 && (!ok || ended.Less(ip)) {
			ip, ok = ended, true
		}
	}
	return ip, ok, nil
}
