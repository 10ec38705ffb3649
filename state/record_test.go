package state_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

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
			checkLeaseRecord(t, want, tt.maxLen)
			want.NetNSID = journal.NetNSID{Inode: 1 << 40, Made: -1}
			checkLeaseRecord(t, want, tt.maxLen+19)
		})
	}
}

func checkLeaseRecord(t *testing.T, want state.Lease, maxLen int) {
	t.Helper()
	raw := state.AppendLease(nil, &want)
	if got, err := state.DecodeLease(raw); err != nil || got != want {
		t.Errorf("decoded\n%v, %v, want\n%v", got, err, want)
	}
	if len(raw) > maxLen {
		t.Errorf("record of %d bytes, want at most %d", len(raw), maxLen)
	}
	for n := range raw {
		if _, err := state.DecodeLease(raw[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes decode", n, len(raw))
		}
	}
	if _, err := state.DecodeLease(append(raw, 0)); err == nil {
		t.Error("a record with a byte more decodes")
	}
}

// TestRecordFits checks that whatever fits a journal record fits a lease record.
func TestRecordFits(t *testing.T) {
	for _, fill := range []string{"x", "0"} {
		for n := 3000; n < 4096; n++ {
			ev := add(strings.Repeat(fill, n), "eth0", journal.Address{Set: 1<<31 - 1, IP: ip("fd00::1"), Bits: 128, Gateway: ip("fd00::2")})
			ev.Seq = 1
			ev.Kind, ev.Claimed, ev.MaxError = journal.KindImport, 1, time.Hour
			for _, id := range []journal.NetNSID{{}, {Inode: 1<<64 - 1}, {Inode: 1<<64 - 1, Made: 1}} {
				ev.NetNSID = id
				if _, err := journal.AppendRecord(nil, testID, &ev); err == nil {
					mustApply(t, state.New(), ev)
				}
			}
		}
	}
}

// TestLeaseRecordForms checks that a value is read in the one form in which it is written.
func TestLeaseRecordForms(t *testing.T) {
	const (
		ip4   = "c4040a000001"
		owner = "a163a0" // c, no interface name
		mid   = "0018c0a0"
		clock = "95d30000000000000001d30000000000000002c0c200"
		good  = "9c" + ip4 + owner + mid + "c001" + clock + "00c0"
		uuid  = "0123456789abcdef0123456789abcdef"
	)
	tests := []struct {
		name, raw string
		ok        bool
	}{
		{"good", good, true},
		{"identity", "9d" + good[2:] + "92ce12345678d30000000000000001", true},
		{"identity without a time", "9d" + good[2:] + "9201c0", true},
		{"identity without an inode", "9d" + good[2:] + "9200d30000000000000001", true},
		{"no identity in 13", "9d" + good[2:] + "9200c0", false},
		{"nil for an identity", "9d" + good[2:] + "c0", false},
		{"identity of a time of zero", "9d" + good[2:] + "9201d30000000000000000", false},
		{"identity of three", "9d" + good[2:] + "9301c0c0", false},
		{"identity in 12", good + "9201c0", false},
		{"13 elements promised", "9d" + good[2:], false},
		{"14 elements", "9e" + good[2:] + "9201c0c0", false},
		{"array16 of 13", "dc000d" + good[2:] + "9201c0", false},
		{"array16", "dc000c" + good[2:], false},
		{"11 elements", "9b" + good[2:], false},
		{"mapped address", "9c" + "c41000000000000000000000ffff0a000001" + owner + mid + "c001" + clock + "00c0", false},
		{"5-byte address", "9c" + "c4050a00000100" + owner + mid + "c001" + clock + "00c0", false},
		{"no address", "9c" + "c0" + owner + mid + "c001" + clock + "00c0", false},
		{"str8", "9c" + ip4 + "d90163a0" + mid + "c001" + clock + "00c0", false},
		{"str16", "9c" + ip4 + "da000163a0" + mid + "c001" + clock + "00c0", false},
		{"hex ID as bin", "9c" + ip4 + "c420" + uuid + uuid + "a0" + mid + "c001" + clock + "00c0", true},
		{"hex ID as str", "9c" + ip4 + "d940" + strings.Repeat("61", 64) + "a0" + mid + "c001" + clock + "00c0", false},
		{"bin of 31", "9c" + ip4 + "c41f" + uuid + uuid[2:] + "a0" + mid + "c001" + clock + "00c0", false},
		{"UUID as fixext16", "9c" + ip4 + "d801" + uuid + "a0" + mid + "c001" + clock + "00c0", true},
		{"UUID as ext8", "9c" + ip4 + "c71001" + uuid + "a0" + mid + "c001" + clock + "00c0", false},
		{"UUID as ext16", "9c" + ip4 + "c8001001" + uuid + "a0" + mid + "c001" + clock + "00c0", false},
		{"UUID of type 2", "9c" + ip4 + "d802" + uuid + "a0" + mid + "c001" + clock + "00c0", false},
		{"UUID as str", "9c" + ip4 + "d924" + hex.EncodeToString([]byte("01234567-89ab-cdef-0123-456789abcdef")) + "a0" + mid + "c001" + clock + "00c0", false},
		{"text before a UUID", "9c" + ip4 + "c71101" + uuid + "61a0" + mid + "c001" + clock + "00c0", true},
		{"no owner", "9c" + ip4 + "a0a0" + mid + "c001" + clock + "00c0", false},
		{"blocked", "9c" + ip4 + "a0a0" + mid + "c001" + clock + "03c0", true},
		{"blocked without import", "9c" + ip4 + "a0a0" + mid + "c001" + clock + "02c0", false},
		{"blocked with owner", "9c" + ip4 + owner + mid + "c001" + clock + "03c0", false},
		{"blocked with interface", "9c" + ip4 + "a0a161" + mid + "c001" + clock + "03c0", false},
		{"unknown flag", "9c" + ip4 + owner + mid + "c001" + clock + "04c0", false},
		{"long zero", "9c" + ip4 + owner + "cc00" + mid[2:] + "c001" + clock + "00c0", false},
		{"uint16 of 128", "9c" + ip4 + owner + "cd0080" + mid[2:] + "c001" + clock + "00c0", false},
		{"uint8 of 128", "9c" + ip4 + owner + "cc80" + mid[2:] + "c001" + clock + "00c0", true},
		{"set beyond int", "9c" + ip4 + owner + "cfffffffffffffffff" + mid[2:] + "c001" + clock + "00c0", false},
		{"prefix of 33", "9c" + ip4 + owner + "0021c0a0" + "c001" + clock + "00c0", false},
		{"pod", "9c" + ip4 + owner + mid + "93a0a0a16101" + clock + "00c0", true},
		{"empty pod", "9c" + ip4 + owner + mid + "93a0a0a001" + clock + "00c0", false},
		{"zero boot", "9c" + ip4 + owner + mid + "c00195d30000000000000001d30000000000000002c410" + strings.Repeat("00", 16) + "c20000c0", false},
		{"synchronised is 1", "9c" + ip4 + owner + mid + "c00195d30000000000000001d30000000000000002c0010000c0", false},
		{"max error beyond time", "9c" + ip4 + owner + mid + "c00195d30000000000000001d30000000000000002c0c2cf7fffffffffffffff00c0", false},
		{"wall as uint", "9c" + ip4 + owner + mid + "c0019501d30000000000000002c0c20000c0", false},
		{"claimed", good[:len(good)-2] + "d30000000000000001", true},
		{"claimed zero", good[:len(good)-2] + "d30000000000000000", false},
		{"trailing", good + "c0", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := hex.DecodeString(tt.raw)
			if err != nil {
				t.Fatal(err)
			}
			l, err := state.DecodeLease(raw)
			if (err == nil) != tt.ok {
				t.Fatalf("DecodeLease = %v, %v, want ok = %t", l, err, tt.ok)
			}
			if got := state.AppendLease(nil, &l); tt.ok && !bytes.Equal(got, raw) {
				t.Errorf("encodes to %x, want %x", got, raw)
			}
		})
	}
}
