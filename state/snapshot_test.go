package state_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// smallState has a bit of everything, in one block per section.
func smallState(t testing.TB) *state.State {
	t.Helper()
	clock := journal.Clock{Wall: 1_800_000_000_123_456_789, BootTime: 4_200_000_000, Boot: journal.BootID{0xb0, 0x07}, Synchronised: true, MaxError: 1500 * time.Microsecond}
	full := add(strings.Repeat("0123456789abcdef", 4), "eth0", addr(0, "10.0.0.2/24"), addr(1, "fd00::2/64"))
	full.Addresses[0].Gateway, full.Addresses[1].Gateway = ip("10.0.0.1"), ip("fd00::1")
	full.NetNS = "/var/run/netns/cni-01234567-89ab-cdef-0123-456789abcdef"
	full.Pod = journal.Pod{Namespace: "default", Name: "web-0", UID: "fedcba98-7654-3210-fedc-ba9876543210"}
	full.Cursors = []journal.Cursor{{Set: 0, IP: ip("10.0.0.2")}, {Set: 1, IP: ip("fd00::2")}}
	events := numbered(
		journal.Event{Kind: journal.KindGenesis},
		journal.Event{Kind: journal.KindConfig, Digest: journal.Hash{0xd1, 0x9e}},
		full,
		journal.Event{Kind: journal.KindImport, ContainerID: "legacy", Addresses: []journal.Address{addr(0, "10.0.0.3/24")}, Claimed: 1_700_000_000_000_000_000},
		journal.Event{Kind: journal.KindImport, Blocked: true, Addresses: []journal.Address{addr(0, "10.0.0.9/24")}},
		add("gone", "eth0", addr(0, "10.0.0.5/24")),
		del("gone", "eth0", addr(0, "10.0.0.5/24")),
	)
	for i := range events {
		events[i].Clock = clock
		events[i].Clock.BootTime += int64(i)
	}
	st := state.New()
	mustApply(t, st, events...)
	return st
}

// annotatedState is smallState in which it is known since where two of its containers are, and whose.
func annotatedState(t testing.TB) *state.State {
	t.Helper()
	st := smallState(t)
	full := annotate(strings.Repeat("0123456789abcdef", 4), "eth0", addr(1, "fd00::2/64"))
	full.NetNSID = journal.NetNSID{Inode: 4026532281, Made: 1_799_999_999_123_456_789}
	legacy := annotate("legacy", "", addr(0, "10.0.0.3/24"))
	legacy.NetNSID.Made = 0
	for _, ev := range []journal.Event{full, legacy} {
		ev.Seq, ev.Clock = st.Seq()+1, st.LastClock()
		mustApply(t, st, ev)
	}
	return st
}

// answers asks a state everything that smallState has an answer to.
func answers(st *state.State) ([]any, error) {
	var got []any
	var errs []error
	note := func(v any, err error) { got, errs = append(got, v), append(errs, err) }
	for _, s := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.9", "fd00::2", "fd00::3"} {
		l, ok, err := st.Lease(ip(s))
		note([]any{l, ok}, err)
		free, ok, err := st.NextFree(ip(s), netipLast(ip(s)))
		note([]any{free, ok}, err)
	}
	for _, id := range []string{strings.Repeat("0123456789abcdef", 4), "legacy", "gone"} {
		for _, ifname := range []string{"eth0", ""} {
			held, err := st.Held(state.Attachment{ContainerID: id, IfName: ifname})
			note(held, err)
		}
	}
	for l, err := range st.Leases() {
		note(l, err)
	}
	note([]any{st.Seq(), st.Head(), st.Len(), st.LastClock(), st.Cursors()}, nil)
	return got, errors.Join(errs...)
}

// checkDamaged writes bytes that are not a snapshot and checks that this is noticed.
func checkDamaged(t *testing.T, path string, b []byte, what string, want []any) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	checkNoticed(t, path, what, want)
}

// checkNoticed opens a damaged snapshot: opening or Verify has to notice, and lookups
// that give no error must give the right answers.
func checkNoticed(t *testing.T, path, what string, want []any) {
	t.Helper()
	s, err := state.OpenSnapshot(path, testID)
	if err == nil {
		defer s.Close()
		err = s.Verify()
		got, failed := answers(state.Over(s))
		if failed == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: wrong answers without an error", what)
		}
	}
	var damage *journal.CorruptionError
	if !errors.As(err, &damage) || damage.File != path {
		t.Errorf("%s: got %v, want a CorruptionError that names %s", what, err, path)
	}
}

// TestEveryBit flips every bit where something is written, and in the long stretches of
// padding one bit a byte, another one in each.
func TestEveryBit(t *testing.T) {
	st := smallState(t)
	path := writeSnapshot(t, t.TempDir(), st)
	good := readFile(t, path)
	want, err := answers(state.Over(openSnapshot(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	if direct, _ := answers(st); !reflect.DeepEqual(want, direct) {
		t.Fatalf("the snapshot answers\n%v, its state\n%v", want, direct)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, b := range good {
		padding := len(bytes.Trim(good[max(0, at-8):min(len(good), at+8)], "\x00")) == 0
		if padding && testing.Short() {
			continue
		}
		for bit := range 8 {
			if padding && bit != at%8 {
				continue
			}
			if _, err := f.WriteAt([]byte{b ^ 1<<bit}, int64(at)); err != nil {
				t.Fatal(err)
			}
			checkNoticed(t, path, fmt.Sprintf("bit %d of byte %d", bit, at), want)
		}
		if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	checkIntact(t, path)
}

func checkIntact(t *testing.T, path string) {
	t.Helper()
	if err := openSnapshot(t, path).Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestEveryLength(t *testing.T) {
	path := writeSnapshot(t, t.TempDir(), smallState(t))
	good := readFile(t, path)
	damaged := filepath.Join(t.TempDir(), "damaged.snap")
	for n := 0; n < len(good); n += 7 {
		checkDamaged(t, damaged, good[:n], fmt.Sprintf("cut to %d bytes", n), nil)
	}
	checkDamaged(t, damaged, append(slices.Clone(good), 0), "a byte more", nil)
	checkDamaged(t, damaged, append(slices.Clone(good), make([]byte, state.BlockBytes)...), "a block more", nil)
	swapped := slices.Concat(good[:state.BlockBytes], good[2*state.BlockBytes:3*state.BlockBytes], good[state.BlockBytes:2*state.BlockBytes], good[3*state.BlockBytes:])
	checkDamaged(t, damaged, swapped, "two blocks swapped", nil)
}

// TestCutWhileOpen covers a file that gets shorter under an open snapshot.
func TestCutWhileOpen(t *testing.T) {
	path := writeSnapshot(t, t.TempDir(), smallState(t))
	s := openSnapshot(t, path)
	if err := os.Truncate(path, state.BlockBytes); err != nil {
		t.Fatal(err)
	}
	var damage *journal.CorruptionError
	if _, err := state.Over(s).Held(state.Attachment{ContainerID: "legacy"}); !errors.As(err, &damage) {
		t.Errorf("Held = %v, want a CorruptionError", err)
	}
	if _, _, err := state.Over(s).NextFree(ip("10.0.0.1"), ip("10.0.0.9")); !errors.As(err, &damage) {
		t.Errorf("NextFree = %v, want a CorruptionError", err)
	}
	if err := state.Over(s).Apply(&journal.Event{Seq: 8, Kind: journal.KindAdd, ContainerID: "c", Addresses: []journal.Address{addr(0, "10.0.0.1/24")}}); !errors.As(err, &damage) || damage.File != path {
		t.Errorf("Apply = %v, want a CorruptionError of the snapshot", err)
	}
	if _, err := state.WriteSnapshot(t.TempDir(), testID, "net", state.Over(s)); !errors.As(err, &damage) {
		t.Errorf("WriteSnapshot = %v, want a CorruptionError", err)
	}
}

func TestOpenSnapshotRefuses(t *testing.T) {
	good := readFile(t, writeSnapshot(t, t.TempDir(), smallState(t)))
	version := bytes.Index(good, []byte("version")) + len("version")
	reader := bytes.Index(good, []byte("min_reader")) + len("min_reader")
	set := func(at int, v byte) func([]byte) { return func(b []byte) { b[at] = v } }
	tests := []struct {
		name   string
		file   string
		id     journal.ID
		change func([]byte)
		want   string // "" = no error
		newer  bool
	}{
		{name: "as written", file: state.SnapshotName(7), id: testID},
		{name: "any journal", file: state.SnapshotName(7)},
		{name: "name of no snapshot", file: "copy", id: testID},
		{name: "name of another", file: state.SnapshotName(8), id: testID, want: "holds the state after event 7, against its name"},
		{name: "another journal", file: "x", id: journal.ID{9}, want: "belongs to journal 0102030405060708090a0b0c0d0e0f10, not to 09000000000000000000000000000000"},
		{name: "for a later reader", file: "x", id: testID, change: func(b []byte) { b[version], b[reader] = 2, 2 }, want: "for version 2 and up", newer: true},
		{name: "by a later writer, for this reader", file: "x", id: testID, change: set(version, 2)},
		{name: "contradictory versions", file: "x", id: testID, change: set(reader, 0), want: "header contradicts itself"},
		{name: "something else", file: "x", id: testID, change: set(10, 'x'), want: "not a snapshot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := slices.Clone(good)
			if tt.change != nil {
				tt.change(b)
				state.Reseal(b)
			}
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := state.OpenSnapshot(path, tt.id)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("OpenSnapshot: %v", err)
				}
				defer s.Close()
				if err := s.Verify(); err != nil {
					t.Errorf("Verify: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("OpenSnapshot = %v, want %q and the path", err, tt.want)
			}
			var damage *journal.CorruptionError
			if errors.Is(err, journal.ErrNewer) != tt.newer || errors.As(err, &damage) == tt.newer {
				t.Errorf("OpenSnapshot = %T: newer must not be damage, and damage not newer", err)
			}
		})
	}
	if _, err := state.OpenSnapshot(filepath.Join(t.TempDir(), "none"), testID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenSnapshot = %v, want one that wraps fs.ErrNotExist", err)
	}
}

func TestSnapshotSays(t *testing.T) {
	path := writeSnapshot(t, t.TempDir(), smallState(t))
	s := openSnapshot(t, path)
	got := []any{s.Seq(), s.Head(), s.ID(), s.Network(), s.Len(), filepath.Base(path)}
	want := []any{journal.Seq(7), hashOf(7), testID, "net", 4, "00000000000000000007.snap"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("snapshot says %v, want %v", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.FileMode(0o600); got != want {
		t.Errorf("mode = %v, want %v", got, want)
	}
}

func TestEmptySnapshot(t *testing.T) {
	path := writeSnapshot(t, t.TempDir(), state.New())
	s := openSnapshot(t, path)
	if err := s.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
	st := state.Over(s)
	if held, err := st.Held(state.Attachment{ContainerID: "c", IfName: "eth0"}); held != nil || err != nil {
		t.Errorf("Held = %v, %v, want nothing", held, err)
	}
	if got, ok, err := st.NextFree(ip("10.0.0.1"), ip("10.0.0.1")); got != ip("10.0.0.1") || !ok || err != nil {
		t.Errorf("NextFree = %s, %t, %v, want 10.0.0.1", got, ok, err)
	}
	mustApply(t, st, journal.Event{Seq: 1, Kind: journal.KindGenesis})
}

func TestWriteSnapshotLeavesNothing(t *testing.T) {
	over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), smallState(t))))
	if _, err := state.WriteSnapshot(t.TempDir(), journal.ID{9}, "net", over); err == nil || !strings.Contains(err.Error(), "leases are of journal") {
		t.Errorf("WriteSnapshot for another journal = %v, want a refusal", err)
	}
	if _, err := state.WriteSnapshot(filepath.Join(t.TempDir(), "none"), testID, "net", over); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteSnapshot = %v, want one that wraps fs.ErrNotExist", err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, state.SnapshotName(7), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := state.WriteSnapshot(dir, testID, "net", over); err == nil {
		t.Error("WriteSnapshot over a folder: no error")
	}
	stale := filepath.Join(dir, fmt.Sprintf("tmp.%d", os.Getpid()))
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(%s) = %v, want that it is gone", stale, err)
	}
	if err := os.WriteFile(stale, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, state.SnapshotName(7))); err != nil {
		t.Fatal(err)
	}
	if err := openSnapshot(t, writeSnapshot(t, dir, over)).Verify(); err != nil {
		t.Errorf("Verify after a stale file: %v", err)
	}
}

// TestLongHeader has more cursors than one block holds.
func TestLongHeader(t *testing.T) {
	st := state.New()
	for i := range 1000 {
		mustApply(t, st, journal.Event{Seq: journal.Seq(i + 1), Kind: journal.KindImport, Cursors: []journal.Cursor{{Set: 999 - i, IP: ip("fd00::1")}}})
	}
	mustApply(t, st, journal.Event{Seq: 1001, Kind: journal.KindAdd, ContainerID: "c", IfName: "eth0", Addresses: []journal.Address{addr(0, "10.0.0.1/24")}})
	path := writeSnapshot(t, t.TempDir(), st)
	s := openSnapshot(t, path)
	if err := s.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
	over := state.Over(s)
	if got, want := over.Cursors(), st.Cursors(); len(got) != 1000 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d cursors, want the same 1000", len(got))
	}
	if held, err := over.Held(state.Attachment{ContainerID: "c", IfName: "eth0"}); len(held) != 1 || err != nil {
		t.Errorf("Held = %v, %v, want one lease", held, err)
	}
	b := readFile(t, path)
	b[2*state.BlockBytes+100] ^= 1
	checkDamaged(t, filepath.Join(t.TempDir(), "damaged"), b, "third header block", nil)
}

// TestStatesShareSnapshot checks that a state over a snapshot leaves it as it is.
func TestStatesShareSnapshot(t *testing.T) {
	s := openSnapshot(t, writeSnapshot(t, t.TempDir(), smallState(t)))
	one, other := state.Over(s), state.Over(s)
	mustApply(t, one,
		journal.Event{Seq: 8, Kind: journal.KindImport, Cursors: []journal.Cursor{{Set: 0, IP: ip("10.0.0.77")}}},
		journal.Event{Seq: 9, Kind: journal.KindConfig, Digest: journal.Hash{0xd1, 0x9e}},
	)
	if got, _ := other.Cursor(0); got != ip("10.0.0.2") {
		t.Errorf("Cursor = %s, want 10.0.0.2", got)
	}
	if got, _ := other.Config(journal.Hash{0xd1, 0x9e}); got != 2 {
		t.Errorf("Config = %d, want 2", got)
	}
}

// TestManyBlocks has sections of many blocks, which random histories are too short for.
func TestManyBlocks(t *testing.T) {
	const leases = 4000
	st := state.New()
	a := ip("10.0.0.0")
	id := func(i int) string { return fmt.Sprintf("%064x", i) }
	for i := range leases {
		ev := add(id(i), "eth0", journal.Address{IP: a, Bits: 8})
		if i%2 == 1 {
			ev.NetNS = strings.Repeat("n", i%300)
		}
		ev.Seq = journal.Seq(i + 1)
		mustApply(t, st, ev)
		if a = a.Next(); i%3 == 0 {
			a = a.Next()
		}
	}
	path := writeSnapshot(t, t.TempDir(), st)
	s := openSnapshot(t, path)
	if err := s.Verify(); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	over, i := state.Over(s), 0
	for want := range st.Leases() {
		got, ok, err := over.Lease(want.IP)
		if got != want || !ok || err != nil {
			t.Fatalf("Lease(%s) = %v, %t, %v, want %v", want.IP, got, ok, err, want)
		}
		held, err := over.Held(state.Attachment{ContainerID: id(i), IfName: "eth0"})
		if len(held) != 1 || held[0] != want || err != nil {
			t.Fatalf("Held(%s) = %v, %v, want %v", id(i), held, err, want)
		}
		if held, err := over.Held(state.Attachment{ContainerID: id(i), IfName: "net1"}); held != nil || err != nil {
			t.Fatalf("Held(%s/net1) = %v, %v, want nothing", id(i), held, err)
		}
		i++
	}
	checkPadding(t, readFile(t, path))
}

// checkPadding checks that nothing is left over after the leases of a block.
func checkPadding(t *testing.T, b []byte) {
	t.Helper()
	at := bytes.Index(b, []byte("sections")) + len("sections") + 3 // two arrays and the number of the section
	first, n := binary.BigEndian.Uint32(b[at+1:]), binary.BigEndian.Uint32(b[at+6:])
	if n < 100 {
		t.Fatalf("%d blocks of leases, want many", n)
	}
	for number := first; number < first+n; number++ {
		payload := b[number*state.BlockBytes+3:][:state.BlockBytes-8]
		leases := int(binary.BigEndian.Uint16(payload))
		end := binary.BigEndian.Uint16(payload[2+2*leases:])
		if len(bytes.Trim(payload[end:], "\x00")) > 0 {
			t.Fatalf("block %d has something after its %d leases", number, leases)
		}
	}
}

// TestContradictions changes single fields and puts the checksums right.
func TestContradictions(t *testing.T) {
	good := readFile(t, writeSnapshot(t, t.TempDir(), func() *state.State {
		st := smallState(t)
		mustApply(t, st, journal.Event{Seq: 8, Kind: journal.KindConfig, Digest: journal.Hash{1}})
		return st
	}()))
	after := func(key string, n int) int { return bytes.Index(good, []byte(key)) + len(key) + n }
	const leases, owners, runs = state.BlockBytes + 3, 2*state.BlockBytes + 3, 3*state.BlockBytes + 3
	tests := []struct {
		name string
		at   int
		to   []byte
		open bool // opens, and only Verify notices
	}{
		{"version 0", after("version", 0), []byte{0}, false},
		{"version that is no number", after("version", 0), []byte{0xc0}, false},
		{"fewer keys", 3, []byte{0x8d}, false},
		{"no header block", after("headers", 1), []byte{0, 0, 0, 0}, false},
		{"more header blocks than blocks", after("headers", 1), []byte{0xff, 0xff, 0xff, 0xff}, false},
		{"more leases", after("leases", 1), []byte{0, 0, 0, 0, 0, 0, 0, 5}, false},
		{"leases beyond measure", after("leases", 1), []byte{0x7f, 0, 0, 0, 0, 0, 0, 5}, false},
		{"no such section", after("sections", 2), []byte{9}, false},
		{"section elsewhere", after("sections", 7), []byte{2}, false},
		{"other size", after("blocks", 1), []byte{0, 0, 0, 9}, false},
		{"cursor of a mapped address", after("cursors", 2), []byte{1, 0xc4, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, false},
		{"configs out of order", after("configs", 1+1+2+32), []byte{8}, false},
		{"config after the snapshot", after("configs", 1+1+2+32+1+1+2+32), []byte{9}, false},
		{"something after the header", state.BlockBytes - 6, []byte{1}, false},
		{"no leases in a block", leases, []byte{0, 0}, true},
		{"too many leases in a block", leases, []byte{0xff, 0xff}, true},
		{"lease before the offsets' end", leases + 2, []byte{0, 2}, true},
		{"empty lease", leases + 4, []byte{0, 12}, true},
		{"lease beyond the block", leases + 10, []byte{0xff, 0}, true},
		{"leases out of order", leases + 12 + 6, []byte{9}, true},
		{"owner of another fingerprint", owners, []byte{0xff}, true},
		{"owner in no block of leases", owners + 8, []byte{0, 0, 0, 4}, true},
		{"owner beyond the file", owners + 8, []byte{0xff, 0xff, 0xff, 0xff}, true},
		{"run that is too long", runs + 7, []byte{4}, true},
		{"run that ends before it begins", runs + 4, []byte{0}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := slices.Clone(good)
			copy(b[tt.at:], tt.to)
			if bytes.Equal(b, good) {
				t.Fatal("nothing was changed")
			}
			state.Reseal(b)
			path := filepath.Join(t.TempDir(), "changed")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := state.OpenSnapshot(path, testID)
			if (err == nil) != tt.open {
				t.Errorf("OpenSnapshot: %v", err)
			}
			if err == nil {
				defer s.Close()
				err = s.Verify()
				_, failed := answers(state.Over(s))
				checkKind(t, failed)
				if tt.at < owners && failed == nil {
					t.Error("no lookup notices")
				}
			}
			var damage *journal.CorruptionError
			if !errors.As(err, &damage) {
				t.Errorf("got %v, want a CorruptionError", err)
			}
		})
	}
}

func TestConfigs(t *testing.T) {
	st := state.New()
	for i := range 100 {
		mustApply(t, st, journal.Event{Seq: journal.Seq(i + 1), Kind: journal.KindConfig, Digest: journal.Hash{byte(i)}})
	}
	// The oldest one kept is recorded again: it becomes the newest, and none is forgotten.
	mustApply(t, st, journal.Event{Seq: 101, Kind: journal.KindConfig, Digest: journal.Hash{36}})
	over := state.Over(openSnapshot(t, writeSnapshot(t, t.TempDir(), st)))
	for name, st := range map[string]*state.State{"events": st, "snapshot": over} {
		for i := range 100 {
			want := journal.Seq(i + 1)
			switch {
			case i < 36:
				want = 0
			case i == 36:
				want = 101
			}
			if got, ok := st.Config(journal.Hash{byte(i)}); got != want || ok != (want > 0) {
				t.Errorf("%s: Config(%d) = %d, %t, want %d", name, i, got, ok, want)
			}
		}
	}
}

// TestMsgpackWalk reads a snapshot with the msgpack library: the file is a stream of
// bin16 and uint32, the header and every lease are values that it understands.
func TestMsgpackWalk(t *testing.T) {
	b := readFile(t, writeSnapshot(t, t.TempDir(), smallState(t)))
	d := msgpack.NewDecoder(bytes.NewReader(b))
	var payloads [][]byte
	for {
		payload, err := d.DecodeBytes()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.DecodeUint32(); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	if got, want := len(payloads), 5; got != want {
		t.Fatalf("%d blocks, want %d", got, want)
	}
	head, err := msgpack.NewDecoder(bytes.NewReader(payloads[0])).DecodeMap()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"format": "leaselog snapshot", "network": "net", "leases": uint64(4), "blocks": uint32(5), "seq": uint64(7)} {
		if got := head[key]; got != want {
			t.Errorf("header: %s = %v, want %v", key, got, want)
		}
	}
	leases := payloads[1]
	for i := range int(binary.BigEndian.Uint16(leases)) {
		from, to := binary.BigEndian.Uint16(leases[2+2*i:]), binary.BigEndian.Uint16(leases[4+2*i:])
		d := msgpack.NewDecoder(bytes.NewReader(leases[from:to]))
		n, err := d.DecodeArrayLen()
		if n != 12 || err != nil {
			t.Fatalf("lease %d: array of %d, %v, want 12", i, n, err)
		}
		for range n {
			if err := d.Skip(); err != nil {
				t.Errorf("lease %d: %v", i, err)
			}
		}
		if _, err := d.PeekCode(); !errors.Is(err, io.EOF) {
			t.Errorf("lease %d: bytes after the array, %v", i, err)
		}
	}
}

var freeze = flag.Bool("freeze", false, "write the golden snapshot if it is missing")

// TestGolden pins the format: the files of version 1 are never written again.
func TestGolden(t *testing.T) {
	for name, st := range map[string]func(testing.TB) *state.State{
		"00000000000000000007.snap": smallState,
		"00000000000000000009.snap": annotatedState,
	} {
		t.Run(name, func(t *testing.T) { checkGolden(t, name, st) })
	}
}

func checkGolden(t *testing.T, name string, golden func(testing.TB) *state.State) {
	t.Helper()
	path := filepath.Join("testdata", "v1", name+".hex")
	got := dump(readFile(t, writeSnapshot(t, t.TempDir(), golden(t))))
	if _, err := os.Stat(path); *freeze && errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := string(readFile(t, path))
	if got != want {
		t.Errorf("snapshot differs from %s:\n%s", path, got)
	}
	opened := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(opened, undump(t, want), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSnapshot(t, opened)
	if err := s.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
	old, err := answers(state.Over(s))
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := answers(golden(t)); !reflect.DeepEqual(old, now) {
		t.Errorf("the golden snapshot answers\n%v, want\n%v", old, now)
	}
}

// dump writes bytes as hex, 32 a line, without the lines of zeros.
func dump(b []byte) string {
	var out strings.Builder
	for at := 0; at < len(b); at += 32 {
		if line := b[at : at+32]; len(bytes.Trim(line, "\x00")) > 0 {
			fmt.Fprintf(&out, "%06x %x\n", at, line)
		}
	}
	return out.String()
}

func undump(t *testing.T, text string) []byte {
	t.Helper()
	var b []byte
	for line := range strings.Lines(text) {
		var at int
		var digits string
		if _, err := fmt.Sscanf(line, "%x %s", &at, &digits); err != nil {
			t.Fatal(err)
		}
		b = append(b, make([]byte, at-len(b))...)
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, raw...)
	}
	return b
}
