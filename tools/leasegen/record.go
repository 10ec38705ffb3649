package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// program is the version that events name.
const program = "leasegen"

// When the plugin takes snapshots; package allocator keeps these numbers to itself.
const (
	snapshotEvents = 1024
	keptSnapshots  = 2
)

// recorder does what the plugin's transaction does, on a store in the making: it decides by the
// state and records what was decided.
type recorder struct {
	p     plan
	b     *journal.Builder
	st    *state.State
	names names

	static [][]journal.Range
	digest journal.Hash

	base  journal.Seq // what the newest snapshot would cover, had upkeep taken them all
	snaps []string    // that are kept, oldest first
	seqs  []journal.Seq
	kinds [10]int // events by kind
}

// sender is who makes a call.
type sender struct {
	owner state.Attachment
	netns string
	pod   journal.Pod
	trace string
}

func (c sender) event(kind journal.Kind, clock journal.Clock) *journal.Event {
	return &journal.Event{Clock: clock, Kind: kind, ContainerID: c.owner.ContainerID, IfName: c.owner.IfName,
		NetNS: c.netns, Pod: c.pod, TraceParent: c.trace, Version: program}
}

// newRecorder begins the store with its first event.
func newRecorder(p plan, id journal.ID, node string, clock journal.Clock) (*recorder, error) {
	historyDir := filepath.Join(p.dataDir, ".leaselog")
	folder := filepath.Join(p.dataDir, p.network)
	switch entries, err := os.ReadDir(folder); {
	case err == nil && len(entries) > 0:
		return nil, fmt.Errorf("%s holds %s: choose another --network or --out", folder, entries[0].Name())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	genesis := &journal.Event{Clock: clock, Origin: journal.Origin{Journal: id, Node: node}}
	b, err := journal.NewBuilder(historyDir, journal.NewStore{Network: p.network, DataDir: p.dataDir, Version: program,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(folder, id, filepath.Join(historyDir, p.network))
		}}, genesis, time.Now().Add(30*time.Second))
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("network %s has a store: choose another --network or --out: %w", p.network, err)
	}
	if err != nil {
		return nil, err
	}
	s := &recorder{p: p, b: b, st: state.New(), static: toEvent(p.sets)}
	s.digest = sha256.Sum256(journal.AppendRanges(nil, s.static))
	if err := s.apply(genesis); err != nil {
		return nil, errors.Join(err, b.Discard())
	}
	return s, nil
}

// left returns how many events are still to come.
func (s *recorder) left() int { return s.p.events - int(s.b.Last()) }

// configured reports whether the configuration is recorded.
func (s *recorder) configured() bool {
	_, ok := s.st.Config(s.digest)
	return ok
}

// add is an ADD. It returns the plugin's refusal, if it is one, and whether that was recorded.
func (s *recorder) add(c sender, clock journal.Clock, ips ...netip.Addr) (refusal *allocator.Refusal, recorded bool, err error) {
	choice, err := allocator.Choose(s.st, allocator.Request{Owner: c.owner, Sets: s.p.sets, IPs: ips})
	if errors.As(err, &refusal) {
		ev := c.event(journal.KindRefuse, clock)
		ev.Code, ev.Text, ev.Requested = refusal.Code(), refusal.Error(), ips
		ev.Config, _ = s.st.Config(s.digest)
		if s.st.RefusedLately(ev) {
			return refusal, false, nil
		}
		return refusal, true, s.append(ev)
	}
	if err != nil {
		return nil, false, err
	}
	ev := c.event(journal.KindAdd, clock)
	ev.Addresses, ev.Cursors = choice.Addresses, choice.Cursors
	if seq, ok := s.st.Config(s.digest); ok {
		ev.Config = seq
		return nil, true, s.append(ev)
	}
	ev.Config = s.b.Last() + 1
	return nil, true, s.append(&journal.Event{Clock: clock, Kind: journal.KindConfig, Digest: s.digest, Ranges: s.static, Version: program}, ev)
}

// release returns the event that gives back all that the sender holds.
func (s *recorder) release(c sender, reason journal.Reason, clock journal.Clock) (*journal.Event, error) {
	held, err := s.st.Held(c.owner)
	if err != nil {
		return nil, err
	}
	ev := c.event(journal.KindDel, clock)
	ev.Reason = reason
	for _, l := range held {
		ev.Addresses = append(ev.Addresses, l.Address)
	}
	return ev, nil
}

// del is a DEL, also one of an attachment that holds nothing.
func (s *recorder) del(c sender, clock journal.Clock) error {
	ev, err := s.release(c, journal.ReasonDel, clock)
	if err != nil {
		return err
	}
	return s.append(ev)
}

// gc is a GC that finds these attachments stale. clock is read for each batch, as the lock is taken anew.
func (s *recorder) gc(stale []sender, clock func() journal.Clock) error {
	for len(stale) > 0 {
		var batch []*journal.Event
		bytes, now := 0, clock()
		for _, c := range stale {
			ev, err := s.release(c, journal.ReasonGC, now)
			if err != nil {
				return err
			}
			n, err := journal.EventBytes(ev)
			if err != nil {
				return err
			}
			if bytes += n; bytes > journal.MaxBatch && len(batch) > 0 {
				break
			}
			batch = append(batch, ev)
		}
		stale = stale[len(batch):]
		if err := s.record(batch...); err != nil {
			return err
		}
	}
	return s.upkeep()
}

// append records what one call did, as one batch, and does the call's upkeep.
func (s *recorder) append(events ...*journal.Event) error {
	if err := s.record(events...); err != nil {
		return err
	}
	return s.upkeep()
}

func (s *recorder) record(events ...*journal.Event) error {
	if err := s.b.Append(events...); err != nil {
		return err
	}
	return s.apply(events...)
}

func (s *recorder) apply(events ...*journal.Event) error {
	for i, ev := range events {
		if err := s.st.Apply(ev); err != nil {
			return err
		}
		if s.asked(ev.Seq) {
			head := s.b.Head()
			if i+1 < len(events) {
				head = events[i+1].Prev
			}
			if err := s.snapshot(head); err != nil {
				return err
			}
		}
		s.kinds[ev.Kind]++
	}
	return nil
}

// asked reports whether --tail wants a snapshot after this event.
func (s *recorder) asked(seq journal.Seq) bool {
	if s.p.tail < 0 {
		return false
	}
	newest := s.p.events - s.p.tail
	older := newest - snapshotEvents
	return int(seq) == newest || int(seq) == older && s.p.snapshots > 1
}

// upkeep takes a snapshot where the plugin would. Only the newest ones stay, so only those that may
// be among them are written.
func (s *recorder) upkeep() error {
	if int(s.b.Last()-s.base) < snapshotEvents {
		return nil
	}
	s.base = s.b.Last()
	if s.p.tail >= 0 || s.p.snapshots == 0 || s.left() > 4*snapshotEvents {
		return nil
	}
	return s.snapshot(s.b.Head())
}

// snapshot writes the state and removes what it replaces.
func (s *recorder) snapshot(head journal.Hash) error {
	s.st.SetHead(head)
	path, err := state.WriteSnapshot(s.b.SnapDir(), s.b.ID(), s.p.network, s.st)
	if err != nil {
		return err
	}
	s.snaps, s.seqs = append(s.snaps, path), append(s.seqs, s.st.Seq())
	for len(s.snaps) > s.p.snapshots {
		if err := os.Remove(s.snaps[0]); err != nil {
			return err
		}
		s.snaps, s.seqs = s.snaps[1:], s.seqs[1:]
	}
	return nil
}

// finish puts the store in its place.
func (s *recorder) finish() error {
	var covered journal.Seq
	if len(s.seqs) == keptSnapshots {
		covered = s.seqs[0]
	}
	return s.b.Finish(covered)
}
