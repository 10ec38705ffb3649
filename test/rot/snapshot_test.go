package rot_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

const snapshotBlock = 4096

// TestSnapshots damages the newer snapshot, and the older one beside a newer one that is whole. Of each byte
// one bit is flipped here, with calls, and less of the older one, which they do not open (TestNeverOpened);
// TestSnapshotBits flips them all. Calls must put what they can't use
// aside, tell it, and answer the same from the older one.
func TestSnapshots(t *testing.T) {
	p := newPool(t)
	var jobs []job
	for _, seq := range []journal.Seq{olderSnapshot, newerSnapshot} {
		file, stride := snapshotFile(seq), 8
		if seq == olderSnapshot {
			stride = 64
		}
		for i, d := range damages(p.f.files[file], stride, stride, 9) {
			if d.kind == flip {
				d.n += int32(i*5) % 8
			}
			in := allModes[i%len(allModes):][:1]
			if d.kind != flip && d.kind != cut {
				in = allModes
			}
			jobs = append(jobs, p.jobs(file, in, []damage{d})...)
			jobs[len(jobs)-1].script = i / 7 % len(scripts)
		}
	}
	p.run(jobs, runtime.GOMAXPROCS(0))
	p.counts.log(t)
}

// lookups are what package state can be asked of a snapshot. Together they read every block.
type lookups struct {
	held, all  []state.Lease
	free4      netip.Addr
	free6      netip.Addr
	leaseOf    state.Lease
	heldErr    error
	allErr     error
	free4Err   error
	free6Err   error
	leaseOfErr error
}

func lookUp(s *state.Snapshot) (l lookups) {
	st := state.Over(s)
	l.held, l.heldErr = st.Held(based)
	l.free4, _, l.free4Err = st.NextFree(netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.254"))
	l.free6, _, l.free6Err = st.NextFree(netip.MustParseAddr("2001:db8:9::2"), netip.MustParseAddr("2001:db8:9::ff"))
	l.leaseOf, _, l.leaseOfErr = st.Lease(netip.MustParseAddr("10.9.0.3"))
	for lease, err := range st.Leases() {
		if err != nil {
			l.allErr = err
			break
		}
		l.all = append(l.all, lease)
	}
	return l
}

// judge holds what a damaged snapshot says against what the whole one says. Each answer is the same or
// names the block.
func (l *lookups) judge(whole *lookups, path string, at int64) error {
	named := 0
	for _, a := range []struct {
		what string
		same bool
		err  error
	}{
		{"Held", slices.Equal(l.held, whole.held), l.heldErr},
		{"NextFree of IPv4", l.free4 == whole.free4, l.free4Err},
		{"NextFree of IPv6", l.free6 == whole.free6, l.free6Err},
		{"Lease", l.leaseOf == whole.leaseOf, l.leaseOfErr},
		{"Leases", slices.Equal(l.all, whole.all), l.allErr},
	} {
		if a.err == nil && a.same {
			continue
		}
		if a.err == nil {
			return fmt.Errorf("%s answers something else", a.what)
		}
		if err := namesBlock(a.err, path, at); err != nil {
			return fmt.Errorf("%s: %w", a.what, err)
		}
		named++
	}
	if named == 0 {
		return errors.New("no lookup noticed it")
	}
	return nil
}

// namesBlock wants damage of this file in the block at an offset.
func namesBlock(err error, path string, at int64) error {
	var d *journal.CorruptionError
	if !errors.As(err, &d) || d.File != path || d.Offset != at {
		return fmt.Errorf("got %w, want damage in %s at byte %d", err, path, at)
	}
	return nil
}

// bitOf flips one bit of a snapshot's file and asks everything that a snapshot can be asked.
func bitOf(id journal.ID, path string, f *os.File, was []byte, whole *lookups, bit int) (err error) {
	at := int64(bit / 8)
	if _, err := f.WriteAt([]byte{was[at] ^ 1<<(bit%8)}, at); err != nil {
		return err
	}
	defer func() {
		_, e := f.WriteAt(was[at:at+1], at)
		err = errors.Join(err, e)
	}()
	block := at / snapshotBlock * snapshotBlock
	s, err := state.OpenSnapshot(path, id)
	if err != nil {
		if block > 0 {
			return fmt.Errorf("open: %w, of the header", err)
		}
		return namesBlock(err, path, 0)
	}
	defer s.Close()
	if block == 0 {
		return errors.New("the header was accepted")
	}
	l := lookUp(s)
	if err := l.judge(whole, path, block); err != nil {
		return err
	}
	if err := namesBlock(s.Verify(), path, block); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// cutsOf shortens a snapshot's file to every step-th length below one.
func cutsOf(id journal.ID, path string, f *os.File, from, step int) (n int, err error) {
	for to := from; to >= 0; to -= step {
		if err := f.Truncate(int64(to)); err != nil {
			return n, err
		}
		if s, err := state.OpenSnapshot(path, id); err == nil {
			return n, errors.Join(fmt.Errorf("cut to %d: accepted", to), s.Close())
		} else if err := namesBlock(err, path, int64(to)); err != nil {
			return n, fmt.Errorf("cut to %d: %w", to, err)
		}
		n++
	}
	return n, nil
}

// TestSnapshotBits flips every bit of both snapshots, and cuts them at every byte. Each block must be refused by who
// reads it, in its own name, and a file that was cut when it is opened.
func TestSnapshotBits(t *testing.T) {
	f := newFixture(t)
	root := tempRoot(t)
	var done, cuts, failures atomic.Int64
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for _, seq := range []journal.Seq{olderSnapshot, newerSnapshot} {
		was := f.files[snapshotFile(seq)]
		for k := range workers {
			path := filepath.Join(root, fmt.Sprint(k), state.SnapshotName(seq))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, was, 0o600)); err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			s, err := state.OpenSnapshot(path, f.id)
			if err != nil {
				t.Fatal(err)
			}
			whole := lookUp(s)
			if err := errors.Join(s.Verify(), s.Close(), whole.heldErr, whole.allErr, whole.free4Err, whole.free6Err, whole.leaseOfErr); err != nil {
				t.Fatal(err)
			}
			step := workers * nth()
			wg.Go(func() {
				defer file.Close()
				for bit := k; bit < 8*len(was) && failures.Load() < maxFailures; bit += step {
					if err := bitOf(f.id, path, file, was, &whole, bit); err != nil {
						failures.Add(1)
						t.Errorf("bit %d of byte %d of %s: %v", bit%8, bit/8, filepath.Base(path), err)
					}
					done.Add(1)
				}
				n, err := cutsOf(f.id, path, file, len(was)-1-k, step)
				if cuts.Add(int64(n)); err != nil {
					t.Errorf("%s: %v", filepath.Base(path), err)
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d bits, each refused by all who read its block; %d cuts", done.Load(), cuts.Load())
}

// TestBothSnapshots damages both: the answers come from the journal then, with the archive.
func TestBothSnapshots(t *testing.T) {
	f := newFixture(t)
	m := newModel(t, f)
	root := tempRoot(t)
	w := newWorker(t, f, m, filepath.Join(root, "w"))
	newer, older := snapshotFile(newerSnapshot), snapshotFile(olderSnapshot)
	random := rand.New(rand.NewPCG(3, 4))
	cases := 0
	for a := range len(f.files[newer]) / snapshotBlock {
		for b := range len(f.files[older]) / snapshotBlock {
			for _, mode := range allModes {
				for s := range scripts {
					bit := func(block int) damage {
						return damage{flip, int32(8*snapshotBlock*block + random.IntN(8*snapshotBlock))}
					}
					if err := w.runSnapshots(t, job{newer, mode, bit(a), s}, job{older, mode, bit(b), s}); err != nil {
						t.Errorf("blocks %d and %d, marker %s, %s: %v", a, b, mode, scripts[s].name, err)
					}
					cases++
				}
			}
		}
	}
	for _, mode := range allModes {
		for _, d := range []damage{{remove, 0}, {cut, 0}, {zeros, 0}} {
			if err := w.runSnapshots(t, job{newer, mode, d, 0}, job{older, mode, d, 0}); err != nil {
				t.Errorf("%s both, marker %s: %v", d, mode, err)
			}
			cases++
		}
	}
	t.Logf("%d pairs", cases)
}

// TestSnapshotAtTheEnd damages a snapshot that covers the newest event. Nothing is loaded over it, so that a part of
// it is first read when an event that is durable already is applied.
func TestSnapshotAtTheEnd(t *testing.T) {
	f := newFixture(t)
	path, err := state.WriteSnapshot(t.TempDir(), f.id, "net", f.fold(t, lastEvent))
	if err != nil {
		t.Fatal(err)
	}
	atEnd := snapshotFile(lastEvent)
	if f.files[atEnd], err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	f.names = append(f.names, atEnd)
	w := newWorker(t, f, newModel(t, f), filepath.Join(tempRoot(t), "w"))
	for block := range len(f.files[atEnd]) / snapshotBlock {
		for _, mode := range []mode{modeLive, modeRebooted, modeCopy} { // the others don't witness what it covers
			for s := range scripts {
				d := damage{flip, int32(8 * (snapshotBlock*block + 100))}
				if err := w.runSnapshots(t, job{atEnd, mode, d, s}); err != nil {
					t.Errorf("block %d, marker %s, %s: %v", block, mode, scripts[s].name, err)
				}
			}
		}
	}
}

// runSnapshots damages snapshots, asks and calls. The first must be out of the way afterwards, each that was read kept and
// told, and the answers as ever.
func (w *worker) runSnapshots(t *testing.T, jobs ...job) error {
	t.Helper()
	a := jobs[0]
	for _, j := range jobs {
		if err := w.hurt(j); err != nil {
			return err
		}
	}
	defer func() {
		for _, j := range jobs {
			if err := w.heal(t, j); err != nil {
				t.Error(err)
			}
		}
	}()
	wide := job{file: metaFile, mode: a.mode, damage: damage{kind: cut}} // asks about all
	p := prediction{history: lastEvent, looks: lastEvent, state: lastEvent}
	if a.mode == modeWriting {
		p.history, p.looks = lastEvent-1, lastEvent-1
	}
	if err := w.judgeLooks(p, w.look(wide)); err != nil {
		return err
	}
	c := w.call(scripts[a.script])
	if err := errors.Join(c.addErr, c.delErr); err != nil {
		return err
	}
	want := w.m.after[lastEvent][a.script]
	if err := w.judgeSnapshotEvents(jobs, want.events); err != nil {
		return err
	}
	for _, c := range w.check(wide) {
		if held := timeless(c.held); c.err != nil || !slices.Equal(held, want.held[c.who]) {
			return fmt.Errorf("afterwards %s holds %v (%v), want %v", asked[c.who].ContainerID, held, c.err, want.held[c.who])
		}
	}
	was := w.content(a.file, a.mode)
	_, err := os.Stat(w.path(a.file))
	if gone := errors.Is(err, os.ErrNotExist); gone == a.unread(was, a.damage.apply(was)) {
		return fmt.Errorf("%s: in its place afterwards: %t (%v)", a.file, !gone, err)
	}
	return nil
}

// judgeSnapshotEvents holds what was recorded against the script, and each repair against what was damaged.
func (w *worker) judgeSnapshotEvents(jobs []job, want []journal.Event) error {
	l, err := w.newEvents(lastEvent)
	if err != nil {
		return err
	}
	var got []journal.Event
	for _, rec := range l.added {
		if rec.Event.Kind != journal.KindRepair {
			got = append(got, portable(rec.Event))
			continue
		}
		i := slices.IndexFunc(jobs, func(j job) bool { return filepath.Base(j.file) == rec.Event.Cut.File })
		if i < 0 {
			return fmt.Errorf("event %d tells of %s", rec.Event.Seq, rec.Event.Cut.File)
		}
		if err := w.judgeRepair(jobs[i], prediction{calls: setAside}, &rec.Event); err != nil {
			return err
		}
	}
	if !slices.EqualFunc(got, want, sameEvent) {
		return fmt.Errorf("recorded\n%+v, want\n%+v", got, want)
	}
	return nil
}

func sameEvent(a, b journal.Event) bool { return reflect.DeepEqual(a, b) }
