package replay

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestPageTexts finds in the page's sources the doubts that it words by itself, as Who words them.
func TestPageTexts(t *testing.T) {
	src, err := os.ReadFile("../report/web/src/doubts.ts")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{noRanges, notRecorded, momentOff, leftOpen, WhetherHeld}
	for _, text := range texts {
		if !strings.Contains(string(src), strconv.Quote(text)+";") {
			t.Errorf("the page does not say %q", text)
		}
	}
	if n := strings.Count(string(src), "export const"); n != len(texts) {
		t.Errorf("the page words %d doubts by itself, want %d", n, len(texts))
	}
}
