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

func TestLeaseRecords(t *testing.T) {
	uuid, hex64 := "01234567-89ab-cdef-0123-456789abcdef", strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name   string
		id     string
		netns  string
		maxLen int
	}{
		{"hex ID", hex64, "/var/run/netns/cni-" + uuid, 192},
		{"upper-case hex", strings.ToUpper(hex64), strings.ToUpper(uuid), 224},
		{"63 digits", hex64[:63], hex64, 219},
		{"65 digits", hex64 + "0", "", 200},
		{"UUID", uuid, uuid, 156},
		{"hex then UUID", hex64[:28] + uuid, "x" + uuid, 187},
		{"nearly UUID", "01234567-89ab-cdef-0123_456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg", 196},
		{"dashes", strings.Repeat("-", 36), strings.Repeat("-", 64), 224},
		{"long", strings.Repeat("x", 3<<10), strings.Repeat("y", 300), 4000},
		{"long before a UUID", strings.Repeat("x", 239) + uuid, strings.Repeat("y", 240) + uuid, 700},
		{"not UTF-8", "\xff\xfe", "\x00", 125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := state.Lease{
				Address:    journal.Address{Set: 70000, IP: ip("fd00::1"), Bits: 128, Gateway: ip("10.0.0.1")},
				Attachment: state.Attachment{ContainerID: tt.id, IfName: "eth0"},
				NetNS:      tt.netns, Pod: journal.Pod{UID: uuid}, Start: 1 << 40,
				Clock: journal.Clock{Wall: -1, BootTime: 1, Boot: journal.BootID{1}, MaxError: time.Second}, Import: true, Claimed: -5,
			}
			raw := state.AppendLease(nil, &want)
			if got, err := state.DecodeLease(raw); err != nil || got != want {
				t.Errorf("decoded\n%v, %v, want\n%v", got, err, want)
			}
			if len(raw) > tt.maxLen {
				t.Errorf("record of %d bytes, want at most %d", len(raw), tt.maxLen)
			}
			for n := range raw {
				if _, err := state.DecodeLease(raw[:n]); err == nil {
					t.Fatalf("the first %d of %d bytes decode", n, len(raw))
				}
			}
			if _, err := state.DecodeLease(append(raw, 0)); err == nil {
				t.Error("a record with a byte more decodes")
			}
		})
	}
}

// TestRecordFits checks that whatever fits a journal record fits a lease record.
func TestRecordFits(t *testing.T) {
	for _, fill := range []string{"x", "0"} {
		for n := 3000; n < 4096; n++ {
			ev := add(strings.Repeat(fill, n), "eth0", journal.Address{Set: 1 << 40, IP: ip("fd00::1"), Bits: 128, Gateway: ip("fd00::2")})
			ev.Seq = 1
			ev.Kind, ev.Claimed, ev.MaxError = journal.KindImport, 1, time.Hour
			if _, err := journal.AppendRecord(nil, testID, &ev); err == nil {
				mustApply(t, state.New(), ev)
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

// TestGolden pins the format: the file of version 1 is never written again.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1", "00000000000000000007.snap.hex")
	got := dump(readFile(t, writeSnapshot(t, t.TempDir(), smallState(t))))
	if _, err := os.Stat(path); *freeze && errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := string(readFile(t, path))
	if got != want {
		t.Errorf("snapshot differs from %s:\n%s", path, got)
	}
	opened := filepath.Join(t.TempDir(), "00000000000000000007.snap")
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
	if now, _ := answers(smallState(t)); !reflect.DeepEqual(old, now) {
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
