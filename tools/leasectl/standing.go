package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// stand finds out what the next ADD meets, as the plugin does, and hands it on: again where a snapshot turns out to be
// damaged meanwhile. why says why that is not known; then it is not handed on, or what came of it is of no use.
func (s *store) stand(past *archive.Reader, use func(*replay.Standing) error) (why string, err error) {
	if s.foreign {
		return "what host-local's files hold is not in the journal", nil
	}
	b := &replay.Standing{}
	if err := s.newestRanges(past, b); err != nil {
		if !isDamage(err) {
			return "", err
		}
		b.Why = err.Error()
	}
	asked := false
	c := &census{store: s, question: func(st *state.State) error {
		if s.wiped {
			st = state.New()
		}
		b.Leases, b.All = st, st.Leases()
		asked = false
		if err := use(b); err != nil {
			return err
		}
		asked = true
		return nil
	}}
	if err := c.stand(); err != nil {
		return "", err
	}
	if !asked {
		return strings.Join(c.damage, "; "), nil
	}
	return "", nil
}

// newestRanges finds the newest ADD and its ranges, from the end of the journal backwards.
func (s *store) newestRanges(past *archive.Reader, b *replay.Standing) error {
	var add journal.Event
	durable := past.Coverage().Durable
	for back := journal.Seq(500); add.Seq == 0; back *= 8 {
		after := durable - min(back, durable)
		for p, err := range past.Left(after) {
			if err != nil {
				return err
			}
			switch {
			case p.Loss != nil:
				for ev := range p.Loss.Pruned().Earlier.All() {
					if ev.Kind == journal.KindAdd {
						add = *ev
					}
				}
			case p.Event.Kind == journal.KindAdd:
				add = p.Event
			}
		}
		if after == 0 {
			break
		}
	}
	b.Add, b.Config = add.Seq, add.Config
	switch {
	case add.Seq == 0:
		b.Why = "there was no ADD yet that would tell the network's ranges"
		return nil
	case slices.Contains(add.Dropped, "ranges"):
		b.Why = fmt.Sprintf("the ranges of the newest ADD (event %d) were not recorded", add.Seq)
		return nil
	}
	sets := add.Ranges
	if add.Config != 0 {
		config, ok, err := s.known(add.Config)
		if err != nil {
			return err
		}
		if !ok || config.Kind != journal.KindConfig {
			return &journal.CorruptionError{File: s.dir, Seq: add.Config, Offset: -1, Cause: fmt.Errorf("is not the configuration that event %d names", add.Seq)}
		}
		sets = append(slices.Clip(sets), config.Ranges...)
	}
	if len(sets) == 0 {
		b.Why = fmt.Sprintf("the newest ADD (event %d) names no ranges", add.Seq)
		return nil
	}
	for _, set := range sets {
		var ranges allocator.RangeSet
		for _, r := range set {
			ranges = append(ranges, allocator.Range(r))
		}
		b.Sets = append(b.Sets, ranges)
	}
	return nil
}

// recordAt reads one event with where it stands.
func recordAt(r replay.Recorder, seq journal.Seq) (journal.Record, bool, error) {
	if seq == 0 {
		return journal.Record{}, false, nil
	}
	for rec, err := range r.Records(seq - 1) {
		return rec, err == nil && rec.Event.Seq == seq, err
	}
	return journal.Record{}, false, nil
}

// lookedAtBoots reports whether the store's own file says that calls of this boot have looked at the leases of earlier ones.
func (s *store) lookedAtBoots() bool {
	b, err := os.ReadFile(filepath.Join(s.dir, "boot"))
	return err == nil && s.reader.Coverage().Here && journal.CurrentBoot() != (journal.BootID{}) &&
		strings.HasPrefix(string(b), journal.CurrentBoot().String()+" ")
}

// folderDoubt says what speaks against the journal in the network's data folder.
func (s *store) folderDoubt() (string, replay.Certainty) {
	switch {
	case s.foreign:
		return fmt.Sprintf("Host-local has files in %s: what is held is what they say, and the next call takes them over", s.folder), replay.Unknown
	case s.wiped:
	case s.torn:
		return "What the data folder says of the store is not to be relied on", replay.Uncertain
	case s.folder != "" && allocator.ViewChanged(s.dir, s.folder):
		return fmt.Sprintf("Files in %s have changed since the last call: host-local or others may have given and released addresses, "+
			"as the next call will record", s.folder), replay.Uncertain
	}
	return "", replay.Certain
}
