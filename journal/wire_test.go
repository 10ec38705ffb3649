package journal_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestRecordForms checks what no checksum tells: that a field has one form, that what is absent isn't
// there, and that nothing follows the last field.
func TestRecordForms(t *testing.T) {
	const beforeBody = 94 // array heads, eleven fields but the body
	const trailer = "000000000000"
	tests := []struct {
		name    string
		body    string // and what follows it
		fields  byte   // 11, or 12 with padding or an unknown field
		version byte
		want    string
	}{
		{"empty body", "80", 11, 1, ""},
		{"a field", "8101a163", 11, 1, ""},
		{"empty string", "8101a0", 11, 1, "byte 97: empty value where absence is meant"},
		{"empty array", "810690", 11, 1, "byte 97: empty value where absence is meant"},
		{"zero", "810800", 11, 1, "byte 97: empty value where absence is meant"},
		{"digest of a byte", "810fc40101", 11, 1, "byte 99: unexpected msgpack type"},
		{"1 in two bytes", "8108cc01", 11, 1, "byte 98: value is not in its shortest form"},
		{"keys out of order", "8202a16101a163", 11, 1, "byte 99: keys out of order"},
		{"cut short", "8101a5", 11, 1, "byte 97: ends too early"},
		{"a byte more", "8000", 11, 1, "byte 95: bytes after the end"},
		{"inode alone", "81169201c0", 11, 1, ""},
		{"inode and time", "81169201d30000000000000001", 11, 1, ""},
		{"no identity", "81169200c0", 11, 1, "byte 99: empty value where absence is meant"},
		{"time of zero", "81169201d30000000000000000", 11, 1, "byte 107: empty value where absence is meant"},
		{"time in one byte", "8116920101", 11, 1, "byte 99: unexpected msgpack type"},
		{"identity of three", "81169301c0c0", 11, 1, "byte 97: unexpected msgpack type"},
		{"inode in two bytes", "811692cc01c0", 11, 1, "byte 99: value is not in its shortest form"},
		{"padding", "8103b9" + strings.Repeat("6e", 25) + "c0", 12, 1, ""},
		{"padding at any length", "80c0", 12, 1, "byte 96: padding is wrong"},
		{"unknown field", "8007", 12, 1, ""},
		{"unknown nil and a byte more", "80c000", 12, 1, "byte 96: bytes after the end"},
		{"later version", "80", 11, 2, "record version 2: " + journal.ErrNewer.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			record, err := journal.AppendRecord(nil, testID, &journal.Event{Seq: 7, Kind: journal.KindDel})
			if err != nil {
				t.Fatal(err)
			}
			rest, err := hex.DecodeString(tt.body + trailer)
			if err != nil {
				t.Fatal(err)
			}
			record = append(record[:beforeBody], rest...)
			record[1], record[2] = 0x90|tt.fields, tt.version
			journal.Reseal(testID, 7, record)
			got := ""
			if _, err := journal.DecodeRecord(testID, 7, record); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q (record of %d bytes)", got, tt.want, len(record))
			}
		})
	}
}
