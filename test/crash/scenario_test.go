package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// scenario is a real run that the power is cut in.
type scenario struct {
	name   string
	nets   []string // subnets, one for each range set; nil is one
	limits limits
	copied bool // what the crash left is looked at as a copy
	aside  bool // a damaged snapshot is set aside in it
	run    func(r *recorder)
}

// How much of a crash point is explored: small stores, those with large batches, and those where a
// trial reads thousands of events.
var (
	small = limits{exhaustive: 4096, single: 256, random: 750}
	large = limits{exhaustive: 2048, single: 48, random: 500}
	huge  = limits{exhaustive: 128, single: 16, random: 50}
)

var dual = []string{"10.1.0.0/24", "fd01::/64"}

var scenarios = []scenario{
	{name: "create", limits: small, run: func(r *recorder) {
		r.begin()
		r.must(r.add("c1"), r.add("c2"))
	}},
	{name: "create elsewhere", limits: small, nets: dual, run: func(r *recorder) {
		r.net.DataDir = filepath.Join(r.root, "run", "cni", "data")
		r.net.Keys["historyDir"] = filepath.Join(r.root, "var", "lib", "history")
		r.begin()
		r.must(r.add("c1"), r.del("c1"))
	}},
	{name: "create, killed", limits: large, run: func(r *recorder) {
		r.net.DataDir = filepath.Join(r.root, "run", "cni", "data")
		r.net.Keys["historyDir"] = filepath.Join(r.root, "var", "lib", "history")
		r.begin()
		for _, sync := range []int{1, 2, 4, 7, 9, 13, 16} {
			r.call(r.add(fmt.Sprint("k", sync)), "-e", fmt.Sprint("inject=fsync:signal=SIGKILL:when=", sync))
		}
		r.must(r.add("c1"))
	}},
	{name: "calls", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.must(r.add("long-1"), r.del("c1"), r.del("c1"), r.add("c4"))
		r.refused(r.add("c4"))
		r.must(r.del("long-1"), r.add("long-2"))
	}},
	{name: "dual stack", limits: small, nets: dual, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.must(r.add("c3"), r.add("long-4"), r.del("c2"), r.del("c3"))
	}},
	{name: "copy", limits: small, nets: dual, copied: true, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.must(r.add("long-3"), r.del("c1"))
	}},
	{name: "rotation", limits: small, run: func(r *recorder) {
		r.fill(0)
		r.begin()
		r.must(r.add("c1"), r.del("long-1"), r.add("c2"))
	}},
	{name: "gc", limits: large, run: func(r *recorder) {
		for i := range 64 {
			r.has(fmt.Sprint("long-", i))
		}
		r.begin()
		r.must(r.gc("long-7", "long-60"))
	}},
	{name: "snapshot", limits: huge, nets: []string{"10.1.0.0/20"}, run: func(r *recorder) {
		r.until(1023)
		r.begin()
		r.must(r.add("c1"), r.add("c2"))
	}},
	{name: "archive", limits: huge, nets: []string{"10.1.0.0/20"}, run: func(r *recorder) {
		r.until(3*1024 - 1)
		r.begin()
		r.must(r.del("p2"), r.add("c2"))
	}},
	{name: "torn", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.tear("c3", func(tail []byte) []byte { return tail[:len(tail)-100] })
		r.begin()
		r.must(r.add("c4"))
	}},
	{name: "torn inside", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.tear("long-3", func(tail []byte) []byte { clear(tail[300:1000]); return tail })
		r.begin()
		r.must(r.del("c1"), r.add("c4"))
	}},
	{name: "torn, failed sync", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.tear("c3", func(tail []byte) []byte { return tail[:len(tail)-100] })
		r.begin()
		// The tail is kept (file, folder) and cut; the sync after those is that of the repair event.
		a := r.call(r.add("c4"), "-e", "inject=fsync:error=EIO:when=4")
		r.again = a.Code != 5 || r.syncs(opSyncFailed) != 1
		r.must(r.add("c5"))
	}},
	{name: "wipe", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.wipe()
		r.must(r.add("c3"), r.del("c2"))
	}},
	{name: "wipe and DEL", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.wipe()
		r.must(r.del("c1"), r.add("long-3"))
	}},
	{name: "damaged snapshot", limits: small, aside: true, run: func(r *recorder) {
		r.has("c1", "c2", "c3", "c4")
		r.snapshot(4, 20)
		r.snapshot(6, 100)
		r.begin()
		r.must(r.add("c5"), r.del("c1"))
	}},
	{name: "failed sync", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.fails(r.add("long-3"), "-e", "inject=fsync:error=EIO:when=1")
		r.again = r.syncs(opSyncFailed) != 1 // otherwise the undoing failed as well: that is "fenced"
		r.must(r.add("c4"), r.del("long-3"), r.add("long-5"))
	}},
	{name: "fenced", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.fails(r.add("long-3"), "-e", "inject=fsync:error=EIO")
		r.fails(r.add("c4"), "-e", "inject=fsync:error=EIO")
		r.must(r.add("c5"), r.del("long-3"))
	}},
	{name: "killed before sync", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.killed(r.add("long-3"), "-e", "inject=fsync:signal=SIGKILL")
		r.must(r.add("c4"), r.del("long-3"))
	}},
	{name: "killed DEL", limits: small, nets: dual, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.killed(r.del("c1"), "-e", "inject=fsync:signal=SIGKILL")
		r.must(r.del("c1"), r.add("c3"))
	}},
	{name: "killed after failed sync", limits: small, run: func(r *recorder) {
		r.has("c1", "c2")
		r.begin()
		r.killed(r.add("long-3"), "-e", "inject=fsync:error=EIO", "-e", "inject=ftruncate:signal=SIGKILL")
		r.must(r.add("c4"), r.del("long-3"))
	}},
	{name: "at once", limits: small, run: func(r *recorder) {
		r.has("c1", "c2", "c3")
		r.begin()
		r.atOnce(r.add("long-4"), r.add("c5"), r.del("c1"), r.add("c6"), r.del("c2"))
	}},
	{name: "at once, new", limits: large, run: func(r *recorder) {
		r.begin()
		r.atOnce(r.add("c1"), r.add("c2"), r.add("c3"))
	}},
	{name: "length before a border", nets: []string{"10.1.0.0/16"}, limits: small, run: func(r *recorder) {
		r.align(2)
		r.begin()
		r.must(r.add("c1"), r.add("c2"))
	}},
	{name: "length across a border", nets: []string{"10.1.0.0/16"}, limits: small, run: func(r *recorder) {
		r.align(1)
		r.begin()
		r.must(r.add("long-1"))
	}},
	{name: "crash again 1", limits: small, run: crashAgain},
	{name: "crash again 2", limits: small, run: crashAgain},
	{name: "crash again 3", limits: small, run: crashAgain},
	{name: "crash again 4", limits: small, run: crashAgain},
	{name: "random", limits: limits{exhaustive: 16, single: 2, random: 20}, nets: dual, run: random},
}

// random is a long run of calls, kills and wipes.
func random(r *recorder) {
	choose := rand.New(rand.NewPCG(*seed, 1))
	for i := range 12 {
		r.has(fmt.Sprint("p", i))
	}
	r.begin()
	var ids []string
	calls := 60
	if sampled() {
		calls = 15
	}
	for i := range calls {
		switch n := choose.IntN(20); {
		case n < 9 || len(ids) == 0:
			ids = append(ids, []string{fmt.Sprint("c", i), fmt.Sprint("long-", i)}[choose.IntN(2)])
			r.must(r.add(ids[len(ids)-1]))
		case n < 14:
			at := choose.IntN(len(ids))
			r.must(r.del(ids[at]))
		case n < 16:
			r.killed(r.add(fmt.Sprint("k", i)), "-e", "inject=fsync:signal=SIGKILL")
		case n < 17:
			// It lives if a wipe or GC has released the lease: then it writes nothing.
			r.call(r.del(fmt.Sprint("p", choose.IntN(12))), "-e", "inject=fsync:signal=SIGKILL")
		case n < 18:
			r.fails(r.add(fmt.Sprint("f", i)), "-e", "inject=fsync:error=EIO")
		case n < 19:
			r.must(r.gc(ids[choose.IntN(len(ids)):]...))
		default:
			r.wipe()
		}
	}
	r.must(r.add("last"))
}

// crashAgain begins with what a crash of a first run left, at random: it is recovery that is recorded then.
func crashAgain(r *recorder) {
	first := newRecorder(r.t, plugin, nextRoot(), "10.1.0.0/24")
	first.has("c1", "c2")
	first.begin()
	first.must(first.add("long-3"), first.del("c1"), first.add("long-4"))
	rec := first.end()
	choose := rand.New(rand.NewPCG(*seed, uint64(recordings)))
	var d *disk
	var status []callStatus
	var slots []slot
	for len(slots) < 4 { // with more than the marker undecided
		d, status = rec.at(r.t, choose.IntN(len(rec.ops)))
		slots = d.slots()
	}
	pick := make([]int, len(slots))
	for i := range slots {
		pick[i] = choose.IntN(slots[i].choices())
	}
	img := newImager(d, slots).image(pick)
	err := os.Remove(r.root)
	if err == nil {
		err = rec.transplant(r.root, false).write(&img)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for i, s := range status {
		c := *rec.calls[i]
		if c.status = s; s == underWay {
			c.status = broken
		}
		if s != notBegun {
			r.calls = append(r.calls, &c)
		}
	}
	r.begin()
	r.must(r.add("c5"), r.del("c2"))
}

// at returns the disk and what the callers know after some of the operations.
func (r *recording) at(t *testing.T, k int) (*disk, []callStatus) {
	t.Helper()
	d := r.before.clone()
	status := make([]callStatus, len(r.calls))
	for i, c := range r.calls {
		status[i] = c.status
	}
	for i := range k {
		if err := d.step(&r.ops[i]); err != nil {
			t.Fatal(err)
		}
		r.advance(status, &r.ops[i])
	}
	return d, status
}

var recordings int

// nextRoot is the folder of the next recording.
func nextRoot() string {
	recordings++
	return filepath.Join(base, fmt.Sprintf("r%03d", recordings))
}

// record runs the scenario, again if its faults hit another call than they should.
func (s *scenario) record(t *testing.T) *recording {
	t.Helper()
	nets := s.nets
	if nets == nil {
		nets = []string{"10.1.0.0/24"}
	}
	for try := range 16 {
		r := newRecorder(t, plugin, nextRoot(), nets...)
		r.try = try
		s.run(r)
		if rec := r.end(); !r.again {
			return rec
		}
	}
	t.Fatal("the fault never hits the call that it should")
	return nil
}

// refused makes a call that has to be refused.
func (r *recorder) refused(c caller.Call) {
	r.t.Helper()
	if a := r.call(c); a.Code < 100 {
		r.t.Fatalf("%s %s: %v, want a refusal", c.Verb, c.ID, a)
	}
}

// fails makes a call that has to fail on the disk.
func (r *recorder) fails(c caller.Call, strace ...string) {
	r.t.Helper()
	if a := r.call(c, strace...); a.Code != 5 {
		r.t.Fatalf("%s %s: %v, want code 5", c.Verb, c.ID, a)
	}
}

// killed makes a call that does not live to answer.
func (r *recorder) killed(c caller.Call, strace ...string) {
	r.t.Helper()
	if a := r.call(c, strace...); !a.Killed() {
		r.t.Fatalf("%s %s: %v, want it killed", c.Verb, c.ID, a)
	}
}

// syncs counts operations of a kind so far.
func (r *recorder) syncs(k kind) (n int) {
	for _, o := range r.ops {
		if o.kind == k {
			n++
		}
	}
	return n
}

// fill gives leases until the newest segment has no room for another of their kind and left bytes.
func (r *recorder) fill(left int64) {
	r.t.Helper()
	for i := 0; ; i++ {
		if st, err := os.Stat(r.segment()); err == nil && st.Size()+left > 64<<10-1500 {
			return
		}
		r.has(fmt.Sprint("long-", i))
	}
}

// align gives leases until the next record's length begins so many bytes before the border of a sector.
func (r *recorder) align(before int64) {
	r.t.Helper()
	for i := 0; ; i++ {
		if st, err := os.Stat(r.segment()); err == nil && (st.Size()+before)%sector == 0 {
			return
		}
		r.has("a" + strings.Repeat("-", i%97) + fmt.Sprint(i)) // each record is a byte longer than the one before
	}
}

// segment is the path of the newest segment.
func (r *recorder) segment() string {
	all, err := filepath.Glob(filepath.Join(r.storeDir(), "journal", "*"))
	if err != nil || len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// until gives and ends leases until the journal has so many events, with the upkeep that falls due.
func (r *recorder) until(last journal.Seq) {
	r.t.Helper()
	r.has("p1", "p2", "p3")
	for seq := journal.Seq(5); seq < last; { // genesis, config and three adds
		if seq+2 <= last {
			r.had("p")
			r.calls = r.calls[:len(r.calls)-2]
			seq += 2
		} else {
			r.has("p4")
			seq++
		}
		r.inProcess().Maintain()
	}
}

// tear leaves the rest of an ADD that a power loss cut short in an earlier boot.
func (r *recorder) tear(id string, damage func(tail []byte) []byte) {
	r.t.Helper()
	lock := filepath.Join(r.storeDir(), "lock")
	marker, err := os.ReadFile(lock)
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := os.Stat(r.segment())
	if err != nil {
		r.t.Fatal(err)
	}
	r.has(id)
	r.calls[len(r.calls)-1] = &recordedCall{verb: "ADD", owner: ownerOf(id), status: broken}
	data, err := os.ReadFile(r.segment())
	if err != nil {
		r.t.Fatal(err)
	}
	data = append(data[:st.Size()], damage(data[st.Size():])...)
	f, err := os.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if marker, err = markerHere(marker, f); err == nil {
		_, err = f.WriteAt(marker, 0)
	}
	if err == nil {
		err = os.WriteFile(r.segment(), data, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.tornSegment, r.torn = filepath.Base(r.segment()), data
}

// snapshot makes a snapshot as of an event, damaged in one byte.
func (r *recorder) snapshot(seq journal.Seq, at int64) {
	r.t.Helper()
	reader, err := journal.OpenReader(r.storeDir())
	if err != nil {
		r.t.Fatal(err)
	}
	st := state.New()
	for rec, err := range reader.Records(0) {
		if err != nil {
			r.t.Fatal(err)
		}
		if rec.Event.Seq > seq {
			break
		}
		if err := st.Apply(&rec.Event); err != nil {
			r.t.Fatal(err)
		}
		st.SetHead(journal.RecordHash(rec.Raw))
	}
	path, err := state.WriteSnapshot(filepath.Join(r.storeDir(), "snap"), reader.Meta().ID, r.net.Name, st)
	if err != nil {
		r.t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err == nil {
		data[at] ^= 1
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
