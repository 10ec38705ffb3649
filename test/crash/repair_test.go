package crash

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/trace"
)

// repair runs leasectl repair, recorded. strace gets more words if it is to be killed.
func (r *recorder) repair(strace ...string) {
	r.t.Helper()
	r.leasectl("REPAIR", strace, "repair", "--apply", "--data-dir", r.net.DataDir)
}

// leasectl runs it, recorded as a call of a verb.
func (r *recorder) leasectl(verb string, strace []string, args ...string) {
	r.t.Helper()
	out := filepath.Join(r.work, "trace")
	argv := append(append(append(straceArgs(out), strace...), leasectl(r.t)), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), callVariable+"="+strconv.Itoa(len(r.calls)))
	said, err := cmd.CombinedOutput()
	if err != nil && len(strace) == 0 {
		r.t.Fatalf("%v: %s", err, said)
	}
	c := &recordedCall{verb: verb}
	if err != nil {
		c.answer.Exit = -1
	}
	r.calls = append(r.calls, c)
	r.take(out)
}

// exchanged reports whether the new store was put in place and its name not synced.
func (r *recorder) exchanged() bool {
	i := slices.IndexFunc(r.ops, func(o op) bool { return o.kind == opExchange })
	return i >= 0 && !slices.ContainsFunc(r.ops[i:], func(o op) bool { return o.kind == opSync })
}

// damage flips a bit in the record of an event and returns the segment's bytes.
func (r *recorder) damage(seq journal.Seq) []byte {
	r.t.Helper()
	reader, err := journal.OpenReader(r.storeDir())
	if err != nil {
		r.t.Fatal(err)
	}
	for rec, err := range reader.Records(seq - 1) {
		if err != nil {
			r.t.Fatal(err)
		}
		path := filepath.Join(r.storeDir(), rec.File)
		b, err := os.ReadFile(path)
		if err == nil {
			b[rec.Offset+70] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return b
	}
	r.t.Fatalf("no event %d", seq)
	return nil
}

// TestRepairPowerLoss cuts the power of a repair that begins a new journal, and of the calls after it. What is left is
// the damaged store or its successor, never neither; made again, the repair carries over the same leases;
// nothing that was acknowledged after it is lost, and no byte of the old store.
func TestRepairPowerLoss(t *testing.T) {
	trace.Need(t)
	t.Run("whole", func(t *testing.T) {
		r, segment := damaged(t)
		r.repair()
		crashRepair(t, r, segment)
	})
	t.Run("killed before its name is synced", func(t *testing.T) {
		r, _ := damaged(t)
		r.repair()
		// The sync after the exchange is the one that the kill has to hit. It is not the first of its kind by as many as
		// come before it, and folders above the recorded one that are synced, too.
		syncs := 10
		for _, o := range r.ops[:slices.IndexFunc(r.ops, func(o op) bool { return o.kind == opExchange })] {
			if o.kind == opSync {
				syncs++
			}
		}
		for try := range 4 * syncs {
			r, segment := damaged(t)
			if r.repair("-e", fmt.Sprintf("inject=fsync:signal=SIGKILL:when=%d", syncs-try%syncs)); r.exchanged() {
				crashRepair(t, r, segment)
				return
			}
		}
		t.Fatal("the kill never hits the sync that it should")
	})
}

// damaged returns a recorder of a store that has lost the event that gave c2 its addresses, and the damaged segment.
func damaged(t *testing.T) (*recorder, []byte) {
	t.Helper()
	r := newRecorder(t, plugin, nextRoot(), dual...)
	r.has("c1", "c2", "c3", "c4")
	segment := r.damage(4)
	r.begin()
	return r, segment
}

// crashRepair makes calls after a repair and cuts the power of all that was recorded.
func crashRepair(t *testing.T, r *recorder, segment []byte) {
	t.Helper()
	r.must(r.add("later"), r.del("c4"))
	rec := r.end()
	l := limits{exhaustive: 256, single: 12, random: 100}
	if sampled() {
		l = limits{exhaustive: 4, single: 1, random: 3}
	}
	e := &explorer{rec: rec, base: base, limits: l, seed: *seed}
	e.judge = func(root string, j *job) error {
		return (&repairTrial{rec: rec, root: root, segment: segment, status: e.statusAt(j.point)}).run()
	}
	if err := e.explore(); err != nil {
		t.Fatal(err)
	}
	for _, text := range e.found {
		t.Error(text)
	}
	t.Logf("%d operations, %d crash points, %d of them sampled; %d distinct images, seed %d", len(rec.ops), e.points, e.partial, len(e.images), *seed)
}

// statusAt returns what the callers know after some of the operations.
func (e *explorer) statusAt(point int) []callStatus {
	status := make([]callStatus, len(e.rec.calls))
	for i, c := range e.rec.calls {
		status[i] = c.status
	}
	for i := range point {
		e.rec.advance(status, &e.rec.ops[i])
	}
	return status
}

// repairTrial is the life of an image of a repair after the crash.
type repairTrial struct {
	rec     *recording
	root    string
	segment []byte // the damaged one, as it was
	status  []callStatus
}

// of returns what is known of a call.
func (tr *repairTrial) of(verb, id string) (callStatus, *recordedCall) {
	for i := len(tr.rec.calls) - 1; i >= 0; i-- {
		if c := tr.rec.calls[i]; c.verb == verb && c.owner.ContainerID == id {
			return tr.status[i], c
		}
	}
	return notBegun, nil
}

func (tr *repairTrial) run() error {
	o := tr.rec.options(tr.root, func(string) {})
	s := allocator.NewStore(o)
	repaired, _ := tr.of("REPAIR", "")
	if repaired == acknowledged {
		if m, err := s.Repair(false, true); err != nil || m.Succeeds() {
			return fmt.Errorf("the repair was done, and has to be made again: %+v, %w", m, err)
		}
	} else if _, err := s.Repair(true, true); err != nil {
		return fmt.Errorf("repair again: %w", err)
	}
	added, err := s.Add(tr.rec.addRequest(newcomer))
	if err != nil {
		return fmt.Errorf("the next ADD: %w", err)
	}
	if v, err := replay.Verify(filepath.Join(o.HistoryDir, o.Network), filepath.Join(o.DataDir, o.Network)); err != nil || !v.Clean() {
		return fmt.Errorf("verify: %+v, %w", v, err)
	}
	return errors.Join(tr.leases(o, ipsOf(added.Addresses)), tr.kept(o))
}

// leases compares who holds what with what must be.
func (tr *repairTrial) leases(o allocator.Options, given []netip.Addr) error {
	reader, err := journal.OpenReader(filepath.Join(o.HistoryDir, o.Network))
	if err != nil {
		return err
	}
	h, err := replay.Read(reader.Records(0), replay.Options{HeldOnly: true})
	if err != nil || h.Stopped != nil {
		return errors.Join(err, h.Stopped)
	}
	got := map[string][]netip.Addr{}
	for _, iv := range h.Intervals {
		got[iv.Lease.ContainerID] = append(got[iv.Lease.ContainerID], iv.Lease.IP)
	}
	must := map[string][]netip.Addr{newcomer: given}
	may := map[string][]netip.Addr{}
	for _, id := range []string{"c1", "c3", "c4"} {
		_, c := tr.of("ADD", id)
		must[id] = c.answer.IPs
	}
	switch s, c := tr.of("ADD", "later"); s {
	case acknowledged:
		must["later"] = c.answer.IPs
	case underWay, broken:
		may["later"] = c.given()
	}
	switch s, _ := tr.of("DEL", "c4"); s {
	case acknowledged:
		delete(must, "c4")
	case underWay, broken:
		may["c4"] = must["c4"]
		delete(must, "c4")
	}
	for id, ips := range got {
		want, ok := must[id]
		if !ok {
			want, ok = may[id]
		}
		if !ok || !slices.Equal(sorted(ips), sorted(want)) {
			return fmt.Errorf("%s holds %v, want %v", id, ips, want)
		}
	}
	for id := range must {
		if len(got[id]) == 0 {
			return fmt.Errorf("%s lost %v", id, must[id])
		}
	}
	return nil
}

// kept looks for the damaged segment in the successor's archive.
func (tr *repairTrial) kept(o allocator.Options) error {
	genesis, err := journal.ReadGenesis(filepath.Join(o.HistoryDir, o.Network))
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(o.HistoryDir, o.Network, "archive", genesis.Origin.Parent.String(), "journal", fmt.Sprintf("%020d", 1)))
	if err == nil && !bytes.Equal(b, tr.segment) {
		err = errors.New("the damaged segment is not what it was")
	}
	return err
}
