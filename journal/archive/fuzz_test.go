package archive_test

import (
	"testing"

	"github.com/leaselog/leaselog/journal/archive"
)

// FuzzDecode hands any bytes to what decodes those of a packed file, whose checksums keep damage away from there: it
// has to refuse them or make something of them, and nothing else.
func FuzzDecode(f *testing.F) {
	h := newHistory(5, true)
	h.append(f, 200)
	path := h.pack(f, f.TempDir(), 1, 200).Path
	seeds, err := plain(path, h)
	if err != nil {
		f.Fatal(err)
	}
	for which, b := range seeds {
		if err := decode(path, h, byte(which), b); err != nil && which < 5 {
			f.Fatalf("decoder %d: %v", which, err)
		}
		f.Add(byte(which), b)
	}
	f.Fuzz(func(_ *testing.T, which byte, b []byte) {
		_ = decode(path, h, which, b) // that it returns is what is tested
	})
}

func plain(path string, h *history) ([][]byte, error) { return archive.Plain(path, h.id) }

func decode(path string, h *history, which byte, b []byte) error {
	return archive.Decode(path, h.id, which, b)
}
