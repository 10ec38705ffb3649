package state_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// question is a lookup, what it answers while nothing is damaged, and which blocks it reads for that.
type question struct {
	name   string
	ask    func(st *state.State) (any, error)
	answer any
	reads  []uint32
}

// damagedFile is a snapshot that is damaged in place while it is open, and mended again.
type damagedFile struct {
	path      string
	f         *os.File
	good      []byte
	s         *state.Snapshot
	questions []question
	readers   map[uint32]int // how many questions read a block
	times     int            // damage was done
}

// TestDamagedBlocks damages each block of a snapshot of many blocks in turn, in each way. Whoever reads it must be told of
// damage in this file at this block, and nobody else may notice: the checksum is of what is read.
func TestDamagedBlocks(t *testing.T) {
	m := newMap(t, 7, 1400, true)
	d := newDamagedFile(t, m)
	twin := filepath.Join(t.TempDir(), "twin")
	same := func(id journal.ID) []byte { // the same leases in the same blocks, of another file
		if err := os.MkdirAll(twin, 0o700); err != nil {
			t.Fatal(err)
		}
		path, err := state.WriteSnapshot(twin, id, "net", m.st)
		if err != nil {
			t.Fatal(err)
		}
		return readFile(t, path)
	}
	otherJournal := same(journal.ID{9})
	repair := journal.Event{Kind: journal.KindRepair}
	m.stamp(&repair)
	m.do(repair)
	later := same(testID)
	block := func(b []byte, number int) []byte { return b[number*state.BlockBytes:][:state.BlockBytes] }
	flipped := func(number, at int) []byte {
		b := slices.Clone(block(d.good, number))
		b[at] ^= 1 << (number % 8)
		return b
	}
	beside := func(number int) int { // a block of the same section, if there is another
		for _, sec := range d.s.SectionBlocks() {
			if first, n := int(sec.First), int(sec.Blocks); number >= first && number < first+n {
				return first + (number-first+1)%n
			}
		}
		return number + 1
	}
	blocks := len(d.good) / state.BlockBytes
	for number := 1; number < blocks; number++ {
		d.damage(t, "flipped bit in the frame", map[int][]byte{number: flipped(number, number%3)})
		d.damage(t, "flipped bit in the payload", map[int][]byte{number: flipped(number, 3+number*37%(state.BlockBytes-8))})
		d.damage(t, "flipped bit in the last byte of the payload", map[int][]byte{number: flipped(number, state.BlockBytes-6)})
		d.damage(t, "flipped bit in the checksum", map[int][]byte{number: flipped(number, state.BlockBytes-1-number%4)})
		d.damage(t, "zeros", map[int][]byte{number: make([]byte, state.BlockBytes)})
		d.damage(t, "zeros in a sector", map[int][]byte{number: append(make([]byte, 512), block(d.good, number)[512:]...)})
		d.damage(t, "the block of a later snapshot", map[int][]byte{number: block(later, number)})
		d.damage(t, "the block of another journal's snapshot", map[int][]byte{number: block(otherJournal, number)})
		if other := beside(number); other != number {
			d.damage(t, "another block", map[int][]byte{number: block(d.good, other)})
			d.damage(t, "swapped blocks", map[int][]byte{number: block(d.good, other), other: block(d.good, number)})
		}
	}
	if got := readFile(t, d.path); !slices.Equal(got, d.good) {
		t.Fatal("the file was not mended")
	}
	t.Logf("%d blocks, %d lookups", blocks-1, len(d.questions))
}

// newDamagedFile writes the map's snapshot and asks it what finds each of its blocks.
func newDamagedFile(t *testing.T, m *randomMap) *damagedFile {
	t.Helper()
	d := &damagedFile{path: writeSnapshot(t, t.TempDir(), m.st), readers: map[uint32]int{}}
	d.s, d.good = openSnapshot(t, d.path), readFile(t, d.path)
	for i, sec := range d.s.SectionBlocks() {
		if want := []uint32{30, 4, 2, 2}[i]; sec.Blocks < want {
			t.Fatalf("%d blocks in section %d, want at least %d", sec.Blocks, i+1, want)
		}
	}
	var err error
	if d.f, err = os.OpenFile(d.path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.f.Close() })
	leases := m.sorted()
	for i := 0; i < len(leases); i += 7 {
		l := leases[i]
		d.ask(t, fmt.Sprintf("Lease(%s)", l.IP), func(st *state.State) (any, error) {
			l, ok, err := st.Lease(l.IP)
			return []any{l, ok}, err
		})
		d.ask(t, fmt.Sprintf("Lease after %s", l.IP), func(st *state.State) (any, error) {
			l, ok, err := st.Lease(l.IP.Next())
			return []any{l, ok}, err
		})
		d.ask(t, fmt.Sprintf("Held(%.40v)", l.Attachment), func(st *state.State) (any, error) {
			return st.Held(l.Attachment)
		})
		d.ask(t, fmt.Sprintf("Held(%.40v) on another interface", l.Attachment), func(st *state.State) (any, error) {
			return st.Held(state.Attachment{ContainerID: l.ContainerID + "0", IfName: "net7"})
		})
		d.ask(t, fmt.Sprintf("NextFree from %s", l.IP), func(st *state.State) (any, error) {
			_, last := ends(l.IP)
			ip, ok, err := st.NextFree(l.IP, last)
			return []any{ip, ok}, err
		})
	}
	for number := uint32(1); number < uint32(len(d.good)/state.BlockBytes); number++ {
		if d.readers[number] == 0 {
			t.Errorf("no lookup reads block %d", number)
		}
	}
	return d
}

// ask asks while all is well, and keeps the question if it reads a block that few others do: those in the
// middle of a section are read by nearly all.
func (d *damagedFile) ask(t *testing.T, name string, ask func(*state.State) (any, error)) {
	t.Helper()
	d.s.ForgetBlocks()
	answer, err := ask(state.Over(d.s))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	q := question{name, ask, answer, d.s.BlocksRead()}
	if !slices.ContainsFunc(q.reads, func(n uint32) bool { return d.readers[n] < 4 }) {
		return
	}
	for _, number := range q.reads {
		d.readers[number]++
	}
	d.questions = append(d.questions, q)
}

// sampled is how many of the lookups that a damaged block does not concern are made: every such one.
const sampled = 11

// damage writes blocks over those of the file, makes all lookups that read them, and some others, and puts
// them back. The whole file is read now and then, for each kind of damage and each section.
func (d *damagedFile) damage(t *testing.T, how string, wrong map[int][]byte) {
	t.Helper()
	var numbers []uint32
	d.times++
	whole := d.times%31 == 0
	for number, b := range wrong {
		numbers = append(numbers, uint32(number))
		d.write(t, number, b)
	}
	what := fmt.Sprintf("%s, block %v", how, numbers)
	for i, q := range d.questions {
		hit := slices.ContainsFunc(numbers, func(n uint32) bool { return slices.Contains(q.reads, n) })
		if !hit && (i+int(numbers[0]))%sampled != 0 {
			continue
		}
		d.s.ForgetBlocks()
		answer, err := q.ask(state.Over(d.s))
		if hit {
			d.wantNoticed(t, what+": "+q.name, err, numbers)
		} else if err != nil || !reflect.DeepEqual(answer, q.answer) {
			t.Errorf("%s: %s = %v, %v, want %v: it reads %v", what, q.name, answer, err, q.answer, q.reads)
		}
	}
	if whole {
		d.wantNoticed(t, what+": Verify", d.s.Verify(), numbers)
		leases := d.s.SectionBlocks()[0]
		_, err := decode(state.Over(d.s))
		if slices.ContainsFunc(numbers, func(n uint32) bool { return n >= leases.First && n < leases.First+leases.Blocks }) {
			d.wantNoticed(t, what+": Leases", err, numbers)
		} else if err != nil {
			t.Errorf("%s: Leases: %v", what, err)
		}
	}
	for number := range wrong {
		d.write(t, number, d.good[number*state.BlockBytes:][:state.BlockBytes])
	}
	if t.Failed() {
		t.FailNow() // the others would fail alike
	}
}

func (d *damagedFile) write(t *testing.T, number int, b []byte) {
	t.Helper()
	if _, err := d.f.WriteAt(b, int64(number)*state.BlockBytes); err != nil {
		t.Fatal(err)
	}
}

// wantNoticed wants damage of this file at one of the blocks.
func (d *damagedFile) wantNoticed(t *testing.T, what string, err error, numbers []uint32) {
	t.Helper()
	var damage *journal.CorruptionError
	if !errors.As(err, &damage) || damage.File != d.path || damage.Seq != d.s.Seq() ||
		!slices.ContainsFunc(numbers, func(n uint32) bool { return damage.Offset == int64(n)*state.BlockBytes }) {
		t.Errorf("%s: got %v, want damage in %s at block %v", what, err, d.path, numbers)
	}
}

// decode decodes the whole file, up to damage.
func decode(st *state.State) ([]state.Lease, error) {
	all := []state.Lease{}
	for l, err := range st.Leases() {
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	return all, nil
}

// TestDamagedHeader damages each block of a header of several: then the file is not opened.
func TestDamagedHeader(t *testing.T) {
	st := state.New()
	for i := range 900 {
		mustApply(t, st, journal.Event{Seq: journal.Seq(i + 1), Kind: journal.KindImport, Cursors: []journal.Cursor{{Set: i, IP: ip("fd00::1")}}})
	}
	mustApply(t, st, journal.Event{Seq: 901, Kind: journal.KindAdd, ContainerID: "c", IfName: "eth0", Addresses: []journal.Address{addr(0, "10.0.0.1/24")}})
	path := writeSnapshot(t, t.TempDir(), st)
	good := readFile(t, path)
	headers := int(openSnapshot(t, path).SectionBlocks()[0].First)
	if headers < 3 {
		t.Fatalf("a header of %d blocks, want several", headers)
	}
	other := readFile(t, writeSnapshot(t, t.TempDir(), func() *state.State {
		mustApply(t, st, journal.Event{Seq: 902, Kind: journal.KindRepair})
		return st
	}()))
	for number := range headers {
		at := number * state.BlockBytes
		for how, change := range map[string]func(b []byte){
			"flipped bit":                   func(b []byte) { b[100] ^= 4 },
			"flipped bit in the checksum":   func(b []byte) { b[state.BlockBytes-1] ^= 4 },
			"zeros":                         func(b []byte) { clear(b) },
			"another block":                 func(b []byte) { copy(b, good[(at+state.BlockBytes)%(headers*state.BlockBytes):]) },
			"the block of a later snapshot": func(b []byte) { copy(b, other[at:]) },
		} {
			if number == 0 && how == "the block of a later snapshot" {
				continue // its name is against it then, which TestOpenSnapshotRefuses has
			}
			b := slices.Clone(good)
			change(b[at:][:state.BlockBytes])
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := state.OpenSnapshot(path, testID)
			if err == nil {
				s.Close()
			}
			var damage *journal.CorruptionError
			if !errors.As(err, &damage) || damage.File != path || damage.Offset != int64(at) {
				t.Errorf("%s, block %d: OpenSnapshot: %v, want damage at byte %d of %s", how, number, err, at, path)
			}
		}
	}
}
