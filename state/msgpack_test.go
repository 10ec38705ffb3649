package state_test

import (
	"encoding/hex"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// TestManyCursors writes more cursors than an array of 16 bits of length has room for.
func TestManyCursors(t *testing.T) {
	const sets = 1<<16 + 1
	ev := add("c", "eth0", journal.Address{IP: ip("10.0.0.2"), Bits: 24})
	ev.Seq = 1
	for i := range sets {
		ev.Cursors = append(ev.Cursors, journal.Cursor{Set: i, IP: ip("10.0.0.2")})
	}
	st := state.New()
	mustApply(t, st, ev)
	s := openSnapshot(t, writeSnapshot(t, t.TempDir(), st))
	if err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	if got, ok := state.Over(s).Cursor(sets - 1); !ok || got != ip("10.0.0.2") {
		t.Errorf("the last cursor is %v, %t", got, ok)
	}
}

// TestLeaseRecordBoot checks that a boot ID has the length that it says.
func TestLeaseRecordBoot(t *testing.T) {
	const boot = "01020304050607080910111213141516"
	for length, ok := range map[string]bool{"10": true, "0f": false, "11": false} {
		raw, err := hex.DecodeString("9cc4040a000001a163a00018c0a0c00195d30000000000000001d30000000000000002c4" + length + boot + "c20000c0")
		if err != nil {
			t.Fatal(err)
		}
		if l, err := state.DecodeLease(raw); (err == nil) != ok {
			t.Errorf("length %s: DecodeLease = %v, %v, want ok = %t", length, l, err, ok)
		}
	}
}
