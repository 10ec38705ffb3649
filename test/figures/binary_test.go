package figures_test

import (
	"os"
	"testing"
)

// TestBinary weighs the stripped plugin. Every page of it that a call touches is read and mapped anew
// for each call.
func TestBinary(t *testing.T) {
	needAMD64(t)
	if noMake != nil {
		t.Skipf("the plugin is weighed as make builds it: %v", noMake)
	}
	info, err := os.Stat(leaselog)
	if err != nil {
		t.Fatal(err)
	}
	size := golden{file: "binary.txt", columns: []string{"bytes"}, atMost: []string{"bytes"}, round: 10_000}
	size.check(t, table{"leaselog": {"bytes": int(info.Size())}})
	t.Logf("%d bytes", info.Size())
}
