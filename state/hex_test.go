package state_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/state"
)

// TestHexDigits puts every byte into every place of a container ID and of a UUID: the ID is packed exactly where encoding/hex
// would write it so, and what is read back is what was given.
func TestHexDigits(t *testing.T) {
	for name, text := range map[string]string{
		"container ID": strings.Repeat("0123456789abcdef", 4),
		"UUID":         "01234567-89ab-cdef-0123-456789abcdef",
		"netns":        "/var/run/netns/cni-fedcba98-7654-3210-fedc-ba9876543210",
	} {
		for at := range text {
			for c := range 256 {
				changed := text[:at] + string([]byte{byte(c)}) + text[at+1:]
				lease := state.Lease{Address: addr(0, "10.0.0.1/8"), Attachment: state.Attachment{ContainerID: "c"}, NetNS: changed, Start: 1}
				b := state.AppendLease(nil, &lease)
				got, err := state.DecodeLease(b)
				if err != nil || got != lease {
					t.Fatalf("%s: %q comes back as %q, %v", name, changed, got.NetNS, err)
				}
				digits, dashes := changed, true
				if name != "container ID" {
					uuid := changed[len(changed)-36:]
					dashes = uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-'
					digits = strings.ReplaceAll(uuid, "-", "")
				}
				raw, err := hex.DecodeString(digits)
				lower := err == nil && hex.EncodeToString(raw) == digits && dashes && len(digits)%32 == 0
				lease.NetNS = text
				if short := len(b) == len(state.AppendLease(nil, &lease)); short != lower {
					t.Fatalf("%s: %q: packed %v, want %v", name, changed, short, lower)
				}
			}
		}
	}
}
