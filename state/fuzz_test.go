package state_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// FuzzSnapshot opens arbitrary bytes, half of the time with checksums put right: no
// lookup panics, and what opens and verifies is written again as the same bytes.
func FuzzSnapshot(f *testing.F) {
	f.Add(readFile(f, writeSnapshot(f, f.TempDir(), smallState(f))), true)
	f.Add(readFile(f, writeSnapshot(f, f.TempDir(), annotatedState(f))), true)
	f.Add(readFile(f, writeSnapshot(f, f.TempDir(), state.New())), false)
	h := newHistory(1)
	st := state.New()
	for range 60 {
		mustApply(f, st, h.event())
	}
	f.Add(readFile(f, writeSnapshot(f, f.TempDir(), st)), true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, reseal bool) {
		b = bytes.Clone(b)
		if reseal {
			state.Reseal(b)
		}
		checkArbitrary(t, filepath.Join(dir, "fuzzed"), b)
	})
}

// TestDamageBehindChecksums changes a few bytes and puts the checksums right: what is
// wrong then is what the blocks say.
func TestDamageBehindChecksums(t *testing.T) {
	h := newHistory(1)
	st := state.New()
	for range 300 {
		mustApply(t, st, h.event())
	}
	dir := t.TempDir()
	seeds := [][]byte{
		readFile(t, writeSnapshot(t, dir, smallState(t))),
		readFile(t, writeSnapshot(t, dir, st)),
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range 1000 {
		b := bytes.Clone(seeds[r.IntN(10)/9])
		for range 1 + r.IntN(3) {
			// Blocks of entries are mostly padding, so most changes go where something is.
			at := r.IntN(len(b)/state.BlockBytes)*state.BlockBytes + r.IntN([]int{400, 400, 400, state.BlockBytes}[r.IntN(4)])
			b[at] = []byte{b[at] ^ 1<<r.IntN(8), byte(r.IntN(256)), 0, 0x7f, 0xff}[r.IntN(5)]
		}
		state.Reseal(b)
		checkArbitrary(t, filepath.Join(dir, "changed"), b)
	}
}

// checkArbitrary does with a file everything that can be done with a snapshot.
func checkArbitrary(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := state.OpenSnapshot(path, journal.ID{})
	if err != nil {
		checkKind(t, err)
		return
	}
	defer s.Close()
	over := state.Over(s)
	_, err = answers(over)
	checkKind(t, err)
	ev := add("fuzz", "eth0", addr(0, "10.0.0.4/24"))
	ev.Seq = s.Seq() + 1
	checkKind(t, over.Apply(&ev))
	if err := s.Verify(); err != nil {
		checkKind(t, err)
		return
	}
	if bytes.Contains(b[:state.BlockBytes], []byte("version\x01")) {
		checkRewrite(t, s, b)
	}
}

// checkKind accepts what may be said about bytes from anywhere.
func checkKind(t *testing.T, err error) {
	t.Helper()
	var damage *journal.CorruptionError
	if err != nil && !errors.As(err, &damage) && !errors.Is(err, journal.ErrNewer) {
		t.Errorf("got %v, want a CorruptionError or ErrNewer", err)
	}
}

func checkRewrite(t *testing.T, s *state.Snapshot, want []byte) {
	t.Helper()
	dir := t.TempDir()
	path, err := state.WriteSnapshot(dir, s.ID(), s.Network(), state.Over(s))
	if err != nil {
		t.Fatalf("WriteSnapshot of what verifies: %v", err)
	}
	if got := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("written again it is %d bytes that differ from the %d that verified", len(got), len(want))
	}
}

// FuzzLease decodes arbitrary bytes: what decodes encodes to the same bytes.
func FuzzLease(f *testing.F) {
	for _, st := range []*state.State{smallState(f), annotatedState(f)} {
		for l, err := range st.Leases() {
			if err != nil {
				f.Fatal(err)
			}
			f.Add(state.AppendLease(nil, &l))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := state.DecodeLease(raw)
		if err != nil {
			return
		}
		if got := state.AppendLease(nil, &l); !bytes.Equal(got, raw) {
			t.Errorf("%x decodes to %v, which encodes to %x", raw, l, got)
		}
	})
}
