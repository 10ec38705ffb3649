package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// newStore makes a store in a folder of its own and returns the store's folder.
func newStore(t testing.TB) string {
	t.Helper()
	return createStore(t, filepath.Join(t.TempDir(), ".leaselog"))
}

func createStore(t testing.TB, historyDir string) string {
	t.Helper()
	err := journal.Create(historyDir, journal.NewStore{Network: "net", DataDir: "/data", Version: "test",
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }}, soon())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(historyDir, "net")
}

func soon() time.Time { return time.Now().Add(10 * time.Second) }

// open opens and loads a store and returns its events.
func open(t testing.TB, dir string) (*journal.Journal, []journal.Event) {
	t.Helper()
	j, events, err := tryOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, events
}

func tryOpen(dir string) (*journal.Journal, []journal.Event, error) {
	j, err := journal.Open(dir, soon())
	if err != nil {
		return nil, nil, err
	}
	var events []journal.Event
	err = j.Load(0, journal.Hash{}, func(ev *journal.Event) error {
		// It is good during this call alone.
		record, err := journal.AppendRecord(nil, j.Meta().ID, ev)
		if err != nil {
			return err
		}
		kept, err := journal.DecodeRecord(j.Meta().ID, ev.Seq, record)
		events = append(events, kept)
		return err
	})
	if err != nil {
		j.Close()
		return nil, nil, err
	}
	return j, events, nil
}

// del returns a small event; its number makes it recognisable.
func del(n int) *journal.Event {
	return &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0",
		Addresses: []journal.Address{{IP: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), Bits: 16}}}
}

// fill appends n small events, each in a batch of its own, and closes the journal.
func fill(t testing.TB, dir string, n int) {
	t.Helper()
	j, before := open(t, dir)
	for i := range n {
		if err := j.Append(del(len(before) + i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// ids returns what tells events apart: kind and container ID.
func ids(events []journal.Event) string {
	var b strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&b, "%s %s\n", ev.Kind, ev.ContainerID)
	}
	return b.String()
}

func segmentPath(dir string, first journal.Seq) string {
	return filepath.Join(dir, "journal", journal.SegmentName(first))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// boundaries returns where entries begin, and the segment's length.
func boundaries(t testing.TB, segment []byte) []int {
	t.Helper()
	at := []int{0}
	for off := 0; off < len(segment); {
		n, w := binary.Uvarint(segment[off:])
		if w <= 0 {
			t.Fatalf("no length at %d", off)
		}
		off += w + int(n)
		at = append(at, off)
	}
	return at
}

// hashOf returns the hash of an event's record in the first segment, zero for event 0.
func hashOf(t testing.TB, dir string, seq journal.Seq) journal.Hash {
	t.Helper()
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	for rec := range journal.ScanFile(segmentPath(dir, 1), meta.ID) {
		if rec.Event.Seq == seq {
			return journal.RecordHash(rec.Raw)
		}
	}
	return journal.Hash{}
}

// setMarker rewrites the lock file's marker.
func setMarker(t testing.TB, dir string, state byte, durable, segment journal.Seq, size int64, boot *journal.BootID) {
	t.Helper()
	path := filepath.Join(dir, "lock")
	b, err := journal.EditMarker(read(t, path), state, durable, hashOf(t, dir, durable), segment, size, boot)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

// otherBoot makes the store look as after a reboot: all that counts is what is on the disk.
func otherBoot(t testing.TB, dir string, durable journal.Seq) {
	t.Helper()
	boot := journal.BootID{1}
	setMarker(t, dir, journal.StateIdle, durable, 0, 0, &boot)
}

func TestCreateAppendReload(t *testing.T) {
	dir := newStore(t)
	j, events := open(t, dir)
	if len(events) != 1 || events[0].Kind != journal.KindGenesis || events[0].Origin.Network != "net" {
		t.Fatalf("new store holds %v", events)
	}
	if err := j.Append(del(1), del(2)); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(del(3)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(del(4)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append after close: %v, want ErrClosed", err)
	}
	j, events = open(t, dir)
	want := "genesis \ndel c1\ndel c2\ndel c3\n"
	if got := ids(events); got != want {
		t.Fatalf("reloaded\n%swant\n%s", got, want)
	}
	synced := []journal.Seq{0, 1, 1, 3}
	for i, ev := range events {
		if ev.Seq != journal.Seq(i+1) || ev.Synced != synced[i] {
			t.Errorf("event %d: seq %d, synced %d, want synced %d", i+1, ev.Seq, ev.Synced, synced[i])
		}
		if i > 0 && ev.Boot != journal.CurrentBoot() {
			t.Errorf("event %d: boot %s", ev.Seq, ev.Boot)
		}
	}
	if j.Last() != 4 {
		t.Errorf("last is %d, want 4", j.Last())
	}
}

func TestChain(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 20)
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var prev journal.Hash
	n := 0
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Prev != prev {
			t.Errorf("event %d does not name the hash of the record before it", rec.Event.Seq)
		}
		prev = journal.RecordHash(rec.Raw)
		if at := read(t, filepath.Join(dir, rec.File))[rec.Offset:]; !bytes.HasPrefix(at, rec.Raw) {
			t.Errorf("event %d is not at %s:%d", rec.Event.Seq, rec.File, rec.Offset)
		}
		n++
	}
	if n != 21 {
		t.Errorf("read %d events, want 21", n)
	}
}

func TestModes(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 300) // more than one segment
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 1000)
	entries, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 3 {
		t.Fatalf("%d segments after 1000 events", len(entries))
	}
	for _, e := range entries {
		if n := len(read(t, filepath.Join(dir, "journal", e.Name()))); n > journal.SegmentBytes {
			t.Errorf("segment %s has %d bytes", e.Name(), n)
		}
	}
	_, events := open(t, dir)
	if len(events) != 1001 {
		t.Errorf("%d events, want 1001", len(events))
	}
}

// TestEmptyNewSegment covers a crash between making a segment and appending to it.
func TestEmptyNewSegment(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 5)
	write(t, segmentPath(dir, 7), nil)
	fill(t, dir, 1)
	_, events := open(t, dir)
	if len(events) != 7 {
		t.Errorf("%d events, want 7", len(events))
	}
	if len(read(t, segmentPath(dir, 7))) == 0 {
		t.Error("the new segment was not used")
	}
}

// TestTornTail cuts the newest segment at every byte of its last entry, as a power cut or a full disk would.
func TestTornTail(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	segment := read(t, segmentPath(dir, 1))
	at := boundaries(t, segment)
	begin, end := at[3], at[4]
	for cut := begin; cut < end; cut++ {
		write(t, segmentPath(dir, 1), segment[:cut])
		otherBoot(t, dir, 3)
		// What was kept before would count as cut and not told: the event that told it is gone.
		if err := os.RemoveAll(filepath.Join(dir, "quarantine")); err != nil {
			t.Fatal(err)
		}
		j, events := open(t, dir)
		want := 4 // genesis, two dels, repair
		if cut == begin {
			want = 3 // nothing of the append was there
		}
		if len(events) != want {
			t.Fatalf("cut at %d: %d events, want %d", cut, len(events), want)
		}
		if cut > begin {
			checkRepair(t, dir, events[3], int64(begin), segment[begin:cut])
		}
		if err := j.Append(del(9)); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		j.Close()
		j, events = open(t, dir)
		if len(events) != want+1 {
			t.Fatalf("cut at %d: %d events after another append, want %d", cut, len(events), want+1)
		}
		j.Close()
	}
}

// TestTornLength loses what an append wrote into the sector before a border, where that is nothing but the record's length,
// or a part of it: a whole record stands behind, and was not acknowledged.
func TestTornLength(t *testing.T) {
	for _, lost := range []int{1, 2} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			dir := newStore(t)
			j, events := open(t, dir)
			size := len(read(t, segmentPath(dir, 1)))
			for pad := 40; (size+lost)%512 != 0; {
				ev := del(1)
				ev.ContainerID = strings.Repeat("c", pad)
				if err := j.Append(ev); err != nil {
					t.Fatal(err)
				}
				before := size
				size = len(read(t, segmentPath(dir, 1)))
				events = append(events, *ev)
				if size == before {
					t.Fatal("no record ends where it should")
				}
				// The next one is of the length that leads to the place, but for what longer strings and padding take.
				if pad += 512 - (size+size-before+lost)%512; pad > 250 {
					pad = 40 + len(events)%7
				}
			}
			fillEnd := size
			if err := j.Append(del(2)); err != nil {
				t.Fatal(err)
			}
			j.Close()
			segment := read(t, segmentPath(dir, 1))
			clear(segment[fillEnd : fillEnd+lost])
			write(t, segmentPath(dir, 1), segment)
			otherBoot(t, dir, journal.Seq(len(events)))
			j, now := open(t, dir)
			j.Close()
			if len(now) != len(events)+1 {
				t.Fatalf("%d events, want %d and a repair", len(now), len(events))
			}
			checkRepair(t, dir, now[len(now)-1], int64(fillEnd), segment[fillEnd:])

			// Where a whole sector's end is not what is missing, it is damage.
			segment[fillEnd] = 1
			write(t, segmentPath(dir, 1), segment)
			otherBoot(t, dir, journal.Seq(len(events)))
			if _, _, err := tryOpen(dir); err == nil {
				t.Error("a length of other bytes is taken for torn")
			}
		})
	}
}

// TestTornRepair cuts the power again while the repair of a torn tail is recorded: both tails are told.
func TestTornRepair(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	segment := read(t, segmentPath(dir, 1))
	at := boundaries(t, segment)
	write(t, segmentPath(dir, 1), segment[:at[4]-1])
	otherBoot(t, dir, 3)
	j, _ := open(t, dir)
	j.Close()
	repaired := read(t, segmentPath(dir, 1))
	write(t, segmentPath(dir, 1), repaired[:len(repaired)-1])
	otherBoot(t, dir, 3)
	j, events := open(t, dir)
	defer j.Close()
	if len(events) != 5 {
		t.Fatalf("%d events, want genesis, two dels and two repairs", len(events))
	}
	checkRepair(t, dir, events[3], int64(at[3]), repaired[at[3]:len(repaired)-1])
	checkRepair(t, dir, events[4], int64(at[3]), segment[at[3]:at[4]-1])
}

// checkRepair checks that a repair event says what was cut and that it was kept.
func checkRepair(t *testing.T, dir string, ev journal.Event, offset int64, cut []byte) {
	t.Helper()
	if ev.Kind != journal.KindRepair || ev.Cut.Offset != offset || ev.Cut.Bytes != int64(len(cut)) ||
		ev.Cut.File != journal.SegmentName(1) {
		t.Fatalf("repair event says %s %+v, want offset %d and %d bytes", ev.Kind, ev.Cut, offset, len(cut))
	}
	if kept := read(t, filepath.Join(dir, "quarantine", ev.Cut.Quarantine)); !bytes.Equal(kept, cut) {
		t.Fatalf("quarantine holds %x, want %x", kept, cut)
	}
}

func TestZeroTail(t *testing.T) {
	for _, n := range []int{1, 7, 511, 512, 4096, 20000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := newStore(t)
			fill(t, dir, 3)
			segment := read(t, segmentPath(dir, 1))
			write(t, segmentPath(dir, 1), append(bytes.Clone(segment), make([]byte, n)...))
			otherBoot(t, dir, 4)
			_, events := open(t, dir)
			if len(events) != 5 || events[4].Kind != journal.KindRepair {
				t.Fatalf("events:\n%s", ids(events))
			}
			checkRepair(t, dir, events[4], int64(len(segment)), make([]byte, n))
		})
	}
}

// TestAcknowledgedIsNeverCut takes away what the marker says was acknowledged.
func TestAcknowledgedIsNeverCut(t *testing.T) {
	for _, rebooted := range []bool{false, true} {
		t.Run(fmt.Sprintf("rebooted=%t", rebooted), func(t *testing.T) {
			dir := newStore(t)
			fill(t, dir, 3)
			if rebooted {
				otherBoot(t, dir, 4)
			}
			segment := read(t, segmentPath(dir, 1))
			at := boundaries(t, segment)
			for cut := range segment {
				write(t, segmentPath(dir, 1), segment[:cut])
				_, _, err := tryOpen(dir)
				var damage *journal.CorruptionError
				if !errors.As(err, &damage) || damage.Seq == 0 {
					t.Fatalf("cut at %d of %v: %v, want damage", cut, at, err)
				}
				if after := read(t, segmentPath(dir, 1)); !bytes.Equal(after, segment[:cut]) {
					t.Fatalf("cut at %d: refused, but the segment was changed", cut)
				}
			}
		})
	}
}

// TestFlippedBits flips every bit of a small store's segment. Nothing may be accepted, nothing taken
// for a torn tail, even with no marker to witness the last event.
func TestFlippedBits(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 4)
	segment := read(t, segmentPath(dir, 1))
	otherBoot(t, dir, 0)
	lock := read(t, filepath.Join(dir, "lock"))
	for bit := range len(segment) * 8 {
		segment[bit/8] ^= 1 << (bit % 8)
		write(t, segmentPath(dir, 1), segment)
		write(t, filepath.Join(dir, "lock"), lock)
		_, _, err := tryOpen(dir)
		var damage *journal.CorruptionError
		if !errors.As(err, &damage) || damage.File != segmentPath(dir, 1) || damage.Offset < 0 || damage.Seq == 0 {
			t.Fatalf("bit %d of byte %d: %v, want damage with its place", bit%8, bit/8, err)
		}
		segment[bit/8] ^= 1 << (bit % 8)
	}
}

// TestDamageInSealedSegment: only the newest segment can have a torn tail.
func TestDamageInSealedSegment(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 700)
	segment := read(t, segmentPath(dir, 1))
	tests := []struct {
		name string
		hurt func() []byte
	}{
		{"cut", func() []byte { return segment[:len(segment)-3] }},
		{"last entry gone", func() []byte { at := boundaries(t, segment); return segment[:at[len(at)-2]] }},
		{"zeros", func() []byte { return append(bytes.Clone(segment), 0, 0, 0) }},
		{"empty", func() []byte { return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			write(t, segmentPath(dir, 1), tt.hurt())
			defer write(t, segmentPath(dir, 1), segment)
			var damage *journal.CorruptionError
			if _, _, err := tryOpen(dir); !errors.As(err, &damage) {
				t.Errorf("writer: %v, want damage", err)
			}
			r, err := journal.OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Records(0) {
				err = e
			}
			if !errors.As(err, &damage) {
				t.Errorf("reader: %v, want damage", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if err := os.Remove(segmentPath(dir, 1)); err != nil {
			t.Fatal(err)
		}
		var damage *journal.CorruptionError
		if _, _, err := tryOpen(dir); !errors.As(err, &damage) || damage.Seq != 1 {
			t.Errorf("%v, want damage from event 1 on", err)
		}
	})
}

// TestAdoption: a whole entry whose writer died before its sync is adopted, and the marker says so.
func TestAdoption(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[3])
	setMarker(t, dir, journal.StateWriting, 3, 1, size, nil)
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Coverage().Durable; got != 3 {
		t.Errorf("a reader sees event %d while nobody synced it", got)
	}
	j, events := open(t, dir)
	if len(events) != 4 {
		t.Errorf("%d events, want 4", len(events))
	}
	j.Close()
	if r, err = journal.OpenReader(dir); err != nil || r.Coverage().Durable != 4 {
		t.Errorf("after adoption a reader sees event %d, %v, want 4", r.Coverage().Durable, err)
	}
}

// TestFailedMarker: a store whose disk refused an append is cut back before anything else.
func TestFailedMarker(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[3])
	setMarker(t, dir, journal.StateFailed, 3, 1, size, nil)
	r, err := journal.OpenReader(dir)
	if err != nil || !r.Coverage().Fenced {
		t.Errorf("reader: fenced %t, %v", r.Coverage().Fenced, err)
	}
	_, events := open(t, dir)
	if len(events) != 3 {
		t.Errorf("%d events after unfencing, want the 3 that were acknowledged", len(events))
	}
}

// TestFencedAndShort has a fenced store lose what was acknowledged: that is damage, which a repair can see to.
func TestFencedAndShort(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	path := segmentPath(dir, 1)
	size := int64(len(read(t, path)))
	setMarker(t, dir, journal.StateFailed, 4, 1, size, nil)
	truncate(t, path, size-5)
	_, _, err := tryOpen(dir)
	if d := new(journal.CorruptionError); !errors.As(err, &d) || d.Seq != 4 {
		t.Errorf("got %v, want damage at event 4", err)
	}
}

// TestFenceNote: the note in /run fences even if the marker could not be written.
func TestFenceNote(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the note lies in /run")
	}
	dir := newStore(t)
	fill(t, dir, 3)
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	note := journal.FencePath(meta.ID)
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, note, []byte("unreadable"))
	t.Cleanup(func() { os.Remove(note) })
	if _, err := journal.Open(dir, soon()); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[3])
	marker, err := journal.EditMarker(read(t, filepath.Join(dir, "lock")), journal.StateFailed, 3, hashOf(t, dir, 3), 1, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, note, marker)
	setMarker(t, dir, journal.StateIdle, 3, 0, 0, nil)
	if _, events := open(t, dir); len(events) != 3 {
		t.Errorf("%d events, want 3", len(events))
	}
	if _, err := os.Lstat(note); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the note is still there")
	}
}

// TestStaleFenceNote: a note whose append was undone by somebody else must not cut what came after.
func TestStaleFenceNote(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the note lies in /run")
	}
	dir := newStore(t)
	fill(t, dir, 3)
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[3])
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := journal.EditMarker(read(t, filepath.Join(dir, "lock")), journal.StateFailed, 3, hashOf(t, dir, 3), 1, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	note := journal.FencePath(meta.ID)
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, note, stale)
	t.Cleanup(func() { os.Remove(note) })
	if _, events := open(t, dir); len(events) != 4 {
		t.Errorf("%d events, want the 4 that were acknowledged", len(events))
	}
	if _, err := os.Lstat(note); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the note is still there")
	}
}

// TestCutKeepsReservation: the room for releases is there again after a torn tail was cut.
func TestCutKeepsReservation(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	path := segmentPath(dir, 1)
	reserved := func() int64 {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	before := reserved()
	if before < journal.PreallocBytes {
		t.Skipf("the file system reserves nothing: %d bytes", before)
	}
	write(t, path, append(read(t, path), make([]byte, 600)...)) // truncates first, so gives it back
	if reserved() >= before {
		t.Fatal("the reservation is still there: the test reaches nothing")
	}
	open(t, dir)
	if after := reserved(); after < before {
		t.Errorf("%d bytes are reserved after the cut, %d before", after, before)
	}
}

// TestUntoldCut: a tail that was cut by a process that died before it recorded that is told by the next.
func TestUntoldCut(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	size := len(read(t, segmentPath(dir, 1)))
	name := fmt.Sprintf("1-%s-%d", journal.SegmentName(1), size)
	write(t, filepath.Join(dir, "quarantine", name), []byte("tail"))
	otherBoot(t, dir, 4)
	for range 2 { // once, and not again
		j, events := open(t, dir)
		j.Close()
		if len(events) != 5 || events[4].Kind != journal.KindRepair || events[4].Cut.Quarantine != name || events[4].Cut.Bytes != 4 {
			t.Fatalf("events:\n%s", ids(events))
		}
		otherBoot(t, dir, 5)
	}
}

// TestSegmentInTheMaking: a process that died while it made a segment leaves nothing that matters.
func TestSegmentInTheMaking(t *testing.T) {
	dir := newStore(t)
	write(t, filepath.Join(dir, "next"), []byte("half"))
	fill(t, dir, 700)
	if _, events := open(t, dir); len(events) != 701 {
		t.Errorf("%d events, want 701", len(events))
	}
}

// TestReaderAfterReboot: an append of the first writer of this boot is not durable because it can be read.
func TestReaderAfterReboot(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 4)
	otherBoot(t, dir, 4)
	boot := journal.CurrentBoot()
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[4])
	r, err := journal.OpenReaderDuring(dir, func() { setMarker(t, dir, journal.StateWriting, 4, 1, size, &boot) })
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Coverage(); c.Durable != 4 || !c.Live {
		t.Errorf("%+v, want durable 4 of a live store", c)
	}
}

// TestLongMarker: bytes behind the marker make it unreadable once, and not for ever.
func TestLongMarker(t *testing.T) {
	dir := newStore(t)
	lock := filepath.Join(dir, "lock")
	write(t, lock, append(read(t, lock), 'x'))
	fill(t, dir, 3)
	segment := read(t, segmentPath(dir, 1))
	write(t, segmentPath(dir, 1), segment[:len(segment)-20])
	var damage *journal.CorruptionError
	if _, _, err := tryOpen(dir); !errors.As(err, &damage) {
		t.Errorf("an acknowledged event is gone: %v, want damage", err)
	}
}

// TestOddFiles: something else in a file's place is named, and never waited for.
func TestOddFiles(t *testing.T) {
	kinds := map[string]func(path string) error{
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"huge": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 8<<30))
		},
	}
	for kind, put := range kinds {
		for _, name := range []string{"META", "lock", "journal/" + journal.SegmentName(1)} {
			t.Run(kind+" "+name, func(t *testing.T) {
				dir := newStore(t)
				path := filepath.Join(dir, name)
				if err := errors.Join(os.Remove(path), put(path)); err != nil {
					t.Fatal(err)
				}
				j, _, err := tryOpen(dir)
				if err == nil {
					j.Close()
				}
				if err == nil && (kind != "huge" || name != "lock") {
					t.Error("a writer takes it")
				}
				r, err := journal.OpenReader(dir)
				if err == nil {
					for _, err = range r.Records(0) {
						_ = err
					}
				}
				if err == nil && name != "lock" {
					t.Error("a reader takes it")
				}
			})
		}
	}
}

// TestCreationLockDeleted: who makes a store while the creation lock is deleted and another call makes
// it first must not take that away.
func TestCreationLockDeleted(t *testing.T) {
	historyDir := filepath.Join(t.TempDir(), ".leaselog")
	err := journal.Create(historyDir, journal.NewStore{Network: "net", Claim: func(journal.ID) (func(), error) {
		if err := os.RemoveAll(historyDir); err != nil {
			t.Fatal(err)
		}
		fill(t, createStore(t, historyDir), 3)
		return func() {}, nil
	}}, soon())
	if !errors.Is(err, journal.ErrReplaced) {
		t.Errorf("got %v, want ErrReplaced", err)
	}
	if _, events := open(t, filepath.Join(historyDir, "net")); len(events) != 4 {
		t.Errorf("the other call's store holds %d events, want 4", len(events))
	}
}

func TestUnreadableMarker(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("x", journal.MarkerBytes), strings.Repeat("x", 4096)} {
		dir := newStore(t)
		fill(t, dir, 3)
		write(t, filepath.Join(dir, "lock"), []byte(content))
		r, err := journal.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Coverage(); c.Durable != 4 || len(c.Doubts) == 0 || c.Live {
			t.Errorf("reader: %+v", c)
		}
		_, events := open(t, dir)
		if len(events) != 4 {
			t.Errorf("%d events, want 4", len(events))
		}
	}
}

// TestCopy: a copied store is read to its end, and used without trusting the marker's state.
func TestCopy(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	size := int64(boundaries(t, read(t, segmentPath(dir, 1)))[2])
	setMarker(t, dir, journal.StateWriting, 4, 1, size, nil)
	copied := filepath.Join(t.TempDir(), "net")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r, err := journal.OpenReader(copied)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Coverage(); !c.Copy || c.Live || c.Durable != 4 {
		t.Errorf("reader of a copy: %+v", c)
	}
	if _, events := open(t, copied); len(events) != 4 {
		t.Errorf("%d events, want 4", len(events))
	}
}

// TestReaderOfDamagedCopy: what stands before the damage is still told.
func TestReaderOfDamagedCopy(t *testing.T) {
	tests := []struct {
		name string
		hurt func(segment []byte, last int) []byte
		want int // events before the damage
	}{
		{"last record", func(b []byte, last int) []byte { b[last+20] ^= 1; return b }, 4},
		{"last record acknowledged but gone", func(b []byte, last int) []byte { return b[:last] }, 4},
		{"first record", func(b []byte, last int) []byte { b[20] ^= 1; return b }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newStore(t)
			fill(t, dir, 4)
			otherBoot(t, dir, 5)
			segment := read(t, segmentPath(dir, 1))
			at := boundaries(t, segment)
			write(t, segmentPath(dir, 1), tt.hurt(segment, at[len(at)-2]))
			r, err := journal.OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err = range r.Records(0) {
				if err == nil {
					n++
				}
			}
			var damage *journal.CorruptionError
			if n != tt.want || !errors.As(err, &damage) || damage.Seq != journal.Seq(tt.want+1) {
				t.Errorf("%d events, then %v; want %d, then damage", n, err, tt.want)
			}
		})
	}
}

func TestLockTimeout(t *testing.T) {
	dir := newStore(t)
	j, _ := open(t, dir)
	start := time.Now()
	_, err := journal.Open(dir, start.Add(50*time.Millisecond))
	if !errors.Is(err, journal.ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name %s", err, want)
	}
	// Who gave up waiting must not come to hold the lock later.
	j.Close()
	for range 20 {
		j, err := journal.Open(dir, soon())
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	dir := newStore(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			j, _, err := tryOpen(dir)
			if err == nil {
				err = j.Append(del(i))
				j.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, events := open(t, dir); len(events) != 17 {
		t.Errorf("%d events, want 17", len(events))
	}
}

// TestReplaced: what is appended to a store that was deleted meanwhile must not be acknowledged.
func TestReplaced(t *testing.T) {
	for _, what := range []string{"all", "journal", "lock", "moved"} {
		t.Run(what, func(t *testing.T) {
			dir := newStore(t)
			j, _ := open(t, dir)
			if err := j.Append(del(1)); err != nil {
				t.Fatal(err)
			}
			var err error
			switch what {
			case "all":
				err = os.RemoveAll(dir)
			case "moved":
				err = os.Rename(dir, dir+"2")
			default:
				err = os.RemoveAll(filepath.Join(dir, what))
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Append(del(2)); !errors.Is(err, journal.ErrReplaced) {
				t.Errorf("got %v, want ErrReplaced", err)
			}
		})
	}
}

func TestMissingParts(t *testing.T) {
	tests := []struct {
		remove string
		none   bool // nothing that tells of a store is left
	}{{remove: "META"}, {remove: "lock"}, {remove: "journal"}, {remove: ".", none: true}}
	for _, tt := range tests {
		t.Run(tt.remove, func(t *testing.T) {
			dir := newStore(t)
			fill(t, dir, 3)
			if err := os.RemoveAll(filepath.Join(dir, tt.remove)); err != nil {
				t.Fatal(err)
			}
			_, _, err := tryOpen(dir)
			var damage *journal.CorruptionError
			switch {
			case tt.none && !errors.Is(err, journal.ErrNoStore):
				t.Errorf("got %v, want ErrNoStore", err)
			case !tt.none && tt.remove != "journal" && !errors.As(err, &damage):
				t.Errorf("got %v, want damage", err)
			case err == nil:
				t.Error("opened")
			}
		})
	}
}

func TestStrayFile(t *testing.T) {
	dir := newStore(t)
	write(t, filepath.Join(dir, "journal", journal.SegmentName(1)+".END"), nil)
	var damage *journal.CorruptionError
	if _, _, err := tryOpen(dir); !errors.As(err, &damage) || !strings.HasSuffix(damage.File, ".END") {
		t.Errorf("got %v, want damage that names the file", err)
	}
	if _, err := os.Stat(segmentPath(dir, 1)); err != nil {
		t.Error(err)
	}
}

func TestCreateTwice(t *testing.T) {
	historyDir := filepath.Join(t.TempDir(), "a", "b")
	claims := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := journal.Create(historyDir, journal.NewStore{Network: "net", Claim: func(journal.ID) (func(), error) {
				mu.Lock()
				defer mu.Unlock()
				claims++
				return func() {}, nil
			}}, soon())
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if claims != 1 {
		t.Errorf("%d stores were made, want 1", claims)
	}
	entries, err := os.ReadDir(historyDir)
	if err != nil || len(entries) != 2 { // .lock, net
		t.Errorf("history folder holds %v, %v", entries, err)
	}
}

func TestCreateFailureLeavesNothing(t *testing.T) {
	top := t.TempDir()
	undone := false
	blocker := filepath.Join(top, "a", "b", "net")
	err := journal.Create(filepath.Join(top, "a", "b"), journal.NewStore{Network: "net", Claim: func(journal.ID) (func(), error) {
		// A file where the store should be makes the last step fail.
		return func() { undone = true; os.Remove(blocker) }, os.WriteFile(blocker, nil, 0o600)
	}}, soon())
	if err == nil || !undone {
		t.Fatalf("err %v, undone %t", err, undone)
	}
	if entries, err := os.ReadDir(top); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestCreateRemovesStale(t *testing.T) {
	historyDir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(historyDir, ".new-1-00000000", "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	createStore(t, historyDir)
	if _, err := os.Stat(filepath.Join(historyDir, ".new-1-00000000")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the unfinished store of a dead process is still there")
	}
}

func TestNewerFormat(t *testing.T) {
	tests := []struct {
		name           string
		reader, writer int
		read, write    error
	}{
		{"both", 2, 2, journal.ErrNewer, journal.ErrNewer},
		{"writer", 1, 2, nil, journal.ErrNewer},
		{"neither", 1, 1, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newStore(t)
			meta, err := journal.ReadMeta(dir)
			if err != nil {
				t.Fatal(err)
			}
			meta.MinReader, meta.MinWriter = tt.reader, tt.writer
			write(t, filepath.Join(dir, "META"), meta.EncodeMeta())
			if _, err := journal.OpenReader(dir); !errors.Is(err, tt.read) {
				t.Errorf("reader: %v, want %v", err, tt.read)
			}
			if _, _, err := tryOpen(dir); !errors.Is(err, tt.write) {
				t.Errorf("writer: %v, want %v", err, tt.write)
			}
		})
	}
}

func TestDamagedMeta(t *testing.T) {
	dir := newStore(t)
	path := filepath.Join(dir, "META")
	meta := read(t, path)
	for bit := range len(meta) * 8 {
		meta[bit/8] ^= 1 << (bit % 8)
		write(t, path, meta)
		var damage *journal.CorruptionError
		if _, err := journal.ReadMeta(dir); !errors.As(err, &damage) || damage.File != path {
			t.Fatalf("bit %d: %v, want damage of META", bit, err)
		}
		meta[bit/8] ^= 1 << (bit % 8)
	}
}

// TestArchive moves segments away while a reader and a writer go on.
func TestArchive(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 1000)
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Seq == 2 { // the reader has listed the folder by now
			if _, err := journal.Archive(dir, 900, soon()); err != nil {
				t.Fatal(err)
			}
		}
		n++
	}
	if n != 1001 {
		t.Errorf("read %d events while segments moved, want 1001", n)
	}
	left, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil || len(left) == 0 || len(left) > 2 {
		t.Errorf("%d segments left in journal/, %v", len(left), err)
	}
	if _, events := open(t, dir); len(events) != 1001 {
		t.Errorf("%d events from archive and journal, want 1001", len(events))
	}
	if _, err := journal.Archive(dir, 900, soon()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestReaderListsAgain: a segment that is not where a listing had it, or that a listing missed, may
// have moved meanwhile; one that stays away is missing.
func TestReaderListsAgain(t *testing.T) {
	tests := []struct {
		name          string
		hide, restore int // the call of the hook that hides a segment and brings it back, 0 = never
		damage        bool
	}{
		{"moved after the listing", 2, 3, false},
		{"missed by the listing", 1, 3, false},
		{"gone", 1, 0, true},
		{"gone after the listing", 2, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newStore(t)
			fill(t, dir, 1200)
			segments, err := os.ReadDir(filepath.Join(dir, "journal"))
			if err != nil || len(segments) < 3 {
				t.Fatalf("%d segments, %v", len(segments), err)
			}
			path := filepath.Join(dir, "journal", segments[1].Name())
			r, err := journal.OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			r.OnListing(func(bool) {
				calls++
				if calls == tt.hide {
					err = os.Rename(path, filepath.Join(dir, "away"))
				}
				if calls == tt.restore {
					err = os.Rename(filepath.Join(dir, "away"), path)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			n := 0
			var damage *journal.CorruptionError
			for _, err := range r.Records(0) {
				if err != nil && !errors.As(err, &damage) {
					t.Fatal(err)
				}
				n++
			}
			if got := damage != nil; got != tt.damage || !got && n != 1201 {
				t.Errorf("%d events, damage %v", n, damage)
			}
		})
	}
}

// TestLoadOverBase: what a snapshot covers is not read again, but the seam has to fit.
func TestLoadOverBase(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 600)
	j, events := open(t, dir)
	hash := func(seq journal.Seq) journal.Hash {
		if int(seq) == len(events) {
			return j.Head()
		}
		return events[seq].Prev
	}
	for _, base := range []journal.Seq{1, 200, 201, 599, 601} {
		n := 0
		if err := j.Load(base, hash(base), func(*journal.Event) error { n++; return nil }); err != nil || n != 601-int(base) {
			t.Errorf("base %d: %d events, %v, want %d", base, n, err, 601-int(base))
		}
		var damage *journal.CorruptionError
		if err := j.Load(base, journal.Hash{1}, func(*journal.Event) error { return nil }); !errors.As(err, &damage) {
			t.Errorf("base %d with another hash: %v, want damage", base, err)
		}
	}
	var damage *journal.CorruptionError
	if err := j.Load(700, hash(1), func(*journal.Event) error { return nil }); !errors.As(err, &damage) {
		t.Errorf("base beyond the end: %v, want damage", err)
	}
}

func TestForkIsDamage(t *testing.T) {
	dir := newStore(t)
	fill(t, dir, 3)
	old := read(t, segmentPath(dir, 1))
	at := boundaries(t, old)
	write(t, segmentPath(dir, 1), old[:at[3]])
	otherBoot(t, dir, 3)
	fill(t, dir, 1) // another event 4
	write(t, segmentPath(dir, 1), old)
	var damage *journal.CorruptionError
	if _, _, err := tryOpen(dir); !errors.As(err, &damage) || damage.Seq != 4 {
		t.Errorf("got %v, want damage at event 4", err)
	}
}

func TestBatchLimit(t *testing.T) {
	dir := newStore(t)
	j, _ := open(t, dir)
	var events []*journal.Event
	bytes := 0
	for bytes <= journal.MaxBatch {
		ev := del(len(events))
		n, err := journal.EventBytes(ev)
		if err != nil {
			t.Fatal(err)
		}
		bytes += n
		events = append(events, ev)
	}
	if err := j.Append(append(events, events...)...); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if err := j.Append(events[:len(events)-1]...); err != nil {
		t.Errorf("a batch within the limit: %v", err)
	}
}

func TestDropped(t *testing.T) {
	dir := newStore(t)
	j, _ := open(t, dir)
	ev := del(1)
	ev.NetNS, ev.TraceParent = strings.Repeat("n", 5000), "00-ab"
	if err := j.Append(ev); err != nil {
		t.Fatal(err)
	}
	j.Close()
	_, events := open(t, dir)
	if got := fmt.Sprint(events[1].Dropped); got != "[traceparent netns]" || events[1].ContainerID != "c1" {
		t.Errorf("dropped %s of %+v", got, events[1])
	}
}

// TestDroppedNamespace drops a namespace's path and its identity as one: either says little without the other.
func TestDroppedNamespace(t *testing.T) {
	dir := newStore(t)
	j, _ := open(t, dir)
	ev := del(1)
	ev.NetNS, ev.NetNSID = strings.Repeat("n", 5000), journal.NetNSID{Inode: 7, Made: 8}
	alone := del(2)
	alone.NetNSID = ev.NetNSID
	alone.ContainerID = strings.Repeat("c", 5000)
	alone.ContainerID = alone.ContainerID[:longestID(t, alone)+1] // fits without the identity alone
	if err := j.Append(ev, alone); err != nil {
		t.Fatal(err)
	}
	j.Close()
	_, events := open(t, dir)
	for _, ev := range events[1:] {
		if got := fmt.Sprint(ev.Dropped); got != "[netns]" || ev.NetNS != "" || ev.NetNSID != (journal.NetNSID{}) {
			t.Errorf("dropped %s of event %d, netns %q, %v", got, ev.Seq, ev.NetNS, ev.NetNSID)
		}
	}
}

// longestID returns how long a container's ID may be so that the event fits a record with all that it says.
func longestID(t *testing.T, ev *journal.Event) int {
	t.Helper()
	fit := *ev
	fit.Synced, fit.Seq, fit.MaxError = 1, 2, time.Hour
	n := sort.Search(len(ev.ContainerID), func(n int) bool {
		fit.ContainerID = ev.ContainerID[:n]
		_, err := journal.AppendRecord(nil, testID, &fit)
		return err != nil
	})
	return n - 1
}

func Example() {
	top, err := os.MkdirTemp("", "leaselog")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(top)
	deadline := time.Now().Add(time.Minute)
	claim := func(journal.ID) (func(), error) { return func() {}, nil }
	if err := journal.Create(top, journal.NewStore{Network: "net", Claim: claim}, deadline); err != nil {
		fmt.Println(err)
		return
	}
	j, err := journal.Open(filepath.Join(top, "net"), deadline)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer j.Close()
	show := func(ev *journal.Event) error { fmt.Println(ev.Seq, ev.Kind); return nil }
	if err := j.Load(0, journal.Hash{}, show); err != nil {
		fmt.Println(err)
		return
	}
	ev := &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: "c1", IfName: "eth0"}
	if err := j.Append(ev); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ev.Seq, ev.Kind, "is durable")
	// Output:
	// 1 genesis
	// 2 del is durable
}

// TestNetworkFS: the numbers are those of statfs(2). FUSE and overlay are fine.
func TestNetworkFS(t *testing.T) {
	tests := []struct {
		magic int64
		want  string
	}{
		{unix.NFS_SUPER_MAGIC, "NFS"}, {unix.SMB_SUPER_MAGIC, "SMB"}, {unix.CIFS_SUPER_MAGIC, "SMB"},
		{unix.SMB2_SUPER_MAGIC, "SMB"}, {unix.AFS_SUPER_MAGIC, "AFS"}, {unix.AFS_FS_MAGIC, "AFS"},
		{unix.CEPH_SUPER_MAGIC, "Ceph"}, {unix.V9FS_MAGIC, "9p"}, {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
		{unix.EXT4_SUPER_MAGIC, ""}, {unix.XFS_SUPER_MAGIC, ""}, {unix.BTRFS_SUPER_MAGIC, ""}, {unix.TMPFS_MAGIC, ""},
		{unix.FUSE_SUPER_MAGIC, ""}, {unix.OVERLAYFS_SUPER_MAGIC, ""},
	}
	for _, tt := range tests {
		if got := journal.NetworkFS(tt.magic); got != tt.want {
			t.Errorf("magic %#x: got %q, want %q", tt.magic, got, tt.want)
		}
		if got := journal.NetworkFS(int64(int32(tt.magic))); got != tt.want { // as a 32-bit kernel has it
			t.Errorf("magic %#x, sign-extended: got %q, want %q", tt.magic, got, tt.want)
		}
	}
}

// TestSyncAncestors: /proc has nothing to sync, as the read-only images that some systems boot from.
func TestSyncAncestors(t *testing.T) {
	if err := journal.SyncDir("/proc"); err == nil {
		t.Skip("a folder of /proc can be synced here: the test reaches nothing")
	}
	if err := journal.SyncAncestors("/proc/self/x"); err != nil {
		t.Errorf("above /proc/self/x: %v", err)
	}
}
