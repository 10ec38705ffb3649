package journal

import (
	"errors"

	"golang.org/x/sys/unix"
)

// randomBytes fills b with random bytes from the kernel. Package crypto/rand does the same behind a third of a megabyte of
// certified generators, which would be a tenth of the plugin's binary and ten packages to initialise in every call.
func randomBytes(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Getrandom(b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
