package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestVerifyArchive: in an archive by itself each event must follow from the one before.
func TestVerifyArchive(t *testing.T) {
	id := journal.ID{7}
	segment := func(text string) []byte {
		events, err := parseEvents(text)
		if err != nil {
			t.Fatal(err)
		}
		genesis := journal.Event{Kind: journal.KindGenesis, Clock: journal.Clock{Wall: epoch.UnixNano()}, Origin: journal.Origin{Network: "net", Journal: id}}
		b, err := encode(id, append([]journal.Event{genesis}, events...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const one, other = "1 add id=c1 ip=10.0.0.2/24\n", "1 add id=c9 ip=10.0.0.9/24\n"
	spliced := append([]byte{}, segment(one)...)
	spliced = append(spliced, segment(other + "2 add id=c2 ip=10.0.0.3/24\n")[len(spliced):]...)
	tests := []struct {
		name    string
		segment []byte
		code    int
		want    string
	}{
		{"whole", segment(one + "2 del id=c1 ip=10.0.0.2/24\n"), exitFound, "clean: 1 network, 3 events"},
		{"another's event", spliced, exitNobody, "its hash of the event before is not that event's"},
		{"impossible", segment(one + "2 add id=c2 ip=10.0.0.2/24\n"), exitNobody, "10.0.0.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(firstSegment)), tt.segment, 0o600); err != nil {
				t.Fatal(err)
			}
			out, words, code := leasectl("verify", "--data-dir", dir)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, tt.code, tt.want, out, words)
			}
		})
	}
}
