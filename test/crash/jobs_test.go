package crash

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/trace"
)

// keptByPrune is how many events a prune keeps here.
const keptByPrune = 40

// jobScenarios are the jobs that work on a store beside the plugin.
var jobScenarios = []struct {
	name    string
	prepare func(r *recorder)
	args    []string
	retain  *compaction.Retain
}{
	{name: "compact", prepare: func(r *recorder) { r.fillUp("long-a", 100) }, args: []string{"compact"}},
	{name: "compact again", prepare: func(r *recorder) {
		r.fillUp("long-a", 80)
		r.compacted()
		r.fillUp("long-b", 80)
	}, args: []string{"compact"}},
	{name: "prune", prepare: func(r *recorder) {
		r.fillUp("long-a", 80)
		r.compacted()
		r.split(3)
		r.fillUp("long-b", 80)
	}, args: []string{"prune", "--keep-events", fmt.Sprint(keptByPrune)},
		retain: &compaction.Retain{Limits: []journal.Retention{{Events: keptByPrune}}, By: "a test"}},
}

// TestJobsPowerLoss cuts the power of a compaction and of a prune, and of the calls after it. Each event that was there is there
// after the crash, byte for byte, or a tombstone tells that it is pruned; calls go on; and the job, made again, ends what was begun.
func TestJobsPowerLoss(t *testing.T) {
	trace.Need(t)
	for _, s := range jobScenarios {
		t.Run(s.name, func(t *testing.T) {
			r := newRecorder(t, plugin, nextRoot(), "10.1.0.0/24")
			s.prepare(r)
			before, err := readPast(r.storeDir())
			if err != nil {
				t.Fatal(err)
			}
			r.begin()
			r.leasectl("JOB", nil, append(s.args, "--data-dir", r.net.DataDir)...)
			r.must(r.add("later"), r.del("long-a-3"))
			rec := r.end()
			l := limits{exhaustive: 32, single: 1, random: 8}
			switch {
			case *full:
				l = limits{exhaustive: 2048, single: 24, random: 200}
			case sampled():
				l = limits{exhaustive: 2, single: 1, random: 1}
			}
			e := &explorer{rec: rec, base: base, limits: l, seed: *seed}
			e.judge = func(root string, j *job) error {
				return (&jobTrial{rec: rec, root: root, before: before, retain: s.retain, status: e.statusAt(j.point)}).run()
			}
			if err := e.explore(); err != nil {
				t.Fatal(err)
			}
			for _, text := range e.found {
				t.Error(text)
			}
			t.Logf("%d operations, %d crash points, %d of them sampled; %d distinct images, seed %d", len(rec.ops), e.points, e.partial, len(e.images), *seed)
			if !sampled() && len(e.images) < 100 {
				t.Errorf("%d distinct images: this test shows less than it means to", len(e.images))
			}
		})
	}
}

// fillUp gives leases with long records, of which nearly all end: segments are full after some 70 of them.
func (r *recorder) fillUp(name string, n int) {
	for i := range n {
		if id := fmt.Sprintf("%s-%d", name, i); i%12 != 3 {
			r.had(id)
		} else {
			r.has(id)
		}
	}
}

// compacted compacts the store, unrecorded.
func (r *recorder) compacted() {
	r.t.Helper()
	if _, err := compaction.Run(context.Background(), compaction.Job{Store: r.options(r.root, func(string) {})}); err != nil {
		r.t.Fatal(err)
	}
}

// split makes so many packed files of the one that is there, as if they had grown large: a prune removes them one by one.
func (r *recorder) split(parts int) {
	r.t.Helper()
	past, err := archive.Open(r.storeDir())
	if err != nil {
		r.t.Fatal(err)
	}
	defer past.Close()
	heads := past.Heads()
	if len(heads) != 1 || heads[0].First != 1 {
		r.t.Fatalf("packed files: %+v", heads)
	}
	folder, last := past.Journal().ArchiveDir(), heads[0].Last
	for i, first := 1, journal.Seq(1); i <= parts; i++ {
		made, err := archive.Pack(folder, past.Meta(), first, last*journal.Seq(i)/journal.Seq(parts), past.Raw, archive.Options{})
		if err != nil {
			r.t.Fatal(err)
		}
		first = made.Last + 1
	}
	if err := os.Remove(filepath.Join(folder, filepath.Base(heads[0].File))); err != nil {
		r.t.Fatal(err)
	}
}

// past is what a store tells.
type past struct {
	hash   map[journal.Seq]journal.Hash
	last   journal.Seq
	pruned journal.Seq // up to here
	held   map[netip.Addr]string
}

func readPast(dir string) (*past, error) {
	r, err := archive.Open(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := &past{hash: map[journal.Seq]journal.Hash{}, held: map[netip.Addr]string{}}
	var prev journal.Hash
	for piece, err := range r.Left(0) {
		if err != nil {
			return nil, err
		}
		if lost := piece.Loss; lost != nil {
			gone := lost.Pruned()
			if gone == nil {
				return nil, lost.Error(dir)
			}
			h.pruned, h.last, prev = lost.Last, lost.Last, gone.Pruned.Head
			continue
		}
		ev := &piece.Event
		if ev.Seq != h.last+1 || ev.Prev != prev {
			return nil, fmt.Errorf("event %d does not follow event %d", ev.Seq, h.last)
		}
		h.last, prev = ev.Seq, journal.RecordHash(piece.Raw)
		h.hash[ev.Seq] = prev
		for _, a := range ev.Addresses {
			if ev.Kind == journal.KindAdd {
				h.held[a.IP] = ev.ContainerID
			} else if ev.Kind == journal.KindDel {
				delete(h.held, a.IP)
			}
		}
	}
	return h, nil
}

// keeps compares with what was there before.
func (h *past) keeps(before *past) error {
	for seq, hash := range before.hash {
		got, ok := h.hash[seq]
		if !ok && (seq == 1 || seq > h.pruned) {
			return fmt.Errorf("event %d is gone", seq)
		}
		if ok && got != hash {
			return fmt.Errorf("event %d has other bytes", seq)
		}
	}
	return nil
}

// jobTrial is the life of an image of a job after the crash.
type jobTrial struct {
	rec    *recording
	root   string
	before *past
	retain *compaction.Retain
	status []callStatus
}

func (tr *jobTrial) run() error {
	o := tr.rec.options(tr.root, func(string) {})
	dir := filepath.Join(o.HistoryDir, o.Network)
	h, err := readPast(dir)
	if err == nil {
		err = h.keeps(tr.before)
	}
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	added, err := allocator.NewStore(o).Add(tr.rec.addRequest(newcomer))
	if err != nil {
		return fmt.Errorf("the next ADD: %w", err)
	}
	if _, err := compaction.Run(context.Background(), compaction.Job{Store: o, Retain: tr.retain}); err != nil {
		return fmt.Errorf("the job again: %w", err)
	}
	if h, err = readPast(dir); err == nil {
		err = h.keeps(tr.before)
	}
	if err != nil {
		return fmt.Errorf("the job again: %w", err)
	}
	if tr.retain != nil && (h.pruned == 0 || h.last-h.pruned > keptByPrune+60) { // what is in journal/ stays
		return fmt.Errorf("the job again: pruned up to event %d of %d", h.pruned, h.last)
	}
	for i, c := range tr.rec.calls {
		if c.verb == "ADD" && c.owner.ContainerID == "later" && tr.status[i] == acknowledged && h.held[c.answer.IPs[0]] != "later" {
			return fmt.Errorf("%s is held by %q, and was given to later", c.answer.IPs[0], h.held[c.answer.IPs[0]])
		}
	}
	for _, ip := range ipsOf(added.Addresses) {
		if by := tr.before.held[ip]; by != "" && by != "long-a-3" { // whose DEL may have been made
			return fmt.Errorf("%s was given, which %s holds", ip, by)
		}
	}
	v, err := replay.Verify(dir, filepath.Join(o.DataDir, o.Network))
	if err != nil || !v.Clean() {
		return fmt.Errorf("verify: %+v, %w", v, err)
	}
	return tidy(dir)
}

// tidy looks for what is left behind.
func tidy(dir string) error {
	for _, folder := range []string{"archive", "snap"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		var loose []string
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "tmp.") {
				return fmt.Errorf("%s/%s is left", folder, e.Name())
			}
			if journal.IsSegmentName(e.Name()) {
				loose = append(loose, e.Name())
			}
		}
		if want := []string{journal.SegmentName(1)}; folder == "archive" && !slices.Equal(loose, want) {
			return fmt.Errorf("segments %q are in archive/, want %q", loose, want)
		}
	}
	return nil
}
