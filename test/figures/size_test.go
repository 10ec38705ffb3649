package figures_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

// binaryBytes is what the stripped plugin may take. When it gets smaller by much, this has to follow.
const binaryBytes = 3_950_000

func TestBinarySize(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the bound is of amd64")
	}
	st, err := os.Stat(build(t, caller.Build))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Size(); n > binaryBytes || n < binaryBytes*9/10 {
		t.Errorf("the plugin has %d bytes, want at most %d and not much less", n, binaryBytes)
	}
}
